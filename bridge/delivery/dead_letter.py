"""Says what a reason code means for an operator and what to do about it: pure, one table in both languages.

Every code that the journal may keep beside a delivery, an attempt or a held event stands in `reasons.yaml` (a test
looks for each in the source). The codes are stable, the sentences are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bridge import word_files

_FILE = Path(__file__).with_name("reasons.yaml")
_OF_STATUS = "clint.http_"
_MAY_PASS = frozenset({408, 425})
"""Answers that are the destination's own trouble although they begin with 4."""


class Then(StrEnum):
    """What follows on the mend."""

    RETRY = "retry"
    REPLAY = "replay"
    NOTHING = ""


_COMMANDS = {Then.RETRY: "then: bridge deliveries retry", Then.REPLAY: "then: bridge events replay", Then.NOTHING: ""}


class Explanation(NamedTuple):
    """What a code means, and what to do; nothing to do is an empty text."""

    means: str
    todo: str = ""


class Reason(NamedTuple):
    """What a code means in one language, what most likely caused it, what mends it and what follows on that."""

    means: str
    cause: str
    todo: str
    then: Then


@cache
def catalogue() -> Mapping[str, Mapping[str, Reason]]:
    """Return every code with its reason by language (en, pt); answers by status and kind of status too."""
    return MappingProxyType({code: _by_language(entry) for code, entry in word_files.read(_FILE).items()})


def _by_language(entry: dict[str, Any]) -> Mapping[str, Reason]:
    then = Then(entry.get("then", ""))
    return MappingProxyType(
        {
            language: Reason(text["means"], text.get("cause", ""), text.get("todo", ""), then)
            for language, text in entry.items()
            if language != "then"
        }
    )


def reason(code: str | None, language: str = "en") -> Reason | None:
    """Return what a reason code means in a language; None where there is no code or nobody knows it."""
    if code is None:
        return None
    known = catalogue()
    status = re.fullmatch(rf"{re.escape(_OF_STATUS)}(\d{{3}})", code)
    if status is None or code in known:
        return known[code][language] if code in known and not code.endswith("xx") else None
    refused = 400 <= int(status[1]) < 500 and int(status[1]) not in _MAY_PASS
    return known[f"{_OF_STATUS}{'4xx' if refused else '5xx'}"][language]


_FACTS = {
    "en": {"wanted": "expected", "origin": "in origin"},
    "pt": {"stage": "etapa", "wanted": "esperado", "origin": "na origem"},
}


def deal_said(detail: str | None, language: str = "en") -> str:
    """Return what was found of a delivery's deal as a sentence; an older journal has the sentence itself.

    >>> deal_said('{"code": "deal.seen", "stage": "Paga", "status": "WON"}', "pt")
    'há um negócio que esta entrega criou ou alterou (etapa Paga, status WON)'
    """
    try:
        facts = json.loads(detail or "")
        code = facts.pop("code")
    except (ValueError, AttributeError, KeyError):
        return detail or ""
    found = reason(code, language)
    more = ", ".join(f"{_FACTS[language].get(name, name)} {value}" for name, value in facts.items())
    return f"{found.means if found else code}{f' ({more})' if more else ''}"


def explain(code: str | None) -> Explanation | None:
    """Return what a reason code means and what to do in commands; None where nobody knows it.

    >>> explain("clint.http_503").means
    'the destination has a fault of its own; it is sent again'
    """
    found = reason(code)
    if found is None:
        return None
    return Explanation(found.means, "; ".join(part for part in (found.todo, _COMMANDS[found.then]) if part))


def _explanations() -> Mapping[str, Explanation]:
    codes = [code for code in catalogue() if not code.startswith(_OF_STATUS)]
    return MappingProxyType({code: said for code in codes if (said := explain(code)) is not None})


EXPLANATIONS: Mapping[str, Explanation] = _explanations()
"""Every code but those of the destination's HTTP answers."""
