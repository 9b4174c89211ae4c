"""Processes the waiting events of a leased lane in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sqlalchemy import Connection

from bridge.errors import AsaasKeyMissing, AsaasKeyRefused, BridgeError, EnrichmentWaits, MappingRefused
from bridge.journal import Journal, Lease, deliveries, events, notices
from bridge.journal.events import KeptEvent, Waiting
from bridge.journal.notices import Mended, Notice
from bridge.journal.owed import NewDelivery
from bridge.logs import logger
from bridge.model import DeliveryState
from bridge.process.account_events import notices_of
from bridge.process.active import ActiveMappings
from bridge.process.plan import Plan, opened

log = logger(__name__)

BATCH = 50
"""Small enough that a slow Asaas API answers for all of them well within a lease."""
HOLD_S = 5.0
"""How long an event waits where Asaas did not say for how long."""
HOLD_FOR_PERSON_S = 60.0
"""How long it waits where a person must set or mend the account's key, or a mapping."""
LEAST_HOLD_S = 1.0
"""Without a floor a worker that is told to come back at once would ask without a pause."""
_RENEW_S = 2.0


class Enrichment(Protocol):
    """Fetches objects from Asaas."""

    def fetch_many(self, requests: Sequence[tuple[str, Mapping[str, str]]]) -> Sequence[dict[str, Any] | BridgeError]:
        """Return for each (account, name -> id) the objects by name (None: it does not exist), or why it can't."""
        ...

    def forget(self, account: str, wanted: Mapping[str, str]) -> None:
        """Let the next fetch of these ask Asaas again."""
        ...


@dataclass(slots=True)
class _Batch:
    """What was decided about some events."""

    decided: list[NewDelivery] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    held: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    """Event number -> when to look again, with code and reason."""
    noticed: list[Notice | Mended] = field(default_factory=list)
    """What events about the account itself tell the operator; once written, only what that changed."""


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
    ) -> None:
        self._journal = journal
        self._mappings = mappings
        self._enrichment = enrichment
        self._environment = environment
        self._clock_ms = clock_ms
        self._batch = batch

    def run(self, lease: Lease) -> bool:
        """Process one batch of the leased lane; return whether any event was processed.

        Raises LeaseLost where another worker took the lane over.
        """
        with self._journal.database.read() as connection:
            waiting = events.waiting(connection, lease.lane, self._clock_ms(), self._batch)
            ready = events.load(connection, waiting.ready) if waiting.ready else []
        if not ready and not waiting.behind:
            return False
        plans = self._plans(ready)
        fetched = self._fetched(lease, plans)
        # Decided before the transaction, which on SQLite lets nobody else write, and so no event in.
        batch = _decided(plans, fetched, self._clock_ms())
        with self._journal.lanes.hold(lease, self._clock_ms()) as connection:
            self._write(connection, batch, waiting)
        _log(plans, batch)
        return bool(batch.done)

    def _plans(self, kept: Sequence[KeptEvent]) -> list[Plan]:
        # One look at the mappings for the whole batch: no event is half in one revision and half in another.
        active = self._mappings.current()
        plans = [opened(event, active, self._environment(event.account)) for event in kept]
        for plan in plans:
            if plan.event.replay:
                # Somebody mended the customer in Asaas, or may have: what was read before is no good for this one.
                self._enrichment.forget(plan.event.account, plan.wanted)
        return plans

    def _fetched(self, lease: Lease, plans: Sequence[Plan]) -> Sequence[dict[str, Any] | BridgeError]:
        refused = self._mappings.refused()
        if refused is not None:
            return [refused] * len(plans)
        wanted = [(plan.event.account, plan.wanted) for plan in plans]
        if not any(ids for _, ids in wanted):
            return [{} for _ in plans]
        with ThreadPoolExecutor(1, thread_name_prefix="fetch") as pool:
            fetching = pool.submit(self._enrichment.fetch_many, wanted)
            # A slow Asaas must not cost the lane: its next owner would begin to ask all over again.
            while wait([fetching], _RENEW_S).not_done:
                with self._journal.lanes.hold(lease, self._clock_ms()):
                    pass
            return fetching.result()

    def _write(self, connection: Connection, batch: _Batch, waiting: Waiting) -> None:
        now_ms = self._clock_ms()
        for event_id, hold in batch.held.items():
            events.hold(connection, event_id, *hold)
        for event_id, due_ms in waiting.behind.items():
            events.hold(connection, event_id, due_ms, "event.behind", "an earlier event of this customer waits")
        batch.decided = self._once_per_plan(connection, batch.decided, batch.done)
        deliveries.add(connection, batch.decided, now_ms)
        events.mark_processed(connection, batch.done, now_ms)
        batch.noticed = notices.apply(connection, batch.noticed, now_ms)

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


def _decided(plans: Sequence[Plan], fetched: Sequence[dict[str, Any] | BridgeError], now_ms: int) -> _Batch:
    batch = _Batch()
    subjects: dict[tuple[str, str], tuple[int, str, str]] = {}
    for plan, result in zip(plans, fetched, strict=True):
        event = plan.event
        subject = (event.account, event.subject)
        if isinstance(result, EnrichmentWaits | MappingRefused) and subject not in subjects:
            subjects[subject] = (now_ms + int(_hold_s(result) * 1000), result.code, str(result))
        if subject in subjects:
            batch.held[event.id] = subjects[subject]
            continue
        batch.decided += plan.reject(result) if isinstance(result, BridgeError) else plan.decide(result)
        batch.noticed += notices_of(event)
        batch.done.append(event.id)
    return batch


def _hold_s(error: EnrichmentWaits | MappingRefused) -> float:
    if isinstance(error, AsaasKeyMissing | AsaasKeyRefused | MappingRefused):
        return HOLD_FOR_PERSON_S
    return max(LEAST_HOLD_S, error.retry_after_s if error.retry_after_s is not None else HOLD_S)


def _log(plans: Sequence[Plan], batch: _Batch) -> None:
    for said in batch.noticed:
        if isinstance(said, Notice):
            log.warning("notice.raised", code=said.code, about=said.about, level=said.level.value)
        else:
            log.info("notice.closed", code=said.code, about=said.about)
    verdicts: dict[int, dict[str, str]] = {}
    for delivery in batch.decided:
        verdicts.setdefault(delivery.event_id, {})[delivery.mapping] = delivery.state.value
    for plan in plans:
        event = plan.event
        if event.id in batch.held:
            log.warning("event.held", event_id=event.id, name=event.name, code=batch.held[event.id][1])
        else:
            log.info(
                "event.processed",
                event_id=event.id,
                name=event.name,
                account=event.account,
                object=event.object_id,
                replay=event.replay,
                verdicts=verdicts.get(event.id, {}),
            )
