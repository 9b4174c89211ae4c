"""Decides which problems there are, and when to send an alert about each; pure.

A problem is a code about a thing, such as dead deliveries of one destination. Its alert goes to each receiver at once,
again at growing intervals while it lasts or when it has grown tenfold, and once more when it has been over for a while;
a problem that comes and goes within that while is one. All alerts of one time are one message.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from urllib.parse import quote

from bridge.journal import queries
from bridge.journal.causes import GROWS_TENFOLD, anchor
from bridge.journal.destinations import NOTICES, Destination
from bridge.journal.notices import Alert, Key, Notice, Resolved, StoredNotice
from bridge.journal.receivers import Receiver
from bridge.messages import N_, Message, read_message
from bridge.model import NoticeLevel
from bridge.reasons import find_reason, pause_code

HOUR_MS = 3_600_000
AGAIN_MS = (HOUR_MS, 4 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS)
"""The time after each alert of a problem until the next; the last one repeats."""
OVER_MS = 5 * 60_000
"""How long a problem must be over before an alert says so."""
GAP_MS = 60_000
"""The shortest time between two messages."""
SENDING_MS = 3 * 60_000
"""How long a message that is being sent is left alone by other processes; longer than sending may take."""
FAILED_MS = (60_000, 2 * 60_000, 10 * 60_000, HOUR_MS)
"""The time until the next try after each failure in a row."""


class Kind(StrEnum):
    NEW = "new"
    GREW = "grew"
    AGAIN = "again"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Item:
    kind: Kind
    alert: Alert


@dataclass(frozen=True, slots=True)
class Plan:
    """The problems of the next message, and the alerts to write or remove in any case."""

    items: tuple[Item, ...]
    keep: tuple[Alert, ...]
    drop: tuple[Alert, ...]


def plan(
    open_notices: Iterable[StoredNotice],
    known: Mapping[Key, Alert],
    now_ms: int,
    receiver: int = 0,
    left_out: Collection[Key] = (),
) -> Plan:
    """Return what to send a receiver now, given the open notices that it wants and its alerts of before.

    `left_out` are open notices that it does not want any more: no alert says that they are over.
    """
    problems = {(notice.code, notice.about): notice for notice in open_notices}
    items: list[Item] = []
    keep = []
    for key, notice in problems.items():
        alert = _alert(notice, known.get(key), now_ms, receiver)
        grew = has_grown(alert)
        if grew and alert.due_ms > now_ms:
            alert = replace(alert, due_ms=now_ms)
        if alert.due_ms <= now_ms:
            items.append(Item(Kind.GREW if grew else Kind.AGAIN if alert.times else Kind.NEW, alert))
        keep.append(alert)
    over = [alert for key, alert in known.items() if key not in problems]
    ended = [alert for alert in over if alert.times and (alert.code, alert.about) not in left_out]
    for alert in ended:
        if alert.over_ms is None:
            alert = replace(alert, over_ms=now_ms, due_ms=now_ms + OVER_MS)
        if alert.due_ms <= now_ms:
            items.append(Item(Kind.OVER, alert))
        keep.append(alert)
    if any(alert.told_ms is not None and 0 <= now_ms - alert.told_ms < GAP_MS for alert in known.values()):
        items = []
    items.sort(key=lambda item: (list(Kind).index(item.kind), item.alert.level, item.alert.code, item.alert.about))
    drop = tuple(alert for alert in over if alert not in ended)
    changed = tuple(alert for alert in keep if alert != known.get((alert.code, alert.about)))
    return Plan(tuple(items), changed, drop)


def _alert(notice: StoredNotice, before: Alert | None, now_ms: int, receiver: int) -> Alert:
    if before is None:
        facts = (notice.code, notice.about, notice.level, notice.detail, notice.mend, notice.raised_ms)
        return Alert(*facts, due_ms=now_ms, receiver=receiver)
    alert = replace(before, level=notice.level, detail=notice.detail, mend=notice.mend)
    if alert.over_ms is not None:
        # Raised again before the alert of its end: an alert now would be one for each time it flaps.
        alert = replace(alert, over_ms=None, due_ms=now_ms + _again_ms(alert.times))
    if NoticeLevel.ERROR == notice.level != before.level and before.times:
        alert = replace(alert, times=0, due_ms=now_ms)  # a warning that became an error is new
    return alert


def size(detail: str) -> int:
    """Return how many things a notice speaks of, 0 where it counts none."""
    facts = read_message(detail).facts
    numbers = [facts.get(name) for name in ("number", "missing", "older")]
    return sum(number for number in numbers if isinstance(number, int))


def has_grown(alert: Alert) -> bool:
    """Return whether the problem is ten times as large as the last alert said; false while none can be sent."""
    if not alert.times or not alert.told_size or alert.failures:
        return False
    return size(alert.detail) >= GROWS_TENFOLD * alert.told_size


def sending(items: Sequence[Item], now_ms: int) -> list[Alert]:
    """Return the alerts to write while these are being sent, so that no other process sends them too."""
    return [replace(item.alert, due_ms=now_ms + SENDING_MS, told_size=size(item.alert.detail)) for item in items]


def sent(items: Sequence[Item], now_ms: int) -> tuple[list[Alert], list[Alert]]:
    """Return the alerts to write after these were sent, and those to remove because the problem is over."""
    keep = []
    for alert in (item.alert for item in items if item.kind is not Kind.OVER):
        times = alert.times + 1
        again = replace(alert, times=times, told_ms=now_ms, due_ms=now_ms + _again_ms(times), failures=0)
        keep.append(replace(again, told_size=size(alert.detail)))
    return keep, [item.alert for item in items if item.kind is Kind.OVER]


def failed(items: Sequence[Item], now_ms: int) -> list[Alert]:
    """Return the alerts to write after these could not be sent."""
    alerts = []
    for alert in (item.alert for item in items):
        due_ms = now_ms + FAILED_MS[min(alert.failures, len(FAILED_MS) - 1)]
        alerts.append(replace(alert, failures=alert.failures + 1, due_ms=due_ms, told_size=size(alert.detail)))
    return alerts


def _again_ms(times: int) -> int:
    return AGAIN_MS[min(max(times, 1), len(AGAIN_MS)) - 1]


# ---------------------------------------------------------------- who wants what


class Area(StrEnum):
    """The kinds of problems that a receiver chooses from."""

    DELIVERIES = "deliveries"
    ASAAS = "asaas"
    CLINT = "clint"
    MAPPINGS = "mappings"
    BRIDGE = "bridge"


_AREAS = {
    "delivery": Area.DELIVERIES,
    "webhook": Area.ASAAS,
    "account": Area.ASAAS,
    "reconcile": Area.ASAAS,
    "events.held": Area.ASAAS,
    "destination": Area.CLINT,
    "clint": Area.CLINT,
    "mapping": Area.MAPPINGS,
}
_PATHS = {
    "delivery": "/attention",
    "webhook": "/connections/{account}/webhook",
    "account": "/connections",
    "account.unheard": "/attention",
    "reconcile": "/reconcile",
    "events.held": "/attention",
    "events.behind": "/events?state=waiting",
    "destination": "/attention",
    "mapping": "/attention",
    "alerts": "/alerts",
    "task": "/connections",
}
"""By a code, or the part of it before the dot."""


def area_of(code: str) -> Area:
    """Return the kind of a notice."""
    return _AREAS.get(code) or _AREAS.get(code.partition(".")[0], Area.BRIDGE)


def path_of(code: str, about: str) -> str:
    """Return the console's page about a notice, or the card of its cause."""
    path = _PATHS.get(code) or _PATHS.get(code.partition(".")[0], "/attention")
    return f"{path}#{anchor(code, about)}" if path == "/attention" else path.format(account=quote(about, safe=""))


