"""A new mapping by a form: events, conditions, and fields with an example of each."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bridge.errors import MappingChanged, UsageError
from bridge.mapping.catalogue import BILLING_TYPE_LABELS, EVENTS
from bridge.mapping.drafts import (
    FAMILIES,
    USUAL,
    Choices,
    amount_fault,
    as_amount,
    as_billing_types,
    as_events,
    as_installments,
    as_keys,
    as_name,
    draft,
    entity_of,
    examples,
    first_of,
    offers_of,
)
from bridge.messages import N_, _
from bridge.operations.mappings import file_text
from bridge.web.console import layout
from bridge.web.console.access import runtime
from bridge.web.console.mappings import directory, keep

pages = Blueprint("mappings_new", __name__)

AMOUNT_FAULTS = {
    "unreadable": N_("Write the amount as 50 or 1000.00; “{got}” is not an amount."),
    "ambiguous": N_("“{got}” may mean a thousand or one: write the amount as 1000 or 1.00."),
    "negative": N_("The amount can't be negative; “{got}” is."),
}


@pages.get("/mappings-new")
def form(status: int = 200, problem: UsageError | None = None, refused: str = "") -> ResponseReturnValue:
    kind = request.values.get("kind", "payment")
    kind = kind if kind in {"payment", "subscription"} else "payment"
    offers = tuple(offers_of(kind))
    chosen = (
        request.form.getlist("field") if request.method == "POST" else [one.key for one in offers if one.key in USUAL]
    )
    return layout.page(
        "mapping_new.html",
        status,
        kind=kind,
        events=[one for one in EVENTS.values() if one.family in FAMILIES and one.entity == kind],
        offers=offers,
        shown=examples(offers, kind),
        chosen=chosen,
        billing_types=BILLING_TYPE_LABELS,
        destinations=sorted({"default", *runtime.destinations}),
        given=request.form,
        problem=problem,
        refused=refused,
    )


@pages.post("/mappings-new")
def make() -> ResponseReturnValue:
    """Write the mapping, or only show its text."""
    amount = request.form.get("at_least", "").strip()
    if fault := amount_fault(amount):
        return form(422, refused=_(AMOUNT_FAULTS[fault], got=amount))
    try:
        choices = _choices(request.form)
        found = draft(choices)
        text = found.text
        if "show" not in request.form:
            if file_text(directory(), choices.name) is not None:
                raise UsageError(N_("there is a mapping of that name"), hint=N_("choose another"))
            keep(choices.name, text, 0)
            return layout.go("console.mappings.edit", name=choices.name)
    except (UsageError, MappingChanged) as error:
        problem = error if isinstance(error, UsageError) else UsageError(N_("there is a mapping of that name"))
        return form(422, problem)
    return layout.page("mapping_new_text.html", text=text, name=choices.name, given=request.form)


def _choices(form: Any) -> Choices:
    name = as_name(form.get("name", "").strip())
    events = as_events(form.getlist("event"))
    if not events:
        raise UsageError(N_("no event was chosen"), hint=N_("choose one at least"))
    entity = entity_of(events)
    offers = offers_of(entity)
    keys = as_keys(form.getlist("field"), [one.key for one in offers])
    send_to = as_name(form.get("send_to", "default"))
    is_payment = entity == "payment"
    return Choices(
        name=name,
        description=" ".join(form.get("description", "").split())[:200] or f"{EVENTS[first_of(events)].label} na Clint",
        events=events,
        offers=tuple(one for one in offers if one.key in keys),
        at_least=as_amount(form.get("at_least", "").strip()),
        billing_types=as_billing_types(form.getlist("billing_type")),
        reference=form.get("reference", "").strip(),
        installments=as_installments(form.get("installments", "each")) if is_payment else "each",
        send_to=send_to,
        enabled="enabled" in form and (send_to == "default" or send_to in runtime.destinations),
    )
