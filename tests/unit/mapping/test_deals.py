"""The payload of a deal by Clint's API: the flat keys as for a webhook, and under `funnel` what makes the deal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ExpressionFailed, NoDealKey, StageError
from bridge.mapping import Mapping, Setup, parse_mapping, with_overlaps
from bridge.mapping.catalogue import EVENTS
from bridge.mapping.context import build_context
from bridge.mapping.evaluate import build_deal, build_payload, flat, spread
from bridge.mapping.explain import checklist, explained, statuses
from bridge.mapping.model import ClintDirectory
from bridge.mapping.testing import parts_of, run
from bridge.messages import Message

HEAD = "events: [PAYMENT_*, SUBSCRIPTION_*, INVOICE_*, TRANSFER_*]\n"
CONTACT = "contact: {nome: customer.name, email: customer.email}\n"
PAYMENT = {
    "id": "pay_1",
    "customer": "cus_1",
    "installment": "ins_1",
    "subscription": "sub_1",
    "invoiceNumber": "7",
    "value": 129.9,
    "externalReference": " loja-9 ",
}


def mapping_of(more: str, contact: str = CONTACT) -> Mapping:
    """Return the mapping of a text with events and a contact."""
    read = parse_mapping(f"{HEAD}{contact}{more}", "m.yaml", Setup(None, None))
    assert read.mapping is not None, [str(one) for one in read.findings]
    return read.mapping


def context_of(event: str = "PAYMENT_RECEIVED", entity: Any = None) -> dict[str, Any]:
    """Return the context of an event about an object, with a customer."""
    name = EVENTS[event].entity
    entity = PAYMENT if entity is None else entity
    fetched = {"customer": {"name": "Ana", "email": " ana@example.com "}}
    return build_context(event, name, {"event": event, name: entity}, "default", "sandbox", fetched)


def funnel_of(more: str, event: str = "PAYMENT_RECEIVED", entity: Any = None) -> dict[str, Any]:
    """Return the part of the payload that makes the deal."""
    funnel: dict[str, Any] = build_deal(mapping_of(more), context_of(event, entity))["funnel"]
    return funnel


WHOLE = """
deal:
  titulo: {template: "Cobrança {payment.invoiceNumber}"}
  valor: money(payment.value)
  vencimento: payment.dueDate
  parcela: payment.installment
organization: {empresa: {text: Loja}}
one_deal_per: installment
funnel:
  origin: Vendas
  stage: {from: event, lookup: {PAYMENT_CREATED: Nova, PAYMENT_RECEIVED: Paga}}
  status: {from: event, lookup: {PAYMENT_RECEIVED: won}, default: open}
  value: payment.value
  user: {text: " ana@loja.com.br "}
  tags: [Asaas, {template: "Cliente {customer.name}"}, Asaas, {from: payment.billingType}]
  moved_by_person: override
  removed: make_again
  find_contact_by: [phone, email]
  key_field: codigo
