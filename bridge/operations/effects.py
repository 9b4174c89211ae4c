"""Compares the payloads of a changed mapping with those of the active one, for the last events. Changes nothing.

It takes bodies from the journal and objects of Asaas from the cache alone: nobody waits for Asaas while saving. What
reads an object that is not there counts as unknown, never as a guess.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from bridge.errors import BridgeError, StageError
from bridge.journal import customers, events, queries
from bridge.journal.customers import Customer
from bridge.journal.events import StoredEvent
from bridge.mapping import Mapping, evaluate
from bridge.mapping.context import build_context, needs_of, references
from bridge.mapping.evaluate import Value
from bridge.mapping.expressions import Expression
from bridge.mapping.model import FETCHABLE, FUNNEL, Field
from bridge.messages import Message
from bridge.pipeline import enrich
from bridge.runtime import Runtime

LOOKED_AT = 50
NOTHING = Message("")
_PAGE = 250
_PAGES = 8
"""Pages of the list of events that are read at most to find enough that the mapping listens to."""


@dataclass(frozen=True, slots=True)
class Affected:
    """An event that would go another way, or with another payload."""

    event_id: int
    event: str
    about: str
    amount: Any
    reason: Message
    """Why it would not go; empty where it would."""
    changes: tuple[tuple[str, Value | None, Value | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    """What would change for the last events that the mapping listens to."""

    events: int
    stops: tuple[Affected, ...] = ()
    starts: tuple[Affected, ...] = ()
    differs: tuple[Affected, ...] = ()
    moves: tuple[Affected, ...] = ()
    """Those that would go to another destination."""
    unknown: int = 0
    """Those whose outcome is not known, because the cache lacks an object."""
    keys: dict[str, list[Affected]] = field(default_factory=dict)
    """The keys of the payload that would change, each with the events in which."""

    @property
    def is_none(self) -> bool:
        return not (self.stops or self.starts or self.differs or self.moves or self.unknown)


@dataclass(frozen=True, slots=True)
class _Made:
    """The outcome of one event in one mapping."""

    sent: bool | None = False
    """None: not known."""
    reason: Message = NOTHING
    payload: dict[str, Value] = field(default_factory=dict)
    unknown: dict[str, object] = field(default_factory=dict)
    """The keys whose value is not known, with what their value depends on."""
    send_to: str = ""


def last_events(connection: Connection, mappings: Iterable[Mapping], number: int = LOOKED_AT) -> list[StoredEvent]:
    """Return the last events that one of the mappings listens to, oldest first."""
    wanted, found, before = list(mappings), list[int](), None
    account = wanted[0].account
    for _ in range(_PAGES):
        rows = queries.list_events(connection, limit=_PAGE, before_id=before, account=account)
        heard = [row["id"] for row in rows if row["emptied_ms"] is None and _listens(wanted, row["name"])]
        found += heard[: number - len(found)]
        if len(found) == number or len(rows) < _PAGE:
            break
        before = rows[-1]["id"]
    return events.load(connection, found) if found else []


def _listens(mappings: Iterable[Mapping], event: str) -> bool:
    return any(one.listens_to(event) for one in mappings)


def effect_of(runtime: Runtime, before: Mapping | None, after: Mapping) -> Effect:
    """Return what saving `after` in the place of `before` (None: a new mapping) would change."""
    if not after.enabled and not (before and before.enabled):
        # Both send nothing while they are off: the comparison takes them as switched on.
        before, after = before and replace(before, enabled=True), replace(after, enabled=True)
    sides = [one for one in (after, before) if one is not None]
    with runtime.journal.database.read() as connection:
        stored = last_events(connection, sides)
        people = customers.load(connection, {(event.account, event.subject) for event in stored})
    contexts = cached_contexts(runtime, stored, sides)
    plans: tuple[set[str], set[str]] = (set(), set())
    told: dict[str, list[Affected]] = {"stops": [], "starts": [], "differs": [], "moves": []}
    keys: dict[str, list[Affected]] = {}
    unknown = 0
    for event, (context, missing) in zip(stored, contexts, strict=True):
        old = _made(before, event, context, missing, plans[0])
        new = _made(after, event, context, missing, plans[1])
        if old.sent is None or new.sent is None:
            unknown += old != new
            continue
        changes = _changes(old, new) if old.sent and new.sent else ()
        person = people.get((event.account, event.subject))
        affected = Affected(event.id, event.name, *about(event, context, person), new.reason, changes)
        if old.sent is not new.sent:
            told["starts" if new.sent else "stops"].append(affected)
        elif new.sent:
            told["differs"] += [affected] if changes else []
            told["moves"] += [affected] if old.send_to != new.send_to else []
            for key, _, _ in changes:
                keys.setdefault(key, []).append(affected)
    newest_first = {name: tuple(reversed(found)) for name, found in told.items()}
    return Effect(len(stored), unknown=unknown, keys={key: found[::-1] for key, found in keys.items()}, **newest_first)


def cached_contexts(
    runtime: Runtime, stored: Sequence[StoredEvent], mappings: Sequence[Mapping], *, every: bool = False
) -> list[tuple[dict[str, Any], frozenset[str]]]:
    """Return the context of each event with what the cache has, and the names of the objects that it lacks.

    The objects are those that the mappings read, or `every` one.
    """
    needs = (
        FETCHABLE
        if every
        else FETCHABLE & frozenset[str]().union(*(one.filter_needs | one.field_needs for one in mappings))
    )
    bare = [_context(runtime, event, {}) for event in stored]
    wanted = [enrich.plan(needs, references(context)) for context in bare]
    asked = [
        (event.account, {name: id_})
        for event, ids in zip(stored, wanted, strict=True)
        for name, id_ in ids.items()
        if id_ != enrich.ID_UNKNOWN
    ]
    answers = iter(runtime.enricher.from_cache(asked) if asked else ())
    found = []
    for event, ids in zip(stored, wanted, strict=True):
        fetched: dict[str, Any] = {}
        for id_ in ids.values():
            answer = next(answers) if id_ != enrich.ID_UNKNOWN else None
            if answer is not None and not isinstance(answer, BridgeError):
                fetched |= answer
        found.append((_context(runtime, event, fetched), frozenset(ids) - fetched.keys()))
    return found


def _context(runtime: Runtime, event: StoredEvent, fetched: dict[str, Any]) -> dict[str, Any]:
    environment = runtime.environment(event.account)
    return build_context(event.name, event.entity, json.loads(event.body), event.account, environment, fetched)


def _made(
    mapping: Mapping | None, event: StoredEvent, context: dict[str, Any], missing: frozenset[str], plans: set[str]
) -> _Made:
    if mapping is None or not mapping.enabled or mapping.account != event.account:
        return _Made()
    if not mapping.listens_to(event.name):
        return _Made()
    if mapping.filter_needs & missing:
        return _Made(None)
    try:
        verdict = evaluate.apply_filter(mapping, context)
    except StageError as error:
        return _Made(reason=error.message())
    if not verdict.passed:
        return _Made(reason=verdict.message)
    plan = evaluate.once_key(replace(mapping, name=""), context)
    if plan in plans:
        return _Made()
    plans |= {plan} if plan else set()
    payload: dict[str, Value] = {}
    unknown: dict[str, object] = {}
    sure = True
    tags: list[str] = []
    for one, value, failed in evaluate.explain(mapping, context, deal=mapping.tells_funnel):
        if _read(one.expressions) & missing:
            unknown[one.key] = one.source.text, one.type, one.default, dict(one.lookup or {})
            sure = sure and one.identifies is None
        elif failed is not None:
            return _Made(reason=failed.message())
        elif one in mapping.funnel.tags:
            tags += [] if value is None else [str(value)]
        elif value is not None:
            payload[one.key] = value
    payload |= {f"{FUNNEL}.tags": ", ".join(tags)} if tags else {}
    if mapping.tells_funnel:
        key = mapping.funnel.one_deal_per
        try:
            if isinstance(key, Field) and _read(key.expressions) & missing:
                unknown[f"{FUNNEL}.key"] = key.source.text
            else:
                payload[f"{FUNNEL}.key"] = evaluate.deal_key(mapping, context)
        except StageError as error:
            return _Made(reason=error.message())
    if sure:  # else an e-mail or a phone is most likely there
        try:
            evaluate.build_payload(replace(mapping, fields=_known(mapping, unknown)), context)
        except StageError as error:
            return _Made(reason=error.message())
    return _Made(True, NOTHING, payload, unknown, mapping.destination(event.name))


def _known(mapping: Mapping, unknown: dict[str, object]) -> tuple[Field, ...]:
    return tuple(one for one in mapping.fields if one.key not in unknown)


UNKNOWN = "…"
"""Stands for a value that only Asaas knows."""


def _changes(old: _Made, new: _Made) -> tuple[tuple[str, Value | None, Value | None], ...]:
    found = []
    for key in dict.fromkeys([*new.payload, *new.unknown, *old.payload, *old.unknown]):
        before = UNKNOWN if key in old.unknown else old.payload.get(key)
        after = UNKNOWN if key in new.unknown else new.payload.get(key)
        same = old.unknown.get(key) == new.unknown.get(key) if key in old.unknown or key in new.unknown else False
        if not same and (before != after or before == UNKNOWN):
            found.append((key, before, after))
    return tuple(found)


def about(event: StoredEvent, context: dict[str, Any], person: Customer | None) -> tuple[str, Any]:
    """Return what people call an event's object, the customer's name where it is known, and its amount or None."""
    found = context.get(event.entity)
    entity = found if isinstance(found, dict) else {}
    customer = context.get("customer")
    name = customer.get("name") if isinstance(customer, dict) else None
    words = (
        name,
        person and person.name,
        entity.get("description"),
        entity.get("externalReference"),
        event.object_id,
        event.key,
    )
    word = next((one for one in words if isinstance(one, str) and one.strip()), "")
    return word, entity.get("value")


def _read(expressions: Iterable[Expression]) -> frozenset[str]:
    names = frozenset[str]().union(*(one.names for one in expressions))
    return FETCHABLE if any(() in one.paths for one in expressions) else names & FETCHABLE | needs_of(names)
