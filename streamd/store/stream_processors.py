"""Stream processors: created, listed, changed by events of the lifecycle, deleted.

A status changes in one place, :func:`apply_event`: the row is read under lock, the table in
``lifecycle`` says what follows, and the write is a compare-and-set on ``version``. The same
transaction keeps the session row in step, so that one exists exactly while the stream
processor is STARTING, RUNNING or STOPPING.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from streamd.clock import Clock, utc_from_epoch
from streamd.lifecycle import Event, Status, next_status
from streamd.resources import StreamProcessor, StreamProcessorDefinition
from streamd.store import schema
from streamd.store.database import Repository
from streamd.store.errors import LimitError, NameInUseError, NotFoundError
from streamd.store.tags import delete_tags, put_tags

__all__ = ["StreamProcessorStore", "apply_event", "load_processor", "processor_from_row"]

KIND = "stream processor"

_processors = schema.stream_processors
_sessions = schema.sessions

_ENDS = frozenset({Event.SESSION_ENDED, Event.SESSION_FAILED})


class StreamProcessorStore(Repository):
    """The stream processors of all accounts."""

    def create_stream_processor(
        self,
        *,
        account_id: str,
        name: str,
        arn: str,
        definition: StreamProcessorDefinition,
        tags: Mapping[str, str],
        limit: int,
    ) -> StreamProcessor:
        """Create one, STOPPED.

        Args:
            account_id: Account it belongs to.
            name: Unique in the account.
            arn: Its ARN; tags hang on it.
            definition: What CreateStreamProcessor said.
            tags: Its first tags.
            limit: Most stream processors the account may have.

        Raises:
            NameInUseError: If the name is taken.
            LimitError: If the account has ``limit`` already, or there are too many tags.

        """
        now = self._clock.now()
        processor = StreamProcessor(
            account_id=account_id,
            name=name,
            arn=arn,
            definition=definition,
            status=Status.STOPPED,
            created_at=now,
            last_updated_at=now,
            version=1,
        )
        with self._database.write() as connection:
            self._database.serialise(connection, f"stream processors of {account_id}")
            names = sa.select(sa.func.count()).where(_processors.c.account_id == account_id)
            if connection.scalar(names.where(_processors.c.name == name)):
                raise NameInUseError(KIND, name)
            if (connection.scalar(names) or 0) >= limit:
                raise LimitError("stream processors", limit)
            connection.execute(sa.insert(_processors).values(_row_from_processor(processor)))
            put_tags(connection, arn, tags)
        return processor

    def stream_processor(self, account_id: str, name: str) -> StreamProcessor:
        """Return one by name.

        Raises:
            NotFoundError: If there is none.

        """
        with self._database.read() as connection:
            return load_processor(connection, account_id, name)

    def list_stream_processors(
        self, account_id: str, *, after: str | None, limit: int
    ) -> list[StreamProcessor]:
        """Return up to ``limit`` of them in order of name, those after the name ``after``."""
        query = sa.select(_processors).where(_processors.c.account_id == account_id)
        if after is not None:
            query = query.where(_processors.c.name > after)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_processors.c.name).limit(limit))
            return [processor_from_row(row) for row in rows]

    def stream_processor_statuses(self) -> list[tuple[str, str, Status]]:
        """Return account, name and status of every one."""
        query = sa.select(_processors.c.account_id, _processors.c.name, _processors.c.status)
        with self._database.read() as connection:
            return [(row[0], row[1], Status(row[2])) for row in connection.execute(query)]

    def transition(
        self, account_id: str, name: str, event: Event, *, status_message: str | None = None
    ) -> tuple[Status, StreamProcessor | None]:
        """Apply an event that needs no more than itself.

        ``START_REQUESTED`` has :meth:`start_session`, workers have :meth:`report`.

        Returns:
            The status before, and the stream processor after, ``None`` once deleted.

        Raises:
            NotFoundError: If there is no such stream processor.
            TransitionError: If it is in no status for this; nothing has changed.

        """
        if event is Event.START_REQUESTED:
            raise ValueError("a start needs a session: use start_session")
        with self._database.write() as connection:
            before = load_processor(connection, account_id, name, lock=True)
            after = apply_event(connection, self._clock, before, event, status_message)
        return before.status, after

    def request_stop(self, account_id: str, name: str) -> StreamProcessor:
        """Ask the worker that holds the session to end it; the status becomes STOPPING.

        Raises:
            NotFoundError: If there is no such stream processor.
            TransitionError: If it is not STARTING or RUNNING.

        """
        _, after = self.transition(account_id, name, Event.STOP_REQUESTED)
        assert after is not None, (account_id, name)
        return after

    def update_stream_processor(
        self,
        account_id: str,
        name: str,
        change: Callable[[StreamProcessorDefinition], StreamProcessorDefinition],
    ) -> StreamProcessor:
        """Change the definition, by way of UPDATING, to STOPPED.

        Both steps are one transaction: a process that dies here leaves nobody UPDATING.
        What ``change`` raises passes through and nothing has changed.

        Raises:
            NotFoundError: If there is no such stream processor.
            TransitionError: If it is not STOPPED or FAILED.

        """
        with self._database.write() as connection:
            before = load_processor(connection, account_id, name, lock=True)
            updating = apply_event(connection, self._clock, before, Event.UPDATE_REQUESTED)
            assert updating is not None, before
            changed = updating.model_copy(update={"definition": change(before.definition)})
            after = apply_event(connection, self._clock, changed, Event.UPDATED)
        assert after is not None, before
        return after

    def delete_stream_processor(self, account_id: str, name: str) -> StreamProcessor:
        """Delete one with its tags and session; a worker notices when it renews its lease.

        Returns:
            The stream processor as it was.

        Raises:
            NotFoundError: If there is no such stream processor.
            TransitionError: If it may not be deleted now; nothing has changed.

        """
        with self._database.write() as connection:
            before = load_processor(connection, account_id, name, lock=True)
            apply_event(connection, self._clock, before, Event.DELETE_REQUESTED)
        return before


def load_processor(
    connection: sa.Connection, account_id: str, name: str, *, lock: bool = False
) -> StreamProcessor:
    """Read one within the caller's transaction, and with ``lock`` keep others from changing it.

    Raises:
        NotFoundError: If there is none.

    """
    query = sa.select(_processors).where(_key(account_id, name))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError(KIND, name)
    return processor_from_row(row)


def apply_event(
    connection: sa.Connection,
    clock: Clock,
    processor: StreamProcessor,
    event: Event,
    status_message: str | None = None,
) -> StreamProcessor | None:
    """Write what follows from ``event`` on a locked stream processor.

    Returns:
        The stream processor after, ``None`` once deleted.

    Raises:
        TransitionError: If the lifecycle has no row for it.

    """
    status = next_status(processor.status, event)
    if status is None:
        delete_tags(connection, processor.arn)
        # The session goes with the row it refers to.
        connection.execute(sa.delete(_processors).where(_same_version(processor)))
        return None
    after = processor.model_copy(
        update={
            "status": status,
            "status_message": status_message,
            "last_updated_at": max(clock.now(), processor.last_updated_at),
            "version": processor.version + 1,
        }
    )
    written = connection.execute(
        sa.update(_processors).where(_same_version(processor)).values(_row_from_processor(after))
    )
    assert written.rowcount == 1, (processor.name, processor.version)
    if event in _ENDS:
        connection.execute(sa.delete(_sessions).where(_session_of(processor)))
    elif event is Event.STOP_REQUESTED:
        connection.execute(
            sa.update(_sessions).where(_session_of(processor)).values(stop_requested=True)
        )
    return after


def processor_from_row(row: sa.Row[Any]) -> StreamProcessor:
    """Return the value a row of the table stands for."""
    return StreamProcessor(
        account_id=row.account_id,
        name=row.name,
        arn=row.arn,
        definition=StreamProcessorDefinition.model_validate_json(row.definition),
        status=Status(row.status),
        status_message=row.status_message,
        created_at=utc_from_epoch(row.created_at),
        last_updated_at=utc_from_epoch(row.last_updated_at),
        version=row.version,
    )


def _row_from_processor(processor: StreamProcessor) -> dict[str, object]:
    return {
        "account_id": processor.account_id,
        "name": processor.name,
        "arn": processor.arn,
        "definition": processor.definition.model_dump_json(),
        "status": processor.status.value,
        "status_message": processor.status_message,
        "created_at": processor.created_at.timestamp(),
        "last_updated_at": processor.last_updated_at.timestamp(),
        "version": processor.version,
    }


def _key(account_id: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(_processors.c.account_id == account_id, _processors.c.name == name)


def _same_version(processor: StreamProcessor) -> sa.ColumnElement[bool]:
    return sa.and_(
        _key(processor.account_id, processor.name), _processors.c.version == processor.version
    )


def _session_of(processor: StreamProcessor) -> sa.ColumnElement[bool]:
    return sa.and_(
        _sessions.c.account_id == processor.account_id,
        _sessions.c.processor_name == processor.name,
    )
