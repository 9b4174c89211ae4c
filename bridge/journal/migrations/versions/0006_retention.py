"""When an event's body and what was made of it were emptied."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("emptied_ms", sa.BigInteger(), nullable=True))
