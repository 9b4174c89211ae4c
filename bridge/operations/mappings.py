"""Makes a text the active revision of a mapping, as the console does, and writes its file where that is safe.

The journal's newest revision is what runs, on every machine, and an unchanged file never overwrites it. The file is
written too where the journal is SQLite, for then there is one machine: on several, a file that only one of them wrote
would look like a change of everybody's, and the others' like another one. A text that somebody else saved meanwhile, in
the console, by a command or in the file, is never overwritten.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import MappingChanged
from bridge.journal import Journal, revisions

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save left."""

    revision_id: int
    in_file: bool
    """Whether the mapping's file has the text too."""


def file_of(directory: Path, name: str) -> Path:
    """Return the mapping's file; where there is none, the one that it would get."""
    return next(
        (path for suffix in SUFFIXES if (path := directory / f"{name}{suffix}").exists()), directory / f"{name}.yaml"
    )


def file_text(directory: Path, name: str) -> str | None:
    """Return what is in the mapping's file, None where there is none that can be read."""
    try:
        return file_of(directory, name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def writes_files(journal: Journal, directory: Path) -> bool:
    """Return whether a save writes the file too."""
    return journal.database.is_sqlite and os.access(directory, os.W_OK)


def save(journal: Journal, directory: Path, name: str, text: str, *, base: int, author: str, now_ms: int) -> Saved:
    """Make a text the active one that was written from revision `base` (0: from none).

    Raises MappingChanged where the mapping or its file has another text by now.
    """
    with journal.database.write() as connection:
        revisions.turn(connection)
        newest = revisions.newest(connection, name)
        if (newest.id if newest else 0) != base:
            raise MappingChanged
        if newest is not None and newest.text == text:
            return Saved(newest.id, file_text(directory, name) == text)
        in_file = writes_files(journal, directory)
        if in_file:
            there = file_text(directory, name)
            known = revisions.last_from_file(connection, name)
            if there is not None and there != text and revisions.digest(there) != known:
                raise MappingChanged(
                    "the mapping's file has a text that is not active yet",
                    where=str(file_of(directory, name)),
                    hint="mend the file (see: bridge mappings lint), or put it back",
                )
            in_file = _written(file_of(directory, name), text)
        origin = revisions.WITH_FILE if in_file else revisions.CONSOLE
        return Saved(revisions.add(connection, name, text, origin, author, now_ms), in_file)


def _written(path: Path, text: str) -> bool:
    """Replace the file in one step; return whether that could be done."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, fresh)
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        return False
    return True


def difference(before: str, after: str, named_before: str = "", named_after: str = "") -> list[str]:
    """Return the lines of a unified diff; none where the texts are the same."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), named_before, named_after, lineterm="", n=2)
    return list(lines)


def changed(before: str, after: str) -> tuple[int, int]:
    """Return how many lines were added and how many were taken away.

    >>> changed("a\\nb", "a\\nc\\nd")
    (2, 1)
    """
    lines = difference(before, after)[2:]
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


_ENABLED = re.compile(r"^enabled:[^\n#]*?(?=[ \t]*(#[^\n]*)?$)", re.MULTILINE)
_FIRST_KEY = re.compile(r"^[A-Za-z_][\w-]*:", re.MULTILINE)


def switched(text: str, *, on: bool) -> str:
    """Return the text with `enabled` as told, in the line where it stands or before the first key.

    >>> switched("description: x\\nenabled: false # later\\nevents: [A]\\n", on=True)
    'description: x\\nenabled: true # later\\nevents: [A]\\n'
    >>> switched("# x\\nevents: [A]\\n", on=False)
    '# x\\nenabled: false\\nevents: [A]\\n'
    """
    line = f"enabled: {'true' if on else 'false'}"
    if _ENABLED.search(text):
        return _ENABLED.sub(line, text, count=1)
    return _FIRST_KEY.sub(lambda first: f"{line}\n{first[0]}", text, count=1)
