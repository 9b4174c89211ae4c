"""The journal at rest: with a key nobody reads a person out of its bytes, and everything reads as ever."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Table, Text, select, type_coerce

from bridge.crypto import Keyring, new_key
from bridge.errors import DecryptionFailed
from bridge.journal import (
    Database,
    Journal,
    accounts,
    customers,
    deals,
    deliveries,
    encryption,
    events,
    jobs,
    queries,
    receivers,
    search,
    upgrade,
    users,
)
from bridge.journal.deals import Claim
from bridge.journal.deliveries import AttemptResult, StateChange
from bridge.journal.encryption import rekey, sealed_columns
from bridge.journal.queries import ValueRange
from bridge.journal.schema import EncryptedText, meta, metadata, tenant_accounts, tenant_clint, tenant_destinations
from bridge.journal.schema import deliveries as delivery_table
from bridge.journal.schema import events as event_table
from bridge.journal.search import Kind, Term, look_up, write
from bridge.journal.users import UserRole
from bridge.model import DeliveryState, Outcome, ReadBack
from bridge.worker.tasks import DAY_MS, clear_old
from tests.factories import (
    LEASE_S,
    NOW_MS,
    envelope,
    events_of,
    incoming,
    keep,
    owe,
    owed,
    payment,
    put_in_state,
    register,
    row_of,
)

OLD, NEW = new_key(), new_key()
PERSON = ("ana.souza@example.com", "Ana Souza", "529.982.247-25", "11987654321")


@contextlib.contextmanager
def opened(url: str, key: str) -> Iterator[Journal]:
    """Give the journal as a process with that key opens it."""
    database = Database(url, keyring=Keyring.from_text(key))
    upgrade(database)
    with database.write() as connection:
        encryption.prepare(connection)
    yield Journal(database, LEASE_S)
    database.close()


OTHERS: dict[str, dict[str, str]] = {"cus_1": {}, "cus_2": {"email": "bia@example.com"}}
"""Customers of one account: rekey goes through them by both columns of their key."""


def fill(journal: Journal) -> None:
    """Let a person into every place that the way of an event has for one."""
    body = json.dumps(envelope(payment=payment(description=" ".join(PERSON))), ensure_ascii=False)
    keep(journal, incoming(body=body))
    id_ = owe(journal, payload=json.dumps({"email": PERSON[0], "nome": PERSON[1]}))
    put_in_state(
        journal, id_, DeliveryState.DEAD, due_ms=None, reason=f"refused {PERSON[2]}", read_back_detail=PERSON[1]
    )
    said = dict(zip(("email", "name", "cpfCnpj", "mobilePhone"), PERSON, strict=True))
    with journal.database.write() as connection:
        write(connection, [Term(PERSON[0], Kind.EMAIL, "default", "cus_1")])
        found = [search.customer_found("default", id_, {**said, **more}) for id_, more in OTHERS.items()]
        customers.record(connection, found, [], NOW_MS)


PLAIN = {
    "journal_meta": "key value",
    "events": "account event_key name entity object_id subject created origin state hold_code replay_mapping",
    "mapping_revisions": "mapping text digest origin author",
    "deliveries": "mapping account subject line destination object_id order_at once_key state waiting reason_code"
    " read_back answer",
    "attempts": "outcome code",
    "lanes": "owner",
    "destinations": "name url_digest state failed_subject paused_reason origin_id stage_id",
    "notices": "code about level detail mend",
    "alerts": "code about level detail mend",
    "alert_receivers": "name areas accounts level problem",
    "door_refusals": "account code",
    "audit": "actor address action about detail",
    "search_terms": "term kind account ref",
    "customers": "account id",
    "causes": "key kind code about seen_by",
    "console_jobs": "kind about state code author runner stopped_by",
    "rollups": "account mapping destination event verdict",
    "tallies": "account mapping destination event verdict",
    "tenant_accounts": "name",
    "tenant_destinations": "name",
    "tenant_clint": "name",
    "deals": "origin_id key_digest account subject contact_id deal_id stage_id status wanted_stage_id"
    " wanted_status contact_digest",
    "deal_contacts": "key_digest contact_id",
    "users": "email_hash role state accounts subject_hash link_hash",
}
"""Every text column that is not sealed: codes, names of settings, ids, hashes, and texts of which each is the bridge's
own. Whoever adds one here says that neither a person nor a secret stands in it."""


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_each_text_column_is_sealed_or_known_to_need_no_seal(table: Table) -> None:
    """A column that loses its seal fails, and so does a new one about which nobody thought."""
    texts = {column.name for column in table.c if isinstance(column.type, Text | EncryptedText)}
    sealed = {column.name for column in sealed_columns(table)}

    assert texts - sealed == set(PLAIN[table.name].split())


def fill_every_sealed_column(journal: Journal) -> str:
    """Let one text into each sealed column by the functions that write there; return it."""
    text = json.dumps({"nome": " ".join(PERSON)}, ensure_ascii=False)
    register(journal)
    keep(journal, incoming(body=text))
    id_ = owe(journal, payload=text, read_back="asked")
    mine = owed(journal, id_)
    with journal.database.write() as connection:
        events.hold(connection, {1: (NOW_MS, "event.behind", text)})
        deliveries.start(connection, [mine], {mine.lane: 1}, NOW_MS)
        step = StateChange(mine, DeliveryState.DELIVERED, NOW_MS, reason=text)
        deliveries.record(connection, [AttemptResult(step, 1, Outcome.DELIVERED, None, "", text, text, 1)])
        (due,) = deliveries.due_read_backs(connection, NOW_MS, wait_ms=0, oldest_ms=0, limit=1)
        deliveries.record_read_back(connection, due.id, 0, ReadBack.SEEN, due_ms=None, detail=text)
        said = json.loads(text)
        done, failed = (jobs.begin(connection, "trial", "default", said, "Ana", NOW_MS) for _ in range(2))
        jobs.beat(connection, done, NOW_MS, done=1, total=1, steps=[said])
        jobs.finish(connection, done, NOW_MS, said, said)
        jobs.fail(connection, failed, NOW_MS, "x", text)
        accounts.put(connection, tenant_accounts, "matriz", NOW_MS, api_key=text, webhook_token=text)
        accounts.put(connection, tenant_destinations, "matriz", NOW_MS, url=text)
        accounts.put(connection, tenant_clint, "default", NOW_MS, token=text)
        found = search.customer_found("default", "cus_1", {"name": " ".join(PERSON)})
        customers.record(connection, [found], [], NOW_MS)
        users.change(connection, users.add(connection, text, text, UserRole.VIEWER, (), NOW_MS), password=text)
        deals.claim_deal(connection, "default", text, ("default", "cus_1"), Claim(1, 1, id_, NOW_MS), NOW_MS)
        receiver = {"name": "finance", "areas": (), "accounts": (), "level": "warning", "summary_ms": None}
        receivers.put(connection, None, NOW_MS, url=text, **receiver)
    return text


def test_each_sealed_column_hides_what_it_holds(database_url: str) -> None:
    """Nothing plain in the bytes, a sealed text in each column, and the text again for who has the key."""
    with opened(database_url, NEW) as journal:
        text = fill_every_sealed_column(journal)
        seen = everything(database_url)
        wrong = []
        with journal.database.read() as connection:
            for column in (column for table in metadata.sorted_tables for column in sealed_columns(table)):
                raw = connection.scalars(select(type_coerce(column, Text)).where(column.is_not(None))).all()
                read = connection.scalars(select(column).where(column.is_not(None))).all()
                hidden = all(one.startswith("sealed:1:") for one in raw)
                if not hidden or not any(PERSON[1] in one for one in read):
                    wrong.append(f"{column.table.name}.{column.name}")

        assert (wrong, found_in(seen)) == ([], [])
        assert PERSON[1] in text


OF_THE_TEAM = frozenset({"alert_receivers", "tenant_accounts", "tenant_clint", "tenant_destinations", "users"})
"""Tables with sealed columns that hold nothing of a customer; a person removes their rows."""


def test_retention_leaves_no_sealed_text_of_a_customer(database_url: str) -> None:
    """A sealed column that retention does not reach fails, also a new one about which nobody thought."""
    with opened(database_url, NEW) as journal:
        fill_every_sealed_column(journal)
        with journal.database.write() as connection:
            events.mark_processed(connection, list(connection.scalars(select(event_table.c.id))), NOW_MS)
        clear_old(journal, 30, lambda: NOW_MS + 31 * DAY_MS, threading.Event())
        with journal.database.read() as connection:
            left = [
                f"{column.table.name}.{column.name}"
                for table in metadata.sorted_tables
                if table.name not in OF_THE_TEAM
                for column in sealed_columns(table)
                if any(PERSON[1] in one for one in connection.scalars(select(column).where(column.is_not(None))))
            ]

    assert left == []


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
            assert look_up(connection, PERSON[0]).subjects == [("default", "cus_1")]


def test_a_journal_from_before_the_key_reads_and_is_sealed_afterwards(database_url: str) -> None:
    """Plain rows go on reading; rekey leaves none of them, a few at a time, and search still finds people."""
    with opened(database_url, "") as journal:
        fill(journal)

    assert found_in(everything(database_url)) == list(PERSON)

    with opened(database_url, NEW) as journal:
        assert found_in(events_of(journal)[0]["body"]) == list(PERSON)

        steps = list(rekey(journal.database, page=1))

        assert steps[0] == (0, 5)
        assert steps[-1] == (5, 5)
        assert found_in(events_of(journal)[0]["body"]) == list(PERSON)
        with journal.database.read() as connection:
            assert look_up(connection, PERSON[0]).subjects == [("default", "cus_1")]
            assert connection.scalar(select(delivery_table.c.attempts)) == 0
    assert found_in(everything(database_url)) == []


def test_a_new_key_takes_over(database_url: str) -> None:
    """With the old key behind it everything reads; rekey goes on where it was broken off; then the old one may go."""
    with opened(database_url, OLD) as journal:
        fill(journal)
    with opened(database_url, f"{NEW},{OLD}") as journal:
        keep(journal, incoming())
        walk = rekey(journal.database, page=1)
        assert [next(walk), next(walk)] == [(0, 5), (1, 5)]
        walk.close()
        assert list(rekey(journal.database))[-1] == (4, 4)
        assert list(rekey(journal.database)) == [(0, 0)]
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
        with pytest.raises(DecryptionFailed, match="BRIDGE_ENCRYPTION_KEY"):
            attempt()
    wrong.database.close()
    with opened(database_url, OLD) as journal:
        assert len(events_of(journal)) == 2
        with journal.database.read() as connection:
            assert {"sealed", "search_key"} <= set(connection.scalars(select(meta.c.key)))


def test_a_sealed_journal_is_listed_by_value(database_url: str) -> None:
    """By the number beside a delivery, and by the sealed body of an event without one."""
    with opened(database_url, NEW) as sealed:
        ids = [
            keep(sealed, incoming(f"cus_{n}", body=json.dumps(envelope(payment=payment(f"cus_{n}", value=value)))))[0]
            for n, value in enumerate((90, 1100.5, 1100.51))
        ]
        owe(sealed, customer="cus_1", event_id=ids[1], amount=110_050)
        with sealed.database.read() as connection:
            listed = [
                [row["id"] for row in queries.list_events(connection, limit=9, value=ValueRange(*chosen))]
                for chosen in ((110_050, 110_050), (110_051, None), (None, 9_000))
            ]

    assert listed == [[ids[1]], [ids[2]], [ids[0]]]
