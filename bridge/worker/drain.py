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
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import uuid4

from bridge.errors import JournalError
from bridge.journal import Journal, is_away
from bridge.logs import logger
from bridge.outbox import Outbox
from bridge.process import Batch, Processor
from bridge.queueing.wakeups import Wakeups
from bridge.worker.held import HeldLanes
from bridge.worker.places import Places

log = logger(__name__)

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
        processor: Processor,
        outbox: Outbox,
        wakeups: Wakeups,
        clock_ms: Callable[[], int],
        lanes_at_once: int,
    ) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._processor = processor
        self._outbox = outbox
        self._places = Places(lanes_at_once)
        self._held = HeldLanes(journal, wakeups, self._places, self.owner, clock_ms)
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asking: dict[Future[Batch], int] = {}
        self._askers = ThreadPoolExecutor(ASKING, thread_name_prefix="ask")
        self._claim_at_s = 0.0
        self._more = False

    def start(self, lane: int) -> None:
        """Let a lane be drained; wait first while as many lanes as allowed are being drained."""
        if not self._places.want(lane):
            return  # the sweeper wakes it for another worker
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="drain", daemon=True)
                self._thread.start()
        self._outbox.wake()

    @property
    def missing(self) -> int:
        """How many lanes wait for a place, or have one too many."""
        return self._places.missing

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
                if self._places.leave_all_unless_wanted():
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
        return bool(taken or processed or moved) or self._held.give_back(self._held.lanes)

    def _process(self) -> set[int]:
        """Process what waits in the lanes and what Asaas has answered; return the lanes in which something was."""
        done: set[int] = set()
        for future in [future for future in self._asking if future.done()]:
            lane = self._asking.pop(future)
            done |= self._contained([lane], lambda future=future: self._write(future.result()))  # type: ignore[misc]
        return done | self._look([lease.lane for lease in self._held.staying])

    def _look(self, lanes: Sequence[int]) -> set[int]:
        free = [lane for lane in lanes if lane not in self._asking.values()]
        return self._contained(free, lambda: self._looked(free)) if free else set()

    def _looked(self, lanes: Sequence[int]) -> set[int]:
        done: set[int] = set()
        for batch in self._processor.look(lanes):
            if batch.asks:
                future = self._askers.submit(self._processor.ask, batch)
                self._asking[future] = min(batch.lanes)
                future.add_done_callback(lambda _: self._outbox.wake())
            else:
                done |= self._write(batch)
        return done

    def _write(self, batch: Batch) -> set[int]:
        leases = self._held.of(batch.lanes)
        processed, lost = self._processor.write(leases, batch) if leases else (False, [])
        self._held.lose(lost)
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
            return set[int]().union(*(self._look([lane]) for lane in lanes))
        self._held.drop(lanes)
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
        self._held.lose(turn.lost)
        self._held.drop([lease.lane for lease in turn.faulty])
        return turn.moved or turn.more

    def _finish(self) -> None:
        """Record what is in flight and give every lane back."""
        try:
            while self._outbox.in_flight:
                self._outbox.wait(CLAIM_S)
                self._outbox.turn(self._held.all, [], self._stop.is_set)
            self._held.give_back(self._held.lanes, look=False)
        except JournalError as error:
            log.error("lane.journal_away", lanes=self._held.lanes, error=str(error))
        except Exception:
            log.exception("lane.fault", lanes=self._held.lanes)
        self._held.forget_all()
        self._asking.clear()
        self._more = False
