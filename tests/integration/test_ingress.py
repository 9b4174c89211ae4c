"""The door's writer: nothing is answered before it is committed, and nothing but the journal can make it wait."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import event as sqlalchemy_event

from bridge.errors import JournalError
from bridge.journal import Journal
from bridge.journal.events import AppendResult
from bridge.model import IncomingEvent, lane_of
from bridge.pipeline.intake import INTAKE_BATCH, Intake
from bridge.redis_client import connect
from bridge.wakeups import BackgroundWaker, Wakeups
from tests.databases import on_both
from tests.factories import events_of, incoming, opened_journal, until
from tests.peers import closed_port
from tests.services import PostgresServer

Made = Callable[..., Intake]
REFUSED = "refused"


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal on each database."""
    with opened_journal(database_url) as journal:
        yield journal


@pytest.fixture
def made(journal: Journal) -> Made:
    """Give what makes an ingress."""

    def make(wake: Callable[[int], None] = lambda _lane: None) -> Intake:
        return Intake(journal, wake)

    return make


class Posting:
    """Requests that post at once, each in a thread of its own."""

    def __init__(self, ingress: Intake, keys: list[str]) -> None:
        self.kept: dict[str, AppendResult] = {}
        self.refused: dict[str, JournalError] = {}
        self._threads = [threading.Thread(target=self._post, args=(ingress, key)) for key in keys]
        for thread in self._threads:
            thread.start()

    def _post(self, ingress: Intake, key: str) -> None:
        try:
            # No database takes half a character.
            body = {"body": "\ud800"} if key == REFUSED else {}
            self.kept[key] = ingress.keep(incoming(f"cus_{key}", key=key, **body))
        except JournalError as error:
            self.refused[key] = error

    def join(self) -> None:
        """Wait until every request is answered."""
        for thread in self._threads:
            thread.join()


def keys_of(journal: Journal) -> set[str]:
    """Return the keys of all kept events."""
    return {row["event_key"] for row in events_of(journal)}


@on_both
def test_an_event_is_committed_before_keep_returns(journal: Journal, made: Made) -> None:
    """Another connection reads it at once; the same again is the same event."""
    posted = incoming()
    first, second = made().keep(posted), made().keep(posted)

    assert keys_of(journal) == {posted.key}
    assert (second.id, first.repeats, second.repeats) == (first.id, 0, 1)


@on_both
def test_nobody_is_answered_before_the_commit_and_many_share_one(journal: Journal, made: Made) -> None:
    """While the journal is busy requests gather; then they are kept in a few commits, each answered after its own."""
    ingress = made()
    ingress.keep(incoming(key="first"))
    keys = [f"k{n}" for n in range(16)]
    commits: list[int] = []
    with journal.database.write() as connection:
        connection.exec_driver_sql("UPDATE lanes SET fence = fence WHERE lane = 0")
        if not journal.database.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE events IN EXCLUSIVE MODE")
        posting = Posting(ingress, keys)
        time.sleep(0.4)
        assert posting.kept == {}
        sqlalchemy_event.listen(journal.database.engine, "commit", lambda _connection: commits.append(1))
    posting.join()

    assert set(posting.kept) == set(keys)
    assert keys_of(journal) == {"first", *keys}
    assert len(commits) <= 4


def test_a_batch_is_bounded(journal: Journal, made: Made) -> None:
    """However many have gathered, one commit takes so many and not more."""
    sizes: list[int] = []

    class Counting(Journal):
        def append(self, batch):  # type: ignore[no-untyped-def]
            sizes.append(len(batch))
            return super().append(batch)

    counting = Counting(journal.database, 30)
    ingress = Intake(counting, lambda _lane: None)
    with journal.database.write() as connection:
        connection.exec_driver_sql("UPDATE lanes SET fence = fence WHERE lane = 0")
        if not journal.database.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE events IN EXCLUSIVE MODE")
        posting = Posting(ingress, [f"k{n}" for n in range(INTAKE_BATCH + 40)])
        time.sleep(0.5)
    posting.join()

    assert sum(sizes) == INTAKE_BATCH + 40
    assert max(sizes) == INTAKE_BATCH


def test_lanes_are_woken_after_the_commit(journal: Journal, made: Made) -> None:
    """Whoever is woken finds the event; each lane of a commit once."""
    woken: list[tuple[int, set[str]]] = []

    def wake(lane: int) -> None:
        woken.append((lane, keys_of(journal)))

    posted = incoming()
    made(wake).keep(posted)

    assert until(lambda: woken) == [(lane_of("default", "cus_1", journal.lane_count), {posted.key})]


def test_nobody_is_woken_for_what_was_not_kept(made: Made) -> None:
    """An event that the database refuses wakes nobody."""
    woken: list[int] = []
    ingress = made(woken.append)
    with pytest.raises(JournalError):
        ingress.keep(incoming(body="\ud800"))

    assert woken == []


def test_a_fault_of_the_request_that_writes_stops_no_other(made: Made) -> None:
    """One fault must not make every later request wait in vain."""
    faults: list[int] = []

    def wake(lane: int) -> None:
        if not faults:
            faults.append(lane)
            raise RuntimeError("a fault")

    ingress = made(wake)
    with pytest.raises(RuntimeError, match="a fault"):
        ingress.keep(incoming())

    assert ingress.keep(incoming()).repeats == 0


