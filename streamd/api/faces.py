"""IndexFaces, ListFaces, DeleteFaces, SearchFaces, SearchFacesByImage.

``DetectionAttributes`` is accepted; only the members AWS always returns are there, because
the other attributes need networks that are not served yet. ``OrientationCorrection`` is
always null at AWS, so it is left out.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.faces.analyzer import FaceAnalyzer
from streamd.api.caller import Caller
from streamd.api.collection_access import CollectionAccess
from streamd.api.collections import page_size
from streamd.api.face_convert import (
    box_to_wire,
    face_detail_to_wire,
    face_to_wire,
    indexed_face,
    percent_to_wire,
)
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.image_analysis import FaceAnalysis, analyze_faces
from streamd.api.images import ImageReader, LoadedImage
from streamd.api.pagination import read_token, write_token
from streamd.api.query_faces import QueryFaces
from streamd.api.refusals import (
    collection_must_exist,
    face_quota,
    no_faces,
)
from streamd.pipeline.collection_search import CollectionSearch
from streamd.resources import DEFAULT_FACE_MATCH_THRESHOLD_PERCENT, Collection, Face
from streamd.store import DeletedFaces, FacePage, Store
from streamd.store.errors import LimitError

__all__ = ["Faces"]

MAX_MATCHES = 4096
"""Matches of one search (*Developer Guide*, "Guidelines and quotas")."""


class Faces:
    """The operations on the faces of a collection."""

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
        self._images = images
        self._query = QueryFaces(images=images, run_analysis=run_analysis)
        self._search = search
        self._run_blocking = run_blocking
        self._run_analysis = run_analysis

    def operations(self) -> Mapping[str, Handler]:
        """Return the handlers by operation name."""
        return {
            "IndexFaces": self.index,
            "ListFaces": self.list,
            "DeleteFaces": self.delete,
            "SearchFaces": self.search_by_face,
            "SearchFacesByImage": self.search_by_image,
        }

    async def index(self, caller: Caller, params: Params) -> Output:
        """Store the faces of an image; a repeat answers with the faces that are there."""
        collection = await self._access.collection(caller, params["CollectionId"])
        analyzer = await self._access.analyzer_for(collection)
        image = await self._images.read(params["Image"])
        analysis: FaceAnalysis = await self._run_analysis(
            functools.partial(
                analyze_faces,
                analyzer,
                image,
                quality_filter=params.get("QualityFilter", "AUTO"),
                max_faces=params.get("MaxFaces"),
            )
        )
        stored = await self._add(collection, analyzer, image, analysis, params)
        return {
            "FaceRecords": [
                {
                    "Face": face_to_wire(face, model_version=collection.face_model_version),
                    "FaceDetail": face_detail_to_wire(detected),
                }
                for face, detected in zip(stored, analysis.faces, strict=True)
            ],
            "FaceModelVersion": collection.face_model_version,
            "UnindexedFaces": [
                {"Reasons": reasons, "FaceDetail": face_detail_to_wire(face)}
                for face, reasons in analysis.dropped
            ],
        }

    async def list(self, caller: Caller, params: Params) -> Output:
        """List faces in the order they were added, or those of FaceIds in that order."""
        collection = await self._access.collection(caller, params["CollectionId"])
        scope = _list_scope(collection, params)
        token = read_token(scope, params.get("NextToken"))
        after = None if token is None else int(token)
        if "FaceIds" in params:
            faces, next_after = await self._named(collection, params, start=after or 0)
        else:
            with collection_must_exist(collection.collection_id):
                page: FacePage = await self._run_blocking(
                    functools.partial(
                        self._store.list_faces,
                        collection.account_id,
                        collection.collection_id,
                        after=after,
                        limit=page_size(params),
                        user_id=params.get("UserId"),
                    )
                )
            faces, next_after = page.faces, page.next_after
        version = collection.face_model_version
        return {
            "Faces": [face_to_wire(face, model_version=version) for face in faces],
            "NextToken": None if next_after is None else write_token(scope, str(next_after)),
            "FaceModelVersion": version,
        }

    async def delete(self, caller: Caller, params: Params) -> Output:
        """Delete faces; those that are not there are told apart, and no error."""
        face_ids: list[str] = params["FaceIds"]
        with collection_must_exist(params["CollectionId"]):
            outcome: DeletedFaces = await self._run_blocking(
                self._store.delete_faces, caller.account_id, params["CollectionId"], face_ids
            )
        gone = frozenset(outcome.deleted)
        return {
            "DeletedFaces": outcome.deleted,
            "UnsuccessfulFaceDeletions": [
                _not_deleted(face_id, outcome.associated.get(face_id))
                for face_id in dict.fromkeys(face_ids)
                if face_id not in gone
            ],
        }

    async def search_by_face(self, caller: Caller, params: Params) -> Output:
        """Find faces like a stored one, which is not among its own matches."""
        collection = await self._access.collection(caller, params["CollectionId"])
        analyzer = await self._access.analyzer_for(collection)
        face_id: str = params["FaceId"]
        vector = await self._access.face_vector(collection, face_id)
        matches = await self._matches(collection, analyzer, vector, params, but_not=face_id)
        return {
            "SearchedFaceId": face_id,
            "FaceMatches": matches,
            "FaceModelVersion": collection.face_model_version,
        }

    async def search_by_image(self, caller: Caller, params: Params) -> Output:
        """Find faces like the largest one of an image."""
        collection = await self._access.collection(caller, params["CollectionId"])
        analyzer = await self._access.analyzer_for(collection)
        analysis = await self._query.read(analyzer, params)
        if not analysis.faces:
            raise no_faces()
        face = analysis.faces[0]
        matches = await self._matches(collection, analyzer, analysis.vectors[0], params)
        return {
            "SearchedFaceBoundingBox": box_to_wire(face.box),
            "SearchedFaceConfidence": percent_to_wire(face.confidence_percent),
            "FaceMatches": matches,
            "FaceModelVersion": collection.face_model_version,
        }

    async def _add(
        self,
        collection: Collection,
        analyzer: FaceAnalyzer,
        image: LoadedImage,
        analysis: FaceAnalysis,
        params: Params,
    ) -> Sequence[Face]:
        faces = [
            indexed_face(
                face,
                image_digest=image.digest,
                model_version=analyzer.model_version,
                external_image_id=params.get("ExternalImageId"),
            )
            for face in analysis.faces
        ]
        if not faces:
            return []
        try:
            with collection_must_exist(collection.collection_id):
                stored = await self._run_blocking(
                    self._store.add_faces,
                    collection.account_id,
                    collection.collection_id,
                    list(zip(faces, analysis.vectors, strict=True)),
                )
        except LimitError as error:
            raise face_quota(error.limit) from error
        return [face for face, _was_new in stored]

    async def _named(
        self, collection: Collection, params: Params, *, start: int
    ) -> tuple[Sequence[Face], int | None]:
        with collection_must_exist(collection.collection_id):
            found: Sequence[Face] = await self._run_blocking(
                self._store.faces,
                collection.account_id,
                collection.collection_id,
                params["FaceIds"],
            )
        if "UserId" in params:
            found = [face for face in found if face.user_id == params["UserId"]]
        end = start + page_size(params)
        return found[start:end], end if end < len(found) else None

    async def _matches(
        self,
        collection: Collection,
        analyzer: FaceAnalyzer,
        vector: NDArray[np.float32],
        params: Params,
        *,
        but_not: str | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        limit = params.get("MaxFaces", MAX_MATCHES)
        with collection_must_exist(collection.collection_id):
            [found] = await self._run_analysis(
                functools.partial(
                    self._search.search,
                    collection.account_id,
                    collection.collection_id,
                    vector[np.newaxis, :],
                    limit=limit + (but_not is not None),
                    threshold_percent=params.get(
                        "FaceMatchThreshold", DEFAULT_FACE_MATCH_THRESHOLD_PERCENT
                    ),
                    analyzer=analyzer,
                    # A face is found by the first search after it was indexed.
                    fresh=True,
                )
            )
        found = [(face, similarity) for face, similarity in found if face.face_id != but_not]
        owners = await self._owners(collection, [face.face_id for face, _ in found[:limit]])
        version = collection.face_model_version
        return [
            {
                "Similarity": percent_to_wire(similarity),
                "Face": face_to_wire(
                    face.model_copy(update={"user_id": owners.get(face.face_id)}),
                    model_version=version,
                ),
            }
            for face, similarity in found[:limit]
        ]

    async def _owners(self, collection: Collection, face_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the users of faces, which the vectors' cache does not know."""
        if not collection.user_count or not face_ids:
            return {}
        with collection_must_exist(collection.collection_id):
            owners: Mapping[str, str] = await self._run_blocking(
                self._store.users_of_faces,
                collection.account_id,
                collection.collection_id,
                face_ids,
            )
        return owners


def _list_scope(collection: Collection, params: Params) -> str:
    """Return what a token of ListFaces is good for: this collection, and this choice of faces."""
    face_ids = ",".join(params.get("FaceIds", ()))
    choice = hashlib.sha256(f"{params.get('UserId', '')} {face_ids}".encode()).hexdigest()
    return f"ListFaces {collection.incarnation} {choice}"


def _not_deleted(face_id: str, user_id: str | None) -> Mapping[str, Any]:
    reason = "FACE_NOT_FOUND" if user_id is None else "ASSOCIATED_TO_AN_EXISTING_USER"
    return {"FaceId": face_id, "UserId": user_id, "Reasons": [reason]}
