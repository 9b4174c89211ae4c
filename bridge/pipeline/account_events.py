"""Notices for the operator from events about the account itself, whatever the mappings say.

A table of rules turns an event into notices to raise or to close, or into none. It never raises an exception: a notice
is not worth an event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bridge.journal.events import StoredEvent
from bridge.journal.notices import Notice, Resolved
from bridge.messages import N_, Message
from bridge.model import NoticeLevel

MAX_TEXT = 60
"""Characters of a name or date of the event in a notice."""


_NO_TEXT = Message("")


@dataclass(frozen=True, slots=True)
class Rule:
    """The notice of one event name; without a level the event closes it."""

    code: str
    level: NoticeLevel | None
    detail: Message = _NO_TEXT
    todo: Message = _NO_TEXT


_SCREEN = Message(N_("look in Asaas: Minha Conta, Configurações"))
_CONFIRM = Message(N_("confirm the data; {place}"), {"place": _SCREEN})
_NEW_KEY = Message(
    N_(
        "make a new key in Asaas (Integrações, Chaves de API), set the account's ASAAS_API_KEY and start the bridge "
        "again"
    )
)
_PARTS = {
    "BANK_ACCOUNT_INFO": N_("bank account"),
    "COMMERCIAL_INFO": N_("commercial data"),
    "DOCUMENT": N_("documents"),
    "GENERAL_APPROVAL": N_("account"),
}
_STATES = {
    "APPROVED": (None, ""),
    "AWAITING_APPROVAL": (NoticeLevel.WARNING, N_("awaits Asaas's approval")),
    "PENDING": (NoticeLevel.WARNING, N_("is incomplete, and Asaas waits for it")),
    "REJECTED": (NoticeLevel.ERROR, N_("was rejected by Asaas")),
}
_CHANGED = N_("the account's status changed: {part} {state}")

ACCESS_TOKEN = "account.access_token"  # noqa: S105 (a code, not a token)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{
            f"ACCOUNT_STATUS_{part}_{name}": Rule(
                f"account.{part.lower()}",
                level,
                Message(_CHANGED, {"part": Message(_PARTS[part]), "state": Message(state)}),
                _SCREEN,
            )
            for part in _PARTS
            for name, (level, state) in _STATES.items()
        },
        "ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRING_SOON": Rule(
            "account.commercial_info",
            NoticeLevel.WARNING,
            Message(N_("the account's commercial data expires soon; after that Asaas restricts the account")),
            _CONFIRM,
        ),
        "ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRED": Rule(
            "account.commercial_info",
            NoticeLevel.ERROR,
            Message(N_("the account's commercial data has expired")),
            _CONFIRM,
        ),
        "ACCESS_TOKEN_EXPIRING_SOON": Rule(
            ACCESS_TOKEN, NoticeLevel.WARNING, Message(N_("an API key expires soon")), _NEW_KEY
        ),
        "ACCESS_TOKEN_EXPIRED": Rule(ACCESS_TOKEN, NoticeLevel.ERROR, Message(N_("an API key has expired")), _NEW_KEY),
        "ACCESS_TOKEN_DISABLED": Rule(
            ACCESS_TOKEN,
            NoticeLevel.ERROR,
            Message(N_("an API key was disabled")),
            Message(N_("enable it again in Asaas (Integrações, Chaves de API), or {new_key}"), {"new_key": _NEW_KEY}),
        ),
        "ACCESS_TOKEN_DELETED": Rule(
            ACCESS_TOKEN,
            NoticeLevel.WARNING,
            Message(N_("an API key was deleted")),
            Message(N_("if it was the bridge's: {new_key}"), {"new_key": _NEW_KEY}),
        ),
        "ACCESS_TOKEN_ENABLED": Rule(ACCESS_TOKEN, None),
    }
)
"""Event name -> rule. One part of the account, or one key, has one notice, which follows its latest event."""


def account_notices(event: StoredEvent) -> list[Notice | Resolved]:
    """Return the notices of an event; a replay has none, for it is old."""
    rule = RULES.get(event.name)
    if rule is None or event.replay:
        return []
    about, detail = event.account, rule.detail
    if rule.code == ACCESS_TOKEN:
        # An account has up to ten keys, and no event tells which one is the bridge's.
        key = _entity(event)
        about = f"{event.account}/{_short(key.get('id')) or 'key'}"
        detail = _with_key(detail, key)
    if rule.level is None:
        return [Resolved(rule.code, about)]
    return [Notice(rule.code, about, rule.level, detail, rule.todo)]


def _entity(event: StoredEvent) -> dict[str, Any]:
    try:
        found = json.loads(event.body).get(event.entity)
    except (ValueError, AttributeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _with_key(detail: Message, key: Mapping[str, Any]) -> Message:
    until = key.get("expirationDate") or key.get("projectedExpirationDateByLackOfUse")
    given = {
        N_("key {value!r}"): _short(key.get("name")),
        N_("until {value}"): _short(until),
        N_("reason {value}"): _short(key.get("disabledReason")),
    }
    facts = {f"part{n}": Message(text, {"value": value}) for n, (text, value) in enumerate(given.items()) if value}
    parts = ", ".join(f"{{{name}}}" for name in facts)
    return Message(f"{{what}}: {parts}", {"what": detail, **facts}) if facts else detail


def _short(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(character if character.isprintable() else "\ufffd" for character in value.strip())[:MAX_TEXT]
