"""Turns new events of a leased lane into deliveries: filtering -> enrichment -> transform -> rows, one commit a batch.

An event whose data Asaas can't give right now is put off with its reason, and the later events of the same customer
wait with it; others go past. What a mapping gets wrong makes a dead delivery with a reason, never a stopped lane.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

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
from bridge.journal import Journal, Lease, deliveries, events, notices, search
from bridge.journal.deliveries import NewDelivery
from bridge.journal.events import StoredEvent
from bridge.journal.notices import Notice, Resolved
from bridge.journal.search import Term
from bridge.logs import log_batch, logger
from bridge.mapping import evaluate
from bridge.mapping.catalogue import flow_rank
from bridge.mapping.context import build_context, references
from bridge.model import DeliveryState, EventProcessed, ReadBack, trace_id
from bridge.pipeline import enrich
from bridge.pipeline.account_events import account_notices
from bridge.pipeline.active_mappings import ActiveMapping, ActiveMappings
from bridge.settings import variable
from bridge.telemetry import NO_TELEMETRY, Telemetry

log = logger(__name__)

_encoder = json.JSONEncoder(ensure_ascii=False)  # json.dumps with options would make one each time


@dataclass(slots=True)
class EventPlan:
    """One event and the mappings that listen to it."""

    event: StoredEvent
    mappings: Sequence[ActiveMapping]
    environment: str
    envelope: dict[str, Any] = field(default_factory=dict)
    """The event as Asaas sent it."""
    wanted: dict[str, str] = field(default_factory=dict)
    """What must be fetched from Asaas: name -> id."""
    fault: Exception | None = None
    """Why the plan could not be opened: a fault of ours."""

    def context(self, fetched: dict[str, Any]) -> dict[str, Any]:
        """Return what expressions see."""
        event = self.event
        derived = frozenset[str]().union(*(active.mapping.derived for active in self.mappings))
        return build_context(
            event.name, event.entity, self.envelope, event.account, self.environment, fetched, derived=derived
        )

    def decide(self, fetched: dict[str, Any]) -> list[NewDelivery]:
        """Return one delivery for each mapping: owed, filtered with the condition that said no, or dead with why."""
        return [self._delivery(active, fetched) for active in self.mappings]

    def reject(self, error: BridgeError) -> list[NewDelivery]:
        """Return one delivery for each mapping where Asaas says that the request itself is wrong.

        To ask again would not help, so the mappings that need the answer give up; the others are as ever.
        """
        return [self._rejected(*pair, error) for pair in zip(self.mappings, self.decide({}), strict=True)]

    def _rejected(self, active: ActiveMapping, decided: NewDelivery, error: BridgeError) -> NewDelivery:
        asks, needs = active.mapping.filter_needs & self.wanted.keys(), active.mapping.field_needs & self.wanted.keys()
        if asks or (needs and decided.state is not DeliveryState.FILTERED):
            return self._new(active, DeliveryState.DEAD, reason_code=error.code, reason=str(error))
        return decided

    def _delivery(self, active: ActiveMapping, fetched: dict[str, Any]) -> NewDelivery:
        try:
            if self.fault is not None:
                raise self.fault
            return self._decided(active, self.context(fetched), fetched)
        except StageError as error:
            needs = active.mapping.filter_needs if isinstance(error, FilterFailed) else active.mapping.field_needs
            said = self._not_found(needs, fetched, str(error.what)) or error
            return self._new(active, DeliveryState.DEAD, reason_code=said.code, reason=str(said))
        except Exception as error:  # a fault of ours must not stop the lane for everybody in it
            log.exception("mapping.fault", event_id=self.event.id, mapping=active.mapping.name)
            reason = f"the bridge failed on this event ({type(error).__name__}); the log has the details"
            return self._new(active, DeliveryState.DEAD, reason_code="bridge.fault", reason=reason)

    def _not_found(
        self, needs: frozenset[str], fetched: dict[str, Any], consequence: str | None
    ) -> AsaasNotFound | None:
        """Return what Asaas answered 404 for, where that is why a mapping can't go on."""
        for name in sorted(needs & self.wanted.keys()):
            object_id = self.wanted[name] or enrich.explain_path(name, fetched)
            if object_id and name in fetched and fetched[name] is None:
                key = variable("ASAAS_API_KEY", self.event.account)
                return AsaasNotFound(
                    f"the {name} {object_id} must be in the Asaas account of the key, got 404; so {consequence}",
                    where=f"account {self.event.account}",
                    hint=f"see that {key} is of the account and environment of the event, then replay",
                )
        return None

    def _decided(self, active: ActiveMapping, context: dict[str, Any], fetched: dict[str, Any]) -> NewDelivery:
        mapping = active.mapping
        verdict = evaluate.apply_filter(mapping, context)
        if not verdict.passed:
            gone = self._not_found(mapping.filter_needs, fetched, verdict.reason)
            reason = str(gone) if gone else verdict.reason
            return self._new(active, DeliveryState.FILTERED, reason_code=verdict.code, reason=reason)
        payload = evaluate.build_payload(mapping, context)
        return self._new(
            active,
            DeliveryState.PENDING,
            payload=_storable(_encoder.encode(payload)),
            once_key=evaluate.once_key(mapping, context),
            read_back=ReadBack.ASKED.value if mapping.verify else None,
        )

    def _new(
        self, active: ActiveMapping, state: DeliveryState, *, reason: str | None = None, **more: Any
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
            reason=_storable(reason) if reason else None,
            **more,
        )


