"""The judgement after every fault: nothing lost, in order, no state without an exit, repeats only where nobody knew.

It goes by two witnesses: the bridge's journal, and the history of the Clint that was sent to. What is found against a
promise is a breach, in words.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from sqlalchemy import Row, select

from bridge.journal.database import Database
from bridge.journal.schema import attempts, deliveries, events
from bridge.model import FINISHED, DeliveryState, EventState, idempotency_key
from tests.acceptance import story
from tests.trial import judge as deal_judge
from tests.trial.judge import Charge

UNKNOWN_CODES = ("clint.timeout", "clint.connection")
"""Outcomes of attempts of which nobody knows whether the destination took them, beside those that nobody wrote down."""
LONGEST_WAIT_MS = 3_600_000
"""A due time that is later than this does not come."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the bridge was told."""

    answered: Collection[str]
    """Keys of the events that were answered 200."""
    charges: Collection[str] = ()
    """Charges that were brought in otherwise: one event each."""
    mappings: int = len(story.MAPPINGS)
    acted_ms: Sequence[float] = ()
    """When a person had something sent again: order counts between these times."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found."""

    kept: int
    states: Counter[str]
    repeats: int
    unknown: int
    breaches: list[str] = field(default_factory=list)


def settled(database: Database) -> bool:
    """Return whether every event is processed and every delivery finished."""
    with database.read() as connection:
        waiting = connection.scalar(select(events.c.id).where(events.c.state != EventState.PROCESSED.value).limit(1))
        open_ = select(deliveries.c.id).where(deliveries.c.state.not_in([state.value for state in FINISHED]))
        return waiting is None and connection.scalar(open_.limit(1)) is None


def judge(database: Database, history: Sequence[Mapping[str, Any]], expected: Expected) -> Judgement:
    """Hold what is there against every promise."""
    joined = select(deliveries, events.c.event_key).join(events, deliveries.c.event_id == events.c.id)
    with database.read() as connection:
        kept = connection.execute(select(events)).all()
        owed = connection.execute(joined.order_by(deliveries.c.id)).all()
        unknown = Counter(
            connection.scalars(
                select(attempts.c.delivery_id).where(
                    (attempts.c.outcome == "unknown") | attempts.c.code.in_(UNKNOWN_CODES)
                )
            )
        )
    keys = {row.id: idempotency_key(row.account, row.event_key, row.mapping, row.replay) for row in owed}
    verdict = story.judge([dict(entry) for entry in history])
    breaches = [
        *_lost(kept, owed, expected),
        *_stuck(kept, owed),
        *_unlike(owed, keys, history),
        *_disordered(history, expected.acted_ms),
        *(
            f"a delivery was written {more} times more than its {allowed} unknown outcomes allow"
            for more, allowed in _excess(verdict.repeats, {keys[id_]: n for id_, n in unknown.items()})
        ),
    ]
    states = Counter(row.state for row in owed)
    return Judgement(len(kept), states, sum(verdict.repeats.values()), unknown.total(), breaches)


def judge_deals(
    database: Database, writes: Sequence[Mapping[str, Any]], told: Sequence[bytes], expected: Expected
) -> Judgement:
    """Hold what is there against every promise where the destination is an origin of Clint.

    Its witness is the log of what was written to deals, and `told` has the events in the order in which they came.
    """
    joined = select(deliveries).order_by(deliveries.c.id)
    with database.read() as connection:
        kept = connection.execute(select(events)).all()
        owed = connection.execute(joined).all()
    charges: dict[str, Charge] = {}
    for event in map(json.loads, told):
        id_, customer, value = (event["payment"][name] for name in ("id", "customer", "value"))
        before = charges.get(id_, Charge(id_, customer, (), ()))
        charges[id_] = replace(before, events=(*before.events, event["event"]), values=(*before.values, float(value)))
    undelivered = [row for row in owed if row.state in {state.value for state in FINISHED - {DeliveryState.DELIVERED}}]
    breaches = [
        *_lost(kept, owed, expected),
        *_stuck(kept, owed),
        *(f"delivery {row.id} ended as {row.state} ({row.reason_code})" for row in undelivered),
        *deal_judge.judge(writes, list(charges.values())).breaches,
    ]
    return Judgement(len(kept), Counter(row.state for row in owed), 0, 0, breaches)


def _lost(kept: Sequence[Row[Any]], owed: Sequence[Row[Any]], expected: Expected) -> Iterator[str]:
    there = Counter(row.event_key for row in kept)
    for key in sorted(set(expected.answered) - set(there)):
        yield f"event {key} was answered 200 and is not in the journal"
    objects = Counter(row.object_id for row in kept)
    for charge in expected.charges:
        if objects[charge] != 1:
            yield f"charge {charge} has {objects[charge]} events instead of one"
    more = len(kept) - len(set(expected.answered)) - len(expected.charges)
    if more > 0:
        yield f"{more} events are kept that nobody was told were"
    first = Counter(row.event_id for row in owed if row.replay == 0)
    for row in kept:
        if row.state == EventState.PROCESSED.value and first[row.id] != expected.mappings:
            yield f"event {row.id} has {first[row.id]} deliveries instead of {expected.mappings}"


def _stuck(kept: Sequence[Row[Any]], owed: Sequence[Row[Any]]) -> Iterator[str]:
    latest_ms = time.time() * 1000 + LONGEST_WAIT_MS
    for row in kept:
        if row.state != EventState.PROCESSED.value:
            comes = "its time comes" if row.due_ms is not None and row.due_ms < latest_ms else "its time never comes"
            yield f"event {row.id} still waits ({row.hold_code}); {comes}"
    seen: set[tuple[str, str, str]] = set()
    for row in owed:
        state = DeliveryState(row.state)
        line = (row.account, row.subject, row.line)
        if state is DeliveryState.DEAD and not (row.reason_code and row.reason):
            yield f"delivery {row.id} is dead without a reason"
        if state in FINISHED:
            continue
        first = line not in seen
        timely = row.due_ms is not None and row.due_ms < latest_ms
        seen.add(line)
        exit_ = "behind another" if not first else "its time comes" if timely else "its time never comes"
        yield f"delivery {row.id} is still {state.value} ({row.reason_code}); {exit_}"


def _unlike(owed: Sequence[Row[Any]], keys: Mapping[int, str], history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    written = {entry["headers"]["idempotency-key"] for entry in history if entry["result"] in {"created", "updated"}}
    for row in owed:
        if row.state == DeliveryState.DELIVERED.value and keys[row.id] not in written:
            yield f"delivery {row.id} counts as delivered and the destination has not got it"
    if strange := written - set(keys.values()):
        yield f"the destination got {len(strange)} deliveries of which the journal knows nothing"


def _disordered(history: Sequence[Mapping[str, Any]], acted_ms: Sequence[float]) -> Iterator[str]:
    edges = [0.0, *acted_ms, float("inf")]
    for since, until in pairwise(edges):
        part = [dict(entry) for entry in history if since <= entry["started_ms"] < until]
        verdict = story.judge(part)
        for customer in verdict.out_of_order:
            yield f"customer {customer}: events went out in another order than they came"
        for customer in verdict.overlapping:
            yield f"customer {customer}: two deliveries were on their way at once"


def _excess(repeats: Mapping[str, int], unknown: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for key, count in repeats.items():
        if count > unknown.get(key, 0):
            yield count, unknown.get(key, 0)
