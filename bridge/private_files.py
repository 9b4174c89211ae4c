"""Files and directories that only the bridge's own user may read, whatever the umask: journal, logs, Redis, reports.

Mapping files and outputs that a person names keep their rights.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_DIRECTORY = 0o700
_FILE = 0o600


def make_directory(path: Path) -> None:
    """Make the directory and its parents; existing ones keep their rights."""
    for missing in reversed([one for one in (path, *path.parents) if not one.exists()]):
        missing.mkdir(mode=_DIRECTORY, exist_ok=True)
    path.mkdir(exist_ok=True)  # raises where it is a file


def opener(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=opener)`."""
    file = os.open(path, flags, _FILE)
    with suppress(OSError):  # another user's file, or a file system without rights
        os.fchmod(file, _FILE)
    return file


def kept_text(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a private file, which is made where it is not there; raises OSError where it can't be kept.

    Processes that start at the same time get the same text.
    """
    if not path.exists():
        make_directory(path.parent)
        half = path.with_name(f"{path.name}.{os.getpid()}")
        with open(half, "w", encoding="ascii", opener=opener) as file:
            file.write(f"{make()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            with suppress(FileExistsError):  # another process was faster
                path.hardlink_to(half)
        finally:
            half.unlink()
    return path.read_text(encoding="ascii", errors="replace").strip()


def restrict(path: Path) -> None:
    """Take the rights of others away from a file, or from a directory that holds only the bridge's files."""
    with suppress(OSError):
        state = path.stat()
        if stat.S_ISREG(state.st_mode):
            path.chmod(_FILE)
        # Not of /tmp, a home or the working directory, which hold other files too.
        places = {Path.cwd(), Path(os.environ.get("HOME") or "/"), Path("/")}
        if stat.S_ISDIR(state.st_mode) and not state.st_mode & stat.S_ISVTX and path.resolve() not in places:
            path.chmod(_DIRECTORY)
