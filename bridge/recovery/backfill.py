"""Brings in the charges that the journal does not know as Asaas has them: the same way as what Asaas posts.

Given a window of days it gathers the events to be made, and keeps them when told to. It must never make another event
for what was brought in already: a run that is broken off is simply run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from bridge.asaas.listing import Reads
from bridge.failpoints import reached
from bridge.journal import Journal, rounds
from bridge.journal.events import Kept, KeptEvent
from bridge.mapping.asaas_events import flow_rank
from bridge.model import IncomingEvent, lane_of
from bridge.recovery.comparison import BEHIND, Compared, Verdict
from bridge.recovery.made_event import made_events
from bridge.recovery.walk import Window, walk

BATCH = 100
"""Events in one commit."""


@dataclass(slots=True)
class Gathered:
    """What a backfill would do."""

    charges: int = 0
    """Charges that were looked at."""
    events: list[IncomingEvent] = field(default_factory=list)
    """What would be kept, oldest first."""
    unknown: list[Compared] = field(default_factory=list)
    """Charges in a status that no documented flow leads to."""


def gather(
    client: Reads,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    only: Collection[Verdict] = BEHIND,
    sleep: Callable[[float], object] = time.sleep,
    tell: Callable[[int, int], object] = lambda _done, _total: None,
) -> Gathered:
    """Return the events that are missing for the charges of these days; changes nothing.

    Raises EnrichmentWaits where Asaas can't be asked for now.
    """
    gathered, seen = Gathered(), set[str]()
    for looked in walk(client, journal, window, clock_ms, sleep=sleep):
        for compared in looked.charges:
            id_ = str(compared.charge.get("id"))
            if id_ in seen:
                continue
            seen.add(id_)
            if compared.verdict in only:
                made = made_events(compared, client.account, looked.asked_ms)
                gathered.events += made
                gathered.unknown += [] if made else [compared]
        gathered.charges = len(seen)
        tell(len(seen), looked.total)
    # A customer's events go out in the order in which they are kept. Lists were seen newest first: where Asaas's time
    # does not tell, the charge that was made first goes first.
    gathered.events.reverse()
    gathered.events.sort(key=lambda event: (event.created, flow_rank(event.name)))
    return gathered


def bring_in(
    journal: Journal, events: Sequence[IncomingEvent], clock_ms: Callable[[], int]
) -> Iterator[tuple[IncomingEvent, int, Kept]]:
    """Keep these events; give each with its lane and its number once it is durable."""
    for start in range(0, len(events), BATCH):
        batch = [replace(event, received_ms=clock_ms()) for event in events[start : start + BATCH]]
        reached("backfill.before_append")
        appended = journal.append(batch)
        reached("backfill.after_append")
        for event, (lane, kept) in zip(batch, appended, strict=True):
            yield event, lane, kept
    # The next reconciliation, due at once, says whether anything is still missing.
    with journal.database.write() as connection:
        for account in sorted({event.account for event in events}):
            rounds.again_at(connection, f"reconcile:{account}", clock_ms())


def as_kept(journal: Journal, event: IncomingEvent) -> KeptEvent:
    """Return an event as a worker would get it, before it is kept."""
    return KeptEvent(
        id=0,
        account=event.account,
        event_key=event.key,
        name=event.name,
        entity=event.entity,
        object_id=event.object_id,
        subject=event.subject,
        lane=lane_of(event.account, event.subject, journal.lane_count),
        created=event.created,
        body=event.body,
        received_ms=event.received_ms,
        replay=0,
        replay_mapping=None,
    )