def plan_event(event: StoredEvent, active: Iterable[ActiveMapping], environment: str) -> EventPlan:
    """Return the plan of an event: who listens, and what must be fetched before they can say.

    Where a filter needs nothing from Asaas it is asked first, so that an event that does not pass costs no request.
    """
    mappings = [
        item
        for item in active
        if item.mapping.enabled
        and item.mapping.account == event.account
        and item.mapping.listens_to(event.name)
        and event.replay_mapping in {None, item.mapping.name}
    ]
    plan = EventPlan(event, mappings, environment)
    try:
        plan.envelope = json.loads(event.body)
        bare = plan.context({})
        needs = frozenset[str]().union(*(_needs(item, bare) for item in mappings))
        plan.wanted = enrich.plan(needs, references(bare))
    except Exception as error:  # noqa: BLE001 (each mapping's delivery says so, and the log of each has the details)
        plan.fault, plan.envelope = error, {}
    return plan


def _needs(active: ActiveMapping, bare: dict[str, Any]) -> frozenset[str]:
    mapping = active.mapping
    if mapping.filter_needs - bare.keys():
        return mapping.filter_needs | mapping.field_needs
    try:
        passes = evaluate.apply_filter(mapping, bare).passed
    except Exception:  # noqa: BLE001 (decide() meets it again, and makes the dead delivery)
        passes = False
    return mapping.field_needs if passes else frozenset()


def _storable(text: str) -> str:
    """Return the text as every database takes it: without NUL and half characters, which a customer may have typed."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


HOLD_S = 5.0
"""How long an event waits where Asaas did not say for how long."""
HOLD_FOR_PERSON_S = 60.0
"""How long it waits where a person must set or mend the account's key, or a mapping."""
LEAST_HOLD_S = 1.0
"""Without a floor a worker that is told to come back at once would ask without a pause."""

Fetched = Sequence[dict[str, Any] | BridgeError]


@dataclass(slots=True)
class Decided:
    """What was decided about some events."""

    new: list[NewDelivery] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    held: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    """Event number -> when to look again, with code and reason."""
    noticed: list[Notice | Resolved] = field(default_factory=list)
    """What events about the account itself tell the operator; once written, only what that changed."""


def decide(plans: Sequence[EventPlan], fetched: Fetched, now_ms: int) -> Decided:
    """Return what the mappings say of these events, given what was fetched for each; writes nothing."""
    decided = Decided()
    subjects: dict[tuple[str, str], tuple[int, str, str]] = {}
    for plan, result in zip(plans, fetched, strict=True):
        event = plan.event
        subject = (event.account, event.subject)
        if isinstance(result, EnrichmentWaits | MappingRefused) and subject not in subjects:
            subjects[subject] = (now_ms + int(_hold_s(result) * 1000), result.code, str(result))
        if subject in subjects:
            decided.held[event.id] = subjects[subject]
            continue
        decided.new += plan.reject(result) if isinstance(result, BridgeError) else plan.decide(result)
        decided.noticed += account_notices(event)
        decided.done.append(event.id)
    return decided


def _hold_s(error: EnrichmentWaits | MappingRefused) -> float:
    if isinstance(error, AsaasKeyMissing | AsaasKeyRefused | MappingRefused):
        return HOLD_FOR_PERSON_S
    return max(LEAST_HOLD_S, error.retry_after_s if error.retry_after_s is not None else HOLD_S)


