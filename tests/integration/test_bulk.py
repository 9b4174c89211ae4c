"""Bulk work goes on when its process is killed, changes each item once, can be stopped, and says what came of it."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bridge.errors import JournalError
from bridge.formats import Formats
from bridge.journal import Journal, audit, jobs
from bridge.journal.audit import Actor
from bridge.journal.causes import Cause, Kind
from bridge.journal.queries import DeadFilter
from bridge.journal.schema import events as event_table
from bridge.journal.schema import jobs as job_table
from bridge.model import DeliveryState
from bridge.operations import actions, bulk
from bridge.operations.bulk import BulkAction
from bridge.web.console.jobs import start
from tests.console import VIEWER, Console, finish_jobs, opened_console
from tests.databases import on_both
from tests.factories import (
    NOW_MS,
    Clock,
    envelope,
    events_of,
    incoming,
    keep,
    opened_journal,
    owe,
    payment,
    put_in_state,
    register,
    revision,
    rows_of,
    states,
)

ANA = Actor("operator Ana", "10.0.0.1")
DIES = """
import sys
from bridge import failpoints
from bridge.journal import Database, Journal
from bridge.operations import bulk

url, job, at, now_ms = sys.argv[1:]
failpoints.arm(at)
bulk.run(Journal(Database(url), 30.0), int(job), "one", lambda: int(now_ms), lambda lanes: None)
"""


def dead(journal: Journal, number: int, **more: Any) -> list[int]:
    """Make so many dead deliveries, each of a customer of its own."""
    register(journal)
    made = [owe(journal, customer=f"cus_{n}", **more) for n in range(number)]
    for id_ in made:
        put_in_state(
            journal, id_, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422", finished_ms=NOW_MS - 1
        )
    return made


def begun(journal: Journal, action: BulkAction, runner: str = "one", **told: str) -> int:
    """Begin a job about everything that is dead."""
    with journal.database.write() as connection:
        params = bulk.of_deliveries(connection, action, DeadFilter(until_ms=NOW_MS), ANA, NOW_MS, **told)
        return jobs.begin(connection, bulk.KIND, "default", params, "Ana", NOW_MS, runner)


def job_of(journal: Journal, number: int) -> jobs.Job:
    with journal.database.read() as connection:
        found = jobs.find(connection, number, NOW_MS)
    assert found is not None
    return found


def run_until_killed(url: str, job: int, at: str) -> None:
    """Run a job in a process that dies at a failpoint."""
    command = [sys.executable, "-c", DIES, url, str(job), at, str(NOW_MS)]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert ended.returncode == -9, ended.stderr


@on_both
@pytest.mark.parametrize(
    ("action", "at"),
    [
        (BulkAction.RETRY, "retry.before_commit:4"),
        (BulkAction.RETRY, "retry.after_commit:4"),
        (BulkAction.REPLAY, "replay.before_commit:4"),
        (BulkAction.REPLAY, "replay.after_commit:4"),
    ],
)
def test_a_killed_job_is_taken_over_and_no_item_is_changed_twice(
    database_url: str, action: BulkAction, at: str
) -> None:
    """Also one that was changed just before the kill, and failed again before the job went on."""
    with opened_journal(database_url) as journal:
        made = dead(journal, 7)
        job = begun(journal, action)
        run_until_killed(database_url, job, at)
        left = states(journal).count("dead")
        assert left == (4 if "before" in at else 3)

        clock = Clock(NOW_MS + bulk.SILENT_MS + 1)
        if action is BulkAction.RETRY:
            for id_ in made[: 7 - left]:  # sent, and refused again
                again: dict[str, Any] = {"reason_code": "clint.http_400", "finished_ms": NOW_MS + 5}
                put_in_state(journal, id_, DeliveryState.DEAD, due_ms=None, **again)
        woken: set[int] = set()
        assert bulk.take_over(journal, clock, woken.update, threading.Event()) == 1
        assert bulk.take_over(journal, clock, woken.update, threading.Event()) == 0

        assert woken
        assert job_of(journal, job).state == "done"
        if action is BulkAction.RETRY:
            assert states(journal) == ["dead"] * (7 - left) + ["pending"] * left
        else:
            assert [event["replay"] for event in events_of(journal)] == [1] * 7
        with journal.database.read() as connection:
            (noted,) = audit.newest(connection, 10)
            came = bulk.outcome(connection, job_of(journal, job))
        assert (noted["action"], noted["actor"], noted["detail"]["done"]) == (f"bulk.{action}", ANA.name, 7)
        assert came.left == 0
        assert came.under_way == (left if action is BulkAction.RETRY else 7)


def test_a_job_whose_process_lives_is_left_alone(sqlite_url: str) -> None:
    """A runner that writes is not lost, and one that was taken over changes nothing more."""
    with opened_journal(sqlite_url) as journal:
        dead(journal, 2)
        job = begun(journal, BulkAction.RETRY)
        nothing = threading.Event()
        assert bulk.take_over(journal, Clock(NOW_MS + 1_000), lambda _: None, nothing) == 0
        assert states(journal) == ["dead", "dead"]

        assert not bulk.run(journal, job, "another", Clock(), lambda _: None)
        assert states(journal) == ["dead", "dead"]


def test_a_process_that_stops_gives_its_job_back(sqlite_url: str) -> None:
    """The next one goes on at once."""
    with opened_journal(sqlite_url) as journal:
        dead(journal, 3)
        job, stopping = begun(journal, BulkAction.DISCARD), threading.Event()
        stopping.set()
        assert not bulk.run(journal, job, "one", Clock(), lambda _: None, stopping)
        assert bulk.take_over(journal, Clock(), lambda _: None, threading.Event()) == 1
        assert states(journal) == ["discarded"] * 3


def test_events_are_replayed_once_however_often_their_job_is_run(sqlite_url: str) -> None:
    """The number of the last replay tells what is done."""
    with opened_journal(sqlite_url) as journal:
        made = [owe(journal, customer=f"cus_{n}") for n in range(5)]
        ids = [row["event_id"] for row in rows_of(journal) if row["id"] in made]
        with journal.database.write() as connection:
            params = bulk.of_events(connection, ids, None, ANA)
            job = jobs.begin(connection, bulk.REPLAY_KIND, "", params, "Ana", NOW_MS, "one")
        run_until_killed(sqlite_url, job, "replay.after_commit:3")
        assert bulk.take_over(journal, Clock(NOW_MS + bulk.SILENT_MS + 1), lambda _: None, threading.Event()) == 1

        assert [event["replay"] for event in events_of(journal)] == [1] * 5


# ---------------------------------------------------------------- its page


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with both passwords."""
    with opened_console(sqlite_url, tmp_path) as opened:
        yield opened
        finish_jobs()


