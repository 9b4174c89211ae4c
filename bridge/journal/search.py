"""Finds charges and customers by words of a name or description, an e-mail, a CPF or CNPJ, a phone, an invoice number.

Terms are written when an event is processed, as keyed hashes, so that the index holds no second copy of a name. Words
have a term for each of their beginnings; a number, an e-mail or a document is found whole only. A term is removed with
the last full event of its charge or customer.
"""

from __future__ import annotations

import hmac
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select, tuple_

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
_OF_CUSTOMER = ("name", "company", "email", "additionalEmails", "cpfCnpj", "phone", "mobilePhone", "externalReference")
_SHORTEST, _LONGEST = 3, 8
"""The lengths of the beginnings of a word that are terms; a longer part of a word is looked up by its first letters."""
_MOST_WORDS = 12
"""Words of a description that are terms, and as many numbers."""
_NUMBER = range(2, 13)
"""How many digits a number has that is a term."""


class Kind(StrEnum):
    """The kind of a term: OBJECT leads to a charge, every other kind to a customer."""

    OBJECT = "object"
    SUBJECT = "subject"  # a word of the name, or its beginning; in older journals every term of a customer
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


@dataclass(frozen=True, slots=True)
class Found:
    """A charge or a customer as Asaas said it, with the fields that are searched."""

    account: str
    ref: str
    kind: Kind
    """OBJECT or SUBJECT."""
    fields: Mapping[str, Any]

    def terms(self) -> list[Term]:
        make = terms_of_object if self.kind is Kind.OBJECT else terms_of_customer
        return make(self.account, self.ref, self.fields)

    @property
    def mark(self) -> str:
        """A text that no search holds, whose term stands for all terms of these fields."""
        # The 2 has what was indexed without the numbers of a description or name indexed again by the next event.
        return f"\0002\0{self.account}\0{self.ref}\0{json.dumps(self.fields, default=str)}"


def charge_found(account: str, ref: str, entity: Mapping[str, Any]) -> Found:
    fields = {name: entity[name] for name in (*_OF_CHARGE, "description") if entity.get(name)}
    return Found(account, ref, Kind.OBJECT, fields)


def customer_found(account: str, ref: str, customer: Mapping[str, Any]) -> Found:
    fields = {name: customer[name] for name in _OF_CUSTOMER if customer.get(name)}
    return Found(account, ref, Kind.SUBJECT, {"id": ref, **fields})


def index(connection: Connection, found: Iterable[Found]) -> list[Found]:
    """Write the terms of these charges and customers; return those whose fields are not the ones of the last time.

    One look-up a batch finds those that are already written, so that the next event of a charge costs no term.
    """
    wanted = [one for one in found if one.ref and one.fields]
    if not wanted:
        return []
    key = search_key(connection)
    c = search_terms.c
    marked = {(hashed(key, one.mark), one.kind.value, one.account, one.ref): one for one in wanted}
    kinds = sorted({kind for _, kind, _, _ in marked})
    query = select(c.term, c.kind, c.account, c.ref).where(
        c.term.in_(sorted({term for term, _, _, _ in marked})), c.kind.in_(kinds)
    )
    known = {tuple(row) for row in connection.execute(query)}
    new = {row: one for row, one in marked.items() if row not in known}
    rows = {(hashed(key, t.text), t.kind.value, t.account, t.ref) for one in new.values() for t in one.terms()}
    if new:
        _INSERT.run(connection, sorted(rows | new.keys()))  # in one order, which prevents deadlocks of two batches
    return list(new.values())


def terms_of_object(account: str, ref: str, entity: Mapping[str, Any]) -> list[Term]:
    """Return the terms of an event's object: numbers such as the invoice's whole, the description by its words."""
    values = [entity.get(name) for name in _OF_CHARGE]
    texts = {plain(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)}
    texts |= _parts(entity.get("description"), _MOST_WORDS)
    return [Term(text, Kind.OBJECT, account, ref) for text in sorted(texts) if text and ref]


def _parts(value: Any, most: int | None = None) -> set[str]:
    """Return the terms of a name or a description: the beginnings of its words, and its numbers."""
    return beginnings(words(value)[:most]) | set(numbers(value)[:most])


def beginnings(of: Iterable[str]) -> set[str]:
    """Return words with the beginnings by which each is found.

    >>> sorted(beginnings(["souza"]))
    ['sou', 'souz', 'souza']
    """
    return {part for word in of for part in (word, *(word[:end] for end in range(_SHORTEST, _LONGEST + 1)))}


