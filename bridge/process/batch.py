"""Processes the waiting events of a leased lane in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import Connection

from bridge.errors import AsaasKeyMissing, AsaasKeyRefused, BridgeError, EnrichmentWaits
from bridge.journal import Journal, Lease, deliveries, events
from bridge.journal.deliveries import NewDelivery
from bridge.journal.events import KeptEvent, Waiting
from bridge.logs import logger
from bridge.model import DeliveryState
from bridge.process.active import ActiveMappings
from bridge.process.plan import Plan, opened

log = logger(__name__)

BATCH = 50
"""Small enough that a slow Asaas API answers for all of them well within a lease."""
HOLD_S = 5.0
"""How long an event waits where Asaas did not say for how long."""
HOLD_FOR_PERSON_S = 60.0
"""How long it waits where a person must set or mend the account's key."""


class Enrichment(Protocol):
    """Fetches objects from Asaas."""

    def fetch_many(self, requests: Sequence[tuple[str, Mapping[str, str]]]) -> Sequence[dict[str, Any] | BridgeError]:
        """Return for each (account, name -> id) the objects by name (None: it does not exist), or why it can't."""
        ...

    def forget(self, account: str, wanted: Mapping[str, str]) -> None:
        """Let the next fetch of these ask Asaas again."""
        ...


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
            batch = events.load(connection, waiting.ready) if waiting.ready else []
        if not batch and not waiting.behind:
            return False
        plans = self._plans(batch)
        fetched = self._enrichment.fetch_many([(plan.event.account, plan.wanted) for plan in plans])
        with self._journal.lanes.hold(lease, self._clock_ms()) as connection:
            return self._write(connection, plans, fetched, waiting)

    def _plans(self, batch: Sequence[KeptEvent]) -> list[Plan]:
        # One look at the mappings for the whole batch: no event is half in one revision and half in another.
        active = self._mappings.current()
        plans = [opened(event, active, self._environment(event.account)) for event in batch]
        for plan in plans:
            if plan.event.replay:
                # Somebody mended the customer in Asaas, or may have: what was read before is no good for this one.
                self._enrichment.forget(plan.event.account, plan.wanted)
        return plans

    def _write(
        self,
        connection: Connection,
        plans: Sequence[Plan],
        fetched: Sequence[dict[str, Any] | BridgeError],
        waiting: Waiting,
    ) -> bool:
        now_ms = self._clock_ms()
        held: dict[tuple[str, str], tuple[int, str, str]] = {}
        decided: list[NewDelivery] = []
        done: list[int] = []
        for plan, result in zip(plans, fetched, strict=True):
            event = plan.event
            subject = (event.account, event.subject)
            if isinstance(result, EnrichmentWaits) and subject not in held:
                held[subject] = (now_ms + int(_hold_s(result) * 1000), result.code, str(result))
            if subject in held:
                events.hold(connection, event.id, *held[subject])
                log.warning("event.held", event_id=event.id, name=event.name, code=held[subject][1])
                continue
            decided += _decided(plan, result)
            done.append(event.id)
        for event_id, due_ms in waiting.behind.items():
            events.hold(connection, event_id, due_ms, "event.behind", "an earlier event of this customer waits")
        owed = self._once_per_plan(connection, decided, done)
        deliveries.add(connection, owed, now_ms)
        events.mark_processed(connection, done, now_ms)
        _log_processed(plans, set(done), owed)
        return bool(done)

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
                    reason_code="filter.once",
                    reason=reason,
                )
            )
        return result


def _hold_s(error: EnrichmentWaits) -> float:
    if isinstance(error, AsaasKeyMissing | AsaasKeyRefused):
        return HOLD_FOR_PERSON_S
    return error.retry_after_s if error.retry_after_s is not None else HOLD_S


def _decided(plan: Plan, result: dict[str, Any] | BridgeError) -> list[NewDelivery]:
    if not isinstance(result, BridgeError):
        return plan.decide(result)
    # Asaas says that the request itself is wrong: asking again would not help. Mappings that need nothing go on.
    return [
        delivery
        if delivery.state is DeliveryState.FILTERED or not active.mapping.field_needs
        else replace(delivery, state=DeliveryState.DEAD, payload=None, reason_code=result.code, reason=str(result))
        for active, delivery in zip(plan.mappings, plan.decide({}), strict=True)
    ]


def _log_processed(plans: Sequence[Plan], done: set[int], decided: Sequence[NewDelivery]) -> None:
    verdicts: dict[int, dict[str, str]] = {}
    for delivery in decided:
        verdicts.setdefault(delivery.event_id, {})[delivery.mapping] = delivery.state.value
    for plan in plans:
        if plan.event.id in done:
            log.info(
                "event.processed",
                event_id=plan.event.id,
                name=plan.event.name,
                account=plan.event.account,
                object=plan.event.object_id,
                replay=plan.event.replay,
                verdicts=verdicts.get(plan.event.id, {}),
            )
