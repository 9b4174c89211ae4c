"""`bridge forget` and `bridge export`: a person's requests under the LGPD, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from bridge.errors import DeliveriesOpen
from bridge.journal import Journal, audit, deliveries, destinations, events, jobs, privacy, queries
from bridge.journal.audit import Actor
from bridge.journal.deals import Claim, claim_deal
from bridge.journal.encryption import sealed_columns
from bridge.journal.queries import EventFilter
from bridge.journal.schema import attempts, metadata
from bridge.journal.schema import customers as customer_table
from bridge.journal.schema import destinations as destination_table
from bridge.journal.search import Kind, Term, look_up, terms_of_customer, write
from bridge.model import DeliveryState
from tests.commands import Commands
from tests.conformance.test_encryption import everything
from tests.databases import on_both
from tests.factories import (
    NOW_MS,
    envelope,
    events_of,
    incoming,
    keep,
    many_rows,
    opened_journal,
    owe,
    owed,
    payment,
    put_in_state,
    register,
    rows_of,
    tries_of,
)

ANA = Actor("operator Ana")
EMAIL, NAME, CPF = "ana.souza@example.com", "Ana Souza", "52998224725"
WHO = ("default", "cus_ana")
PERSON = json.dumps({"name": NAME, "email": EMAIL, "document": CPF})
JOBS: dict[str, dict[str, Any]] = {
    "trial": {"email": EMAIL, "events": [{"id": 1, "charge": "pay_ana"}]},
    "replay_preview": {"ids": [1, 2], "previews": [{"event_id": 1, "payload": NAME}, {"event_id": 2, "payload": "B"}]},
    "backfill_preview": {
        "previews": [{"event_id": 0, "customer": who, "payload": who} for who in ("cus_ana", "cus_x")]
    },
}
"""What the console's jobs show of Ana, and of others."""


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def fill(journal: Journal, state: DeliveryState = DeliveryState.DEAD) -> int:
    """Let Ana and somebody else into the journal; return the number of Ana's delivery."""
    register(journal)
    body = json.dumps(envelope(payment=payment("cus_ana", id="pay_ana", description=NAME, status="OVERDUE")))
    (event_id,) = keep(journal, incoming("cus_ana", body=body, object_id="pay_ana"))
    payload = json.dumps({"email": EMAIL, "nome": NAME})
    id_ = owe(journal, customer="cus_ana", event_id=event_id, payload=payload, object_id="pay_ana", read_back="asked")
    owe(journal, customer="cus_other", payload='{"email": "other@example.com"}')
    mine = owed(journal, id_)
    with journal.database.write() as connection:
        deliveries.start(connection, [mine], {mine.lane: 1}, NOW_MS)
        connection.execute(update(attempts).values(excerpt=f"thanks, {NAME}", detail=EMAIL))
        connection.execute(update(destination_table).values(failed_subject="default cus_ana"))
        write(connection, [Term(EMAIL, Kind.EMAIL, *WHO), Term(CPF, Kind.DOCUMENT, *WHO)])
        write(connection, [Term(text, Kind.SUBJECT, *WHO) for text in ("ana", "souza")])
        write(connection, [Term("00042", Kind.OBJECT, "default", "pay_ana"), Term("x", Kind.SUBJECT, "default", "c")])
        claim_deal(connection, "default", "pay_ana", WHO, Claim(mine.lane, 1, id_, NOW_MS), NOW_MS)
        connection.execute(insert(customer_table).values(account=WHO[0], id=WHO[1], person=PERSON, seen_ms=NOW_MS))
        for kind, result in JOBS.items():
            job = jobs.begin(connection, kind, "default", {}, "Ana", NOW_MS)
            of_pages, of_files = ({}, result) if kind == "backfill_preview" else (result, {})
            jobs.finish(connection, job, NOW_MS, of_pages, of_files)
        jobs.begin(connection, "reconcile", "default", {}, "Ana", NOW_MS)
    finished = NOW_MS if state is DeliveryState.DEAD else None
    put_in_state(journal, id_, state, due_ms=None, reason=f"{NAME} was refused", finished_ms=finished)
    with journal.database.write() as connection:
        events.mark_processed(connection, [event_id], NOW_MS)
    return id_


