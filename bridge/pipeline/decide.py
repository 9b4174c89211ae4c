"""Turns the waiting events of leased lanes into deliveries: filter, enrich, build the payload, commit a batch.

An event whose objects Asaas can't give now is held, and the later events of the same customer wait behind it; those of
other customers go past. An error of a mapping makes a dead delivery with its reason, never a stopped lane.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from bridge.errors import (
    AsaasKeyMissing,
    AsaasKeyRefused,
    AsaasNotFound,
    BridgeError,
    EnrichmentWaits,
    FilterFailed,
    MappingRefused,
    StageError,
)
from bridge.failpoints import failpoint
from bridge.journal import Journal, Lease, customers, deliveries, events, notices, search
from bridge.journal.about import cents_of
from bridge.journal.deliveries import NewDelivery
from bridge.journal.events import StoredEvent
from bridge.journal.notices import Notice, Resolved
from bridge.journal.search import Found, Ref
from bridge.logs import log_batch, logger
from bridge.mapping import evaluate
from bridge.mapping.catalogue import flow_rank
from bridge.mapping.context import build_context, references
from bridge.messages import N_, Message
from bridge.model import DeliveryState, EventProcessed, ReadBack, object_name, of_account, trace_id
from bridge.pipeline import enrich
from bridge.pipeline.account_events import account_notices
from bridge.pipeline.active_mappings import ActiveMapping, ActiveMappings
from bridge.telemetry import NO_TELEMETRY, Telemetry

log = logger(__name__)

DECIDE_BATCH = 100
"""Events of one batch: few enough that a slow Asaas API answers for all of them before the lease ends."""
CLOSE_SILENCE_EVERY_MS = 1_000
"""While events stream in, their account's notice of silence is closed once in this time, not with each event."""
HOLD_S = 5.0
"""The hold where Asaas did not name a time."""
HOLD_FOR_PERSON_S = 60.0
"""The hold until a person sets or fixes the account's key, or a mapping."""
MIN_HOLD_S = 1.0
"""Prevents a busy loop when Asaas answers `Retry-After: 0`."""

_encoder = json.JSONEncoder(ensure_ascii=False)  # json.dumps with options makes one for each call


def never(_name: str) -> bool:
    """Return False: every destination is a webhook."""
    return False


Fetched = Sequence[dict[str, Any] | BridgeError]


@dataclass(slots=True)
class Batch:
    """Events of some lanes on their way through the mappings."""

    lanes: frozenset[int]
    plans: list[EventPlan]
    behind: dict[int, int]
    """Event number -> due time of the held event before it."""
    must_fetch: bool
    """Whether `fetch` must ask Asaas before `commit`."""
    fetched: Fetched = ()


@dataclass(slots=True)
class Decided:
    """The decisions about some events, not written yet."""

    new: list[NewDelivery] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    held: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    """Event number -> due time, code and reason."""
    notices: list[Notice | Resolved] = field(default_factory=list)
    """From events about the account itself; once written, only the changes."""
    found: list[Found] = field(default_factory=list)
    """The charges and customers, for search and lists."""
    unknown: list[Ref] = field(default_factory=list)
    """Customers that Asaas does not have."""


class _EventGone(Exception):
    """An event of the batch is no longer waiting."""


