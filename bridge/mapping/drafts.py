"""A new mapping file from a few choices, with Portuguese comments and with tests that pass.

The tests expect the payload that the file itself makes of the menu's example.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import abc
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bridge.errors import StageError, UsageError
from bridge.mapping import evaluate, spec
from bridge.mapping.catalogue import BILLING_TYPE_LABELS, EVENTS, read_data
from bridge.mapping.context import build_context
from bridge.mapping.deal_form import Deal, write_deal
from bridge.mapping.edit import Document
from bridge.mapping.findings import did_you_mean
from bridge.mapping.model import (
    GROUPS,
    Comparison,
    Condition,
    Group,
    Mapping,
    ParseResult,
    Setup,
    comparisons_of,
    covers,
)
from bridge.mapping.parser import parse_mapping
from bridge.mapping.schema import COMMENT
from bridge.mapping.spec import NAME
from bridge.mapping.testing import run
from bridge.mapping.values import as_decimal, cents, folded, number_fault, or_none, typed_number
from bridge.messages import N_


@dataclass(frozen=True, slots=True)
class Offer:
    group: str
    key: str
    source: str
    """An expression, or a block in braces, as in the file."""
    entity: str = ""
    """The object that its event must carry; empty: any event of a customer."""
    usual: bool = False
    """Whether a new mapping has it where nobody chooses."""


_MENU = read_data("menu")
FIELD_MENU = tuple(Offer(**row) for row in _MENU["fields"])
USUAL = frozenset(offer.key for offer in FIELD_MENU if offer.usual)
"""The keys of a new mapping where nobody chooses."""
EXAMPLES: abc.Mapping[str, Any] = _MENU["examples"]
"""Objects of Asaas by name, for examples and previews."""


def entity_of(events: tuple[str, ...]) -> str:
    """Return the object that these events or families carry; empty where they differ or the menu has no fields."""
    entities = {known.entity for known in EVENTS.values() if covers(events, known.name)}
    (entity,) = entities if len(entities) == 1 else ("",)
    return entity if entity in {"payment", "subscription"} else ""


def offers_of(entity: str) -> list[Offer]:
    return [offer for offer in FIELD_MENU if offer.entity in {"", entity}]


_TABS = {"contact": "Contato", "organization": "Organização", "deal": "Negócio"}
_ANYTHING = Setup(None, None)


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of an operator for a new file."""

    name: str
    description: str
    events: tuple[str, ...]
    offers: tuple[Offer, ...]
    at_least: str = ""
    billing_types: tuple[str, ...] = ()
    reference: str = ""
    """The beginning that the external reference must have."""
    installments: str = "each"
    send_to: str = "default"
    enabled: bool = True
    deal: Deal | None = None
    """What the deals are, where the destination is an origin of Clint."""


def draft(choices: Choices) -> ParseResult:
    entity = entity_of(choices.events)
    event = first_of(choices.events)
    text = _head(choices, entity)
    bare = parse_mapping(text, f"{choices.name}.yaml", _ANYTHING)
    if bare.mapping is not None:
        text += _tests(bare.mapping, event, entity, _others(choices, event))
    return parse_mapping(text, f"{choices.name}.yaml", _ANYTHING)


def _others(choices: Choices, first: str) -> list[str]:
    """Return the events, beside the first, that a test has to show: each that is named, and one that is not."""
    values = [choices.deal.values[name] for name in ("stage", "status")] if choices.deal else []
    named = dict.fromkeys(event for value in values for event in value.by_event)
    rest = [event for event in EVENTS if covers(choices.events, event) and event not in named]
    usual = rest[:1] if named and any(value.default for value in values) else []
    return [event for event in (*named, *usual) if event != first]


def first_of(events: Sequence[str]) -> str:
    """Return the first event, the first of its family where the first is a family."""
    return next(name for name in EVENTS if covers(events[:1], name))


