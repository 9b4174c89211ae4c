"""The audit trail of the console, narrowed by person, kind of action and period."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.journal import audit
from bridge.journal.audit import Actor
from bridge.web.console.events import day_ms
from bridge.web.console.trail import KINDS, SENTENCES, TRAIL_PAGE
from tests.console import Browser, Console, opened_console

DAYS = ("2026-10-01", "2026-10-02", "2026-10-03")
ENTRIES = [
    ("operator Ana", "mapping.saved", "paga", DAYS[0]),
    ("operator Bruno", "destination.paused", "default", DAYS[0]),
    ("operator Ana", "destination.resumed", "default", DAYS[1]),
    ("command root", "account.added", "filial", DAYS[2]),
]


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with four old changes."""
    with opened_console(sqlite_url, tmp_path) as opened:
        with opened.journal.database.write() as connection:
            for actor, action, about, day in ENTRIES:
                at_ms = (day_ms(day) or 0) + 3_600_000
                audit.note(connection, Actor(actor, "192.0.2.1"), action, about, at_ms)
        yield opened


def shown(browser: Browser, query: str) -> list[str]:
    """Return the actions of the old changes that the page shows."""
    page = browser.get(f"/who?{query}").text
    words = {"Saved the mapping": 0, "Paused the destination": 1, "default takes": 2, "Resumed the destination": 2}
    words["Added the Asaas account"] = 3
    return sorted({ENTRIES[n][1] for text, n in words.items() if text in page})


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [0, 1, 2, 3]),
        ("actor=operator+Ana", [0, 2]),
        ("actor=command+root", [3]),
        ("kind=connections", [1, 2, 3]),
        ("kind=mappings", [0]),
        ("actor=operator+Ana&kind=connections", [2]),
        (f"since={DAYS[1]}", [2, 3]),
        (f"until={DAYS[0]}", [0, 1]),
        (f"since={DAYS[1]}&until={DAYS[1]}&kind=connections", [2]),
        ("actor=nobody", []),
    ],
)
def test_the_trail_is_narrowed(console: Console, query: str, numbers: list[int]) -> None:
    """By each part of the filter and by all together; the page's own form holds what was asked for."""
    assert shown(console.operator(), query) == sorted({ENTRIES[n][1] for n in numbers})


def test_a_day_that_is_none_is_said_at_its_field_and_left_out(console: Console) -> None:
    """As in the list of events."""
    browser = console.operator()
    page = browser.get("/who?since=soon&kind=mappings")

    assert page.status_code == 200
    assert 'id="since-fault"' in page.text
    assert shown(browser, "since=soon&kind=mappings") == ["mapping.saved"]


def test_the_next_page_keeps_the_filter(console: Console) -> None:
    """And a kind that no version knows narrows nothing."""
    with console.journal.database.write() as connection:
        for _ in range(TRAIL_PAGE + 1):
            audit.note(connection, Actor("operator Caio", ""), "mapping.saved", "paga", console.clock())
    browser = console.operator()

    assert "actor=operator+Caio&amp;before=" in browser.get("/who?actor=operator+Caio").text
    assert browser.get("/who?kind=nonsense&before=x").status_code == 200


def test_every_action_belongs_to_one_kind() -> None:
    """An action without a kind would be missing from every narrowed list."""
    assert sorted(action for kind in KINDS.values() for action in kind.actions) == sorted(SENTENCES)
