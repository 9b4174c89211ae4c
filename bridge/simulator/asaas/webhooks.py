"""The webhooks of the account: at most ten, with the rules of the token; reading one never gives the token back."""

from __future__ import annotations

import re
import threading
from typing import Any

from .book import Book
from .events import NAMES
from .lists import Arguments, page
from .refusal import Missing, Refusal
from .sender import Try, WebhookQueue, sending_client

MOST_WEBHOOKS = 10
SEND_TYPES = frozenset({"SEQUENTIALLY", "NON_SEQUENTIALLY"})
CHANGEABLE = ("name", "url", "sendType", "enabled", "interrupted", "events")
REPEATED_LETTER = re.compile(r"([A-Za-z])\1{3}")
RISING = "01234567890"


def token_problem(token: str) -> str | None:
    """Say what is wrong with a token, or nothing.

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
    """What can be done with webhooks, and the log of all tries to deliver."""

    def __init__(self, book: Book, time_scale: float) -> None:
        self._book = book
        self._time_scale = time_scale
        self._client = sending_client()
        self._tries_lock = threading.Lock()
        self._tries: list[Try] = []
        self._each_nth = 0
        self._offered = 0
        self.events = set(NAMES)
        """The events that may be subscribed to; Asaas adds some."""

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        """Register a webhook."""
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
            queue = WebhookQueue(webhook, token, self._client, self._record, self._time_scale, self._is_doubled)
            self._book.queues[webhook["id"]] = queue
            return _body(queue)

    def get(self, webhook_id: str) -> dict[str, Any]:
        """Give a webhook, without its token."""
        return _body(self._find(webhook_id))

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        """List the webhooks."""
        with self._book.lock:
            return page([_body(queue) for queue in self._book.queues.values()], arguments)

    def update(self, webhook_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """Change a webhook; `interrupted: false` starts its queue again."""
        queue = self._find(webhook_id)
        self._check(given, new=False)
        if given.get("authToken"):
            queue.token = given["authToken"]
        queue.changes(**{name: given[name] for name in CHANGEABLE if name in given})
        return _body(queue)

    def delete(self, webhook_id: str) -> dict[str, Any]:
        """Remove a webhook and what waits in its queue."""
        with self._book.lock:
            queue = self._find(webhook_id)
            del self._book.queues[webhook_id]
        queue.stop()
        return {"deleted": True, "id": webhook_id}

    def remove_backoff(self, webhook_id: str) -> None:
        """Take the penalty off a queue."""
        self._find(webhook_id).removes_backoff()

    def duplicate_every(self, number: int) -> None:
        """Send each n-th event twice from now on; 0 stops it."""
        self._each_nth, self._offered = number, 0

    def tries(self, after: int = 0) -> list[Try]:
        """Give the log of tries, from a position on."""
        with self._tries_lock:
            return self._tries[after:]

    def waiting(self) -> int:
        """Count the events not delivered yet, over all queues."""
        with self._book.lock:
            return sum(queue.size for queue in self._book.queues.values())

    def stop(self) -> None:
        """Stop all queues."""
        with self._book.lock:
            queues = list(self._book.queues.values())
        for queue in queues:
            queue.stop()
        self._client.close()

    def _is_doubled(self) -> bool:
        self._offered += 1
        return bool(self._each_nth) and self._offered % self._each_nth == 0

    def _record(self, attempt: Try) -> None:
        with self._tries_lock:
            self._tries.append(attempt)

    def _find(self, webhook_id: str) -> WebhookQueue:
        with self._book.lock:
            queue = self._book.queues.get(webhook_id)
        if queue is None:
            raise Missing(webhook_id)
        return queue

    def _check(self, given: dict[str, Any], *, new: bool) -> None:
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


def _body(queue: WebhookQueue) -> dict[str, Any]:
    webhook = dict(queue.webhook)
    events = webhook.pop("events")
    send_type = webhook.pop("sendType")
    return {
        **webhook,
        "hasAuthToken": queue.token is not None,
        "sendType": send_type,
        "penalizedRequestsCount": queue.penalised,
        "events": list(events),
    }
