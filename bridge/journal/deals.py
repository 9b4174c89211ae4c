"""Which deal of Clint stands for a deal key, which contact for an e-mail or a phone, and how far each has come.

A delivery works on a row under a claim, which one delivery has at a time and which ends with the lease of its lane.
Every change compares the claim, so a delivery whose claim was taken over changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    or_,
    select,
    text,
    update,
)

from bridge.journal import search
from bridge.journal.encryption import search_key
from bridge.journal.schema import EncryptedText, contacts, deals
from bridge.journal.search import Ref, hashed

LONGEST_CLAIM_MS = 7_200_000
"""Longer than any lease: a claim that ends later was made before the clock was set back."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The delivery that works on a row, with the fence of its lane's lease, until a time."""

    lane: int
    fence: int
    delivery: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class StoredDeal:
    """The row of a deal key; see the table `deals` for its columns."""

    id: int
    contact_id: str | None = None
    deal_id: str | None = None
    stage_id: str | None = None
    status: str | None = None
    wanted_stage_id: str | None = None
    wanted_status: str | None = None
    contact_digest: str | None = None
    creating_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StoredContact:
    """The row of an e-mail or a phone."""

    key_digest: str
    contact_id: str | None = None
    creating_ms: int | None = None


Row = TypeVar("Row", StoredDeal, StoredContact)

_add_deal = text(
    "INSERT INTO deals (origin_id, key_digest, key, account, subject, claim_until_ms, updated_ms)"
    " VALUES (:origin_id, :key_digest, :key, :account, :subject, 0, :now_ms)"
    " ON CONFLICT (origin_id, key_digest) DO NOTHING"
).bindparams(bindparam("key", type_=EncryptedText("deals.key")))
_add_contact = text(
    "INSERT INTO deal_contacts (key_digest, claim_until_ms, updated_ms) VALUES (:key_digest, 0, :now_ms)"
    " ON CONFLICT (key_digest) DO NOTHING"
)


def claim_deal(
    connection: Connection, origin_id: str, key: str, person: Ref, claim: Claim, now_ms: int
) -> StoredDeal | None:
    """Take the row of a deal key in an origin, which is made where there is none; None while another delivery has it.

    Destinations that are the same origin share its rows, so that they make no deal beside each other's. `person` is the
    account and the customer whose event the delivery is of; a row whose key was emptied becomes theirs.
    """
    digest = _digest(connection, origin_id, key)
    c = deals.c
    mine = (c.origin_id == origin_id, c.key_digest == digest)
    row = _claim(connection, deals, mine, claim, now_ms)
    if row is None:
        account, subject = person
        values = {"origin_id": origin_id, "key_digest": digest, "account": account, "subject": subject}
        connection.execute(_add_deal, {**values, "key": key, "now_ms": now_ms})
        row = _claim(connection, deals, mine, claim, now_ms)
    if row is None:
        return None
    if row["key"] is None:
        # What is written from now on can be found, and erased, by its customer again.
        account, subject = person
        connection.execute(update(deals).where(c.id == row["id"]).values(key=key, account=account, subject=subject))
    return _stored(StoredDeal, row)


def find_deal(connection: Connection, origin_id: str, key: str) -> StoredDeal | None:
    """Return the row of a deal key in an origin, None where there is none."""
    c = deals.c
    digest = _digest(connection, origin_id, key)
    columns = (c[field.name] for field in fields(StoredDeal))
    query = select(*columns).where(c.origin_id == origin_id, c.key_digest == digest)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _stored(StoredDeal, row)


def claim_contact(connection: Connection, identity: str, claim: Claim, now_ms: int) -> StoredContact | None:
    """Take the row of an e-mail or a phone, which is made where there is none; None while another delivery has it."""
    digest = hashed(search_key(connection), f"contact {identity}")
    mine = (contacts.c.key_digest == digest,)
    row = _claim(connection, contacts, mine, claim, now_ms)
    if row is None:
        connection.execute(_add_contact, {"key_digest": digest, "now_ms": now_ms})
        row = _claim(connection, contacts, mine, claim, now_ms)
    return None if row is None else _stored(StoredContact, row)


def save(connection: Connection, before: Row, after: Row, claim: Claim, now_ms: int) -> bool:
    """Write what changed and lengthen the claim; return False, having written nothing, where the claim was lost."""
    names = (field.name for field in fields(after))
    changes = {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}
    changed = _held(after, claim).values(**changes, claim_until_ms=claim.until_ms, updated_ms=now_ms)
    return connection.execute(changed).rowcount == 1


def release(connection: Connection, row: StoredDeal | StoredContact, claim: Claim) -> None:
    """Give the row back; one that another delivery has taken over is left alone."""
    connection.execute(_held(row, claim).values(claim_until_ms=0))


def digest_of(connection: Connection, content: str) -> str:
    """Return a keyed hash of what is written to a contact, by which a later delivery knows that it is the same."""
    return hashed(search_key(connection), f"content {content}")


