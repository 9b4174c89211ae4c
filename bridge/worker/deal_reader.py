"""Looks for deals in Clint beside the sweeper, at the pace that Clint's API is asked.

A Clint API that fails is asked again a minute later, a journal that is away too: nothing else depends on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from bridge.errors import BridgeError
from bridge.logs import logger
from bridge.recovery.read_back import ReadBacks

log = logger(__name__)

EVERY_S = 2.0
AGAIN_S = 60.0


class DealReader:
    """Reads until it is stopped."""

    def __init__(
        self, read_backs: ReadBacks, clock_ms: Callable[[], int], every_s: float = EVERY_S, again_s: float = AGAIN_S
    ) -> None:
        self._read_backs = read_backs
        self._clock_ms = clock_ms
        self._every_s = every_s
        self._again_s = again_s

    def run(self, stopping: threading.Event) -> None:
        """Look for what is due every few seconds; a fault is logged and tried again later."""
        while not stopping.is_set():
            wait_s = self._every_s
            try:
                self._read_backs.step(self._clock_ms())
            except BridgeError as error:
                log.warning("deals.not_read", error=str(error))
                wait_s = self._again_s
            except Exception:  # the thread must not end for a delivery that the code does not expect
                log.exception("deals.fault")
                wait_s = self._again_s
            stopping.wait(wait_s)
