"""Name, e-mail, phone and document of each customer, as the Asaas API answered last.

Retention removes a row together with the last full event of its customer, like the search terms.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, delete, select, tuple_

from bridge.journal import search
from bridge.journal.schema import customers, events
from bridge.journal.search import Found, Kind, Ref
from bridge.journal.statements import BulkStatement
from bridge.model import EventState

Row: TypeAlias = dict[str, Any]

PREFIX = "cus_"
"""Ids of customers at Asaas begin with this; the subject of an event without a customer does not."""
LOOKED_AT = 5_000
"""The newest events of the journal among which `unnamed` looks."""

_UPSERT = BulkStatement(
    # Without WHERE SQLite parses ON as that of a join.
    "INSERT INTO customers ({columns}) SELECT {values} FROM {given} WHERE true"
    " ON CONFLICT (account, id) DO UPDATE SET person = excluded.person, seen_ms = excluded.seen_ms",
    customers,
    *("account", "id", "person", "seen_ms"),
)
_INSERT = BulkStatement(
    "INSERT INTO customers ({columns}) SELECT {values} FROM {given} WHERE true ON CONFLICT DO NOTHING",
    customers,
    *("account", "id", "seen_ms"),
)


@dataclass(frozen=True, slots=True)
class Customer:
    name: str = ""
    email: str = ""
    phone: str = ""
    document: str = ""
    """The CPF or CNPJ."""


def of_asaas(found: Mapping[str, Any]) -> Customer:
    """Return the fields that the journal keeps of a customer of the Asaas API."""

    def text(*names: str) -> str:
        return next((str(found[name]).strip()[:200] for name in names if isinstance(found.get(name), str | int)), "")

    return Customer(text("name"), text("email"), text("mobilePhone", "phone"), text("cpfCnpj"))


def record(connection: Connection, found: Iterable[Found], unknown: Collection[Ref], now_ms: int) -> None:
    """Write the search terms of charges and customers, and the customers that changed.

    `unknown` are customers that Asaas does not have; a known person stays as they are.
    """
    changed = {(one.account, one.ref): one for one in search.index(connection, found) if one.kind is Kind.SUBJECT}
    if changed:
        rows = [(*ref, _json(of_asaas(one.fields)), now_ms) for ref, one in sorted(changed.items())]
        _UPSERT.run(connection, rows)
    if unknown:
        _INSERT.run(connection, [(*ref, now_ms) for ref in sorted(set(unknown))])


def _json(customer: Customer) -> str:
    values = {"name": customer.name, "email": customer.email, "phone": customer.phone, "document": customer.document}
    # Escaped: a name may hold NUL and half characters, which databases refuse.
    return json.dumps({name: value for name, value in values.items() if value})


def load(connection: Connection, refs: Collection[Ref]) -> dict[Ref, Customer]:
    """Return the known ones of these customers."""
    if not refs:
        return {}
    c = customers.c
    query = select(c.account, c.id, c.person).where(_of(refs), c.person.is_not(None))
    return {(row.account, row.id): _read(row.person) for row in connection.execute(query)}


def _read(person: str) -> Customer:
    values = json.loads(person)
    return Customer(**{name: str(values[name]) for name in ("name", "email", "phone", "document") if name in values})


def is_unknown(connection: Connection, ref: Ref) -> bool:
    """Return whether Asaas said that it has no such customer."""
    return connection.scalar(select(customers.c.id).where(_of([ref]), customers.c.person.is_(None))) is not None


def unnamed(connection: Connection, account: str, limit: int) -> list[str]:
    """Return the customers of the account's newest processed events that Asaas was not asked for yet, newest first."""
    e, c = events.c, customers.c
    newest = connection.scalar(select(e.id).order_by(e.id.desc()).limit(1)) or 0
    asked = select(c.id).where(c.account == e.account, c.id == e.subject)
    query = select(e.subject).where(e.account == account, e.id > newest - LOOKED_AT, e.emptied_ms.is_(None))
    # A worker that decides about an event may be asking for its customer at this moment.
    query = query.where(e.state == EventState.PROCESSED.value)
    query = query.where(e.subject.startswith(PREFIX, autoescape=True), ~asked.exists()).order_by(e.id.desc())
    return list(dict.fromkeys(connection.scalars(query.limit(limit * 10))))[:limit]


def forget(connection: Connection, refs: Collection[Ref]) -> None:
    if refs:
        connection.execute(delete(customers).where(_of(refs)))


def _of(refs: Collection[Ref]) -> ColumnElement[bool]:
    c = customers.c
    accounts, ids = ({ref[place] for ref in refs} for place in (0, 1))
    # Also one by one: SQLite finds no pair by the index.
    return c.account.in_(sorted(accounts)) & c.id.in_(sorted(ids)) & tuple_(c.account, c.id).in_(sorted(refs))
