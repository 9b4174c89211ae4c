"""What needs a person, by its cause: how many deliveries, people and reais a cause concerns, and who has seen it.

Deliveries that one fix revives have one cause: the same reason, destination and answer, over all mappings. A row of
`causes` stands from the time a cause is first noted until nothing of it is left; the same cause later has a new row.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, select, text, union_all, update

from bridge.journal import queries
from bridge.journal.about import cents_of
from bridge.journal.notices import StoredNotice
from bridge.journal.queries import Condition, DeadFilter
from bridge.journal.schema import CAUSE_OPEN, DEAD, HELD, ON_HOLD, OPEN, attempts, causes, deliveries, events
from bridge.journal.statements import distinct
from bridge.model import NoticeLevel

MOST_ANSWERS = 4
"""A destination that gives more different answers to one reason is one cause: the answers name what they are about."""
GROWS_TENFOLD = 10
"""After growth by this factor an alert is sent again, and a cause is no longer marked as seen."""
KEEP_MS = 90 * 24 * 3_600_000
MOST_COUNTED = 20_000
"""Waiting deliveries and held events that are counted for a page."""
MOST_BODIES = 300
"""Held events whose bodies are read for their values."""
SAMPLED = 5
"""Events that are shown of a cause."""


class Kind(StrEnum):
    DEAD = "dead"  # deliveries failed
    PAUSED = "paused"  # a destination is paused
    UNSET = "unset"  # a destination that deliveries wait for has no URL
    CIRCUIT = "circuit"  # a destination fails for several customers
    HELD = "held"  # events wait for what a person or Asaas must fix
    MAPPING = "mapping"  # a mapping's file has an error
    REFUSED = "refused"  # an active mapping can't run in this version
    UNHEARD = "unheard"  # no mapping that is on listens to an account
    OVERLAP = "overlap"  # mappings send the same events to what may be one funnel
    NOTICE = "notice"


def anchor(*what: str) -> str:
    """Return the place on the page of a cause by its key, or of the cause of a notice by its code and what it is about.

    >>> anchor("delivery.dead", "default")
    'cause-e9a776ac24'
    """
    return "cause-" + hashlib.sha256("\0".join(what).encode(errors="replace")).hexdigest()[:10]


@dataclass(frozen=True, slots=True)
class Cause:
    kind: Kind
    code: str
    """Of the reason or the notice."""
    about: str
    """A destination, an account or a mapping."""
    answer: str | None = None
    """The hash of the destination's answer, an empty text for none; None where it does not count."""
    number: int = 1
    """Of deliveries or events."""
    level: NoticeLevel = NoticeLevel.ERROR
    since_ms: int | None = None
    dead: tuple[Cause, ...] = ()
    """Failed deliveries that this is the cause of."""
    told: tuple[StoredNotice, ...] = ()
    """The notices that say the same."""

    @property
    def key(self) -> str:
        return "|".join((self.kind, self.code, self.about, self.answer or ""))

    @property
    def anchor(self) -> str:
        return anchor(self.key)

    @property
    def anchors(self) -> list[str]:
        """The places that links of alerts lead to."""
        found = [anchor(one.code, one.about) for one in self.told] + [one.anchor for one in self.dead]
        return list(dict.fromkeys(found))

    def dead_filter(self, accounts: Collection[str] | None = None) -> DeadFilter:
        """Return the filter of the failed deliveries of a cause of the kind DEAD, of these accounts or all."""
        return DeadFilter(self.code, destination=self.about, answer=self.answer, accounts=accounts)


# ---------------------------------------------------------------- what there is


def dead(connection: Connection, accounts: Collection[str] | None = None) -> list[Cause]:
    """Return the causes of failed deliveries of these accounts, None for all; reads partial indexes only."""
    c = deliveries.c
    keys = (c.reason_code, c.destination, c.answer)
    found: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for code, destination, answer, number in connection.execute(
        select(*keys, func.count()).where(DEAD, *queries.of_accounts(deliveries, accounts)).group_by(*keys)
    ):
        found[code or "", destination][answer or ""] = number
    made = []
    for (code, destination), answers in found.items():
        if len(answers) > MOST_ANSWERS:
            answers = {None: sum(answers.values())}  # type: ignore[dict-item]
        made += [Cause(Kind.DEAD, code, destination, answer, number) for answer, number in answers.items()]
    return sorted(made, key=lambda one: (-one.number, one.key))


