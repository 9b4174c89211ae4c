"""Findings of lint: one for each mistake in a mapping file, with its place, a stable code and what to write instead.

Each reader of the package records findings and goes on, so that a person sees all of them at once. Only a finding of
severity error keeps a mapping from being activated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Protocol

from bridge.mapping.advice import synonym
from bridge.mapping.values import Text, facts_data
from bridge.messages import N_, Message, message


class Severity(StrEnum):
    ERROR = "error"  # the mapping can't run as written and is not activated
    WARNING = "warning"  # it runs, but hardly as meant
    NOTE = "note"  # worth knowing; nothing to fix now


class HasPosition(Protocol):
    """Anything that stands at a line and column (both from 1) of a file."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Position:
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Finding:
    path: str
    line: int
    column: int
    code: str
    severity: Severity
    what: Message = field(hash=False)
    """What is wrong and what to write instead."""
    caret: str = ""
    """For a bad expression: the expression and, on a second line, a caret under the character."""

    @property
    def message(self) -> str:
        return str(self.what)

    @property
    def facts(self) -> dict[str, Any]:
        return facts_data(self.what.facts)

    def text(self) -> str:
        return self.what.text()

    @property
    def report(self) -> Message:
        """The one line that editors and CI understand."""
        facts = {"path": self.path, "line": self.line, "column": self.column, "code": self.code, "what": self.what}
        return Message("{path}:{line}:{column}: {code}: {what}", facts)

    def shown(self) -> str:
        """Return that line in the reader's language."""
        return self.report.text()

    def __str__(self) -> str:
        return str(self.report)


MAX_FINDINGS = 200
"""Ours: each finding costs a search for the nearest word, so a file of nonsense would take minutes."""


class TooManyFindings(Exception):
    """A file has so many findings that the rest of it is not read."""


class Findings:
    """The findings of one file; raises TooManyFindings at the last one it takes."""

    def __init__(self, path: str, *, active: bool = False) -> None:
        self.path = path
        self.complete = True
        """False after a syntax error: a key that seems to be missing may stand behind it."""
        self._active = active
        self._found: list[Finding] = []
        self._refused: set[tuple[int, int]] = set()
        self._end: tuple[float, float] = (float("inf"), 0)

    def error(self, place: HasPosition, code: str, text: Text, caret: str = "", /, **facts: object) -> None:
        """Record that the mapping can't run as written."""
        self._add(place, code, Severity.ERROR, text, facts, caret)

    def nonsense(self, place: HasPosition, code: str, text: Text, /, **facts: object) -> None:
        """Record an error that keeps a mapping from being activated and never stops one that is active.

        The mapping runs, but sends nonsense or fails for every event.
        """
        if not self._active:
            self._add(place, code, Severity.ERROR, text, facts)

    def warning(self, place: HasPosition, code: str, text: Text, /, **facts: object) -> None:
        """Record that the mapping runs, but hardly as meant."""
        self._add(place, code, Severity.WARNING, text, facts)

    def note(self, place: HasPosition, code: str, text: Text, /, **facts: object) -> None:
        self._add(place, code, Severity.NOTE, text, facts)

    def refuse(self, place: HasPosition) -> None:
        """Take no finding at this place from now on, and drop the one that is there."""
        self._refused.add((place.line, place.column))
        self._found = [found for found in self._found if (found.line, found.column) != (place.line, place.column)]

    def end_at(self, place: HasPosition) -> None:
        """Take no finding behind this place: the text there was read as a part of something else."""
        self._end = (place.line, place.column)

    def _add(self, place: HasPosition, code: str, severity: Severity, text: Text, facts: Any, caret: str = "") -> None:
        # A value that YAML refused (an alias, a tag) has no meaning, so a second finding there would mislead.
        where = (place.line, place.column)
        if where in self._refused or where > self._end:
            return
        if code.startswith("yaml.") and severity is Severity.ERROR:
            self._refused.add(where)
        self._found.append(Finding(self.path, *where, code, severity, message(text, **facts), caret))
        if len(self._found) == MAX_FINDINGS:
            last = max((found.line, found.column) for found in self._found)
            more = Message(N_("{limit} findings and more; fix these first"), {"limit": MAX_FINDINGS})
            self._found.append(Finding(self.path, *last, "file.too_many_findings", Severity.ERROR, more))
            raise TooManyFindings

    def has_one_at(self, place: HasPosition) -> bool:
        return any((found.line, found.column) == (place.line, place.column) for found in self._found)

    @property
    def has_error(self) -> bool:
        return any(finding.severity is Severity.ERROR for finding in self._found)

    def in_order(self) -> tuple[Finding, ...]:
        """Return the findings in the order of the file, each once."""
        return tuple(sorted(dict.fromkeys(self._found), key=lambda found: (found.line, found.column, found.code)))


def did_you_mean(word: str, words: Iterable[str]) -> Text:
    """Return `; did you mean x?` for the synonym or the nearest of the words, or an empty text where none is near.

    Upper and lower case are alike, since `payment_created` is as near to PAYMENT_CREATED as can be.
    """
    by_lower = {known.lower(): known for known in words}
    close = [by_lower[lower] for lower in get_close_matches(word.lower(), by_lower, 1, 0.7)]
    meant = synonym(word, by_lower.values()) or (close[0] if close else None)
    return Message(N_("; did you mean {word}?"), {"word": meant}) if meant else ""


def shown(word: str, length: int = 60) -> str:
    """Return a word of the file in quotes, shortened, so that one bad line can't flood the list."""
    return repr(word if len(word) <= length else f"{word[: length - 3]}...")
