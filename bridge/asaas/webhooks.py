"""The webhooks of an Asaas account, read and changed by its API: `/v3/webhooks`.

Relied on (docs criar-novo-webhook, atualizar-webhook-existente, como-reativar-fila-interrompida,
remover-penalizacao-webhook): at most ten in an account; the token is written and never read back; an update takes
no e-mail; `interrupted: false` starts a queue again; removeBackoff takes the penalties off and answers 204.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.asaas.client import check_id
from bridge.errors import AsaasUnavailable, NotFound

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

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any] | None:
        """Return what is at the path."""
        ...

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Make something."""
        ...

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
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

    def update(self, webhook: Webhook, changes: Mapping[str, Any]) -> Webhook:
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
            raise NotFound("the webhook is not there any more", where=self._where, mend="see: bridge webhook status")
        return answer


def _webhook(item: Mapping[str, Any]) -> Webhook:
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
