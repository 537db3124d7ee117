"""TagResource, UntagResource, ListTagsForResource: of stream processors and collections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from streamd.api.caller import Caller
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.refusals import invalid_parameter, resource_not_found, tag_quota
from streamd.store import Store
from streamd.store.errors import LimitError, NotFoundError

__all__ = ["Tags"]

_ARN = re.compile(r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:(\d{12}):[a-z]+/\S+")


class Tags:
    """The operations on tags."""

    def __init__(self, *, store: Store, run_blocking: RunBlocking) -> None:
        self._store = store
        self._run_blocking = run_blocking

    def operations(self) -> Mapping[str, Handler]:
        """Return the handlers by operation name."""
        return {
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list,
        }

    async def tag(self, caller: Caller, params: Params) -> Output:
        """Add tags; a key that is there gets the new value."""
        with _refusals(caller, params["ResourceArn"]) as arn:
            await self._run_blocking(self._store.add_tags, arn, params["Tags"])
        return {}

    async def untag(self, caller: Caller, params: Params) -> Output:
        """Remove tags; a key that is not there is no error."""
        with _refusals(caller, params["ResourceArn"]) as arn:
            await self._run_blocking(self._store.remove_tags, arn, params["TagKeys"])
        return {}

    async def list(self, caller: Caller, params: Params) -> Output:
        """List the tags of a resource."""
        with _refusals(caller, params["ResourceArn"]) as arn:
            return {"Tags": await self._run_blocking(self._store.tags, arn)}


@contextmanager
def _refusals(caller: Caller, arn: str) -> Iterator[str]:
    found = _ARN.fullmatch(arn)
    if not found:
        raise invalid_parameter("ResourceArn is not the ARN of a Rekognition resource.")
    if found[1] != caller.account_id:
        raise resource_not_found(arn)
    try:
        yield arn
    except NotFoundError as error:
        raise resource_not_found(arn) from error
    except LimitError as error:
        raise tag_quota(error.limit) from error
