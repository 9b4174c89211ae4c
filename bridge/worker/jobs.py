"""The RQ job. RQ imports it by name in the worker process, which has registered its drainer before."""

from __future__ import annotations

from bridge.worker.drain import Drainer

_drainer: list[Drainer] = []


def serve(drainer: Drainer) -> None:
    """Let the jobs of this process use this drainer."""
    _drainer[:] = [drainer]


def drain(lane: int) -> None:
    """Start to drain a lane; the job ends as soon as the drain has begun."""
    _drainer[0].start(lane)