@on_both
def test_a_person_is_erased_from_everything(database_url: str) -> None:
    """From rows, hashes, pages and log; what stays says what happened, and to nobody. Others stay as they are."""
    with opened_journal(database_url) as journal:
        fill(journal)
        with journal.database.read() as connection:
            found = privacy.find(connection, "cus_ana")
            assert found == [WHO]
            jobs_before = [job.id for job in jobs.newest(connection, "reconcile", NOW_MS)]
        with journal.database.write() as connection:
            held = privacy.erase(connection, found, ANA, NOW_MS)
            for running in jobs_before:
                jobs.finish(connection, running, NOW_MS, {"nome": NAME})
        assert journal.database.clear_log()
        seen = everything(database_url)

        assert (held.events, held.deliveries, held.attempts, held.search_terms, held.console_jobs) == (1, 1, 1, 5, 4)
        assert [value for value in (EMAIL, NAME, CPF, "cus_ana") if value in seen] == []
        assert "other@example.com" in seen
        (mine,) = [row for row in rows_of(journal) if row["object_id"] == "pay_ana"]
        assert (mine["state"], mine["payload"], mine["reason"], mine["read_back"]) == ("dead", None, None, None)
        event = next(row for row in events_of(journal) if row["object_id"] == "pay_ana")
        assert json.loads(event["body"])["payment"] == {"status": "OVERDUE"}
        assert event["subject"] == mine["subject"] != "cus_ana"
        assert tries_of(journal, mine["id"])[0]["excerpt"] is None
        with journal.database.read() as connection:
            assert privacy.find_by(connection, Kind.EMAIL, EMAIL) == privacy.find(connection, "cus_ana") == []
            assert look_up(connection, "x").subjects == [("default", "c")]
            assert destinations.load(connection)["default"].failed_subject == f"default {mine['subject']}"
            (noted,) = audit.newest(connection, 9)
        assert (noted["action"], noted["about"]) == ("person.forgotten", "1")
        assert noted["detail"] == {"events": 1, "deliveries": 1, "dropped": 0}


def test_what_is_still_owed_is_not_dropped_by_the_way(database_url: str) -> None:
    """It is refused, unless said; what is being sent at this moment can't be dropped."""
    with opened_journal(database_url) as journal:
        id_ = fill(journal, DeliveryState.SENDING)
        keep(journal, incoming("cus_ana"))
        for also_open, why in ((False, "events 1, deliveries 1"), (True, "is being sent")):
            with pytest.raises(DeliveriesOpen, match=why), journal.database.write() as connection:
                privacy.erase(connection, [WHO], ANA, NOW_MS, also_open=also_open)
        assert NAME in everything(database_url)
        put_in_state(journal, id_, DeliveryState.RETRYING, due_ms=NOW_MS)
        with journal.database.write() as connection:
            privacy.erase(connection, [WHO], ANA, NOW_MS, also_open=True)
        journal.database.clear_log()

        assert [(row["state"], row["due_ms"]) for row in rows_of(journal)] == [("discarded", None), ("pending", NOW_MS)]
        assert "received" not in [row["state"] for row in events_of(journal)]
        assert NAME not in everything(database_url)


def test_export_gives_everything_as_json(commands: Commands) -> None:
    """Events with bodies, deliveries with payloads, attempts with answers."""
    with commands.journal() as journal:
        fill(journal)
        said = commands.run("export", "--email", EMAIL)

    found = said.json
    person = {"name": NAME, "email": EMAIL, "phone": "", "document": CPF}
    assert found["customers"] == [{"account": "default", "customer": "cus_ana", "person": person}]
    (event,) = found["events"]
    (delivery,) = event["deliveries"]
    assert event["body"]["payment"]["description"] == NAME
    assert delivery["payload"] == {"email": EMAIL, "nome": NAME}
    assert delivery["attempts"][0]["excerpt"] == f"thanks, {NAME}"
    assert found["search_terms"] == 5
    trial, replay, backfill = found["console_jobs"]
    assert trial["result"]["email"] == EMAIL
    assert replay["previews"] == JOBS["replay_preview"]["previews"][:1]
    assert backfill["previews"] == JOBS["backfill_preview"]["previews"][:1]
    assert "other@example.com" not in said.out


