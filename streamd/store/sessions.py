"""Sessions: started by the API, claimed by workers with leases, ended by whoever holds them.

A claim raises the session's epoch. Everything a worker writes names the epoch it was given,
so that one whose lease ran out while it was away writes nothing any more. Leases are compared
with the database's clock alone. Locks are taken in one order: stream processor, then session.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from streamd.clock import utc_from_epoch
from streamd.kvs.numbers import DIGITS, new_number
from streamd.lifecycle import Event, Status
from streamd.resources import (
    Session,
    StartRequest,
    StreamProcessor,
    StreamProcessorDefinition,
)
from streamd.store import schema
from streamd.store.database import Repository
from streamd.store.errors import LimitError, StaleEpochError
from streamd.store.stream_processors import apply_event, load_processor, processor_from_row
from streamd.store.workers import WorkerPlace, lease_ended, write_beat

__all__ = ["ClaimedSession", "SessionStore"]

_sessions = schema.sessions
_processors = schema.stream_processors

_NOTE_LOAD = (
    sa.update(_sessions)
    .where(_sessions.c.session_id == sa.bindparam("sid"))
    .values(load=sa.bindparam("measured"))
)
_REPORTS = frozenset({Event.INPUT_OPENED, Event.SESSION_ENDED, Event.SESSION_FAILED})


@dataclass(frozen=True, kw_only=True)
class ClaimedSession:
    """A session that is the claimer's until its lease ends."""

    session: Session
    processor: StreamProcessor


