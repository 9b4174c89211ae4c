"""The indexes of failed deliveries and held events get the columns that the console counts by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    of_cause = ["reason_code", "destination", "answer", "account", "subject", "object_id", "amount"]
    _again("deliveries_cause", "deliveries", of_cause, "state = 'dead'")
    _again("events_on_hold", "events", ["hold_code", "account", "received_ms", "subject"], "hold_code IS NOT NULL")


def _again(name: str, table: str, columns: list[str], where: str) -> None:
    of = sa.text(where)
    op.drop_index(name, table)
    op.create_index(name, table, columns, sqlite_where=of, postgresql_where=of)
