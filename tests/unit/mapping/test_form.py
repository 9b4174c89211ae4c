"""A mapping as a form and back: nothing else of the text changes, for every mapping of this repository."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bridge.mapping import Setup, parse_mapping, testing
from bridge.mapping.accept import accept
from bridge.mapping.deal_form import LISTS, VALUES, WORDS, Deal, Value
from bridge.mapping.drafts import starter, with_tests
from bridge.mapping.edit import NotEditable
from bridge.mapping.form import BLOCKS, KINDS, SETTINGS, Form, Row, Sent, read_form, write_form
from bridge.mapping.spec import FUNNEL, MAPPING
from tests.browser.conftest import MAPPING as OF_BROWSER
from tests.console import MAPPING as OF_CONSOLE

ROOT = Path(__file__).parents[3]
STARTERS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "mappings").glob("*.yaml"))}
ODD = """# a comment before everything

"events":   [ PAYMENT_CREATED,PAYMENT_RECEIVED ,
           PAYMENT_OVERDUE ]   # over two lines
description: >-
    Folded
    over lines
filter:
    any:
    -   field:   payment.value     # how much
        at_least: "50"

    # this one 🎉 is nested
    - all: [{field: payment.status, equals: 'PENDING'}, {expression: "payment.split"}]


contact: {  email:  customer.email,nome: customer.name }
deal:
        valor: "money(payment.value)"


        'tipo':
            from: payment.billingType   # the type
            lookup: {PIX: Pix}
            default: Outra
send_to:    default
# the end
"""
GUIDE = re.findall(r"```yaml\n(.*?)```", (ROOT / "mappings" / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def _texts_of(node: object) -> Iterator[str]:
    if isinstance(node, str) and "\n" in node and "events:" in node:
        yield node
    for one in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _texts_of(one)


def compliance() -> list[str]:
    """Return the mappings in the tables of lint's tests, right and wrong ones."""
    found = []
    for path in sorted((ROOT / "tests" / "compliance" / "lint").glob("*.yaml")):
        found += list(_texts_of(yaml.safe_load(path.read_text(encoding="utf-8"))))
    return found


DEALS = """events: [PAYMENT_CREATED, PAYMENT_RECEIVED]
contact: {email: customer.email}
one_deal_per: {expression: payment.id} # ours
# The funnel
funnel:
  origin: "Vendas" # of the team
  stage:
    # by event
    from: event
    lookup:
      PAYMENT_CREATED: Nova # the first
      'PAYMENT_RECEIVED': 'Paga'
    default: Nova
  status: {from: event, lookup: {PAYMENT_RECEIVED: won}}
  user: {text: ana@loja.com.br}
  tags:
    - Asaas
    - {template: "Cliente {customer.name}"}
tests: []
"""
TEXTS = {
    **STARTERS,
    "deals": DEALS,
    "deals_in_braces": "events: [PAYMENT_CREATED]\ncontact: {email: customer.email}\n"
    "funnel: {stage: {from: event, lookup: {PAYMENT_CREATED: Paga}}, value: payment.value, tags: [a]} # all\n"
    "stale: send\n",
    "odd": ODD,
    "crlf": STARTERS["cobranca_paga"].replace("\n", "\r\n"),
    "mark": "\ufeff" + STARTERS["cobranca_paga"],
    "no_end": STARTERS["chargeback"].rstrip(),
    "browser": OF_BROWSER,
    "console": OF_CONSOLE,
}


def lines(before: str, after: str) -> int:
    """Return how many lines were taken away or put in."""
    found = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))[2:]
    return sum(line[:1] in "+-" for line in found)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_form_that_is_not_changed_gives_the_same_bytes(text: str) -> None:
    """Comments, quotes, blank lines and line ends included."""
    assert write_form(text, read_form(text)) == text


def test_texts_of_other_tests_stay_too() -> None:
    """What opens as a form comes back as it was; what does not says so."""
    seen = 0
    for text in (*GUIDE, *compliance()):
        try:
            form = read_form(text)
        except NotEditable:
            continue
        seen += 1
        assert write_form(text, form) == text

    assert seen > 20


