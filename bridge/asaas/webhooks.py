"""The webhooks of an Asaas account, read and changed by its API: `/v3/webhooks`.

Relied on (docs criar-novo-webhook, atualizar-webhook-existente, como-reativar-fila-interrompida,
remover-penalizacao-webhook): at most ten in an account; the token is written and never read back; an update takes
no e-mail; `interrupted: false` starts a queue again; removeBackoff takes the penalties off and answers 204.
"""

from __future__ import annotations

import re
import secrets
import string
from collections import abc
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from bridge.asaas.client import check_id
from bridge.errors import AsaasUnavailable, NotFound
from bridge.mapping.model import Mapping
from bridge.model import NoticeLevel
from bridge.settings import DEFAULT

NAME = "asaas-clint-bridge"
"""What Asaas's list of webhooks calls one that the bridge made."""

SEND_TYPES = ("SEQUENTIALLY", "NON_SEQUENTIALLY")
API_VERSION = 3
"""The form of events that the door reads; Asaas lets nobody change it in a webhook."""
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as Asaas has it."""

    id: str
    name: str
    url: str
    email: str
    enabled: bool
    interrupted: bool
    """Asaas sends nothing until somebody starts the queue again."""
    send_type: str
    has_token: bool
    penalised: int
    """Events that failed and wait longer and longer."""
    events: tuple[str, ...]
    api_version: int = API_VERSION


class Api(Protocol):
    """The part of the Asaas client that webhooks need."""

    @property
    def account(self) -> str:
        """The account's name."""
        ...

    def get(self, path: str, params: abc.Mapping[str, str | int] | None = None) -> dict[str, Any] | None:
        """Return what is at the path."""
        ...

    def post(self, path: str, body: abc.Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Make something."""
        ...

    def put(self, path: str, body: abc.Mapping[str, Any]) -> dict[str, Any] | None:
        """Change something."""
        ...

    def delete(self, path: str) -> dict[str, Any] | None:
        """Remove something."""
        ...


class Webhooks:
    """The webhooks of one account."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def all(self) -> list[Webhook]:
        """Return all of them; an account has ten at most, so one page is all."""
        answer = self._api.get("/webhooks", {"limit": _PAGE})
        found = (answer or {}).get("data")
        if not isinstance(found, list):
            raise AsaasUnavailable("the list of webhooks must have data, got none", where=self._where)
        return [_webhook(item) for item in found if isinstance(item, dict)]

    def create(
        self, *, url: str, events: Collection[str], token: str, send_type: str, email: str | None = None
    ) -> Webhook:
        """Make a webhook that is enabled."""
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
        return self._seen(self._api.post("/webhooks", {**body, "email": email} if email else body))

    def update(self, webhook: Webhook, changes: abc.Mapping[str, Any]) -> Webhook:
        """Change a webhook by Asaas's own names of what changes.

        Name, URL and events go along as they are, so that it makes no difference what Asaas does with those left out.
        """
        whole = {
            "name": webhook.name,
            "url": webhook.url,
            "sendType": webhook.send_type,
            "enabled": webhook.enabled,
            "interrupted": webhook.interrupted,
            "events": list(webhook.events),
        }
        return self._seen(self._api.put(self._path(webhook), {**whole, **changes}))

    def remove(self, webhook: Webhook) -> None:
        """Remove a webhook, and at Asaas what waits in its queue."""
        self._seen_or_gone(self._api.delete(self._path(webhook)))

    def remove_backoff(self, webhook: Webhook) -> None:
        """Take the penalties off, so that what waits is sent now."""
        self._seen_or_gone(self._api.post(f"{self._path(webhook)}/removeBackoff"))

    @property
    def _where(self) -> str:
        return f"account {self._api.account}"

    def _path(self, webhook: Webhook) -> str:
        check_id(self._api.account, "webhook", webhook.id)
        return f"/webhooks/{webhook.id}"

    def _seen(self, answer: dict[str, Any] | None) -> Webhook:
        return _webhook(self._seen_or_gone(answer))

    def _seen_or_gone(self, answer: dict[str, Any] | None) -> dict[str, Any]:
        if answer is None:
            raise NotFound("the webhook is not there any more", where=self._where, hint="see: bridge webhook status")
        return answer


def _webhook(item: abc.Mapping[str, Any]) -> Webhook:
    def text(name: str) -> str:
        return str(item.get(name) or "")

    events = item.get("events")
    version = item.get("apiVersion")
    penalised = item.get("penalizedRequestsCount")
    return Webhook(
        id=text("id"),
        name=text("name"),
        url=text("url"),
        email=text("email"),
        # What an older copy of the document does not have is taken for fine: nobody must be sent after a phantom.
        enabled=item.get("enabled") is not False,
        interrupted=item.get("interrupted") is True,
        send_type=text("sendType") or SEND_TYPES[0],
        has_token=bool(item.get("hasAuthToken", True)),
        penalised=penalised if isinstance(penalised, int) else 0,
        events=tuple(str(name) for name in events) if isinstance(events, list) else (),
        api_version=version if isinstance(version, int) else API_VERSION,
    )


PATH = "/webhooks/asaas"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the account's webhook."""

    code: str
    level: NoticeLevel
    what: str
    mend: str


def hook_url(public_url: str, account: str) -> str:
    """Return the URL to which Asaas posts this account's events, from the bridge's public address.

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
    """Return the webhooks that lead to this URL; without one, those whose path is the bridge's for this account."""
    if url is not None:
        return [webhook for webhook in webhooks if _same(webhook.url, url)]
    return [webhook for webhook in webhooks if _split(webhook.url.rstrip("/")).path.endswith(_paths(account))]


def _same(one: str, other: str) -> bool:
    def parts(url: str) -> tuple[str, str, str]:
        split = _split(url)
        return split.scheme, split.netloc.lower(), split.path.rstrip("/")

    return parts(one) == parts(other)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # what a person entered at Asaas need not be a URL
        return urlsplit("")


def needed_events(mappings: Iterable[Mapping], account: str) -> frozenset[str]:
    """Return the events that the account's enabled mappings listen to."""
    listening = [mapping for mapping in mappings if mapping.enabled and mapping.account == account]
    return frozenset(name for mapping in listening for name in mapping.event_names)


def problems(found: Sequence[Webhook], needed: Collection[str], account: str) -> list[Problem]:
    """Return what is wrong with the bridge's webhooks of this account."""
    of = "" if account == DEFAULT else f" --account {account}"
    register, resume = f"run: bridge webhook register{of}", f"run: bridge webhook resume{of}"
    if not found:
        what = "no webhook at Asaas leads to the bridge, so no event comes"
        return [Problem("webhook.missing", NoticeLevel.ERROR, what, f"{register} --url PUBLIC_URL")]
    said = []
    for webhook in found:
        if not webhook.enabled:
            said.append(Problem("webhook.disabled", NoticeLevel.ERROR, "the webhook is switched off", register))
        if webhook.interrupted:
            what = "Asaas interrupted the webhook's queue after failures; it keeps events for 14 days"
            mend = f"mend what answered other than 200 (see: bridge doctor), then {resume}"
            said.append(Problem("webhook.interrupted", NoticeLevel.ERROR, what, mend))
        if webhook.penalised:
            what = f"Asaas penalises the webhook: failures of waiting events, got {webhook.penalised}"
            mend = f"see that the bridge answers 200, then {resume}"
            said.append(Problem("webhook.penalised", NoticeLevel.WARNING, what, mend))
        if not webhook.has_token:
            what = "the webhook has no token, so the bridge refuses what it posts"
            said.append(Problem("webhook.token", NoticeLevel.ERROR, what, register))
        if webhook.api_version != API_VERSION:
            said.append(of_version(webhook, account))
        if webhook.url.endswith("/"):
            what = f"the webhook's URL ends in a slash, got {webhook.url}"
            said.append(Problem("webhook.slash", NoticeLevel.WARNING, what, register))
    missing = sorted(set(needed) - {name for webhook in found if webhook.enabled for name in webhook.events})
    if missing:
        what = f"mappings need events that the webhook does not subscribe to: {', '.join(missing)}"
        said.append(Problem("webhook.events", NoticeLevel.ERROR, what, register))
    if len([webhook for webhook in found if webhook.enabled]) > 1:
        what = f"{len(found)} webhooks lead to the bridge, and it keeps only one arrival of each event"
        said.append(Problem("webhook.several", NoticeLevel.WARNING, what, "see: bridge webhook status"))
    return said


def of_version(webhook: Webhook, account: str) -> Problem:
    """Return that a webhook posts events in a form that the door does not read."""
    what = f"the webhook's API version must be {API_VERSION}, and Asaas can't change it, got {webhook.api_version}"
    of = "" if account == DEFAULT else f" --account {account}"
    mend = f"run: bridge webhook remove{of}, then: bridge webhook register{of} --url PUBLIC_URL"
    return Problem("webhook.version", NoticeLevel.ERROR, what, mend)


RETENTION_DAYS = 14
"""Asaas deletes for good what waits longer (docs fila-pausada)."""
_SOON_DAYS, _NOW_DAYS = 7, 3
_DAY_MS = 86_400_000


def retention(oldest_ms: int, now_ms: int, account: str) -> Problem | None:
    """Return that what waits at Asaas since then, at the earliest, is soon deleted; None while there is time."""
    left_days = RETENTION_DAYS - (now_ms - oldest_ms) / _DAY_MS
    if left_days > _SOON_DAYS:
        return None
    level = NoticeLevel.ERROR if left_days <= _NOW_DAYS else NoticeLevel.WARNING
    when = f"in {left_days:.0f} days" if left_days >= 1 else "now or within a day"
    what = f"Asaas keeps events for {RETENTION_DAYS} days, so the first that wait may be deleted for good {when}"
    of = "" if account == DEFAULT else f" --account {account}"
    return Problem("webhook.retention", level, what, f"run: bridge webhook resume{of}")


KEY_REFUSED = "account.key_refused"
"""The notice's code where Asaas refuses the account's key, so that nothing of its webhook is known."""
CODES = (
    "webhook.missing",
    "webhook.disabled",
    "webhook.interrupted",
    "webhook.penalised",
    "webhook.token",
    "webhook.version",
    "webhook.slash",
    "webhook.events",
    "webhook.several",
    "webhook.retention",
)
"""Every code that the rules give."""


LEAST, MOST = 32, 255
LENGTH = 48
"""Of a token that the bridge makes: some 280 bits."""

SEQUENCE = 5
"""Asaas's own example of a numeric sequence is 12345; shorter runs are part of many UUIDs that it takes."""

_REPEATED = re.compile(r"([^\W\d_])\1{3}", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits  # nothing that a shell or a .env file would touch


def problem(token: str) -> str | None:
    """Return which rule the token breaks, or None where Asaas takes it.

    >>> problem("secret")
    'must have 32 to 255 characters, got 6'
    """
    if not LEAST <= len(token) <= MOST:
        return f"must have {LEAST} to {MOST} characters, got {len(token)}"
    if re.search(r"\s", token):
        return "must not have white space"
    if token.startswith("$aact_"):
        return "must not be an API key of Asaas"
    if _REPEATED.search(token):
        return "must not have the same letter four times in a row"
    if longest_sequence(token) >= SEQUENCE:
        return "must not have a numeric sequence such as 12345"
    return None


def longest_sequence(token: str) -> int:
    """Return how many digits in a row rise or fall by one, at most.

    >>> longest_sequence("a1234b"), longest_sequence("3210"), longest_sequence("1357")
    (4, 4, 1)
    """
    longest = 0
    for run in _DIGITS.findall(token):
        length, direction = 1, 0
        longest = max(longest, length)
        for before, after in pairwise(run):
            step = int(after) - int(before)
            if abs(step) != 1:
                length, direction = 1, 0
            else:
                length, direction = (length + 1 if step == direction else 2), step
            longest = max(longest, length)
    return longest


def rotation(new_ms: int | None, old_ms: int | None, now_ms: int, account: str = "default") -> tuple[str, str]:
    """Return how far the change to a new token has come, and what to do next; each moment is that of the last event.

    >>> rotation(None, 40_000, 100_000)
    ('two are valid; the old one came 1 min ago, the new one never', 'run: bridge webhook register --rotate')
    """
    of = "" if account == "default" else f" --account {account}"
    if new_ms is None and old_ms is None:
        said = "two are valid; no event has come with either yet"
    else:
        said = f"two are valid; the old one came {_ago(old_ms, now_ms)}, the new one {_ago(new_ms, now_ms)}"
    if (new_ms or 0) > (old_ms or 0):
        return said, "Asaas has the new one: take the old one out of the environment and start the bridge again"
    return said, f"run: bridge webhook register --rotate{of}"


def _ago(moment_ms: int | None, now_ms: int) -> str:
    if moment_ms is None:
        return "never"
    minutes = max(0, now_ms - moment_ms) // 60_000
    return f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"


def generate() -> str:
    """Return a new token that meets the rules with a margin: nobody knows where Asaas draws the line of a sequence."""
    while True:
        token = "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(LENGTH))
        if problem(token) is None and longest_sequence(token) < SEQUENCE - 2:
            return token
