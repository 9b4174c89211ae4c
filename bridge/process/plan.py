"""What one event means to the mappings: decided without touching the journal or the network.

A plan is opened from the kept event, says what must be fetched from Asaas, and with that decides the deliveries.
The worker, a dry run and `explain` all go through it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge import enrichment, filtering, transform
from bridge.errors import StageError
from bridge.journal.deliveries import NewDelivery
from bridge.journal.events import KeptEvent
from bridge.logs import logger
from bridge.mapping.asaas_events import flow_rank
from bridge.mapping.context import build_context, references
from bridge.model import DeliveryState
from bridge.process.active import ActiveMapping

log = logger(__name__)


@dataclass(slots=True)
class Plan:
    """One event and the mappings that listen to it."""

    event: KeptEvent
    mappings: Sequence[ActiveMapping]
    context: Callable[[dict[str, Any]], dict[str, Any]]
    """Builds what expressions see, from what was fetched."""
    wanted: dict[str, str] = field(default_factory=dict)
    """What must be fetched from Asaas: name -> id."""

    def decide(self, fetched: dict[str, Any]) -> list[NewDelivery]:
        """Return one delivery for each mapping: owed, filtered with the condition that said no, or dead with why."""
        context = self.context(fetched)
        return [self._delivery(active, context) for active in self.mappings]

    def _delivery(self, active: ActiveMapping, context: dict[str, Any]) -> NewDelivery:
        try:
            return self._decided(active, context)
        except StageError as error:
            return self._new(active, DeliveryState.DEAD, reason_code=error.code, reason=str(error))
        except Exception as error:  # a fault of ours must not stop the lane for everybody in it
            log.exception("mapping.fault", event_id=self.event.id, mapping=active.mapping.name)
            reason = f"the bridge failed on this event ({type(error).__name__}); the log has the details"
            return self._new(active, DeliveryState.DEAD, reason_code="bridge.fault", reason=reason)

    def _decided(self, active: ActiveMapping, context: dict[str, Any]) -> NewDelivery:
        mapping = active.mapping
        verdict = filtering.decide(mapping, context)
        if not verdict.passed:
            return self._new(active, DeliveryState.FILTERED, reason_code=verdict.code, reason=verdict.reason)
        payload = transform.build(mapping, context)
        return self._new(
            active,
            DeliveryState.PENDING,
            payload=json.dumps(payload, ensure_ascii=False),
            once_key=filtering.once_key(mapping, context),
        )

    def _new(self, active: ActiveMapping, state: DeliveryState, **more: Any) -> NewDelivery:
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
            destination=transform.destination(mapping, event.name),
            object_id=event.object_id,
            order_at=event.created,
            order_rank=flow_rank(event.name),
            skip_stale=mapping.stale == "skip",
            state=state,
            **more,
        )


def opened(event: KeptEvent, active: Iterable[ActiveMapping], environment: str) -> Plan:
    """Return the plan of an event: who listens, and what must be fetched before they can say.

    Where a filter needs nothing from Asaas it is asked first, so that an event that does not pass costs no request.
    """
    body = json.loads(event.body)
    entity = body.get(event.entity) or {}

    def context(fetched: dict[str, Any]) -> dict[str, Any]:
        return build_context(event.name, event.entity, entity, event.account, environment, fetched)

    mappings = [
        item
        for item in active
        if item.mapping.enabled
        and item.mapping.account == event.account
        and item.mapping.listens_to(event.name)
        and event.replay_mapping in {None, item.mapping.name}
    ]
    plan = Plan(event, mappings, context)
    bare = context({})
    needs = frozenset[str]().union(*(_needs(item, bare) for item in mappings))
    plan.wanted = enrichment.plan(needs, references(bare))
    return plan


def _needs(active: ActiveMapping, bare: dict[str, Any]) -> frozenset[str]:
    mapping = active.mapping
    if mapping.filter_needs:
        return mapping.filter_needs | mapping.field_needs
    try:
        passes = filtering.decide(mapping, bare).passed
    except StageError:
        passes = False  # decide() says so again, and makes the dead delivery
    return mapping.field_needs if passes else frozenset()
