"""Finds charges and customers by what people know of them: a name, an e-mail, a CPF, an invoice number.

Terms are written when an event is processed, as keyed hashes, so that the journal's index holds no second copy of
anybody's name. A term must therefore be given whole: a word of a name, a whole address, a whole document. Terms go
with the last full event that they lead to.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select, tuple_

from bridge.journal.encryption import search_key
from bridge.journal.schema import events, search_terms
from bridge.journal.statements import BulkStatement

MOST = 500
"""Charges and customers that one search goes on with; who finds more looks for too little."""

_INSERT = BulkStatement(
    # WHERE: without it SQLite takes ON for a join's.
    "INSERT INTO search_terms ({columns}) SELECT {values} FROM {given} WHERE true ON CONFLICT DO NOTHING",
    search_terms,
    *("term", "kind", "account", "ref"),
)
_MOST_OF_TERM = 200
_WORD = re.compile(r"[^\W_]+")
_OF_CHARGE = ("invoiceNumber", "externalReference", "subscription", "installment", "paymentLink", "pixTransaction")


class Kind(StrEnum):
    """What a term is, and with that what it leads to: a charge, or a customer by one of the rest."""

    OBJECT = "object"
    SUBJECT = "subject"
    """A word of the name. Older journals have every term of a customer as this kind."""
    EMAIL = "email"
    DOCUMENT = "document"
    PHONE = "phone"
    OTHER = "other"
    """What several customers may share: an accountant's address, a reference."""


WHOSE = frozenset({Kind.EMAIL, Kind.DOCUMENT, Kind.PHONE})
"""The kinds that tell one person from another."""

Ref: TypeAlias = tuple[str, str]
"""An account, and the id of a charge or a customer in it."""


@dataclass(frozen=True, slots=True)
class Term:
    """One word that leads to a charge or a customer."""

    text: str
    kind: Kind
    account: str
    ref: str


def terms_of_object(account: str, ref: str, entity: Mapping[str, Any]) -> list[Term]:
    """Return what leads to the object of an event, such as a charge's invoice number."""
    values = [entity.get(name) for name in _OF_CHARGE]
    texts = {plain(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)}
    return [Term(text, Kind.OBJECT, account, ref) for text in sorted(texts) if text and ref]


def terms_of_customer(account: str, ref: str, customer: Mapping[str, Any]) -> list[Term]:
    """Return what leads to a customer as the Asaas API has it."""
    get = customer.get
    shared = get("additionalEmails")
    texts = {
        Kind.SUBJECT: {*words(get("name")), *words(get("company"))},
        Kind.EMAIL: {plain(get("email"))},
        Kind.DOCUMENT: {digits(get("cpfCnpj"))},
        Kind.PHONE: {digits(get("phone")), digits(get("mobilePhone"))},
        Kind.OTHER: {plain(get("externalReference"))}
        | ({plain(one) for one in re.split("[,;]", shared)} if isinstance(shared, str) else set()),
    }
    return [Term(text, kind, account, ref) for kind, found in texts.items() for text in sorted(found) if text and ref]


def write(connection: Connection, terms: Iterable[Term]) -> None:
    """Write these terms; those that are there already cost a look each."""
    rows = {(term.text, term.kind, term.account, term.ref): term for term in terms}
    if not rows:
        return
    key = search_key(connection)
    # Always in one order, or two batches could wait for each other's.
    _INSERT.run(connection, sorted((hashed(key, t.text), t.kind.value, t.account, t.ref) for t in rows.values()))


def of(table: Table, column: str, refs: Collection[Ref]) -> ColumnElement[bool]:
    """Return the condition that a row is of one of these: an id alone may be another account's."""
    ids = {id_ for _, id_ in refs}
    # The ids by themselves too, since the indexes begin with them.
    return table.c[column].in_(sorted(ids)) & tuple_(table.c.account, table.c[column]).in_(sorted(refs))


def refs_of(connection: Connection, event_ids: Collection[int]) -> set[Ref]:
    """Return the charges and customers of these events."""
    query = select(events.c.account, events.c.object_id, events.c.subject).where(events.c.id.in_(event_ids)).distinct()
    return {(row.account, ref) for row in connection.execute(query) for ref in row[1:] if ref}


def forget(connection: Connection, refs: Collection[Ref]) -> None:
    """Remove what leads to those of these charges and customers of whom no event is full any more."""
    kept: set[Ref] = set()
    for column in ("object_id", "subject"):
        full = select(events.c.account, events.c[column]).where(of(events, column, refs), events.c.emptied_ms.is_(None))
        kept |= {(row[0], row[1]) for row in connection.execute(full.distinct())}
    connection.execute(delete(search_terms).where(of(search_terms, "ref", set(refs) - kept)))


@dataclass(frozen=True, slots=True)
class Found:
    """Where a search leads to."""

    objects: tuple[Ref, ...] = ()
    subjects: tuple[Ref, ...] = ()


def look_up(connection: Connection, text: str) -> Found:
    """Return the charges and customers that a text leads to: a whole number, address or document, or words of a name.

    Of several words all must lead to the same one.
    """
    whole = {part for part in (plain(text), digits(text) if _is_number(text) else "") if part}
    objects = leading(connection, whole, search_terms.c.kind == Kind.OBJECT.value)
    subjects = leading(connection, whole, search_terms.c.kind != Kind.OBJECT.value)
    named = set(words(text))
    if named and not subjects:
        subjects = leading(connection, named, search_terms.c.kind == Kind.SUBJECT.value, together=len(named))
    return Found(objects, subjects)


def leading(
    connection: Connection, texts: Collection[str], kinds: ColumnElement[bool], *, together: int = 1
) -> tuple[Ref, ...]:
    """Return what at least so many of these terms, of these kinds, lead to."""
    c = search_terms.c
    key = search_key(connection)
    query = select(c.account, c.ref).where(c.term.in_([hashed(key, text) for text in sorted(texts)]), kinds)
    query = query.group_by(c.account, c.ref).order_by(c.account, c.ref).limit(MOST)
    if together > 1:
        query = query.having(func.count(c.term.distinct()) == together)
    return tuple((row.account, row.ref) for row in connection.execute(query))


def hashed(key: bytes, text: str) -> str:
    """Return a term as it stands in the journal."""
    return hmac.digest(key, text.encode("utf-8", "replace"), "sha256").hex()[:24]


def words(text: Any) -> list[str]:
    """Return the words of a name, without case and accents; those of one letter lead nowhere."""
    return [word for word in _WORD.findall(plain(text)) if len(word) > 1 and not word.isdigit()]


def plain(value: Any) -> str:
    """Return a text without case, accents and the space around it."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))[:_MOST_OF_TERM]


def digits(value: Any) -> str:
    """Return the digits of a document or phone (a CNPJ may hold letters), without a phone's country code."""
    text = re.sub(r"[^0-9a-z]", "", plain(value))
    return text[2:] if len(text) in {12, 13} and text.startswith("55") and text.isdigit() else text


def _is_number(text: str) -> bool:
    """Return whether a text is a document or phone as people write them."""
    return bool(
        re.fullmatch(
            r"[\d\s().+/-]{8,}|[\dA-Za-z]{2}\.?[\dA-Za-z]{3}\.?[\dA-Za-z]{3}/?[\dA-Za-z]{4}-?\d{2}", text.strip()
        )
    )
