"""The revisions of a mapping: who made each and what it changed, side by side, and made active again."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from bridge.errors import MappingChanged
from bridge.journal import revisions
from bridge.journal.revisions import Revision
from bridge.mapping import Known, read_mapping
from bridge.mapping.difference import changed, difference
from bridge.web.console import frame
from bridge.web.console.mappings import directory, keep

past = Blueprint("mappings_history", __name__)


def _history(name: str) -> list[Revision]:
    with frame.runtime().journal.database.read() as connection:
        found = revisions.history(connection, name)
    return found if found else frame.found(None)


@past.get("/mappings/<name>/history")
def show(name: str) -> ResponseReturnValue:
    """List the revisions, newest first, and the difference between two of them."""
    found = _history(name)
    by_number = {one.id: one for one in found}
    after = by_number.get(frame.number(request.args.get("to")) or 0, found[0])
    place = found.index(after)
    older = found[place + 1] if place + 1 < len(found) else None
    before = by_number.get(frame.number(request.args.get("from")) or 0, older)
    rows = []
    for index, one in enumerate(found):
        earlier = found[index + 1].text if index + 1 < len(found) else ""
        rows.append((one, changed(earlier or "", one.text or "")))
    lines = difference((before.text if before else "") or "", after.text or "")
    return frame.page("mapping_history.html", name=name, rows=rows, before=before, after=after, lines=lines[2:])


@past.post("/mappings/<name>/history/<int:number>/restore")
def restore(name: str, number: int) -> ResponseReturnValue:
    """Make an older text active again, as a new revision."""
    found = _history(name)
    wanted = next((one for one in found if one.id == number and one.text is not None), None)
    text = str(frame.found(wanted).text)
    here = redirect(url_for("console.mappings_history.show", name=name), 303)
    base = frame.number(request.form.get("base")) or found[0].id
    # Whether its destinations are set up here says nothing about where the workers run.
    if read_mapping(text, f"{name}.yaml", Known(None, None, directory())).mapping is None:
        frame.said("mappings.restore.cannot", "bad", revision=number)
        return here
    try:
        if keep(name, text, base) is None:
            frame.said("mappings.saved.same", "neutral")
    except MappingChanged:
        frame.said("mappings.restore.changed", "bad")
    return here
