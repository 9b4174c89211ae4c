"""The mappings: list, editor, switch, history, the checklist for Clint's screen, a run over past events, a new one.

A save is refused where lint finds an error, where a test fails and the person did not insist, and where somebody else
saved since the person opened the editor. A run shows a preview before anything is sent.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from bridge.errors import MappingChanged, UsageError
from bridge.journal import queries, revisions, statistics
from bridge.journal.revisions import Revision
from bridge.mapping import Mapping, Setup, parse_mapping, testing
from bridge.mapping.catalogue import BILLING_TYPE_LABELS, EVENTS
from bridge.mapping.drafts import (
    FAMILIES,
    USUAL,
    Choices,
    amount_fault,
    as_amount,
    as_billing_types,
    as_events,
    as_installments,
    as_keys,
    as_name,
    draft,
    entity_of,
    examples,
    first_of,
    offers_of,
)
from bridge.mapping.explain import checklist as clint_checklist
from bridge.mapping.spec import NAME
from bridge.messages import N_, _
from bridge.operations import bulk
from bridge.operations.mappings import changed, difference, file_text, save, switched, writes_files
from bridge.web.console import charts, jobs, layout, mapping_editor
from bridge.web.console.access import person, runtime
from bridge.web.console.mapping_editor import read

pages = Blueprint("mappings", __name__)


def directory() -> Path:
    return Path(runtime.settings.bridge_mappings_dir)


def revision_of(name: str) -> Revision:
    """Return a mapping's active revision; answer 404 where there is none."""
    with runtime.journal.database.read() as connection:
        found = revisions.newest(connection, name) if NAME.fullmatch(name) else None
    return layout.found(found if found and found.text is not None else None)


@pages.get("/mappings")
def listed() -> ResponseReturnValue:
    active = {item.mapping.name: item.mapping for item in runtime.mappings.current()}
    broken = {
        name: tuple(f"{one.line}:{one.column}: {one.text()}" for one in findings)
        for name, findings in layout.broken_files().items()
    }
    refused = runtime.mappings.refused()
    with runtime.journal.database.read() as connection:
        last_day = statistics.last_24_hours(connection, layout.now_ms(), ("mapping", "verdict"))
        under_way = queries.under_way(connection)
        kept = revisions.active(connection) if refused else []
    # A revision that was active and can't run in this version holds every event back: it must be seen.
    broken.update({one.mapping: (refused.text(),) for one in kept if refused and one.mapping not in active | broken})
    counted = charts.by(last_day, 0)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "mapping": mapping,
            "state": "broken" if name in broken else "on" if mapping and mapping.enabled else "off",
            "findings": broken.get(name, ()),
            "counted": counted.get(name, {}),
            "under_way": under_way.get(name, 0),
        }
        for name, mapping in sorted({**dict.fromkeys(broken), **active}.items())
    ]
    rows.sort(key=lambda one: ("broken", "on", "off").index(one["state"]))
    return layout.page("mappings.html", rows=rows, refused=refused)


@pages.get("/mappings/<name>")
def edit(name: str) -> ResponseReturnValue:
    """Show the active text; with `file` that of the file, which may have an error that keeps it from being active."""
    if "file" in request.args and name in layout.broken_files():
        text = layout.found(file_text(directory(), name))
        with runtime.journal.database.read() as connection:
            newest = revisions.newest(connection, name)
        return _editor(name, text, newest.id if newest else 0, replaces=revisions.digest(text))
    active = revision_of(name)
    return _editor(name, active.text or "", active.id)


def _editor(name: str, text: str, base: int, status: int = 200, **more: Any) -> ResponseReturnValue:
    found = read(name, text)
    return layout.page(
        "mapping_edit.html",
        status,
        name=name,
        text=text,
        base=base,
        mapping=found.mapping,
        findings=found.findings,
        choices=mapping_editor.choices(found.mapping),
        in_file=writes_files(runtime.journal, directory()),
        file_differs=base and file_text(directory(), name) not in {None, text},
        **more,
    )


@pages.post("/mappings/<name>")
def store(name: str) -> ResponseReturnValue:
    if not NAME.fullmatch(name):
        raise NotFound
    text = written(request.form.get("text", ""))
    base = layout.number(request.form.get("base")) or 0
    found = read(name, text)
    if found.mapping is None:
        return _editor(name, text, base, 422, refused="lint", replaces=request.form.get("replaces", ""))
    results = testing.run(found.mapping, directory())
    if any(not one.passed for one in results) and "anyway" not in request.form:
        return _editor(
            name, text, base, 422, refused="tests", results=results, replaces=request.form.get("replaces", "")
        )
    try:
        kept = keep(name, text, base, request.form.get("replaces", ""))
    except MappingChanged as error:
        return _changed(name, text, base, error)
    if kept is None:
        layout.flash_message(_("The text was active already; nothing changed."), "neutral")
    if "run" in request.form:
        return layout.go("console.mappings.run", name=name)
    return layout.go("console.mappings.edit", name=name)


