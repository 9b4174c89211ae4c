"""`bridge events`: lists events and their deliveries, shows one in full, and replays them through today's mappings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click

from bridge import reasons
from bridge.cli.deliveries import change_each, limit_option
from bridge.cli.main import NO, Invocation
from bridge.cli.notices import show_open_notices
from bridge.cli.options import agreed, check_can_ask, find_event, moment_of
from bridge.cli.output import (
    ago,
    as_message,
    delivery_said,
    json_option,
    moment,
    plain,
    row_data,
    show_json,
    show_table,
    state_word,
)
from bridge.errors import UsageError
from bridge.journal import Journal, queries
from bridge.journal.clock import system_clock_ms
from bridge.journal.privacy import FORGOTTEN
from bridge.journal.queries import Row
from bridge.messages import N_, _, in_language, ngettext
from bridge.model import FINISHED, DeliveryState, EventState, Origin
from bridge.operations import actions
from bridge.operations.explain import Outcome, Preview, Unheard, preview, unheard
from bridge.pipeline.active_mappings import ActiveMapping, ActiveMappings
from bridge.runtime import Runtime

_NEEDS_A_PERSON = frozenset({DeliveryState.DEAD, DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.STALE})

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
@limit_option
@click.option("--before", "before_id", type=int, metavar="NUMBER", help="Only events before this number.")
@json_option
@click.pass_obj
def list_events(invocation: Invocation, /, limit: int, before_id: int | None, as_json: bool, **wanted: Any) -> None:
    """List events, newest first, with what became of them."""
    with invocation.journal.database.read() as connection:
        rows = queries.list_events(connection, limit=limit, before_id=before_id, **wanted)
        found = queries.mappings_of(connection, [row["id"] for row in rows])
    states = {id_: Counter(mappings.values()) for id_, mappings in found.items()}
    if as_json:
        show_json([{**row_data(row), "deliveries": states[row["id"]]} for row in rows])
        return
    now_ms = system_clock_ms()
    show_table(
        (_("number"), _("received"), _("age"), _("event"), _("about"), _("what became of it")),
        [
            (
                row["id"],
                moment(row["received_ms"]),
                ago(row["received_ms"], now_ms),
                row["name"] if row["origin"] == Origin.WEBHOOK else f"{row['name']} ({row['origin']})",
                row["object_id"],
                _verdicts(row, states[row["id"]], now_ms),
            )
            for row in rows
        ],
        empty=_("no such event"),
    )
    if len(rows) == limit:
        click.echo(_("older ones: bridge events list --before {number}", number=rows[-1]["id"]), err=True)
    show_open_notices(invocation)


@events.command()
@click.argument("event")
@json_option
@click.pass_obj
def show(invocation: Invocation, event: str, as_json: bool) -> None:
    """Show an event in full: its body, the decision of each mapping, payloads, attempts and answers.

    EVENT is the number from the list, or the whole id that Asaas gave it. Put that in quotes, for it contains &.
    """
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
        _show_event(row, found, system_clock_ms(), why)


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
    /,
    which: tuple[str, ...],
    mapping: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Send events through today's mappings again, as new deliveries.

    Name the EVENTs, or choose them by --since, --until and --name. Shows what would be sent otherwise than before,
    then asks. The workers take them up within seconds, in the order of arrival. The dead deliveries of these events
    are discarded: the new ones take their place.
    """
    invocation: Invocation = context.obj
    if bool(which) == any(value is not None for value in wanted.values()):
        raise UsageError(N_("either name events or choose them by --since, --until or --name"), hint=N_("see --help"))
    check_can_ask(yes=yes or dry_run)
    journal = invocation.journal
    active = _active(journal, mapping)
    with journal.database.read() as connection:
        # An event that is not processed yet goes through today's mappings anyway.
        ids = (
            sorted({find_event(connection, reference)["id"] for reference in which})
            if which
            else queries.event_ids(connection, state=EventState.PROCESSED.value, **wanted)
        )
    if not yes or dry_run:
        _show_previews(invocation, ids, mapping, active, as_json=as_json and dry_run)
    if dry_run:
        return
    question = ngettext("replay {n} event?", "replay {n} events?", len(ids))
    if not ids or not agreed(question, yes=yes):
        click.echo(_("nothing was replayed"), err=True)
        context.exit(NO)

    def change(event_id: int) -> str:
        return f"replay {actions.replay(journal, event_id, mapping, system_clock_ms(), by=invocation.actor)}"

    change_each(context, ids, change, handed_over, as_json=as_json)


def handed_over(number: int) -> str:
    return ngettext(
        "{n} event handed to the workers; see: bridge events list",
        "{n} events handed to the workers; see: bridge events list",
        number,
    )


def _active(journal: Journal, mapping: str | None) -> Sequence[ActiveMapping]:
    """Return the active mappings; raise UsageError where the named one is not among them."""
    active = ActiveMappings(journal, system_clock_ms).current()
    if mapping is not None and mapping not in {item.mapping.name for item in active}:
        raise UsageError(N_("no active mapping is named {name!r}"), name=mapping, hint=N_("see: bridge mappings show"))
    return active


