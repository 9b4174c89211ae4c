"""The webhook at Asaas: plan of its registration, the changes, resuming it, and the notices of its watch.

The plan is pure. A token is made here only where it is needed; Asaas never returns it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.asaas import webhooks as hooks
from bridge.asaas.webhooks import Webhook, Webhooks
from bridge.errors import AsaasRejected, BridgeError, NotFound, SettingsError, UsageError
from bridge.journal import Journal, accounts, events, notices
from bridge.journal.notices import Notice, Resolved
from bridge.logs import logger
from bridge.mapping import Mapping
from bridge.mapping.catalogue import EVENTS
from bridge.messages import N_, Message, message
from bridge.model import NoticeLevel
from bridge.pipeline.account_events import ACCESS_TOKEN
from bridge.settings import variable


@dataclass(frozen=True, slots=True)
class WantedWebhook:
    account: str
    url: str | None
    events: frozenset[str]
    token: str = field(repr=False)
    """Of the environment; may be empty."""
    send_type: str | None = None
    email: str | None = None
    new_token: bool = False


@dataclass(frozen=True, slots=True)
class WebhookPlan:
    wanted: WantedWebhook
    before: Webhook | None
    """The existing webhook, None where one is to be made."""
    token: str = field(repr=False)
    """The token to set, empty where the webhook keeps its own."""
    made_token: bool
    others: tuple[str, ...]
    """URLs of webhooks with the bridge's path on another host."""

    @property
    def loses(self) -> list[str]:
        return sorted(set(self.before.events) - self.wanted.events) if self.before else []

    @property
    def gains(self) -> list[str]:
        return sorted(self.wanted.events - set(self.before.events)) if self.before else []


@dataclass(frozen=True, slots=True)
class WebhookResult:
    plan: WebhookPlan
    webhook: Webhook
    changed: tuple[Message, ...]
    refused: tuple[str, ...] = ()
    """Events that Asaas does not take; the webhook subscribes to the others."""


def not_taken(names: Collection[str]) -> Message:
    """Return the advice about events that Asaas may not accept; empty without any."""
    what = N_("Asaas may not have {events}; correct the name, or take it out of the mapping")
    return message(what, events=", ".join(sorted(names))) if names else Message("")


def events_wanted(mappings: Iterable[Mapping], account: str, *, every: bool, account_events: bool) -> frozenset[str]:
    """Return the events to subscribe to; raise UsageError where there is none."""
    names = hooks.needed_events(mappings, account)
    if every:
        return names | EVENTS.keys()
    if account_events:
        names |= {event.name for event in EVENTS.values() if event.family in {"ACCOUNT_STATUS", "ACCESS_TOKEN"}}
    if not names:
        what = N_("no enabled mapping names an event of account {account}")
        hint = N_("write one (see: bridge mappings lint), or subscribe to every event with --all")
        raise UsageError(what, hint=hint, account=account)
    return names


def plan(webhooks: Sequence[Webhook], wanted: WantedWebhook) -> WebhookPlan:
    """Return the change to make; raise where the environment's token or the URL can't be used."""
    name = variable("ASAAS_WEBHOOK_TOKEN", wanted.account)
    if wanted.token and (problem := hooks.problem(wanted.token)):
        what = N_("{name} {rule}; unset it, and the bridge makes one that Asaas takes")
        raise SettingsError([message(what, name=name, rule=problem)])
    found = hooks.find_ours(webhooks, wanted.account, wanted.url)
    others = tuple(one.url for one in hooks.find_ours(webhooks, wanted.account) if one not in found)
    if len(found) > 1:
        what, hint = N_("{number} webhooks lead to the bridge"), N_("name one by its address with --url")
        raise UsageError(what, hint=hint, number=len(found))
    before = found[0] if found else None
    if before is None and wanted.url is None:
        hint = N_("give it with --url, such as https://bridge.example.com, or set BRIDGE_PUBLIC_URL")
        raise UsageError(N_("the bridge can't know under which address Asaas reaches it"), hint=hint)
    if before is not None and before.api_version != hooks.API_VERSION:
        other = hooks.of_version(before, wanted.account)
        raise UsageError(other.what, where=before.url, hint=other.mend)
    makes = wanted.new_token or (not wanted.token and not (before and before.has_token))
    return WebhookPlan(wanted, before, hooks.generate() if makes else wanted.token, makes, others)


def apply(webhooks: Webhooks, planned: WebhookPlan) -> WebhookResult:
    """Make or change the webhook; of events unknown to the bridge, subscribe to those that Asaas takes."""
    wanted, has = planned.wanted, frozenset(planned.before.events if planned.before else ())
    new = wanted.events - EVENTS.keys() - has
    try:
        return _apply(webhooks, planned)
    except AsaasRejected:
        if not new or new == wanted.events:
            raise
    done = _apply(webhooks, replace(planned, wanted=replace(wanted, events=wanted.events - new)))
    webhook, changed, refused = done.webhook, done.changed, []
    for name in sorted(new):
        try:
            webhook = webhooks.update(webhook, {"events": sorted({*webhook.events, name})})
            changed += (message(N_("subscribed to {events}"), events=name),)
        except BridgeError:  # the result of this function shows a new token for the only time
            refused.append(name)
    return WebhookResult(planned, webhook, changed, tuple(refused))


