"""`bridge events`: lists events and their deliveries, shows one in full, and replays them through today's mappings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click
from click.exceptions import Exit

from bridge import reasons
from bridge.cli.deliveries import change_each, list_options
from bridge.cli.main import NO, Invocation
from bridge.cli.notices import show_open_notices
from bridge.cli.options import (
    agreed,
    check_can_ask,
    check_period,
    find_event,
    moment_of,
    stacked,
    value_range,
)
from bridge.cli.output import (
    Columns,
    ago,
    as_message,
    delivery_said,
    fact_columns,
    is_narrow,
    json_option,
    list_facts,
    listed_event,
    listed_moment,
    moment,
    plain,
    row_data,
    show_json,
    show_line,
    show_list,
    values_of,
)
from bridge.errors import UsageError
from bridge.journal import Journal, queries
from bridge.journal import revisions as journal_revisions
from bridge.journal.clock import system_clock_ms
from bridge.journal.privacy import FORGOTTEN
from bridge.journal.queries import Row
from bridge.mapping.evaluate import spread
from bridge.messages import N_, _, in_language, ngettext
from bridge.model import FINISHED, DeliveryState, EventState, Origin, object_name
from bridge.operations import actions
from bridge.operations.explain import Outcome, Preview, Unheard, preview, unheard
from bridge.operations.proof import VERDICTS, recorded_verdict
from bridge.pipeline.active_mappings import ActiveMapping, ActiveMappings
from bridge.runtime import Runtime

_NEEDS_A_PERSON = frozenset({DeliveryState.DEAD, DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.STALE})

_range = stacked(
    click.option("--since", "since_ms", callback=moment_of, metavar="TIME", help="Received at or after, such as 2h."),
    click.option(
        "--until", "until_ms", callback=moment_of, metavar="TIME", help="Received before, such as 2026-11-22."
    ),
    click.option("--name", metavar="EVENT", help="Only events of this name, such as PAYMENT_RECEIVED."),
)


@click.group()
def events() -> None:
    """List, show and replay what came from Asaas.

    Times are Brasília's. TIME is an age (90s, 30min, 2h, 3d), a day (2026-11-22) or '2026-11-22 10:30'.
    """


@events.command("list")
@_range
@click.option("--account", help="Only events of this Asaas account.")
@click.option("--object", "object_id", metavar="ID", help="Only events about this charge, subscription, ...")
@list_options
@click.pass_obj
def list_events(
    invocation: Invocation,
    /,
    limit: int,
    before_id: int | None,
    value_from: int | None,
    value_to: int | None,
    as_json: bool,
    **wanted: Any,
) -> None:
    """List events, newest first, each with its outcome."""
    check_period(wanted["since_ms"], wanted["until_ms"])
    value = value_range(value_from, value_to)
    with invocation.journal.database.read() as connection:
        rows = queries.list_events(connection, limit=limit, before_id=before_id, value=value, **wanted)
        ids = [row["id"] for row in rows]
        found, told = queries.mappings_of(connection, ids), list_facts(connection, ids)
        floor = queries.value_floor(connection, before_id) if value != queries.ANY_VALUE else None
    now_ms = system_clock_ms()
    columns: Columns = [
        (_("number"), "id"),
        (_("received"), lambda row: listed_moment(row["received_ms"], now_ms)),
        (_("event"), lambda row: listed_event(row["name"]) + _origin(row)),
        *fact_columns(),
        *([] if is_narrow() else [(_("about"), "object_id")]),
        (_("outcome"), lambda row: _verdicts(row, now_ms)),
    ]
    listed = [{**row, **told[row["id"]], "deliveries": Counter(found[row["id"]].values())} for row in rows]
    show_list(listed, columns, as_json=as_json, empty=_("no such event"))
    if as_json:
        return
    if older := rows[-1]["id"] if len(rows) == limit else floor:
        click.echo(_("older ones: bridge events list --before {number}", number=older), err=True)
    show_open_notices(invocation)


def _origin(row: Mapping[str, Any]) -> str:
    return "" if row["origin"] == Origin.WEBHOOK else f" ({row['origin']})"


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
        numbers = journal_revisions.numbers(connection, {delivery["revision_id"] for delivery, _tries in found})
    why = unheard(row["name"], row["account"], row["replay_mapping"], _active(invocation.journal, None))
    if as_json:
        show_json(event_data(row, found, system_clock_ms(), why))
    else:
        _show_event(row, found, numbers, system_clock_ms(), why)


@events.command()
@click.argument("which", nargs=-1, metavar="[EVENT]...")
@_range
@click.option("--mapping", metavar="NAME", help="Only through this mapping.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not show and ask first.")
@json_option
@click.pass_obj
def replay(
    invocation: Invocation,
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
    then asks. The workers process them within seconds, in the order of arrival. The dead deliveries of these events
    are discarded: the new ones take their place.
    """
    if bool(which) == any(value is not None for value in wanted.values()):
        raise UsageError(N_("either name events or choose them by --since, --until or --name"), hint=N_("see --help"))
    check_can_ask(yes=yes or dry_run)
    check_period(wanted["since_ms"], wanted["until_ms"])
    journal = invocation.journal
    active = _active(journal, mapping)
    with journal.database.read() as connection:
        if which:
            ids = sorted({find_event(connection, reference)["id"] for reference in which})
        else:  # an event that is not processed yet goes through today's mappings anyway
            ids = queries.event_ids(connection, state=EventState.PROCESSED.value, **wanted)
    if not yes or dry_run:
        _show_previews(invocation, ids, mapping, active, as_json=as_json and dry_run)
    if dry_run:
        return
    question = ngettext("replay {n} event?", "replay {n} events?", len(ids))
    if not ids or not agreed(question, yes=yes):
        click.echo(_("nothing was replayed"), err=True)
        raise Exit(NO)

    def change(event_id: int) -> str:
        return f"replay {actions.replay(journal, event_id, mapping, system_clock_ms(), by=invocation.actor)}"

    change_each(ids, change, handed_over, as_json=as_json)


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
                    "deal_verdict": recorded_verdict(delivery["read_back"], delivery["read_back_detail"]),
                    "means": (said := reasons.explain(delivery["reason_code"])) and said.means,
                    "todo": said and said.todo,
                    "attempts_made": [row_data(attempt) for attempt in attempts],
                }
                for delivery, attempts in deliveries
            ],
        }


