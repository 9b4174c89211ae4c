"""Drafts: the forms that a person sent last, on both databases."""

from __future__ import annotations

from bridge.journal import Journal, drafts, jobs
from bridge.journal.jobs import KEEP_PREVIEW_MS
from tests.factories import NOW_MS

FIELDS = [("text", "events: [A]"), ("event", "A"), ("event", "B")]


def test_a_draft_is_of_one_person_and_thing_and_lasts_a_day(journal: Journal) -> None:
    """It is no job, comes back as it was sent, and goes when it is removed or a day old."""
    with journal.database.write() as connection:
        first = drafts.keep(connection, "paga", "operator Ana", [("text", "x")], NOW_MS)
        last = drafts.keep(connection, "paga", "operator Ana", FIELDS, NOW_MS + 1)

        found = drafts.newest(connection, "paga", "operator Ana", NOW_MS + 2)
        assert found is not None
        assert (found.id, list(found.fields)) == (last, FIELDS)
        assert drafts.find(connection, first, "paga", "operator Bia", NOW_MS) is None
        assert drafts.find(connection, first, "outra", "operator Ana", NOW_MS) is None
        assert drafts.find(connection, first, "paga", "operator Ana", NOW_MS + KEEP_PREVIEW_MS + 1) is None
        assert jobs.find(connection, first, NOW_MS) is None
        drafts.remove(connection, "paga", "operator Ana")
        assert drafts.newest(connection, "paga", "operator Ana", NOW_MS) is None


def test_a_person_has_so_many_drafts_at_most(journal: Journal) -> None:
    """The oldest go; those of another person stay."""
    with journal.database.write() as connection:
        other = drafts.keep(connection, "paga", "operator Bia", FIELDS, NOW_MS)
        made = [drafts.keep(connection, "paga", "operator Ana", FIELDS, NOW_MS) for _ in range(drafts.MOST + 2)]
        kept = [one for one in made if drafts.find(connection, one, "paga", "operator Ana", NOW_MS)]

        assert kept == made[2:]
        assert drafts.find(connection, other, "paga", "operator Bia", NOW_MS) is not None