def test_a_job_can_be_stopped_and_keeps_what_is_done(console: Console) -> None:
    """The page says who stopped it and what is left; a viewer may not stop it."""
    dead(console.journal, 3)
    browser, viewer = console.operator(), console.browser()
    assert "/attention/confirm?decision=retry" in browser.get("/attention").text
    cause = Cause(Kind.DEAD, "clint.http_422", "default", answer="").key
    job = begun(console.journal, BulkAction.RETRY, cause=cause)
    viewer.sign_in(VIEWER)

    assert f'action="/work/{job}/stop"' in browser.get(f"/work/{job}").text
    assert f'action="/work/{job}/stop"' not in viewer.get(f"/work/{job}").text
    assert viewer.post(f"/work/{job}/stop").status_code == 403
    listed = browser.get("/attention").text
    assert f'href="/work/{job}">' in listed
    assert "0 of 3" in listed
    assert "/attention/confirm?decision=retry" not in listed
    with console.journal.database.read() as connection:
        second = bulk.of_deliveries(connection, BulkAction.RETRY, DeadFilter(until_ms=NOW_MS), ANA, NOW_MS)
    assert second["ids"] == []  # they are counted by the job that runs
    browser.post(f"/work/{job}/stop")
    assert "Stops in a moment" in browser.get(f"/work/{job}").text
    assert bulk.run(console.journal, job, "one", console.clock, lambda _: None)
    page = browser.get(f"/work/{job}").text
    assert "Stopped by Ana" in page
    assert "3 left as they were" in page
    assert states(console.journal) == ["dead"] * 3
    assert f'href="/work/{job}">' not in browser.get("/attention").text
    with console.journal.database.read() as connection:
        assert "job.stopped" in {one["action"] for one in audit.newest(connection, 10)}


