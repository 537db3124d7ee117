"""Connections to PostgreSQL that notice when nobody answers any more.

A firewall, a dead link or a hung proxy in between says nothing: the driver alone would wait for
ever, and with it the thread. Three limits, each for what the others cannot see: the kernel gives
up bytes that are not acknowledged; the driver a server that is silent; and the server, whose locks
others wait for, a client that is gone in the middle of a transaction.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Final

import psycopg
import sqlalchemy as sa

__all__ = ["PING_SECONDS", "be_patient", "open_engine"]

CONNECT_TIMEOUT_SECONDS: Final = 5
PING_SECONDS: Final = 3.0
"""Silence after which a connection that lay in the pool is not used again."""
UNACKNOWLEDGED_SECONDS: Final = 10
IDLE_IN_TRANSACTION_SECONDS: Final = 8
"""Our transactions take milliseconds: a client that pauses this long is suspended or cut off."""

# libpq's names; without meaning on a Unix socket.
_CONNECT_ARGS: Final[dict[str, int]] = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": UNACKNOWLEDGED_SECONDS * 1000,
}
# Set once connected, not with the options of the start: a pooler in between refuses those.
_SERVER_SIDE: Final = (
    f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_SECONDS}s'",
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3",
)


class _Connection(psycopg.Connection[Any]):
    """Gives up when the server says nothing for too long, and is closed then."""

    silence_seconds: float | None = PING_SECONDS

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one exchange with the server; psycopg's only place to wait in."""
        if self.silence_seconds is None:
            return super().wait(gen, *args, **kwargs)
        return super().wait(self._listening(gen, self.silence_seconds), *args, **kwargs)

    def _listening(self, gen: Any, limit_seconds: float) -> Generator[Any, Any, Any]:
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # 0 every tenth of a second without a byte
                if ready:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > limit_seconds:
                    # In the middle of an exchange it is of no use to anybody.
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server is silent for {limit_seconds:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


def open_engine(url: sa.URL, *, pool_size: int) -> sa.Engine:
    """Return an engine for the database, with up to twice ``pool_size`` connections."""
    engine = sa.create_engine(
        url,
        hide_parameters=True,  # in messages: they may be vectors
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args=_CONNECT_ARGS,
    )
    sa.event.listen(engine, "do_connect", _connect)
    sa.event.listen(engine, "connect", _set_up)
    sa.event.listen(engine, "checkin", _checked_in)
    return engine


def be_patient(connection: sa.Connection, silence_seconds: float | None) -> None:
    """Say how long the server may think about a statement of this transaction; ``None``: long."""
    driver: Any = connection.connection.dbapi_connection
    driver.silence_seconds = silence_seconds


def _connect(dialect: object, record: object, args: Any, options: Any) -> _Connection:
    del dialect, record
    return _Connection.connect(*args, **options)


def _set_up(connection: _Connection, record: object) -> None:
    del record
    with connection.cursor() as cursor:
        for statement in _SERVER_SIDE:
            cursor.execute(statement)
    connection.commit()


def _checked_in(connection: _Connection | None, record: object) -> None:
    del record
    if connection is not None:  # invalidated
        connection.silence_seconds = PING_SECONDS
