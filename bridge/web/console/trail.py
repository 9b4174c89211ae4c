"""The audit trail: its page, and its words, one sentence for each action with what it was about and its facts.

Entries keep codes, numbers and names; the words are made here, in the reader's language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Blueprint, g, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from bridge.asaas.charges import BILLING_WORDS
from bridge.formats import Formats
from bridge.journal import audit, users
from bridge.journal.audit import AuditFilter
from bridge.journal.causes import Kind
from bridge.messages import N_, _, ngettext
from bridge.model import Outcome
from bridge.reasons import notice_words, reason
from bridge.web.console import layout
from bridge.web.console.access import runtime
from bridge.web.console.attention import cause_title
from bridge.web.console.events import period

pages = Blueprint("trail", __name__)

TRAIL_PAGE = 50
MOST_PEOPLE = 300
"""The filter offers this many people; the entries of any other are found by the period."""

SENTENCES = {
    "console.signed_in": N_("Signed in to the console"),
    "console.sign_in_limited": N_("Too many wrong passwords: further tries were held back"),
    "console.signed_out": N_("Signed out of the console"),
    "console.sessions_ended": N_("Ended all sessions: {about}"),
    "user.invited": N_("Invited {about}"),
    "user.link_made": N_("Made a new link for {about}"),
    "user.changed": N_("Changed the access of {about}"),
    "user.enabled": N_("Let {about} in again"),
    "user.disabled": N_("Shut {about} out"),
    "user.removed": N_("Removed {about}"),
    "user.password_set": N_("Chose the password of {about}"),
    "user.linked": N_("Signed in by the provider for the first time"),
    "mapping.saved": N_("Saved the mapping {about}"),
    "mapping.restored": N_("Restored an older text of the mapping {about}"),
    "mapping.switched_on": N_("Switched the mapping {about} on"),
    "mapping.switched_off": N_("Switched the mapping {about} off"),
    "events.replayed": N_("Replayed many events"),
    "charges.brought_in": N_("Brought in missing charges of the account {about}"),
    "trial.begun": N_("Began a test charge in the account {about}"),
    "life.begun": N_("Tested a charge's whole life in the account {about}"),
    "trial.deal_seen": N_("Saw the deal of test charge {about} in Clint"),
    "trial.deal_not_seen": N_("Did not see the deal of test charge {about} in Clint"),
    "webhook.registered": N_("Registered the webhook of the account {about}"),
    "webhook.resumed": N_("Resumed the webhook of the account {about}"),
    "webhook.removed": N_("Removed the webhook of the account {about}"),
    "guide.dismissed": N_("Dismissed the guide"),
    "mappings.copied": N_("Copied the ready mappings to {about}"),
    "destination.origin": N_("Named the origin of the destination {about} in Clint"),
    "destination.paused": N_("Paused the destination {about}"),
    "destination.resumed": N_("Resumed the destination {about}"),
    "destination.tested": N_("Sent a test to the destination {about}"),
    "destination.trusted": N_("Said that the destination {about} is right, without a test"),
    "destination.added": N_("Added the destination {about}"),
    "destination.changed": N_("Changed the URL of the destination {about}"),
    "destination.removed": N_("Removed the destination {about}"),
    "notice.closed": N_("Dismissed the notice {about}"),
    "clint.token_added": N_("Entered a token of Clint's API"),
    "clint.token_changed": N_("Changed the token of Clint's API"),
    "clint.token_removed": N_("Removed the token of Clint's API"),
    "account.added": N_("Added the Asaas account {about}"),
    "account.changed": N_("Changed the key of the Asaas account {about}"),
    "account.token_changed": N_("Changed the webhook token of the account {about}"),
    "account.removed": N_("Removed the Asaas account {about}"),
    "receiver.added": N_("Added the receiver of alerts {about}"),
    "receiver.changed": N_("Changed the receiver of alerts {about}"),
    "receiver.removed": N_("Removed the receiver of alerts {about}"),
    "receiver.tested": N_("Sent a test alert to {about}"),
    "person.forgotten": N_("Erased the data of {about}"),
    "delivery.retried": N_("Retried delivery {about}"),
    "delivery.discarded": N_("Discarded delivery {about}"),
    "event.replayed": N_("Replayed event {about}"),
    "event.brought_in": N_("Brought in event {about}"),
    "customer.shown": N_("Looked at the contact data of the customer of event {about}"),
    "cause.seen": N_("Marked as seen: {about}"),
    "cause.unseen": N_("Marked as not seen: {about}"),
    "job.stopped": N_("Stopped bulk work {about}"),
    "bulk.retry": N_("Retried many deliveries"),
    "bulk.replay": N_("Replayed many failed deliveries"),
    "bulk.discard": N_("Discarded many deliveries"),
}
"""What a person did, by the action of the entry; `about` is what `_about` makes of the entry's."""


