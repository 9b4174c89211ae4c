"""Who may ask, and how often: keys, the quota of 12 hours, GETs at once, and a limit for an endpoint.

The codes and texts of 401 are those of the documentation; the quota's window begins with the first request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .refusal import Refusal

QUOTA = 25_000
QUOTA_WINDOW_S = 12 * 3600
GETS_AT_ONCE = 50


class TooMany(Refusal):
    """429, with the headers of an endpoint's own limit if it is one."""

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
    """What stands between a request and its answer."""

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
        """Give the API a limit of its own, with `RateLimit-` headers; none takes it away."""
        with self._lock:
            self._own = None if limit is None else _Window(limit, seconds)

    def check_key(self, key: str | None, user_agent: str | None) -> None:
        """Refuse a key that is missing, malformed, unknown, or of production unless the account was given that one."""
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
        """Count a request in and give the headers its answer carries; `leave` counts it out."""
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
        """Count a request out."""
        if method == "GET":
            with self._lock:
                self._gets -= 1
