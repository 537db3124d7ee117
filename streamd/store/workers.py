"""Workers that live: how much each may run, and who runs what, for all of them to see alike.

A worker beats by the database's clock, in the transaction that renews its leases: what it is
said to run and that it lives are never of two opinions. One that does not beat any more is dead
when its leases have ended.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from streamd.store import schema
from streamd.store.database import Database, Repository

__all__ = [
    "LiveWorker",
    "SpreadSession",
    "WorkerPlace",
    "WorkerStore",
    "lease_ended",
    "write_beat",
]

_sessions = schema.sessions
_workers = schema.workers

LEASES_OF_ANOTHER_TIME = 10
"""A lease this many times as long as leases are was made by a clock that was ahead."""


@dataclass(frozen=True, kw_only=True)
class WorkerPlace:
    """What a worker process offers."""

    owner: str
    """As it claims sessions; nobody else's ever."""
    threads: int
    """Of its analysis: work is shared in proportion to them."""
    max_sessions: int


@dataclass(frozen=True, kw_only=True)
class LiveWorker:
    """A worker as the others know it."""

    place: WorkerPlace
    remaining_seconds: float
    """Without another beat it is dead after this time."""


@dataclass(frozen=True, kw_only=True)
class SpreadSession:
    """What of a session matters to those who share the work."""

    session_id: str
    account_id: str
    input_arn: str
    """The video stream it reads; empty if a version that did not say so started it."""
    kind: str
    created_at: float
    stop_requested: bool
    owner: str | None
    """Who holds it; ``None``: free to claim."""
    successor: str | None
    """Whom its holder gives it up, or has given it up, for."""
    load: float | None
    """Threads it keeps busy, as its last holders measured; ``None``: not known yet."""


class WorkerStore(Repository):
    """The workers that share the sessions."""

    def register_worker(self, place: WorkerPlace, *, lease_seconds: float) -> None:
        """Beat for the first time; rows of workers long dead go."""
        now = self._database.now()
        with self._database.write(durable=False) as connection:
            self._database.serialise(connection, "workers")  # rows are locked in no order
            connection.execute(
                sa.delete(_workers).where(
                    _workers.c.lease_until < now - LEASES_OF_ANOTHER_TIME * lease_seconds
                )
            )
            write_beat(connection, self._database, place, lease_seconds)

    def remove_worker(self, owner: str) -> None:
        """Take a worker that drains out of the count: what it frees is for the others."""
        with self._database.write(durable=False) as connection:
            connection.execute(sa.delete(_workers).where(_workers.c.owner == owner))

    def live_workers(self, *, lease_seconds: float) -> list[LiveWorker]:
        """Return the workers that beat, by name."""
        remaining = (_workers.c.lease_until - self._database.now()).label("remaining")
        query = (
            sa.select(_workers, remaining)
            .where(~lease_ended(_workers.c.lease_until, self._database, lease_seconds))
            .order_by(_workers.c.owner)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            LiveWorker(
                place=WorkerPlace(
                    owner=row.owner, threads=row.threads, max_sessions=row.max_sessions
                ),
                remaining_seconds=row.remaining,
            )
            for row in rows
        ]

    def spread_sessions(self, *, lease_seconds: float) -> list[SpreadSession]:
        """Return all sessions, the oldest first, with who holds each now."""
        columns = _sessions.c
        is_free = lease_ended(columns.lease_until, self._database, lease_seconds).label("is_free")
        query = sa.select(
            columns.session_id,
            columns.account_id,
            columns.input_arn,
            columns.kind,
            columns.created_at,
            columns.stop_requested,
            columns.owner,
            columns.successor,
            columns.load,
            is_free,
        ).order_by(columns.created_at, columns.session_id)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            SpreadSession(
                session_id=row.session_id,
                account_id=row.account_id,
                input_arn=row.input_arn,
                kind=row.kind,
                created_at=row.created_at,
                stop_requested=row.stop_requested,
                owner=None if row.is_free else row.owner,
                successor=row.successor,
                load=row.load,
            )
            for row in rows
        ]

    def name_successor(self, owner: str, session_ids: Collection[str], successor: str) -> None:
        """Say for whom a worker is about to give up sessions; those it has lost are left alone."""
        name = (
            sa.update(_sessions)
            .where(_sessions.c.owner == owner, _sessions.c.session_id.in_(list(session_ids)))
            .values(successor=successor)
        )
        with self._database.write(durable=False) as connection:
            connection.execute(name)

    def has_free_sessions(self, *, lease_seconds: float) -> bool:
        """Return whether there is anything to claim."""
        free = lease_ended(_sessions.c.lease_until, self._database, lease_seconds)
        with self._database.read() as connection:
            return connection.scalar(sa.select(sa.exists().where(free))) or False


def lease_ended(
    lease_until: sa.ColumnElement[float], database: Database, lease_seconds: float
) -> sa.ColumnElement[bool]:
    """Return the condition that a lease has ended.

    One that ends later than any lease can was given before the clock was set back: it would
    hold for hours.
    """
    now = database.now()
    return sa.or_(
        lease_until <= now,
        lease_until > now + LEASES_OF_ANOTHER_TIME * lease_seconds,
    )


def write_beat(
    connection: sa.Connection, database: Database, place: WorkerPlace, lease_seconds: float
) -> None:
    """Say that a worker lives."""
    values = {
        "threads": place.threads,
        "max_sessions": place.max_sessions,
        "lease_until": database.now() + lease_seconds,
    }
    update = sa.update(_workers).where(_workers.c.owner == place.owner).values(**values)
    if connection.execute(update).rowcount == 0:  # nobody else writes this row
        connection.execute(sa.insert(_workers).values(owner=place.owner, **values))
