"""Fragments on their way to S3: threads of their own, in order per stream, tried until it works."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from streamd.errors import StreamdError
from streamd.gateway.archive import StoredFragment
from streamd.retry import Backoff

__all__ = ["Uploads"]

logger = logging.getLogger(__name__)

THREADS: Final = 8
FIRST_DELAY_SECONDS: Final = 0.2
LONGEST_DELAY_SECONDS: Final = 15.0


@dataclass(eq=False)
class _Stream:
    waiting: deque[StoredFragment] = field(default_factory=deque)
    is_taken: bool = False
    """A thread is at its first fragment."""
    due: float = 0.0
    """Monotonic time of the next attempt."""
    backoff: Backoff = field(
        default_factory=lambda: Backoff(
            base_seconds=FIRST_DELAY_SECONDS, cap_seconds=LONGEST_DELAY_SECONDS
        )
    )


class Uploads:
    """Calls ``upload`` for every fragment, one at a time and in order for each stream.

    So what is in S3 of a stream has no hole that will be filled later, but after a kill.
    """

    def __init__(
        self,
        upload: Callable[[StoredFragment], None],
        *,
        on_attempt: Callable[[StreamdError | None], None],
        threads: int = THREADS,
    ) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            upload: Blocks; raises a ``StreamdError`` where it has to be tried again.
            on_attempt: Told of every attempt: its error, ``None`` if it worked.
            threads: Uploads at once.

        """
        self._upload = upload
        self._on_attempt = on_attempt
        self._changed = threading.Condition()
        self._streams: dict[int, _Stream] = {}
        self._stopping = False
        self._is_away = False
        self._threads = [
            # Daemons: one that hangs in a store that says nothing keeps no process alive.
            threading.Thread(target=self._run, name=f"archive-upload-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    @property
    def is_away(self) -> bool:
        """Whether the last attempt failed."""
        return self._is_away

    def count(self) -> int:
        """Return how many wait."""
        with self._changed:
            return sum(len(stream.waiting) for stream in self._streams.values())

    def add(self, fragment: StoredFragment) -> None:
        """Take a fragment; the caller sees to it that they come in order."""
        with self._changed:
            stream = self._streams.setdefault(fragment.place.stream_id, _Stream())
            stream.waiting.append(fragment)
            self._changed.notify_all()

    def discard(self, fragment: StoredFragment) -> bool:
        """Forget one that waits; returns False where it is on its way just now."""
        with self._changed:
            stream = self._streams.get(fragment.place.stream_id)
            if stream is None or fragment not in stream.waiting:
                return True
            if stream.is_taken and stream.waiting[0] == fragment:
                return False
            stream.waiting.remove(fragment)
            return True

    def discard_stream(self, stream_id: int) -> None:
        """Forget all of a stream; returns when none of them is on its way."""
        with self._changed:
            stream = self._streams.pop(stream_id, None)
            while stream is not None and stream.is_taken:
                stream.waiting = deque([stream.waiting[0]])
                self._changed.wait()

    def close(self, *, seconds: float) -> None:
        """End, after what works in this time; may be called twice."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while (
                any(stream.waiting for stream in self._streams.values())
                and not self._is_away
                and not self._stopping
                and (left := deadline - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (stream := self._take()) is not None:
            fragment = stream.waiting[0]
            error: StreamdError | None = None
            try:
                self._upload(fragment)
            except StreamdError as caught:
                error = caught
            except Exception as caught:
                # The wall of this thread: a mistake of ours must not end it.
                logger.exception("a fragment's upload broke", extra={"fragment": fragment.number})
                error = StreamdError(str(caught))
            self._on_attempt(error)
            self._put_back(stream, fragment, error)

    def _take(self) -> _Stream | None:
        """Return a stream whose first fragment is due; ``None`` at the end."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                ready = [s for s in self._streams.values() if s.waiting and not s.is_taken]
                stream = min(ready, key=lambda s: s.due, default=None)
                if stream is not None and stream.due <= now:
                    stream.is_taken = True
                    return stream
                self._changed.wait(stream.due - now if stream is not None else None)
            return None

    def _put_back(
        self, stream: _Stream, fragment: StoredFragment, error: StreamdError | None
    ) -> None:
        with self._changed:
            stream.is_taken = False
            self._is_away = error is not None
            if error is None:
                if stream.waiting and stream.waiting[0] == fragment:
                    stream.waiting.popleft()
                stream.backoff.reset()
                stream.due = time.monotonic()  # behind those that wait longer
            else:
                stream.due = time.monotonic() + stream.backoff.next_delay()
            self._changed.notify_all()