class Decider:
    """The deciding half of a drain."""

    def __init__(
        self,
        journal: Journal,
        mappings: ActiveMappings,
        enricher: enrich.Enricher,
        environment: Callable[[str], str],
        clock_ms: Callable[[], int],
        batch: int = DECIDE_BATCH,
        observer: Telemetry = NO_TELEMETRY,
        is_api: Callable[[str], bool] = never,
    ) -> None:
        """`is_api` says of a destination's name whether it is written by Clint's API."""
        self._telemetry = observer
        self._is_api = is_api
        self._journal = journal
        self._mappings = mappings
        self._enricher = enricher
        self._environment = environment
        self._clock_ms = clock_ms
        self._batch = batch
        self._silence_closed_ms = 0

    def next_batches(self, lanes: Collection[int]) -> list[Batch]:
        """Return the waiting events of these lanes: one batch that can be decided now, and one for each other lane.

        All events of a lane are in one batch, so that they stay in order.
        """
        with self._journal.database.read() as connection:
            ids, behind = events.waiting(connection, lanes, self._clock_ms(), self._batch)
            ready = events.load(connection, ids) if ids else []
            # Read once for all, so that no event is half in one revision and half in another.
            active = self._mappings.current(connection) if ready else ()
        if not ready and not behind:
            return []
        plans = [plan_event(event, active, self._environment(event.account), self._is_api) for event in ready]
        for plan in plans:
            if plan.event.replay:
                # A person may have changed the customer in Asaas before the replay.
                self._enricher.forget(plan.event.account, plan.wanted)
        refused = self._mappings.refused()
        requests = [(plan.event.account, plan.wanted) for plan in plans]
        cached = self._enricher.from_cache(requests) if refused is None else [refused] * len(plans)
        fetching = {plan.event.lane for plan, found in zip(plans, cached, strict=True) if found is None}
        known = [(p, f) for p, f in zip(plans, cached, strict=True) if f is not None and p.event.lane not in fetching]
        batches = []
        if known or behind:
            of_lanes = frozenset(lanes if behind else (plan.event.lane for plan, _ in known))
            fetched = [found for _, found in known]
            batches.append(Batch(of_lanes, [plan for plan, _ in known], behind, False, fetched))
        for lane in sorted(fetching):
            batches.append(Batch(frozenset([lane]), [plan for plan in plans if plan.event.lane == lane], {}, True))
        return batches

    def fetch(self, batch: Batch) -> Batch:
        """Fetch the objects of the batch from Asaas, however long that takes, and return the batch."""
        batch.fetched = self._enricher.fetch_many([(plan.event.account, plan.wanted) for plan in batch.plans])
        return batch

    def commit(self, leases: Sequence[Lease], batch: Batch) -> tuple[bool, list[Lease]]:
        """Decide a batch whose objects are fetched, and write the decisions under the leases of its lanes.

        Returns whether more may be waiting, and the lost leases: nothing was written in their lanes. Where an event is
        no longer waiting, because its person was erased, nothing is written at all; the next read leaves it out.
        """
        # Decided before the transaction, which on SQLite keeps every other writer out.
        now_ms = self._clock_ms()
        decided = decide(batch.plans, batch.fetched, now_ms)
        failpoint("process.before_write")
        try:
            with self._journal.lanes.transaction(leases, now_ms) as (connection, held):
                lanes = {lease.lane for lease in held}
                lost = [lease for lease in leases if lease.lane not in lanes]
                if lost:
                    kept = [(p, f) for p, f in zip(batch.plans, batch.fetched, strict=True) if p.event.lane in lanes]
                    decided = decide([plan for plan, _ in kept], [fetched for _, fetched in kept], now_ms)
                self._write(connection, decided, {} if lost else batch.behind, now_ms)
                failpoint("process.before_commit")
        except _EventGone:
            return True, []
        failpoint("process.after_commit")
        with log_batch():
            log_decided(batch.plans, decided, self._telemetry, now_ms, self._clock_ms())
        return bool(decided.done), lost

    def _write(self, connection: Connection, decided: Decided, behind: Mapping[int, int], now_ms: int) -> None:
        waits = Message(N_("an earlier event of this customer waits")).to_json()
        events.hold(connection, decided.held | {id_: (due, "event.behind", waits) for id_, due in behind.items()})
        decided.new = _once_per_plan(connection, decided.new, decided.done)
        deliveries.add(connection, decided.new, now_ms)
        if events.mark_processed(connection, decided.done, now_ms) != len(decided.done):
            raise _EventGone
        decided.notices = notices.apply(connection, decided.notices, now_ms)
        if decided.done and now_ms - self._silence_closed_ms >= CLOSE_SILENCE_EVERY_MS:
            decided.notices += notices.close_heard(connection, decided.done, now_ms)
            self._silence_closed_ms = now_ms
        customers.record(connection, decided.found, decided.unknown, now_ms)


def _once_per_plan(
    connection: Connection, decided: Sequence[NewDelivery], event_ids: Sequence[int]
) -> list[NewDelivery]:
    """Filter the deliveries whose instalment plan has one already, in the journal or earlier in the batch."""
    keys = {(delivery.mapping, delivery.once_key) for delivery in decided if delivery.once_key is not None}
    taken = deliveries.plans_taken(connection, keys, event_ids)
    reason = Message(N_("installments: once: this plan already has a delivery for this event and mapping")).to_json()
    result = []
    for delivery in decided:
        if delivery.once_key is not None:
            key = (delivery.mapping, delivery.once_key)
            if key in taken:
                filtered: dict[str, Any] = {"state": DeliveryState.FILTERED, "reason_code": "filter.once"}
                delivery = replace(delivery, **filtered, reason=reason, payload=None, once_key=None, read_back=None)
            taken.add(key)
        result.append(delivery)
    return result


