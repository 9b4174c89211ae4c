"""The active mappings: the newest revision of each name in the journal, compiled once in each process.

A file becomes a revision only where it can run; a file with an error leaves its last good revision active.
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
from bridge.messages import N_

log = logger(__name__)

READ_EVERY_MS = 500
"""How long a process uses the mappings it read; files are read once a second, so that a change holds within two."""
GONE_AFTER_MS = 3_000
"""How long a file must be gone before its mapping is removed: editors and git replace a file by removing it first, and
the events of that moment would pass the mapping by."""
_ANY_SETUP = Setup(None, None, active=True)


@dataclass(frozen=True, slots=True)
class ActiveMapping:
    mapping: Mapping
    revision_id: int


class ActiveMappings:
    """Reads the active mappings from the journal, twice a second at most and only where they changed."""

    def __init__(self, journal: Journal, clock_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._read_ms = -READ_EVERY_MS
        self._newest = -1
        self._active: tuple[ActiveMapping, ...] = ()
        self._refused: MappingRefused | None = None

    def current(self, connection: Connection | None = None, *, at_once: bool = False) -> tuple[ActiveMapping, ...]:
        """Return the active mappings by name, the disabled ones too, read by this connection where they are due.

        With `at_once` they are read now: a person may have saved one a moment ago.
        """
        with self._lock:
            now_ms = self._clock_ms()
            if at_once or not 0 <= now_ms - self._read_ms < READ_EVERY_MS:
                with nullcontext(connection) if connection else self._journal.database.read() as reading:
                    self._read(reading)
                self._read_ms = now_ms
            return self._active

    def refused(self) -> MappingRefused | None:
        """Return why an active mapping can't run in this version; events wait, or its deliveries would be missing."""
        return self._refused

    def _read(self, connection: Connection) -> None:
        newest = revisions.newest_id(connection)
        if newest == self._newest:
            return
        active = []
        refused = None
        for revision in revisions.active(connection):
            # Any setup: where the environment has lost a destination since the import, its deliveries wait.
            read = parse_mapping(revision.text or "", f"{revision.mapping}.yaml", _ANY_SETUP)
            if read.mapping is None:
                finding = next(finding for finding in read.findings if finding.severity is Severity.ERROR)
                text = N_("mapping {mapping} can't run in this version: {finding}")
                refused = MappingRefused(text, mapping=revision.mapping, finding=finding.report)
                log.error("mapping.refused", mapping=revision.mapping, revision=revision.id, finding=str(finding))
            else:
                active.append(ActiveMapping(read.mapping, revision.id))
        self._refused = refused
        self._active, self._newest = tuple(active), newest
        log.info("mapping.active", newest=newest, mappings=[item.mapping.name for item in active])


class MappingFiles:
    """The mapping files of one directory; parsed only where a file or the setup changed."""

    def __init__(
        self, journal: Journal, directory: Path, setup: Setup | Callable[[], Setup], clock_ms: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._setup = setup
        self._read_for: Setup | None = None
        self._clock_ms = clock_ms
        self._seen: dict[str, tuple[int, int]] | None = None
        self._imported: dict[str, tuple[int, int]] | None = None
        self._gone_ms: dict[str, int] = {}
        self._read: list[ParseResult] = []

    def read(self) -> list[ParseResult]:
        """Return the mapping or the findings of every file."""
        seen = {}
        for path in sorted(self._directory.glob("[!.]*.[yY]*")):
            with suppress(OSError):  # removed meanwhile, or a broken link
                stat = path.stat()
                seen[str(path)] = (stat.st_mtime_ns, stat.st_size)
        setup = self._setup if isinstance(self._setup, Setup) else self._setup()
        if setup != self._read_for:
            self._imported = None  # a file that names a new account or destination may be right now
        if seen != self._seen or setup != self._read_for:
            self._read = read_directory(self._directory, setup)
            self._seen, self._read_for = seen, setup
        return self._read

    def import_changed(self) -> list[ParseResult]:
        """Make revisions of the files that can run and have a new text; return all that was read.

        A file that stays gone removes its mapping, unless its newest revision was made elsewhere.
        """
        read = self.read()
        # A directory that can't be read (such as an unmounted one) does not tell which files are gone.
        is_away = any(Path(item.path) == self._directory for item in read)
        if is_away or (self._imported == self._seen and not self._gone_ms):
            return read
        now_ms = self._clock_ms()
        names = {Path(item.path).stem for item in read}
        files = {Path(item.path).stem: item for item in read if item.mapping is not None}
        owners = {name: _owner(Path(item.path)) for name, item in files.items()}
        with self._journal.database.write() as connection:
            active = revisions.active(connection)
            gone = [one.mapping for one in active if one.origin in revisions.FROM_FILE and one.mapping not in names]
            since_ms = {name: self._gone_ms.get(name, now_ms) for name in gone}
            removed = [name for name in gone if now_ms - since_ms[name] >= GONE_AFTER_MS]
            for name in [*sorted(files), *removed]:
                text = files[name].text if name in files else None
                revision = revisions.import_text(connection, name, text, "file", owners.get(name, ""), now_ms)
                if revision is not None:
                    log.info("mapping.imported", mapping=name, revision=revision, removed=text is None)
        self._gone_ms = {name: since_ms[name] for name in gone if name not in removed}
        self._imported = self._seen
        return read


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user that this machine does not know (a volume, a container)
        return f"user {path.stat().st_uid}"
