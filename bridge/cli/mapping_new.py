"""`bridge mappings new`: asks what a new mapping should do and writes its file, with comments and passing tests.

Options answer everything too. Without a terminal a question without an option takes its default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

import click

from bridge.cli.main import Invocation
from bridge.cli.output import show_table
from bridge.errors import ClintApiFailed, UsageError
from bridge.mapping import drafts, spec, testing
from bridge.mapping.catalogue import BILLING_TYPE_LABELS, EVENTS
from bridge.mapping.deal_form import Deal, Value
from bridge.mapping.findings import did_you_mean
from bridge.mapping.model import ClintDirectory, Funnel, covers
from bridge.mapping.schema import FILE_NAME, schema_text
from bridge.messages import N_, _, ngettext
from bridge.operations.mappings import file_of
from bridge.settings import DEFAULT, origin_of, variable

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
@click.option("--send-to", metavar="NAME", help="The destination: an integration, or an origin of Clint by its API.")
@click.option(
    "--one-deal-per",
    type=click.Choice(spec.MAPPING["one_deal_per"].choices),
    help="For an origin: what one deal stands for.",
)
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="[EVENT=]STAGE",
    help="For an origin: the stage of the deal after this event, or after all others; may be repeated.",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    metavar="[EVENT=]STATUS",
    help="For an origin: open, won or lost after this event, or after all others; may be repeated.",
)
@click.pass_obj
def new(invocation: Invocation, /, name: str | None, **options: Any) -> None:
    """Write a new mapping file, with comments and tests that pass; asks for what you leave out.

    NAME is the file's name without .yaml. Charges and subscriptions have a menu; for other events copy a file of
    mappings/. Where the destination is an origin of Clint, it also asks what one deal stands for, and which stage and
    status each event gives it; the stages are read from Clint. An event without one leaves the deal where it is.
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
        setting = variable("CLINT_ORIGIN" if choices.deal else "CLINT_WEBHOOK_URL", choices.send_to)
        click.echo(_("it is off until {setting} is set and enabled says true", setting=setting), err=True)
    click.echo(_("what to choose in Clint: bridge mappings checklist {name}", name=name), err=True)


def _ask(invocation: Invocation, name: str, options: dict[str, Any]) -> drafts.Choices:
    """Return the answers: of the options, of the person at the terminal, or the defaults."""

    def ask(option: str, question: str, default: str, read: Callable[[Any], T]) -> T:
        return _answer(options[option], question, default, read)

    events = _events(options["events"])
    entity = drafts.entity_of(events)
    send_to = ask("send_to", N_("destination"), DEFAULT, drafts.as_name)
    known, stages = _destinations(invocation, send_to)
    by_api = _is_origin(send_to, known, options)
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
        offers=_offers(entity, options["fields"], by_api=by_api),
        send_to=send_to,
        enabled=send_to == DEFAULT or send_to in known,
        deal=_deal(events, entity, stages, options) if by_api else None,
    )


def _destinations(invocation: Invocation, send_to: str) -> tuple[Mapping[str, str], list[str]]:
    """Return the destinations of environment and journal, and the stages of one that is an origin, as far as known."""
    from bridge.runtime import Runtime

    with closing(Runtime(invocation.settings)) as runtime:
        known = dict(runtime.destinations)
        origin = origin_of(known.get(send_to, ""))
        directory = runtime.clint_directory
        if origin is None or directory is None:
            return known, []
        try:
            clint = ClintDirectory(directory.origins())
        except ClintApiFailed as error:
            click.echo(_("the stages are not known: {error}", error=error.text()), err=True)
            return known, []
    return known, [label for id_ in clint.named_origins(origin)[:1] for _id, label in clint.origins[id_][1]]


def _is_origin(send_to: str, known: Mapping[str, str], options: dict[str, Any]) -> bool:
    """Return whether the mapping writes deals: by the destination, or by the options where it is not set up yet."""
    told = any(options[name] for name in ("one_deal_per", "stages", "statuses"))
    if send_to not in known:
        return told
    by_api = origin_of(known[send_to]) is not None
    if told and not by_api:
        what = N_("{name} is a webhook integration, which has its own stage and status")
        raise UsageError(what, hint=N_("leave out --one-deal-per, --stage and --status"), name=send_to)
    return by_api


def _deal(events: Sequence[str], entity: str, stages: Sequence[str], options: dict[str, Any]) -> Deal:
    usual = "subscription" if entity == "subscription" else "charge"
    question = N_("what one deal stands for: charge, installment, subscription or customer")
    per = _answer(options["one_deal_per"], question, usual, drafts.as_per)
    if stages and sys.stdin.isatty() and not options["stages"]:
        show_table(("", _("stage")), list(enumerate(stages, 1)))
    stage = N_("stage after {event}, by number or name (empty: it stays)")
    status = N_("status after {event}: open, won or lost (empty: it stays)")
    values = {
        "stage": _by_event(events, options["stages"], stage, lambda text: drafts.as_stage(text, stages)),
        "status": _by_event(events, options["statuses"], status, drafts.as_status),
    }
    return Deal(per, values={**Deal().values, **values})


def _by_event(events: Sequence[str], given: Sequence[str], question: str, read: Callable[[str], str]) -> Value:
    """Return a value for each event; one for all events is asked for where a family stands for many."""
    by_event: dict[str, str] = {}
    default = ""
    names = [name for name in events if not name.endswith("*")]
    if given:
        for text in given:
            event, is_named, value = text.rpartition("=")
            if is_named and not covers(events, event):
                what = N_("the mapping does not listen to {event!r}{nearest}")
                raise UsageError(what, event=event, nearest=did_you_mean(event, events))
            if is_named:
                by_event[event] = read(value)
            else:
                default = read(value)
    else:
        for name in names:
            by_event[name] = _answer("", _(question, event=name), "", read)
        if len(names) < len(events):
            every = _("every event") if not names else _("every other event")
            default = _answer("", _(question, event=every), "", read)
    by_event = {event: text for event, text in by_event.items() if text}
    return Value(by_event=by_event, default=default if set(events) - by_event.keys() else "")


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
        raise UsageError(N_("no event was named"), hint=N_("add --event, such as --event PAYMENT_RECEIVED"))
    known = [one for one in EVENTS.values() if one.family in drafts.FAMILIES]
    rows = [(number, one.name, one.label) for number, one in enumerate(known, 1)]
    show_table(("", _("event"), _("what happened")), rows)
    names = [one.name for one in known]
    return _answer(None, N_("events, by number or name"), None, lambda text: drafts.as_events(_picked(text, names)))


def _offers(entity: str, given: Sequence[str], *, by_api: bool) -> tuple[drafts.Offer, ...]:
    offers = drafts.offers_of(entity)
    if by_api:  # the bridge itself writes the deal's key there
        offers = [offer for offer in offers if offer.key != Funnel().key_field]
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