def held(connection: Connection, accounts: Collection[str] | None = None) -> list[Cause]:
    """Return what holds events of these accounts or all, without those that wait behind another event."""
    c = events.c
    number = func.count()
    query = select(c.hold_code, c.account, number, func.min(c.received_ms))
    query = query.where(ON_HOLD, c.hold_code != "event.behind", *queries.of_accounts(events, accounts)).group_by(
        c.hold_code, c.account
    )
    return [
        Cause(Kind.HELD, code, account, number=number, level=NoticeLevel.WARNING, since_ms=since_ms)
        for code, account, number, since_ms in connection.execute(query.order_by(number.desc(), c.hold_code, c.account))
    ]


def waited_for(connection: Connection) -> list[str]:
    """Return the destinations for which deliveries wait until a person connects or resumes them."""
    return distinct(connection, deliveries.c.destination, HELD, after="")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a cause concerns."""

    number: int = 0
    people: int = 0
    cents: int = 0
    is_least: bool = False
    """Whether there is more: rows of older versions have no value, and not everything was counted."""
    first_ms: int | None = None
    last_ms: int | None = None
    mappings: dict[str, int] = field(default_factory=dict)
    retried: int = 0
    """Deliveries that can be sent again."""
    replayable: dict[str, int] = field(default_factory=dict)
    """Deliveries whose event can be replayed, by mapping."""
    sample: tuple[int, ...] = ()
    """The oldest events."""
    status: int | None = None
    excerpt: str = ""
    reason: str = ""
    """What the newest of them says: a `Message.to_json()`."""
    died: tuple[Facts, ...] = ()
    """Of a destination: the counts of the failed deliveries that it is the cause of, for each of their filters."""


def dead_facts(connection: Connection, chosen: DeadFilter) -> Facts:
    """Return the facts of the failed deliveries of a filter."""
    counts = _dead_counts(connection, chosen)
    if not counts.number:
        return counts
    conditions = _dead(chosen)
    people, cents, unknown = connection.execute(_worth(conditions)).one()
    counts = replace(counts, people=people, cents=cents or 0, is_least=unknown > 0)
    return _with_examples(connection, counts, conditions)


def _dead(chosen: DeadFilter) -> list[Condition]:
    return [DEAD, *queries.dead_conditions(chosen)]


def _dead_counts(connection: Connection, chosen: DeadFilter) -> Facts:
    """Return how many failed deliveries a filter has, from when, and how many can be sent again."""
    c = deliveries.c
    conditions = _dead(chosen)
    ended = func.coalesce(c.finished_ms, c.created_ms)
    by_mapping = select(c.mapping, func.count(), func.count(c.payload), func.min(ended), func.max(ended))
    rows = connection.execute(by_mapping.where(*conditions).group_by(c.mapping).order_by(c.mapping)).all()
    if not rows:
        return Facts()
    number, retried = sum(row[1] for row in rows), sum(row[2] for row in rows)
    emptied: dict[str, int] = {}
    if retried < number:  # an emptied event has no delivery with a payload
        gone = select(c.mapping, func.count()).join(events, events.c.id == c.event_id).where(*conditions)
        gone = gone.where(c.payload.is_(None), events.c.emptied_ms.is_not(None)).group_by(c.mapping)
        emptied = {row[0]: row[1] for row in connection.execute(gone)}
    replayable = {row[0]: row[1] - emptied.get(row[0], 0) for row in rows}
    return Facts(
        number=number,
        first_ms=min(row[3] for row in rows),
        last_ms=max(row[4] for row in rows),
        mappings={row[0]: row[1] for row in rows},
        retried=retried,
        replayable={mapping: count for mapping, count in replayable.items() if count},
    )


def _with_examples(connection: Connection, facts: Facts, conditions: Sequence[Condition]) -> Facts:
    """Add the oldest events of failed deliveries, and what was answered to the newest."""
    c = deliveries.c
    newest = connection.execute(select(c.id, c.reason).where(*conditions).order_by(c.id.desc()).limit(1)).one()
    query = select(attempts.c.status, attempts.c.excerpt).where(attempts.c.delivery_id == newest.id)
    last = connection.execute(query.order_by(attempts.c.number.desc()).limit(1)).first()
    oldest = select(c.event_id).where(*conditions).order_by(c.id).limit(SAMPLED)
    return replace(
        facts,
        sample=tuple(dict.fromkeys(connection.scalars(oldest))),
        status=last.status if last else None,
        excerpt=(last.excerpt or "") if last else "",
        reason=newest.reason or "",
    )


def _worth(*parts: Sequence[Condition], limit: int | None = None) -> Any:
    """Return a query for the people of deliveries, their charges' sum, each charge once, and the unknown values."""
    c = deliveries.c
    chosen = [select(c.account, c.subject, c.object_id, c.amount).where(*part).limit(limit) for part in parts]
    every = union_all(*(select(one.subquery()) for one in chosen)).subquery()
    charge = (every.c.account, every.c.subject, every.c.object_id)
    each = select(*charge, func.max(every.c.amount).label("amount")).group_by(*charge).subquery()
    person = func.count(func.distinct(each.c.account + " " + each.c.subject))
    return select(person, func.sum(each.c.amount), func.count().filter(each.c.amount.is_(None)))


