"""What `bridge mappings` sees of an event that the journal keeps: the event, and what Asaas says of it now.

Only reads. Where Asaas can't be asked, the rest is shown all the same, and what is missing is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from bridge import enrichment
from bridge.cli.choice import find_event
from bridge.cli.root import Invocation
from bridge.errors import BridgeError
from bridge.mapping.context import build_context, references
from bridge.mapping.parts import FETCHABLE

if TYPE_CHECKING:
    from bridge.journal.reading import Row


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
    wanted = enrichment.plan(frozenset(names), references(_seen(invocation, event, {})))
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
