"""Checks the token and parses the body of a POST from Asaas; pure.

An unknown name or field is no reason to refuse an event: Asaas adds them without notice, and each answer but 200 brings
its queue closer to a pause.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, NoReturn

from bridge.errors import NotAnEvent
from bridge.mapping.catalogue import entity_key
from bridge.messages import N_, Message
from bridge.model import IncomingEvent

MAX_DEPTH = 100
"""Levels of objects in an event. Real ones have five; a very deep one breaks later readers."""
MAX_TEXT = 200
"""Characters of a text in a column of its own; a longer one is replaced by its hash."""


def check_token(expected: str, given: str | None) -> bool:
    """Return whether the header has the account's token, in constant time; an account without a token has none."""
    if not expected or given is None:
        return False
    wanted = expected.encode(errors="replace")
    # A WSGI server gives header bytes as Latin-1 characters, other callers the text itself.
    as_sent = given.encode("latin-1", errors="replace")
    as_text = given.encode(errors="replace")
    return hmac.compare_digest(wanted, as_sent) | hmac.compare_digest(wanted, as_text)


def parse_event(account: str, body: bytes, received_ms: int) -> IncomingEvent:
    """Return the event in the body; raise NotAnEvent with the reason where there is none."""
    text, envelope = _read(body)
    name = envelope.get("event")
    if not isinstance(name, str) or not name.strip():
        got = Message(
            N_("no name") if name is None else N_("an empty text") if isinstance(name, str) else N_("no text")
        )
        raise NotAnEvent(N_("the body must have an event name that is a text, got {got}"), got=got)
    entity = entity_key(envelope)
    found = envelope.get(entity) if entity else None
    about: dict[str, Any] = found if isinstance(found, dict) else {}
    object_id = _id_text(about.get("id"))
    key = _storable(_id_text(envelope.get("id")))
    return IncomingEvent(
        account=account,
        key=key or _sha256(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()),
        name=_storable(name),
        entity=_storable(entity),
        object_id=_storable(object_id),
        subject=_storable(_customer_of(about) or object_id or entity or "account"),
        created=_storable(_text(envelope.get("dateCreated"))),
        body=text,
        received_ms=received_ms,
    )


def _read(body: bytes) -> tuple[str, dict[str, Any]]:
    try:
        text = body.decode()
        envelope = _decoder.decode(text)
        too_deep = _is_deeper(envelope, text)
    except RecursionError:
        too_deep = True
    except UnicodeDecodeError as error:
        problem = N_("the body must be UTF-8, got another byte at position {position}")
        raise NotAnEvent(problem, position=error.start) from None
    except json.JSONDecodeError as error:
        problem = N_("the body must be JSON, got something else at position {position}")
        raise NotAnEvent(problem, position=error.pos) from None
    except ValueError:
        # Python refuses to read whole numbers of more than 4,300 digits.
        raise NotAnEvent(N_("the body must be JSON with numbers of a sane size")) from None
    if too_deep:
        raise NotAnEvent(N_("the body must not nest deeper than {levels} levels"), levels=MAX_DEPTH)
    if not isinstance(envelope, dict):
        got = Message(N_("a list") if isinstance(envelope, list) else N_("a single value"))
        raise NotAnEvent(N_("the body must be a JSON object, got {got}"), got=got)
    return text, envelope


def _refuse_constant(constant: str) -> NoReturn:
    raise NotAnEvent(N_("the body must be JSON, which has no {constant}"), constant=constant)


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads with options makes one for each call


def _is_deeper(value: object, text: str) -> bool:
    # Each level has a bracket: for nearly every body counting is enough.
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
            for key in ("customer", "customerId"):
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
    """Return the text, or its hash where a database refuses or cuts it (NUL, half a character, too long)."""
    is_whole = text.isascii() or text.encode(errors="surrogatepass") == text.encode(errors="replace")
    if is_whole and len(text) <= MAX_TEXT and "\x00" not in text:
        return text
    return _sha256(text.encode(errors="surrogatepass"))


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
