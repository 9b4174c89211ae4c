"""The RQ job. RQ imports it by name in the worker process, which has put its drainer here before it began to work."""

from __future__ import annotations

from bridge.worker.drain import Drainer

_drainer: list[Drainer] = []


def serve(drainer: Drainer) -> None:
    """Let the jobs of this process use this drainer."""
    _drainer[:] = [drainer]


def drain(lane: int) -> None:
    """Start to drain a lane; return as soon as it has begun, for the wake-up is then served."""
    _drainer[0].start(lane)
