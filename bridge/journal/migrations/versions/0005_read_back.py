"""Whether the deal of a delivery was seen in Clint."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("read_back", sa.Text(), nullable=True))
    op.add_column("deliveries", sa.Column("read_back_tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("read_back_due_ms", sa.BigInteger(), nullable=True))
    op.add_column("deliveries", sa.Column("read_back_detail", sa.Text(), nullable=True))
    op.create_index(
        "deliveries_read_back",
        "deliveries",
        ["finished_ms"],
        unique=False,
        sqlite_where=sa.text("read_back = 'asked'"),
        postgresql_where=sa.text("read_back = 'asked'"),
    )
