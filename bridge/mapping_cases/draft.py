"""Writes a new mapping file from a few choices, with comments and with tests that pass.

What the tests expect is what the file itself makes of the menu's example, so a draft is never handed out that lint or
its own tests would refuse.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import Any

from bridge import transform
from bridge.mapping import Known, Mapping, ReadMapping, read_mapping
from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.context import build_context
from bridge.mapping.lint import expressions_of_condition, expressions_of_fields
from bridge.mapping.menu import EXAMPLES, Offer, entity_of
from bridge.mapping.parts import GROUPS, covers
from bridge.mapping.schema import COMMENT

_TABS = {"contact": "Contato", "organization": "Organização", "deal": "Negócio"}
_ANYTHING = Known(None, None)


@dataclass(frozen=True, slots=True)
class Choices:
    """What an operator chose for a new file."""

    name: str
    description: str
    events: tuple[str, ...]
    offers: tuple[Offer, ...]
    at_least: str = ""
    billing_types: tuple[str, ...] = ()
    reference: str = ""
    """What the external reference must begin with."""
    installments: str = "each"
    send_to: str = "default"
    enabled: bool = True


def draft(choices: Choices) -> ReadMapping:
    """Return the new file, read: its text, and what lint finds in it."""
    entity = entity_of(choices.events)
    event = first_of(choices.events)
    text = _head(choices, entity)
    bare = read_mapping(text, f"{choices.name}.yaml", _ANYTHING)
    if bare.mapping is not None:
        text += _tests(choices, bare.mapping, event, entity)
    return read_mapping(text, f"{choices.name}.yaml", _ANYTHING)


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
    conditions = _conditions(choices, entity)
    if conditions:
        lines += ["", "# Só entra o evento que cumpre todas estas condições.", "filter:", "  all:"]
        lines += [f"    - {condition}" for condition in conditions]
    lines += ["", "# À esquerda a chave, igual na tela de mapeamento do Clint; à direita, de onde vem o valor."]
    for group in GROUPS:
        fields = [f"  {offer.key}: {offer.source}" for offer in choices.offers if offer.group == group]
        lines += [f"{group}: # aba {_TABS[group]}", *fields] if fields else []
    lines += ["", "# default é o endereço de CLINT_WEBHOOK_URL.", f"send_to: {choices.send_to}", ""]
    return "\n".join(lines)


def _conditions(choices: Choices, entity: str) -> list[str]:
    found = []
    if choices.at_least:
        found.append(f"{{field: {entity}.value, at_least: {choices.at_least}}}")
    if choices.billing_types:
        found.append(f"{{field: {entity}.billingType, one_of: [{', '.join(choices.billing_types)}]}}")
    if choices.reference:
        found.append(f"{{field: {entity}.externalReference, starts_with: {_quoted(choices.reference)}}}")
    return found


def _example(choices: Choices, entity: str) -> dict[str, Any]:
    """Return the menu's example, changed so that it passes the filter."""
    example = copy.deepcopy(dict(EXAMPLES))
    if choices.at_least:
        example[entity]["value"] = max(example[entity]["value"], float(choices.at_least))
    if choices.billing_types:
        example[entity]["billingType"] = choices.billing_types[0]
    if choices.reference:
        example[entity]["externalReference"] = f"{choices.reference}1001"
    return example


def _tests(choices: Choices, mapping: Mapping, event: str, entity: str) -> str:
    example = _example(choices, entity)
    read = {path for one in expressions_of_condition(mapping.filter) for path in one.paths}
    read |= {path for one in expressions_of_fields(mapping.fields) for path in one.paths}
    steps = {(path[0], path[1]) for path in read if len(path) > 1}
    if "fee" in {path[0] for path in read if path}:
        steps |= {(entity, "value"), (entity, "netValue")}
    own = {key: value for key, value in example[entity].items() if (entity, key) in steps or key == "customer"}
    customer = {key: value for key, value in example["customer"].items() if ("customer", key) in steps}
    fetched = {"customer": customer} if customer else {}
    context = build_context(event, entity, {"event": event, entity: own}, "default", "sandbox", fetched)
    payload = transform.build(mapping, context)
    lines = ["", "tests:", f"  - name: {_quoted(EVENTS[event].label)}", "    given:", f"      event: {event}"]
    lines += [f"      {entity}:", *_pairs(own, 8)]
    lines += ["    with:", "      customer:", *_pairs(customer, 8)] if customer else []
    lines += ["    expect:"]
    lines += [f"      send_to: {choices.send_to}"] if choices.send_to != "default" else []
    lines += ["      exactly:", *_pairs(payload, 8)]
    seen = {path[1] for one in expressions_of_condition(mapping.filter) for path in one.paths}
    asked = {key: value for key, value in own.items() if key in seen}
    for name, refused in _refused(choices, asked):
        lines += [f"  - name: {name}", "    given:", f"      event: {event}"]
        lines += [f"      {entity}:", *_pairs(refused, 8), "    expect: filtered"]
    return "\n".join([*lines, ""])


def _refused(choices: Choices, asked: AnyMapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield, for each condition, what the conditions read changed so that this one says no."""
    if choices.installments == "first":
        yield "segunda parcela não entra", {**asked, "installmentNumber": 2}
    if choices.at_least:
        yield "valor menor não entra", {**asked, "value": float(choices.at_least) - 0.01}
    if choices.billing_types:
        yield "outra forma de pagamento não entra", {**asked, "billingType": "OUTRA"}
    if choices.reference:
        yield "outra referência não entra", {**asked, "externalReference": "outra"}


def _pairs(values: AnyMapping[str, Any], indent: int) -> list[str]:
    return [f"{' ' * indent}{key}: {_quoted(value)}" for key, value in values.items()]


def _quoted(value: Any) -> str:
    # JSON is YAML; quotes keep 01310, on and 12:30 what they are.
    return json.dumps(value, ensure_ascii=False)
