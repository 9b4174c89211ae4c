"""`bridge mappings`: lint, test, show, explain, checklist, sample and schema of the mapping files.

These commands read files only, without journal, Redis or network, so that they run on a laptop and in CI. Only an
event or a revision that a command names is read from the journal.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from bridge.cli.main import NO, Invocation
from bridge.cli.mapping_history import diff, history, restore
from bridge.cli.mapping_new import new
from bridge.cli.options import find_event
from bridge.cli.output import is_terminal, json_option, json_text, plain, show_json, show_table, values_of
from bridge.conditions import condition_in_words, value_in_words
from bridge.errors import BridgeError, NotFound, UsageError
from bridge.mapping import Field, Finding, Mapping, ParseResult, Setup, Severity, parser, testing
from bridge.mapping import explain as wanted
from bridge.mapping.catalogue import entity_key, event_label
from bridge.mapping.context import build_context, references
from bridge.mapping.drafts import EXAMPLES
from bridge.mapping.model import FETCHABLE, Comparison, Condition, Group, walk
from bridge.mapping.schema import COMMENT, FILE_NAME, schema_text
from bridge.mapping.scrub import Scrubber
from bridge.mapping.testing import CaseResult, Part
from bridge.messages import N_, Message, _, ngettext, system_reason
from bridge.operations.mappings import copy_starters

if TYPE_CHECKING:
    from bridge.journal.queries import Row


_MARKS = {True: N_("yes"), False: N_("no"), None: "-"}
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_WORDS = (
    *(N_("contact"), N_("organization"), N_("deal"), N_("funnel")),
    *(N_("text"), N_("number"), N_("boolean"), N_("date"), N_("link"), N_("phone"), N_("e-mail")),
    *(N_("condition"), N_("field"), N_("route")),
    *(N_("filtered"), N_("dead")),
)
"""Codes of `--json` that tables show in words."""


class MappingPath(click.Path):
    """A file or directory, or the name of a mapping in the directory of BRIDGE_MAPPINGS_DIR."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ctx is not None and not Path(value).exists():
            named: Path = ctx.obj.settings.bridge_mappings_dir / f"{value}.yaml"
            value = named if named.is_file() else value
        return super().convert(value, param, ctx)


paths_argument = click.argument("paths", nargs=-1, type=MappingPath(exists=True, path_type=Path))


@click.group("mappings")
def mappings() -> None:
    """Check, test, show and explain the mapping files."""


for command in (new, history, diff, restore):
    mappings.add_command(command)


_LESS_THAN_ERRORS = {Severity.WARNING: N_("warning"), Severity.NOTE: N_("note")}


def _show_finding(finding: Finding, colour: str | None = None) -> None:
    shown = finding.shown()
    if finding.severity in _LESS_THAN_ERRORS:
        # Behind the place, where compilers put it and editors look for it.
        place = f"{finding.path}:{finding.line}:{finding.column}: "
        shown = f"{place}{_(_LESS_THAN_ERRORS[finding.severity])}: {shown.removeprefix(place)}"
    for line in (shown, *(f"    {line}" for line in finding.caret.splitlines())):
        click.secho(line, fg=colour)


def _finding_data(finding: Finding) -> dict[str, Any]:
    names = ("path", "line", "column", "code", "severity", "message", "facts")
    return {name: getattr(finding, name) for name in names}


def _read_paths(invocation: Invocation, paths: Iterable[Path], *, no_environment: bool) -> list[ParseResult]:
    """Return the parsed files and directories, or without any those of BRIDGE_MAPPINGS_DIR."""
    setup = Setup(None, None) if no_environment else _setup(invocation)
    read: list[ParseResult] = []
    files: list[ParseResult] = []
    for place in list(paths) or [invocation.settings.bridge_mappings_dir]:
        known = replace(setup, root=place if place.is_dir() else place.parent)
        if place.is_file():
            files.append(parser.read_file(place, known))
        else:
            read += parser.read_directory(place, known)
    return [*read, *parser.with_overlaps(files, known=setup)]


