"""The index of failed deliveries holds mapping and end, so that a page counts all causes by it alone; and a job has a
column of its own for what no page shows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_CAUSE = ["reason_code", "destination", "answer", "mapping"]
_OF_CAUSE = ["account", "subject", "object_id", "amount", "finished_ms", "id"]


def upgrade() -> None:
    dead = sa.text("state = 'dead'")
    op.drop_index("deliveries_cause", "deliveries")
    columns = [*_CAUSE, *_OF_CAUSE]
    op.create_index("deliveries_cause", "deliveries", columns, sqlite_where=dead, postgresql_where=dead)
    op.add_column("console_jobs", sa.Column("details", sa.Text()))
