"""Sends the events of one webhook the way Asaas does, penalties included.

It is given events in order and posts them until each was answered with exactly 200. SEQUENTIALLY sends one at a time
and lets nothing pass a penalised one; NON_SEQUENTIALLY sends several at once. After the fifteenth failure of an event
the queue stands still, keeping what comes, until somebody reactivates it. It never follows a redirect.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import httpx

_ALL_NAMES = """
    PAYMENT_AUTHORIZED PAYMENT_AWAITING_RISK_ANALYSIS PAYMENT_APPROVED_BY_RISK_ANALYSIS
    PAYMENT_REPROVED_BY_RISK_ANALYSIS PAYMENT_CREATED PAYMENT_UPDATED PAYMENT_CONFIRMED PAYMENT_RECEIVED
    PAYMENT_ANTICIPATED PAYMENT_OVERDUE PAYMENT_DELETED PAYMENT_RESTORED PAYMENT_REFUNDED PAYMENT_REFUND_IN_PROGRESS
    PAYMENT_REFUND_DENIED PAYMENT_RECEIVED_IN_CASH_UNDONE PAYMENT_CHARGEBACK_REQUESTED PAYMENT_CHARGEBACK_DISPUTE
    PAYMENT_AWAITING_CHARGEBACK_REVERSAL PAYMENT_DUNNING_RECEIVED PAYMENT_DUNNING_REQUESTED
    PAYMENT_BANK_SLIP_CANCELLED PAYMENT_BANK_SLIP_VIEWED PAYMENT_CHECKOUT_VIEWED PAYMENT_CREDIT_CARD_CAPTURE_REFUSED
    PAYMENT_PARTIALLY_REFUNDED PAYMENT_SPLIT_CANCELLED PAYMENT_SPLIT_DIVERGENCE_BLOCK
    PAYMENT_SPLIT_DIVERGENCE_BLOCK_FINISHED INVOICE_CREATED INVOICE_UPDATED INVOICE_SYNCHRONIZED INVOICE_AUTHORIZED
    INVOICE_PROCESSING_CANCELLATION INVOICE_CANCELED INVOICE_CANCELLATION_DENIED INVOICE_ERROR TRANSFER_CREATED
    TRANSFER_PENDING TRANSFER_IN_BANK_PROCESSING TRANSFER_BLOCKED TRANSFER_DONE TRANSFER_FAILED TRANSFER_CANCELLED
    BILL_CREATED BILL_PENDING BILL_BANK_PROCESSING BILL_PAID BILL_CANCELLED BILL_FAILED BILL_REFUNDED
    RECEIVABLE_ANTICIPATION_CANCELLED RECEIVABLE_ANTICIPATION_SCHEDULED RECEIVABLE_ANTICIPATION_PENDING
    RECEIVABLE_ANTICIPATION_CREDITED RECEIVABLE_ANTICIPATION_DEBITED RECEIVABLE_ANTICIPATION_DENIED
    RECEIVABLE_ANTICIPATION_OVERDUE MOBILE_PHONE_RECHARGE_PENDING MOBILE_PHONE_RECHARGE_CANCELLED
    MOBILE_PHONE_RECHARGE_CONFIRMED MOBILE_PHONE_RECHARGE_REFUNDED ACCOUNT_STATUS_BANK_ACCOUNT_INFO_APPROVED
    ACCOUNT_STATUS_BANK_ACCOUNT_INFO_AWAITING_APPROVAL ACCOUNT_STATUS_BANK_ACCOUNT_INFO_PENDING
    ACCOUNT_STATUS_BANK_ACCOUNT_INFO_REJECTED ACCOUNT_STATUS_COMMERCIAL_INFO_APPROVED
    ACCOUNT_STATUS_COMMERCIAL_INFO_AWAITING_APPROVAL ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRED
    ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRING_SOON ACCOUNT_STATUS_COMMERCIAL_INFO_PENDING
    ACCOUNT_STATUS_COMMERCIAL_INFO_REJECTED ACCOUNT_STATUS_DOCUMENT_APPROVED
    ACCOUNT_STATUS_DOCUMENT_AWAITING_APPROVAL ACCOUNT_STATUS_DOCUMENT_PENDING ACCOUNT_STATUS_DOCUMENT_REJECTED
    ACCOUNT_STATUS_GENERAL_APPROVAL_APPROVED ACCOUNT_STATUS_GENERAL_APPROVAL_AWAITING_APPROVAL
    ACCOUNT_STATUS_GENERAL_APPROVAL_PENDING ACCOUNT_STATUS_GENERAL_APPROVAL_REJECTED SUBSCRIPTION_CREATED
    SUBSCRIPTION_UPDATED SUBSCRIPTION_INACTIVATED SUBSCRIPTION_DELETED SUBSCRIPTION_SPLIT_DISABLED
    SUBSCRIPTION_SPLIT_DIVERGENCE_BLOCK SUBSCRIPTION_SPLIT_DIVERGENCE_BLOCK_FINISHED CHECKOUT_CREATED
    CHECKOUT_CANCELED CHECKOUT_EXPIRED CHECKOUT_PAID BALANCE_VALUE_BLOCKED BALANCE_VALUE_UNBLOCKED
    INTERNAL_TRANSFER_CREDIT INTERNAL_TRANSFER_DEBIT ACCESS_TOKEN_CREATED ACCESS_TOKEN_DELETED ACCESS_TOKEN_DISABLED
    ACCESS_TOKEN_ENABLED ACCESS_TOKEN_EXPIRED ACCESS_TOKEN_EXPIRING_SOON
    PIX_AUTOMATIC_RECURRING_AUTHORIZATION_CREATED PIX_AUTOMATIC_RECURRING_AUTHORIZATION_ACTIVATED
    PIX_AUTOMATIC_RECURRING_AUTHORIZATION_CANCELLED PIX_AUTOMATIC_RECURRING_AUTHORIZATION_EXPIRED
    PIX_AUTOMATIC_RECURRING_AUTHORIZATION_REFUSED PIX_AUTOMATIC_RECURRING_PAYMENT_INSTRUCTION_CREATED
    PIX_AUTOMATIC_RECURRING_PAYMENT_INSTRUCTION_SCHEDULED PIX_AUTOMATIC_RECURRING_PAYMENT_INSTRUCTION_REFUSED
    PIX_AUTOMATIC_RECURRING_PAYMENT_INSTRUCTION_CANCELLED PIX_AUTOMATIC_RECURRING_ELIGIBILITY_UPDATED
    PAYMENT_SPLIT_DONE