def decide(plans: Sequence[EventPlan], fetched: Fetched, now_ms: int) -> Decided:
    """Return the decisions about these events, given the fetched objects of each; pure."""
    decided = Decided()
    holds: dict[tuple[str, str], tuple[int, str, str]] = {}
    for plan, result in zip(plans, fetched, strict=True):
        event = plan.event
        subject = (event.account, event.subject)
        if isinstance(result, EnrichmentWaits | MappingRefused) and subject not in holds:
            holds[subject] = (now_ms + int(_hold_s(result) * 1000), result.code, result.message().to_json())
        if subject in holds:
            decided.held[event.id] = holds[subject]
            continue
        decided.new += plan.reject(result) if isinstance(result, BridgeError) else plan.decide(result)
        decided.notices += account_notices(event)
        about = plan.envelope.get(event.entity)
        decided.found.append(search.charge_found(event.account, event.object_id, about if about else {}))
        if isinstance(result, dict) and "customer" in result:
            customer = result["customer"]
            if isinstance(customer, dict):
                decided.found.append(search.customer_found(event.account, event.subject, customer))
            elif plan.wanted.get("customer") == event.subject:
                decided.unknown.append(subject)
        decided.done.append(event.id)
    return decided


def _hold_s(error: EnrichmentWaits | MappingRefused) -> float:
    if isinstance(error, AsaasKeyMissing | AsaasKeyRefused | MappingRefused):
        return HOLD_FOR_PERSON_S
    return max(MIN_HOLD_S, error.retry_after_s if error.retry_after_s is not None else HOLD_S)


@dataclass(slots=True)
class EventPlan:
    """One event with the mappings that listen to it."""

    event: StoredEvent
    mappings: Sequence[ActiveMapping]
    environment: str
    is_api: Callable[[str], bool] = never
    """Of a destination's name: whether it is written by Clint's API, whose payloads say which deal they are about."""
    envelope: dict[str, Any] = field(default_factory=dict)
    """The event as Asaas sent it."""
    wanted: dict[str, str] = field(default_factory=dict)
    """The objects to fetch from Asaas: name -> id."""
    fault: Exception | None = None
    """The exception that kept the plan from being made: a fault of the bridge."""

    def context(self, fetched: dict[str, Any]) -> dict[str, Any]:
        """Return the values that expressions read."""
        event = self.event
        derived = frozenset[str]().union(*(active.mapping.derived for active in self.mappings))
        return build_context(
            event.name, event.entity, self.envelope, event.account, self.environment, fetched, derived=derived
        )

    def decide(self, fetched: dict[str, Any]) -> list[NewDelivery]:
        """Return one delivery for each mapping: pending, filtered or dead, the last two with the reason."""
        return [self._delivery(active, fetched) for active in self.mappings]

    def reject(self, error: BridgeError) -> list[NewDelivery]:
        """Return one delivery for each mapping where Asaas refused the request itself.

        Asking again would not help: a mapping that needs the answer gets a dead delivery, the others are decided.
        """
        wanted = self.wanted.keys()
        result = self.decide({})
        for number, active in enumerate(self.mappings):
            needs_field = active.mapping.field_needs & wanted and result[number].state is not DeliveryState.FILTERED
            if active.mapping.filter_needs & wanted or needs_field:
                result[number] = self._new(active, DeliveryState.DEAD, code=error.code, reason=error.message())
        return result

    def _delivery(self, active: ActiveMapping, fetched: dict[str, Any]) -> NewDelivery:
        try:
            if self.fault is not None:
                raise self.fault
            return self._filtered_or_pending(active, fetched)
        except StageError as error:
            needs = active.mapping.filter_needs if isinstance(error, FilterFailed) else active.mapping.field_needs
            cause = self._not_found(needs, fetched, error.what) or error
            return self._new(active, DeliveryState.DEAD, code=cause.code, reason=cause.message())
        except Exception as error:  # a fault of the bridge must not stop the lane
            log.exception("mapping.fault", event_id=self.event.id, mapping=active.mapping.name)
            text = N_("the bridge failed on this event ({error}); the log has the details")
            reason = Message(text, {"error": type(error).__name__})
            return self._new(active, DeliveryState.DEAD, code="bridge.fault", reason=reason)

    def _filtered_or_pending(self, active: ActiveMapping, fetched: dict[str, Any]) -> NewDelivery:
        mapping, context = active.mapping, self.context(fetched)
        verdict = evaluate.apply_filter(mapping, context)
        if not verdict.passed:
            cause = self._not_found(mapping.filter_needs, fetched, verdict.message)
            reason = cause.message() if cause else verdict.message
            return self._new(active, DeliveryState.FILTERED, code=verdict.code, reason=reason)
        build = evaluate.build_deal if self.is_api(mapping.destination(self.event.name)) else evaluate.build_payload
        return self._new(
            active,
            DeliveryState.PENDING,
            payload=_storable(_encoder.encode(build(mapping, context))),
            once_key=evaluate.once_key(mapping, context),
            read_back=ReadBack.ASKED.value if mapping.verify else None,
        )

    def _not_found(self, needs: frozenset[str], fetched: dict[str, Any], consequence: Message) -> AsaasNotFound | None:
        """Return the object that Asaas answered 404 for, where a mapping can't go on without it."""
        for name in sorted(needs & self.wanted.keys()):
            object_id = self.wanted[name] or enrich.explain_path(name, fetched)
            if object_id and name in fetched and fetched[name] is None:
                return AsaasNotFound(
                    N_("the {name} {id} must be in the Asaas account of the key, got 404; so {consequence}"),
                    where=of_account(self.event.account),
                    hint=N_("check that its API key is of the account and environment of the event, then replay"),
                    name=object_name(name),
                    id=object_id,
                    consequence=consequence,
                )
        return None

    def _new(
        self,
        active: ActiveMapping,
        state: DeliveryState,
        *,
        code: str | None = None,
        reason: Message | None = None,
        **more: Any,
    ) -> NewDelivery:
        event, mapping = self.event, active.mapping
        return NewDelivery(
            event_id=event.id,
            mapping=mapping.name,
            revision_id=active.revision_id,
            replay=event.replay,
            account=event.account,
            subject=event.subject,
            line=mapping.line,
            lane=event.lane,
            destination=mapping.destination(event.name),
            object_id=event.object_id,
            order_at=event.created,
            order_rank=flow_rank(event.name),
            skip_stale=mapping.stale == "skip",
            state=state,
            reason_code=code,
            reason=_storable(reason.to_json()) if reason else None,
            amount=charge_cents(self.envelope),
            **more,
        )


