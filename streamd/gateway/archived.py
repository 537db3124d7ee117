"""Archived media: ListFragments and GetMediaForFragmentList."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from streamd.clock import epoch_ms, utc_from_epoch
from streamd.config import KinesisVideoSettings
from streamd.gateway.archive import StoredFragment, TimeOrigin
from streamd.gateway.chunks import (
    FRAGMENT_NOT_FOUND,
    INTERNAL_ERROR,
    exception_tags,
    listed_chunk_head,
)
from streamd.gateway.cursor import BEFORE_ALL
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.errors import ArchiveError, FragmentDamagedError, FragmentGoneError
from streamd.gateway.get_media import MEDIA_TYPE, Answer, ArchivedPieces
from streamd.gateway.http import Call, endless_response
from streamd.gateway.limits import CallRate, Connections, Pace
from streamd.gateway.tokens import FragmentPage, fragment_token, read_fragment_token
from streamd.kvs.numbers import DIGITS
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError
from streamd.resources import VideoStream

__all__ = ["ArchivedMedia"]

logger = logging.getLogger(__name__)

DEFAULT_MAX_RESULTS: Final = 100

_Values = Mapping[str, Any]


class ArchivedMedia:
    """The operations of ``kinesis-video-archived-media`` that are served, by name."""

    def __init__(
        self,
        *,
        door: ArchiveDoor,
        metrics: Metrics,
        settings: KinesisVideoSettings,
        calls: CallRate,
        find: Callable[[web.Request, _Values], Awaitable[VideoStream]],
    ) -> None:
        self._door = door
        self._settings = settings
        self._calls = calls
        self._connections = Connections(
            "GetMediaForFragmentList", settings.max_fragment_list_connections
        )
        self._find = find
        self._pieces = ArchivedPieces(door, metrics)
        self.operations: dict[str, Call] = {
            "ListFragments": self._list,
            "GetMediaForFragmentList": self._get_listed,
        }

    async def _list(self, request: web.Request, values: _Values, _id: str) -> _Values:
        stream = await self._retaining(request, values)
        page = _page(values, stream)
        limit = values.get("MaxResults", DEFAULT_MAX_RESULTS)
        archive = self._door.archive

        def find() -> list[StoredFragment]:
            stream_id = archive.stream_id(stream.arn)
            archive.refresh(stream_id)
            return archive.between(
                stream_id,
                page.origin,
                start_ms=page.start_ms,
                end_ms=page.end_ms,
                after=page.after,
                limit=limit + 1,
            )

        found = await self._door.read(find)
        output: dict[str, Any] = {"Fragments": [_described(item) for item in found[:limit]]}
        if len(found) > limit:
            output["NextToken"] = fragment_token(
                dataclasses.replace(page, after=found[limit - 1].number)
            )
        return output

    async def _get_listed(
        self, request: web.Request, values: _Values, request_id: str
    ) -> web.StreamResponse:
        stream = await self._retaining(request, values)
        self._calls.check("GetMediaForFragmentList", stream.arn)
        with self._connections.one(stream.arn):
            return await self._answer(request, values["Fragments"], stream, request_id)

    async def _answer(
        self, request: web.Request, numbers: list[str], stream: VideoStream, request_id: str
    ) -> web.StreamResponse:
        stream_id = await self._door.call(self._door.archive.stream_id, stream.arn)
        await self._door.read(self._door.archive.refresh, stream_id)
        response = endless_response(request, content_type=MEDIA_TYPE, request_id=request_id)
        answer = Answer(response, byte_pace=Pace(self._settings.max_get_media_bytes_per_second))
        try:
            await response.prepare(request)
            await self._send_listed(answer, stream_id, numbers)
            await response.write_eof()
        except ConnectionError:
            logger.debug("a consumer left", extra={"stream": stream.arn})
        except Exception:
            # The answer has begun: no error can be told any more, but it can end.
            logger.exception("GetMediaForFragmentList broke off", extra={"stream": stream.arn})
        return response

    async def _send_listed(self, answer: Answer, stream_id: int, numbers: list[str]) -> None:
        for number in numbers:
            error = await self._send_one(answer, stream_id, number)
            if error is not None:
                # "The error chunk ends the stream."
                code, message = error
                await answer.write_error(exception_tags(number, code=code, message=message))
                return

    async def _send_one(
        self, answer: Answer, stream_id: int, number: str
    ) -> tuple[int, str] | None:
        """Send a fragment; returns the code and message of what was in the way."""
        not_found = FRAGMENT_NOT_FOUND, "The requested fragment was not found."
        try:
            archive = self._door.archive
            fragment = await self._door.call(archive.find, stream_id, number.zfill(DIGITS))
            if fragment is None:
                return not_found
            await self._pieces.send(fragment, _head_of(fragment), answer)
        except (FragmentDamagedError, FragmentGoneError):
            return not_found
        except ArchiveError as error:
            logger.error("fragment cannot be read", extra={"error": str(error)})  # noqa: TRY400  # the reason is in the message
            return INTERNAL_ERROR, "An internal error occurred."
        answer.is_inside = False
        return None

    async def _retaining(self, request: web.Request, values: _Values) -> VideoStream:
        stream = await self._find(request, values)
        if not stream.data_retention_hours:
            # The model knows NoDataRetentionException, but not for these two operations.
            raise ServiceError(
                "InvalidArgumentException",
                f"The stream {stream.name} does not retain data: its DataRetentionInHours is 0.",
            )
        return stream


def _head_of(fragment: StoredFragment) -> Callable[[bytes], bytes]:
    def head(header: bytes) -> bytes:
        return listed_chunk_head(
            header,
            number=fragment.number,
            server_ms=fragment.server_ms,
            producer_ms=fragment.producer_ms,
        )

    return head


def _described(fragment: StoredFragment) -> dict[str, Any]:
    return {
        "FragmentNumber": fragment.number,
        "FragmentSizeInBytes": fragment.size,
        "ProducerTimestamp": utc_from_epoch(fragment.producer_ms / 1000),
        "ServerTimestamp": utc_from_epoch(fragment.server_ms / 1000),
        "FragmentLengthInMilliseconds": fragment.length_ms,
    }


def _page(values: _Values, stream: VideoStream) -> FragmentPage:
    """Return what is asked for: from the token of the last answer, else from the selector."""
    if values.get("NextToken"):
        return read_fragment_token(values["NextToken"], stream_arn=stream.arn)
    selector = values.get("FragmentSelector")
    if selector is None:
        raise ServiceError(
            "InvalidArgumentException", "FragmentSelector is required without NextToken."
        )
    span = selector["TimestampRange"]
    start_ms, end_ms = (epoch_ms(span[name]) for name in ("StartTimestamp", "EndTimestamp"))
    if start_ms > end_ms:
        raise ServiceError(
            "InvalidArgumentException", "StartTimestamp must not be later than EndTimestamp."
        )
    return FragmentPage(
        stream_arn=stream.arn,
        origin=TimeOrigin(selector["FragmentSelectorType"]),
        start_ms=start_ms,
        end_ms=end_ms,
        after=BEFORE_ALL,
    )
