"""What needs a person: dead deliveries by reason, events on hold, paused destinations, notices."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from bridge.errors import ConsoleBusy, NoAnswerYet
from bridge.journal import destinations, notices, queries
from bridge.journal.queries import DeadFilter, DeadGroup, EventFilter
from bridge.operations import actions
from bridge.operations.actions import BulkAction, Progress, run_step
from bridge.operations.explain import Preview, preview
from bridge.reasons import reason
from bridge.web.console import layout
from bridge.web.console.events import lines
from bridge.web.console.jobs import external_call

attention = Blueprint("attention", __name__)

SAMPLE = 5
PREVIEWED = 3


@attention.get("/attention")
def index() -> ResponseReturnValue:
    """Show everything that waits for a person, with the likely cause and the mend."""
    with layout.runtime().journal.database.read() as connection:
        groups = queries.dead_groups(connection)
        holds = queries.hold_groups(connection)
        told = layout.open_notices(connection)
        paused = [one for one in destinations.load(connection).values() if one.paused_ms is not None]
    listening = _listening()
    return layout.page(
        "attention.html",
        groups=[(group, reason(group.code), _possible(group, listening)) for group in groups],
        holds=[(hold, reason(hold.code)) for hold in holds],
        notices=told,
        paused=paused,
        broken=layout.broken_files(),
    )


def _listening() -> frozenset[str]:
    return frozenset(item.mapping.name for item in layout.runtime().mappings.current() if item.mapping.enabled)


def _possible(group: DeadGroup, listening: frozenset[str]) -> list[BulkAction]:
    """Return what can be done with a group; a replay without its mapping would only put the delivery aside."""
    replays = group.with_body and group.mapping in listening
    numbers = {BulkAction.RETRY: group.with_payload, BulkAction.REPLAY: replays, BulkAction.DISCARD: group.number}
    return [decision for decision in BulkAction if numbers[decision]]


def _chosen(decision: BulkAction) -> DeadFilter:
    """Return the deliveries that the form names, as far as the decision is possible for them."""
    asked = request.values
    return DeadFilter(
        asked.get("code", ""),
        asked.get("mapping", ""),
        asked.get("destination", ""),
        with_payload=decision is BulkAction.RETRY,
        with_body=decision is BulkAction.REPLAY,
        of=_listening() if decision is BulkAction.REPLAY else None,
    )


def _decision() -> BulkAction:
    asked = request.values.get("decision", "")
    return layout.found(BulkAction(asked) if asked in set(BulkAction) else None)  # type: ignore[no-any-return]


@attention.get("/attention/confirm")
def confirm() -> ResponseReturnValue:
    """Say how many a decision is about, show some, and for a replay what would be sent otherwise than before."""
    decision = _decision()
    chosen = replace(_chosen(decision), until_ms=layout.now_ms())
    runtime = layout.runtime()
    with runtime.journal.database.read() as connection:
        total = queries.dead_count_of(connection, chosen)
        some = queries.dead_page(connection, chosen, 0, SAMPLE)
        rows = [row for one in some for row in queries.event_page(connection, EventFilter(text=str(one.event_id)), 1)]
        sample = lines(connection, rows, layout.words().language)
    previews: list[Preview] = []
    if decision is BulkAction.REPLAY and some:
        ids = sorted({one.event_id for one in some[:PREVIEWED]})
        try:
            previews = external_call(
                lambda: list(
                    preview(
                        runtime.journal,
                        ids,
                        chosen.mapping or None,
                        active=runtime.mappings.current(),
                        environment=runtime.environment,
                        enrichment=runtime.enricher,
                    )
                )
            )
        except (ConsoleBusy, NoAnswerYet) as error:
            previews = [Preview(ids[0], "", problem=str(error))]
    return layout.page(
        "attention_confirm.html",
        decision=decision,
        chosen=chosen,
        total=total,
        sample=sample,
        previews=previews,
        said=reason(chosen.code),
    )


@attention.post("/attention/run")
def run() -> ResponseReturnValue:
    """Do the next piece, and show how far it is; the page goes on by itself, or with its button."""
    runtime, asked = layout.runtime(), request.form
    decision = _decision()
    chosen = replace(_chosen(decision), until_ms=layout.number(asked.get("until_ms")) or layout.now_ms())
    total, done, refused, after_id = (
        layout.number(asked.get(name)) or 0 for name in ("total", "done", "refused", "after_id")
    )
    progress = run_step(
        runtime.journal,
        decision,
        chosen,
        Progress(total, done, refused, after_id),
        runtime.clock_ms(),
        by=layout.person().actor,
    )
    return layout.page(
        "attention_progress.html" if layout.partial() else "attention_run.html",
        decision=decision,
        chosen=chosen,
        progress=progress,
        share=min(1.0, (progress.done + progress.refused) / progress.total) if progress.total else 1.0,
    )


@attention.post("/attention/notices/<int:id_>/close")
def close(id_: int) -> ResponseReturnValue:
    """Close a notice that is mended or of no interest."""
    runtime = layout.runtime()
    with runtime.journal.database.write() as connection:
        closed = notices.close(connection, id_, runtime.clock_ms())
    if closed:
        layout.note("notice.closed", str(id_))
        layout.flash_message("attention.notice.closed")
    page = "console.connections.show" if request.form.get("page") == "connections" else "console.attention.index"
    return redirect(url_for(page), 303)


@attention.post("/attention/destinations/<name>/resume")
def resume(name: str) -> ResponseReturnValue:
    """Send to a paused destination again."""
    runtime = layout.runtime()
    freed = actions.resume(runtime.journal, name, runtime.clock_ms(), by=layout.person().actor)
    layout.flash_message("attention.resumed", name=name, n=freed)
    return redirect(url_for("console.attention.index"))
