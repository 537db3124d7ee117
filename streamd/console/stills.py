"""The newest picture of a video stream, decoded in a process of its own.

The control process decodes nothing: video may be made to crash a decoder. A picture costs the
start of an interpreter, so it is kept for some seconds and few are made at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from streamd.gateway.view import Clip
from streamd.resources import VideoStream

__all__ = ["STILL", "Still", "Stills"]

logger = logging.getLogger(__name__)

STILL: Final = (sys.executable, "-m", "streamd.ingest.still")
"""The command that makes one: a clip on its input, a JPEG on its output."""
AT_ONCE: Final = 2
MAKE_SECONDS: Final = 20.0
KEEP_SECONDS: Final = 5.0
_MAX_KEPT: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Still:
    """One picture."""

    server_ms: int
    """When its fragment began to arrive."""
    jpeg: bytes


class Stills:
    """Makes and keeps pictures.

    Args:
        newest_clip: Gives the video.
        monotonic: The time.
        command: For tests.

    """

    def __init__(
        self,
        newest_clip: Callable[[VideoStream], Awaitable[Clip | None]],
        *,
        monotonic: Callable[[], float],
        command: Sequence[str] = STILL,
    ) -> None:
        self._newest_clip = newest_clip
        self._monotonic = monotonic
        self._command = command
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._kept: dict[str, tuple[float, Still]] = {}

    async def newest(self, stream: VideoStream) -> Still | None:
        """Return a picture of the stream's newest fragment; ``None`` where none can be had."""
        async with self._turns:
            kept = self._kept.get(stream.arn)
            if kept is not None and self._monotonic() - kept[0] < KEEP_SECONDS:
                return kept[1]
            clip = await self._newest_clip(stream)
            if clip is None:
                return None
            if kept is not None and kept[1].server_ms == clip.server_ms:
                return kept[1]  # nothing has come since
            jpeg = await self._make(clip.body, stream)
            if jpeg is None:
                return None
            still = Still(server_ms=clip.server_ms, jpeg=jpeg)
            self._kept.pop(stream.arn, None)
            self._kept[stream.arn] = (self._monotonic(), still)
            if len(self._kept) > _MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            return still

    async def _make(self, clip: bytes, stream: VideoStream) -> bytes | None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(MAKE_SECONDS):
                jpeg, said = await process.communicate(clip)
        except TimeoutError:
            jpeg, said = b"", b"it took too long"
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode or not jpeg:
            reason = said.decode(errors="replace").strip().rpartition("\n")[2][:500]
            logger.warning("no still: %s", reason, extra={"stream": stream.name})
            return None
        return jpeg
