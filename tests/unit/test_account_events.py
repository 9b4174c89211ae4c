"""What events about the account itself tell the operator."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bridge.asaas.incoming import parse_event
from bridge.journal.events import StoredEvent
from bridge.journal.notices import Notice, Resolved
from bridge.mapping.catalogue import EVENTS
from bridge.messages import in_language
from bridge.model import NoticeLevel
from bridge.pipeline.account_events import RULES, account_notices

DATA = Path(__file__).parents[1] / "data" / "asaas"
KEY = json.loads((DATA / "webhook_access_token_created.sandbox.2026-08.json").read_text())
STATUS = json.loads((DATA / "docs_account_status_commercial_info_approved.json").read_text())


def kept(body: dict[str, Any], replay: int = 0, account: str = "default") -> StoredEvent:
    """Return an event as a worker gets it, parsed as the door does."""
    event = parse_event(account, json.dumps(body).encode(), 0)
    return StoredEvent(**asdict(event), id=1, lane=0, replay=replay, replay_mapping=None)


def test_every_event_of_the_account_has_its_rule() -> None:
    """Each known event name of these families is judged; only a new key is no news."""
    names = {event.name for event in EVENTS.values() if event.family in {"ACCOUNT_STATUS", "ACCESS_TOKEN"}}

    assert names - set(RULES) == {"ACCESS_TOKEN_CREATED"}
    assert set(RULES) < names


@pytest.mark.parametrize(
    ("name", "code", "level"),
    [
        ("ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRING_SOON", "account.commercial_info", "warning"),
        ("ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRED", "account.commercial_info", "error"),
        ("ACCOUNT_STATUS_DOCUMENT_REJECTED", "account.document", "error"),
        ("ACCOUNT_STATUS_BANK_ACCOUNT_INFO_PENDING", "account.bank_account_info", "warning"),
        ("ACCOUNT_STATUS_GENERAL_APPROVAL_AWAITING_APPROVAL", "account.general_approval", "warning"),
    ],
)
def test_a_status_is_a_notice_about_the_account(name: str, code: str, level: str) -> None:
    """The level and the words follow the event's name; there is always something to do."""
    (said,) = account_notices(kept({**STATUS, "event": name}, account="matriz"))

    assert isinstance(said, Notice)
    assert (said.code, said.about, said.level) == (code, "matriz", NoticeLevel(level))
    assert said.detail
    assert said.mend


def test_an_approval_mends() -> None:
    """The sample of the documents closes what was said of the commercial data."""
    assert account_notices(kept(STATUS)) == [Resolved("account.commercial_info", "default")]


def test_a_key_is_told_by_its_id_and_named(tmp_path: Path) -> None:
    """An account has up to ten keys; the notice names the key, until when it is good and why it was disabled."""
    token = {**KEY["accessToken"], "expirationDate": "2026-12-01", "disabledReason": "LACK_OF_USE"}
    (said,) = account_notices(kept({**KEY, "event": "ACCESS_TOKEN_DISABLED", "accessToken": token}))

    assert isinstance(said, Notice)
    assert said.about == "default/97882a3b-3a67-4457-86f2-c8e9a36346be"
    assert str(said.detail) == "an API key was disabled: key 'nome-da-chave', until 2026-12-01, reason LACK_OF_USE"
    with in_language("pt"):
        assert said.mend.text().startswith("habilite-a de novo no Asaas")
        assert "crie uma chave nova" in said.mend.text()


def test_an_enabled_key_mends_and_a_new_one_says_nothing() -> None:
    """Enabling closes what was said of that very key."""
    about = "default/97882a3b-3a67-4457-86f2-c8e9a36346be"

    assert account_notices(kept({**KEY, "event": "ACCESS_TOKEN_ENABLED"})) == [Resolved("account.access_token", about)]
    assert account_notices(kept(KEY)) == []


@pytest.mark.parametrize("token", [None, [], {}, {"id": 7, "name": None}, {"id": "\x00" * 99, "name": "\ud800"}])
def test_an_odd_body_is_a_notice_all_the_same(token: Any) -> None:
    """What can't be read is left out, and nothing gets in that a database would refuse."""
    (said,) = account_notices(kept({"event": "ACCESS_TOKEN_EXPIRED", "accessToken": token}))

    assert isinstance(said, Notice)
    assert str(said.detail).startswith("an API key has expired")
    assert len(said.about) <= 70
    assert "\x00" not in said.about + str(said.detail)
    (said.about + said.detail.to_json()).encode()


@pytest.mark.parametrize("body", ["[]", "no JSON", "[" * 99_999])
def test_a_body_that_is_no_object_is_a_notice_all_the_same(body: str) -> None:
    """The journal may hold what an older version let in."""
    event = replace(kept({"id": "evt_1", "event": "ACCESS_TOKEN_EXPIRED", "accessToken": {}}), body=body)

    assert len(account_notices(event)) == 1


def test_other_events_and_replays_say_nothing() -> None:
    """A replay is old news."""
    assert account_notices(kept({"event": "PAYMENT_RECEIVED", "payment": {"id": "pay_1"}})) == []
    assert account_notices(kept({**STATUS, "event": "ACCOUNT_STATUS_DOCUMENT_REJECTED"}, replay=1)) == []
