"""The journal's table of what people are told, and whether they were."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from bridge.journal.schema import metadata

alerts = Table(
    "alerts",
    metadata,
    Column("code", Text, primary_key=True),
    Column("about", Text, primary_key=True),
    Column("level", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("times", Integer, nullable=False),
    Column("told_ms", BigInteger),
    Column("over_ms", BigInteger),
    Column("failures", Integer, nullable=False),
)
