"""Sends what lanes owe: intent committed, POST, outcome committed; many at once, one of each line.

It is given leases, turn by turn. One transaction of a turn records the answers that came in and claims what is due
next, so that a commit is shared by many deliveries of many lanes; then what was claimed is handed to the client, whose
own thread sends. An outcome that can't be written down is tried until it can: sending again is the last resort, and
only for another owner of the lane.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from sqlalchemy import Connection

from bridge.delivery import attempt, circuit, retry
from bridge.delivery.attempt import Sent
from bridge.failpoints import reached
from bridge.journal import Journal, Lease, deliveries, destinations, is_away
from bridge.journal.owed import Ended, Owed
from bridge.logs import logger, together
from bridge.observing import UNSEEN, Observer
from bridge.outbox import claim, settle
from bridge.outbox.shares import Shares
from bridge.settings import Settings

log = logger(__name__)

GATHER_S = 0.015
"""How long answers that came in wait for others, to share a transaction with them, while half of the sends are out."""
_LOOK_S = 0.002
"""How often they are looked for meanwhile."""
_WRITE_AGAIN_S = 0.5
_WRITE_TRIES_AT_END = 20  # a worker that is asked to stop does not wait for the database for ever


@dataclass(frozen=True, slots=True)
class Rules:
    """How the outbox sends, from the settings."""

    policy: retry.Policy
    limits: circuit.Limits
    in_flight: int
    longest_send_ms: int

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Return the rules that these settings make."""
        s = settings
        longest_s = s.bridge_send_timeout + 1
        return cls(
            retry.Policy(s.bridge_retry_base, s.bridge_retry_cap, s.bridge_retry_attempts),
            circuit.Limits(s.bridge_circuit_failures, s.bridge_circuit_wait, probe_s=longest_s),
            in_flight=s.bridge_worker_sends,
            longest_send_ms=int(longest_s * 1000),
        )


@dataclass(slots=True)
class Turn:
    """What one turn did."""

    moved: bool = False
    """Whether anything was sent or settled."""
    more: bool = False
    """Whether more may be due at once."""
    lost: list[Lease] = field(default_factory=list)
    """Lanes that another worker has taken over: nothing was recorded there."""
    faulty: list[Lease] = field(default_factory=list)
    """Lanes whose answers can't be recorded through a fault of ours: their next owner sends again."""


@dataclass(slots=True)
class _Written:
    """What a transaction wrote: answers, and intents of deliveries that are to be sent."""

    fences: dict[int, int] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    go: list[Owed] = field(default_factory=list)

    def lease_of(self, owed: Owed) -> tuple[int, int]:
        """Return lane and fence under which this was written of a delivery."""
        return owed.lane, self.fences[owed.lane]

    def forget(self, lanes: Collection[int]) -> None:
        """Leave out what was written in these lanes."""
        self.ended = [end for end in self.ended if end.step.delivery.lane not in lanes]
        self.go = [owed for owed in self.go if owed.lane not in lanes]


