"""E-mail, phone, CPF and CNPJ as a page may show them.

Lists, and the pages of a customer and of a charge, mask them for everybody (`masked`). The details of one event, where
values are compared, show them in full to a person who may change something (`shown`).
"""

from __future__ import annotations

import re
from typing import Any

from flask import g, has_request_context

HIDDEN = "•••••"
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]++@[\w-]+(?:\.[\w-]+)+")
_DOCUMENT = re.compile(
    # The last one is a CNPJ with letters: its check digits are numbers, and it is never a word.
    r"\b(?:\d{3}\.\d{3}\.\d{3}-\d{2}|[\dA-Z]{2}\.[\dA-Z]{3}\.[\dA-Z]{3}/[\dA-Z]{4}-\d{2}|(?=(?:[A-Z]*\d){4})[\dA-Z]{12}\d{2})\b"
)
_NUMBER = re.compile(
    # A number after & is the end of an Asaas event id.
    r"(?<![\w&-])(?:\+?55[ -]?)?(?:\(\d{2}\) ?|\d{2}[ -]?)9?[ -]?\d{4}[ -]?\d{4}(?![\w-])"
    r"|(?<![\w&-])\+?\d{10,14}(?![\w-])"
)
_KNOWN = re.compile(r"e-?mail|phone|fone|celular|whats|cpf|cnpj|document", re.IGNORECASE)
"""Fields of events and payloads whose texts are always personal data."""


def shown(value: Any, name: str = "") -> Any:
    """Return a value, such as a payload or a body, as the person who is signed in may see it."""
    who = g.get("person") if has_request_context() else None
    return value if who is None or who.may_change else masked(value, name)


def masked(value: Any, name: str = "") -> Any:
    """Return the value with every e-mail, phone, CPF and CNPJ masked, at any depth.

    >>> masked({"note": "maria@gmail.com, (11) 98765-4321", "fone": "98765-4321", "id": "pay_1", "value": 10.5})
    {'note': 'm…@gmail.com, •••••-4321', 'fone': '•••••', 'id': 'pay_1', 'value': 10.5}
    """
    if isinstance(value, dict):
        return {key: masked(part, key if _KNOWN.search(str(key)) else name) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [masked(part, name) for part in value]
    if isinstance(value, bool) or not isinstance(value, str | int):
        return value
    text = str(value)
    hidden = _EMAIL.sub(lambda found: masked_email(found[0]), text)
    hidden = _DOCUMENT.sub(lambda found: masked_document(found[0]), hidden)
    hidden = _NUMBER.sub(lambda found: f"{HIDDEN}-{found[0][-4:]}", hidden)
    if hidden == text and text and _KNOWN.search(str(name)):
        return HIDDEN
    return value if hidden == text else hidden


def masked_email(email: str) -> str:
    name, at, domain = email.partition("@")
    return f"{name[:1]}…{at}{domain}" if at else "…" if name else ""


def masked_document(text: str) -> str:
    """Return a CPF or CNPJ without its ends; one of an unknown form is hidden as a whole."""
    if len(text) == 14 and text[-3] == "-":
        return f"***{text[3:-2]}**"
    return f"**{text[2:-7]}****-**" if len(text) == 18 else HIDDEN if text else ""
