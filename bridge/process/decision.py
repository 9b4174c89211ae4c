"""What a batch of events comes to: deliveries, holds and notices, decided without the journal; and how it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import AsaasKeyMissing, AsaasKeyRefused, BridgeError, EnrichmentWaits, MappingRefused
from bridge.journal.notices import Mended, Notice
from bridge.journal.owed import NewDelivery
from bridge.logs import logger
from bridge.model import trace_id
from bridge.observing import Observer, Processed
from bridge.process.account_events import notices_of
from bridge.process.plan import Plan

log = logger(__name__)

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
    noticed: list[Notice | Mended] = field(default_factory=list)
    """What events about the account itself tell the operator; once written, only what that changed."""


def decide(plans: Sequence[Plan], fetched: Fetched, now_ms: int) -> Decided:
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
        decided.noticed += notices_of(event)
        decided.done.append(event.id)
    return decided


def _hold_s(error: EnrichmentWaits | MappingRefused) -> float:
    if isinstance(error, AsaasKeyMissing | AsaasKeyRefused | MappingRefused):
        return HOLD_FOR_PERSON_S
    return max(LEAST_HOLD_S, error.retry_after_s if error.retry_after_s is not None else HOLD_S)


def say(plans: Sequence[Plan], decided: Decided, observer: Observer, began_ms: int, ended_ms: int) -> None:
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
            observer.processed(Processed(event.id, trace, event.account, event.name, began_ms, ended_ms, said))
