"""The mappings: list, editor, switch, history, the checklist for Clint's screen, a run over past events, a new one.

A save is refused where lint finds an error, where a test fails and the person did not insist, and where somebody else
saved since the person opened the editor. A run shows a preview before anything is sent. A form that is sent and not
saved is kept as a draft, and the answer is the draft's page.
"""

from __future__ import annotations

from collections import abc
from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import NotFound

from bridge.conditions import OPERATOR_WORDS
from bridge.errors import MappingChanged
from bridge.journal import drafts, queries, revisions, statistics
from bridge.journal.revisions import Revision
from bridge.mapping import Mapping, Setup, parse_mapping, testing
from bridge.mapping.accept import accept
from bridge.mapping.catalogue import EVENTS
from bridge.mapping.drafts import name_of, starter, with_tests, without_made_tests
from bridge.mapping.edit import NotEditable
from bridge.mapping.explain import checklist as clint_checklist
from bridge.mapping.form import Form, read_form, write_form
from bridge.mapping.spec import NAME
from bridge.mapping.values import BRASILIA
from bridge.messages import N_, Message, _, ngettext
from bridge.operations import bulk
from bridge.operations.accounts import without_mapping
from bridge.operations.effects import effect_of
from bridge.operations.mappings import changed, copied, difference, file_text, joined, save, switched, writes_files
from bridge.operations.overlaps import Overlap, overlaps
from bridge.settings import DEFAULT
from bridge.web.console import charts, jobs, layout, mapping_deal, mapping_editor, mapping_form
from bridge.web.console.access import person, runtime
from bridge.web.console.connecting import known
from bridge.web.console.mapping_editor import finding_words, known_setup, lacking, read

pages = Blueprint("mappings", __name__)


def directory() -> Path:
    return Path(runtime.settings.bridge_mappings_dir)


def revision_of(name: str) -> Revision:
    """Return a mapping's active revision; answer 404 where there is none."""
    with runtime.journal.database.read() as connection:
        found = revisions.newest(connection, name)
    return layout.found(found if found and found.text is not None else None)


def _check_name(name: str) -> None:
    """Answer 404 where a new mapping can't have the name; a file that is there may have a longer one."""
    if not NAME.fullmatch(name):
        revision_of(name)


@pages.get("/mappings")
def listed() -> ResponseReturnValue:
    active = {item.mapping.name: item.mapping for item in runtime.mappings.current(at_once=True)}
    broken: dict[str, tuple[str, ...]] = {
        name: tuple(Markup("{}:{}: {}").format(one.line, one.column, finding_words(one)) for one in findings)
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
    enabled = [one for one in active.values() if one.enabled]
    meets = {one.name: [each for each in overlaps_of(one) if not each.divided] for one in enabled}
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "mapping": mapping,
            "title": (mapping.description if mapping else "") or name,
            "state": "broken" if name in broken else "on" if mapping and mapping.enabled else "off",
            "findings": broken.get(name, ()),
            "counted": counted.get(name, {}),
            "under_way": under_way.get(name, 0),
            "overlaps": meets.get(name, []),
        }
        for name, mapping in sorted({**dict.fromkeys(broken), **active}.items())
    ]
    rows.sort(key=lambda one: ("broken", "on", "off").index(one["state"]))
    unheard = without_mapping(runtime.accounts, active.values())
    return layout.page("mappings.html", rows=rows, refused=refused, accounts=[*runtime.accounts], unheard=unheard)


@pages.get("/mappings/<name>")
def edit(name: str) -> ResponseReturnValue:
    """Show the active text; with `file` that of the file, which may have an error that keeps it from being active."""
    if "file" in request.args and name in layout.broken_files():
        text = layout.found(file_text(directory(), name))
        with runtime.journal.database.read() as connection:
            newest = revisions.newest(connection, name)
        return _editor(name, text, newest.id if newest else 0)
    active = revision_of(name)
    shows = _editor if request.args.get("tab") == "yaml" else _form
    return shows(name, active.text or "", active.id, unsaved=_unsaved(name, active.text or ""))


