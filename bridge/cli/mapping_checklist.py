"""`bridge mappings checklist`: what to choose on Clint's mapping screen, key by key and integration by integration.

The keys are those of the file, the examples what its own tests send. Stage and status are not in any payload: Clint's
integration sets them, so each destination has a line that says which events it gets and what to choose for them.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

import click

from bridge import mapping_cases
from bridge.cli.mapping_source import find_mapping
from bridge.cli.output import json_option, show_json, show_table
from bridge.errors import UsageError
from bridge.mapping import Field, Mapping
from bridge.mapping.asaas_events import EVENTS
from bridge.mapping.asaas_labels import label_of
from bridge.mapping.parts import covers
from bridge.mapping.values import as_text

_WON = frozenset({"PAYMENT_CONFIRMED", "PAYMENT_RECEIVED", "PAYMENT_DUNNING_RECEIVED", "CHECKOUT_PAID"})
_LOST = re.compile(r"(DELETED|REFUNDED|INACTIVATED|CHARGEBACK_\w+|CHARGEBACK_REVERSAL|CANCELED|CANCELLED|EXPIRED)$")
_DATE = re.compile(r"\d{2}/\d{2}/\d{4}|\d{4}-\d{2}-\d{2}")
_LABELS_SHOWN = 3


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


def keys_of(mapping: Mapping) -> list[dict[str, str]]:
    """Return each key exactly as it is sent, with its tab, its kind and an example from the mapping's tests."""
    sent = [result.payload for result in mapping_cases.run(mapping, Path(mapping.path).parent)]
    rows = []
    for field in mapping.fields:
        values = [payload[field.key] for payload in sent if field.key in payload]
        example = "" if not values else values[0] if isinstance(values[0], str) else as_text(values[0])
        rows.append({"key": field.key, "tab": field.group, "kind": _kind(field, example), "example": example})
    return rows


def _kind(field: Field, example: str) -> str:
    if field.identifies:
        return {"email": "e-mail", "phone": "phone"}[field.identifies]
    if field.type != "text":
        return field.type
    if _DATE.fullmatch(example):
        return "date"
    return "link" if example.startswith(("https://", "http://")) else "text"


def integrations_of(mapping: Mapping) -> list[dict[str, Any]]:
    """Return each destination with the events it gets and the stage and status that its integration should set."""
    left = [name for name in EVENTS if mapping.listens_to(name)]
    events: dict[str, list[str]] = {}
    for route in mapping.routes:
        events.setdefault(route.send_to, []).extend(name for name in left if covers(route.events, name))
        left = [name for name in left if not covers(route.events, name)]
    if left:
        events.setdefault(mapping.send_to, []).extend(left)
    return [
        {
            "integration": destination,
            "setting": "CLINT_WEBHOOK_URL"
            + ("" if destination == "default" else f"_{destination.upper().replace('-', '_')}"),
            "events": names,
            "stage": _stage(names),
            "status": _status(names),
        }
        for destination, names in events.items()
    ]


def _stage(names: list[str]) -> str:
    labels = [label_of(name) or name for name in names]
    more = f" or {len(labels) - _LABELS_SHOWN} more" if len(labels) > _LABELS_SHOWN else ""
    return f"the one for: {' or '.join(labels[:_LABELS_SHOWN])}{more}"


def _status(names: list[str]) -> str:
    if all(name in _WON for name in names):
        return "WON"
    return "LOST" if all(_LOST.search(name) for name in names) else "OPEN"


def _print_csv(keys: list[dict[str, str]], integrations: list[dict[str, Any]]) -> None:
    columns = ("key", "tab", "kind", "example", "integration", "setting", "events", "stage", "status")
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(keys)
    writer.writerows({**row, "events": " ".join(row["events"])} for row in integrations)
