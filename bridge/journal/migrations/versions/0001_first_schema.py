"""The journal's first schema: events, deliveries, attempts, lanes, destinations, mapping revisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LANES = {"sqlite": 16, "postgresql": 64}
"""Enough that workers seldom wait for each other's lane, few enough that a drain finds a batch to share its commits:
SQLite has one writer at a time however many lanes there are, and PostgreSQL may have workers on several machines."""

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "destinations",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url_digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_subject", sa.Text(), nullable=True),
        sa.Column("several", sa.Boolean(), nullable=False),
        sa.Column("opens", sa.Integer(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("paused_ms", sa.BigInteger(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "events",
        sa.Column("id", _Id, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("repeats", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("hold_code", sa.Text(), nullable=True),
        sa.Column("hold_reason", sa.Text(), nullable=True),
        sa.Column("processed_ms", sa.BigInteger(), nullable=True),
        sa.Column("replay", sa.Integer(), server_default="0", nullable=False),
        sa.Column("replay_mapping", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account", "event_key", name="events_once"),
    )
    op.create_index(
        "events_due",
        "events",
        ["lane", "due_ms"],
        unique=False,
        sqlite_where=sa.text("state = 'received'"),
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_index("events_object", "events", ["object_id", "id"], unique=False)
    op.create_index("events_subject", "events", ["subject", "id"], unique=False)
    op.create_index(
        "events_waiting",
        "events",
        ["lane", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'received'"),
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_table(
        "journal_meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "lanes",
        sa.Column("lane", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane"),
    )
    op.create_table(
        "mapping_revisions",
        sa.Column("id", _Id, nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("mapping_revisions_newest", "mapping_revisions", ["mapping", "id"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", _Id, nullable=False),
        sa.Column("event_id", _Id, nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("revision_id", _Id, nullable=False),
        sa.Column("replay", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("order_at", sa.Text(), nullable=False),
        sa.Column("order_rank", sa.Integer(), nullable=False),
        sa.Column("skip_stale", sa.Boolean(), nullable=False),
        sa.Column("once_key", sa.Text(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("forgiven", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=True),
        sa.Column("waiting", sa.Text(), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["events.id"],
        ),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["mapping_revisions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id", "mapping", "replay", name="deliveries_once_per_mapping"),
    )
    op.create_index(
        "deliveries_dead",
        "deliveries",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'dead'"),
        postgresql_where=sa.text("state = 'dead'"),
    )
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["lane", "due_ms"],
        unique=False,
        sqlite_where=sa.text("due_ms IS NOT NULL"),
        postgresql_where=sa.text("due_ms IS NOT NULL"),
    )
    op.create_index(
        "deliveries_held",
        "deliveries",
        ["destination", "id"],
        unique=False,
        sqlite_where=sa.text("waiting = 'paused'"),
        postgresql_where=sa.text("waiting = 'paused'"),
    )
    op.create_index(
        "deliveries_line",
        "deliveries",
        ["account", "subject", "line", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'sending', 'retrying')"),
        postgresql_where=sa.text("state IN ('pending', 'sending', 'retrying')"),
    )
    op.create_index(
        "deliveries_newest",
        "deliveries",
        ["object_id", "line", "order_at", "order_rank"],
        unique=False,
        sqlite_where=sa.text("state = 'delivered'"),
        postgresql_where=sa.text("state = 'delivered'"),
    )
    op.create_index(
        "deliveries_plan",
        "deliveries",
        ["mapping", "once_key"],
        unique=False,
        sqlite_where=sa.text("once_key IS NOT NULL"),
        postgresql_where=sa.text("once_key IS NOT NULL"),
    )
    op.create_index(
        "deliveries_sending",
        "deliveries",
        ["lane"],
        unique=False,
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_table(
        "attempts",
        sa.Column("id", _Id, nullable=False),
        sa.Column("delivery_id", _Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("excerpt", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("delivery_id", "number", name="attempts_number"),
    )
    count = LANES[op.get_bind().dialect.name]
    lanes = sa.table("lanes", sa.column("lane"), sa.column("fence"), sa.column("lease_until_ms"))
    op.bulk_insert(lanes, [{"lane": lane, "fence": 0, "lease_until_ms": 0} for lane in range(count)])
    op.bulk_insert(
        sa.table("journal_meta", sa.column("key"), sa.column("value")), [{"key": "lanes", "value": str(count)}]
    )
