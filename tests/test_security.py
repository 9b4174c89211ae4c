"""docs/security.md promises nothing that no test holds."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def every_test() -> set[str]:
    """Return the name of every test."""
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def test_every_test_that_the_page_names_exists() -> None:
    """A threat that nothing holds any more must not look held."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))

    assert named - every_test() == set()
    assert len(named) > 30


def test_every_threat_has_its_tests_and_says_what_remains() -> None:
    """Each row leads to a part that names a test, but for the supply chain, and says what is left to the operator."""
    parts = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    anchors = re.findall(r"\[below\]\(#([a-z-]+)\)", PAGE)
    by_anchor = {re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-"): text for title, text in parts.items()}

    assert len(anchors) == 8
    for anchor in anchors:
        assert "**What remains.**" in by_anchor[anchor], anchor
        assert "`test_" in by_anchor[anchor] or anchor == "the-supply-chain", anchor
