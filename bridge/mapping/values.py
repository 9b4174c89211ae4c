"""How a JSON value becomes a text, a number or nothing: the rules that filters, functions and fields share.

Asaas writes the same amount as 10, 10.0 or 10.00, so a number's text never depends on which of them came. Personal
data never enters a message: `kind_of` says what a value is without saying it.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,2})?")
_BRAZILIAN_NUMBER = re.compile(r"-?(\d{1,3}(\.\d{3}){1,10}|\d{1,30}),\d{1,30}")


class Unreadable(ValueError):
    """The value is not of the kind that is wanted; the message says what it is instead."""


def kind_of(value: Any) -> str:
    """Return what the value is, in words that give nothing of it away."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return f"a text of {len(value)} characters" if value else "an empty text"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "something else"


def is_missing(value: Any) -> bool:
    """Say whether the value counts as not there: null or a blank text.

    Asaas sends "" where an optional text was cleared, and sending that on would blank a field in Clint.
    """
    return value is None or (isinstance(value, str) and not value.strip())


def as_text(value: Any) -> str:
    """Return a scalar as text; whole numbers have no decimal point, true and false are written as in JSON."""
    if isinstance(value, str):
        if value.isascii() and "\x00" not in value:
            return value
        # A NUL can't be kept by PostgreSQL and half a surrogate pair can't be sent as UTF-8; JSON may carry both.
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        number = as_decimal(value)
        return format(number.to_integral_value() if number == number.to_integral_value() else number.normalize(), "f")
    raise Unreadable(f"takes one value, got {kind_of(value)}")


def as_decimal(value: Any) -> Decimal:
    """Return a number, or a text that holds one (129.90 or 1.234,56), exactly."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise Unreadable("takes a number, got one without a value")
        # The shortest text of a float is what Asaas wrote; the float itself is a hair off (10.005 is 10.00499...).
        return Decimal(repr(value))
    if isinstance(value, str):
        text = value.strip().removeprefix("R$").strip()
        if _BRAZILIAN_NUMBER.fullmatch(text):
            text = text.replace(".", "").replace(",", ".")
        elif not _JSON_NUMBER.fullmatch(text):
            raise Unreadable(f"takes a number, got {kind_of(value)}")
        return Decimal(text)
    raise Unreadable(f"takes a number, got {kind_of(value)}")


def as_number(value: Any) -> int | float:
    """Return a number for JSON; a whole one as an integer."""
    number = as_decimal(value)
    return int(number) if number == number.to_integral_value() else float(number)


def typed(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar of a test means: null, true, false, a number as in JSON, else the text."""
    words: dict[str, bool | None] = {"null": None, "~": None, "": None, "true": True, "false": False}
    if text in words:
        return words[text]
    if _JSON_NUMBER.fullmatch(text):
        return float(text) if re.search(r"[.eE]", text) else int(text)
    return text
