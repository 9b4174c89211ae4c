"""What `bridge mappings explain` sees of an event that the journal keeps: the event, and what Asaas says of it now.

Only reads. Where Asaas can't be asked, the rest is explained all the same, and what is missing is said.
"""

from __future__ import annotations

import json
from typing import Any

import click

from bridge import enrichment
from bridge.cli.choice import find_event
from bridge.cli.root import Invocation
from bridge.errors import BridgeError
from bridge.mapping.context import build_context, references
from bridge.mapping.parts import FETCHABLE


def load(context: click.Context, event_id: str) -> dict[str, Any]:
    """Return what expressions see of a kept event, named by its number or the whole id that Asaas gave it."""
    from bridge.runtime import Runtime

    invocation: Invocation = context.obj
    with invocation.journal.database.read() as connection:
        event = find_event(connection, event_id)
    runtime = Runtime(invocation.settings)
    account, entity = event["account"], json.loads(event["body"]).get(event["entity"]) or {}

    def seen(fetched: dict[str, Any]) -> dict[str, Any]:
        return build_context(event["name"], event["entity"], entity, account, runtime.environment(account), fetched)

    wanted = enrichment.plan(FETCHABLE, references(seen({})))
    try:
        return seen(runtime.enricher.fetch(account, wanted) if wanted else {})
    except BridgeError as error:
        click.echo(f"explained without what Asaas would say: {error}", err=True)
        return seen({})
    finally:
        runtime.close()
