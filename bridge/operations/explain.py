"""Previews what a replay would make of an event, and shows the conditions behind a delivery. Changes nothing.

The preview takes the worker's own plan, today's mappings, the current objects of Asaas and what the journal adds to a
decision: one delivery for each instalment plan, stale events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from bridge.errors import BridgeError, EnrichmentWaits, NotFound
from bridge.journal import deliveries, events, queries, retention, revisions
from bridge.journal.deliveries import NewDelivery
from bridge.journal.events import StoredEvent
from bridge.journal.queries import Row
from bridge.mapping import Setup, parse_mapping
from bridge.mapping.context import build_context, references
from bridge.mapping.evaluate import spread
from bridge.mapping.explain import explained
from bridge.mapping.values import brasilia_day
from bridge.messages import N_, Message
from bridge.model import DeliveryState
from bridge.pipeline import enrich
from bridge.pipeline.active_mappings import ActiveMapping
from bridge.pipeline.decide import EventPlan, plan_event
from bridge.pipeline.policy import is_stale
from bridge.runtime import Runtime

BATCH = 50


class Unheard(StrEnum):
    """Why no mapping takes an event."""

    NOBODY = "nobody"  # no active mapping listens to it
    ELSEWHERE = "elsewhere"  # only mappings of other accounts listen to it
    GONE = "gone"  # the named mapping does not exist
    OFF = "off"  # the named mapping is switched off
    OTHER_ACCOUNT = "other_account"  # the named mapping is of another account
    OTHER_EVENT = "other_event"  # the named mapping does not listen to it


@dataclass(frozen=True, slots=True)
class Outcome:
    mapping: str
    before: DeliveryState | None
    """The state of the mapping's current delivery of the event."""
    after: DeliveryState
    destination: str
    reason: str
    """A `Message.to_json()`, or an empty text."""
    payload: dict[str, Any] | None
    changes: tuple[dict[str, Any], ...]
    """The keys of the payload that would change: key, before and after, None where it is missing."""


@dataclass(frozen=True, slots=True)
class Preview:
    event_id: int
    name: str
    outcomes: tuple[Outcome, ...] = ()
    problem: str = ""
    """Why the event would wait: a `Message.to_json()`, or an empty text."""
    code: str = ""
    """The error's code, where the event would wait."""
    unheard: Unheard | None = None
    """Why no mapping takes the event."""


def preview(
    runtime: Runtime, ids: Sequence[int], mapping: str | None, active: Sequence[ActiveMapping]
) -> Iterator[Preview]:
    """Preview a replay of each event through these mappings, or the named one. Raises NotFound, BodyEmptied."""
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        with runtime.journal.database.read() as connection:
            retention.check_full(connection, batch)
            found = {event.id: event for event in events.load(connection, batch)}
        if missing := [id_ for id_ in batch if id_ not in found]:
            hint = N_("see: bridge events list")
            raise NotFound(N_("no event has the number {number}"), hint=hint, number=missing[0])
        replayed = [replace(found[id_], replay=found[id_].replay + 1, replay_mapping=mapping) for id_ in batch]
        yield from preview_events(runtime, replayed, active)


def preview_events(
    runtime: Runtime, stored: Sequence[StoredEvent], active: Sequence[ActiveMapping]
) -> Iterator[Preview]:
    """Preview each of these events, which need not be in the journal."""
    for start in range(0, len(stored), BATCH):
        batch = stored[start : start + BATCH]
        plans = [plan_event(event, active, runtime.environment(event.account), runtime.is_api) for event in batch]
        for plan in plans:
            if plan.event.replay:  # a replay ignores the cache too: somebody may have fixed the object at Asaas
                runtime.enricher.forget(plan.event.account, plan.wanted)
        # Outside the transaction: Asaas may take seconds.
        fetched = runtime.enricher.fetch_many([(plan.event.account, plan.wanted) for plan in plans])
        with runtime.journal.database.read() as connection:
            found = [_preview(connection, plan, result, active) for plan, result in zip(plans, fetched, strict=True)]
        yield from found


