"""The mappings: list, editor, switch, history, and the checklist for Clint's screen.

A save is refused where lint finds an error, where a test fails and the person did not insist, and where somebody else
saved since the person opened the editor.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound

from bridge.errors import MappingChanged
from bridge.journal import queries, revisions, statistics
from bridge.journal.revisions import Revision
from bridge.mapping import Mapping, Setup, parse_mapping, testing
from bridge.mapping.catalogue import EVENTS
from bridge.mapping.explain import checklist as clint_checklist
from bridge.mapping.spec import NAME
from bridge.messages import _
from bridge.operations.mappings import changed, difference, file_text, save, switched, writes_files
from bridge.web.console import charts, layout, mapping_editor
from bridge.web.console.access import runtime
from bridge.web.console.mapping_editor import read

mappings = Blueprint("mappings", __name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list."""

    name: str
    mapping: Mapping | None
    counted: dict[str, int]
    findings: tuple[str, ...]
    """The errors of its file, each with its place, in the reader's language."""

    @property
    def state(self) -> str:
        """`broken` where the file can't run (an older text may be active), else `on` or `off`."""
        if self.findings:
            return "broken"
        return "on" if self.mapping and self.mapping.enabled else "off"


def directory() -> Path:
    found: Path = runtime.settings.bridge_mappings_dir
    return found


def revision_of(name: str) -> Revision:
    """Return a mapping's active revision; answer 404 where there is none."""
    if not NAME.fullmatch(name):
        raise NotFound
    with runtime.journal.database.read() as connection:
        found = revisions.newest(connection, name)
    if found is None or found.text is None:
        raise NotFound
    return found


@mappings.get("/mappings")
def listed() -> ResponseReturnValue:
    active = {item.mapping.name: item.mapping for item in runtime.mappings.current()}
    broken = {
        name: tuple(f"{one.line}:{one.column}: {one.text()}" for one in findings)
        for name, findings in layout.broken_files().items()
    }
    refused = runtime.mappings.refused()
    with runtime.journal.database.read() as connection:
        counted = _lately(connection, layout.now_ms())
        kept = revisions.active(connection) if refused else []
    # A revision that was active and can't run in this version holds every event back: it must be seen.
    broken.update({one.mapping: (refused.text(),) for one in kept if refused and one.mapping not in active | broken})
    rows = [
        Listed(name, active.get(name), counted.get(name, {}), broken.get(name, ()))
        for name in sorted(active.keys() | broken.keys())
    ]
    rows.sort(key=lambda one: ("broken", "on", "off").index(one.state))
    return layout.page("mappings.html", rows=rows, labels=EVENTS, refused=refused)


@mappings.get("/mappings/<name>")
def edit(name: str) -> ResponseReturnValue:
    active = revision_of(name)
    return _editor(name, active.text or "", active.id)


def _lately(connection: Connection, now_ms: int) -> dict[str, Counter[str]]:
    """Return by mapping what ended in the last 24 hours by state, and what is under way."""
    counted = charts.by(statistics.last_24_hours(connection, now_ms, ("mapping", "verdict")), 0)
    for name, number in queries.under_way(connection).items():
        counted.setdefault(name, Counter())["under_way"] = number
    return counted


def _editor(name: str, text: str, base: int, status: int = 200, **more: Any) -> ResponseReturnValue:
    journal = runtime.journal
    found = read(name, text)
    values: dict[str, Any] = {
        "name": name,
        "text": text,
        "base": base,
        "mapping": found.mapping,
        "findings": found.findings,
        "choices": mapping_editor.choices(found.mapping),
        "in_file": writes_files(journal, directory()),
        "file_differs": base and (in_file := file_text(directory(), name)) is not None and in_file != text,
    }
    return layout.page("mapping_edit.html", status, **{**values, **more})


