"""The JSON Schema that editors use, held against lint: on every shipped file and on every compliance case."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bridge.mapping import Setup, Severity, parse_mapping
from bridge.mapping.schema import COMMENT, DIALECT, FILE_NAME, schema, schema_text
from bridge.mapping.spec import TABLES

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "mappings").glob("*.yaml"))
CASES = [
    case
    for path in sorted((ROOT / "tests" / "compliance" / "lint").glob("*.yaml"))
    for case in yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    if "text" in case
]
VALIDATOR = Draft202012Validator(schema())
STRUCTURAL = (
    "key.unknown",
    "key.missing",
    "value.choice",
    "value.boolean",
    "value.shape",
    "value.name",
    "field.sources",
)
"""What an editor can mark without reading expressions."""


class Editor(yaml.SafeLoader):
    """Reads YAML by the core schema of YAML 1.2, as editors do: `on` and 12:30 are texts, 010 is ten."""


Editor.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    Editor.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)


def as_editor_reads(text: str) -> Any:
    """Return the value that an editor holds against the schema; keys are texts, as in JSON."""
    return _json(yaml.load(text, Loader=Editor))  # noqa: S506 (a SafeLoader)


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(one) for key, one in value.items()}
    return [_json(one) for one in value] if isinstance(value, list) else value


def refusals(text: str) -> list[str]:
    """Return what the schema says against a file."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(as_editor_reads(text))]


def test_schema_is_a_sound_schema_of_2020_12() -> None:
    """It follows the dialect that it names, and names every key of the tables."""
    Draft202012Validator.check_schema(schema())

    assert schema()["$schema"] == DIALECT
    assert set(schema()["properties"]) == set(TABLES["mapping"])
    for name, table in TABLES.items():
        if name != "mapping":
            assert set(schema()["$defs"][name]["properties"]) == set(table)


def test_file_in_mappings_is_fresh() -> None:
    """`bridge mappings schema` would write what is there."""
    written = (ROOT / "mappings" / FILE_NAME).read_text(encoding="utf-8")

    assert written == schema_text(), "run: bridge mappings schema --output mappings/mapping.schema.json"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_file_names_the_schema_and_fits_it(path: Path) -> None:
    """Editors find the schema by the first line, and mark nothing."""
    text = path.read_text(encoding="utf-8")

    assert text.splitlines()[0] == COMMENT
    assert refusals(text) == []


def test_schema_and_lint_agree(tmp_path: Path) -> None:
    """What the schema refuses has an error of lint; what lint says about the structure alone, the schema says too."""
    for case in CASES:
        text, accounts = case["text"], frozenset(case.get("accounts", ["default", "matriz"]))
        known = Setup(accounts, frozenset({"default", "vencidas"}), tmp_path)
        errors = [one for one in parse_mapping(text, "m.yaml", known).findings if one.severity is Severity.ERROR]
        try:
            refused = refusals(text)
        except (yaml.YAMLError, RecursionError):  # an alias to itself has no value
            assert errors, case["name"]
            continue

        if refused:
            assert errors, (case["name"], refused)
        if any(one.code in STRUCTURAL for one in errors):
            assert refused, (case["name"], errors)


SEEDS = [as_editor_reads(path.read_text(encoding="utf-8")) for path in FILES]
WRONG: list[Any] = [
    None,
    True,
    7,
    1.5,
    "",
    " ",
    "x y",
    "PAYMENT_*",
    [],
    ["a"],
    [None],
    {},
    {"field": "event"},
    {"a": {}},
]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_schema_never_refuses_what_lint_takes(data: st.DataObject) -> None:
    """Shipped files with one value or key spoiled: an editor that marks a file is right."""
    document = _json(data.draw(st.sampled_from(SEEDS)))
    holder: Any = document
    for _ in range(data.draw(st.integers(0, 4))):
        inner = holder.values() if isinstance(holder, dict) else holder
        deeper = [one for one in inner if isinstance(one, dict | list) and one]
        if deeper:
            holder = data.draw(st.sampled_from(deeper))
    place = data.draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
    if isinstance(holder, dict) and data.draw(st.booleans()):
        holder[data.draw(st.sampled_from(["events", "field", "text", "x", "equals", "all"]))] = holder.pop(place)
    else:
        holder[place] = data.draw(st.sampled_from(WRONG))
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)

    if refusals(text):
        assert parse_mapping(text, "m.yaml", Setup(None, None, None)).mapping is None, refusals(text)
