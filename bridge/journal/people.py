"""All that the journal holds of one person: found, given out, erased.

A person is one or more customers of Asaas accounts. What is erased leaves rows without anybody in them: which events
came, how charges stood and what became of deliveries stays, under a name that leads to nobody.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, tuple_, update

from bridge.errors import StillOwed
from bridge.journal import audit, retention, search
from bridge.journal.audit import Actor
from bridge.journal.lanes import lock_some
from bridge.journal.rekey import leave_no_trace
from bridge.journal.schema import attempts, deliveries, destinations, events
from bridge.journal.schema_console import jobs, search_terms
from bridge.journal.sealed import Sealed
from bridge.model import FINISHED, DeliveryState, EventState

Person = tuple[str, str]
"""An account and the customer's id in it."""
FORGOTTEN = "forgotten_"
"""So the customer of an event begins whose person was erased."""
_NEVER_MS = 2**62
_MOST = 500


@dataclass(frozen=True, slots=True)
class Held:
    """How much the journal holds of some customers."""

    events: int
    deliveries: int
    attempts: int
    search_terms: int
    waiting: tuple[int, ...]
    """Numbers of the events that no mapping has seen yet."""
    owed: tuple[int, ...]
    """Numbers of the deliveries that are still owed."""


def find(connection: Connection, *, customer: str | None = None, text: str | None = None) -> list[Person]:
    """Return the customers of that id, or those that an e-mail, CPF, CNPJ or phone leads to."""
    ids = {customer} if customer else set(search.look_up(connection, text or "").subjects)
    known = select(events.c.account, events.c.subject).where(events.c.subject.in_(ids)).distinct()
    terms = select(search_terms.c.account, search_terms.c.ref).where(
        search_terms.c.kind == search.Kind.SUBJECT.value, search_terms.c.ref.in_(ids)
    )
    return sorted({(row[0], row[1]) for query in (known, terms) for row in connection.execute(query)})


def held(connection: Connection, people: Collection[Person]) -> Held:
    """Return how much is held of these customers."""
    of_events = tuple_(events.c.account, events.c.subject).in_(people)
    of_deliveries = tuple_(deliveries.c.account, deliveries.c.subject).in_(people)
    made = select(deliveries.c.id).where(of_deliveries)
    finished = [state.value for state in FINISHED]

    def number(column: Any, *where: Any) -> int:
        return connection.scalar(select(func.count(column)).where(*where)) or 0

    return Held(
        number(events.c.id, of_events),
        number(deliveries.c.id, of_deliveries),
        number(attempts.c.id, attempts.c.delivery_id.in_(made)),
        number(search_terms.c.ref, _terms_of(people)),
        tuple(connection.scalars(select(events.c.id).where(of_events, events.c.state == EventState.RECEIVED.value))),
        tuple(connection.scalars(made.where(deliveries.c.state.not_in(finished)))),
    )


def everything_of(connection: Connection, people: Collection[Person]) -> Iterator[dict[str, Any]]:
    """Give each event of these customers with its deliveries and their attempts, oldest first, as plain data."""
    query = select(events).where(tuple_(events.c.account, events.c.subject).in_(people)).order_by(events.c.id)
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


def forget(
    connection: Connection, people: Collection[Person], actor: Actor, now_ms: int, *, also_open: bool = False
) -> Held:
    """Erase these customers and return what was held of them; an audit row without any of them stays.

    Raises StillOwed where something is owed and `also_open` does not say that it is dropped, or where a delivery is
    being sent at this moment.
    """
    leave_no_trace(connection)
    lanes = select(events.c.lane).where(tuple_(events.c.account, events.c.subject).in_(people))
    lock_some(connection, lanes)
    found = held(connection, people)
    if (found.waiting or found.owed) and not also_open:
        raise StillOwed(
            f"{len(found.waiting)} events wait and {len(found.owed)} deliveries are owed for this person",
            mend="wait until they are done, or drop them: --also-open",
        )
    _drop(connection, found, now_ms)
    for person in people:
        _erase(connection, person, now_ms)
    _erase_elsewhere(connection, people)
    audit.note(
        connection,
        actor,
        "person.forgotten",
        f"{len(people)} customers",
        now_ms,
        {"events": found.events, "deliveries": found.deliveries, "dropped": len(found.waiting) + len(found.owed)},
    )
    return found


def _drop(connection: Connection, found: Held, now_ms: int) -> None:
    sending = (deliveries.c.id.in_(found.owed), deliveries.c.state == DeliveryState.SENDING.value)
    if found.owed and connection.scalar(select(deliveries.c.id).where(*sending).limit(1)) is not None:
        raise StillOwed("a delivery for this person is being sent at this moment", mend="run it again in a moment")
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
            raise StillOwed("something of this person is under way", mend="run it again in a moment")
    connection.execute(update(deliveries).where(*mine).values(subject=nobody))
    connection.execute(
        update(events).where(events.c.account == account, events.c.subject == subject).values(subject=nobody)
    )
    connection.execute(
        update(destinations)
        .where(destinations.c.failed_subject == f"{account} {subject}")
        .values(failed_subject=f"{account} {nobody}")
    )


def _erase_elsewhere(connection: Connection, people: Collection[Person]) -> None:
    connection.execute(delete(search_terms).where(_terms_of(people)))
    sealed = [column for column in jobs.c if isinstance(column.type, Sealed)]
    for row in connection.execute(select(jobs.c.id, *sealed).where(jobs.c.state != "running")).mappings().all():
        if any(subject in str(value) for value in row.values() for _, subject in people):
            connection.execute(delete(jobs).where(jobs.c.id == row["id"]))


def _terms_of(people: Collection[Person]) -> Any:
    c = search_terms.c
    objects = select(events.c.account, events.c.object_id).where(
        tuple_(events.c.account, events.c.subject).in_(people), events.c.object_id != ""
    )
    return or_(
        (c.kind == search.Kind.SUBJECT.value) & tuple_(c.account, c.ref).in_(people),
        (c.kind == search.Kind.OBJECT.value) & tuple_(c.account, c.ref).in_(objects),
    )


def _parsed(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text
