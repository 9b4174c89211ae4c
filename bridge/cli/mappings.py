"""`bridge mappings`: lint, test, show and explain the mapping files.

These commands read files only: no journal, no Redis and no network, so that they run on a laptop and in CI.
Only `explain` with an event's id looks into the journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from bridge import mapping_cases
from bridge.cli import explain_source, mapping_views
from bridge.cli.output import json_option, show_json, show_table
from bridge.cli.root import NO, Invocation
from bridge.errors import NotFound, UsageError
from bridge.mapping import Finding, Known, Mapping, ReadMapping, Severity, read_directory, read_file
from bridge.mapping.context import build_context, references
from bridge.mapping.parts import FETCHABLE

_PATHS = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


@click.group("mappings")
def mappings() -> None:
    """Check, test, show and explain the mapping files."""


@mappings.command()
@_PATHS
@json_option
@click.option(
    "--no-environment",
    is_flag=True,
    help="Do not ask whether accounts and destinations are set up here; for CI, which has no secrets.",
)
@click.pass_context
def lint(context: click.Context, paths: tuple[Path, ...], as_json: bool, no_environment: bool) -> None:
    """Say everything that is wrong with the mapping files, with file, line and column.

    PATHS are files or directories; without any, the directory of BRIDGE_MAPPINGS_DIR. Ends with 1 if there are errors
    or warnings; notes do not count.
    """
    read = _read(context.obj, paths, no_environment=no_environment)
    if as_json:
        show_json([finding for one in read for finding in map(_finding_json, one.findings)])
    else:
        mapping_views.show_findings(read)
    if any(finding.severity is not Severity.NOTE for one in read for finding in one.findings):
        context.exit(NO)


@mappings.command()
@_PATHS
@json_option
@click.pass_context
def test(context: click.Context, paths: tuple[Path, ...], as_json: bool) -> None:
    """Run the tests that the mapping files hold, with the worker's own functions.

    A file with an error fails too, since it can't run; accounts and destinations need not be set up for it. Ends with
    1 if anything failed.
    """
    read = _read(context.obj, paths, no_environment=True)
    broken = [one for one in read if one.mapping is None]
    results = [
        result for one in read if one.mapping for result in mapping_cases.run(one.mapping, Path(one.path).parent)
    ]
    failed = sum(not result.passed for result in results)
    if as_json:
        show_json(
            {
                "results": [mapping_views.result_json(result) for result in results],
                "broken": [finding for one in broken for finding in map(_finding_json, one.findings)],
            }
        )
    else:
        for one in broken:
            for finding in one.findings:
                click.echo("\n".join(mapping_views.finding_lines(finding)))
        for result in results:
            mapping_views.show_result(result)
        click.echo(f"{len(results) - failed} passed, {failed} failed, {len(broken)} files can't run")
    if failed or broken:
        context.exit(NO)


@mappings.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def show(context: click.Context, name: str | None, as_json: bool) -> None:
    """List the mapping files, or show all that one of them does."""
    read = _read(context.obj, (), no_environment=name is not None)
    if name is not None:
        mapping = _named(read, name)
        if as_json:
            show_json(mapping_views.summary(mapping))
        else:
            mapping_views.show_mapping(mapping)
        return
    if as_json:
        show_json([mapping_views.summary(one.mapping) if one.mapping else _broken_json(one) for one in read])
        return
    rows = [_row(one) for one in read]
    show_table(("name", "state", "events", "sends to", "description"), rows)


@mappings.command()
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
    read = _read(context.obj, (), no_environment=True)
    chosen = [_named(read, name)] if name else [one.mapping for one in read if one.mapping]
    if Path(event).is_file():
        seen = _context_of_file(Path(event), _given(given), account)
    else:
        seen = explain_source.load(context, event)
    told = [mapping_views.explained(mapping, seen) for mapping in chosen]
    if as_json:
        show_json(told)
        return
    for one in told:
        mapping_views.show_explained(one)
    _say_what_is_missing(chosen, seen)


def _read(invocation: Invocation, paths: Iterable[Path], *, no_environment: bool) -> list[ReadMapping]:
    settings = invocation.settings
    places = list(paths) or [settings.bridge_mappings_dir]
    read: list[ReadMapping] = []
    for place in places:
        root = place if place.is_dir() else place.parent
        known = Known(frozenset(settings.accounts), frozenset(settings.destinations), root)
        if no_environment:
            known = Known(None, None, root)
        read += [read_file(place, known)] if place.is_file() else read_directory(place, known)
    return read


def _named(read: Iterable[ReadMapping], name: str) -> Mapping:
    for one in read:
        if Path(one.path).stem == name:
            if one.mapping is None:
                raise UsageError(f"mapping {name} can't run", where=one.path, mend="see `bridge mappings lint`")
            return one.mapping
    raise NotFound(f"no mapping is named {name!r}", mend="see `bridge mappings show`")


def _row(read: ReadMapping) -> tuple[str, str, str, str, str]:
    name, mapping = Path(read.path).stem, read.mapping
    if mapping is None:
        return name, "error", "", "", str(read.findings[0])
    state = "on" if mapping.enabled else "off"
    return name, state, ", ".join(mapping.events), ", ".join(sorted(mapping.destinations)), mapping.description


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
    }


def _broken_json(read: ReadMapping) -> dict[str, Any]:
    return {
        "name": Path(read.path).stem,
        "path": read.path,
        "findings": [_finding_json(finding) for finding in read.findings],
    }


def _given(options: Iterable[str]) -> dict[str, Any]:
    objects: dict[str, Any] = {}
    for option in options:
        name, _, file = option.partition("=")
        if name not in FETCHABLE or not file:
            known = ", ".join(sorted(FETCHABLE))
            raise UsageError(f"--with must be NAME=FILE with NAME one of {known}, got {option!r}")
        objects[name] = _json_file(Path(file))
    return objects


def _json_file(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON") from None


def _context_of_file(path: Path, fetched: dict[str, Any], account: str) -> dict[str, Any]:
    envelope = _json_file(path)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("event"), str):
        raise UsageError(f"{path} must be an event as Asaas sends it, an object with `event`, got something else")
    key, entity = mapping_cases.entity_of(envelope)
    # A body names no environment, but its links do.
    environment = "sandbox" if "//sandbox.asaas.com/" in json.dumps(entity) else "production"
    return build_context(envelope["event"], key, entity, account, environment, fetched)


def _say_what_is_missing(chosen: Iterable[Mapping], seen: dict[str, Any]) -> None:
    needs: set[str] = set()
    for mapping in chosen:
        if mapping.listens_to(seen["event"]):
            needs |= mapping.filter_needs | mapping.field_needs
    for name in sorted(needs & references(seen).keys()):
        click.echo(f"{name} would be fetched from Asaas and was not given here; use --with {name}=FILE", err=True)