def deal_changes(deal: Deal) -> Iterator[tuple[str, Deal, int]]:
    """Yield each change of what the form shows about deals by the API."""
    yield "another deal", replace(deal, per="customer", own_key=False), 2
    yield "a key of one's own", replace(deal, per="payment.externalReference || payment.id", own_key=True), 2
    if deal.per:
        yield "no word about the deal", replace(deal, per="", own_key=False), 2
    for name, value in deal.values.items():
        block = value.source.count("\n") + len(value.by_event) + 6
        by_event = {**value.by_event, "PAYMENT_RECEIVED": "outra, # 1", "BILL_PAID": "Paga: sim"}
        for what, changed, size in (
            ("by events", Value(by_event=by_event, default=value.default), 7 if value.by_event else block + 4),
            ("less", Value(by_event=dict([*value.by_event.items()][1:]), default=value.default), block),
            ("a default", Value(by_event=value.by_event, default="Nova"), 4 if value.by_event else block),
            ("fixed", Value(default="a: b"), block),
            ("an expression", Value("from", source="payment.status"), block),
            ("a block", Value("block", source="from: payment.status\nlookup: {PENDING: Nova}"), block + 2),
            ("nothing", Value(), block),
        ):
            if changed != value:
                yield f"{name}: {what}", replace(deal, values={**deal.values, name: changed}), size
    for name, word in deal.words.items():
        yield f"{name} is set", replace(deal, words={**deal.words, name: "outra: coisa"}), 3
        if word:
            yield f"{name} is taken away", replace(deal, words={**deal.words, name: ""}), 3
    for name, listed in deal.lists.items():
        yield f"other {name}", replace(deal, lists={**deal.lists, name: ("a, b", "c")}), 4
        if listed:
            yield f"no {name}", replace(deal, lists={**deal.lists, name: ()}), 4


def changes(form: Form) -> Iterator[tuple[str, Form, int]]:
    """Yield each thing that the form can change, changed, with the lines that this may touch."""
    values = {"installments": "once", "stale": "send", "verify": "true", "description": 'Outra: "coisa" # 1'}
    for name in SETTINGS:
        value = values.get(name, "outro")
        if name == "enabled":
            value = "true" if form.settings[name] == "false" else "false"
        if value != form.settings[name]:
            size = 4 if name == "description" else 2  # it may stand on several lines
            yield f"{name} is set", replace(form, settings={**form.settings, name: value}), size
        if form.settings[name]:
            yield f"{name} is taken away", replace(form, settings={**form.settings, name: ""}), 6
    yield "an event more", replace(form, events=(*form.events, "BILL_PAID")), 2
    if len(form.events) > 1:
        yield "an event less", replace(form, events=form.events[1:]), 2
    yield "a condition more", replace(form, rows=(*form.rows, Row("payment.value", "at_least", ("100",)))), 6
    for at, row in enumerate(form.rows):
        before, after = form.rows[:at], form.rows[at + 1 :]
        yield f"condition {at} less", replace(form, rows=before + after), 8 + row.block.count("\n")
        if row.group:
            more = replace(row, rows=(*row.rows, Row("payment.value", "at_least", ("100",))))
            yield f"a condition more in {at}", replace(form, rows=(*before, more, *after)), 6
            for kind in KINDS.keys() - {row.group}:
                other = replace(row, group=kind)
                yield f"{at} is {kind}", replace(form, rows=(*before, other, *after)), 16
        if not row.block and not row.group:
            several = Row(group="any", rows=(replace(row, place=0), Row("payment.id", "exists", ("true",))), place=at)
            yield f"{at} or another", replace(form, rows=(*before, several, *after)), 6
            yield f"field of {at}", replace(form, rows=(*before, replace(row, field="payment.id"), *after)), 2
            other = replace(row, operator="one_of", operands=("a, b", "c"))
            yield f"comparison of {at}", replace(form, rows=(*before, other, *after)), 2
    yield "a field more", replace(form, fields=(*form.fields, Sent("deal", "dia", source="date(today, '%d')"))), 2
    for at, one in enumerate(form.fields):
        before_, after_ = form.fields[:at], form.fields[at + 1 :]
        size = max(one.block.count("\n"), 3) + 3
        yield f"{one.key} less", replace(form, fields=before_ + after_), size
        for name, changed in {
            "another key": replace(one, key="nova chave"),
            "a text": replace(one, kind="text", source="fixo: #a", block="", default=""),
            "a template": replace(one, kind="template", source="A {payment.id}", block=""),
            "an expression": replace(one, kind="from", source="date(payment.dueDate, '%d')", block=""),
            "a default": replace(one, default="nada, aqui") if one.kind else one,
            "another block": one if one.kind else replace(one, block=one.block.replace("default", "type")),
        }.items():
            if changed != one:
                yield f"{one.key}: {name}", replace(form, fields=(*before_, changed, *after_)), size
    for what, deal, size in deal_changes(form.deal):
        yield what, replace(form, deal=deal), size
    for name in BLOCKS:
        if block := form.blocks[name]:
            first = block.split("\n")[0]
            fresh = block.replace(first, f"{first} # seen", 1)
            if first.startswith("- "):
                yield f"the block {name}", replace(form, blocks={**form.blocks, name: fresh}), 2


