"""`bridge mappings new`: asks what a new mapping should do and writes its file, with comments and passing tests.

Options answer everything too. Without a terminal a question without an option takes its default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from bridge.cli.main import Invocation
from bridge.cli.output import show_table
from bridge.errors import UsageError
from bridge.mapping import drafts, testing
from bridge.mapping.catalogue import BILLING_TYPE_LABELS, EVENTS
from bridge.mapping.schema import FILE_NAME, schema_text
from bridge.messages import N_, _, ngettext
from bridge.operations.mappings import file_of
from bridge.settings import DEFAULT, variable

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
    name = _answer(name, N_("name of the file, such as venda_no_pix"), None, drafts.as_name)
    path = file_of(invocation.settings.bridge_mappings_dir, name)
    if path.exists():
        raise UsageError(N_("there is a mapping of that name"), where=str(path), hint=N_("choose another"))
    choices = _ask(invocation, name, options)
    read = drafts.draft(choices)
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
    click.echo(_("what to choose in Clint: bridge mappings checklist {name}", name=name), err=True)


def _ask(invocation: Invocation, name: str, options: dict[str, Any]) -> drafts.Choices:
    """Return the answers: of the options, of the person at the terminal, or the defaults."""

    def ask(option: str, question: str, default: str, read: Callable[[Any], T]) -> T:
        return _answer(options[option], question, default, read)

    events = _events(options["events"])
    entity = drafts.entity_of(events)
    send_to = ask("send_to", N_("destination"), DEFAULT, drafts.as_name)
    label = f"{EVENTS[drafts.first_of(events)].label} na Clint"
    types = _("only which billing types, of {names} (empty: any)", names=", ".join(BILLING_TYPE_LABELS))
    begins = N_("only where the external reference begins with (empty: any)")
    each = N_("instalments: each, first or once")
    return drafts.Choices(
        name=name,
        description=ask("description", N_("what it does, in a sentence"), label, str),
        events=events,
        at_least=ask("at_least", N_("only from which amount on (empty: any)"), "", drafts.as_amount),
        billing_types=ask("billing_types", types, "", drafts.as_billing_types),
        reference=ask("reference", begins, "", str),
        installments=ask("installments", each, "each", drafts.as_installments) if entity == "payment" else "each",
        offers=_offers(entity, options["fields"]),
        send_to=send_to,
        enabled=send_to == DEFAULT or send_to in invocation.settings.destinations,
    )


def _answer(given: Any, question: str, default: str | None, read: Callable[[Any], T]) -> T:
    """Return an answer as `read` takes it; without a default the person must answer."""
    if given or not sys.stdin.isatty():
        if not given and default is None:
            raise UsageError(N_("name of the file is missing"), hint=N_("see: bridge mappings new --help"))
        return read(given or default)

    def check(text: str) -> T:
        try:
            return read(text)
        except UsageError as error:
            raise click.BadParameter(error.text()) from None

    answer: T = click.prompt(_(question), default, value_proc=check, err=True, show_default=bool(default))
    return answer


def _events(given: Sequence[str]) -> tuple[str, ...]:
    if given:
        return drafts.as_events(given)
    if not sys.stdin.isatty():
        raise UsageError(N_("no event was said"), hint=N_("add --event, such as --event PAYMENT_RECEIVED"))
    known = [one for one in EVENTS.values() if one.family in drafts.FAMILIES]
    rows = [(number, one.name, one.label) for number, one in enumerate(known, 1)]
    show_table(("", _("event"), _("what happened")), rows)
    names = [one.name for one in known]
    return _answer(None, N_("events, by number or name"), None, lambda text: drafts.as_events(_picked(text, names)))


def _offers(entity: str, given: Sequence[str]) -> tuple[drafts.Offer, ...]:
    offers = drafts.offers_of(entity)
    keys = [offer.key for offer in offers]
    if sys.stdin.isatty() and not given:
        shown = drafts.examples(offers, entity)
        rows = [(number, one.key, one.group, shown[one.key]) for number, one in enumerate(offers, 1)]
        show_table(("", _("key"), _("tab"), _("example")), rows)
    usual = " ".join(key for key in keys if key in drafts.USUAL)
    question = N_("keys, by number or name")
    chosen = _answer(given, question, usual, lambda said: drafts.as_keys(_picked(said, keys), keys))
    return tuple(offer for offer in offers if offer.key in chosen)


def _picked(said: str | Sequence[str], names: Sequence[str]) -> list[str]:
    words = said.replace(",", " ").split() if isinstance(said, str) else said
    return [names[int(word) - 1] if word.isdigit() and 0 < int(word) <= len(names) else word for word in words]
