"""The lanes that a worker has leased: takes those that it is woken for, keeps them, and gives them back.

A lane that has nothing to do is kept while others have, so that its next event costs no wake-up. The look after lanes
are given back is what makes wake-ups during a drain safe to drop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from redis.exceptions import RedisError

from bridge.failpoints import reached
from bridge.journal import Journal, Lease
from bridge.logs import logger
from bridge.queueing.wakeups import Wakeups, why_away
from bridge.worker.places import Places

log = logger(__name__)

GIVE_WAY_MS = 5_000
"""After so long a lane with work left makes room for one that waits for a place, here or at another worker."""
KEEP_S = 2.0
"""How often Redis is told that the lanes are looked after, and asked how many workers share them."""
REST_S = 10.0
"""How long Redis is left alone after it did not answer."""


class HeldLanes:
    """The lanes of one worker, for its drain's thread."""

    def __init__(
        self,
        journal: Journal,
        wakeups: Wakeups,
        places: Places,
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
            self._places.leave(*wanted)  # the sweeper wakes them
            raise
        if leases:
            reached("lane.after_lease")
        self._leases |= leases
        self._since_ms |= dict.fromkeys(leases, now_ms)
        self._places.leave(*(wanted - leases.keys()))  # the owners of those look again after they give them back
        return bool(leases)

    def end_time(self) -> None:
        """Let lanes with work left go after a time, where others wait for their places."""
        missing = self._places.missing - len(self._leaving)
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
        self._leaving |= {lane: True for lane in quiet[: self._places.missing] if lane not in self._leaving}
        for woken in (True, False):
            free = [lane for lane, look in self._leaving.items() if look is woken and lane not in busy]
            self.give_back(free, look=woken, again=False)

    def drop(self, lanes: Collection[int]) -> None:
        """Let these lanes go as soon as nothing of them is in flight, and let the sweeper see to what is left."""
        self._leaving |= dict.fromkeys(lanes, False)

    def give_back(self, lanes: Sequence[int], *, look: bool = True, again: bool = True) -> bool:
        """Give these lanes back and look for what came meanwhile: drain it `again`, or have it woken later.

        Returns whether there is something to drain again.
        """
        if not lanes:
            return False
        reached("lane.before_release")
        self._journal.lanes.release_all(self.of(lanes))
        reached("lane.after_release")
        self._wakeups.ended(lanes)
        due = set(self._journal.lanes.due(self._clock_ms(), lanes)) if look else set()
        self.forget(lanes)
        self._places.leave(*(set(lanes) - due))
        for lane in due:
            if again:
                self._places.want(lane)
            else:
                self._places.leave(lane)
                self._wake_later(lane)
        return again and bool(due)

    def lose(self, leases: Sequence[Lease]) -> None:
        """Note that other workers have taken these lanes over."""
        for lease in leases:
            log.warning("lane.lost", lane=lease.lane, fence=lease.fence)
            self.forget([lease.lane])
            self._places.leave(lease.lane)

    def forget(self, lanes: Collection[int]) -> None:
        """Hold these lanes no more; what their leases say stays as it is."""
        for lane in lanes:
            del self._leases[lane], self._since_ms[lane]
            self._leaving.pop(lane, None)

    def forget_all(self) -> None:
        """Hold no lane more, and free the places."""
        self._places.leave(*self._leases)
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
