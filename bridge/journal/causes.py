"""What needs a person, by its cause: how many deliveries, people and reais a cause concerns, and who has seen it.

Deliveries that one fix revives have one cause: the same reason, destination and answer, over all mappings. A row of
`causes` stands from the time a cause is first noted until nothing of it is left; the same cause later has a new row.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, text, union_all, update

from bridge.journal import queries
from bridge.journal.about import cents_of
from bridge.journal.notices import StoredNotice
from bridge.journal.queries import Condition, DeadFilter
from bridge.journal.schema import CAUSE_OPEN, DEAD, HELD, ON_HOLD, OPEN, attempts, causes, deliveries, events
from bridge.journal.statements import count_by, distinct
from bridge.model import NoticeLevel

MOST_ANSWERS = 4
"""A destination that gives more different answers to one reason is one cause: the answers name what they are about."""
GROWS_TENFOLD = 10
"""After growth by this factor an alert is sent again, and a cause is no longer marked as seen."""
KEEP_MS = 90 * 24 * 3_600_000
MOST_COUNTED = 1_000
"""Deliveries that wait for a destination, or that died of it, whose customers and charges are counted for a page."""
MOST_BODIES = 100
"""Held events whose bodies are read for their values."""
MOST_TRIED = 50
"""Deliveries that wait for a destination that fails, whose tries are read for the newest answer."""
SAMPLED = 5
"""Events that are shown of a cause."""


class Kind(StrEnum):
    WORKERS = "workers"  # work waits, and no worker runs
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
    least: frozenset[str] = frozenset()
    """Which of these three are more: not everything was counted, or rows of older versions have no value."""
    first_ms: int | None = None
    last_ms: int | None = None
    mappings: dict[str, int] = field(default_factory=dict)
    can_retry: bool = False
    """Whether any delivery can be sent again."""
    replayable: tuple[str, ...] = ()
    """The mappings of which an event can be replayed."""
    sample: tuple[int, ...] = ()
    """The oldest events."""
    status: int | None = None
    excerpt: str = ""
    reason: str = ""
    """What the newest of them says: a `Message.to_json()`."""
    code: str = ""
    """Of the newest try."""
    died: tuple[Facts, ...] = ()
    """Of a destination: the facts of the failed deliveries that it is the cause of."""


def dead_facts(connection: Connection, chosen: DeadFilter) -> Facts:
    """Return how many failed deliveries a filter has, what they are worth, and the oldest events."""
    c = deliveries.c
    conditions: list[Condition] = [DEAD, *queries.dead_conditions(chosen)]
    mappings = count_by(connection, c.mapping, *conditions)
    if not mappings:
        return Facts()
    sample = _oldest(connection, conditions)
    facts = Facts(sum(mappings.values()), mappings=dict(sorted(mappings.items())), sample=sample)
    return _with_worth(connection, facts, conditions, is_part=False)


def facts_of_dead(
    connection: Connection, standing: Iterable[Cause], accounts: Collection[str] | None = None
) -> dict[str, Facts]:
    """Return by key the facts of these causes of failed deliveries, without people, worth and sample.

    An index alone counts all of them.
    """
    c = deliveries.c
    known = {(one.code, one.about, one.answer): one for one in standing}
    totals = {"number": func.count(), "newest": func.max(c.id), "first": func.min(c.finished_ms)}
    totals["last"] = func.max(c.finished_ms)
    by_mapping = (c.reason_code, c.destination, c.answer, c.mapping)
    query = select(*by_mapping, *(total.label(name) for name, total in totals.items())).group_by(*by_mapping)
    query = query.where(DEAD, *queries.of_accounts(deliveries, accounts)).order_by(func.max(c.id))
    parts: defaultdict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        where = (row.reason_code or "", row.destination)
        # What is in neither died after the causes were read.
        if cause := known.get((*where, None)) or known.get((*where, row.answer or "")):
            parts[cause.key].append(row)
    newest = {key: {row.mapping: row.newest for row in rows} for key, rows in parts.items()}
    read = _read_dead(connection, [id_ for ids in newest.values() for id_ in ids.values()])
    found = {}
    for cause in known.values():
        if not (rows := parts.get(cause.key, [])):
            continue
        mappings = Counter[str]()
        for row in rows:
            mappings[row.mapping] += row.number
        of = cause.dead_filter(accounts)
        # Most often the newest ones tell; others are looked for where these were emptied.
        each = {name: read[newest[cause.key][name]] for name in sorted(mappings)}
        can_retry = any(one.has_payload for one in each.values()) or _has_any(
            connection, replace(of, with_payload=True)
        )
        replayable = tuple(
            name
            for name, one in each.items()
            if one.has_body or _has_any(connection, replace(of, mapping=name, with_body=True))
        )
        last = read[rows[-1].newest]
        found[cause.key] = Facts(
            number=mappings.total(),
            first_ms=min(row.first or 0 for row in rows),
            last_ms=max(row.last or 0 for row in rows),
            mappings=dict(sorted(mappings.items())),
            can_retry=can_retry,
            replayable=replayable,
            status=last.status,
            excerpt=last.excerpt or "",
            reason=last.reason or "",
            code=last.code or "",
        )
    return found


class _Dead(NamedTuple):
    """A failed delivery, with the last answer to it."""

    reason: str | None
    has_payload: bool
    has_body: bool
    status: int | None
    excerpt: str | None
    code: str | None


def _read_dead(connection: Connection, ids: Collection[int]) -> dict[int, _Dead]:
    c = deliveries.c
    last = select(func.max(attempts.c.id)).where(attempts.c.delivery_id.in_(ids)).group_by(attempts.c.delivery_id)
    answer = (attempts.c.status, attempts.c.excerpt, attempts.c.code)
    answers = select(attempts.c.delivery_id, *answer).where(attempts.c.id.in_(last))
    answered = {id_: tuple(found) for id_, *found in connection.execute(answers)}
    query = select(c.id, c.reason, c.payload.is_not(None), events.c.emptied_ms.is_(None))
    found = connection.execute(query.join(events, events.c.id == c.event_id).where(c.id.in_(ids)))
    return {
        id_: _Dead(reason, has_payload, has_body, *answered.get(id_, (None, None, None)))
        for id_, reason, has_payload, has_body in found
    }


def _has_any(connection: Connection, chosen: DeadFilter) -> bool:
    query = select(deliveries.c.id).where(DEAD, *queries.dead_conditions(chosen)).limit(1)
    return connection.scalar(query) is not None


def with_worth(connection: Connection, facts: Facts, chosen: DeadFilter) -> Facts:
    """Add people and worth to the facts of the failed deliveries of a filter, and the oldest events of a small one."""
    conditions = [DEAD, *queries.dead_conditions(chosen)]
    is_part = facts.number > MOST_COUNTED
    sample = () if is_part else _oldest(connection, conditions)
    return _with_worth(connection, replace(facts, sample=sample), conditions, is_part=is_part)


def _oldest(connection: Connection, conditions: Sequence[Condition]) -> tuple[int, ...]:
    query = select(deliveries.c.event_id).where(*conditions).order_by(deliveries.c.id).limit(SAMPLED)
    return tuple(dict.fromkeys(connection.scalars(query)))


def _with_worth(connection: Connection, facts: Facts, *parts: Sequence[Condition], is_part: bool) -> Facts:
    """Add how many people deliveries are about, and what their charges are worth, each charge once."""
    c, limit = deliveries.c, MOST_COUNTED if is_part else None
    chosen = [select(c.account, c.subject, c.object_id, c.amount).where(*part).limit(limit) for part in parts]
    every = union_all(*(select(one.subquery()) for one in chosen)).subquery()
    charge = (every.c.account, every.c.subject, every.c.object_id)
    each = select(*charge, func.max(every.c.amount).label("amount")).group_by(*charge).subquery()
    person = func.count(func.distinct(each.c.account + " " + each.c.subject))
    query = select(person, func.sum(each.c.amount), func.count().filter(each.c.amount.is_(None)))
    people, cents, unknown = connection.execute(query).one()
    least = facts.least | ({"people", "cents"} if is_part else {"cents"} if unknown else set())
    return replace(facts, people=people, cents=cents or 0, least=least)


def destination_facts(
    connection: Connection,
    destination: str,
    died: Sequence[tuple[DeadFilter, Facts]],
    accounts: Collection[str] | None = None,
) -> Facts:
    """Return the facts of the deliveries that wait for a destination, and of those that died of it."""
    c = deliveries.c
    waiting: list[Condition] = [OPEN, c.destination == destination, *queries.of_accounts(deliveries, accounts)]
    few = select(c.mapping, c.created_ms).where(*waiting).limit(MOST_COUNTED).subquery()
    by_mapping = select(few.c.mapping, func.count(), func.min(few.c.created_ms), func.max(few.c.created_ms))
    rows = connection.execute(by_mapping.group_by(few.c.mapping)).all()
    number = sum(row[1] for row in rows)
    if not rows and not died:
        return Facts()
    # Those that the pause holds are at hand by an index; all others are looked through.
    held = select(c.event_id).where(*waiting, HELD).order_by(c.id).limit(SAMPLED)
    oldest = select(c.event_id).where(*waiting, c.due_ms.is_not(None)).order_by(c.due_ms).limit(SAMPLED)
    ids = (connection.scalars(held).all() or connection.scalars(oldest).all()) if rows else []
    failed = [facts for _chosen, facts in died]
    of_each = [
        Facts(number=row[1], mappings={row[0]: row[1]}, first_ms=row[2], last_ms=row[3]) for row in rows
    ] + failed
    mappings = Counter[str]()
    for one in of_each:
        mappings.update(one.mappings)
    facts = Facts(
        number=sum(one.number for one in of_each),
        least=frozenset({"number"} if number == MOST_COUNTED else ()),
        first_ms=min(one.first_ms or 0 for one in of_each),
        last_ms=max(one.last_ms or 0 for one in of_each),
        mappings=dict(sorted(mappings.items())),
        sample=tuple(sorted(dict.fromkeys(ids))),
        status=next((one.status for one in failed if one.status), None),
        excerpt=next((one.excerpt for one in failed if one.excerpt), ""),
        code=next((one.code for one in failed if one.code), ""),
        died=tuple(failed),
    )
    parts = [waiting, *([DEAD, *queries.dead_conditions(chosen)] for chosen, _facts in died)]
    is_part = any(one >= MOST_COUNTED for one in (number, *(one.number for one in failed)))
    return _with_worth(connection, facts, *parts, is_part=is_part)


def with_last_try(
    connection: Connection, facts: Facts, destination: str, accounts: Collection[str] | None = None
) -> Facts:
    """Add what came of the newest try of the deliveries that wait for a destination."""
    c = deliveries.c
    few = select(c.id).where(c.destination == destination, c.due_ms.is_not(None), c.attempts > 0)
    few = few.where(*queries.of_accounts(deliveries, accounts)).order_by(c.due_ms).limit(MOST_TRIED)
    ids = connection.scalars(few).all()
    answers = select(attempts.c.code, attempts.c.status, attempts.c.excerpt)
    answers = answers.where(attempts.c.delivery_id.in_(ids), attempts.c.code.like("clint.%"))
    last = connection.execute(answers.order_by(attempts.c.id.desc()).limit(1)).first() if ids else None
    return replace(facts, code=last.code, status=last.status, excerpt=last.excerpt or "") if last else facts


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
        least=frozenset({"cents"} if number > len(rows) else ()),
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
