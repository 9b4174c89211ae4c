"""What needs a person, a card for each cause with what fixes it, and decisions about many deliveries at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, NamedTuple

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from bridge.errors import JournalError, UsageError
from bridge.formats import Formats
from bridge.journal import audit, causes, destinations, notices, queries
from bridge.journal.causes import Cause, Facts, Kind, Noted
from bridge.journal.destinations import Destination
from bridge.journal.queries import DeadFilter
from bridge.mapping.values import BRASILIA
from bridge.messages import N_, _, ngettext
from bridge.operations import actions, bulk
from bridge.operations.bulk import BulkAction
from bridge.operations.causes import NO_TOKEN, facts_of
from bridge.operations.explain import Preview, Unheard
from bridge.reasons import Reason, notice_words, pause_code, reason
from bridge.web.console import forms, jobs, layout
from bridge.web.console.access import person, runtime
from bridge.web.console.events import day_ms, period
from bridge.web.console.jobs import previews_now
from bridge.web.console.lines import Line, lines, of_events
from bridge.web.console.mapping_editor import finding_words

pages = Blueprint("attention", __name__)

TRAIL_READ = 500
"""The page searches this many entries of the audit trail for the person who fixed a cause."""
TALLIED, PREVIEWED = 20, 3
"""A confirmation previews the replay of this many of the oldest events, and shows this many previews."""
MOST_REPLAYED = 1_000
"""The most events that a replay of a period takes; the preview works out each of them."""


class Card(NamedTuple):
    cause: Cause
    title: str
    facts: Facts
    known: Reason | None
    noted: Noted | None
    kept: Destination | None
    """The destination's row, where the cause is about a destination."""
    decisions: list[tuple[Cause, BulkAction, int]]
    """The possible actions on failed deliveries, each with the number of these."""
    sample: list[Line]
    anchors: list[str]

    @property
    def has_both(self) -> bool:
        """Whether both a retry and a replay are offered."""
        offered = {action for _cause, action, _number in self.decisions}
        return self.cause.kind is Kind.DEAD and {BulkAction.RETRY, BulkAction.REPLAY} <= offered


@pages.get("/attention")
def index() -> ResponseReturnValue:
    sent = forms.sent()
    with runtime.journal.database.read() as connection:
        standing = layout.standing(connection)
    if person.accounts is None:
        with suppress(JournalError):  # what needs a person is shown also where nothing can be written
            _note(standing)
    listening = _listening()
    with runtime.journal.database.read() as connection:
        known = causes.noted(connection)
        has_events = bool(queries.accounts(connection))
        kept = destinations.load(connection)
        taken: set[str] = set()
        facts = facts_of(connection, standing, person.accounts)
        sample = {id_ for one in facts for id_ in one.sample}
        shown = {line.row["id"]: line for line in lines(connection, queries.events_of(connection, sample))}
        cards = [
            _card(cause, of_cause, known.get(cause.key), kept, listening, taken, shown)
            for cause, of_cause in zip(standing, facts, strict=True)
        ]
        # Only people who see all accounts may see who did what.
        gone = causes.resolved(connection) if person.accounts is None else []
        trail = audit.newest(connection, TRAIL_READ) if gone else []
        resolved = [(one, title_of_noted(one), _who_did(one, trail)) for one in gone]
    return layout.page(
        "attention.html",
        sent.status,
        sent=sent,
        cards=sorted(cards, key=lambda card: card.noted is not None and card.noted.seen_by is not None),
        unseen=sum(card.noted is None or card.noted.seen_by is None for card in cards),
        resolved=resolved,
        broken={
            name: [(one.line, finding_words(one)) for one in found[:3]] for name, found in layout.broken_files().items()
        },
        by_api={name for name in runtime.destinations if runtime.is_api(name)},
        failed_to=sorted({cause.about for cause in standing if cause.kind is Kind.DEAD}),
        mappings=sorted(listening),
        known_mappings={one.name for one in layout.seen_mappings()},
        has_events=has_events,
    )


def _note(standing: Sequence[Cause]) -> None:
    with runtime.journal.database.read() as connection:
        if not causes.is_news(standing, causes.noted(connection)):
            return
    with runtime.journal.database.write() as connection:
        causes.note(connection, standing, layout.now_ms())


