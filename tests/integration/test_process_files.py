"""How mapping files come into the journal: once for each change, and never to the harm of the mappings that run."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.journal import Journal, revisions
from bridge.mapping import Setup
from bridge.pipeline.active_mappings import ActiveMappings, MappingFiles
from tests.factories import NOW_MS, Clock, opened_journal

TEXT = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
"""
KNOWN = Setup(frozenset({"default"}), frozenset({"default"}))


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    """Give an empty journal."""
    with opened_journal(sqlite_url) as journal:
        yield journal


def files(journal: Journal, directory: Path) -> MappingFiles:
    """Return the files of a directory."""
    return MappingFiles(journal, directory, KNOWN, lambda: NOW_MS)


def active(journal: Journal) -> dict[str, int]:
    """Return the active mappings and their revisions, as a new process sees them."""
    return {item.mapping.name: item.revision_id for item in ActiveMappings(journal, Clock()).current()}


def write(path: Path, text: str, at: int) -> None:
    """Write a file with a time of change of its own, however fast the test is."""
    path.write_text(text)
    os.utime(path, (at, at))


def test_a_file_becomes_a_revision_once(journal: Journal, tmp_path: Path) -> None:
    """An unchanged file, or a new process that reads the same text, makes no new one; a change does."""
    write(tmp_path / "paga.yaml", TEXT, 1)
    seen = files(journal, tmp_path)
    seen.import_changed()
    seen.import_changed()
    files(journal, tmp_path).import_changed()
    first = active(journal)
    write(tmp_path / "paga.yaml", TEXT + "description: nova\n", 2)
    seen.import_changed()

    assert first == {"paga": 1}
    assert active(journal) == {"paga": 2}
    assert seen.read() is seen.read(), "nothing changed, nothing is read"


def test_a_file_that_can_not_run_leaves_its_last_good_revision(journal: Journal, tmp_path: Path) -> None:
    """And the other files are not touched by it."""
    write(tmp_path / "paga.yaml", TEXT, 1)
    seen = files(journal, tmp_path)
    seen.import_changed()
    write(tmp_path / "paga.yaml", "events: [", 2)
    write(tmp_path / "criada.yaml", TEXT, 2)
    read = seen.import_changed()

    assert [item.mapping is not None for item in read] == [True, False]
    assert active(journal) == {"criada": 2, "paga": 1}


@pytest.mark.parametrize("twin", ["paga.yml", "paga.YAML"])
def test_a_file_of_the_same_name_empties_no_mapping(journal: Journal, tmp_path: Path, twin: str) -> None:
    """What is said of the second file is no text of the first."""
    write(tmp_path / "paga.yaml", TEXT, 1)
    write(tmp_path / twin, TEXT, 1)
    files(journal, tmp_path).import_changed()

    assert active(journal) == {"paga": 1}


def test_an_active_mapping_that_lint_would_refuse_today_goes_on(journal: Journal, tmp_path: Path) -> None:
    """A newer version knows more nonsense; the file is refused, and no event is held back."""
    text = TEXT + "deal: {nome: {text: customer.name}}\n"
    with journal.database.write() as connection:
        revisions.import_text(connection, "paga", text, "file", "", NOW_MS)
    write(tmp_path / "paga.yaml", text, 1)
    (read,) = files(journal, tmp_path).import_changed()

    assert read.mapping is None
    assert active(journal) == {"paga": 1}


def test_a_revision_of_the_console_stays_when_the_file_does_not_change(journal: Journal, tmp_path: Path) -> None:
    """Nor is a mapping of the console removed because no file has its name."""
    write(tmp_path / "paga.yaml", TEXT, 1)
    files(journal, tmp_path).import_changed()
    with journal.database.write() as connection:
        for name in ("paga", "nova"):
            revisions.import_text(connection, name, TEXT + "description: console\n", "console", "ana", NOW_MS)
    files(journal, tmp_path).import_changed()
    (tmp_path / "paga.yaml").unlink()
    files(journal, tmp_path).import_changed()

    assert active(journal) == {"nova": 3, "paga": 2}


def test_active_mappings_are_looked_for_twice_a_second(journal: Journal, tmp_path: Path) -> None:
    """A change is seen within half a second, and also where the clock was set back."""
    clock = Clock()
    mappings = ActiveMappings(journal, clock)
    assert mappings.current() == ()
    write(tmp_path / "paga.yaml", TEXT, 1)
    files(journal, tmp_path).import_changed()

    clock.go(0.499)
    assert mappings.current() == ()
    clock.go(0.001)
    (found,) = mappings.current()
    clock.go(1)
    assert mappings.current()[0] is found, "compiled once"
    with journal.database.write() as connection:
        revisions.import_text(connection, "paga", None, "file", "file", NOW_MS)
    clock.go(-3600)
    assert mappings.current() == ()


def test_a_revision_names_the_owner_of_its_file(journal: Journal, tmp_path: Path) -> None:
    """By name where the machine knows the user, by number where it does not, as on a volume of another machine."""
    for name, uid in (("a", os.getuid()), ("b", 54_321)):
        write(tmp_path / f"{name}.yaml", TEXT, 1)
        if os.getuid() == 0:
            os.chown(tmp_path / f"{name}.yaml", uid, -1)
    files(journal, tmp_path).import_changed()
    with journal.database.read() as connection:
        authors = {one.mapping: one.author for one in revisions.active(connection)}

    assert authors["a"] == pwd.getpwuid(os.getuid()).pw_name
    assert authors["b"] == ("user 54321" if os.getuid() == 0 else authors["a"])
