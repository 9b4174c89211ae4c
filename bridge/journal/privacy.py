"""All that the journal holds of one person: found, given out, erased.

A person is one or more customers of Asaas accounts. What is erased leaves rows without anybody in them: which events
came, how charges stood and what became of deliveries stays, under a name that leads to nobody.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, delete, func, or_, select, tuple_, update
from stdnum.br import cnpj, cpf

from bridge.errors import DeliveriesOpen
from bridge.journal import audit, encryption, retention, search
from bridge.journal.audit import Actor
from bridge.journal.lanes import lock_some
from bridge.journal.schema import attempts, deliveries, destinations, events, jobs, search_terms
from bridge.journal.search import Kind, Ref
from bridge.model import FINISHED, DeliveryState, EventState

Person: TypeAlias = Ref
"""An account and the customer's id in it."""
FORGOTTEN = "forgotten_"
"""So the customer of an event begins whose person was erased."""
_NEVER_MS = 2**62
_MOST = 500
_ID = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class PersonCounts:
    """How much the journal holds of some customers."""

    events: int
    deliveries: int
    attempts: int
    search_terms: int
    waiting: tuple[int, ...]
    """Numbers of the events that no mapping has seen yet."""
    owed: tuple[int, ...]
    """Numbers of the deliveries that are still owed."""
    console_jobs: int
    """The whole console's: each may show somebody, and can be begun again."""


def find(connection: Connection, customer: str) -> list[Person]:
    """Return the customers of that id, which is another person in each account."""
    known = select(events.c.account, events.c.subject).where(events.c.subject == customer).distinct()
    terms = select(search_terms.c.account, search_terms.c.ref).where(
        search_terms.c.kind != Kind.OBJECT.value, search_terms.c.ref == customer
    )
    return sorted({(row[0], row[1]) for query in (known, terms) for row in connection.execute(query)})


def find_by(connection: Connection, kind: Kind, text: str) -> list[Person]:
    """Return the customers that have this e-mail, document or phone as their own."""
    c = search_terms.c
    term = [search.plain(text) if kind is Kind.EMAIL else search.digits(text)]
    found = set(search.leading(connection, term, c.kind == kind.value))
    # An older journal does not say what a term is: then only its form tells a phone from a CPF.
    if kind is Kind.EMAIL or (cpf.is_valid(term[0]) or cnpj.is_valid(term[0])) == (kind is Kind.DOCUMENT):
        older = search.leading(connection, term, c.kind == Kind.SUBJECT.value)
        newer = select(c.account, c.ref).where(
            search.of(search_terms, "ref", older), c.kind.in_([kind.value for kind in search.WHOSE])
        )
        found |= {*older} - {(row.account, row.ref) for row in connection.execute(newer)}
    return sorted(found)


def count(connection: Connection, people: Collection[Person]) -> PersonCounts:
    """Return how much is held of these customers."""
    of_events = search.of(events, "subject", people)
    of_deliveries = search.of(deliveries, "subject", people)
    made = select(deliveries.c.id).where(of_deliveries)
    finished = [state.value for state in FINISHED]

    def number(column: Any, *where: Any) -> int:
        return connection.scalar(select(func.count(column)).where(*where)) or 0

    return PersonCounts(
        number(events.c.id, of_events),
        number(deliveries.c.id, of_deliveries),
        number(attempts.c.id, attempts.c.delivery_id.in_(made)),
        number(search_terms.c.ref, _terms_of(people)),
        tuple(connection.scalars(select(events.c.id).where(of_events, events.c.state == EventState.RECEIVED.value))),
        tuple(connection.scalars(made.where(deliveries.c.state.not_in(finished)))),
        number(jobs.c.id),
    )


def export(connection: Connection, people: Collection[Person]) -> Iterator[dict[str, Any]]:
    """Give each event of these customers with its deliveries and their attempts, oldest first, as plain data."""
    query = select(events).where(search.of(events, "subject", people)).order_by(events.c.id)
    for event in connection.execute(query).mappings().all():
        made = select(deliveries).where(deliveries.c.event_id == event["id"]).order_by(deliveries.c.id)
        yield {
            **event,
            "body": _parsed(event["body"]),
            "deliveries": [
                {
                    **delivery,
                    "payload": _parsed(delivery["payload"]),
                    "attempts": [
                        dict(attempt)
                        for attempt in connection.execute(
                            select(attempts).where(attempts.c.delivery_id == delivery["id"]).order_by(attempts.c.id)
                        ).mappings()
                    ],
                }
                for delivery in connection.execute(made).mappings().all()
            ],
        }


