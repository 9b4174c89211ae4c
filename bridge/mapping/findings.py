"""What lint says about a mapping file: one finding per mistake, with the place, a stable code and what to do.

Every reader of the package is handed one `Findings` and goes on after a mistake, so that a person sees all of them at
once. Only a finding of severity error keeps a mapping from being activated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Protocol

from bridge.mapping.advice import synonym


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"  # the mapping can't run as written and is not activated
    WARNING = "warning"  # it runs, but hardly as meant
    NOTE = "note"  # worth knowing; nothing to mend now


class HasPosition(Protocol):
    """Anything that stands at a line and column (both from 1) of a file."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Position:
    """A bare line and column."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in one file."""

    path: str
    line: int
    column: int
    code: str
    severity: Severity
    message: str
    caret: str = ""
    """For a bad expression: the expression and, on a second line, a caret under the character."""

    @property
    def facts(self) -> dict[str, object]:
        """Return the facts of the sentence, for `--json`."""
        return {}

    def shown(self) -> str:
        """Return the one line that editors and CI understand, in the reader's language."""
        return str(self)

    def __str__(self) -> str:
        """Return the one line that editors and CI understand."""
        return f"{self.path}:{self.line}:{self.column}: {self.code}: {self.message}"


MAX_FINDINGS = 200
"""Ours: nobody reads further, and each costs a look for the nearest word: 100 KB of nonsense would take minutes."""


class TooManyFindings(Exception):
    """A file has so many findings that the rest of it is not looked at."""


class Findings:
    """Collects the findings of one file; raises TooManyFindings at the last one it takes."""

    def __init__(self, path: str, *, active: bool = False) -> None:
        self.path = path
        self._active = active
        self._found: list[Finding] = []
        self._refused: set[tuple[int, int]] = set()
        self._end: tuple[float, float] = (float("inf"), 0)

    def error(self, place: HasPosition, code: str, message: str, *, caret: str = "") -> None:
        """Record that the mapping can't run as written."""
        self._add(place, code, Severity.ERROR, message, caret)

    def nonsense(self, place: HasPosition, code: str, message: str) -> None:
        """Record an error of a mapping that runs and surely sends nonsense or fails for every event.

        It keeps a mapping from being activated, and never stops one that is active.
        """
        if not self._active:
            self._add(place, code, Severity.ERROR, message)

    def refuse(self, place: HasPosition) -> None:
        """Take no finding at this place from now on, nor keep the one that is there."""
        self._refused.add((place.line, place.column))
        self._found = [found for found in self._found if not _same_place(found, place)]

    def end_at(self, place: HasPosition) -> None:
        """Take no finding behind this place: what stands there was read as a part of something else."""
        self._end = (place.line, place.column)

    def warning(self, place: HasPosition, code: str, message: str) -> None:
        """Record that the mapping runs, but hardly as meant."""
        self._add(place, code, Severity.WARNING, message)

    def note(self, place: HasPosition, code: str, message: str) -> None:
        """Record something worth knowing."""
        self._add(place, code, Severity.NOTE, message)

    def _add(self, place: HasPosition, code: str, severity: Severity, message: str, caret: str = "") -> None:
        # What YAML itself refused (an alias, a tag) has no meaning that anything further could be said about.
        where = (place.line, place.column)
        if where in self._refused or where > self._end:
            return
        if code.startswith("yaml.") and severity is Severity.ERROR:
            self._refused.add(where)
        self._found.append(Finding(self.path, place.line, place.column, code, severity, message, caret))
        if len(self._found) == MAX_FINDINGS:
            raise TooManyFindings

    def speaks_of(self, place: HasPosition) -> bool:
        """Say whether there is a finding at this very place already."""
        return any(_same_place(found, place) for found in self._found)

    def close(self) -> None:
        """Say that there is more to find behind what was found."""
        last = max(self._found, key=lambda found: (found.line, found.column))
        message = f"{MAX_FINDINGS} findings and more; mend these first"
        self._found.append(
            Finding(self.path, last.line, last.column, "file.too_many_findings", Severity.ERROR, message)
        )

    @property
    def has_error(self) -> bool:
        """Say whether any finding so far is an error."""
        return any(finding.severity is Severity.ERROR for finding in self._found)

    def in_order(self) -> tuple[Finding, ...]:
        """Return the findings in the order of the file, each once."""
        return tuple(sorted(dict.fromkeys(self._found), key=lambda found: (found.line, found.column, found.code)))


def _same_place(one: HasPosition, other: HasPosition) -> bool:
    return (one.line, one.column) == (other.line, other.column)


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return `; did you mean x?` for the word that is meant or nearest, or an empty text where none is near.

    Case is not looked at, because `payment_created` is as near to PAYMENT_CREATED as can be.
    """
    by_lower = {known.lower(): known for known in words}
    close = [by_lower[lower] for lower in get_close_matches(word.lower(), by_lower, 1, 0.7)]
    meant = synonym(word, by_lower.values()) or (close[0] if close else None)
    return f"; did you mean {meant}?" if meant else ""


def shown(word: str, length: int = 60) -> str:
    """Return a word from the file in quotes, shortened, so that one bad line can't flood the list."""
    return repr(word if len(word) <= length else f"{word[: length - 3]}...")
