"""`bridge mappings`: lint, test and show the mapping files; the other commands about them have modules of their own.

These commands read files only: no journal, no Redis and no network, so that they run on a laptop and in CI.
Only what names a kept event or a revision looks into the journal.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.mapping_history import diff, history, restore
from bridge.cli.mapping_new import new
from bridge.cli.options import find_event
from bridge.cli.output import count, is_terminal, json_option, json_text, plain, show_json, show_table
from bridge.errors import BridgeError, NotFound, UsageError
from bridge.mapping import (
    Finding,
    Mapping,
    ParseResult,
    Setup,
    Severity,
    read_directory,
    read_file,
    testing,
    with_overlaps,
)
from bridge.mapping import explain as wanted
from bridge.mapping.catalogue import entity_key
from bridge.mapping.context import build_context, references
from bridge.mapping.drafts import EXAMPLES
from bridge.mapping.explain import explained, explained_data
from bridge.mapping.model import FETCHABLE, Comparison, Condition, Group
from bridge.mapping.schema import COMMENT, FILE_NAME, schema_text
from bridge.mapping.scrub import Scrubber
from bridge.mapping.testing import CaseResult, Part
from bridge.pipeline import enrich
from bridge.settings import Settings

if TYPE_CHECKING:
    from bridge.journal.queries import Row


_MARKS = {True: "yes", False: "no", None: "-"}


def finding_lines(finding: Finding) -> list[str]:
    """Return the lines of one finding: the one that editors read, and the caret under a bad expression."""
    return [finding.shown(), *(f"    {line}" for line in finding.caret.splitlines())]


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding for JSON."""
    return {
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "facts": finding.facts,
    }


def show_findings(read: Iterable[ParseResult]) -> None:
    """Print every finding and, below them, how many there are."""
    colours = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
    read = list(read)
    for finding in (finding for one in read for finding in one.findings):
        for line in finding_lines(finding):
            click.secho(line, fg=colours[finding.severity])
    counts = [_count(read, severity) for severity in Severity]
    click.echo(f"{count(len(read), 'mapping')}: {', '.join(counts)}")


def _count(read: Iterable[ParseResult], severity: Severity) -> str:
    number = sum(finding.severity is severity for one in read for finding in one.findings)
    return count(number, severity.value)


def show_result(result: CaseResult) -> None:
    """Print one test: its line where it passed, expected beside actual where it did not."""
    if result.passed:
        click.echo(plain(f"ok    {result.mapping}: {result.name}"))
        return
    click.secho(plain(f"FAIL  {result.path}:{result.line}: {result.name}"), fg="red")
    if result.problem:
        click.echo(f"      {plain(result.problem.text())}")
        return
    rows = [(str(one.line), one.what, one.expected.text(), one.actual.text()) for one in result.differences]
    show_table(("line", "key", "expected", "actual"), rows)


def result_json(result: CaseResult) -> dict[str, Any]:
    """Return a test's result for JSON."""
    return {
        "mapping": result.mapping,
        "path": result.path,
        "name": result.name,
        "line": result.line,
        "differences": [
            {"what": one.what, "expected": str(one.expected), "actual": str(one.actual), "line": one.line}
            for one in result.differences
        ],
        "problem": str(result.problem or ""),
        "payload": dict(result.payload),
        "conditions": [asdict(one) for one in result.conditions],
        "event": result.event,
        "passed": result.passed,
    }


def part_json(part: Part) -> dict[str, Any]:
    """Return a part of a mapping's coverage for JSON."""
    return {
        "mapping": part.mapping,
        "path": part.path,
        "line": part.line,
        "kind": part.kind,
        "what": str(part.what),
        "reached": part.reached,
    }


def summary(mapping: Mapping) -> dict[str, Any]:
    """Return what a mapping is, for JSON."""
    return {
        "name": mapping.name,
        "path": mapping.path,
        "enabled": mapping.enabled,
        "description": mapping.description,
        "account": mapping.account,
        "events": mapping.events,
        "installments": mapping.installments,
        "filter": [text for _, text in condition_lines(mapping.filter)],
        "fields": [
            {
                "group": field.group,
                "key": field.key,
                "source": field.source.text,
                "type": field.type,
                "required": field.required,
                "is": field.identifies,
            }
            for field in mapping.fields
        ],
        "line": mapping.line,
        "stale": mapping.stale,
        "send_to": mapping.send_to,
        "routes": [{"events": route.events, "send_to": route.send_to} for route in mapping.routes],
        "fetched": sorted(mapping.filter_needs | mapping.field_needs),
        "tests": len(mapping.tests),
    }


