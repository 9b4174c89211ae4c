"""The people and groups that alerts go to, and what each of them was told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_receivers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("areas", sa.Text(), nullable=False),
        sa.Column("accounts", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("summary_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True),
        sa.Column("failing_ms", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.UniqueConstraint("name", name="alert_receivers_name"),
    )
    # The receiver joins the primary key, which SQLite can't change. The table holds a row for each open problem. The
    # version before writes rows without the new columns.
    connection = op.get_bind()
    rows = [dict(row) for row in connection.execute(sa.text("SELECT * FROM alerts")).mappings()]
    op.drop_table("alerts")
    alerts = op.create_table(
        "alerts",
        sa.Column("receiver", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("mend", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("told_ms", sa.BigInteger(), nullable=True),
        sa.Column("over_ms", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("told_size", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("receiver", "code", "about"),
    )
    op.bulk_insert(alerts, [{**row, "receiver": 0, "told_size": 0} for row in rows])
