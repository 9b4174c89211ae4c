"""The sweeper's housekeeping: counts are added up, what is old goes."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from bridge.journal import Journal, events, jobs
from bridge.worker.tasks import AGAIN_AFTER_MS, DAY_MS, RETENTION_RUN, clear_old, fold_counts
from tests.databases import on_both
from tests.factories import NOW_MS, events_of, incoming, keep, opened_journal


def tallies(journal: Journal) -> int:
    """Return how many tallies are not added up yet."""
    with journal.database.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM tallies")).scalar_one())


@on_both
def test_tallies_are_added_up_as_they_come(database_url: str) -> None:
    """More than one transaction takes, and those that come later."""
    with opened_journal(database_url) as journal:
        for _ in range(3):
            keep(journal, *(incoming() for _ in range(500)))
        assert tallies(journal) == 1_500
        fold_counts(journal, threading.Event())
        assert tallies(journal) == 0
        keep(journal, incoming())
        fold_counts(journal, threading.Event())
        assert tallies(journal) == 0


@on_both
def test_what_is_old_is_emptied_and_then_removed_once_a_day(database_url: str) -> None:
    """More than one page of it; the next look on the same day does nothing, another sweeper's neither."""
    now_ms = [NOW_MS + 31 * DAY_MS]
    with opened_journal(database_url) as journal:
        ids = keep(journal, *(incoming() for _ in range(450)))
        with journal.database.write() as connection:
            events.mark_processed(connection, ids, NOW_MS)
        keep(journal, incoming(received_ms=now_ms[0]))
        clear_old(journal, 30, lambda: now_ms[0], threading.Event())
        assert [row["emptied_ms"] is not None for row in events_of(journal)] == [True] * 450 + [False]

        now_ms[0] = NOW_MS + 61 * DAY_MS
        with journal.database.write() as connection:
            jobs.reschedule(connection, RETENTION_RUN, now_ms[0] + 1)
        clear_old(journal, 30, lambda: now_ms[0], threading.Event())
        assert len(events_of(journal)) == 451
        now_ms[0] += 1
        clear_old(journal, 30, lambda: now_ms[0], threading.Event())
        assert len(events_of(journal)) == 1


@pytest.mark.parametrize("retention_days", [0, 90])
def test_the_consoles_jobs_go_after_a_month(sqlite_url: str, retention_days: int) -> None:
    """Also where events are kept for ever, and also a job whose process died."""
    with opened_journal(sqlite_url) as journal:
        with journal.database.write() as connection:
            for days in (31, 29, 1):
                for ends in (True, False):
                    then_ms = NOW_MS - days * DAY_MS
                    job = jobs.begin(connection, "trial", str(days), {}, "Ana", then_ms)
                    if ends:
                        jobs.finish(connection, job, then_ms, {})
        clear_old(journal, retention_days, lambda: NOW_MS, threading.Event())
        with journal.database.read() as connection:
            left = [job.about for job in jobs.newest(connection, "trial", NOW_MS, 9)]

    assert left == ["1", "1", "29", "29"]


def test_a_round_that_is_broken_off_comes_again(sqlite_url: str) -> None:
    """A sweeper that ends in the middle leaves the rest for ten minutes later."""
    now_ms = [NOW_MS + 31 * DAY_MS]
    with opened_journal(sqlite_url) as journal:
        ids = keep(journal, incoming())
        with journal.database.write() as connection:
            events.mark_processed(connection, ids, NOW_MS)
        stopping = threading.Event()
        stopping.set()
        clear_old(journal, 30, lambda: now_ms[0], stopping)
        assert events_of(journal)[0]["emptied_ms"] is None

        now_ms[0] += AGAIN_AFTER_MS
        clear_old(journal, 30, lambda: now_ms[0], threading.Event())
        assert events_of(journal)[0]["emptied_ms"] == now_ms[0]
