"""How `bridge mappings` shows what it found: tables for a terminal, plain aligned lines for a pipe or a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge import filtering, transform
from bridge.errors import FilterFailed, StageError
from bridge.mapping import Finding, Mapping, ReadMapping, Severity
from bridge.mapping.parts import Compare, Condition, Group
from bridge.mapping_cases import CaseResult

_MARKS = {True: "yes", False: "no"}


def is_terminal() -> bool:
    """Say whether a person looks at standard output."""
    return sys.stdout.isatty()


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def show_table(headers: Sequence[str], rows: Iterable[Sequence[str]], indent: int = 0) -> None:
    """Print rows under headers, as a table for a person and as aligned lines otherwise."""
    rows = [tuple(row) for row in rows]
    if is_terminal():
        table = Table(box=None, pad_edge=False, header_style="bold")
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in rows:
            # Text: a value from outside must not be read as rich's own markup.
            table.add_row(*(Text(cell) for cell in row))
        Console(file=sys.stdout).print(table)
        return
    widths = [max(len(row[column]) for row in [tuple(headers), *rows]) for column in range(len(headers))]
    for row in [tuple(headers), *rows]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(f"{' ' * indent}{line}")


def finding_lines(finding: Finding) -> list[str]:
    """Return the lines of one finding: the one that editors read, and the caret under a bad expression."""
    return [str(finding), *(f"    {line}" for line in finding.caret.splitlines())]


def show_findings(read: Iterable[ReadMapping]) -> None:
    """Print every finding and, below them, how many there are."""
    colours = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
    read = list(read)
    for finding in (finding for one in read for finding in one.findings):
        for line in finding_lines(finding):
            click.secho(line, fg=colours[finding.severity])
    counts = [_count(read, severity) for severity in Severity]
    click.echo(f"{_plural(len(read), 'mapping')}: {', '.join(counts)}")


def _count(read: Iterable[ReadMapping], severity: Severity) -> str:
    number = sum(finding.severity is severity for one in read for finding in one.findings)
    return _plural(number, severity.value)


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def show_result(result: CaseResult) -> None:
    """Print one test: its line where it passed, expected beside actual where it did not."""
    if result.passed:
        click.echo(f"ok    {result.mapping}: {result.name}")
        return
    click.secho(f"FAIL  {result.path}:{result.line}: {result.name}", fg="red")
    if result.problem:
        click.echo(f"      {result.problem}")
        return
    rows = [(str(one.line), one.what, one.expected, one.actual) for one in result.differences]
    show_table(("line", "key", "expected", "actual"), rows, indent=6)


def result_json(result: CaseResult) -> dict[str, Any]:
    """Return a test's result for JSON."""
    return {**asdict(result), "passed": result.passed}


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
        click.echo(f"{name + ':':14}{told[name]}")
    click.echo(f"{'enabled:':14}{_MARKS[mapping.enabled]}")
    click.echo(f"{'events:':14}{', '.join(mapping.events)}")
    click.echo(f"{'fetched:':14}{', '.join(told['fetched']) or 'nothing'}")
    for route in mapping.routes:
        click.echo(f"{'route:':14}{', '.join(route.events)} -> {route.send_to}")
    for depth, text in condition_lines(mapping.filter):
        click.echo(f"{'filter:' if not depth else '':14}{'  ' * depth}{text}")
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
    return [(depth, condition.text if isinstance(condition, Compare) else f"expression: {condition.text}")]


def explained(mapping: Mapping, context: dict[str, Any]) -> dict[str, Any]:
    """Return what a mapping makes of an event and why, for JSON."""
    told: dict[str, Any] = {"mapping": mapping.name, "enabled": mapping.enabled, "listens": False}
    if not mapping.listens_to(context["event"]) or mapping.account != context["account"]:
        return told
    told["listens"] = True
    try:
        verdict = filtering.decide(mapping, context)
    except FilterFailed as error:
        return {**told, "outcome": "dead", "code": error.code, "reason": str(error)}
    told["conditions"] = [asdict(seen) for seen in verdict.conditions]
    if not verdict.passed:
        return {**told, "outcome": "filtered", "code": verdict.code, "reason": verdict.reason}
    told["fields"] = [
        {**asdict(seen), "error": str(seen.error) if seen.error else None}
        for seen in transform.explain(mapping, context)
    ]
    try:
        payload = transform.build(mapping, context)
    except StageError as error:
        return {**told, "outcome": "dead", "code": error.code, "reason": str(error)}
    return {
        **told,
        "outcome": "sent",
        "payload": payload,
        "send_to": transform.destination(mapping, context["event"]),
    }


def show_explained(told: dict[str, Any]) -> None:
    """Print what a mapping makes of an event and why."""
    state = "" if told["enabled"] else " (disabled)"
    if not told["listens"]:
        click.echo(f"{told['mapping']}{state}: does not listen to this event")
        return
    outcome = f"sent to {told['send_to']}" if told["outcome"] == "sent" else told["outcome"]
    click.secho(f"{told['mapping']}{state}: {outcome}", bold=True)
    if told["outcome"] != "sent":
        click.echo(f"  {told['code']}: {told['reason']}")
    for seen in told.get("conditions", ()):
        value = "" if seen["value"] is None else f"  (saw {json.dumps(seen['value'], ensure_ascii=False)[:120]})"
        click.echo(f"  {_MARKS[seen['passed']]:4}line {seen['line']:<4}{'  ' * seen['depth']}{seen['text']}{value}")
    rows = [
        (one["group"], one["key"], one["source"], one["error"] or _cell(one["value"])) for one in told.get("fields", ())
    ]
    if rows:
        show_table(("group", "key", "from", "value"), rows, indent=2)


def _cell(value: Any) -> str:
    return "(left out)" if value is None else value if isinstance(value, str) else json.dumps(value)
