"""What registering the webhook changes at Asaas: planned from what is there, and done; and starting it again.

The plan is pure. A token is made here only where it is needed, and Asaas never gives it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.asaas import webhooks as asaas_webhooks
from bridge.asaas.webhooks import (
    API_VERSION,
    CODES,
    KEY_REFUSED,
    SEND_TYPES,
    Problem,
    Webhook,
    Webhooks,
    find_ours,
    hook_url,
    needed_events,
    of_version,
    problems,
    retention,
)
from bridge.errors import AsaasRejected, BridgeError, JournalError, NotFound, SettingsError, UsageError
from bridge.journal import Journal, events, notices
from bridge.journal.notices import Notice, Resolved, StoredNotice
from bridge.logs import logger
from bridge.mapping import Mapping
from bridge.mapping.catalogue import EVENTS
from bridge.model import NoticeLevel
from bridge.pipeline.account_events import ACCESS_TOKEN
from bridge.settings import variable

ACCOUNT_FAMILIES = ("ACCOUNT_STATUS", "ACCESS_TOKEN")


@dataclass(frozen=True, slots=True)
class WantedWebhook:
    """What the operator asks for."""

    account: str
    url: str | None
    events: frozenset[str]
    token: str = field(repr=False)
    """The token of the environment; empty where none is set."""
    send_type: str | None = None
    email: str | None = None
    new_token: bool = False


@dataclass(frozen=True, slots=True)
class WebhookPlan:
    """What is to be done."""

    wanted: WantedWebhook
    before: Webhook | None
    """The webhook that is there; None: one is to be made."""
    token: str = field(repr=False)
    """The token to set; empty: the webhook keeps its own."""
    made_token: bool
    others: tuple[str, ...]
    """Webhooks with the bridge's path on another host."""

    @property
    def loses(self) -> list[str]:
        """The events that the webhook would not bring any more."""
        return sorted(set(self.before.events) - self.wanted.events) if self.before else []


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """What was done."""

    plan: WebhookPlan
    webhook: Webhook
    changed: tuple[str, ...]
    refused: tuple[str, ...] = ()
    """Events that Asaas does not take; the webhook subscribes to the others."""

    @property
    def what_refused(self) -> str:
        """What to do about the refused events; empty where there are none."""
        return _not_taken(self.refused)


def events_wanted(
    mappings: Iterable[Mapping], source: str, account: str, *, every: bool, account_events: bool
) -> frozenset[str]:
    """Return the events to subscribe to; raise UsageError where nothing asks for any."""
    names = needed_events(mappings, account)
    if every:
        return names | EVENTS.keys()
    if account_events:
        names |= {event.name for event in EVENTS.values() if event.family in ACCOUNT_FAMILIES}
    if not names:
        raise UsageError(
            f"no enabled mapping names an event of account {account}",
            where=source,
            hint="write one (see: bridge mappings lint), or subscribe to every event with --all",
        )
    return names


def plan(webhooks: Sequence[Webhook], wanted: WantedWebhook) -> WebhookPlan:
    """Return what is to be done; raise where the environment's token or the URL can't be used."""
    name = variable("ASAAS_WEBHOOK_TOKEN", wanted.account)
    if wanted.token and (problem := asaas_webhooks.problem(wanted.token)):
        raise SettingsError([f"{name} {problem}; unset it, and the bridge makes one that Asaas takes"])
    found = find_ours(webhooks, wanted.account, wanted.url)
    others = tuple(one.url for one in find_ours(webhooks, wanted.account) if one not in found)
    if len(found) > 1:
        raise UsageError(f"{len(found)} webhooks lead to the bridge", hint="name one by its address with --url")
    before = found[0] if found else None
    if before is None and wanted.url is None:
        raise UsageError(
            "the bridge can't know under which address Asaas reaches it",
            hint="give it with --url, such as https://bridge.example.com, or set BRIDGE_PUBLIC_URL",
        )
    if before is not None and before.api_version != API_VERSION:
        other = of_version(before, wanted.account)
        raise UsageError(other.what, where=before.url, hint=other.mend)
    makes = wanted.new_token or (not wanted.token and not (before and before.has_token))
    return WebhookPlan(wanted, before, asaas_webhooks.generate() if makes else wanted.token, makes, others)


def apply(webhooks: Webhooks, planned: WebhookPlan) -> WebhookResult:
    """Make or change the webhook; of the events that the bridge does not know, subscribe to those that Asaas takes."""
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
            changed += (f"subscribed to {name}",)
        except BridgeError:  # a token that was made is shown only by what this returns
            refused.append(name)
    return WebhookResult(planned, webhook, changed, tuple(refused))


