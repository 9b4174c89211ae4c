"""The tables of the counts by the hour; triggers of migration 0007 write the tallies, the sweeper adds them up."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from bridge.journal.schema import metadata

_COUNTED_BY = ("account", "mapping", "destination", "event", "verdict")

rollups = Table(
    "rollups",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, Text, primary_key=True) for name in _COUNTED_BY),
    Column("number", BigInteger, nullable=False),
    Column("latency_ms", BigInteger, nullable=False),
)
tallies = Table(
    "tallies",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("hour_ms", BigInteger, nullable=False),
    *(Column(name, Text, nullable=False) for name in _COUNTED_BY),
    Column("number", BigInteger, nullable=False),  # 1, or -1 where what was counted is undone
    Column("latency_ms", BigInteger, nullable=False),
)
