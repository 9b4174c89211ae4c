"""Silent accounts, from the events that were kept to the notice."""

from __future__ import annotations

from bridge.alerts.plan import HOUR_MS
from bridge.worker.alerts import SILENCES_EVERY_MS, SilenceCheck
from tests.databases import on_both
from tests.factories import NOW_MS, incoming, keep, opened_journal


@on_both
def test_an_account_that_has_gone_silent_is_found(database_url: str) -> None:
    """Events every hour for six weeks, then none for eight hours; another account goes on, a third never had any."""
    first_ms = NOW_MS - 6 * 7 * 24 * HOUR_MS
    hours = range(first_ms, NOW_MS + 1, HOUR_MS)
    with opened_journal(database_url) as journal:
        silent = [incoming(received_ms=at) for at in hours if at <= NOW_MS - 8 * HOUR_MS]
        busy = [incoming(account="busy", received_ms=at) for at in hours]
        keep(journal, *silent, *busy)
        found = SilenceCheck(journal, ["default", "busy", "new"])
        before = found(NOW_MS)
        keep(journal, incoming(received_ms=NOW_MS))

        assert before == {"default": 8, "busy": None, "new": None}
        assert found(NOW_MS + SILENCES_EVERY_MS - 1) == before
        assert found(NOW_MS + SILENCES_EVERY_MS)["default"] is None
