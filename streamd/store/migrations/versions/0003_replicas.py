"""Replicas, the homes of video streams, and who relays a camera."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; video streams have no home until their replica starts."""
    op.add_column("video_streams", sa.Column("home", sa.String(36), nullable=True))
    op.create_table(
        "replicas",
        sa.Column("replica_id", _name(36), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("access_key_id", sa.String(128), nullable=False),
        sa.Column("secret", sa.String(128), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("replica_id", name="pk_replicas"),
    )
    op.create_table(
        "camera_leases",
        sa.Column("camera", _name(256), nullable=False),
        sa.Column("replica_id", _name(36), nullable=True),
        sa.Column("owner", sa.String(255), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("camera", name="pk_camera_leases"),
    )


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
