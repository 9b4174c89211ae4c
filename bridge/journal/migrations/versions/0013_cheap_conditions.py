"""Partial indexes of deliveries go by `finished_ms`, which says the same as a list of states.

SQLite makes a table of such a list for each row that it changes, and asks each index: a third of a delivery's cost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_INDEXES = (
    ("deliveries_line", ["account", "subject", "line", "id"], "finished_ms IS NULL"),
    ("deliveries_state", ["state", "event_id"], "finished_ms IS NOT NULL"),
    ("deliveries_mapping", ["mapping", "state", "event_id"], "finished_ms IS NOT NULL"),
)


def upgrade() -> None:
    for name, columns, condition in _INDEXES:
        op.drop_index(name, "deliveries")
        where = sa.text(condition)
        op.create_index(name, "deliveries", columns, sqlite_where=where, postgresql_where=where)