def _preview(
    connection: Connection, plan: EventPlan, fetched: dict[str, Any] | BridgeError, active: Sequence[ActiveMapping]
) -> Preview:
    event = plan.event
    if not plan.mappings:
        return Preview(event.id, event.name, unheard=unheard(event.name, event.account, event.replay_mapping, active))
    if isinstance(fetched, EnrichmentWaits):
        return Preview(event.id, event.name, problem=fetched.message().to_json(), code=fetched.code)
    standing = queries.standing(queries.deliveries_of(connection, event.id))
    made = plan.reject(fetched) if isinstance(fetched, BridgeError) else plan.decide(fetched)
    decided = [_with_journal(connection, delivery) for delivery in made]
    return Preview(event.id, event.name, tuple(_outcome(new, standing.get(new.mapping)) for new in decided))


def unheard(name: str, account: str, replayed_for: str | None, active: Sequence[ActiveMapping]) -> Unheard:
    """Return why no mapping, or not the one of the replay, takes an event of this name and account."""
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
    """Return the decision after the worker's look into the journal."""
    if new.state is not DeliveryState.PENDING:
        return new
    if new.once_key and deliveries.plans_taken(connection, [(new.mapping, new.once_key)], [new.event_id]):
        reason = Message(N_("this instalment plan already has a delivery")).to_json()
        return replace(new, state=DeliveryState.FILTERED, payload=None, reason=reason)
    newest = deliveries.newest_delivered(connection, [new]).get((new.account, new.object_id, new.line))
    if is_stale(new, newest):
        newer = Message(N_("a newer event of this charge was already delivered, so this one would not be sent"))
        return replace(new, state=DeliveryState.STALE, reason=newer.to_json())
    return new


def _outcome(new: NewDelivery, last: Row | None) -> Outcome:
    after = spread(json.loads(new.payload)) if new.payload else None
    before = spread(json.loads(last["payload"])) if last and last["payload"] else {}
    keys = dict.fromkeys([*after, *before]) if after is not None else {}
    changes = ({"key": key, "before": before.get(key), "after": (after or {}).get(key)} for key in keys)
    return Outcome(
        new.mapping,
        DeliveryState(last["state"]) if last else None,
        new.state,
        new.destination,
        new.reason or "",
        after,
        tuple(change for change in changes if change["before"] != change["after"]),
    )


@dataclass(frozen=True, slots=True)
class Conditions:
    seen: Sequence[dict[str, Any]] = ()
    """Each with line, text, value, passed (None if the verdict was reached before it) and depth."""
    needs_asaas: bool = False
    """Whether the filter needs objects of the Asaas API that were not fetched."""
    problem: str = ""
    """A `Message.to_json()`, or an empty text."""
    gone: bool = False
    """Whether the text of the mapping's revision no longer exists."""


def conditions(
    runtime: Runtime, connection: Connection, event: Row, delivery: Row, fetched: dict[str, Any] | None
) -> Conditions:
    """Return the conditions of a delivery's mapping; `fetched` is None where nothing was fetched from Asaas."""
    revision = revisions.get(connection, delivery["revision_id"])
    if event["emptied_ms"] is not None or revision is None or not revision.text:
        return Conditions(gone=True)
    mapping = parse_mapping(revision.text, f"{delivery['mapping']}.yaml", Setup(None, None, active=True)).mapping
    if mapping is None:
        return Conditions(gone=True)
    context = context_of(runtime, event, fetched or {})
    if fetched is None and mapping.filter_needs & references(context).keys():
        return Conditions(needs_asaas=True)
    try:
        told = explained(mapping, context)
    except BridgeError as error:
        return Conditions(problem=error.message().to_json())
    failed = "message" in told and "conditions" not in told
    return Conditions(told.get("conditions", ()), problem=told["message"].to_json() if failed else "")


def context_of(runtime: Runtime, event: Row, fetched: dict[str, Any]) -> dict[str, Any]:
    """Return the context of expressions when the event was processed, or now where it was not."""
    account, envelope, processed_ms = event["account"], json.loads(event["body"]), event["processed_ms"]
    today = brasilia_day(datetime.fromtimestamp(processed_ms / 1000, UTC)) if processed_ms else None
    environment = runtime.environment(account)
    return build_context(event["name"], event["entity"], envelope, account, environment, fetched, today=today)


def fetch(runtime: Runtime, event: Row, needs: frozenset[str]) -> dict[str, Any]:
    """Fetch the objects that a filter needs, from Asaas or the cache. Raises BridgeError."""
    wanted = enrich.plan(needs, references(context_of(runtime, event, {})))
    return runtime.enricher.fetch(event["account"], wanted) if wanted else {}