def show_mapping(mapping: Mapping) -> None:
    """Print all that a mapping does."""
    told = summary(mapping)
    for name in ("name", "path", "description", "account", "installments", "line", "stale", "send_to", "tests"):
        click.echo(f"{name + ':':14}{plain(told[name])}")
    click.echo(f"{'enabled:':14}{_MARKS[mapping.enabled]}")
    click.echo(f"{'events:':14}{', '.join(mapping.events)}")
    click.echo(f"{'fetched:':14}{', '.join(told['fetched']) or 'nothing'}")
    for route in mapping.routes:
        click.echo(f"{'route:':14}{', '.join(route.events)} -> {route.send_to}")
    for depth, text in condition_lines(mapping.filter):
        click.echo(f"{'filter:' if not depth else '':14}{'  ' * depth}{plain(text)}")
    click.echo()
    rows = [(field.group, field.key, field.type, field.source.text) for field in mapping.fields]
    show_table(("group", "key", "type", "from"), rows)


def condition_lines(condition: Condition | None, depth: int = 0) -> list[tuple[int, str]]:
    """Return a filter as lines with their depth."""
    if condition is None:
        return []
    if isinstance(condition, Group):
        inner = [line for one in condition.conditions for line in condition_lines(one, depth + 1)]
        return [(depth, f"{condition.text}:"), *inner]
    return [(depth, condition.text if isinstance(condition, Comparison) else f"expression: {condition.text}")]


def show_explained(told: dict[str, Any]) -> None:
    """Print what a mapping makes of an event and why."""
    state = "" if told["enabled"] else " (disabled)"
    if not told["listens"]:
        what = "is for another account" if told["why"] == "other_account" else "does not listen to this event"
        click.echo(f"{told['mapping']}{state}: {what}")
        return
    outcome = f"sent to {told['send_to']}" if told["outcome"] == "sent" else told["outcome"]
    click.secho(f"{told['mapping']}{state}: {outcome}", bold=True)
    if told["outcome"] != "sent":
        click.echo(f"  {told['code']}: {plain(told['message'].text())}")
    for seen in told.get("conditions", ()):
        value = "" if seen["value"] is None else f"  (saw {plain(json.dumps(seen['value'], ensure_ascii=False))[:120]})"
        click.echo(
            f"  {_MARKS[seen['passed']]:4}line {seen['line']:<4}{'  ' * seen['depth']}{plain(seen['text'])}{value}"
        )
    rows = [
        (one["group"], one["key"], one["source"], one["message"].text() if one["message"] else _cell(one["value"]))
        for one in told.get("fields", ())
    ]
    if rows:
        show_table(("group", "key", "from", "value"), rows)
    if "payload" in told:
        click.echo(f"payload: {plain(json.dumps(told['payload'], ensure_ascii=False))}")


def _cell(value: Any) -> str:
    return "(left out)" if value is None else value if isinstance(value, str) else json.dumps(value)


paths_argument = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


def starters() -> Path:
    """Return the directory of the mapping files that come with the bridge."""
    package = Path(__file__).parents[1]
    in_wheel = package / "starters"
    return in_wheel if in_wheel.is_dir() else package.parent / "mappings"


def read_paths(invocation: Invocation, paths: Iterable[Path], *, no_environment: bool) -> list[ParseResult]:
    """Return what became of the files and directories; without any, of the directory of BRIDGE_MAPPINGS_DIR."""
    settings = invocation.settings
    places = list(paths) or [settings.bridge_mappings_dir]
    read: list[ParseResult] = []
    files: list[ParseResult] = []
    for place in places:
        root = place if place.is_dir() else place.parent
        known = Setup(*_names(settings), root, bool(settings.clint_api_token))
        if no_environment:
            known = Setup(None, None, root)
        if place.is_file():
            files.append(read_file(place, known))
        else:
            read += read_directory(place, known)
    return [*read, *with_overlaps(files)]