def _editor(name: str, text: str, base: int, status: int = 200, **more: Any) -> ResponseReturnValue:
    found = read(name, text)
    with runtime.journal.database.read() as connection:
        numbers = revisions.numbers(connection, [base])
    about = _about(name, text, base, found.mapping)
    return layout.page(
        "mapping_edit.html",
        status,
        text=text,
        number=numbers.get(base, 0),
        findings=found.findings,
        choices=mapping_editor.choices(found.mapping or about["running"]),
        **{**about, **more},
    )


def _about(name: str, text: str, base: int, mapping: Mapping | None) -> dict[str, Any]:
    """Return what every page of a mapping's text shows; a mapping that was never saved has no revision.

    The text may be a draft or a file's: `running` is what is active, whatever the page shows.
    """
    with runtime.journal.database.read() as connection:
        active = _text(revisions.newest(connection, name))
    is_active = written(active) == written(text)
    return {
        "name": name,
        "is_active": is_active,
        "running": mapping if is_active or not base or _replaced(name) else read(name, active).mapping,
        "base": base,
        "mapping": mapping,
        "title": (mapping.description if mapping else "") or layout.mapping_title(name),
        "fresh": not base and not _replaced(name),
        "in_file": writes_files(runtime.journal, directory()),
        "file_differs": base and file_text(directory(), name) not in {None, active},
        "replaces": _replaced(name),
        "unsaved": None,
    }


def _replaced(name: str) -> str:
    """Return the digest of the file's text that a person sees and fixes because it has an error; empty for none."""
    if _is_sent():
        return _given().get("replaces", "")
    is_shown = "file" in request.args and name in layout.broken_files()
    return revisions.digest(file_text(directory(), name) or "") if is_shown else ""


def _form(
    name: str,
    text: str,
    base: int,
    status: int = 200,
    *,
    form: Form | None = None,
    faults: abc.Mapping[str, Message] | None = None,
    focus: str = "",
    **more: Any,
) -> ResponseReturnValue:
    """Show a text as a form, or `form` where a person has changed it; where the text has no form, show its YAML."""
    try:
        shown = form or read_form(text)
    except NotEditable:
        return _editor(name, text, base, status, **{"refused": "no_form", **more})
    found = read(name, text)
    now = found.mapping if form is None else _mapping_of(name, text, form)
    around = mapping_editor.around(found.mapping)
    about = _about_what(shown)
    conditions = mapping_form.field_choices(about, around)
    sources = mapping_form.source_choices(about, around)
    events, other_events = mapping_form.event_choices(shown, about)
    of_rows = mapping_form.row_findings(text, found.findings) if form is None else {}
    return layout.page(
        "mapping_form.html",
        status,
        text=text,
        form=shown,
        findings=found.findings,
        faults=faults or {},
        OPERATOR_WORDS=OPERATOR_WORDS,
        GROUP_WORDS=mapping_form.GROUP_WORDS,
        SOURCE_WORDS=mapping_form.SOURCE_WORDS,
        focus=focus,
        around=around,
        conditions=conditions,
        sources=sources,
        events=events,
        other_events=other_events,
        rows=mapping_form.shown_rows(shown, conditions, around, of_rows),
        routes=mapping_form.route_words(now or found.mapping),
        cases=testing.run(now, directory()) if now and base else (),
        fields=mapping_form.shown_fields(found.mapping, shown, sources, around),
        offers=mapping_form.offer_choices(mapping_form.offers(shown, about), sources),
        deal=mapping_deal.shown_deal(shown, runtime.setup),
        DEAL_WORDS=mapping_deal.WORDS_OF,
        kind=_kind(),
        values=mapping_form.value_lists(shown),
        destinations=sorted({"default", *runtime.destinations, shown.settings["send_to"] or "default"}),
        accounts=sorted({"default", *(runtime.setup.accounts or ()), shown.settings["account"] or "default"}),
        **{**_about(name, text, base, found.mapping), **more},
    )


