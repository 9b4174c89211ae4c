"""The workers that are there, as RQ registers them in Redis; who stops saying so is forgotten by Redis itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis
from rq import Worker


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """One worker process."""

    host: str
    pid: int
    seen_ms: int
    """When it last said that it is there."""


def workers(redis: Redis) -> list[SeenWorker]:
    """Return the workers by machine and process. Raises RedisError where Redis is away."""
    found = [
        SeenWorker(str(worker.hostname or ""), int(worker.pid or 0), _ms(worker.last_heartbeat))
        for worker in Worker.all(connection=redis)
    ]
    return sorted(found, key=lambda one: (one.host, one.pid))


def _ms(moment: datetime | None) -> int:
    if moment is None:
        return 0
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
