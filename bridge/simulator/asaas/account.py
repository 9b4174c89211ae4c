"""The simulated account of Asaas: its limits, its webhooks, and the verbs of tests."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.simulator.asaas.charges import OPEN, Charging, Installments, Payments
from bridge.simulator.asaas.customers import Customers, cpf_of
from bridge.simulator.asaas.paying import Paying, Subscriptions
from bridge.simulator.asaas.rules import Arguments, Missing, Refusal, brasilia_now, page
from bridge.simulator.asaas.sender import NAMES, Event, SendAttempt, WebhookQueue, sending_client
from bridge.simulator.asaas.state import Book
from bridge.simulator.faults import Faults

QUOTA = 25_000
QUOTA_WINDOW_S = 12 * 3600
GETS_AT_ONCE = 50


class TooMany(Refusal):
    """Status 429; `headers` are those of an endpoint's own limit."""

    def __init__(self, description: str, headers: dict[str, str] | None = None) -> None:
        self.headers = headers or {}
        super().__init__("too_many_requests", description, status=429)


@dataclass
class _Window:
    limit: int
    seconds: float
    started: float | None = None
    used: int = 0

    def take(self, now: float) -> bool:
        if self.started is None or now - self.started >= self.seconds:
            self.started, self.used = now, 0
        self.used += 1
        return self.used <= self.limit

    def headers(self, now: float) -> dict[str, str]:
        left_s = self.seconds - (now - (self.started if self.started is not None else now))
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "RateLimit-Reset": str(max(1, round(left_s))),
        }