def charge_cents(envelope: Mapping[str, Any]) -> int:
    """Return the value of an event's charge in cents; 0 where the event is about something else."""
    charge = envelope.get("payment")
    return cents_of(charge.get("value")) if isinstance(charge, dict) else 0


def plan_event(
    event: StoredEvent, active: Iterable[ActiveMapping], environment: str, is_api: Callable[[str], bool] = never
) -> EventPlan:
    """Return the plan of an event: the mappings that listen, and the objects to fetch before they can decide.

    A filter that needs nothing from Asaas is applied first, so that a filtered event costs no request.
    """
    mappings = [
        item
        for item in active
        if item.mapping.enabled
        and item.mapping.account == event.account
        and item.mapping.listens_to(event.name)
        and event.replay_mapping in {None, item.mapping.name}
    ]
    plan = EventPlan(event, mappings, environment, is_api)
    try:
        plan.envelope = json.loads(event.body)
        bare = plan.context({})
        needs = frozenset[str]().union(*(_needs(item, bare) for item in mappings))
        plan.wanted = enrich.plan(needs, references(bare))
    except Exception as error:  # noqa: BLE001 (it becomes the reason of each mapping's delivery, and is logged there)
        plan.fault, plan.envelope = error, {}
    return plan


def _needs(active: ActiveMapping, bare: dict[str, Any]) -> frozenset[str]:
    mapping = active.mapping
    if mapping.filter_needs - bare.keys():
        return mapping.filter_needs | mapping.field_needs
    try:
        passes = evaluate.apply_filter(mapping, bare).passed
    except Exception:  # noqa: BLE001 (EventPlan.decide() meets it again, and makes the dead delivery)
        passes = False
    return mapping.field_needs if passes else frozenset()


def _storable(text: str) -> str:
    """Replace NUL and half characters, which a customer may type and databases refuse."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def log_decided(
    plans: Sequence[EventPlan], decided: Decided, telemetry: Telemetry, began_ms: int, ended_ms: int
) -> None:
    """Log and count each event that was processed or held."""
    for one in decided.notices:
        if isinstance(one, Notice):
            log.warning("notice.raised", code=one.code, about=one.about, level=one.level.value)
        else:
            log.info("notice.closed", code=one.code, about=one.about)
    done = set(decided.done)
    verdicts: dict[int, dict[str, str]] = {}
    for delivery in decided.new:
        verdicts.setdefault(delivery.event_id, {})[delivery.mapping] = delivery.state.value
    for plan in plans:
        event = plan.event
        trace = trace_id(event.account, event.key)
        if event.id in decided.held:
            code = decided.held[event.id][1]
            log.warning("event.held", trace=trace, event_id=event.id, name=event.name, code=code)
            telemetry.held(event.account, code)
        elif event.id in done:
            found = verdicts.get(event.id, {})
            log.info(
                "event.processed",
                trace=trace,
                event_id=event.id,
                name=event.name,
                account=event.account,
                object=event.object_id,
                replay=event.replay,
                verdicts=found,
                waited_ms=ended_ms - event.received_ms,
            )
            telemetry.processed(EventProcessed(event.id, trace, event.account, event.name, began_ms, ended_ms, found))
