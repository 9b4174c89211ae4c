"""What `Journal.append` promises: kept when it returns, once per account and whole id, in the order of arrival."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select

from bridge.errors import JournalError, JournalNotMigrated
from bridge.journal import Database, Journal
from bridge.journal.schema import events
from bridge.model import lane_of
from bridge.pipeline.intake import Intake
from tests.factories import NOW_MS, events_of, incoming, keep, opened_journal


def test_an_event_is_durable_when_append_returns(journal: Journal, database_url: str) -> None:
    """Another connection, as another process would have, reads what was appended."""
    event = incoming()
    keep(journal, event)

    with opened_journal(database_url) as other:
        (row,) = events_of(other)
    assert (row["event_key"], row["body"], row["state"]) == (event.key, event.body, "received")
    assert (row["due_ms"], row["repeats"], row["replay"]) == (NOW_MS, 0, 0)
    assert row["lane"] == lane_of("default", "cus_1", journal.lane_count)


def test_a_repeated_event_is_kept_once_and_counted(journal: Journal) -> None:
    """The same whole id again, in another batch or the same one, changes nothing but the count."""
    event = incoming()
    first = journal.append([event, event])
    second = journal.append([event])

    assert [kept.repeats for _, kept in [*first, *second]] == [0, 1, 2]
    assert len({kept.id for _, kept in [*first, *second]}) == 1
    assert [row["repeats"] for row in events_of(journal)] == [2]


def test_of_a_batch_the_first_arrival_counts(journal: Journal) -> None:
    """It is kept where it stood, with its own body, however often the event stands in the batch."""
    one, other = incoming(key="evt_1&1", body='{"n": 1}'), incoming(key="evt_2&2")
    again = incoming(key="evt_1&1", body='{"n": 2}')
    journal.append([again])
    kept = [kept for _, kept in journal.append([one, other, again, one])]

    assert [result.repeats for result in kept] == [1, 0, 2, 3]
    assert next((row["event_key"], row["body"]) for row in events_of(journal)) == ("evt_1&1", '{"n": 2}')
    more, most = incoming(key="evt_3&3"), incoming(key="evt_4&4")
    first, second, third = (kept.id for _, kept in journal.append([more, most, more]))
    assert first == third < second


def test_ids_that_differ_behind_the_ampersand_are_two_events(journal: Journal) -> None:
    """The first part of an Asaas id is the same for all events of a type; only the whole id tells two apart."""
    keep(journal, incoming(key="evt_05b708f961d739ea7eba7e4db318f621&1"))
    keep(journal, incoming(key="evt_05b708f961d739ea7eba7e4db318f621&2"))

    assert len(events_of(journal)) == 2


def test_two_accounts_may_have_the_same_id(journal: Journal) -> None:
    """Ids are counted per account: the same id of another account is another event."""
    results = journal.append([incoming(key="evt_1&1"), incoming(key="evt_1&1", account="matriz")])

    assert [kept.repeats for _, kept in results] == [0, 0]
    assert {row["account"] for row in events_of(journal)} == {"default", "matriz"}


def test_numbers_grow_in_the_order_of_arrival(journal: Journal) -> None:
    """An event that came later has the larger number, within a batch and over batches."""
    numbers = keep(journal, *(incoming() for _ in range(20))) + keep(journal, incoming())

    assert numbers == sorted(set(numbers))


def test_a_batch_with_one_event_that_can_not_be_stored_keeps_the_others(journal: Journal) -> None:
    """What the database refuses costs only the request that brought it, not those that shared its commit."""
    ingress = Intake(journal, lambda _lane: None)
    outcomes: dict[str, str] = {}
    ready = threading.Barrier(9)

    def post(key: str) -> None:
        body = "half a character: \ud800" if key == "bad" else "{}"
        ready.wait()
        try:
            ingress.keep(incoming(key=key, body=body))
        except JournalError:
            outcomes[key] = "refused"
        else:
            outcomes[key] = "kept"

    threads = [threading.Thread(target=post, args=(key,)) for key in ["bad", *"abcdefgh"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == {"bad": "refused", **dict.fromkeys("abcdefgh", "kept")}
    assert {row["event_key"] for row in events_of(journal)} == set("abcdefgh")


def test_a_failed_batch_leaves_nothing_behind(journal: Journal) -> None:
    """A batch is one transaction: where append raises, none of its events are there."""
    with pytest.raises(UnicodeEncodeError):
        journal.append([incoming(), incoming(body="\ud800")])

    assert events_of(journal) == []


def test_many_threads_append_at_once(journal: Journal) -> None:
    """Eight writers that post the same fifty events make fifty rows, and every posting is counted."""
    posted = [incoming(f"cus_{n}", key=f"evt&{n}") for n in range(50)]
    errors: list[BaseException] = []

    def post() -> None:
        try:
            for event in posted:
                journal.append([event])
        except BaseException as error:  # noqa: BLE001 (a thread's error must fail the test)
            errors.append(error)

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    with journal.database.read() as connection:
        kept, repeats = connection.execute(select(func.count(), func.sum(events.c.repeats))).one()
    assert (kept, int(repeats)) == (50, 350)


def test_a_journal_without_its_schema_says_so(empty_url: str) -> None:
    """An empty database is told apart from one that is away, with the command that mends it."""
    database = Database(empty_url)
    journal = Journal(database, 30)

    with pytest.raises(JournalNotMigrated, match="bridge db upgrade"):
        journal.check()
    database.close()
