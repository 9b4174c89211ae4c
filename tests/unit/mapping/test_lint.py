"""Lint held to the tables in tests/compliance/lint: YAML text in, exact findings out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.mapping import Known, Severity, read_mapping

TABLES = Path(__file__).parents[2] / "compliance" / "lint"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(TABLES.glob("*.yaml"))
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a good sample, a broken one and one that is too large."""
    root = tmp_path_factory.mktemp("mappings")
    (root / "good.json").write_text('{"event": "PAYMENT_RECEIVED", "payment": {}}')
    (root / "garbage.json").write_text('{"event":')
    (root / "huge.json").write_text(f"[{'0,' * 600_000}0]")
    return root


@pytest.mark.parametrize("case", CASES)
def test_text_gives_exactly_these_findings(case: dict[str, Any], root: Path) -> None:
    """Every finding of every case: place, severity, code and message, in the order of the file."""
    repeat = case.get("repeat")
    text = repeat["piece"] * repeat["times"] if repeat else case["text"]
    known = Known(frozenset(case.get("accounts", ["default", "matriz"])), frozenset({"default", "vencidas"}), root)

    started = time.thread_time()  # of this thread alone: other tests may be at work
    read = read_mapping(text, "m.yaml", known)
    took_s = time.thread_time() - started

    found = [f"{one.line}:{one.column} {one.severity} {one.code}: {one.message}" for one in read.findings]
    assert found == case["findings"]
    assert (read.mapping is None) == any(one.severity is Severity.ERROR for one in read.findings)
    assert took_s < 5


def test_there_are_at_least_sixty_cases() -> None:
    """The table is not a token one."""
    assert len(CASES) >= 60


def test_finding_is_one_line_for_editors() -> None:
    """A finding reads path:line:column: code: message."""
    (finding,) = read_mapping("events: [PAYMENT_RECEIVED]\n", "mappings/x.yaml", Known(None, None, None)).findings[:1]

    assert str(finding) == (
        "mappings/x.yaml:1:1: key.missing: a mapping needs contact, such as contact: {email: customer.email}"
    )


@pytest.mark.parametrize(
    ("value", "caret"),
    [
        ("upper(customer..name)", "upper(customer..name)\n               ^"),
        ('{template: "a {customer.} b"}', "customer.\n         ^"),
        ("length(x || `[`)", "length(x || `[`)\n            ^"),
        ("|\n    upper(customer.name,\n     customer..email)", "upper(customer.name,\n customer..email)\n          ^"),
    ],
)
def test_bad_expression_has_a_caret_under_the_character(value: str, caret: str) -> None:
    """The second line points at the place, also in a template and in a block."""
    text = f"events: [PAYMENT_RECEIVED]\ncontact:\n  email: customer.email\n  nome: {value}\n"
    finding = next(
        one
        for one in read_mapping(text, "m.yaml", Known(None, None, None)).findings
        if one.code.startswith("expression.")
    )

    assert finding.caret == caret