def _names(settings: Settings) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the accounts and destinations that there are, those in the journal too."""
    from bridge.runtime import Runtime

    with closing(Runtime(settings)) as runtime:
        return frozenset(runtime.accounts), frozenset(runtime.destinations)


def find_mapping(invocation: Invocation, reference: str) -> Mapping:
    """Return the mapping of a file, or of a name in the directory of BRIDGE_MAPPINGS_DIR."""
    path = Path(reference)
    if path.is_file():
        (read,) = read_paths(invocation, [path], no_environment=True)
        return runnable(read)
    return named(read_paths(invocation, (), no_environment=True), reference)


def named(read: Iterable[ParseResult], name: str) -> Mapping:
    """Return the mapping of that name; raise where there is none or it can't run."""
    for one in read:
        if Path(one.path).stem == name:
            return runnable(one)
    raise NotFound(f"no mapping is named {name!r}", hint="see `bridge mappings show`")


def runnable(read: ParseResult) -> Mapping:
    """Return the mapping; raise where the file has an error."""
    if read.mapping is None:
        raise UsageError(
            f"mapping {Path(read.path).stem} can't run", where=read.path, hint="see `bridge mappings lint`"
        )
    return read.mapping


def json_file(path: Path) -> Any:
    """Return what a JSON file holds."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON") from None


_WATCHED = (".yaml", ".yml", ".json")
_SETTLE_MS = 200
"""Editors write a file in several steps; one run is enough for them."""


@click.command("test")
@paths_argument
@json_option
@click.option("--watch", is_flag=True, help="Run again whenever a mapping or a sample changes; Ctrl-C ends it.")
@click.option("--coverage", is_flag=True, help="Say which fields, conditions and routes no test reached.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="End with 1 where the tests of all files together reach less than that; implies --coverage.",
)
@click.pass_context
def test(
    context: click.Context,
    paths: tuple[Path, ...],
    as_json: bool,
    watch: bool,
    coverage: bool,
    fail_under: float | None,
) -> None:
    """Run the tests that the mapping files hold, with the worker's own functions.

    A file with an error fails too, since it can't run; accounts and destinations need not be set up for it. Ends with
    1 if anything failed.
    """
    if watch and as_json:
        raise UsageError("--watch and --json exclude each other")
    coverage = coverage or fail_under is not None

    def once() -> bool:
        return _run(context.obj, paths, as_json=as_json, coverage=coverage, least=fail_under or 0.0)

    passed = _again_and_again(context.obj, paths, once) if watch else once()
    if not passed:
        context.exit(NO)


def _again_and_again(invocation: Invocation, paths: tuple[Path, ...], once: Any) -> bool:
    import watchfiles

    places = [path if path.is_dir() else path.parent for path in paths] or [invocation.settings.bridge_mappings_dir]
    passed: bool = once()
    click.echo("watching; Ctrl-C ends", err=True)
    for _ in watchfiles.watch(
        *places,
        watch_filter=lambda _change, path: path.endswith(_WATCHED),
        debounce=_SETTLE_MS,
        step=50,
        raise_interrupt=False,
    ):
        if is_terminal():
            click.clear()
        passed = once()
    return passed


def _run(invocation: Invocation, paths: Iterable[Path], *, as_json: bool, coverage: bool, least: float) -> bool:
    """Run everything once, print it, and return whether it is as it should be."""
    read = read_paths(invocation, paths, no_environment=True)
    broken = [one for one in read if one.mapping is None]
    results: list[CaseResult] = []
    parts: list[Part] = []
    for one in read:
        if one.mapping is not None:
            of_file = testing.run(one.mapping, Path(one.path).parent)
            results += of_file
            parts += testing.parts_of(one.mapping, of_file)
    percent = _percent(parts)
    if as_json:
        told: dict[str, Any] = {
            "results": [result_json(result) for result in results],
            "broken": [finding_json(finding) for one in broken for finding in one.findings],
        }
        more = {"coverage": {"percent": percent, "parts": [part_json(part) for part in parts]}} if coverage else {}
        show_json({**told, **more})
    else:
        _show(results, broken)
        if coverage:
            _show_coverage(parts, percent)
    enough = not coverage or percent >= least
    if not enough:
        click.echo(f"the tests reach {percent:.1f} %, at least {least:g} % is asked", err=True)
    return enough and not broken and all(result.passed for result in results)


def _show(results: Sequence[CaseResult], broken: Sequence[ParseResult]) -> None:
    for one in broken:
        for finding in one.findings:
            click.echo("\n".join(finding_lines(finding)))
    for result in results:
        show_result(result)
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results) - failed} passed, {failed} failed, {len(broken)} files can't run")


def _percent(parts: Sequence[Part]) -> float:
    return 100 * sum(part.reached for part in parts) / len(parts) if parts else 100.0


def _show_coverage(parts: Sequence[Part], percent: float) -> None:
    missed = [(f"{plain(part.path)}:{part.line}", part.kind, part.what.text()) for part in parts if not part.reached]
    if missed:
        click.echo("no test reaches:")
        show_table(("where", "kind", "what"), missed)
    click.echo(f"the tests reach {percent:.1f} % of {len(parts)} fields, sides of conditions and routes")


def load(context: click.Context, event_id: str) -> dict[str, Any]:
    """Return what expressions see of a kept event, named by its number or the whole id that Asaas gave it."""
    event, fetched = load_with(context, event_id, FETCHABLE)
    return _seen(context.obj, event, fetched)


def load_with(context: click.Context, event_id: str, names: Iterable[str]) -> tuple[Row, dict[str, Any]]:
    """Return the row of a kept event, and those of the named objects that Asaas has for it."""
    from bridge.journal import retention
    from bridge.runtime import Runtime

    invocation: Invocation = context.obj
    with invocation.journal.database.read() as connection:
        event = find_event(connection, event_id)
        retention.check_full(connection, [event["id"]])
    wanted = enrich.plan(frozenset(names), references(_seen(invocation, event, {})))
    if not wanted:
        return event, {}
    runtime = Runtime(invocation.settings)
    try:
        return event, runtime.enricher.fetch(event["account"], wanted)
    except BridgeError as error:
        click.echo(f"explained without what Asaas would say: {error}", err=True)
        return event, {}
    finally:
        runtime.close()


def _seen(invocation: Invocation, event: Row, fetched: dict[str, Any]) -> dict[str, Any]:
    from bridge.runtime import Runtime

    runtime = Runtime(invocation.settings)
    account, envelope = event["account"], json.loads(event["body"])
    return build_context(event["name"], event["entity"], envelope, account, runtime.environment(account), fetched)


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
    path = Path(event)
    seen = _context_of_file(path, _given(given), account) if path.is_file() else load(context, event)
    told = [explained(mapping, seen) for mapping in chosen]
    if as_json:
        show_json([explained_data(one) for one in told])
        return
    for one in told:
        show_explained(one)
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


@click.command("checklist")
@click.argument("mapping", metavar="[FILE]", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")
@json_option
@click.pass_context
def checklist(context: click.Context, mapping: str | None, as_csv: bool, as_json: bool) -> None:
    """Say what to choose on Clint's mapping screen: the keys that each integration gets, its stage and its status.

    An integration gets what all enabled mappings send to it. FILE is a mapping file, or the name of one in the
    directory of BRIDGE_MAPPINGS_DIR: only the integrations of this one. Ends with 1 where an integration would have to
    set several statuses.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other")
    only = find_mapping(context.obj, mapping) if mapping else None
    places = [Path(only.path).parent] if only else []
    mappings = [one.mapping for one in read_paths(context.obj, places, no_environment=True) if one.mapping]
    found = wanted.checklist(mappings, only)
    keys, integrations = found["keys"], found["integrations"]
    if as_json:
        show_json({"mapping": only.name if only else None, **found})
    elif as_csv:
        _print_csv(keys, integrations)
    else:
        rows = [(row["key"], row["tab"], row["kind"], _short(row["example"])) for row in keys]
        show_table(("key", "tab", "kind", "example"), rows)
        for row in integrations:
            for line in _integration_lines(row, keys):
                click.echo(line)
    if any(row["conflict"] for row in integrations):
        context.exit(NO)


