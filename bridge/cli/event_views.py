"""How `bridge events` shows an event's whole way and what a replay would change: as text, or as data for JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from bridge.cli.output import ago, count, moment, plain, with_times
from bridge.cli.wording import delivery_said
from bridge.delivery import dead_letter
from bridge.journal.people import FORGOTTEN
from bridge.journal.reading import Row
from bridge.model import FINISHED, DeliveryState, EventState, Origin
from bridge.recovery.preview import Outcome, Preview, Unheard

_WANTS_A_PERSON = frozenset({DeliveryState.DEAD, DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.STALE})


def event_data(event: Row, deliveries: Sequence[tuple[Row, list[Row]]], now_ms: int) -> dict[str, Any]:
    """Return the whole way of an event as data."""
    return {
        **with_times(event),
        "explanation": _explanation(event, deliveries, now_ms),
        "body": json.loads(event["body"]) if event["emptied_ms"] is None else None,
        "deliveries": [
            {
                **with_times(delivery),
                "payload": json.loads(delivery["payload"]) if delivery["payload"] else None,
                **_explained(delivery),
                "attempts_made": [with_times(attempt) for attempt in attempts],
            }
            for delivery, attempts in deliveries
        ],
    }


def _explained(delivery: Row) -> dict[str, str | None]:
    said = dead_letter.explain(delivery["reason_code"])
    return {"means": said.means if said else None, "todo": said.todo if said else None}


def verdicts(event: Row, states: Mapping[str, int], now_ms: int) -> str:
    """Return in a few words how far an event has come."""
    if event["state"] == EventState.RECEIVED:
        return _waits(event, now_ms)
    return ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "no mapping listens"


def _waits(event: Row, now_ms: int) -> str:
    if event["hold_code"] is None:
        return "waits for a worker"
    return f"held ({event['hold_code']}), looked at again {ago(event['due_ms'], now_ms)}"


def show_event(event: Row, deliveries: list[tuple[Row, list[Row]]], now_ms: int) -> None:
    """Print the whole way of an event."""
    click.echo(f"event {event['id']}: {plain(event['name'])}")
    again = f"; posted again {count(event['repeats'], 'time')}" if event["repeats"] else ""
    _line("asaas id", event["event_key"])
    _line("account", event["account"])
    _line("about", f"{event['entity']} {event['object_id']}".strip() or "nothing the bridge knows")
    _line("customer", event["subject"])
    _line("created", f"{event['created'] or 'not said'} (Asaas)")
    if event["origin"] != Origin.WEBHOOK:
        _line("origin", f"{event['origin']}: made from what the Asaas API says; the webhook never came")
    _line("received", f"{moment(event['received_ms'])}, {ago(event['received_ms'], now_ms)}{again}")
    _line("state", _event_state(event, now_ms))
    if event["emptied_ms"] is not None:
        cause = "bridge forget" if event["subject"].startswith(FORGOTTEN) else "BRIDGE_RETENTION_DAYS"
        _line("emptied", f"{moment(event['emptied_ms'])}: body, payloads and answers are gone ({cause})")
    if event["replay"]:
        of = f", the last for the mapping {event['replay_mapping']}" if event["replay_mapping"] else ""
        _line("replayed", f"{count(event['replay'], 'time')}{of}")
    for delivery, attempts in deliveries:
        _show_delivery(delivery, attempts, now_ms)
    if not deliveries and event["state"] == EventState.PROCESSED:
        click.echo(f"\n{_explanation(event, deliveries, now_ms)}; see: bridge mappings show")


def _explanation(event: Row, deliveries: Sequence[tuple[Row, list[Row]]], now_ms: int) -> str:
    """Return in one line what became of an event."""
    if event["state"] == EventState.PROCESSED and not deliveries:
        return f"no active mapping listens to {plain(event['name'])}, so nothing is owed"
    said = [f"{delivery['mapping']}: {delivery_said(delivery, tries, now_ms)}" for delivery, tries in deliveries]
    return "; ".join(said) or _event_state(event, now_ms)


def _event_state(event: Row, now_ms: int) -> str:
    if event["state"] == EventState.PROCESSED:
        return f"processed {moment(event['processed_ms'])}"
    if event["hold_code"] is None:
        return _waits(event, now_ms)
    said = dead_letter.explain(event["hold_code"])
    todo = f"; what to do: {said.todo}" if said and said.todo else ""
    return f"{_waits(event, now_ms)} ({moment(event['due_ms'])}): {event['hold_reason']}{todo}"


def _show_delivery(delivery: Row, attempts: list[Row], now_ms: int) -> None:
    replay = f", replay {delivery['replay']}" if delivery["replay"] else ""
    click.echo(f"\ndelivery {delivery['id']}: mapping {plain(delivery['mapping'])}{replay}")
    _line("state", delivery_said(delivery, attempts, now_ms))
    state = DeliveryState(delivery["state"])
    said = dead_letter.explain(delivery["reason_code"])
    if said and state in _WANTS_A_PERSON:
        _line("means", said.means)
        if said.todo:
            _line("what to do", said.todo)
    if state not in FINISHED and delivery["due_ms"] is not None:
        _line("next try", f"{moment(delivery['due_ms'])}, {ago(delivery['due_ms'], now_ms)}")
    if delivery["payload"]:
        _line("to", f"{delivery['destination']} (line {delivery['line']}, revision {delivery['revision_id']})")
        _line("payload", "")
        for key, value in json.loads(delivery["payload"]).items():
            click.echo(f"    {plain(key)}: {plain(value)}")
    for attempt in attempts:
        _line(f"attempt {attempt['number']}", _attempt(attempt))
    if delivery["read_back"] and state is DeliveryState.DELIVERED:
        detail = dead_letter.deal_said(delivery["read_back_detail"])
        _line("deal", delivery["read_back"].replace("_", " ") + (f": {plain(detail)}" if detail else ""))


def _attempt(attempt: Row) -> str:
    parts = [moment(attempt["started_ms"]), attempt["outcome"] or "no answer yet"]
    if attempt["duration_ms"] is not None:
        parts.append(f"{attempt['duration_ms']} ms")
    if attempt["detail"]:
        parts.append(attempt["detail"])
    if attempt["excerpt"]:
        parts.append(f"answer: {attempt['excerpt']}")
    return ", ".join(parts)


def _line(name: str, value: object) -> None:
    click.echo(f"  {name:<10} {plain(value)}".rstrip())


def preview_data(preview: Preview) -> dict[str, Any]:
    """Return what a replay would change as data."""
    return {
        "event_id": preview.event_id,
        "name": preview.name,
        "problem": preview.problem or None,
        "unheard": preview.unheard,
        "outcomes": [
            {**asdict(outcome), "changes": [change._asdict() for change in outcome.changes]}
            for outcome in preview.outcomes
        ],
    }


_UNHEARD = {
    Unheard.NOBODY: "no active mapping listens to it",
    Unheard.GONE: "no active mapping is named {mapping}",
    Unheard.OFF: "mapping {mapping} is switched off",
    Unheard.OTHER_ACCOUNT: "mapping {mapping} is for another account",
    Unheard.OTHER_EVENT: "mapping {mapping} does not listen to it",
}


def show_preview(preview: Preview, mapping: str | None) -> None:
    """Print what a replay, through one mapping where it is named, would change."""
    click.echo(f"event {preview.event_id} {plain(preview.name)}")
    show_outcomes(preview, mapping)


def show_outcomes(preview: Preview, mapping: str | None = None) -> None:
    """Print what each mapping would make of an event."""
    if preview.problem:
        click.echo(f"  would wait: {plain(preview.problem)}")
    elif preview.unheard:
        click.echo("  " + _UNHEARD[preview.unheard].format(mapping=plain(mapping)))
    for outcome in preview.outcomes:
        click.echo(f"  {plain(outcome.mapping)}: {_verdict(outcome)}")
        for change in outcome.changes:
            click.echo(f"    {plain(change.key)}: {_value(change.before)} -> {_value(change.after)}")


def _verdict(outcome: Outcome) -> str:
    before = f"was {outcome.before}" if outcome.before else "new"
    reason = f" ({plain(outcome.reason)})" if outcome.reason else ""
    if outcome.after is not DeliveryState.PENDING:
        return f"{before}, would be {outcome.after}{reason}"
    changed = count(len(outcome.changes), "change") if outcome.changes else "same payload"
    return f"{before}, would be sent to {outcome.destination}: {changed}"


def _value(value: Any) -> str:
    return "(not sent)" if value is None else plain(json.dumps(value, ensure_ascii=False))
