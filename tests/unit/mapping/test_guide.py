"""The operator's guide prints the tables that the bridge runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.mapping import guide
from bridge.mapping.spec import TABLES

README = (Path(__file__).parents[3] / "mappings" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES)
def test_guide_has_the_keys_of_every_block(table: str) -> None:
    """A key that is added to the table must be printed."""
    assert guide.keys(table) in README


def test_guide_has_operators_functions_and_events() -> None:
    """The three other tables are printed as they are."""
    assert guide.operators() in README
    assert guide.functions() in README
    assert guide.events() in README


def test_table_keeps_bars_and_backticks_apart_from_its_own() -> None:
    """A bar in a cell is escaped and code with a backtick gets the longer fence."""
    conditions = guide.keys("condition")

    assert '`` "length(payment.split \\|\\| `[]`) == `0`" ``' in conditions
    assert "`at_least`" not in conditions
