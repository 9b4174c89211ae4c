"""The journal's tables of the accounts and destinations that people add; what is secret is sealed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from bridge.journal.schema import metadata
from bridge.journal.sealed import Sealed

tenant_accounts = Table(
    "tenant_accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("api_key", Sealed("tenant_accounts.api_key"), nullable=False),  # empty: the account has none
    Column("webhook_token", Sealed("tenant_accounts.webhook_token"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

tenant_destinations = Table(
    "tenant_destinations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", Sealed("tenant_destinations.url"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)
"""Accounts and destinations that a person added; where the environment names the same, the environment wins."""