def _card(
    cause: Cause,
    facts: Facts,
    noted: Noted | None,
    kept: dict[str, Destination],
    listening: frozenset[str],
    taken: set[str],
    shown: Mapping[int, Line],
) -> Card:
    # One alert may be about several cards: its link leads to the first.
    anchors = [one for one in cause.anchors if one not in taken]
    taken.update(anchors)
    failed = [(cause, facts)] if cause.kind is Kind.DEAD else zip(cause.dead, facts.died, strict=True)
    decisions = [(dead, action, dead.number) for dead, of_dead in failed for action in _possible(of_dead, listening)]
    row = kept.get(cause.about) if cause.kind in {Kind.DEAD, Kind.PAUSED, Kind.CIRCUIT} else None
    code = pause_code(row.paused_reason) if row and cause.kind is Kind.PAUSED else cause.code
    return Card(
        cause,
        title_of(cause),
        facts,
        reason(code),
        noted,
        row,
        decisions,
        [shown[id_] for id_ in facts.sample if id_ in shown],
        anchors,
    )


def _possible(facts: Facts, listening: frozenset[str]) -> list[BulkAction]:
    """Return which actions can change any of the deliveries. A replay needs a mapping that is on: without one the
    delivery would only be discarded."""
    can = {
        BulkAction.RETRY: facts.can_retry,
        BulkAction.REPLAY: not listening.isdisjoint(facts.replayable),
        BulkAction.DISCARD: facts.number > 0,
    }
    return [action for action, is_possible in can.items() if is_possible]


def _listening() -> frozenset[str]:
    return frozenset(one.name for one in layout.seen_mappings() if one.enabled)


# ---------------------------------------------------------------- words

_TITLES = {
    Kind.PAUSED: N_("Destination {about} is paused"),
    Kind.UNSET: N_("Destination {about} is not connected to Clint"),
    Kind.CIRCUIT: N_("Destination {about} fails for several customers"),
    Kind.MAPPING: N_("The file of mapping {about} has an error and is not used"),
    Kind.REFUSED: N_("An active mapping can't run in this version"),
    Kind.UNHEARD: N_("No mapping is on for account {about}: none of its events go to Clint"),
}


def title_of(cause: Cause) -> str:
    """Return what happened, in the reader's words."""
    return cause_title(cause.kind, cause.code, cause.about, layout.notice_texts(cause.told[0])[0] if cause.told else "")


def title_of_noted(one: Noted) -> str:
    words = notice_words(one.code)
    return cause_title(Kind(one.kind), one.code, one.about, words.title if words else one.code)


def cause_title(kind: Kind, code: str, about: str, of_notice: str) -> str:
    """Return what happened; `of_notice` is the title of the notice that says it."""
    if kind is Kind.OVERLAP:
        return _("“{mapping}” is not the only mapping that sends its events", mapping=layout.mapping_title(about))
    if kind in _TITLES:
        return _(_TITLES[kind], about=about)
    if kind is Kind.NOTICE:
        return _("{title} ({about})", about=about, title=of_notice)
    known = reason(code)
    means = known.means if known else _("A reason that this version does not know")
    return layout.capital(means)


def concern_of(cause: Cause) -> str:
    """Return a cause as one line of the overview."""
    known = reason(cause.code)
    why = known.means if known else _("a reason that this version does not know")
    if cause.kind is Kind.DEAD:
        return ngettext(
            "{n} delivery to {destination} failed: {why}",
            "{n} deliveries to {destination} failed: {why}",
            cause.number,
            destination=cause.about,
            why=why,
        )
    if cause.kind is Kind.HELD:
        return ngettext("{n} event on hold: {why}", "{n} events on hold: {why}", cause.number, why=why)
    return title_of(cause)


_BY_ABOUT = {
    Kind.PAUSED: {"destination.resumed", "destination.changed"},
    Kind.CIRCUIT: {"destination.resumed", "destination.paused", "destination.changed"},
    Kind.UNSET: {"destination.added", "destination.changed"},
    Kind.HELD: {"account.changed", "account.removed", "account.added"},
    Kind.MAPPING: {"mapping.saved", "mapping.restored", "mapping.switched_on", "mapping.switched_off"},
    Kind.UNHEARD: {"account.removed"},
    Kind.OVERLAP: {"mapping.saved", "mapping.restored", "mapping.switched_on", "mapping.switched_off"},
}
"""The changes that fix a cause whose `about` they name."""


