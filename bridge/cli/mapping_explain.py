"""`bridge mappings explain`: what each mapping makes of an event, from a file or from the journal; nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from bridge.cli import explain_source, mapping_views
from bridge.cli.mapping_source import json_file, named, read_paths
from bridge.cli.output import json_option, show_json
from bridge.errors import UsageError
from bridge.mapping import Mapping
from bridge.mapping.asaas_events import entity_key
from bridge.mapping.context import build_context, references
from bridge.mapping.parts import FETCHABLE
from bridge.mapping_cases.explained import explained


@click.command()
@click.argument("name", required=False)
@click.option("--event", required=True, metavar="FILE|ID", help="A file with the event as Asaas sent it, or its id.")
@click.option(
    "--with",
    "given",
    multiple=True,
    metavar="NAME=FILE",
    help="An object that would be fetched, such as customer=customer.json; only with a FILE.",
)
@click.option("--account", default="default", show_default=True, help="The Asaas account of a FILE.")
@json_option
@click.pass_context
def explain(
    context: click.Context, name: str | None, event: str, given: tuple[str, ...], account: str, as_json: bool
) -> None:
    """Say what each mapping makes of an event, condition by condition and field by field; nothing is sent."""
    read = read_paths(context.obj, (), no_environment=True)
    chosen = [named(read, name)] if name else [one.mapping for one in read if one.mapping]
    if Path(event).is_file():
        seen = _context_of_file(Path(event), _given(given), account)
    else:
        seen = explain_source.load(context, event)
    told = [explained(mapping, seen) for mapping in chosen]
    if as_json:
        show_json(told)
        return
    for one in told:
        mapping_views.show_explained(one)
    # Of a kept event everything that exists was fetched.
    if Path(event).is_file():
        _say_what_is_missing(chosen, seen)


def _given(options: Iterable[str]) -> dict[str, Any]:
    objects: dict[str, Any] = {}
    for option in options:
        name, _, file = option.partition("=")
        if name not in FETCHABLE or not file:
            known = ", ".join(sorted(FETCHABLE))
            raise UsageError(f"--with must be NAME=FILE with NAME one of {known}, got {option!r}")
        objects[name] = json_file(Path(file))
    return objects


def _context_of_file(path: Path, fetched: dict[str, Any], account: str) -> dict[str, Any]:
    envelope = json_file(path)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("event"), str):
        raise UsageError(f"{path} must be an event as Asaas sends it, an object with `event`, got something else")
    # A body names no environment, but its links do.
    environment = "sandbox" if "//sandbox.asaas.com/" in json.dumps(envelope) else "production"
    return build_context(envelope["event"], entity_key(envelope), envelope, account, environment, fetched)


def _say_what_is_missing(chosen: Iterable[Mapping], seen: dict[str, Any]) -> None:
    needs: set[str] = set()
    for mapping in chosen:
        if mapping.listens_to(seen["event"]):
            needs |= mapping.filter_needs | mapping.field_needs
    for name in sorted(needs & references(seen).keys()):
        click.echo(f"{name} would be fetched from Asaas and was not given here; use --with {name}=FILE", err=True)