def destination_facts(
    connection: Connection, destination: str, died: Sequence[DeadFilter], accounts: Collection[str] | None = None
) -> Facts:
    """Return the facts of the deliveries that wait for a destination, and of those that died of it."""
    c = deliveries.c
    waiting: list[Condition] = [OPEN, c.destination == destination, *queries.of_accounts(deliveries, accounts)]
    counts = tuple(_dead_counts(connection, one) for one in died)
    found = [
        _with_examples(connection, facts, _dead(one)) for facts, one in zip(counts, died, strict=True) if facts.number
    ]
    few = select(c.mapping, c.created_ms).where(*waiting).limit(MOST_COUNTED).subquery()
    by_mapping = select(few.c.mapping, func.count(), func.min(few.c.created_ms), func.max(few.c.created_ms))
    rows = connection.execute(by_mapping.group_by(few.c.mapping).order_by(few.c.mapping)).all()
    number = sum(row[1] for row in rows)
    if rows:
        # Those that the pause holds are at hand by an index; all others are looked through.
        held = select(c.event_id).where(*waiting, HELD).order_by(c.id).limit(SAMPLED)
        oldest = select(c.event_id).where(*waiting, c.due_ms.is_not(None)).order_by(c.due_ms).limit(SAMPLED)
        ids = connection.scalars(held).all() or connection.scalars(oldest).all()
        times = {"first_ms": min(row[2] for row in rows), "last_ms": max(row[3] for row in rows)}
        sample = tuple(sorted(dict.fromkeys(ids)))
        found.insert(0, Facts(number, mappings={row[0]: row[1] for row in rows}, sample=sample, **times))
    if not found:
        return Facts(died=counts)
    parts = [waiting, *(_dead(one) for one in died)]
    people, cents, unknown = connection.execute(_worth(*parts, limit=MOST_COUNTED)).one()
    answer = next((one for one in found if one.status or one.excerpt), Facts())
    names = sorted({name for one in found for name in one.mappings})
    return Facts(
        number=sum(one.number for one in found),
        people=people,
        cents=cents or 0,
        is_least=unknown > 0 or number == MOST_COUNTED,
        first_ms=min(one.first_ms or 0 for one in found),
        last_ms=max(one.last_ms or 0 for one in found),
        mappings={name: sum(one.mappings.get(name, 0) for one in found) for name in names},
        sample=tuple(dict.fromkeys(id_ for one in found for id_ in one.sample))[:SAMPLED],
        status=answer.status,
        excerpt=answer.excerpt,
        died=counts,
    )


def held_facts(connection: Connection, code: str, account: str | None) -> Facts:
    """Return the facts of the events that something holds, in an account or in all."""
    c = events.c
    conditions: list[Condition] = [
        ON_HOLD,
        c.hold_code == code,
        *([c.account == account] if account is not None else []),
    ]
    person = func.count(func.distinct(c.account + " " + c.subject))
    counts = select(func.count(), person, func.min(c.received_ms), func.max(c.received_ms)).where(*conditions)
    number, people, first_ms, last_ms = connection.execute(counts).one()
    # The oldest are found by the index alone, so that no other body is read.
    oldest = select(c.id).where(*conditions).order_by(c.received_ms, c.id).limit(MOST_BODIES)
    some = select(c.id, c.account, c.object_id, c.entity, c.body, c.hold_reason).where(c.id.in_(oldest))
    rows = connection.execute(some.order_by(c.received_ms, c.id)).all()
    values = {(row.account, row.object_id): _cents(row.body) for row in rows if row.entity == "payment"}
    return Facts(
        number=number,
        people=people,
        cents=sum(values.values()),
        is_least=number > len(rows),
        first_ms=first_ms,
        last_ms=last_ms,
        sample=tuple(row.id for row in rows[:SAMPLED]),
        reason=(rows[-1].hold_reason or "") if rows else "",
    )