def _who_did(one: Noted, trail: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of the audit trail that fixed a cause, oldest first."""
    until_ms = (one.resolved_ms or 0) + 60_000
    of_time = [entry for entry in trail if one.since_ms <= entry["at_ms"] <= until_ms]
    return [entry for entry in reversed(of_time) if _is_of(one, entry)][:10]


def _is_of(one: Noted, entry: dict[str, Any]) -> bool:
    action, about, detail = entry["action"], entry["about"], entry["detail"]
    if action in {"cause.seen", "cause.unseen"}:
        return bool(about == one.key)
    if action.startswith("bulk."):
        is_named = detail.get("cause") == one.key
        return is_named or (one.kind == Kind.DEAD and one.code in about and detail.get("destination") == one.about)
    if action in {"delivery.retried", "delivery.discarded"}:
        return one.kind == Kind.DEAD and (detail.get("code"), detail.get("destination")) == (one.code, one.about)
    if action == "notice.closed":
        return one.kind == Kind.NOTICE and (detail.get("code"), detail.get("about")) == (one.code, one.about)
    if one.kind == Kind.NOTICE and action.startswith(("webhook.", "account.")):
        return bool(about == one.about)
    if one.code == NO_TOKEN:
        return bool(action.startswith("clint.token_"))
    return action in _BY_ABOUT.get(Kind(one.kind), set()) and about == one.about


# ---------------------------------------------------------------- states of a cause


@pages.post("/attention/causes/<place>/seen")
def see(place: str) -> ResponseReturnValue:
    """Note, for everybody, that this person has seen a cause."""
    return _mark(place, seen=True)


@pages.post("/attention/causes/<place>/unseen")
def unsee(place: str) -> ResponseReturnValue:
    """Remove the note that somebody has seen a cause."""
    return _mark(place, seen=False)


def _mark(place: str, *, seen: bool) -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        standing = layout.standing(connection)
    cause = next((one for one in standing if one.anchor == place), None)
    if cause is None:
        layout.flash_message(_("That is resolved already."), "neutral")
        return layout.go("console.attention.index")
    if person.accounts is None:
        _note(standing)
    with runtime.journal.database.write() as connection:
        if seen:
            causes.see(connection, cause, person.author, layout.now_ms())
        else:
            causes.unsee(connection, cause)
        action = "cause.seen" if seen else "cause.unseen"
        audit.note(connection, person.actor, action, cause.key, layout.now_ms())
    return layout.go("console.attention.index", _anchor=cause.anchor)


@pages.post("/attention/notices/<int:id_>/close")
def close(id_: int) -> ResponseReturnValue:
    with runtime.journal.database.write() as connection:
        if person.accounts is not None and id_ not in {one.id for one in layout.open_notices(connection)}:
            raise NotFound
        about = {one.id: {"code": one.code, "about": one.about} for one in notices.open_notices(connection)}
        closed = notices.close(connection, id_, runtime.clock_ms())
    if closed:
        layout.note("notice.closed", str(id_), about.get(id_))
        layout.flash_message(_("Notice dismissed; it comes back when the problem is seen again."))
    is_connections = request.form.get("page") == "connections"
    return layout.go("console.connections.show" if is_connections else "console.attention.index")


@pages.post("/attention/destinations/<name>/resume")
def resume(name: str) -> ResponseReturnValue:
    resumed = actions.resume(runtime.journal, name, runtime.clock_ms(), by=person.actor)
    layout.flash_message(layout.resumed_words(name, resumed))
    return layout.go("console.attention.index")


# ---------------------------------------------------------------- decisions about many


def _chosen(decision: BulkAction, until_ms: int) -> DeadFilter:
    """Return the filter of the deliveries that the form names and that the decision can change."""
    asked = request.values
    return DeadFilter(
        asked.get("code", ""),
        asked.get("mapping", ""),
        asked.get("destination", ""),
        answer=asked.get("answer"),
        since_ms=moment_ms(asked.get("since", "")),
        with_payload=decision is BulkAction.RETRY,
        with_body=decision is BulkAction.REPLAY,
        of=_listening() if decision is BulkAction.REPLAY else None,
        until_ms=until_ms,
        accounts=person.accounts,
    )


def moment_ms(text: str) -> int | None:
    """Return a day or a minute of a form (yyyy-mm-ddThh:mm) in Brasília; None for any other text."""
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M").replace(tzinfo=BRASILIA)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return day_ms(text)


def _decision() -> BulkAction:
    asked = request.values.get("decision", "")
    return layout.found(BulkAction(asked) if asked in set(BulkAction) else None)


@pages.get("/attention/confirm")
def confirm() -> ResponseReturnValue:
    """Show how many deliveries a decision is about, some of them, and what a replay of the first would change."""
    decision = _decision()
    chosen = _chosen(decision, layout.now_ms())
    with runtime.journal.database.read() as connection:
        facts = causes.dead_facts(connection, chosen)
        sample = lines(connection, queries.events_of(connection, facts.sample)) if facts.sample else []
        oldest = queries.dead_page(connection, chosen, limit=TALLIED) if decision is BulkAction.REPLAY else []
    previews = _previews(oldest)
    return layout.page(
        "attention_confirm.html",
        decision=decision,
        chosen=chosen,
        facts=facts,
        total=min(facts.number, bulk.MOST_ITEMS),
        since=request.args.get("since", "") if chosen.since_ms is not None else "",
        is_unread=bool(request.args.get("since")) and chosen.since_ms is None,
        sample=sample,
        previews=previews[:PREVIEWED],
        known_lines=of_events([one.event_id for one in previews[:PREVIEWED]]),
        tally=jobs.tally([asdict(one) for one in previews]),
        known=reason(chosen.code),
    )


def _previews(dead: Sequence[tuple[int, int, str]]) -> list[Preview]:
    """Return what a replay of these deliveries (number, event and mapping) would make of their events."""
    mappings: dict[int, set[str]] = {}
    for _id, event_id, mapping in dead:
        mappings.setdefault(event_id, set()).add(mapping)
    found = []
    for one in previews_now(sorted(mappings), None) if mappings else []:
        outcomes = tuple(outcome for outcome in one.outcomes if outcome.mapping in mappings[one.event_id])
        nobody = Unheard.NOBODY if not outcomes and not one.problem else None
        found.append(replace(one, outcomes=outcomes, unheard=one.unheard or nobody))
    return found


@pages.post("/attention/run")
def run() -> ResponseReturnValue:
    """Start the job of a decision; it continues after the person leaves the page."""
    decision = _decision()
    chosen = _chosen(decision, layout.number(request.form.get("until_ms")) or layout.now_ms())
    with runtime.journal.database.read() as connection:
        cause = next((one.key for one in layout.standing(connection) if _is_about(one, chosen)), "")
        params = bulk.of_deliveries(connection, decision, chosen, person.actor, layout.now_ms(), cause=cause)
    if not params["ids"]:
        layout.flash_message(_("Nothing is left in this group."), "neutral")
        return layout.go("console.attention.index")
    return jobs.begin_bulk(bulk.KIND, chosen.destination, params)


def _is_about(cause: Cause, chosen: DeadFilter) -> bool:
    same = (chosen.code, chosen.destination, chosen.answer)
    return any(same == (one.code, one.about, one.answer) for one in (cause, *cause.dead) if one.kind is Kind.DEAD)


@pages.post("/attention/replay")
def replay() -> ResponseReturnValue:
    """Preview the replay of a period: the changes, and the customers; nothing is sent."""
    form, listening = request.form, _listening()
    mapping = form.get("mapping", "")
    (since_ms, until_ms), faults = period(form, needed=True)
    if since_ms is None or until_ms is None:
        wrong = {f"replay-{name}": fault for name, fault in faults.items()}
        return forms.send_back("console.attention.index", faults=wrong)
    if mapping and mapping not in listening:
        raise UsageError(N_("no active mapping is named {name!r}"), name=mapping)
    active = [item.mapping for item in runtime.mappings.current() if item.mapping.name in listening]
    active = [one for one in active if one.name == mapping or not mapping]
    with runtime.journal.database.read() as connection:
        rows = queries.replayable(connection, since_ms, until_ms)
        ids = []
        for id_, name, account in rows:
            if any(one.listens_to(name) and one.account == account for one in active):
                ids.append(id_)
            if len(ids) > MOST_REPLAYED:
                break
    if not ids:
        layout.flash_message(_("No mapping listens to an event of this period."), "warning")
        return layout.go("console.attention.index")
    if len(ids) > MOST_REPLAYED:
        text = N_("More than {n} events are of this period: choose a shorter one.")
        layout.flash_message(_(text, n=Formats(layout.now_ms()).number(MOST_REPLAYED)), "warning")
        return layout.go("console.attention.index")
    return jobs.begin("replay_preview", mapping, jobs.replay_preview, {"mapping": mapping or None, "ids": ids})
