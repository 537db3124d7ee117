"""The replicas that share this store: where each is reached, and when it was seen last.

A replica says by beats that it is there. Beats are compared with the database's clock alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from streamd.store import schema
from streamd.store.database import Repository

__all__ = ["ReplicaStore", "SeenReplica"]

_replicas = schema.replicas
_streams = schema.video_streams

FORGOTTEN_AFTER_SECONDS = 30 * 24 * 3600.0
"""A replica that is the home of nothing and was not seen for so long leaves the table."""


@dataclass(frozen=True, kw_only=True)
class SeenReplica:
    """A replica as the store knows it."""

    replica_id: str
    url: str
    """Where others reach it."""
    silent_seconds: float
    """Since its last beat."""
    access_key_id: str = ""
    """The key its workers sign with."""
    secret: str = field(default="", repr=False)
    streams: int = 0
    """Video streams it is the home of; counted by :meth:`ReplicaStore.replicas` alone."""


class ReplicaStore(Repository):
    """All replicas there have been."""

    def beat(
        self, replica_id: str, *, url: str, access_key_id: str, secret: str
    ) -> list[SeenReplica]:
        """Say that a replica is there; returns all, this one among them."""
        values = {
            "url": url,
            "access_key_id": access_key_id,
            "secret": secret,
            "seen_at": self._database.now(),
        }
        own = _replicas.c.replica_id == replica_id
        with self._database.write(durable=False) as connection:
            if not connection.execute(sa.update(_replicas).where(own).values(values)).rowcount:
                connection.execute(sa.insert(_replicas).values(replica_id=replica_id, **values))
                self._forget_old(connection)
            return self._seen(connection)

    def replicas(self) -> list[SeenReplica]:
        """Return all, with the number of streams each is the home of."""
        counts = sa.select(_streams.c.home, sa.func.count()).group_by(_streams.c.home)
        with self._database.read() as connection:
            streams = {row[0]: row[1] for row in connection.execute(counts)}
            seen = self._seen(connection)
        return [
            SeenReplica(
                replica_id=each.replica_id,
                url=each.url,
                silent_seconds=each.silent_seconds,
                streams=streams.get(each.replica_id, 0),
            )
            for each in seen
        ]

    def _seen(self, connection: sa.Connection) -> list[SeenReplica]:
        silence = (self._database.now() - _replicas.c.seen_at).label("silence")
        query = sa.select(_replicas, silence).order_by(_replicas.c.replica_id)
        return [
            SeenReplica(
                replica_id=row.replica_id,
                url=row.url,
                silent_seconds=row.silence,
                access_key_id=row.access_key_id,
                secret=row.secret,
            )
            for row in connection.execute(query)
        ]

    def _forget_old(self, connection: sa.Connection) -> None:
        homes = sa.select(_streams.c.home).where(_streams.c.home.is_not(None))
        old = self._database.now() - FORGOTTEN_AFTER_SECONDS
        connection.execute(
            sa.delete(_replicas).where(
                _replicas.c.seen_at < old, _replicas.c.replica_id.not_in(homes)
            )
        )
