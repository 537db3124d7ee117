"""This control process among its like: its name, its beat, and the others it knows of.

Replicas share a store, and each has a disk of its own. Every one beats in the store, by the
database's clock, and learns from the answer who else is there, where, and with what key their
workers sign. One that cannot beat cannot know whether others still count on it: what it does
not surely own by then it must not promise to anybody, see :meth:`Replica.is_sure`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from streamd.clock import Clock
from streamd.errors import ConfigError, StreamdError
from streamd.metrics import Metrics
from streamd.protocol.identity import AccessKey
from streamd.store import SeenReplica, Store

__all__ = ["BEATS_PER_LEASE", "Replica", "read_replica_id"]

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
SURE_SHARE = 0.75
"""Of the time after which others take over, this much may pass without a beat."""
KEYS_AFTER_SECONDS = 300.0
"""Keys of replicas that were silent for longer are not taken."""
LOOK_AGAIN_SECONDS = 0.25

RunBlocking = Callable[..., Awaitable[Any]]


def read_replica_id(data_dir: Path) -> str:
    """Return the name of the replica with this data directory, made at the first call (blocking).

    Raises:
        ConfigError: If it cannot be read or written.

    """
    path = data_dir / "replica-id"
    try:
        with contextlib.suppress(FileNotFoundError):
            return str(uuid.UUID(path.read_text().strip()))
        name = str(uuid.uuid4())
        unfinished = path.with_name(f"{path.name}.new")
        with unfinished.open("w") as file:
            file.write(f"{name}\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be used: {error}") from error
    return name


class Replica:
    """One control process.

    Args:
        replica_id: Its name, the same over restarts.
        store: Shared with the others.
        run_blocking: Awaits a blocking call of the store.
        clock: Durations are measured with it.
        metrics: To count in.
        own_key: What its workers sign with.
        advertised_url: Where others reach it by the settings; ``None``: where it listens.
        beat_seconds: From one beat to the next.
        home_seconds: One that is silent for longer loses its streams to whoever needs them.

    """

    def __init__(
        self,
        *,
        replica_id: str,
        store: Store,
        run_blocking: RunBlocking,
        clock: Clock,
        metrics: Metrics,
        own_key: AccessKey,
        advertised_url: str | None,
        beat_seconds: float,
        home_seconds: float,
    ) -> None:
        self.replica_id = replica_id
        self.advertised_url = advertised_url
        self.home_seconds = home_seconds
        """A home silent for longer is gone for those who want to send."""
        self.on_beat: list[Callable[[], Awaitable[None]]] = []
        """Awaited after a beat that found others, before what it proves counts."""
        self.on_keys: Callable[[Sequence[AccessKey]], None] = lambda _keys: None
        """Told the keys of the others, whenever they may have changed."""
        self._store = store
        self._run = run_blocking
        self._clock = clock
        self._metrics = metrics
        self._own_key = own_key
        self._beat_seconds = beat_seconds
        self._url = advertised_url or ""
        self._others: dict[str, SeenReplica] = {}
        self._beaten_at = float("-inf")  # when the last beat that was heard began
        self._sure_until = float("-inf")
        self._connected_since: float | None = None
        self._beating = asyncio.Lock()
        self._is_warned = False

    @contextlib.asynccontextmanager
    async def beating(self, url: str) -> AsyncIterator[None]:
        """Be one of the replicas while the block runs.

        Args:
            url: Where this process listens, for others on this machine.

        Raises:
            StoreError: If the first beat fails.

        """
        self._url = self.advertised_url or url
        await self.beat()
        # What workers of an earlier run held, nobody holds: this data directory has one daemon.
        await self._run(lambda: self._store.release_cameras(replica_id=self.replica_id))
        task = asyncio.create_task(self._keep_beating(), name="replica-beat")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def is_sure(self) -> bool:
        """Whether nobody can have taken over from this replica.

        One that was alone at its last beat is always sure: who would not reach it?
        """
        if not self._has_company():
            return True
        return self._clock.monotonic() < self._sure_until

    def url_of(self, replica_id: str | None) -> str | None:
        """Return where another replica is reached, ``None`` if it is not known."""
        other = self._others.get(replica_id or "")
        return other.url if other is not None else None

    def is_gone(self, replica_id: str, *, after_seconds: float) -> bool:
        """Whether a replica was silent for so long, as one can tell who was there all the time.

        After an outage of the store all are silent; the first one back must not think that the
        others were gone.
        """
        since = self._connected_since
        if since is None or self._clock.monotonic() - since < after_seconds:
            return False
        other = self._others.get(replica_id)
        # abs: written before the clock was set back.
        return other is None or abs(other.silent_seconds) > after_seconds

    async def beat(self) -> None:
        """Beat once, and learn who else is there.

        Raises:
            StoreError: If the store does not answer.

        """
        async with self._beating:
            began_at = self._clock.monotonic()
            key = self._own_key
            seen: list[SeenReplica] = await self._run(
                lambda: self._store.beat(
                    self.replica_id,
                    url=self._url,
                    access_key_id=key.access_key_id,
                    secret=key.secret,
                )
            )
            if began_at - self._beaten_at > self.home_seconds * SURE_SHARE:
                self._connected_since = began_at
            self._beaten_at = began_at
            self._others = {r.replica_id: r for r in seen if r.replica_id != self.replica_id}
            self.on_keys([self._key_of(r) for r in self._others.values() if _counts(r)])
            living = sum(self._is_living(other) for other in self._others.values())
            self._metrics.replicas.set(1 + living)
            if self._others:
                self._warn_of_loopback()
                for look in self.on_beat:
                    await look()
            self._sure_until = began_at + self.home_seconds * SURE_SHARE

    async def look_again(self) -> None:
        """Learn at once what may be new, at most a few times a second.

        Raises:
            StoreError: If the store does not answer.

        """
        if self._clock.monotonic() - self._beaten_at >= LOOK_AGAIN_SECONDS:
            await self.beat()

    async def _keep_beating(self) -> None:
        is_away = False
        while True:
            await asyncio.sleep(self._beat_seconds)
            try:
                await self.beat()
            except StreamdError as error:
                if not is_away:
                    logger.warning("the other replicas cannot hear us: %s", error)
                is_away = True
            except Exception:
                # The wall of this task: without a beat the others would take over.
                logger.exception("a beat failed, trying again")
            else:
                is_away = False

    def _has_company(self) -> bool:
        return any(self._is_living(other) for other in self._others.values())

    def _is_living(self, other: SeenReplica) -> bool:
        return abs(other.silent_seconds) <= self.home_seconds

    def _key_of(self, other: SeenReplica) -> AccessKey:
        return AccessKey(
            access_key_id=other.access_key_id,
            secret=other.secret,
            account_id=self._own_key.account_id,
            permissions=self._own_key.permissions,
            acts_for_others=True,
        )

    def _warn_of_loopback(self) -> None:
        if self.advertised_url is None and not self._is_warned and self._has_company():
            self._is_warned = True
            logger.warning(
                "the other replicas are told to reach this one at %s: "
                "set server.replica_url if they cannot",
                self._url,
            )


def _counts(other: SeenReplica) -> bool:
    return abs(other.silent_seconds) <= KEYS_AFTER_SECONDS
