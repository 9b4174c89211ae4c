"""The mappings that are shipped: they lint clean, their tests pass, and they fit together."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from bridge import filtering, transform
from bridge.mapping import Known, ReadMapping, Severity, read_directory, read_mapping
from bridge.mapping.context import build_context
from bridge.mapping_cases import CaseResult, run
from bridge.redaction import redact

ROOT = Path(__file__).parents[1] / "mappings"
READ = read_directory(ROOT, Known(frozenset({"default"}), frozenset({"default"}), ROOT))
STARTERS = [one.mapping for one in READ if one.mapping and one.mapping.enabled]
RESULTS = [result for one in READ if one.mapping for result in run(one.mapping, ROOT)]
SAMPLES = sorted((ROOT / "samples").glob("*.json"))


@pytest.mark.parametrize("read", READ, ids=lambda read: Path(read.path).name)
def test_file_lints_clean_with_the_default_destination_alone(read: ReadMapping) -> None:
    """No errors and no warnings; only what is switched off may name a destination that is not set up."""
    assert read.mapping is not None
    assert [finding for finding in read.findings if finding.severity is not Severity.NOTE] == []
    if read.mapping.enabled:
        assert read.findings == ()


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: f"{result.mapping}: {result.name}")
def test_case_of_a_shipped_mapping_passes(result: CaseResult) -> None:
    """Every test in every file passes."""
    assert result.passed, (result.problem, result.differences)


def test_charge_created_paid_overdue_refunded_and_removed_are_covered_once() -> None:
    """Every event of the Pluga triggers is heard by exactly one enabled mapping, so that none fights another."""
    events = (
        "PAYMENT_CREATED",
        "PAYMENT_CONFIRMED",
        "PAYMENT_RECEIVED",
        "PAYMENT_OVERDUE",
        "PAYMENT_REFUNDED",
        "PAYMENT_PARTIALLY_REFUNDED",
        "PAYMENT_DELETED",
    )

    assert {event: sum(one.listens_to(event) for one in STARTERS) for event in events} == dict.fromkeys(events, 1)


def test_starters_send_the_same_keys_to_the_same_place() -> None:
    """One Clint integration with one mapping of keys serves all of them."""
    assert {one.destinations for one in STARTERS} == {frozenset({"default"})}
    assert {one.line for one in STARTERS} == {"default"}
    assert len({tuple((field.group, field.key) for field in one.fields) for one in STARTERS}) == 1
    assert "situacao" in {field.key for field in STARTERS[0].fields}


@pytest.mark.parametrize(
    "sample", [path for path in SAMPLES if path.name.startswith("payment")], ids=lambda path: path.stem
)
def test_sample_makes_a_flat_payload_or_is_filtered(sample: Path) -> None:
    """Every sample goes through every starter that hears it."""
    envelope = json.loads(sample.read_bytes())
    customer = json.loads((ROOT / "samples" / "customer_pj.json").read_bytes())
    context = build_context(
        envelope["event"], "payment", envelope["payment"], "default", "sandbox", {"customer": customer}
    )
    (mapping,) = [one for one in STARTERS if one.listens_to(envelope["event"])]

    if filtering.decide(mapping, context).passed:
        payload = transform.build(mapping, context)
        assert payload["email"] == "financeiro@example.com"
        assert all(isinstance(value, str) for value in payload.values())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_sample_holds_nobodys_data(sample: Path) -> None:
    """E-mails are of example.com, ids are made up, and documents are those that tests everywhere use."""
    text = sample.read_text(encoding="utf-8")
    allowed = ("24971563792", "12ABC34501DE35", "47990000001", "1130000000")
    for known in allowed:
        text = text.replace(known, "")
    text = re.sub(r"exemplo\d{9}|(cliente\.teste|financeiro)@example\.com", "", text)

    assert redact(text) == text
    assert "palpite" not in text.lower()


def fences(path: Path) -> list[str]:
    """Return the YAML blocks of a Markdown page."""
    return [block.split("```", 1)[0] for block in path.read_text(encoding="utf-8").split("```yaml\n")[1:]]


@pytest.mark.parametrize("text", fences(ROOT / "README.md"))
def test_example_of_the_guide_lints_clean_and_its_tests_pass(text: str) -> None:
    """What the guide shows works when it is copied."""
    assert isinstance(yaml.safe_load(text), dict)
    read = read_mapping(text, str(ROOT / "exemplo.yaml"), Known(frozenset({"default"}), frozenset({"default"}), ROOT))

    assert read.findings == ()
    assert read.mapping is not None
    assert [result for result in run(read.mapping, ROOT) if not result.passed] == []
