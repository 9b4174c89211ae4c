"""Reads what Asaas posts to a webhook: the token's check and the envelope's parse, both pure.

Given the bytes of a request it leaves an `IncomingEvent` for the journal, or says why the bytes are not an event.
It must never refuse an event for an unknown name or field: Asaas adds them without notice, and answers other than
200 pause its queue.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, NoReturn

from bridge.errors import NotAnEvent
from bridge.mapping.catalogue import entity_key
from bridge.model import IncomingEvent

MAX_DEPTH = 100
"""Levels of objects that an event may have. Real ones have five; a very deep one breaks whoever reads it later."""

MAX_TEXT = 200
"""Characters of a text that goes into a column of its own; a longer one is replaced by its hash."""

_CUSTOMER_KEYS = ("customer", "customerId")
_SUBJECT_WITHOUT_ENTITY = "account"


def check_token(expected: str, given: str | None) -> bool:
    """Return whether the header carries the account's token; an account without a token accepts nobody.

    The time taken says nothing about how much of the token was right.
    """
    if not expected or given is None:
        return False
    wanted = expected.encode(errors="replace")
    # A WSGI server hands over header bytes as Latin-1 characters, other callers hand over the text itself.
    as_sent = given.encode("latin-1", errors="replace")
    as_text = given.encode(errors="replace")
    return hmac.compare_digest(wanted, as_sent) | hmac.compare_digest(wanted, as_text)


def parse_event(account: str, body: bytes, received_ms: int) -> IncomingEvent:
    """Return the event that the body is; raise NotAnEvent with the reason where it is none."""
    text, envelope = _read(body)
    name = envelope.get("event")
    if not isinstance(name, str) or not name.strip():
        got = "none" if name is None else "an empty text" if isinstance(name, str) else type(name).__name__
        raise NotAnEvent(f"the body must have an event name that is a text, got {got}")
    entity = entity_key(envelope)
    found = envelope.get(entity) if entity else None
    about: dict[str, Any] = found if isinstance(found, dict) else {}
    object_id = _id_text(about.get("id"))
    return IncomingEvent(
        account=account,
        key=_storable(_id_text(envelope.get("id"))) or _hash_of_canonical(envelope),
        name=_storable(name),
        entity=_storable(entity),
        object_id=_storable(object_id),
        subject=_storable(_customer_of(about) or object_id or entity or _SUBJECT_WITHOUT_ENTITY),
        created=_storable(_text(envelope.get("dateCreated"))),
        body=text,
        received_ms=received_ms,
    )


def _read(body: bytes) -> tuple[str, dict[str, Any]]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise NotAnEvent(f"the body must be UTF-8, got another byte at position {error.start}") from None
    try:
        envelope = _decoder.decode(text)
        too_deep = _is_deeper(envelope, text)
    except RecursionError:
        too_deep = True
    except json.JSONDecodeError as error:
        raise NotAnEvent(f"the body must be JSON, got something else at position {error.pos}") from None
    except ValueError:
        # Python refuses to read whole numbers of more than 4,300 digits.
        raise NotAnEvent("the body must be JSON with numbers of a sane size") from None
    if too_deep:
        raise NotAnEvent(f"the body must not nest deeper than {MAX_DEPTH} levels")
    if not isinstance(envelope, dict):
        raise NotAnEvent(f"the body must be a JSON object, got {type(envelope).__name__}")
    return text, envelope


def _refuse_constant(constant: str) -> NoReturn:
    raise NotAnEvent(f"the body must be JSON, which has no {constant}")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads with options would make one each time


def _is_deeper(value: object, text: str) -> bool:
    # Each level costs a bracket, so nearly every body is cleared by counting instead of walking.
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def _customer_of(about: dict[str, Any]) -> str:
    for holder in (about, about.get("authorization")):
        if isinstance(holder, dict):
            for key in _CUSTOMER_KEYS:
                value = holder.get(key)
                found = _id_text(value.get("id") if isinstance(value, dict) else value)
                if found:
                    return found
    return ""


def _id_text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) and value.strip() else ""


def _storable(text: str) -> str:
    """Return the text, or its hash where a database would refuse or cut it (NUL, half a character, too long)."""
    is_whole = text.isascii() or text.encode(errors="surrogatepass") == text.encode(errors="replace")
    if is_whole and len(text) <= MAX_TEXT and "\x00" not in text:
        return text
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def _hash_of_canonical(envelope: dict[str, Any]) -> str:
    canonical = json.dumps(envelope, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
