"""What a replay would make of an event, beside what was made of it before. Changes nothing and sends nothing.

It goes through the worker's own plan, with today's mappings and what Asaas says now; what the journal adds to a
decision (one delivery for each instalment plan, stale events) is looked up as well.
"""

from __future__ import annotations

import json
from collections import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from bridge.errors import BridgeError, EnrichmentWaits, NotFound
from bridge.journal import Journal, deliveries, events, queries, retention, revisions
from bridge.journal.deliveries import NewDelivery
from bridge.journal.events import StoredEvent
from bridge.journal.queries import Row
from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.mapping.context import build_context, references
from bridge.mapping.explain import explained
from bridge.mapping.values import brasilia_day
from bridge.model import DeliveryState
from bridge.pipeline import enrich
from bridge.pipeline.active_mappings import ActiveMapping
from bridge.pipeline.decide import EventPlan, plan_event
from bridge.pipeline.policy import is_stale
from bridge.runtime import Runtime

BATCH = 50


class Enrichment(Protocol):
    """Fetches objects from Asaas."""

    def fetch_many(self, wanted: Sequence[tuple[str, abc.Mapping[str, str]]]) -> Sequence[dict[str, Any] | BridgeError]:
        """Return for each (account, name -> id) the objects by name, or why not."""
        ...

    def forget(self, account: str, wanted: abc.Mapping[str, str]) -> None:
        """Let the next fetch of these ask Asaas again."""
        ...


class Unheard(StrEnum):
    """Why no mapping takes an event."""

    NOBODY = "nobody"  # no active mapping listens to it
    ELSEWHERE = "elsewhere"  # those that listen to it are for other accounts
    GONE = "gone"  # the mapping that was named is not there; the others say why that one does not take it
    OFF = "off"
    OTHER_ACCOUNT = "other_account"
    OTHER_EVENT = "other_event"


class Change(NamedTuple):
    """One key of the payload that would be another; None where it is not there."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would become of an event in one mapping."""

    mapping: str
    before: DeliveryState | None
    """The state of this mapping's newest delivery of the event, None where there is none."""
    after: DeliveryState
    destination: str
    reason: str
    payload: dict[str, Any] | None
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of one event."""

    event_id: int
    name: str
    outcomes: tuple[Outcome, ...] = ()
    problem: str = ""
    """Why it can't be said; the event would wait."""
    unheard: Unheard | None = None
    """Why no mapping takes the event; None where one does."""


def preview(
    journal: Journal,
    ids: Sequence[int],
    mapping: str | None,
    *,
    active: Sequence[ActiveMapping],
    environment: Callable[[str], str],
    enrichment: Enrichment,
) -> Iterator[Preview]:
    """Say for each event what a replay through these mappings, or one of them, would make of it.

    Raises NotFound where an event is not in the journal, BodyEmptied where its body is gone.
    """
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        with journal.database.read() as connection:
            retention.check_full(connection, batch)
            kept = {event.id: event for event in events.load(connection, batch)}
        if missing := [id_ for id_ in batch if id_ not in kept]:
            raise NotFound(f"no event has the number {missing[0]}", hint="see: bridge events list")
        replayed = [replace(kept[id_], replay=kept[id_].replay + 1, replay_mapping=mapping) for id_ in batch]
        yield from preview_events(journal, replayed, active=active, environment=environment, enrichment=enrichment)


def preview_events(
    journal: Journal,
    kept: Sequence[StoredEvent],
    *,
    active: Sequence[ActiveMapping],
    environment: Callable[[str], str],
    enrichment: Enrichment,
) -> Iterator[Preview]:
    """Say for each of these events, kept or not, what the mappings would make of it."""
    for start in range(0, len(kept), BATCH):
        plans = [plan_event(event, active, environment(event.account)) for event in kept[start : start + BATCH]]
        for plan in plans:
            if plan.event.replay:
                # As the replay does: somebody may have mended it there.
                enrichment.forget(plan.event.account, plan.wanted)
        # Asaas is asked outside the transaction: it may take seconds.
        fetched = enrichment.fetch_many([(plan.event.account, plan.wanted) for plan in plans])
        with journal.database.read() as connection:
            found = [_preview(connection, plan, result, active) for plan, result in zip(plans, fetched, strict=True)]
        yield from found


def _preview(
    connection: Connection, plan: EventPlan, fetched: dict[str, Any] | BridgeError, active: Sequence[ActiveMapping]
) -> Preview:
    event = plan.event
    if not plan.mappings:
        return Preview(event.id, event.name, unheard=unheard(event.name, event.account, event.replay_mapping, active))
    if isinstance(fetched, EnrichmentWaits):
        return Preview(event.id, event.name, problem=str(fetched))
    newest: dict[str, Row] = {row["mapping"]: row for row in queries.deliveries_of(connection, event.id)}
    made = plan.reject(fetched) if isinstance(fetched, BridgeError) else plan.decide(fetched)
    decided = [_with_journal(connection, delivery) for delivery in made]
    return Preview(event.id, event.name, tuple(_outcome(new, newest.get(new.mapping)) for new in decided))


