"""Workers that live, and what of a session matters to share the work."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; running sessions learn which stream they read."""
    op.create_table(
        "workers",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("max_sessions", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_workers"),
    )
    op.add_column(
        "sessions",
        # A replica of the version before, which may still run, does not name it.
        sa.Column("input_arn", _name(2048), server_default=sa.text("''"), nullable=False),
    )
    op.add_column("sessions", sa.Column("load", sa.Double(), nullable=True))
    op.add_column("sessions", sa.Column("successor", sa.String(length=255), nullable=True))
    _name_the_inputs(op.get_bind())


def _name_the_inputs(connection: sa.Connection) -> None:
    rows = connection.execute(
        sa.text(
            "SELECT s.session_id, p.definition FROM sessions s JOIN stream_processors p "
            "ON p.account_id = s.account_id AND p.name = s.processor_name"
        )
    ).all()
    for row in rows:
        connection.execute(
            sa.text("UPDATE sessions SET input_arn = :arn WHERE session_id = :id"),
            {"arn": json.loads(row.definition)["input_arn"], "id": row.session_id},
        )


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
