"""The control plane: streams made, described, changed, deleted, tagged; where the data goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from streamd.access import identity_of
from streamd.clock import Clock
from streamd.config import AwsSettings
from streamd.gateway.door import RunBlocking
from streamd.gateway.homes import Homes
from streamd.gateway.http import Call
from streamd.gateway.limits import CallRate
from streamd.gateway.live import LiveStreams
from streamd.gateway.tokens import read_stream_token, stream_token
from streamd.protocol.errors import ServiceError
from streamd.resources import VideoStream
from streamd.store import Store

__all__ = ["Control", "find_stream"]

# "Kinesis Video Streams service quotas".
MAX_STREAMS: Final = 10_000
MAX_RETENTION_HOURS: Final = 87_600
DEFAULT_MAX_RESULTS: Final = 10_000
STATUS_ACTIVE: Final = "ACTIVE"
STORAGE_TIER: Final = "HOT"
RESERVED_TAG_PREFIX: Final = "aws:"

_Values = Mapping[str, Any]


async def find_stream(
    store: Store,
    run_blocking: RunBlocking,
    aws: AwsSettings,
    request: web.Request,
    values: _Values,
) -> VideoStream:
    """Return the stream of the caller's account that a request names.

    Raises:
        ServiceError: ``InvalidArgumentException`` if it names none.
        NotFoundError: If there is no such stream.

    """
    account_id = identity_of(request, aws).account_id
    name, arn = _named(values)
    return await run_blocking(lambda: store.video_stream(account_id, name=name, arn=arn))


class Control:
    """The operations of ``kinesisvideo`` that are served, by name."""

    def __init__(
        self,
        *,
        store: Store,
        aws: AwsSettings,
        clock: Clock,
        run_blocking: RunBlocking,
        live: LiveStreams,
        calls: CallRate,
        homes: Homes,
        public_url: str | None,
        on_deleted: Callable[[VideoStream], Awaitable[None]],
    ) -> None:
        self._store = store
        self._aws = aws
        self._clock = clock
        self._run = run_blocking
        self._live = live
        self._calls = calls
        self._homes = homes
        self._public_url = public_url
        self._on_deleted = on_deleted
        self.operations: dict[str, Call] = {
            "CreateStream": self._create,
            "DescribeStream": self._describe,
            "ListStreams": self._list,
            "DeleteStream": self._delete,
            "UpdateStream": self._update,
            "UpdateDataRetention": self._update_retention,
            "GetDataEndpoint": self._data_endpoint,
            "TagStream": self._tag,
            "UntagStream": self._untag,
            "ListTagsForStream": self._list_tags,
            # Made for signaling channels; with the ARN of a stream they do the same.
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
            "DescribeStreamStorageConfiguration": self._describe_storage,
            "UpdateStreamStorageConfiguration": self._update_storage,
        }

    async def _create(self, request: web.Request, values: _Values, _id: str) -> _Values:
        name = values["StreamName"]
        _check_storage(values)
        tags = _checked_tags(values.get("Tags", {}))
        hours = _checked_hours(values.get("DataRetentionInHours", 0))
        account_id = identity_of(request, self._aws).account_id
        created_ms = int(self._clock.epoch() * 1000)
        arn = f"arn:aws:kinesisvideo:{self._aws.region}:{account_id}:stream/{name}/{created_ms}"
        stream = await self._run(
            lambda: self._store.create_video_stream(
                account_id=account_id,
                name=name,
                arn=arn,
                tags=tags,
                limit=MAX_STREAMS,
                data_retention_hours=hours,
                device_name=values.get("DeviceName"),
                media_type=values.get("MediaType"),
                kms_key_id=values.get("KmsKeyId"),
                home=self._homes.own_id,
            )
        )
        return {"StreamARN": stream.arn}

    async def _describe(self, request: web.Request, values: _Values, _id: str) -> _Values:
        return {"StreamInfo": self._info(await self._find(request, values, "DescribeStream"))}

    async def _list(self, request: web.Request, values: _Values, _id: str) -> _Values:
        limit = values.get("MaxResults", DEFAULT_MAX_RESULTS)
        prefix = values.get("StreamNameCondition", {}).get("ComparisonValue", "")
        after = read_stream_token(values.get("NextToken"))
        account_id = identity_of(request, self._aws).account_id
        found = await self._run(
            lambda: self._store.list_video_streams(
                account_id, prefix=prefix, after=after, limit=limit + 1
            )
        )
        output: dict[str, Any] = {
            "StreamInfoList": [self._info(stream) for stream in found[:limit]]
        }
        if len(found) > limit:
            output["NextToken"] = stream_token(found[limit - 1].name)
        return output

    async def _delete(self, request: web.Request, values: _Values, _id: str) -> _Values:
        account_id = identity_of(request, self._aws).account_id
        deleted = await self._run(
            lambda: self._store.delete_video_stream(
                account_id,
                arn=values["StreamARN"],
                expected_version=values.get("CurrentVersion"),
            )
        )
        await self._on_deleted(deleted)
        return {}

    async def _update(self, request: web.Request, values: _Values, _id: str) -> _Values:
        changed = {
            field: values[member]
            for member, field in (("DeviceName", "device_name"), ("MediaType", "media_type"))
            if member in values
        }
        await self._change(request, values, lambda stream: stream.model_copy(update=changed))
        return {}

    async def _update_retention(self, request: web.Request, values: _Values, _id: str) -> _Values:
        change = values["DataRetentionChangeInHours"]
        if values["Operation"] == "DECREASE_DATA_RETENTION":
            change = -change

        def changed(stream: VideoStream) -> VideoStream:
            hours = _checked_hours(stream.data_retention_hours + change)
            return stream.model_copy(update={"data_retention_hours": hours})

        stream = await self._change(request, values, changed)
        live = self._live.get(stream.arn)
        if live is not None:
            live.retention_hours = stream.data_retention_hours
        return {}

    async def _data_endpoint(self, request: web.Request, values: _Values, _id: str) -> _Values:
        stream = await self._find(request, values, "GetDataEndpoint")
        # As the client called us: right behind any name or port mapping that it came through.
        here = self._public_url or f"{request.scheme}://{request.host}"
        url = await self._homes.endpoint(stream, api_name=values["APIName"], here=here)
        return {"DataEndpoint": url.rstrip("/")}

    async def _tag(self, request: web.Request, values: _Values, _id: str) -> _Values:
        stream = await self._find(request, values, "TagStream")
        # TagStream takes a map, TagResource a list.
        tags = values["Tags"]
        if not isinstance(tags, Mapping):
            tags = {tag["Key"]: tag["Value"] for tag in tags}
        await self._run(self._store.add_tags, stream.arn, _checked_tags(tags))
        return {}

    async def _untag(self, request: web.Request, values: _Values, _id: str) -> _Values:
        stream = await self._find(request, values, "UntagStream")
        await self._run(self._store.remove_tags, stream.arn, values["TagKeyList"])
        return {}

    async def _list_tags(self, request: web.Request, values: _Values, _id: str) -> _Values:
        if values.get("NextToken"):  # 50 tags are one page: there is no token of ours
            raise ServiceError("InvalidArgumentException", "NextToken is not valid.")
        stream = await self._find(request, values, "ListTagsForStream")
        return {"Tags": await self._run(self._store.tags, stream.arn)}

    async def _describe_storage(self, request: web.Request, values: _Values, _id: str) -> _Values:
        stream = await self._find(request, values, "DescribeStreamStorageConfiguration")
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStorageConfiguration": {"DefaultStorageTier": STORAGE_TIER},
        }

    async def _update_storage(self, request: web.Request, values: _Values, _id: str) -> _Values:
        _check_storage(values)
        await self._change(request, values, lambda stream: stream)
        return {}

    async def _find(self, request: web.Request, values: _Values, operation: str) -> VideoStream:
        stream = await find_stream(self._store, self._run, self._aws, request, values)
        self._calls.check(operation, stream.arn)
        return stream

    async def _change(
        self, request: web.Request, values: _Values, change: Callable[[VideoStream], VideoStream]
    ) -> VideoStream:
        account_id = identity_of(request, self._aws).account_id
        name, arn = _named(values)
        return await self._run(
            lambda: self._store.update_video_stream(
                account_id,
                name=name,
                arn=arn,
                expected_version=values["CurrentVersion"],
                change=change,
            )
        )

    def _info(self, stream: VideoStream) -> dict[str, Any]:
        # Without a key of their own AWS's streams use the service's.
        own_key = f"arn:aws:kms:{self._aws.region}:{stream.account_id}:alias/aws/kinesisvideo"
        return {
            "DeviceName": stream.device_name,
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "MediaType": stream.media_type,
            "KmsKeyId": stream.kms_key_id or own_key,
            "Version": stream.version,
            "Status": STATUS_ACTIVE,
            "CreationTime": stream.created_at,
            "DataRetentionInHours": stream.data_retention_hours,
        }


def _named(values: _Values) -> tuple[str | None, str | None]:
    name, arn = values.get("StreamName"), values.get("StreamARN", values.get("ResourceARN"))
    if name is None and arn is None:
        raise ServiceError(
            "InvalidArgumentException", "Either StreamName or StreamARN must be specified."
        )
    return name, arn


def _check_storage(values: _Values) -> None:
    """Refuse a tier there is not: fragments lie on one disk."""
    tier = values.get("StreamStorageConfiguration", {}).get("DefaultStorageTier", STORAGE_TIER)
    if tier != STORAGE_TIER:
        raise ServiceError(
            "InvalidArgumentException",
            f"DefaultStorageTier {tier} is not available: streamd stores all video {STORAGE_TIER}.",
        )


def _checked_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    for key in tags:
        # "Tag naming limits and requirements", AWS General Reference.
        if key.lower().startswith(RESERVED_TAG_PREFIX):
            raise ServiceError(
                "InvalidArgumentException",
                f"Tag key {key} is not valid: keys must not begin with {RESERVED_TAG_PREFIX}",
            )
    return tags


def _checked_hours(hours: int) -> int:
    if not 0 <= hours <= MAX_RETENTION_HOURS:
        raise ServiceError(
            "InvalidArgumentException",
            f"Data retention of {hours} hours is not valid: "
            f"it must be between 0 and {MAX_RETENTION_HOURS}.",
        )
    return hours
