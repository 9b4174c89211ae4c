"""What to tell, and when again: pure.

A problem is a code about something, such as dead deliveries of one destination. It is told at once, then again in
growing distance for as long as it lasts, and once more when it has been over for a while; what comes and goes within
that while is one problem. All that is to be told at one time is one message.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from bridge.journal import queries
from bridge.journal.destinations import NOTICES, Destination
from bridge.journal.notices import Alert, Notice, Resolved, StoredNotice
from bridge.model import NoticeLevel
from bridge.reasons import explain

_HOUR_MS = 3_600_000
AGAIN_MS = (_HOUR_MS, 4 * _HOUR_MS, 12 * _HOUR_MS, 24 * _HOUR_MS)
"""How long after each time it was told it is told again; from the last on always so."""
OVER_MS = 5 * 60_000
"""How long a problem must be over before that is told."""
GAP_MS = 60_000
"""The least distance of two messages: what comes meanwhile goes into the next."""
SENDING_MS = 3 * 60_000
"""For how long a message that is being sent is nobody else's; longer than sending may take."""
FAILED_MS = (60_000, 2 * 60_000, 10 * 60_000, _HOUR_MS)
"""How long after each failure in a row it is tried again."""


class Kind(StrEnum):
    """Why something is told."""

    NEW = "new"
    AGAIN = "again"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Item:
    """One problem to tell."""

    kind: Kind
    alert: Alert


@dataclass(frozen=True, slots=True)
class Plan:
    """What to tell now, and what is to be remembered whether or not it can be told."""

    items: tuple[Item, ...]
    keep: tuple[Alert, ...]
    drop: tuple[Alert, ...]


def plan(open_notices: Iterable[StoredNotice], known: Mapping[tuple[str, str], Alert], now_ms: int) -> Plan:
    """Return what to tell, given the open notices and what is known of what was told."""
    problems = {(notice.code, notice.about): notice for notice in open_notices}
    items: list[Item] = []
    keep: list[Alert] = []
    drop: list[Alert] = []
    for key, notice in problems.items():
        before = known.get(key)
        alert = _of(notice, before, now_ms)
        if alert.due_ms <= now_ms:
            items.append(Item(Kind.AGAIN if alert.times else Kind.NEW, alert))
        if alert != before:
            keep.append(alert)
    for key in known.keys() - problems.keys():
        before = known[key]
        alert = replace(before, over_ms=now_ms, due_ms=now_ms + OVER_MS) if before.over_ms is None else before
        if not alert.times:
            drop.append(alert)
            continue
        if alert.due_ms <= now_ms:
            items.append(Item(Kind.OVER, alert))
        if alert != before:
            keep.append(alert)
    if any(alert.told_ms is not None and 0 <= now_ms - alert.told_ms < GAP_MS for alert in known.values()):
        items = []
    items.sort(key=lambda item: (list(Kind).index(item.kind), item.alert.level, item.alert.code, item.alert.about))
    return Plan(tuple(items), tuple(keep), tuple(drop))


def _of(notice: StoredNotice, before: Alert | None, now_ms: int) -> Alert:
    if before is None:
        return Alert(
            notice.code, notice.about, notice.level, notice.detail, notice.mend, notice.raised_ms, due_ms=now_ms
        )
    now = replace(before, level=notice.level, detail=notice.detail, mend=notice.mend)
    if now.over_ms is not None:
        # It came back before anybody was told that it is over: told at once would be a message for each time it flaps.
        now = replace(now, over_ms=None, due_ms=now_ms + _again_ms(now.times))
    if NoticeLevel.ERROR == notice.level != before.level and before.times:
        now = replace(now, times=0, due_ms=now_ms)  # a warning that became an error is news
    return now


def sending(items: Sequence[Item], now_ms: int) -> list[Alert]:
    """Return what to remember while these are being sent: nobody else may send them too."""
    return [replace(item.alert, due_ms=now_ms + SENDING_MS) for item in items]


def sent(items: Sequence[Item], now_ms: int) -> tuple[list[Alert], list[Alert]]:
    """Return what to remember of what was told, and what to forget because its end was told."""
    told = [item.alert for item in items if item.kind is not Kind.OVER]
    keep = [
        replace(alert, times=alert.times + 1, told_ms=now_ms, due_ms=now_ms + _again_ms(alert.times + 1), failures=0)
        for alert in told
    ]
    return keep, [item.alert for item in items if item.kind is Kind.OVER]


def failed(items: Sequence[Item], now_ms: int) -> list[Alert]:
    """Return what to remember of what could not be told."""
    return [
        replace(
            item.alert,
            failures=item.alert.failures + 1,
            due_ms=now_ms + FAILED_MS[min(item.alert.failures, len(FAILED_MS) - 1)],
        )
        for item in items
    ]


def _again_ms(times: int) -> int:
    return AGAIN_MS[min(max(times, 1), len(AGAIN_MS)) - 1]


HOUR_MS = 3_600_000
WEEK_H = 7 * 24
WEEKS = 4
KEPT_H = (2 * WEEKS + 1) * WEEK_H
"""The hours that `unusual` needs: a silence of four weeks, and the four weeks before it."""
MISSED_H = 4
"""In so many hours of the stretch events came, in each week but one: less may be chance."""
LEAST_WEEKS = 2
"""An account that is known for less has no habits yet."""
LEAST_HOURS = 8
TIMES, LEAST_LONG_H = 2, 24
"""How many times the longest silence is unusual, and how long at least; LEAST_HOURS must be known of the account."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that is unusually long."""

    hours: int
    missed: int
    """In how many hours of the same stretch events came, in an ordinary week."""

    def text(self) -> str:
        """Say it in words that stay the same for some hours, so that the notice does not change all the time."""
        return f"no event for more than {self.hours - self.hours % 4} hours, which was never so in the weeks before"


