"""A new mapping file from a few choices, with Portuguese comments and with tests that pass.

The tests expect the payload that the file itself makes of the menu's example.
"""

from __future__ import annotations

import json
from collections import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.errors import UsageError
from bridge.mapping import evaluate
from bridge.mapping.catalogue import BILLING_TYPE_LABELS, EVENTS, read_data
from bridge.mapping.context import build_context
from bridge.mapping.findings import did_you_mean
from bridge.mapping.model import GROUPS, Mapping, ParseResult, Setup, comparisons_of, covers
from bridge.mapping.parser import parse_mapping
from bridge.mapping.schema import COMMENT
from bridge.mapping.spec import NAME
from bridge.mapping.testing import run
from bridge.mapping.values import as_decimal, either, or_none, two_readings
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


def draft(choices: Choices) -> ParseResult:
    entity = entity_of(choices.events)
    event = first_of(choices.events)
    text = _head(choices, entity)
    bare = parse_mapping(text, f"{choices.name}.yaml", _ANYTHING)
    if bare.mapping is not None:
        text += _tests(choices, bare.mapping, event, entity)
    return parse_mapping(text, f"{choices.name}.yaml", _ANYTHING)


def first_of(events: Sequence[str]) -> str:
    """Return the first event, the first of its family where the first is a family."""
    return next(name for name in EVENTS if covers(events[:1], name))


def _head(choices: Choices, entity: str) -> str:
    lines = [
        COMMENT,
        f"# {choices.description}",
        "#",
        "# Como mexer: mude, rode `bridge mappings lint` e `bridge mappings test`, e só então publique.",
        "# O guia de cada palavra está em mappings/README.md.",
        "",
        f"description: {_quoted(choices.description)}",
    ]
    if not choices.enabled:
        suffix = choices.send_to.upper().replace("-", "_")
        lines += [
            f"# Guarde o endereço da integração em CLINT_WEBHOOK_URL_{suffix} e troque para true.",
            "enabled: false",
        ]
    lines.append(f"events: [{', '.join(choices.events)}]")
    if choices.installments != "each":
        lines += ["", "# each: toda parcela; first: só a primeira; once: uma vez por parcelamento."]
        lines.append(f"installments: {choices.installments}")
    conditions = [f"    - {{field: {entity}.{key}, {operator}}}" for key, operator, *_ in _asked(choices, entity)]
    if conditions:
        lines += ["", "# Só entra o evento que cumpre todas estas condições.", "filter:", "  all:", *conditions]
    lines += ["", "# À esquerda a chave, igual na tela de mapeamento da Clint; à direita, de onde vem o valor."]
    for group in GROUPS:
        fields = [f"  {offer.key}: {offer.source}" for offer in choices.offers if offer.group == group]
        lines += [f"{group}: # aba {_TABS[group]}", *fields] if fields else []
    lines += ["", "# default é o endereço de CLINT_WEBHOOK_URL.", f"send_to: {choices.send_to}", ""]
    return "\n".join(lines)


def _asked(choices: Choices, entity: str) -> Iterator[tuple[str, str, Any, str, Any]]:
    """Yield each condition: its field, operator and fitting value, and the name and value of the test it refuses."""
    if choices.at_least:
        least, usual = float(choices.at_least), EXAMPLES[entity]["value"]
        yield "value", f"at_least: {choices.at_least}", max(usual, least), "valor menor não entra", least - 0.01
    if choices.billing_types:
        types, name = choices.billing_types, "outra forma de pagamento não entra"
        yield "billingType", f"one_of: [{', '.join(types)}]", types[0], name, "OUTRA"
    if choices.reference:
        begins, fits = f"starts_with: {_quoted(choices.reference)}", f"{choices.reference}1001"
        yield "externalReference", begins, fits, "outra referência não entra", "outra"


def _tests(choices: Choices, mapping: Mapping, event: str, entity: str) -> str:
    example = {**EXAMPLES[entity], **{key: fits for key, _, fits, *_ in _asked(choices, entity)}}
    asked = {path for one in comparisons_of(mapping.filter) for path in one.expression.paths}
    read = asked | {path for field in mapping.fields for one in field.expressions for path in one.paths}
    steps = {(path[0], path[1]) for path in read if len(path) > 1}
    if "fee" in {path[0] for path in read if path}:
        steps |= {(entity, "value"), (entity, "netValue")}
    own = {key: value for key, value in example.items() if (entity, key) in steps or key == "customer"}
    customer = {key: value for key, value in EXAMPLES["customer"].items() if ("customer", key) in steps}
    fetched = {"customer": customer} if customer else {}
    context = build_context(event, entity, {"event": event, entity: own}, "default", "sandbox", fetched)
    payload = evaluate.build_payload(mapping, context)
    lines = ["", "tests:", f"  - name: {_quoted(EVENTS[event].label)}", "    given:", f"      event: {event}"]
    lines += [f"      {entity}:", *_pairs(own, 8)]
    lines += ["    with:", "      customer:", *_pairs(customer, 8)] if customer else []
    lines += ["    expect:"]
    lines += [f"      send_to: {choices.send_to}"] if choices.send_to != "default" else []
    lines += ["      exactly:", *_pairs(payload, 8)]
    seen = {key: value for key, value in own.items() if (entity, key) in asked}
    refused = [(name, {key: value}) for key, _, _, name, value in _asked(choices, entity)]
    if choices.installments == "first":
        refused = [("segunda parcela não entra", {"installmentNumber": 2}), *refused]
    for name, changed in refused:
        lines += [f"  - name: {name}", "    given:", f"      event: {event}"]
        lines += [f"      {entity}:", *_pairs({**seen, **changed}, 8), "    expect: filtered"]
    return "\n".join([*lines, ""])


def _pairs(values: abc.Mapping[str, Any], indent: int) -> list[str]:
    return [f"{' ' * indent}{key}: {_quoted(value)}" for key, value in values.items()]


def _quoted(value: Any) -> str:
    # JSON is YAML; quotes keep 01310, on and 12:30 what they are.
    return json.dumps(value, ensure_ascii=False)


FAMILIES = ("PAYMENT", "SUBSCRIPTION")
"""The events that the menu has fields for."""


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


_AMOUNT_FAULTS = {
    "unreadable": N_("an amount is a number such as 50 or 129.90, got {amount!r}"),
    "ambiguous": N_("an amount has two decimals or none, got {amount!r}"),
    "negative": N_("an amount is not negative, got {amount!r}"),
}


def amount_fault(text: str) -> str:
    """Return why a text can't be an amount: unreadable, ambiguous or negative; empty where it can be one, or none."""
    if two_readings(text):
        return "ambiguous"
    amount = or_none(as_decimal, text or "0")
    return "unreadable" if amount is None else "negative" if amount < 0 else ""


def as_amount(text: str) -> str:
    """Return an amount as it stands in a file, empty for none; raise UsageError for anything else."""
    if fault := amount_fault(text):
        readings = two_readings(text)
        hint = N_("write {readings}") if readings else None
        raise UsageError(_AMOUNT_FAULTS[fault], hint=hint, amount=text, readings=either(readings) if readings else "")
    return format(as_decimal(text), "f") if text else ""


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
