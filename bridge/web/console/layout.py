"""What every page stands in: menu, words, formats, who is looking; and what every view function asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from flask import current_app, flash, g, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection
from werkzeug.exceptions import BadRequest, NotFound

from bridge.alerts import plan as alert_plan
from bridge.errors import BridgeError, ConsoleClosed, JournalError
from bridge.journal import audit, notices, queries
from bridge.journal.notices import StoredNotice
from bridge.mapping import Finding, Severity
from bridge.mapping.catalogue import label_of
from bridge.runtime import Runtime
from bridge.web.console.access import FIELD, HEADER, PROGRAMS, Person, access, form_token, style_nonce
from bridge.web.console.formats import Formats
from bridge.web.console.words import LANGUAGES, Words, language_of

STATIC = Path(__file__).parent.parent / "static"
THEME = "bridge_theme"
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu."""

    endpoint: str
    word: str
    icon: str
    also: tuple[str, ...] = ()
    """Other blueprints whose pages belong to it."""
    counts: bool = False
    """Whether the number of things that need a person stands beside it."""

    @property
    def url(self) -> str:
        """Where it leads."""
        return url_for(self.endpoint)

    @property
    def here(self) -> bool:
        """Whether the page that is shown belongs to it: every page of one blueprint does."""
        blueprint = (request.endpoint or "").rpartition(".")[0]
        if "shown_for" in g:  # long work stands under the page that began it
            return bool(g.shown_for == self.endpoint)
        return blueprint in {self.endpoint.rpartition(".")[0], *(f"console.{name}" for name in self.also)}


NAVIGATION: tuple[Entry, ...] = (
    Entry("console.overview.index", "nav.overview", "overview"),
    Entry("console.events.index", "nav.events", "events", ("event",)),
    Entry("console.attention.index", "nav.attention", "attention", counts=True),
    Entry(
        "console.mappings.listed",
        "nav.mappings",
        "mappings",
        ("mappings_live", "mappings_history", "mappings_new", "mappings_run"),
    ),
    Entry("console.trial.form", "nav.trial", "trial"),
    Entry("console.connections.show", "nav.connections", "connections"),
    Entry("console.reconcile.form", "nav.reconcile", "reconcile"),
    Entry("console.signin.who", "nav.who", "who"),
)


def runtime() -> Runtime:
    """Return this process's runtime."""
    return cast(Runtime, current_app.extensions["bridge"])


def now_ms() -> int:
    """Return the moment of this request: everything on a page is said of the same one."""
    if "now_ms" not in g:
        g.now_ms = runtime().clock_ms()
    return int(g.now_ms)


def words() -> Words:
    """Return the words in the language of this request."""
    return Words(language_of(request))


def formats() -> Formats:
    """Return how this request's language writes dates and numbers."""
    return Formats(language_of(request), now_ms())


def person() -> Person:
    """Return who is looking; only for pages that strangers never see."""
    return cast(Person, g.person)


def page(template: str, status: int = 200, **values: Any) -> tuple[bytes, int]:
    """Fill a page. Its template extends `layout.html`, or is a part of a page that htmx fetches."""
    # A payload may hold half of a surrogate pair, which UTF-8 does not have.
    return render_template(template, **values).encode(errors="replace"), status


def partial() -> bool:
    """Return whether htmx asks, for a part of the page; a link that it follows wants the whole page."""
    return "HX-Request" in request.headers and "HX-Boosted" not in request.headers


def refuse_nul() -> None:
    """Refuse a request that holds NUL: no name, number or text has it, and PostgreSQL takes none."""
    given = [*request.values.items(multi=True), *(request.view_args or {}).items()]
    if any("\0" in str(value) for _, value in given):
        raise BadRequest


def flash_message(key: str, kind: str = "good", /, **values: object) -> None:
    """Say something at the top of the next page; `kind` is good, warning or bad."""
    flash(words()(key, **values), kind)


