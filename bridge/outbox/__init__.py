"""Sends what a lane owes: intent committed, POST, outcome committed; many at once, one of each line.

It is given a lease and works until nothing is due, its time is over or it is told to stop; then it waits for what is
in flight and records it. One transaction records the answers that came in and claims what is due next, so that a commit
is shared by many deliveries. An outcome that can't be written down is tried until it can: sending again is the last
resort, and only for another owner of the lane.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

from bridge.delivery import attempt, circuit, retry
from bridge.delivery.attempt import Sent
from bridge.errors import JournalError
from bridge.journal import Journal, Lease
from bridge.journal.owed import Owed
from bridge.logs import logger
from bridge.outbox.claim import Claims
from bridge.outbox.settle import Settling

log = logger(__name__)

_RENEW_S = 2.0
_WRITE_AGAIN_S = 0.5
_WRITE_TRIES_AT_END = 20  # a worker that is asked to stop does not wait for the database for ever


@dataclass(frozen=True, slots=True)
class Rules:
    """How the outbox sends, from the settings."""

    policy: retry.Policy
    limits: circuit.Limits
    in_flight: int
    longest_send_ms: int


class Outbox:
    """The sending half of a drain."""

    def __init__(
        self,
        journal: Journal,
        client: attempt.Destinations,
        urls: Mapping[str, str],
        rules: Rules,
        pool: Executor,
        clock_ms: Callable[[], int],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._journal = journal
        self._client = client
        self._urls = urls
        self._rules = rules
        self._pool = pool
        self._clock_ms = clock_ms
        self._claims = Claims(urls, rules.policy, rules.limits, clock_ms, rng)
        self._settling = Settling(rules.policy, rules.limits, clock_ms, rng)

    def run(self, lease: Lease, until_ms: int, stopping: Callable[[], bool]) -> bool:
        """Send what is due in the leased lane; return whether anything was sent or settled.

        Raises LeaseLost where another worker took the lane over.
        """
        flights: set[Future[Sent]] = set()
        landed: list[Sent] = []
        moved = False
        try:
            while True:
                room = 0 if stopping() or self._clock_ms() >= until_ms else self._rules.in_flight - len(flights)
                claimed, more = self._write(lease, landed, room, must=bool(landed or flights), stopping=stopping)
                moved = moved or bool(claimed) or bool(landed)
                flights |= {self._pool.submit(self._send, owed, lease) for owed in claimed}
                if not flights and not more:
                    return moved
                done, flights = wait(flights, _RENEW_S, FIRST_COMPLETED)
                landed = [future.result() for future in done]
        finally:
            # The lane must not be given back while something is on its way: its next owner would send it again at once.
            wait(flights)

    def _send(self, owed: Owed, lease: Lease) -> Sent:
        return attempt.make(
            self._client,
            self._urls[owed.destination],
            owed,
            lease,
            longest_ms=self._rules.longest_send_ms,
            clock_ms=self._clock_ms,
        )

    def _write(
        self, lease: Lease, landed: list[Sent], room: int, *, must: bool, stopping: Callable[[], bool]
    ) -> tuple[list[Owed], bool]:
        tries = 0
        while True:
            try:
                with self._journal.lanes.hold(lease, self._clock_ms()) as connection:
                    # In one order in all workers: this locks destinations, and two must not wait for each other.
                    for sent in sorted(landed, key=lambda sent: sent.owed.destination):
                        self._settling.settle(connection, sent)
                    return self._claims.claim(connection, lease, room) if room > 0 else ([], False)
            except JournalError as error:
                tries += 1
                if not must or (stopping() and tries > _WRITE_TRIES_AT_END):
                    raise
                # The database is away and these were sent: keep the answers until they can be written down.
                log.error("delivery.not_recorded", lane=lease.lane, deliveries=len(landed), error=str(error))
                time.sleep(_WRITE_AGAIN_S)
