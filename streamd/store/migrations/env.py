"""Alembic runs this for every command; the connection and its transaction are the caller's."""

from __future__ import annotations

from alembic import context

from streamd.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can undo DDL, too, once the driver leaves transactions to us.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
