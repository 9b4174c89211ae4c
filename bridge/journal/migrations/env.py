"""Alembic's environment: runs inside the one transaction that `journal.migrate` opened."""

from __future__ import annotations

from alembic import context

from bridge.journal.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transaction_per_migration=False
)
context.run_migrations()
