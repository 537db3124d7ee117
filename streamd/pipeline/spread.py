"""One worker's part in sharing the work: what it claims and what it gives up, and when.

The plan itself is in ``share``; here is what of it lies in time: how long free sessions are left
to those they are meant for, and how long shares must be uneven before anything moves. Blocking:
runs on the store's threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from streamd.pipeline.share import Move, Picture
from streamd.store import LiveWorker, Store, WorkerPlace

__all__ = ["WorkSpreader"]

PATIENCE_SECONDS = 1.5
"""What those it is meant for have not claimed by then, anybody takes. It is longer than a poll."""
IMPATIENT_CLAIMS = 4
"""So that several who lost patience share what is left."""
MOVES_AT_ONCE = 2
"""For each worker, those of all together."""
MOVES_AT_ONCE_OF = 10
"""One in so many sessions moves at once, where that is more."""
LOOKS_BEFORE_MOVES = 2
"""Uneven at one look may be somebody's claim half-way."""


class WorkSpreader:
    """Decides for one worker, from what the store says of all."""

    def __init__(
        self,
        *,
        place: WorkerPlace,
        store: Store,
        lease_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = place
        self._store = store
        self._lease_seconds = lease_seconds
        self._monotonic = monotonic
        self._free_since: dict[str, float] = {}
        self._uneven_looks = 0

    def to_claim(self, room: int) -> list[str]:
        """Return the ids of the sessions to claim now, at most ``room``."""
        if room <= 0 or not self._store.has_free_sessions(lease_seconds=self._lease_seconds):
            self._free_since.clear()
            return []
        picture = self._picture(self._store.live_workers(lease_seconds=self._lease_seconds))
        now = self._monotonic()
        free = [session.session_id for session in picture.free]
        self._free_since = {sid: self._free_since.get(sid, now) for sid in free}
        overdue = [sid for sid in free if now - self._free_since[sid] >= PATIENCE_SECONDS]
        chosen = [*picture.claims(self.place.owner), *overdue[:IMPATIENT_CLAIMS]]
        return list(dict.fromkeys(chosen))[:room]

    def to_release(self, staying: Collection[str]) -> list[Move]:
        """Return what to give up now, a few at a time; whom for is in the store.

        Args:
            staying: Ids of the sessions here that have come just now.

        """
        workers = self._store.live_workers(lease_seconds=self._lease_seconds)
        if len(workers) < 2:
            return []  # alone: the sessions need not be read
        picture = self._picture(workers)
        if picture.free:
            return []  # something is on its way
        if self._uneven_looks < LOOKS_BEFORE_MOVES:
            self._uneven_looks = self._uneven_looks + 1 if picture.is_uneven() else 0
        if self._uneven_looks < LOOKS_BEFORE_MOVES:
            return []
        # Once begun, even beyond what it takes to begin: the limit would else be the result.
        moves = picture.moves(lease_seconds=self._lease_seconds, staying=staying)
        if not moves:
            self._uneven_looks = 0
        # The first ones of all: later ones may be worth it only after these.
        few = max(MOVES_AT_ONCE * picture.worker_count, picture.session_count // MOVES_AT_ONCE_OF)
        mine = [move for move in moves[:few] if move.owner == self.place.owner]
        for move in mine:
            self._store.name_successor(move.owner, move.session_ids, move.to)
        return mine

    def _picture(self, workers: Sequence[LiveWorker]) -> Picture:
        return Picture(workers, self._store.spread_sessions(lease_seconds=self._lease_seconds))