CHANGED = ("cobranca_paga", "exemplo_etapas_do_funil", "exemplo_um_negocio_por_cobranca", "parcelamento_uma_vez")
"""Starter mappings that hold between them what the others are made of, for every change that the form can make."""


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=[pytest.mark.long] if name not in CHANGED else []) for name in STARTERS),
        *("odd", "browser", "deals", "deals_in_braces"),
    ],
)
def test_a_change_touches_only_its_own_lines(name: str) -> None:
    """Each thing that the form can change, in each starter mapping; the text then shows just that."""
    text = TEXTS[name]
    form = read_form(text)
    for what, changed, most in changes(form):
        try:
            after = write_form(text, changed)
        except NotEditable:
            assert "a block" in what, what
            assert name == "deals_in_braces"  # a block has no place there
            continue

        assert 0 < lines(text, after) <= most, f"{what}:\n{after}"


def test_every_setting_of_the_form_is_a_key_of_the_language() -> None:
    """All keys of a mapping are somewhere on the form."""
    of_deal = {"one_deal_per", "funnel"}
    assert {*SETTINGS, *BLOCKS, *of_deal, "events", "filter", "contact", "organization", "deal"} == MAPPING.keys()
    assert {*VALUES, *WORDS, *LISTS} == FUNNEL.keys()


def test_a_single_condition_becomes_one_of_several() -> None:
    """A second one puts both under all, or under any; the first keeps its characters."""
    text = "events: [A]\n# why\nfilter: {field: payment.value,   at_least: 50} # so\ncontact: {email: customer.email}\n"
    form = read_form(text)
    more = Row("payment.status", "one_of", ("PENDING", "a, b"))

    assert write_form(text, replace(form, rows=(*form.rows, more), together="any")) == (
        "events: [A]\n# why\nfilter:\n  any:\n    - {field: payment.value,   at_least: 50}\n"
        '    - {field: payment.status, one_of: [PENDING, "a, b"]} # so\ncontact: {email: customer.email}\n'
    )


def test_conditions_that_no_row_shows_are_blocks() -> None:
    """They can be edited as text, and their comments go along."""
    text = (
        "events: [A]\ncontact: {email: customer.email}\n"
        "filter:\n  all:\n    - any:\n        - all:\n            - any: # deep\n"
        "                - {field: payment.value, equals: 1}\n            - expression: payment.id\n"
    )
    form = read_form(text)
    ((inner,),) = [one.rows for one in form.rows]
    deep, expression = inner.rows
    changed = replace(deep, block=deep.block.replace("equals: 1", "equals: 2"))
    group = replace(form.rows[0], rows=(replace(inner, rows=(changed, expression)),))
    after = write_form(text, replace(form, rows=(group,)))

    assert deep.block.startswith("any: # deep\n")
    assert expression.block == "expression: payment.id"
    assert lines(text, after) == 2
    assert "equals: 2" in after


def test_groups_are_rows_in_rows() -> None:
    """One of several, a denial of one, and a denial of several."""
    form = read_form(STARTERS["exemplo_etapas_do_funil"])
    first, _, last = form.rows

    assert (form.together, first.group, last.group) == ("all", "any", "not_all")
    assert [one.group for one in first.rows] == ["none", "", ""]
    assert first.rows[0].rows == (Row("event", "equals", ("PAYMENT_CREATED",), place=0),)
    assert [one.field for one in last.rows] == ["event", "payment.status"]