class ActionKind(NamedTuple):
    text: str
    of: frozenset[str]
    """The first words of its actions."""

    @property
    def actions(self) -> list[str]:
        return [action for action in SENTENCES if action.partition(".")[0] in self.of]


KINDS = {
    "access": ActionKind(N_("Sign-in and people"), frozenset({"console", "user"})),
    "mappings": ActionKind(N_("Mappings"), frozenset({"mapping", "mappings", "guide"})),
    "events": ActionKind(
        N_("Events and deliveries"),
        frozenset({"event", "events", "delivery", "bulk", "charges", "job", "cause", "notice"}),
    ),
    "connections": ActionKind(N_("Connections"), frozenset({"account", "webhook", "destination", "clint"})),
    "alerts": ActionKind(N_("Alerts"), frozenset({"receiver"})),
    "tests": ActionKind(N_("Test charges"), frozenset({"trial", "life"})),
    "data": ActionKind(N_("Personal data"), frozenset({"customer", "person"})),
}
"""The kinds of actions that the list can be narrowed to."""


@pages.get("/who")
def who() -> ResponseReturnValue:
    """Show who may come in, and who changed what: all, or by person, kind of action and period."""
    asked = request.args
    before, kind = layout.number(asked.get("before")), asked.get("kind", "")
    (since_ms, until_ms), faults = period(asked)
    actions = KINDS[kind].actions if kind in KINDS else ()
    wanted = AuditFilter(asked.get("actor", ""), tuple(actions), since_ms, until_ms)
    with runtime.journal.database.read() as connection:
        entries = audit.page(connection, wanted, TRAIL_PAGE + 1, before)
        people = audit.actors(connection, MOST_PEOPLE)
    settings = runtime.settings
    return layout.page(
        "who.html",
        entries=entries[:TRAIL_PAGE],
        more=len(entries) > TRAIL_PAGE,
        before=before,
        wanted=wanted,
        narrowed=wanted != AuditFilter() or bool(faults),
        people=people if not wanted.actor or wanted.actor in people else [*people, wanted.actor],
        kinds={name: one.text for name, one in KINDS.items()},
        kind=kind,
        faults=faults,
        passwords=(
            (N_("Administrator's password"), bool(settings.bridge_password)),
            (N_("Viewer's password"), bool(settings.bridge_viewer_password)),
        ),
        session_key=bool(settings.bridge_secret_key),
    )


class Told(NamedTuple):
    what: Markup
    """The sentence, with a link to what it is about."""
    facts: list[str]


def told(entry: Mapping[str, Any]) -> Told:
    """Return an entry of the audit trail in the current language; an action of another version is shown as it is."""
    text = escape(_(SENTENCES.get(entry["action"], entry["action"])))
    detail = entry["detail"]
    if "sent" in detail:
        detail = {**detail, "sent": (detail["sent"], detail.get("of"))}
    facts = [one for key, value in detail.items() if (one := _fact(key, value))]
    return Told(text.format(about=_about(entry)), facts)


# ---------------------------------------------------------------- what it was about


