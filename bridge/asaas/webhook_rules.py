"""Which webhook of an account is the bridge's, what it must subscribe to, and what is wrong with it: pure.

`bridge webhook`, `bridge doctor` and the sweeper's watch judge by the same rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bridge.asaas.webhooks import Webhook
from bridge.mapping.asaas_events import EVENTS
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
    return [webhook for webhook in webhooks if urlsplit(webhook.url.rstrip("/")).path.endswith(_paths(account))]


def _same(one: str, other: str) -> bool:
    def parts(url: str) -> tuple[str, str, str]:
        split = urlsplit(url)
        return split.scheme, split.netloc.lower(), split.path.rstrip("/")

    return parts(one) == parts(other)


def needed(mappings: Iterable[Mapping], account: str) -> frozenset[str]:
    """Return the events that the account's enabled mappings name, families spelled out over the known names."""
    listening = [mapping for mapping in mappings if mapping.enabled and mapping.account == account]
    return frozenset(name for name in EVENTS if any(mapping.listens_to(name) for mapping in listening))


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
    missing = sorted(set(needed) - {name for webhook in found if webhook.enabled for name in webhook.events})
    if missing:
        what = f"mappings need events that the webhook does not subscribe to: {', '.join(missing)}"
        said.append(Problem("webhook.events", NoticeLevel.ERROR, what, register))
    if len([webhook for webhook in found if webhook.enabled]) > 1:
        what = f"{len(found)} webhooks lead to the bridge, and it keeps only one arrival of each event"
        said.append(Problem("webhook.several", NoticeLevel.WARNING, what, "see: bridge webhook status"))
    return said
