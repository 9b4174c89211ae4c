"""The judge of the trial sees each kind of wrong deal: planted one at a time into a log of writes that is in order."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.simulator.clint.account import KEY_FIELD
from tests.trial.judge import Charge, judge
from tests.trial.measured import COLUMNS, row, table
from tests.trial.run import LONG_WAY, Trial, plan, told

NEW, OVERDUE, PAID = ("Nova cobrança", "OPEN"), ("Vencida", "OPEN"), ("Paga", "WON")
PERSONS = ("Vencida", "LOST")
CHARGES = [
    Charge("pay_1", "cus_1", ("PAYMENT_CREATED", "PAYMENT_OVERDUE", "PAYMENT_RECEIVED"), (100, 101, 102)),
    Charge("pay_2", "cus_1", ("PAYMENT_CREATED", "PAYMENT_UPDATED"), (100, 101)),
]


class Log:
    """A log of writes, as the simulated Clint has it."""

    def __init__(self) -> None:
        self.writes: list[dict[str, Any]] = []
        self._last: dict[str, dict[str, Any]] = {}

    def add(self, deal: str, place: tuple[str, str], value: float, by: str = "api", key: str = "", **more: Any) -> None:
        """Note a write."""
        before = self._last.get(deal)
        write = {
            "sequence": len(self.writes) + 1,
            "deal_id": deal,
            "by": by,
            "what": "changed" if before else "created",
            "stage_before": before and before["stage"],
            "status_before": before and before["status"],
            "stage": place[0],
            "status": place[1],
            "value": value,
            "fields": {KEY_FIELD: key} if key else {},
            **more,
        }
        self.writes.append(write)
        self._last[deal] = write


@pytest.fixture
def log() -> Log:
    """Give the log of two charges that are one deal each; the second one was moved by a person."""
    log = Log()
    log.add("d1", NEW, 100, key="pay_1")
    log.add("d2", NEW, 100, key="pay_2")
    log.add("d1", OVERDUE, 101)
    log.add("d2", PERSONS, 100, by="person")
    log.add("d1", PAID, 102)
    log.add("d2", PERSONS, 101)
    return log


def test_deals_in_their_places_are_no_breach(log: Log) -> None:
    """One deal for each charge, where its last event put it or a person left it."""
    found = judge(log.writes, CHARGES)

    assert found.breaches == []
    assert (found.deals, found.doubled, found.misplaced, found.moved, found.writes) == (2, 0, 0, 1, 6)


def test_a_second_deal_is_seen(log: Log) -> None:
    """Also where it stands in the right place."""
    log.add("d3", PAID, 102, key="pay_1")
    found = judge(log.writes, CHARGES)

    assert (found.deals, found.doubled) == (3, 1)
    assert "charge pay_1 has 2 deals instead of one" in found.breaches


def test_a_charge_without_a_deal_is_seen(log: Log) -> None:
    """And so is a deal that no charge asked for, or that has lost its key."""
    log.add("d3", NEW, 1)
    log.add("d4", NEW, 1, key="pay_9")
    found = judge(log.writes, [*CHARGES, Charge("pay_3", "cus_1", ("PAYMENT_CREATED",), (1,))])

    assert len(found.breaches) == 3
    assert "charge pay_3 has 0 deals instead of one" in found.breaches


@pytest.mark.parametrize(
    ("deal", "place", "value", "more"),
    [
        ("d1", OVERDUE, 102, {}),
        ("d1", ("Paga", "OPEN"), 102, {}),
        ("d1", PAID, 101, {}),
        ("d1", PAID, 102, {"what": "removed"}),
        ("d2", NEW, 101, {}),
        ("d1", ("Estornada", "LOST"), 102, {}),
    ],
    ids=["an older stage", "another status", "an older value", "removed", "a person's place", "a stage of no event"],
)
def test_a_deal_that_ends_otherwise_is_seen(
    log: Log, deal: str, place: tuple[str, str], value: float, more: dict[str, Any]
) -> None:
    """Whatever the last write leaves."""
    log.add(deal, place, value, **more)
    found = judge(log.writes, CHARGES)

    assert found.misplaced == 1
    assert found.breaches


def test_a_deal_that_went_back_on_its_way_is_seen() -> None:
    """The last event's place alone does not show that events were written out of order."""
    log = Log()
    for place in (NEW, PAID, OVERDUE, PAID):
        log.add("d1", place, 102, key="pay_1")

    assert judge(log.writes, CHARGES[:1]).misplaced == 1


def test_the_plan_has_ten_events_for_each_three_charges() -> None:
    """Each customer has six charges, and the events of a charge keep their order."""
    charges = plan(3_000)
    events = told(charges)
    first = [place for charge, place in events if charge.id == charges[0].id]

    assert len({charge.id for charge in charges}) == 3_000
    assert len({charge.customer for charge in charges}) == 500
    assert len(events) == 10_000
    assert first == list(range(len(LONG_WAY)))
    assert events == told(charges)


def test_the_table_has_a_row_for_each_database(log: Log) -> None:
    """With every column."""
    trial = Trial(2, 1, 5, 90.0, kills=3, lost=1_234, busy=0, contacts=1, judgement=judge(log.writes, CHARGES))
    lines = table({"sqlite": row(trial)}).splitlines()

    assert lines[-1] == "| sqlite | 5 | 2 | 1 | 1,234 | 0 | 3 | 1 | 1 | 2 | 0 | 0 | 1.5 |"
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 2}
