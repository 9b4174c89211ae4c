"""Finds charges and customers by a name, an e-mail, a CPF or CNPJ, a phone or an invoice number.

Terms are written when an event is processed, as keyed hashes, so that the index holds no second copy of a name. So a
search needs a whole term: a word of a name, an e-mail, a document. A term is removed with the last full event of its
charge or customer.
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

_MOST_FOUND = 500  # charges and customers of one search; a term with more is too common to be useful

_INSERT = BulkStatement(
    # Without WHERE SQLite parses ON as that of a join.
    "INSERT INTO search_terms ({columns}) SELECT {values} FROM {given} WHERE true ON CONFLICT DO NOTHING",
    search_terms,
    *("term", "kind", "account", "ref"),
)
_MOST_OF_TERM = 200
_WORD = re.compile(r"[^\W_]+")
_OF_CHARGE = ("invoiceNumber", "externalReference", "subscription", "installment", "paymentLink", "pixTransaction")


class Kind(StrEnum):
    """The kind of a term: OBJECT leads to a charge, every other kind to a customer."""

    OBJECT = "object"
    SUBJECT = "subject"  # a word of the name; in older journals every term of a customer
    EMAIL = "email"
    DOCUMENT = "document"
    PHONE = "phone"
    OTHER = "other"  # a term that several customers may share: an accountant's address, a reference


WHOSE = frozenset({Kind.EMAIL, Kind.DOCUMENT, Kind.PHONE})  # the kinds that identify a person

Ref: TypeAlias = tuple[str, str]  # an account, and the id of a charge or a customer in it


@dataclass(frozen=True, slots=True)
class Term:
    text: str
    kind: Kind
    account: str
    ref: str


def terms_of_object(account: str, ref: str, entity: Mapping[str, Any]) -> list[Term]:
    """Return the terms of an event's object, such as the invoice number of a charge."""
    values = [entity.get(name) for name in _OF_CHARGE]
    texts = {plain(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)}
    return [Term(text, Kind.OBJECT, account, ref) for text in sorted(texts) if text and ref]


def terms_of_customer(account: str, ref: str, customer: Mapping[str, Any]) -> list[Term]:
    """Return the terms of a customer of the Asaas API."""
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
    """Insert these terms, unless they exist."""
    if not (unique := set(terms)):
        return
    key = search_key(connection)
    # In one order of rows, which prevents deadlocks of two batches.
    _INSERT.run(connection, sorted((hashed(key, t.text), t.kind.value, t.account, t.ref) for t in unique))


def of(table: Table, column: str, refs: Collection[Ref]) -> ColumnElement[bool]:
    """Return the condition that a row belongs to one of these; accounts may share ids."""
    ids = {id_ for _, id_ in refs}
    # Also the ids alone, since the indexes begin with them.
    return table.c[column].in_(sorted(ids)) & tuple_(table.c.account, table.c[column]).in_(sorted(refs))


def refs_of(connection: Connection, event_ids: Collection[int]) -> set[Ref]:
    query = select(events.c.account, events.c.object_id, events.c.subject).where(events.c.id.in_(event_ids)).distinct()
    return {(row.account, ref) for row in connection.execute(query) for ref in row[1:] if ref}


def forget(connection: Connection, refs: Collection[Ref]) -> None:
    """Remove the terms of those of these charges and customers whose events are all emptied."""
    full: set[Ref] = set()
    for column in ("object_id", "subject"):
        c = events.c
        query = select(c.account, c[column]).where(of(events, column, refs), c.emptied_ms.is_(None)).distinct()
        full |= {(row[0], row[1]) for row in connection.execute(query)}
    connection.execute(delete(search_terms).where(of(search_terms, "ref", set(refs) - full)))


def look_up(connection: Connection, text: str) -> tuple[list[Ref], list[Ref]]:
    """Return the charges and customers of a text: a number, an e-mail, a document, or words of a name.

    All words of a name must lead to the same customer.
    """
    whole = {part for part in (plain(text), digits(text) if _is_number(text) else "") if part}
    objects = leading(connection, whole, search_terms.c.kind == Kind.OBJECT.value)
    subjects = leading(connection, whole, search_terms.c.kind != Kind.OBJECT.value)
    named = set(words(text))
    if named and not subjects:
        subjects = leading(connection, named, search_terms.c.kind == Kind.SUBJECT.value, together=len(named))
    return objects, subjects


def leading(
    connection: Connection, texts: Collection[str], kinds: ColumnElement[bool], *, together: int = 1
) -> list[Ref]:
    """Return the charges or customers of at least `together` of these terms, of these kinds."""
    c = search_terms.c
    key = search_key(connection)
    query = select(c.account, c.ref).where(c.term.in_([hashed(key, text) for text in sorted(texts)]), kinds)
    query = query.group_by(c.account, c.ref).order_by(c.account, c.ref).limit(_MOST_FOUND)
    if together > 1:
        query = query.having(func.count(c.term.distinct()) == together)
    return [(row.account, row.ref) for row in connection.execute(query)]


def hashed(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode("utf-8", "replace"), "sha256").hex()[:24]


def words(text: Any) -> list[str]:
    """Return the words of a name, without case and accents, those of one letter left out."""
    return [word for word in _WORD.findall(plain(text)) if len(word) > 1 and not word.isdigit()]


def plain(value: Any) -> str:
    """Return a text without case, accents and surrounding space."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))[:_MOST_OF_TERM]


def digits(value: Any) -> str:
    """Return the digits of a document or phone (a CNPJ may hold letters), without a phone's country code."""
    text = re.sub(r"[^0-9a-z]", "", plain(value))
    return text[2:] if len(text) in {12, 13} and text.startswith("55") and text.isdigit() else text


def _is_number(text: str) -> bool:
    phone_or_cpf = r"[\d\s().+/-]{8,}"
    cnpj = r"[\dA-Za-z]{2}\.?[\dA-Za-z]{3}\.?[\dA-Za-z]{3}/?[\dA-Za-z]{4}-?\d{2}"
    return re.fullmatch(f"{phone_or_cpf}|{cnpj}", text.strip()) is not None
