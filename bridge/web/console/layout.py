"""The page layout: menu, language, formats, the signed-in person, and what most view functions need."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf
from sqlalchemy import Connection
from werkzeug.exceptions import BadRequest, NotFound

from bridge import messages
from bridge.asaas.charges import BILLING_WORDS
from bridge.clint.webhook import asks_for_url
from bridge.conditions import condition_in_words, in_words, value_in_words
from bridge.errors import (
    BridgeError,
    ConsoleClosed,
    ForAdministrators,
    ForAllAccounts,
    FormRefused,
    JournalError,
    NotSignedIn,
    ReadOnly,
    UsageError,
)
from bridge.formats import Formats
from bridge.journal import audit, jobs, notices, statistics, users
from bridge.journal.causes import Cause
from bridge.journal.destinations import Resumed
from bridge.journal.jobs import Job
from bridge.journal.notices import StoredNotice
from bridge.journal.users import UserRole, UserState
from bridge.mapping import Finding
from bridge.mapping import Mapping as ActiveMapping
from bridge.mapping.catalogue import event_label, label_of, status_words
from bridge.mapping.values import BRASILIA, has_time
from bridge.messages import LANGUAGES, N_, Message, current_language, read_message, use_language
from bridge.model import DeliveryState
from bridge.operations import causes
from bridge.operations.proof import recorded_verdict
from bridge.operations.users import NAME_LENGTH
from bridge.reasons import deal_differences, deal_message, deal_status, notice_words, pause_code, reason
from bridge.settings import origin_of
from bridge.web.console.access import (
    PROGRAMS,
    WITH_SECRETS,
    access,
    here_only,
    is_from_here,
    person,
    runtime,
    signed_in,
    signs_in,
    style_nonce,
)
from bridge.web.console.personal import shown
from bridge.web.console.wording import IN_CONSOLE

T = TypeVar("T")

STATIC = Path(__file__).parent.parent / "static"
LANGUAGE = "bridge_language"
THEME = "bridge_theme"
THEMES = ("auto", "light", "dark")

STATES = {
    "pending": N_("Queued"),
    "sending": N_("Sending"),
    "retrying": N_("Retrying"),
    "delivered": N_("Delivered"),
    "filtered": N_("Filtered"),
    "stale": N_("Superseded"),
    "dead": N_("Not delivered"),
    "discarded": N_("Discarded"),
    "received": N_("Received"),
    "held": N_("On hold"),
    "unmapped": N_("No mapping"),
    "open": N_("Under way"),
    "waiting": N_("Not processed yet"),
}
"""The states of events and deliveries, and those that the list of events can be filtered by."""

ROLES = {
    "administrator": N_("Administrator"),
    "operator": N_("Operator"),
    "viewer": N_("Read-only"),
    "local": N_("On this machine"),
    "command": N_("command line"),
}
AUTHORS = {
    "administrator": N_("an administrator"),
    "operator": N_("an operator"),
    "viewer": N_("a viewer"),
    "local": N_("somebody at this machine"),
    "command": N_("the command line"),
}
"""How a sentence names a person who gave no name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu. The pages of its endpoint's blueprint belong to it."""

    endpoint: str
    text: str
    icon: str
    counts: bool = False
    """Whether the menu shows beside it how many things need a person."""

    @property
    def here(self) -> bool:
        """Whether the page that is shown belongs to it; a job belongs to the page that began it."""
        if "shown_for" in g:
            return bool(g.shown_for == self.endpoint)
        return (request.endpoint or "").rpartition(".")[0] == self.endpoint.rpartition(".")[0]


NAVIGATION = (
    Entry("console.overview.index", N_("Overview"), "overview"),
    Entry("console.events.index", N_("Events"), "events"),
    Entry("console.attention.index", N_("Needs attention"), "attention", counts=True),
    Entry("console.mappings.listed", N_("Mappings"), "mappings"),
    Entry("console.trial.form", N_("Test charge"), "trial"),
    Entry("console.connections.show", N_("Connections"), "connections"),
    Entry("console.reconcile.form", N_("Reconciliation"), "reconcile"),
    Entry("console.alerts.index", N_("Alerts"), "alerts"),
    Entry("console.people.index", N_("People"), "people"),
    Entry("console.trail.who", N_("Access and audit"), "who"),
)


# ---------------------------------------------------------------- the request


def set_language() -> None:
    """Choose the language: English for programs; for people their choice, their browser's or Portuguese."""
    language = "en" if request.path.startswith(PROGRAMS) else request.cookies.get(LANGUAGE)
    if language not in LANGUAGES:
        best = request.accept_languages.best_match(["pt-BR", "pt", "pt-PT", "en", "en-US", "en-GB"])
        language = (best or messages.FIRST)[:2]
    use_language(language, {} if request.path.startswith(PROGRAMS) else IN_CONSOLE)