def terms_of_customer(account: str, ref: str, customer: Mapping[str, Any]) -> list[Term]:
    """Return the terms of a customer of the Asaas API."""
    get = customer.get
    shared = get("additionalEmails")
    texts = {
        Kind.SUBJECT: _parts(get("name")) | _parts(get("company")),
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


def forget(connection: Connection, refs: Collection[Ref]) -> set[Ref]:
    """Remove the terms of those of these charges and customers whose events are all emptied; return those."""
    full: set[Ref] = set()
    for column in ("object_id", "subject"):
        c = events.c
        query = select(c.account, c[column]).where(of(events, column, refs), c.emptied_ms.is_(None)).distinct()
        full |= {(row[0], row[1]) for row in connection.execute(query)}
    gone = set(refs) - full
    connection.execute(delete(search_terms).where(of(search_terms, "ref", gone)))
    return gone


@dataclass(frozen=True, slots=True)
class Places:
    """Where a text leads: charges and customers."""

    objects: list[Ref]
    subjects: list[Ref]
    common: str = ""
    """The hash of a single word, by which to look where the charges or customers are too many to list."""

    @staticmethod
    def is_full(refs: Collection[Ref]) -> bool:
        return len(refs) == _MOST_FOUND


def look_up(connection: Connection, text: str) -> Places:
    """Return the charges and customers of a text: a number, an e-mail, a document, words of a name or a description.

    All words and numbers must lead to the same customer, or to the same charge by its description or its customer's
    name; the beginning of a word is enough.
    """
    whole = {part for part in (plain(text), digits(text) if _is_number(text) else "") if part}
    objects = leading(connection, whole, search_terms.c.kind == Kind.OBJECT.value)
    subjects = leading(connection, whole, search_terms.c.kind != Kind.OBJECT.value)
    named = list(dict.fromkeys([*words(text), *numbers(text)]))
    if named and not subjects:
        subjects = _by_words(connection, named, Kind.SUBJECT)
    if len(named) > 1:
        both = {*objects, *_by_words(connection, named, Kind.OBJECT), *_by_name_and_description(connection, named)}
        objects = sorted(both)[:_MOST_FOUND]
    elif named and not objects:
        objects = _by_words(connection, named, Kind.OBJECT)
    common = hashed(search_key(connection), _cut(named[0])) if len(named) == 1 else ""
    return Places(objects, subjects, common)


def _cut(word: str) -> str:
    return word if word.isdigit() else word[:_LONGEST]


def _by_words(connection: Connection, named: Sequence[str], kind: Kind) -> list[Ref]:
    condition = search_terms.c.kind == kind.value
    found = leading(connection, named, condition, together=len(named))
    cut = list(dict.fromkeys(_cut(word) for word in named))
    return found or (leading(connection, cut, condition, together=len(cut)) if cut != named else [])


def _by_name_and_description(connection: Connection, named: Sequence[str]) -> set[Ref]:
    """Return the charges of which each word leads to the charge or to its customer.

    The events of the rarest word are looked through, since a common one has too many.
    """
    leads: dict[str, tuple[list[Ref], list[Ref]]] = {}
    for word in named:
        for term in dict.fromkeys((word, _cut(word))):
            objects, subjects = (
                leading(connection, [term], search_terms.c.kind == kind.value) for kind in (Kind.OBJECT, Kind.SUBJECT)
            )
            if objects or subjects:
                leads[term] = (objects, subjects)
                break
        else:
            return set()
    rarest = min(leads, key=lambda term: sum(map(len, leads[term])))
    key, c = search_key(connection), events.c
    others = [hashed(key, term) for term in leads if term != rarest]
    met = [has_term(events, "object_id", term) | has_term(events, "subject", term) for term in others]
    found: set[Ref] = set()
    for column, refs in zip(("object_id", "subject"), leads[rarest], strict=True):
        if refs:
            query = select(c.account, c.object_id).where(of(events, column, refs), c.object_id != "", *met).distinct()
            found |= {(row.account, row.object_id) for row in connection.execute(query.limit(_MOST_FOUND))}
    return found


def has_term(table: Table, column: str, term: str) -> ColumnElement[bool]:
    """Return the condition that the charge (`object_id`) or the customer (`subject`) of a row has the term."""
    c, kind = search_terms.c, Kind.OBJECT if column == "object_id" else Kind.SUBJECT
    own = (c.account == table.c.account, c.ref == table.c[column])
    return exists().where(c.term == term, c.kind == kind.value, *own)


def leading(
    connection: Connection, texts: Collection[str], kinds: ColumnElement[bool], *, together: int = 1
) -> list[Ref]:
    """Return the charges or customers of at least `together` of these terms, of these kinds."""
    c = search_terms.c
    key = search_key(connection)
    query = select(c.account, c.ref).where(c.term.in_([hashed(key, text) for text in sorted(texts)]), kinds)
    if together > 1:
        query = query.group_by(c.account, c.ref).having(func.count(c.term.distinct()) == together)
    else:
        query = query.distinct()  # a common word ends with the limit, unread
    return sorted((row.account, row.ref) for row in connection.execute(query.limit(_MOST_FOUND)))


def hashed(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode("utf-8", "replace"), "sha256").hex()[:24]


def words(text: Any) -> list[str]:
    """Return the words of a text, without case and accents, those of one letter and numbers left out."""
    return [word for word in _WORD.findall(plain(text)) if len(word) > 1 and not word.isdigit()]


def left_out(text: str) -> list[str]:
    """Return the parts of a search with one letter or digit, which are not looked up where others are.

    >>> left_out("queda 3"), left_out("3"), left_out("Ana B. Souza"), left_out("11 9 8765-4321")
    (['3'], [], ['B.'], [])
    """
    if _is_number(text) or not (words(text) or numbers(text)):
        return []
    return [part for part in text.split() if sum(map(len, _WORD.findall(plain(part)))) == 1]


def numbers(value: Any) -> list[str]:
    """Return the whole numbers of a text.

    >>> numbers("Pedido 1010, parcela 2 de 12")
    ['1010', '12']
    """
    return [word for word in _WORD.findall(plain(value)) if word.isdigit() and len(word) in _NUMBER]


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
