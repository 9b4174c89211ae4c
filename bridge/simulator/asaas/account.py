"""The simulated account of Asaas: its parts, and the limits of its API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from bridge.simulator.asaas.charges import Payments
from bridge.simulator.asaas.customers import Customers
from bridge.simulator.asaas.plans import Installments, Subscriptions
from bridge.simulator.asaas.rules import Refusal, brasilia_now
from bridge.simulator.asaas.state import Book
from bridge.simulator.asaas.webhooks import Webhooks
from bridge.simulator.faults import Faults

DEFAULT_KEY = "$aact_hmlg_simulator"
QUOTA = 25_000
QUOTA_WINDOW_S = 12 * 3600
GETS_AT_ONCE = 50
COMPANY = {
    "status": "APPROVED",
    "personType": "JURIDICA",
    "cpfCnpj": "66625514000140",
    "name": "Padaria Aurora Ltda",
    "companyName": "Padaria Aurora Ltda",
    "tradingName": "Padaria Aurora",
    "companyType": "LIMITED",
    "email": "financeiro@example.com",
    "denialReason": None,
}
"""What Asaas says about the company of an account, in part (docs recuperar-dados-comerciais)."""


class Limits:
    """The keys that the API takes, and how many requests."""

    def __init__(self, keys: Iterable[str], quota: int = QUOTA, now: Callable[[], float] = time.monotonic) -> None:
        self.keys = set(keys)
        self.requests = 0
        self._quota = quota
        self._now = now
        self._lock = threading.Lock()
        self._gets = 0
        self._began: float | None = None
        self._used = 0

    def check_key(self, key: str | None, user_agent: str | None) -> None:
        """Refuse a missing, malformed or unknown key, and one of production that `keys` does not name."""
        if not key:
            text = "O cabeçalho de autenticação 'access_token' é obrigatório e não foi encontrado na requisição."
            raise Refusal("access_token_not_found", text, 401)
        if not key.startswith("$aact_"):
            text = "O valor fornecido não parece ser uma chave de API válida."
            raise Refusal("invalid_access_token_format", text, 401)
        if not key.startswith("$aact_hmlg_") and key not in self.keys:
            raise Refusal("invalid_environment", "A chave de API informada não pertence a este ambiente.", 401)
        if key not in self.keys:
            raise Refusal("invalid_access_token", "A chave de API fornecida é inválida.", 401)
        if not user_agent:
            raise Refusal("invalid_user_agent", "O cabeçalho User-Agent é obrigatório e não foi informado.")

    def enter(self, method: str) -> None:
        """Count a request; `leave` ends it, also where it is refused."""
        with self._lock:
            self.requests += 1
            self._gets += method == "GET"
            now = self._now()
            if self._began is None or now - self._began >= QUOTA_WINDOW_S:
                self._began, self._used = now, 0
            self._used += 1
            if self._used > self._quota:
                raise Refusal("too_many_requests", "O limite de requisições da conta em 12 horas foi atingido.", 429)
            if method == "GET" and self._gets > GETS_AT_ONCE:
                raise Refusal("too_many_requests", "O limite de requisições GET simultâneas foi atingido.", 429)

    def leave(self, method: str) -> None:
        with self._lock:
            self._gets -= method == "GET"


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
        self.company: dict[str, str | None] = dict(COMPANY)
        self.customers = Customers(self.book)
        self.payments = Payments(self.book)
        self.installments = Installments(self.book, self.payments)
        self.subscriptions = Subscriptions(self.book, self.payments)
        self.webhooks = Webhooks(self.book, webhook_time_scale)

    def close(self) -> None:
        """Stop the queues and release requests that hang."""
        self.faults.comes_back()
        self.webhooks.stop()