def jobs_of(connection: Connection, people: Collection[Person]) -> Iterator[dict[str, Any]]:
    """Give what the console's jobs show of these customers; of a list, such as a preview's, only their own entries."""
    mine = select(events.c.id, events.c.account, events.c.object_id).where(search.of(events, "subject", people))
    rows = connection.execute(mine).all()
    numbers = {row.id for row in rows}
    known = {*people, *((row.account, row.object_id) for row in rows if row.object_id)}
    for job in connection.execute(select(jobs).order_by(jobs.c.id)).mappings().all():
        ids = {id_ for account, id_ in known if account == job["about"]}
        result = _parsed(job["result"]) or {}
        if job["kind"] == "trial":
            given = {**job, "params": _parsed(job["params"]), "steps": _parsed(job["steps"]), "result": result}
            own = given if _names(given, ids) else {}
        else:
            parts = {name: _own(part, numbers, ids) for name, part in result.items() if isinstance(part, list)}
            own = {name: part for name, part in parts.items() if part}
        if own:
            yield {"job": job["id"], "kind": job["kind"], "created_ms": job["created_ms"], **own}


def _own(entries: list[Any], numbers: Collection[int], ids: Collection[str]) -> list[Any]:
    found = []
    for one in entries:
        number = one.get("event_id") or one.get("id") if isinstance(one, dict) else one
        if (isinstance(number, int) and number in numbers) or _names(one, ids):
            found.append(one)
    return found


def _names(part: Any, ids: Collection[str]) -> bool:
    return not set(_ID.findall(json.dumps(part))).isdisjoint(ids)


def erase(
    connection: Connection, people: Collection[Person], actor: Actor, now_ms: int, *, also_open: bool = False
) -> PersonCounts:
    """Erase these customers and return what was held of them; an audit row without any of them stays.

    Raises DeliveriesOpen where a delivery is being sent, or is open while `also_open` is False.
    """
    lock_some(connection, select(events.c.lane).where(search.of(events, "subject", people)))
    found = count(connection, people)
    if (found.waiting or found.owed) and not also_open:
        raise DeliveriesOpen(
            f"{len(found.waiting)} events wait and {len(found.owed)} deliveries are owed for this person",
            hint="wait until they are done, or drop them: --also-open",
        )
    _drop(connection, found, now_ms)
    connection.execute(delete(search_terms).where(_terms_of(people)))
    for person in people:
        _erase(connection, person, now_ms)
    # All of them, of whomever they are: one that runs would write down whom it saw before.
    connection.execute(delete(jobs))
    encryption.renew_erasure(connection)
    audit.note(
        connection,
        actor,
        "person.forgotten",
        f"{len(people)} customers",
        now_ms,
        {"events": found.events, "deliveries": found.deliveries, "dropped": len(found.waiting) + len(found.owed)},
    )
    return found


def _drop(connection: Connection, found: PersonCounts, now_ms: int) -> None:
    sending = (deliveries.c.id.in_(found.owed), deliveries.c.state == DeliveryState.SENDING.value)
    if found.owed and connection.scalar(select(deliveries.c.id).where(*sending).limit(1)) is not None:
        raise DeliveriesOpen("a delivery for this person is being sent at this moment", hint="run it again in a moment")
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(found.owed))
        .values(
            state=DeliveryState.DISCARDED.value,
            due_ms=None,
            waiting=None,
            finished_ms=now_ms,
            reason_code="delivery.discarded",
        )
    )
    connection.execute(
        update(events)
        .where(events.c.id.in_(found.waiting))
        .values(state=EventState.PROCESSED.value, processed_ms=now_ms, hold_code=None, hold_reason=None)
    )


def _erase(connection: Connection, person: Person, now_ms: int) -> None:
    account, subject = person
    nobody = f"{FORGOTTEN}{secrets.token_hex(8)}"
    mine = (deliveries.c.account == account, deliveries.c.subject == subject)
    connection.execute(update(deliveries).where(*mine, deliveries.c.read_back.is_not(None)).values(read_back=None))
    ids = list(connection.scalars(select(events.c.id).where(events.c.account == account, events.c.subject == subject)))
    for first in range(0, len(ids), _MOST):
        some = ids[first : first + _MOST]
        if retention.empty(connection, some, _NEVER_MS, now_ms) != len(some):
            raise DeliveriesOpen("something of this person is under way", hint="run it again in a moment")
    connection.execute(update(deliveries).where(*mine).values(subject=nobody))
    connection.execute(
        update(events).where(events.c.account == account, events.c.subject == subject).values(subject=nobody)
    )
    connection.execute(
        update(destinations)
        .where(destinations.c.failed_subject == f"{account} {subject}")
        .values(failed_subject=f"{account} {nobody}")
    )


def _terms_of(people: Collection[Person]) -> Any:
    c = search_terms.c
    charges = (search.of(events, "subject", people), events.c.object_id != "")
    return or_(
        (c.kind != Kind.OBJECT.value) & search.of(search_terms, "ref", people),
        (c.kind == Kind.OBJECT.value)
        & c.ref.in_(select(events.c.object_id).where(*charges))
        & tuple_(c.account, c.ref).in_(select(events.c.account, events.c.object_id).where(*charges)),
    )


def _parsed(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text
