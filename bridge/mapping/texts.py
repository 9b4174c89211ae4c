"""The rules of Brazilian texts: phones, CPF and CNPJ, names of people and companies, amounts.

Where a well-kept library knows the rule it is asked. Those of phones and of currencies take 1 MB each, and only the
processes that ask them import them. Each function is given a value as Asaas sent it and returns a text, or None where
the value is nothing; it raises `Unreadable`, which says what it got without quoting it.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from stdnum.br import cnpj, cpf

from bridge.mapping.values import Unreadable, as_decimal, as_text, is_missing, kind_of

_PARTICLES = frozenset({"da", "das", "de", "di", "do", "dos", "du", "e"})
# Company kinds and numerals that Brazilians write in capitals.
_CAPITALS = frozenset({"me", "mei", "epp", "eireli", "s/a", "s.a", "s.a.", "ii", "iii", "iv"})
_WORD_START = re.compile(r"(^|[-'’/.])(\w)")


def text_of(value: Any) -> str:
    """Return a text or a number as text; anything else is unreadable."""
    if isinstance(value, bool):
        raise Unreadable(f"takes a text, got {kind_of(value)}")
    try:
        return as_text(value)
    except Unreadable:
        raise Unreadable(f"takes a text, got {kind_of(value)}") from None


def digits(value: Any) -> str | None:
    """Return only the digits of a text, or None where it has none."""
    return re.sub(r"[^0-9]", "", text_of(value)) or None


def phone(value: Any) -> str | None:
    """Return a phone as Clint's senders write it: digits with the country code, 5547996321478.

    A text that is no phone (no area code, too short, digits that no country gives out) gives None: a mistyped phone
    must not keep a payment out of the CRM when there is an e-mail. A Brazilian mobile without its ninth digit gets it.
    """
    import phonenumbers

    text = text_of(value).strip()
    only = re.sub(r"[^0-9]", "", text)
    if text.startswith(("+", "00")) or (only.startswith("55") and len(only) in (12, 13)):
        text = f"+{only.removeprefix('00')}"
    try:
        number = phonenumbers.parse(text, "BR")
    except phonenumbers.NumberParseException:
        return None
    if number.country_code == 55:
        national = _with_ninth_digit(str(number.national_number))
        if len(national) < 10:  # 4004-1234 is dialled without an area code, so no sender reaches it
            return None
        number.national_number = int(national)
    valid = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:] if valid else None


def _with_ninth_digit(national: str) -> str:
    # Since 2016 every Brazilian mobile has nine digits; one of eight that begins with 6 to 9 is an old mobile.
    return f"{national[:2]}9{national[2:]}" if len(national) == 10 and national[2] in "6789" else national


def first_email(value: Any) -> str | None:
    """Return the first e-mail address of a text, which may hold several and names beside them.

    >>> first_email(" Ana <ana@example.com>; bia@example.com ")
    'ana@example.com'
    """
    words = re.split(r"[\s,;|<>()\"\u200b\ufeff]+", text_of(value))
    return next((word for word in words if "@" in word[1:-1]), None)


def cpf_cnpj(value: Any) -> str | None:
    """Return a CPF or CNPJ with its punctuation; anything else comes back as it is (Asaas masks some)."""
    text = text_of(value).strip()
    compact = re.sub(r"[.\-/\s]", "", text).upper()
    if len(compact) > 14:
        return text  # the library would make a number of it, and Python refuses one of more than 4,300 digits
    if cpf.is_valid(compact):
        return str(cpf.format(compact))
    # Since July 2026 a CNPJ may hold letters; the library's check digits know them.
    if cnpj.is_valid(compact):
        return str(cnpj.format(compact))
    return text or None


def title(value: Any) -> str:
    """Return a name with capitals where Portuguese has them.

    >>> title("MARIA DA SILVA E SOUZA")
    'Maria da Silva e Souza'
    """
    words = text_of(value).split()
    return " ".join(_capitalised(word, first=index == 0) for index, word in enumerate(words))


def _capitalised(word: str, *, first: bool) -> str:
    lower = word.lower()
    if lower in _CAPITALS:
        return lower.upper()
    if lower in _PARTICLES and not first:
        return lower
    return _WORD_START.sub(lambda match: match.group(1) + match.group(2).upper(), lower)


def first_name(value: Any) -> str | None:
    """Return the first word of a name."""
    return text_of(value).strip().split(maxsplit=1)[0] if text_of(value).strip() else None


def last_name(value: Any) -> str | None:
    """Return a name without its first word, or None where it has only one."""
    words = text_of(value).split()
    return " ".join(words[1:]) or None


def cents(value: Any) -> Decimal:
    """Return an amount rounded to cents, half a cent up; a zero without a sign."""
    try:
        return as_decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP) + 0
    except InvalidOperation:
        raise Unreadable("takes an amount of money, got a number too large for one") from None


def money(value: Any) -> str:
    """Return an amount with two decimals and a dot: 1234.50."""
    return format(cents(value), "f")


def brl(value: Any) -> str:
    """Return an amount as Brazilians write it: R$ 1.234,50."""
    from babel.numbers import format_currency

    # Babel puts a no-break space behind R$, which nobody can type when searching in the CRM.
    return format_currency(cents(value), "BRL", locale="pt_BR").replace("\xa0", " ")


def percent(value: Any, share: Any) -> int | float | None:
    """Return so many percent of an amount, not rounded; money() and brl() round."""
    if is_missing(value) or is_missing(share):
        return None
    whole = as_decimal(value) * as_decimal(share) / 100
    return int(whole) if whole == whole.to_integral_value() else float(whole)