def unheard(name: str, account: str, replayed_for: str | None, active: Sequence[ActiveMapping]) -> Unheard:
    """Return why no mapping, or not the one for which it was replayed, takes an event of this name and account."""
    if replayed_for is None:
        elsewhere = any(
            one.mapping.enabled and one.mapping.account != account and one.mapping.listens_to(name) for one in active
        )
        return Unheard.ELSEWHERE if elsewhere else Unheard.NOBODY
    mapping = next((one.mapping for one in active if one.mapping.name == replayed_for), None)
    if mapping is None:
        return Unheard.GONE
    if not mapping.enabled:
        return Unheard.OFF
    return Unheard.OTHER_ACCOUNT if mapping.account != account else Unheard.OTHER_EVENT


def _with_journal(connection: Connection, new: NewDelivery) -> NewDelivery:
    """Return the decision as it would stand after the worker looked into the journal."""
    if new.state is not DeliveryState.PENDING:
        return new
    if new.once_key and deliveries.plans_taken(connection, [(new.mapping, new.once_key)], [new.event_id]):
        return replace(
            new, state=DeliveryState.FILTERED, payload=None, reason="this instalment plan already has a delivery"
        )
    newest = deliveries.newest_delivered(connection, [new]).get((new.account, new.object_id, new.line))
    if is_stale(new, newest):
        reason = "a newer event of this charge was already delivered; it would not be sent"
        return replace(new, state=DeliveryState.STALE, reason=reason)
    return new


def _outcome(new: NewDelivery, before: Row | None) -> Outcome:
    payload = json.loads(new.payload) if new.payload else None
    old = json.loads(before["payload"]) if before and before["payload"] else {}
    return Outcome(
        new.mapping,
        DeliveryState(before["state"]) if before else None,
        new.state,
        new.destination,
        new.reason or "",
        payload,
        _changes(old, payload or {}) if payload is not None else (),
    )


def _changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    keys = [*after, *(key for key in before if key not in after)]
    return tuple(Change(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key))


_ANYTHING = Setup(None, None, active=True)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the filter of one delivery's mapping saw."""

    seen: Sequence[dict[str, Any]] = ()
    """Each condition: line, text, value, passed (None where the verdict stood before its turn), depth."""
    needs_asaas: bool = False
    """Whether the filter looks at objects that only the Asaas API has, and they were not asked for."""
    problem: str = ""
    gone: bool = False
    """Whether the text that the mapping had then is no longer there."""
    needs: frozenset[str] = field(default=frozenset())


def conditions(
    runtime: Runtime, connection: Connection, event: Row, delivery: Row, fetched: dict[str, Any] | None
) -> Conditions:
    """Return the conditions of a delivery's mapping; `fetched` is None where Asaas was not asked."""
    if event["emptied_ms"] is not None:
        return Conditions(gone=True)
    revision = revisions.get(connection, delivery["revision_id"])
    read = (
        parse_mapping(revision.text, f"{delivery['mapping']}.yaml", _ANYTHING) if revision and revision.text else None
    )
    if read is None or read.mapping is None:
        return Conditions(gone=True)
    mapping: Mapping = read.mapping
    context = context_of(runtime, event, fetched or {})
    if fetched is None and mapping.filter_needs & references(context).keys():
        return Conditions(needs_asaas=True, needs=mapping.filter_needs)
    try:
        told = explained(mapping, context)
    except BridgeError as error:
        return Conditions(problem=error.text())
    failed = "message" in told and "conditions" not in told
    return Conditions(told.get("conditions", ()), problem=told["message"].text() if failed else "")


def context_of(runtime: Runtime, event: Row, fetched: dict[str, Any]) -> dict[str, Any]:
    """Return what expressions saw when the event was processed, or see now where it was not."""
    account, envelope = event["account"], json.loads(event["body"])
    today = brasilia_day(datetime.fromtimestamp(event["processed_ms"] / 1000, UTC)) if event["processed_ms"] else None
    return build_context(
        event["name"], event["entity"], envelope, account, runtime.environment(account), fetched, today=today
    )


def fetch(runtime: Runtime, event: Row, needs: frozenset[str]) -> dict[str, Any]:
    """Ask Asaas, or the cache, for what a filter needs. Raises BridgeError where it can't be asked."""
    wanted = enrich.plan(needs, references(context_of(runtime, event, {})))
    return runtime.enricher.fetch(event["account"], wanted) if wanted else {}