"""


def test_payload_has_the_flat_keys_and_the_deal() -> None:
    """Everything that the procedure of a delivery needs is in it, as JSON that never changes afterwards."""
    mapping, context = mapping_of(WHOLE), context_of()

    payload = build_deal(mapping, context)

    assert flat(payload) == build_payload(mapping, context)
    assert payload["funnel"] == {
        "key": "ins_1",
        "key_field": "codigo",
        "origin": "Vendas",
        "stage": "Paga",
        "status": "won",
        "value": 129.9,
        "user": "ana@loja.com.br",
        "tags": ["Asaas", "Cliente Ana"],
        "moved_by_person": "override",
        "removed": "make_again",
        "find_contact_by": ["phone", "email"],
        "own_stages": ["Nova", "Paga"],
        "own_statuses": ["won", "open"],
        "places": {
            "nome": "contact.name",
            "email": "contact.email",
            "empresa": "organization.name",
            "titulo": "deal.fields",
            "valor": "deal.value",
            "parcela": "deal.fields",
        },
    }


def test_mapping_without_a_word_of_it_makes_a_deal_for_each_charge() -> None:
    """A mapping for a webhook serves as it is: its stage, status and user stay as they are in Clint."""
    assert funnel_of("deal: {valor: money(payment.value)}") == {
        "key": "pay_1",
        "key_field": "codigo_asaas",
        "origin": "",
        "value": 129.9,
        "tags": [],
        "moved_by_person": "keep",
        "removed": "leave",
        "find_contact_by": ["email", "phone"],
        "own_stages": [],
        "own_statuses": [],
        "places": {"nome": "contact.name", "email": "contact.email", "valor": "deal.value"},
    }


def test_mapping_knows_whether_its_file_speaks_of_deals() -> None:
    """One that does shows them in tests and explanations whatever its destination is."""
    assert mapping_of("one_deal_per: customer\n").tells_funnel
    assert mapping_of("funnel: {stage: {text: Nova}}\n").tells_funnel
    assert not mapping_of("").tells_funnel


@pytest.mark.parametrize(
    ("per", "event", "entity", "key"),
    [
        ("charge", "PAYMENT_RECEIVED", PAYMENT, "pay_1"),
        ("installment", "PAYMENT_RECEIVED", PAYMENT, "ins_1"),
        ("installment", "PAYMENT_RECEIVED", {"id": "pay_1", "installment": None}, "pay_1"),
        ("subscription", "PAYMENT_RECEIVED", PAYMENT, "sub_1"),
        ("subscription", "PAYMENT_RECEIVED", {"id": "pay_1"}, "pay_1"),
        ("customer", "PAYMENT_RECEIVED", PAYMENT, "cus_1"),
        ("subscription", "SUBSCRIPTION_CREATED", {"id": "sub_1", "customer": "cus_1"}, "sub_1"),
        ("charge", "SUBSCRIPTION_CREATED", {"id": "sub_1", "customer": "cus_1"}, "sub_1"),
        ("customer", "SUBSCRIPTION_CREATED", {"id": "sub_1", "customer": "cus_1"}, "cus_1"),
        ("charge", "INVOICE_AUTHORIZED", {"id": "inv_1", "payment": "pay_1"}, "pay_1"),
        ("charge", "INVOICE_AUTHORIZED", {"id": "inv_1", "payment": None}, "inv_1"),
        ("installment", "INVOICE_AUTHORIZED", {"id": "inv_1", "payment": "pay_1", "installment": "ins_1"}, "ins_1"),
        ("charge", "TRANSFER_DONE", {"id": "tra_1"}, "tra_1"),
        ("{expression: payment.externalReference}", "PAYMENT_RECEIVED", PAYMENT, "loja-9"),
        ("{expression: payment.value}", "PAYMENT_RECEIVED", PAYMENT, "129.9"),
    ],
)
def test_key_says_which_events_are_of_one_deal(per: str, event: str, entity: Any, key: str) -> None:
    """All events of a charge, plan, subscription or customer have the same key, whatever object they are about."""
    assert funnel_of(f"one_deal_per: {per}\n", event, entity)["key"] == key


@pytest.mark.parametrize(
    ("per", "event", "entity"),
    [
        ("charge", "PAYMENT_RECEIVED", {}),
        ("charge", "PAYMENT_RECEIVED", {"id": " "}),
        ("charge", "PAYMENT_RECEIVED", {"id": 7}),
        ("customer", "TRANSFER_DONE", {"id": "tra_1"}),
        ("{expression: payment.externalReference}", "PAYMENT_RECEIVED", {"id": "pay_1", "externalReference": "  "}),
    ],
)
def test_event_without_a_key_is_dead_with_its_reason(per: str, event: str, entity: Any) -> None:
    """A deal without a key could be made a second time, so nothing is sent."""
    with pytest.raises(NoDealKey) as caught:
        funnel_of(f"one_deal_per: {per}\n", event, entity)

    assert caught.value.code == "transform.no_deal_key"


def test_key_that_is_no_single_value_names_what_is_wrong() -> None:
    """A list is no key."""
    with pytest.raises(ExpressionFailed, match=r"one_deal_per.*takes one value, got an object"):
        funnel_of("one_deal_per: {expression: payment}\n")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("valor: money(payment.value)", 129.9),
        ("valor: brl(payment.value)", 129.9),
        ("value: {from: payment.value, type: number}", 129.9),
        ("total: {from: payment.value, is: value}", 129.9),
        ("total: payment.value", None),
        ("valor: payment.netValue", None),
    ],
)
def test_value_is_that_of_the_deal_block_unless_the_funnel_has_one(field: str, value: float | None) -> None:
    """A key called `valor` or said to be the value is read as a number, in each form that money has."""
    assert funnel_of(f"deal: {{{field}}}\n").get("value") == value
    assert funnel_of(f"deal: {{{field}}}\nfunnel: {{value: {{text: '5'}}}}\n")["value"] == 5


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("deal: {valor: {text: cem reais}}\n", "valor"),
        ("funnel: {value: payment.id}\n", "funnel.value"),
        ("funnel: {status: payment.id}\n", "funnel.status"),
        ("funnel: {stage: {from: payment.link, required: true}}\n", "funnel.stage"),
        ("funnel: {tags: [{from: payment}]}\n", "funnel.tags"),
    ],
)
def test_value_that_clint_could_not_take_names_its_key(more: str, key: str) -> None:
    """The delivery is dead with the key in its reason; nothing is sent that means something else."""
    with pytest.raises(StageError) as caught:
        funnel_of(more)

    assert caught.value.facts["key"] == key


@pytest.mark.parametrize(("status", "sent"), [("won", "won"), (" LOST ", "lost"), ("Open", "open")])
def test_status_is_one_of_three_words(status: str, sent: str) -> None:
    """Capitals and blanks around it don't count."""
    assert funnel_of(f"funnel: {{status: {{text: '{status}'}}}}\n")["status"] == sent


