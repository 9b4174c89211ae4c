"""Events say how they came: posted by Asaas, or backfilled from its API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("origin", sa.Text(), server_default="webhook", nullable=False))
