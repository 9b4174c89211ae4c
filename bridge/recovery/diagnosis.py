"""Finds out why an event did not come or was not worked on: from Asaas's webhooks, our door and the public address.

It asks and changes nothing. The first problem it returns is the one to mend first; an empty list means that everything
it can see is fine, and Asaas may just be slow.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from bridge.asaas.webhook_rules import ours, problems
from bridge.asaas.webhooks import Webhook, Webhooks
from bridge.errors import BridgeError
from bridge.http import HttpClient
from bridge.journal import Journal, door
from bridge.model import NoticeLevel
from bridge.settings import DEFAULT

_ANSWER_WITHIN_S = 10.0
_ALIVE = "/healthz"

_REFUSED = {
    "webhook.wrong_token": (
        "the door refused it: the token of Asaas's webhook is not the account's ASAAS_WEBHOOK_TOKEN",
        "give both the same token; run: bridge webhook register --new-token, then start the bridge with it",
    ),
    "webhook.unknown_account": (
        "the door refused it: the webhook's URL names an account that the bridge does not know",
        "mend the URL (run: bridge webhook register), or set the account's ASAAS_WEBHOOK_TOKEN",
    ),
    "webhook.address_not_allowed": (
        "the door refused it: BRIDGE_WEBHOOK_ALLOWED_IPS does not have the address from which it came",
        "add the address that the log names; behind a proxy set BRIDGE_TRUSTED_PROXIES, or it is the proxy's",
    ),
    "webhook.body_too_large": ("the door refused a body that is larger than the bridge takes", "report it"),
    "webhook.not_an_event": (
        "the door refused a body that is no event of Asaas",
        "see that nothing between Asaas and the bridge changes what is posted",
    ),
}


class Cause(NamedTuple):
    """One reason why the test did not come through."""

    code: str
    what: str
    mend: str


def refused_at_door(journal: Journal, account: str, since_ms: int) -> list[Cause]:
    """Return why the door refused what was posted since then."""
    with journal.database.read() as connection:
        found = door.since(connection, account, since_ms)
    # A stranger may try names of accounts at any time: what was posted for ours says more.
    return [Cause(one.code, *_REFUSED[one.code]) for one in sorted(found, key=lambda one: not one.account)]


def why_no_event(
    webhooks: Webhooks, account: str, needed: Collection[str], hook_url: str | None, local_url: str, http: HttpClient
) -> list[Cause]:
    """Return why no event comes from Asaas, as far as can be seen from here."""
    try:
        found = webhooks.all()
    except BridgeError as error:
        mend = error.mend or "give the key the permission to read webhooks"
        return [Cause(error.code, f"Asaas does not say what webhooks there are: {error.what}", mend)]
    leading = ours(found, account, hook_url)
    register = "run: bridge webhook register" + ("" if account == DEFAULT else f" --account {account}")
    causes = []
    if not leading and found and hook_url:
        urls = ", ".join(webhook.url for webhook in found)
        what = f"no webhook at Asaas posts to {hook_url}; those that are there post to {urls}"
        causes.append(Cause("webhook.other_url", what, register))
    else:
        rules = problems(leading, needed, account)
        rules.sort(key=lambda one: one.level is not NoticeLevel.ERROR)
        causes += [Cause(one.code, one.what, one.mend) for one in rules]
    return causes + _unreachable(leading, local_url, http)


def _unreachable(leading: list[Webhook], local_url: str, http: HttpClient) -> list[Cause]:
    """Return whether the addresses that Asaas posts to answer as the bridge does."""
    causes = []
    for webhook in leading:
        parts = urlsplit(webhook.url)
        place = f"{parts.scheme}://{parts.netloc}"
        answer = _asked(f"{place}{_prefix(parts.path)}{_ALIVE}", http)
        if answer == "alive":
            continue
        what = f"the public address {place} {answer}"
        if _asked(f"{local_url}{_ALIVE}", http) == "alive":
            mend = f"the bridge answers at {local_url}: start the tunnel or the proxy that leads there"
            causes.append(Cause("public_url.no_answer", what, mend))
        else:
            mend = f"start the bridge (nothing answers at {local_url} either): bridge up, or bridge web"
            causes.append(Cause("bridge.not_running", what, mend))
    return causes


def _prefix(path: str) -> str:
    return path.partition("/webhooks/asaas")[0]


def _asked(url: str, http: HttpClient) -> str:
    """Return `alive` where the bridge answers there, else what happened instead, in words."""
    try:
        answer = http.request("GET", url, deadline_s=_ANSWER_WITHIN_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"does not answer, got {type(error).__name__}"
    try:
        alive = answer.status_code == 200 and answer.json() == {"alive": True}
    except ValueError:
        alive = False
    return "alive" if alive else f"answers, but not as the bridge does, got {answer.status_code} at {_ALIVE}"