def test_forget_says_asks_and_erases(commands: Commands) -> None:
    """A dry run changes nothing; without a terminal it must be said with --yes."""
    with commands.journal() as journal:
        fill(journal)
        dry = commands.run("forget", "--cpf", "529.982.247-25", "--dry-run")
        asked = commands.run("forget", "--customer", "cus_ana")
        no = commands.on_terminal("forget", "--customer", "cus_ana", types="n\n")

        assert dry.out == (
            "1 customer (cus_ana (default)): 1 event, 1 delivery, 1 attempt, 5 search terms, 4 console jobs; "
            "0 events are not processed, 0 deliveries are due\n"
        )
        assert (asked.status, no.status) == (2, 1)
        assert NAME in everything(commands.journal_url)

        done = commands.run("forget", "--customer", "cus_ana", "--yes")
        again = commands.run("forget", "--customer", "cus_ana", "--yes", "--json")

        assert done.out.endswith("erased\n")
        assert "(bridge forget)" in commands.run("events", "show", "1").out
        assert (again.status, again.err.split(";")[0]) == (1, "the journal has no such person")


def test_forget_can_answer_in_json(commands: Commands) -> None:
    """Numbers only."""
    with commands.journal() as journal:
        fill(journal)
        said = commands.run("forget", "--cpf", CPF, "--yes", "--json").json

    assert said == {
        "customers": 1,
        "erased": True,
        "events": 1,
        "deliveries": 1,
        "attempts": 1,
        "search_terms": 5,
        "waiting": [],
        "owed": [],
        "console_jobs": 4,
    }


def test_a_person_is_named_in_one_way(commands: Commands) -> None:
    """None or two are wrong use."""
    with commands.journal():
        for arguments in ((), ("--email", EMAIL, "--customer", "cus_ana")):
            said = commands.run("export", *arguments)

            assert (said.status, said.err.startswith("name the person in one way")) == (2, True)


PLANTED = (EMAIL, NAME, "11987654321")


@on_both
def test_a_person_in_every_column_there_is_is_forgotten(commands: Commands, database_url: str) -> None:
    """Planted in each column that may hold one, in several versions, and then neither in the bytes nor in the log."""
    planted = json.dumps(dict(zip(("email", "nome", "fone"), PLANTED, strict=True)))
    with opened_journal(database_url) as journal:
        fill(journal)
        many_rows(journal, 500)
        for size in (3000, 0, 9000, 40):
            text = json.dumps({"planted": planted, "size": "x" * size})
            with journal.database.write() as connection:
                for table in metadata.sorted_tables:
                    columns = [] if table.name in SETUP else sealed_columns(table)
                    mine = [table.c.id == MINE[table.name]] if table.name in MINE else []
                    if columns:
                        changed = connection.execute(update(table).where(*mine).values(dict.fromkeys(columns, text)))
                        assert changed.rowcount, f"fill() has no row of {table.name}"
        assert found_of(PLANTED, everything(database_url)) == list(PLANTED)

        said = commands.run("forget", "--customer", "cus_ana", "--yes", DATABASE_URL=database_url)
        exported = commands.run("export", "--customer", "cus_ana", DATABASE_URL=database_url)

        assert (said.status, exported.status) == (0, 1)
        assert found_of((*PLANTED, "cus_ana"), everything(database_url)) == []
        assert found_of(PLANTED, said.out + said.err + exported.out + exported.err) == []


SETUP = frozenset({"alert_receivers", "tenant_accounts", "tenant_clint", "tenant_destinations", "users"})
"""What an operator entered of accounts, destinations, Clint, the people who sign in and those who get alerts."""
MINE = {"events": 1, "deliveries": 1, "attempts": 1}
"""Ana's rows, in tables that hold others' too."""


def found_of(values: Iterable[str], text: str) -> list[str]:
    """Return which of the values stand in a text."""
    return [value for value in values if value in text]


def customer(name: str, email: str, cpf: str, phone: str) -> dict[str, str]:
    """Return a customer as the Asaas API has it; all of them have one accountant."""
    shared = "contador@example.com; fiscal@example.com"
    return {"name": name, "email": email, "cpfCnpj": cpf, "mobilePhone": phone, "additionalEmails": shared}


