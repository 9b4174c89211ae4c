"""Drains lanes: lease, process, deliver, give back, look again.

One thread of a worker works on all the lanes that the worker has, as one batch: a commit and its lock are shared by
what many customers are owed. Only the requests to Asaas and to destinations are made by other threads. A lane that has
nothing to do is kept while others have, so that its next event costs no wake-up. The look after lanes are given back is
what makes wake-ups during a drain safe to drop.
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


class LaneSlots:
    """Which lanes this worker is to see to."""

    def __init__(self, most: int) -> None:
        self.most = self._most = most
        self._changed = threading.Condition()
        self._lanes: set[int] = set()
        self._fresh: set[int] = set()
        self._waiting = 0
        self._closed = False

    @property
    def requested(self) -> int:
        """How many places are missing: for lanes that wait for one, or because there are fewer than there were."""
        return self._waiting + max(0, len(self._lanes) - self._most)

    def limit(self, most: int) -> None:
        """Change the number of places."""
        with self._changed:
            self._most = most
            self._changed.notify_all()

    def request(self, lane: int) -> bool:
        """Give the lane a place, and wait for one to be free if need be; False where the worker stops instead."""
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
        """Return the lanes that were wanted since the last call."""
        with self._changed:
            fresh, self._fresh = self._fresh, set()
            self._lanes |= fresh  # one of them may have been left after it was wanted again
            return fresh

    def free(self, *lanes: int) -> None:
        """Free the places of these lanes."""
        with self._changed:
            self._lanes.difference_update(lanes)
            self._changed.notify_all()

    def free_unless_requested(self) -> bool:
        """Free all places and return True, but where a lane was wanted since the last `take` change nothing."""
        with self._changed:
            if self._fresh and not self._closed:
                return False
            self._lanes.clear()
            self._fresh.clear()
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Give nobody a place any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


log = logger(__name__)

GIVE_WAY_MS = 5_000
"""After so long a lane with work left makes room for one that waits for a place, here or at another worker."""
KEEP_S = 2.0
"""How often Redis is told that the lanes are looked after, and asked how many workers share them."""
REST_S = 10.0
"""How long Redis is left alone after it did not answer."""


class LeaseSet:
    """The lanes of one worker, for its drain's thread."""

    def __init__(
        self,
        journal: Journal,
        wakeups: Wakeups,
        places: LaneSlots,
        owner: str,
        clock_ms: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._wakeups = wakeups
        self._places = places
        self._owner = owner
        self._clock_ms = clock_ms
        self._most = places.most
        self._leases: dict[int, Lease] = {}
        self._since_ms: dict[int, int] = {}
        self._leaving: dict[int, bool] = {}
        self._keep_at_s = 0.0

    @property
    def lanes(self) -> list[int]:
        """Every lane."""
        return sorted(self._leases)

    @property
    def all(self) -> list[Lease]:
        """Every lease."""
        return list(self._leases.values())

    @property
    def staying(self) -> list[Lease]:
        """The leases of lanes in which something new may be begun."""
        return [lease for lane, lease in self._leases.items() if lane not in self._leaving]

    def of(self, lanes: Collection[int]) -> list[Lease]:
        """Return the leases of those of the lanes that are held."""
        return [self._leases[lane] for lane in sorted(lanes) if lane in self._leases]

    def take(self) -> bool:
        """Lease the lanes that are wanted; return whether there was a new one."""
        wanted = self._places.take() - self._leases.keys()
        if not wanted:
            return False
        now_ms = self._clock_ms()
        try:
            leases = {lease.lane: lease for lease in self._journal.lanes.acquire_all(wanted, self._owner, now_ms)}
        except Exception:
            self._places.free(*wanted)  # the sweeper wakes them
            raise
        if leases:
            failpoint("lane.after_lease")
        self._leases |= leases
        self._since_ms |= dict.fromkeys(leases, now_ms)
        self._places.free(*(wanted - leases.keys()))  # the owners of those look again after they give them back
        return bool(leases)

    def end_time(self) -> None:
        """Let lanes with work left go after a time, where others wait for their places."""
        missing = self._places.requested - len(self._leaving)
        if missing > 0:
            had_their_time_ms = self._clock_ms() - GIVE_WAY_MS
            old = [lane for lane, since_ms in self._since_ms.items() if since_ms <= had_their_time_ms]
            for lane in old[:missing]:
                self._leaving.setdefault(lane, True)

    def make_room(self, busy: Collection[int], active: Collection[int]) -> None:
        """Give back the lanes that are to go, and where others wait for their places, those with nothing to do.

        In a busy lane answers are waited for, so it can't be given back yet; in an active one there is more to do.
        """
        quiet = [lane for lane in self._leases if lane not in busy and lane not in active]
        self._leaving |= {lane: True for lane in quiet[: self._places.requested] if lane not in self._leaving}
        for woken in (True, False):
            free = [lane for lane, look in self._leaving.items() if look is woken and lane not in busy]
            self.release(free, look=woken, again=False)

    def release_when_idle(self, lanes: Collection[int]) -> None:
        """Let these lanes go as soon as nothing of them is in flight, and let the sweeper see to what is left."""
        self._leaving |= dict.fromkeys(lanes, False)

    def release(self, lanes: Sequence[int], *, look: bool = True, again: bool = True) -> bool:
        """Give these lanes back and look for what came meanwhile: drain it `again`, or have it woken later.

        Returns whether there is something to drain again.
        """
        if not lanes:
            return False
        failpoint("lane.before_release")
        self._journal.lanes.release_all(self.of(lanes))
        failpoint("lane.after_release")
        self._wakeups.ended(lanes)
        due = set(self._journal.lanes.due(self._clock_ms(), lanes)) if look else set()
        self.forget(lanes)
        self._places.free(*(set(lanes) - due))
        for lane in due:
            if again:
                self._places.request(lane)
            else:
                self._places.free(lane)
                self._wake_later(lane)
        return again and bool(due)

    def forget_lost(self, leases: Sequence[Lease]) -> None:
        """Note that other workers have taken these lanes over."""
        for lease in leases:
            log.warning("lane.lost", lane=lease.lane, fence=lease.fence)
            self.forget([lease.lane])
            self._places.free(lease.lane)

    def forget(self, lanes: Collection[int]) -> None:
        """Hold these lanes no more; what their leases say stays as it is."""
        for lane in lanes:
            del self._leases[lane], self._since_ms[lane]
            self._leaving.pop(lane, None)

    def forget_all(self) -> None:
        """Hold no lane more, and free the places."""
        self._places.free(*self._leases)
        self.forget(self.lanes)

    def _wake_later(self, lane: int) -> None:
        try:
            self._wakeups.wake(lane)
        except RedisError as error:
            log.warning("queue.away", lane=lane, error=why_away(error))  # the sweeper wakes it

    def keep(self) -> None:
        """Tell Redis that the lanes need no wake-ups, and share them with the workers that there are."""
        now_s = time.monotonic()
        if now_s < self._keep_at_s:
            return
        try:
            workers = self._wakeups.keep(self._leases)
        except RedisError:
            self._keep_at_s = now_s + REST_S
        else:
            self._keep_at_s = now_s + KEEP_S
            fair = -(-self._journal.lane_count // max(1, workers))
            self._places.limit(min(self._most, fair))


LOOK_S = 0.05
"""How long an event may stay unseen in a lane that is kept while answers are waited for."""
CLAIM_S = 0.5
"""How often leases are renewed, and retries whose time has come are seen, while nothing else happens."""
ASKING = 4
"""Lanes for which Asaas is asked at once; each asks for several objects at a time."""


class Drainer:
    """Drains lanes in a thread that ends when nothing is left to do."""

    def __init__(
        self,
        journal: Journal,
        processor: Decider,
        outbox: Deliverer,
        wakeups: Wakeups,
        clock_ms: Callable[[], int],
        lanes_at_once: int,
    ) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._processor = processor
        self._outbox = outbox
        self._places = LaneSlots(lanes_at_once)
        self._held = LeaseSet(journal, wakeups, self._places, self.owner, clock_ms)
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asking: dict[Future[Batch], int] = {}
        self._askers = ThreadPoolExecutor(ASKING, thread_name_prefix="ask")
        self._claim_at_s = 0.0
        self._more = False

    def start(self, lane: int) -> None:
        """Let a lane be drained; wait first while as many lanes as allowed are being drained."""
        if not self._places.request(lane):
            return  # the sweeper wakes it for another worker
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="drain", daemon=True)
                self._thread.start()
        self._outbox.wake()

    @property
    def requested(self) -> int:
        """How many lanes wait for a place, or have one too many."""
        return self._places.requested

    @property
    def stopping(self) -> bool:
        """Whether the process was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Send nothing more and wait for no answer of Asaas; what destinations answer is still recorded."""
        self._stop.set()
        self._places.close()
        self._outbox.wake()

    def join(self) -> None:
        """Wait until the drain has recorded what it had in flight and given its lanes back."""
        while (thread := self._thread) is not None:
            thread.join()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            self._drain()
        except BaseException:
            with self._starting:  # the next wake-up begins anew, and a stop does not wait for this thread
                self._held.forget_all()
                self._thread = None
            raise

    def _drain(self) -> None:
        while True:
            try:
                while self._turn():
                    pass
            except JournalError as error:
                # Nothing is lost: what was committed is due again when the leases end, and the sweeper wakes it.
                log.error("lane.journal_away", lanes=self._held.lanes, error=str(error))
            except Exception:
                log.exception("lane.fault", lanes=self._held.lanes)
            self._finish()
            with self._starting:
                if self._places.free_unless_requested():
                    self._thread = None
                    return

    def _turn(self) -> bool:
        """Do once what there is to do; return whether there may be more."""
        stopping = self._stop.is_set()
        taken = not stopping and self._held.take()
        self._held.end_time()
        processed = set() if stopping else self._process()
        moved = self._exchange(must=bool(taken or processed))
        self._held.keep()
        busy = {lane for lane in self._held.lanes if self._outbox.is_busy_in(lane)} | set(self._asking.values())
        self._held.make_room(busy, self._held.lanes if self._more else processed)
        if self._outbox.in_flight or (self._asking and not stopping):
            if not processed and not (self._more and self._outbox.room):
                self._outbox.wait(LOOK_S)
            return True
        if stopping:
            return False
        return bool(taken or processed or moved) or self._held.release(self._held.lanes)

    def _process(self) -> set[int]:
        """Process what waits in the lanes and what Asaas has answered; return the lanes in which something was."""
        done: set[int] = set()
        for future in [future for future in self._asking if future.done()]:
            lane = self._asking.pop(future)
            done |= self._contained([lane], lambda future=future: self._write(future.result()))  # type: ignore[misc]
        return done | self._check([lease.lane for lease in self._held.staying])

    def _check(self, lanes: Sequence[int]) -> set[int]:
        free = [lane for lane in lanes if lane not in self._asking.values()]
        return self._contained(free, lambda: self._looked(free)) if free else set()

    def _looked(self, lanes: Sequence[int]) -> set[int]:
        done: set[int] = set()
        for batch in self._processor.next_batches(lanes):
            if batch.asks:
                future = self._askers.submit(self._processor.fetch, batch)
                self._asking[future] = min(batch.lanes)
                future.add_done_callback(lambda _: self._outbox.wake())
            else:
                done |= self._write(batch)
        return done

    def _write(self, batch: Batch) -> set[int]:
        leases = self._held.of(batch.lanes)
        processed, lost = self._processor.commit(leases, batch) if leases else (False, [])
        self._held.forget_lost(lost)
        return set(batch.lanes) if processed else set()

    def _contained(self, lanes: Sequence[int], work: Callable[[], set[int]]) -> set[int]:
        """Do the work of lanes; where that fails through a fault of ours, each by itself, and drop the one it is."""
        try:
            return work()
        except Exception as error:
            if is_away(error):
                raise
            log.exception("lane.fault", lanes=lanes)
        if len(lanes) > 1:
            return set[int]().union(*(self._check([lane]) for lane in lanes))
        self._held.release_when_idle(lanes)
        return set()

    def _exchange(self, *, must: bool) -> bool:
        """Let the outbox record what came in and send what is due, where there is a reason to look."""
        now_s = time.monotonic()
        if not (must or self._more or self._outbox.has_landed or now_s >= self._claim_at_s):
            return False
        if not self._held.lanes and not self._outbox.in_flight:
            return False
        self._claim_at_s = now_s + CLAIM_S
        claiming = [] if self._stop.is_set() else self._held.staying
        turn = self._outbox.turn(self._held.all, claiming, self._stop.is_set)
        self._more = turn.more
        self._held.forget_lost(turn.lost)
        self._held.release_when_idle([lease.lane for lease in turn.faulty])
        return turn.moved or turn.more

    def _finish(self) -> None:
        """Record what is in flight and give every lane back."""
        try:
            while self._outbox.in_flight:
                self._outbox.wait(CLAIM_S)
                self._outbox.turn(self._held.all, [], self._stop.is_set)
            self._held.release(self._held.lanes, look=False)
        except JournalError as error:
            log.error("lane.journal_away", lanes=self._held.lanes, error=str(error))
        except Exception:
            log.exception("lane.fault", lanes=self._held.lanes)
        self._held.forget_all()
        self._asking.clear()
        self._more = False
