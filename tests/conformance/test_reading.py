"""What people ask of the journal: lists from the newest backwards, one event's whole way, and what is unfinished."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.journal import Journal, destinations, queries, statistics
from bridge.journal.queries import DeadFilter, EventFilter
from bridge.model import DeliveryState
from tests.factories import NOW_MS, events_of, incoming, keep, owe, put_in_state, register


def test_events_are_listed_newest_first_in_pages(journal: Journal) -> None:
    """A page ends at the limit; the next begins before its last number; bodies are left out."""
    ids = keep(journal, *(incoming() for _ in range(5)))
    with journal.database.read() as connection:
        first = queries.list_events(connection, limit=2)
        second = queries.list_events(connection, limit=9, before_id=first[-1]["id"])

    assert [row["id"] for row in first + second] == ids[::-1]
    assert "body" not in first[0]


def test_events_are_chosen(journal: Journal) -> None:
    """By name, account, object, state and time of arrival; all conditions must hold."""
    ids = keep(
        journal,
        incoming(name="PAYMENT_CREATED", received_ms=NOW_MS),
        incoming(account="matriz", received_ms=NOW_MS + 10),
        incoming(object_id="pay_2", received_ms=NOW_MS + 20),
    )
    with journal.database.read() as connection:
        assert queries.event_ids(connection) == ids
        assert queries.event_ids(connection, name="PAYMENT_CREATED") == ids[:1]
        assert queries.event_ids(connection, account="matriz") == ids[1:2]
        assert queries.event_ids(connection, object_id="pay_2", account="matriz") == []
        assert queries.event_ids(connection, since_ms=NOW_MS + 10, until_ms=NOW_MS + 20) == ids[1:2]
        assert queries.event_ids(connection, state="processed") == []


def test_an_event_is_found_by_its_number_or_its_whole_id(journal: Journal) -> None:
    """A number that is an id, too, is a number first; what is not there is None."""
    (first,) = keep(journal, incoming(key="evt_1&9"))
    (second,) = keep(journal, incoming(key="7777"))
    with journal.database.read() as connection:
        found = [queries.find_event(connection, ref) for ref in (str(first), "evt_1&9", "7777", "evt_1", "9" * 30, "٣")]

    assert [row["id"] if row else None for row in found] == [first, first, second, None, None, None]
    assert found[0] is not None
    assert found[0]["body"] == events_of(journal)[0]["body"]


def test_deliveries_are_listed_and_chosen(journal: Journal) -> None:
    """Newest first, by state, mapping, destination and reason; with their event's name, without payloads."""
    one = owe(journal)
    dead = owe(journal, customer="cus_2", mapping="criada", state=DeliveryState.DEAD, reason_code="x.y")
    other = owe(journal, customer="cus_3", destination="erp")
    with journal.database.read() as connection:

        def ids(**wanted: object) -> list[int]:
            return [row["id"] for row in queries.list_deliveries(connection, limit=9, **wanted)]  # type: ignore[arg-type]

        assert ids() == [other, dead, one]
        assert ids(before_id=other) == [dead, one]
        assert ids(states=["dead"]) == ids(mapping="criada") == ids(code="x.y") == [dead]
        assert ids(states=["pending", "dead"]) == [other, dead, one]
        assert ids(destination="erp", states=["pending"]) == [other]
        (row,) = queries.list_deliveries(connection, limit=1)
        assert row["event_name"] == "PAYMENT_RECEIVED"
        assert "payload" not in row
        for chosen in (DeadFilter(), DeadFilter(code="x.y")):
            assert [id_ for id_, _, _ in queries.dead_page(connection, chosen)] == [dead]
        assert queries.dead_page(connection, DeadFilter(mapping="paga")) == []


