"""Writes a statement as CSV: one line for each entry, dates as 2026-11-22, signed amounts with a dot."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from bridge.statement.entries import Statement

HEADER = ("account", "date", "id", "type", "description", "about", "value", "balance")
_FORMULA = ("=", "+", "-", "@")


def written_csv(statements: Iterable[Statement]) -> str:
    """Return the entries of these statements as one table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for statement in statements:
        for one in statement.entries:
            description = f"'{one.text}" if one.text.startswith(_FORMULA) else one.text  # a spreadsheet would run it
            row = (statement.account, one.day.isoformat(), one.id, one.kind, description, one.about)
            writer.writerow([*row, f"{one.amount:.2f}", f"{one.balance:.2f}"])
    return text.getvalue()