def refuse_nul() -> None:
    """Refuse a request that holds NUL: no name, number or text has it, and PostgreSQL takes none."""
    given = [*request.values.items(multi=True), *(request.view_args or {}).items()]
    if any("\0" in str(value) for _, value in given):
        raise BadRequest


def now_ms() -> int:
    """Return the time of this request; all texts of a page use the same one."""
    if "now_ms" not in g:
        g.now_ms = runtime.clock_ms()
    return int(g.now_ms)


def today() -> date:
    return datetime.fromtimestamp(now_ms() / 1000, UTC).astimezone(BRASILIA).date()


def number(text: str | None) -> int | None:
    """Return a number of the journal from an address or a form, None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def partial() -> bool:
    """Return whether htmx asks for a part of the page; for a link that it follows it needs the whole page."""
    return "HX-Request" in request.headers and "HX-Boosted" not in request.headers


def wants_page() -> bool:
    is_page = "HX-Request" in request.headers or "text/html" in request.headers.get("Accept", "")
    return is_page and not request.path.startswith(PROGRAMS)


# ---------------------------------------------------------------- the answer


def page(template: str, status: int = 200, **values: Any) -> tuple[bytes, int]:
    """Render a template that extends `layout.html`, or is a part of a page that htmx fetches."""
    # A payload may hold half of a surrogate pair, which UTF-8 does not have.
    return render_template(template, **values).encode(errors="replace"), status


def go(endpoint: str, **values: Any) -> Response:
    """Return a redirect that the browser follows with GET."""
    return cast(Response, redirect(url_for(endpoint, **values), 303))


def flash_message(text: str, kind: str = "good") -> None:
    """Say something at the top of the next page; `kind` is good, neutral, warning or bad."""
    flash(text, kind)


def note(action: str, about: str, detail: Mapping[str, Any] | None = None) -> None:
    """Write what this person changed into the audit trail, for changes that do not write it themselves."""
    with runtime.journal.database.write() as connection:
        audit.note(connection, person.actor, action, about, runtime.clock_ms(), detail)


def found(row: T | None) -> T:
    """Return a row; answer 404 where there is none."""
    if row is None:
        raise NotFound
    return row


def said(text: str | Message | None) -> str:
    """Return a message, or the text that a row keeps of it, in the reader's language and as the person may see it."""
    message = text if isinstance(text, Message) else read_message(text)
    who = message.facts.get("who")
    facts = {**message.facts, "who": author(who)} if isinstance(who, str) else dict(message.facts)
    for name, fact in facts.items():
        if name == "events" and isinstance(fact, str):
            facts[name] = ", ".join(event_label(one) for one in fact.split(", "))
        elif isinstance(fact, str) and has_time(fact):  # as Asaas wrote it
            facts[name] = Formats(now_ms()).written(fact)
    return str(shown(in_words(Message(message.id, facts))))


def reason_said(text: str | None, *, with_hint: bool = True) -> str:
    """Return a reason that a row keeps without where it was found, and without the hint where the page has its own."""
    message = read_message(text)
    kept = ("what", "hint") if with_hint else ("what",)
    if message.id.startswith("{what}; "):
        message = Message("; ".join(f"{{{name}}}" for name in kept if name in message.facts), message.facts)
    return said(message)


def deal_said(detail: str | None) -> str:
    """Return what was found of a delivery's deal, without what differs."""
    return said(deal_message(detail, with_differences=False))


def deal_differs(detail: str | None) -> list[tuple[str, str, str]]:
    """Return what differs, what was sent and what is seen, with fields as the person may see them."""
    found = deal_differences(detail, lambda text, field: str(shown(text, field)))
    return [(said(one.name), said(one.wanted), said(one.seen)) for one in found]


def author(text: str, *, begins: bool = False) -> str:
    """Return who did something, for a sentence that may begin with it: the name, or words for one who gave none."""
    if text not in AUTHORS:
        return text
    words = messages._(AUTHORS[text])
    return capital(words) if begins else words


