"""Where in Clint a destination's deals stand, so that a deal of another origin proves nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("destinations", sa.Column("origin_id", sa.Text()))
    op.add_column("destinations", sa.Column("stage_id", sa.Text()))
