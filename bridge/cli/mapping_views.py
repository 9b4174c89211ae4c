"""How `bridge mappings` shows what it found, in words and tables, and as the values that its JSON holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from bridge.cli.output import count, plain, show_table
from bridge.mapping import Finding, Mapping, ReadMapping, Severity
from bridge.mapping.parts import Compare, Condition, Group
from bridge.mapping_cases import CaseResult

_MARKS = {True: "yes", False: "no", None: "-"}


def finding_lines(finding: Finding) -> list[str]:
    """Return the lines of one finding: the one that editors read, and the caret under a bad expression."""
    return [str(finding), *(f"    {line}" for line in finding.caret.splitlines())]


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding for JSON."""
    return {
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
    }


def show_findings(read: Iterable[ReadMapping]) -> None:
    """Print every finding and, below them, how many there are."""
    colours = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
    read = list(read)
    for finding in (finding for one in read for finding in one.findings):
        for line in finding_lines(finding):
            click.secho(line, fg=colours[finding.severity])
    counts = [_count(read, severity) for severity in Severity]
    click.echo(f"{count(len(read), 'mapping')}: {', '.join(counts)}")


def _count(read: Iterable[ReadMapping], severity: Severity) -> str:
    number = sum(finding.severity is severity for one in read for finding in one.findings)
    return count(number, severity.value)


def show_result(result: CaseResult) -> None:
    """Print one test: its line where it passed, expected beside actual where it did not."""
    if result.passed:
        click.echo(plain(f"ok    {result.mapping}: {result.name}"))
        return
    click.secho(plain(f"FAIL  {result.path}:{result.line}: {result.name}"), fg="red")
    if result.problem:
        click.echo(f"      {plain(result.problem)}")
        return
    rows = [(str(one.line), one.what, one.expected, one.actual) for one in result.differences]
    show_table(("line", "key", "expected", "actual"), rows)


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
    return [(depth, condition.text if isinstance(condition, Compare) else f"expression: {condition.text}")]


def show_explained(told: dict[str, Any]) -> None:
    """Print what a mapping makes of an event and why."""
    state = "" if told["enabled"] else " (disabled)"
    if not told["listens"]:
        click.echo(f"{told['mapping']}{state}: does not listen to this event")
        return
    outcome = f"sent to {told['send_to']}" if told["outcome"] == "sent" else told["outcome"]
    click.secho(f"{told['mapping']}{state}: {outcome}", bold=True)
    if told["outcome"] != "sent":
        click.echo(f"  {told['code']}: {plain(told['reason'])}")
    for seen in told.get("conditions", ()):
        value = "" if seen["value"] is None else f"  (saw {plain(json.dumps(seen['value'], ensure_ascii=False))[:120]})"
        click.echo(
            f"  {_MARKS[seen['passed']]:4}line {seen['line']:<4}{'  ' * seen['depth']}{plain(seen['text'])}{value}"
        )
    rows = [
        (one["group"], one["key"], one["source"], one["error"] or _cell(one["value"])) for one in told.get("fields", ())
    ]
    if rows:
        show_table(("group", "key", "from", "value"), rows)
    if "payload" in told:
        click.echo(f"payload: {plain(json.dumps(told['payload'], ensure_ascii=False))}")


def _cell(value: Any) -> str:
    return "(left out)" if value is None else value if isinstance(value, str) else json.dumps(value)
