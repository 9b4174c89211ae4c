"""What needs a person: dead deliveries by reason, events on hold, paused destinations, notices."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from bridge.journal import destinations, notices, queries
from bridge.journal.queries import DeadFilter, EventFilter, Row
from bridge.messages import _
from bridge.operations import actions
from bridge.operations.actions import BulkAction, Progress, run_step
from bridge.reasons import reason
from bridge.web.console import layout
from bridge.web.console.access import person, runtime
from bridge.web.console.jobs import previews_now
from bridge.web.console.lines import lines

pages = Blueprint("attention", __name__)


@pages.get("/attention")
def index() -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        groups = queries.dead_groups(connection, person.accounts)
        holds = queries.hold_groups(connection, person.accounts)
        open_notices = layout.open_notices(connection)
        paused = [one for one in destinations.load(connection).values() if one.paused_ms is not None]
    names = layout.seen_destinations()
    paused = [one for one in paused if names is None or one.name in names]
    listening = _listening()
    return layout.page(
        "attention.html",
        groups=[(group, reason(group["code"]), _possible(group, listening)) for group in groups],
        holds=[(hold, reason(hold["code"])) for hold in holds],
        notices=open_notices,
        paused=paused,
        broken=layout.broken_files(),
    )


def _listening() -> frozenset[str]:
    return frozenset(item.mapping.name for item in runtime.mappings.current() if item.mapping.enabled)


def _possible(group: Row, listening: frozenset[str]) -> list[BulkAction]:
    """Return what can be done with a group; a replay without its mapping would only put the delivery aside."""
    replays = group["with_body"] and group["mapping"] in listening
    possible = {BulkAction.RETRY: group["with_payload"], BulkAction.REPLAY: replays, BulkAction.DISCARD: True}
    return [decision for decision in BulkAction if possible[decision]]


def _chosen(decision: BulkAction, until_ms: int) -> DeadFilter:
    """Return the filter of the deliveries that the form names and for which the decision is possible."""
    asked = request.values
    return DeadFilter(
        asked.get("code", ""),
        asked.get("mapping", ""),
        asked.get("destination", ""),
        with_payload=decision is BulkAction.RETRY,
        with_body=decision is BulkAction.REPLAY,
        of=_listening() if decision is BulkAction.REPLAY else None,
        until_ms=until_ms,
        accounts=person.accounts,
    )


def _decision() -> BulkAction:
    asked = request.values.get("decision", "")
    return layout.found(BulkAction(asked) if asked in set(BulkAction) else None)


@pages.get("/attention/confirm")
def confirm() -> ResponseReturnValue:
    """Show how many deliveries a decision is about, some of them, and what a replay of the first would change."""
    decision = _decision()
    chosen = _chosen(decision, layout.now_ms())
    with runtime.journal.database.read() as connection:
        total = queries.dead_count(connection, chosen)
        some = queries.dead_page(connection, chosen, limit=5)
        event_ids = [event_id for _, event_id, _ in some]
        rows = [row for id_ in event_ids for row in queries.event_page(connection, EventFilter(text=str(id_)), 1)]
        sample = lines(connection, rows)
    ids = sorted(set(event_ids[:3])) if decision is BulkAction.REPLAY else []
    return layout.page(
        "attention_confirm.html",
        decision=decision,
        chosen=chosen,
        total=total,
        sample=sample,
        previews=previews_now(ids, chosen.mapping or None) if ids else [],
        known=reason(chosen.code),
    )


@pages.post("/attention/run")
def run() -> ResponseReturnValue:
    """Do the next piece and show the progress; the page continues by itself, or with its button."""
    asked, decision = request.form, _decision()
    chosen = _chosen(decision, layout.number(asked.get("until_ms")) or layout.now_ms())
    numbers = (layout.number(asked.get(name)) or 0 for name in ("total", "done", "refused", "after_id"))
    total, done, refused, after_id = numbers
    before = Progress(total, done, refused, after_id)
    progress = run_step(runtime.journal, decision, chosen, before, runtime.clock_ms(), by=person.actor)
    return layout.page(
        "attention_progress.html" if layout.partial() else "attention_run.html",
        decision=decision,
        chosen=chosen,
        progress=progress,
        share=min(1.0, (progress.done + progress.refused) / progress.total) if progress.total else 1.0,
    )


@pages.post("/attention/notices/<int:id_>/close")
def close(id_: int) -> ResponseReturnValue:
    with runtime.journal.database.write() as connection:
        if person.accounts is not None and id_ not in {one.id for one in layout.open_notices(connection)}:
            raise NotFound
        closed = notices.close(connection, id_, runtime.clock_ms())
    if closed:
        layout.note("notice.closed", str(id_))
        layout.flash_message(_("Notice dismissed; it comes back when the problem is seen again."))
    is_connections = request.form.get("page") == "connections"
    return layout.go("console.connections.show" if is_connections else "console.attention.index")


@pages.post("/attention/destinations/<name>/resume")
def resume(name: str) -> ResponseReturnValue:
    freed = actions.resume(runtime.journal, name, runtime.clock_ms(), by=person.actor)
    layout.flash_message(_("Destination {name} is resumed; {n} lines were waiting for it.", name=name, n=freed))
    return layout.go("console.attention.index")
