"""`bridge mappings checklist`: what to choose on Clint's mapping screen, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import sys
from typing import Any

import click

from bridge.cli.mapping_source import find_mapping
from bridge.cli.output import json_option, show_json, show_table
from bridge.errors import UsageError
from bridge.mapping_cases.checklist import integrations_of, keys_of


@click.command("checklist")
@click.argument("mapping", metavar="FILE")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")
@json_option
@click.pass_context
def checklist(context: click.Context, mapping: str, as_csv: bool, as_json: bool) -> None:
    """Say what to choose on Clint's mapping screen for a mapping: its keys, and stage and status of each integration.

    FILE is a mapping file, or the name of one in the directory of BRIDGE_MAPPINGS_DIR.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other")
    found = find_mapping(context.obj, mapping)
    keys, integrations = keys_of(found), integrations_of(found)
    if as_json:
        show_json({"mapping": found.name, "keys": keys, "integrations": integrations})
    elif as_csv:
        _print_csv(keys, integrations)
    else:
        show_table(("key", "tab", "kind", "example"), [list(row.values()) for row in keys])
        click.echo()
        show_table(
            ("integration", "its URL is in", "gets", "stage", "status"),
            [[" or ".join(cell) if isinstance(cell, list) else cell for cell in row.values()] for row in integrations],
        )


def _print_csv(keys: list[dict[str, str]], integrations: list[dict[str, Any]]) -> None:
    columns = ("key", "tab", "kind", "example", "integration", "setting", "events", "stage", "status")
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(keys)
    writer.writerows({**row, "events": " ".join(row["events"])} for row in integrations)