def _apply(webhooks: Webhooks, planned: WebhookPlan) -> WebhookResult:
    wanted, before = planned.wanted, planned.before
    if before is None:
        try:
            made = webhooks.create(
                url=wanted.url or "",
                events=wanted.events,
                token=planned.token,
                send_type=wanted.send_type or SEND_TYPES[0],
                email=wanted.email,
            )
        except AsaasRejected as error:
            mend = "an account has ten webhooks at most" if wanted.email else "give an address with --email"
            raise AsaasRejected(error.what, where=error.where, hint=_new_events(wanted) or mend) from None
        return WebhookResult(planned, made, ("made",))
    changes: dict[str, Any] = {}
    if before.url.endswith("/"):
        changes["url"] = before.url.rstrip("/")
    if set(before.events) != wanted.events:
        changes["events"] = sorted(wanted.events)
    if wanted.send_type and wanted.send_type != before.send_type:
        changes["sendType"] = wanted.send_type
    if not before.enabled:
        changes["enabled"] = True
    said = _result(before, changes)
    if planned.token:
        # Asaas does not say which token it has; writing the right one again mends a wrong one.
        changes["authToken"] = planned.token
    if planned.made_token:
        said.append("a new token")
    try:
        return WebhookResult(planned, webhooks.update(before, changes) if changes else before, tuple(said))
    except AsaasRejected as error:
        raise AsaasRejected(error.what, where=error.where, hint=_new_events(wanted) or error.hint) from None


def _new_events(wanted: WantedWebhook) -> str:
    """Return what to do about events that the bridge does not know, which Asaas may not have either."""
    return _not_taken(sorted(wanted.events - EVENTS.keys()))


def _not_taken(names: Sequence[str]) -> str:
    return f"Asaas may not have {', '.join(names)}; correct the name, or take it out of the mapping" if names else ""


def _result(before: Webhook, changes: dict[str, Any]) -> list[str]:
    said = ["without the slash at the end of its URL"] if "url" in changes else []
    if "events" in changes:
        more, less = set(changes["events"]) - set(before.events), set(before.events) - set(changes["events"])
        said += [f"subscribed to {', '.join(sorted(more))}"] if more else []
        said += [f"no longer subscribed to {', '.join(sorted(less))}"] if less else []
    if "sendType" in changes:
        said.append(f"sends {changes['sendType']}, before {before.send_type}")
    if "enabled" in changes:
        said.append("switched on")
    return said


def resumed(webhooks: Webhooks, account: str, url: str | None) -> list[tuple[Webhook, list[str]]]:
    """Start interrupted queues and take penalties off; return each of our webhooks with what was done.

    Raises NotFound where the account has no webhook that leads to the bridge.
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
    found = find_ours(webhooks.all(), account, url)
    if not found:
        raise NotFound(
            f"account {account} has no webhook at Asaas that leads to the bridge", hint="see: bridge webhook status"
        )
    return found


log = logger(__name__)


def judge(
    journal: Journal,
    account: str,
    webhooks: Sequence[Webhook],
    mappings: Iterable[Mapping],
    public_url: str,
    now_ms: int,
) -> None:
    """Raise and close the account's notices by what Asaas says of its webhooks."""
    wants = needed_events(mappings, account)
    url = hook_url(public_url, account) if public_url else None
    # An account from which no mapping wants anything may well have no webhook.
    said = problems(find_ours(webhooks, account, url), wants, account) if wants else []
    if any(problem.code == "webhook.interrupted" for problem in said):
        late = retention(_waits_since_ms(journal, account, now_ms), now_ms, account)
        said += [late] if late else []
    codes = {problem.code for problem in said}
    mended = [Resolved(code, account) for code in (*CODES, KEY_REFUSED) if code not in codes]
    with journal.database.read() as connection:
        keys = notices.open_notices(connection, [ACCESS_TOKEN])
    # The bridge's own key works: one that has expired or was disabled is another one, or was replaced.
    mended += [Resolved(one.code, one.about) for one in keys if _is_dead_key(one, account)]
    apply_notices(journal, [*(_notice(problem, account) for problem in said), *mended], now_ms)


def judge_change(
    journal: Journal,
    account: str,
    webhooks: Sequence[Webhook],
    mappings: Iterable[Mapping],
    public_url: str,
    now_ms: int,
) -> None:
    """Judge after a change at Asaas; it is done, so a journal that is away must not hide what came of it."""
    with suppress(JournalError):
        judge(journal, account, webhooks, mappings, public_url, now_ms)


def sending(webhook: Webhook) -> Webhook:
    """Return a webhook as it is once it was resumed."""
    return replace(webhook, interrupted=False, penalised=0)


def apply_notices(journal: Journal, said: Iterable[Notice | Resolved], now_ms: int) -> None:
    """Raise and close notices, and log what is new."""
    with journal.database.write() as connection:
        changed = notices.apply(connection, said, now_ms)
    for one in changed:
        if isinstance(one, Notice):
            log.warning("notice.raised", code=one.code, about=one.about, level=one.level.value, detail=one.detail)
        else:
            log.info("notice.closed", code=one.code, about=one.about)


def _waits_since_ms(journal: Journal, account: str, now_ms: int) -> int:
    """Return the earliest time from which events may wait at Asaas: it does not say itself."""
    with journal.database.read() as connection:
        open_since = [one.raised_ms for one in notices.open_notices(connection, ["webhook.interrupted"], account)]
        received_ms = events.last_received_ms(connection, account)
    # What waits came after the last one that got in, and at the latest when the queue was found interrupted.
    return min([now_ms, *open_since, *([received_ms] if received_ms is not None else [])])


def _is_dead_key(notice: StoredNotice, account: str) -> bool:
    return notice.about.startswith(f"{account}/") and notice.level == NoticeLevel.ERROR


def _notice(problem: Problem, account: str) -> Notice:
    return Notice(problem.code, account, problem.level, problem.what, problem.mend)