def test_its_page_follows_what_comes_of_the_items(console: Console) -> None:
    """So many delivered, so many refused again and why, with the list of what did not go."""
    made = dead(console.journal, 5)
    job = begun(console.journal, BulkAction.RETRY)
    bulk.run(console.journal, job, "one", console.clock, lambda _: None)
    browser = console.operator()
    under_way = browser.part(f"/work/{job}").text
    for id_ in made[:3]:
        put_in_state(console.journal, id_, DeliveryState.DELIVERED, due_ms=None, finished_ms=NOW_MS + 1)
    for id_ in made[3:]:
        again: dict[str, Any] = {"reason_code": "clint.http_400", "finished_ms": NOW_MS + 1}
        put_in_state(console.journal, id_, DeliveryState.DEAD, due_ms=None, **again)
    after = browser.part(f"/work/{job}").text

    assert "5 under way" in under_way
    assert "hx-trigger" in under_way
    assert "3 delivered" in after
    assert "2 failed again" in after
    assert "can&#39;t read what was sent" in after or "can't read what was sent" in after
    assert after.count('class="row-link"') == 2
    assert "hx-trigger" not in after


def test_all_that_failed_since_a_time_is_retried(console: Console) -> None:
    """Of one destination where it is named; what failed before is left."""
    made = dead(console.journal, 3)
    put_in_state(console.journal, made[0], DeliveryState.DEAD, due_ms=None, finished_ms=NOW_MS - 7_200_000)
    put_in_state(console.journal, made[1], DeliveryState.DEAD, due_ms=None, destination="pagas")
    browser = console.operator()
    since = Formats(NOW_MS).iso(NOW_MS - 3_600_000)[:16]
    page = browser.get(f"/attention/confirm?decision=retry&since={since}&destination=default").text
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.split('action="/attention/run"')[1]))
    form.pop("csrf_token")
    browser.post("/attention/run", form)
    finish_jobs()

    assert states(console.journal) == ["dead", "dead", "pending"]
    assert "was not understood" in browser.get("/attention/confirm?decision=retry&since=gestern").text


def test_a_period_is_replayed_after_a_look_at_who_is_affected(console: Console) -> None:
    """The mapping's events of these days, first as they would become, then each once."""
    for n in range(4):
        made = owe(console.journal, customer=f"cus_{n}", mapping="cobranca", object_id=f"pay_{n}")
        put_in_state(console.journal, made, DeliveryState.DELIVERED, due_ms=None)
    with console.journal.database.write() as connection:
        first = connection.scalar(select(event_table.c.id).order_by(event_table.c.id).limit(1))
        old = event_table.update().where(event_table.c.id == first)
        connection.execute(old.values(received_ms=NOW_MS - 40 * 86_400_000))
    browser = console.operator()
    day = Formats(NOW_MS).iso(NOW_MS)[:10]
    looked = browser.post("/attention/replay", since=day, until=day, mapping="cobranca")
    finish_jobs()
    preview = browser.get(looked.location).text
    done = browser.post(f"{looked.location}/replay")
    finish_jobs()

    assert "3 of 3 events would be sent" in preview
    assert "Who is affected" in preview
    assert sorted(event["replay"] for event in events_of(console.journal)) == [0, 1, 1, 1]
    assert "3 under way" in browser.get(done.location).text
    again = browser.post(f"{looked.location}/replay")  # of the preview in another tab
    finish_jobs()
    after = browser.get(looked.location).text
    assert again.location == done.location
    assert f'href="{done.location}"' in after
    assert [f'action="{looked.location}/replay"' in page for page in (preview, after)] == [True, False]
    assert sorted(event["replay"] for event in events_of(console.journal)) == [0, 1, 1, 1]
    for since, until, at in (("", day, "since"), (day, "2020-01-01", "until"), ("soon", day, "since")):
        wrong = browser.post("/attention/replay", since=since, until=until, mapping="cobranca")
        assert wrong.status_code == 422
        given = since if at == "since" else until
        assert f'name="{at}" type="date" value="{given}" required aria-invalid' in wrong.text
        assert wrong.text.count('aria-invalid="true"') == 1
    nothing = browser.post("/attention/replay", since="2020-01-01", until="2020-01-02", follow=True)
    assert "No mapping listens" in nothing.text