"""
NAMES = frozenset(_ALL_NAMES.split())


@dataclass(frozen=True)
class Event:
    """One event as it is sent: the very bytes, the same on every try."""

    id: str
    name: str
    customer: str | None
    entity_id: str | None
    body: bytes


def event_id(name: str, sequence: int) -> str:
    """Make an id the way the real ones look: the first part is the same for all events of a name.

    >>> event_id("PAYMENT_CREATED", 7712248)
    'evt_05b708f961d739ea7eba7e4db318f621&7712248'
    """
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"evt_{digest}&{sequence}"


def envelope(
    name: str, sequence: int, created: str, account_id: str, entity: str, body: dict[str, Any], extra: dict[str, Any]
) -> Event:
    """Wrap an entity into what is posted."""
    whole: dict[str, Any] = {
        "id": event_id(name, sequence),
        "event": name,
        "dateCreated": created,
        "account": {"id": account_id, "ownerId": None},
        entity: body,
        **extra,
    }
    return Event(
        whole["id"], name, body.get("customer"), body.get("id"), json.dumps(whole, ensure_ascii=False).encode()
    )


WAIT_BEFORE_TRY_S = (0, 30, 60, 210, 300, 900, 1500, 3600, 3600, 3600, 3600, 3600, 7200, 7200, 10800)
"""The documented penalties: the wait before the first, second, ... fifteenth try of an event."""
MOST_FAILURES = len(WAIT_BEFORE_TRY_S)
KEPT_S = 14 * 24 * 3600
TIMEOUT_S = 10.0
PARALLEL = 8
USER_AGENT = "Asaas_Hmlg/3.0"


@cache
def authorities() -> ssl.SSLContext:
    """Return whom all clients of the simulators trust; reading it takes a tenth of a second."""
    return httpx.create_ssl_context()


def sending_client(timeout_s: float = TIMEOUT_S) -> httpx.Client:
    """Make the client that all queues share: it waits ten seconds and follows no redirect."""
    return httpx.Client(timeout=timeout_s, follow_redirects=False, verify=authorities(), trust_env=False)


@dataclass(frozen=True)
class SendAttempt:
    """One try to deliver an event."""

    webhook: str
    event_id: str
    event: str
    number: int
    status: int | None
    """None when there was no answer."""
    error: str | None
    ms: float
    at_ms: float

    def body(self) -> dict[str, Any]:
        """Give the try as JSON."""
        return asdict(self)


@dataclass(eq=False)  # the same event queued twice is two things that wait
class _Waiting:
    event: Event
    since: float
    due: float = 0.0
    failures: int = 0


class WebhookQueue:
    """The queue of one webhook and the threads that empty it."""

    def __init__(
        self,
        webhook: dict[str, Any],
        token: str | None,
        client: httpx.Client,
        record: Callable[[SendAttempt], None],
        time_scale: float = 1.0,
        duplicates: Callable[[], bool] = lambda: False,
        kept_s: float = KEPT_S,
    ) -> None:
        self.webhook = webhook
        self.token = token
        self._client = client
        self._record = record
        self._time_scale = time_scale
        self._duplicates = duplicates
        self._kept_s = kept_s
        self._waiting: deque[_Waiting] = deque()
        self._in_flight = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def offer(self, event: Event) -> None:
        """Queue an event if the webhook is enabled and asks for it; now and then twice, when told to."""
        with self._changed:
            if self._stopped or not self.webhook["enabled"] or event.name not in self.webhook["events"]:
                return
            for _ in range(2 if self._duplicates() else 1):
                self._waiting.append(_Waiting(event, time.monotonic()))
            self._start_threads()
            self._changed.notify_all()

    def removes_backoff(self) -> None:
        """Forget the penalties: what waits goes now."""
        with self._changed:
            for waiting in self._waiting:
                waiting.failures, waiting.due = 0, 0.0
            self._changed.notify_all()

    def changes(self, **changed: Any) -> None:
        """Change the webhook; switching it back on forgives what failed before."""
        with self._changed:
            resumed = self.webhook["interrupted"] and changed.get("interrupted") is False
            self.webhook.update(changed)
            if resumed:
                self.removes_backoff()
            self._start_threads()
            self._changed.notify_all()

    @property
    def size(self) -> int:
        """Count what is not delivered yet."""
        with self._changed:
            return len(self._waiting) + self._in_flight

    @property
    def penalised(self) -> int:
        """Count the failed tries that what waits has behind it."""
        with self._changed:
            return sum(waiting.failures for waiting in self._waiting)

    def stop(self) -> None:
        """Send nothing more."""
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
                    self._forget_old(now)
                    # In order only the first may go; else any, so that a penalised one holds up nobody.
                    candidates = list(itertools.islice(self._waiting, 1)) if self._in_order else self._waiting
                    due = next((waiting for waiting in candidates if waiting.due <= now), None)
                    if due is not None:
                        self._waiting.remove(due)
                        self._in_flight += 1
                        return due
                    pause_s = min((waiting.due for waiting in candidates), default=now + 1) - now
                self._changed.wait(pause_s)
            return None

    def _forget_old(self, now: float) -> None:
        while self._waiting and now - self._waiting[0].since > self._kept_s:
            self._waiting.popleft()

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
        self._record(
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