@pytest.mark.parametrize(
    ("before", "kind", "after"),
    [
        (
            "not: {field: a, equals: b} # c",
            "any",
            "any:\n    - {field: a, equals: b}\n    - {field: x, exists: true} # c",
        ),
        (
            "not: # c\n    any: [{field: a, equals: b}]",
            "all",
            "# c\n  all: [{field: a, equals: b}, {field: x, exists: true}]",
        ),
    ],
)
def test_a_denial_becomes_a_group(before: str, kind: str, after: str) -> None:
    """And the other way round; comments stay."""
    text = f"events: [A]\nfilter:\n  {before}\ncontact: {{email: customer.email}}\n"
    form = read_form(text)
    (row,) = form.rows
    more = Row("x", "exists", ("true",))
    changed = write_form(text, replace(form, rows=(replace(row, group=kind, rows=(*row.rows, more)),)))

    assert changed == text.replace(before, after)
    again = read_form(changed)
    assert (again.together, len(again.rows)) == (kind, 2)


def test_a_removed_row_takes_the_comment_above_it_along() -> None:
    """The comments of its neighbours and the one the file begins with stay."""
    text = STARTERS["exemplo_etapas_do_funil"]
    form = read_form(text)
    after = write_form(text, replace(form, rows=form.rows[1:]))

    assert "das parcelas criadas entra só a primeira" not in after
    assert "Uma parcela estornada não desfaz" in after
    first = "# about the file\ndescription: x\nevents: [A]\ncontact: {email: customer.email}\n"
    form = read_form(first)
    assert write_form(first, replace(form, settings={**form.settings, "description": ""})).startswith("# about")


@pytest.mark.parametrize(
    "text",
    [
        "events: [A\n",
        "{events: [A], contact: {email: x}}\n",
        "events: &a [A]\ncontact: *a\n",
        "events: [A]\nevents: [B]\n",
        "events: {a: b}\n",
        "contact: [a]\n",
        "- a\n",
        "",
        "description: [a]\n",
    ],
)
def test_a_text_of_another_shape_is_no_form(text: str) -> None:
    """It is edited as text; the form would hide a part of it."""
    with pytest.raises(NotEditable):
        read_form(text)


def test_what_cant_be_written_is_refused() -> None:
    """A block that is no YAML; one that a row can show becomes a row."""
    text = STARTERS["exemplo_etapas_do_funil"]
    form = read_form(text)
    for block in ("any: [", "a: 1\nb: 2: 3"):
        with pytest.raises(NotEditable):
            write_form(text, replace(form, rows=(Row(block=block, place=0), *form.rows[1:])))
    plain = Row(block="field: payment.value\nat_least: 5", place=0)
    after = read_form(write_form(text, replace(form, rows=(plain, *form.rows[1:]))))
    assert after.rows[0] == Row("payment.value", "at_least", ("5",), place=0)


@pytest.mark.parametrize("name", STARTERS)
def test_accepting_the_new_result_makes_a_test_pass(name: str) -> None:
    """Another key, a value more, a condition that says no: each test then expects it, and nothing else changes."""
    text = STARTERS[name]
    form = read_form(text)
    renamed = (*form.fields[:-1], replace(form.fields[-1], key="outra_chave", kind="text", source="x", block=""))
    for changed in (
        replace(form, fields=renamed),
        replace(form, rows=(*form.rows, Row("event", "equals", ("NADA",))), together="all"),
        replace(form, settings={**form.settings, "send_to": "outro"}),
    ):
        fresh = write_form(text, changed)
        mapping = parse_mapping(fresh, str(ROOT / "mappings" / f"{name}.yaml"), Setup(None, None)).mapping
        assert mapping is not None
        results = testing.run(mapping, ROOT / "mappings")
        accepted = accept(fresh, enumerate(results))
        again = parse_mapping(accepted, mapping.path, Setup(None, None)).mapping

        assert again is not None
        assert [one.name for one in testing.run(again, ROOT / "mappings") if not one.passed] == []
        assert (accepted == fresh) is all(one.passed for one in results)
        assert read_form(accepted).fields == read_form(fresh).fields


