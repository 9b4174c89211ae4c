"""Masks secrets and personal data in logs: e-mails, CPF, CNPJ, phones, card numbers, tokens, passwords, secret URLs.

Ids stay. A person's name can't be told from other words: callers must not pass one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stdnum.br import cnpj

_URL = re.compile(r"\b(https?|rediss?|postgres[\w+]*)://[^\s\"'<>]+", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")
# Clint's webhook URL ends in a UUID that is its only secret; an Asaas invoice link opens for whoever has it.
_SECRET_SEGMENT = re.compile(r"(?<=/)(?=[\w-]*\d)[\w-]{12,}(?![\w.])")
_QUERY = re.compile(r"\?.+")


def _mask_url(match: re.Match[str]) -> str:
    url = _CREDENTIALS.sub("[credentials]@", match[0])
    return _QUERY.sub("?[query]", _SECRET_SEGMENT.sub("[secret]", url))


def _mask_cnpj(match: re.Match[str]) -> str:
    # Since July 2026 a CNPJ may hold letters: only its check digits tell it from a code of fourteen characters.
    return "[cpf/cnpj]" if cnpj.is_valid(match[0]) else match[0]


_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\$aact_[\w:$=+/.-]+"), "[asaas key]"),
    (
        re.compile(
            r"((?:access[_-]?token|api[_-]?token|api[_-]?key|auth[_-]?token|webhook[_-]?token|password|secret[_-]?key"
            r"|authorization)[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic)\s+)?[^\s\"',;&}\[]+",
            re.IGNORECASE,
        ),
        r"\1[secret]",
    ),
    (_URL, _mask_url),
    # Possessive and from the start of a word only: a long word without @ is scanned once, not once a letter.
    (re.compile(r"(?<![\w.%+-])[\w.%+-]++@[\w-]+(?:\.[\w-]+)+"), "[e-mail]"),
    (re.compile(r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b"), "[cpf/cnpj]"),
    (re.compile(r"\b[\dA-Z]{2}\.[\dA-Z]{3}\.[\dA-Z]{3}/[\dA-Z]{4}-\d{2}\b"), "[cpf/cnpj]"),
    (re.compile(r"(?<![\w-])(?:\+?55[ -]?)?(?:\(\d{2}\) ?|\d{2}[ -])9?\d{4}[ -]?\d{4}(?![\w-])"), "[number]"),
    (re.compile(r"(?<![\w-])(?:\d{4}[ -]){3}\d{4}(?![\w-])"), "[number]"),
    # A number after & is the end of an Asaas event id.
    (re.compile(r"(?<![\w&-])\+?\d{10,19}(?![\w-])"), "[number]"),
    (re.compile(r"\b(?=[\dA-Z]*[A-Z])[\dA-Z]{12}\d{2}\b"), _mask_cnpj),
)

# Most texts of a log are words, an Asaas id or the id of a trace: these two patterns find fast that nothing is to mask.
_HARMLESS = re.compile(r"[A-Za-z_. -]*+|[a-z]{3}_[\w&]*+|[\da-f]{32}")
_SUSPICIOUS = re.compile(r"[@$=:]|\d{2}[\s)-]|[\dA-Z]{3}\.|[\dA-Z]{10}")


def redact(text: str) -> str:
    """Return the text with all secrets and personal data masked."""
    if _HARMLESS.fullmatch(text) or _SUSPICIOUS.search(text) is None:
        return text
    for pattern, mask in _PATTERNS:
        text = pattern.sub(mask, text)
    return text


def redact_all(value: Any) -> Any:
    """Return the value as plain data with every text in it redacted, at any depth of lists and dicts."""
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, dict):
        return {redact_all(key): redact_all(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_all(part) for part in value]
    return redact(str(value))
