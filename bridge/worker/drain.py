"""Drains lanes: lease, decide, deliver, release, check again.

One thread of a worker works on all its lanes as one batch, so that many customers share a commit; only requests to
Asaas and to destinations run in other threads. A lane without work is kept while other lanes have some: its next event
needs no wake-up. Redis drops wake-ups for lanes that are drained; so each lane is checked once more after its release.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import uuid4

from redis.exceptions import RedisError

from bridge.errors import JournalError
from bridge.failpoints import failpoint
from bridge.journal import Journal, Lease, is_away
from bridge.logs import logger
from bridge.pipeline.decide import Batch, Decider
from bridge.pipeline.deliver import Deliverer
from bridge.wakeups import Wakeups, why_away

log = logger(__name__)

CHECK_KEPT_S = 0.05
"""How often kept lanes are checked for new events while answers are awaited."""
TURN_EVERY_S = 0.5
"""How often leases are renewed, and due retries seen, while nothing else happens."""
FETCHING_LANES = 4
"""Lanes that fetch from Asaas at once, each several objects at a time."""
GIVE_WAY_MS = 5_000
"""The time after which a lane with more work makes room for a lane that waits for a slot, here or in another worker."""
KEEP_S = 2.0
"""How often Redis is told that the lanes need no wake-ups, and asked how many workers share them."""
REDIS_REST_S = 10.0
"""How long Redis is left alone after it did not answer."""


class Drainer:
    """Drains lanes in a thread that ends when no work is left."""

    def __init__(
        self,
        journal: Journal,
        decider: Decider,
        deliverer: Deliverer,
        wakeups: Wakeups,
        clock_ms: Callable[[], int],
        lanes_at_once: int,
    ) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._decider = decider
        self._deliverer = deliverer
        self._slots = LaneSlots(lanes_at_once)
        self._leases = LeaseSet(journal, wakeups, self._slots, self.owner, clock_ms)
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._fetching: dict[Future[Batch], int] = {}
        self._fetchers = ThreadPoolExecutor(FETCHING_LANES, thread_name_prefix="ask")
        self._turn_at_s = 0.0
        self._more_due = False

    def start(self, lane: int) -> None:
        """Let a lane be drained, after a wait for a free slot."""
        if not self._slots.request(lane):
            return  # the worker stops; the sweeper wakes the lane for another one
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="drain", daemon=True)
                self._thread.start()
        self._deliverer.wake()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        """Send nothing more and wait for no answer of Asaas; answers of destinations are still recorded."""
        self._stop.set()
        self._slots.close()
        self._deliverer.wake()

    def join(self) -> None:
        """Wait until every send has its result recorded and the lanes are released."""
        while (thread := self._thread) is not None:
            thread.join()

    def _run(self) -> None:
        try:
            self._drain()
        except BaseException:
            with self._starting:  # the next wake-up starts a new thread, and `join` does not wait for this one
                self._leases.forget_all()
                self._thread = None
            raise

    def _drain(self) -> None:
        while True:
            try:
                while self._turn():
                    pass
            except JournalError as error:
                # Nothing is lost: all that was committed is due again when the leases end, and the sweeper wakes it.
                log.error("lane.journal_away", lanes=self._leases.lanes, error=str(error))
            except Exception:
                log.exception("lane.fault", lanes=self._leases.lanes)
            self._finish()
            with self._starting:
                if self._slots.free_unless_requested():
                    self._thread = None
                    return

    def _turn(self) -> bool:
        """Lease, decide and deliver once; return whether there may be more."""
        stopping = self._stop.is_set()
        leased = not stopping and self._leases.take()
        self._leases.give_way()
        decided = set() if stopping else self._decide()
        moved = self._deliver(must=bool(leased or decided))
        self._leases.keep()
        busy = {lane for lane in self._leases.lanes if self._deliverer.is_busy_in(lane)} | {*self._fetching.values()}
        self._leases.make_room(busy, self._leases.lanes if self._more_due else decided)
        if self._deliverer.in_flight or (self._fetching and not stopping):
            if not decided and not (self._more_due and self._deliverer.room):
                self._deliverer.wait(CHECK_KEPT_S)
            return True
        if stopping:
            return False
        return bool(leased or decided or moved) or self._leases.release(self._leases.lanes)

    def _decide(self) -> set[int]:
        """Decide the fetched batches and the waiting events; return the lanes in which an event was processed."""
        decided: set[int] = set()
        for future in [future for future in self._fetching if future.done()]:
            lane = self._fetching.pop(future)
            decided |= self._contain([lane], lambda future=future: self._commit(future.result()))  # type: ignore[misc]
        return decided | self._decide_waiting([lease.lane for lease in self._leases.staying])

    def _decide_waiting(self, lanes: Sequence[int]) -> set[int]:
        free = [lane for lane in lanes if lane not in self._fetching.values()]
        return self._contain(free, lambda: self._commit_or_fetch(free)) if free else set()

    def _commit_or_fetch(self, lanes: Sequence[int]) -> set[int]:
        decided: set[int] = set()
        for batch in self._decider.next_batches(lanes):
            if batch.must_fetch:
                future = self._fetchers.submit(self._decider.fetch, batch)
                self._fetching[future] = min(batch.lanes)
                future.add_done_callback(lambda _: self._deliverer.wake())
            else:
                decided |= self._commit(batch)
        return decided

    def _commit(self, batch: Batch) -> set[int]:
        leases = self._leases.of(batch.lanes)
        processed, lost = self._decider.commit(leases, batch) if leases else (False, [])
        self._leases.forget_lost(lost)
        return set(batch.lanes) if processed else set()

    def _contain(self, lanes: Sequence[int], work: Callable[[], set[int]]) -> set[int]:
        """Do the work of lanes; after a fault do it lane by lane, and release the lane that has the fault."""
        try:
            return work()
        except Exception as error:
            if is_away(error):
                raise
            log.exception("lane.fault", lanes=lanes)
        if len(lanes) > 1:
            return set[int]().union(*(self._decide_waiting([lane]) for lane in lanes))
        self._leases.release_when_idle(lanes)
        return set()

    def _deliver(self, *, must: bool) -> bool:
        """Take a turn of the deliverer where there is a reason to."""
        now_s = time.monotonic()
        if not (must or self._more_due or self._deliverer.has_landed or now_s >= self._turn_at_s):
            return False
        if not self._leases.lanes and not self._deliverer.in_flight:
            return False
        self._turn_at_s = now_s + TURN_EVERY_S
        sending = [] if self._stop.is_set() else self._leases.staying
        turn = self._deliverer.turn(self._leases.all, sending, self._stop.is_set)
        self._more_due = turn.more
        self._leases.forget_lost(turn.lost)
        self._leases.release_when_idle([lease.lane for lease in turn.faulty])
        return turn.moved or turn.more

    def _finish(self) -> None:
        """Record the results of all sends in flight and release every lane."""
        try:
            while self._deliverer.in_flight:
                self._deliverer.wait(TURN_EVERY_S)
                self._deliverer.turn(self._leases.all, [], self._stop.is_set)
            self._leases.release(self._leases.lanes, check=False)
        except JournalError as error:
            log.error("lane.journal_away", lanes=self._leases.lanes, error=str(error))
        except Exception:
            log.exception("lane.fault", lanes=self._leases.lanes)
        self._leases.forget_all()
        self._fetching.clear()
        self._more_due = False


class LeaseSet:
    """The leased lanes of one worker, for its drain thread."""

    def __init__(
        self, journal: Journal, wakeups: Wakeups, slots: LaneSlots, owner: str, clock_ms: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._wakeups = wakeups
        self._slots = slots
        self._owner = owner
        self._clock_ms = clock_ms
        self._most = slots.most
        self._leases: dict[int, Lease] = {}
        self._since_ms: dict[int, int] = {}
        self._leaving: dict[int, bool] = {}
        """The lanes to release when they are idle, each with whether it is checked for work then."""
        self._keep_at_s = 0.0

    @property
    def lanes(self) -> list[int]:
        return sorted(self._leases)

    @property
    def all(self) -> list[Lease]:
        return list(self._leases.values())

    @property
    def staying(self) -> list[Lease]:
        """The leases of lanes that may start new work."""
        return [lease for lane, lease in self._leases.items() if lane not in self._leaving]

    def of(self, lanes: Collection[int]) -> list[Lease]:
        """Return the leases of those of the lanes that are leased."""
        return [self._leases[lane] for lane in sorted(lanes) if lane in self._leases]

    def take(self) -> bool:
        """Lease the requested lanes; return whether any was free."""
        wanted = self._slots.take() - self._leases.keys()
        if not wanted:
            return False
        now_ms = self._clock_ms()
        try:
            leases = {lease.lane: lease for lease in self._journal.lanes.acquire_all(wanted, self._owner, now_ms)}
        except Exception:
            self._slots.free(*wanted)  # the sweeper wakes these lanes
            raise
        if leases:
            failpoint("lane.after_lease")
        self._leases |= leases
        self._since_ms |= dict.fromkeys(leases, now_ms)
        # Another worker owns the others and checks them again when it releases them.
        self._slots.free(*(wanted - leases.keys()))
        return bool(leases)

    def give_way(self) -> None:
        """Where lanes wait for a slot, let lanes go that had their time, though they have more work."""
        missing = self._slots.requested - len(self._leaving)
        if missing > 0:
            latest_ms = self._clock_ms() - GIVE_WAY_MS
            old = [lane for lane, since_ms in self._since_ms.items() if since_ms <= latest_ms]
            for lane in old[:missing]:
                self._leaving.setdefault(lane, True)

    def make_room(self, busy: Collection[int], active: Collection[int]) -> None:
        """Release the lanes that are leaving, and where lanes wait for a slot, lanes without work.

        A busy lane has requests under way and can't be released yet; an active one has more work.
        """
        idle = [lane for lane in self._leases if lane not in busy and lane not in active]
        self._leaving |= {lane: True for lane in idle[: self._slots.requested] if lane not in self._leaving}
        for check in (True, False):
            free = [lane for lane, checked in self._leaving.items() if checked is check and lane not in busy]
            self.release(free, check=check, again=False)

    def release_when_idle(self, lanes: Collection[int]) -> None:
        """Release these lanes as soon as they have nothing in flight; the sweeper wakes them for the rest."""
        self._leaving |= dict.fromkeys(lanes, False)

    def release(self, lanes: Sequence[int], *, check: bool = True, again: bool = True) -> bool:
        """Release these lanes and check them for new work: request them `again`, or wake them for any worker.

        Returns whether a lane was requested again.
        """
        if not lanes:
            return False
        failpoint("lane.before_release")
        self._journal.lanes.release_all(self.of(lanes))
        failpoint("lane.after_release")
        self._wakeups.ended(lanes)
        due = set(self._journal.lanes.due(self._clock_ms(), lanes)) if check else set()
        self.forget(lanes)
        self._slots.free(*(set(lanes) - due))
        for lane in due:
            if again:
                self._slots.request(lane)
                continue
            self._slots.free(lane)
            try:
                self._wakeups.wake(lane)
            except RedisError as error:
                log.warning("queue.away", lane=lane, error=str(why_away(error)))  # the sweeper wakes it
        return again and bool(due)

    def forget_lost(self, leases: Sequence[Lease]) -> None:
        """Forget lanes that other workers have taken over."""
        for lease in leases:
            log.warning("lane.lost", lane=lease.lane, fence=lease.fence)
            self.forget([lease.lane])
            self._slots.free(lease.lane)

    def forget(self, lanes: Collection[int]) -> None:
        """Forget these leases; they stay as they are in the journal."""
        for lane in lanes:
            del self._leases[lane], self._since_ms[lane]
            self._leaving.pop(lane, None)

    def forget_all(self) -> None:
        """Forget every lease, and free the slots."""
        self._slots.free(*self._leases)
        self.forget(self.lanes)

    def keep(self) -> None:
        """Tell Redis that these lanes need no wake-ups, and share the lanes with the other workers."""
        now_s = time.monotonic()
        if now_s < self._keep_at_s:
            return
        try:
            workers = self._wakeups.keep(self._leases)
        except RedisError:
            self._keep_at_s = now_s + REDIS_REST_S
        else:
            self._keep_at_s = now_s + KEEP_S
            fair = -(-self._journal.lane_count // max(1, workers))
            self._slots.limit(min(self._most, fair))


class LaneSlots:
    """Bounds the lanes of a worker: the RQ thread requests slots, the drain thread uses and frees them."""

    def __init__(self, most: int) -> None:
        self.most = self._most = most
        self._changed = threading.Condition()
        self._lanes: set[int] = set()
        self._fresh: set[int] = set()
        self._waiting = 0
        self._closed = False

    @property
    def requested(self) -> int:
        """How many slots are missing: for lanes that wait, or after the limit was lowered."""
        return self._waiting + max(0, len(self._lanes) - self._most)

    def limit(self, most: int) -> None:
        with self._changed:
            self._most = most
            self._changed.notify_all()

    def request(self, lane: int) -> bool:
        """Wait for a slot for the lane; return False where the worker stops instead."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self._closed or lane in self._lanes or len(self._lanes) < self._most)
            finally:
                self._waiting -= 1
            if self._closed:
                return False
            self._lanes.add(lane)
            self._fresh.add(lane)
            return True

    def take(self) -> set[int]:
        """Return the lanes that were requested since the last call."""
        with self._changed:
            fresh, self._fresh = self._fresh, set()
            self._lanes |= fresh  # one of them may have been freed after its request
            return fresh

    def free(self, *lanes: int) -> None:
        with self._changed:
            self._lanes.difference_update(lanes)
            self._changed.notify_all()

    def free_unless_requested(self) -> bool:
        """Free all slots and return True; change nothing where a lane was requested since the last `take`."""
        with self._changed:
            if self._fresh and not self._closed:
                return False
            self._lanes.clear()
            self._fresh.clear()
            self._changed.notify_all()
            return True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
