"""The arithmetic of a hosted bridge: what so many merchants bring in a month, in the busiest hour, and on the disk.

What is measured comes from a run of `make bench-hosts`; what nobody can measure here is assumed, and stands in `Habits`
with its reason. Change these, run `make scale`, and the page follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).with_name("measured.json")
HOURS_A_MONTH = 730
SIZES = (10, 1_000, 100_000)


@dataclass(frozen=True, slots=True)
class Habits:
    """What merchants do. Assumptions, not measurements."""

    charges: float = 60
    """Charges that a merchant makes in a month: many have ten, a gym or a school has hundreds."""
    events: float = 3
    """Events of a charge: created and received always, confirmed or overdue for most."""
    peak_hour: float = 0.05
    """Share of the month's events that comes in its busiest hour: invoicing in bulk at the end of the month."""
    peak_quarter: float = 0.4
    """Share of that hour's events that comes in its busiest quarter."""
    run: float = 200
    """Events of one run in bulk, which Asaas sends one after the other."""


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU times and sizes of one event, measured on PostgreSQL by `make bench-hosts`."""

    web_ms: float
    """Of a web process, for an answer."""
    answer_database_ms: float
    """Of PostgreSQL, for an answer."""
    worker_ms: float
    """Of a worker, to decide, send and record one delivery."""
    delivery_database_ms: float
    """Of PostgreSQL, for one delivery."""
    event_bytes: float
    """Of the journal, for an event with its delivery and attempt, indexes included."""
    source: str

    @classmethod
    def measured(cls, path: Path = MEASURED) -> Costs:
        """Return what the run with the fewest workers has left: with more, they wait for each other's cores."""
        told: Mapping[str, Any] = json.loads(path.read_text())
        rate = min(told["rates"], key=lambda rate: int(rate["workers"]))
        return cls(
            rate["web_ms"],
            rate["postgresql_answer_ms"],
            rate["worker_ms"],
            rate["postgresql_ms"],
            rate["event_bytes"],
            f"commit {told['commit']}, {told['cores']} cores",
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """What so many merchants bring."""

    merchants: int
    habits: Habits
    costs: Costs

    @property
    def month(self) -> float:
        """Events a month."""
        return self.merchants * self.habits.charges * self.habits.events

    @property
    def mean_per_s(self) -> float:
        """Events a second, over the whole month."""
        return self.month / HOURS_A_MONTH / 3600

    @property
    def peak_factor(self) -> float:
        """The busiest quarter of an hour by the mean."""
        return self.peak_per_s / self.mean_per_s

    @property
    def peak_per_s(self) -> float:
        """Events a second in the busiest quarter of an hour."""
        return self.month * self.habits.peak_hour * self.habits.peak_quarter / 900

    @property
    def gb_a_month(self) -> float:
        """What the journal grows by in a month, in GB of 10^9 bytes."""
        return self.month * self.costs.event_bytes / 1e9

    def cores(self, each_ms: float) -> float:
        """Return how many cores are busy in the busiest quarter with something that takes so long for each event."""
        return self.peak_per_s * each_ms / 1000


def demand_table(habits: Habits, costs: Costs) -> str:
    """Return the arithmetic as a table in Markdown."""
    found = [Demand(merchants, habits, costs) for merchants in SIZES]
    rows = [
        ("events a month", [f"{one.month:,.0f}" for one in found]),
        ("events a second, mean", [f"{one.mean_per_s:,.3g}" for one in found]),
        ("events a second, busiest quarter of an hour", [f"{one.peak_per_s:,.3g}" for one in found]),
        ("peak by mean", [f"{one.peak_factor:,.0f}" for one in found]),
        ("journal grows by, a month", [_size(one.gb_a_month) for one in found]),
        ("kept for 90 days", [_size(one.gb_a_month * 3) for one in found]),
        ("cores busy then: web", [_cores(one.cores(costs.web_ms)) for one in found]),
        ("cores busy then: workers", [_cores(one.cores(costs.worker_ms)) for one in found]),
        (
            "cores busy then: PostgreSQL",
            [_cores(one.cores(costs.answer_database_ms + costs.delivery_database_ms)) for one in found],
        ),
    ]
    lines = [
        "| | " + " | ".join(f"{size:,} merchants" for size in SIZES) + " |",
        "| --- |" + " ---: |" * len(SIZES),
    ]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]
    return "\n".join(lines)


def habits_list(habits: Habits) -> str:
    """Return the assumptions in words."""
    return "\n".join(
        (
            f"- a merchant makes {habits.charges:g} charges a month, each with {habits.events:g} events;",
            f"- {habits.peak_hour:.0%} of the month's events come in its busiest hour, and {habits.peak_quarter:.0%} of"
            " these in the busiest quarter of it;",
            f"- a run in bulk has {habits.run:g} events, which Asaas sends one after the other.",
        )
    )


def costs_list(costs: Costs) -> str:
    """Return the measured times and sizes in words."""
    return "\n".join(
        (
            f"- an answer takes {costs.web_ms:.1f} ms of a web process and {costs.answer_database_ms:.2f} ms of"
            " PostgreSQL;",
            f"- a delivery takes {costs.worker_ms:.1f} ms of a worker and {costs.delivery_database_ms:.1f} ms of"
            " PostgreSQL;",
            f"- an event with its delivery and attempt takes {costs.event_bytes / 1000:.1f} kB of the journal, indexes"
            " included;",
            f"- measured at {costs.source}.",
        )
    )


def _cores(count: float) -> str:
    return f"{count:.2f}" if count >= 0.01 else "under 0.01"


def _size(gb: float) -> str:
    return f"{gb:,.0f} GB" if gb >= 10 else f"{gb * 1000:,.0f} MB"