def accounts_of(notice: StoredNotice, senders: Mapping[str, Collection[str]]) -> Collection[str] | None:
    """Return the accounts that a notice concerns, None for all; `senders` has them by destination."""
    area = area_of(notice.code)
    if area is Area.ASAAS:
        return {notice.about.partition("/")[0]}
    if area in {Area.CLINT, Area.DELIVERIES}:
        return senders.get(notice.about.partition("/")[0])
    return None


def wants(
    receiver: Receiver, notice: StoredNotice, accounts: Collection[str] | None, *, was_told: bool = False
) -> bool:
    """Return whether a notice about these accounts is for the receiver; what it was told of, it is told to the end."""
    if notice.code == FAILING and notice.about == receiver.name:
        return False
    if receiver.areas and area_of(notice.code) not in receiver.areas:
        return False
    if receiver.accounts and accounts is not None and set(accounts).isdisjoint(receiver.accounts):
        return False
    return was_told or receiver.level != NoticeLevel.ERROR or notice.level == NoticeLevel.ERROR


# ---------------------------------------------------------------- unusual silence

WEEK_H = 7 * 24
WEEKS = 4
KEPT_H = (2 * WEEKS + 1) * WEEK_H
"""The hours that `unusual` needs: a silence of four weeks, and the four weeks before it."""
MISSED_H = 4
"""A silence is unusual where every other week but one had events in at least this many of its hours."""
MIN_WEEKS = 2
"""An account that is known for less has no habits yet."""
MIN_HOURS = 8
"""An account with fewer active hours has no longest silence yet."""
LONGEST_TIMES, LONGEST_MIN_H = 2, 24
"""A silence is also unusual at twice the longest one of before, and at least this long."""