def test_a_preview_leaves_out_what_was_replayed_since(console: Console) -> None:
    """The others are replayed, and the page says how many are not."""
    for n in range(2):
        made = owe(console.journal, customer=f"cus_{n}", mapping="cobranca", object_id=f"pay_{n}")
        put_in_state(console.journal, made, DeliveryState.DELIVERED, due_ms=None)
    browser = console.operator()
    day = Formats(NOW_MS).iso(NOW_MS)[:10]
    looked = browser.post("/attention/replay", since=day, until=day, mapping="cobranca")
    finish_jobs()
    first = min(event["id"] for event in events_of(console.journal))
    actions.replay(console.journal, first, "cobranca", console.clock())
    done = browser.post(f"{looked.location}/replay")
    finish_jobs()

    assert "1 event is left out" in browser.get(done.location).text
    assert [event["replay"] for event in events_of(console.journal)] == [1, 1]


WANTS_MORE = """
events: [PAYMENT_RECEIVED]
filter: {all: [{field: payment.value, at_least: 500}, {field: payment.billingType, equals: PIX}]}
contact: {email: "'ana@example.com'"}
"""


def test_a_confirmation_says_how_many_would_be_sent_and_why_the_others_not(console: Console) -> None:
    """By reason, whatever value each event has; of a period as of what failed."""
    register(console.journal)
    revision(console.journal, "cobranca", WANTS_MORE)
    charges = [(600, "PIX"), (10, "PIX"), (600, "PIX"), (20, "PIX"), (600, "BOLETO"), (30, "PIX")]
    for n, (value, billing_type) in enumerate(charges):
        body = json.dumps(envelope(payment=payment(f"cus_{n}", value=value, billingType=billing_type)))
        (id_,) = keep(console.journal, incoming(f"cus_{n}", body=body, object_id=f"pay_{n}"))
        with console.journal.database.write() as connection:
            done = {"state": "processed", "processed_ms": NOW_MS}
            connection.execute(event_table.update().where(event_table.c.id == id_).values(**done))
        failed = owe(console.journal, event_id=id_, customer=f"cus_{n}", mapping="cobranca", object_id=f"pay_{n}")
        put_in_state(console.journal, failed, DeliveryState.DEAD, due_ms=None, reason_code="x", finished_ms=NOW_MS - 1)
    browser = console.operator()
    day = Formats(NOW_MS).iso(NOW_MS)[:10]
    looked = browser.post("/attention/replay", since=day, until=day, mapping="cobranca")
    finish_jobs()
    of_period = html.unescape(browser.get(looked.location).text)
    of_failed = html.unescape(browser.get("/attention/confirm?decision=replay&code=x&mapping=cobranca").text)

    assert "2 of 6 events would be sent to Clint" in of_period
    assert "Replay 6 events (2 to send)" in of_period
    assert "events that are not sent stay as they are" in of_period
    for page in (of_period, of_failed):
        assert '<li class="good-text">2 would be sent</li>' in page
        assert "<li>4 would not</li>" in page
        groups = re.findall(r"<dt>(\d) would be filtered</dt>\s*<dd>cobranca[,:] (.*?)</dd>", page)
        assert [number for number, _ in groups] == ["3", "1"]
        assert groups[0][1].startswith("for example: Value is R$10.00, but must be at least R$500.00")
        assert groups[1][1].startswith("Billing type is ")


def test_retry_and_replay_are_told_apart_where_both_are_offered(console: Console) -> None:
    """On the page of an event and where many need a person; a viewer, who may do neither, is not told."""
    made = owe(console.journal, mapping="cobranca")
    put_in_state(console.journal, made, DeliveryState.DEAD, due_ms=None, reason_code="x", finished_ms=NOW_MS - 1)
    viewer = console.browser()
    viewer.sign_in(VIEWER)
    for path in ("/events/1", "/attention"):
        page = console.operator().get(path).text
        assert page.count("Retry sends the same data again") == 1, path
        assert page.count("Replay makes the data again") == 1, path
        assert "sends the same data" not in viewer.get(path).text


def test_a_journal_that_is_away_leaves_the_job_to_a_worker(console: Console) -> None:
    """It is not failed: it goes on when the journal is back."""

    def breaks(_context: Any) -> None:
        raise JournalError

    number = start(console.runtime, bulk.KIND, "default", breaks, {"ids": []}, "Ana", runner="one")
    finish_jobs()
    with console.journal.database.read() as connection:
        state = connection.scalar(select(job_table.c.state).where(job_table.c.id == number))
    assert state == "running"
