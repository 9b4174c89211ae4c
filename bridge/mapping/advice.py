"""Advice for people who know a spreadsheet, another language or Portuguese: the right word, or what to write.

Each piece of advice stands in tests/compliance/lint beside a mapping that follows it and works.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection

from bridge.mapping.catalogue import read_data
from bridge.mapping.values import Text, either, two_readings
from bridge.messages import N_, Message

SYNONYMS: dict[str, str] = {right: words for group in read_data("synonyms").values() for right, words in group.items()}
"""Right words, with the words that people write for them, without accents."""
_WORDS: dict[str, list[str]] = {}
for _right, _others in SYNONYMS.items():
    for _other in _others.split():
        _WORDS.setdefault(_other.replace("_", ""), []).append(_right)

_PARTS = N_("an expression can't cut a text; digits(x), first_name(x), last_name(x) and replace(x, old, new) may do")
_JOIN = N_('join texts by a template: {template: "{payment.invoiceNumber} - {customer.name}"}')
_CHOOSE = N_("write condition && 'one' || 'other', or a lookup")
_NO_ARITHMETIC = N_(
    "an expression has no arithmetic: fee is value minus netValue, sum([a, b]) adds, percent(x, `10`) takes a share, "
    "days_between(a, b) counts days"
)
INSTEAD = {
    name: advice
    for names, advice in (
        ("concat concatenar concatenate", _JOIN),
        ("if se iif case", _CHOOSE),
        ("round arredondar tofixed", N_("money(x) rounds to two decimals")),
        ("today hoje now agora", N_("write today, without brackets")),
        ("coalesce ifnull nvl isnull", N_("write a || b, or default(a, b)")),
        ("substring substr left right mid slice split", _PARTS),
        ("add subtract minus multiply divide subtrair multiplicar dividir", _NO_ARITHMETIC),
        ("format formatar formato", N_("date(x, '%d/%m/%Y') writes a date, brl(x) an amount")),
    )
    for name in names.split()
}
"""What to write instead of functions of other languages."""

INVISIBLE = {
    "\u00a0": N_("a no-break space"),
    "\u00ad": N_("a soft hyphen"),
    **dict.fromkeys("\u200b\u200c\u2060", N_("a sign without width")),
    **dict.fromkeys("\u200e\u200f", N_("a mark of direction")),
    "\u2028": N_("a line separator"),
    "\u2029": N_("a paragraph separator"),
    "\u202f": N_("a narrow no-break space"),
    "\u3000": N_("a wide space"),
    "\ufeff": N_("a byte order mark"),
    **dict.fromkeys(map(chr, (*range(0x2000, 0x200B), 0x205F)), N_("a space of another width")),
}
"""Characters that look like a space or like nothing. U+200D is not one: it joins emoji."""
SPACES = "".join(sign for sign in INVISIBLE if sign.isspace() and sign not in "\u2028\u2029")

_CURLY = "\u201c\u201d\u2018\u2019\u00b4"
_WORDS_ALONE = re.compile(r"[^\W\d][^'\"`(){}\[\]|&<>=]*")
_LONGEST_QUOTED = 60
"""Characters of a text that advice repeats."""


def invisible(text: str) -> Text:
    """Return what the first invisible character of a text is, with its number; empty where there is none."""
    sign = next((sign for sign in text if sign in INVISIBLE), "")
    facts = {"sign": Message(INVISIBLE[sign]), "number": f"U+{ord(sign):04X}"} if sign else {}
    return Message("{sign} ({number})", facts) if sign else ""


def synonym(word: str, words: Collection[str]) -> str | None:
    """Return the one of the words that a person means who writes the word, or None where the tables have none."""
    decomposed = unicodedata.normalize("NFD", word.strip().lower())
    plain = re.sub(r"[\s_-]+", "", "".join(sign for sign in decomposed if not unicodedata.combining(sign)))
    return next((right for right in _WORDS.get(plain, ()) if right in words), None)


def two_conditions(key: str, keys: Collection[str]) -> Text:
    """Return what to write where a key wants a range and one of the keys is at_least; empty for any other key."""
    if "at_least" not in keys or key.lower() not in {"entre", "between", "range", "intervalo"}:
        return ""
    return Message(N_("; write all: with one condition at_least and one at_most"))


def of_syntax(text: str, position: int, token: str, *, number: bool) -> Message:
    """Return what to do about an expression that can't be parsed, at the token that can't stand there."""
    sign, bare = token.strip("'\"")[:1], text.strip()
    dollar = re.fullmatch(r"\$\{?([\w.]+)\}?", bare)
    commas = re.fullmatch(r"([a-z]\w*),(\w+)", bare)
    path = re.search(r"\w+(\.\w+)+", text)
    inner = re.fullmatch(r"\{+\s*([^{}]*?)\s*\}+", bare)
    assigned = re.match(r"=+\s*(?=-?\d)", text[position:])
    single = sign == "=" and text[position - 1 : position] != "="
    for holds, advice, right in (
        (inner, N_("an expression has no braces; write {right}"), formatted(inner[1]) if inner else ""),
        (re.fullmatch(r"[^\s@'\"]+@[\w-]+(\.[\w-]+)+", bare), N_("a fixed text is written {{text: {right}}}"), bare),
        (formatted(bare) != bare, N_("a function writes a value in a format; write {right}"), formatted(bare)),
        (dollar, N_("a name has no $; write {right}"), dollar and dollar[1]),
        (commas, N_("a dot leads to a field; write {right}"), commas and ".".join(commas.groups())),
        (bare.startswith("="), N_("an expression has no = before it; write {right}"), bare.lstrip("= ")),
        (sign == ";", N_("nothing may follow an expression; delete the ;"), None),
        (
            re.search(r"\{[^{}]*\}", text),
            N_("a text with values in braces is a template: {{template: {right}}}"),
            _quoted(bare),
        ),
        (sign in INVISIBLE, N_("delete {right}"), invisible(sign)),
        (sign and sign in _CURLY, N_("write a text between straight quotes, '...'"), None),
        ("R$" in text, N_("write {right}"), f"brl({path[0] if path else 'x'})"),
        (re.fullmatch(r"\d+([.,]\d+)?", bare), N_("a fixed value is written {{text: '{right}'}}"), bare),
        (number, N_("write a number between backticks: {right}"), _number_at(text, position)),
        (
            single and assigned,
            N_("write == to compare, and the number between backticks: == {right}"),
            assigned and _number_at(text, position + assigned.end()),
        ),
        (single, N_("write == to compare"), None),
        (sign == "=" or text[position - 1 : position + 1] == "<>", N_("write == or != to compare"), None),
        (token in {"e", "and"} or sign == "&", N_("write && between two conditions"), None),
        (token in {"ou", "or"}, N_("write || between two conditions"), None),
        (bare.startswith("not "), N_("write !(...) for not"), None),
        (sign == "?", _CHOOSE, None),
        (sign == "+" and "'" in text, _JOIN, None),
        (sign and sign in "+-*/%", _NO_ARITHMETIC, None),
        (sign == "#", N_("put a comment outside of the quotes"), None),
        (sign == ".", N_("write a name on both sides of a dot"), None),
        (" " in bare and _WORDS_ALONE.fullmatch(bare), N_("a fixed text is written {{text: {right}}}"), _quoted(bare)),
    ):
        if holds:
            return Message(advice, {} if right is None else {"right": right})
    return Message(N_("quote texts with '...'"))


def formatted(text: str) -> str:
    """Return the call for a path with a format of Python behind it; any other text as it is.

    >>> formatted("payment.value:.2f"), formatted("payment.dueDate:%d/%m"), formatted("payment.id")
    ('money(payment.value)', "date(payment.dueDate, '%d/%m')", 'payment.id')
    """
    found = re.fullmatch(r"([A-Za-z]\w*(?:\.\w+)*)\s*:\s*(\S.*)", text)
    if not found:
        return text
    return f"date({found[1]}, '{found[2]}')" if "%" in found[2] else f"money({found[1]})"


def _number_at(text: str, position: int) -> Text:
    found = re.match(r"-?[\d.,]+", text[position:])
    return as_literal(found[0].rstrip(".,") if found else "50")


def as_literal(number: str) -> Text:
    """Return a number between backticks, both numbers where it may mean two.

    >>> as_literal("1.000,50"), str(as_literal("1.000"))
    ('`1000.50`', '`1000` or `1.00`')
    """
    if readings := two_readings(number):
        return either(f"`{one}`" for one in readings)
    return f"`{number.replace('.', '').replace(',', '.') if ',' in number else number}`"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if len(text) <= _LONGEST_QUOTED else '"..."'
