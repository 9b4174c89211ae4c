"""The mapping files of a directory that is not always there."""

from __future__ import annotations

from pathlib import Path

from bridge.mapping import Known
from bridge.process import ActiveMappings, MappingFiles
from tests.factories import NOW_MS, Clock, opened_journal

TEXT = "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n"


def test_a_directory_that_is_away_removes_no_mapping(tmp_path: Path, sqlite_url: str) -> None:
    """A worker started elsewhere, or an unmounted directory, must not switch every mapping off."""
    directory = tmp_path / "mappings"
    directory.mkdir()
    (directory / "paga.yaml").write_text(TEXT)
    known = Known(None, None)
    with opened_journal(sqlite_url) as journal:
        MappingFiles(journal, directory, known, lambda: NOW_MS).import_changed()
        MappingFiles(journal, tmp_path / "elsewhere", known, lambda: NOW_MS).import_changed()
        active = ActiveMappings(journal, Clock()).current()

        assert [item.mapping.name for item in active] == ["paga"]

        (directory / "paga.yaml").unlink()
        MappingFiles(journal, directory, known, lambda: NOW_MS).import_changed()

        assert ActiveMappings(journal, Clock()).current() == ()
