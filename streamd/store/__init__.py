"""The store: every resource and session, in SQLite or PostgreSQL. Blocking; safe for threads.

One module per kind of resource; :class:`Store` is all of them over one database.
"""

from __future__ import annotations

from streamd.clock import Clock
from streamd.store.cameras import CameraStore
from streamd.store.collections import CollectionState, CollectionStore
from streamd.store.database import Database
from streamd.store.errors import (
    LimitError,
    NameInUseError,
    NotFoundError,
    SchemaError,
    StaleEpochError,
    StoreError,
    StoreUnavailableError,
    TokenMismatchError,
    VectorError,
    VersionMismatchError,
)
from streamd.store.faces import DeletedFaces, FacePage, FaceStore, StoredFace
from streamd.store.replicas import ReplicaStore, SeenReplica
from streamd.store.request_tokens import RequestToken
from streamd.store.sessions import ClaimedSession, SessionStore
from streamd.store.stream_processors import StreamProcessorStore
from streamd.store.tags import TagStore
from streamd.store.user_faces import UserFaceStore
from streamd.store.users import UserPage, UserStore
from streamd.store.video_streams import VideoStreamStore
from streamd.store.workers import LiveWorker, SpreadSession, WorkerPlace, WorkerStore

__all__ = [
    "ClaimedSession",
    "CollectionState",
    "DeletedFaces",
    "FacePage",
    "LimitError",
    "LiveWorker",
    "NameInUseError",
    "NotFoundError",
    "RequestToken",
    "SchemaError",
    "SeenReplica",
    "SpreadSession",
    "StaleEpochError",
    "Store",
    "StoreError",
    "StoreUnavailableError",
    "StoredFace",
    "TokenMismatchError",
    "UserPage",
    "VectorError",
    "VersionMismatchError",
    "WorkerPlace",
]


class Store(
    StreamProcessorStore,
    SessionStore,
    CollectionStore,
    FaceStore,
    UserStore,
    UserFaceStore,
    VideoStreamStore,
    TagStore,
    ReplicaStore,
    CameraStore,
    WorkerStore,
):
    """Everything the daemon remembers.

    Any method raises :class:`StoreUnavailableError` while the database does not answer.
    """

    def __init__(self, url: str, *, clock: Clock, lease_clock: Clock | None = None) -> None:
        """Open the store; nothing is created before :meth:`migrate`.

        Args:
            url: SQLAlchemy URL, ``sqlite:///PATH`` or ``postgresql://…``.
            clock: Gives creation and update times.
            lease_clock: Decides over leases; ``None``: the database's own clock, which is the
                only right one where several machines share the store.

        Raises:
            ConfigError: If the URL cannot be used.

        """
        super().__init__(Database(url, lease_clock=lease_clock), clock)

    @property
    def is_shared(self) -> bool:
        """Whether several machines may use this database."""
        return not self._database.is_sqlite

    def migrate(self) -> str | None:
        """Create the tables, or bring them to this version.

        Returns:
            The version they had, ``None`` where there were none.

        Raises:
            SchemaError: If the database is newer than this version of streamd.

        """
        return self._database.migrate()

    def ping(self) -> None:
        """Do nothing if the database answers.

        Raises:
            StoreUnavailableError: If it does not.

        """
        with self._database.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        """Close all connections; may be called twice."""
        self._database.close()
