"""The load of the benches."""

from __future__ import annotations

import json
from collections import Counter

from tests.bench.bulk import bulk, bulk_customers


def test_load_is_the_same_each_time_and_touches_everybody() -> None:
    """The load repeats byte by byte, has an id of its own for each event, and an event for each customer."""
    load = list(bulk(30, 200))
    bodies = [json.loads(body) for _, body in load]

    assert load == list(bulk(30, 200))
    assert load != list(bulk(30, 200, seed=1))
    assert [body["id"] for body in bodies] == [event_id for event_id, _ in load]
    assert len({event_id for event_id, _ in load}) == 200
    assert {body["payment"]["customer"] for body in bodies} == {customer["id"] for customer in bulk_customers(30)}
    assert set(Counter(body["event"] for body in bodies)) >= {"PAYMENT_CREATED", "PAYMENT_RECEIVED", "PAYMENT_OVERDUE"}


def test_load_tells_each_charge_in_order() -> None:
    """A charge begins with CREATED, and its events never go back in time."""
    first: dict[str, str] = {}
    times: dict[str, str] = {}
    for _, raw in bulk(20, 300):
        body = json.loads(raw)
        charge = body["payment"]["id"]
        first.setdefault(charge, body["event"])
        assert times.get(charge, "") <= body["dateCreated"]
        times[charge] = body["dateCreated"]

    assert set(first.values()) == {"PAYMENT_CREATED"}
    assert len(list(bulk(20, 5))) == 5
