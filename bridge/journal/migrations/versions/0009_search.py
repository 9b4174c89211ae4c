"""What people look for in lists: indexes for the filters, and terms that lead to charges and customers."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FINISHED = "state IN ('delivered', 'filtered', 'stale', 'dead', 'discarded')"


def upgrade() -> None:
    op.create_table(
        "search_terms",
        sa.Column("term", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("term", "kind", "account", "ref"),
        sqlite_with_rowid=False,
    )
    op.create_index("search_terms_ref", "search_terms", ["ref"])
    op.create_index("events_name", "events", ["name", "id"])
    op.create_index("events_account", "events", ["account", "id"])
    for name, columns in (
        ("deliveries_state", ["state", "event_id"]),
        ("deliveries_mapping", ["mapping", "state", "event_id"]),
    ):
        op.create_index(
            name,
            "deliveries",
            columns,
            unique=False,
            sqlite_where=sa.text(FINISHED),
            postgresql_where=sa.text(FINISHED),
        )
    meta = sa.table("journal_meta", sa.column("key", sa.Text()), sa.column("value", sa.Text()))
    op.bulk_insert(meta, [{"key": "search_key", "value": secrets.token_hex(32)}])
