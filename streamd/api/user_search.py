"""SearchUsers, SearchUsersByImage.

A user is compared by its vector, which stands for all faces associated with it (see
``processors/faces/person.py``); ``Similarity`` has the scale it has between faces.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.faces.analyzer import FaceAnalyzer
from streamd.api.caller import Caller
from streamd.api.collection_access import CollectionAccess
from streamd.api.face_convert import face_detail_to_wire, percent_to_wire
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.image_analysis import FaceAnalysis
from streamd.api.images import ImageReader
from streamd.api.query_faces import QueryFaces
from streamd.api.refusals import invalid_parameter
from streamd.api.users import MAX_USERS_IN_ANSWER, user_refusals
from streamd.pipeline.collection_search import CollectionSearch
from streamd.resources import Collection, UserStatus
from streamd.store import Store

__all__ = ["UserSearch"]

DEFAULT_USER_MATCH_THRESHOLD_PERCENT = 80.0
"""UserMatchThreshold of both operations ("default value of 80", *API Reference*)."""


class UserSearch:
    """The operations that find users."""

    def __init__(
        self,
        *,
        store: Store,
        access: CollectionAccess,
        images: ImageReader,
        search: CollectionSearch,
        run_blocking: RunBlocking,
        run_analysis: RunBlocking,
    ) -> None:
        self._store = store
        self._access = access
        self._query = QueryFaces(images=images, run_analysis=run_analysis)
        self._search = search
        self._run_blocking = run_blocking
        self._run_analysis = run_analysis

    def operations(self) -> Mapping[str, Handler]:
        """Return the handlers by operation name."""
        return {"SearchUsers": self.search, "SearchUsersByImage": self.search_by_image}

    async def search(self, caller: Caller, params: Params) -> Output:
        """Find users like a face, or like another user, which is not among its own matches."""
        user_id, face_id = params.get("UserId"), params.get("FaceId")
        if (user_id is None) == (face_id is None):
            raise invalid_parameter("Exactly one of UserId and FaceId is needed.")
        collection = await self._access.collection(caller, params["CollectionId"])
        analyzer = await self._access.analyzer_for(collection)
        if user_id is None:
            vector = await self._access.face_vector(collection, str(face_id))
        else:
            with user_refusals(params):
                vector = await self._run_blocking(
                    self._store.user_vector,
                    collection.account_id,
                    collection.collection_id,
                    user_id,
                )
        return {
            "UserMatches": await self._matches(
                collection, analyzer, vector, params, but_not=user_id
            ),
            "FaceModelVersion": collection.face_model_version,
            "SearchedFace": None if face_id is None else {"FaceId": face_id},
            "SearchedUser": None if user_id is None else {"UserId": user_id},
        }

    async def search_by_image(self, caller: Caller, params: Params) -> Output:
        """Find users like the largest face of an image; no face is no match, and no error."""
        collection = await self._access.collection(caller, params["CollectionId"])
        analyzer = await self._access.analyzer_for(collection)
        analysis = await self._query.read(analyzer, params)
        found = len(analysis.faces) > 0
        vector = analysis.vectors[0] if found else None
        return {
            "UserMatches": await self._matches(collection, analyzer, vector, params),
            "FaceModelVersion": collection.face_model_version,
            "SearchedFace": (
                {"FaceDetail": face_detail_to_wire(analysis.faces[0])} if found else None
            ),
            "UnsearchedFaces": _unsearched(analysis),
        }

    async def _matches(
        self,
        collection: Collection,
        analyzer: FaceAnalyzer,
        vector: NDArray[np.float32] | None,
        params: Params,
        *,
        but_not: str | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        if vector is None:
            return []
        limit: int = params.get("MaxUsers", MAX_USERS_IN_ANSWER)
        found: list[tuple[str, float]] = await self._run_analysis(
            functools.partial(
                self._search.search_users,
                collection,
                vector,
                limit=limit + (but_not is not None),
                threshold_percent=params.get(
                    "UserMatchThreshold", DEFAULT_USER_MATCH_THRESHOLD_PERCENT
                ),
                analyzer=analyzer,
            )
        )
        return [
            {
                "Similarity": percent_to_wire(similarity),
                # Only users with faces have a vector to be found by.
                "User": {"UserId": user_id, "UserStatus": UserStatus.ACTIVE},
            }
            for user_id, similarity in found
            if user_id != but_not
        ][:limit]


def _unsearched(analysis: FaceAnalysis) -> list[dict[str, Any]]:
    faces = [*((face, ["FACE_NOT_LARGEST"]) for face in analysis.others), *analysis.dropped]
    faces.sort(key=lambda item: -item[0].box.area)
    return [
        {"FaceDetails": face_detail_to_wire(face), "Reasons": reasons} for face, reasons in faces
    ]