def test_property_of_clint_takes_one_key() -> None:
    """The first that has a value; `is:` says what a key is where its name does not, and wins over a name."""
    contact = (
        "contact:\n  celular: payment.link\n  telefone: {text: '5547996321478'}\n  fone_2: {text: '551130000000'}\n"
        "  name: customer.name\n  apelido: {text: Aninha, is: name}\n"
    )
    mapping = mapping_of("deal: {nome: {text: x}, Título: {text: y}}\n", contact)

    assert build_deal(mapping, context_of())["funnel"]["places"] == {
        "telefone": "contact.phone",
        "fone_2": "contact.fields",
        "name": "contact.fields",
        "apelido": "contact.name",
        "nome": "deal.fields",
        "Título": "deal.fields",
    }


def test_objects_that_the_funnel_reads_are_fetched() -> None:
    """Its expressions count like those of fields, and derived values too."""
    mapping = mapping_of("funnel: {stage: subscription.status, tags: [{from: installment_position}]}\n")

    assert {"subscription", "installment"} <= mapping.field_needs
    assert "installment_position" in mapping.derived


def test_deal_is_spread_for_people() -> None:
    """Each part is a key of its own beside the flat ones; what says nothing is left out."""
    payload = build_deal(mapping_of(WHOLE), context_of())

    assert spread(payload) == flat(payload) | {
        "funnel.key": "ins_1",
        "funnel.key_field": "codigo",
        "funnel.origin": "Vendas",
        "funnel.stage": "Paga",
        "funnel.status": "won",
        "funnel.value": 129.9,
        "funnel.user": "ana@loja.com.br",
        "funnel.tags": "Asaas, Cliente Ana",
        "funnel.moved_by_person": "override",
        "funnel.removed": "make_again",
        "funnel.find_contact_by": "phone, email",
    }
    assert spread({"nome": "Ana"}) == {"nome": "Ana"}


WEBHOOKS = Setup(None, frozenset({"default", "vendas"}))
API = Setup(None, frozenset({"default", "vendas"}), api={"vendas": "Vendas", "default": "Vendas"})


@pytest.mark.parametrize(
    ("known", "is_deal"),
    [
        (API, True),
        (WEBHOOKS, False),
        (Setup(None, frozenset({"outra"}), api={"outra": "Vendas"}), True),
        (Setup(None, None), True),
    ],
)
def test_explanation_has_the_deal_where_the_destination_is_one_by_the_api(known: Setup, is_deal: bool) -> None:
    """Where the destination is not known, a mapping that speaks of deals is meant for one."""
    mapping = mapping_of(f"send_to: vendas\n{WHOLE}")

    told = explained(mapping, context_of(), known)

    assert told["payload"] == build_payload(mapping, context_of())
    assert told.get("funnel") == (build_deal(mapping, context_of())["funnel"] if is_deal else None)
    rows = [(one["key"], one["value"]) for one in told["fields"] if one["group"] == "funnel"]
    stage = ("funnel.stage", "Paga")
    assert (stage in rows, ("funnel.tags", "Cliente Ana") in rows) == (is_deal, is_deal)


def test_explanation_without_a_key_is_dead_only_by_the_api() -> None:
    """A webhook needs no key."""
    mapping, context = mapping_of("one_deal_per: {expression: payment.link}\n"), context_of()

    assert explained(mapping, context, API)["code"] == "transform.no_deal_key"
    assert explained(mapping, context, WEBHOOKS)["outcome"] == "sent"