_HOW_TO = (
    "# Como mexer: mude, rode `bridge mappings lint` e `bridge mappings test`, e só então publique.",
    "# O guia de cada palavra está em mappings/README.md.",
    "",
)


def starter(entity: str) -> str:
    """Return the text that a new mapping's form begins with: the usual fields, and no event yet."""
    offers = [offer for offer in offers_of(entity) if offer.usual]
    return "\n".join([COMMENT, *_HOW_TO, "events: []", *_fields(offers, "default")])


def _head(choices: Choices, entity: str) -> str:
    lines = [
        COMMENT,
        f"# {choices.description}",
        "#",
        *_HOW_TO,
        f"description: {_quoted(choices.description)}",
    ]
    if not choices.enabled:
        suffix = choices.send_to.upper().replace("-", "_")
        where = f"o nome da origem em CLINT_ORIGIN_{suffix}"
        if choices.deal is None:
            where = f"o endereço da integração em CLINT_WEBHOOK_URL_{suffix}"
        lines += [f"# Guarde {where} e troque para true.", "enabled: false"]
    lines.append(f"events: [{', '.join(choices.events)}]")
    if choices.installments != "each":
        lines += ["", "# each: toda parcela; first: só a primeira; once: uma vez por parcelamento."]
        lines.append(f"installments: {choices.installments}")
    conditions = [f"    - {{field: {entity}.{key}, {operator}}}" for key, operator in _conditions(choices)]
    if conditions:
        lines += ["", "# Só entra o evento que cumpre todas estas condições.", "filter:", "  all:", *conditions]
    if choices.deal is None:
        return "\n".join([*lines, *_fields(choices.offers, choices.send_to)])
    what = f"# {choices.send_to} é uma origem da Clint, pela API; abaixo: o que vira um negócio, a etapa e o status."
    document = Document("\n".join([*lines, *_fields(choices.offers, choices.send_to, what)]))
    write_deal(document, Deal(), choices.deal)
    return document.text


def _fields(
    offers: Sequence[Offer], send_to: str, what: str = "# default é o endereço de CLINT_WEBHOOK_URL."
) -> Iterator[str]:
    yield from ("", "# À esquerda a chave, igual na tela de mapeamento da Clint; à direita, de onde vem o valor.")
    for group in GROUPS:
        fields = [f"  {offer.key}: {offer.source}" for offer in offers if offer.group == group]
        yield from [f"{group}: # aba {_TABS[group]}", *fields] if fields else []
    yield from ("", what, f"send_to: {send_to}", "")


def _conditions(choices: Choices) -> Iterator[tuple[str, str]]:
    if choices.at_least:
        yield "value", f"at_least: {choices.at_least}"
    if choices.billing_types:
        yield "billingType", f"one_of: [{', '.join(choices.billing_types)}]"
    if choices.reference:
        yield "externalReference", f"starts_with: {_quoted(choices.reference)}"


def with_tests(text: str, name: str) -> str:
    """Return the text with tests of its own: one event that goes, and for each condition one that does not.

    A text that has tests, an error, or conditions that no example is known for stays as it is.
    """
    mapping = parse_mapping(text, f"{name}.yaml", _ANYTHING).mapping
    if mapping is None or mapping.tests:
        return text
    event = next(iter(mapping.event_names), "")
    entity = EVENTS[event].entity if event in EVENTS else ""
    if entity not in EXAMPLES:
        return text
    end = "" if text.endswith("\n") else "\n"
    try:
        whole = text + end + _tests(mapping, event, entity)
    except StageError:  # the example lacks what the mapping must have
        return text
    made = parse_mapping(whole, f"{name}.yaml", _ANYTHING).mapping
    return whole if made is not None and all(one.passed for one in run(made, Path())) else text