def _mapping_of(name: str, text: str, form: Form) -> Mapping | None:
    """Return the mapping that a form makes of a text, None where it is not one yet."""
    try:
        return read(name, write_form(text, form)).mapping
    except NotEditable:
        return None


def _kind() -> str:
    """Return the kind of events of a new mapping."""
    return "subscription" if _given().get("kind") == "subscription" else "payment"


def _about_what(form: Form) -> tuple[str, ...]:
    """Return the form's events; those of the kind that was chosen for a new mapping while it has none."""
    return form.events or (f"{_kind().upper()}_*",)


# ---------------------------------------------------------------- what is not saved yet


def _owner() -> str:
    return f"{person.key} {person.name}"


def _given() -> MultiDict[str, str]:
    """Return the form that a person sent, also where its page is fetched again; else the query of the address."""
    given: MultiDict[str, str] = g.get("draft") or request.form or request.args
    return given


def _is_sent() -> bool:
    return request.method == "POST" or "draft" in g


def _go_on(name: str, about: str, changes: abc.Mapping[str, str] | None = None) -> ResponseReturnValue:
    """Keep the form as a draft, with `changes` in place of what it says, and lead to the draft's page."""
    more = changes or {}
    fields = [one for one in request.form.items(multi=True) if one[0] not in {"csrf_token", *more}]
    with runtime.journal.database.write() as connection:
        fresh = drafts.keep(connection, about, _owner(), [*fields, *more.items()], layout.now_ms())
    return layout.go("console.mappings.drafted", name=name, number=fresh, fresh=None if about else 1)


def _draft(name: str, number: int | None = None) -> drafts.Draft | None:
    """Return this person's draft of that number, or the newest; those of a new mapping are of the name ''."""
    owner, now_ms = _owner(), layout.now_ms()
    with runtime.journal.database.read() as connection:
        if number is None:
            return drafts.newest(connection, name, owner, now_ms)
        return drafts.find(connection, number, name, owner, now_ms)


def _unsaved(name: str, active: str) -> drafts.Draft | None:
    """Return the newest draft of this person, where it is not what is active."""
    found = _draft(name)
    if found is None:
        return None
    given = MultiDict(found.fields)
    text = written(given.get("text", ""))
    if given.get("tab") == "form":
        try:
            old = read_form(text)
            form, faults = mapping_form.sent_form(given, old)
            text = "" if faults else write_form(text, form)
        except NotEditable:
            return found
    return found if written(active) != text else None


@pages.post("/mappings/<name>/draft")
def draft(name: str) -> ResponseReturnValue:
    """Keep what a person changed as a draft, and go to its next step: another row, the other tab, the preview."""
    _check_name(name)
    return _go_on(name, name)


@pages.get("/mappings/<name>/draft/<int:number>")
def drafted(name: str, number: int) -> ResponseReturnValue:
    """Show the step of a draft; with `edit`, the form or text from which its preview or save was asked for."""
    kept = _draft("" if "fresh" in request.args else name, number)
    if kept is None:
        if "fresh" in request.args:
            return layout.go("console.mappings.new")
        layout.flash_message(_("That draft is gone: it was saved or discarded, or is older than a day."), "neutral")
        return layout.go("console.mappings.edit", name=name)
    given = g.draft = MultiDict(kept.fields)
    base, step = layout.number(given.get("base")) or 0, given.get("do", "preview")
    if "edit" in request.args and (step == "preview" or "refused" in given):
        of_form = "events" if given.get("tab") == "form" else "form"
        return _drafted(name, base, "yaml" if given.get("came") == "yaml" else of_form)
    if "refused" in given:
        return _not_saved(name, base, given["refused"])
    return _drafted(name, base, step)


