"""What the journal itself shows to be wrong, as notices: dead deliveries, destinations that take nothing, events that
nobody works on, accounts that have gone silent. Pure.

Each look says all that is wrong now; what is open and not said any more is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bridge.alerting.silence import Silence
from bridge.journal import dead
from bridge.journal.destinations import NOTICES, Destination
from bridge.journal.notices import KeptNotice, Mended, Notice
from bridge.model import NoticeLevel

DEAD = dead.NOTICE
PAUSED, CIRCUIT = NOTICES
BEHIND = "events.behind"
SILENT = "account.silent"
CODES = (DEAD, PAUSED, CIRCUIT, BEHIND, SILENT)

BRIDGE = "bridge"
"""What a notice is about that concerns the bridge as a whole."""
BEHIND_MS = 5 * 60_000
"""How long an event may wait, for nothing but a worker, until that is worth a notice."""
MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What the journal shows at one moment."""

    now_ms: int
    dead: Mapping[str, Mapping[str, int]]
    """By destination and reason code."""
    destinations: Iterable[Destination]
    waiting_since_ms: int | None
    silences: Mapping[str, Silence | None]
    """By account; None where it is not unusually long."""


def wrong(look: Look) -> Iterator[Notice]:
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
    for account, silence in look.silences.items():
        if silence is not None:
            yield Notice(SILENT, account, NoticeLevel.WARNING, silence.words(), "see: bridge doctor")


def changes(wrong_now: Iterable[Notice], open_notices: Iterable[KeptNotice]) -> list[Notice | Mended]:
    """Return what must be written so that the open notices say what is wrong now."""
    said = {(notice.code, notice.about): notice for notice in wrong_now}
    there = {(notice.code, notice.about): notice for notice in open_notices if notice.code in CODES}
    news: list[Notice | Mended] = [
        notice for key, notice in said.items() if key not in there or there[key].detail != notice.detail
    ]
    return [*news, *(Mended(*key) for key in there.keys() - said.keys())]