def unusual(active_hours: Sequence[int], now_ms: int) -> int | None:
    """Return the hours of the silence where it is unusually long, given the hours in which events came in, ascending.

    An hour is the number of whole hours since the epoch; those of the last KEPT_H hours are enough.
    """
    now_h = now_ms // HOUR_MS
    if not active_hours or active_hours[-1] >= now_h:
        return None
    first_h, last_h = active_hours[0], active_hours[-1]
    weeks = []
    for start_h in range(last_h + 1 - WEEK_H, last_h + 1 - (WEEKS + 1) * WEEK_H, -WEEK_H):
        if first_h <= start_h:
            end_h = start_h + now_h - last_h - 1
            weeks.append(bisect_right(active_hours, end_h) - bisect_left(active_hours, start_h))
    if len(weeks) < MIN_WEEKS:
        return None
    # One odd week, such as one with a holiday, must not hide what is usual in the others.
    missed = sorted(weeks)[1 if len(weeks) == WEEKS else 0]
    silence_h = now_h - last_h
    if missed >= MISSED_H:
        return silence_h
    if len(active_hours) < MIN_HOURS:
        return None
    longest_h = max(after - before for before, after in pairwise(active_hours))
    return silence_h if silence_h > max(LONGEST_MIN_H, LONGEST_TIMES * longest_h) else None


# ---------------------------------------------------------------- what is wrong

DEAD = queries.NOTICE
PAUSED, CIRCUIT = NOTICES
BEHIND = "events.behind"
HELD = "events.held"
SILENT = "account.silent"
UNHEARD = "account.unheard"
BROKEN = "mapping.broken"
REFUSED = "mapping.refused"
OVERLAP = "mapping.overlap"
FAILING = "alerts.failing"
CODES = (DEAD, PAUSED, CIRCUIT, BEHIND, HELD, SILENT, UNHEARD, BROKEN, REFUSED, OVERLAP, FAILING)

BRIDGE = "bridge"
"""The `about` of a notice that concerns the bridge as a whole."""
SAME_EVENTS = N_("sends events to Clint that are also sent by: {others}")
DIVIDE = N_("switch off those that are not needed (enabled: false), or divide them by a filter")
"""Also what the doctor says of OVERLAP."""

BEHIND_MS = 5 * 60_000
"""How long an event may wait for a worker without a notice."""
HELD_MS = 10 * 60_000
"""How long an event may wait for Asaas without a notice, unless it waits for a person."""
FAILING_MS = 5 * 60_000
"""How long no message may arrive at a receiver without a notice."""
MAX_REASONS = 3


