"""One delivery: a try (`attempt`), what follows from its answer (`retry`), when a destination rests (`circuit`),
and what is said of a delivery that is given up (`dead_letter`). All but `attempt` are pure: data and `now` in,
decision out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.journal.deliveries import DueDelivery, NewDelivery
from bridge.journal.destinations import Destination
from bridge.model import DeliveryState, Outcome, Waiting

PAUSE_LOOK_MS = 3_600_000
"""A delivery of a paused destination is looked at again after an hour; a resume frees it at once."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often to try."""

    base_s: float
    cap_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a delivery after an attempt."""

    state: DeliveryState
    due_ms: int | None = None
    waiting: Waiting | None = None
    code: str | None = None
    reason: str | None = None


def ceiling_s(policy: RetryPolicy, attempt: int) -> float:
    """Return the longest wait after this attempt (counted from 1): base * 2 ** (attempt - 1), never over the cap.

    >>> [ceiling_s(RetryPolicy(base_s=5, cap_s=60, attempts=9), n) for n in (1, 2, 3, 4, 5, 6)]
    [5.0, 10.0, 20.0, 40.0, 60, 60]
    """
    # The exponent is bounded: 2 ** 1000 of a configured base would be no float any more.
    return min(policy.cap_s, policy.base_s * 2.0 ** min(attempt - 1, 40))


def next_state(
    policy: RetryPolicy,
    *,
    outcome: Outcome,
    attempt: int,
    code: str,
    detail: str,
    retry_after_s: float | None,
    now_ms: int,
    rng: Callable[[], float],
) -> Decision:
    """Return what becomes of a delivery whose attempt number `attempt` ended so; `rng` gives 0 <= x < 1."""
    if outcome is Outcome.DELIVERED:
        return Decision(DeliveryState.DELIVERED)
    if outcome is Outcome.REJECTED:
        return Decision(DeliveryState.DEAD, code=code, reason=detail)
    if outcome is Outcome.REMOVED:
        # Not dead: the integration is gone for every delivery alike, and a person can put a new URL in its place.
        return Decision(DeliveryState.RETRYING, now_ms + PAUSE_LOOK_MS, Waiting.PAUSED, code, detail)
    if attempt >= policy.attempts:
        return Decision(
            DeliveryState.DEAD, code="delivery.attempts_spent", reason=f"{detail} (try {attempt}, the last)"
        )
    wait_s = rng() * ceiling_s(policy, attempt)
    if retry_after_s is not None:
        wait_s = min(max(wait_s, retry_after_s), policy.cap_s)
    return Decision(DeliveryState.RETRYING, now_ms + int(wait_s * 1000), Waiting.BACKOFF, code, detail)


LONGEST_WAIT_S = 600.0
"""However long a destination is down, it is probed at least every ten minutes."""


class Circuit(StrEnum):
    """States of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitLimits:
    """When a circuit opens and how long it stays so."""

    failures: int
    wait_s: float
    probe_s: float
    """How long a probe may be out before another may go: longer than a send can take."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a delivery may go to the destination now."""

    open_until_ms: int | None = None
    """When to look again, where it may not go."""
    probe: Destination | None = None
    """The destination's new state, where this delivery may go as the probe."""


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
    """Return the destination's state after an attempt for a customer (`subject`) ended so."""
    if outcome in {Outcome.DELIVERED, Outcome.REJECTED}:
        # An answer that refuses one payload is still an answer: the destination works.
        if destination.state == Circuit.CLOSED and not destination.failures:
            return destination
        return replace(
            destination,
            state=Circuit.CLOSED.value,
            failures=0,
            failed_subject=None,
            several=False,
            opens=0,
            until_ms=0,
        )
    failures = destination.failures + 1
    first = destination.failed_subject or subject
    failed = replace(
        destination,
        failures=failures,
        failed_subject=first,
        several=destination.several or subject != first,
    )
    if destination.state == Circuit.OPEN:
        return failed  # a send that was already out when it opened
    if destination.state == Circuit.CLOSED and (failures < limits.failures or not failed.several):
        return failed
    wait_s = min(LONGEST_WAIT_S, limits.wait_s * 2 ** min(destination.opens, 20))
    wait_s = max(wait_s * (0.75 + rng() / 4), min(retry_after_s or 0.0, LONGEST_WAIT_S))
    return replace(failed, state=Circuit.OPEN.value, opens=destination.opens + 1, until_ms=now_ms + int(wait_s * 1000))


def is_stale(owed: DueDelivery | NewDelivery, newest: tuple[str, int] | None) -> bool:
    """Return whether a newer event of the same charge was already delivered in this line.

    Asaas stamps events in steps of one second; within a second only the order of its documented flows tells (rank 0 is
    in no flow, and never stale in a tie).
    """
    if newest is None or not owed.skip_stale or not owed.order_at:
        return False
    at, rank = newest
    return at > owed.order_at or (at == owed.order_at and 0 < owed.order_rank < rank)


TIMES_FREE = 3
"""One alone gets three quarters of the sends, two get three sevenths each: what is free is never nothing."""


class FairShares:
    """What each destination and each account has out, of `all_` sends."""

    def __init__(self, all_: int, destinations: Collection[str], accounts: Collection[str]) -> None:
        self._all = all_
        self._destinations = destinations
        self._accounts = accounts
        self._to: Counter[str] = Counter()
        self._of: Counter[str] = Counter()

    def take(self, owed: DueDelivery) -> None:
        """Note that one is out."""
        self._to[owed.destination] += 1
        self._of[owed.account] += 1

    def give_back(self, owed: DueDelivery) -> None:
        """Note that one is out no more."""
        self._to[owed.destination] -= 1
        self._of[owed.account] -= 1

    def without(self, landed: Iterable[DueDelivery]) -> FairShares:
        """Return the shares as they are once these are out no more."""
        left = FairShares(self._all, self._destinations, self._accounts)
        left._to, left._of = self._to.copy(), self._of.copy()
        for owed in landed:
            left.give_back(owed)
        return left

    def allow(self, owed: DueDelivery) -> bool:
        """Whether both its destination and its account have sends left; who is the only one has them all."""
        return owed.destination not in self.full_destinations and owed.account not in self.full_accounts

    @property
    def full_destinations(self) -> set[str]:
        """Destinations with as many sends out as they may have now."""
        return self._full(self._to, self._destinations)

    @property
    def full_accounts(self) -> set[str]:
        """Accounts with as many sends out as they may have now."""
        return self._full(self._of, self._accounts)

    def _full(self, out: Counter[str], names: Collection[str]) -> set[str]:
        if len(names) < 2:
            return set()
        most = TIMES_FREE * (self._all - out.total())
        return {name for name, number in out.items() if number > 0 and number >= most}