class Limits:
    def __init__(self, keys: Iterable[str], quota: int = QUOTA, now: Callable[[], float] = time.monotonic) -> None:
        self.keys = set(keys)
        self.requests = 0
        self.most_gets_at_once = 0
        self._now = now
        self._lock = threading.Lock()
        self._gets = 0
        self._quota = _Window(quota, QUOTA_WINDOW_S)
        self._own: _Window | None = None

    def rate_limit(self, limit: int | None, seconds: float = 60.0) -> None:
        """Set a limit with `RateLimit-` headers; None removes it."""
        with self._lock:
            self._own = None if limit is None else _Window(limit, seconds)

    def check_key(self, key: str | None, user_agent: str | None) -> None:
        """Refuse a missing, malformed or unknown key, and one of production that `keys` does not name."""
        if not key:
            raise Refusal(
                "access_token_not_found",
                "O cabeçalho de autenticação 'access_token' é obrigatório e não foi encontrado na requisição.",
                status=401,
            )
        if not key.startswith("$aact_"):
            raise Refusal(
                "invalid_access_token_format", "O valor fornecido não parece ser uma chave de API válida.", status=401
            )
        if not key.startswith("$aact_hmlg_") and key not in self.keys:
            raise Refusal("invalid_environment", "A chave de API informada não pertence a este ambiente.", status=401)
        if key not in self.keys:
            raise Refusal("invalid_access_token", "A chave de API fornecida é inválida.", status=401)
        if not user_agent:
            raise Refusal("invalid_user_agent", "O cabeçalho User-Agent é obrigatório e não foi informado.")

    def enter(self, method: str) -> dict[str, str]:
        """Count a request and return the headers of its answer; `leave` ends it."""
        with self._lock:
            self.requests += 1
            if method == "GET":
                self._gets += 1
                self.most_gets_at_once = max(self.most_gets_at_once, self._gets)
            now = self._now()
            if not self._quota.take(now):
                raise TooMany("O limite de requisições da conta em 12 horas foi atingido.")
            if method == "GET" and self._gets > GETS_AT_ONCE:
                raise TooMany("O limite de requisições GET simultâneas foi atingido.")
            if self._own is None:
                return {}
            taken = self._own.take(now)
            headers = self._own.headers(now)
            if not taken:
                raise TooMany("O limite de requisições deste recurso foi atingido.", headers)
            return headers

    def leave(self, method: str) -> None:
        if method == "GET":
            with self._lock:
                self._gets -= 1


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
        self._client = sending_client()
        self._tries_lock = threading.Lock()
        self._tries: list[SendAttempt] = []
        self._each_nth = 0
        self._offered = 0
        self.events = set(NAMES)
        """The events that may be subscribed to; Asaas adds some."""

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
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
        return _body(self._find(webhook_id))

    def listed(self, arguments: Arguments) -> dict[str, Any]:
        with self._book.lock:
            return page([_body(queue) for queue in self._book.queues.values()], arguments)

    def update(self, webhook_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """Change a webhook; `interrupted: false` restarts its queue."""
        queue = self._find(webhook_id)
        self._check(given, new=False)
        if given.get("authToken"):
            queue.token = given["authToken"]
        queue.changes(**{name: given[name] for name in CHANGEABLE if name in given})
        return _body(queue)

    def delete(self, webhook_id: str) -> dict[str, Any]:
        """Remove a webhook and its queue."""
        with self._book.lock:
            queue = self._find(webhook_id)
            del self._book.queues[webhook_id]
        queue.stop()
        return {"deleted": True, "id": webhook_id}

    def remove_backoff(self, webhook_id: str) -> None:
        self._find(webhook_id).removes_backoff()

    def duplicate_every(self, number: int) -> None:
        """Send each n-th event twice; 0 stops it."""
        self._each_nth, self._offered = number, 0

    def tries(self, after: int = 0) -> list[SendAttempt]:
        with self._tries_lock:
            return self._tries[after:]

    def waiting(self) -> int:
        with self._book.lock:
            return sum(queue.size for queue in self._book.queues.values())

    def stop(self) -> None:
        with self._book.lock:
            queues = list(self._book.queues.values())
        for queue in queues:
            queue.stop()
        self._client.close()

    def _is_doubled(self) -> bool:
        self._offered += 1
        return bool(self._each_nth) and self._offered % self._each_nth == 0

    def _record(self, attempt: SendAttempt) -> None:
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


DEFAULT_KEY = "$aact_hmlg_simulator"


class AsaasAccount:
    def __init__(
        self,
        keys: Iterable[str] = (DEFAULT_KEY,),
        webhook_time_scale: float = 1.0,
        quota: int = QUOTA,
        seed: int = 0,
        clock: Callable[[], datetime] = brasilia_now,
    ) -> None:
        self.book = Book(clock, seed)
        self.faults = Faults(seed)
        self.limits = Limits(keys, quota)
        self.customers = Customers(self.book)
        charging = Charging(self.book)
        self.installments = Installments(self.book, charging)
        self.payments = Payments(self.book, charging, self.installments)
        self.paying = Paying(self.book, charging, self.payments)
        self.subscriptions = Subscriptions(self.book, charging, self.payments)
        self.webhooks = Webhooks(self.book, webhook_time_scale)
        # The verbs of tests.
        self.is_paid, self.is_overdue, self.is_deleted = self.paying.confirm, self.paying.overdue, self.payments.delete
        self.says, self.duplicate_every = self.book.emit, self.webhooks.duplicate_every
        self.goes_down, self.comes_back = self.faults.goes_down, self.faults.comes_back
        self.answers, self.is_slow = self.faults.answers, self.faults.is_slow

    def has_customer(self, **fields: Any) -> dict[str, Any]:
        """Add a customer; missing fields get values for tests."""
        number = len(self.book.customers) + 1
        defaults = {
            "name": f"Cliente Teste {number}",
            "cpfCnpj": cpf_of(100_000_000 + number),
            "email": f"cliente{number}@example.com",
            "mobilePhone": f"119{60_000_000 + number}",
            "notificationDisabled": True,
        }
        return self.customers.create({**defaults, **fields})

    def has_payment(
        self, customer: Mapping[str, Any] | str, value: float = 100.0, billing_type: str = "PIX", **fields: Any
    ) -> dict[str, Any]:
        """Add a charge, due in five days unless `dueDate` is given."""
        due = (self.book.today() + timedelta(days=5)).isoformat()
        customer_id = customer if isinstance(customer, str) else customer["id"]
        given = {"customer": customer_id, "billingType": billing_type, "value": value, "dueDate": due}
        return self.payments.create({**given, **fields})

    def is_refunded(self, payment_id: str, value: float | None = None) -> dict[str, Any]:
        """Refund a charge, or a part of it."""
        return self.paying.refund(payment_id, {"value": value})

    def is_removed(self, customer_id: str) -> dict[str, Any]:
        """Remove a customer with its subscriptions and open charges."""
        with self.book.lock:
            answer = self.customers.delete(customer_id)
            for subscription in list(self.book.subscriptions.values()):
                if subscription["customer"] == customer_id and not subscription["deleted"]:
                    self.subscriptions.delete(subscription["id"])
            for payment in list(self.book.payments.values()):
                if payment.customer == customer_id and payment.status in OPEN and not payment.deleted:
                    self.payments.delete(payment.id)
            return answer

    def posts_to(
        self,
        url: str,
        token: str | None = None,
        events: Iterable[str] = NAMES,
        send_type: str = "SEQUENTIALLY",
        **fields: Any,
    ) -> dict[str, Any]:
        """Register a webhook, for all events by default."""
        given = {"name": "bridge", "url": url, "email": "bridge@example.com", "authToken": token, "apiVersion": 3}
        return self.webhooks.create({**given, "sendType": send_type, "events": sorted(events), **fields})

    @property
    def tries(self) -> list[SendAttempt]:
        """Every attempt to post an event, oldest first."""
        return self.webhooks.tries()

    @property
    def events(self) -> list[Event]:
        """Every event, posted or not, oldest first."""
        with self.book.lock:
            return list(self.book.events)

    def is_settled(self, timeout_s: float = 10.0) -> bool:
        """Wait until every event is posted; False when the time is over."""
        deadline = time.monotonic() + timeout_s
        while self.webhooks.waiting():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """Stop the queues and release requests that hang."""
        self.faults.comes_back()
        self.webhooks.stop()