def log_decided(
    plans: Sequence[EventPlan], decided: Decided, observer: Telemetry, began_ms: int, ended_ms: int
) -> None:
    """Log one record for each event that was processed or put off, and tell the observer."""
    for one in decided.noticed:
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
        trace = trace_id(event.account, event.event_key)
        if event.id in decided.held:
            code = decided.held[event.id][1]
            log.warning("event.held", trace=trace, event_id=event.id, name=event.name, code=code)
            observer.held(event.account, code)
        elif event.id in done:
            said = verdicts.get(event.id, {})
            log.info(
                "event.processed",
                trace=trace,
                event_id=event.id,
                name=event.name,
                account=event.account,
                object=event.object_id,
                replay=event.replay,
                verdicts=said,
                waited_ms=ended_ms - event.received_ms,
            )
            observer.processed(EventProcessed(event.id, trace, event.account, event.name, began_ms, ended_ms, said))


BATCH = 100
"""Small enough that a slow Asaas API answers for all of them well within a lease."""

HEARD_EVERY_MS = 1_000
"""A stream of events closes notices of silence no more often."""


class Enrichment(Protocol):
    """Fetches objects from Asaas."""

    def from_cache(
        self, requests: Sequence[tuple[str, Mapping[str, str]]]
    ) -> Sequence[dict[str, Any] | BridgeError | None]:
        """Return what `fetch_many` would, but None for what it would have to ask Asaas for."""
        ...

    def fetch_many(self, requests: Sequence[tuple[str, Mapping[str, str]]]) -> Sequence[dict[str, Any] | BridgeError]:
        """Return for each (account, name -> id) the objects by name (None: it does not exist), or why it can't."""
        ...

    def forget(self, account: str, wanted: Mapping[str, str]) -> None:
        """Let the next fetch of these ask Asaas again."""
        ...


@dataclass(slots=True)
class Batch:
    """Some events of some lanes on their way through the mappings."""

    lanes: frozenset[int]
    plans: list[EventPlan]
    behind: dict[int, int]
    """Event number -> when the held event before it is due."""
    asks: bool
    """Whether Asaas must be asked first for what the plans want."""
    fetched: Fetched = ()


class _Overtaken(Exception):
    """An event of the batch waits no more."""


def _terms(batch: Batch, decided: Decided) -> list[Term]:
    """Return what leads a search to the charges and customers of the events that were decided on."""
    done = set(decided.done)
    found: list[Term] = []
    for plan, said in zip(batch.plans, batch.fetched, strict=True):
        event = plan.event
        if event.id in done:
            about = plan.envelope.get(event.entity) or {}
            found += search.terms_of_object(event.account, event.object_id, about)
            customer = said.get("customer") if isinstance(said, dict) else None
            if isinstance(customer, dict):
                found += search.terms_of_customer(event.account, event.subject, customer)
    return found