def keep(name: str, text: str, base: int, replaces: str = "") -> int | None:
    """Save and say so; return the new revision, None where the text was active already. Raises MappingChanged."""
    now_ms, author = runtime.clock_ms(), person.author
    saved = save(runtime.journal, directory(), name, text, base=base, author=author, now_ms=now_ms, replaces=replaces)
    if saved.revision_id == base:
        return None
    layout.note("mapping.saved", name, {"revision": saved.revision_id, "file": saved.in_file})
    written = N_("Saved as revision {revision}; the file was written too.")
    unchanged = N_("Saved as revision {revision}. The file was not changed.")
    layout.flash_message(_(written if saved.in_file else unchanged, revision=saved.revision_id))
    return saved.revision_id


def written(text: str) -> str:
    """Return the text of a form with the line ends of a file."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if not text or text.endswith("\n") else f"{text}\n"


def _changed(name: str, text: str, base: int, error: MappingChanged) -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        newest = revisions.newest(connection, name)
        before = revisions.get(connection, base) if base else None
    whose = newest if newest is not None and newest.id != base else None
    lines = difference(_text(before), _text(whose)) if whose else []
    # The form carries the newest revision now: the person has seen what it changed.
    fresh = newest.id if newest else 0
    return _editor(name, text, fresh, 409, refused="changed", whose=whose, lines=lines, error=error)


@pages.post("/mappings/<name>/switch")
def switch(name: str) -> ResponseReturnValue:
    active = revision_of(name)
    on = request.form.get("on") == "1"
    text = switched(active.text or "", on=on)
    # As an inactive one: a mapping with an error of its values can be switched off.
    found = parse_mapping(text, f"{name}.yaml", replace(runtime.setup, active=not on))
    if found.mapping is None or found.mapping.enabled is not on:
        return _editor(name, text, active.id, 422, refused="lint")
    if active.id != (layout.number(request.form.get("base")) or active.id):
        return _changed(name, text, active.id, MappingChanged())
    try:
        keep(name, text, active.id)
    except MappingChanged as error:
        return _changed(name, text, active.id, error)
    return layout.go("console.mappings.listed")


@pages.get("/mappings/<name>/checklist")
def checklist(name: str) -> ResponseReturnValue:
    """Show what to choose on Clint's mapping screen, for all mappings that send to the integrations of this one."""
    active = revision_of(name)
    mapping = read(name, active.text or "").mapping
    if mapping is None:
        return layout.go("console.mappings.edit", name=name)
    listed = clint_checklist([one.mapping for one in runtime.mappings.current()], mapping, directory())
    return layout.page("mapping_checklist.html", name=name, mapping=mapping, labels=EVENTS, **listed)


def _text(revision: Revision | None) -> str:
    return (revision.text if revision else None) or ""


def _history(name: str) -> list[Revision]:
    with runtime.journal.database.read() as connection:
        found = revisions.history(connection, name)
    return layout.found(found or None)


@pages.get("/mappings/<name>/history")
def history(name: str) -> ResponseReturnValue:
    """List the revisions, newest first, and the difference between two of them."""
    found = _history(name)
    by_number = {one.id: one for one in found}
    earlier = {one.id: before for one, before in zip_longest(found, found[1:])}
    after = by_number.get(layout.number(request.args.get("to")) or 0, found[0])
    before = by_number.get(layout.number(request.args.get("from")) or 0, earlier[after.id])
    rows = [(one, changed(_text(earlier[one.id]), _text(one))) for one in found]
    lines = difference(_text(before), _text(after))
    return layout.page("mapping_history.html", name=name, rows=rows, before=before, after=after, lines=lines[2:])


@pages.post("/mappings/<name>/history/<int:number>/restore")
def restore(name: str, number: int) -> ResponseReturnValue:
    """Make an older text active again, as a new revision."""
    found = _history(name)
    wanted = next((one for one in found if one.id == number and one.text is not None), None)
    text = str(layout.found(wanted).text)
    here = layout.go("console.mappings.history", name=name)
    base = layout.number(request.form.get("base")) or found[0].id
    # Its destinations are not checked: the workers may have other settings than this process.
    if parse_mapping(text, f"{name}.yaml", Setup(None, None, directory())).mapping is None:
        layout.flash_message(_("Revision {revision} can't run any more in this version.", revision=number), "bad")
        return here
    try:
        if keep(name, text, base) is None:
            layout.flash_message(_("The text was active already; nothing changed."), "neutral")
    except MappingChanged:
        layout.flash_message(_("Not restored: somebody saved meanwhile."), "bad")
    return here


# ---------------------------------------------------------------- run over what was

NUMBERS = (10, 50, 200)
DAYS = (1, 7, 30)
LOOKED_AT = 20
"""The run reads this many times the wanted number of events, to find enough that the mapping listens to."""


def _mapping(name: str) -> Mapping:
    return layout.found(read(name, revision_of(name).text or "").mapping)