def note(action: str, about: str, detail: Mapping[str, Any] | None = None) -> None:
    """Write into the audit trail what this person changed; for changes that do not write it themselves."""
    with runtime().journal.database.write() as connection:
        audit.note(connection, person().actor, action, about, runtime().clock_ms(), detail)


def number(text: str | None) -> int | None:
    """Return a number of the journal from an address or a form, None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def found(row: Any) -> Any:
    """Return what was looked up; the page is not found where it is not there."""
    if row is None:
        raise NotFound
    return row


SHOWN_BY_THEMSELVES = frozenset({alert_plan.DEAD, alert_plan.PAUSED})
"""Notices of what the console shows anyway, each with its buttons; they are for alerts and for the command line."""


def open_notices(connection: Connection) -> list[StoredNotice]:
    """Return the open notices that say more than the pages do, errors first, then the newest."""
    told = [one for one in notices.open_notices(connection) if one.code not in SHOWN_BY_THEMSELVES]
    return sorted(told, key=lambda one: (one.level != "error", -one.last_ms))


def broken_files() -> dict[str, list[Finding]]:
    """Return the mapping files that can't run, by mapping, each with what is wrong; an older text may be active."""
    directory = runtime().settings.bridge_mappings_dir
    return {
        Path(one.path).stem: [found for found in one.findings if found.severity is Severity.ERROR] or list(one.findings)
        for one in runtime().mapping_files.read()
        if one.mapping is None and Path(one.path) != directory
    }


def needing_a_person() -> int:
    """Return how many dead deliveries, open notices and broken mapping files there are."""
    if "needing" not in g:
        try:
            with runtime().journal.database.read() as connection:
                g.needing = queries.dead_count(connection) + len(open_notices(connection)) + len(broken_files())
        except JournalError:
            g.needing = 0  # the menu must not be what breaks a page that says what is broken
    return int(g.needing)


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def asset(name: str) -> str:
    """Return the address of a file of `static`, another one whenever the file changes."""
    return url_for("console.static", filename=name, v=_digest(name))


def with_query(**changes: Any) -> str:
    """Return the address of this page with some of its query changed; None takes a part away."""
    query = {**request.args.to_dict(), **changes}
    return f"{request.path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


def context() -> dict[str, Any]:
    """Return what every template may use."""
    text = words()
    who = g.get("person")
    theme = request.cookies.get(THEME, "")
    return {
        "t": text,
        "tn": text.count,
        "fmt": formats(),
        "label": label_of,
        "now_ms": now_ms(),
        "language": text.language,
        "html_language": LANGUAGES[text.language],
        "languages": tuple(LANGUAGES),
        "theme": theme if theme in THEMES else THEMES[0],
        "themes": THEMES,
        "who": who,
        "may_change": bool(who and who.may_change),
        "signs_in": access().has_password,
        "navigation": NAVIGATION if who else (),
        "needing_a_person": needing_a_person,
        "csrf_token": form_token,
        "csrf_field": FIELD,
        "csrf_header": HEADER,
        "style_nonce": style_nonce,
        "asset": asset,
        "with_query": with_query,
    }


def wants_page() -> bool:
    """Return whether a person's browser asks."""
    if request.path.startswith(PROGRAMS):
        return False
    return "HX-Request" in request.headers or "text/html" in request.headers.get("Accept", "")


def page_of(status: int, error: BridgeError | None = None) -> ResponseReturnValue:
    """Return the page that says what went wrong and what to do."""
    if isinstance(error, ConsoleClosed):
        return page("closed.html", status, why="closed.token" if access().token else "closed.unset")
    text = words()
    known = error.code if error and text.maybe(f"errors.{error.code}.title") else str(status)
    if not text.maybe(f"errors.{known}.title"):
        known = "500" if status >= 500 else "400"
    return page("error.html", status, http_status=status, known=known, error=error)