def _show_previews(
    invocation: Invocation, ids: list[int], mapping: str | None, active: Sequence[ActiveMapping], *, as_json: bool
) -> None:
    with closing(Runtime(invocation.settings)) as runtime:
        found = preview(runtime, ids, mapping, active)
        if as_json:
            show_json([preview_data(one) for one in found])
            return
        for one in found:
            click.echo(_("event {number} {name}", number=one.event_id, name=plain(one.name)))
            show_outcomes(one, mapping)


def event_data(
    event: Row, deliveries: Sequence[tuple[Row, list[Row]]], now_ms: int, why: Unheard = Unheard.NOBODY
) -> dict[str, Any]:
    """Return an event for --json, with its body, deliveries and attempts; sentences are English."""
    with in_language("en"):
        return {
            **row_data(event),
            "explanation": _explanation(event, deliveries, now_ms, why),
            "body": json.loads(event["body"]) if event["emptied_ms"] is None else None,
            "deliveries": [
                {
                    **row_data(delivery),
                    "payload": json.loads(delivery["payload"]) if delivery["payload"] else None,
                    "means": str(said.means) if (said := reasons.explain(delivery["reason_code"])) else None,
                    "todo": str(said.todo) if said else None,
                    "attempts_made": [row_data(attempt) for attempt in attempts],
                }
                for delivery, attempts in deliveries
            ],
        }


def _verdicts(event: Row, states: Mapping[str, int], now_ms: int) -> str:
    if event["state"] == EventState.RECEIVED:
        return _waits(event, now_ms)
    said = (f"{number} {state_word(state)}" for state, number in sorted(states.items()))
    return ", ".join(said) or _("no mapping of its account listens")


def _waits(event: Row, now_ms: int) -> str:
    if event["hold_code"] is None:
        return _("waits for a worker")
    return _("on hold ({code}), checked again {when}", code=event["hold_code"], when=ago(event["due_ms"], now_ms))


def _show_event(event: Row, deliveries: list[tuple[Row, list[Row]]], now_ms: int, why: Unheard) -> None:
    click.echo(_("event {number}: {name}", number=event["id"], name=plain(event["name"])))
    repeats = event["repeats"]
    again = ngettext("; posted again {n} time", "; posted again {n} times", repeats) if repeats else ""
    _line(_("asaas id"), event["event_key"])
    _line(_("account"), event["account"])
    _line(_("about"), f"{event['entity']} {event['object_id']}".strip() or _("nothing the bridge knows"))
    _line(_("customer"), event["subject"])
    _line(_("created"), (event["created"] or _("not known")) + " (Asaas)")
    if event["origin"] != Origin.WEBHOOK:
        _line(_("origin"), _("backfill: made from the Asaas API's answer; its webhook never came"))
    _line(_("received"), f"{moment(event['received_ms'])}, {ago(event['received_ms'], now_ms)}{again}")
    _line(_("state"), _event_state(event, now_ms))
    if event["emptied_ms"] is not None:
        cause = "bridge forget" if event["subject"].startswith(FORGOTTEN) else "BRIDGE_RETENTION_DAYS"
        gone = _("{when}: body, payloads and answers are gone ({cause})", when=moment(event["emptied_ms"]), cause=cause)
        _line(_("emptied"), gone)
    if event["replay"]:
        last = event["replay_mapping"]
        of = _(", the last for the mapping {name}", name=last) if last else ""
        _line(_("replayed"), ngettext("{n} time", "{n} times", event["replay"]) + of)
    for delivery, attempts in deliveries:
        _show_delivery(delivery, attempts, now_ms)
    if not deliveries and event["state"] == EventState.PROCESSED:
        click.echo(f"\n{_explanation(event, deliveries, now_ms, why)}; " + _("see: bridge mappings show"))


def _explanation(event: Row, deliveries: Sequence[tuple[Row, list[Row]]], now_ms: int, why: Unheard) -> str:
    """Return in one line what became of an event."""
    if event["state"] == EventState.PROCESSED and not deliveries:
        nobody = _(_UNHEARD[why], mapping=plain(event["replay_mapping"]))
        return _("{reason}, so nothing is sent", reason=nobody)
    said = [f"{delivery['mapping']}: {delivery_said(delivery, tries, now_ms)}" for delivery, tries in deliveries]
    return "; ".join(said) or _event_state(event, now_ms)


def _event_state(event: Row, now_ms: int) -> str:
    if event["state"] == EventState.PROCESSED:
        return _("processed {when}", when=moment(event["processed_ms"]))
    if event["hold_code"] is None:
        return _waits(event, now_ms)
    reason = plain(as_message(event["hold_reason"]))
    text = f"{_waits(event, now_ms)} ({moment(event['due_ms'])}): {reason}"
    said = reasons.explain(event["hold_code"])
    return text + _("; what to do: {hint}", hint=plain(said.todo)) if said and said.todo else text