def _setup(invocation: Invocation, *, asks_clint: bool = True) -> Setup:
    """Return the accounts and destinations of the environment and of the journal, and what Clint has if told so."""
    from bridge.runtime import Runtime

    with closing(Runtime(invocation.settings)) as runtime:
        return replace(runtime.setup, clint=runtime.clint_names() if asks_clint else None)


def _places(name: str | None) -> list[Path]:
    """Return the directory of a mapping that is given by its file; nothing for a name."""
    return [Path(name).parent] if name and Path(name).is_file() else []


def _named(read: Iterable[ParseResult], name: str) -> Mapping:
    """Return the mapping of a name; raise NotFound without one, UsageError where its file has an error."""
    wanted_name = Path(name).stem if Path(name).is_file() else name
    found = next((one for one in read if Path(one.path).stem == wanted_name), None)
    if found is None:
        raise NotFound(N_("no mapping is named {name!r}"), name=name, hint=N_("see `bridge mappings show`"))
    if found.mapping is None:
        hint = N_("see `bridge mappings lint`")
        raise UsageError(N_("mapping {name} can't run"), name=name, where=found.path, hint=hint)
    return found.mapping


@mappings.command()
@paths_argument
@json_option
@click.option(
    "--no-environment",
    is_flag=True,
    help="Do not ask whether accounts and destinations are set up here; for CI, which has no secrets.",
)
@click.pass_obj
def lint(invocation: Invocation, paths: tuple[Path, ...], as_json: bool, no_environment: bool) -> None:
    """Say everything that is wrong with the mapping files, with file, line and column.

    PATHS are files or directories; without any, the directory of BRIDGE_MAPPINGS_DIR. Ends with 1 if there are errors
    or warnings; notes do not count.
    """
    read = _read_paths(invocation, paths, no_environment=no_environment)
    findings = [finding for one in read for finding in one.findings]
    number = Counter(finding.severity for finding in findings)
    if as_json:
        show_json([_finding_data(finding) for finding in findings])
    else:
        for finding in findings:
            _show_finding(finding, _COLOURS[finding.severity])
        counts = (
            ngettext("{n} error", "{n} errors", number[Severity.ERROR]),
            ngettext("{n} warning", "{n} warnings", number[Severity.WARNING]),
            ngettext("{n} note", "{n} notes", number[Severity.NOTE]),
        )
        read_files = ngettext("{n} mapping", "{n} mappings", len(read))
        click.echo(f"{read_files}: {', '.join(counts)}")
    if number[Severity.ERROR] or number[Severity.WARNING]:
        raise Exit(NO)


