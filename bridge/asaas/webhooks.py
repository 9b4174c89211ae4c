"""The webhooks of an Asaas account: its API, the rules that they must meet, and their tokens.

Relied on (docs criar-novo-webhook, atualizar-webhook-existente, como-reativar-fila-interrompida,
remover-penalizacao-webhook): at most ten in an account; the token is written and never read back; an update takes
no e-mail; `interrupted: false` starts a queue again; removeBackoff removes the penalties and answers 204.
"""

from __future__ import annotations

import re
import secrets
import string
from collections import abc
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bridge.asaas.client import AsaasClient, check_id
from bridge.errors import AsaasUnavailable, NotFound
from bridge.mapping.model import Mapping
from bridge.messages import N_, Message, message
from bridge.model import NoticeLevel, of_account
from bridge.settings import DEFAULT

NAME = "asaas-clint-bridge"
"""The name of the bridge's webhook in Asaas's list."""
PATH = "/webhooks/asaas"
SEND_TYPES = ("SEQUENTIALLY", "NON_SEQUENTIALLY")
API_VERSION = 3
"""The form of events that the door reads; Asaas can't change it in an existing webhook."""
RETENTION_DAYS = 14
"""Asaas deletes events that wait longer (docs fila-pausada)."""
_SOON_DAYS, _NOW_DAYS = 7, 3

KEY_REFUSED = "account.key_refused"
"""The notice's code where Asaas refuses the account's key, so that the state of its webhook is unknown."""
CODES = (
    *("webhook.missing", "webhook.disabled", "webhook.interrupted", "webhook.penalised", "webhook.token"),
    *("webhook.version", "webhook.slash", "webhook.events", "webhook.several", "webhook.retention"),
)
"""The codes of the problems of a webhook."""


@dataclass(frozen=True, slots=True)
class Webhook:
    id: str
    name: str
    url: str
    email: str
    enabled: bool
    interrupted: bool
    """Asaas sends nothing until the queue is started again."""
    send_type: str
    has_token: bool
    penalised: int
    """Failed events that wait longer and longer."""
    events: tuple[str, ...]
    api_version: int = API_VERSION


class Webhooks:
    def __init__(self, api: AsaasClient) -> None:
        self._api = api

    def all(self) -> list[Webhook]:
        """Return all of them; an account has ten at most, so one page is enough."""
        found = (self._api.get("/webhooks", {"limit": 100}) or {}).get("data")
        if not isinstance(found, list):
            raise AsaasUnavailable(
                N_("the list of webhooks must have data, got none"), where=of_account(self._api.account)
            )
        return [_webhook(item) for item in found if isinstance(item, dict)]

    def create(
        self, *, url: str, events: Collection[str], token: str, send_type: str, email: str | None = None
    ) -> Webhook:
        body = {
            "name": NAME,
            "url": url,
            "enabled": True,
            "interrupted": False,
            "apiVersion": API_VERSION,
            "authToken": token,
            "sendType": send_type,
            "events": sorted(events),
        }
        return _webhook(self._found(self._api.post("/webhooks", {**body, "email": email} if email else body)))

    def update(self, webhook: Webhook, changes: abc.Mapping[str, Any]) -> Webhook:
        """Change a webhook by Asaas's names of the fields.

        The others are sent too: what Asaas does with a field that is left out is not documented.
        """
        whole = {
            "name": webhook.name,
            "url": webhook.url,
            "sendType": webhook.send_type,
            "enabled": webhook.enabled,
            "interrupted": webhook.interrupted,
            "events": list(webhook.events),
        }
        return _webhook(self._found(self._api.put(self._path(webhook), {**whole, **changes})))

    def remove(self, webhook: Webhook) -> None:
        """Remove a webhook, and the events that wait in its queue."""
        self._found(self._api.delete(self._path(webhook)))

    def remove_backoff(self, webhook: Webhook) -> None:
        """Remove the penalties, so that waiting events are sent now."""
        self._found(self._api.post(f"{self._path(webhook)}/removeBackoff"))

    def _path(self, webhook: Webhook) -> str:
        check_id(self._api.account, "webhook", webhook.id)
        return f"/webhooks/{webhook.id}"

    def _found(self, answer: dict[str, Any] | None) -> dict[str, Any]:
        if answer is None:
            text, hint = N_("the webhook does not exist any more"), N_("see: bridge webhook status")
            raise NotFound(text, where=of_account(self._api.account), hint=hint)
        return answer


