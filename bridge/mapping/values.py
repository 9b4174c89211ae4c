"""Conversions of JSON values to texts, numbers and dates, which filters, functions and fields share.

Asaas writes one amount as 10, 10.0 or 10.00: the text of a number is the same for each. A message never holds a
value, which may be personal: `kind_of` names its kind.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from stdnum.br import cnpj, cpf

from bridge.messages import N_, Message, message, verbatim

Text = str | Message
"""A part of a message: a text as it stands, or words that are translated; an empty text says nothing."""

_Converted = TypeVar("_Converted")

_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,2})?")
_BRAZILIAN_NUMBER = re.compile(r"-?(\d{1,3}(\.\d{3}){1,10}|\d{1,30}),\d{1,30}")
_GROUPED_NUMBER = re.compile(r"-?[1-9]\d{0,2}(?:(?:\.\d{3}){2,10}|(?:,\d{3}){2,10}|(?:,\d{3}){1,10}\.\d{1,30})")
"""With thousands in groups that nothing else can be: 1.000.000, 1,000,000 and 1,100.50."""


class BadValue(ValueError):
    """The value is not of the kind that is wanted; the message says what it is instead."""

    def __init__(self, text: str | Message = "", /, **facts: object) -> None:
        super().__init__(text)
        self.message = message(text, **facts)

    def __str__(self) -> str:
        return str(self.message)


def kind_of(value: Any) -> Message:
    """Return what the value is, in words that give nothing of it away."""
    if isinstance(value, str) and value:
        return Message(N_("a text of {length} characters"), {"length": len(value)})
    kinds: dict[type, str] = {
        type(None): N_("nothing"),
        bool: N_("true or false"),
        int: N_("a number"),
        float: N_("a number"),
        str: N_("an empty text"),
        list: N_("a list"),
        dict: N_("an object"),
    }
    return Message(kinds.get(type(value), N_("a value of another kind")))


def either(words: Iterable[Text]) -> Message:
    """Return words as an alternative: `a or b`."""
    first, *rest = words
    told = first if isinstance(first, Message) else verbatim(first)
    for word in rest:
        told = Message(N_("{first} or {last}"), {"first": told, "last": word})
    return told


def folded(text: str) -> str:
    """Return a name without what people write differently: case, accents and blanks.

    >>> folded(" Negócio  GANHO ")
    'negocio ganho'
    """
    signs = unicodedata.normalize("NFKD", " ".join(text.split()).casefold())
    return "".join(sign for sign in signs if not unicodedata.combining(sign))


def facts_data(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a message for `--json`; facts that are messages themselves in English."""
    return {name: str(fact) if isinstance(fact, Message) else fact for name, fact in facts.items()}


def is_missing(value: Any) -> bool:
    """Say whether the value counts as missing: null or a blank text.

    Asaas sends "" for an optional text that was cleared; sent on, it would blank a field in Clint.
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
    raise BadValue(N_("takes one value, got {kind}"), kind=kind_of(value))


def as_decimal(value: Any) -> Decimal:
    """Return a number, or a text that holds one (129.90 or 1.234,56), exactly."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise BadValue(N_("takes a number, got one without a value"))
        # repr() is what Asaas wrote; the float itself differs a little (10.005 is 10.00499...).
        return Decimal(repr(value))
    if isinstance(value, str):
        text = value.strip().removeprefix("R$").strip()
        if _BRAZILIAN_NUMBER.fullmatch(text):
            text = text.replace(".", "").replace(",", ".")
        elif not _JSON_NUMBER.fullmatch(text):
            raise BadValue(N_("takes a number, got {kind}"), kind=kind_of(value))
        return Decimal(text)
    raise BadValue(N_("takes a number, got {kind}"), kind=kind_of(value))


def two_readings(text: str) -> tuple[str, ...]:
    """Return both amounts of a text whose dot or comma may group thousands; empty where it means one amount.

    >>> two_readings("1.000"), two_readings("2.375"), two_readings("0.500")
    (('1000', '1.00'), ('2375', '2.3750'), ())
    """
    found = re.fullmatch(r"(-?[1-9]\d{0,2})[.,](\d{2})(\d)", text.strip().removeprefix("R$").strip())
    if not found:
        return ()
    whole, cents, third = found.groups()
    return f"{whole}{cents}{third}", f"{whole}.{cents}{'' if third == '0' else f'{third}0'}"


def typed_number(text: str) -> Decimal:
    """Return a number as a person types it into a form or a command; a file has no 1.000.000.

    >>> typed_number("1.000.000"), typed_number("R$ 1.100,50"), typed_number("1,100.50")
    (Decimal('1000000'), Decimal('1100.50'), Decimal('1100.50'))
    """
    plain = text.strip().removeprefix("R$").strip()
    if not _GROUPED_NUMBER.fullmatch(plain):
        return as_decimal(text)
    return Decimal(plain.replace(",", "") if "," in plain else plain.replace(".", ""))


_NUMBER_FAULTS = {
    "unreadable": N_("“{got}” is no number; write one such as 129.90"),
    "ambiguous": N_("“{got}” can be read in two ways; write {readings}"),
    "negative": N_("“{got}” is less than zero; write an amount such as 129.90"),
}


def number_fault(text: str, *, is_amount: bool = False) -> Message | None:
    """Return what is wrong with a number that a person typed; None where it is one, and no amount below zero."""
    readings = [_as_typed(one) for one in two_readings(text)]
    number = or_none(typed_number, text)
    kind = "ambiguous" if readings else "unreadable" if number is None else ""
    if not kind and is_amount and number is not None and number < 0:
        kind = "negative"
    facts = {"got": text, "readings": either(readings)} if readings else {"got": text}
    return Message(_NUMBER_FAULTS[kind], facts) if kind else None


