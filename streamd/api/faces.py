"""IndexFaces, ListFaces, DeleteFaces, SearchFaces, SearchFacesByImage.

``DetectionAttributes`` is accepted; only the members AWS always returns are there, because
the other attributes need networks that are not served yet. ``OrientationCorrection`` is
always null at AWS, so it is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.faces.analyzer import FaceAnalyzer
from processors.results import DetectedFace
from streamd.api.caller import Caller
from streamd.api.collections import page_size
from streamd.api.face_convert import (
    box_to_wire,
    face_detail_to_wire,
    face_to_wire,
    indexed_face,
)
from streamd.api.face_quality import Sifted, sift
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.images import ImageReader, LoadedImage
from streamd.api.pagination import read_token, write_token
from streamd.api.refusals import (
    collection_must_exist,
    collection_not_found,
    face_not_found,
    face_quota,
    invalid_parameter,
    model_problems,
    no_faces,
)
from streamd.pipeline.collection_search import CollectionSearch
from streamd.resources import DEFAULT_FACE_MATCH_THRESHOLD_PERCENT, Collection, Face
from streamd.store import DeletedFaces, Store
from streamd.store.errors import LimitError, NotFoundError

__all__ = ["Faces"]

MAX_FACES_IN_IMAGE = 100
"""The largest faces of an image, whatever MaxFaces says (IndexFaces, *API Reference*)."""
MAX_MATCHES = 4096
"""Matches of one search (*Developer Guide*, "Guidelines and quotas")."""


@dataclass(frozen=True, kw_only=True)
class _Analysis:
    """What an image holds: faces good enough, with their vectors, and the others."""

    sifted: Sifted
    vectors: NDArray[np.float32]


class Faces:
    """The operations on the faces of a collection."""

    def __init__(
        self,
        *,
        store: Store,
        images: ImageReader,
        search: CollectionSearch,
        analyzer: Callable[[], FaceAnalyzer],
        run_blocking: RunBlocking,
        run_analysis: RunBlocking,
    ) -> None:
        self._store = store
        self._images = images
        self._search = search
        self._analyzer = analyzer
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
        collection = await self._collection(caller, params["CollectionId"])
        analyzer = await self._analyzer_for(collection)
        image = await self._images.read(params["Image"])
        analysis: _Analysis = await self._run_analysis(
            functools.partial(
                _analyze,
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
                for face, detected in zip(stored, analysis.sifted.kept, strict=True)
            ],
            "FaceModelVersion": collection.face_model_version,
            "UnindexedFaces": [
                {"Reasons": reasons, "FaceDetail": face_detail_to_wire(face)}
                for face, reasons in analysis.sifted.dropped
            ],
        }

    async def list(self, caller: Caller, params: Params) -> Output:
        """List faces in the order they were added, or those of FaceIds in that order."""
        collection = await self._collection(caller, params["CollectionId"])
        scope = f"ListFaces {collection.collection_id}"
        token = read_token(scope, params.get("NextToken"))
        after = None if token is None else int(token)
        if "UserId" in params:
            # Users are not served yet: no face belongs to one.
            faces: Sequence[Face] = ()
            next_after: int | None = None
        elif "FaceIds" in params:
            faces, next_after = await self._named(collection, params, start=after or 0)
        else:
            with collection_must_exist(collection.collection_id):
                page = await self._run_blocking(
                    functools.partial(
                        self._store.list_faces,
                        collection.account_id,
                        collection.collection_id,
                        after=after,
                        limit=page_size(params),
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
        collection = await self._collection(caller, params["CollectionId"])
        analyzer = await self._analyzer_for(collection)
        face_id: str = params["FaceId"]
        try:
            vector = await self._run_blocking(
                self._store.face_vector, collection.account_id, collection.collection_id, face_id
            )
        except NotFoundError as error:
            if error.kind == "face":
                raise face_not_found() from error
            raise collection_not_found(collection.collection_id) from error
        matches = await self._matches(collection, analyzer, vector, params, but_not=face_id)
        return {
            "SearchedFaceId": face_id,
            "FaceMatches": matches,
            "FaceModelVersion": collection.face_model_version,
        }

    async def search_by_image(self, caller: Caller, params: Params) -> Output:
        """Find faces like the largest one of an image."""
        collection = await self._collection(caller, params["CollectionId"])
        analyzer = await self._analyzer_for(collection)
        image = await self._images.read(params["Image"])
        analysis: _Analysis = await self._run_analysis(
            functools.partial(
                _analyze,
                analyzer,
                image,
                quality_filter=params.get("QualityFilter", "NONE"),
                largest_only=True,
            )
        )
        if not analysis.sifted.kept:
            raise no_faces()
        face = analysis.sifted.kept[0]
        matches = await self._matches(collection, analyzer, analysis.vectors[0], params)
        return {
            "SearchedFaceBoundingBox": box_to_wire(face.box),
            "SearchedFaceConfidence": min(100.0, float(face.confidence_percent)),
            "FaceMatches": matches,
            "FaceModelVersion": collection.face_model_version,
        }

    async def _collection(self, caller: Caller, collection_id: str) -> Collection:
        with collection_must_exist(collection_id):
            collection: Collection = await self._run_blocking(
                self._store.collection, caller.account_id, collection_id
            )
        return collection

    async def _analyzer_for(self, collection: Collection) -> FaceAnalyzer:
        """Return the analyzer, once it is sure that its vectors are the collection's kind."""
        with model_problems():
            analyzer: FaceAnalyzer = await self._run_analysis(self._analyzer)
        if analyzer.model_version != collection.face_model_version:
            raise invalid_parameter(
                f"The collection holds faces of model version {collection.face_model_version}, "
                f"which can not be compared with version {analyzer.model_version} in use."
            )
        return analyzer

    async def _add(
        self,
        collection: Collection,
        analyzer: FaceAnalyzer,
        image: LoadedImage,
        analysis: _Analysis,
        params: Params,
    ) -> Sequence[Face]:
        faces = [
            indexed_face(
                face,
                image_digest=image.digest,
                model_version=analyzer.model_version,
                external_image_id=params.get("ExternalImageId"),
            )
            for face in analysis.sifted.kept
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
        version = collection.face_model_version
        return [
            {
                "Similarity": min(100.0, max(0.0, float(similarity))),
                "Face": face_to_wire(face, model_version=version),
            }
            for face, similarity in found
            if face.face_id != but_not
        ][:limit]


def _not_deleted(face_id: str, user_id: str | None) -> Mapping[str, Any]:
    reason = "FACE_NOT_FOUND" if user_id is None else "ASSOCIATED_TO_AN_EXISTING_USER"
    return {"FaceId": face_id, "UserId": user_id, "Reasons": [reason]}


def _analyze(
    analyzer: FaceAnalyzer,
    image: LoadedImage,
    *,
    quality_filter: str,
    max_faces: int | None = None,
    largest_only: bool = False,
) -> _Analysis:
    """Find, sift and embed the faces of an image (blocking)."""
    detected = analyzer.detect(image.picture, max_faces=MAX_FACES_IN_IMAGE)
    sifted = sift(detected, image.picture, quality_filter=quality_filter, max_faces=max_faces)
    wanted = sifted.kept[:1] if largest_only else sifted.kept
    embedded, vectors, failed = _embed(analyzer, image, wanted)
    dropped = sorted(
        [*sifted.dropped, *((face, ["LOW_FACE_QUALITY"]) for face in failed)],
        key=lambda item: -item[0].box.area,
    )
    return _Analysis(sifted=Sifted(kept=embedded, dropped=dropped), vectors=vectors)


def _embed(
    analyzer: FaceAnalyzer, image: LoadedImage, faces: Sequence[DetectedFace]
) -> tuple[Sequence[DetectedFace], NDArray[np.float32], Sequence[DetectedFace]]:
    """Return the faces that could be embedded, their vectors, and those that could not."""
    try:
        return faces, analyzer.embed(image.picture, faces), ()
    except ValueError:
        # A face whose landmarks cannot be aligned must not cost the others their place.
        pass
    embedded, vectors, failed = [], [], []
    for face in faces:
        try:
            vectors.append(analyzer.embed(image.picture, [face])[0])
            embedded.append(face)
        except ValueError:
            failed.append(face)
    stacked = np.stack(vectors) if vectors else np.empty((0, analyzer.vector_size), np.float32)
    return embedded, stacked, failed
