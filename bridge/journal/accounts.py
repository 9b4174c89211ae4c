"""Accounts and destinations that are kept in the journal, with a number that grows with each change of them.

The number is what every process looks at: only where it grew are the rows read. Keys, tokens and URLs are sealed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, Integer, Text, cast, delete, insert, select, update

from bridge.journal.schema import meta, tenant_accounts, tenant_destinations

_VERSION = "tenants"
_version = select(meta.c.value).where(meta.c.key == _VERSION)


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """One Asaas account of the journal."""

    name: str
    api_key: str = field(repr=False)
    webhook_token: str = field(repr=False)
    created_ms: int = 0
    changed_ms: int = 0


@dataclass(frozen=True, slots=True)
class StoredDestination:
    """One webhook URL of the journal."""

    name: str
    url: str = field(repr=False)
    created_ms: int = 0
    changed_ms: int = 0


def version(connection: Connection) -> int:
    """Return the number of the newest change."""
    return int(connection.scalar(_version) or 0)


def accounts(connection: Connection) -> dict[str, StoredAccount]:
    """Return the accounts by name; raises DecryptionFailed."""
    rows = connection.execute(select(tenant_accounts).order_by(tenant_accounts.c.name)).mappings()
    return {row["name"]: StoredAccount(**row) for row in rows}


def destinations(connection: Connection) -> dict[str, StoredDestination]:
    """Return the destinations by name; raises DecryptionFailed."""
    rows = connection.execute(select(tenant_destinations).order_by(tenant_destinations.c.name)).mappings()
    return {row["name"]: StoredDestination(**row) for row in rows}


def put_account(connection: Connection, account: StoredAccount) -> None:
    """Add an account, or change the one of that name."""
    _changed(connection)
    table = tenant_accounts
    values = {
        "api_key": account.api_key,
        "webhook_token": account.webhook_token,
        "changed_ms": account.changed_ms,
    }
    if not connection.execute(update(table).where(table.c.name == account.name).values(**values)).rowcount:
        connection.execute(insert(table).values(name=account.name, created_ms=account.created_ms, **values))


def put_destination(connection: Connection, destination: StoredDestination) -> None:
    """Add a destination, or change the URL of the one of that name."""
    _changed(connection)
    table = tenant_destinations
    values = {"url": destination.url, "changed_ms": destination.changed_ms}
    if not connection.execute(update(table).where(table.c.name == destination.name).values(**values)).rowcount:
        connection.execute(insert(table).values(name=destination.name, created_ms=destination.created_ms, **values))


def remove_account(connection: Connection, name: str) -> bool:
    """Remove an account; return whether it was there."""
    _changed(connection)
    return connection.execute(delete(tenant_accounts).where(tenant_accounts.c.name == name)).rowcount > 0


def remove_destination(connection: Connection, name: str) -> bool:
    """Remove a destination's URL; return whether it was there."""
    _changed(connection)
    return connection.execute(delete(tenant_destinations).where(tenant_destinations.c.name == name)).rowcount > 0


def _changed(connection: Connection) -> None:
    # First in the transaction: its lock lets one change at a time be made.
    connection.execute(
        update(meta).where(meta.c.key == _VERSION).values(value=cast(cast(meta.c.value, Integer) + 1, Text))
    )
