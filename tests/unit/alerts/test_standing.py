"""What the journal shows to be wrong, and which notices follow from one look to the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.alerts.plan import BEHIND_MS, find_problems, notice_changes
from bridge.journal.destinations import Destination
from bridge.journal.notices import Notice, Resolved, StoredNotice
from bridge.messages import Message
from bridge.model import NoticeLevel
from bridge.reasons import REASONS
from tests.factories import NOW_MS

FINE: dict[str, Any] = {
    "dead": {},
    "destinations": [Destination("default")],
    "waiting_since_ms": None,
    "silences": {"default": None},
    "held": {},
}


def found(**changed: Any) -> list[Notice]:
    """Return the notices of a journal that is fine but for what changed."""
    return list(find_problems(NOW_MS, **{**FINE, **changed}))


def said(**changed: Any) -> list[tuple[str, str, str]]:
    """Return code, subject and detail of each notice."""
    return [(notice.code, notice.about, str(notice.detail)) for notice in found(**changed)]


def test_where_all_is_well_nothing_is_said() -> None:
    """Also while an event waits for a moment, and while a circuit's first probe is out."""
    probing = Destination("default", state="half_open", opens=1)

    assert said() == []
    assert said(destinations=[probing], waiting_since_ms=NOW_MS - BEHIND_MS + 1) == []


def test_dead_deliveries_are_one_notice_for_a_destination() -> None:
    """With how many, and the most frequent reasons."""
    dead = {"default": {"clint.http_422": 900, "mapping.x": 90, "a": 9, "b": 1}, "vip": {"c": 1}}

    assert said(dead=dead) == [
        (
            "delivery.dead",
            "default",
            "deliveries that need a person: 1000 (the destination does not accept these values ×900; mapping.x ×90; "
            "a ×9 and 1 other reasons)",
        ),
        ("delivery.dead", "vip", "deliveries that need a person: 1 (c ×1)"),
    ]


def test_a_destination_that_takes_nothing() -> None:
    """Paused is an error that only a person ends; a circuit that stays open is a warning."""
    paused = Destination("a", state="open", opens=9, paused_ms=1, paused_reason="it was removed")
    opened = Destination("b", state="open", opens=2)
    notices = found(destinations=[paused, opened])

    assert [(one.code, one.about, one.level) for one in notices] == [
        ("destination.paused", "a", NoticeLevel.ERROR),
        ("destination.circuit_open", "b", NoticeLevel.WARNING),
    ]
    assert "it was removed" in str(notices[0].detail)


@pytest.mark.parametrize("code", ["clint.token", "clint.plan", "clint.origin_gone", "clint.key_not_kept", "clint.url"])
def test_a_pause_asks_for_what_its_code_needs(code: str) -> None:
    """A refused token is not mended by another URL; the words are those of docs/errors.md."""
    why = Message("Clint said {status}", {"status": 401, "code": code})
    (told,) = found(destinations=[Destination("a", paused_ms=1, paused_reason=why.to_json())])

    assert told.mend.id == REASONS[code].todo


def test_events_that_no_worker_takes() -> None:
    """After five minutes."""
    assert said(waiting_since_ms=NOW_MS - BEHIND_MS) == [
        ("events.behind", "bridge", "events wait, and no worker processes them")
    ]


def test_a_silent_account() -> None:
    """Each account for itself; its words stay for some hours, or the notice would change every hour."""
    for hours in range(8, 12):
        assert said(silences={"a": hours, "b": None}) == [
            ("account.silent", "a", "no event for more than 8 hours, which was never so in the weeks before")
        ]


def test_only_what_changed_is_written() -> None:
    """News, other words, and what is over; not what is said already, and not other codes' notices."""
    (dead,) = found(dead={"default": {"c": 1}})
    kept = StoredNotice(
        1, dead.code, dead.about, dead.level.value, dead.detail.to_json(), dead.mend.to_json(), NOW_MS, NOW_MS, 1, None
    )
    behind = replace(kept, code="events.behind", about="bridge")
    others = replace(kept, code="webhook.interrupted")

    assert notice_changes([dead], []) == [dead]
    assert notice_changes([dead], [kept, others]) == []
    assert notice_changes([dead], [replace(kept, detail="other words")]) == [dead]
    assert notice_changes([], [kept, behind, others]) in (
        [Resolved(dead.code, "default"), Resolved("events.behind", "bridge")],
        [Resolved("events.behind", "bridge"), Resolved(dead.code, "default")],
    )
