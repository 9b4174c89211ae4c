"""What the bench leaves: numbers, each beside its reference of the same run, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

_WORDS = {"/s": "{:,.0f}", "ms": "{:,.1f}", "MB": "{:,.0f}"}


@dataclass(frozen=True, slots=True)
class Number:
    """One measured number."""

    database: str
    measure: str
    name: str
    unit: str
    bridge: float
    reference: float | None = None

    @property
    def ratio(self) -> float | None:
        """The bridge's number by the reference's: rates should be high, times low."""
        return self.bridge / self.reference if self.reference else None

    def as_json(self) -> dict[str, Any]:
        """Return it with its ratio."""
        return {**asdict(self), "ratio": self.ratio}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least so many percent do not exceed; nan where there is none.

    >>> percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 99)
    (2, 4)
    """
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def table(numbers: Sequence[Number]) -> Table:
    """Return the numbers as a table, a section for each measure."""
    found = Table(title="bench: the bridge beside its reference in the same run", title_justify="left")
    for column in ("database", "measure", "number"):
        found.add_column(column)
    for column in ("reference", "bridge", "ratio"):
        found.add_column(column, justify="right")
    before: Number | None = None
    for number in numbers:
        if before is not None and (before.database, before.measure) != (number.database, number.measure):
            found.add_section()
        ratio = f"{number.ratio:.2f} x" if number.ratio is not None else ""
        reference = _text(number.reference, number.unit) if number.reference is not None else ""
        new = before is None or before.measure != number.measure or before.database != number.database
        labels = (number.database, number.measure) if new else ("", "")
        found.add_row(*labels, number.name, reference, _text(number.bridge, number.unit), ratio)
        before = number
    return found


def _text(value: float, unit: str) -> str:
    return f"{_WORDS.get(unit, '{:.3g}').format(value)} {unit}".replace(" /s", "/s")
