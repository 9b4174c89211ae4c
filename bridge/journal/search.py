"""Finds charges and customers by what people know of them: a name, an e-mail, a CPF, an invoice number.

Terms are written when an event is processed, as keyed hashes, so that the journal's index holds no second copy of
anybody's name. A term must therefore be given whole: a word of a name, a whole address, a whole document. Terms go
with the last full event that they lead to.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, delete, func, select

from bridge.journal.bulk import Bulk
from bridge.journal.keys import search_key
from bridge.journal.schema import events
from bridge.journal.schema_console import search_terms

MOST = 500
"""Charges and customers that one search goes on with; who finds more looks for too little."""

_INSERT = Bulk(
    # WHERE: without it SQLite takes ON for a join's.
    "INSERT INTO search_terms ({columns}) SELECT {values} FROM {given} WHERE true ON CONFLICT DO NOTHING",
    search_terms,
    *("term", "kind", "account", "ref"),
)
_MOST_OF_TERM = 200
_WORD = re.compile(r"[^\W_]+")
_OF_CHARGE = ("invoiceNumber", "externalReference", "subscription", "installment", "paymentLink", "pixTransaction")
_OF_CUSTOMER = ("email", "externalReference")
_DIGITS = ("cpfCnpj", "phone", "mobilePhone")


class Kind(StrEnum):
    """What a term leads to."""

    OBJECT = "object"
    SUBJECT = "subject"


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
    texts = {_plain(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)}
    return [Term(text, Kind.OBJECT, account, ref) for text in sorted(texts) if text and ref]


def terms_of_customer(account: str, ref: str, customer: Mapping[str, Any]) -> list[Term]:
    """Return what leads to a customer as the Asaas API has it."""
    texts = {_plain(customer.get(name)) for name in _OF_CUSTOMER} | {_digits(customer.get(name)) for name in _DIGITS}
    texts |= {*words(customer.get("name")), *words(customer.get("company"))}
    extra = customer.get("additionalEmails")
    texts |= {_plain(one) for one in extra.split(",")} if isinstance(extra, str) else set()
    return [Term(text, Kind.SUBJECT, account, ref) for text in sorted(texts) if text and ref]


def write(connection: Connection, terms: Iterable[Term]) -> None:
    """Write these terms; those that are there already cost a look each."""
    rows = {(term.text, term.kind, term.account, term.ref): term for term in terms}
    if not rows:
        return
    key = search_key(connection)
    # Always in one order, or two batches could wait for each other's.
    _INSERT.run(connection, sorted((hashed(key, t.text), t.kind.value, t.account, t.ref) for t in rows.values()))


def refs_of(connection: Connection, event_ids: Collection[int]) -> set[str]:
    """Return the charges and customers of these events."""
    query = select(events.c.object_id, events.c.subject).where(events.c.id.in_(event_ids)).distinct()
    return {ref for row in connection.execute(query) for ref in row if ref}


def forget(connection: Connection, refs: Collection[str]) -> None:
    """Remove what leads to those of these charges and customers of whom no event is full any more."""
    full = events.c.emptied_ms.is_(None)
    kept = {
        *connection.scalars(select(events.c.object_id).where(events.c.object_id.in_(refs), full).distinct()),
        *connection.scalars(select(events.c.subject).where(events.c.subject.in_(refs), full).distinct()),
    }
    connection.execute(delete(search_terms).where(search_terms.c.ref.in_(sorted(set(refs) - kept))))


@dataclass(frozen=True, slots=True)
class Found:
    """Where a search leads to."""

    objects: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


def look_up(connection: Connection, text: str) -> Found:
    """Return the charges and customers that a text leads to: a whole number, address or document, or words of a name.

    Of several words all must lead to the same one.
    """
    whole = {part for part in (_plain(text), _digits(text) if _is_number(text) else "") if part}
    key = search_key(connection)
    objects = _leading(connection, Kind.OBJECT, [hashed(key, part) for part in whole], together=1)
    subjects = _leading(connection, Kind.SUBJECT, [hashed(key, part) for part in whole], together=1)
    named = sorted(set(words(text)))
    if named and not subjects:
        subjects = _leading(connection, Kind.SUBJECT, [hashed(key, word) for word in named], together=len(named))
    return Found(objects, subjects)


def _leading(connection: Connection, kind: Kind, hashes: list[str], *, together: int) -> tuple[str, ...]:
    c = search_terms.c
    query = select(c.ref).where(c.term.in_(hashes), c.kind == kind.value).group_by(c.account, c.ref).limit(MOST)
    if together > 1:
        query = query.having(func.count() == together)
    return tuple(dict.fromkeys(connection.scalars(query)))


def hashed(key: bytes, text: str) -> str:
    """Return a term as it stands in the journal."""
    return hmac.new(key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:24]


def words(text: Any) -> list[str]:
    """Return the words of a name, without case and accents; those of one letter lead nowhere."""
    return [word for word in _WORD.findall(_plain(text)) if len(word) > 1 and not word.isdigit()]


def _plain(value: Any) -> str:
    text = str(value).strip() if isinstance(value, str | int) else ""
    return _remembered(text) if len(text) <= _MOST_OF_TERM else _without_accents(text)


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))[:_MOST_OF_TERM]


# The events of a customer carry the same name, address and documents again and again.
_remembered = lru_cache(maxsize=4096)(_without_accents)


def _digits(value: Any) -> str:
    """Return the digits of a document or phone (a CNPJ may hold letters), without a phone's country code."""
    text = re.sub(r"[^0-9a-z]", "", _plain(value))
    return text[2:] if len(text) in {12, 13} and text.startswith("55") and text.isdigit() else text


def _is_number(text: str) -> bool:
    """Return whether a text is a document or phone as people write them."""
    return bool(
        re.fullmatch(
            r"[\d\s().+/-]{8,}|[\dA-Za-z]{2}\.?[\dA-Za-z]{3}\.?[\dA-Za-z]{3}/?[\dA-Za-z]{4}-?\d{2}", text.strip()
        )
    )
