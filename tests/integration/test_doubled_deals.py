"""The daily look for deals of a simulated Clint that carry one key: notices are raised, and close by themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.errors import ClintApiFailed, ClintFault
from bridge.journal import deals, jobs, notices
from bridge.journal.deals import Claim
from bridge.journal.notices import StoredNotice
from bridge.messages import read_message
from bridge.operations.clint import MOST_DOUBLED, note_doubled
from bridge.pipeline.deals import DOUBLED
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.simulator.clint.account import DEFAULT_TOKEN, KEY_FIELD
from bridge.simulator.serve import Served
from bridge.worker.tasks import DOUBLED_FIRST_MS, DOUBLED_RUN, look_for_doubled, tasks
from tests.databases import on_both
from tests.factories import NOW_MS, opened_journal
from tests.simulated import ClintSimulator

MAPPING = f"""
events: [PAYMENT_CREATED]
send_to: vendas
funnel: {{stage: {{text: Nova cobrança}}, status: {{text: open}}, key_field: {KEY_FIELD}}}
contact: {{nome: customer.name, email: customer.email}}
tests: []
"""


class World:
    """A bridge with an API destination, and the Clint that it writes to."""

    def __init__(self, directory: Path, database_url: str, clint: ClintSimulator, url: str) -> None:
        self.clint = clint
        self._directory = directory
        self._environ = {
            "DATABASE_URL": database_url,
            "BRIDGE_DATA_DIR": str(directory),
            "BRIDGE_MAPPINGS_DIR": str(directory),
            "CLINT_API_URL": url,
            "CLINT_API_TOKEN": DEFAULT_TOKEN,
            "CLINT_API_RATE_LIMIT": "9999/second",
            "CLINT_ORIGIN_VENDAS": "Vendas",
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
        }
        (directory / "cobranca.yaml").write_text(MAPPING, encoding="utf-8")
        self.runtime = self.started()

    def started(self, **environ: str) -> Runtime:
        """Return the parts of a worker that has just started; an empty text takes a variable away."""
        told = {name: text for name, text in {**self._environ, **environ}.items() if text}
        runtime = Runtime(Settings.from_env(told))
        runtime.register()
        return runtime

    def has_deal(self, key: str = "pay_1", **values: Any) -> str:
        """Add a deal that carries a key; return its id."""
        crm = self.clint.crm
        with crm.lock:
            contact = crm.find_contact("ana@example.com", None) or crm.keep_contact("ana@example.com", None, "Ana", {})
            funnel = crm.origin("Vendas")
            deal = crm.add_deal(funnel["id"], contact, funnel["stages"][0]["id"], fields={KEY_FIELD: key})
            crm.change_deal(deal, "api", **values)
        return str(deal["id"])

    def writes_to(self, key: str, deal_id: str | None) -> None:
        """Let the journal know a key, and the deal of it."""
        origin = self.clint.crm.origin("Vendas")["id"]
        with self.runtime.journal.database.write() as connection:
            claim = Claim(1, 1, 1, NOW_MS + 30_000)
            row = deals.claim_deal(connection, origin, key, ("default", "cus_1"), claim, NOW_MS)
            assert row is not None
            deals.save(connection, row, replace(row, deal_id=deal_id), claim, NOW_MS)

    def is_doubled(self, key: str = "pay_1", **values: Any) -> tuple[str, str]:
        """Add two deals of a known key, the bridge writes to the second; return their ids."""
        first, second = self.has_deal(key, **values), self.has_deal(key)
        self.writes_to(key, second)
        return first, second

    def removes(self, deal_id: str) -> None:
        """Remove a deal, as a person does in Clint."""
        with self.clint.crm.lock:
            self.clint.crm.remove_deal(self.clint.crm.deals[deal_id], "person")

    def notices(self) -> list[StoredNotice]:
        """Return the open notices about doubled deals."""
        with self.runtime.journal.database.read() as connection:
            return notices.open_notices(connection, [DOUBLED])

    def due(self) -> None:
        """Let the time of the next look come."""
        with self.runtime.journal.database.write() as connection:
            jobs.reschedule(connection, DOUBLED_RUN, 1)

    def look(self) -> list[Any]:
        """Run the task when it is due; return what it logged."""
        look_for_doubled(self.runtime, threading.Event())
        self.due()
        with capture_logs() as logs:
            look_for_doubled(self.runtime, threading.Event())
        return logs


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    """Give a bridge with one destination, on SQLite unless a test says otherwise."""
    clint = ClintSimulator()
    with opened_journal(database_url), Served(clint.app) as served:
        world = World(tmp_path, database_url, clint, served.url)
        with closing(world.runtime):
            yield world


@on_both
def test_two_deals_with_a_key_of_the_journal_are_a_notice(world: World) -> None:
    """It names the deal that the bridge writes to, also where that is the younger one. Raised again, it is the same."""
    first, second = world.is_doubled(status="LOST")
    for times in (1, 2):
        note_doubled(world.runtime)

        (notice,) = world.notices()
        facts = read_message(notice.detail).facts
        assert (notice.about, notice.times) == (f"vendas/{second}", times)
        assert (facts["deals"], facts["kept"]) == (f"{second}, {first}", second)
        assert "pay_1" not in notice.detail  # a mapping may make a key of personal data


@on_both
def test_a_notice_closes_when_one_deal_is_left(world: World) -> None:
    """A person removed one, or took the key out of it; the others stay open."""
    removed, _ = world.is_doubled("pay_1")
    emptied, _ = world.is_doubled("pay_2")
    _, kept = world.is_doubled("pay_3")
    note_doubled(world.runtime)
    assert len(world.notices()) == 3

    world.removes(removed)
    with world.clint.crm.lock:
        world.clint.crm.change_deal(world.clint.crm.deals[emptied], "person", fields={KEY_FIELD: ""})
    with capture_logs() as logs:
        note_doubled(world.runtime)
    assert [one.about for one in world.notices()] == [f"vendas/{kept}"]
    assert [one["event"] for one in logs].count("doubled.gone") == 2


def test_keys_that_the_journal_does_not_know_are_left_alone(world: World) -> None:
    """Deals that people or other programs made; nor is one key in two origins doubled."""
    for key in ("pay_1", "pay_1", "pay_2"):
        world.has_deal(key)
    world.writes_to("pay_2", None)
    note_doubled(world.runtime)

    assert world.notices() == []


def test_a_key_without_a_deal_in_the_journal_names_the_oldest(world: World) -> None:
    """The create is not noted yet, and the next delivery goes on with that one."""
    first, _second = world.has_deal(), world.has_deal()
    world.writes_to("pay_1", None)
    note_doubled(world.runtime)

    assert [one.about for one in world.notices()] == [f"vendas/{first}"]


def test_a_deal_that_only_a_list_shows_is_none(world: World) -> None:
    """Lists may be late: what counts is the deal by its id."""
    first, _ = world.is_doubled()
    note_doubled(world.runtime)
    world.clint.knobs.turn(late_s=60.0)
    with world.clint.crm.lock:
        world.clint.crm.change_deal(world.clint.crm.deals[first], "person", fields={KEY_FIELD: "pay_9"})
    assert world.clint.crm.as_listed(world.clint.crm.deals[first]) is not world.clint.crm.deals[first]
    note_doubled(world.runtime)

    assert world.notices() == []


def test_a_notice_about_an_old_deal_is_looked_at_by_its_ids(world: World) -> None:
    """No list of new deals shows it any more, which is no reason to close the notice."""
    first, second = world.is_doubled()
    note_doubled(world.runtime)
    with world.clint.crm.lock:
        for deal_id in (first, second):
            world.clint.crm.deals[deal_id]["created_at"] = "2020-01-01T00:00:00+00:00"
    note_doubled(world.runtime)
    assert len(world.notices()) == 1

    world.removes(second)
    note_doubled(world.runtime)
    assert world.notices() == []


def test_a_third_deal_joins_the_notice(world: World) -> None:
    """One key is one notice, whichever list found it."""
    _, second = world.is_doubled()
    note_doubled(world.runtime)
    third = world.has_deal()
    note_doubled(world.runtime)

    (notice,) = world.notices()
    assert notice.about == f"vendas/{second}"
    assert third in notice.detail


def test_many_doubled_keys_are_bounded(world: World) -> None:
    """An import by hand may double thousands; each costs requests."""
    for number in range(MOST_DOUBLED + 1):
        world.is_doubled(f"pay_{number}")
    note_doubled(world.runtime)

    assert len(world.notices()) == MOST_DOUBLED


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_clint_that_refuses_changes_nothing_and_is_logged_once(world: World, status: int) -> None:
    """No notice is raised and none closed, and the task goes on a day later."""
    first, _ = world.is_doubled()
    note_doubled(world.runtime)
    world.removes(first)
    world.clint.api_answers(status)
    logs = world.look()

    assert [(one["event"], one["status"]) for one in logs] == [("doubled.away", status)]
    assert len(world.notices()) == 1
    world.clint.faults.comes_back()
    with capture_logs() as logs:
        look_for_doubled(world.runtime, threading.Event())
    assert logs == []  # it is not due


def test_a_status_that_clint_does_not_list_hides_no_other(world: World) -> None:
    """As people report of won deals."""
    world.is_doubled()
    world.clint.lists_fail("WON")
    logs = world.look()

    assert len(world.notices()) == 1
    assert [one["statuses"] for one in logs if one["event"] == "doubled.not_listed"] == [["WON"]]


def test_a_failure_in_the_middle_of_a_look_changes_nothing(world: World) -> None:
    """What was not looked at to the end is neither raised nor closed."""
    first, _ = world.is_doubled("pay_1")
    note_doubled(world.runtime)
    world.removes(first)
    _, last = world.is_doubled("pay_2")
    world.clint.faults.answers(503, path=f"/v1/deals/{last}", method="GET")
    with pytest.raises(ClintApiFailed) as caught:
        note_doubled(world.runtime)

    assert caught.value.kind is ClintFault.FAILED
    assert len(world.notices()) == 1


def test_the_first_look_comes_an_hour_after_the_first_start_and_then_daily(world: World) -> None:
    """A worker that starts asks Clint for nothing, however often it is started."""
    world.is_doubled()
    before_ms = world.runtime.clock_ms()
    for _ in range(2):
        look_for_doubled(world.runtime, threading.Event())
    with world.runtime.journal.database.read() as connection:
        next_ms = int(jobs._value(connection, f"next_ms:{DOUBLED_RUN}", ""))
    assert next_ms >= before_ms + DOUBLED_FIRST_MS
    assert world.notices() == []

    world.due()
    look_for_doubled(world.runtime, threading.Event())
    look_for_doubled(world.runtime, threading.Event())
    assert [one.times for one in world.notices()] == [1]


def test_a_look_pauses_before_each_request_and_stops_with_its_process(world: World) -> None:
    """Deliveries have the rest of the rate; a look that is broken off comes again in ten minutes."""
    world.is_doubled()
    pauses: list[int] = []
    note_doubled(world.runtime, lambda: pauses.append(1))
    assert len(pauses) == 6  # the origins, a list of each status, and each deal

    stopping = threading.Event()
    look_for_doubled(world.runtime, stopping)
    world.due()
    stopping.set()
    look_for_doubled(world.runtime, stopping)
    assert [one.times for one in world.notices()] == [1]
    with world.runtime.journal.database.read() as connection:
        next_ms = int(jobs._value(connection, f"next_ms:{DOUBLED_RUN}", ""))
    assert 0 < next_ms - world.runtime.clock_ms() <= 10 * 60_000


def test_without_a_token_there_is_no_look(world: World) -> None:
    """A token may come later, so the task is there; without a token or an API destination it asks for nothing."""
    webhook = {"CLINT_ORIGIN_VENDAS": "", "CLINT_WEBHOOK_URL_VENDAS": "https://clint.example/a"}
    with closing(world.started(CLINT_API_TOKEN="", **webhook)) as runtime:
        assert "look_for_doubled" in [task.name for task in tasks(runtime)]
        look_for_doubled(runtime, threading.Event())
        note_doubled(runtime)
    pauses: list[int] = []
    with closing(world.started(**webhook)) as runtime:
        note_doubled(runtime, lambda: pauses.append(1))
    assert pauses == []
