"""CreateCollection, DescribeCollection, ListCollections, DeleteCollection."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from processors.faces.analyzer import FaceAnalyzer
from streamd.api.caller import Caller
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.pagination import read_token, write_token
from streamd.api.refusals import (
    collection_exists,
    collection_must_exist,
    model_problems,
    tag_quota,
)
from streamd.config import AwsSettings
from streamd.resources import collection_arn
from streamd.store import Store
from streamd.store.errors import LimitError, NameInUseError

__all__ = ["DEFAULT_PAGE_SIZE", "Collections", "page_size"]

DEFAULT_PAGE_SIZE = 1000
"""Collections or faces in an answer whose request names no MaxResults, or 0 (our choice)."""
_STATUS_OK = 200


class Collections:
    """The operations on collections as such; their faces are in ``faces.py``."""

    def __init__(
        self,
        *,
        store: Store,
        aws: AwsSettings,
        analyzer: Callable[[], FaceAnalyzer],
        forget_deleted: Callable[[], object],
        run_blocking: RunBlocking,
        run_analysis: RunBlocking,
    ) -> None:
        self._store = store
        self._forget_deleted = forget_deleted
        self._aws = aws
        self._analyzer = analyzer
        self._run_blocking = run_blocking
        self._run_analysis = run_analysis

    def operations(self) -> Mapping[str, Handler]:
        """Return the handlers by operation name."""
        return {
            "CreateCollection": self.create,
            "DescribeCollection": self.describe,
            "ListCollections": self.list,
            "DeleteCollection": self.delete,
        }

    async def create(self, caller: Caller, params: Params) -> Output:
        """Create a collection, pinned to the face model in use now."""
        collection_id: str = params["CollectionId"]
        with model_problems():
            version: str = await self._run_analysis(lambda: self._analyzer().model_version)
        create = functools.partial(
            self._store.create_collection,
            account_id=caller.account_id,
            collection_id=collection_id,
            arn=collection_arn(
                region=self._aws.region,
                account_id=caller.account_id,
                collection_id=collection_id,
            ),
            face_model_version=version,
            tags=params.get("Tags", {}),
        )
        try:
            collection = await self._run_blocking(create)
        except NameInUseError as error:
            raise collection_exists(collection_id) from error
        except LimitError as error:
            raise tag_quota(error.limit) from error
        return {
            "StatusCode": _STATUS_OK,
            "CollectionArn": collection.arn,
            "FaceModelVersion": collection.face_model_version,
        }

    async def describe(self, caller: Caller, params: Params) -> Output:
        """Describe a collection."""
        with collection_must_exist(params["CollectionId"]):
            collection = await self._run_blocking(
                self._store.collection, caller.account_id, params["CollectionId"]
            )
        return {
            "FaceCount": collection.face_count,
            "UserCount": collection.user_count,
            "FaceModelVersion": collection.face_model_version,
            "CollectionARN": collection.arn,
            "CreationTimestamp": collection.created_at,
        }

    async def list(self, caller: Caller, params: Params) -> Output:
        """List collections in order of their ids."""
        after = read_token("ListCollections", params.get("NextToken"))
        size = page_size(params)
        found = await self._run_blocking(
            functools.partial(
                self._store.list_collections, caller.account_id, after=after, limit=size + 1
            )
        )
        page = found[:size]
        more = len(found) > size
        return {
            "CollectionIds": [collection.collection_id for collection in page],
            "FaceModelVersions": [collection.face_model_version for collection in page],
            "NextToken": write_token("ListCollections", page[-1].collection_id) if more else None,
        }

    async def delete(self, caller: Caller, params: Params) -> Output:
        """Delete a collection with its faces, users and tags."""
        with collection_must_exist(params["CollectionId"]):
            await self._run_blocking(
                self._store.delete_collection, caller.account_id, params["CollectionId"]
            )
        # Vectors are biometric data: off the disk now, not when a reader notices.
        await self._run_blocking(self._forget_deleted)
        return {"StatusCode": _STATUS_OK}


def page_size(params: Params) -> int:
    """Return MaxResults; the model allows 0, which stands for the default."""
    return int(params.get("MaxResults", 0)) or DEFAULT_PAGE_SIZE
