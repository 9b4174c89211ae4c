"""The write lock of a SQLite file, over all threads and processes of this machine."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import IO

from bridge import private_files
from bridge.errors import JournalError

BUSY_TIMEOUT_MS = 5_000
NO_PLACE = "let BRIDGE_DATA_DIR or DATABASE_URL name a place that this user can write to"


class WriteLock:
    """SQLite's write lock, taken in advance for one block at a time.

    SQLite waits by sleeping, longer each time, up to 100 ms. A waiter of this lock is woken when the lock is free, and
    raises JournalError after `timeout_s`. A writer without this lock still waits as SQLite does.
    """

    def __init__(self, path: Path, timeout_s: float = BUSY_TIMEOUT_MS / 1000) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._thread = threading.Lock()
        self._file: IO[bytes] | None = None
        self._pid = 0
        self._changed = threading.Condition()
        self._in_flock = False
        self._wanted = False
        self._locked = False

    def __enter__(self) -> None:
        ends_s = time.monotonic() + self._timeout_s
        if not self._thread.acquire(timeout=self._timeout_s):
            raise self._not_free()
        try:
            if self._file is None or self._pid != os.getpid():  # a fork shares the lock of its parent
                private_files.make_directory(self._path.parent)
                self._file = open(self._path, "ab", opener=private_files.opener)
                self._pid, self._in_flock = os.getpid(), False
            if not self._lock(self._file, ends_s - time.monotonic()):
                raise self._not_free()
        except BaseException as error:
            self._thread.release()
            if not isinstance(error, OSError):
                raise
            raise JournalError(
                f"the journal's directory {self._path.parent} can't be written: {(error.strerror or '').lower()}",
                mend=NO_PLACE,
            ) from error

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._thread.release()

    def close(self) -> None:
        """Close the file; the next writer opens it again."""
        with self._thread, self._changed:
            if self._file is not None and not self._in_flock:
                self._file.close()
                self._file = None

    def _not_free(self) -> JournalError:
        return JournalError(f"the journal's write lock was not free for {self._timeout_s:g} seconds")

    def _lock(self, file: IO[bytes], timeout_s: float) -> bool:
        """Lock the file against other processes; return whether that was possible in time.

        flock() has no time limit, and a process that is stopped may hold the lock. So a thread of its own waits in
        flock(), one at a time: a caller that gives up leaves it to the next one.
        """
        with self._changed:
            if not self._in_flock:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    threading.Thread(target=self._wait_in_flock, args=(file,), name="flock", daemon=True).start()
                    self._in_flock = True
                else:
                    return True
            self._wanted, self._locked = True, False
            self._changed.wait_for(lambda: self._locked, max(0.0, timeout_s))
            self._wanted = False
            return self._locked

    def _wait_in_flock(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            is_held = True
        except OSError:
            is_held = False  # the caller gives up when its time is over
        with self._changed:
            self._in_flock = False
            self._locked = is_held and self._wanted
            if self._locked:
                self._changed.notify()
            elif is_held:
                fcntl.flock(file, fcntl.LOCK_UN)