_LONGEST_EXAMPLE = 40


def _short(example: str) -> str:
    return example if len(example) <= _LONGEST_EXAMPLE else f"{example[: _LONGEST_EXAMPLE - 1]}…"


def _integration_lines(row: dict[str, Any], keys: list[dict[str, Any]]) -> list[str]:
    lines = ["", f"integration {row['integration']}, its URL is in {row['setting']}"]
    lines += [f"  status {row['status'] or 'conflict'}, stage {wanted.stage_of(row['events'])}"]
    by_status = row["conflict"] or {row["status"]: row["events"]}
    lines += [f"  {status:<4}  {name}" for status, names in by_status.items() for name in names]
    lines += [f"  from  {name}" for name in row["mappings"]]
    without = [one["key"] for one in keys if row["integration"] not in one["integrations"]]
    lines += [f"  it does not get {name}" for name in without]
    if not row["conflict"]:
        return lines
    return [
        *lines,
        "  it would have to set several statuses, and an integration of Clint sets one;",
        "  give each status an integration of its own: another send_to, or routes in the mapping",
    ]


def _print_csv(keys: list[dict[str, Any]], integrations: list[dict[str, Any]]) -> None:
    columns = ("key", "tab", "kind", "example", "integration", "setting", "mappings", "events", "stage", "status")
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    for row in keys:
        integration = " ".join(row["integrations"])
        writer.writerow({**{name: row[name] for name in columns[:4]}, "integration": integration})
    for row in integrations:
        status = row["status"] or f"conflict: {' or '.join(row['conflict'])}"
        several = {name: " ".join(row[name]) for name in ("mappings", "events")}
        told = {**row, **several, "status": status, "stage": wanted.stage_of(row["events"])}
        writer.writerow({name: told[name] for name in columns[4:]})


