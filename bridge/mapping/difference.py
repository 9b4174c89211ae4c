"""What differs between two texts of a mapping, line by line."""

from __future__ import annotations

import difflib


def difference(before: str, after: str, named_before: str = "", named_after: str = "") -> list[str]:
    """Return the lines of a unified diff; none where the texts are the same."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), named_before, named_after, lineterm="", n=2)
    return list(lines)


def changed(before: str, after: str) -> tuple[int, int]:
    """Return how many lines were added and how many were taken away.

    >>> changed("a\\nb", "a\\nc\\nd")
    (2, 1)
    """
    lines = difference(before, after)[2:]
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)
