"""The deals and contacts that the bridge makes by Clint's API."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("origin_id", "key_digest")),
        sa.Column("key", sa.Text(), nullable=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("account", "subject")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("contact_id", "deal_id")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("stage_id", "status")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("wanted_stage_id", "wanted_status")),
        sa.Column("contact_digest", sa.Text(), nullable=True),
        *_claimed(),
        sa.UniqueConstraint("origin_id", "key_digest", name="deals_once"),
    )
    op.create_index("deals_subject", "deals", ["subject", "account"])
    op.create_table(
        "deal_contacts",
        sa.Column("key_digest", sa.Text(), primary_key=True),
        sa.Column("contact_id", sa.Text(), nullable=True),
        *_claimed(),
    )
    op.create_index("deal_contacts_id", "deal_contacts", ["contact_id"])


def _claimed() -> list[sa.Column[Any]]:
    names = ("creating_ms", "claim_lane", "claim_fence", "claim_delivery")
    return [
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in names),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("claim_until_ms", "updated_ms")),
    ]
