"""What operations on the content of a collection begin with: the collection and its analyzer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from processors.faces.analyzer import FaceAnalyzer
from streamd.api.caller import Caller
from streamd.api.handlers import RunBlocking
from streamd.api.refusals import (
    collection_must_exist,
    collection_not_found,
    face_not_found,
    invalid_parameter,
    model_problems,
)
from streamd.resources import Collection
from streamd.store import Store
from streamd.store.errors import NotFoundError

__all__ = ["CollectionAccess"]


class CollectionAccess:
    """Reads collections and vectors of their faces, and loads the analyzer that fits them."""

    def __init__(
        self,
        *,
        store: Store,
        analyzer: Callable[[], FaceAnalyzer],
        run_blocking: RunBlocking,
        run_analysis: RunBlocking,
    ) -> None:
        self._store = store
        self._analyzer = analyzer
        self._run_blocking = run_blocking
        self._run_analysis = run_analysis

    async def collection(self, caller: Caller, collection_id: str) -> Collection:
        """Return a collection of the caller's.

        Raises:
            ServiceError: ``ResourceNotFoundException``.

        """
        with collection_must_exist(collection_id):
            collection: Collection = await self._run_blocking(
                self._store.collection, caller.account_id, collection_id
            )
        return collection

    async def face_vector(self, collection: Collection, face_id: str) -> NDArray[np.float32]:
        """Return the vector of a stored face, shape (vector_size,).

        Raises:
            ServiceError: What AWS answers if the face, or by now the collection, is not there.

        """
        try:
            vector: NDArray[np.float32] = await self._run_blocking(
                self._store.face_vector, collection.account_id, collection.collection_id, face_id
            )
        except NotFoundError as error:
            if error.kind == "face":
                raise face_not_found() from error
            raise collection_not_found(collection.collection_id) from error
        return vector

    async def analyzer(self) -> FaceAnalyzer:
        """Return the analyzer in use.

        Raises:
            ServiceError: ``ResourceNotReadyException`` with what to do about it.

        """
        with model_problems():
            analyzer: FaceAnalyzer = await self._run_analysis(self._analyzer)
        return analyzer

    async def analyzer_for(self, collection: Collection) -> FaceAnalyzer:
        """Return the analyzer, once it is sure that its vectors are the collection's kind.

        Raises:
            ServiceError: ``InvalidParameterException`` if they are not.

        """
        analyzer = await self.analyzer()
        if analyzer.model_version != collection.face_model_version:
            raise invalid_parameter(
                f"The collection holds faces of model version {collection.face_model_version}, "
                f"which can not be compared with version {analyzer.model_version} in use."
            )
        return analyzer
