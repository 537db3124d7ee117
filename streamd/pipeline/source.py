"""Reading one video stream without end: GetMedia called again and again, no gap, no repeat.

AWS ends a GetMedia answer after 40 to 45 minutes, and some seconds after the producer has
gone; neither is an error. The next call goes on after the last fragment that came whole.
A fragment that was cut off is read again from its start; the analysis passes over the frames
whose results it has made already.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamd.ingest.errors import (
    AccessDeniedError,
    MediaRejectedError,
    MediaUnavailableError,
    RoleDeniedError,
    StreamNotFoundError,
)
from streamd.ingest.getmedia import KinesisVideoClient
from streamd.kvs import numbers
from streamd.kvs.ebml import CutOffError, MkvError
from streamd.kvs.fragments import (
    FragmentEnded,
    FragmentEvent,
    FragmentReader,
    FragmentStarted,
    StreamError,
)
from streamd.pipeline.errors import SessionFailedError
from streamd.resources import StartRequest
from streamd.roles import ROLE_DENIED

__all__ = ["MediaSource", "Opened", "ReadEnded", "SourceEvent", "stream_name_of"]

logger = logging.getLogger(__name__)

FRAGMENT_NOT_FOUND = 4000
"""Error tag of GetMedia: the fragment asked for is not there (or no longer)."""
MAX_TRIES_OF_A_FRAGMENT = 3
"""A fragment that was damaged or cut off this often is passed over, counted, and logged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """GetMedia has answered: from now on nothing that arrives is missed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadEnded:
    """One GetMedia answer is over; the next call goes on where it ended."""

    fragments: int
    """How many came whole."""
    error: str | None = None
    """What cut it off; ``None`` for a normal end."""
    damaged: bool = False
    """The media itself was at fault."""


SourceEvent = FragmentEvent | Opened | ReadEnded


class MediaSource:
    """Where to read next, and the reading of one GetMedia answer at a time."""

    def __init__(
        self,
        *,
        client: KinesisVideoClient,
        stream_arn: str,
        account_id: str | None = None,
        role_arn: str | None = None,
        start: StartRequest,
        after_fragment: str | None,
        started_at: datetime,
        resumed: bool,
        log: Mapping[str, str],
    ) -> None:
        """Begin where the session is to begin, or after the fragment it had come to.

        Args:
            client: Asks Kinesis Video.
            stream_arn: The stream.
            account_id: Account whose stream it is.
            role_arn: Role to be assumed for reading.
            start: StartSelector of the session.
            after_fragment: Number of the last fragment that was analysed whole.
            started_at: When the session was started.
            resumed: The session had opened the stream before.
            log: Fields of every log line about the session.

        """
        self._log = log
        self._client = client
        self._stream_arn = stream_arn
        self._account_id = account_id
        self._role_arn = role_arn
        self._start = start
        self._after = after_fragment
        self._current: str | None = None
        self._tries = 0
        # A call that brought nothing must not leave a hole before the next one.
        self._opened_at: datetime | None = started_at if resumed else None

    def selector(self) -> dict[str, Any]:
        """Return the StartSelector of the next GetMedia call."""
        if self._after is not None:
            return {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": self._after}
        if self._start.fragment_number is not None:
            # The session includes the fragment it is told to start at; GetMedia starts after.
            before = numbers.previous_number(self._start.fragment_number)
            return {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": before}
        if self._start.producer_timestamp_ms is not None:
            return {
                "StartSelectorType": "PRODUCER_TIMESTAMP",
                "StartTimestamp": self._start.producer_timestamp_ms / 1000,
            }
        if self._opened_at is not None:
            return {
                "StartSelectorType": "SERVER_TIMESTAMP",
                "StartTimestamp": self._opened_at.timestamp(),
            }
        return {"StartSelectorType": "NOW"}

    async def read(self) -> AsyncGenerator[Sequence[SourceEvent]]:
        """Call GetMedia once and yield what it brings, ending with :class:`ReadEnded`.

        What came together is given out together.

        Raises:
            SessionFailedError: If the stream does not exist or may not be read.

        """
        fragments = 0
        try:
            async with self._client.get_media(
                self._stream_arn,
                self.selector(),
                account_id=self._account_id,
                role_arn=self._role_arn,
            ) as media:
                if self._opened_at is None:
                    self._opened_at = media.server_date
                yield [Opened()]
                reader = FragmentReader()
                async with aclosing(media.chunks()) as chunks:
                    async for chunk in chunks:
                        if events := reader.feed(chunk):
                            fragments += sum(map(self._note, events))
                            yield events
                reader.close()
        except StreamNotFoundError:
            name = stream_name_of(self._stream_arn)
            raise SessionFailedError(f"Stream {name} doesn't exist") from None
        except RoleDeniedError as error:
            logger.warning("the role cannot be assumed: %s", error, extra=self._log)
            raise SessionFailedError(ROLE_DENIED) from error
        except AccessDeniedError as error:
            logger.warning("the video stream may not be read: %s", error, extra=self._log)
            raise SessionFailedError("Access denied to Kinesis Video") from error
        except MediaRejectedError as error:
            raise SessionFailedError(f"Kinesis Video refuses the request: {error}") from error
        except CutOffError as error:
            self._note_bad_fragment()
            yield [ReadEnded(fragments=fragments, error=str(error))]
        except MkvError as error:
            self._note_bad_fragment()
            yield [ReadEnded(fragments=fragments, error=str(error), damaged=True)]
        except MediaUnavailableError as error:
            yield [ReadEnded(fragments=fragments, error=str(error))]
        else:
            yield [ReadEnded(fragments=fragments)]

    def _note(self, event: FragmentEvent) -> int:
        if isinstance(event, FragmentStarted):
            self._current = event.fragment.number
        elif isinstance(event, FragmentEnded):
            self._after, self._current, self._tries = event.fragment.number, None, 0
            return 1
        elif isinstance(event, StreamError) and event.error_id == FRAGMENT_NOT_FOUND:
            self._lost_place()
        return 0

    def _lost_place(self) -> None:
        if self._after is None and self._start.fragment_number is not None:
            # A service that wants an existing number: go on after the one that was named.
            self._after = self._start.fragment_number
        elif self._after is not None:
            # Retention took it: go on with the oldest there is.
            extra = {**self._log, "fragment": self._after}
            logger.warning("fragments are gone from the stream", extra=extra)
            self._after, self._opened_at = None, datetime.fromtimestamp(0, UTC)
            self._start = StartRequest()

    def _note_bad_fragment(self) -> None:
        self._tries += 1
        if self._current is not None and self._tries >= MAX_TRIES_OF_A_FRAGMENT:
            extra = {**self._log, "fragment": self._current}
            logger.warning("fragment passed over: it cannot be read", extra=extra)
            self._after, self._current, self._tries = self._current, None, 0


def stream_name_of(stream_arn: str) -> str:
    """Return NAME of ``arn:aws:kinesisvideo:REGION:ACCOUNT:stream/NAME[/CREATION_MS]``."""
    return stream_arn.rpartition(":")[2].split("/")[1]