def find_problems(
    now_ms: int,
    dead: Mapping[str, Mapping[str, int]],
    destinations: Iterable[Destination],
    waiting_since_ms: int | None,
    silences: Mapping[str, int | None],
    held: Mapping[str, str],
    mappings: Mapping[str, tuple[str, int]] | None = None,
    receivers: Iterable[Receiver] = (),
    unheard: Iterable[str] = (),
    overlaps: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Notice]:
    """Give a notice for each problem of the moment.

    `dead` counts deliveries by destination and reason code. `silences` has by account the hours of a silence that is
    unusually long, and `held` the code for which most of its events have waited for Asaas for HELD_MS. `mappings` has
    BROKEN or REFUSED of each mapping that can't run, with the line of its first fault. `unheard` names the accounts to
    which no mapping that is on listens. `overlaps` has the mappings that send the same events as another one.
    """
    warning, error = NoticeLevel.WARNING, NoticeLevel.ERROR
    yield from dead_notices(dead)
    for one in destinations:
        if one.paused_ms is not None:
            detail = Message(N_("paused: {reason}"), {"reason": read_message(one.paused_reason)})
            known = find_reason(pause_code(one.paused_reason))
            by_hand = N_("resume it when its deliveries may go on: bridge destinations resume {name}")
            mend = Message((known and known.todo) or by_hand, {"name": one.name})
            yield Notice(PAUSED, one.name, error, detail, mend)
        elif one.state != "closed" and one.opens > 1:
            # The first probe failed too: a circuit that the first probe closes needs nobody.
            detail = Message(N_("fails for several customers; deliveries wait while it is probed"))
            yield Notice(CIRCUIT, one.name, warning, detail, Message(N_("look at the destination's own status")))
    if waiting_since_ms is not None and now_ms - waiting_since_ms >= BEHIND_MS:
        detail = Message(N_("events wait, and no worker processes them"))
        todo = N_("is a worker running, and does it reach Redis? see: bridge doctor")
        yield Notice(BEHIND, BRIDGE, error, detail, Message(todo))
    for account, code in held.items():
        reason = find_reason(code)
        means = Message(reason.means) if reason else code
        detail = Message(N_("events wait for Asaas ({code}): {reason}"), {"code": code, "reason": means})
        todo = N_("nothing is lost, they go on by themselves; is Asaas up? see: bridge doctor")
        yield Notice(HELD, account, warning, detail, Message((reason and reason.todo) or todo))
    for account, silence in silences.items():
        if silence is not None:
            # In steps of four hours, so that the notice does not change all the time.
            text = N_("no event for more than {hours} hours, which was never so in the weeks before")
            detail = Message(text, {"hours": silence - silence % 4})
            yield Notice(SILENT, account, warning, detail, Message(N_("see: bridge doctor")))
    for account in unheard:
        detail = Message(N_("no mapping that is on listens to this account: none of its events go to Clint"))
        todo = N_("copy a mapping with the line `account: {account}`, or switch one on; see: bridge mappings list")
        yield Notice(UNHEARD, account, warning, detail, Message(todo, {"account": account}))
    for name, others in (overlaps or {}).items():
        detail = Message(SAME_EVENTS, {"others": ", ".join(others)})
        yield Notice(OVERLAP, name, warning, detail, Message(DIVIDE))
    for name, (code, line) in (mappings or {}).items():
        # The text of the line is left out: a mapping may name a person.
        file = N_("the mapping file has a fault in line {line} and is not used")
        active = N_("this version can't run the active text; events wait")
        detail = Message(file, {"line": line}) if code == BROKEN else Message(active)
        yield Notice(code, name, error, detail, Message(N_("correct the file, see: bridge mappings lint")))
    for receiver in receivers:
        if receiver.failing_ms is not None and now_ms - receiver.failing_ms >= FAILING_MS:
            detail = Message(N_("messages do not arrive: {problem}"), {"problem": Message(receiver.problem or "")})
            yield Notice(
                FAILING, receiver.name, warning, detail, Message(N_("fix its address; see: bridge alerts test"))
            )


def dead_notices(dead: Mapping[str, Mapping[str, int]]) -> Iterator[Notice]:
    """Give a notice for each destination with dead deliveries."""
    for name, reasons in dead.items():
        text = N_("deliveries that need a person: {number} ({reasons})")
        facts: dict[str, object] = {"number": sum(reasons.values())}
        facts["reasons"] = _in_words(list(reasons.items())[:MAX_REASONS])
        if len(reasons) > MAX_REASONS:
            text = N_("deliveries that need a person: {number} ({reasons} and {others} other reasons)")
            facts["others"] = len(reasons) - MAX_REASONS
        todo = N_("see: bridge deliveries list --state dead --destination {name}; then retry, replay or discard them")
        yield Notice(DEAD, name, NoticeLevel.WARNING, Message(text, facts), Message(todo, {"name": name}))


def _in_words(reasons: Sequence[tuple[str, int]]) -> Message:
    facts: dict[str, object] = {}
    for place, (code, number) in enumerate(reasons):
        known = find_reason(code)
        facts |= {f"what{place}": Message(known.means) if known else code, f"number{place}": number}
    return Message("; ".join(f"{{what{place}}} ×{{number{place}}}" for place in range(len(reasons))), facts)


def notice_changes(problems: Iterable[Notice], open_notices: Iterable[StoredNotice]) -> list[Notice | Resolved]:
    """Return what to write so that the open notices are the problems."""
    now = {(notice.code, notice.about): notice for notice in problems}
    known = {(notice.code, notice.about): notice for notice in open_notices if notice.code in CODES}
    changed = [
        notice for key, notice in now.items() if key not in known or known[key].detail != notice.detail.to_json()
    ]
    return [*changed, *(Resolved(*key) for key in known.keys() - now.keys())]