@pages.post("/mappings/<name>/draft/discard")
def discard(name: str) -> ResponseReturnValue:
    """Remove this person's drafts of a mapping; of a new one where `fresh` is given."""
    is_new = "fresh" in request.form
    with runtime.journal.database.write() as connection:
        drafts.remove(connection, "" if is_new else name, _owner())
    layout.flash_message(_("The changes that were not saved are discarded."), "neutral")
    return layout.go("console.mappings.new") if is_new else layout.go("console.mappings.edit", name=name)


def _drafted(name: str, base: int, step: str) -> ResponseReturnValue:
    given, text = _given(), _given_text(name)
    fresh = not base and not _replaced(name)
    if fresh:
        text = without_made_tests(text, name)
    if given.get("tab") == "form":
        try:
            old = read_form(text)
        except NotEditable:
            return _editor(name, text, base, 422, refused="no_form")
        form, faults = mapping_form.sent_form(given, old)
        if changed := _other_rows(form, step):
            return _form(name, text, base, form=changed[0], focus=changed[1])
        if faults:
            return _form(name, text, base, 422, form=form, faults=faults, refused="faults")
        try:
            text = write_form(text, form)
        except NotEditable:
            return _form(name, text, base, 422, form=form, refused="unwritten")
    if step == "form":
        return _form(name, text, base)
    if step in {"yaml", "try"}:
        tried = mapping_editor.previewed(read(name, text).mapping, given.get("against", "")) if step == "try" else None
        return _editor(name, text, base, tried=tried, against=given.get("against", ""))
    if step.startswith("accept"):
        text = _accepted(name, text, step.partition(":")[2])
    elif fresh:
        text = with_tests(text, name)
    if read(name, text).mapping is None:
        return _shows()(name, text, base, 422, refused="lint")
    return _change(name, text, base)


def _other_rows(form: Form, step: str) -> tuple[Form, str] | None:
    """Return the form with a row more or less, and the control to go on with; None for another step."""
    what, _, place = step.partition(":")
    at = layout.number(place)
    row = _row_place(place)
    if what == "add-row":
        return mapping_form.with_row(form, _about_what(form), row)
    if what == "add-group":
        return mapping_form.with_group(form, _about_what(form))
    if what in {"or", "and"}:
        return mapping_form.with_other(form, _about_what(form), row, "any" if what == "or" else "all")
    if what == "add-field":
        offers = mapping_form.offers(form, _about_what(form))
        offer = next((one for one in offers if one.key == _given().get("offer")), None)
        return mapping_form.with_field(form, offer), f"field-{len(form.fields)}"
    if what == "remove-row" and row:
        return mapping_form.without_row(form, row)
    if what == "remove-field" and at is not None:
        return replace(form, fields=form.fields[:at] + form.fields[at + 1 :]), "add-field"
    return (form, "") if what == "events" else None


def _row_place(text: str) -> tuple[int, ...]:
    """Return the place of a row that a button names, such as 0:2; nothing for another text."""
    places = [layout.number(one) for one in text.split(":")]
    return tuple(one for one in places if one is not None) if None not in places else ()


def _accepted(name: str, text: str, place: str) -> str:
    """Return the text whose tests, one or all, expect what they give now."""
    mapping, wanted = read(name, text).mapping, layout.number(place)
    results = enumerate(testing.run(mapping, directory())) if mapping else ()
    try:
        return accept(text, [one for one in results if wanted is None or one[0] == wanted])
    except NotEditable:
        layout.flash_message(_("This test can't be changed here: change it in the YAML."), "bad")
        return text


