"""What the door refused is noted for whoever asks, bounded, and never at the price of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from bridge.journal import Journal, events
from bridge.journal.schema import refusals as table
from bridge.operations.testcharge import refused_at_door
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from bridge.web.door import MAX_BODY_BYTES, RefusalLog
from tests.databases import on_both
from tests.factories import NOW_MS, Clock, opened_journal

TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give a journal of each kind."""
    with opened_journal(database_url) as made:
        yield made


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[FlaskClient, Runtime]]:
    """Give the door of a bridge and its parts."""
    url = f"sqlite:///{tmp_path}/journal.db"
    with opened_journal(url):
        runtime = Runtime(Settings.from_env({"DATABASE_URL": url, "ASAAS_WEBHOOK_TOKEN": TOKEN}))
        with create_app(runtime).test_client() as client:
            yield client, runtime
        runtime.close()


def test_every_refusal_is_noted_with_its_reason(web: tuple[FlaskClient, Runtime]) -> None:
    """A wrong token, an unknown account, no event, too large a body: each is a row of its own."""
    client, runtime = web
    headers = {"asaas-access-token": TOKEN}
    answers = [
        client.post("/webhooks/asaas", data=b"{}", headers={"asaas-access-token": "wrong"}),
        client.post("/webhooks/asaas/nobody", data=b"{}"),
        client.post("/webhooks/asaas", data=b"{}", headers=headers),
        client.post("/webhooks/asaas", data=b"x" * (MAX_BODY_BYTES + 1), headers=headers),
    ]
    causes = refused_at_door(runtime.journal, "default", 0)

    assert [answer.status_code for answer in answers] == [401, 404, 400, 413]
    assert {cause.code for cause in causes} == {
        "webhook.wrong_token",
        "webhook.unknown_account",
        "webhook.not_an_event",
        "webhook.body_too_large",
    }
    assert causes[-1].code == "webhook.unknown_account"


@on_both
def test_a_refusal_is_counted_once_in_a_while(journal: Journal) -> None:
    """However often a stranger knocks, the journal is written once in a few seconds."""
    clock = Clock()
    refusals = RefusalLog(journal, clock)
    for _ in range(20):
        refusals.record("default", "webhook.wrong_token")
    clock.go(6)
    refusals.record("default", "webhook.wrong_token")
    refusals.record("", "webhook.unknown_account")
    with journal.database.read() as connection:
        counts = connection.execute(select(table.c.account, table.c.code, table.c.times).order_by(table.c.account))
        counted = [tuple(row) for row in counts]
        found = events.refusals_since(connection, "default", NOW_MS)
        later = events.refusals_since(connection, "default", clock.now_ms + 1)
        other = events.refusals_since(connection, "matriz", NOW_MS)

    assert counted == [("", "webhook.unknown_account", 1), ("default", "webhook.wrong_token", 2)]
    assert found == ["webhook.wrong_token", "webhook.unknown_account"]
    assert later == []
    assert other == ["webhook.unknown_account"]


def test_a_journal_that_is_away_changes_no_answer(tmp_path: Path) -> None:
    """The stranger is refused all the same."""
    url = f"sqlite:///{tmp_path}/empty.db"
    runtime = Runtime(Settings.from_env({"DATABASE_URL": url, "ASAAS_WEBHOOK_TOKEN": TOKEN}))
    with create_app(runtime).test_client() as client:
        answer = client.post("/webhooks/asaas", data=b"{}")
    runtime.close()

    assert answer.status_code == 401
