"""The rules of sending: retry, circuit, stale deliveries, fair shares.

Pure: each function takes data and `now` and returns a decision; it reads no clock and no journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.journal.deliveries import DueDelivery, NewDelivery
from bridge.journal.destinations import Destination
from bridge.messages import N_, Message
from bridge.model import DeliveryState, Outcome, Waiting

POSTPONED_S = 1.0
"""The delay of a postponed delivery whose answer names none."""
PAUSE_LOOK_MS = 3_600_000
"""The delay of a delivery whose destination is paused; a resume makes it due at once."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    base_s: float
    cap_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Decision:
    state: DeliveryState
    due_ms: int | None = None
    waiting: Waiting | None = None
    code: str | None = None
    reason: Message | None = None


def ceiling_s(policy: RetryPolicy, attempt: int) -> float:
    """Return the longest wait after this attempt (counted from 1): base * 2 ** (attempt - 1), never over the cap.

    >>> [ceiling_s(RetryPolicy(base_s=5, cap_s=60, attempts=9), n) for n in (1, 2, 3, 4, 5, 6)]
    [5.0, 10.0, 20.0, 40.0, 60, 60]
    """
    # The exponent is bounded: 2 ** 1000 is no float any more.
    return min(policy.cap_s, policy.base_s * 2.0 ** min(attempt - 1, 40))


def next_state(
    policy: RetryPolicy,
    *,
    outcome: Outcome,
    attempt: int,
    code: str,
    detail: Message,
    retry_after_s: float | None,
    now_ms: int,
    rng: Callable[[], float],
) -> Decision:
    """Return the next state of a delivery after its attempt number `attempt`; `rng` gives 0 <= x < 1."""
    if outcome is Outcome.DELIVERED:
        return Decision(DeliveryState.DELIVERED)
    if outcome is Outcome.REJECTED:
        return Decision(DeliveryState.DEAD, code=code, reason=detail)
    if outcome is Outcome.REMOVED:
        # Not dead: the integration is gone for every delivery alike, and a person can set a new URL.
        return Decision(DeliveryState.RETRYING, now_ms + PAUSE_LOOK_MS, Waiting.PAUSED, code, detail)
    if outcome is Outcome.DISCARDED:
        return Decision(DeliveryState.DISCARDED, code=code, reason=detail)
    if outcome is Outcome.POSTPONED:
        due_ms = now_ms + int((retry_after_s or POSTPONED_S) * 1000)
        return Decision(DeliveryState.RETRYING, due_ms, Waiting.BACKOFF, code, detail)
    if attempt >= policy.attempts:
        reason = Message(N_("{detail} (try {number}, the last)"), {"detail": detail, "number": attempt})
        return Decision(DeliveryState.DEAD, code="delivery.attempts_spent", reason=reason)
    wait_s = rng() * ceiling_s(policy, attempt)
    if retry_after_s is not None:
        wait_s = min(max(wait_s, retry_after_s), policy.cap_s)
    return Decision(DeliveryState.RETRYING, now_ms + int(wait_s * 1000), Waiting.BACKOFF, code, detail)


LONGEST_WAIT_S = 600.0
"""An open circuit is probed at least every ten minutes."""


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitLimits:
    failures: int
    wait_s: float
    probe_s: float
    """The time after which another probe may go: longer than a send can take."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a delivery may go to the destination now: yes (both None), not before a time, or as the probe."""

    open_until_ms: int | None = None
    probe: Destination | None = None
    """The destination's new state."""


def circuit_gate(destination: Destination, limits: CircuitLimits, now_ms: int) -> Gate:
    """Return whether one delivery may go now, and whether it would be the probe."""
    if destination.state == Circuit.CLOSED:
        return Gate()
    if now_ms < destination.until_ms:
        return Gate(open_until_ms=destination.until_ms)
    until_ms = now_ms + int(limits.probe_s * 1000)
    return Gate(probe=replace(destination, state=Circuit.HALF_OPEN.value, until_ms=until_ms))


