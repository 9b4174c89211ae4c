"""`bridge alerts`, and what `bridge doctor` says of the way to people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.crypto import new_key
from bridge.errors import SettingsError
from bridge.journal import notices
from bridge.journal.notices import Alert
from bridge.settings import Settings
from tests.commands import Commands
from tests.factories import NOW_MS
from tests.peers import Peer, Reply


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def test_a_test_message_is_sent(commands: Commands) -> None:
    """To each URL; what was sent where is said without the URL."""
    with Peer() as service:
        url = f"json://user:secret@127.0.0.1:{service.port}/x"
        said = commands.run("alerts", "test", BRIDGE_ALERT_URLS=url)

        assert (said.status, said.out) == (0, "URL 1 (json): sent\n")
        assert json.loads(service.asked[0].body)["title"].endswith(": teste")


def test_a_url_that_does_not_work_is_said(commands: Commands) -> None:
    """The others get the message all the same; the status says no."""
    with Peer(Reply(status=500)) as broken, Peer() as works:
        urls = f"json://127.0.0.1:{broken.port}/secret, nothing://secret json://127.0.0.1:{works.port}/x"
        said = commands.run("alerts", "test", BRIDGE_ALERT_URLS=urls)

    assert said.status == 1
    assert said.out == "URL 3 (json): sent\n"
    assert said.err == (
        "URL 1 (json): the service did not accept the message\nURL 2 (nothing): apprise can't use the URL\n"
    )


def test_without_urls_there_is_nothing_to_test(commands: Commands) -> None:
    """It says what to set."""
    said = commands.run("alerts", "test")

    assert said.status == 2
    assert "BRIDGE_ALERT_URLS is not set; give URLs of apprise" in said.err


def test_what_lasts_is_listed(commands: Commands) -> None:
    """As a table and as JSON, with how often people were told and whether they could be."""
    told = Alert("delivery.dead", "default", "warning", "12 of them", "mend", NOW_MS, NOW_MS, 2, NOW_MS)
    untold = Alert("account.silent", "default", "warning", "nothing came", "mend", NOW_MS, NOW_MS, failures=3)
    with commands.journal() as journal, journal.database.write() as connection:
        notices.save(connection, [told, untold])
    with commands.journal():
        said = commands.run("alerts", "list")
        rows = commands.run("alerts", "list", "--json").json

    assert "not sent, tried 3 times: nothing came" in said.out
    assert [(row["code"], row["times"], row["told_at"]) for row in rows if row["times"]] == [
        ("delivery.dead", 2, "2026-11-18T08:06:40-03:00")
    ]


def test_receivers_are_kept_in_the_journal(commands: Commands) -> None:
    """Added, listed without their address, changed, tested and removed."""
    key = new_key()
    with commands.journal(), Peer() as service:
        url = f"json://user:secret@127.0.0.1:{service.port}/x\n"
        sealed = {"BRIDGE_ENCRYPTION_KEY": key, "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1"}
        added = commands.run("alerts", "add", "Financeiro", "--summary", lines=url, **sealed)
        changed = commands.run("alerts", "add", "Financeiro", "--area", "clint", "--errors-only", lines="\n", **sealed)
        said = commands.run("alerts", "receivers", **sealed)
        (row,) = commands.run("alerts", "receivers", "--json", **sealed).json
        tested = commands.run("alerts", "test", **sealed)
        one = commands.run("alerts", "test", "Financeiro", **sealed)
        nobody = commands.run("alerts", "test", "Ana", **sealed)
        doctor = commands.run("doctor", **sealed)
        removed = commands.run("alerts", "remove", "Financeiro", "--yes", **sealed)
        again = commands.run("alerts", "remove", "Financeiro", "--yes", **sealed)

        assert (added.status, changed.status) == (0, 0)
        assert (row["name"], row["areas"], row["level"], row["services"]) == (
            "Financeiro",
            ["clint"],
            "error",
            ["json"],
        )
        assert (row["kept_in"], row["summary_ms"]) == ("journal", None)
        assert "secret" not in said.out + str(row)
        assert (tested.status, tested.out) == (0, "Financeiro (json): sent\n")
        assert (one.status, nobody.status) == (0, 1)
        assert [asked.path for asked in service.asked] == ["/x", "/x"]
        assert "receivers in the journal: 1" in doctor.out
        assert (removed.status, again.status) == (0, 1)


def test_a_receiver_needs_a_key_and_an_address(commands: Commands) -> None:
    """Secrets are kept only encrypted; an address that apprise can't use is not kept."""
    with commands.journal():
        open_ = commands.run("alerts", "add", "Ana", lines="json://example.com\n")
        wrong = commands.run("alerts", "add", "Ana", lines="nothing://x\n", BRIDGE_ENCRYPTION_KEY=new_key())

    assert (open_.status, wrong.status) == (2, 2)
    assert "BRIDGE_ENCRYPTION_KEY" in open_.err
    assert "nothing" not in wrong.err


def test_the_doctor_looks_at_the_urls(commands: Commands) -> None:
    """Each is fine or wrong; none at all is said, and is no fault."""
    with commands.journal():
        without = commands.run("doctor").out
        said = commands.run("doctor", BRIDGE_ALERT_URLS="mailto://user:secret@example.com slack://secret").out

    assert "fine     alerts: no receivers" in without
    assert "fine     alerts 1: mailto, can be used" in said
    assert "wrong    alerts 2: slack: apprise can't use the URL; fix BRIDGE_ALERT_URLS" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", ()),
        (" mailto://a:b@c.example?to=x@c.example,y@c.example ", ("mailto://a:b@c.example?to=x@c.example,y@c.example",)),
        ("slack://a/b/c, tgram://d/e\n json://f", ("slack://a/b/c", "tgram://d/e", "json://f")),
    ],
)
def test_urls_are_told_apart(text: str, urls: tuple[str, ...]) -> None:
    """By spaces, or by commas where the next URL begins; a comma may be part of one."""
    assert Settings.from_env({"BRIDGE_ALERT_URLS": text}).bridge_alert_urls == urls


def test_what_is_no_url_is_refused_without_being_shown() -> None:
    """Such a URL is a password."""
    with pytest.raises(SettingsError, match="apprise") as refused:
        Settings.from_env({"BRIDGE_ALERT_URLS": "slack://a secret"})
    assert "secret that is not shown" in str(refused.value)
