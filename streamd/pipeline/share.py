"""Who runs what: the policy by which workers share sessions. Pure: from a picture to a plan.

Every worker draws the same picture from the store and makes the same plan, then does its own
part of it: nobody is in charge, and nobody waits for another to decide.

**Load** is in analysis threads. That of a session is what it was measured to keep busy, the
mean of the measured ones until then; each video stream a worker reads adds ``STREAM_LOAD`` for
its connection and memory. A worker's fair share of the whole goes by its threads.

**Streams stay together.** The sessions of one video stream that one worker runs are a *part*:
it moves as a whole, and a new session joins the part of its stream unless that worker would have
clearly more than its share.

**Nothing goes to and fro.** A move, like a claim, must lower the sum over all workers of
load² / threads by a certain amount; that sum cannot fall for ever. Moves begin only when a worker
is clearly off its share, and then go on until the best one is not worth it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from streamd.store import LiveWorker, SpreadSession

__all__ = ["Move", "Picture", "StreamKey"]

StreamKey = tuple[str, str]
"""Account and ARN of a video stream."""

STREAM_LOAD = 0.05
TOLERANCE = 0.2
"""A worker this far off its share, and by more than half a mean part, is clearly off."""
WORTHWHILE = 0.5
"""What a move must gain: so much of the mean part, on the larger of the workers."""
MOVABLE_KIND = "face-search"
"""Label sessions take 120 s at most: they are over before their move has paid."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """All that one worker runs of one video stream goes to another."""

    owner: str
    to: str
    stream: StreamKey
    session_ids: tuple[str, ...]


@dataclass(kw_only=True)
class _Part:
    """The sessions of one video stream at one worker."""

    stream: StreamKey
    sessions: list[SpreadSession] = field(default_factory=list)
    load: float = STREAM_LOAD
    has_come: bool = False
    """By this plan: it moves no further."""


@dataclass(kw_only=True)
class _Seat:
    """A worker and what it runs, now or by plan."""

    worker: LiveWorker
    load: float = 0.0
    parts: dict[StreamKey, _Part] = field(default_factory=dict)
    session_count: int = 0

    @property
    def owner(self) -> str:
        return self.worker.place.owner

    @property
    def threads(self) -> int:
        return self.worker.place.threads

    @property
    def room(self) -> int:
        return self.worker.place.max_sessions - self.session_count

    def price(self, load: float) -> float:
        """Return what one more unit of load costs here, on the mean, while this much comes."""
        return (self.load + load / 2) / self.threads

    def saving(self, load: float) -> float:
        """Return the same for what goes."""
        return (self.load - load / 2) / self.threads

    def add(self, session: SpreadSession, load: float) -> None:
        stream = _stream_of(session)
        if stream not in self.parts:
            self.parts[stream] = _Part(stream=stream)
            self.load += STREAM_LOAD
        part = self.parts[stream]
        part.sessions.append(session)
        part.load += load
        self.load += load
        self.session_count += 1

    def take(self, part: _Part, giver: _Seat) -> None:
        del giver.parts[part.stream]
        giver.load -= part.load
        giver.session_count -= len(part.sessions)
        mine = self.parts.setdefault(part.stream, _Part(stream=part.stream, load=0.0))
        added = part.load - (STREAM_LOAD if mine.sessions else 0.0)
        mine.sessions += part.sessions
        mine.has_come = True
        mine.load += added
        self.load += added
        self.session_count += len(part.sessions)


class Picture:
    """The workers that live and what they run, at one moment; plans change nothing outside.

    Args:
        workers: Those that live.
        sessions: All, the oldest first.

    """

    def __init__(self, workers: Iterable[LiveWorker], sessions: Sequence[SpreadSession]) -> None:
        self._seats = {worker.place.owner: _Seat(worker=worker) for worker in workers}
        measured = [session.load for session in sessions if session.load is not None]
        self._usual = sum(measured) / len(measured) if measured else 0.0
        self.session_count = len(sessions)
        self.free = [session for session in sessions if session.owner is None]
        for session in sessions:
            if session.owner is None:
                continue
            # What is held by one that does not beat is neither free nor anybody's yet.
            seat = self._successor(session) or self._seats.get(session.owner)
            if seat is not None:
                seat.add(session, self._load_of(session))
        parts = [part.load for seat in self._seats.values() for part in seat.parts.values()]
        known = {stream for seat in self._seats.values() for stream in seat.parts}
        new = {_stream_of(session) for session in self.free} - known
        self._total = (
            sum(parts)
            + STREAM_LOAD * len(new)
            + sum(self._load_of(session) for session in self.free)
        )
        self._mean_part = self._total / max(1, len(parts) + len(new))
        self._threads = sum(seat.threads for seat in self._seats.values())

    @property
    def worker_count(self) -> int:
        """How many workers live."""
        return len(self._seats)

    def claims(self, owner: str) -> list[str]:
        """Return the ids of the free sessions that this worker is to take, oldest first."""
        mine: list[str] = []
        for session in self.free:
            seat = self._seat_for(session)
            if seat is None:
                continue
            seat.add(session, self._load_of(session))
            if seat.owner == owner:
                mine.append(session.session_id)
        return mine

    def is_uneven(self) -> bool:
        """Return whether a worker is clearly off its share."""
        return any(
            abs(seat.load - self._share(seat)) > self._tolerance(seat, least=WORTHWHILE)
            for seat in self._seats.values()
        )

    def moves(
        self, *, lease_seconds: float = 0.0, staying: Collection[str] = frozenset()
    ) -> list[Move]:
        """Return the moves that make the shares even, the most telling first.

        Args:
            lease_seconds: Nothing goes to workers without a beat for half of it.
            staying: Ids of sessions that are not to move now.

        """
        moves: list[Move] = []
        givers = list(self._seats.values())
        takers = [s for s in givers if s.worker.remaining_seconds >= lease_seconds / 2]
        while (found := self._best_move(givers, takers, staying)) is not None:
            giver, part, taker = found
            taker.take(part, giver)
            moves.append(
                Move(
                    owner=giver.owner,
                    to=taker.owner,
                    stream=part.stream,
                    session_ids=tuple(session.session_id for session in part.sessions),
                )
            )
        return moves

    def _load_of(self, session: SpreadSession) -> float:
        return self._usual if session.load is None else session.load

    def _share(self, seat: _Seat) -> float:
        return self._total * seat.threads / self._threads

    def _tolerance(self, seat: _Seat, *, least: float) -> float:
        return max(least * self._mean_part, TOLERANCE * self._share(seat))

    def _successor(self, session: SpreadSession) -> _Seat | None:
        return None if session.successor is None else self._seats.get(session.successor)

    def _seat_for(self, session: SpreadSession) -> _Seat | None:
        successor = self._successor(session)
        if successor is not None and successor.room > 0:
            return successor  # or it would be somebody else's plan
        seats = [seat for seat in self._seats.values() if seat.room > 0]
        if not seats:
            return None
        stream, load = _stream_of(session), self._load_of(session)
        for seat in seats:
            limit = self._share(seat) + self._tolerance(seat, least=1.0)
            if stream in seat.parts and seat.load + load <= limit:
                return seat
        return min(seats, key=lambda seat: (seat.price(STREAM_LOAD + load), seat.owner))

    def _best_move(
        self, givers: list[_Seat], takers: list[_Seat], staying: Collection[str]
    ) -> tuple[_Seat, _Part, _Seat] | None:
        for giver in sorted(givers, key=lambda s: (-s.saving(0.0), s.owner)):
            for taker in sorted(takers, key=lambda s: (s.price(0.0), s.owner)):
                if part := self._best_part(giver, taker, staying):
                    return giver, part, taker
        return None

    def _best_part(self, giver: _Seat, taker: _Seat, staying: Collection[str]) -> _Part | None:
        """Return the part whose move gains most for each session that is disturbed."""
        least = WORTHWHILE * self._mean_part / max(giver.threads, taker.threads)
        if giver is taker or giver.saving(0.0) - taker.price(0.0) <= least:
            return None
        best, best_worth = None, 0.0
        for part in giver.parts.values():
            if len(part.sessions) > taker.room or not _may_move(part, staying):
                continue
            comes = part.load - (STREAM_LOAD if part.stream in taker.parts else 0.0)
            gain = giver.saving(part.load) - taker.price(comes)
            worth = gain * part.load / len(part.sessions)
            if gain > least and worth > best_worth:
                best, best_worth = part, worth
        return best


def _stream_of(session: SpreadSession) -> StreamKey:
    return session.account_id, session.input_arn or session.session_id


def _may_move(part: _Part, staying: Collection[str]) -> bool:
    return not part.has_come and all(
        session.kind == MOVABLE_KIND
        and not session.stop_requested
        and session.successor is None
        and session.session_id not in staying
        for session in part.sessions
    )
