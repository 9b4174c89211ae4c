"""Whatever an expression, a pattern or a file says, working on it takes bounded time and memory and never crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import FilterFailed, StageError
from bridge.mapping import Mapping, Setup, Severity, evaluate, parse_mapping
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.operators import OPERATORS, Operand, problem

ANYTHING = Setup(None, None)
LONG = "a" * 100_000
CONTEXT: dict[str, Any] = {
    "event": "PAYMENT_RECEIVED",
    "payment": {"description": LONG, "split": [{"v": number} for number in range(3_000)]},
}
EXAMPLES = settings(deadline=None, max_examples=120)

numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**4000), 1e308, 5e-324, -0.0]),
)
odd_texts = st.sampled_from(
    ["", " ", "\x00", "\ud800", "9" * 5_000, "1e99", "-0", "R$ 1.234,56", "٣٤", "9999-12-31", "0001-01-01", "12:30"]
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=30), odd_texts)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


def mapping(deal: str = "{}", filter_: str = "") -> Mapping:
    """Return a mapping with this deal and filter."""
    text = f"events: [PAYMENT_RECEIVED]\ncontact: {{email: \"'ana@example.com'\"}}\ndeal: {deal}\n{filter_}"
    read = parse_mapping(text, "m.yaml", ANYTHING)
    assert read.mapping is not None, [str(finding) for finding in read.findings]
    return read.mapping


def build(expression: str, context: dict[str, Any]) -> Any:
    """Return what a field of this expression gives, or why it gives nothing."""
    try:
        return evaluate.build_payload(mapping(json.dumps({"x": expression})), context).get("x")
    except StageError as error:
        return str(error)


@pytest.mark.parametrize(
    "expression",
    [
        "payment.split" + " | [@,@][]" * 50,
        "payment" + " | [@,@]" * 50,
        "payment" + " | [@,@]" * 28 + " == (payment" + " | [@,@]" * 28 + ")",
        "to_string(payment" + " | [@,@]" * 40 + ")",
        "payment" + " | {a: @, b: @}" * 40,
        "join(payment.description, payment.split[*].to_string(v))",
        "replace(payment.description, 'a', payment.description)",
        "replace(replace(replace(payment.description,'a','aaaaaaa'),'a','aaaaaaa'),'a','aaaaaaa')",
        "payment.split[*].[v, @, @, @] | [*].[@, @, @, @][] | [*].[@, @, @, @][] | [*].[@, @, @, @][]",
    ],
)
def test_an_expression_that_grows_is_stopped(expression: str) -> None:
    """A short one could double its value sixty times; the delivery says so and the worker goes on."""
    said = build(expression, CONTEXT)

    assert "too much work" in said or "at most 1048576 characters" in said


def test_a_large_event_is_within_the_budget() -> None:
    """Three thousand splits are far more than Asaas has, and fine."""
    assert build("sum(sort_by(payment.split[?v > `10`], &v)[*].v) | to_string(@)", CONTEXT) == "4498445"
    assert build("to_string(length(payment.split[*].[v, v][]))", CONTEXT) == "6000"


@EXAMPLES
@given(st.sampled_from(sorted(FUNCTIONS)), values, scalars, scalars)
def test_every_function_takes_every_value_or_says_why_not(name: str, one: Any, two: Any, three: Any) -> None:
    """A payload is what Asaas sends today, and tomorrow."""
    arguments = ", ".join(("payment.a", "payment.b", "payment.c")[: len(FUNCTIONS[name].parameters)])

    build(f"{name}({arguments})", {"payment": {"a": one, "b": two, "c": three}})


OPERANDS = {
    Operand.TEXT: "PIX",
    Operand.TEXTS: "[PIX, '1']",
    Operand.NUMBER: "50",
    Operand.DATE: "2026-01-01 10:00:00",
    Operand.PATTERN: "'^(a|aa)+$'",
    Operand.BOOLEAN: "true",
}


@EXAMPLES
@given(st.sampled_from(sorted(OPERATORS)), values)
def test_every_operator_takes_every_value_or_says_why_not(name: str, value: Any) -> None:
    """A condition that can't be told makes the delivery dead with its reason, and nothing else."""
    operand = OPERANDS[OPERATORS[name].operand]
    filter_ = f"filter: {{all: [{{field: payment.a, {name}: {operand}}}]}}\n"
    with suppress(FilterFailed):
        evaluate.apply_filter(mapping(filter_=filter_), {"payment": {"a": value}, "today": "2026-11-24"})


def test_a_huge_whole_number_is_a_number() -> None:
    """One of four hundred digits is no float, and made every condition on it a fault."""
    filter_ = "filter: {all: [{field: payment.a, greater_than: 50}]}\n"

    assert evaluate.apply_filter(mapping(filter_=filter_), {"payment": {"a": 10**400}}).passed
    assert build("payment.a", {"payment": {"a": 10**400}}) == "1" + "0" * 400