@mappings.post("/mappings/<name>")
def store(name: str) -> ResponseReturnValue:
    if not NAME.fullmatch(name):
        raise NotFound
    text = written(request.form.get("text", ""))
    base = layout.number(request.form.get("base")) or 0
    found = read(name, text)
    if found.mapping is None:
        return _editor(name, text, base, 422, refused="lint")
    results = testing.run(found.mapping, directory())
    if any(not one.passed for one in results) and "anyway" not in request.form:
        return _editor(name, text, base, 422, refused="tests", results=results)
    try:
        kept = keep(name, text, base)
    except MappingChanged as error:
        return _changed(name, text, base, error)
    if kept is None:
        layout.flash_message(_("The text was active already; nothing changed."), "neutral")
    if "run" in request.form:
        return layout.go("console.mappings_run.choose", name=name)
    return layout.go("console.mappings.edit", name=name)


def keep(name: str, text: str, base: int) -> int | None:
    """Save and say so; return the new revision, None where the text was active already. Raises MappingChanged."""
    saved = save(
        runtime.journal, directory(), name, text, base=base, author=layout.person().author, now_ms=runtime.clock_ms()
    )
    if saved.revision_id == base:
        return None
    layout.note("mapping.saved", name, {"revision": saved.revision_id, "file": saved.in_file})
    if saved.in_file:
        text = _("Saved as revision {revision}; the file was written too.", revision=saved.revision_id)
    else:
        text = _("Saved as revision {revision}. The file was not changed.", revision=saved.revision_id)
    layout.flash_message(text)
    return saved.revision_id


def written(text: str) -> str:
    """Return the text of a form with the line ends of a file."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if not text or text.endswith("\n") else f"{text}\n"


def _changed(name: str, text: str, base: int, error: MappingChanged) -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        newest = revisions.newest(connection, name)
        before = revisions.get(connection, base) if base else None
    theirs = (newest.text if newest else None) or ""
    whose = newest if newest is not None and newest.id != base else None
    lines = difference((before.text if before else None) or "", theirs) if whose else []
    # The form carries the newest revision now: the person has seen what it changed.
    fresh = newest.id if newest else 0
    return _editor(name, text, fresh, 409, refused="changed", whose=whose, lines=lines, error=error)


@mappings.post("/mappings/<name>/switch")
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


@mappings.get("/mappings/<name>/checklist")
def checklist(name: str) -> ResponseReturnValue:
    """Show what to choose on Clint's mapping screen, for all mappings that send to the integrations of this one."""
    active = revision_of(name)
    mapping = read(name, active.text or "").mapping
    if mapping is None:
        return layout.go("console.mappings.edit", name=name)
    return layout.page(
        "mapping_checklist.html",
        name=name,
        mapping=mapping,
        labels=EVENTS,
        **clint_checklist([one.mapping for one in runtime.mappings.current()], mapping, directory()),
    )


past = Blueprint("mappings_history", __name__)


def _history(name: str) -> list[Revision]:
    with runtime.journal.database.read() as connection:
        found = revisions.history(connection, name)
    return layout.found(found or None)


@past.get("/mappings/<name>/history")
def show(name: str) -> ResponseReturnValue:
    """List the revisions, newest first, and the difference between two of them."""
    found = _history(name)
    by_number = {one.id: one for one in found}
    after = by_number.get(layout.number(request.args.get("to")) or 0, found[0])
    place = found.index(after)
    older = found[place + 1] if place + 1 < len(found) else None
    before = by_number.get(layout.number(request.args.get("from")) or 0, older)
    rows = []
    for index, one in enumerate(found):
        earlier = found[index + 1].text if index + 1 < len(found) else ""
        rows.append((one, changed(earlier or "", one.text or "")))
    lines = difference((before.text if before else "") or "", after.text or "")
    return layout.page("mapping_history.html", name=name, rows=rows, before=before, after=after, lines=lines[2:])


@past.post("/mappings/<name>/history/<int:number>/restore")
def restore(name: str, number: int) -> ResponseReturnValue:
    """Make an older text active again, as a new revision."""
    found = _history(name)
    wanted = next((one for one in found if one.id == number and one.text is not None), None)
    text = str(layout.found(wanted).text)
    here = layout.go("console.mappings_history.show", name=name)
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