def unusual(active_hours: Sequence[int], now_ms: int) -> Silence | None:
    """Return the silence where it is unusually long, given the hours in which events came in, ascending.

    An hour is the number of whole hours since the epoch; those of the last KEPT_H hours are enough.
    """
    now_h = now_ms // HOUR_MS
    if not active_hours or active_hours[-1] >= now_h:
        return None
    first_h, last_h = active_hours[0], active_hours[-1]
    weeks = [
        _active(active_hours, last_h + 1 - week * WEEK_H, now_h - week * WEEK_H)
        for week in range(1, WEEKS + 1)
        if first_h <= last_h + 1 - week * WEEK_H
    ]
    if len(weeks) < LEAST_WEEKS:
        return None
    # One odd week, such as one with a holiday, must not hide what is usual in the others.
    missed = sorted(weeks)[1 if len(weeks) == WEEKS else 0]
    silence = Silence(now_h - last_h, missed)
    return silence if missed >= MISSED_H or silence.hours > _longest(active_hours) else None


def _active(active_hours: Sequence[int], first_h: int, last_h: int) -> int:
    return bisect_right(active_hours, last_h) - bisect_left(active_hours, first_h)


def _longest(active_hours: Sequence[int]) -> float:
    if len(active_hours) < LEAST_HOURS:
        return float("inf")
    return max(LEAST_LONG_H, TIMES * max(after - before for before, after in pairwise(active_hours)))


DEAD = queries.NOTICE
PAUSED, CIRCUIT = NOTICES
BEHIND = "events.behind"
HELD = "events.held"
SILENT = "account.silent"
CODES = (DEAD, PAUSED, CIRCUIT, BEHIND, HELD, SILENT)

BRIDGE = "bridge"
"""What a notice is about that concerns the bridge as a whole."""
BEHIND_MS = 5 * 60_000
"""How long an event may wait, for nothing but a worker, until that is worth a notice."""
HELD_MS = 10 * 60_000
"""How long an event may wait for Asaas."""
MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the journal shows at one moment."""

    now_ms: int
    dead: Mapping[str, Mapping[str, int]]
    """By destination and reason code."""
    destinations: Iterable[Destination]
    waiting_since_ms: int | None
    silences: Mapping[str, Silence | None]
    """By account; None where it is not unusually long."""
    held: Mapping[str, str]
    """By account the code for which most events have waited for Asaas for HELD_MS."""


def find_problems(look: Snapshot) -> Iterator[Notice]:
    """Give a notice for each thing that is wrong now."""
    for name, reasons in look.dead.items():
        said = ", ".join(f"{code} ×{number}" for code, number in list(reasons.items())[:MOST_REASONS])
        more = f" and {len(reasons) - MOST_REASONS} other reasons" if len(reasons) > MOST_REASONS else ""
        detail = f"deliveries that need a person: {sum(reasons.values())} ({said}{more})"
        mend = f"see: bridge deliveries list --state dead --destination {name}; then retry, replay or discard them"
        yield Notice(DEAD, name, NoticeLevel.WARNING, detail, mend)
    for one in look.destinations:
        if one.paused_ms is not None:
            mend = f"mend its URL, or run: bridge destinations resume {one.name}"
            yield Notice(PAUSED, one.name, NoticeLevel.ERROR, f"paused: {one.paused_reason}", mend)
        elif one.state != "closed" and one.opens > 1:
            # The first probe failed too: what one probe mends needs nobody.
            detail = "fails for several customers; deliveries wait while it is probed"
            yield Notice(CIRCUIT, one.name, NoticeLevel.WARNING, detail, "look at the destination's own status")
    if look.waiting_since_ms is not None and look.now_ms - look.waiting_since_ms >= BEHIND_MS:
        mend = "is a worker running, and does it reach Redis? see: bridge doctor"
        yield Notice(BEHIND, BRIDGE, NoticeLevel.ERROR, "events wait, and no worker takes them", mend)
    for account, code in look.held.items():
        known = explain(code)
        detail = f"events wait for Asaas ({code})" + (f": {known.means}" if known else "")
        mend = (known and known.todo) or "nothing is lost, they go on by themselves; is Asaas up? see: bridge doctor"
        yield Notice(HELD, account, NoticeLevel.WARNING, detail, mend)
    for account, silence in look.silences.items():
        if silence is not None:
            yield Notice(SILENT, account, NoticeLevel.WARNING, silence.text(), "see: bridge doctor")


def notice_changes(wrong_now: Iterable[Notice], open_notices: Iterable[StoredNotice]) -> list[Notice | Resolved]:
    """Return what must be written so that the open notices say what is wrong now."""
    said = {(notice.code, notice.about): notice for notice in wrong_now}
    there = {(notice.code, notice.about): notice for notice in open_notices if notice.code in CODES}
    news: list[Notice | Resolved] = [
        notice for key, notice in said.items() if key not in there or there[key].detail != notice.detail
    ]
    return [*news, *(Resolved(*key) for key in there.keys() - said.keys())]
