"""Accounts and destinations that the journal holds, with a version number that grows with each change of them.

Processes read the rows again only when the version grew. Keys, tokens and URLs are encrypted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, Integer, Table, Text, cast, delete, insert, select, update

from bridge.journal.schema import meta, tenant_accounts, tenant_destinations

_is_version = meta.c.key == "tenants"


@dataclass(frozen=True, slots=True)
class StoredAccount:
    name: str
    api_key: str = field(repr=False)
    webhook_token: str = field(repr=False)
    created_ms: int = 0
    changed_ms: int = 0


@dataclass(frozen=True, slots=True)
class StoredDestination:
    name: str
    url: str = field(repr=False)
    created_ms: int = 0
    changed_ms: int = 0


def version(connection: Connection) -> int:
    """Return the number of the newest change."""
    return int(connection.scalar(select(meta.c.value).where(_is_version)) or 0)


def accounts(connection: Connection) -> dict[str, StoredAccount]:
    rows = connection.execute(select(tenant_accounts).order_by(tenant_accounts.c.name)).mappings()
    return {row["name"]: StoredAccount(**row) for row in rows}


def destinations(connection: Connection) -> dict[str, StoredDestination]:
    rows = connection.execute(select(tenant_destinations).order_by(tenant_destinations.c.name)).mappings()
    return {row["name"]: StoredDestination(**row) for row in rows}


def put_account(connection: Connection, account: StoredAccount) -> None:
    """Add the account, or replace the one of that name, whose `created_ms` stays."""
    _put(connection, tenant_accounts, account)


def put_destination(connection: Connection, destination: StoredDestination) -> None:
    """Add the destination, or replace the one of that name, whose `created_ms` stays."""
    _put(connection, tenant_destinations, destination)


def remove_account(connection: Connection, name: str) -> bool:
    return _remove(connection, tenant_accounts, name)


def remove_destination(connection: Connection, name: str) -> bool:
    return _remove(connection, tenant_destinations, name)


def _put(connection: Connection, table: Table, row: StoredAccount | StoredDestination) -> None:
    _raise_version(connection)
    values = asdict(row)
    changes = {name: value for name, value in values.items() if name != "created_ms"}
    if not connection.execute(update(table).where(table.c.name == row.name).values(**changes)).rowcount:
        connection.execute(insert(table).values(**values))


def _remove(connection: Connection, table: Table, name: str) -> bool:
    _raise_version(connection)
    return connection.execute(delete(table).where(table.c.name == name)).rowcount > 0


def _raise_version(connection: Connection) -> None:
    # The first statement of the transaction: its row lock puts changes in order.
    connection.execute(update(meta).where(_is_version).values(value=cast(cast(meta.c.value, Integer) + 1, Text)))
