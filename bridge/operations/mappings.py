"""Saves a text as the active revision of a mapping, and in its file where the journal is SQLite.

The journal's newest revision runs on every machine; an unchanged file never overwrites it. A PostgreSQL journal may
serve several machines, where one machine's file would look like a change to the others. A text that somebody else saved
meanwhile, in the console, by a command or in the file, is never overwritten.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from bridge.errors import MappingChanged, UsageError
from bridge.journal import Journal, revisions
from bridge.mapping.edit import NotEditable
from bridge.mapping.form import read_form, write_form
from bridge.mapping.model import Mapping, Setup
from bridge.messages import N_, system_reason
from bridge.settings import DEFAULT


@dataclass(frozen=True, slots=True)
class Saved:
    revision_id: int
    number: int
    """Of the revision, among those of its mapping."""
    in_file: bool


def file_of(directory: Path, name: str) -> Path:
    """Return the path of the mapping's file, also where there is none."""
    paths = [directory / f"{name}.yaml", directory / f"{name}.yml"]
    return next((path for path in paths if path.exists()), paths[0])


def file_text(directory: Path, name: str) -> str | None:
    """Return the text of the mapping's file, None where it can't be read."""
    try:
        return file_of(directory, name).read_bytes().decode()  # with the line ends that its revision has
    except (OSError, UnicodeDecodeError):
        return None


def writes_files(journal: Journal, directory: Path) -> bool:
    return journal.database.is_sqlite and os.access(directory, os.W_OK)


def save(
    journal: Journal,
    directory: Path,
    name: str,
    text: str,
    *,
    base: int,
    author: str,
    now_ms: int,
    replaces: str = "",
) -> Saved:
    """Save a text that was written from revision `base` (0: from none).

    `replaces` is the digest of a file's text that is not active and that the author has seen. Raises MappingChanged
    where the mapping or its file has another text by now.
    """
    with journal.database.write() as connection:
        revisions.turn(connection)
        newest = revisions.newest(connection, name)
        if (newest.id if newest else 0) != base:
            raise MappingChanged
        if newest is not None and newest.text == text:
            if (
                replaces
                and writes_files(journal, directory)
                and revisions.digest(file_text(directory, name) or "") == replaces
            ):
                _written(file_of(directory, name), text)
            return Saved(newest.id, newest.number, file_text(directory, name) == text)
        in_file = writes_files(journal, directory)
        if in_file:
            there = file_text(directory, name)
            known = revisions.last_digest(connection, name)
            if there is not None and there != text and revisions.digest(there) not in {known, replaces}:
                what = N_("the mapping's file has a text that is not active yet")
                hint = N_("fix the file (see: bridge mappings lint), or put it back")
                raise MappingChanged(what, where=str(file_of(directory, name)), hint=hint)
            in_file = _written(file_of(directory, name), text)
        origin = revisions.WITH_FILE if in_file else revisions.CONSOLE
        fresh = revisions.add(connection, name, text, origin, author, now_ms)
        return Saved(fresh, newest.number + 1 if newest else 1, in_file)


def _written(path: Path, text: str) -> bool:
    """Replace the file in one step; return whether it worked."""
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
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), named_before, named_after, lineterm="", n=2)
    return list(lines)


def changed(before: str, after: str) -> tuple[int, int]:
    """Return how many lines were added and how many removed.

    >>> changed("a\\nb", "a\\nc\\nd")
    (2, 1)
    """
    lines = difference(before, after)[2:]
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


def joined(base: str, mine: str, theirs: str) -> str | None:
    """Return `base` with what two people changed in it; None where both changed the same lines.

    >>> joined("a\\nb\\nc\\n", "x\\nb\\nc\\n", "a\\nb\\nc\\nd\\n")
    'x\\nb\\nc\\nd\\n'
    >>> joined("a\\n", "x\\n", "y\\n")
    """
    lines = base.splitlines(keepends=True)
    changes = sorted({*_changes(lines, mine), *_changes(lines, theirs)})
    for (start, end, _), (after, after_end, _) in pairwise(changes):
        if after < end or (start, end) == (after, after_end):
            return None
    for start, end, new in reversed(changes):
        lines[start:end] = new
    return "".join(lines)


