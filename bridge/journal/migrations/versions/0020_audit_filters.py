"""The list of changes narrowed by person, kind of action and period."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

INDEXES = {
    "audit_actor": ["actor", "id"],
    "audit_action": ["action", "id"],
    "audit_actor_action": ["actor", "action", "id"],
    "audit_at": ["at_ms", "id"],
}


def upgrade() -> None:
    for name, columns in INDEXES.items():
        op.create_index(name, "audit", columns)
