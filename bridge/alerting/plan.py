"""What to tell, and when again: pure.

A problem is a code about something, such as dead deliveries of one destination. It is told at once, then again in
growing distance for as long as it lasts, and once more when it has been over for a while; what comes and goes within
that while is one problem. All that is to be told at one time is one message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.journal.alerts import Alert
from bridge.journal.notices import KeptNotice
from bridge.model import NoticeLevel

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


def plan(open_notices: Iterable[KeptNotice], known: Mapping[tuple[str, str], Alert], now_ms: int) -> Plan:
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


def _of(notice: KeptNotice, before: Alert | None, now_ms: int) -> Alert:
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
