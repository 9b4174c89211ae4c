"""What changed between two revisions, from several runs of each: pure arithmetic over what the bench leaves.

A number with a reference is compared as its ratio to the reference of the same run, so that what else the machine did
meanwhile falls out; one without is compared as it is. A change is called one only where the two ranges do not touch:
then every run of one revision was better than every run of the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from typing import Any

from rich.table import Table

_COUNT = re.compile(r"\d[\d,.]*")
_HIGH_IS_GOOD = frozenset({"/s"})

Report = Mapping[str, Any]
"""The JSON that one run of the bench leaves."""


class Verdict(StrEnum):
    """What the runs say of one number."""

    SAME = ""  # the ranges touch: nothing can be said
    WORSE = "worse"
    BETTER = "better"


@dataclass(frozen=True, slots=True)
class Range:
    """One number in all runs of one revision."""

    median: float
    least: float
    most: float

    @property
    def spread(self) -> float:
        """How far the runs lie apart, as a share of their median."""
        return (self.most - self.least) / self.median if self.median else math.nan

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        """Return the range of these values, of which there must be one."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Change:
    """One number of two revisions: the bridge's median, and what is compared, its ratio to the reference."""

    database: str
    measure: str
    name: str
    unit: str
    before: float
    after: float
    before_range: Range
    after_range: Range
    by_ratio: bool
    """Whether the ranges are those of the ratios to the reference, else of the bridge's own numbers."""
    least: float
    """The least change that is called one, as a share."""

    @property
    def quotient(self) -> float:
        """The revision after by the revision before, of what is compared; above 1 is good for rates, bad for times."""
        return self.after_range.median / self.before_range.median if self.before_range.median else math.nan

    @property
    def verdict(self) -> Verdict:
        """Worse or better where the ranges do not touch and the medians are far enough apart."""
        higher = self.after_range.least > self.before_range.most
        lower = self.after_range.most < self.before_range.least
        if not (higher or lower) or not abs(self.quotient - 1) >= self.least:
            return Verdict.SAME
        return Verdict.BETTER if higher == (self.unit in _HIGH_IS_GOOD) else Verdict.WORSE

    def as_json(self) -> dict[str, Any]:
        """Return it with what follows from it."""
        return {**asdict(self), "quotient": self.quotient, "verdict": self.verdict.value}


def changes(before: Sequence[Report], after: Sequence[Report], least: float) -> list[Change]:
    """Return what can be compared: the numbers that every run of both revisions has, in the order of the bench."""
    runs = [_by_key(report) for report in (*before, *after)]
    shared = [key for key in runs[0] if all(key in run for run in runs)]
    return [_change([run[key] for run in runs], len(before), least) for key in shared]


def by_chance(runs: int) -> float:
    """Return how likely it is that the ranges of a number that did not change lie apart on one side.

    All orders of the runs are equally likely then, and one of them puts all runs of one revision first.

    >>> by_chance(3), by_chance(5) < 0.004
    (0.05, True)
    """
    return 1 / math.comb(2 * runs, runs)


def _by_key(report: Report) -> dict[tuple[str, str, str], dict[str, Any]]:
    # A measure's name may tell a rate or a count that the run found itself.
    return {
        (number["database"], _COUNT.sub("N", number["measure"]), number["name"]): number for number in report["numbers"]
    }


def _change(numbers: Sequence[Mapping[str, Any]], count: int, least: float) -> Change:
    by_ratio = all(number["ratio"] is not None for number in numbers)
    values = [number["ratio" if by_ratio else "bridge"] for number in numbers]
    first = numbers[0]
    return Change(
        first["database"],
        first["measure"],
        first["name"],
        first["unit"],
        median(number["bridge"] for number in numbers[:count]),
        median(number["bridge"] for number in numbers[count:]),
        Range.of(values[:count]),
        Range.of(values[count:]),
        by_ratio,
        least,
    )


def table(found: Sequence[Change], names: tuple[str, str]) -> Table:
    """Return the changes as a table; `names` are those of the two revisions."""
    shown = Table(title=f"{names[1]} beside {names[0]}", title_justify="left")
    for column in ("database", "measure", "number"):
        shown.add_column(column)
    for column in (*names, "x ref.", "x ref.", "change", "spread"):
        shown.add_column(column, justify="right")
    shown.add_column("")
    before = ("", "")
    for change in found:
        if before not in {("", ""), (change.database, change.measure)}:
            shown.add_section()
        labels = ("", "") if before == (change.database, change.measure) else (change.database, change.measure)
        before = (change.database, change.measure)
        ratios = (change.before_range.median, change.after_range.median)
        shown.add_row(
            *labels,
            f"{change.name}, {change.unit}",
            f"{change.before:,.4g}",
            f"{change.after:,.4g}",
            *(f"{ratio:.2f}" if change.by_ratio else "" for ratio in ratios),
            f"{change.quotient:.2f} x",
            f"{max(change.before_range.spread, change.after_range.spread):.0%}",
            change.verdict.value,
            style={Verdict.WORSE: "red", Verdict.BETTER: "green"}.get(change.verdict),
        )
    return shown
