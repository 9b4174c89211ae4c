"""`bridge events`: what came from Asaas, what became of it, and sending it through today's mappings again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bridge import reasons
from bridge.cli.main import NO, Invocation
from bridge.cli.notices import hint
from bridge.cli.options import agreed, apply_each, check_can_ask, find_event, moment_of, refusals
from bridge.cli.output import ago, count, delivery_said, json_option, moment, plain, show_json, show_table, with_times
from bridge.errors import UsageError
from bridge.journal.privacy import FORGOTTEN
from bridge.journal.queries import Row
from bridge.model import FINISHED, DeliveryState, EventState, Origin
from bridge.operations.explain import Outcome, Preview, Unheard, unheard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.journal import Journal
    from bridge.pipeline.active_mappings import ActiveMapping


SHOWN = 50

_since = click.option(
    "--since", "since_ms", callback=moment_of, metavar="TIME", help="Received at or after, such as 2h."
)
_until = click.option(
    "--until", "until_ms", callback=moment_of, metavar="TIME", help="Received before, such as 2026-11-22."
)
_name = click.option("--name", metavar="EVENT", help="Only events of this name, such as PAYMENT_RECEIVED.")


@click.group()
def events() -> None:
    """List, show and replay what came from Asaas.

    Times are Brasília's. TIME is an age (90s, 30min, 2h, 3d), a day (2026-11-22) or '2026-11-22 10:30'.
    """


@events.command("list")
@_since
@_until
@_name
@click.option("--account", help="Only events of this Asaas account.")
@click.option("--object", "object_id", metavar="ID", help="Only events about this charge, subscription, ...")
@click.option("--limit", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True, help="At most so many.")
@click.option("--before", "before_id", type=int, metavar="NUMBER", help="Only events before this number.")
@json_option
@click.pass_obj
def list_events(invocation: Invocation, /, limit: int, before_id: int | None, as_json: bool, **wanted: Any) -> None:
    """List events, newest first, with what became of them."""
    from bridge.cli.output import with_times
    from bridge.journal import queries
    from bridge.journal.clock import system_clock_ms

    with invocation.journal.database.read() as connection:
        rows = queries.list_events(connection, limit=limit, before_id=before_id, **wanted)
        found = queries.mappings_of(connection, [row["id"] for row in rows])
    states = {id_: Counter(mappings.values()) for id_, mappings in found.items()}
    if as_json:
        show_json([{**with_times(row), "deliveries": states[row["id"]]} for row in rows])
        return
    now_ms = system_clock_ms()
    show_table(
        ("number", "received", "age", "event", "about", "what became of it"),
        [
            (
                row["id"],
                moment(row["received_ms"]),
                ago(row["received_ms"], now_ms),
                row["name"] if row["origin"] == Origin.WEBHOOK else f"{row['name']} ({row['origin']})",
                row["object_id"],
                verdicts(row, states[row["id"]], now_ms),
            )
            for row in rows
        ],
        empty="no event like that",
    )
    if len(rows) == limit:
        click.echo(f"older ones: bridge events list --before {rows[-1]['id']}", err=True)
    hint(invocation)


@events.command()
@click.argument("event")
@json_option
@click.pass_obj
def show(invocation: Invocation, event: str, as_json: bool) -> None:
    """Show the whole way of an event: what came, what each mapping said, what was sent and answered.

    EVENT is the number from the list, or the whole id that Asaas gave it. Put that in quotes, for it contains &.
    """
    from bridge.journal import queries
    from bridge.journal.clock import system_clock_ms

    with invocation.journal.database.read() as connection:
        row = find_event(connection, event)
        found = [
            (delivery, queries.attempts_of(connection, delivery["id"]))
            for delivery in queries.deliveries_of(connection, row["id"])
        ]
    why = unheard(row["name"], row["account"], row["replay_mapping"], _active(invocation.journal, None))
    if as_json:
        show_json(event_data(row, found, system_clock_ms(), why))
    else:
        show_event(row, found, system_clock_ms(), why)


@events.command()
@click.argument("which", nargs=-1, metavar="[EVENT]...")
@_since
@_until
@_name
@click.option("--mapping", metavar="NAME", help="Only through this mapping.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not show and ask first.")
@json_option
@click.pass_context
def replay(
    context: click.Context,
    which: tuple[str, ...],
    since_ms: int | None,
    until_ms: int | None,
    name: str | None,
    mapping: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send events through today's mappings again, as new deliveries.

    Name the EVENTs, or choose them by --since, --until and --name. Shows what would be sent otherwise than before,
    then asks. The workers take it up within seconds, in the order of arrival. What is dead of these events is
    discarded: the new delivery takes its place.
    """
    invocation: Invocation = context.obj
    by_filter = since_ms is not None or until_ms is not None or name is not None
    if bool(which) == by_filter:
        raise UsageError("either name events or choose them by --since, --until or --name", hint="see --help")
    check_can_ask(yes=yes or dry_run)
    journal = invocation.journal
    active = _active(journal, mapping)
    ids = _chosen(journal, which, since_ms=since_ms, until_ms=until_ms, name=name)
    if not yes or dry_run:
        _show_previews(invocation, ids, mapping, active, as_json=as_json and dry_run)
    if dry_run:
        return
    if not ids or not agreed(f"replay {count(len(ids), 'event')}?", yes=yes):
        click.echo("nothing was replayed", err=True)
        context.exit(NO)
    _replay(context, journal, ids, mapping, as_json=as_json)


