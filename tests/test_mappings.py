"""The mappings that are shipped: they lint clean, their tests pass, and they fit together."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bridge.mapping import ParseResult, Setup, Severity, evaluate, parse_mapping, read_directory
from bridge.mapping.catalogue import entity_key
from bridge.mapping.context import build_context
from bridge.mapping.model import ClintDirectory
from bridge.mapping.testing import CaseResult, parts_of, run
from bridge.redaction import redact
from tests.documents import Fence, fences

ROOT = Path(__file__).parents[1] / "mappings"
DATA = Path(__file__).parent / "data"
READ = read_directory(ROOT, Setup(frozenset({"default"}), frozenset({"default"}), ROOT))
STARTERS = [one.mapping for one in READ if one.mapping and one.mapping.enabled]
RESULTS = [result for one in READ if one.mapping for result in run(one.mapping, ROOT)]
SAMPLES = sorted((ROOT / "samples").glob("*.json"))


@pytest.mark.parametrize("read", READ, ids=lambda read: Path(read.path).name)
def test_file_lints_clean_with_the_default_destination_alone(read: ParseResult) -> None:
    """No errors and no warnings; only what is switched off may name a destination that is not set up."""
    assert read.mapping is not None
    assert [finding for finding in read.findings if finding.severity is not Severity.NOTE] == []
    if read.mapping.enabled:
        assert read.findings == ()


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: f"{result.mapping}: {result.name}")
def test_case_of_a_shipped_mapping_passes(result: CaseResult) -> None:
    """Every test in every file passes."""
    assert result.passed, (result.problem, result.differences)


@pytest.mark.parametrize("path", sorted((DATA / "cases").glob("*.yaml")), ids=lambda path: path.stem)
def test_case_that_once_failed_passes(path: Path) -> None:
    """Each file lints without a finding, and each of its tests passes."""
    read = parse_mapping(path.read_text(encoding="utf-8"), path.name, Setup(None, None, DATA))

    assert read.mapping is not None
    assert read.findings == ()
    assert [one for one in run(read.mapping, DATA) if not one.passed] == []


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


EVENT_SAMPLES = [path for path in SAMPLES if "event" in json.loads(path.read_bytes())]


@pytest.mark.parametrize("sample", EVENT_SAMPLES, ids=lambda path: path.stem)
def test_sample_makes_a_flat_payload_or_is_filtered(sample: Path) -> None:
    """Every sample goes through every mapping that hears it, and one does."""
    envelope = json.loads(sample.read_bytes())
    fetched = {
        "customer": json.loads((ROOT / "samples" / "customer_pj.json").read_bytes()),
        "installment": json.loads((ROOT / "samples" / "installment_2x.json").read_bytes()),
    }
    context = build_context(envelope["event"], entity_key(envelope), envelope, "default", "sandbox", fetched)
    hearing = [one.mapping for one in READ if one.mapping and one.mapping.listens_to(envelope["event"])]

    assert hearing
    for mapping in hearing:
        if evaluate.apply_filter(mapping, context).passed:
            payload = evaluate.build_payload(mapping, context)
            assert payload["email"] == "financeiro@example.com"
            assert all(isinstance(value, str | int | float) for value in payload.values())


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


GUIDE = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = [fence for fence in fences(GUIDE) if fence.language == "yaml"]
CLINT = ClintDirectory(
    origins={"ori_1": ("Vendas", (("sta_1", "Nova"), ("sta_2", "Vencida"), ("sta_3", "Paga")))},
    fields={"deal": {"codigo_asaas": "TEXT", "titulo": "TEXT"}},
)
GUIDE_KNOWN = Setup(
    frozenset({"default"}), frozenset({"default", "vencidas", "vendas"}), ROOT, api={"vendas": "Vendas"}, clint=CLINT
)
AROUND = {
    "events": "events: [PAYMENT_RECEIVED]\n",
    "contact": "contact: {email: customer.email}\n",
    "tests": "tests:\n  - name: o exemplo do guia\n    given: samples/payment_received_pix.json\n"
    "    with: {customer: samples/customer_pf.json}\n    expect: {send_to: default}\n",
}
"""What an example that shows a part of a file leaves out."""


def whole(text: str) -> str:
    """Return an example of the guide as a whole file."""
    return text + "".join(more for key, more in AROUND.items() if not re.search(rf"^{key}:", text, re.MULTILINE))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda fence: f"line {fence.line}")
def test_example_of_the_guide_lints_clean_and_its_tests_pass(example: Fence) -> None:
    """What the guide shows works when it is copied, and gives what its comments say."""
    read = parse_mapping(whole(example.text), str(ROOT / "exemplo.yaml"), GUIDE_KNOWN)
    assert read.findings == ()
    assert read.mapping is not None
    results = run(read.mapping, ROOT)
    assert [result for result in results if not result.passed] == []

    for key, says in re.findall(r"^  (\w+):(?:.*\n    .*)?.*# → (.*)$", example.text, re.MULTILINE):
        value = results[0].payload.get(key)
        assert ("(não sai)" if value is None else str(value)) == says


def test_the_guide_shows_what_every_part_gives() -> None:
    """The arrows are there: a guide without them would pass with nothing held."""
    assert sum(example.text.count("# → ") for example in EXAMPLES) >= 10
    assert len(EXAMPLES) >= 9


def test_what_needs_another_destination_is_switched_off() -> None:
    """The directory runs with CLINT_WEBHOOK_URL alone; whatever else a file asks for, it says in its comments."""
    for one in READ:
        assert one.mapping is not None
        if one.mapping.destinations != {"default"}:
            assert not one.mapping.enabled
            for name in one.mapping.destinations - {"default"}:
                setting = "CLINT_ORIGIN" if one.mapping.tells_funnel else "CLINT_WEBHOOK_URL"
                assert f"{setting}_{name.upper().replace('-', '_')}" in one.text


@pytest.mark.parametrize(
    "name",
    [
        *("cobranca_criada", "cobranca_alterada", "cobranca_paga", "cobranca_vencida"),
        *("cobranca_estornada_ou_removida", "exemplo_etapas_do_funil", "exemplo_etapas_ainda_vencida"),
        *("exemplo_etapas_parcela_estornada", "exemplo_um_negocio_por_cobranca"),
        *("parcelamento_uma_vez", "assinatura", "marketplace_split", "chargeback", "link_de_pagamento", "conta_avisos"),
    ],
)
def test_starter_is_there_with_every_part_tested(name: str) -> None:
    """Each automation that people ask for is a file, whose own tests reach every condition and every route."""
    (mapping,) = [one.mapping for one in READ if one.mapping and one.mapping.name == name]
    parts = parts_of(mapping, run(mapping, ROOT))

    assert [part for part in parts if part.kind != "field" and not part.reached] == []
