"""The door's writer: nothing is answered before it is committed, and nothing but the journal can make it wait."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event as sqlalchemy_event

from bridge.errors import JournalError
from bridge.ingress import ANSWER_WITHIN_S, BATCH, Ingress
from bridge.journal import Journal
from bridge.journal.events import Kept
from bridge.model import lane_of
from bridge.queueing.wakeups import BackgroundWaker, Wakeups, connect
from tests.factories import events_of, incoming, opened_journal, until
from tests.peers import closed_port
from tests.services import PostgresServer

Made = Callable[..., Ingress]


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal on each database."""
    with opened_journal(database_url) as journal:
        yield journal


@pytest.fixture
def made(journal: Journal) -> Iterator[Made]:
    """Give what makes an ingress that is closed at the end."""
    open_: list[Ingress] = []

    def make(wake: Callable[[int], None] = lambda _lane: None) -> Ingress:
        open_.append(Ingress(journal, wake))
        return open_[-1]

    yield make
    for ingress in open_:
        ingress.close()


class Posting:
    """Requests that post at once, each in a thread of its own."""

    def __init__(self, ingress: Ingress, keys: list[str]) -> None:
        self.kept: dict[str, Kept] = {}
        self.refused: dict[str, JournalError] = {}
        self._threads = [threading.Thread(target=self._post, args=(ingress, key)) for key in keys]
        for thread in self._threads:
            thread.start()

    def _post(self, ingress: Ingress, key: str) -> None:
        try:
            self.kept[key] = ingress.keep(incoming(f"cus_{key}", key=key))
        except JournalError as error:
            self.refused[key] = error

    def join(self) -> None:
        """Wait until every request is answered."""
        for thread in self._threads:
            thread.join()


def keys_of(journal: Journal) -> set[str]:
    """Return the keys of all kept events."""
    return {row["event_key"] for row in events_of(journal)}


def test_an_event_is_committed_before_keep_returns(journal: Journal, made: Made) -> None:
    """Another connection reads it at once; the same again is the same event."""
    posted = incoming()
    first, second = made().keep(posted), made().keep(posted)

    assert keys_of(journal) == {posted.key}
    assert (second.id, first.repeats, second.repeats) == (first.id, 0, 1)


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
    ingress = Ingress(counting, lambda _lane: None)
    with journal.database.write() as connection:
        connection.exec_driver_sql("UPDATE lanes SET fence = fence WHERE lane = 0")
        if not journal.database.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE events IN EXCLUSIVE MODE")
        posting = Posting(ingress, [f"k{n}" for n in range(BATCH + 40)])
        time.sleep(0.5)
    posting.join()
    ingress.close()

    assert sum(sizes) == BATCH + 40
    assert max(sizes) == BATCH


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
    ingress.close()

    assert woken == []


def test_a_writer_that_a_fault_ended_is_replaced(made: Made) -> None:
    """One fault must not make every later request wait in vain."""
    faults: list[object] = []
    before = threading.excepthook
    threading.excepthook = faults.append

    def wake(_lane: int) -> None:
        if not faults:
            raise RuntimeError("a fault")

    ingress = made(wake)
    try:
        ingress.keep(incoming())
        until(lambda: faults)
        ingress.keep(incoming())
    finally:
        threading.excepthook = before
    assert len(faults) == 1


def test_close_keeps_what_has_gathered(journal: Journal, made: Made) -> None:
    """A web process that ends writes first; an ingress that was never used ends at once."""
    made().close()
    ingress = made()
    with journal.database.write() as connection:
        connection.exec_driver_sql("UPDATE lanes SET fence = fence WHERE lane = 0")
        posting = Posting(ingress, ["a", "b", "c"])
        closing = threading.Thread(target=ingress.close)
        time.sleep(0.2)
        closing.start()
    closing.join()
    posting.join()

    assert keys_of(journal) == {"a", "b", "c"}


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


@pytest.mark.slow
def test_a_journal_that_is_stuck_is_an_error_in_time(sqlite_url: str) -> None:
    """Before Asaas gives up; and what was refused long ago is not written when the journal is back."""
    with opened_journal(sqlite_url) as journal:
        ingress = Ingress(journal, lambda _lane: None)
        ingress.keep(incoming(key="before"))
        with Path(f"{journal.database.url.database}.turn").open("ab") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            began_s = time.monotonic()
            posting = Posting(ingress, ["first"])
            time.sleep(0.5)
            later = Posting(ingress, ["second"])
            posting.join()
            later.join()
            took_s = time.monotonic() - began_s
            time.sleep(0.2)
        until(lambda: "first" in keys_of(journal))
        time.sleep(0.1)
        again = Posting(ingress, ["again"])
        again.join()
        ingress.close()

        assert str(posting.refused["first"]) == "the journal did not take the event within 8 seconds"
        assert set(later.refused) == {"second"}
        assert ANSWER_WITHIN_S <= took_s < 9.5
        assert keys_of(journal) == {"before", "first", "again"}


@pytest.mark.slow
def test_a_database_that_is_away_is_an_error_and_comes_back(postgres_server: PostgresServer) -> None:
    """Each request is refused in time, the writer lives on, and the next event after the return is kept."""
    with postgres_server.database() as url, opened_journal(url) as journal:
        ingress = Ingress(journal, lambda _lane: None)
        ingress.keep(incoming(key="before"))
        postgres_server.kill()
        began_s = time.monotonic()
        posting = Posting(ingress, [f"k{n}" for n in range(16)])
        posting.join()
        assert len(posting.refused) == 16
        assert time.monotonic() - began_s < 9
        postgres_server.start()
        ingress.keep(incoming(key="after"))
        ingress.close()

        assert keys_of(journal) == {"before", "after"}
