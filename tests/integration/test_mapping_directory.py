"""The mapping files of a directory that is not always there."""

from __future__ import annotations

from pathlib import Path

from bridge.mapping import Setup
from bridge.pipeline.active_mappings import ActiveMappings, MappingFiles
from tests.factories import NOW_MS, Clock, opened_journal

TEXT = "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n"


def test_a_directory_that_is_away_removes_no_mapping(tmp_path: Path, sqlite_url: str) -> None:
    """A worker started elsewhere, or an unmounted directory, must not switch every mapping off."""
    directory = tmp_path / "mappings"
    directory.mkdir()
    (directory / "paga.yaml").write_text(TEXT)
    known = Setup(None, None)
    with opened_journal(sqlite_url) as journal:
        MappingFiles(journal, directory, known, lambda: NOW_MS).import_changed()
        MappingFiles(journal, tmp_path / "elsewhere", known, lambda: NOW_MS).import_changed()
        active = ActiveMappings(journal, Clock()).current()

        assert [item.mapping.name for item in active] == ["paga"]


def test_a_mapping_is_removed_only_when_its_file_stays_gone(tmp_path: Path, sqlite_url: str) -> None:
    """Git and editors replace a file by removing it first: the events of that moment must not pass the mapping by."""
    path = tmp_path / "paga.yaml"
    path.write_text(TEXT)
    clock = Clock()
    with opened_journal(sqlite_url) as journal:
        files = MappingFiles(journal, tmp_path, Setup(None, None), clock)
        files.import_changed()
        path.unlink()
        files.import_changed()
        clock.go(2.9)
        files.import_changed()

        assert [item.mapping.name for item in ActiveMappings(journal, Clock()).current()] == ["paga"]

        path.write_text(TEXT)
        files.import_changed()
        clock.go(5)
        path.unlink()
        files.import_changed()

        assert [item.mapping.name for item in ActiveMappings(journal, Clock()).current()] == ["paga"]

        clock.go(3)
        files.import_changed()

        assert ActiveMappings(journal, Clock()).current() == ()