class Decider:
    """The deciding half of a drain."""

    def __init__(
        self,
        journal: Journal,
        mappings: ActiveMappings,
        enrichment: Enrichment,
        environment: Callable[[str], str],
        clock_ms: Callable[[], int],
        batch: int = BATCH,
        observer: Telemetry = NO_TELEMETRY,
    ) -> None:
        self._observer = observer
        self._journal = journal
        self._mappings = mappings
        self._enrichment = enrichment
        self._environment = environment
        self._clock_ms = clock_ms
        self._batch = batch
        self._heard_ms = 0

    def next_batches(self, lanes: Collection[int]) -> list[Batch]:
        """Return what waits in these lanes: what can be decided at once, and each lane apart that must ask Asaas first.

        A lane is in one of them as a whole, so that its events stay in order.
        """
        with self._journal.database.read() as connection:
            waiting = events.waiting(connection, lanes, self._clock_ms(), self._batch)
            kept = events.load(connection, waiting.ready) if waiting.ready else []
            # One look at the mappings for the whole batch: no event is half in one revision and half in another.
            active = self._mappings.current(connection) if kept else ()
        if not kept and not waiting.behind:
            return []
        plans = self._plans(kept, active)
        fetched = self._from_cache(plans)
        asking = frozenset(plan.event.lane for plan, found in zip(plans, fetched, strict=True) if found is None)
        at_once = [(p, found) for p, found in zip(plans, fetched, strict=True) if p.event.lane not in asking]
        batches = []
        if at_once or waiting.behind:
            of_lanes = frozenset(lanes if waiting.behind else (plan.event.lane for plan, _ in at_once))
            known = [found for _, found in at_once if found is not None]
            batches.append(Batch(of_lanes, [plan for plan, _ in at_once], waiting.behind, False, known))
        for lane in sorted(asking):
            batches.append(Batch(frozenset([lane]), [plan for plan in plans if plan.event.lane == lane], {}, True))
        return batches

    def fetch(self, batch: Batch) -> Batch:
        """Fetch what the batch wants of Asaas, however long that takes, and return it."""
        batch.fetched = self._enrichment.fetch_many([(plan.event.account, plan.wanted) for plan in batch.plans])
        return batch

    def commit(self, leases: Sequence[Lease], batch: Batch) -> tuple[bool, list[Lease]]:
        """Decide on a batch whose objects are fetched, and write it under the leases of its lanes.

        Returns whether any event was processed, and the leases that are lost: nothing was written there. Nothing is
        written either where an event of the batch waits no more, since its person was erased: look again.
        """
        # Decided before the transaction, which on SQLite lets nobody else write, and so no event in.
        now_ms = self._clock_ms()
        decided = decide(batch.plans, batch.fetched, now_ms)
        terms = _terms(batch, decided)
        failpoint("process.before_write")
        # What a loss of power takes of it is decided again; nothing is sent before the outbox's commit is on the disk.
        try:
            with self._journal.lanes.transaction(leases, now_ms) as (connection, held):
                lanes = {lease.lane for lease in held}
                lost = [lease for lease in leases if lease.lane not in lanes]
                if lost:
                    kept = [(p, f) for p, f in zip(batch.plans, batch.fetched, strict=True) if p.event.lane in lanes]
                    decided = decide([plan for plan, _ in kept], [fetched for _, fetched in kept], now_ms)
                    terms = _terms(batch, decided)
                self._commit(connection, decided, {} if lost else batch.behind, now_ms)
                search.write(connection, terms)
                failpoint("process.before_commit")
        except _Overtaken:
            return True, []
        failpoint("process.after_commit")
        with log_batch():
            log_decided(batch.plans, decided, self._observer, now_ms, self._clock_ms())
        return bool(decided.done), lost

    def _plans(self, kept: Sequence[StoredEvent], active: Sequence[ActiveMapping]) -> list[EventPlan]:
        plans = [plan_event(event, active, self._environment(event.account)) for event in kept]
        for plan in plans:
            if plan.event.replay:
                # Somebody mended the customer in Asaas, or may have: what was read before is no good for this one.
                self._enrichment.forget(plan.event.account, plan.wanted)
        return plans

    def _from_cache(self, plans: Sequence[EventPlan]) -> Sequence[dict[str, Any] | BridgeError | None]:
        refused = self._mappings.refused()
        if refused is not None:
            return [refused] * len(plans)
        return self._enrichment.from_cache([(plan.event.account, plan.wanted) for plan in plans])

    def _commit(self, connection: Connection, decided: Decided, behind: Mapping[int, int], now_ms: int) -> None:
        waits = "an earlier event of this customer waits"
        events.hold(connection, decided.held | {id_: (due, "event.behind", waits) for id_, due in behind.items()})
        decided.new = self._once_per_plan(connection, decided.new, decided.done)
        deliveries.add(connection, decided.new, now_ms)
        if events.mark_processed(connection, decided.done, now_ms) != len(decided.done):
            raise _Overtaken
        decided.noticed = notices.apply(connection, decided.noticed, now_ms)
        if decided.done and now_ms - self._heard_ms >= HEARD_EVERY_MS:
            decided.noticed += notices.close_heard(connection, decided.done, now_ms)
            self._heard_ms = now_ms

    def _once_per_plan(
        self, connection: Connection, decided: list[NewDelivery], event_ids: Sequence[int]
    ) -> list[NewDelivery]:
        keys = {(d.mapping, d.once_key) for d in decided if d.once_key is not None}
        taken = deliveries.plans_taken(connection, keys, event_ids)
        result = []
        for delivery in decided:
            if delivery.once_key is None:
                result.append(delivery)
                continue
            key = (delivery.mapping, delivery.once_key)
            if key not in taken:
                taken.add(key)
                result.append(delivery)
                continue
            reason = "installments: once: this plan already has a delivery for this event and mapping"
            result.append(
                replace(
                    delivery,
                    state=DeliveryState.FILTERED,
                    payload=None,
                    once_key=None,
                    read_back=None,
                    reason_code="filter.once",
                    reason=reason,
                )
            )
        return result
