"""The judge sees each kind of broken promise: planted one at a time into a journal and a history that are in order."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bridge.journal import events
from bridge.journal.database import Database
from bridge.model import DeliveryState, idempotency_key
from bridge.simulator.clint.account import KEY_FIELD
from tests.factories import delivery, incoming, keep, opened_journal, owe_all, put_in_state, register
from tests.torture.judge import Expected, judge, judge_deals, settled

NOW_MS = int(time.time() * 1000)
KEYS = ("evt_1", "evt_2")
MAPPINGS = ("a_funil", "b_cobranca")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a journal's file with two events of one customer, both delivered by both mappings."""
    file = tmp_path_factory.mktemp("judge") / "journal.db"
    with opened_journal(f"sqlite:///{file}") as journal:
        register(journal)
        for number, key in enumerate(KEYS, 1):
            (event_id,) = keep(journal, incoming(key=key, object_id=f"pay_{number}"))
            with journal.database.write() as connection:
                events.mark_processed(connection, [event_id], NOW_MS)
            new = [delivery(journal, event_id=event_id, mapping=mapping) for mapping in MAPPINGS]
            for place, id_ in enumerate(owe_all(journal, new)):
                put_in_state(journal, id_, DeliveryState.DELIVERED, id=number * 10 + place, due_ms=None)
    return file


@pytest.fixture
def database(sound: Path, tmp_path: Path) -> Iterator[Database]:
    """Give a copy of the sound journal, to plant a breach into."""
    database = Database(f"sqlite:///{shutil.copy(sound, tmp_path / 'journal.db')}")
    yield database
    database.close()


def history() -> list[dict[str, Any]]:
    """Return what the destination got: each delivery once, in order."""
    entries: list[dict[str, Any]] = []
    for place, key in enumerate(KEYS):
        for mapping in MAPPINGS:
            started_ms = float(NOW_MS + len(entries) * 100)
            body = {"cliente": "cus_1", "ordem": str(place), **({"nome": "Ana"} if mapping == "a_funil" else {})}
            entries.append(
                {
                    "body": body,
                    "headers": {"idempotency-key": idempotency_key("default", key, mapping, 0)},
                    "result": "created",
                    "started_ms": started_ms,
                    "finished_ms": started_ms + 50,
                }
            )
    return entries


def breaches(database: Database, entries: list[dict[str, Any]], expected: Expected | None = None) -> str:
    """Return what the judge says is wrong."""
    return "\n".join(judge(database, entries, expected or Expected(KEYS)).breaches)


def test_a_sound_bridge_has_no_breach(database: Database) -> None:
    """Where everything is in order the judge finds nothing, and counts what there is."""
    found = judge(database, history(), Expected(KEYS))

    assert (found.kept, found.states["delivered"], found.repeats, found.unknown, found.breaches) == (2, 4, 0, 0, [])
    assert settled(database)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM deliveries WHERE event_id = 2; DELETE FROM events WHERE id = 2", "evt_2 was answered 200 and is"),
        ("DELETE FROM deliveries WHERE id = 21", "event 2 has 1 deliveries instead of 2"),
        (
            "UPDATE events SET state = 'received', due_ms = 9e15 WHERE id = 2",
            "event 2 still waits (None); its time nev",
        ),
        ("UPDATE events SET state = 'received', due_ms = 5 WHERE id = 2", "event 2 still waits (None); its time comes"),
        ("UPDATE deliveries SET state = 'dead' WHERE id = 21", "delivery 21 is dead without a reason"),
        ("UPDATE deliveries SET state = 'retrying' WHERE id = 21", "is still retrying (None); its time never comes"),
        (
            "UPDATE deliveries SET state = 'pending', due_ms = 5 WHERE id = 21",
            "is still pending (None); its time comes",
        ),
        (
            "UPDATE deliveries SET state = 'pending' WHERE event_id = 2",
            "delivery 21 is still pending (None); behind an",
        ),
        ("UPDATE deliveries SET replay = 1 WHERE id = 21", "counts as delivered and the destination has not got it"),
        ("UPDATE deliveries SET replay = 1 WHERE id = 21", "got 1 deliveries of which the journal knows nothing"),
    ],
)
def test_a_planted_breach_in_the_journal_is_seen(database: Database, statement: str, words: str) -> None:
    """A lost event, a missing delivery, a state without an exit and a delivery that never arrived are seen."""
    with database.write() as connection:
        for one in statement.split("; "):
            connection.execute(text(one))

    assert words in breaches(database, history())


