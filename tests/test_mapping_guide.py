"""The operator's guide prints the tables that the bridge runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.mapping.spec import TABLES
from docs import mapping_guide as guide

MAPPINGS = Path(__file__).parents[1] / "mappings"
README = (MAPPINGS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES)
def test_guide_has_the_keys_of_every_block(table: str) -> None:
    """A key that is added to the table must be printed."""
    assert guide.keys(table) in README


def test_guide_has_operators_functions_and_events() -> None:
    """The three other tables are printed as they are."""
    assert guide.operators() in README
    assert guide.functions() in README
    assert guide.derived() in README
    assert guide.events() in README


def test_guide_has_what_is_worked_out() -> None:
    """Recipes with their results, mistakes with what lint says, fields of objects and the files that are shipped."""
    for text in (guide.recipes(), guide.recipe_context(), guide.mistakes(), guide.starters(MAPPINGS)):
        assert text in README
    for name in ("payment", "customer", "subscription", "installment"):
        assert guide.fields(name) in README


def test_every_mistake_is_found_on_its_line() -> None:
    """Each row has a code of its own place, and fourteen kinds of mistakes are shown."""
    assert len(guide.mistakes().splitlines()) - 2 == len(guide.MISTAKES) >= 14


def test_starters_leave_out_what_can_not_run(tmp_path: Path) -> None:
    """A broken file is no starter."""
    (tmp_path / "x.yaml").write_text("nope")

    assert "x.yaml" not in guide.starters(tmp_path)


def test_table_keeps_bars_and_backticks_apart_from_its_own() -> None:
    """A bar in a cell is escaped and code with a backtick gets the longer fence."""
    conditions = guide.keys("condition")

    assert '`` "length(payment.split \\|\\| `[]`) == `0`" ``' in conditions
    assert "`at_least`" not in conditions
