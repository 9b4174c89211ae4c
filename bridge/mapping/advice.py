"""Advice for what people write who know a spreadsheet, another language or Portuguese: the right word, or what to do.

Each piece of advice stands in tests/compliance/lint beside a mapping that follows it and works.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection
from importlib.resources import files

from bridge.mapping.values import two_readings

SYNONYMS: dict[str, str] = {
    right: words
    for group in json.loads(files("bridge.mapping").joinpath("data/synonyms.json").read_text(encoding="utf-8")).values()
    for right, words in group.items()
}
"""Right words, with the words that people write for them, without accents."""
_WORDS: dict[str, list[str]] = {}
for _right, _others in SYNONYMS.items():
    for _other in _others.split():
        _WORDS.setdefault(_other.replace("_", ""), []).append(_right)

_PARTS = "an expression can't cut a text; digits(x), first_name(x), last_name(x) and replace(x, old, new) may do"
_JOIN = 'join texts by a template: {template: "{payment.invoiceNumber} - {customer.name}"}'
_CHOOSE = "write condition && 'one' || 'other', or a lookup"
_FIRST = "write a || b, or default(a, b)"
_TODAY = "write today, without brackets"
_NO_ARITHMETIC = (
    "an expression has no arithmetic: fee is value minus netValue, sum([a, b]) adds, percent(x, `10`) takes a share, "
    "days_between(a, b) counts days"
)
_INSTEAD = {
    name: advice
    for names, advice in (
        ("concat concatenar concatenate", _JOIN),
        ("if se iif case", _CHOOSE),
        ("round arredondar tofixed", "money(x) rounds to two decimals"),
        ("today hoje now agora", _TODAY),
        ("coalesce ifnull nvl isnull", _FIRST),
        ("substring substr left right mid slice split", _PARTS),
        ("add subtract minus multiply divide subtrair multiplicar dividir", _NO_ARITHMETIC),
        ("format formatar formato", "date(x, '%d/%m/%Y') writes a date, brl(x) an amount"),
    )
    for name in names.split()
}

INVISIBLE = {
    "\u00a0": "a no-break space",
    "\u00ad": "a soft hyphen",
    "\u200b": "a space without width",
    "\u200c": "a sign without width",
    "\u200e": "a mark of direction",
    "\u200f": "a mark of direction",
    "\u2028": "a line separator",
    "\u2029": "a paragraph separator",
    "\u202f": "a narrow no-break space",
    "\u2060": "a sign without width",
    "\u3000": "a wide space",
    "\ufeff": "a byte order mark",
    **{chr(code): "a space of another width" for code in (*range(0x2000, 0x200B), 0x205F)},
}
"""Characters that look like a space or like nothing. U+200D is not one: it joins emoji."""
SPACES = "".join(sign for sign, what in INVISIBLE.items() if what.endswith(("space", "width")) and sign.isspace())


_CURLY = "\u201c\u201d\u2018\u2019\u00b4"
_WORDS_ALONE = re.compile(r"[^\W\d][^'\"`(){}\[\]|&<>=]*")
_MOST_QUOTED = 60
"""Characters of a text that advice repeats."""


def invisible(text: str) -> str:
    """Return what the first invisible character of a text is, with its number; empty where there is none."""
    sign = next((sign for sign in text if sign in INVISIBLE), "")
    return f"{INVISIBLE[sign]} (U+{ord(sign):04X})" if sign else ""


def synonym(word: str, words: Collection[str]) -> str | None:
    """Return the one of the words that a person means who writes the word, or None where the tables have none."""
    decomposed = unicodedata.normalize("NFD", word.strip().lower())
    plain = re.sub(r"[\s_-]+", "", "".join(sign for sign in decomposed if not unicodedata.combining(sign)))
    return next((right for right in _WORDS.get(plain, ()) if right in words), None)


def two_conditions(key: str, keys: Collection[str]) -> str:
    """Return what to write where a key wants a range and one of the keys is at_least; empty for any other key."""
    if "at_least" not in keys or key.lower() not in {"entre", "between", "range", "intervalo"}:
        return ""
    return "; write all: with one condition at_least and one at_most"


def instead_of(function: str) -> str:
    """Return what to write instead of a function of other languages; empty where nothing is known."""
    return _INSTEAD.get(function.lower(), "")


def of_syntax(text: str, position: int, token: str, *, number: bool) -> str:
    """Return what to do about an expression that can't be parsed, at the token that can't stand there."""
    sign, bare = token.strip("'\"")[:1], text.strip()
    dollar = re.fullmatch(r"\$\{?([\w.]+)\}?", bare)
    commas = re.fullmatch(r"([a-z]\w*),(\w+)", bare)
    path = re.search(r"\w+(\.\w+)+", text)
    inner = re.fullmatch(r"\{+\s*([^{}]*?)\s*\}+", bare)
    for holds, advice in (
        (inner, f"an expression has no braces; write {formatted(inner[1]) if inner else ''}"),
        (formatted(bare) != bare, f"a function writes a value in a format; write {formatted(bare)}"),
        (dollar, f"a name has no $; write {dollar[1] if dollar else ''}"),
        (commas, f"a dot leads to a field; write {'.'.join(commas.groups()) if commas else ''}"),
        (bare.startswith("="), f"an expression has no = before it; write {bare.lstrip('= ')}"),
        (sign == ";", "nothing stands behind an expression; delete the ;"),
        (re.search(r"\{[^{}]*\}", text), f"a text with values in braces is a template: {{template: {_quoted(bare)}}}"),
        (sign in INVISIBLE, f"delete {invisible(sign)}"),
        (sign and sign in _CURLY, "write a text between straight quotes, '...'"),
        ("R$" in text, f"write brl({path[0] if path else 'x'})"),
        (re.fullmatch(r"\d+([.,]\d+)?", bare), f"a fixed value is written {{text: '{bare}'}}"),
        (number, f"a number stands between backticks: `{_number_at(text, position)}`"),
        (sign == "=" and text[position - 1 : position] != "=", f"write == to compare{_with_number(text, position)}"),
        (sign == "=" or text[position - 1 : position + 1] == "<>", "write == or != to compare"),
        (token in {"e", "and"} or sign == "&", "write && between two conditions"),
        (token in {"ou", "or"}, "write || between two conditions"),
        (bare.startswith("not "), "write !(...) for not"),
        (sign == "?", _CHOOSE),
        (sign == "+" and "'" in text, _JOIN),
        (sign and sign in "+-*/%", _NO_ARITHMETIC),
        (sign == "#", "a comment stands outside of the quotes"),
        (sign == ".", "a name stands on both sides of a dot"),
        (" " in bare and _WORDS_ALONE.fullmatch(bare), f"a fixed text is written {{text: {_quoted(bare)}}}"),
    ):
        if holds:
            return advice
    return "quote texts with '...'"


def formatted(text: str) -> str:
    """Return the call for a path with a format of Python behind it; any other text as it is.

    >>> formatted("payment.value:.2f"), formatted("payment.dueDate:%d/%m"), formatted("payment.id")
    ('money(payment.value)', "date(payment.dueDate, '%d/%m')", 'payment.id')
    """
    found = re.fullmatch(r"([A-Za-z]\w*(?:\.\w+)*)\s*:\s*(\S.*)", text)
    if not found:
        return text
    return f"date({found[1]}, '{found[2]}')" if "%" in found[2] else f"money({found[1]})"


def _with_number(text: str, position: int) -> str:
    found = re.match(r"=+\s*(?=-?\d)", text[position:])
    return f", and the number between backticks: == `{_number_at(text, position + found.end())}`" if found else ""


def _number_at(text: str, position: int) -> str:
    found = re.match(r"-?[\d.,]+", text[position:])
    return as_literal(found[0].rstrip(".,") if found else "50")


def as_literal(number: str) -> str:
    """Return a number as it stands between backticks, both where it may mean two.

    >>> as_literal("1.000,50"), as_literal("1.000")
    ('1000.50', '1000` or `1.00')
    """
    if readings := two_readings(number):
        return readings.replace(" or ", "` or `")
    return number.replace(".", "").replace(",", ".") if "," in number else number


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if len(text) <= _MOST_QUOTED else '"..."'
