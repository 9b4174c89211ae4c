"""Sends the events of one webhook as Asaas does, with penalties.

A queue posts each event until the answer is exactly 200. SEQUENTIALLY posts one at a time in order; NON_SEQUENTIALLY
posts several at once. After 15 failures of an event the queue stops and keeps its events until it is reactivated.
"""

from __future__ import annotations

import itertools
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

NAMES = frozenset(Path(__file__).with_name("events.txt").read_text().split())
"""The events of Asaas that are documented."""


@dataclass(frozen=True)
class Event:
    """One event; its bytes are the same in each attempt."""

    id: str
    name: str
    body: bytes


WAIT_BEFORE_TRY_S = (0, 30, 60, 210, 300, 900, 1500, 3600, 3600, 3600, 3600, 3600, 7200, 7200, 10800)
"""The documented penalties: the wait before the first, second, ... fifteenth try of an event."""
MOST_FAILURES = len(WAIT_BEFORE_TRY_S)
KEPT_S = 14 * 24 * 3600
TIMEOUT_S = 10.0
PARALLEL = 8
USER_AGENT = "Asaas_Hmlg/3.0"


@cache
def authorities() -> ssl.SSLContext:
    """Return the certificates of all clients; loading them is slow."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class SendAttempt:
    webhook: str
    event_id: str
    event: str
    number: int
    status: int | None
    """None when there was no answer."""
    error: str | None
    ms: float
    at_ms: float


@dataclass(eq=False)  # the same event queued twice is two things that wait
class _Waiting:
    event: Event
    since: float
    due: float = 0.0
    failures: int = 0


class WebhookQueue:
    """The queue of one webhook and its threads."""

    def __init__(
        self,
        webhook: dict[str, Any],
        token: str | None,
        client: httpx.Client,
        tries: list[SendAttempt],
        time_scale: float = 1.0,
        kept_s: float = KEPT_S,
    ) -> None:
        self.webhook = webhook
        self.token = token
        self._client = client
        self._tries = tries
        self._time_scale = time_scale
        self._kept_s = kept_s
        self._waiting: deque[_Waiting] = deque()
        self._in_flight = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def offer(self, event: Event) -> None:
        """Queue an event if the webhook is enabled and subscribed to it."""
        with self._changed:
            if self._stopped or not self.webhook["enabled"] or event.name not in self.webhook["events"]:
                return
            self._waiting.append(_Waiting(event, time.monotonic()))
            self._start_threads()
            self._changed.notify_all()

    def remove_backoff(self) -> None:
        """Remove the penalties, so that all events are due."""
        with self._changed:
            for waiting in self._waiting:
                waiting.failures, waiting.due = 0, 0.0
            self._changed.notify_all()

    def change(self, changed: dict[str, Any]) -> None:
        """Change the webhook; ending an interruption removes the penalties."""
        with self._changed:
            if self.webhook["interrupted"] and changed.get("interrupted") is False:
                self.remove_backoff()
            self.webhook.update(changed)
            self._start_threads()
            self._changed.notify_all()

    def body(self) -> dict[str, Any]:
        """Return the webhook as the API does."""
        with self._changed:
            return {
                **{name: value for name, value in self.webhook.items() if name not in {"sendType", "events"}},
                "hasAuthToken": self.token is not None,
                "sendType": self.webhook["sendType"],
                "penalizedRequestsCount": sum(waiting.failures for waiting in self._waiting),
                "events": list(self.webhook["events"]),
            }

    @property
    def size(self) -> int:
        with self._changed:
            return len(self._waiting) + self._in_flight

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=TIMEOUT_S + 1)

    def _start_threads(self) -> None:
        wanted = 1 if self._in_order else PARALLEL
        while len(self._threads) < wanted and not self._stopped:
            thread = threading.Thread(target=self._run, name=f"webhook-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def _in_order(self) -> bool:
        return bool(self.webhook["sendType"] == "SEQUENTIALLY")

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            delivered = self._post(waiting)
            with self._changed:
                self._in_flight -= 1
                if not delivered:
                    self._penalise(waiting)
                self._changed.notify_all()

    def _next(self) -> _Waiting | None:
        with self._changed:
            while not self._stopped:
                pause_s = None
                if self._waiting and not self.webhook["interrupted"] and not (self._in_order and self._in_flight):
                    now = time.monotonic()
                    while self._waiting and now - self._waiting[0].since > self._kept_s:
                        self._waiting.popleft()
                    # In order only the first may go; otherwise any, so that a penalised one delays no other.
                    candidates = list(itertools.islice(self._waiting, 1)) if self._in_order else self._waiting
                    due = next((waiting for waiting in candidates if waiting.due <= now), None)
                    if due is not None:
                        self._waiting.remove(due)
                        self._in_flight += 1
                        return due
                    pause_s = min((waiting.due for waiting in candidates), default=now + 1) - now
                self._changed.wait(pause_s)
            return None

    def _penalise(self, waiting: _Waiting) -> None:
        waiting.failures += 1
        if waiting.failures >= MOST_FAILURES:
            self.webhook["interrupted"] = True
        else:
            waiting.due = time.monotonic() + WAIT_BEFORE_TRY_S[waiting.failures] * self._time_scale
        if self._in_order:
            self._waiting.appendleft(waiting)
        else:
            self._waiting.append(waiting)

    def _post(self, waiting: _Waiting) -> bool:
        headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
        if self.token is not None:
            headers["asaas-access-token"] = self.token
        status, error = None, None
        started, at_ms = time.monotonic(), time.time() * 1000
        try:
            status = self._client.post(self.webhook["url"], content=waiting.event.body, headers=headers).status_code
        except httpx.HTTPError as problem:
            error = type(problem).__name__
        self._tries.append(
            SendAttempt(
                webhook=self.webhook["id"],
                event_id=waiting.event.id,
                event=waiting.event.name,
                number=waiting.failures + 1,
                status=status,
                error=error,
                ms=round((time.monotonic() - started) * 1000, 3),
                at_ms=at_ms,
            )
        )
        return status == 200