def _changes(lines: list[str], text: str) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return the ranges of lines that a text replaces, each with the new lines."""
    after = text.splitlines(keepends=True)
    found = difflib.SequenceMatcher(None, lines, after, autojunk=False).get_opcodes()
    return [(start, end, tuple(after[at:to])) for kind, start, end, at, to in found if kind != "equal"]


_ENABLED = re.compile(r"^enabled:[^\n#]*?(?=[ \t]*(#[^\n]*)?$)", re.MULTILINE)
_ACCOUNT = re.compile(r"^account:[^\n#]*?(?=[ \t]*(#[^\n]*)?$)", re.MULTILINE)
_FIRST_KEY = re.compile(r"^[A-Za-z_][\w-]*:", re.MULTILINE)


def switched(text: str, *, on: bool) -> str:
    """Return the text with `enabled` set, in its line or before the first key.

    >>> switched("description: x\\nenabled: false # later\\nevents: [A]\\n", on=True)
    'description: x\\nenabled: true # later\\nevents: [A]\\n'
    >>> switched("# x\\nevents: [A]\\n", on=False)
    '# x\\nenabled: false\\nevents: [A]\\n'
    """
    line = f"enabled: {'true' if on else 'false'}"
    if _ENABLED.search(text):
        return _ENABLED.sub(line, text, count=1)
    return _FIRST_KEY.sub(lambda first: f"{line}\n{first[0]}", text, count=1)


def unplaced(mappings: Iterable[Mapping], setup: Setup) -> list[Mapping]:
    """Return the enabled mappings that write deals into an origin of Clint where none sets a stage or a status."""
    enabled = [one for one in mappings if one.enabled]
    placed = {name for one in enabled if one.funnel.stage or one.funnel.status for name in one.destinations}
    return [one for one in enabled if one.destinations & (setup.api.keys() - placed)]


PLACING = "exemplo_um_negocio_por_cobranca"
"""The mapping that comes with the bridge and sets the stage and status of each charge's deal."""


def placing(text: str, account: str, destination: str) -> str:
    """Return the text of that mapping, switched on, for an account and a destination.

    >>> placing("account: a\nevents: [A]\nsend_to: funil\ntests:\n  - expect: {send_to: funil}\n", "b", "vendas")
    'account: b\nenabled: true\nevents: [A]\nsend_to: vendas\ntests:\n  - expect: {send_to: vendas}\n'
    """
    text = re.sub(r"\bsend_to: [\w-]+", f"send_to: {destination}", switched(text, on=True))
    line = f"account: {account}"
    if _ACCOUNT.search(text):
        return _ACCOUNT.sub(line, text, count=1)
    return text if account == DEFAULT else _FIRST_KEY.sub(lambda first: f"{line}\n{first[0]}", text, count=1)


def copied(text: str, name: str, account: str) -> str:
    """Return the text of a mapping for another account: switched on, and called after both.

    A text without a form gets the line `account` only.
    """
    try:
        form = read_form(text)
        called = f"{form.settings['description'] or name} ({account})"
        changes = {"account": account, "description": called, "enabled": ""}
        return write_form(text, replace(form, settings={**form.settings, **changes}))
    except NotEditable:
        line = f"account: {account}"
        if _ACCOUNT.search(text):
            return _ACCOUNT.sub(line, text, count=1)
        return _FIRST_KEY.sub(lambda first: f"{line}\n{first[0]}", text, count=1)


def starters() -> Path:
    """Return the directory of the mapping files that come with the bridge."""
    package = Path(__file__).parents[1]
    in_wheel = package / "starters"
    return in_wheel if in_wheel.is_dir() else package.parent / "mappings"


def copy_starters(target: Path) -> int:
    """Copy the mapping files that come with the bridge, with samples and guide; return the number of mappings.

    Raises UsageError, before anything is copied, where a file of the same name is there.
    """
    source = starters()
    names = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    for name in names:
        if (target / name).exists():
            where, hint = str(target / name), N_("name another directory")
            raise UsageError(N_("there is a file of that name"), where=where, hint=hint)
    try:
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
    except OSError as error:
        what, hint = N_("{path} can't be written ({reason})"), N_("name another directory")
        raise UsageError(what, path=str(target), reason=system_reason(error), hint=hint) from None
    return sum(name.suffix == ".yaml" for name in names)
