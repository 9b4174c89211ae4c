"""Lint held to the tables in tests/compliance/lint: YAML text in, exact findings out."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.mapping import Setup, Severity, parse_mapping, spec
from bridge.mapping.advice import SYNONYMS
from bridge.mapping.catalogue import EVENTS
from bridge.mapping.context import build_context
from bridge.mapping.evaluate import STATUSES, spread
from bridge.mapping.explain import explained
from bridge.mapping.findings import did_you_mean
from bridge.mapping.functions import names
from bridge.mapping.lint import FIELDS, PLAIN_NAMES, values_of_path
from bridge.mapping.model import FETCHABLE, FUNNEL, ClintDirectory
from bridge.messages import in_language

TABLES = Path(__file__).parents[2] / "compliance" / "lint"
VALUED = (
    "environment",
    "payment.status",
    "payment.billingType",
    "subscription.status",
    "subscription.cycle",
    "customer.personType",
)
TODAY = "2026-12-05"
PAYMENT = {
    "id": "pay_1",
    "customer": "cus_1",
    "value": 129.9,
    "netValue": 127.91,
    "billingType": "PIX",
    "status": "RECEIVED",
    "dueDate": "2026-12-02",
    "paymentDate": None,
    "lastInvoiceViewedDate": "2026-12-02T18:07:00Z",
    "invoiceNumber": "00001001",
    "installmentNumber": 1,
    "deleted": False,
    "anticipated": False,
    "split": [
        {"id": "split-a", "walletId": "carteira-a", "percentualValue": 10, "status": "DONE"},
        {"id": "split-b", "walletId": "carteira-b", "fixedValue": 15.5, "status": "DONE"},
    ],
}
FETCHED = {
    "customer": {"name": "Maria da Silva", "company": None, "email": "maria@example.com", "mobilePhone": "47996321478"}
}
NONSENSE = {
    "condition.kind",
    "expression.always_same",
    "expression.date_as_text",
    "expression.date_letters",
    "expression.double_quotes",
    "expression.index",
    "expression.number_and_text",
    "expression.quoted_path",
    "field.text_is_expression",
    "funnel.status",
    "funnel.value",
    "number.ambiguous",
    "template.cut",
    "template.literal",
    "yaml.invisible",
}
"""Errors of a mapping that runs."""
STAGES = (("sta_1", "Nova"), ("sta_2", "Paga"), ("sta_3", "Negócio vencido"))
CLINT = ClintDirectory(
    origins={
        "ori_1": ("Vendas", STAGES),
        "ori_2": ("Cursos", (("sta_9", "Inscrito"),)),
        "ori_3": ("Loja", STAGES),
        "ori_4": ("loja", STAGES),
    },
    users={"Ana@Loja.com.br": "usr_1"},
    fields={
        "contact": {"cpf": "TEXT"},
        "deal": {"codigo_asaas": "TEXT", "forma_de_pagamento_pr": "TEXT", "vencimento": "TEXT"},
    },
)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CASES: dict[str, list[dict[str, Any]]] = {
    path.stem: yaml.load(path.read_text(encoding="utf-8"), LOADER)  # noqa: S506 (a SafeLoader)
    for path in sorted(TABLES.glob("*.yaml"))
}
EVERY = [case for table in CASES.values() for case in table]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a good sample, a broken one and one that is too large."""
    root = tmp_path_factory.mktemp("mappings")
    (root / "good.json").write_text('{"event": "PAYMENT_RECEIVED", "payment": {}}')
    (root / "garbage.json").write_text('{"event":')
    (root / "huge.json").write_text(f"[{'0,' * 600_000}0]")
    return root


def setup_of(case: dict[str, Any], root: Path) -> Setup:
    """Return the setup of a case; with `deals: names` or `deals: nameless` there is a destination by the API."""
    accounts = frozenset(case.get("accounts", ["default", "matriz"]))
    if not case.get("deals"):
        return Setup(accounts, frozenset({"default", "vencidas"}), root)
    api = {"default": "Vendas", "vendas": "Vendas", "cursos": "ori_2", "perdidas": "Sumiu", "lojas": "Loja"}
    clint = CLINT if case["deals"] == "names" else None
    return Setup(accounts, frozenset({*api, "vencidas"}), root, api=api, clint=clint)


ASIDE = "funnel.no_place"
"""A note on most of the short cases about deals, which set no stage; test_deals tries it."""


