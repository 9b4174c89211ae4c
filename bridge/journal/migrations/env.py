"""Alembic's environment: runs inside the one transaction that `journal.migrate` opened."""

from __future__ import annotations

from typing import Any

from alembic import context

from bridge.failpoints import failpoint
from bridge.journal.schema import with_partial_indexes


def _done(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:
    failpoint("migration.after_step")


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=with_partial_indexes(),
    transaction_per_migration=False,
    on_version_apply=_done,
)
context.run_migrations()
