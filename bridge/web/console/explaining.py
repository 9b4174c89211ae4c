"""Each condition of a mapping with the value it saw, looked at again with the text that the mapping had then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from bridge import enrichment
from bridge.errors import BridgeError
from bridge.journal import revisions
from bridge.journal.reading import Row
from bridge.mapping import Known, Mapping, read_mapping
from bridge.mapping.context import build_context, references
from bridge.mapping.dates import brasilia_day
from bridge.mapping_cases.explained import explained
from bridge.runtime import Runtime

_ANYTHING = Known(None, None, active=True)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the filter of one delivery's mapping saw."""

    seen: Sequence[dict[str, Any]] = ()
    """Each condition: line, text, value, passed (None where the verdict stood before its turn), depth."""
    needs_asaas: bool = False
    """Whether the filter looks at objects that only the Asaas API has, and they were not asked for."""
    problem: str = ""
    gone: bool = False
    """Whether the text that the mapping had then is no longer there."""
    needs: frozenset[str] = field(default=frozenset())


def conditions(
    runtime: Runtime, connection: Connection, event: Row, delivery: Row, fetched: dict[str, Any] | None
) -> Conditions:
    """Return the conditions of a delivery's mapping; `fetched` is None where Asaas was not asked."""
    if event["emptied_ms"] is not None:
        return Conditions(gone=True)
    revision = revisions.get(connection, delivery["revision_id"])
    read = read_mapping(revision.text, f"{delivery['mapping']}.yaml", _ANYTHING) if revision and revision.text else None
    if read is None or read.mapping is None:
        return Conditions(gone=True)
    mapping: Mapping = read.mapping
    context = context_of(runtime, event, fetched or {})
    if fetched is None and mapping.filter_needs & references(context).keys():
        return Conditions(needs_asaas=True, needs=mapping.filter_needs)
    try:
        told = explained(mapping, context)
    except BridgeError as error:
        return Conditions(problem=str(error))
    return Conditions(told.get("conditions", ()), problem="" if "conditions" in told else told.get("reason", ""))


def context_of(runtime: Runtime, event: Row, fetched: dict[str, Any]) -> dict[str, Any]:
    """Return what expressions saw when the event was processed, or see now where it was not."""
    account, envelope = event["account"], json.loads(event["body"])
    today = brasilia_day(datetime.fromtimestamp(event["processed_ms"] / 1000, UTC)) if event["processed_ms"] else None
    return build_context(
        event["name"], event["entity"], envelope, account, runtime.environment(account), fetched, today=today
    )


def fetch(runtime: Runtime, event: Row, needs: frozenset[str]) -> dict[str, Any]:
    """Ask Asaas, or the cache, for what a filter needs. Raises BridgeError where it can't be asked."""
    wanted = enrichment.plan(needs, references(context_of(runtime, event, {})))
    return runtime.enricher.fetch(event["account"], wanted) if wanted else {}
