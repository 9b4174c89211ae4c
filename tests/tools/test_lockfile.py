"""The lock is what pyproject.toml asks for, and the check is not blind; all of it without a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lockfile import asked, digest, faults

ROOT = Path(__file__).parents[2]
FILE = "requirements.lock"
WANTED = asked()[FILE]
TEXT = (ROOT / FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", asked())
def test_a_lock_is_up_to_date(file: str) -> None:
    """Everything that is asked for is there, pinned, with hashes, and no index is named."""
    assert list(faults((ROOT / file).read_text(encoding="utf-8"), asked()[file])) == []


def entry(name: str) -> str:
    """Return the lines of one package in the lock."""
    found = re.search(rf"^{name}==.*(?:\n    .*)*\n", TEXT, re.MULTILINE)
    assert found
    return found[0]


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        (f"# of: {digest(WANTED)}", "# of: 0", "pyproject.toml has changed since it was made"),
        (entry("flask"), "", "flask<4,>=3.1 is asked for, and the lock has nothing"),
        (entry("werkzeug"), "", "werkzeug>=3.1.0 is asked for, and the lock has nothing"),
        (entry("click"), entry("click").split(" ")[0] + "\n", "without a hash: click"),
        (entry("click"), "click>=8\n", "not pinned: click>=8"),
        (entry("click"), entry("click").replace("click==8", "click==7"), "is asked for, and the lock has 7"),
        ("alembic==", "--index-url https://x.example/simple\nalembic==", "it names a place to get packages from"),
    ],
)
def test_a_planted_fault_is_found(was: str, becomes: str, fault: str) -> None:
    """Each kind of fault is said."""
    assert was in TEXT
    said = list(faults(TEXT.replace(was, becomes), WANTED))

    assert [one for one in said if fault in one], said


def test_a_new_dependency_makes_the_lock_old() -> None:
    """Also where nothing of it is installed here yet."""
    more = [*WANTED, "nowhere>=1"]

    assert digest(more) != digest(WANTED)
    assert "nowhere>=1 is asked for, and the lock has nothing" in list(faults(TEXT, more))