@pytest.mark.parametrize("table", CASES)
def test_text_gives_exactly_these_findings(table: str, root: Path) -> None:
    """Every finding of every case: place, severity, code and message, in the order of the file."""
    found, expected = {}, {}
    for case in CASES[table]:
        repeat = case.get("repeat")
        text = repeat["piece"] * repeat["times"] if repeat else case["text"]
        known = setup_of(case, root)

        started = time.thread_time()  # of this thread alone: other tests may be at work
        read = parse_mapping(text, "m.yaml", known)
        took_s = time.thread_time() - started

        name = case["name"]
        expected[name] = case["findings"]
        told = [one for one in read.findings if one.code != ASIDE]
        found[name] = [f"{one.line}:{one.column} {one.severity} {one.code}: {one.message}" for one in told]
        assert (read.mapping is None) == any(one.severity is Severity.ERROR for one in read.findings), name
        assert took_s < 5, name
    assert found == expected


def test_advice_that_is_followed_gives_a_mapping_that_works(root: Path) -> None:
    """With `old` replaced by `new` there is no finding any more, and the event is sent with these values."""
    for case in EVERY:
        if "fix" not in case:
            continue
        old, new = case["fix"]
        known = setup_of(case, root) if case.get("deals") else Setup(None, None, root)
        read = parse_mapping(case["text"].replace(old, new), "m.yaml", known)

        assert [str(finding) for finding in read.findings if finding.code != ASIDE] == [], case["name"]
        assert read.mapping is not None
        name = case.get("event", read.mapping.events[0])
        context = build_context(name, "payment", {"payment": PAYMENT}, "default", "production", FETCHED, today=TODAY)
        told = explained(read.mapping, context, known)
        assert told["outcome"] == "sent", (case["name"], told)
        sent = spread({**told["payload"], FUNNEL: told.get(FUNNEL)})
        assert sent.items() >= case.get("gives", {}).items(), case["name"]


def test_active_mapping_goes_on_whatever_it_sends() -> None:
    """What lint learned later stops no mapping that runs: only an error that was one before does."""
    for case in EVERY:
        text = case.get("text", "")
        found = parse_mapping(text, "m.yaml", Setup(None, None)).findings
        errors = {one.code for one in found if one.severity == "error"}
        read = parse_mapping(text, "m.yaml", Setup(None, None, active=True))

        assert (read.mapping is not None) == (errors <= NONSENSE), case["name"]


def test_findings_are_written_in_portuguese(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every sentence has a translation with the same facts, and no English around them."""
    found = [
        one for case in EVERY for one in parse_mapping(case.get("text", ""), "m.yaml", setup_of(case, root)).findings
    ]
    with in_language("pt"):
        same = {one.message for one in found if one.text() == one.message}
        english = {text for one in found if re.search(r"\b(write|got|the|must)\b", text := one.text())}

    assert (same, english) == (set(), set())
    assert caplog.records == []


def test_synonym_leads_to_a_word_that_there_is() -> None:
    """A key, operator, function, event or value, offered wherever it is one of the words that can be meant."""
    tables = [*map(list, spec.TABLES.values()), list(names()), list(EVENTS)]
    tables += [list(values_of_path(tuple(path.split(".")))) for path in VALUED]
    tables += [[*PLAIN_NAMES, *FETCHABLE], *map(list, FIELDS.values()), list(STATUSES)]
    tables += [list(key.choices) for table in spec.TABLES.values() for key in table.values()]
    pairs = [(right, wrong) for right, all_ in SYNONYMS.items() for wrong in all_.split()]
    lost = [
        (right, wrong)
        for right, wrong in pairs
        if not any(str(did_you_mean(wrong, table)) == f"; did you mean {right}?" for table in tables if right in table)
    ]

    assert lost == []


def test_there_are_at_least_sixty_cases() -> None:
    """The table is not a token one."""
    assert len(EVERY) >= 60


def test_finding_is_one_line_for_editors() -> None:
    """A finding reads path:line:column: code: message."""
    (finding,) = parse_mapping("events: [PAYMENT_RECEIVED]\n", "mappings/x.yaml", Setup(None, None, None)).findings[:1]

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
        for one in parse_mapping(text, "m.yaml", Setup(None, None, None)).findings
        if one.code.startswith("expression.")
    )

    assert finding.caret == caret
