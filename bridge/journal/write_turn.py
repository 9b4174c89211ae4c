"""The queue of those who write one SQLite file: over all threads and processes of this machine."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO

from bridge.errors import JournalError
from bridge.private_files import opener

BUSY_TIMEOUT_MS = 5_000


class Turn:
    """The turn to write.

    SQLite itself waits by sleeping, longer each time, up to 100 ms: under load the answer to Asaas would wait for a
    sleep instead of for a commit of one millisecond. Who writes without this lock still waits as SQLite does.

    Two locks: whoever writes holds the second; all but the door's writers must hold the first before, so that one of
    them at most stands before the door.
    """

    def __init__(self, path: Path) -> None:
        self._writing = _FileLock(path)
        self._waiting = _FileLock(path.with_name(f"{path.name}s"))

    @contextmanager
    def __call__(self, next_in_turn: bool) -> Iterator[None]:
        """Hold the turn for the block; raise JournalError where it can't be had."""
        with nullcontext() if next_in_turn else self._waiting, self._writing:
            yield

    def close(self) -> None:
        """Close the files; the next writer opens them again."""
        self._writing.close()
        self._waiting.close()


class _FileLock:
    """A lock over threads and processes, whose waiters are woken at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = threading.Lock()
        self._file: IO[bytes] | None = None
        self._pid = 0

    def __enter__(self) -> None:
        if not self._thread.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise JournalError("the journal's write lock was not free for 5 seconds")
        try:
            if self._file is None or self._pid != os.getpid():  # a fork shares the lock of its parent
                self._file, self._pid = open(self._path, "ab", opener=opener), os.getpid()
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            self._thread.release()
            raise JournalError(f"the journal's directory can't be written: {error.strerror}") from error

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._thread.release()

    def close(self) -> None:
        """Close the file; the next writer opens it again."""
        with self._thread:
            if self._file is not None:
                self._file.close()
                self._file = None