def _change(name: str, text: str, base: int, status: int = 200, **more: Any) -> ResponseReturnValue:
    """Show what a text would change, before it is saved."""
    mapping = layout.found(read(name, text).mapping)
    with runtime.journal.database.read() as connection:
        active = _text(revisions.newest(connection, name))
    results = enumerate(testing.run(mapping, directory()))
    return layout.page(
        "mapping_change.html",
        status,
        text=text,
        tab="yaml" if _given().get("came") == "yaml" else "form",
        effect=effect_of(runtime, _any_mapping(name, active), mapping),
        failed=[(at, one) for at, one in results if not one.passed],
        tests=len(mapping.tests),
        lines=difference(active, text)[2:],
        overlaps=overlaps_of(mapping) if mapping.enabled else [],
        lacking=lacking(name, text),
        days=[day for day in RECENT_DAYS if mapping.enabled and _events_of_day(mapping, day, limit=1)],
        **_about(name, text, base, mapping),
        **more,
    )


def _any_mapping(name: str, text: str) -> Mapping | None:
    # Its destinations are not checked: the workers may have other settings than this process.
    return parse_mapping(text, f"{name}.yaml", Setup(None, None, directory(), active=True)).mapping if text else None


@pages.post("/mappings/<name>")
def store(name: str) -> ResponseReturnValue:
    _check_name(name)
    text = _given_text(name)
    base = layout.number(request.form.get("base")) or 0
    about = "" if "fresh" in request.form else name
    found = read(name, text)
    if found.mapping is None:
        return _go_on(name, about, {"refused": "lint"})
    results = testing.run(found.mapping, directory())
    if any(not one.passed for one in results) and "anyway" not in request.form:
        return _go_on(name, about, {"refused": "tests"})
    try:
        kept = keep(name, text, base, action="mapping.saved", replaces=request.form.get("replaces", ""))
    except MappingChanged as error:
        return _go_on(name, about, {"refused": "changed", "error": error.text()})
    with runtime.journal.database.write() as connection:
        drafts.remove(connection, about, _owner())
    if kept is None:
        layout.flash_message(_("The text was active already; nothing changed."), "neutral")
    else:
        _flash_lacking(name, text)
    if (day := request.form.get("run")) in RECENT_DAYS:
        return _replay_day(name, found.mapping, day)
    if "run" in request.form:
        return layout.go("console.mappings.run", name=name)
    return layout.go("console.mappings.edit", name=name)


def _not_saved(name: str, base: int, refused: str) -> ResponseReturnValue:
    """Show why a draft could not be saved: what lint says, the tests that fail, or what somebody else saved."""
    text = _given_text(name)
    if refused == "changed":
        return _changed(name, text, base, _given().get("error", ""))
    if refused == "lint" or read(name, text).mapping is None:
        return _shows()(name, text, base, 422, refused="lint")
    return _change(name, text, base, 422, refused="tests")


def keep(
    name: str, text: str, base: int, *, action: str, replaces: str = "", of: int | None = None, is_told: bool = True
) -> int | None:
    """Save and note it; return the number of the new revision, None where the text was active already.

    `action` is what the audit trail says, `of` the number of the revision whose text it is, `is_told` whether the next
    page says it. Raises MappingChanged.
    """
    now_ms, author = runtime.clock_ms(), person.author
    saved = save(runtime.journal, directory(), name, text, base=base, author=author, now_ms=now_ms, replaces=replaces)
    if saved.revision_id == base:
        return None
    detail = {"revision": saved.revision_id, "number": saved.number, "file": saved.in_file}
    layout.note(action, name, {**detail, "text_of": of} if of else detail)
    if not is_told:
        return saved.number
    written = N_("Saved as revision {revision}; the file was written too.")
    unchanged = N_("Saved as revision {revision}. The file was not changed.")
    layout.flash_message(_(written if saved.in_file else unchanged, revision=saved.number))
    return saved.number


def written(text: str) -> str:
    """Return the text of a form with the line ends of a file."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if not text or text.endswith("\n") else f"{text}\n"


def _given_text(name: str) -> str:
    """Return the form's text with the line ends of the active one; where nobody changed it, the active text itself."""
    text = written(_given().get("text", ""))
    with runtime.journal.database.read() as connection:
        active = _text(revisions.newest(connection, name))
    if written(active) == text:
        return active
    return text.replace("\n", "\r\n") if "\r\n" in active else text