def _verdicts(event: Mapping[str, Any], now_ms: int) -> str:
    if event["state"] == EventState.RECEIVED:
        return _waits(event, now_ms)
    said = (f"{number} {_(state)}" for state, number in sorted(event["deliveries"].items()))
    return ", ".join(said) or _("no mapping of its account listens")


def _waits(event: Mapping[str, Any], now_ms: int) -> str:
    if event["hold_code"] is None:
        return _("waits for a worker")
    return _("on hold ({code}), checked again {when}", code=event["hold_code"], when=ago(event["due_ms"], now_ms))


def _show_event(
    event: Row, deliveries: list[tuple[Row, list[Row]]], revisions: Mapping[int, int], now_ms: int, why: Unheard
) -> None:
    click.echo(_("event {number}: {name}", number=event["id"], name=plain(event["name"])))
    repeats = event["repeats"]
    again = ngettext("; posted again {n} time", "; posted again {n} times", repeats) if repeats else ""
    show_line(_("asaas id"), event["event_key"])
    show_line(_("account"), event["account"])
    show_line(
        _("about"),
        f"{object_name(event['entity']).text()} {event['object_id']}".strip() or _("nothing the bridge knows"),
    )
    show_line(_("customer"), event["subject"])
    show_line(_("created"), (event["created"] or _("not known")) + " (Asaas)")
    if event["origin"] != Origin.WEBHOOK:
        show_line(_("origin"), _("backfill: made from the Asaas API's answer; its webhook was never received"))
    show_line(_("received"), f"{moment(event['received_ms'])}, {ago(event['received_ms'], now_ms)}{again}")
    show_line(_("state"), _event_state(event, now_ms))
    if event["emptied_ms"] is not None:
        cause = "bridge forget" if event["subject"].startswith(FORGOTTEN) else "BRIDGE_RETENTION_DAYS"
        gone = _(
            "{when}: body, payloads and answers were erased ({cause})", when=moment(event["emptied_ms"]), cause=cause
        )
        show_line(_("emptied"), gone)
    if event["replay"]:
        of = _(", the last for the mapping {name}", name=event["replay_mapping"]) if event["replay_mapping"] else ""
        show_line(_("replayed"), ngettext("{n} time", "{n} times", event["replay"]) + of)
    for delivery, attempts in deliveries:
        _show_delivery(delivery, attempts, revisions[delivery["revision_id"]], now_ms)
    if not deliveries and event["state"] == EventState.PROCESSED:
        click.echo(f"\n{_explanation(event, deliveries, now_ms, why)}; " + _("see: bridge mappings show"))


