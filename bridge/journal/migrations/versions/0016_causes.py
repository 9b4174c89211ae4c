"""What needs a person, by its cause; bulk work that is stopped or taken over by another process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("amount", sa.BigInteger()))
    op.add_column("deliveries", sa.Column("answer", sa.Text()))
    _partial("deliveries_cause", "deliveries", ["reason_code", "destination", "answer"], "state = 'dead'")
    _partial("events_on_hold", "events", ["hold_code", "account"], "hold_code IS NOT NULL")
    op.add_column("console_jobs", sa.Column("runner", sa.Text()))
    op.add_column("console_jobs", sa.Column("stopped_by", sa.Text()))
    op.create_table(
        "causes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("key", "kind", "code", "about")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("since_ms", "number", "most")),
        sa.Column("seen_by", sa.Text()),
        *(sa.Column(name, sa.BigInteger()) for name in ("seen_ms", "seen_number", "resolved_ms")),
        sa.PrimaryKeyConstraint("id"),
    )
    _partial("causes_open", "causes", ["key"], "resolved_ms IS NULL", unique=True)
    _partial("causes_resolved", "causes", ["resolved_ms"], "resolved_ms IS NOT NULL")


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    of = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=of, postgresql_where=of)