def _chosen(journal: Journal, which: tuple[str, ...], **wanted: Any) -> list[int]:
    """Return the numbers of the chosen events in the order of arrival, each once."""
    from bridge.journal import queries

    with journal.database.read() as connection:
        if which:
            return sorted({find_event(connection, reference)["id"] for reference in which})
        # What still waits goes through today's mappings anyway.
        return queries.event_ids(connection, state=EventState.PROCESSED.value, **wanted)


def _active(journal: Journal, mapping: str | None) -> Sequence[ActiveMapping]:
    """Return the active mappings; raise UsageError where the one that was named is not among them."""
    from bridge.journal.clock import system_clock_ms
    from bridge.pipeline.active_mappings import ActiveMappings

    active = ActiveMappings(journal, system_clock_ms).current()
    if mapping is not None and mapping not in {item.mapping.name for item in active}:
        raise UsageError(f"no active mapping is named {mapping!r}", hint="see: bridge mappings show")
    return active


def _show_previews(
    invocation: Invocation, ids: list[int], mapping: str | None, active: Sequence[ActiveMapping], *, as_json: bool
) -> None:
    from bridge.operations.explain import preview
    from bridge.runtime import Runtime

    runtime = Runtime(invocation.settings)
    try:
        found = preview(
            invocation.journal,
            ids,
            mapping,
            active=active,
            environment=runtime.environment,
            enrichment=runtime.enricher,
        )
        if as_json:
            show_json([preview_data(one) for one in found])
        else:
            for one in found:
                show_preview(one, mapping)
    finally:
        runtime.close()


def _replay(context: click.Context, journal: Journal, ids: list[int], mapping: str | None, *, as_json: bool) -> None:
    from bridge.journal.clock import system_clock_ms
    from bridge.operations import actions

    actor = context.obj.actor

    def change(event_id: int) -> str:
        return f"replay {actions.replay(journal, event_id, mapping, system_clock_ms(), by=actor)}"

    results = apply_each(ids, "replaying", change)
    refused = refusals(results)
    if as_json:
        show_json(results)
    elif len(results) > len(refused):
        click.echo(f"{count(len(results) - len(refused), 'event')} handed to the workers; see: bridge events list")
    for text in refused:
        click.echo(text, err=True)
    if refused:
        context.exit(NO)


_WANTS_A_PERSON = frozenset({DeliveryState.DEAD, DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.STALE})


def event_data(
    event: Row, deliveries: Sequence[tuple[Row, list[Row]]], now_ms: int, why: Unheard = Unheard.NOBODY
) -> dict[str, Any]:
    """Return the whole way of an event as data."""
    return {
        **with_times(event),
        "explanation": _explanation(event, deliveries, now_ms, why),
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
    said = reasons.explain(delivery["reason_code"])
    return {"means": said.means if said else None, "todo": said.todo if said else None}


def verdicts(event: Row, states: Mapping[str, int], now_ms: int) -> str:
    """Return in a few words how far an event has come."""
    if event["state"] == EventState.RECEIVED:
        return _waits(event, now_ms)
    said = (f"{number} {state}" for state, number in sorted(states.items()))
    return ", ".join(said) or "no mapping of its account listens"


def _waits(event: Row, now_ms: int) -> str:
    if event["hold_code"] is None:
        return "waits for a worker"
    return f"held ({event['hold_code']}), looked at again {ago(event['due_ms'], now_ms)}"


def show_event(event: Row, deliveries: list[tuple[Row, list[Row]]], now_ms: int, why: Unheard) -> None:
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
        click.echo(f"\n{_explanation(event, deliveries, now_ms, why)}; see: bridge mappings show")


def _explanation(event: Row, deliveries: Sequence[tuple[Row, list[Row]]], now_ms: int, why: Unheard) -> str:
    """Return in one line what became of an event."""
    if event["state"] == EventState.PROCESSED and not deliveries:
        nobody = _UNHEARD[why].format(mapping=plain(event["replay_mapping"]))
        return f"{nobody}, so nothing is owed"
    said = [f"{delivery['mapping']}: {delivery_said(delivery, tries, now_ms)}" for delivery, tries in deliveries]
    return "; ".join(said) or _event_state(event, now_ms)


def _event_state(event: Row, now_ms: int) -> str:
    if event["state"] == EventState.PROCESSED:
        return f"processed {moment(event['processed_ms'])}"
    if event["hold_code"] is None:
        return _waits(event, now_ms)
    said = reasons.explain(event["hold_code"])
    todo = f"; what to do: {said.todo}" if said and said.todo else ""
    return f"{_waits(event, now_ms)} ({moment(event['due_ms'])}): {event['hold_reason']}{todo}"


def _show_delivery(delivery: Row, attempts: list[Row], now_ms: int) -> None:
    replay = f", replay {delivery['replay']}" if delivery["replay"] else ""
    click.echo(f"\ndelivery {delivery['id']}: mapping {plain(delivery['mapping'])}{replay}")
    _line("state", delivery_said(delivery, attempts, now_ms))
    state = DeliveryState(delivery["state"])
    said = reasons.explain(delivery["reason_code"])
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
        detail = reasons.deal_said(delivery["read_back_detail"])
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
    Unheard.ELSEWHERE: "no active mapping listens to it for its account, only for another (see `account:` in mappings)",
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
