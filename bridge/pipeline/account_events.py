"""What events about the account itself tell the operator, whatever the mappings say: pure, one table.

Given an event it leaves notices to raise or to close, or nothing. It must never fail: the event of a lane's customer
may wait behind it, and a notice is not worth an event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bridge.journal.events import StoredEvent
from bridge.journal.notices import Notice, Resolved
from bridge.model import NoticeLevel

MOST_TEXT = 60
"""Characters of a name or date out of the event that get into a notice."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one event name means to the operator."""

    code: str
    level: NoticeLevel | None
    """None: it is mended."""
    words: str = ""
    mend: str = ""


_SCREEN = "look in Asaas: Minha Conta, Configurações"
_KEYS = (
    "make a new key in Asaas (Integrações, Chaves de API), set the account's ASAAS_API_KEY and start the bridge again"
)
_PARTS = {
    "BANK_ACCOUNT_INFO": "bank account",
    "COMMERCIAL_INFO": "commercial data",
    "DOCUMENT": "documents",
    "GENERAL_APPROVAL": "account",
}
_STATES = {
    "APPROVED": (None, ""),
    "AWAITING_APPROVAL": (NoticeLevel.WARNING, "awaits Asaas's approval"),
    "PENDING": (NoticeLevel.WARNING, "is incomplete, and Asaas waits for it"),
    "REJECTED": (NoticeLevel.ERROR, "was rejected by Asaas"),
}

ACCESS_TOKEN = "account.access_token"  # noqa: S105 (a code, not a token)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{
            f"ACCOUNT_STATUS_{part}_{state}": Rule(
                f"account.{part.lower()}",
                level,
                f"the account's status changed: {name} {words}" if words else "",
                _SCREEN,
            )
            for part, name in _PARTS.items()
            for state, (level, words) in _STATES.items()
        },
        "ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRING_SOON": Rule(
            "account.commercial_info",
            NoticeLevel.WARNING,
            "the account's commercial data expires soon; after that Asaas restricts the account",
            f"confirm the data; {_SCREEN}",
        ),
        "ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRED": Rule(
            "account.commercial_info",
            NoticeLevel.ERROR,
            "the account's commercial data has expired",
            f"confirm the data; {_SCREEN}",
        ),
        "ACCESS_TOKEN_EXPIRING_SOON": Rule(ACCESS_TOKEN, NoticeLevel.WARNING, "an API key expires soon", _KEYS),
        "ACCESS_TOKEN_EXPIRED": Rule(ACCESS_TOKEN, NoticeLevel.ERROR, "an API key has expired", _KEYS),
        "ACCESS_TOKEN_DISABLED": Rule(
            ACCESS_TOKEN,
            NoticeLevel.ERROR,
            "an API key was disabled",
            f"enable it again in Asaas (Integrações, Chaves de API), or {_KEYS}",
        ),
        "ACCESS_TOKEN_DELETED": Rule(
            ACCESS_TOKEN, NoticeLevel.WARNING, "an API key was deleted", f"if it was the bridge's: {_KEYS}"
        ),
        "ACCESS_TOKEN_ENABLED": Rule(ACCESS_TOKEN, None),
    }
)
"""Event name -> rule. One part of the account or one key has one notice, which follows its latest event."""


def account_notices(event: StoredEvent) -> list[Notice | Resolved]:
    """Return what the event tells the operator; a replay tells nothing, for it is old."""
    rule = RULES.get(event.name)
    if rule is None or event.replay:
        return []
    entity = _entity(event)
    about = event.account
    detail = rule.words
    if rule.code == ACCESS_TOKEN:
        # An account has up to ten keys, and which one is the bridge's no event says.
        about = f"{event.account}/{_short(entity.get('id')) or 'key'}"
        detail += _of_key(entity)
    if rule.level is None:
        return [Resolved(rule.code, about)]
    return [Notice(rule.code, about, rule.level, detail, rule.mend)]


def _entity(event: StoredEvent) -> dict[str, Any]:
    try:
        found = json.loads(event.body).get(event.entity)
    except (ValueError, AttributeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_key(entity: Mapping[str, Any]) -> str:
    name = _short(entity.get("name"))
    until = _short(entity.get("expirationDate") or entity.get("projectedExpirationDateByLackOfUse"))
    why = _short(entity.get("disabledReason"))
    parts = [f"key {name!r}" if name else "", f"until {until}" if until else "", f"reason {why}" if why else ""]
    said = ", ".join(part for part in parts if part)
    return f": {said}" if said else ""


def _short(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(character if character.isprintable() else "\ufffd" for character in value.strip())[:MOST_TEXT]