def _again(entries: list[dict[str, Any]]) -> None:
    entries.insert(1, {**entries[0], "started_ms": entries[0]["started_ms"] + 60})


def _swapped(entries: list[dict[str, Any]]) -> None:
    entries[0]["body"], entries[2]["body"] = entries[2]["body"], entries[0]["body"]


def _at_once(entries: list[dict[str, Any]]) -> None:
    entries[0]["finished_ms"] = entries[1]["started_ms"] + 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_again, "written 1 times more than its 0 unknown outcomes allow"),
        (_swapped, "customer cus_1: events went out in another order"),
        (_at_once, "customer cus_1: two deliveries were on their way at once"),
    ],
)
def test_a_planted_breach_in_the_history_is_seen(
    database: Database, change: Callable[[list[dict[str, Any]]], None], words: str
) -> None:
    """A repeat that nobody can explain, another order and two deliveries at once are seen."""
    entries = history()
    change(entries)

    assert words in breaches(database, entries)


def test_a_repeat_after_an_unknown_outcome_is_none(database: Database) -> None:
    """What was written twice because nobody knew whether it had arrived is allowed once for each such attempt."""
    entries = history()
    _again(entries)
    with database.write() as connection:
        connection.execute(
            text(
                "INSERT INTO attempts (delivery_id, number, fence, started_ms, outcome) VALUES (10, 1, 1, 1, 'unknown')"
            )
        )

    assert breaches(database, entries) == ""


def test_a_charge_that_was_brought_in_twice_is_seen(database: Database) -> None:
    """What was told in another way than by a post has one event for each charge, and nothing else is there."""
    found = breaches(database, history(), Expected(KEYS[:1], ("pay_2",)))
    twice = breaches(database, history(), Expected((), ("pay_3",)))

    assert found == ""
    assert "charge pay_3 has 0 events instead of one" in twice
    assert "1 events are kept that nobody was told were" in twice


def test_what_a_person_sends_again_begins_a_new_order(database: Database) -> None:
    """An event that a person has sent again may follow a later one; not within what that person asked for."""
    entries = history()
    again = [{**entry, "started_ms": entry["started_ms"] + 10_000, "result": "fault"} for entry in entries[:2]]
    acted = Expected(KEYS, acted_ms=[NOW_MS + 5_000.0])

    assert breaches(database, [*entries, *again], acted) == ""
    assert "in another order" in breaches(database, [*entries, *again])


def _told(number: int) -> bytes:
    payment = {"id": f"pay_{number}", "customer": "cus_1", "value": 10}
    return json.dumps({"event": "PAYMENT_CREATED", "payment": payment}).encode()


def _deal(number: int, key: str = "", **more: Any) -> dict[str, Any]:
    """Return the write that created a deal."""
    place = {"stage": "Nova cobrança", "status": "OPEN", "stage_before": None, "status_before": None}
    told = {"deal_id": f"d{number}", "sequence": number, "by": "api", "what": "created", "value": 10.0, **place}
    return {**told, "fields": {KEY_FIELD: key or f"pay_{number}"}, **more}


@pytest.mark.parametrize(
    ("statement", "writes", "words"),
    [
        ("", [_deal(1), _deal(2)], ""),
        ("", [_deal(1), _deal(2), _deal(3, "pay_2")], "charge pay_2 has 2 deals instead of one"),
        ("", [_deal(1)], "charge pay_2 has 0 deals instead of one"),
        ("", [_deal(1), _deal(2, stage="Paga", status="WON")], "charge pay_2: in ('Paga', 'WON') instead of"),
        ("DELETE FROM deliveries WHERE id = 21", [_deal(1), _deal(2)], "event 2 has 1 deliveries instead of 2"),
        (
            "UPDATE deliveries SET state = 'discarded', reason_code = 'clint.deal_removed' WHERE id = 21",
            [_deal(1), _deal(2)],
            "delivery 21 ended as discarded (clint.deal_removed)",
        ),
    ],
)
def test_the_judge_of_deals_sees_a_planted_breach(
    database: Database, statement: str, writes: list[dict[str, Any]], words: str
) -> None:
    """A second deal, a missing one, a wrong place, and what the journal has of the events."""
    if statement:
        with database.write() as connection:
            connection.execute(text(statement))
    found = "\n".join(judge_deals(database, writes, [_told(1), _told(2)], Expected(KEYS)).breaches)

    assert (words in found) if words else found == ""