def test_one_events_whole_way(journal: Journal) -> None:
    """Its deliveries with payloads, their attempts, and the state of each mapping's newest delivery."""
    (event_id,) = keep(journal, incoming())
    first = owe(journal, event_id=event_id)
    owe(journal, event_id=event_id, mapping="criada", state=DeliveryState.FILTERED, payload=None)
    with journal.database.read() as connection:
        found = queries.deliveries_of(connection, event_id)
        assert [row["mapping"] for row in found] == ["paga", "criada"]
        assert found[0]["payload"] == '{"email": "ana@example.com"}'
        assert queries.attempts_of(connection, first) == []
        assert queries.mappings_of(connection, [event_id, 99]) == {
            event_id: {"paga": "pending", "criada": "filtered"},
            99: {},
        }


@pytest.mark.parametrize(
    ("then", "stands"),
    [
        (["filtered"], "delivered"),
        (["stale"], "delivered"),
        (["discarded"], "delivered"),
        (["dead", "filtered"], "delivered"),
        (["filtered", "stale"], "delivered"),
        (["dead"], "dead"),
        (["pending"], "pending"),
        (["delivered"], "delivered"),
    ],
)
def test_a_replay_that_sends_nothing_takes_nothing_back(journal: Journal, then: list[str], stands: str) -> None:
    """What was delivered before stands, for the lists, the reconciliation and the lists' filters alike."""
    (event_id,) = keep(journal, incoming(object_id="pay_1"))
    for replay, state in enumerate(["delivered", *then]):
        owe(journal, event_id=event_id, replay=replay, state=DeliveryState(state))
    owe(journal, event_id=event_id, mapping="criada", state=DeliveryState.STALE)
    with journal.database.read() as connection:
        assert queries.mappings_of(connection, [event_id]) == {event_id: {"paga": stands, "criada": "stale"}}
        (charge,) = queries.events_of_charge(connection, "default", ["pay_1"])["pay_1"]
        assert [state.value for state in charge.states] == [stands, "stale"]
        for wanted in (EventFilter(), EventFilter(text="pay_1"), EventFilter(name="PAYMENT_RECEIVED")):
            shown = {
                state
                for state in ("delivered", "filtered", "stale", "discarded")
                if queries.event_page(connection, replace(wanted, state=state, mapping="paga"), 9)
            }
            assert shown == {"delivered"}
        assert queries.event_page(connection, EventFilter(state="stale"), 9)


def test_what_is_unfinished_is_counted(journal: Journal) -> None:
    """Events nobody looked at with the age of the oldest, open and dead deliveries, destinations that are up."""
    with journal.database.read() as connection:
        empty = statistics.gauges(connection, NOW_MS)
    assert (empty.events_waiting, empty.oldest_waiting_s) == (0, 0.0)
    assert empty.deliveries == {"pending": 0, "sending": 0, "retrying": 0, "dead": 0}

    register(journal, a="https://a.example", b="https://b.example", c="https://c.example")
    keep(journal, incoming(received_ms=NOW_MS - 5_000), incoming(received_ms=NOW_MS - 1_000))
    owe(journal)
    owe(journal, customer="cus_2", state=DeliveryState.DEAD)
    put_in_state(journal, owe(journal, customer="cus_3"), DeliveryState.RETRYING)
    put_in_state(journal, owe(journal, customer="cus_4"), DeliveryState.DELIVERED, due_ms=None)
    with journal.database.write() as connection:
        destinations.pause(connection, "b", "gone", NOW_MS)
        before = destinations.load(connection)["c"]
        destinations.save(connection, before, destinations.Destination("c", before.url_digest, state="open"))
        work = statistics.gauges(connection, NOW_MS)

    assert (work.events_waiting, work.oldest_waiting_s) == (2, 5.0)
    assert work.deliveries == {"pending": 1, "sending": 0, "retrying": 1, "dead": 1}
    assert [one.paused_ms for one in work.destinations.values()] == [None, NOW_MS, None]
    assert [one.state for one in work.destinations.values()] == ["closed", "closed", "open"]