def results_of(expect: str, more: str = WHOLE) -> list[tuple[str, str, str]]:
    """Return what differs in a test of the mapping: key, expected and actual."""
    tests = (
        "tests:\n  - name: a\n"
        "    given: {event: PAYMENT_RECEIVED, payment: {id: pay_1, installment: ins_1, value: 10}}\n"
        f"    with: {{customer: {{name: Ana, email: a@x}}}}\n    expect: {expect}\n"
    )
    (result,) = run(mapping_of(more + tests), Path("."))
    assert result.problem is None
    return [(one.what, str(one.expected), str(one.actual)) for one in result.differences]


@pytest.mark.parametrize(
    ("expect", "differs"),
    [
        ("{funnel.stage: Paga, funnel.status: won, funnel.value: 10, funnel.key: ins_1, nome: Ana}", []),
        ('{funnel.tags: "Asaas, Cliente Ana", funnel.origin: Vendas}', []),
        ("{funnel.stage: Nova}", [("funnel.stage", "Nova", "'Paga'")]),
        ('{funnel.value: "10"}', [("funnel.value", "'10'", "10")]),
        ("{funnel.user: null}", [("funnel.user", "no such key", "'ana@loja.com.br'")]),
        (
            '{exactly: {nome: Ana, email: a@x, empresa: Loja, valor: "10.00", parcela: ins_1}}',
            [],
        ),
        (
            '{exactly: {nome: Ana, email: a@x, empresa: Loja, valor: "10.00", funnel.status: won}}',
            [("parcela", "no such key", "'ins_1'")],
        ),
    ],
)
def test_test_of_a_mapping_names_parts_of_the_deal(expect: str, differs: list[tuple[str, str, str]]) -> None:
    """They are compared like other keys; `exactly` asks only for the flat ones."""
    assert results_of(expect) == differs


def test_test_may_ask_for_the_deal_of_a_mapping_that_does_not_speak_of_it() -> None:
    """Its destination may be one by the API all the same."""
    assert results_of("{funnel.key: pay_2}", "") == [("funnel.key", "pay_2", "'pay_1'")]


def test_coverage_counts_the_values_of_the_funnel() -> None:
    """A stage that no test gives is a part that no test reaches."""
    tests = (
        "tests:\n  - name: a\n    given: {event: PAYMENT_RECEIVED, payment: {id: pay_1, value: 10}}\n"
        "    with: {customer: {name: Ana, email: a@x}}\n    expect: {nome: Ana}\n"
    )
    mapping = mapping_of("funnel: {status: {text: won}, stage: payment.link}\n" + tests)

    reached = {str(one.what): one.reached for one in parts_of(mapping, run(mapping, Path(".")))}

    assert reached == {"nome": True, "email": True, "funnel.status": True, "funnel.stage": False}


def test_checklist_says_what_clint_lacks() -> None:
    """Origin, stages and fields of the account, also one whose key Clint has cut; what Clint has of itself is there."""
    clint = ClintDirectory(
        origins={"ori_1": ("vendas", (("sta_1", "Nova"), ("sta_2", "Pago"))), "ori_2": ("Outra", ())},
        fields={"deal": {"codigo": "TEXT", "uma_chave_muito_compr": "TEXT"}},
    )
    known = Setup(None, None, api={"default": "Outra"}, clint=clint)
    more = WHOLE.replace("  parcela:", "  uma_chave_muito_comprida:")

    found = checklist([], mapping_of(more), known=known)

    meant = {"hint": Message("; did you mean {word}?", {"word": "Pago"})}
    (row,) = found["funnels"]
    assert (found["integrations"], found["keys"], row["destination"]) == ([], [], "default")
    assert row["origins"] == [
        {
            "origin": "Vendas",
            "there": True,
            "stages": [{"stage": "Nova", "there": True}, {"stage": "Paga", "there": False, **meant}],
            "statuses": ["won", "open"],
        }
    ]
    assert {one["key"]: one["there"] for one in row["fields"]} == {
        "codigo": True,
        "nome": True,
        "email": True,
        "empresa": True,
        "titulo": False,
        "valor": True,
        "vencimento": False,
        "uma_chave_muito_comprida": True,
    }


def test_destination_by_the_api_is_no_integration() -> None:
    """Nobody sets a status for it in Clint; the same mapping sent to a webhook needs one."""
    mapping = mapping_of("one_deal_per: charge\n")

    found = checklist([], mapping, known=WEBHOOKS)

    assert (found["funnels"], [row["integration"] for row in found["integrations"]]) == ([], ["default"])
    assert statuses([mapping]) == {}