def circuit_after(
    destination: Destination,
    limits: CircuitLimits,
    *,
    outcome: Outcome,
    subject: str,
    retry_after_s: float | None,
    now_ms: int,
    rng: Callable[[], float],
) -> Destination:
    """Return the destination's state after an attempt for a customer (`subject`)."""
    if outcome is Outcome.POSTPONED:
        return destination  # it says nothing about the destination
    if outcome in {Outcome.DELIVERED, Outcome.REJECTED, Outcome.DISCARDED}:
        # A refusal of one payload is an answer: the destination works.
        if destination.state == Circuit.CLOSED and not destination.failures:
            return destination
        closed = Circuit.CLOSED.value
        return replace(destination, state=closed, failures=0, failed_subject=None, several=False, opens=0, until_ms=0)
    first = destination.failed_subject or subject
    failed = replace(
        destination,
        failures=destination.failures + 1,
        failed_subject=first,
        several=destination.several or subject != first,
    )
    if destination.state == Circuit.OPEN:
        return failed  # this send began before the circuit opened
    if destination.state == Circuit.CLOSED and (failed.failures < limits.failures or not failed.several):
        return failed
    wait_s = min(LONGEST_WAIT_S, limits.wait_s * 2 ** min(destination.opens, 20))
    wait_s = max(wait_s * (0.75 + rng() / 4), min(retry_after_s or 0.0, LONGEST_WAIT_S))
    return replace(failed, state=Circuit.OPEN.value, opens=destination.opens + 1, until_ms=now_ms + int(wait_s * 1000))


def is_stale(delivery: DueDelivery | NewDelivery, newest: tuple[str, int] | None) -> bool:
    """Return whether a newer event of the same charge was already delivered in this line.

    Asaas stamps events in steps of one second; within a second the order of its documented flows decides (rank 0 is
    in no flow, and never stale in a tie).
    """
    if newest is None or not delivery.skip_stale or not delivery.order_at:
        return False
    time, rank = newest
    return time > delivery.order_at or (time == delivery.order_at and 0 < delivery.order_rank < rank)


SHARES_OF_FREE = 3
"""One destination may have three times as many slots as are free: alone 3/4 of all, two destinations 3/7 each. So some
slot is always free for another destination."""


class FairShares:
    """The send slots in use by each destination and each account, out of `slots`.

    All destinations that are `narrow` have `narrow_slots` together.
    """

    def __init__(
        self,
        slots: int,
        destinations: Collection[str],
        accounts: Collection[str],
        narrow: Callable[[str], bool] = lambda _name: False,
        narrow_slots: int = 0,
    ) -> None:
        self._slots = slots
        self._destinations = destinations
        self._accounts = accounts
        self._narrow = narrow
        self._narrow_slots = narrow_slots
        self._by_destination: Counter[str] = Counter()
        self._by_account: Counter[str] = Counter()

    def take(self, delivery: DueDelivery) -> None:
        self._by_destination[delivery.destination] += 1
        self._by_account[delivery.account] += 1

    def give_back(self, delivery: DueDelivery) -> None:
        self._by_destination[delivery.destination] -= 1
        self._by_account[delivery.account] -= 1

    def without(self, finished: Iterable[DueDelivery]) -> FairShares:
        """Return the shares after the slots of these deliveries are free."""
        rest = FairShares(self._slots, self._destinations, self._accounts, self._narrow, self._narrow_slots)
        rest._by_destination, rest._by_account = self._by_destination.copy(), self._by_account.copy()
        for delivery in finished:
            rest.give_back(delivery)
        return rest

    def allow(self, delivery: DueDelivery) -> bool:
        """Return whether the delivery's destination and its account may both take another slot."""
        return delivery.destination not in self.full_destinations and delivery.account not in self.full_accounts

    @property
    def full_destinations(self) -> set[str]:
        """Destinations that may take no other slot now; the only destination of a bridge may take all."""
        full = self._full(self._by_destination, self._destinations)
        narrow = sum(number for name, number in self._by_destination.items() if number and self._narrow(name))
        if narrow and narrow >= self._narrow_slots:
            full |= {name for name in self._destinations if self._narrow(name)}
        return full

    @property
    def full_accounts(self) -> set[str]:
        """Accounts that may take no other slot now; the only account of a bridge may take all."""
        return self._full(self._by_account, self._accounts)

    def _full(self, used: Counter[str], names: Collection[str]) -> set[str]:
        if len(names) < 2:
            return set()
        most = SHARES_OF_FREE * (self._slots - used.total())
        return {name for name, number in used.items() if number > 0 and number >= most}