def _show_delivery(delivery: Row, attempts: list[Row], now_ms: int) -> None:
    title = _("delivery {number}: mapping {name}", number=delivery["id"], name=plain(delivery["mapping"]))
    replay = _(", replay {number}", number=delivery["replay"]) if delivery["replay"] else ""
    click.echo(f"\n{title}{replay}")
    _line(_("state"), delivery_said(delivery, attempts, now_ms))
    state = DeliveryState(delivery["state"])
    said = reasons.explain(delivery["reason_code"])
    if said and state in _NEEDS_A_PERSON:
        _line(_("means"), said.means)
        if said.todo:
            _line(_("what to do"), said.todo)
    if state not in FINISHED and delivery["due_ms"] is not None:
        _line(_("next try"), f"{moment(delivery['due_ms'])}, {ago(delivery['due_ms'], now_ms)}")
    if delivery["payload"]:
        facts = {"line": delivery["line"], "revision": delivery["revision_id"]}
        _line(_("to"), _("{name} (line {line}, revision {revision})", name=delivery["destination"], **facts))
        _line(_("payload"), "")
        for key, value in json.loads(delivery["payload"]).items():
            click.echo(f"    {plain(key)}: {plain(value)}")
    for attempt in attempts:
        _line(_("attempt {number}", number=attempt["number"]), _attempt(attempt))
    if delivery["read_back"] and state is DeliveryState.DELIVERED:
        detail = plain(reasons.deal_said(delivery["read_back_detail"]))
        _line(_("deal"), _(_DEALS[delivery["read_back"]]) + (f": {detail}" if detail else ""))


_OUTCOMES = {
    "delivered": N_("accepted"),
    "retry": N_("failed, tried again"),
    "rejected": N_("refused"),
    "removed": N_("integration removed"),
    "unknown": N_("no answer known"),
    None: N_("no answer yet"),
}
_DEALS = {"asked": N_("not looked for yet"), "seen": N_("seen in Clint"), "not_seen": N_("not seen in Clint")}


def _attempt(attempt: Row) -> str:
    duration = attempt["duration_ms"]
    answer = _("answer: {text}", text=attempt["excerpt"]) if attempt["excerpt"] else ""
    parts = (
        moment(attempt["started_ms"]),
        _(_OUTCOMES[attempt["outcome"]]),
        f"{duration} ms" if duration is not None else "",
        plain(as_message(attempt["detail"])),
        answer,
    )
    return ", ".join(part for part in parts if part)


def _line(name: str, value: object) -> None:
    click.echo(f"  {name:<12} {plain(value)}".rstrip())


def preview_data(preview: Preview) -> dict[str, Any]:
    """Return for --json what a replay would change."""
    return {
        "event_id": preview.event_id,
        "name": preview.name,
        "problem": str(as_message(preview.problem)) if preview.problem else None,
        "unheard": preview.unheard,
        "outcomes": [row_data(outcome) for outcome in preview.outcomes],
    }


_UNHEARD = {
    Unheard.NOBODY: N_("no active mapping listens to it"),
    Unheard.ELSEWHERE: N_(
        "no active mapping listens to it for its account, only for another (see `account:` in mappings)"
    ),
    Unheard.GONE: N_("no active mapping is named {mapping}"),
    Unheard.OFF: N_("mapping {mapping} is switched off"),
    Unheard.OTHER_ACCOUNT: N_("mapping {mapping} is for another account"),
    Unheard.OTHER_EVENT: N_("mapping {mapping} does not listen to it"),
}


def show_outcomes(preview: Preview, mapping: str | None = None) -> None:
    """Print what each mapping would make of an event."""
    if preview.problem:
        click.echo("  " + _("would wait: {reason}", reason=plain(as_message(preview.problem))))
    elif preview.unheard:
        click.echo("  " + _(_UNHEARD[preview.unheard], mapping=plain(mapping)))
    for outcome in preview.outcomes:
        click.echo(f"  {plain(outcome.mapping)}: {_verdict(outcome)}")
        for change in outcome.changes:
            click.echo(f"    {plain(change['key'])}: {_value(change['before'])} -> {_value(change['after'])}")


def _verdict(outcome: Outcome) -> str:
    before = _("was {state}", state=state_word(outcome.before)) if outcome.before else _("new")
    if outcome.after is DeliveryState.PENDING:
        number = len(outcome.changes)
        changed = ngettext("{n} change", "{n} changes", number) if number else _("same payload")
        return f"{before}, " + _("would be sent to {name}: {changes}", name=outcome.destination, changes=changed)
    reason = plain(as_message(outcome.reason))
    after = _("would be {state}", state=state_word(outcome.after))
    return f"{before}, {after}" + (f" ({reason})" if reason else "")


def _value(value: Any) -> str:
    return _("(not sent)") if value is None else plain(json.dumps(value, ensure_ascii=False))