def test_two_destinations_of_one_origin_are_noted() -> None:
    """Both mappings write the same deal; another origin, or a webhook, is none of that."""
    known = replace(API, api={"vendas": "Vendas", "default": "vendas", "outra": "Outra"})
    first = parse_mapping(f"{HEAD}{CONTACT}send_to: vendas\n{WHOLE}", "a.yaml", known)
    codes = {}
    for to in ("default", "outra", "vendas"):
        second = parse_mapping(f"{HEAD}{CONTACT}send_to: {to}\n", "b.yaml", replace(known, destinations=None))
        codes[to] = {one.code for one in with_overlaps([first, second], known=known)[1].findings}

    assert {to for to, found in codes.items() if "mapping.same_origin" in found} == {"default"}


def test_two_lines_that_write_the_deals_of_one_origin_are_noted() -> None:
    """Also for different events; not in one line, with other keys, in another origin, account or by a webhook."""
    known = replace(API, api={"vendas": "Vendas", "default": "vendas", "outra": "Outra"}, accounts=None)
    known = replace(known, destinations=None)
    first = parse_mapping(f"events: [PAYMENT_RECEIVED]\n{CONTACT}send_to: vendas\n", "a.yaml", known)
    later = "events: [PAYMENT_REFUNDED]\n"
    found = {}
    for name, text in {
        "same origin": f"{HEAD}{CONTACT}send_to: default\nline: relatorios\n",
        "other events": f"{later}{CONTACT}send_to: vendas\nline: relatorios\n",
        "one line": f"{HEAD}{CONTACT}send_to: default\n",
        "other keys": f"{HEAD}{CONTACT}send_to: vendas\nline: relatorios\none_deal_per: customer\n",
        "other origin": f"{HEAD}{CONTACT}send_to: outra\nline: relatorios\n",
        "other account": f"account: matriz\n{HEAD}{CONTACT}send_to: vendas\nline: relatorios\n",
        "webhook": f"{HEAD}{CONTACT}send_to: webhook\nline: relatorios\n",
    }.items():
        second = parse_mapping(text, "b.yaml", known)
        assert second.mapping is not None, second.findings
        _, checked = with_overlaps([first, second], known=known)
        found[name] = [one for one in checked.findings if one.code == "mapping.other_line"]

    assert {name for name, some in found.items() if some} == {"same origin", "other events"}
    facts = {"other": "a.yaml", "mapping": "b.yaml", "other_line": "default", "line": "relatorios", "origin": "vendas"}
    assert found["same origin"][0].facts == facts


def test_two_keys_by_one_expression_are_the_same_deals() -> None:
    """The text of the expression counts, not its place in the file."""
    known = replace(API, api={"vendas": "Vendas"}, destinations=None)
    key = "one_deal_per: {expression: payment.externalReference}\n"
    first = parse_mapping(f"{HEAD}{CONTACT}send_to: vendas\n{key}", "a.yaml", known)
    second = parse_mapping(f"{HEAD}{key}{CONTACT}send_to: vendas\nline: x\n", "b.yaml", known)

    _, checked = with_overlaps([first, second], known=known)
    assert "mapping.other_line" in {one.code for one in checked.findings}


def test_an_overlap_by_the_api_speaks_of_deals() -> None:
    """A webhook gets the event twice; by the API both mappings write the same deal."""
    found = {}
    for name, known in (("api", API), ("webhook", WEBHOOKS)):
        pair = [parse_mapping(f"{HEAD}{CONTACT}", f"{one}.yaml", known) for one in ("a", "b")]
        found[name] = [one for one in with_overlaps(pair, known=known)[1].findings if one.code == "mapping.overlap"]

    assert [len(one) for one in found.values()] == [1, 1]
    assert found["api"][0].what.id != found["webhook"][0].what.id
    assert found["api"][0].facts == found["webhook"][0].facts


def test_deals_that_no_event_moves_are_noted() -> None:
    """Without stage and status a paid deal stays open in the first stage; of a webhook that is not known."""
    for known, more, is_noted in ((API, "", True), (WEBHOOKS, "", False), (API, WHOLE, False)):
        read = parse_mapping(f"{HEAD}{CONTACT}send_to: vendas\n{more}", "m.yaml", known)
        assert ("funnel.no_place" in {one.code for one in read.findings}) is is_noted
