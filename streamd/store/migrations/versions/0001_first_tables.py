"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "collections",
        sa.Column(
            "key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("collection_id", _name(255), nullable=False),
        sa.Column("incarnation", sa.String(length=32), nullable=False),
        sa.Column("arn", _name(2048), nullable=False),
        sa.Column("face_model_version", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("forgotten_revision", sa.BigInteger(), nullable=False),
        sa.Column("face_count", sa.BigInteger(), nullable=False),
        sa.Column("vector_size", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_collections"),
        sa.UniqueConstraint("account_id", "collection_id", name="uq_collections_account_id"),
        sa.UniqueConstraint("arn", name="uq_collections_arn"),
        sa.UniqueConstraint("incarnation", name="uq_collections_incarnation"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "stream_processors",
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("name", _name(128), nullable=False),
        sa.Column("arn", _name(2048), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("last_updated_at", sa.Double(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "name", name="pk_stream_processors"),
        sa.UniqueConstraint("arn", name="uq_stream_processors_arn"),
    )
    op.create_table(
        "tags",
        sa.Column("arn", _name(2048), nullable=False),
        sa.Column("key", _name(128), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("arn", "key", name="pk_tags"),
    )
    op.create_table(
        "video_streams",
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("name", _name(256), nullable=False),
        sa.Column("arn", _name(2048), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column(
            "data_retention_hours", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("device_name", sa.String(length=128), nullable=True),
        sa.Column("media_type", sa.String(length=128), nullable=True),
        sa.Column("kms_key_id", sa.String(length=2048), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "name", name="pk_video_streams"),
        sa.UniqueConstraint("arn", name="uq_video_streams_arn"),
    )
    op.create_table(
        "face_deletions",
        sa.Column("collection_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collections.key"],
            name="fk_face_deletions_collection_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_key", "revision", name="pk_face_deletions"),
    )
    op.create_table(
        "faces",
        sa.Column("collection_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("face_id", _name(36), nullable=False),
        sa.Column("image_id", _name(36), nullable=False),
        sa.Column("external_image_id", sa.String(length=255), nullable=True),
        sa.Column("box_left", sa.Double(), nullable=False),
        sa.Column("box_top", sa.Double(), nullable=False),
        sa.Column("box_width", sa.Double(), nullable=False),
        sa.Column("box_height", sa.Double(), nullable=False),
        sa.Column("confidence_percent", sa.Double(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collections.key"],
            name="fk_faces_collection_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_key", "sequence", name="pk_faces"),
        sa.UniqueConstraint("collection_key", "face_id", name="uq_faces_collection_key"),
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", _name(36), nullable=False),
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("processor_name", _name(128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("stop_requested", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("last_fragment_number", sa.String(length=128), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id", "processor_name"],
            ["stream_processors.account_id", "stream_processors.name"],
            name="fk_sessions_account_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
        sa.UniqueConstraint("account_id", "processor_name", name="uq_sessions_account_id"),
    )
    op.create_index("ix_sessions_lease_until", "sessions", ["lease_until"], unique=False)


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