def _apply(webhooks: Webhooks, planned: WebhookPlan) -> WebhookResult:
    wanted, before = planned.wanted, planned.before
    done = [] if before else [Message(N_("the webhook was made"))]
    try:
        if before is None:
            after = webhooks.create(
                url=wanted.url or "",
                events=wanted.events,
                token=planned.token,
                send_type=wanted.send_type or hooks.SEND_TYPES[0],
                email=wanted.email,
            )
        else:
            changes, done = _changes(planned, before)
            after = webhooks.update(before, changes) if changes else before
    except AsaasRejected as error:
        hint = error.hint
        if before is None:
            hint = Message(
                N_("an account has ten webhooks at most") if wanted.email else N_("give an address with --email")
            )
        hint = not_taken(wanted.events - EVENTS.keys()) or hint
        raise AsaasRejected(error.what, where=error.where, hint=hint) from None
    return WebhookResult(planned, after, tuple(done))


def _changes(planned: WebhookPlan, before: Webhook) -> tuple[dict[str, Any], list[Message]]:
    """Return the fields to change, by Asaas's names, and a summary of the changes."""
    wanted, had = planned.wanted, set(before.events)
    changes: dict[str, Any] = {}
    done = []
    if before.url.endswith("/"):
        changes["url"] = before.url.rstrip("/")
        done.append(Message(N_("without the slash at the end of its URL")))
    if had != wanted.events:
        changes["events"] = sorted(wanted.events)
        if planned.gains:
            done.append(message(N_("subscribed to {events}"), events=", ".join(planned.gains)))
        if planned.loses:
            done.append(message(N_("no longer subscribed to {events}"), events=", ".join(planned.loses)))
    if wanted.send_type and wanted.send_type != before.send_type:
        changes["sendType"] = wanted.send_type
        what = N_("sends {send_type}, before {before}")
        done.append(message(what, send_type=wanted.send_type, before=before.send_type))
    if not before.enabled:
        changes["enabled"] = True
        done.append(Message(N_("switched on")))
    if planned.token:
        changes["authToken"] = planned.token  # Asaas does not return its token, which may be a wrong one
    if planned.made_token:
        done.append(Message(N_("a new token")))
    return changes, done


def resumed(webhooks: Webhooks, account: str, url: str | None) -> list[tuple[Webhook, list[str]]]:
    """Start interrupted queues and remove penalties; return the bridge's webhooks with `started` and `forgiven`.

    Raises NotFound where no webhook of the account leads to the bridge.
    """
    results = []
    for one in found_ours(webhooks, account, url):
        done = []
        if one.interrupted:
            webhooks.update(one, {"interrupted": False})
            done.append("started")
        if one.penalised:
            webhooks.remove_backoff(one)
            done.append("forgiven")
        results.append((one, done))
    return results


def found_ours(webhooks: Webhooks, account: str, url: str | None) -> list[Webhook]:
    """Return the account's webhooks that lead to the bridge; raise NotFound where there is none."""
    found = hooks.find_ours(webhooks.all(), account, url)
    if not found:
        what = N_("account {account} has no webhook at Asaas that leads to the bridge")
        raise NotFound(what, hint=N_("see: bridge webhook status"), account=account)
    return found


log = logger(__name__)


def judge(
    journal: Journal, account: str, found: Sequence[Webhook], mappings: Iterable[Mapping], public_url: str, now_ms: int
) -> None:
    """Raise and close the account's notices by the state of its webhooks at Asaas."""
    wants = hooks.needed_events(mappings, account)
    url = hooks.hook_url(public_url, account) if public_url else None
    # An account without a mapping needs no webhook.
    wrong = hooks.problems(hooks.find_ours(found, account, url), wants, account) if wants else []
    with journal.database.read() as connection:
        keys = notices.open_notices(connection, [ACCESS_TOKEN])
        open_since = [one.raised_ms for one in notices.open_notices(connection, ["webhook.interrupted"], account)]
        received_ms = events.last_received_ms(connection, account)
    codes = {problem.code for problem in wrong}
    if "webhook.interrupted" in codes:
        # Asaas does not tell since when an event waits: it came after the last received one, and at the latest when the
        # queue was found interrupted.
        since_ms = min([now_ms, *open_since, *([] if received_ms is None else [received_ms])])
        if late := hooks.retention(since_ms, now_ms, account):
            wrong.append(late)
            codes.add(late.code)
    resolved = [Resolved(code, account) for code in (*hooks.CODES, hooks.KEY_REFUSED) if code not in codes]
    # The bridge's key works, so an expired or disabled key is another one.
    resolved += [
        Resolved(one.code, one.about)
        for one in keys
        if one.about.startswith(f"{account}/") and one.level == NoticeLevel.ERROR
    ]
    raised = [Notice(one.code, account, one.level, one.what, one.mend) for one in wrong]
    apply_notices(journal, [*raised, *resolved], now_ms)


def note_registered(
    journal: Journal, account: str, webhook: Webhook, mappings: Iterable[Mapping], public_url: str, now_ms: int
) -> None:
    """Judge a webhook that was just registered, and keep its public address, with which links of messages begin."""
    judge(journal, account, [webhook], mappings, public_url, now_ms)
    with journal.database.write() as connection:
        accounts.put_public_url(connection, webhook.url.rpartition("/webhooks/")[0])


def apply_notices(journal: Journal, said: Iterable[Notice | Resolved], now_ms: int) -> None:
    """Raise and close notices, and log the changes."""
    with journal.database.write() as connection:
        changed = notices.apply(connection, said, now_ms)
    for one in changed:
        if isinstance(one, Notice):
            facts = {"code": one.code, "about": one.about, "level": one.level.value}
            log.warning("notice.raised", **facts, detail=str(one.detail))
        else:
            log.info("notice.closed", code=one.code, about=one.about)
