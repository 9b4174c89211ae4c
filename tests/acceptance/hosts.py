"""A bridge on several machines: each process has a host of its own, PostgreSQL, Redis and both ends are on another.

What may happen to such a bridge, and what must be true of it then, is here for the short test and for the long run.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from bridge.journal.database import Database
from bridge.journal.schema import attempts, deliveries, lanes
from tests.acceptance import story
from tests.acceptance.deployment import Child, Deployment, until
from tests.acceptance.network import Host, Network

PATIENCE_S = 180


class HostDeployment(Deployment):
    """A deployment whose processes of the bridge run each on a host of its own."""

    def __init__(
        self,
        scratch: Path,
        network: Network,
        database_url: str,
        redis_url: str,
        mappings: Path,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scratch, database_url, redis_url, mappings, settings)
        self._network = network
        self.address = network.address

    def host(self, name: str) -> Host:
        """Return the host of a process."""
        return self._network.host(name)

    def _host_of(self, name: str) -> str:
        return self.host(name).address

    def _child(self, command: list[str], env: Mapping[str, str], log: Path) -> Child:
        return Child(command, env, log)

    def _start(self, child: Child, name: str) -> None:
        child.command = self.host(name).command(child.command)
        child.env = {**child.env, "BRIDGE_HOST": self._host_of(name)}
        child.start()


@dataclass(frozen=True, slots=True)
class CutOff:
    """What became of a bridge of which one worker was cut off from the network in the middle of its work."""

    lanes: int
    """How many lanes the worker held."""
    taken_over_s: float
    """How long it took until the last of them had another owner."""
    unknown: int
    """How many of its attempts got no answer that was written down."""
    overwritten: int
    """How many of these have another outcome after it came back."""
    verdict: story.Verdict


def finished(database: Database, count: int) -> bool:
    """Return whether so many deliveries are there and all are delivered."""
    with database.read() as connection:
        states = connection.execute(select(deliveries.c.state)).scalars().all()
    return len(states) == count and set(states) == {"delivered"}


def cut_off(bridge: HostDeployment, database: Database, deliveries_owed: int, victim: str) -> CutOff:
    """Cut a worker off while it sends to a slow Clint, let the others finish, and give it its network back."""
    process = bridge.children[victim].process
    assert process is not None
    until(lambda: len(_held(database, process.pid)) > 0, PATIENCE_S, every_s=0.02)
    bridge.host(victim).cut()
    bridge.clint("comes_back")
    begun_s = time.monotonic()
    fences = _held(database, process.pid)
    until(lambda: not _still(database, fences), PATIENCE_S, every_s=0.1)
    taken_over_s = time.monotonic() - begun_s
    until(lambda: finished(database, deliveries_owed), PATIENCE_S)
    before = _unknown(database)
    bridge.host(victim).mend()
    # What it could not write down while it was away it tries to write now, and is refused, unless it gave up before.
    until(lambda: any(word in bridge.log_of(victim) for word in ("lane.lost", "lane.journal_away")), PATIENCE_S)
    after = _unknown(database)
    verdict = story.judge(bridge.history())
    return CutOff(len(fences), taken_over_s, len(before), len(before - after), verdict)


def _held(database: Database, pid: int) -> dict[int, int]:
    """Return lane and fence of what a process holds and has on its way."""
    sending = select(deliveries.c.lane).where(deliveries.c.state == "sending")
    query = select(lanes.c.lane, lanes.c.fence).where(lanes.c.owner.like(f"%:{pid}:%"), lanes.c.lane.in_(sending))
    with database.read() as connection:
        return {row.lane: row.fence for row in connection.execute(query.where(lanes.c.lease_until_ms > 0))}


def _still(database: Database, fences: Mapping[int, int]) -> Collection[int]:
    """Return the lanes that nobody has taken over although something of them is on its way.

    In a lane whose answer came in at the last moment there may be nothing left to take over.
    """
    sending = select(deliveries.c.lane).where(deliveries.c.state == "sending")
    query = select(lanes.c.lane, lanes.c.fence).where(lanes.c.lane.in_(fences), lanes.c.lane.in_(sending))
    with database.read() as connection:
        return [row.lane for row in connection.execute(query) if row.fence == fences[row.lane]]


def _unknown(database: Database) -> set[tuple[int, int]]:
    query = select(attempts.c.delivery_id, attempts.c.number).where(attempts.c.outcome == "unknown")
    with database.read() as connection:
        return {(row.delivery_id, row.number) for row in connection.execute(query)}