def _about(entry: Mapping[str, Any]) -> str:
    kind, about, detail = entry["action"].partition(".")[0], str(entry["about"]), entry["detail"]
    if kind in {"user", "console"}:
        return _person(about)
    if kind == "mapping" and any(one.name == about for one in layout.seen_mappings()):
        return _link(url_for("console.mappings.history", name=about), layout.mapping_title(about))
    if kind in {"event", "customer"} and about.isdigit():
        return _link(url_for("console.events.show", id_=about), about)
    if kind in {"trial", "job"} and about.isdigit():
        return _link(url_for("console.jobs.show", number=about), about)
    if kind == "person":
        number = about.partition(" ")[0]
        return ngettext("{n} customer", "{n} customers", int(number)) if number.isdigit() else about
    if entry["action"] == "notice.closed":
        words = notice_words(str(detail.get("code", "")))
        return f"{words.title} ({detail.get('about', '')})" if words else about
    if kind == "cause":
        return _cause(about)
    return about


def _link(url: str, text: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(url, text)


def _person(key: str) -> str:
    if key in layout.AUTHORS:
        return _("role {role}", role=_(layout.ROLES[key]))
    if "people" not in g:
        with runtime.journal.database.read() as connection:
            g.people = {one.key: one.name for one in users.everybody(connection)}
    return str(g.people.get(key) or _("somebody who was removed"))


def _cause(key: str) -> str:
    kind, code, about, *_answer = [*key.split("|"), "", ""]
    if kind not in set(Kind):
        return key
    words = notice_words(code)
    title = cause_title(Kind(kind), code, about, words.title if words else code)
    return f"{title} ({about})" if about and about not in title else title


# ---------------------------------------------------------------- the facts


def _code(code: str) -> str:
    known = reason(code)
    return known.means if known else ""


def _outcome(code: str) -> str:
    if code == Outcome.DELIVERED:
        return _("it was accepted")
    return _("no answer came in time") if code == "unknown" else _("it was not accepted")


_FACTS: dict[str, Callable[[Any], str]] = {
    "number": lambda n: _("revision {n}", n=n),
    "text_of": lambda n: _("with the text of revision {n}", n=n),
    "file": lambda is_written: _("the file was written too") if is_written else _("the file was not changed"),
    "role": lambda role: _(layout.ROLES.get(role, role)),
    "accounts": lambda names: _("all accounts") if names == "all" else _("accounts: {names}", names=names),
    "mapping": lambda name: _("mapping {name}", name=layout.mapping_title(name)),
    "was": lambda state: _("before: {state}", state=_(layout.STATES.get(state, state)).lower()),
    "code": _code,
    "destination": lambda name: _("destination {name}", name=name),
    "outcome": _outcome,
    "status": lambda status: _("answer {status}", status=status) if status else "",
    "value": lambda value: Formats(0).money(value),
    "billing_type": lambda name: _(BILLING_WORDS.get(name, name)),
    "new_token": lambda is_new: _("with a new token") if is_new else "",
    "sent": lambda both: ngettext(
        "{sent} of {n} address accepted it", "{sent} of {n} addresses accepted it", both[1], sent=both[0]
    ),
    "origin": lambda id_: _("origin {id}", id=id_) if id_ else _("it is learned again"),
}
"""The words of a fact, by its key."""
_COUNTS: dict[str, Callable[[int], str]] = {
    "done": lambda n: ngettext("{n} done", "{n} done", n),
    "refused": lambda n: ngettext("{n} not possible", "{n} not possible", n),
    "events": lambda n: ngettext("{n} event", "{n} events", n),
    "deliveries": lambda n: ngettext("{n} delivery", "{n} deliveries", n),
    "dropped": lambda n: ngettext("{n} not finished was dropped", "{n} not finished were dropped", n),
    "mappings": lambda n: ngettext("{n} mapping", "{n} mappings", n),
}
"""Facts that are numbers; 0 says nothing."""
WORDED = frozenset({*_FACTS, *_COUNTS})
SILENT = frozenset({"revision", "cause", "about", "kind", "of"})
"""Keys that say nothing to a person, or what the sentence says already."""


def _fact(key: str, value: Any) -> str:
    if key in SILENT:
        return ""
    try:
        if key in _COUNTS:
            return _COUNTS[key](value) if value else ""
        return _FACTS[key](value)
    except (KeyError, TypeError, ValueError, ArithmeticError):  # of another version
        return f"{key}: {value}"