def _as_typed(number: str) -> Text:
    """Return a number in the way in which the reader's language writes it."""
    whole, dot, decimals = number.partition(".")
    return Message(N_("{whole}.{decimals}"), {"whole": whole, "decimals": decimals}) if dot else number


def or_none(convert: Callable[[Any], _Converted], value: Any) -> _Converted | None:
    """Return what a conversion makes of a value, or None where it refuses it."""
    try:
        return convert(value)
    except BadValue:
        return None


def as_number(value: Any) -> int | float:
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


_PARTICLES = frozenset({"da", "das", "de", "di", "do", "dos", "du", "e"})
# Company kinds and numerals that Brazilians write in capitals.
_CAPITALS = frozenset({"me", "mei", "epp", "eireli", "s/a", "s.a", "s.a.", "ii", "iii", "iv"})
_WORD_START = re.compile(r"(^|[-'’/.])(\w)")


def text_of(value: Any) -> str:
    """Return a text or a number as text; anything else is a BadValue."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        with suppress(BadValue):
            return as_text(value)
    raise BadValue(N_("takes a text, got {kind}"), kind=kind_of(value))


def phone(value: Any) -> str | None:
    """Return a phone as Clint's senders write it: digits with the country code, 5547996321478.

    A text that is no phone gives None, since a mistyped phone must not keep a payment with an e-mail out of the CRM.
    A Brazilian mobile without its ninth digit gets it.
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
        national = str(number.national_number)
        if len(national) == 10 and national[2] in "6789":
            national = f"{national[:2]}9{national[2:]}"  # an old mobile: since 2016 each has nine digits
        if len(national) < 10:  # 4004-1234 is dialled without an area code, so no sender reaches it
            return None
        number.national_number = int(national)
    valid = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:] if valid else None


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


def cents(value: Any) -> Decimal:
    """Return an amount rounded to cents, half a cent up; a zero without a sign."""
    try:
        return as_decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP) + 0
    except InvalidOperation:
        raise BadValue(N_("takes an amount of money, got a number too large for one")) from None


def brl(value: Any) -> str:
    """Return an amount as Brazilians write it: R$ 1.234,50."""
    from babel.numbers import format_currency

    # Babel puts a no-break space behind R$, which a search in the CRM would not find.
    return format_currency(cents(value), "BRL", locale="pt_BR").replace("\xa0", " ")


def percent(value: Any, share: Any) -> int | float | None:
    """Return that share of an amount, not rounded; money() and brl() round."""
    if is_missing(value) or is_missing(share):
        return None
    return as_number(as_decimal(value) * as_decimal(share) / 100)


BRASILIA = ZoneInfo("America/Sao_Paulo")

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_BRAZILIAN_DAY = re.compile(r"\d{2}/\d{2}/\d{4}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?")
_DIRECTIVE = re.compile(r"%(-?.|$)", re.DOTALL)
_DIRECTIVES = {
    "%H": "HH", "%M": "mm", "%S": "ss", "%Y": "yyyy", "%d": "dd", "%j": "DDD", "%m": "MM", "%y": "yy",
    "%-d": "d", "%-m": "M", "%B": "MMMM", "%b": "MMM", "%A": "EEEE", "%a": "EEE", "%%": "'%'",
}  # fmt: skip
"""What a date format may hold, with Babel's pattern; names of months and days come in Portuguese."""
DIRECTIVES = tuple(_DIRECTIVES)


def brasilia_day(now: datetime | None = None) -> str:
    """Return the day it is in Brasília as yyyy-mm-dd."""
    return (now or datetime.now(UTC)).astimezone(BRASILIA).date().isoformat()


def as_moment(value: Any) -> datetime:
    """Return the moment of a text such as 2026-11-22, 22/11/2026 or 2026-11-22 10:30, in Brasília time."""
    if not isinstance(value, str):
        raise BadValue(N_("takes a date, got {kind}"), kind=kind_of(value))
    text = value.strip()
    try:
        if _BRAZILIAN_DAY.fullmatch(text):
            day, month, year = text.split("/")
            return datetime(int(year), int(month), int(day), tzinfo=BRASILIA)
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=BRASILIA)
        if _TIME.fullmatch(text):
            moment = datetime.fromisoformat(text.replace(",", "."))
            return moment.astimezone(BRASILIA) if moment.tzinfo else moment.replace(tzinfo=BRASILIA)
    except (ValueError, OverflowError):
        raise BadValue(N_("takes a date of the calendar, got another")) from None
    raise BadValue(N_("takes a date such as 2026-11-22 or 22/11/2026, got {kind}"), kind=kind_of(value))


def as_day(value: Any) -> date:
    """Return the day in Brasília of a text that `as_moment` takes."""
    return as_moment(value).date()


def has_time(text: str) -> bool:
    return _TIME.fullmatch(text.strip()) is not None


def wrong_directive(pattern: str) -> str | None:
    """Return the first directive of a date format that is not known, or None."""
    return next((one[0] for one in _DIRECTIVE.finditer(pattern) if one[0] not in DIRECTIVES), None)


def format_date(value: Any, pattern: str) -> str:
    """Return the date written by the pattern, such as %d/%m/%Y.

    >>> format_date("2026-03-01", "%-d de %B de %Y")
    '1 de março de 2026'
    """
    wrong = wrong_directive(pattern)
    if wrong is not None:
        raise BadValue(N_("takes a format made of {known}, got {wrong}"), known=" ".join(DIRECTIVES), wrong=wrong)
    moment = as_moment(value)
    from babel.dates import parse_pattern

    return _DIRECTIVE.sub(lambda found: parse_pattern(_DIRECTIVES[found[0]]).apply(moment, "pt_BR"), pattern)
