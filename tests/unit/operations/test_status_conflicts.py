"""What a test charge says of integrations that one status can't serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.mapping import Setup, read_directory
from bridge.mapping.explain import integrations_of
from bridge.operations.testcharge import Seen, conflicts

ROOT = Path(__file__).parents[3] / "mappings"
STARTERS = [one.mapping for one in read_directory(ROOT, Setup(None, None, ROOT)) if one.mapping]


def test_the_ready_stages_of_a_funnel_contradict_nothing() -> None:
    """A refunded instalment stays in the paid stage by its condition, though refunds have a stage of their own."""
    stages = [one for one in STARTERS if one.name.startswith("exemplo_etapas_")]
    rows = {row["integration"]: (row["status"], row["conflict"]) for row in integrations_of(stages)}

    assert rows == {"default": ("OPEN", {}), "vencidas": ("OPEN", {}), "pagas": ("WON", {}), "estornadas": ("LOST", {})}


@pytest.mark.parametrize(("destination", "named"), [("default", ["default"]), ("pagas", [])])
def test_a_proved_charge_does_not_hide_that_its_deal_never_becomes_won(destination: str, named: list[str]) -> None:
    """The starters send what is new, paid and refunded to one integration; others that got nothing are not named."""
    seen = [Seen({"id": 1}, [({"destination": destination}, [])])]
    found = conflicts(STARTERS, seen)

    assert [one["integration"] for one in found] == named
    assert all(set(one["statuses"]) == {"OPEN", "WON", "LOST"} for one in found)