@mappings.command()
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
@click.pass_obj
def test(
    invocation: Invocation,
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
        raise UsageError(N_("--watch and --json exclude each other"))

    least = 0.0 if coverage and fail_under is None else fail_under
    run = partial(_run_tests, invocation, paths, as_json=as_json, least=least)
    if not (_watch(invocation, paths, run) if watch else run()):
        raise Exit(NO)


def _watch(invocation: Invocation, paths: tuple[Path, ...], run: Callable[[], bool]) -> bool:
    """Run now and after each change until Ctrl-C or SIGTERM; return the result of the last run."""
    import watchfiles

    from bridge.cli.stack import Stopping

    places = [path if path.is_dir() else path.parent for path in paths] or [invocation.settings.bridge_mappings_dir]
    with Stopping() as stopping:
        passed = run()
        click.echo(_("watching; Ctrl-C ends"), err=True)
        changes = watchfiles.watch(
            *places,
            watch_filter=lambda _change, path: path.endswith((".yaml", ".yml", ".json")),
            debounce=200,  # ms; editors write a file in several steps, which cause one run
            step=50,
            stop_event=stopping,
        )
        for _change in changes:
            if is_terminal():
                click.clear()
            passed = run()
    return passed


def _run_tests(invocation: Invocation, paths: Iterable[Path], *, as_json: bool, least: float | None) -> bool:
    """Run every test once, print the results, and return whether all passed and enough (None: not asked) is covered."""
    read = _read_paths(invocation, paths, no_environment=True)
    broken = [one for one in read if one.mapping is None]
    results: list[CaseResult] = []
    parts: list[Part] = []
    for one in read:
        if one.mapping is not None:
            of_file = testing.run(one.mapping, Path(one.path).parent)
            results += of_file
            parts += testing.parts_of(one.mapping, of_file)
    percent = 100 * sum(part.reached for part in parts) / len(parts) if parts else 100.0
    if as_json:
        data: dict[str, Any] = {
            "results": [{**values_of(one), "problem": one.problem or "", "passed": one.passed} for one in results],
            "broken": [_finding_data(finding) for one in broken for finding in one.findings],
        }
        if least is not None:
            data["coverage"] = {"percent": percent, "parts": parts}
        show_json(data)
    else:
        _show_results(results, broken)
        if least is not None:
            _show_coverage(parts, percent)
    if least is not None and percent < least:
        facts = {"percent": f"{percent:.1f}", "least": f"{least:g}"}
        click.echo(_("the tests reach {percent} %, at least {least} % is asked", **facts), err=True)
        return False
    return not broken and all(result.passed for result in results)


def _show_results(results: Sequence[CaseResult], broken: Sequence[ParseResult]) -> None:
    for finding in (finding for one in broken for finding in one.findings):
        _show_finding(finding)
    for result in results:
        if result.passed:
            click.echo(plain(f"ok    {result.mapping}: {result.name}"))
            continue
        click.secho(plain(f"FAIL  {result.path}:{result.line}: {result.name}"), fg="red")
        if result.problem:
            click.echo(f"      {plain(result.problem)}")
        else:
            rows = [(one.line, one.what, one.expected, one.actual) for one in result.differences]
            show_table((_("line"), _("key"), _("expected"), _("actual")), rows)
    failed = sum(not result.passed for result in results)
    counts = (
        ngettext("{n} passed", "{n} passed", len(results) - failed),
        ngettext("{n} failed", "{n} failed", failed),
        ngettext("{n} file can't run", "{n} files can't run", len(broken)),
    )
    click.echo(", ".join(counts))


def _show_coverage(parts: Sequence[Part], percent: float) -> None:
    missed = [(f"{part.path}:{part.line}", _(part.kind), part.what) for part in parts if not part.reached]
    if missed:
        click.echo(_("no test reaches:"))
        show_table((_("where"), _("kind"), _("what")), missed)
    facts = {"percent": f"{percent:.1f}", "number": len(parts)}
    click.echo(_("the tests reach {percent} % of {number} fields, sides of conditions and routes", **facts))


@mappings.command()
@click.argument("name", required=False)
@json_option
@click.pass_obj
def show(invocation: Invocation, name: str | None, as_json: bool) -> None:
    """List the mapping files, or show all that one of them does."""
    read = _read_paths(invocation, _places(name), no_environment=name is not None)
    if name is not None:
        mapping = _named(read, name)
        if as_json:
            show_json(_mapping_data(mapping))
        else:
            _show_mapping(mapping)
    elif as_json:
        show_json([_mapping_data(one.mapping) if one.mapping else _broken_data(one) for one in read])
    else:
        show_table((_("name"), _("state"), _("events"), _("sends to"), _("description")), map(_list_row, read))


_EVENTS_LISTED = 2
"""The events that a row of the list names; `show NAME` has all of them."""


def _list_row(read: ParseResult) -> tuple[object, ...]:
    name, mapping = Path(read.path).stem, read.mapping
    if mapping is None:
        return name, _("error"), "", "", read.findings[0].shown()
    state, more = _("on") if mapping.enabled else _("off"), len(mapping.events) - _EVENTS_LISTED
    events = ", ".join(map(event_label, mapping.events[:_EVENTS_LISTED])) + (f", +{more}" if more > 0 else "")
    return name, state, events, ", ".join(sorted(mapping.destinations)), mapping.description


def _broken_data(read: ParseResult) -> dict[str, Any]:
    findings = [_finding_data(finding) for finding in read.findings]
    return {"name": Path(read.path).stem, "path": read.path, "findings": findings}


_SHOWN = {
    "name": N_("name"),
    "path": N_("file"),
    "enabled": N_("state"),
    "description": N_("description"),
    "account": N_("account"),
    "events": N_("events"),
    "installments": N_("instalments"),
    "line": N_("line of deliveries"),
    "stale": N_("older events"),
    "send_to": N_("sends to"),
    "tests": N_("tests"),
    "fetched": N_("asks Asaas for"),
}
"""What `show NAME` prints, by the keys of `--json`."""
_SETTINGS_WORDS = {
    "each": N_("each instalment"),
    "first": N_("only the first"),
    "once": N_("once per plan"),
    "skip": N_("are not sent"),
    "send": N_("are sent too"),
}


def _mapping_data(mapping: Mapping) -> dict[str, Any]:
    return {
        **{name: getattr(mapping, name) for name in _SHOWN if name not in {"tests", "fetched"}},
        "filter": _condition_lines(mapping.filter),
        "fields": [
            {
                **{name: getattr(field, name) for name in ("group", "key", "type", "required")},
                "source": field.source.text,
                "is": field.native or None,
            }
            for field in mapping.fields
        ],
        "routes": [{"events": route.events, "send_to": route.send_to} for route in mapping.routes],
        "deal": _deal_data(mapping) if mapping.tells_funnel else None,
        "fetched": sorted(mapping.filter_needs | mapping.field_needs),
        "tests": len(mapping.tests),
    }


def _deal_data(mapping: Mapping) -> dict[str, Any]:
    """Return what a mapping says about deals by the API, under the keys of its file."""
    funnel = mapping.funnel
    per = funnel.one_deal_per
    words = ("origin", "moved_by_person", "removed", "find_contact_by", "key_field")
    return {
        "one_deal_per": per if isinstance(per, str) else per.source.text,
        **{name: _source_of(one) for name, one in funnel.values.items() if one},
        "tags": [one.source.text for one in funnel.tags],
        **{name: getattr(funnel, name) for name in words},
    }


def _source_of(field: Field) -> str:
    outputs = ", ".join(field.outputs)
    return f"{field.source.text} -> {outputs}" if field.expressions and outputs else field.source.text


def _show_mapping(mapping: Mapping) -> None:
    """Print what a mapping does in the reader's language; keys and expressions are those of its file."""
    data = _mapping_data(mapping)
    data |= {"enabled": _("on") if mapping.enabled else _("off"), "fetched": ", ".join(data["fetched"]) or _("nothing")}
    data |= {name: _(_SETTINGS_WORDS.get(data[name], data[name])) for name in ("installments", "stale")}
    data |= {"events": "\n".join(_event_line(name) for name in mapping.events)}
    for name, words in _SHOWN.items():
        _show_under(_(words), str(data[name]))
    for route in mapping.routes:
        events = "\n".join(_event_line(name) for name in route.events)
        _show_under(_("route to {destination}", destination=route.send_to), events)
    for name, value in (data["deal"] or {}).items():
        if text := ", ".join(value) if isinstance(value, list | tuple) else str(value or ""):
            _show_under(name, text)
    parts = [f"{'  ' * depth}{condition_in_words(one.text).words}" for one, depth in walk(mapping.filter)]
    _show_under(_("only if"), "\n".join(parts) or _("always"))
    click.echo()
    rows = [(_(field.group), field.key, _(field.type), field.source.text) for field in mapping.fields]
    show_table((_("group"), _("key"), _("type"), _("from")), rows)


def _show_under(label: str, text: str) -> None:
    first, *rest = text.split("\n")
    click.echo(f"{label + ':':22}{plain(first)}")
    for line in rest:
        click.echo(f"{'':22}{' ' * (len(line) - len(line.lstrip()))}{plain(line.lstrip())}")


def _event_line(name: str) -> str:
    label = event_label(name)
    return name if label == name else f"{label} ({name})"


def _condition_lines(condition: Condition | None) -> list[str]:
    """Return a filter as lines in the words of the file."""
    lines = []
    for one, _depth in walk(condition):
        alone = isinstance(one, Comparison) and one.operator is None
        lines.append(f"{one.text}:" if isinstance(one, Group) else f"{'expression: ' * alone}{one.text}")
    return lines


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
@click.pass_obj
def explain(
    invocation: Invocation, name: str | None, event: str, given: tuple[str, ...], account: str, as_json: bool
) -> None:
    """Say what each mapping makes of an event, condition by condition and field by field; nothing is sent."""
    read = _read_paths(invocation, _places(name), no_environment=True)
    chosen = [_named(read, name)] if name else [one.mapping for one in read if one.mapping]
    path = Path(event)
    if path.is_file():
        seen = _context_of_file(path, _given(given), account)
    else:
        _row, _fetched, seen = _stored_event(invocation, event, FETCHABLE)
    known = _setup(invocation, asks_clint=False)
    found = [wanted.explained(mapping, seen, known) for mapping in chosen]
    if as_json:
        show_json([wanted.explained_data(one) for one in found])
        return
    for one in found:
        _show_explained(one)
    if path.is_file():  # of a kept event Asaas was asked for everything
        for missing in sorted(_needed(chosen, seen)):
            text = _("{name} would be fetched from Asaas and was not given here; use --with {name}=FILE", name=missing)
            click.echo(text, err=True)


def _needed(mappings: Iterable[Mapping], seen: dict[str, Any]) -> set[str]:
    """Return the objects that mappings read of this event and that Asaas must be asked for."""
    needs = {name for one in mappings if one.listens_to(seen["event"]) for name in one.filter_needs | one.field_needs}
    return needs & references(seen).keys()


def _given(options: Iterable[str]) -> dict[str, Any]:
    objects: dict[str, Any] = {}
    for option in options:
        name, _equals, file = option.partition("=")
        if name not in FETCHABLE or not file:
            what = N_("--with must be NAME=FILE with NAME one of {known}, got {option!r}")
            raise UsageError(what, known=", ".join(sorted(FETCHABLE)), option=option)
        objects[name] = _json_file(Path(file))
    return objects


def _json_file(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(N_("{path} can't be read ({reason})"), path=str(path), reason=system_reason(error)) from None
    except (ValueError, RecursionError):
        raise UsageError(N_("{path} is not JSON"), path=str(path)) from None


def _context_of_file(path: Path, fetched: dict[str, Any], account: str) -> dict[str, Any]:
    envelope = _json_file(path)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("event"), str):
        what = N_("{path} must be an event as Asaas sends it, an object with `event`, got something else")
        raise UsageError(what, path=str(path))
    # A body names no environment, but its links do.
    environment = "sandbox" if "//sandbox.asaas.com/" in json.dumps(envelope) else "production"
    return build_context(envelope["event"], entity_key(envelope), envelope, account, environment, fetched)


def _stored_event(
    invocation: Invocation, event_id: str, names: Iterable[str]
) -> tuple[Row, dict[str, Any], dict[str, Any]]:
    """Return an event of the journal, the named objects as Asaas has them now, and what expressions see of both."""
    from bridge.journal import retention
    from bridge.operations.explain import context_of, fetch
    from bridge.runtime import Runtime

    with invocation.journal.database.read() as connection:
        event = find_event(connection, event_id)
        retention.check_full(connection, [event["id"]])
    with closing(Runtime(invocation.settings)) as runtime:
        try:
            fetched = fetch(runtime, event, frozenset(names))
        except BridgeError as error:
            click.echo(_("explained without the data from Asaas: {problem}", problem=error.message()), err=True)
            fetched = {}
        return event, fetched, context_of(runtime, event, fetched)


def _show_explained(found: dict[str, Any]) -> None:
    name = found["mapping"] if found["enabled"] else _("{mapping} (disabled)", mapping=found["mapping"])
    if not found["listens"]:
        is_other = found["why"] == "other_account"
        why = _("is for another account") if is_other else _("does not listen to this event")
        click.echo(f"{name}: {why}")
        return
    is_sent = found["outcome"] == "sent"
    outcome = _("sent to {destination}", destination=found["send_to"]) if is_sent else _(found["outcome"])
    click.secho(f"{name}: {outcome}", bold=True)
    if not is_sent:
        click.echo(f"  {found['code']}: {plain(found['message'])}")
    line = _("line")
    for seen in found.get("conditions", ()):
        words, path = condition_in_words(seen["text"])
        value = "" if seen["value"] is None else plain(value_in_words(path, seen["value"]))[:120]
        text = f"  {_(_MARKS[seen['passed']]):4}{line} {seen['line']:<4}{'  ' * seen['depth']}{plain(words)}"
        click.echo(text + (_("  (saw {value})", value=value) if value else ""))
    rows = [
        (_(one["group"]), one["key"], _short(one["source"]), one["message"] or _cell(one["value"]))
        for one in found.get("fields", ())
    ]
    if rows:
        show_table((_("group"), _("key"), _("from"), _("value")), rows)
    if is_sent:
        click.echo(_("payload: {payload}", payload=plain(json.dumps(found["payload"], ensure_ascii=False))))
    if "funnel" in found:
        click.echo(_("deal: {deal}", deal=plain(json.dumps(found["funnel"], ensure_ascii=False))))


def _cell(value: Any) -> str:
    return _("(left out)") if value is None else value if isinstance(value, str) else json.dumps(value)


@mappings.command()
@click.argument("mapping", metavar="[FILE]", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")
@json_option
@click.pass_obj
def checklist(invocation: Invocation, mapping: str | None, as_csv: bool, as_json: bool) -> None:
    """Say what to choose on Clint's mapping screen: the keys that each integration gets, its stage and its status.

    For a destination by Clint's API it says which origin, stages and fields Clint must have, and with a token of
    it which of them it lacks. An integration gets what all enabled mappings send to it. FILE is a mapping file, or the
    name of one in the directory of BRIDGE_MAPPINGS_DIR: only the destinations of this one. Ends with 1 where one of
    several integrations would have to set more than one status.
    """
    if as_csv and as_json:
        raise UsageError(N_("--csv and --json exclude each other"))
    read = _read_paths(invocation, _places(mapping), no_environment=True)
    only = _named(read, mapping) if mapping else None
    setup = _setup(invocation)
    known = setup if setup.reads_back else Setup(None, None)
    found = wanted.checklist([one.mapping for one in read if one.mapping], only, known=known)
    keys, integrations, funnels = found["keys"], found["integrations"], found["funnels"]
    if as_json:
        show_json({"mapping": only.name if only else None, **found})
    elif as_csv:
        _print_csv(keys, integrations, funnels)
    else:
        rows = [(row["key"], _(row["tab"]), _(row["kind"]), _short(row["example"])) for row in keys]
        if rows or not funnels:
            show_table((_("key"), _("tab"), _("kind"), _("example")), rows)
        for row in integrations:
            _show_integration(row, [one["key"] for one in keys if row["integration"] not in one["integrations"]])
        for row in funnels:
            _show_funnel(row)
    if any(row["conflict"] for row in integrations):
        raise Exit(NO)


def _short(example: str) -> str:
    return example if len(example) <= 40 else f"{example[:39]}…"


_STATUSES = {"OPEN": N_("Open"), "WON": N_("Won"), "LOST": N_("Lost")}
"""What Clint's screen calls the status of a deal."""


def _show_integration(row: dict[str, Any], missing: list[str]) -> None:
    stage, conflict = wanted.stage_of(row["events"]), row["conflict"]
    status = _(_STATUSES[row["status"]]) if row["status"] else _("conflict") if conflict else _("the same for all")
    lines = [_("status {status}, stage {stage}", status=status, stage=stage)]
    for one, names in ({row["status"]: row["events"]} if row["status"] else row["statuses"]).items():
        lines += [f"{_(_STATUSES[one]):<7} {_event_line(name)}" for name in names]
    lines += [_("from  {mapping}", mapping=name) for name in row["mappings"]]
    lines += [_("it does not get {key}", key=key) for key in missing]
    if conflict:
        lines.append(_("it would have to set several statuses, and an integration of Clint sets one;"))
        lines.append(_("give each status an integration of its own: another send_to, or routes in the mapping"))
    elif not row["status"]:
        lines.append(
            _("an integration of Clint sets one status, so all these deals keep the one that you choose there")
        )
        lines.append(_("for open, won and lost deals use an integration for each, or a destination by Clint's API"))
    click.echo("\n" + _("integration {name}, its URL is in {setting}", name=row["integration"], setting=row["setting"]))
    click.echo("\n".join(f"  {line}" for line in lines))


def _show_funnel(row: dict[str, Any]) -> None:
    click.echo("\n" + _("destination {name}, by Clint's API", name=row["destination"]))
    lines = [_("from  {mapping}", mapping=name) for name in row["mappings"]]
    for origin in row["origins"]:
        name = origin["origin"] or _("the one of the destination")
        lines.append(_("origin  {name}", name=name) + _lacking(origin["there"]))
        lines += [
            _("stage   {name}", name=one["stage"]) + _lacking(one["there"], one.get("hint", ""))
            for one in origin["stages"]
        ]
        lines += [_("status  {name}", name=one) for one in origin["statuses"]]
    click.echo("\n".join(f"  {line}" for line in lines))
    rows = [
        (
            one["key"],
            _(one["tab"]),
            _("field") if one["place"] == "fields" else _("Clint's own"),
            _(one["kind"]),
            _short(one["example"]) + _lacking(one["there"]),
        )
        for one in row["fields"]
    ]
    show_table((_("key"), _("tab"), _("what it is"), _("kind"), _("example")), rows)


def _lacking(there: bool | None, hint: str | Message = "") -> str:
    return _("  <- make it in Clint{hint}", hint=hint) if there is False else ""


def _print_csv(keys: list[dict[str, Any]], integrations: list[dict[str, Any]], funnels: list[dict[str, Any]]) -> None:
    columns = ["key", "tab", "kind", "example", "integration", "setting", "mappings", "events", "stage", "status"]
    columns += ["origin", "there"] if funnels else []
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in keys:
        writer.writerow({**row, "integration": " ".join(row["integrations"])})
    for row in integrations:
        lists = {name: " ".join(row[name]) for name in ("mappings", "events")}
        several = " or ".join(row["statuses"])
        status = row["status"] or (f"conflict: {several}" if row["conflict"] else f"the same for all: {several}")
        writer.writerow({**row, **lists, "status": status, "stage": wanted.stage_of(row["events"])})
    for row in funnels:
        for one in row["fields"]:
            writer.writerow({**one, "integration": row["destination"], "there": _there(one["there"])})
        for origin in row["origins"]:
            about = {
                "integration": row["destination"],
                "origin": origin["origin"],
                "mappings": " ".join(row["mappings"]),
            }
            statuses = " ".join(origin["statuses"])
            writer.writerow({**about, "status": statuses, "there": _there(origin["there"])})
            for one in origin["stages"]:
                writer.writerow({**about, "stage": one["stage"], "there": _there(one["there"])})


def _there(there: bool | None) -> str:
    return "" if there is None else "yes" if there else "no"


@mappings.command()
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
@click.pass_obj
def sample(
    invocation: Invocation,
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
    from bridge.journal import queries

    if (event is None) == (event_id is None):
        raise UsageError(N_("name either an EVENT or an --event-id"), hint=N_("see: bridge mappings sample --help"))
    if output == "-" and names:
        what = N_("--with writes a file beside the event's and can't print")
        raise UsageError(what, hint=N_("leave --output - out"))
    if event_id is None:
        with invocation.journal.database.read() as connection:
            newest = queries.list_events(connection, limit=1, name=event)
        if not newest:
            raise NotFound(N_("no event {name!r} was kept"), name=event, hint=N_("see: bridge events list"))
        event_id = str(newest[0]["id"])
    row, fetched, seen = _stored_event(invocation, event_id, names)
    found = {name: fetched[name] for name in names if fetched.get(name) is not None}
    # Together, so that a name that only the customer tells is found in the event's texts too.
    scrubbed = Scrubber(ids=ids).scrub({"": json.loads(row["body"]), **found})
    texts = {name: json_text(one) + "\n" for name, one in scrubbed.items()}
    if output == "-":
        click.echo(texts[""], nl=False)
        return
    root = invocation.settings.bridge_mappings_dir
    path = Path(output) if output else root / "samples" / f"{row['name'].lower()}.json"
    paths = {name: path.with_name(f"{path.stem}_{name}.json") if name else path for name in texts}
    if not force and (there := [one for one in paths.values() if one.exists()]):
        hint = N_("choose --output, or add --force")
        raise UsageError(N_("the file is there already"), where=str(there[0]), hint=hint)
    for name, one in paths.items():
        one.parent.mkdir(parents=True, exist_ok=True)
        one.write_text(texts[name], encoding="utf-8")
        click.echo(_("written: {path}", path=one), err=True)
    heard = [one.mapping for one in parser.read_directory(root, Setup(None, None, root)) if one.mapping]
    _print_test(paths, root, sorted(_needed(heard, seen) - texts.keys()))


def _print_test(paths: dict[str, Path], root: Path, invented: Sequence[str]) -> None:
    """Print a test of the samples; objects that mappings read and that have no sample get invented values."""
    if not all(path.resolve().is_relative_to(root.resolve()) for path in paths.values()):
        click.echo(_("a test reads samples below {root}: put the file there to write one", root=root), err=True)
        return
    given = {name: _as_yaml(path.resolve().relative_to(root.resolve())) for name, path in paths.items()}
    given |= {name: json.dumps(EXAMPLES.get(name, {}), ensure_ascii=False) for name in invented}
    if invented:
        text = _("the test invents what mappings read of {names}; --with asks Asaas", names=", ".join(invented))
        click.echo(text, err=True)
    click.echo(f"  - name: o que este teste mostra\n    given: {given.pop('')}")
    if given:
        click.echo(f"    with: {{{', '.join(f'{name}: {path}' for name, path in given.items())}}}")
    click.echo("    expect: {exactly: {}}  # " + _("bridge mappings test says what came out"))


def _as_yaml(path: Path) -> str:
    text = path.as_posix()
    return text if re.fullmatch(r"[A-Za-z][\w./-]*", text) else json.dumps(text, ensure_ascii=False)


@mappings.command()
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
    text = N_("{path} is written; an editor finds it as ./{name} by this first line of a mapping: {line}")
    click.echo(_(text, path=output, name=FILE_NAME, line=COMMENT))


@mappings.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def init(invocation: Invocation, directory: Path | None) -> None:
    """Copy the mapping files that come with the bridge, with their samples and the guide.

    They go to DIR; without it, to the directory of BRIDGE_MAPPINGS_DIR. No file is overwritten: where one is there
    already, nothing is copied.
    """
    target = directory or invocation.settings.bridge_mappings_dir
    number = copy_starters(target)
    click.echo(ngettext("written: {path}, with {n} mapping", "written: {path}, with {n} mappings", number, path=target))
