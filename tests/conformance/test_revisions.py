"""What the journal promises about revisions: all are kept, the newest is active, none overwrites a restored one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bridge.journal import Journal, revisions
from tests.factories import NOW_MS


def put(journal: Journal, text: str | None, origin: str = "file") -> int | None:
    """Bring a text of the mapping `paga` into the journal."""
    with journal.database.write() as connection:
        return revisions.import_text(connection, "paga", text, origin, "ana", NOW_MS)


def restore(journal: Journal, number: int) -> int | None:
    """Restore a revision."""
    with journal.database.write() as connection:
        revision = revisions.get(connection, number)
        assert revision is not None
        return revisions.restore(connection, revision, "bia", NOW_MS + 1)


def active(journal: Journal) -> list[str | None]:
    """Return the active texts."""
    with journal.database.read() as connection:
        return [one.text for one in revisions.active(connection)]


def test_history_has_every_text_with_who_when_and_how(journal: Journal) -> None:
    """Newest first, removals too, other mappings not."""
    numbers = [put(journal, text) for text in ("a", "b", None)]
    with journal.database.write() as connection:
        revisions.import_text(connection, "outra", "x", "file", "ana", NOW_MS)
    with journal.database.read() as connection:
        found = revisions.history(connection, "paga")

    assert [one.id for one in found] == numbers[::-1]
    assert [one.text for one in found] == [None, "b", "a"]
    assert {(one.origin, one.author, one.created_ms) for one in found} == {("file", "ana", NOW_MS)}


def test_a_restored_text_is_not_overwritten_by_the_unchanged_file(journal: Journal) -> None:
    """Only a file that changes again becomes a revision again, even if it changes to what it once was."""
    first = put(journal, "a")
    assert first is not None
    put(journal, "b")
    restored = restore(journal, first)

    assert active(journal) == ["a"]
    assert put(journal, "b") is None
    assert active(journal) == ["a"]
    with journal.database.read() as connection:
        newest = revisions.history(connection, "paga")[0]
    assert (newest.id, newest.origin, newest.author, newest.created_ms) == (restored, "command", "bia", NOW_MS + 1)
    assert put(journal, "a") is not None
    assert put(journal, "b") is not None
    assert active(journal) == ["b"]


def test_restoring_what_is_active_makes_no_revision(journal: Journal) -> None:
    """Twice the same command is once."""
    first = put(journal, "a")
    assert first is not None
    put(journal, "b")

    assert restore(journal, first) is not None
    assert restore(journal, first) is None


def test_a_mapping_that_was_removed_can_be_restored(journal: Journal) -> None:
    """Its last text becomes active again."""
    first = put(journal, "a")
    assert first is not None
    put(journal, None)
    assert active(journal) == []

    restore(journal, first)
    assert active(journal) == ["a"]


def test_two_processes_that_bring_the_same_text_make_one_revision(journal: Journal) -> None:
    """Several sweepers see the same changed file at once."""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: put(journal, "a"), range(8)))

    assert sum(number is not None for number in made) == 1
