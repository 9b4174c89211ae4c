"""Which events of a lane may be processed now: a customer's in their order, and others past one that waits."""

from __future__ import annotations

from bridge.journal import Journal, events
from bridge.model import lane_of
from tests.factories import NOW_MS, events_of, incoming, keep


def waiting(
    journal: Journal, *, now_ms: int = NOW_MS, limit: int = 100, page: int = 500
) -> tuple[list[int], dict[int, int]]:
    """Look at the lane of account default and customer cus_1, where every event of these tests is kept."""
    with journal.database.read() as connection:
        return events.waiting(connection, [lane_of("default", "cus_1", journal.lane_count)], now_ms, limit, page)


def same_lane(journal: Journal, number: int) -> list[str]:
    """Return customers whose events share the lane of cus_1."""
    wanted = lane_of("default", "cus_1", journal.lane_count)
    found = ["cus_1"]
    candidate = 2
    while len(found) < number:
        if lane_of("default", f"cus_{candidate}", journal.lane_count) == wanted:
            found.append(f"cus_{candidate}")
        candidate += 1
    return found


def hold(journal: Journal, event_id: int, due_ms: int) -> None:
    """Put an event off."""
    with journal.database.write() as connection:
        events.hold(connection, {event_id: (due_ms, "asaas.unavailable", "the Asaas API did not answer")})


def test_events_are_ready_in_the_order_of_arrival(journal: Journal) -> None:
    """All customers of a lane together, oldest first, up to the limit and over more than one page."""
    one, two = same_lane(journal, 2)
    ids = keep(journal, *(incoming(customer) for customer in [one, two, two, one, one, two, one]))

    assert waiting(journal) == (ids, {})
    assert waiting(journal, limit=3, page=2)[0] == ids[:3]
    assert waiting(journal, page=3)[0] == ids
    assert waiting(journal, page=7)[0] == ids


def test_events_of_other_lanes_are_not_seen(journal: Journal) -> None:
    """Another lane's worker sees to its events."""
    other = next(
        f"x{n}" for n in range(500) if lane_of("default", f"x{n}", journal.lane_count) != same_lane_of(journal)
    )
    keep(journal, incoming(other))

    assert waiting(journal) == ([], {})


def same_lane_of(journal: Journal) -> int:
    """Return the lane of these tests."""
    return lane_of("default", "cus_1", journal.lane_count)


def test_a_customers_later_events_wait_behind_a_held_one(journal: Journal) -> None:
    """Who is held holds back that customer only; the later ones are named with the time they wait for."""
    one, two = same_lane(journal, 2)
    ids = keep(journal, *(incoming(customer) for customer in [one, two, one, two, one]))
    hold(journal, ids[0], NOW_MS + 700)

    assert waiting(journal) == ([ids[1], ids[3]], {ids[2]: NOW_MS + 700, ids[4]: NOW_MS + 700})
    assert waiting(journal, now_ms=NOW_MS + 700) == (ids, {})
    row = events_of(journal)[0]
    assert (row["hold_code"], row["hold_reason"]) == ("asaas.unavailable", "the Asaas API did not answer")


def test_an_earlier_event_is_not_held_back_by_a_later_one(journal: Journal) -> None:
    """Only what stands behind a held event waits."""
    first, second = keep(journal, incoming(), incoming())
    hold(journal, second, NOW_MS + 700)

    assert waiting(journal) == ([first], {})


def test_the_same_customer_id_of_another_account_is_another_customer(journal: Journal) -> None:
    """A held event of one account holds back no event of another, whatever the customer's id."""
    account = next(
        f"conta{n}" for n in range(500) if lane_of(f"conta{n}", "cus_1", journal.lane_count) == same_lane_of(journal)
    )
    held, free = keep(journal, incoming(), incoming(account=account))
    hold(journal, held, NOW_MS + 700)

    assert waiting(journal) == ([free], {})


def test_what_stands_behind_is_named_in_bounded_portions(journal: Journal) -> None:
    """A customer with thousands of events behind a held one does not make one transaction of thousands of updates."""
    ids = keep(journal, *(incoming() for _ in range(50)))
    hold(journal, ids[0], NOW_MS + 700)
    ready, behind = waiting(journal, limit=10, page=7)

    assert (ready, list(behind)) == ([], ids[1:11])


def test_a_processed_event_is_not_held(journal: Journal) -> None:
    """A hold that comes after the event was processed changes nothing."""
    (event_id,) = keep(journal, incoming())
    with journal.database.write() as connection:
        events.mark_processed(connection, [event_id], NOW_MS + 3)
        events.mark_processed(connection, [], NOW_MS + 9)
        events.hold(connection, {event_id: (NOW_MS + 700, "code", "reason")})
        events.hold(connection, {})

    (row,) = events_of(journal)
    assert (row["state"], row["processed_ms"], row["hold_code"], row["due_ms"]) == (
        "processed",
        NOW_MS + 3,
        None,
        NOW_MS,
    )


def test_events_are_loaded_in_the_order_of_arrival(journal: Journal) -> None:
    """Whatever order the numbers are given in."""
    ids = keep(journal, *(incoming(f"cus_{n}") for n in range(5)))
    with journal.database.read() as connection:
        loaded = events.load(connection, [ids[3], ids[0], ids[4]])

    assert [event.id for event in loaded] == [ids[0], ids[3], ids[4]]
    assert loaded[0].subject == "cus_0"