def _cents(body: str) -> int:
    charge = json.loads(body).get("payment")
    return cents_of(charge.get("value")) if isinstance(charge, dict) else 0


# ---------------------------------------------------------------- who has seen it, and how long it stood


@dataclass(frozen=True, slots=True)
class Noted:
    """The row of a cause."""

    id: int
    key: str
    kind: str
    code: str
    about: str
    since_ms: int
    number: int
    most: int
    seen_by: str | None
    seen_ms: int | None
    seen_number: int | None
    resolved_ms: int | None


def noted(connection: Connection) -> dict[str, Noted]:
    """Return the rows of the causes that stand, by key."""
    return {row.key: Noted(*row) for row in connection.execute(select(causes).where(CAUSE_OPEN))}


_insert = text(  # another process may have noted it meanwhile
    "INSERT INTO causes (key, kind, code, about, since_ms, number, most)"
    " VALUES (:key, :kind, :code, :about, :since_ms, :number, :number)"
    " ON CONFLICT (key) WHERE resolved_ms IS NULL DO NOTHING"
)


def is_news(standing: Iterable[Cause], known: dict[str, Noted]) -> bool:
    """Return whether the rows do not say what stands."""
    now = {cause.key: cause.number for cause in standing}
    return now != {key: row.number for key, row in known.items()}


def note(connection: Connection, standing: Collection[Cause], now_ms: int) -> None:
    """Add new causes and end those that are gone; a cause that grew tenfold is no longer marked as seen."""
    known = noted(connection)
    for cause in standing:
        row = known.pop(cause.key, None)
        if row is None:
            _add(connection, cause, now_ms)
        elif row.number != cause.number:
            values: dict[str, Any] = {"number": cause.number, "most": max(row.most, cause.number)}
            if row.seen_number is not None and cause.number >= GROWS_TENFOLD * max(row.seen_number, 1):
                values |= dict.fromkeys(("seen_by", "seen_ms", "seen_number"))
            connection.execute(update(causes).where(causes.c.id == row.id).values(**values))
    if known:
        gone = [row.id for row in known.values()]
        connection.execute(update(causes).where(causes.c.id.in_(gone)).values(resolved_ms=now_ms))
        connection.execute(delete(causes).where(causes.c.resolved_ms < now_ms - KEEP_MS))


def _add(connection: Connection, cause: Cause, now_ms: int) -> None:
    since_ms = cause.since_ms
    if cause.kind is Kind.DEAD:
        ended = func.min(func.coalesce(deliveries.c.finished_ms, deliveries.c.created_ms))
        since_ms = connection.scalar(select(ended).where(DEAD, *queries.dead_conditions(cause.dead_filter())))
    values = {"key": cause.key, "kind": cause.kind.value, "code": cause.code, "about": cause.about}
    connection.execute(_insert, {**values, "since_ms": since_ms or now_ms, "number": cause.number})


def see(connection: Connection, cause: Cause, by: str, now_ms: int) -> None:
    """Write down who has seen a cause that is noted."""
    query = update(causes).where(CAUSE_OPEN, causes.c.key == cause.key)
    connection.execute(query.values(seen_by=by, seen_ms=now_ms, seen_number=cause.number))


def unsee(connection: Connection, cause: Cause) -> None:
    """Take back that somebody has seen a cause."""
    query = update(causes).where(CAUSE_OPEN, causes.c.key == cause.key)
    connection.execute(query.values(seen_by=None, seen_ms=None, seen_number=None))


def resolved(connection: Connection, limit: int = 20) -> list[Noted]:
    """Return the causes that were resolved last, newest first."""
    query = select(causes).where(causes.c.resolved_ms.is_not(None)).order_by(causes.c.resolved_ms.desc(), causes.c.id)
    return [Noted(*row) for row in connection.execute(query.limit(limit))]