@click.command("sample")
@click.argument("event", required=False)
@click.option("--event-id", metavar="ID", help="This event, by its number or its whole Asaas id; else the newest.")
@click.option(
    "--with",
    "names",
    multiple=True,
    type=click.Choice(sorted(FETCHABLE)),
    help="Ask Asaas for this object too and write it beside the event; may be repeated.",
)
@click.option("--ids", is_flag=True, help="Replace the ids too, for a sample that leaves the company.")
@click.option("--output", metavar="FILE", help="Where to write it; - prints. [default: samples/EVENT.json]")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.pass_context
def sample(
    context: click.Context,
    event: str | None,
    event_id: str | None,
    names: tuple[str, ...],
    ids: bool,
    output: str | None,
    force: bool,
) -> None:
    """Write a sample from a kept event: EVENT is its name, such as PAYMENT_RECEIVED.

    Names, CPF and CNPJ, e-mails, phones, addresses, links and free texts are replaced by fakes that stay the same each
    time. Amounts, dates, statuses and ids are what came. Look at the file before you share it.
    """
    if (event is None) == (event_id is None):
        raise UsageError("name either an EVENT or an --event-id", hint="see: bridge mappings sample --help")
    if output == "-" and names:
        raise UsageError("--with writes a file beside the event's and can't print", hint="leave --output - out")
    row, fetched = load_with(context, event_id or _newest(context.obj, str(event)), names)
    found = {name: fetched[name] for name in names if fetched.get(name) is not None}
    # Together, so that a name that only the customer tells is found in the event's texts too.
    scrubbed = Scrubber(ids=ids).scrub({"": json.loads(row["body"]), **found})
    texts = {name: json_text(one) + "\n" for name, one in scrubbed.items()}
    if output == "-":
        click.echo(texts[""], nl=False)
        return
    root = context.obj.settings.bridge_mappings_dir
    path = Path(output) if output else root / "samples" / f"{row['name'].lower()}.json"
    paths = {name: path.with_name(f"{path.stem}_{name}.json") if name else path for name in texts}
    _write(paths, texts, force=force)
    heard = [one.mapping for one in read_directory(root, Setup(None, None, root)) if one.mapping]
    needs = {name for one in heard if one.listens_to(row["name"]) for name in one.filter_needs | one.field_needs}
    needs &= references(_seen(context.obj, row, {})).keys()
    _say_how_to_use(paths, root, sorted(needs - texts.keys()))


def _newest(invocation: Invocation, name: str) -> str:
    from bridge.journal import queries

    with invocation.journal.database.read() as connection:
        rows = queries.list_events(connection, limit=1, name=name)
    if not rows:
        raise NotFound(f"no event {name!r} was kept", hint="see: bridge events list")
    return str(rows[0]["id"])


def _write(paths: dict[str, Path], texts: dict[str, str], *, force: bool) -> None:
    there = [path for path in paths.values() if path.exists()]
    if there and not force:
        raise UsageError("the file is there already", where=str(there[0]), hint="choose --output, or add --force")
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name], encoding="utf-8")


