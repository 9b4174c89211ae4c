"""The mappings that are active: the newest revision of each name in the journal, compiled once in each process.

A file becomes a revision only where it could run; one with an error leaves its last good revision active.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from bridge.errors import MappingRefused
from bridge.journal import Journal, revisions
from bridge.logs import logger
from bridge.mapping import Mapping, ParseResult, Setup, Severity, parse_mapping, read_directory

log = logger(__name__)

LOOK_EVERY_MS = 500
"""How old a process's idea of the active mappings may be; files are read once a second, so that two seconds hold."""
GONE_AFTER_MS = 3_000
"""How long a file must be gone before its mapping is removed: editors and git replace a file by removing it first, and
the events of that moment would pass the mapping by."""
_ANYTHING = Setup(None, None, active=True)
_OF_FILES = frozenset({"file", revisions.WITH_FILE})


@dataclass(frozen=True, slots=True)
class ActiveMapping:
    """A mapping and the revision it was read from."""

    mapping: Mapping
    revision_id: int


class ActiveMappings:
    """What is active now; asks the journal twice a second at most, and reads mappings anew only where they changed."""

    def __init__(self, journal: Journal, clock_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._clock_ms = clock_ms
        self._turn = threading.Lock()
        self._looked_ms = -LOOK_EVERY_MS
        self._newest = -1
        self._active: tuple[ActiveMapping, ...] = ()
        self._refused: MappingRefused | None = None

    def current(self, connection: Connection | None = None) -> tuple[ActiveMapping, ...]:
        """Return the active mappings by name, the disabled ones too; look by this connection where it is time to."""
        with self._turn:
            now_ms = self._clock_ms()
            if not 0 <= now_ms - self._looked_ms < LOOK_EVERY_MS:
                with nullcontext(connection) if connection else self._journal.database.read() as reading:
                    self._look(reading)
                self._looked_ms = now_ms
            return self._active

    def refused(self) -> MappingRefused | None:
        """Return why an active mapping can't run in this version; going on without it would lose what it would send."""
        return self._refused

    def _look(self, connection: Connection) -> None:
        newest = revisions.newest_id(connection)
        if newest == self._newest:
            return
        active = []
        refused = None
        for revision in revisions.active(connection):
            # It could run when it was imported. Where the environment has lost its destination since, its deliveries
            # are made and wait; left out, the events of that time would pass it by.
            read = parse_mapping(revision.text or "", f"{revision.mapping}.yaml", _ANYTHING)
            if read.mapping is None:
                refused = MappingRefused(f"mapping {revision.mapping} can't run in this version", where=_first(read))
                log.error("mapping.refused", mapping=revision.mapping, revision=revision.id, finding=_first(read))
            else:
                active.append(ActiveMapping(read.mapping, revision.id))
        self._refused = refused
        self._active, self._newest = tuple(active), newest
        log.info("mapping.active", newest=newest, mappings=[item.mapping.name for item in active])


def _first(read: ParseResult) -> str:
    return str(next(finding for finding in read.findings if finding.severity is Severity.ERROR))


class MappingFiles:
    """The mapping files of one directory; read anew only where a file came, went or changed."""

    def __init__(
        self, journal: Journal, directory: Path, known: Setup | Callable[[], Setup], clock_ms: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._known = known
        self._read_for: Setup | None = None
        self._clock_ms = clock_ms
        self._seen: dict[str, tuple[int, int]] | None = None
        self._imported: dict[str, tuple[int, int]] | None = None
        self._gone_ms: dict[str, int] = {}
        self._read: list[ParseResult] = []

    def read(self) -> list[ParseResult]:
        """Return every file's mapping or findings as they are now."""
        seen = {}
        for path in sorted(self._directory.glob("[!.]*.[yY]*")):
            with suppress(OSError):  # it was removed just now, or is a link to nothing
                stat = path.stat()
                seen[str(path)] = (stat.st_mtime_ns, stat.st_size)
        known = self._known if isinstance(self._known, Setup) else self._known()
        if known != self._read_for:
            # A file that names an account or destination which was not there may be right now.
            self._imported = None
        if seen != self._seen or known != self._read_for:
            self._read = read_directory(self._directory, known)
            self._seen, self._read_for = seen, known
        return self._read

    def import_changed(self) -> list[ParseResult]:
        """Make revisions of the files that could run and whose text is new; return what was read.

        A file that stays gone removes its mapping, unless its newest revision was made elsewhere.
        """
        read = self.read()
        # A directory that is away (not mounted, not readable, elsewhere) says nothing about what was in it.
        away = any(Path(item.path) == self._directory for item in read)
        if away or (self._imported == self._seen and not self._gone_ms):
            return read
        now_ms = self._clock_ms()
        there = {Path(item.path).stem for item in read}
        texts = {Path(item.path).stem: item.text for item in read if item.mapping is not None}
        authors = {Path(item.path).stem: _owner(Path(item.path)) for item in read if item.mapping is not None}
        with self._journal.database.write() as connection:
            gone = [r.mapping for r in revisions.active(connection) if r.origin in _OF_FILES and r.mapping not in there]
            since = {name: self._gone_ms.get(name, now_ms) for name in gone}
            stay_gone = [name for name in gone if now_ms - since[name] >= GONE_AFTER_MS]
            for name in [*sorted(texts), *stay_gone]:
                text = texts.get(name)
                author = authors.get(name, "")
                fresh = revisions.import_text(connection, name, text, "file", author, now_ms)
                if fresh is not None:
                    log.info("mapping.imported", mapping=name, revision=fresh, removed=text is None)
        self._gone_ms = {name: since[name] for name in gone if name not in stay_gone}
        self._imported = self._seen
        return read


def _owner(path: Path) -> str:
    """Return whose file it is; the number of a user that this machine does not know (a volume, a container)."""
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"
