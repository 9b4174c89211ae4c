"""Notices on each database: one is open for one thing, and it follows what is said of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from bridge.journal import Database, Journal, migrate, notices, receivers, upgrade
from bridge.journal.notices import Notice, Resolved, StoredNotice
from bridge.messages import message, read_message
from bridge.model import NoticeLevel
from tests.factories import NOW_MS, noticed

SOON = noticed("account.commercial_info", "default", NoticeLevel.WARNING, "expires soon", "confirm it")
EXPIRED = replace(SOON, level=NoticeLevel.ERROR, detail=message("has expired"))
OVER = Resolved(SOON.code, SOON.about)


def said(journal: Journal, *what: Notice | Resolved, now_ms: int = NOW_MS) -> list[Notice | Resolved]:
    """Apply these in one transaction."""
    with journal.database.write() as connection:
        return notices.apply(connection, what, now_ms)


def unmended(journal: Journal, *codes: str, about: str | None = None) -> list[StoredNotice]:
    """Return the open notices."""
    with journal.database.read() as connection:
        return notices.open_notices(connection, codes, about)


def test_what_is_said_again_is_one_notice(journal: Journal) -> None:
    """The second time counts and brings the words up to date; only the first is news."""
    assert said(journal, SOON) == [SOON]
    assert said(journal, EXPIRED, now_ms=NOW_MS + 5) == []

    (found,) = unmended(journal)
    assert (found.level, read_message(found.detail).text(), found.times) == ("error", "has expired", 2)
    assert (found.raised_ms, found.last_ms, found.closed_ms) == (NOW_MS, NOW_MS + 5, None)


def test_what_is_mended_is_closed_and_may_come_again(journal: Journal) -> None:
    """A closed notice stays as history; the same fault later is a new one."""
    said(journal, SOON)

    assert said(journal, OVER, now_ms=NOW_MS + 5) == [OVER]
    assert said(journal, OVER) == []
    assert unmended(journal) == []
    assert said(journal, SOON) == [SOON]
    with journal.database.read() as connection:
        assert [one.closed_ms for one in notices.newest(connection, 10)] == [None, NOW_MS + 5]


def test_the_order_of_what_is_said_of_one_thing_is_kept(journal: Journal) -> None:
    """Raised and mended in one batch is over; mended and raised is open."""
    said(journal, SOON, OVER)
    assert unmended(journal) == []

    said(journal, OVER, SOON)
    assert len(unmended(journal)) == 1


def test_open_notices_are_found_by_code_and_about(journal: Journal) -> None:
    """Another account has notices of its own."""
    said(journal, SOON, replace(SOON, about="matriz"), replace(SOON, code="webhook.missing"))

    assert [one.about for one in unmended(journal, SOON.code)] == ["default", "matriz"]
    assert [one.code for one in unmended(journal, about="default")] == [SOON.code, "webhook.missing"]


def test_a_person_closes_by_number(journal: Journal) -> None:
    """Only an open notice can be closed."""
    said(journal, SOON)
    (found,) = unmended(journal)
    with journal.database.write() as connection:
        assert notices.close(connection, found.id, NOW_MS)
        assert not notices.close(connection, found.id, NOW_MS)


def test_what_was_told_before_there_were_receivers_stays_told(empty_url: str) -> None:
    """By BRIDGE_ALERT_URLS: after the upgrade nobody is told anew, and the version before can still write."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    row = "'delivery.dead', 'default', 'warning', 'd', 'm', 1, 2, 3, 4, NULL, 0"
    columns = "code, about, level, detail, mend, since_ms, due_ms, times, told_ms, over_ms, failures"
    with closing(Database(empty_url)) as database:
        with database.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0014")
            connection.execute(text(f"INSERT INTO alerts ({columns}) VALUES ({row})"))
        upgrade(database)
        with database.write() as connection:
            told = notices.load(connection)
            connection.execute(text(f"INSERT INTO alerts ({columns}) VALUES ({row.replace('dead', 'not_seen')})"))
            notices.save(connection, [replace(told[0]["delivery.dead", "default"], receiver=7)])
            both = notices.load(connection)

    assert list(told) == [receivers.ENVIRONMENT]
    assert (told[0]["delivery.dead", "default"].times, told[0]["delivery.dead", "default"].told_ms) == (3, 4)
    assert {receiver: len(of) for receiver, of in both.items()} == {0: 2, 7: 1}
