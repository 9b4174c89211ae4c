"""Outputs that take nothing: a full disk, a pipe whose reader is gone, a pipe whose reader stands still.

Each is a context manager over a directory. It gives the path that a process opens as its output and what begins the
harm; when the block is left the output takes lines again, but for the pipe whose reader is gone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from tests.torture import disk

Output = tuple[Path, Callable[[], object]]
Outputs = Callable[[Path], AbstractContextManager[Output]]


@contextmanager
def disk_full(directory: Path) -> Iterator[Output]:
    """A disk of its own that fills up, and is freed when the block is left. Needs root."""
    where = directory / "log-disk"
    where.mkdir()
    # The process may still have its log open when the disk goes: it is unmounted lazily.
    with ExitStack() as mounted, ExitStack() as filled:
        mounted.enter_context(disk.small_disk(where, 1))
        yield where / "log", lambda: filled.enter_context(disk.full(where))
        filled.close()
        mounted.pop_all()


@contextmanager
def reader_gone(directory: Path) -> Iterator[Output]:
    """A pipe whose reader ends and never comes back."""
    path = directory / "log-pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    yield path, lambda: os.close(reader)


@contextmanager
def reader_stands_still(directory: Path) -> Iterator[Output]:
    """A pipe that is full from the beginning, and is read when the block is left."""
    path = directory / "log-pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(reader, b"." * 4096)
    yield path, lambda: None
    goes_on = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.close(reader)  # it may write, too: without it the end of the processes is the end of what is read
    os.set_blocking(goes_on, True)

    def read() -> None:
        with open(goes_on, "rb", buffering=0) as pipe:
            while pipe.read(65_536):
                pass

    threading.Thread(target=read, daemon=True).start()
