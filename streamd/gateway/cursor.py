"""Where a consumer is in a stream: what it gets next, from the archive or live.

Positions are "after this number". A position is fixed by :func:`open_cursor` before the
consumer hears anything, so nothing that arrives later can be missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from streamd.clock import epoch_ms
from streamd.gateway.archive import StoredFragment, TimeOrigin
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.fragmenter import MAX_FRAGMENT_MS
from streamd.gateway.live import FragmentState, LiveFragment, LiveStream
from streamd.kvs.numbers import DIGITS, is_fragment_number, previous_number
from streamd.protocol.errors import ServiceError

__all__ = ["Cursor", "open_cursor"]

_Found = TypeVar("_Found", StoredFragment, LiveFragment)

BEFORE_ALL: Final = "0" * DIGITS
READ_AHEAD: Final = 16
"""Index rows fetched at once while a consumer works through the archive."""


class Cursor:
    """One consumer's position."""

    def __init__(self, *, door: ArchiveDoor, stream: LiveStream, after: str) -> None:
        self._door = door
        self._stream = stream
        self._after = after
        self._last: str | None = None
        self._ahead: deque[StoredFragment] = deque()
        # Set while the time asked for lies beyond all there is: earlier media is not wanted.
        self.not_before: tuple[TimeOrigin, int] | None = None

    @property
    def last(self) -> str | None:
        """Number of the fragment that came last; ``None`` before the first."""
        return self._last

    async def next(self) -> StoredFragment | LiveFragment | None:
        """Return what comes next and move behind it; ``None`` when there is nothing yet.

        Raises:
            ArchiveError: If the archive cannot be read.

        """
        while True:
            found = await self._next()
            if found is not None and not self._is_wanted(found):
                continue
            self._last = found.number if found is not None else self._last
            return found

    async def _next(self) -> StoredFragment | LiveFragment | None:
        if self._ahead:
            return self._moved(self._ahead.popleft())
        live = self._stream.after(self._after)
        # Nothing can lie between this position and what the stream says came right before.
        newest = live.previous if live is not None else self._stream.newest
        if newest is not None and newest > self._after:
            before = live.number if live is not None else None
            archive, stream_id, after = self._door.archive, self._stream.stream_id, self._after
            rows = await self._door.call(
                lambda: archive.after(stream_id, after, before=before, limit=READ_AHEAD)
            )
            if rows:
                self._ahead.extend(rows)
                return self._moved(self._ahead.popleft())
            # All up to there failed, was damaged, or is too old.
            self._after = newest
        if live is None or live.state is FragmentState.FAILED:
            return None
        if live.state is FragmentState.TORN:
            return None  # it will be found in the archive, made right
        return self._moved(live)

    def _moved(self, found: _Found) -> _Found:
        self._after = found.number
        return found

    def _is_wanted(self, fragment: StoredFragment | LiveFragment) -> bool:
        if self.not_before is None:
            return True
        origin, ms = self.not_before
        begins = fragment.server_ms if origin is TimeOrigin.SERVER else fragment.producer_ms
        # How long a live fragment will be is not known yet: as long as it may be.
        length = MAX_FRAGMENT_MS
        if isinstance(fragment, StoredFragment):
            ends = fragment.server_end_ms if origin is TimeOrigin.SERVER else begins
            length = max(fragment.length_ms, ends - begins)
        if begins + length <= ms:
            return False
        self.not_before = None
        return True


async def open_cursor(door: ArchiveDoor, stream: LiveStream, selector: Mapping[str, Any]) -> Cursor:
    """Return the position a StartSelector means.

    Raises:
        ServiceError: ``InvalidArgumentException`` if a member is missing or makes no sense.
        ArchiveError: If the archive cannot be read.

    """
    kind = selector["StartSelectorType"]
    if kind in (TimeOrigin.SERVER, TimeOrigin.PRODUCER):
        moment = _member(selector, "StartTimestamp")
        assert isinstance(moment, datetime), "the parser gives datetimes"
        return await _at_time(door, stream, TimeOrigin(kind), epoch_ms(moment))
    return Cursor(door=door, stream=stream, after=_after(stream, kind, selector))


def _after(stream: LiveStream, kind: str, selector: Mapping[str, Any]) -> str:
    newest = stream.newest or BEFORE_ALL
    if kind == "EARLIEST":
        return BEFORE_ALL
    if kind == "NOW":
        # The fragment in progress, from its beginning: it cannot be decoded from its middle.
        fragment = stream.open_fragment
        return previous_number(fragment.number) if fragment is not None else newest
    member = "AfterFragmentNumber" if kind == "FRAGMENT_NUMBER" else "ContinuationToken"
    number = _member(selector, member)
    if not is_fragment_number(number):
        raise ServiceError("InvalidArgumentException", f"{member} {number!r} is not valid.")
    # A number beyond the newest waits for what comes, whatever its number will be.
    return min(f"{int(number):0{DIGITS}d}", newest, key=int)


def _member(selector: Mapping[str, Any], name: str) -> Any:
    value = selector.get(name)
    if value is None:
        kind = selector["StartSelectorType"]
        raise ServiceError(
            "InvalidArgumentException", f"{name} is required when StartSelectorType is {kind}."
        )
    return value


async def _at_time(door: ArchiveDoor, stream: LiveStream, origin: TimeOrigin, ms: int) -> Cursor:
    archive, stream_id = door.archive, stream.stream_id

    def look() -> tuple[StoredFragment | None, StoredFragment | None]:
        # In this order: what is committed in between is newer than "newest" and still comes.
        newest = archive.newest(stream_id)
        return archive.at(stream_id, origin, ms), newest

    found, newest = await door.call(look)
    if found is not None:
        return Cursor(door=door, stream=stream, after=previous_number(found.number))
    cursor = Cursor(
        door=door, stream=stream, after=newest.number if newest is not None else BEFORE_ALL
    )
    cursor.not_before = (origin, ms)
    return cursor
