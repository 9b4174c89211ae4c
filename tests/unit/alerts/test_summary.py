"""When the morning summary is due, and what it says in Portuguese."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bridge.alerts.summary import MAX_PROBLEMS, add_up, compose, next_morning_ms
from bridge.journal.daily import Day
from bridge.journal.notices import StoredNotice
from tests.factories import NOW_MS

MORNING_MS = 1_794_999_600_000
"""Eight o'clock in Brasília; NOW_MS is 08:06."""
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("now_ms", "next_ms"),
    [
        (MORNING_MS - 1, MORNING_MS),
        (MORNING_MS, MORNING_MS + 24 * HOUR_MS),
        (MORNING_MS + 15 * HOUR_MS, MORNING_MS + 24 * HOUR_MS),
        (MORNING_MS - 7 * HOUR_MS, MORNING_MS),
    ],
    ids=["just before", "at eight", "in the evening", "in the night"],
)
def test_it_is_due_at_eight_in_brasilia(now_ms: int, next_ms: int) -> None:
    """The next one after now, whatever the day of UTC is."""
    assert next_morning_ms(now_ms) == next_ms


def test_the_same_charge_of_two_accounts_is_two_charges() -> None:
    """Ids are an account's own; without a choice all accounts count."""
    days = {
        "a": Day(1, 2, 3, {"pay_1": Decimal("1.5")}, 4, 7_000),
        "b": Day(10, 20, 30, {"pay_1": Decimal(2)}, 40, 6_000),
        "c": Day(received=5),
    }
    both, one = add_up(days, ()), add_up(days, ["a"])

    assert (both.received, both.delivered, both.dead, both.waiting, both.oldest_ms) == (16, 22, 33, 44, 6_000)
    assert sum(both.charges.values()) == Decimal("3.5")
    assert (one.received, one.waiting, sum(one.charges.values())) == (1, 4, Decimal("1.5"))


def test_it_speaks_portuguese() -> None:
    """Amounts, numbers and days as they are written in Brazil."""
    day = Day(1200, 3, 1, {"a": Decimal("1000.5"), "b": Decimal(100)}, 2, NOW_MS - 3 * HOUR_MS)
    problem = StoredNotice(1, "destination.paused", "vip", "error", "", "", NOW_MS - 2 * HOUR_MS, NOW_MS, 1, None)
    told = compose(day, [problem], ["paga"], now_ms=NOW_MS, language="pt-BR", public_url="https://ponte.example")
    quiet = compose(Day(), [], [], now_ms=NOW_MS, language="pt-BR")

    assert told.title == "Ponte Asaas–Clint: resumo de 17/11"
    for line in ("R$ 1.100,50", "1.200", "2 cobranças", "há 3 horas", "vip", "há 2 horas", "• paga"):
        assert line.replace(" ", "\xa0" if "$" in line else " ") in told.body
    assert "https://ponte.example/attention" in told.body
    assert "nada em espera agora" in quiet.body
    assert "https" not in quiet.body


def test_a_long_list_is_cut() -> None:
    """Services cut long messages in the middle of a word."""
    one = StoredNotice(1, "webhook.token", "a", "error", "", "", NOW_MS, NOW_MS, 1, None)
    told = compose(Day(), [one] * (MAX_PROBLEMS + 3), [], now_ms=NOW_MS, language="en")

    assert "and 3 more" in told.body
