"""What one event means to the mappings: decided without touching the journal or the network.

A plan is opened from the kept event, says what must be fetched from Asaas, and with that decides the deliveries.
The worker, a dry run and `explain` all go through it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge import enrichment, filtering, transform
from bridge.errors import AsaasNotFound, BridgeError, FilterFailed, StageError
from bridge.journal.events import KeptEvent
from bridge.journal.owed import NewDelivery
from bridge.logs import logger
from bridge.mapping.asaas_events import flow_rank
from bridge.mapping.context import build_context, references
from bridge.model import DeliveryState, ReadBack
from bridge.process.active import ActiveMapping
from bridge.settings import variable

log = logger(__name__)

_encoder = json.JSONEncoder(ensure_ascii=False)  # json.dumps with options would make one each time


@dataclass(slots=True)
class Plan:
    """One event and the mappings that listen to it."""

    event: KeptEvent
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
            said = self._not_found(needs, fetched, error.what) or error
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
            object_id = self.wanted[name] or enrichment.led_to(name, fetched)
            if object_id and name in fetched and fetched[name] is None:
                key = variable("ASAAS_API_KEY", self.event.account)
                return AsaasNotFound(
                    f"the {name} {object_id} must be in the Asaas account of the key, got 404; so {consequence}",
                    where=f"account {self.event.account}",
                    mend=f"see that {key} is of the account and environment of the event, then replay",
                )
        return None

    def _decided(self, active: ActiveMapping, context: dict[str, Any], fetched: dict[str, Any]) -> NewDelivery:
        mapping = active.mapping
        verdict = filtering.decide(mapping, context)
        if not verdict.passed:
            gone = self._not_found(mapping.filter_needs, fetched, verdict.reason)
            reason = str(gone) if gone else verdict.reason
            return self._new(active, DeliveryState.FILTERED, reason_code=verdict.code, reason=reason)
        payload = transform.build(mapping, context)
        return self._new(
            active,
            DeliveryState.PENDING,
            payload=_storable(_encoder.encode(payload)),
            once_key=filtering.once_key(mapping, context),
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
            destination=transform.destination(mapping, event.name),
            object_id=event.object_id,
            order_at=event.created,
            order_rank=flow_rank(event.name),
            skip_stale=mapping.stale == "skip",
            state=state,
            reason=_storable(reason) if reason else None,
            **more,
        )


def opened(event: KeptEvent, active: Iterable[ActiveMapping], environment: str) -> Plan:
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
    plan = Plan(event, mappings, environment)
    try:
        plan.envelope = json.loads(event.body)
        bare = plan.context({})
        needs = frozenset[str]().union(*(_needs(item, bare) for item in mappings))
        plan.wanted = enrichment.plan(needs, references(bare))
    except Exception as error:  # noqa: BLE001 (each mapping's delivery says so, and the log of each has the details)
        plan.fault, plan.envelope = error, {}
    return plan


def _needs(active: ActiveMapping, bare: dict[str, Any]) -> frozenset[str]:
    mapping = active.mapping
    if mapping.filter_needs - bare.keys():
        return mapping.filter_needs | mapping.field_needs
    try:
        passes = filtering.decide(mapping, bare).passed
    except Exception:  # noqa: BLE001 (decide() meets it again, and makes the dead delivery)
        passes = False
    return mapping.field_needs if passes else frozenset()


def _storable(text: str) -> str:
    """Return the text as every database takes it: without NUL and half characters, which a customer may have typed."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()
