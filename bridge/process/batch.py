"""Processes the waiting events of leased lanes in batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import Connection

from bridge.errors import BridgeError
from bridge.failpoints import reached
from bridge.journal import Journal, Lease, deliveries, events, notices, search
from bridge.journal.events import KeptEvent
from bridge.journal.owed import NewDelivery
from bridge.journal.search import Term
from bridge.logs import together
from bridge.model import DeliveryState
from bridge.observing import UNSEEN, Observer
from bridge.process.active import ActiveMapping, ActiveMappings
from bridge.process.decision import Decided, Fetched, decide, say
from bridge.process.plan import Plan, opened

BATCH = 100
"""Small enough that a slow Asaas API answers for all of them well within a lease."""

HEARD_EVERY_MS = 1_000
"""A stream of events closes notices of silence no more often."""


class Enrichment(Protocol):
    """Fetches objects from Asaas."""

    def at_hand(
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
    plans: list[Plan]
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


class Processor:
    """The deciding half of a drain."""

    def __init__(
        self,
        journal: Journal,
        mappings: ActiveMappings,
        enrichment: Enrichment,
        environment: Callable[[str], str],
        clock_ms: Callable[[], int],
        batch: int = BATCH,
        observer: Observer = UNSEEN,
    ) -> None:
        self._observer = observer
        self._journal = journal
        self._mappings = mappings
        self._enrichment = enrichment
        self._environment = environment
        self._clock_ms = clock_ms
        self._batch = batch
        self._heard_ms = 0

    def look(self, lanes: Collection[int]) -> list[Batch]:
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
        fetched = self._at_hand(plans)
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

    def ask(self, batch: Batch) -> Batch:
        """Fetch what the batch wants of Asaas, however long that takes, and return it."""
        batch.fetched = self._enrichment.fetch_many([(plan.event.account, plan.wanted) for plan in batch.plans])
        return batch

    def write(self, leases: Sequence[Lease], batch: Batch) -> tuple[bool, list[Lease]]:
        """Decide on a batch whose objects are fetched, and write it under the leases of its lanes.

        Returns whether any event was processed, and the leases that are lost: nothing was written there. Nothing is
        written either where an event of the batch waits no more, since its person was erased: look again.
        """
        # Decided before the transaction, which on SQLite lets nobody else write, and so no event in.
        now_ms = self._clock_ms()
        decided = decide(batch.plans, batch.fetched, now_ms)
        terms = _terms(batch, decided)
        reached("process.before_write")
        # What a loss of power takes of it is decided again; nothing is sent before the outbox's commit is on the disk.
        try:
            with self._journal.lanes.hold_all(leases, now_ms) as (connection, held):
                lanes = {lease.lane for lease in held}
                lost = [lease for lease in leases if lease.lane not in lanes]
                if lost:
                    kept = [(p, f) for p, f in zip(batch.plans, batch.fetched, strict=True) if p.event.lane in lanes]
                    decided = decide([plan for plan, _ in kept], [fetched for _, fetched in kept], now_ms)
                    terms = _terms(batch, decided)
                self._write(connection, decided, {} if lost else batch.behind, now_ms)
                search.write(connection, terms)
                reached("process.before_commit")
        except _Overtaken:
            return True, []
        reached("process.after_commit")
        with together():
            say(batch.plans, decided, self._observer, now_ms, self._clock_ms())
        return bool(decided.done), lost

    def _plans(self, kept: Sequence[KeptEvent], active: Sequence[ActiveMapping]) -> list[Plan]:
        plans = [opened(event, active, self._environment(event.account)) for event in kept]
        for plan in plans:
            if plan.event.replay:
                # Somebody mended the customer in Asaas, or may have: what was read before is no good for this one.
                self._enrichment.forget(plan.event.account, plan.wanted)
        return plans

    def _at_hand(self, plans: Sequence[Plan]) -> Sequence[dict[str, Any] | BridgeError | None]:
        refused = self._mappings.refused()
        if refused is not None:
            return [refused] * len(plans)
        return self._enrichment.at_hand([(plan.event.account, plan.wanted) for plan in plans])

    def _write(self, connection: Connection, decided: Decided, behind: Mapping[int, int], now_ms: int) -> None:
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
