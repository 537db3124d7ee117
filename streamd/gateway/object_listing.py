"""What is in S3 of a stream, brought into the index: the news often, everything now and then.

A listing costs a request for every thousand fragments, in the order of their numbers, which is
that of the time they arrived. So the news is what stands behind the newest known fragment, and
a margin before it, where another replica may have put what had waited there. What lies further
back is compared once an hour, and when a process first meets a stream it knows nothing of.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from streamd.aws import AwsError
from streamd.aws_s3 import Bucket
from streamd.clock import Clock
from streamd.gateway.archive import StoredFragment
from streamd.gateway.object_index import ObjectIndex
from streamd.gateway.object_keys import name_at, read_name

__all__ = ["ObjectListing"]

logger = logging.getLogger(__name__)

MARGIN_MS: Final = 10 * 60 * 1000
FRESH_SECONDS: Final = 1.0
"""A listing this young is good enough."""
PATIENCE_SECONDS: Final = 5.0
"""After a failure, as long as this nobody waits for another one."""
WHOLE_SECONDS: Final = 3600.0
"""Between two comparisons of everything."""


@dataclass(eq=False)
class _Stream:
    arn: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    listed_at: float = float("-inf")
    failed_at: float = float("-inf")
    whole_at: float = float("-inf")
    error: AwsError | None = None


class ObjectListing:
    """One per archive. Safe for threads: of one stream, one listing at a time."""

    def __init__(
        self,
        index: ObjectIndex,
        bucket: Bucket,
        *,
        key_prefix: Callable[[str], str],
        clock: Clock,
    ) -> None:
        """Prepare; nothing is listed yet.

        Args:
            index: That is filled.
            bucket: That is listed.
            key_prefix: Of a stream's objects, by its ARN.
            clock: For the age of listings.

        """
        self._index = index
        self._bucket = bucket
        self._key_prefix = key_prefix
        self._clock = clock
        self._lock = threading.Lock()
        self._streams: dict[int, _Stream] = {}

    def refresh(self, stream_id: int, arn: str) -> None:
        """Bring the news of a stream into the index; all of it where nothing is known.

        Raises:
            AwsError: If S3 cannot be asked.

        """
        with self._lock:
            stream = self._streams.setdefault(stream_id, _Stream(arn))
        with stream.lock:
            now = self._clock.monotonic()
            if now - stream.listed_at < FRESH_SECONDS:
                return
            if stream.error is not None and now - stream.failed_at < PATIENCE_SECONDS:
                raise stream.error
            try:
                self._adopt_news(stream_id, stream)
            except AwsError as error:
                stream.failed_at, stream.error = self._clock.monotonic(), error
                raise
            stream.listed_at, stream.error = self._clock.monotonic(), None

    def has_listed(self, stream_id: int) -> bool:
        """Whether all of a stream was known to this process once."""
        with self._lock:
            stream = self._streams.get(stream_id)
        return stream is not None and stream.listed_at > float("-inf")

    def forget(self, stream_id: int | None) -> None:
        """Forget a stream that was removed."""
        with self._lock:
            if stream_id is not None:
                self._streams.pop(stream_id, None)

    def reconcile_one(self, *, is_local: Callable[[StoredFragment], bool]) -> None:
        """Compare everything of the stream for which that is due the longest, if it is.

        Args:
            is_local: Whether a fragment has a file here: then its row stays without an object.

        Raises:
            AwsError: If S3 cannot be asked.

        """
        now = self._clock.monotonic()
        with self._lock:
            due = [
                (stream_id, stream)
                for stream_id, stream in self._streams.items()
                if now - stream.whole_at >= WHOLE_SECONDS
            ]
        if not due:
            return
        stream_id, stream = min(due, key=lambda item: item[1].whole_at)
        with stream.lock:
            self._compare(stream_id, stream, is_local)
            stream.whole_at = self._clock.monotonic()

    def _adopt_news(self, stream_id: int, stream: _Stream) -> None:
        newest = self._index.newest(stream_id)
        after = ""
        if newest is not None:
            # By what its number says; its server time may be another where a clock went back.
            known = name_at(min(newest.server_ms, int(self._clock.epoch() * 1000)) - MARGIN_MS)
            after = self._key_prefix(stream.arn) + min(known, newest.number)
        count = 0
        try:
            for page in self._pages(stream_id, stream.arn, after=after):
                count += self._index.adopt(page)
        except AwsError:
            if newest is None:
                # Half of a stream must not look like all of it.
                self._index.empty_stream(stream_id)
            raise
        if newest is None:
            stream.whole_at = self._clock.monotonic()
        if count:
            logger.info(
                "fragments of other replicas found in S3",
                extra={"stream": stream.arn, "count": count},
            )

    def _compare(
        self, stream_id: int, stream: _Stream, is_local: Callable[[StoredFragment], bool]
    ) -> None:
        before = ""
        last = self._index.newest(stream_id)
        for page in self._pages(stream_id, stream.arn):
            self._index.adopt(page)
            there = {fragment.number for fragment in page}
            self._forget_missing(stream_id, before, page[-1].number, there, is_local)
            before = page[-1].number
        if last is not None and last.number > before:
            self._forget_missing(stream_id, before, last.number, set(), is_local)

    def _forget_missing(
        self,
        stream_id: int,
        first: str,
        last: str,
        there: set[str],
        is_local: Callable[[StoredFragment], bool],
    ) -> None:
        gone = [
            fragment
            for fragment in self._index.within(stream_id, first, last)
            if fragment.number not in there and not is_local(fragment)
        ]
        if gone:
            self._index.forget(gone)

    def _pages(
        self, stream_id: int, arn: str, *, after: str = ""
    ) -> Iterator[list[StoredFragment]]:
        prefix = self._key_prefix(arn)
        for page in self._bucket.list(prefix, after=after):
            found = [
                read_name(listed.key.removeprefix(prefix), stream_id=stream_id) for listed in page
            ]
            if fragments := [fragment for fragment in found if fragment is not None]:
                yield fragments
