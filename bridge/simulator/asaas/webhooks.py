"""The webhooks of the simulated Asaas: create, read, change, remove, and the rules of their fields."""

from __future__ import annotations

import re

import httpx

from bridge.simulator.asaas.rules import Arguments, Body, Refusal, page
from bridge.simulator.asaas.sender import NAMES, TIMEOUT_S, SendAttempt, WebhookQueue, authorities
from bridge.simulator.asaas.state import Book

MOST_WEBHOOKS = 10
SEND_TYPES = frozenset({"SEQUENTIALLY", "NON_SEQUENTIALLY"})
CHANGEABLE = ("name", "url", "sendType", "enabled", "interrupted", "events")
REPEATED_LETTER = re.compile(r"([A-Za-z])\1{3}")
RISING = "01234567890"


def token_problem(token: str) -> str | None:
    """Return the rule that a token breaks, or None.

    >>> token_problem("x")
    'O token deve ter entre 32 e 255 caracteres.'
    """
    if not 32 <= len(token) <= 255:
        return "O token deve ter entre 32 e 255 caracteres."
    if any(character.isspace() for character in token):
        return "O token não pode ter espaços em branco."
    if REPEATED_LETTER.search(token):
        return "O token não pode ter quatro letras repetidas."
    if any(RISING[start : start + 5] in token for start in range(len(RISING) - 4)):
        return "O token não pode ter sequências numéricas."
    if token.startswith("$aact_"):
        return "O token não pode ser uma chave de API."
    return None


class Webhooks:
    """The account's webhooks, and the log of all attempts to post events."""

    def __init__(self, book: Book, time_scale: float) -> None:
        self._book = book
        self._time_scale = time_scale
        # Asaas follows no redirect.
        self._client = httpx.Client(timeout=TIMEOUT_S, verify=authorities(), trust_env=False)
        self.tries: list[SendAttempt] = []
        """Oldest first."""
        self.events = set(NAMES)
        """The events that may be subscribed to; Asaas adds some."""

    def create(self, given: Body) -> Body:
        self._check(given, new=True)
        with self._book.lock:
            if len(self._book.queues) >= MOST_WEBHOOKS:
                raise Refusal("invalid_action", "O limite de 10 webhooks por conta foi atingido.")
            webhook = {
                "id": self._book.ids.uuid(),
                "name": given["name"],
                "url": given["url"],
                "email": given.get("email"),
                "enabled": bool(given.get("enabled", True)),
                "interrupted": bool(given.get("interrupted", False)),
                "apiVersion": int(given.get("apiVersion") or 3),
                "sendType": given["sendType"],
                "events": list(given["events"]),
            }
            token = given.get("authToken") or None
            queue = WebhookQueue(webhook, token, self._client, self.tries, self._time_scale)
            self._book.queues[webhook["id"]] = queue
            return queue.body()

    def get(self, webhook_id: str) -> Body:
        return self._book.queues[webhook_id].body()

    def listed(self, arguments: Arguments) -> Body:
        with self._book.lock:
            return page([queue.body() for queue in self._book.queues.values()], arguments)

    def update(self, webhook_id: str, given: Body) -> Body:
        """Change a webhook; `interrupted: false` restarts its queue."""
        queue = self._book.queues[webhook_id]
        self._check(given, new=False)
        queue.token = given.get("authToken") or queue.token
        queue.change({name: given[name] for name in CHANGEABLE if name in given})
        return queue.body()

    def delete(self, webhook_id: str) -> Body:
        """Remove a webhook and its queue."""
        queue = self._book.queues[webhook_id]
        with self._book.lock:
            del self._book.queues[webhook_id]
        queue.stop()
        return {"deleted": True, "id": webhook_id}

    def remove_backoff(self, webhook_id: str) -> None:
        self._book.queues[webhook_id].remove_backoff()

    def waiting(self) -> int:
        with self._book.lock:
            return sum(queue.size for queue in self._book.queues.values())

    def stop(self) -> None:
        for queue in list(self._book.queues.values()):
            queue.stop()
        self._client.close()

    def _check(self, given: Body, *, new: bool) -> None:
        for name in ("name", "url", "sendType", "events"):
            if (new or name in given) and not given.get(name):
                raise Refusal(f"invalid_{name}", f"O campo {name} deve ser informado.")
        if "url" in given and not str(given["url"]).startswith(("http://", "https://")):
            raise Refusal("invalid_url", "A URL informada é inválida.")
        if "sendType" in given and given["sendType"] not in SEND_TYPES:
            raise Refusal("invalid_sendType", "O campo sendType é inválido.")
        unknown = sorted(set(given.get("events") or []) - self.events)
        if unknown:
            raise Refusal("invalid_events", f"O evento {unknown[0]} é inválido.")
        problem = token_problem(str(given["authToken"])) if given.get("authToken") else None
        if problem:
            raise Refusal("invalid_authToken", problem)