def test_a_number_beyond_all_numbers_is_refused_with_a_reason() -> None:
    """JSON may say 1e400, which Python reads as infinite; the filter's reason had no words for it."""
    verdict = evaluate.apply_filter(
        mapping(filter_="filter: {all: [{field: payment.a, equals: PIX}]}\n"), {"payment": {"a": 1e400}}
    )

    assert str(verdict.message) == "payment.a is a number, must be PIX"


def test_a_document_of_endless_digits_comes_back_as_it_is() -> None:
    """Python refuses to read a number of more than 4,300 digits."""
    assert build("cpf_cnpj(payment.a)", {"payment": {"a": "9" * 5_000}}) == "9" * 5_000


HUGE = [
    "((a{1000}){1000}){1000}",
    "a{1000000000}",
    "a{999999999999999999999}",
    "(?:" * 20 + "a" + "){9}" * 20,
    "(?:" * 20 + "a{e<=9}" + "){9}" * 20,
    "(?:cats){s<=2}",
    "(?R)?a",
    "(a)(?1)",
    "(?<n>a)(?&n)",
    "([a]b){200}{200}",
    "(?x)#[\n((a{1000}){1000}){1000}#]",
    "(?#[)((a{1000}){1000}){1000}]",
    "(?iV1)[a]",
]
FINE = [
    r"^\d{3}\.\d{3}\.\d{3}-\d{2}$",
    r"^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$",
    "^.{1,500}$",
    r"\{e<=1\}",
    "[{e<=1}]",
    "^(loja|site)-[0-9]+$",
    r"(?i)\bpix\b",
    "a{,5}b{2,}",
    "[]a]{3}",
]


@pytest.mark.parametrize("pattern", HUGE)
def test_a_pattern_that_would_take_all_memory_is_refused_before_it_is_compiled(pattern: str) -> None:
    """`((a{1000}){1000}){1000}` kept lint busy for minutes and gigabytes."""
    filter_ = f"filter: {{all: [{{field: payment.a, matches: {json.dumps(pattern)}}}]}}\n"
    text = f"events: [PAYMENT_RECEIVED]\ncontact: {{email: customer.email}}\n{filter_}"
    read = parse_mapping(text, "m.yaml", ANYTHING)

    assert read.mapping is None
    assert [f.code for f in read.findings if f.severity is Severity.ERROR] == ["operand.pattern"]


@pytest.mark.parametrize("pattern", FINE)
def test_the_patterns_that_people_write_are_fine(pattern: str) -> None:
    """Counts in a row do not multiply."""
    assert problem(pattern) == ""


PATTERNS = st.text(alphabet="ab(|)[]{}0129,*+?.\\^$:<R", max_size=60)
COMPILE = """
import json, re, sys
from pathlib import Path
import regex
from bridge.mapping.operators import problem
for pattern in json.load(sys.stdin):
    if problem(pattern) is None:
        try:
            regex.search(pattern, "a" * 2000, timeout=0.25)
        except (regex.error, TimeoutError, RecursionError, OverflowError):
            pass
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_what_is_not_refused_compiles_in_little_memory() -> None:
    """Some hundred odd patterns, compiled and used."""
    drawn: list[str] = []

    @settings(deadline=None, max_examples=400, database=None)
    @given(PATTERNS)
    def draw(pattern: str) -> None:
        drawn.append(pattern)

    draw()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE],
        input=json.dumps(drawn),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )

    assert int(done.stdout) < 256 * 1024


YAML = st.text(alphabet="abez:- \n[]{}'\"|>#&*!%@,?019\t.()`", max_size=120)


@EXAMPLES
@given(YAML, st.sampled_from(["", "events: [PAYMENT_RECEIVED]\n", "events: [PAYMENT_RECEIVED]\ncontact: {email: "]))
def test_any_file_gives_findings_or_a_mapping(text: str, head: str) -> None:
    """No text makes the reader fail, and what it takes can run."""
    read = parse_mapping(head + text, "m.yaml", ANYTHING)
    if read.mapping is not None:
        evaluate.explain(read.mapping, CONTEXT)


@EXAMPLES
@given(st.text(alphabet="abpayment.sv[]*?@|&!=<>`'\"(),:{}0-1 \\", max_size=60))
def test_any_expression_is_refused_or_runs(expression: str) -> None:
    """What lint takes gives a value or a reason."""
    text = f"events: [PAYMENT_RECEIVED]\ncontact: {{email: customer.email}}\ndeal: {json.dumps({'x': expression})}\n"
    read = parse_mapping(text, "m.yaml", ANYTHING)
    if read.mapping is not None:
        evaluate.explain(read.mapping, CONTEXT)
