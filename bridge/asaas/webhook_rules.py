"""Which webhook of an account is the bridge's, what it must subscribe to, and what is wrong with it: pure.

`bridge webhook`, `bridge doctor` and the periodic watch judge by the same rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from bridge.asaas.webhooks import API_VERSION, Webhook
from bridge.mapping.parts import Mapping
from bridge.model import NoticeLevel
from bridge.settings import DEFAULT

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


def ours(webhooks: Iterable[Webhook], account: str, url: str | None = None) -> list[Webhook]:
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


def needed(mappings: Iterable[Mapping], account: str) -> frozenset[str]:
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