def _changed(name: str, text: str, base: int, error: str) -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        newest = revisions.newest(connection, name)
        before = revisions.get(connection, base) if base else None
    whose = newest if newest is not None and newest.id != base else None
    lines = difference(_text(before), _text(whose)) if whose else []
    more: dict[str, Any] = {"whose": whose, "lines": lines, "error": error}
    # The form carries the newest revision now: the person has seen what it changed.
    fresh = newest.id if newest else 0
    if whose and before and _shows() is _form:
        both = joined(_text(before), text, _text(whose))
        if both and read(name, both).mapping and _has_form(both):
            return _form(name, both, fresh, 409, refused="joined", **more)
    return _shows()(name, text, fresh, 409, refused="changed", **more)


def _shows() -> abc.Callable[..., ResponseReturnValue]:
    """Return the page of a refused text: the form or the editor, as the person chose."""
    given = _given()
    return _form if (given.get("came") or given.get("tab")) == "form" else _editor


def _has_form(text: str) -> bool:
    try:
        read_form(text)
    except NotEditable:
        return False
    return True


def overlaps_of(mapping: Mapping) -> list[Overlap]:
    """Return the other mappings that are switched on and send the same events."""
    return overlaps(mapping, [item.mapping for item in runtime.mappings.current(at_once=True)], runtime.setup)


@pages.get("/mappings/<name>/switch")
def switching(name: str) -> ResponseReturnValue:
    """Show what a mapping needs before it is switched on, and which others send the same events."""
    active = revision_of(name)
    mapping = layout.found(_any_mapping(name, active.text or ""))
    return layout.page(
        "mapping_switch.html",
        name=name,
        title=mapping.description or name,
        mapping=mapping,
        base=active.id,
        missing=_missing(mapping),
        overlaps=overlaps_of(mapping),
    )


def _missing(mapping: Mapping) -> list[tuple[str, str]]:
    """Return the code and name of each account and destination that a mapping names and that is not connected."""
    found = [("account.unset", mapping.account)] if mapping.account not in runtime.accounts else []
    found = [] if mapping.account == DEFAULT else found  # it may come later, and nothing is lost meanwhile
    routes = [mapping.send_to, *(one.send_to for one in mapping.routes)]
    names = dict.fromkeys(name for name in routes if name not in runtime.destinations)
    return found + [("destination.unset", one) for one in names]


@pages.post("/mappings/<name>/switch")
def switch(name: str) -> ResponseReturnValue:
    """Switch a mapping; before it is switched on, ask where something is missing or others send the same events."""
    active = revision_of(name)
    on = request.form.get("on") == "1"
    before = _any_mapping(name, active.text or "") if on else None
    if before and (_missing(before) or ("confirmed" not in request.form and overlaps_of(before))):
        return layout.go("console.mappings.switching", name=name)
    text = switched(active.text or "", on=on)
    shown = {"text": text, "base": str(active.id), "tab": "yaml", "came": "form"}
    # As an inactive one: a mapping with an error of its values can be switched off.
    found = parse_mapping(text, f"{name}.yaml", replace(runtime.setup, active=not on))
    if found.mapping is None or found.mapping.enabled is not on:
        return _go_on(name, name, {**shown, "refused": "lint"})
    try:
        if active.id != (layout.number(request.form.get("base")) or active.id):
            raise MappingChanged
        keep(name, text, active.id, action="mapping.switched_on" if on else "mapping.switched_off")
    except MappingChanged as error:
        return _go_on(name, name, {**shown, "refused": "changed", "error": error.text()})
    _flash_lacking(name, text if on else "")
    if NAME.fullmatch(then := request.form.get("then", "")):
        return layout.go("console.mappings.switching", name=then)
    return layout.go("console.mappings.listed")


def _flash_lacking(name: str, text: str) -> None:
    for one in lacking(name, text) if text else ():
        layout.flash_message(layout.capital(one.text()), "warning")


