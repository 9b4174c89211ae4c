"""The words of the console: both languages have all of them, and pages use no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

from bridge.web.console.words import FILES, LANGUAGES, Words, table

WEB = FILES.parent
SOURCES = sorted([*(WEB / "templates").rglob("*.html"), *(WEB / "console").rglob("*.py")])
USED = re.compile(r"""(?:\bt|\bwords\(\)|\bsaid|\btext)\(\s*"([a-z_0-9]+\.[a-zA-Z_0-9.]+)"(?!\s*~)""")
COUNTED = re.compile(r"""(?:\btn|\.count)\(\s*"([a-z_0-9]+\.[a-z_0-9.]+)"(?!\s*~)""")


def names(text: str) -> set[str]:
    """Return the names of the values that stand in a text."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(table()))
def test_a_key_has_a_text_in_every_language_with_the_same_values(key: str) -> None:
    """A text that lacks a value in one language would say less there; an empty one nothing."""
    texts = table()[key]

    assert set(texts) == set(LANGUAGES)
    assert all(text and text.strip() == text for text in texts.values())
    assert len({frozenset(names(text)) for text in texts.values()}) == 1


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_pages_use_known_words_only(source: Path) -> None:
    """A key that nobody wrote would break the page in which it stands."""
    text = source.read_text(encoding="utf-8")
    counted = {f"{key}.{number}" for key in COUNTED.findall(text) for number in ("one", "many")}

    assert sorted(({*USED.findall(text)} | counted) - set(table())) == []


def codes_of_findings() -> set[str]:
    """Return the codes under which the modules of the mapping language say what is wrong."""
    families = "|".join(sorted({key.split(".")[1] for key in table() if key.startswith("findings.")}))
    code = re.compile(rf"({families})\.[a-z_]+")
    found = {"account.unset", "destination.unset", "operand.date", "operand.number", "operand.pattern"}
    for module in (WEB.parent / "mapping").glob("*.py"):
        nodes = list(ast.walk(ast.parse(module.read_text())))
        texts = (one.value for one in nodes if isinstance(one, ast.Constant))
        found |= {text for text in texts if isinstance(text, str) and code.fullmatch(text)}
        # Also of a family that has no words yet.
        calls = (one for one in nodes if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute))
        kinds = {"error", "nonsense", "warning", "note"}
        said = (one.args[1] for one in calls if one.func.attr in kinds and len(one.args) > 1)  # type: ignore[attr-defined]
        found |= {str(one.value) for one in said if isinstance(one, ast.Constant)}
    return found


def test_every_finding_is_said_in_both_languages() -> None:
    """An operator who writes Portuguese reads in Portuguese what to change, before lint's own words."""
    assert {f"findings.{code}" for code in codes_of_findings()} == {
        key for key in table() if key.startswith("findings.")
    }


def test_numbers_choose_the_text_and_are_written_as_people_write_them() -> None:
    """Portuguese counts nought as one does, English does not."""
    assert [Words("en").count("nav.waiting", n) for n in (0, 1, 1234)] == [
        "0 items need a person",
        "1 item needs a person",
        "1,234 items need a person",
    ]
    assert [Words("pt").count("nav.waiting", n) for n in (0, 1, 1234)] == [
        "0 item precisa de alguém",
        "1 item precisa de alguém",
        "1.234 itens precisam de alguém",
    ]


def test_a_text_may_be_missing_where_asaas_decides() -> None:
    """An event that Asaas invents tomorrow has no words of ours."""
    assert Words("en").maybe("signin.title") == "Sign in"
    assert Words("en").maybe("signin.nothing", "as it is") == "as it is"