PEOPLE = {
    ("default", "cus_1"): customer("Ana Souza", EMAIL, CPF, "11911111111"),
    ("default", "cus_2"): customer("Ana Lima", "lima@example.com", "24971563792", CPF),
    ("default", "cus_3"): customer("Bia", "bia@example.com", "11144477735", "11933333333"),
    ("default", "cus_4"): customer("Bia", "bia@example.com", "11144477735", "11944444444"),
    ("sandbox", "cus_1"): customer("Caio", "caio@example.com", "93541134780", "11955555555"),
    ("sandbox", "cus_5"): customer("Ana Souza", EMAIL, CPF, "11966666666"),
}
OF_OLDER = {"one or two": (0, 2), "by kind": (0, 1), "nobody or several": (1, 2)}
"""The status of a journal of this version, and of an older one: it tells a phone from a CPF by the form alone."""


@pytest.mark.parametrize("older", [False, True], ids=["", "older"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--email ana.souza@example.com --account default", ["default cus_1"]),
        ("--email ANA.souza@example.com --all-accounts", ["default cus_1", "sandbox cus_5"]),
        ("--email lima@example.com", ["default cus_2"]),
        ("--email ana", "--email must be"),
        ("--email contador@example.com", "nobody or several"),
        ("--email bia@example.com", "2 customers fit: cus_3 (default), cus_4 (default)"),
        ("--email ana.souza@example.com", "2 customers fit: cus_1 (default), cus_5 (sandbox)"),
        ("--cpf 529.982.247-25 --account default", "one or two"),
        ("--phone 52998224725", "by kind"),
        ("--cpf 5299822472", "--cpf must be"),
        ("--phone (11)95555-5555", ["sandbox cus_1"]),
        ("--phone +55(11)91111-1111", ["default cus_1"]),
        ("--cpf 11911111111", "has no such person"),
        ("--customer cus_1", "2 customers fit: cus_1 (default), cus_1 (sandbox)"),
        ("--customer cus_1 --account sandbox", ["sandbox cus_1"]),
        ("--customer cus", "has no such person"),
        ("--customer cus_1 --account sandbox --all-accounts", "exclude each other"),
    ],
)
def test_each_way_to_name_a_person_reaches_its_own_kind(
    commands: Commands, arguments: str, expected: list[str] | str, older: bool
) -> None:
    """Whole, in one account; several are shown and refused. An older journal does not say of what kind a term is."""
    with commands.journal() as journal:
        for (account, id_), said in PEOPLE.items():
            keep(journal, incoming(id_, account=account))
            terms = terms_of_customer(account, id_, said)
            if older:
                terms = [Term(term.text, Kind.SUBJECT, account, id_) for term in terms]
            with journal.database.write() as connection:
                write(connection, terms)
    found = commands.run("export", *arguments.split())

    if isinstance(expected, list):
        assert [f"{one['account']} {one['customer']}" for one in found.json["customers"]] == expected
    elif expected in OF_OLDER:
        assert found.status == OF_OLDER[expected][older]
    else:
        assert found.status in {1, 2}
        assert expected in found.err


@on_both
def test_equal_ids_of_two_accounts_are_two_people(database_url: str) -> None:
    """One is forgotten, kept out of the other's search, and its terms go while the other's event is full."""
    with opened_journal(database_url) as journal:
        for account in ("default", "sandbox"):
            keep(journal, incoming("cus_1", account=account, object_id="pay_1"))
            said = customer(account, f"{account}@example.com", CPF, "11911111111")
            terms = [*terms_of_customer(account, "cus_1", said), Term(account, Kind.OBJECT, account, "pay_1")]
            with journal.database.write() as connection:
                write(connection, terms)
        with journal.database.write() as connection:
            events.mark_processed(connection, [1, 2], NOW_MS)
            held = privacy.erase(connection, [("default", "cus_1")], ANA, NOW_MS)
            left = connection.exec_driver_sql("SELECT DISTINCT account FROM search_terms").scalars().all()

        assert (held.events, left) == (1, ["sandbox"])
        mine, other = events_of(journal)
        assert (mine["subject"] != "cus_1", mine["emptied_ms"]) == (True, NOW_MS)
        assert (other["subject"], other["emptied_ms"]) == ("cus_1", None)
        with journal.database.read() as connection:
            assert queries.event_page(connection, EventFilter(text="sandbox@example.com"), 9)[0]["id"] == other["id"]
            assert queries.event_page(connection, EventFilter(text="default@example.com"), 9) == []
