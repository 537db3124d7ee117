"""What a session tells the store: statuses, how far it is delivered, and what there is to say.

Every write names the session's epoch, so that a holder whose lease has ended writes nothing:
each method raises ``StaleEpochError`` then, and ``StoreUnavailableError`` while the store is away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from streamd.lifecycle import Event, Status
from streamd.pipeline.feed import StreamFeed
from streamd.pipeline.pace import FULL_PACE
from streamd.pipeline.parts import SessionParts
from streamd.pipeline.source import stream_name_of
from streamd.store import ClaimedSession

__all__ = ["SessionReporter"]

logger = logging.getLogger(__name__)

NO_MEDIA_NOTICE_SECONDS = 10.0


class SessionReporter:
    """Speaks to the store for one session."""

    def __init__(self, claim: ClaimedSession, parts: SessionParts) -> None:
        self._session = claim.session
        self._processor = claim.processor
        self._parts = parts
        self.status: Status = claim.processor.status
        """The stream processor's, as far as this session has brought it about or was told."""
        self.delivered: str | None = None
        """Number of the last fragment whose results have all arrived."""
        self._checkpointed: str | None = None
        # What DescribeStreamProcessor should say, the gravest first, and what it says.
        self.shortage: str | None = None
        self.trouble: str | None = None
        self.notice: str | None = None
        self._said: str | None = None
        self.log = {
            "stream_processor": claim.processor.name,
            "session": claim.session.session_id,
        }
        """Fields of every log line about this session."""

    async def report(self, event: Event, message: str | None = None) -> None:
        """Bring the stream processor's next status about."""
        before = self.status
        after = await self._parts.run_blocking(
            lambda: self._parts.store.report(
                self._session.session_id, self._session.epoch, event, status_message=message
            )
        )
        if after is not before:
            self._parts.metrics.status_changes.labels(before, after).inc()
            logger.info(
                "%s -> %s", before, after, extra={**self.log, "status_message": message or ""}
            )
            self.status = after

    async def checkpoint(self) -> None:
        """Write down how far results have arrived, if that is news."""
        if self.delivered != self._checkpointed:
            delivered = self.delivered
            await self._store(self._parts.store.checkpoint, delivered)
            self._checkpointed = delivered

    async def release(self) -> None:
        """Leave the session for another process to claim at once."""
        await self._store(self._parts.store.release_session)
        logger.info("session handed over", extra=self.log)

    async def say(self, feed: StreamFeed | None) -> None:
        """Write down what there is to say as StatusMessage, if that is news.

        Args:
            feed: The feed the session sits at, if any.

        """
        if feed is not None and feed.has_brought_media:
            self.shortage = None
        message = (
            self.shortage or self.trouble or self._silence(feed) or _overload(feed) or self.notice
        )
        if message != self._said:
            if message is not None:
                logger.info("%s", message, extra=self.log)
            await self._store(self._parts.store.set_status_message, message)
            self._said = message

    def _silence(self, feed: StreamFeed | None) -> str | None:
        if feed is None or feed.silent_seconds < NO_MEDIA_NOTICE_SECONDS:
            return None
        stream = stream_name_of(self._processor.definition.input_arn)
        reason = f" ({feed.trouble})" if feed.trouble else ""
        return f"No media is arriving on stream {stream}; waiting for it{reason}"

    async def _store(self, call: Callable[..., Any], *args: object) -> None:
        await self._parts.run_blocking(call, self._session.session_id, self._session.epoch, *args)


def _overload(feed: StreamFeed | None) -> str | None:
    if feed is None or feed.pace is FULL_PACE:
        return None
    if feed.pace.keyframes_only:
        return "Analysing keyframes only: there is more live video than this machine can analyse"
    percent = round(100 * feed.pace.share)
    return f"Analysing {percent} % of the frames: there is more live video than this machine can"