def _webhook(item: abc.Mapping[str, Any]) -> Webhook:
    events, version, penalised = item.get("events"), item.get("apiVersion"), item.get("penalizedRequestsCount")
    return Webhook(
        id=str(item.get("id") or ""),
        name=str(item.get("name") or ""),
        url=str(item.get("url") or ""),
        email=str(item.get("email") or ""),
        # A field that an older version of the document does not have counts as fine.
        enabled=item.get("enabled") is not False,
        interrupted=item.get("interrupted") is True,
        send_type=str(item.get("sendType") or SEND_TYPES[0]),
        has_token=bool(item.get("hasAuthToken", True)),
        penalised=penalised if isinstance(penalised, int) else 0,
        events=tuple(str(name) for name in events) if isinstance(events, list) else (),
        api_version=version if isinstance(version, int) else API_VERSION,
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the account's webhook, or on the way from it to the bridge."""

    code: str
    what: Message
    mend: Message
    """What to do."""
    level: NoticeLevel = NoticeLevel.ERROR


def hook_url(public_url: str, account: str) -> str:
    """Return the URL of the door for this account, from the bridge's public address.

    >>> hook_url("https://bridge.example/", "matriz")
    'https://bridge.example/webhooks/asaas/matriz'
    """
    base = public_url.strip().rstrip("/")
    paths = _paths(account)
    return base if urlsplit(base).path.endswith(paths) else f"{base}{paths[0]}"


def _paths(account: str) -> tuple[str, ...]:
    own = f"{PATH}/{account}"
    return (PATH, own) if account == DEFAULT else (own,)


def find_ours(webhooks: Iterable[Webhook], account: str, url: str | None = None) -> list[Webhook]:
    """Return the webhooks with this URL; without one, those with a path of the bridge for this account."""
    if url is not None:
        return [webhook for webhook in webhooks if _address(webhook.url) == _address(url)]
    return [webhook for webhook in webhooks if _address(webhook.url)[-1].endswith(_paths(account))]


def _address(url: str) -> tuple[str, str, str]:
    try:
        split = urlsplit(url)
    except ValueError:  # a person may enter any text at Asaas
        return "", "", ""
    return split.scheme, split.netloc.lower(), split.path.rstrip("/")


def needed_events(mappings: Iterable[Mapping], account: str) -> frozenset[str]:
    """Return the events that the account's enabled mappings listen to."""
    listening = [mapping for mapping in mappings if mapping.enabled and mapping.account == account]
    return frozenset(name for mapping in listening for name in mapping.event_names)


def problems(found: Sequence[Webhook], needed: Collection[str], account: str) -> list[Problem]:
    """Return what is wrong with the bridge's webhooks of this account."""
    of = option_of(account)
    if not found:
        text = N_("no webhook at Asaas leads to the bridge, so no event comes")
        hint = N_("run: bridge webhook register{account} --url PUBLIC_URL")
        return [Problem("webhook.missing", message(text), message(hint, account=of))]
    register = message(N_("run: bridge webhook register{account}"), account=of)
    result = []
    for webhook in found:
        if not webhook.enabled:
            result.append(Problem("webhook.disabled", message(N_("the webhook is switched off")), register))
        if webhook.interrupted:
            text = N_("Asaas interrupted the webhook's queue after failures; it keeps events for {days} days")
            hint = N_("fix what answered other than 200 (see: bridge doctor), then run: bridge webhook resume{account}")
            result.append(Problem("webhook.interrupted", message(text, days=RETENTION_DAYS), message(hint, account=of)))
        if webhook.penalised:
            text = N_("Asaas penalises the webhook: failures of waiting events, got {number}")
            hint = N_("check that the bridge answers 200, then run: bridge webhook resume{account}")
            what = message(text, number=webhook.penalised)
            result.append(Problem("webhook.penalised", what, message(hint, account=of), NoticeLevel.WARNING))
        if not webhook.has_token:
            text = N_("the webhook has no token, so the bridge refuses what it posts")
            result.append(Problem("webhook.token", message(text), register))
        if webhook.api_version != API_VERSION:
            result.append(of_version(webhook, account))
        if webhook.url.endswith("/"):
            what = message(N_("the webhook's URL ends in a slash, got {url}"), url=webhook.url)
            result.append(Problem("webhook.slash", what, register, NoticeLevel.WARNING))
    enabled = [webhook for webhook in found if webhook.enabled]
    # One that is switched off is told above: switching it on brings its events.
    missing = sorted(set(needed) - {name for webhook in enabled or found for name in webhook.events})
    if missing:
        text = N_("mappings need events that the webhook does not subscribe to: {events}")
        result.append(Problem("webhook.events", message(text, events=", ".join(missing)), register))
    if len(enabled) > 1:
        text = N_("{number} webhooks lead to the bridge, and it keeps only one arrival of each event")
        status = message(N_("see: bridge webhook status"))
        result.append(Problem("webhook.several", message(text, number=len(found)), status, NoticeLevel.WARNING))
    return result


def of_version(webhook: Webhook, account: str) -> Problem:
    """Return the problem of a webhook whose events have a form that the door does not read."""
    text = N_("the webhook's API version must be {wanted}, and Asaas can't change it, got {version}")
    hint = N_("run: bridge webhook remove{account}, then: bridge webhook register{account} --url PUBLIC_URL")
    what = message(text, wanted=API_VERSION, version=webhook.api_version)
    return Problem("webhook.version", what, message(hint, account=option_of(account)))


def retention(oldest_ms: int, now_ms: int, account: str) -> Problem | None:
    """Return the problem that events which wait at Asaas since then are deleted soon; None while there is time."""
    left_days = RETENTION_DAYS - (now_ms - oldest_ms) / 86_400_000
    if left_days > _SOON_DAYS:
        return None
    text = N_("Asaas keeps events for {kept} days, so the first that wait may be deleted for good {when}")
    when = message(N_("in {days:.0f} days"), days=left_days) if left_days >= 1 else message(N_("now or within a day"))
    hint = message(N_("run: bridge webhook resume{account}"), account=option_of(account))
    level = NoticeLevel.ERROR if left_days <= _NOW_DAYS else NoticeLevel.WARNING
    return Problem("webhook.retention", message(text, kept=RETENTION_DAYS, when=when), hint, level)


def option_of(account: str) -> str:
    """Return what follows a command in order to name the account."""
    return "" if account == DEFAULT else f" --account {account}"


TOKEN_MIN, TOKEN_MAX = 32, 255
TOKEN_LENGTH = 48
"""Of a token that the bridge makes: some 280 bits."""
TOKEN_SEQUENCE = 5
"""Asaas's own example of a numeric sequence is 12345; shorter runs are part of many UUIDs that it takes."""

_REPEATED = re.compile(r"([^\W\d_])\1{3}", re.IGNORECASE)
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits  # no character that a shell or a .env file would change


def problem(token: str) -> Message | None:
    """Return the rule that the token breaks, or None where Asaas takes it.

    >>> str(problem("secret"))
    'must have 32 to 255 characters, got 6'
    """
    if not TOKEN_MIN <= len(token) <= TOKEN_MAX:
        text = N_("must have {least} to {most} characters, got {number}")
        return message(text, least=TOKEN_MIN, most=TOKEN_MAX, number=len(token))
    if re.search(r"\s", token):
        return message(N_("must not have white space"))
    if token.startswith("$aact_"):
        return message(N_("must not be an API key of Asaas"))
    if _REPEATED.search(token):
        return message(N_("must not have the same letter four times in a row"))
    if has_sequence(token, TOKEN_SEQUENCE):
        return message(N_("must not have a numeric sequence such as 12345"))
    return None


def has_sequence(token: str, length: int) -> bool:
    """Return whether the token has `length` digits in a row, each one more or one less than the digit before it.

    >>> has_sequence("a1234b", 4), has_sequence("321", 3), has_sequence("1357", 2)
    (True, True, False)
    """
    windows = (token[at : at + length] for at in range(len(token) - length + 1))
    return any(window in "0123456789" or window in "9876543210" for window in windows)


def rotation(new_ms: int | None, old_ms: int | None, now_ms: int, account: str = DEFAULT) -> tuple[Message, Message]:
    """Return the state of the change to a new token, and what to do next, given each token's last event.

    >>> [str(message) for message in rotation(None, 40_000, 100_000)]
    ['two are valid; the old one came 1 min ago, the new one never', 'run: bridge webhook register --rotate']
    """
    if new_ms is None and old_ms is None:
        state = message(N_("two are valid; no event has come with either yet"))
    else:
        text = N_("two are valid; the old one came {old}, the new one {new}")
        state = message(text, old=_ago(old_ms, now_ms), new=_ago(new_ms, now_ms))
    if (new_ms or 0) > (old_ms or 0):
        done = N_("Asaas has the new one: take the old one out of the environment and start the bridge again")
        return state, message(done)
    return state, message(N_("run: bridge webhook register --rotate{account}"), account=option_of(account))


def _ago(moment_ms: int | None, now_ms: int) -> Message:
    if moment_ms is None:
        return message(N_("never"))
    minutes = max(0, now_ms - moment_ms) // 60_000
    if minutes < 120:
        return message(N_("{minutes} min ago"), minutes=minutes)
    return message(N_("{hours} h ago"), hours=minutes // 60)


def generate() -> str:
    """Return a new token that meets the rules with a margin: Asaas's exact rule for sequences is not known."""
    while True:
        token = "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(TOKEN_LENGTH))
        if problem(token) is None and not has_sequence(token, TOKEN_SEQUENCE - 2):
            return token
