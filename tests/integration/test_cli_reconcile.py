"""`bridge reconcile`: charges of a simulated Asaas over real HTTP, compared with a real journal."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import AsaasKeyRefused
from bridge.model import DeliveryState
from bridge.operations.reconcile import Window, reconcile
from bridge.simulator.asaas.account import DEFAULT_KEY
from tests.charges import Place, place
from tests.factories import owe


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    """Give a simulated Asaas and commands that read from it."""
    with place(tmp_path) as found:
        yield found


def test_reconcile_says_what_the_journal_does_not_know(at: Place) -> None:
    """One charge never came, one is behind, one was delivered: the status is 1 and the days are told."""
    never, behind, known = at.paid(10), at.paid(20), at.paid(30)
    with at.commands.journal() as journal:
        at.came(journal, "PAYMENT_CREATED", about=behind)
        *_, number = at.came(journal, about=known)
        owe(journal, event_id=number, object_id=known, state=DeliveryState.DELIVERED)
        owe(journal, event_id=number, object_id=known, replay=1, state=DeliveryState.FILTERED, payload=None)
    today = at.calendar.now.date().isoformat()

    said = at.commands.run("reconcile", "--since", "2d")

    assert said.status == 1
    assert said.out.splitlines()[0] == "account default: 3 charges"
    assert f"{today} {never} RECEIVED: missing" in said.out
    assert f"{today} {behind} RECEIVED: older, the journal knows PENDING (event 1)" in said.out
    assert known not in said.out
    assert f"{today}  RECEIVED  3        1        1      1" in said.out
    assert "2 charges not known as Asaas has them; see: bridge backfill --since" in said.err


def test_reconcile_is_content_with_what_is_known(at: Place) -> None:
    """Nothing is missing: status 0, whatever became of the deliveries; JSON has the totals."""
    for _ in range(2):
        at.paid()
    with at.commands.journal() as journal:
        first, *_ = [number for number in at.came(journal) if number == 2]
        owe(journal, event_id=first, state=DeliveryState.DEAD)

    said = at.commands.run("reconcile", "--since", "1d", "--json")

    assert said.status == 0
    (report,) = said.json
    assert (report["account"], report["charges"], report["behind"]) == ("default", 2, [])
    assert {name: number for name, number in report["totals"].items() if number} == {"dead": 1, "unmapped": 1}
    assert [(day["status"], day["charges"], day["dead"]) for day in report["days"]] == [("RECEIVED", 2, 1)]


def test_reconcile_looks_at_the_named_days_only(at: Place) -> None:
    """A charge of last week is not counted today, but it is by the day it was paid."""
    at.calendar.goes(-7)
    old = at.asaas.has_payment(at.asaas.has_customer())["id"]
    at.calendar.goes(7)
    at.asaas.is_paid(old)

    assert at.commands.run("reconcile", "--since", "2d").out == "account default: 0 charges\n"
    assert at.commands.run("reconcile", "--since", "10d", "--until", "8d", "--json").json[0]["charges"] == 0
    assert at.commands.run("reconcile", "--since", "2d", "--by", "paid", "--json").json[0]["charges"] == 1


def test_reconcile_writes_csv(at: Place, tmp_path: Path) -> None:
    """One row for each day and status, printed or written to a file."""
    at.paid()
    at.asaas.has_payment(at.asaas.has_customer())

    printed = at.commands.run("reconcile", "--since", "1d", "--csv")
    written = at.commands.run("reconcile", "--since", "1d", "--output", str(tmp_path / "a.csv"))
    at.commands.run("reconcile", "--since", "1d", "--json", "--output", str(tmp_path / "a.json"))

    rows = list(csv.DictReader(printed.out.splitlines()))
    assert [(row["status"], row["charges"], row["missing"]) for row in rows] == [
        ("PENDING", "1", "1"),
        ("RECEIVED", "1", "1"),
    ]
    assert (tmp_path / "a.csv").read_text() == printed.out
    assert written.out == ""
    assert len(json.loads((tmp_path / "a.json").read_text())[0]["behind"]) == 2


@pytest.mark.slow
def test_a_walk_that_was_broken_off_goes_on(at: Place) -> None:
    """After a refusal in the second page the next run asks for that page first, and still reports all."""
    customer = at.asaas.has_customer()
    for _ in range(130):
        at.asaas.has_payment(customer)
    state = at.commands.directory / "data" / "reconcile"
    today = at.calendar.now.date()
    window = Window(today - timedelta(days=1), today)
    runtime = at.runtime()

    def refused(_done: int, _total: int) -> None:
        at.asaas.limits.keys.clear()

    more: dict[str, Any] = {"directory": state, "on_progress": refused}
    with contextlib.closing(runtime), pytest.raises(AsaasKeyRefused):
        reconcile(runtime.asaas["default"], runtime.journal, window, runtime.clock_ms, **more)
    at.asaas.limits.keys.add(DEFAULT_KEY)
    said = at.commands.run("reconcile", "--since", "1d", "--json")

    assert (said.json[0]["charges"], said.json[0]["resumed_at"]) == (130, 100)
    assert list(state.iterdir()) == []


def test_an_old_or_torn_progress_does_no_harm(at: Place) -> None:
    """A file of yesterday is thrown away, a line that was not finished is left out."""
    at.paid()
    state = at.commands.directory / "data" / "reconcile"
    state.mkdir()
    today = at.calendar.now.date()
    path = state / f"default-created-{today}-{today}.jsonl"
    path.write_text('{"following": 100, "findings": []}\n{"follow')

    torn = at.commands.run("reconcile", "--since", "0d")
    path.write_text('{"following": 100, "findings": []}\n')
    os.utime(path, (time.time() - 7200, time.time() - 7200))
    old = at.commands.run("reconcile", "--since", "0d", "--json")

    assert "interrupted run: 100" in torn.err
    assert (old.json[0]["charges"], old.json[0]["resumed_at"]) == (1, 0)


def test_reconcile_shows_a_bar_on_a_terminal(at: Place) -> None:
    """Where somebody looks, many missing charges are cut short."""
    customer = at.asaas.has_customer()
    for _ in range(25):
        at.asaas.has_payment(customer)

    said = at.commands.on_terminal("reconcile", "--since", "1d")

    assert said.status == 1
    assert "and 5 more; --json lists them all" in said.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--since", "1d", "--until", "3d"), "--until must not be before --since"),
        (("--since", "1d", "--json", "--csv"), "give --json or --csv, not both"),
        (("--since", "1d", "--account", "x"), "accounts with a key: default"),
        ((), "missing option '--since'"),
    ],
)
def test_wrong_use_is_said_in_one_line(at: Place, arguments: tuple[str, ...], text: str) -> None:
    """Status 2 and what to do."""
    said = at.commands.run("reconcile", *arguments)

    assert said.status == 2
    assert text in said.err


def test_one_account_may_be_named(at: Place) -> None:
    """The hint names it too."""
    at.paid()

    assert "--account default --dry-run" in at.commands.run("reconcile", "--since", "1d", "--account", "default").err