@pages.get("/mappings/<name>/checklist")
def checklist(name: str) -> ResponseReturnValue:
    """Show what to choose on Clint's mapping screen, for all mappings that send to the integrations of this one."""
    active = revision_of(name)
    mapping = read(name, active.text or "").mapping
    if mapping is None:
        return layout.go("console.mappings.edit", name=name)
    active_ones = [one.mapping for one in runtime.mappings.current()]
    listed = clint_checklist(active_ones, mapping, directory(), known_setup())
    title = mapping.description or name
    return layout.page(
        "mapping_checklist.html",
        name=name,
        title=title,
        mapping=mapping,
        labels=EVENTS,
        connected=runtime.destinations,
        **listed,
    )


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
    active = _any_mapping(name, _text(found[0]))
    title = (active.description if active else "") or name
    shown: dict[str, Any] = {"rows": rows, "before": before, "after": after, "lines": lines[2:]}
    return layout.page("mapping_history.html", name=name, title=title, **shown)


@pages.get("/mappings/<name>/restore")
def restoring(name: str) -> ResponseReturnValue:
    """Show what a restore would undo, before it is done."""
    found = _history(name)
    number = layout.number(request.args.get("revision")) or found[0].id
    wanted = layout.found(next((one for one in found if one.id == number and one.text is not None), None))
    mapping, active = _any_mapping(name, _text(wanted)), _any_mapping(name, _text(found[0]))
    title = (active.description if active else "") or name
    return layout.page(
        "mapping_restore.html",
        name=name,
        title=title,
        wanted=wanted,
        newest=found[0],
        lines=difference(_text(found[0]), _text(wanted))[2:],
        effect=effect_of(runtime, active, mapping) if mapping else None,
    )


@pages.post("/mappings/<name>/history/<int:number>/restore")
def restore(name: str, number: int) -> ResponseReturnValue:
    """Make an older text active again, as a new revision."""
    found = _history(name)
    wanted = layout.found(next((one for one in found if one.id == number and one.text is not None), None))
    text = str(wanted.text)
    here = layout.go("console.mappings.history", name=name)
    base = layout.number(request.form.get("base")) or found[0].id
    # Its destinations are not checked: the workers may have other settings than this process.
    if parse_mapping(text, f"{name}.yaml", Setup(None, None, directory())).mapping is None:
        text = N_("Revision {revision} can't run any more in this version.")
        layout.flash_message(_(text, revision=wanted.number), "bad")
        return here
    try:
        if keep(name, text, base, action="mapping.restored", of=wanted.number) is None:
            layout.flash_message(_("The text was active already; nothing changed."), "neutral")
    except MappingChanged:
        layout.flash_message(_("Not restored: somebody saved meanwhile."), "bad")
    return here


# ---------------------------------------------------------------- run over past events

NUMBERS = (10, 50, 200)
DAYS = (1, 7, 30)
RECENT_DAYS = {"today": 0, "yesterday": 1}
"""The days whose events can be replayed at once, by how many days ago."""
MOST_OF_DAY = 1_000
"""A replay of a day takes this many of its last events."""
LOOKED_AT = 20
"""The run reads this many times the wanted number of events, to find enough that the mapping listens to."""


def _mapping(name: str) -> Mapping:
    return layout.found(read(name, revision_of(name).text or "").mapping)


@pages.get("/mappings/<name>/run")
def run(name: str) -> ResponseReturnValue:
    mapping = _mapping(name)
    has_key = mapping.account in runtime.asaas
    title = mapping.description or name
    choices: dict[str, Any] = {"numbers": NUMBERS, "days": DAYS, "has_key": has_key}
    return layout.page("mapping_run.html", name=name, title=title, mapping=mapping, **choices)


