"""`bridge mappings checklist`: what to choose on Clint's mapping screen, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import click

from bridge.cli.mapping_source import find_mapping, read_paths
from bridge.cli.output import json_option, show_json, show_table
from bridge.cli.root import NO
from bridge.errors import UsageError
from bridge.mapping_cases import checklist as wanted


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
        show_table(
            ("key", "tab", "kind", "example", "goes to"),
            [[*list(row.values())[:-1], ", ".join(row["integrations"])] for row in keys],
        )
        click.echo()
        show_table(
            ("integration", "its URL is in", "mappings", "gets", "stage", "status"),
            [
                (
                    row["integration"],
                    row["setting"],
                    ", ".join(row["mappings"]),
                    " or ".join(row["events"]),
                    row["stage"],
                    row["status"] or "conflict",
                )
                for row in integrations
            ],
        )
        for row in integrations:
            for line in _conflict(row):
                click.echo(line)
    if any(row["conflict"] for row in integrations):
        context.exit(NO)


def _conflict(row: dict[str, Any]) -> list[str]:
    if not row["conflict"]:
        return []
    lines = [f"\n{row['integration']} would have to set several statuses, and an integration of Clint sets one:"]
    lines += [f"  {status}: {', '.join(names)}" for status, names in row["conflict"].items()]
    return [*lines, "  give each status an integration of its own: another send_to, or routes in the mapping"]


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
        writer.writerow({name: {**row, **several, "status": status}[name] for name in columns[4:]})
