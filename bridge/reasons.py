"""What reason codes and notice codes mean and what to do about them, in the current language.

Every code that the journal keeps beside a delivery, an attempt or a held event stands in `REASONS` (a test looks for
each in the source). The codes are stable, the sentences are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from bridge.messages import N_, Message, _, read_message, verbatim
from bridge.model import Waiting


class Then(StrEnum):
    """What follows on the fix."""

    RETRY = "retry"  # the same payload again
    REPLAY = "replay"  # the event through today's mappings
    NOTHING = ""


class Reason(NamedTuple):
    """What a code means, its most likely cause, what to do, and what follows on that.

    In `REASONS` the texts are message ids; lower case without a full stop, since they stand inside other texts.
    """

    means: str
    cause: str = ""
    todo: str = ""
    then: Then = Then.NOTHING

    def translated(self) -> Reason:
        """Return the reason in the current language."""
        return Reason(_(self.means), _(self.cause), _(self.todo), self.then)


class AlertWords(NamedTuple):
    """The title of a notice and what to do; in `WORDS` the texts are message ids."""

    title: str
    todo: str
    page: str = ""
    """What to do in the console, where `todo` names commands."""

    @property
    def in_console(self) -> str:
        return self.page or self.todo


WAITS = {
    None: N_("is sent next"),
    Waiting.BACKOFF: N_("next try {when}"),
    Waiting.PACE: N_("waits for its turn under the destination's rate limit, {when}"),
    Waiting.CIRCUIT: N_("the destination fails for several customers; it is probed {when}"),
    Waiting.PAUSED: N_("waits until the destination is resumed"),
}
"""What an open delivery that is the first of its line waits for."""


def waits_for(waiting: str | None, due_ms: int | None, now_ms: int, when: str) -> str:
    """Return what a delivery that is pending or retrying waits for; `when` is its due time in words."""
    if due_ms is None:
        return _("waits for the delivery before it of the same customer")
    if waiting == Waiting.PAUSED or due_ms > now_ms:
        return _(WAITS[Waiting(waiting) if waiting else None], when=when)
    return _(WAITS[None])


def find_reason(code: str | None) -> Reason | None:
    """Return the reason of a code as message ids, None for an unknown code."""
    code = code or ""
    if code in REASONS and not code.endswith("xx"):
        return REASONS[code]
    status = re.fullmatch(r"clint\.http_(\d{3})", code)
    if not status:
        return None
    # 408 and 425 mean a fault of the destination, which may pass.
    refused = status[1].startswith("4") and status[1] not in {"408", "425"}
    return REASONS["clint.http_4xx" if refused else "clint.http_5xx"]


def pause_code(paused_reason: str | None) -> str:
    """Return the code of the answer that paused a destination; empty where a person did, or an older version."""
    return str(read_message(paused_reason).facts.get("code", ""))


def reason(code: str | None) -> Reason | None:
    """Return what a reason code means in the current language, None for an unknown code."""
    found = find_reason(code)
    return found.translated() if found else None


def explain(code: str | None) -> Reason | None:
    """Return the same with the command that follows in `todo`.

    >>> explain("clint.http_503").means
    'the destination has a fault of its own; the delivery is sent again'
    """
    found = reason(code)
    if found is None or not found.then:
        return found
    command = N_("then: bridge deliveries retry") if found.then is Then.RETRY else N_("then: bridge events replay")
    todo = f"{found.todo}; {_(command)}" if found.todo else _(command)
    return Reason(found.means, found.cause, todo, found.then)


def notice_words(code: str) -> AlertWords | None:
    """Return title and fix of a notice in the current language, None for an unknown code."""
    words = WORDS.get(code)
    return AlertWords(*map(_, words)) if words else None


def deal_said(detail: str | None) -> str:
    """Return what was found of a delivery's deal, in the current language.

    >>> deal_said('{"code": "deal.seen", "stage": "Paga", "status": "WON"}')
    'this delivery created or changed a deal (stage Paga, status Won)'
    """
    return deal_message(detail).text()


def deal_message(detail: str | None, *, with_texts: bool = True, with_differences: bool = True) -> Message:
    """Return what was found of a delivery's deal; a column of an older version holds the sentence itself.

    What differs is named with what was sent and what is seen; without texts, which may be personal data, it is named
    only.
    """
    try:
        facts = json.loads(detail or "")
        code = facts.pop("code")
    except (ValueError, AttributeError, KeyError):
        return verbatim(detail) if detail else Message("")
    found = find_reason(code)
    differences, unseen = facts.pop("differences", ()), facts.pop("unseen", ())
    said = {name: deal_status(value) if name in _OF_STATUS else value for name, value in facts.items()}
    parts = {name: Message(_DEAL_FACTS.get(name, "{value}"), {"value": value}) for name, value in said.items()}
    for number, one in enumerate(differences if with_differences else (), 1):
        told = _difference(one)
        whole = Message(N_("{name}: sent {wanted}, seen {seen}"), told._asdict())
        parts[f"difference{number}"] = whole if with_texts else told.name
    if unseen:
        names = ", ".join(f"{{name{number}}}" for number in range(1, len(unseen) + 1))
        named = {f"name{number}": _name(one) for number, one in enumerate(unseen, 1)}
        parts["unseen"] = Message(N_("not shown by Clint: {names}"), {"names": Message(names, named)})
    more = ("; " if "difference1" in parts else ", ").join(f"{{{name}}}" for name in parts)
    means = Message(found.means) if found else code
    return Message(f"{{means}} ({more})" if more else "{means}", {"means": means, **parts})


class DealDifference(NamedTuple):
    """What a deal shows otherwise than it was sent, in words."""

    name: Message
    wanted: Message
    seen: Message


def deal_differences(detail: str | None, shown: Callable[[str, str], str]) -> list[DealDifference]:
    """Return what differs; `shown` is called with each text and the key of its field."""
    try:
        found = json.loads(detail or "").get("differences", ())
    except (ValueError, AttributeError):
        return []
    masked = ("wanted", "seen")
    return [
        _difference({**one, **{name: shown(one[name], one.get("field", "")) for name in masked if name in one}})
        for one in found
    ]


def _difference(one: Mapping[str, str]) -> DealDifference:
    texts = [
        Message(N_("nothing"))
        if not (text := one.get(name))
        else deal_status(text)
        if one["what"] == "status"
        else Message("“{text}”", {"text": text})
        for name in ("wanted", "seen")
    ]
    field = one.get("field")
    return DealDifference(Message(N_("field {field}"), {"field": field}) if field else _name(one["what"]), *texts)


def _name(what: str) -> Message:
    return Message(_OF_DEAL[what]) if what in _OF_DEAL else Message(N_("field {field}"), {"field": what})


_OF_DEAL = {
    "origin": N_("origin"),
    "stage": N_("stage"),
    "status": N_("status"),
    "value": N_("value"),
    "user": N_("user"),
}
_DEAL_FACTS = {
    "stage": N_("stage {value}"),
    "status": N_("status {value}"),
    "wanted": N_("expected {value}"),
    "origin": N_("in origin {value}"),
}

_OF_STATUS = ("status", "wanted")
_DEAL_STATES = {"OPEN": N_("Open"), "WON": N_("Won"), "LOST": N_("Lost")}


def deal_status(code: str) -> Message:
    """Return the status of a deal in words, as Clint or a mapping writes it; another one as it is.

    >>> str(deal_status("won")) == str(deal_status("WON")) != "won"
    True
    """
    return Message(_DEAL_STATES.get(code.upper(), code))


_then_retry = partial(Reason, then=Then.RETRY)
_then_replay = partial(Reason, then=Then.REPLAY)

_COPY_URL = N_("copy the integration's URL from Clint into the destination's variable and restart the bridge")
_TRIED_AGAIN = N_("nothing at first: it is tried again by itself; if it lasts, ask Clint's support")
_SEE_HISTORY = N_("look at Históricos of the integration in Clint")
_SEE_CHECKLIST = N_("look at Históricos of the integration in Clint; see: bridge mappings checklist")
_FIX_MAPPING = N_("fix the mapping")

_LET_IN = _then_retry(
    N_("the destination does not let the bridge in"),
    N_("the integration's URL is another one now, or was copied incompletely"),
    _COPY_URL,
)

REASONS: Mapping[str, Reason] = {
    # The mapping said no.
    "filter.installment": Reason(N_("the mapping takes only the first instalment of a plan")),
    "filter.once": Reason(N_("the mapping sends one delivery for each instalment plan, and that one exists")),
    "filter.compare": Reason(N_("a condition of the mapping's filter did not hold")),
    "filter.exists": Reason(N_("the mapping's filter wants a field that this event does not have")),
    "filter.absent": Reason(N_("the mapping's filter wants a field to be absent, and this event has it")),
    "filter.expression": Reason(N_("the expression of the mapping's filter did not hold")),
    "filter.any": Reason(N_("none of the conditions of which the mapping's filter wants one held")),
    "filter.not": Reason(N_("a condition held that the mapping's filter excludes")),
    # No payload could be made.
    "filter.failed": _then_replay(
        N_("a condition of the filter can't be judged on this event"),
        N_("a value of another kind than the condition compares, such as a text where it wants a number"),
        N_("fix the mapping's filter"),
    ),
    "transform.expression": _then_replay(
        N_("an expression of the mapping can't be evaluated on this event"),
        N_("a function was given a value that it can't read, such as a date that is none"),
        _FIX_MAPPING,
    ),
    "transform.required_missing": _then_replay(
        N_("a field that the mapping requires has no value in this event"),
        N_("the record in Asaas is incomplete: the reason names the field"),
        N_("fill it in at Asaas, or take `required` out of the mapping"),
    ),
    "transform.no_contact": _then_replay(
        N_("the payload has neither an e-mail nor a phone, so Clint could find no contact"),
        N_("the customer's record in Asaas has neither, or a phone that is none"),
        N_("fill in one of them in the customer's record at Asaas"),
    ),
    "transform.no_deal_key": _then_replay(
        N_("nothing in this event says which deal it is about"),
        N_("the expression of `one_deal_per` has no value, or the event's object has no code"),
        N_("let `one_deal_per` name something that each event has"),
    ),
    "bridge.fault": _then_replay(
        N_("the bridge itself has a fault that this event triggers"),
        todo=N_("report it with the worker's log record mapping.fault of this event; after an update"),
    ),
    # Asaas could not say what the mapping needs.
    "asaas.rejected": _then_replay(
        N_("the Asaas API refuses the request for what the mapping needs as wrong"),
        N_("the event carries an id that the Asaas API does not take"),
        N_("look at the id in the event's body"),
    ),
    "asaas.not_found": _then_replay(
        N_("Asaas answers 404: the account of the API key has no such customer or charge"),
        N_("the key is of another account or environment than the event, or the customer was removed"),
        N_("see that the API key is of the account and environment that the event came from"),
    ),
    "asaas.unavailable": Reason(N_("the Asaas API does not answer; the event waits and is tried again")),
    "asaas.rate_limited": Reason(N_("Asaas asked the bridge to slow down; the event waits as long as Asaas said")),
    "asaas.quota_spent": Reason(
        N_("the account's quota of requests in 12 hours is nearly used up; the event waits until it is renewed"),
        N_("another program asks the Asaas API with the same account"),
        N_("find what else asks the Asaas API with this account's key"),
    ),
    "asaas.key_refused": Reason(
        N_("Asaas refuses the account's API key; the event waits and is tried again each minute"),
        N_("the key was removed or has expired, is of the other environment, or may not read what the mapping needs"),
        N_(
            "give the account a valid key of the right environment: bridge accounts add NAME; where the environment "
            "sets it up, set ASAAS_API_KEY (or that of the account) there and restart the bridge"
        ),
    ),
    "asaas.key_missing": Reason(
        N_("the mapping needs what only the Asaas API knows, and the account has no key; the event waits"),
        todo=N_(
            "give the account a key: bridge accounts add NAME; where the environment sets it up, set ASAAS_API_KEY (or "
            "that of the account) there and restart the bridge"
        ),
    ),
    "mapping.refused": Reason(
        N_("a mapping that is active can't run in this version of the bridge, so every event waits"),
        N_("the bridge was put back to an older version than the mapping was written for"),
        N_("fix or remove it: bridge mappings lint"),
    ),
    "event.behind": Reason(N_("an earlier event of the same customer waits, and order is kept")),
    # What the destination answered.
    "clint.ok": Reason(
        N_("the destination accepted it; Clint's Históricos of the integration show whether there is a deal")
    ),
    "clint.removed": Reason(
        N_("the integration was removed in Clint; the destination is paused and its deliveries wait"),
        N_("the integration was deleted in Clint, or made again with another URL"),
        _COPY_URL,
    ),
    "clint.url": Reason(
        N_("the destination's URL can't be used; it is paused and its deliveries wait"),
        N_("the URL in the environment is cut off or is no https URL"),
        _COPY_URL,
    ),
    "clint.redirect": _then_retry(
        N_("the destination's URL leads elsewhere, and redirects are not followed"), todo=_COPY_URL
    ),
    "clint.payload": _then_replay(N_("the payload holds a value that JSON does not know"), todo=_FIX_MAPPING),
    "clint.timeout": Reason(
        N_("the destination did not answer in time; it may have accepted the payload"),
        N_("Clint is slow, or the network to it is"),
        _TRIED_AGAIN,
    ),
    "clint.connection": Reason(
        N_("the connection to the destination failed"),
        N_("Clint is down, or this machine's network does not reach it"),
        N_("check this machine's network and firewall; it is tried again by itself"),
    ),
    "clint.dns": Reason(
        N_("the name of the destination's host could not be resolved"),
        N_("this machine's name server does not answer, or the URL's host is misspelt"),
        N_("check the URL and this machine's name server; it is tried again by itself"),
    ),
    "clint.tls": Reason(
        N_("no secure connection to the destination could be made"),
        N_("the host's certificate is not valid, or this machine's clock is wrong"),
        N_("check the URL and this machine's clock; it is tried again by itself"),
    ),
    "clint.private_address": Reason(
        N_("the destination's name leads to this machine or network, where nothing is sent"),
        todo=N_("fix the URL; for a test on this machine set BRIDGE_ALLOW_PRIVATE_DESTINATIONS=1"),
    ),
    # What came of a delivery by Clint's API.
    "clint.deal_created": Reason(N_("the bridge created the deal in Clint")),
    "clint.deal_updated": Reason(N_("the bridge changed the deal in Clint")),
    "clint.deal_unchanged": Reason(N_("the deal in Clint was so already, and nothing was written")),
    "clint.deal_kept": Reason(
        N_("a person moved the deal in Clint; it stays in their stage and status, and its values are up to date"),
        todo=N_("nothing; where the mapping must win: moved_by_person: override"),
    ),
    "clint.deal_removed": _then_replay(
        N_("the deal was removed in Clint, and the mapping leaves it so"),
        N_("a person removed the deal"),
        N_("nothing; where it must be made again: removed: make_again in the mapping's funnel"),
    ),
    "clint.deal_gone": Reason(
        N_("what the bridge was about to write to is gone in Clint; the next try looks again and decides"),
        N_("a person removed the deal or its contact, or merged the contact with another"),
    ),
    "clint.key_busy": Reason(N_("another delivery works on the same deal or contact; this one goes next")),
    "clint.create_unknown": Reason(
        N_("the answer to a create was lost; before anything is created again the bridge looks for it in Clint")
    ),
    "clint.update_unknown": Reason(
        N_("the answer to a change was lost; the next try reads the deal and writes only what is missing")
    ),
    "clint.deal_may_appear": Reason(
        N_("a deal may have been created and Clint does not show it yet; the bridge waits and looks again")
    ),
    "clint.contact_may_appear": Reason(
        N_("a contact may have been created and Clint does not show it yet; the bridge waits and looks again")
    ),
    "clint.not_everywhere": Reason(
        N_("Clint did not list its deals of every status, so whether the deal exists is not known; it is tried again")
    ),
    "clint.not_recorded": Reason(
        N_("the journal did not answer in the middle of a delivery; the next try looks at what was done in Clint")
    ),
    "clint.api_turn": Reason(N_("the requests to Clint's API wait for their turn (CLINT_API_RATE_LIMIT)")),
    "clint.token": Reason(
        N_("Clint refuses the API token; the destination is paused and its deliveries wait"),
        N_("the token was removed or copied incompletely"),
        N_(
            "make a new token in Clint and run: bridge clint set-token; where CLINT_API_TOKEN is set, put it there, "
            "start the bridge again and resume the destination"
        ),
    ),
    "clint.plan": Reason(
        N_("Clint does not allow the request; the destination is paused and its deliveries wait"),
        N_("the account's plan has no API (it needs Elite), or the token may not write deals"),
        N_("check the plan and the token's rights in Clint, then resume the destination"),
    ),
    "clint.origin_gone": Reason(
        N_("Clint has no such origin; the destination is paused and its deliveries wait"),
        N_("the origin was removed, archived or renamed in Clint"),
        N_("set the origin again (CLINT_ORIGIN, or: bridge destinations add NAME --origin) and resume the destination"),
    ),
    "clint.key_not_kept": Reason(
        N_("Clint did not keep the field by which the bridge finds a deal again; the destination is paused"),
        N_("the account has no such field for deals, or one of another type"),
        N_("make the field for deals in Clint, of the type text, and resume the destination"),
    ),
    "clint.name_unknown": _then_replay(
        N_("Clint has no stage or user of the name that the mapping gives"),
        N_("the stage was renamed in Clint, or is written differently in the mapping"),
        N_("fix the name in the mapping or in Clint"),
    ),
    "clint.refused": _then_replay(
        N_("Clint does not accept these values"),
        N_("a field that the account lacks or that has another type; the reason has Clint's words"),
        N_("fix the mapping, or make the field in Clint"),
    ),
    "clint.other_kind": _then_replay(
        N_("the payload was made for a webhook, and the destination is an origin of Clint by now"),
        N_("the destination's kind was changed while the delivery waited"),
    ),
    # What the bridge decided.
    "destination.no_token": Reason(
        N_("the destination is an origin of Clint, and no API token is set; its deliveries wait"),
        todo=N_(
            "make a token in Clint (its API needs the Elite plan) and run: bridge clint set-token; or set "
            "CLINT_API_TOKEN for all processes and start them again"
        ),
    ),
    "destination.not_set": Reason(
        N_("no URL is set for the destination; its deliveries wait"),
        todo=N_("set its CLINT_WEBHOOK_URL or CLINT_ORIGIN variable for the workers and restart them"),
    ),
    "clint.token_changed": Reason(
        N_("the token of Clint's API was changed while this was sent; the next try uses the new one")
    ),
    "destination.url_changed": Reason(
        N_("the URL of the destination was changed while this was sent; the next try goes to the new one")
    ),
    "destination.paused": Reason(
        N_("the destination is paused; its deliveries wait"), todo=N_("bridge destinations resume")
    ),
    "destination.circuit_open": Reason(
        N_("the destination fails for several customers; one delivery at a time tests whether it answers again")
    ),
    "destination.rate_limit": Reason(
        N_("the destination's rate limit has no free slot; the delivery is sent in its turn")
    ),
    "attempt.not_sent": Reason(N_("the worker's lease on the lane was about to end; the next worker sends it")),
    "attempt.unknown": Reason(
        N_("the worker ended before it knew the answer; it is sent again with the same Idempotency-Key")
    ),
    "delivery.attempts_spent": _then_retry(
        N_("every attempt failed, and the bridge makes no further one by itself"),
        N_("the reason names what went wrong in the last attempt"),
        N_("look at the last attempts and at Clint"),
    ),
    "delivery.stale": Reason(
        N_("a newer event of the same charge was already delivered, so this older one was not sent"),
        todo=N_("nothing; if it must be sent anyway: bridge deliveries retry"),
    ),
    "delivery.discarded": Reason(N_("a person discarded it")),
    "delivery.replaced": Reason(N_("a replay of the event took its place")),
    # What Clint shows of a delivery: read-back and test charge.
    "deal.seen": Reason(N_("this delivery created or changed a deal")),
    "deal.none": Reason(
        N_("Clint shows no deal of this contact"),
        N_("an unmapped key, no mapped e-mail or phone, or an integration that only updates"),
        _SEE_CHECKLIST,
    ),
    "deal.older": Reason(
        N_("the contact has deals, and none of them was created or changed since the delivery was sent"),
        N_("a key that the integration's screen does not map, or an integration that did not accept it"),
        _SEE_CHECKLIST,
    ),
    "deal.other_origin": Reason(
        N_("the contact has deals in other origins only, not in that of the destination"),
        N_("the integration belongs to another origin now, or did not accept it"),
        N_("look at Históricos in Clint; where the integration was moved: bridge destinations origin NAME"),
    ),
    "deal.other_status": Reason(
        N_("the deal has another status than this delivery should give it"),
        N_("a person changed it since, or the webhook integration sets another status"),
        N_("of a webhook: set the integration's status in Clint as bridge mappings checklist says"),
    ),
    "deal.other_stage": Reason(
        N_("a deal was changed since, but is in another stage than this integration's deals"),
        N_("a person moved it, or the integration sets another stage now"),
        _SEE_HISTORY,
    ),
    "deal.other_charge": Reason(N_("a deal was changed since, but shows another charge"), todo=_SEE_HISTORY),
    "deal.unmarked": Reason(
        N_("a deal was changed since, but shows nothing of this delivery: it may be a person or another integration"),
        N_("no field of the deal in Clint shows what the mapping sends"),
        N_("send the charge's id (codigo_asaas: payment.id) and map it to a field of the deal in Clint"),
    ),
    "deal.origin_unknown": Reason(
        N_("deals in several origins may be the one, and the destination's origin is not known"),
        todo=N_("name it: bridge destinations origin NAME ORIGIN_ID"),
    ),
    "deal.ambiguous": Reason(
        N_("another delivery of the same customer was sent about then, and nothing shows which one wrote the deal")
    ),
    "deal.differs": Reason(
        N_("the deal is not as it was sent"),
        N_("Clint did not accept all of it, a field has another type, or the integration sets something else"),
        N_(
            "compare what was sent with what is seen; fix the mapping, the field in Clint, or the integration's "
            "screen; see: bridge clint check, bridge mappings checklist"
        ),
    ),
    "deal.changed": Reason(
        N_("the deal is not as it was sent, and somebody changed it in Clint since"),
        N_("a person, or another program"),
    ),
    "deal.unsure": Reason(
        N_(
            "the deal is not as it was sent; Clint does not tell when it was changed, so a person may have changed it, "
            "or Clint does not show the change yet"
        ),
        todo=N_("open the deal in Clint and compare"),
    ),
    "deal.kept": Reason(
        N_("a person moved the deal, and it stays where they put it, as the mapping says; all else is as it was sent"),
        todo=N_("nothing; where the mapping must win: moved_by_person: override"),
    ),
    "deal.later": Reason(
        N_("a later delivery wrote to the same deal, so that it is no longer as this one sent it"),
        todo=N_("look at that delivery"),
    ),
    "deal.gone": Reason(
        N_("Clint no longer has the deal that the bridge wrote"),
        N_("a person removed it"),
    ),
    "deal.hidden": Reason(
        N_("Clint does not show the field with the deal's key, so nothing proves that it is this deal"),
        todo=N_("look for the field in Clint: bridge clint check"),
    ),
    "deal.no_contact": Reason(
        N_("the payload has neither an e-mail nor a phone to look for a deal by"), todo=_FIX_MAPPING
    ),
    # HTTP answers of a destination, by status and kind of status.
    "clint.http_400": _then_replay(
        N_("the destination can't read what was sent"),
        N_("the payload has keys or values that the integration does not know"),
        N_("compare the payload with the mapping screen in Clint; fix the mapping"),
    ),
    "clint.http_401": _LET_IN,
    "clint.http_403": _LET_IN,
    "clint.http_413": _then_replay(
        N_("the payload is larger than the destination takes"), todo=N_("send fewer or shorter fields")
    ),
    "clint.http_422": _then_replay(
        N_("the destination does not accept these values"),
        N_("a value of the wrong kind for the field it is assigned to in Clint, such as a phone without area code"),
        _FIX_MAPPING,
    ),
    "clint.http_429": Reason(N_("the destination asked the bridge to slow down; the delivery is sent later")),
    "clint.http_4xx": _then_retry(
        N_("the destination refused it"),
        N_("only its answer tells the cause"),
        N_("look at its answer in the attempts; fix what it says"),
    ),
    "clint.http_5xx": Reason(
        N_("the destination has a fault of its own; the delivery is sent again"),
        N_("Clint has an outage"),
        _TRIED_AGAIN,
    ),
}
"""Every reason code; answers of destinations by status, else by kind of status (4xx, 5xx)."""

_REGISTER = (
    N_("Run `bridge webhook register`, then `bridge reconcile`: it finds the charges that Asaas did not send."),
    N_("Register the webhook on its page under Connections, then compare the period under Reconciliation."),
)
_CHECK = N_("“Check everything” under Connections tells the cause and what to do.")
_MEND_MAPPING = N_("Open the mapping under Mappings: it says what is wrong.")
_NEW_KEY = (
    N_("Make a new key in Asaas and set ASAAS_API_KEY."),
    N_("Make a new key in Asaas and give it to the bridge: Connections, Change key."),
)
_SEE_ACCOUNT = N_("Look in Asaas: Minha Conta, Configurações.")

WORDS: Mapping[str, AlertWords] = {
    "delivery.dead": AlertWords(
        N_("Deliveries that need a person"),
        N_("See the reason with `bridge deliveries list --state dead` and decide."),
        N_("See the reasons under Needs attention and decide."),
    ),
    "delivery.not_seen": AlertWords(
        N_("Delivered, but the deal is not confirmed in Clint"),
        N_("Open the event: it says what was found, and what to do."),
    ),
    "destination.paused": AlertWords(
        N_("Destination paused: nothing is sent"),
        N_("Fix the integration's URL, or run `bridge destinations resume`."),
        N_("Fix the integration's URL, or resume the destination, under Connections."),
    ),
    "destination.circuit_open": AlertWords(
        N_("Destination fails: deliveries wait"), N_("Nothing is lost. Check that Clint is up.")
    ),
    "events.behind": AlertWords(
        N_("Events wait: no worker processes them"),
        N_("Check that the worker runs. Run `bridge doctor`: it tells the cause and what to do."),
        _CHECK,
    ),
    "events.held": AlertWords(
        N_("Events wait for Asaas"),
        N_("Nothing is lost: they continue by themselves. Is Asaas up? Run `bridge doctor`: it tells the cause."),
        N_("Nothing is lost: they continue by themselves. “Check everything” under Connections tells the cause."),
    ),
    "account.silent": AlertWords(
        N_("No event from Asaas for unusually long"),
        N_("The queue may be interrupted. Run `bridge doctor`: it says the cause and what to do."),
        _CHECK,
    ),
    "account.unheard": AlertWords(
        N_("No mapping is on for this account: none of its events go to Clint"),
        N_("Copy a mapping for the account, or switch one of its mappings on."),
    ),
    "task.failing": AlertWords(
        N_("A periodic task of the bridge does not run"),
        N_("See task.failed in the worker's log. Run `bridge doctor`: it says the cause and what to do."),
        _CHECK,
    ),
    "mapping.broken": AlertWords(
        N_("A mapping's file has an error and is not used"),
        N_("Fix it; `bridge mappings lint` says what is wrong."),
        _MEND_MAPPING,
    ),
    "mapping.refused": AlertWords(
        N_("An active mapping can't run in this version: events wait"),
        N_("Fix or remove the mapping; `bridge mappings lint` says what is wrong."),
        _MEND_MAPPING,
    ),
    "mapping.overlap": AlertWords(
        N_("A mapping sends the same events as others"),
        N_("Clint may get an event twice. Switch off those that are not needed, or divide them by a filter."),
    ),
    "alerts.failing": AlertWords(N_("Alerts do not arrive"), N_("Fix the address under Alerts, then send a test.")),
    "clint.doubled_deal": AlertWords(
        N_("Two deals in Clint for one key"),
        N_(
            "Look at both deals in Clint and remove the one that is not needed. The notice says which one the bridge "
            "goes on with."
        ),
    ),
    "reconcile.missing": AlertWords(
        N_("Charges that never arrived"),
        N_("See them with `bridge reconcile`; bring them in with `bridge backfill`."),
        N_("See them under Reconciliation and bring them in there."),
    ),
    "webhook.missing": AlertWords(N_("No webhook at Asaas leads to the bridge"), *_REGISTER),
    "webhook.disabled": AlertWords(N_("The webhook is switched off at Asaas"), *_REGISTER),
    "webhook.interrupted": AlertWords(
        N_("Asaas interrupted the queue of events"),
        N_("Fix the cause, then `bridge webhook resume`; 14 days are left."),
        N_("Fix the cause, then resume sending on the webhook's page; 14 days are left."),
    ),
    "webhook.penalised": AlertWords(
        N_("Asaas penalises the webhook for failures"),
        N_("Check that the bridge answers 200, then run `bridge webhook resume`."),
        N_("Check that the bridge answers 200, then resume sending on the webhook's page."),
    ),
    "webhook.token": AlertWords(N_("The webhook has no token at Asaas"), *_REGISTER),
    "webhook.version": AlertWords(
        N_("The webhook has another API version"),
        N_("Run `bridge webhook remove`, then `bridge webhook register`."),
        N_("Remove it in Asaas (Integrações, Webhooks), then register it on the webhook's page."),
    ),
    "webhook.slash": AlertWords(N_("The webhook's URL at Asaas ends in a slash"), *_REGISTER),
    "webhook.events": AlertWords(N_("The webhook lacks events that mappings need"), *_REGISTER),
    "webhook.several": AlertWords(
        N_("Several webhooks lead to the bridge"),
        N_("Run `bridge webhook status` and remove those that are not needed."),
        N_("The webhook's page shows them; remove those that are not needed in Asaas: Integrações, Webhooks."),
    ),
    "webhook.retention": AlertWords(
        N_("Events that wait at Asaas are deleted soon"),
        N_("Run `bridge webhook resume` now."),
        N_("Resume sending on the webhook's page now."),
    ),
    "account.key_refused": AlertWords(N_("Asaas refuses the API key"), *_NEW_KEY),
    "account.access_token": AlertWords(N_("API key expiring, expired or disabled"), *_NEW_KEY),
    "account.bank_account_info": AlertWords(N_("The Asaas account's bank account is pending"), _SEE_ACCOUNT),
    "account.commercial_info": AlertWords(N_("The Asaas account's commercial data is pending"), _SEE_ACCOUNT),
    "account.document": AlertWords(N_("The Asaas account's documents are pending"), _SEE_ACCOUNT),
    "account.general_approval": AlertWords(N_("The Asaas account's approval is pending"), _SEE_ACCOUNT),
}
"""Every notice code."""
