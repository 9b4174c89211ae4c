"""Keeps the write-ahead log of a SQLite journal short, beside those who write."""

from __future__ import annotations

import threading

from bridge.errors import BridgeError
from bridge.journal import Database
from bridge.logs import logger

log = logger(__name__)

EVERY_S = 0.5
"""Under load some thousand pages are written in that time, and most of them several times: more often copies more."""


class Checkpointing:
    """Copies the log back until it is stopped."""

    def __init__(self, database: Database, every_s: float = EVERY_S) -> None:
        self._database = database
        self._every_s = every_s

    def run(self, stopping: threading.Event) -> None:
        """Copy again and again; what fails is logged and tried again, and meanwhile SQLite helps itself."""
        while not stopping.wait(self._every_s):
            try:
                self._database.checkpoint()
            except BridgeError as error:
                log.warning("checkpoint.failed", error=str(error))