def without_made_tests(text: str, name: str) -> str:
    """Return a text without the tests that `with_tests` gave it; one that somebody wrote tests for stays as it is."""
    bare = text[: text.rfind("\ntests:\n") + 1].removesuffix("\n")
    bare = bare if bare.endswith("\n") else f"{bare}\n"
    return bare if "\ntests:\n" in text and with_tests(bare, name) == text else text


_REFUSED = {
    ("value", "at_least"): "valor menor não entra",
    ("billingType", "one_of"): "outra forma de pagamento não entra",
    ("externalReference", "starts_with"): "outra referência não entra",
}


def _refused(mapping: Mapping, entity: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a test for each condition on the object without which nothing goes: its name, and a value that is wrong."""
    top = mapping.filter
    conditions = top.conditions if isinstance(top, Group) and top.kind == "all" else [top]
    for one in conditions:
        for key, _fits, wrong in _example(one, entity) if isinstance(one, Comparison) else ():
            operator = one.operator.name if isinstance(one, Comparison) and one.operator else ""
            yield _REFUSED.get((key, operator), f"sem a condição de {key} não entra"), {key: wrong}


def _example(condition: Condition | None, entity: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield what an object must have for a condition to hold: each key, a value that fits and one that does not.

    Of several conditions of which one is enough, the first one that asks about the object.
    """
    if isinstance(condition, Comparison) and condition.operator is not None:
        root, _, key = condition.expression.text.partition(".")
        if root == entity and key.isidentifier():
            yield key, *_values(condition.operator.name, condition.operands, EXAMPLES[entity].get(key))
    elif isinstance(condition, Group):
        found = [list(_example(one, entity)) for one in condition.conditions]
        if condition.kind == "not":
            yield from ((key, wrong, fits) for key, fits, wrong in found[0])
        else:
            yield from chain.from_iterable(found if condition.kind == "all" else [one for one in found if one][:1])


def _values(operator: str, operands: Sequence[str], usual: Any) -> tuple[Any, Any]:
    """Return a value that fulfils a condition, the usual one where that does, and one that does not."""
    first = operands[0]
    number = or_none(as_decimal, first)
    if operator in {"at_least", "greater_than", "at_most", "less_than"} and number is not None:
        least, step = float(number), 0.01
        low, high = round(least - step, 2), round(least + step, 2)
        is_usual = isinstance(usual, int | float) and _TESTS[operator](usual, least)
        fits = usual if is_usual else {"at_least": least, "at_most": least, "greater_than": high}.get(operator, low)
        return fits, {"at_least": low, "greater_than": least, "at_most": high}.get(operator, least)
    if operator == "starts_with":
        return f"{first}1001", "outra"
    if operator in {"equals", "one_of"}:
        value: Any = float(number) if number is not None and isinstance(usual, int | float) else first
        return value, "OUTRA"
    if operator in {"not_equals", "not_one_of"}:
        return ("OUTRA" if usual in operands else usual), first
    if operator == "exists":
        return (usual or "x", None) if first == "true" else (None, usual or "x")
    return usual, None


_TESTS: abc.Mapping[str, abc.Callable[[float, float], bool]] = {
    "at_least": lambda value, least: value >= least,
    "greater_than": lambda value, least: value > least,
    "at_most": lambda value, most: value <= most,
    "less_than": lambda value, most: value < most,
}


def _tests(mapping: Mapping, event: str, entity: str, others: Sequence[str] = ()) -> str:
    """Return tests of the first event in full, and of others as far as their deal goes."""
    example, person = (
        {**EXAMPLES[one], **{key: fits for key, fits, _ in _example(mapping.filter, one)}}
        for one in (entity, "customer")
    )
    asked = {path for one in comparisons_of(mapping.filter) for path in one.expression.paths}
    read = asked | {path for field in mapping.fields for one in field.expressions for path in one.paths}
    read |= {path for one in mapping.funnel.expressions for path in one.paths}
    steps = {(path[0], path[1]) for path in read if len(path) > 1}
    steps |= {(entity, "id")} if mapping.tells_funnel else set()
    if "fee" in {path[0] for path in read if path}:
        steps |= {(entity, "value"), (entity, "netValue")}
    own = {key: value for key, value in example.items() if (entity, key) in steps or key == "customer"}
    customer = {key: value for key, value in person.items() if ("customer", key) in steps}
    fetched = {"customer": customer} if customer else {}
    lines = ["", "tests:"]
    for name in (event, *others):
        context = build_context(name, entity, {"event": name, entity: own}, "default", "sandbox", fetched)
        deal = evaluate.spread(evaluate.build_deal(mapping, context)) if mapping.tells_funnel else {}
        lines += [f"  - name: {_quoted(EVENTS[name].label)}", "    given:", f"      event: {name}"]
        lines += [f"      {entity}:", *_pairs(own, 8)]
        lines += ["    with:", "      customer:", *_pairs(customer, 8)] if customer else []
        lines += ["    expect:"]
        if name != event:
            lines += _pairs({key: deal.get(key) for key in ("funnel.stage", "funnel.status")}, 6)
            continue
        send_to = mapping.destination(event)
        lines += [f"      send_to: {send_to}"] if send_to != "default" else []
        lines += _pairs({key: deal[key] for key in ("funnel.stage", "funnel.status") if key in deal}, 6)
        lines += ["      exactly:", *_pairs(evaluate.build_payload(mapping, context), 8)]
    kept = {key: value for key, value in own.items() if (entity, key) in asked}
    refused = list(_refused(mapping, entity))
    if mapping.installments == "first":
        refused = [("segunda parcela não entra", {"installmentNumber": 2}), *refused]
    for name, changed in refused:
        lines += [f"  - name: {name}", "    given:", f"      event: {event}"]
        lines += [f"      {entity}:", *_pairs({**kept, **changed}, 8), "    expect: filtered"]
    return "\n".join([*lines, ""])


def _pairs(values: abc.Mapping[str, Any], indent: int) -> list[str]:
    return [f"{' ' * indent}{key}: {_quoted(value)}" for key, value in values.items()]


def _quoted(value: Any) -> str:
    # JSON is YAML; quotes keep 01310, on and 12:30 what they are.
    return json.dumps(value, ensure_ascii=False)


FAMILIES = ("PAYMENT", "SUBSCRIPTION")
"""The events that the menu has fields for."""


def name_of(description: str, taken: Collection[str]) -> str:
    """Return a name for a mapping's file, made of what it is called.

    >>> name_of("Cobrança acima de R$ 100", ()), name_of("paga", {"paga"}), name_of("!", ())
    ('cobranca_acima_de_r_100', 'paga_2', 'automacao')
    """
    plain = unicodedata.normalize("NFD", description.lower()).encode("ascii", "ignore").decode()
    name = "_".join(re.findall(r"[a-z0-9]+", plain))[:36].strip("_") or "automacao"
    names = (name, *(f"{name}_{number}" for number in range(2, 1000)))
    return next(one for one in names if one not in taken)


def as_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise UsageError(N_("a name has at most 40 lower case letters, digits, _ and -, got {name!r}"), name=text)
    return text


def as_events(names: Sequence[str]) -> tuple[str, ...]:
    """Return events or families, each once; raise UsageError where Asaas has none or the menu no field for it."""
    for name in names:
        if not any(covers((name,), known) for known in EVENTS):
            raise UsageError(
                N_("the menu knows no event {name!r}{nearest}"),
                hint=N_("a new event of Asaas works in a mapping file: copy one of mappings/ and name it there"),
                name=name,
                nearest=did_you_mean(name, EVENTS),
            )
    if not names:
        raise UsageError(N_("choose at least one event"), hint=N_("the events say when the mapping runs"))
    events = tuple(dict.fromkeys(names))
    if not entity_of(events):
        raise UsageError(
            N_("the menu has fields for charges or for subscriptions, one of them in a file"),
            hint=N_("name events of one kind, or copy a file of mappings/"),
        )
    return events


def as_amount(text: str) -> str:
    """Return an amount as it stands in a file, empty for none; raise UsageError for anything else."""
    if not text:
        return ""
    if fault := number_fault(text, is_amount=True):
        raise UsageError(fault)
    return format(typed_number(text), "f")


def as_cents(text: str) -> int:
    """Return an amount in cents; raise UsageError for a text that is none.

    >>> as_cents("R$ 1.100,50"), as_cents("1100.50")
    (110050, 110050)
    """
    amount = or_none(cents, as_amount(text.strip()) or "0")
    if amount is None:  # too large for one
        raise UsageError(N_("“{got}” is too large for an amount"), got=text)
    return int(amount * 100)


def as_billing_types(given: str | Sequence[str]) -> tuple[str, ...]:
    words = given.replace(",", " ").split() if isinstance(given, str) else given
    for word in words:
        if word not in BILLING_TYPE_LABELS:
            nearest = did_you_mean(word, BILLING_TYPE_LABELS)
            raise UsageError(N_("Asaas has no billing type {name!r}{nearest}"), name=word, nearest=nearest)
    return tuple(words)


def as_installments(text: str) -> str:
    if text not in {"each", "first", "once"}:
        raise UsageError(N_("instalments are each, first or once, got {word!r}"), word=text)
    return text


def as_per(text: str) -> str:
    """Return what one deal stands for; raise UsageError for another word."""
    choices = spec.MAPPING["one_deal_per"].choices
    if text not in choices:
        what = N_("one deal stands for one of {choices}, got {word!r}{nearest}")
        raise UsageError(what, choices=", ".join(choices), word=text, nearest=did_you_mean(text, choices))
    return text


def as_stage(text: str, stages: Sequence[str]) -> str:
    """Return a stage by its number or name, empty for none; any name where the stages are not known."""
    given = text.strip()
    if given.isdigit() and 0 < int(given) <= len(stages):
        return stages[int(given) - 1]
    found = [one for one in stages if folded(one) == folded(given)]
    if given and stages and not found:
        what, nearest = N_("the origin has no stage {stage!r}{nearest}"), did_you_mean(given, stages)
        hint = N_("its stages: {stages}")
        raise UsageError(what, hint=hint, stage=given, nearest=nearest, stages=", ".join(stages))
    return found[0] if found else given


def as_status(text: str) -> str:
    """Return open, won or lost, or nothing; raise UsageError for another word."""
    if text and text not in evaluate.STATUSES:
        nearest = did_you_mean(text, evaluate.STATUSES)
        raise UsageError(N_("a status is open, won or lost, got {word!r}{nearest}"), word=text, nearest=nearest)
    return text


def as_keys(chosen: Sequence[str], keys: Sequence[str]) -> frozenset[str]:
    """Return the keys that were chosen from the menu; raise UsageError where Clint could find no contact by them."""
    for key in chosen:
        if key not in keys:
            nearest = did_you_mean(key, keys)
            raise UsageError(N_("the menu has no key {key!r}{nearest}"), key=key, nearest=nearest)
    if not {"email", "telefone"} & set(chosen):
        what = N_("Clint finds the contact by email or telefone, got neither")
        raise UsageError(what, hint=N_("take one of them"))
    return frozenset(chosen)


def examples(offers: Sequence[Offer], entity: str) -> dict[str, Any]:
    """Return the value of each field of the menu for its example."""
    event = "PAYMENT_RECEIVED" if entity == "payment" else "SUBSCRIPTION_CREATED"
    read = draft(Choices("menu", "menu", (event,), tuple(offers)))
    assert read.mapping is not None, read.findings  # noqa: S101 (as in new)
    (result,) = run(read.mapping, Path())
    return dict(result.payload)
