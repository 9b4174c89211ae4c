"""`bridge mappings new`: asks what a new automation should do and writes its file, with comments and passing tests.

Everything can be said by options as well; without a terminal what is not said takes its default.
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
@click.pass_context
def new(context: click.Context, /, name: str | None, **options: Any) -> None:
    """Write a new mapping file, with comments and tests that pass; asks for what is not said.

    NAME is the file's name without .yaml. Charges and subscriptions have a menu; for other events copy a file of
    mappings/.
    """
    invocation: Invocation = context.obj
    choices = _Questions(invocation, options).choices(name)
    path = _path(invocation, choices.name)
    read = draft(choices)
    assert read.mapping is not None, read.findings  # noqa: S101 (a menu that can't run is our fault)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(read.text, encoding="utf-8")
    beside = path.with_name(FILE_NAME)
    if not beside.exists():
        beside.write_text(schema_text(), encoding="utf-8")
    count = len(testing.run(read.mapping, path.parent))
    click.echo(f"written: {path}, with {count} test{'s' if count > 1 else ''}")
    if not choices.enabled:
        click.echo(
            f"it is switched off until {variable('CLINT_WEBHOOK_URL', choices.send_to)} is set and enabled says true",
            err=True,
        )
    click.echo(f"what to choose in Clint: bridge mappings checklist {choices.name}", err=True)


def _path(invocation: Invocation, name: str) -> Path:
    directory: Path = invocation.settings.bridge_mappings_dir
    for suffix in (".yaml", ".yml"):
        if (directory / f"{name}{suffix}").exists():
            raise UsageError(
                "there is a mapping of that name", where=f"{directory}/{name}{suffix}", hint="choose another"
            )
    return directory / f"{name}.yaml"


class _Questions:
    """Takes each answer from the options, from the terminal, or from the default."""

    def __init__(self, invocation: Invocation, options: dict[str, Any]) -> None:
        self._invocation = invocation
        self._options = options
        self._can_ask = sys.stdin.isatty()

    def choices(self, name: str | None) -> Choices:
        """Return all answers."""
        said = self._answer(name, "name of the file, such as venda_no_pix", "", as_name)
        _path(self._invocation, said)
        events = self._events()
        entity = entity_of(events)
        is_payment = entity == "payment"
        send_to = self._answer(self._options["send_to"], "destination", "default", as_name)
        return Choices(
            name=said,
            description=self._answer(
                self._options["description"],
                "what it does, in a sentence",
                f"{EVENTS[first_of(events)].label} no Clint",
                str,
            ),
            events=events,
            at_least=self._answer(self._options["at_least"], "only from which amount on (empty: any)", None, as_amount),
            billing_types=self._answer(
                self._options["billing_types"],
                f"only which billing types, of {', '.join(BILLING_TYPE_LABELS)} (empty: any)",
                None,
                as_billing_types,
            ),
            reference=self._answer(
                self._options["reference"], "only where the external reference begins with (empty: any)", None, str
            ),
            installments=self._answer(
                self._options["installments"], "instalments: each, first or once", "each", as_installments
            )
            if is_payment
            else "each",
            offers=self._offers(entity),
            send_to=send_to,
            enabled=send_to == "default" or send_to in self._invocation.settings.destinations,
        )

    def _answer(self, given: Any, question: str, default: str | None, read: Callable[[Any], T]) -> T:
        if given or not self._can_ask:
            if not given and default == "":
                raise UsageError(f"{question.split(',')[0]} is missing", hint="see: bridge mappings new --help")
            return read(given or default or "")
        answer: T = click.prompt(
            question,
            default=default or (None if default == "" else ""),
            value_proc=_asked(read),
            err=True,
            show_default=bool(default),
        )
        return answer

    def _events(self) -> tuple[str, ...]:
        given = self._options["events"]
        if not given and self._can_ask:
            known = [one for one in EVENTS.values() if one.family in FAMILIES]
            show_table(("", "event", "what happened"), [(n, one.name, one.label) for n, one in enumerate(known, 1)])
            names = [one.name for one in known]
            return self._answer(None, "events, by number or name", "", lambda text: as_events(_picked(text, names)))
        if not given:
            raise UsageError("no event was said", hint="add --event, such as --event PAYMENT_RECEIVED")
        return as_events(given)

    def _offers(self, entity: str) -> tuple[Offer, ...]:
        offers = offers_of(entity)
        keys = [offer.key for offer in offers]
        usual = [key for key in keys if key in USUAL]
        if self._can_ask and not self._options["fields"]:
            shown = examples(offers, entity)
            rows = [(n, one.key, one.group, shown[one.key]) for n, one in enumerate(offers, 1)]
            show_table(("", "key", "tab", "example"), rows)
        chosen = self._answer(
            self._options["fields"],
            "keys, by number or name",
            " ".join(usual),
            lambda said: as_keys(_picked(said, keys), keys),
        )
        return tuple(offer for offer in offers if offer.key in chosen)


def _asked(read: Callable[[Any], T]) -> Callable[[str], T]:
    def ask_again(text: str) -> T:
        try:
            return read(text)
        except UsageError as error:
            raise click.BadParameter(str(error)) from None

    return ask_again


def _picked(said: str | Sequence[str], names: Sequence[str]) -> list[str]:
    words = said.replace(",", " ").split() if isinstance(said, str) else said
    return [names[int(word) - 1] if word.isdigit() and 0 < int(word) <= len(names) else word for word in words]
