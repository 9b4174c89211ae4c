"""`bridge forget` and `bridge export`: a person's requests under the LGPD, on both databases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from bridge.errors import StillOwed
from bridge.journal import Journal, audit, deliveries, destinations, events, jobs, people
from bridge.journal.audit import Actor
from bridge.journal.rekey import clear_log
from bridge.journal.schema import attempts
from bridge.journal.schema import destinations as destination_table
from bridge.journal.search import Kind, Term, look_up, write
from bridge.model import DeliveryState
from tests.commands import Commands
from tests.conformance.test_encryption import everything
from tests.factories import (
    NOW_MS,
    envelope,
    events_of,
    incoming,
    keep,
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
        write(connection, [Term(text, Kind.SUBJECT, *WHO) for text in (EMAIL, CPF, "ana", "souza")])
        write(connection, [Term("00042", Kind.OBJECT, "default", "pay_ana"), Term("x", Kind.SUBJECT, "default", "c")])
        job = jobs.begin(connection, "test-charge", "default", {"customer": "cus_ana", "name": NAME}, "Ana", NOW_MS)
        jobs.begin(connection, "reconcile", "default", {}, "Ana", NOW_MS)
        jobs.finish(connection, job, NOW_MS, {"email": EMAIL})
    finished = NOW_MS if state is DeliveryState.DEAD else None
    put_in_state(journal, id_, state, due_ms=None, reason=f"{NAME} was refused", finished_ms=finished)
    with journal.database.write() as connection:
        events.mark_processed(connection, [event_id], NOW_MS)
    return id_


def test_a_person_is_erased_from_everything(database_url: str) -> None:
    """From rows, hashes, pages and log; what stays says what happened, and to nobody. Others stay as they are."""
    with opened_journal(database_url) as journal:
        fill(journal)
        with journal.database.read() as connection:
            found = people.find(connection, text=EMAIL)
            assert found == people.find(connection, customer="cus_ana") == people.find(connection, text=CPF) == [WHO]
        with journal.database.write() as connection:
            held = people.forget(connection, found, ANA, NOW_MS)
        clear_log(journal.database)
        seen = everything(database_url)

        assert (held.events, held.deliveries, held.attempts, held.search_terms) == (1, 1, 1, 5)
        assert [value for value in (EMAIL, NAME, CPF, "cus_ana") if value in seen] == []
        assert "other@example.com" in seen
        (mine,) = [row for row in rows_of(journal) if row["object_id"] == "pay_ana"]
        assert (mine["state"], mine["payload"], mine["reason"], mine["read_back"]) == ("dead", None, None, None)
        event = next(row for row in events_of(journal) if row["object_id"] == "pay_ana")
        assert json.loads(event["body"])["payment"] == {"status": "OVERDUE"}
        assert event["subject"] == mine["subject"] != "cus_ana"
        assert tries_of(journal, mine["id"])[0]["excerpt"] is None
        with journal.database.read() as connection:
            assert people.find(connection, text=EMAIL) == people.find(connection, customer="cus_ana") == []
            assert look_up(connection, "x").subjects == ("c",)
            assert destinations.load(connection)["default"].failed_subject == f"default {mine['subject']}"
            (noted,) = audit.newest(connection, 9)
        assert (noted.action, noted.about) == ("person.forgotten", "1 customers")
        assert noted.detail == {"events": 1, "deliveries": 1, "dropped": 0}


def test_what_is_still_owed_is_not_dropped_by_the_way(database_url: str) -> None:
    """It is refused, unless said; what is being sent at this moment can't be dropped."""
    with opened_journal(database_url) as journal:
        id_ = fill(journal, DeliveryState.SENDING)
        keep(journal, incoming("cus_ana"))
        for also_open, why in ((False, "1 events wait and 1 deliveries are owed"), (True, "being sent at this moment")):
            with pytest.raises(StillOwed, match=why), journal.database.write() as connection:
                people.forget(connection, [WHO], ANA, NOW_MS, also_open=also_open)
        assert NAME in everything(database_url)
        put_in_state(journal, id_, DeliveryState.RETRYING, due_ms=NOW_MS)
        with journal.database.write() as connection:
            people.forget(connection, [WHO], ANA, NOW_MS, also_open=True)
        clear_log(journal.database)

        assert [(row["state"], row["due_ms"]) for row in rows_of(journal)] == [("discarded", None), ("pending", NOW_MS)]
        assert "received" not in [row["state"] for row in events_of(journal)]
        assert NAME not in everything(database_url)


def test_export_gives_everything_as_json(commands: Commands) -> None:
    """Events with bodies, deliveries with payloads, attempts with answers."""
    with commands.journal() as journal:
        fill(journal)
        said = commands.run("export", "--email", EMAIL)

    found = said.json
    assert found["customers"] == [{"account": "default", "customer": "cus_ana"}]
    (event,) = found["events"]
    (delivery,) = event["deliveries"]
    assert event["body"]["payment"]["description"] == NAME
    assert delivery["payload"] == {"email": EMAIL, "nome": NAME}
    assert delivery["attempts"][0]["excerpt"] == f"thanks, {NAME}"
    assert found["search_terms"] == 5
    assert "other@example.com" not in said.out


def test_forget_says_asks_and_erases(commands: Commands) -> None:
    """A dry run changes nothing; without a terminal it must be said with --yes."""
    with commands.journal() as journal:
        fill(journal)
        dry = commands.run("forget", "--cpf", "529.982.247-25", "--dry-run")
        asked = commands.run("forget", "--customer", "cus_ana")
        no = commands.on_terminal("forget", "--customer", "cus_ana", types="n\n")

        assert dry.out == (
            "1 customer: 1 event, 1 delivery, 1 attempt, 5 search terms; "
            "0 events wait and 0 deliveries are still owed\n"
        )
        assert (asked.status, no.status) == (2, 1)
        assert NAME in everything(commands.journal_url)

        done = commands.run("forget", "--customer", "cus_ana", "--yes")
        again = commands.run("forget", "--customer", "cus_ana", "--yes", "--json")

        assert done.out.endswith("erased\n")
        assert "body, payloads and answers are gone (bridge forget)" in commands.run("events", "show", "1").out
        assert (again.status, again.err.split(";")[0]) == (1, "the journal knows nobody by that")


def test_forget_can_answer_in_json(commands: Commands) -> None:
    """Numbers only."""
    with commands.journal() as journal:
        fill(journal)
        said = commands.run("forget", "--phone", CPF, "--yes", "--json").json

    assert said == {
        "customers": 1,
        "erased": True,
        "events": 1,
        "deliveries": 1,
        "attempts": 1,
        "search_terms": 5,
        "waiting": [],
        "owed": [],
    }


def test_a_person_is_named_in_one_way(commands: Commands) -> None:
    """None or two are wrong use."""
    with commands.journal():
        for arguments in ((), ("--email", EMAIL, "--customer", "cus_ana")):
            said = commands.run("export", *arguments)

            assert (said.status, said.err.startswith("name the person in one way")) == (2, True)