def forget(connection: Connection, person: Ref, nobody: str) -> None:
    """Empty the rows of an erased person's deals and forget their contacts; digests of keys and ids of deals stay.

    `nobody` is the random customer id that takes the place of theirs.
    """
    account, subject = person
    own = (deals.c.subject == subject, deals.c.account == account)
    known = select(deals.c.contact_id).where(*own, deals.c.contact_id.is_not(None))
    connection.execute(delete(contacts).where(contacts.c.contact_id.in_(known)))
    connection.execute(update(deals).where(*own).values(**_OF_PERSON, subject=nobody))


_OF_PERSON: dict[str, None] = {"key": None, "contact_id": None, "contact_digest": None}
"""No deal is made twice without these: its row is found by the digest of the key."""


def old_page(
    connection: Connection, before_ms: int, after_id: int, *, full_only: bool, limit: int = 200
) -> tuple[list[int], int | None]:
    """Return rows on which no delivery has worked since then, and the id before the next page.

    With `full_only` those that have their key, otherwise those that have a customer.
    """
    c = deals.c
    holds = c.key.is_not(None) if full_only else c.subject != ""
    query = select(c.id).where(c.id > after_id, c.updated_ms < before_ms, holds).order_by(c.id).limit(limit)
    ids = list(connection.scalars(query))
    return ids, ids[-1] if len(ids) == limit else None


def empty(connection: Connection, ids: Collection[int], before_ms: int, *, full_only: bool) -> int:
    """Empty these rows, as far as no delivery has worked on them since then; return their number.

    `full_only` empties their keys alone, else also every value that leads to their customer. The digest of the key
    stays, so that a late event makes no second deal.
    """
    old = (deals.c.id.in_(ids), deals.c.updated_ms < before_ms)
    values = {"key": None} if full_only else {**_OF_PERSON, "subject": ""}
    return connection.execute(update(deals).where(*old).values(values)).rowcount


def old_contacts(
    connection: Connection, before_ms: int, after: str, *, limit: int = 200
) -> tuple[list[str], str | None]:
    """Return the digests of contacts for which no deal was made since then, and the one before the next page."""
    c = contacts.c
    query = select(c.key_digest).where(c.key_digest > after, c.updated_ms < before_ms)
    digests = list(connection.scalars(query.order_by(c.key_digest).limit(limit)))
    return digests, digests[-1] if len(digests) == limit else None


def remove_contacts(connection: Connection, digests: Collection[str], before_ms: int) -> int:
    """Remove these contacts, as far as no deal was made for them since then; return their number."""
    c = contacts.c
    return connection.execute(delete(contacts).where(c.key_digest.in_(digests), c.updated_ms < before_ms)).rowcount


def deals_of(connection: Connection, people: Collection[Ref]) -> list[dict[str, Any]]:
    """Return the rows of these customers' deals as plain data: the key, the ids in Clint, and what was written last."""
    names = ("origin_id", "key", "account", "contact_id", "deal_id", "stage_id", "status", "updated_ms")
    query = select(*(deals.c[name] for name in names)).where(search.of(deals, "subject", people)).order_by(deals.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def known_keys(connection: Connection, origin_id: str, keys: Collection[str]) -> set[str]:
    """Return those of these keys for which the bridge has a row in the origin."""
    digests = {_digest(connection, origin_id, key): key for key in keys}
    c = deals.c
    query = select(c.key_digest).where(c.origin_id == origin_id, c.key_digest.in_(digests))
    return {digests[digest] for digest in connection.scalars(query)}


def known_ids(connection: Connection, deal_ids: Collection[str]) -> set[str]:
    """Return those of these deals of Clint that the bridge writes to."""
    return set(connection.scalars(select(deals.c.deal_id).where(deals.c.deal_id.in_(deal_ids))))


def _digest(connection: Connection, origin_id: str, key: str) -> str:
    return hashed(search_key(connection), f"deal {origin_id} {key}")


def _claim(
    connection: Connection, table: Table, mine: Collection[ColumnElement[bool]], claim: Claim, now_ms: int
) -> RowMapping | None:
    c = table.c
    # The claims of the lane's earlier owners, and of an earlier attempt of this delivery, are over.
    again = and_(c.claim_fence == claim.fence, c.claim_delivery == claim.delivery)
    is_over = and_(c.claim_lane == claim.lane, or_(c.claim_fence < claim.fence, again))
    is_free = or_(c.claim_until_ms <= now_ms, c.claim_until_ms > now_ms + LONGEST_CLAIM_MS, is_over)
    query = update(table).where(*mine, is_free).values(**_columns_of(claim), updated_ms=now_ms).returning(*c)
    return connection.execute(query).mappings().one_or_none()


def _held(row: StoredDeal | StoredContact, claim: Claim) -> Update:
    if isinstance(row, StoredDeal):
        table, mine = deals, deals.c.id == row.id
    else:
        table, mine = contacts, contacts.c.key_digest == row.key_digest
    held = {**_columns_of(claim)}
    del held["claim_until_ms"]
    return update(table).where(mine, *(table.c[name] == value for name, value in held.items()))


def _columns_of(claim: Claim) -> dict[str, int]:
    return {
        "claim_lane": claim.lane,
        "claim_fence": claim.fence,
        "claim_delivery": claim.delivery,
        "claim_until_ms": claim.until_ms,
    }


def _stored(kind: type[Row], row: RowMapping) -> Row:
    return kind(**{field.name: row[field.name] for field in fields(kind)})