class Outbox:
    """The sending half of a drain; one thread takes the turns."""

    def __init__(
        self,
        journal: Journal,
        client: attempt.Destinations,
        urls: Mapping[str, str],
        rules: Rules,
        clock_ms: Callable[[], int],
        rng: Callable[[], float] = random.random,
        pace: claim.Pacing = claim.unpaced,
        observer: Observer = UNSEEN,
        accounts: Collection[str] = (),
    ) -> None:
        self._journal = journal
        self._observer = observer
        self._client = client
        self._urls = urls
        self._rules = rules
        self._clock_ms = clock_ms
        self._claims = claim.Claims(urls, rules.policy, rules.limits, clock_ms, rng, pace)
        self._settling = settle.Settling(rules.policy, rules.limits, clock_ms, rng)
        self._arrivals: SimpleQueue[Sent | None] = SimpleQueue()
        self._landed: list[Sent] = []
        self._unsure: list[_Written] = []
        """What transactions wrote that seemed to fail: the answer to a COMMIT may be lost."""
        self._flying: Counter[int] = Counter()
        self._shares = Shares(rules.in_flight, urls, accounts)

    @property
    def in_flight(self) -> int:
        """How many sends are out, or came back and are not recorded yet."""
        return self._flying.total()

    @property
    def room(self) -> int:
        """How many more sends may be out."""
        return self._rules.in_flight - self.in_flight

    @property
    def has_landed(self) -> bool:
        """Whether answers are there to be recorded, or somebody called `wake`."""
        return bool(self._landed) or not self._arrivals.empty()

    def is_busy_in(self, lane: int) -> bool:
        """Whether a send of this lane is out, or came back and is not recorded yet."""
        return self._flying[lane] > 0

    def turn(self, leases: Sequence[Lease], claiming: Sequence[Lease], stopping: Callable[[], bool]) -> Turn:
        """Record what came in for these leases, and send what is due in those that claim.

        Raises JournalError where the database is away and no answer is waited for.
        """
        tries = 0
        apart = False
        while True:
            self._take_arrivals()
            try:
                turn = self._write_apart(leases, claiming) if apart else self._write(leases, claiming, self._landed)
                self._unsure.clear()
                return turn
            except Exception as error:
                if not is_away(error):
                    log.exception("delivery.not_recorded", deliveries=len(self._landed))
                    apart = True
                    continue
                tries += 1
                if not self.in_flight or (stopping() and tries > _WRITE_TRIES_AT_END):
                    raise
                # The database is away and these were sent: keep the answers until they can be written down.
                log.error("delivery.not_recorded", deliveries=len(self._landed), error=str(error))
                time.sleep(_WRITE_AGAIN_S)

    def wait(self, timeout_s: float) -> None:
        """Wait until answers came in that are worth a transaction, somebody calls `wake`, or the time is over."""
        if self._landed:
            return
        with suppress(Empty):
            arrived = self._arrivals.get(timeout=timeout_s)
            ends_s = time.monotonic() + GATHER_S
            while arrived is not None:
                self._landed.append(arrived)
                if len(self._landed) * 2 >= self.in_flight:
                    return
                # Asleep, not in `get`: each answer would wake this thread for itself.
                while self._arrivals.empty():
                    if time.monotonic() >= ends_s:
                        return
                    time.sleep(_LOOK_S)
                arrived = self._arrivals.get_nowait()

    def wake(self) -> None:
        """End the waiting of another thread."""
        self._arrivals.put(None)

    # ------------------------------------------------------------ parts of a turn

    def _take_arrivals(self) -> None:
        with suppress(Empty):
            while True:
                arrived = self._arrivals.get_nowait()
                if arrived is not None:
                    self._landed.append(arrived)

    def _write(self, leases: Sequence[Lease], claiming: Sequence[Lease], landed: Sequence[Sent]) -> Turn:
        with self._journal.lanes.hold_all(leases, self._clock_ms()) as (connection, held):
            known = destinations.load(connection)
            stood = self._stood(connection, held)
            recorded = {end.step.delivery.id for end in stood.ended}
            answers = [sent for sent in _of(held, landed) if sent.owed.id not in recorded]
            ended = self._settling.settle(connection, answers, known)
            lanes = {lease.lane for lease in held}
            mine = [lease for lease in claiming if lease.lane in lanes]
            shares = self._shares.without(sent.owed for sent in landed)
            for owed in stood.go:
                shares.take(owed)
            room = self.room + len(landed) - len(stood.go)
            claimed = self._claims.claim(connection, mine, room, shares, known)
            for earlier in self._unsure:
                earlier.forget(lanes)
            fences = {lease.lane: lease.fence for lease in held}
            self._unsure.append(_Written(fences, [*stood.ended, *ended], [*stood.go, *claimed.go]))
        self._unsure.pop()
        if ended:
            reached("deliver.outcome_after_commit")
        if claimed.go:
            reached("deliver.intent_after_commit")
        self._done_with(landed)
        self._launch([*stood.go, *claimed.go], held)
        with together():
            if stood.ended or stood.go:
                log.warning(
                    "delivery.commit_stood",
                    recorded=sorted(recorded),
                    begun=[owed.id for owed in stood.go],
                    reason="the database had committed these, and its answer was lost",
                )
            settle.say([*stood.ended, *ended], known, self._observer)
            claim.say(claimed.ended, self._observer)
        lost = [lease for lease in leases if lease.lane not in lanes]
        return Turn(bool(stood.ended or ended or stood.go or claimed.go), claimed.more, lost)

    def _stood(self, connection: Connection, held: Sequence[Lease]) -> _Written:
        """Return what transactions committed in these lanes although they seemed to fail."""
        if not self._unsure:
            return _Written()
        now = {(lease.lane, lease.fence) for lease in held}
        ended = [end for each in self._unsure for end in each.ended if each.lease_of(end.step.delivery) in now]
        go = [owed for each in self._unsure for owed in each.go if each.lease_of(owed) in now]
        ids = [*(end.step.delivery.id for end in ended), *(owed.id for owed in go)]
        sending = deliveries.sending(connection, ids)
        return _Written(
            ended=[end for end in ended if (end.step.delivery.id, end.number) not in sending],
            go=[owed for owed in go if (owed.id, owed.attempts + 1) in sending],
        )

    def _write_apart(self, leases: Sequence[Lease], claiming: Sequence[Lease]) -> Turn:
        # One lane's trouble must cost the others neither their answers nor their turn.
        turn = Turn(moved=True)
        for lease in leases:
            landed = [sent for sent in self._landed if sent.owed.lane == lease.lane]
            try:
                turn.lost += self._write([lease], [lease] if lease in claiming else [], landed).lost
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("lane.fault", lane=lease.lane, deliveries=len(landed))
                turn.faulty.append(lease)
                self._done_with(landed)
        self._done_with(self._landed)
        return turn

    def _done_with(self, sents: Sequence[Sent]) -> None:
        done = {sent.owed.id for sent in sents}
        for sent in sents:
            self._flying[sent.owed.lane] -= 1
            self._shares.give_back(sent.owed)
        self._landed = [sent for sent in self._landed if sent.owed.id not in done]

    def _launch(self, claimed: Sequence[Owed], leases: Sequence[Lease]) -> None:
        by_lane = {lease.lane: lease for lease in leases}
        for owed in claimed:
            self._flying[owed.lane] += 1
            self._shares.take(owed)
        for owed in claimed:
            attempt.begin(
                self._client,
                self._urls,
                owed,
                by_lane[owed.lane],
                self._arrivals.put,
                longest_ms=self._rules.longest_send_ms,
                clock_ms=self._clock_ms,
            )


def _of(leases: Sequence[Lease], landed: Sequence[Sent]) -> list[Sent]:
    # An answer to what was sent under an earlier lease of the lane comes too late: it may have been sent again since.
    fences = {lease.lane: lease.fence for lease in leases}
    return [sent for sent in landed if fences.get(sent.owed.lane) == sent.fence]