@pages.post("/mappings/<name>/run")
def begin_run(name: str) -> ResponseReturnValue:
    """Begin the preview of a run; nothing is sent."""
    mapping, form = _mapping(name), request.form
    if (day := form.get("over")) in RECENT_DAYS:
        return _replay_day(name, mapping, day)
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


def _replay_day(name: str, mapping: Mapping, day: str) -> ResponseReturnValue:
    """Start the preview of a replay of a day's events."""
    ids = _events_of_day(mapping, day, limit=MOST_OF_DAY)
    if not ids:
        nothing = {
            "today": N_("Today no event came that this mapping listens to."),
            "yesterday": N_("Yesterday no event came that this mapping listens to."),
        }
        layout.flash_message(_(nothing[day]), "warning")
        return layout.go("console.mappings.edit", name=name)
    return jobs.begin("replay_preview", name, jobs.replay_preview, {"mapping": name, "ids": ids})


def _events_of_day(mapping: Mapping, day: str, *, limit: int) -> list[int]:
    """Return the last processed events of a day that a mapping listens to, in the order of arrival."""
    since = datetime.combine(layout.today() - timedelta(days=RECENT_DAYS[day]), time(), BRASILIA)
    since_ms, until_ms = (int(at.timestamp() * 1000) for at in (since, since + timedelta(days=1)))
    with runtime.journal.database.read() as connection:
        wanted = (mapping.account, mapping.event_names, since_ms, until_ms)
        return queries.processed_between(connection, *wanted, limit=limit)


@pages.post("/work/<int:number>/replay")
def replay(number: int) -> ResponseReturnValue:
    job = jobs.of_number(number, "replay_preview")
    result = layout.found(job.result)
    if "run" in result:
        return jobs.show_job(result["run"])
    with runtime.journal.database.read() as connection:
        params = bulk.of_events(connection, result["ids"], job.params["mapping"], person.actor, result.get("replays"))
    left_out = len(result["ids"]) - len(params["ids"])
    if not params["ids"]:
        text = _("Nothing was done: these events were replayed already since this preview, or are gone.")
        layout.flash_message(text, "warning")
        return jobs.show_job(number)
    if left_out:
        text = ngettext(
            "{n} event is left out: it was replayed already since the preview, or is gone.",
            "{n} events are left out: they were replayed already since the preview, or are gone.",
            left_out,
        )
        layout.flash_message(text, "warning")
    return jobs.begin_bulk(bulk.REPLAY_KIND, job.about, params, job)


# ---------------------------------------------------------------- a new one by a form


@pages.get("/mappings-new")
def new() -> ResponseReturnValue:
    """Show the form of a mapping that does not exist yet."""
    return _form("", starter(_kind()), 0, unsaved=_draft(""))


@pages.post("/mappings-new")
def make() -> ResponseReturnValue:
    """Keep a new mapping as a draft; its name is made from its description where none is given."""
    given = request.form
    with runtime.journal.database.read() as connection:
        taken = {one.mapping for one in revisions.active(connection)}
    name = given.get("name", "").strip() or name_of(given.get("description", ""), taken)
    if not NAME.fullmatch(name):
        raise NotFound
    if name in taken or file_text(directory(), name) is not None:
        layout.flash_message(_("There is a mapping of that name: choose another."), "bad")
        name = name_of(name, taken)
    return _go_on(name, "", {"name": name, "fresh": "1"})


@pages.post("/mappings-copy")
def copy() -> ResponseReturnValue:
    """Keep a mapping's text for another account as a draft of a new mapping, and show its form."""
    name = request.form.get("mapping", "")
    account = layout.found(known(runtime.accounts, request.form.get("account", ""))).name
    text = copied(revision_of(name).text or "", name, account)
    with runtime.journal.database.read() as connection:
        taken = {one.mapping for one in revisions.active(connection)}
    fresh = name_of(f"{name} {account}", taken)
    given = {"name": fresh, "text": text, "base": "0", "tab": "yaml", "do": "form", "fresh": "1"}
    return _go_on(fresh, "", given)
