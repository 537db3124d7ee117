"""Users of collections, their faces, and the tokens of idempotent requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; nothing of what is there is rewritten."""
    op.add_column(
        "collections",
        sa.Column("user_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.create_table(
        "users",
        sa.Column(
            "key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("collection_key", sa.BigInteger(), nullable=False),
        sa.Column("user_id", _name(128), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("face_count", sa.Integer(), nullable=False),
        sa.Column("vector_sequence", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collections.key"],
            name="fk_users_collection_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name="pk_users"),
        sa.UniqueConstraint("collection_key", "user_id", name="uq_users_collection_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_users_collection_key_key", "users", ["collection_key", "key"])
    op.create_table(
        "user_faces",
        sa.Column("collection_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_key", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_key"], ["users.key"], name="fk_user_faces_user_key", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["collection_key", "sequence"],
            ["faces.collection_key", "faces.sequence"],
            name="fk_user_faces_collection_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_key", "sequence", name="pk_user_faces"),
    )
    op.create_index("ix_user_faces_user_key", "user_faces", ["user_key"])
    op.create_table(
        "request_tokens",
        sa.Column("account_id", _name(12), nullable=False),
        sa.Column("operation", _name(64), nullable=False),
        sa.Column("token", _name(64), nullable=False),
        sa.Column("collection_key", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collections.key"],
            name="fk_request_tokens_collection_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "operation", "token", name="pk_request_tokens"),
    )
    op.create_index("ix_request_tokens_collection_key", "request_tokens", ["collection_key"])
    op.create_index("ix_request_tokens_expires_at", "request_tokens", ["expires_at"])


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
