"""The token of a webhook: what Asaas takes (docs create-new-webhook-via-web-application), and one that it takes.

Pure but for the lots it draws. A token is a secret: what is wrong with one is said without showing it.
"""

from __future__ import annotations

import re
import secrets
import string
from itertools import pairwise

LEAST, MOST = 32, 255
LENGTH = 48
"""Of a token that the bridge makes: some 280 bits."""

SEQUENCE = 5
"""Asaas's own example of a numeric sequence is 12345; shorter runs are part of many UUIDs that it takes."""

_REPEATED = re.compile(r"([^\W\d_])\1{3}", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits  # nothing that a shell or a .env file would touch


def problem(token: str) -> str | None:
    """Return which rule the token breaks, or None where Asaas takes it.

    >>> problem("secret")
    'must have 32 to 255 characters, got 6'
    """
    if not LEAST <= len(token) <= MOST:
        return f"must have {LEAST} to {MOST} characters, got {len(token)}"
    if re.search(r"\s", token):
        return "must not have white space"
    if token.startswith("$aact_"):
        return "must not be an API key of Asaas"
    if _REPEATED.search(token):
        return "must not have the same letter four times in a row"
    if longest_sequence(token) >= SEQUENCE:
        return "must not have a numeric sequence such as 12345"
    return None


def longest_sequence(token: str) -> int:
    """Return how many digits in a row rise or fall by one, at most.

    >>> longest_sequence("a1234b"), longest_sequence("3210"), longest_sequence("1357")
    (4, 4, 1)
    """
    longest = 0
    for run in _DIGITS.findall(token):
        length, direction = 1, 0
        longest = max(longest, length)
        for before, after in pairwise(run):
            step = int(after) - int(before)
            if abs(step) != 1:
                length, direction = 1, 0
            else:
                length, direction = (length + 1 if step == direction else 2), step
            longest = max(longest, length)
    return longest


def rotation(new_ms: int | None, old_ms: int | None, now_ms: int, account: str = "default") -> tuple[str, str]:
    """Return how far the change to a new token has come, and what to do next; each moment is that of the last event.

    >>> rotation(None, 40_000, 100_000)
    ('two are valid; the old one came 1 min ago, the new one never', 'run: bridge webhook register --rotate')
    """
    of = "" if account == "default" else f" --account {account}"
    if new_ms is None and old_ms is None:
        said = "two are valid; no event has come with either yet"
    else:
        said = f"two are valid; the old one came {_ago(old_ms, now_ms)}, the new one {_ago(new_ms, now_ms)}"
    if (new_ms or 0) > (old_ms or 0):
        return said, "Asaas has the new one: take the old one out of the environment and start the bridge again"
    return said, f"run: bridge webhook register --rotate{of}"


def _ago(moment_ms: int | None, now_ms: int) -> str:
    if moment_ms is None:
        return "never"
    minutes = max(0, now_ms - moment_ms) // 60_000
    return f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"


def generate() -> str:
    """Return a new token that meets the rules with a margin: nobody knows where Asaas draws the line of a sequence."""
    while True:
        token = "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(LENGTH))
        if problem(token) is None and longest_sequence(token) < SEQUENCE - 2:
            return token
