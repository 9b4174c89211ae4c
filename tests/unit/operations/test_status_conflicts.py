"""What a test charge says of integrations that one status can't serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.mapping import Setup, read_directory
from bridge.operations.testcharge import Seen, conflicts

ROOT = Path(__file__).parents[3] / "mappings"
STARTERS = [one.mapping for one in read_directory(ROOT, Setup(None, None, ROOT)) if one.mapping]


@pytest.mark.parametrize(("destination", "named"), [("default", ["default"]), ("pagas", [])])
def test_a_proved_charge_does_not_hide_that_its_deal_never_becomes_won(destination: str, named: list[str]) -> None:
    """The starters send what is new, paid and refunded to one integration; others that got nothing are not named."""
    seen = [Seen({"id": 1}, [({"destination": destination}, [])])]
    found = conflicts(STARTERS, seen)

    assert [one["integration"] for one in found] == named
    assert all(set(one["statuses"]) == {"OPEN", "WON", "LOST"} for one in found)
