"""Finds, exports and erases all data of one person.

A person is one or more customers of Asaas accounts. Erasing keeps the rows without the person: events, the status of
charges and the states of deliveries stay, under a random customer id.
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
from bridge.journal import audit, customers, deals, encryption, queries, retention, search
from bridge.journal.audit import Actor
from bridge.journal.lanes import lock
from bridge.journal.schema import attempts, deliveries, destinations, events, jobs, search_terms
from bridge.journal.schema import deals as deals_table
from bridge.journal.search import Kind, Ref
from bridge.messages import N_
from bridge.model import FINISHED, DeliveryState, EventState

Person: TypeAlias = Ref  # an account and the customer's id in it
FORGOTTEN = "forgotten_"  # the prefix of the customer id in events of an erased person
_NEVER_MS = 2**62
_PAGE = 500
_ID = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class PersonCounts:
    """The number of rows of some customers; the field names are keys of `--json`."""

    events: int
    deliveries: int
    attempts: int
    search_terms: int
    waiting: tuple[int, ...]  # ids of the waiting events
    owed: tuple[int, ...]  # ids of the open deliveries
    console_jobs: int  # all jobs of the console: each may show a person, and can be begun again


def find(connection: Connection, customer: str) -> list[Person]:
    """Return the customers of that id, one in each account that has it."""
    c = search_terms.c
    known = select(events.c.account, events.c.subject).where(events.c.subject == customer).distinct()
    terms = select(c.account, c.ref).where(c.kind != Kind.OBJECT.value, c.ref == customer)
    written = select(deals_table.c.account, deals_table.c.subject).where(deals_table.c.subject == customer).distinct()
    return sorted({(row[0], row[1]) for query in (known, terms, written) for row in connection.execute(query)})


def find_by(connection: Connection, kind: Kind, text: str) -> list[Person]:
    """Return the customers with this e-mail, document or phone."""
    c = search_terms.c
    term = [search.plain(text) if kind is Kind.EMAIL else search.digits(text)]
    found = set(search.leading(connection, term, c.kind == kind.value))
    # In older journals the kind of a term is unknown: only its form tells a phone from a CPF.
    if kind is Kind.EMAIL or (cpf.is_valid(term[0]) or cnpj.is_valid(term[0])) == (kind is Kind.DOCUMENT):
        older = search.leading(connection, term, c.kind == Kind.SUBJECT.value)
        identifies = c.kind.in_([one.value for one in search.WHOSE])
        newer = select(c.account, c.ref).where(search.of(search_terms, "ref", older), identifies)
        found |= {*older} - {(row.account, row.ref) for row in connection.execute(newer)}
    return sorted(found)


def count(connection: Connection, people: Collection[Person]) -> PersonCounts:
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
    """Yield each event of these customers with its deliveries and their attempts, oldest first, as plain data."""
    query = select(events).where(search.of(events, "subject", people)).order_by(events.c.id)
    for event in connection.execute(query).mappings().all():
        rows = queries.deliveries_of(connection, event["id"])
        for row in rows:
            row |= {"payload": _parsed(row["payload"]), "attempts": queries.attempts_of(connection, row["id"])}
        yield {**event, "body": _parsed(event["body"]), "deliveries": rows}


def jobs_of(connection: Connection, people: Collection[Person]) -> Iterator[dict[str, Any]]:
    """Yield the parts of console jobs that show these customers; of lists, such as a preview's, only their entries."""
    mine = select(events.c.id, events.c.account, events.c.object_id).where(search.of(events, "subject", people))
    rows = connection.execute(mine).all()
    numbers = {row.id for row in rows}
    known = {*people, *((row.account, row.object_id) for row in rows if row.object_id)}
    for job in connection.execute(select(jobs).order_by(jobs.c.id)).mappings().all():
        ids = {id_ for account, id_ in known if account == job["about"]}
        result = {**(_parsed(job["result"]) or {}), **(_parsed(job["details"]) or {})}
        if job["kind"] in {"trial", "life"}:
            parsed = {**job, "params": _parsed(job["params"]), "steps": _parsed(job["steps"]), "result": result}
            own = parsed if _names(parsed, ids) else {}
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
    """Erase these customers and return the number of their rows before; the audit row names none of them.

    Raises DeliveriesOpen where a delivery is being sent, or is open while `also_open` is False.
    """
    lock(connection, select(events.c.lane).where(search.of(events, "subject", people)))
    found = count(connection, people)
    if (found.waiting or found.owed) and not also_open:
        what = N_("this person has unfinished work: events {events}, deliveries {deliveries}")
        hint = N_("wait until they are finished, or discard them: --also-open")
        raise DeliveriesOpen(what, events=len(found.waiting), deliveries=len(found.owed), hint=hint)
    _discard(connection, found, now_ms)
    connection.execute(delete(search_terms).where(_terms_of(people)))
    customers.forget(connection, people)
    for person in people:
        _erase(connection, person, now_ms)
    # All jobs: a running one could write data of this person later.
    connection.execute(delete(jobs))
    encryption.renew_erasure(connection)
    dropped = len(found.waiting) + len(found.owed)
    numbers = {"events": found.events, "deliveries": found.deliveries, "dropped": dropped}
    audit.note(connection, actor, "person.forgotten", str(len(people)), now_ms, numbers)
    return found


def _discard(connection: Connection, found: PersonCounts, now_ms: int) -> None:
    sending = (deliveries.c.id.in_(found.owed), deliveries.c.state == DeliveryState.SENDING.value)
    if found.owed and connection.scalar(select(deliveries.c.id).where(*sending).limit(1)) is not None:
        raise DeliveriesOpen(N_("a delivery for this person is being sent"), hint=N_("run it again in a moment"))
    discarded = {"state": DeliveryState.DISCARDED.value, "finished_ms": now_ms, "reason_code": "delivery.discarded"}
    query = update(deliveries).where(deliveries.c.id.in_(found.owed))
    connection.execute(query.values(**discarded, due_ms=None, waiting=None))
    processed = {"state": EventState.PROCESSED.value, "processed_ms": now_ms}
    waiting = update(events).where(events.c.id.in_(found.waiting))
    connection.execute(waiting.values(**processed, hold_code=None, hold_reason=None))


def _erase(connection: Connection, person: Person, now_ms: int) -> None:
    account, subject = person
    nobody = f"{FORGOTTEN}{secrets.token_hex(8)}"
    own_events = (events.c.account == account, events.c.subject == subject)
    own_deliveries = (deliveries.c.account == account, deliveries.c.subject == subject)
    read_back = update(deliveries).where(*own_deliveries, deliveries.c.read_back.is_not(None))
    connection.execute(read_back.values(read_back=None))
    ids = list(connection.scalars(select(events.c.id).where(*own_events)))
    for first in range(0, len(ids), _PAGE):
        page = ids[first : first + _PAGE]
        if retention.empty(connection, page, _NEVER_MS, now_ms) != len(page):
            raise DeliveriesOpen(N_("an event of this person is being worked on"), hint=N_("run it again in a moment"))
    deals.forget(connection, person, nobody)
    connection.execute(update(deliveries).where(*own_deliveries).values(subject=nobody))
    connection.execute(update(events).where(*own_events).values(subject=nobody))
    failed = update(destinations).where(destinations.c.failed_subject == f"{account} {subject}")
    connection.execute(failed.values(failed_subject=f"{account} {nobody}"))


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