def _say_how_to_use(paths: dict[str, Path], root: Path, invented: Sequence[str]) -> None:
    """Print a test of the samples; of objects that mappings read and no sample has, it gets invented ones."""
    for path in paths.values():
        click.echo(f"written: {path}", err=True)
    if not all(path.resolve().is_relative_to(root.resolve()) for path in paths.values()):
        click.echo(f"a test reads samples below {root}: put the file there to write one", err=True)
        return
    named = {name: _as_yaml(path.resolve().relative_to(root.resolve())) for name, path in paths.items()}
    named |= {name: json.dumps(EXAMPLES.get(name, {}), ensure_ascii=False) for name in invented}
    if invented:
        click.echo(f"the test invents what mappings read of {' and '.join(invented)}; --with asks Asaas", err=True)
    click.echo(f"  - name: o que este teste mostra\n    given: {named.pop('')}")
    if named:
        click.echo(f"    with: {{{', '.join(f'{name}: {path}' for name, path in named.items())}}}")
    click.echo("    expect: {exactly: {}}  # bridge mappings test says what came out")


def _as_yaml(path: Path) -> str:
    text = path.as_posix()
    return text if re.fullmatch(r"[A-Za-z][\w./-]*", text) else json.dumps(text, ensure_ascii=False)


@click.command("schema")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
def schema(output: Path | None) -> None:
    """Print the JSON Schema of mapping files, for editors.

    VS Code (with its YAML extension) and others find it by the first line of a mapping file, which names
    mapping.schema.json beside the file.
    """
    if output is None:
        click.echo(schema_text(), nl=False)
        return
    output.write_text(schema_text(), encoding="utf-8")
    click.echo(f"{output} is written; an editor finds it as ./{FILE_NAME} by this first line of a mapping: {COMMENT}")


@click.group("mappings")
def mappings() -> None:
    """Check, test, show and explain the mapping files."""


@mappings.command()
@paths_argument
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
    read = read_paths(context.obj, paths, no_environment=no_environment)
    if as_json:
        show_json([finding for one in read for finding in map(finding_json, one.findings)])
    else:
        show_findings(read)
    if any(finding.severity is not Severity.NOTE for one in read for finding in one.findings):
        context.exit(NO)


@mappings.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def init(invocation: Invocation, directory: Path | None) -> None:
    """Copy the mapping files that come with the bridge, with their samples and the guide.

    They go to DIR; without it, to the directory of BRIDGE_MAPPINGS_DIR. No file is overwritten: where one is there
    already, nothing is copied.
    """
    source, target = starters(), directory or invocation.settings.bridge_mappings_dir
    names = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    for name in names:
        if (target / name).exists():
            raise UsageError("there is a file of that name", where=str(target / name), hint="name another directory")
    try:
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
    except OSError as error:
        raise UsageError(f"{target} can't be written ({error.strerror})", hint="name another directory") from None
    click.echo(f"written: {target}, with {sum(name.suffix == '.yaml' for name in names)} mappings")


@mappings.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def show(context: click.Context, name: str | None, as_json: bool) -> None:
    """List the mapping files, or show all that one of them does."""
    read = read_paths(context.obj, (), no_environment=name is not None)
    if name is not None:
        mapping = named(read, name)
        if as_json:
            show_json(summary(mapping))
        else:
            show_mapping(mapping)
        return
    if as_json:
        show_json([summary(one.mapping) if one.mapping else _broken_json(one) for one in read])
        return
    rows = [_row(one) for one in read]
    show_table(("name", "state", "events", "sends to", "description"), rows)


def _row(read: ParseResult) -> tuple[str, str, str, str, str]:
    name, mapping = Path(read.path).stem, read.mapping
    if mapping is None:
        return name, "error", "", "", read.findings[0].shown()
    state = "on" if mapping.enabled else "off"
    return name, state, ", ".join(mapping.events), ", ".join(sorted(mapping.destinations)), mapping.description


def _broken_json(read: ParseResult) -> dict[str, Any]:
    return {
        "name": Path(read.path).stem,
        "path": read.path,
        "findings": [finding_json(finding) for finding in read.findings],
    }


for command in (test, explain, checklist, new, sample, schema, history, diff, restore):
    mappings.add_command(command)