@on_both
def test_an_event_that_the_database_refuses_costs_no_other_of_its_commit(journal: Journal, made: Made) -> None:
    """Those that gathered beside it are kept, each by itself."""
    ingress = made()
    with journal.database.write() as connection:
        connection.exec_driver_sql("UPDATE lanes SET fence = fence WHERE lane = 0")
        if not journal.database.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE events IN EXCLUSIVE MODE")
        posting = Posting(ingress, ["a", "b", REFUSED, "c"])
        time.sleep(0.4)
    posting.join()

    assert keys_of(journal) == set(posting.kept) == {"a", "b", "c"}
    assert set(posting.refused) == {REFUSED}


@pytest.mark.alone
def test_an_absent_redis_costs_no_time(journal: Journal, made: Made) -> None:
    """Waking is another thread's work: an address that does not answer is not waited for."""
    with closed_port() as port:
        waker = BackgroundWaker(Wakeups(connect(f"redis://127.0.0.1:{port}/0")))
        ingress = made(waker.wake)
        began_s = time.monotonic()
        for _ in range(20):
            ingress.keep(incoming())
        took_s = time.monotonic() - began_s

    assert took_s < 2
    assert len(events_of(journal)) == 20


@pytest.mark.alone
@pytest.mark.slow
def test_a_journal_that_is_stuck_is_an_error_in_time(sqlite_url: str) -> None:
    """Only the request that writes waits for it; what was refused meanwhile is not written when the journal is back."""
    with opened_journal(sqlite_url) as journal:
        ingress = Intake(journal, lambda _lane: None, answer_within_s=0.5)
        with Path(f"{journal.database.url.database}.turn").open("ab") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            writing = Posting(ingress, ["first"])
            until(lambda: ingress._is_writing)
            later = Posting(ingress, ["second", "third"])
            later.join()
            assert writing.kept == {}
        writing.join()
        Posting(ingress, ["again"]).join()

        assert set(later.refused) == {"second", "third"}
        assert str(later.refused["second"]) == "the journal did not take the event within 0.5 seconds"
        assert keys_of(journal) == {"first", "again"}


@pytest.mark.slow
def test_a_stopped_process_that_was_writing_blocks_the_door_for_seconds_only(sqlite_url: str, tmp_path: Path) -> None:
    """Every request is refused before Asaas gives up; once the process goes on, events are kept again."""
    program = """
import os, signal, sys
from bridge.journal import Database
with Database(sys.argv[1]).write():
    print("writing", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program, sqlite_url]
    with (
        opened_journal(sqlite_url) as journal,
        subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE) as stopped,
    ):
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == b"writing\n"
        ingress = Intake(journal, lambda _lane: None)
        began_s = time.monotonic()
        posting = Posting(ingress, [f"k{n}" for n in range(4)])
        posting.join()
        took_s = time.monotonic() - began_s
        stopped.send_signal(signal.SIGCONT)
        Posting(ingress, ["after"]).join()

        assert len(posting.refused) == 4
        assert took_s < 10
        assert keys_of(journal) == {"after"}


class Gated(Journal):
    """A journal that takes each batch when the test lets it."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal.database, 30)
        self.batches: list[list[str]] = []
        self.gate = threading.Semaphore(0)

    def append(self, batch: Sequence[IncomingEvent]) -> list[tuple[int, AppendResult]]:
        """Wait for the test, then append."""
        self.batches.append([event.key for event in batch])
        assert self.gate.acquire(timeout=20)
        return super().append(batch)


def test_who_is_refused_while_its_event_is_being_written_hands_nothing_on(journal: Journal) -> None:
    """The commit that takes too long keeps the event all the same, and the next request finds the way free."""
    gated = Gated(journal)
    ingress = Intake(gated, lambda _lane: None, answer_within_s=0.5)
    first = Posting(ingress, ["a"])
    until(lambda: gated.batches == [["a"]])
    second = Posting(ingress, ["b"])
    until(lambda: len(ingress._queue) == 1)
    third = Posting(ingress, ["c"])
    until(lambda: len(ingress._queue) == 2)
    gated.gate.release()
    until(lambda: gated.batches == [["a"], ["b", "c"]])
    third.join()
    gated.gate.release(2)
    first.join()
    second.join()

    assert (set(first.kept), set(second.kept), set(third.refused)) == ({"a"}, {"b"}, {"c"})
    assert keys_of(journal) == {"a", "b", "c"}
    assert ingress.keep(incoming(key="c")).repeats == 1


@pytest.mark.alone
@pytest.mark.slow
def test_a_database_that_is_away_is_an_error_and_comes_back(postgres_server: PostgresServer) -> None:
    """Each request is refused in time, the writer lives on, and the next event after the return is kept."""
    with postgres_server.database() as url, opened_journal(url) as journal:
        ingress = Intake(journal, lambda _lane: None)
        ingress.keep(incoming(key="before"))
        postgres_server.kill()
        began_s = time.monotonic()
        posting = Posting(ingress, [f"k{n}" for n in range(16)])
        posting.join()
        assert len(posting.refused) == 16
        assert time.monotonic() - began_s < 9
        postgres_server.start()
        ingress.keep(incoming(key="after"))

        assert keys_of(journal) == {"before", "after"}
