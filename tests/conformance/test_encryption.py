"""The journal at rest: with a key nobody reads a person out of its bytes, and everything reads as ever."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.errors import SealBroken
from bridge.journal import Database, Journal, keys, upgrade
from bridge.journal.rekey import TABLES, Progress, rekey, sealed_columns
from bridge.journal.schema import deliveries as delivery_table
from bridge.journal.schema import meta, metadata
from bridge.journal.search import Kind, Term, look_up, write
from bridge.model import DeliveryState
from bridge.sealing import Keyring, new_key
from tests.factories import LEASE_S, envelope, events_of, incoming, keep, owe, payment, put_in_state, row_of

OLD, NEW = new_key(), new_key()
PERSON = ("ana.souza@example.com", "Ana Souza", "529.982.247-25", "11987654321")


@contextlib.contextmanager
def opened(url: str, key: str) -> Iterator[Journal]:
    """Give the journal as a process with that key opens it."""
    database = Database(url, keyring=Keyring.from_text(key))
    upgrade(database)
    with database.write() as connection:
        keys.settle(connection)
    yield Journal(database, LEASE_S)
    database.close()


def fill(journal: Journal) -> None:
    """Let a person into every place that the way of an event has for one."""
    body = json.dumps(envelope(payment=payment(description=" ".join(PERSON))), ensure_ascii=False)
    keep(journal, incoming(body=body))
    id_ = owe(journal, payload=json.dumps({"email": PERSON[0], "nome": PERSON[1]}))
    put_in_state(
        journal, id_, DeliveryState.DEAD, due_ms=None, reason=f"refused {PERSON[2]}", read_back_detail=PERSON[1]
    )
    with journal.database.write() as connection:
        write(connection, [Term(PERSON[0], Kind.EMAIL, "default", "cus_1")])
        for table in TABLES:
            assert sealed_columns(table)


def everything(url: str) -> str:
    """Return what a dump of the database holds, with the bytes of its files where it has any."""
    database = Database(url)
    with database.read() as connection:
        names = sorted(metadata.tables)
        rows = [tuple(row) for name in names for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]
    database.close()
    path = Path(database.url.database or "")
    files = path.parent.glob(f"{path.name}*") if database.is_sqlite else ()
    return "\n".join([*map(str, rows), *(path.read_bytes().decode("latin-1") for path in files)])


def found_in(text: str) -> list[str]:
    """Return which of the person's values a text shows."""
    return [value for value in PERSON if value in text]


def test_no_person_stands_in_the_bytes(database_url: str) -> None:
    """Neither in a dump nor in the file nor in its write-ahead log; who has the key reads it all."""
    with opened(database_url, NEW) as journal:
        fill(journal)
        seen = everything(database_url)

        assert found_in(seen) == []
        assert "sealed:1:" in seen
        assert found_in(events_of(journal)[0]["body"]) == list(PERSON)
        assert json.loads(row_of(journal, 1)["payload"])["nome"] == PERSON[1]
        assert row_of(journal, 1)["reason"] == f"refused {PERSON[2]}"
        with journal.database.read() as connection:
            assert look_up(connection, PERSON[0]).subjects == (("default", "cus_1"),)


def test_a_journal_from_before_the_key_reads_and_is_sealed_afterwards(database_url: str) -> None:
    """Plain rows go on reading; rekey leaves none of them, a few at a time, and search still finds people."""
    with opened(database_url, "") as journal:
        fill(journal)

    assert found_in(everything(database_url)) == list(PERSON)

    with opened(database_url, NEW) as journal:
        assert found_in(events_of(journal)[0]["body"]) == list(PERSON)

        steps = list(rekey(journal.database, page=1))

        assert steps[0] == Progress(0, 3)
        assert steps[-1] == Progress(3, 3)
        assert found_in(events_of(journal)[0]["body"]) == list(PERSON)
        with journal.database.read() as connection:
            assert look_up(connection, PERSON[0]).subjects == (("default", "cus_1"),)
            assert connection.scalar(select(delivery_table.c.attempts)) == 0
    assert found_in(everything(database_url)) == []


def test_a_new_key_takes_over(database_url: str) -> None:
    """With the old key behind it everything reads; rekey goes on where it was broken off; then the old one may go."""
    with opened(database_url, OLD) as journal:
        fill(journal)
    with opened(database_url, f"{NEW},{OLD}") as journal:
        keep(journal, incoming())
        walk = rekey(journal.database, page=1)
        assert [next(walk), next(walk)] == [Progress(0, 3), Progress(1, 3)]
        walk.close()
        assert list(rekey(journal.database))[-1] == Progress(2, 2)
        assert list(rekey(journal.database)) == [Progress(0, 0)]
    with opened(database_url, NEW) as journal:
        journal.check()

        assert found_in(events_of(journal)[0]["body"]) == list(PERSON)


@pytest.mark.parametrize("key", ["", NEW], ids=["none", "another"])
def test_without_the_journals_key_nothing_is_read_or_written(database_url: str, key: str) -> None:
    """An error that says what to do, also where the process did not look at its start."""
    with opened(database_url, OLD) as journal:
        fill(journal)
    wrong = Journal(Database(database_url, keyring=Keyring.from_text(key)), LEASE_S)
    for attempt in (
        wrong.check,
        lambda: keep(wrong, incoming()),
        lambda: events_of(wrong),
        lambda: list(rekey(wrong.database)),
    ):
        with pytest.raises(SealBroken, match="BRIDGE_ENCRYPTION_KEY"):
            attempt()
    wrong.database.close()
    with opened(database_url, OLD) as journal:
        assert len(events_of(journal)) == 2
        with journal.database.read() as connection:
            assert {"sealed", "search_key"} <= set(connection.scalars(select(meta.c.key)))
