"""Counts by the hour: triggers tally what comes in and what ends, the sweeper adds the tallies up.

Triggers, because then no way to change a delivery can be forgotten, those of the version before this one included.
What is in the journal already is counted in the same transaction, which holds writers up for that time.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_HOUR = 3_600_000
_KEY = "hour_ms, account, mapping, destination, event, verdict"
_INTO = f"INSERT INTO tallies ({_KEY}, number, latency_ms)"


def _received(row: str) -> str:
    return f"{row}.received_ms / {_HOUR} * {_HOUR}, {row}.account, '', '', {row}.name, 'received'"


def _ended(row: str) -> str:
    hour = f"{row}.finished_ms / {_HOUR} * {_HOUR}"
    return f"{hour}, {row}.account, {row}.mapping, {row}.destination, events.name, {row}.state"


def _latency(row: str) -> str:
    return (
        f"CASE WHEN {row}.state = 'delivered' THEN {row}.finished_ms"
        f" - CASE WHEN {row}.replay = 0 THEN events.received_ms ELSE {row}.created_ms END ELSE 0 END"
    )


def _tally(row: str, sign: str) -> str:
    return (
        f"{_INTO} SELECT {_ended(row)}, {sign}1, {sign}({_latency(row)}) FROM events"
        f" WHERE events.id = {row}.event_id AND {row}.finished_ms IS NOT NULL;"
    )


_CHANGED = "OLD.state <> NEW.state AND (OLD.finished_ms IS NOT NULL OR NEW.finished_ms IS NOT NULL)"
_TRIGGERS = (  # name, table, when, condition, what is done
    ("events_tally", "events", "INSERT", "", f"{_INTO} VALUES ({_received('NEW')}, 1, 0);"),
    ("deliveries_tally_new", "deliveries", "INSERT", "NEW.finished_ms IS NOT NULL", _tally("NEW", "")),
    ("deliveries_tally", "deliveries", "UPDATE OF state", _CHANGED, _tally("OLD", "-") + _tally("NEW", "")),
)
_COUNTED = (
    f"SELECT {_received('events')}, count(*), 0 FROM events GROUP BY 1, 2, 5",
    f"SELECT {_ended('deliveries')}, count(*), sum({_latency('deliveries')})"
    " FROM deliveries JOIN events ON events.id = deliveries.event_id"
    " WHERE deliveries.finished_ms IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6",
)


def _columns(*, keyed: bool) -> list[sa.Column[Any]]:
    texts = ("account", "mapping", "destination", "event", "verdict")
    return [
        sa.Column("hour_ms", sa.BigInteger(), primary_key=keyed, nullable=False),
        *(sa.Column(name, sa.Text(), primary_key=keyed, nullable=False) for name in texts),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.BigInteger(), nullable=False),
    ]


def upgrade() -> None:
    op.create_table("rollups", *_columns(keyed=True))
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table("tallies", sa.Column("id", number, primary_key=True), *_columns(keyed=False))
    for trigger in _TRIGGERS:
        _create(*trigger)
    for counted in _COUNTED:
        op.execute(f"INSERT INTO rollups ({_KEY}, number, latency_ms) {counted}")


def _create(name: str, table: str, when: str, condition: str, body: str) -> None:
    condition = f" WHEN ({condition})" if condition else ""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER {name} AFTER {when} ON {table}{condition} BEGIN {body} END")
        return
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$")
    op.execute(f"CREATE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW{condition} EXECUTE FUNCTION {name}()")
