"""Accounts and destinations that the journal holds, with a version number that grows with each change of them.

Processes read the rows again only when the version grew. Keys, tokens and URLs are encrypted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, Integer, Text, cast, delete, insert, select, update

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


_TABLES = {StoredAccount: tenant_accounts, StoredDestination: tenant_destinations}


def version(connection: Connection) -> int:
    """Return the number of the newest change."""
    return int(connection.scalar(select(meta.c.value).where(_is_version)) or 0)


def accounts(connection: Connection) -> dict[str, StoredAccount]:
    rows = connection.execute(select(tenant_accounts).order_by(tenant_accounts.c.name)).mappings()
    return {row["name"]: StoredAccount(**row) for row in rows}


def destinations(connection: Connection) -> dict[str, StoredDestination]:
    rows = connection.execute(select(tenant_destinations).order_by(tenant_destinations.c.name)).mappings()
    return {row["name"]: StoredDestination(**row) for row in rows}


def put(connection: Connection, row: StoredAccount | StoredDestination) -> None:
    """Add the account or destination, or replace the one of that name, whose `created_ms` stays."""
    _raise_version(connection)
    table, values = _TABLES[type(row)], asdict(row)
    changes = {name: value for name, value in values.items() if name != "created_ms"}
    if not connection.execute(update(table).where(table.c.name == row.name).values(**changes)).rowcount:
        connection.execute(insert(table).values(**values))


def remove(connection: Connection, kind: type[StoredAccount | StoredDestination], name: str) -> bool:
    _raise_version(connection)
    table = _TABLES[kind]
    return connection.execute(delete(table).where(table.c.name == name)).rowcount > 0


def _raise_version(connection: Connection) -> None:
    # The first statement of the transaction: its row lock puts changes in order.
    connection.execute(update(meta).where(_is_version).values(value=cast(cast(meta.c.value, Integer) + 1, Text)))
