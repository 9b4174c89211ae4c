"""Accounts and destinations that the journal holds, with a version number that grows with each change of them.

Processes read the rows again only when the version grew. Keys, tokens and URLs are encrypted. `journal_meta` also holds
whether the guide to the first ones was dismissed.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Integer, Table, Text, cast, delete, insert, select, update

from bridge.journal.schema import meta, tenant_accounts, tenant_destinations
from bridge.settings import Account

_is_version = meta.c.key == "tenants"


@dataclass(frozen=True, slots=True)
class StoredAccount(Account):
    changed_ms: int = 0


def version(connection: Connection) -> int:
    """Return the number of the newest change."""
    return int(connection.scalar(select(meta.c.value).where(_is_version)) or 0)


def accounts(connection: Connection) -> dict[str, StoredAccount]:
    c = tenant_accounts.c
    rows = connection.execute(select(c.name, c.api_key, c.webhook_token, c.changed_ms).order_by(c.name)).mappings()
    return {row["name"]: StoredAccount(**row) for row in rows}


def destinations(connection: Connection) -> dict[str, str]:
    """Return the webhook URL of each destination."""
    c = tenant_destinations.c
    return {row.name: row.url for row in connection.execute(select(c.name, c.url).order_by(c.name))}


def put(connection: Connection, table: Table, name: str, now_ms: int, **values: str) -> None:
    """Add the account or destination, or change the one of that name."""
    _raise_version(connection)
    change = update(table).where(table.c.name == name).values(changed_ms=now_ms, **values)
    if not connection.execute(change).rowcount:
        connection.execute(insert(table).values(name=name, created_ms=now_ms, changed_ms=now_ms, **values))


def remove(connection: Connection, table: Table, name: str) -> bool:
    _raise_version(connection)
    return connection.execute(delete(table).where(table.c.name == name)).rowcount > 0


def _raise_version(connection: Connection) -> None:
    # The first statement of the transaction: its row lock puts changes in order.
    connection.execute(update(meta).where(_is_version).values(value=cast(cast(meta.c.value, Integer) + 1, Text)))


_is_guide = meta.c.key == "guide_dismissed"


def guide_is_dismissed(connection: Connection) -> bool:
    return connection.scalar(select(meta.c.value).where(_is_guide)) is not None


def dismiss_guide(connection: Connection) -> None:
    if not guide_is_dismissed(connection):
        connection.execute(insert(meta).values(key="guide_dismissed", value="1"))