DIFFERS = """events: [PAYMENT_RECEIVED]
contact: {email: customer.email}
deal: {valor: money(payment.value), numero: {from: payment.value, type: number}}
tests:
  - name: in braces
    given: {event: PAYMENT_RECEIVED, payment: {value: 5, customer: c}}
    with: {customer: {email: a@example.com}}
    expect: {exactly: {email: b@example.com, gone: x}, send_to: outro} # why
  - name: on lines
    given: {event: PAYMENT_RECEIVED, payment: {value: 5, customer: c}}
    with: {customer: {email: a@example.com}}
    expect:
      exactly:
        # a key that is gone
        gone: x
        numero: 6
        valor: "5.00" # stays
  - name: sends nothing
    given: {event: PAYMENT_RECEIVED, payment: {value: 5, customer: c}}
    with: {customer: {}}
    expect: {valor: "5.00"}
  - name: sends something
    given: {event: PAYMENT_RECEIVED, payment: {value: 5, customer: c}}
    with: {customer: {email: a@example.com}}
    expect: {dead: transform.no_contact}
  - name: has a value, and lacks one
    given: {event: PAYMENT_RECEIVED, payment: {value: 5, customer: c}}
    with: {customer: {email: a@example.com}}
    expect: {numero: null, nada: x}
  - name: can not run
    given: samples/nowhere.json
    expect: filtered
"""


def test_each_kind_of_difference_can_be_accepted() -> None:
    """A key more, a key less, another value, another outcome and another destination; comments stay."""
    read = parse_mapping(DIFFERS, "x.yaml", Setup(None, None)).mapping
    assert read is not None
    accepted = accept(DIFFERS, enumerate(testing.run(read, ROOT)))
    again = parse_mapping(accepted, "x.yaml", Setup(None, None)).mapping

    assert again is not None
    assert [one.name for one in testing.run(again, ROOT) if not one.passed] == ["can not run"]
    assert "expect: {exactly: {email: a@example.com" in accepted
    assert "send_to: default} # why" in accepted
    assert 'valor: "5.00" # stays' in accepted
    assert "gone" not in accepted
    assert "expect: {dead: transform.no_contact}\n  - name: sends something" in accepted
    assert "expect: {numero: 5, nada: null}" in accepted


def test_a_test_that_is_filtered_no_more_expects_the_whole_payload() -> None:
    """What it sends then stands there key by key."""
    text = STARTERS["parcelamento_uma_vez"]
    form = read_form(text)
    fresh = write_form(text, replace(form, rows=()))
    mapping = parse_mapping(fresh, "x.yaml", Setup(None, None)).mapping
    assert mapping is not None
    results = testing.run(mapping, ROOT / "mappings")
    wrong = [(at, one) for at, one in enumerate(results) if not one.passed and one.problem is None]

    assert lines(fresh, accept(fresh, wrong)) > 3 if wrong else True


@pytest.mark.parametrize("entity", ["payment", "subscription"])
@pytest.mark.parametrize(
    "row",
    [
        Row("{}.value", "at_least", ("100",)),
        Row("{}.value", "less_than", ("5000",)),
        Row("{}.billingType", "one_of", ("BOLETO", "PIX")),
        Row("{}.billingType", "not_equals", ("PIX",)),
        Row("{}.externalReference", "starts_with", ("loja: ",)),
        Row("{}.description", "exists", ("true",)),
    ],
)
def test_a_new_mapping_gets_tests_that_pass(entity: str, row: Row) -> None:
    """One for what goes, and one that the condition refuses."""
    text = starter(entity)
    form = read_form(text)
    event = "PAYMENT_RECEIVED" if entity == "payment" else "SUBSCRIPTION_CREATED"
    condition = replace(row, field=row.field.format(entity))
    text = write_form(text, replace(form, events=(event,), rows=(condition,)))
    whole = with_tests(text, "nova")
    read = parse_mapping(whole, "nova.yaml", Setup(None, None))

    assert read.mapping is not None, read.findings
    assert len(read.mapping.tests) == 2
    assert all(one.passed for one in testing.run(read.mapping, ROOT))
    assert whole.startswith(text)


def test_a_new_mapping_of_deals_gets_a_test_of_its_stage() -> None:
    """The example has what the key is made of."""
    text = starter("payment").replace("events: []", "events: [PAYMENT_RECEIVED]")
    deal = Deal("installment", values={**Deal().values, "stage": Value(by_event={"PAYMENT_RECEIVED": "Paga"})})
    text = write_form(text, replace(read_form(text), deal=deal))

    read = parse_mapping(with_tests(text, "nova"), "nova.yaml", Setup(None, None))

    assert read.mapping is not None
    (case,) = read.mapping.tests
    assert case.expect["funnel.stage"].text == "Paga"
    assert all(one.passed for one in testing.run(read.mapping, ROOT))
