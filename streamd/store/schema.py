"""The tables, for SQLite and PostgreSQL alike; ``migrations`` creates the same by steps.

Times are seconds since 1970 as double precision: both databases compute with them, and
microseconds survive. Documents (definitions, start requests) are JSON text of ``resources``.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "camera_leases",
    "collections",
    "face_deletions",
    "faces",
    "metadata",
    "replicas",
    "request_tokens",
    "sessions",
    "stream_processors",
    "tags",
    "user_faces",
    "users",
    "video_streams",
    "workers",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


_BIG_KEY = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER alone


def _name(length: int) -> String:
    # Byte order everywhere: lists are paged by name, and a locale must not change the order.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


stream_processors = Table(
    "stream_processors",
    metadata,
    Column("account_id", _name(12), primary_key=True),
    Column("name", _name(128), primary_key=True),
    Column("arn", _name(2048), nullable=False, unique=True),
    Column("definition", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("status_message", Text),
    Column("created_at", Double, nullable=False),
    Column("last_updated_at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),
)

# A row exists exactly while its stream processor is STARTING, RUNNING or STOPPING.
sessions = Table(
    "sessions",
    metadata,
    Column("session_id", _name(36), primary_key=True),
    Column("account_id", _name(12), nullable=False),
    Column("processor_name", _name(128), nullable=False),
    # Settings kind of the stream processor: what the limit of running sessions counts.
    Column("kind", String(32), nullable=False),
    Column("start", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("stop_requested", Boolean, nullable=False),
    Column("owner", String(255)),
    Column("epoch", BigInteger, nullable=False),
    # By the database's clock. 0: free to claim.
    Column("lease_until", Double, nullable=False),
    Column("last_fragment_number", String(128)),
    # The video stream of the stream processor: sessions of one stream belong together.
    Column("input_arn", _name(2048), nullable=False, server_default=text("''")),
    # Analysis threads it keeps busy, as measured by whoever held it; null: not yet.
    Column("load", Double),
    # Whom its holder gives it up for; null once it is claimed.
    Column("successor", String(255)),
    UniqueConstraint("account_id", "processor_name"),
    ForeignKeyConstraint(
        ["account_id", "processor_name"],
        ["stream_processors.account_id", "stream_processors.name"],
        ondelete="CASCADE",
    ),
    Index("ix_sessions_lease_until", "lease_until"),
)

tags = Table(
    "tags",
    metadata,
    Column("arn", _name(2048), primary_key=True),
    Column("key", _name(128), primary_key=True),
    Column("value", String(256), nullable=False),
)

collections = Table(
    "collections",
    metadata,
    # Never given twice, so that a slow reader cannot mistake one collection for another.
    Column("key", _BIG_KEY, primary_key=True, autoincrement=True),
    Column("account_id", _name(12), nullable=False),
    Column("collection_id", _name(255), nullable=False),
    # Random: names the collection in caches, which may outlive this database.
    Column("incarnation", String(32), nullable=False, unique=True),
    Column("arn", _name(2048), nullable=False, unique=True),
    Column("face_model_version", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    # The number of the newest change. Added faces and deletions share one numbering.
    Column("revision", BigInteger, nullable=False),
    # Deletions up to this number are forgotten: older readers start again from nothing.
    Column("forgotten_revision", BigInteger, nullable=False),
    Column("face_count", BigInteger, nullable=False),
    # Set by the first face.
    Column("vector_size", Integer),
    Column("user_count", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("account_id", "collection_id"),
    sqlite_autoincrement=True,
)

faces = Table(
    "faces",
    metadata,
    Column(
        "collection_key",
        BigInteger,
        ForeignKey("collections.key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    # The collection's revision this face was added with: unique, rising, never reused.
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("face_id", _name(36), nullable=False),
    Column("image_id", _name(36), nullable=False),
    Column("external_image_id", String(255)),
    Column("box_left", Double, nullable=False),
    Column("box_top", Double, nullable=False),
    Column("box_width", Double, nullable=False),
    Column("box_height", Double, nullable=False),
    Column("confidence_percent", Double, nullable=False),
    # vector_size little-endian float32.
    Column("vector", LargeBinary, nullable=False),
    UniqueConstraint("collection_key", "face_id"),
)

face_deletions = Table(
    "face_deletions",
    metadata,
    Column(
        "collection_key",
        BigInteger,
        ForeignKey("collections.key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    # Of the face that is gone.
    Column("sequence", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    # Lists go by it ("sorted by system generated primary key", ListUsers); never reused.
    Column("key", _BIG_KEY, primary_key=True, autoincrement=True),
    Column(
        "collection_key",
        BigInteger,
        ForeignKey("collections.key", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("user_id", _name(128), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("face_count", Integer, nullable=False),
    # Of the user's vector in the collection's gallery; null without faces.
    Column("vector_sequence", BigInteger),
    UniqueConstraint("collection_key", "user_id"),
    Index("ix_users_collection_key_key", "collection_key", "key"),
    sqlite_autoincrement=True,
)

# A face belongs to one user at most; most faces of large collections to none.
user_faces = Table(
    "user_faces",
    metadata,
    Column("collection_key", BigInteger, primary_key=True, autoincrement=False),
    # Of the face.
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("user_key", BigInteger, ForeignKey("users.key", ondelete="CASCADE"), nullable=False),
    ForeignKeyConstraint(
        ["collection_key", "sequence"],
        ["faces.collection_key", "faces.sequence"],
        ondelete="CASCADE",
    ),
    Index("ix_user_faces_user_key", "user_key"),
)

# What a request with a ClientRequestToken was answered.
request_tokens = Table(
    "request_tokens",
    metadata,
    Column("account_id", _name(12), primary_key=True),
    Column("operation", _name(64), primary_key=True),
    Column("token", _name(64), primary_key=True),
    Column(
        "collection_key",
        BigInteger,
        ForeignKey("collections.key", ondelete="CASCADE"),
        nullable=False,
    ),
    # SHA-256 of the other members.
    Column("fingerprint", String(64), nullable=False),
    Column("answer", Text, nullable=False),
    # By the database's clock.
    Column("expires_at", Double, nullable=False),
    Index("ix_request_tokens_collection_key", "collection_key"),
    Index("ix_request_tokens_expires_at", "expires_at"),
)

video_streams = Table(
    "video_streams",
    metadata,
    Column("account_id", _name(12), primary_key=True),
    Column("name", _name(256), primary_key=True),
    Column("arn", _name(2048), nullable=False, unique=True),
    Column("version", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("data_retention_hours", Integer, nullable=False, server_default=text("0")),
    Column("device_name", String(128)),
    Column("media_type", String(128)),
    Column("kms_key_id", String(2048)),
    # The replica on whose disk its fragments lie; NULL: nobody's yet.
    Column("home", String(36)),
)

# Control processes that share this database, each with a disk of its own.
replicas = Table(
    "replicas",
    metadata,
    Column("replica_id", _name(36), primary_key=True),
    # Where other replicas and clients reach it.
    Column("url", String(2048), nullable=False),
    # The key its workers sign with, which the others take; another one at every start.
    Column("access_key_id", String(128), nullable=False),
    Column("secret", String(128), nullable=False),
    # By the database's clock.
    Column("seen_at", Double, nullable=False),
)

# Who relays a camera of the settings; a row exists once somebody wanted to.
camera_leases = Table(
    "camera_leases",
    metadata,
    Column("camera", _name(256), primary_key=True),
    Column("replica_id", _name(36)),
    # The worker, as it claims sessions.
    Column("owner", String(255)),
    # By the database's clock. In the past: since when it is free.
    Column("lease_until", Double, nullable=False),
)

# Worker processes that live, of all replicas.
workers = Table(
    "workers",
    metadata,
    Column("owner", String(255), primary_key=True),
    Column("threads", Integer, nullable=False),
    Column("max_sessions", Integer, nullable=False),
    # By the database's clock; as long as its sessions' leases.
    Column("lease_until", Double, nullable=False),
)
