"""Faults in the lane protocol, each of which the machine must find: what finds no planted fault proves nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, update

from bridge.journal import Lanes, Lease
from bridge.journal.schema import OPEN, deliveries, lanes
from tests.model.protocol import LaneProtocol
from tests.model.worker import Worker


class NoFence(Lanes):
    """A worker writes although another one has taken its lane over."""

    @contextmanager
    def hold_all(self, leases: Sequence[Lease], now_ms: int) -> Iterator[tuple[Connection, list[Lease]]]:
        """Hold them all, whatever their fences say."""
        with self._database.write() as connection:
            yield connection, list(leases)


class NoRespect(Lanes):
    """A worker takes lanes that another one has."""

    def acquire_all(self, wanted: Collection[int], owner: str, now_ms: int) -> list[Lease]:
        """End the leases of others first."""
        with self._database.write() as connection:
            connection.execute(update(lanes).where(lanes.c.lane.in_(wanted)).values(lease_until_ms=0))
        return super().acquire_all(wanted, owner, now_ms)


class NoTakeOver(Lanes):
    """What a worker that died was sending is left in that state by the next one."""

    def acquire_all(self, wanted: Collection[int], owner: str, now_ms: int) -> list[Lease]:
        """Lease the lanes and look at nothing in them."""
        leases = []
        with self._database.write() as connection:
            for lane in sorted(wanted):
                fence = connection.scalar(
                    update(lanes)
                    .where(lanes.c.lane == lane, lanes.c.lease_until_ms <= now_ms)
                    .values(owner=owner, fence=lanes.c.fence + 1, lease_until_ms=now_ms + self._lease_ms)
                    .returning(lanes.c.fence)
                )
                if fence is not None:
                    leases.append(Lease(lane, owner, fence, now_ms + self._lease_ms))
        return leases


class NoLook(Worker):
    """A worker gives lanes back and does not look at what came in the last moment."""

    def give_back(self) -> None:
        """Give them back blindly."""
        lanes = [lane for lane in self.held.lanes if not self.outbox.is_busy_in(lane)]
        self.held.release(lanes, check=False)


class NoTurns(Worker):
    """Every delivery that waits is due, not only the first of its line."""

    def decide(self) -> None:
        """Decide, and make all due."""
        super().decide()
        with self.journal.database.write() as connection:
            connection.execute(update(deliveries).where(OPEN, deliveries.c.due_ms.is_(None)).values(due_ms=1))


def planted(fault: type[Lanes] | type[Worker]) -> type[LaneProtocol]:
    """Return the machine with that fault in it."""
    name = "worker_type" if issubclass(fault, Worker) else "lanes_type"
    return type(f"With{fault.__name__}", (LaneProtocol,), {name: fault})


FAULTS: tuple[type[Lanes] | type[Worker], ...] = (NoFence, NoRespect, NoTakeOver, NoLook, NoTurns)
