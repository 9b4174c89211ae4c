"""Accounts, destinations and Clint's API token that the journal holds, with a version number.

It grows with each change, and processes read the rows again only then. Keys, tokens and URLs are encrypted.
`journal_meta` also holds the bridge's public address, and whether the guide to the first ones was dismissed.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Integer, Table, Text, cast, delete, insert, select, update

from bridge.journal.schema import meta, tenant_accounts, tenant_clint, tenant_destinations
from bridge.settings import DEFAULT, Account

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


def clint_token(connection: Connection) -> str:
    """Return the token of Clint's API; empty where none is stored."""
    return connection.scalar(select(tenant_clint.c.token).where(tenant_clint.c.name == DEFAULT)) or ""


def put(connection: Connection, table: Table, name: str, now_ms: int, **values: str) -> None:
    """Add the row of that name, or change it."""
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


_is_public_url = meta.c.key == "public_url"


def public_url(connection: Connection, of_settings: str) -> str:
    """Return the bridge's public address: that of the settings, else the last one that a person gave for a webhook.

    Empty where there is neither.
    """
    return of_settings or connection.scalar(select(meta.c.value).where(_is_public_url)) or ""


def put_public_url(connection: Connection, url: str) -> None:
    if not connection.execute(update(meta).where(_is_public_url).values(value=url)).rowcount:
        connection.execute(insert(meta).values(key="public_url", value=url))


_is_guide = meta.c.key == "guide_dismissed"


def guide_is_dismissed(connection: Connection) -> bool:
    return connection.scalar(select(meta.c.value).where(_is_guide)) is not None


def dismiss_guide(connection: Connection) -> None:
    if not guide_is_dismissed(connection):
        connection.execute(insert(meta).values(key="guide_dismissed", value="1"))