def capital(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def seen_mappings() -> list[ActiveMapping]:
    """Return the active mappings of the accounts that this person may see."""
    return [item.mapping for item in runtime.mappings.current() if person.sees(item.mapping.account)]


def seen_destinations() -> set[str] | None:
    """Return the destinations of these mappings; None: all, for a person who sees all accounts."""
    if person.accounts is None:
        return None
    return {name for mapping in seen_mappings() for name in mapping.destinations}


def page_of(status: int, error: BridgeError | None = None) -> ResponseReturnValue:
    """Return the page that says what went wrong and what to do, with the way back to where the person came from."""
    if isinstance(error, ConsoleClosed):
        return page("closed.html", status, has_token=bool(access.token), may_sign_in=_may_sign_in(), kept=_kept_form())
    if "person" not in g and error is None:  # no route was found, so nobody has looked who asks
        with suppress(JournalError):
            g.person = signed_in()
    came_from = _came_from() if status != 404 and (status < 500 or request.method == "POST") else ""
    asks_in = status in {400, 401, 403} and g.get("person") is None and _may_sign_in()
    sign_in = url_for("console.signin.form", next=came_from or None) if asks_in else ""
    may_repeat = status >= 500 or isinstance(error, FormRefused | NotSignedIn | UsageError)
    kept = _kept_form() if may_repeat else []
    administrators = _administrators() if isinstance(error, ForAdministrators | ForAllAccounts | ReadOnly) else []
    values = {
        "error": error,
        "came_from": came_from,
        "sign_in": sign_in,
        "kept": kept,
        "administrators": administrators,
    }
    return page("error.html", status, http_status=status, **values)


def _administrators() -> list[str]:
    """Return the names of the people who can give somebody another role or more accounts."""
    with suppress(JournalError), runtime.journal.database.read() as connection:
        everybody = users.everybody(connection)
        return [one.name for one in everybody if (one.role, one.state) == (UserRole.ADMINISTRATOR, UserState.ACTIVE)]
    return []


def _may_sign_in() -> bool:
    with suppress(JournalError):
        return signs_in()
    return False


def _kept_form() -> list[tuple[str, str]]:
    """Return the fields of a refused form, to be sent again.

    Nothing of a form with secrets, nor of one that another site may have made.
    """
    if request.method != "POST" or request.endpoint in WITH_SECRETS or not is_from_here():
        return []
    return [(name, text) for name, text in request.form.items(multi=True) if name != "csrf_token"]


def _came_from() -> str:
    """Return the page of this site from which the request came, or an empty text."""
    before = urlsplit(request.referrer or "")
    if before.netloc != request.host or not before.path:
        return ""
    return here_only(f"{before.path}?{before.query}" if before.query else before.path)


# ---------------------------------------------------------------- what needs a person

_ABOUT_ACCOUNTS = ("account.", "events.held", "reconcile.", "webhook.")
"""The codes of notices about an account begin so; the others are about a destination or the bridge."""


def open_notices(connection: Connection) -> list[StoredNotice]:
    """Return the open notices without those of what has a cause of its own; errors first, then the newest."""
    told = [one for one in _seen_notices(connection) if one.code not in causes.SHOWN_AS_CAUSES]
    return sorted(told, key=lambda one: (one.level != "error", -one.last_ms))


def _seen_notices(connection: Connection) -> list[StoredNotice]:
    told = notices.open_notices(connection)
    if person.accounts is not None:  # such a notice is about an account, or an account and a part of it
        of_account = [one for one in told if one.code.startswith(_ABOUT_ACCOUNTS)]
        told = [one for one in of_account if re.split("[ /]", one.about)[0] in person.accounts]
    return told


def notice_texts(notice: StoredNotice) -> tuple[str, str]:
    """Return what a notice is about and what to do."""
    words = notice_words(notice.code)
    return (words.title, words.in_console) if words else (said(notice.detail), said(notice.mend))


def broken_files() -> dict[str, list[Finding]]:
    """Return the mapping files that can't run, by mapping, with their findings.

    Files that only lack a destination are left out until the first one is connected. The account of a broken file can't
    be read from it, so only people who see all accounts get them.
    """
    if person.accounts is not None:
        return {}
    if "broken" not in g:
        g.broken = causes.broken_files(runtime)
    return cast("dict[str, list[Finding]]", g.broken)


def standing(connection: Connection) -> list[Cause]:
    """Return the open causes that this person may see; they are read once for each request."""
    if "standing" not in g:
        told, names = _seen_notices(connection), seen_destinations()
        g.standing = causes.find_causes(runtime, connection, broken_files(), told, person.accounts, names)
    return cast("list[Cause]", g.standing)


def needing_a_person() -> int:
    """Return how many causes need a person; 0 where the journal can't be read, since error pages have the menu too."""
    if "standing" not in g:
        try:
            with runtime.journal.database.read() as connection:
                standing(connection)
        except JournalError:
            g.standing = []
    return len(g.standing)


def mapping_title(name: str) -> str:
    """Return what people call a mapping: its description, or the name of its file where it has none."""
    return _titles().get(name) or name


def is_mapping(name: str) -> bool:
    """Return whether there is a mapping of this name, on or off."""
    return name in _titles()


def _titles() -> dict[str, str]:
    if "titles" not in g:
        g.titles = {one.mapping.name: one.mapping.description for one in runtime.mappings.current()}
    titles: dict[str, str] = g.titles
    return titles


def answering(connection: Connection, names: Collection[str]) -> frozenset[str]:
    """Return which of these destinations accepted something lately, or are marked as right by a person.

    A delivery of the last 30 days, a test, a check of an origin; nothing counts from before the last change of its URL.
    """
    found = set()
    days = statistics.last_30_days(connection, now_ms(), by=("destination", "verdict"))
    for name in names:
        told = audit.about(connection, {action: [name] for action in (*_TRIED, *_CHANGED)})
        since_ms = next((one["at_ms"] for one in told if one["action"] in _CHANGED), 0)
        tried = [one for one in told if one["action"] in _TRIED and one["at_ms"] >= since_ms]
        delivered = (name, DeliveryState.DELIVERED.value)
        if (
            any(one["action"] == "destination.trusted" or one["detail"].get("outcome") == "delivered" for one in tried)
            or any(one.key == delivered and one.start_ms + statistics.DAY_MS > since_ms for one in days)
            or (origin_of(runtime.destinations.get(name, "")) is not None and _has_origin(connection, name))
        ):
            found.add(name)
    return frozenset(found)


_TRIED = ("destination.tested", "destination.trusted")
_CHANGED = ("destination.added", "destination.changed")


def _has_origin(connection: Connection, name: str) -> bool:
    job = last_check(connection, name)
    return job is not None and not wrong_checks(job)


def last_check(connection: Connection, name: str) -> Job | None:
    """Return the last finished check of Clint for this destination, or else for all."""
    for about in (name, ""):
        for job in jobs.newest(connection, "clint", now_ms(), about=about):
            if job.result:
                return job
    return None


def wrong_checks(job: Job) -> list[dict[str, Any]]:
    """Return what a finished check of Clint found wrong."""
    return [one for one in (job.result or {})["checks"] if one["state"] == "wrong"]


def resumed_words(name: str, resumed: Resumed) -> str:
    """Return the message about a resumed destination."""
    freed = resumed.lines
    if resumed.is_probed:
        return messages.ngettext(
            "Destination {name} is tried now, with the delivery of {n} customer.",
            "Destination {name} is tried now: one delivery first; those of {n} customers follow once Clint takes it.",
            freed,
            name=name,
        )
    if not freed:
        return messages._("Destination {name} takes deliveries again. None was waiting.", name=name)
    return messages.ngettext(
        "Destination {name} takes deliveries again; those of {n} customer go on.",
        "Destination {name} takes deliveries again; those of {n} customers go on.",
        freed,
        name=name,
    )


def connected() -> bool:
    """Return whether both ends are there: an account with a key, and a destination."""
    return bool(runtime.destinations) and any(one.api_key for one in runtime.accounts.values())


# ---------------------------------------------------------------- templates


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def asset(name: str) -> str:
    """Return the address of a file of `static`; it changes with the file."""
    return url_for("console.static", filename=name, v=_digest(name))


def with_query(**changes: Any) -> str:
    """Return the address of this page with some of its query changed; None takes a part away."""
    query = {**request.args.to_dict(), **changes}
    return f"{request.path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


GLOBALS = {
    "STATES": STATES,
    "ROLES": ROLES,
    "BILLING_TYPES": BILLING_WORDS,
    "NAME_LENGTH": NAME_LENGTH,
    "N_": N_,
    "_": messages._,
    "asks_for_token": lambda reason: pause_code(reason) == "clint.token",
    "asks_for_url": asks_for_url,
    "asset": asset,
    "author": author,
    "condition_in_words": condition_in_words,
    "connected": connected,
    "csrf_token": generate_csrf,
    "deal_differs": deal_differs,
    "deal_said": deal_said,
    "deal_status": deal_status,
    "deal_verdict": recorded_verdict,
    "event_label": event_label,
    "is_mapping": is_mapping,
    "label": label_of,
    "mapping_title": mapping_title,
    "needing_a_person": needing_a_person,
    "ngettext": messages.ngettext,
    "notice_texts": notice_texts,
    "notice_words": notice_words,
    "pgettext": messages.pgettext,
    "reason": reason,
    "reason_said": reason_said,
    "said": said,
    "status_words": status_words,
    "style_nonce": style_nonce,
    "value_in_words": value_in_words,
    "with_query": with_query,
}
"""What every template may use."""


def context() -> dict[str, Any]:
    who = g.get("person")
    theme = request.cookies.get(THEME, "")
    return {
        "fmt": Formats(now_ms()),
        "now_ms": now_ms(),
        "language": current_language(),
        "html_language": LANGUAGES[current_language()],
        "theme": theme if theme in THEMES else THEMES[0],
        "who": who,
        "may_change": bool(who and who.may_change),
        "sees_all": bool(who and who.accounts is None),
        "signs_in": access.has_password,
        "navigation": [entry for entry in NAVIGATION if who and who.may_open(entry.endpoint)],
    }