def _explanation(event: Row, deliveries: Sequence[tuple[Row, list[Row]]], now_ms: int, why: Unheard) -> str:
    """Return in one line what became of an event."""
    if event["state"] == EventState.PROCESSED and not deliveries:
        nobody = _(_UNHEARD[why], mapping=plain(event["replay_mapping"]))
        return _("{reason}, so nothing is sent", reason=nobody)
    said = (f"{one['mapping']}: {delivery_said(one, tries, now_ms, as_kept=True)}" for one, tries in deliveries)
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


def _show_delivery(delivery: Row, attempts: list[Row], revision: int, now_ms: int) -> None:
    title = _("delivery {number}: mapping {name}", number=delivery["id"], name=plain(delivery["mapping"]))
    replay = _(", replay {number}", number=delivery["replay"]) if delivery["replay"] else ""
    click.echo(f"\n{title}{replay}")
    show_line(_("state"), delivery_said(delivery, attempts, now_ms))
    state, said = delivery["state"], reasons.explain(delivery["reason_code"])
    if said and state in _NEEDS_A_PERSON:
        show_line(_("means"), said.means)
        if said.todo:
            show_line(_("what to do"), said.todo)
    if state not in FINISHED and delivery["due_ms"] is not None:
        show_line(_("next try"), f"{moment(delivery['due_ms'])}, {ago(delivery['due_ms'], now_ms)}")
    if delivery["payload"]:
        facts = {"line": delivery["line"], "revision": revision}
        show_line(_("to"), _("{name} (line {line}, revision {revision})", name=delivery["destination"], **facts))
        show_line(_("payload"), "")
        for key, value in spread(json.loads(delivery["payload"])).items():
            click.echo(f"    {plain(key)}: {plain(value)}")
    for attempt in attempts:
        show_line(_("attempt {number}", number=attempt["number"]), _attempt(attempt))
    if delivery["read_back"] and state == DeliveryState.DELIVERED:
        detail = plain(reasons.deal_said(delivery["read_back_detail"]))
        verdict = recorded_verdict(delivery["read_back"], delivery["read_back_detail"])
        found = _(VERDICTS[verdict]) if verdict else _("not looked for yet")
        show_line(_("deal"), f"{found}: {detail}" if detail else found)


_OUTCOMES = {
    "delivered": N_("accepted"),
    "retry": N_("failed, tried again"),
    "rejected": N_("refused"),
    "removed": N_("destination paused"),
    "postponed": N_("not tried yet"),
    "discarded": N_("nothing left to do"),
    "unknown": N_("no answer known"),
    None: N_("no answer yet"),
}


def _attempt(attempt: Row) -> str:
    parts = (
        moment(attempt["started_ms"]),
        _(_OUTCOMES[attempt["outcome"]]),
        "" if attempt["duration_ms"] is None else f"{attempt['duration_ms']} ms",
        plain(as_message(attempt["detail"])),
        _("answer: {text}", text=attempt["excerpt"]) if attempt["excerpt"] else "",
    )
    return ", ".join(filter(None, parts))


def preview_data(preview: Preview) -> dict[str, Any]:
    """Return for --json what a replay would change."""
    problem = as_message(preview.problem) if preview.problem else None
    return {**values_of(preview), "problem": problem, "outcomes": list(map(row_data, preview.outcomes))}


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
    before = _("was {state}", state=_(outcome.before)) if outcome.before else _("new")
    if outcome.after is DeliveryState.PENDING:
        number = len(outcome.changes)
        changed = ngettext("{n} change", "{n} changes", number) if number else _("same payload")
        return f"{before}, " + _("would be sent to {name}: {changes}", name=outcome.destination, changes=changed)
    reason = plain(as_message(outcome.reason))
    after = _("would be {state}", state=_(outcome.after))
    return f"{before}, {after}" + (f" ({reason})" if reason else "")


def _value(value: Any) -> str:
    return _("(not sent)") if value is None else plain(json.dumps(value, ensure_ascii=False))
