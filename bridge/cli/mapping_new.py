"""`bridge mappings new`: asks what a new mapping should do and writes its file, with comments and passing tests.

Options answer everything too. Without a terminal a question without an option takes its default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from bridge.cli.main import Invocation
from bridge.cli.output import show_table
from bridge.errors import UsageError
from bridge.mapping import testing
from bridge.mapping.catalogue import BILLING_TYPE_LABELS, EVENTS
from bridge.mapping.drafts import (
    FAMILIES,
    USUAL,
    Choices,
    Offer,
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
from bridge.mapping.schema import FILE_NAME, schema_text
from bridge.messages import N_, _, ngettext
from bridge.operations.mappings import file_of
from bridge.settings import variable

T = TypeVar("T")


@click.command("new")
@click.argument("name", required=False)
@click.option(
    "--event", "events", multiple=True, help="An event such as PAYMENT_RECEIVED, or PAYMENT_*; may be repeated."
)
@click.option("--description", help="What the automation does, in a sentence.")
@click.option("--at-least", metavar="VALUE", help="Only from this amount on.")
@click.option("--billing-type", "billing_types", multiple=True, help="Only this billing type; may be repeated.")
@click.option("--reference", metavar="TEXT", help="Only where the external reference begins with this.")
@click.option(
    "--installments", type=click.Choice(["each", "first", "once"]), help="Which instalments of a plan are sent."
)
@click.option("--field", "fields", multiple=True, metavar="KEY", help="A key of the menu to send; may be repeated.")
@click.option("--send-to", metavar="NAME", help="The destination.")
@click.pass_obj
def new(invocation: Invocation, /, name: str | None, **options: Any) -> None:
    """Write a new mapping file, with comments and tests that pass; asks for what is not said.

    NAME is the file's name without .yaml. Charges and subscriptions have a menu; for other events copy a file of
    mappings/.
    """
    choices = _ask(invocation, name, options)
    path = _path(invocation, choices.name)
    read = draft(choices)
    assert read.mapping is not None, read.findings  # noqa: S101 (a menu that can't run is our fault)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(read.text, encoding="utf-8")
    beside = path.with_name(FILE_NAME)
    if not beside.exists():
        beside.write_text(schema_text(), encoding="utf-8")
    number = len(testing.run(read.mapping, path.parent))
    click.echo(ngettext("written: {path}, with {n} test", "written: {path}, with {n} tests", number, path=path))
    if not choices.enabled:
        setting = variable("CLINT_WEBHOOK_URL", choices.send_to)
        click.echo(_("it is off until {setting} is set and enabled says true", setting=setting), err=True)
    click.echo(_("what to choose in Clint: bridge mappings checklist {name}", name=choices.name), err=True)


def _path(invocation: Invocation, name: str) -> Path:
    path = file_of(invocation.settings.bridge_mappings_dir, name)
    if path.exists():
        raise UsageError(N_("there is a mapping of that name"), where=str(path), hint=N_("choose another"))
    return path


def _ask(invocation: Invocation, name: str | None, options: dict[str, Any]) -> Choices:
    """Return the answers: of the options, of the person at the terminal, or the defaults."""
    said = _answer(name, N_("name of the file, such as venda_no_pix"), "", as_name)
    _path(invocation, said)
    events = _events(options["events"])
    entity = entity_of(events)
    send_to = _answer(options["send_to"], N_("destination"), "default", as_name)
    label = f"{EVENTS[first_of(events)].label} na Clint"
    billing_types = N_("only which billing types, of {names} (empty: any)")
    reference = N_("only where the external reference begins with (empty: any)")
    return Choices(
        name=said,
        description=_answer(options["description"], N_("what it does, in a sentence"), label, str),
        events=events,
        at_least=_answer(options["at_least"], N_("only from which amount on (empty: any)"), None, as_amount),
        billing_types=_answer(
            options["billing_types"], billing_types, None, as_billing_types, names=", ".join(BILLING_TYPE_LABELS)
        ),
        reference=_answer(options["reference"], reference, None, str),
        installments=_answer(options["installments"], N_("instalments: each, first or once"), "each", as_installments)
        if entity == "payment"
        else "each",
        offers=_offers(entity, options["fields"]),
        send_to=send_to,
        enabled=send_to == "default" or send_to in invocation.settings.destinations,
    )


def _answer(given: Any, question: str, default: str | None, read: Callable[[Any], T], **facts: object) -> T:
    """Return an answer as `read` takes it; without a default (an empty text) the person must answer."""
    if given or not sys.stdin.isatty():
        if not given and default == "":
            raise UsageError(N_("name of the file is missing"), hint=N_("see: bridge mappings new --help"))
        return read(given or default or "")

    def check(text: str) -> T:
        try:
            return read(text)
        except UsageError as error:
            raise click.BadParameter(error.text()) from None

    answer: T = click.prompt(
        _(question, **facts),
        default=default or (None if default == "" else ""),
        value_proc=check,
        err=True,
        show_default=bool(default),
    )
    return answer


def _events(given: Sequence[str]) -> tuple[str, ...]:
    if given:
        return as_events(given)
    if not sys.stdin.isatty():
        raise UsageError(N_("no event was said"), hint=N_("add --event, such as --event PAYMENT_RECEIVED"))
    known = [one for one in EVENTS.values() if one.family in FAMILIES]
    rows = [(number, one.name, one.label) for number, one in enumerate(known, 1)]
    show_table(("", _("event"), _("what happened")), rows)
    names = [one.name for one in known]
    return _answer(None, N_("events, by number or name"), "", lambda text: as_events(_picked(text, names)))


def _offers(entity: str, given: Sequence[str]) -> tuple[Offer, ...]:
    offers = offers_of(entity)
    keys = [offer.key for offer in offers]
    if sys.stdin.isatty() and not given:
        shown = examples(offers, entity)
        rows = [(number, one.key, one.group, shown[one.key]) for number, one in enumerate(offers, 1)]
        show_table(("", _("key"), _("tab"), _("example")), rows)
    usual = " ".join(key for key in keys if key in USUAL)
    chosen = _answer(given, N_("keys, by number or name"), usual, lambda said: as_keys(_picked(said, keys), keys))
    return tuple(offer for offer in offers if offer.key in chosen)


def _picked(said: str | Sequence[str], names: Sequence[str]) -> list[str]:
    words = said.replace(",", " ").split() if isinstance(said, str) else said
    return [names[int(word) - 1] if word.isdigit() and 0 < int(word) <= len(names) else word for word in words]