@pages.get("/mappings/<name>/run")
def run(name: str) -> ResponseReturnValue:
    mapping = _mapping(name)
    has_key = mapping.account in runtime.asaas
    return layout.page("mapping_run.html", name=name, mapping=mapping, numbers=NUMBERS, days=DAYS, has_key=has_key)


@pages.post("/mappings/<name>/run")
def begin_run(name: str) -> ResponseReturnValue:
    """Begin to work out what would be sent; nothing is sent."""
    mapping, form = _mapping(name), request.form
    if form.get("over") == "charges":
        days = min(layout.number(form.get("days")) or DAYS[1], 366)
        until = layout.today()
        since = until - timedelta(days=days)
        params = {"account": mapping.account, "since": since.isoformat(), "until": until.isoformat(), "by": "created"}
        return jobs.begin("backfill_preview", mapping.account, jobs.backfill_preview, params)
    wanted = min(layout.number(form.get("number")) or NUMBERS[0], NUMBERS[-1])
    with runtime.journal.database.read() as connection:
        rows = queries.list_events(connection, limit=wanted * LOOKED_AT, account=mapping.account, state="processed")
    heard = [row["id"] for row in rows if row["emptied_ms"] is None and mapping.listens_to(row["name"])]
    ids = sorted(heard[:wanted])  # in the order of arrival
    if not ids:
        layout.flash_message(_("No recent event that this mapping listens to."), "warning")
        return layout.go("console.mappings.run", name=name)
    return jobs.begin("replay_preview", name, jobs.replay_preview, {"mapping": name, "ids": ids})


@pages.post("/work/<int:number>/replay")
def replay(number: int) -> ResponseReturnValue:
    job = jobs.of_number(number, "replay_preview")
    ids = list(layout.found(job.result)["ids"])
    with runtime.journal.database.read() as connection:
        params = bulk.of_events(connection, ids, job.params["mapping"], person.actor)
    return jobs.begin_bulk(bulk.REPLAY_KIND, job.about, params)


# ---------------------------------------------------------------- a new one by a form

AMOUNT_FAULTS = {
    "unreadable": N_("Write the amount as 50 or 1000.00; “{got}” is not an amount."),
    "ambiguous": N_("“{got}” may mean a thousand or one: write the amount as 1000 or 1.00."),
    "negative": N_("The amount can't be negative; “{got}” is."),
}


@pages.get("/mappings-new")
def new(status: int = 200, problem: UsageError | None = None, refused: str = "") -> ResponseReturnValue:
    kind = "subscription" if request.values.get("kind") == "subscription" else "payment"
    offers = tuple(offers_of(kind))
    usual = [one.key for one in offers if one.key in USUAL]
    return layout.page(
        "mapping_new.html",
        status,
        kind=kind,
        events=[one for one in EVENTS.values() if one.family in FAMILIES and one.entity == kind],
        offers=offers,
        shown=examples(offers, kind),
        chosen=request.form.getlist("field") if request.method == "POST" else usual,
        billing_types=BILLING_TYPE_LABELS,
        destinations=sorted({"default", *runtime.destinations}),
        given=request.form,
        problem=problem,
        refused=refused,
    )


@pages.post("/mappings-new")
def make() -> ResponseReturnValue:
    """Write the mapping, or only show its text."""
    amount = request.form.get("at_least", "").strip()
    if fault := amount_fault(amount):
        return new(422, refused=_(AMOUNT_FAULTS[fault], got=amount))
    try:
        choices = _choices()
        text = draft(choices).text
        if "show" in request.form:
            return layout.page("mapping_new_text.html", text=text, name=choices.name, given=request.form)
        if file_text(directory(), choices.name) is not None:
            raise UsageError(N_("there is a mapping of that name"), hint=N_("choose another"))
        keep(choices.name, text, 0)
    except UsageError as error:
        return new(422, error)
    except MappingChanged:
        return new(422, UsageError(N_("there is a mapping of that name")))
    return layout.go("console.mappings.edit", name=choices.name)


def _choices() -> Choices:
    form = request.form
    name = as_name(form.get("name", "").strip())
    events = as_events(form.getlist("event"))
    if not events:
        raise UsageError(N_("no event was chosen"), hint=N_("choose one at least"))
    entity = entity_of(events)
    offers = offers_of(entity)
    keys = as_keys(form.getlist("field"), [one.key for one in offers])
    send_to = as_name(form.get("send_to", "default"))
    return Choices(
        name=name,
        description=" ".join(form.get("description", "").split())[:200] or f"{EVENTS[first_of(events)].label} na Clint",
        events=events,
        offers=tuple(one for one in offers if one.key in keys),
        at_least=as_amount(form.get("at_least", "").strip()),
        billing_types=as_billing_types(form.getlist("billing_type")),
        reference=form.get("reference", "").strip(),
        installments=as_installments(form.get("installments", "each")) if entity == "payment" else "each",
        send_to=send_to,
        enabled="enabled" in form and (send_to == "default" or send_to in runtime.destinations),
    )
