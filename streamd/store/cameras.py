"""Who relays which camera of the settings: leases, as sessions have them.

Replicas with one settings file all know every camera; the worker that holds its lease relays it.
The replica on whose disk the camera's video lies comes first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from streamd.store import schema
from streamd.store.database import Repository

__all__ = ["CameraStore"]

_leases = schema.camera_leases
_streams = schema.video_streams
_replicas = schema.replicas

LEASES_OF_ANOTHER_TIME = 10
"""A lease this many times as long as leases are was made by a clock that was ahead."""


class CameraStore(Repository):
    """The leases of all cameras."""

    def claim_cameras(
        self,
        streams: Mapping[str, str],
        *,
        account_id: str,
        replica_id: str,
        owner: str,
        lease_seconds: float,
    ) -> set[str]:
        """Take the cameras that nobody relays; returns those taken.

        A camera whose stream lies on another replica that lives is left to that one for as long
        as a lease is; then whoever wants it may have it.

        Args:
            streams: The wanted cameras, each with the name of its video stream.
            account_id: Account of the streams.
            replica_id: Where the claimer runs.
            owner: The claimer, nobody else's name ever.
            lease_seconds: How long a claim holds.

        """

        def choose(connection: sa.Connection) -> tuple[set[str], set[str]]:
            left = self._seconds_left(connection, streams)
            free = {camera for camera in streams if _is_free(left.get(camera), lease_seconds)}
            if not free:
                return free, free
            elsewhere = self._elsewhere(connection, account_id, replica_id, lease_seconds)
            waits = {
                camera
                for camera in free
                if streams[camera] in elsewhere and left.get(camera, 0.0) > -lease_seconds
            }
            return free - waits, waits - left.keys()

        with self._database.read() as connection:  # polled: a read blocks no writer
            if not any(choose(connection)):
                return set()
        with self._database.write(durable=False) as connection:
            self._database.serialise(connection, "camera leases")
            taken, unseen = choose(connection)
            for camera in taken | unseen:
                # What is free from now on has its wait before it.
                values: dict[str, object] = {"lease_until": self._database.now()}
                if camera in taken:
                    until = self._database.now() + lease_seconds
                    values = {"owner": owner, "replica_id": replica_id, "lease_until": until}
                update = sa.update(_leases).where(_leases.c.camera == camera).values(values)
                if not connection.execute(update).rowcount:
                    connection.execute(sa.insert(_leases).values(camera=camera, **values))
        return taken

    def renew_cameras(
        self, cameras: Collection[str], *, owner: str, lease_seconds: float
    ) -> set[str]:
        """Prolong leases; returns those still held, the others are lost."""
        if not cameras:
            return set()
        renew = (
            sa.update(_leases)
            .where(_leases.c.owner == owner, _leases.c.camera.in_(cameras))
            .values(lease_until=self._database.now() + lease_seconds)
            .returning(_leases.c.camera)
        )
        with self._database.write(durable=False) as connection:
            return set(connection.scalars(renew))

    def release_cameras(self, *, owner: str | None = None, replica_id: str | None = None) -> int:
        """Free what a worker, or a whole replica, holds; returns how many cameras that were."""
        assert (owner is None) != (replica_id is None), "one of the two"
        holder = _leases.c.owner == owner if owner else _leases.c.replica_id == replica_id
        release = sa.update(_leases).where(holder, _leases.c.owner.is_not(None))
        values = {"owner": None, "replica_id": None, "lease_until": self._database.now()}
        with self._database.write(durable=False) as connection:
            return connection.execute(release.values(values)).rowcount

    def camera_holders(self) -> dict[str, str]:
        """Return the replica that relays each camera whose lease has not ended."""
        query = sa.select(_leases).where(
            _leases.c.owner.is_not(None), _leases.c.lease_until > self._database.now()
        )
        with self._database.read() as connection:
            return {row.camera: row.replica_id for row in connection.execute(query)}

    def _seconds_left(
        self, connection: sa.Connection, cameras: Collection[str]
    ) -> dict[str, float]:
        """Return how long each lease still holds; below 0: how long it has been free."""
        left = (_leases.c.lease_until - self._database.now()).label("left")
        query = sa.select(_leases.c.camera, left).where(_leases.c.camera.in_(list(cameras)))
        return {row.camera: row.left for row in connection.execute(query)}

    def _elsewhere(
        self, connection: sa.Connection, account_id: str, replica_id: str, lease_seconds: float
    ) -> set[str]:
        """Return the names of streams whose home is another replica that lives."""
        silence = self._database.now() - _replicas.c.seen_at
        query = (
            sa.select(_streams.c.name)
            .join(_replicas, _replicas.c.replica_id == _streams.c.home)
            .where(
                _streams.c.account_id == account_id,
                _replicas.c.replica_id != replica_id,
                silence < lease_seconds,
            )
        )
        return set(connection.scalars(query))


def _is_free(seconds_left: float | None, lease_seconds: float) -> bool:
    if seconds_left is None:
        return True
    return seconds_left <= 0 or seconds_left > LEASES_OF_ANOTHER_TIME * lease_seconds