class SessionStore(Repository):
    """The sessions that are to run or running."""

    def start_session(
        self, account_id: str, name: str, start: StartRequest, *, limit: int
    ) -> Session:
        """Turn the stream processor STARTING and leave a session for workers to claim.

        Args:
            account_id: Account of the stream processor.
            name: Its name.
            start: What StartStreamProcessor said.
            limit: Most sessions of this kind (face search, connected home) the account may run.

        Raises:
            NotFoundError: If there is no such stream processor.
            TransitionError: If it is not STOPPED or FAILED.
            LimitError: If ``limit`` are running already.

        """
        with self._database.write() as connection:
            self._database.serialise(connection, f"sessions of {account_id}")
            processor = load_processor(connection, account_id, name, lock=True)
            apply_event(connection, self._clock, processor, Event.START_REQUESTED)
            kind = processor.definition.settings.kind
            running = sa.select(sa.func.count()).where(
                _sessions.c.account_id == account_id, _sessions.c.kind == kind
            )
            if (connection.scalar(running) or 0) >= limit:
                raise LimitError(f"{kind} sessions", limit)
            session = Session(
                session_id=str(uuid.uuid4()),
                account_id=account_id,
                processor_name=name,
                start=start,
                created_at=self._clock.now(),
            )
            connection.execute(sa.insert(_sessions).values(_new_row(session, processor)))
        return session

    def session(self, account_id: str, name: str) -> Session | None:
        """Return the session of a stream processor, ``None`` while it has none."""
        query = sa.select(_sessions).where(
            _sessions.c.account_id == account_id, _sessions.c.processor_name == name
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else _session_from_row(row)

    def claim_sessions(
        self,
        owner: str,
        *,
        limit: int,
        lease_seconds: float,
        among: Collection[str] | None = None,
    ) -> list[ClaimedSession]:
        """Take up to ``limit`` sessions that nobody holds, oldest first.

        Args:
            owner: Who claims.
            limit: Most sessions to take.
            lease_seconds: From now on.
            among: Ids of those wanted; ``None``: any.

        Returns:
            Those taken, of those never claimed, released, or whose lease has ended.

        """
        free = lease_ended(_sessions.c.lease_until, self._database, lease_seconds)
        if among is not None:
            free = sa.and_(_sessions.c.session_id.in_(list(among)), free)
        if limit <= 0 or not self._any(free):  # polled: a read blocks no writer
            return []
        choose = (
            sa.select(_sessions.c.session_id)
            .where(free)
            .order_by(_sessions.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claim = (
            sa.update(_sessions)
            .values(
                owner=owner,
                epoch=_sessions.c.epoch + 1,
                lease_until=self._database.now() + lease_seconds,
                successor=None,
            )
            .returning(_sessions)
        )
        with self._database.write() as connection:
            # Two statements: as a subquery, PostgreSQL may run the choice more than once.
            chosen = list(connection.scalars(choose))
            rows = connection.execute(claim.where(_sessions.c.session_id.in_(chosen)))
            sessions = [_session_from_row(row) for row in rows]
            processors = _processors_of(connection, sessions)
        sessions.sort(key=lambda session: session.created_at)
        return [
            ClaimedSession(session=session, processor=processors[_owner_key(session)])
            for session in sessions
        ]

    def renew_sessions(
        self,
        owner: str,
        epochs: Mapping[str, int],
        *,
        lease_seconds: float,
        place: WorkerPlace | None = None,
        loads: Mapping[str, float] = MappingProxyType({}),
    ) -> dict[str, Session]:
        """Prolong the leases of held sessions, and the life of their worker.

        Args:
            owner: Who claimed them.
            epochs: ``{session id: epoch}``.
            lease_seconds: From now on.
            place: What the worker offers; ``None`` from one that takes no more.
            loads: ``{session id: threads it keeps busy}``, where that has changed.

        Returns:
            Those still held, with ``stop_requested`` as it is now; the others are lost.

        """
        if not epochs and place is None:
            return {}
        renew = (
            sa.update(_sessions)
            .where(
                _sessions.c.owner == owner,
                sa.tuple_(_sessions.c.session_id, _sessions.c.epoch).in_(list(epochs.items())),
            )
            .values(lease_until=self._database.now() + lease_seconds)
            .returning(_sessions)
        )
        with self._database.write(durable=False) as connection:
            rows = connection.execute(renew) if epochs else ()
            held = {row.session_id: _session_from_row(row) for row in rows}
            if noted := [(sid, load) for sid, load in loads.items() if sid in held]:
                connection.execute(_NOTE_LOAD, [{"sid": s, "measured": load} for s, load in noted])
            if place is not None:
                write_beat(connection, self._database, place, lease_seconds)
        return held

    def check_held(self, session_id: str, epoch: int) -> None:
        """Make sure a session is still held.

        Raises:
            StaleEpochError: If it is not: it ended, or its stream processor was deleted.

        """
        if not self._any(_held(session_id, epoch)):
            raise StaleEpochError(session_id, epoch)

    def release_session(self, session_id: str, epoch: int) -> None:
        """Give a session back unfinished: the next claim gets it at once.

        Raises:
            StaleEpochError: If it is held no more.

        """
        self._update_held(session_id, epoch, durable=True, owner=None, lease_until=0.0)

    def release_owner(self, owner: str) -> int:
        """Give back all that an owner holds which is known to be dead; others get it at once.

        Its epochs are void from now on, so that nothing it left half-way can be written.

        Args:
            owner: As it claimed; never used again by anybody.

        Returns:
            How many sessions it held.

        """
        release = (
            sa.update(_sessions)
            .where(_sessions.c.owner == owner)
            .values(owner=None, lease_until=0.0)
        )
        with self._database.write(durable=False) as connection:
            freed = connection.execute(release).rowcount
            connection.execute(sa.delete(schema.workers).where(schema.workers.c.owner == owner))
        return freed

    def checkpoint(self, session_id: str, epoch: int, last_fragment_number: str) -> None:
        """Note that all results up to this fragment have reached the sink.

        Raises:
            StaleEpochError: If the session is held no more.

        """
        # Lost in a power cut, it costs repeats, which delivery at least once allows.
        self._update_held(
            session_id, epoch, durable=False, last_fragment_number=last_fragment_number
        )

    def unread_positions(self) -> dict[str, str]:
        """Return, by ARN of its video stream, the fragment number behind which to read goes on.

        Of all sessions that there are; where several read one stream, of the last of them.
        """
        query = sa.select(_sessions, _processors.c.definition).join(
            _processors,
            sa.and_(
                _processors.c.account_id == _sessions.c.account_id,
                _processors.c.name == _sessions.c.processor_name,
            ),
        )
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                arn = StreamProcessorDefinition.model_validate_json(row.definition).input_arn
                number = _position(_session_from_row(row))
                found[arn] = min(number, found.get(arn, number))
        return found

    def report(
        self, session_id: str, epoch: int, event: Event, *, status_message: str | None = None
    ) -> Status:
        """Apply what happened to a held session; its end deletes it.

        Args:
            session_id: The session.
            epoch: As claimed.
            event: ``INPUT_OPENED``, ``SESSION_ENDED`` or ``SESSION_FAILED``.
            status_message: For DescribeStreamProcessor.

        Returns:
            The status of the stream processor now.

        Raises:
            StaleEpochError: If the session is held no more.
            TransitionError: If the lifecycle has no row for it; nothing has changed.

        """
        assert event in _REPORTS, event
        with self._database.write() as connection:
            processor = _lock_held(connection, session_id, epoch)
            after = apply_event(connection, self._clock, processor, event, status_message)
        assert after is not None, processor
        return after.status

    def set_status_message(self, session_id: str, epoch: int, message: str | None) -> None:
        """Say something about a running session in DescribeStreamProcessor, or no more.

        Raises:
            StaleEpochError: If the session is held no more.

        """
        with self._database.write() as connection:
            processor = _lock_held(connection, session_id, epoch)
            if processor.status_message == message:
                return
            connection.execute(
                sa.update(_processors)
                .where(
                    _processors.c.account_id == processor.account_id,
                    _processors.c.name == processor.name,
                )
                .values(status_message=message, version=processor.version + 1)
            )

    def _any(self, condition: sa.ColumnElement[bool]) -> bool:
        with self._database.read() as connection:
            return connection.scalar(sa.select(sa.exists().where(condition))) or False

    def _update_held(self, session_id: str, epoch: int, *, durable: bool, **values: object) -> None:
        update = sa.update(_sessions).where(_held(session_id, epoch)).values(**values)
        with self._database.write(durable=durable) as connection:
            if connection.execute(update).rowcount != 1:
                raise StaleEpochError(session_id, epoch)


def _position(session: Session) -> str:
    if session.last_fragment_number is not None:
        return session.last_fragment_number
    if session.start.fragment_number is not None:
        return session.start.fragment_number.zfill(DIGITS)
    if session.start.producer_timestamp_ms is not None:
        return "0" * DIGITS  # whose clock that is nobody knows
    return new_number(None, server_timestamp_ms=int(session.created_at.timestamp() * 1000))


def _held(session_id: str, epoch: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        _sessions.c.session_id == session_id,
        _sessions.c.epoch == epoch,
        # Released: the epoch is still the last one, but nobody's.
        _sessions.c.owner.is_not(None),
    )


def _lock_held(connection: sa.Connection, session_id: str, epoch: int) -> StreamProcessor:
    # Found without a lock, since the stream processor is to be locked first, then checked.
    held = sa.select(_sessions).where(_held(session_id, epoch))
    row = connection.execute(held).one_or_none()
    if row is None:
        raise StaleEpochError(session_id, epoch)
    key = (_processors.c.account_id == row.account_id, _processors.c.name == row.processor_name)
    processor = connection.execute(sa.select(_processors).where(*key).with_for_update())
    found = processor.one_or_none()
    if found is None or connection.execute(held.with_for_update()).one_or_none() is None:
        raise StaleEpochError(session_id, epoch)
    return processor_from_row(found)


def _processors_of(
    connection: sa.Connection, sessions: list[Session]
) -> dict[tuple[str, str], StreamProcessor]:
    keys = sa.tuple_(_processors.c.account_id, _processors.c.name)
    rows = connection.execute(
        sa.select(_processors).where(keys.in_([_owner_key(session) for session in sessions]))
    )
    found = [processor_from_row(row) for row in rows]
    return {(processor.account_id, processor.name): processor for processor in found}


def _owner_key(session: Session) -> tuple[str, str]:
    return session.account_id, session.processor_name


def _new_row(session: Session, processor: StreamProcessor) -> dict[str, object]:
    return {
        "session_id": session.session_id,
        "account_id": session.account_id,
        "processor_name": session.processor_name,
        "kind": processor.definition.settings.kind,
        "input_arn": processor.definition.input_arn,
        "start": session.start.model_dump_json(),
        "created_at": session.created_at.timestamp(),
        "stop_requested": False,
        "epoch": 0,
        "lease_until": 0.0,
    }


def _session_from_row(row: sa.Row[Any]) -> Session:
    return Session(
        session_id=row.session_id,
        account_id=row.account_id,
        processor_name=row.processor_name,
        start=StartRequest.model_validate_json(row.start),
        created_at=utc_from_epoch(row.created_at),
        stop_requested=row.stop_requested,
        owner=row.owner,
        epoch=row.epoch,
        last_fragment_number=row.last_fragment_number,
    )
