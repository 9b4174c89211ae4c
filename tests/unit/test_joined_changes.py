"""What two people changed in one text at once."""

from __future__ import annotations

import pytest

from bridge.operations.mappings import joined

BASE = "a\nb\nc\nd\n"


@pytest.mark.parametrize(
    ("mine", "theirs", "both"),
    [
        ("x\nb\nc\nd\n", "a\nb\nc\ny\n", "x\nb\nc\ny\n"),
        ("x\nb\nc\nd\n", "a\ny\nc\nd\n", "x\ny\nc\nd\n"),  # neighbours
        ("x\nb\nc\nd\n", "x\nb\nc\nd\ne\n", "x\nb\nc\nd\ne\n"),  # one change is the same
        ("b\nc\nd\n", "a\nb\nx\nc\nd\n", "b\nx\nc\nd\n"),
        (BASE, "a\nd\n", "a\nd\n"),
        ("x\nb\nc\nd\n", "y\nb\nc\nd\n", None),
        ("a\nd\n", "a\nb\ny\nd\n", None),
        ("a\nx\nb\nc\nd\n", "a\ny\nb\nc\nd\n", None),  # both wrote into one gap
    ],
)
def test_changes_of_different_places_are_joined(mine: str, theirs: str, both: str | None) -> None:
    """Whoever was first; where both changed the same lines, nothing is guessed."""
    assert joined(BASE, mine, theirs) == joined(BASE, theirs, mine) == both
