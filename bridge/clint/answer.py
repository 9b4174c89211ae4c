"""Says what an answer of a destination means for its delivery: pure, from status and headers to an outcome.

The codes are stable: the journal keeps them and people filter by them. Details never carry a URL, for it is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from bridge.model import Outcome

WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
"""Answers below 500 that say "not now" rather than "no"."""

RETRY_AFTER_CAP_S = 86_400.0
"""A destination that asks for more than a day is not believed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer, or its absence, means."""

    outcome: Outcome
    code: str
    detail: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one POST."""

    outcome: Outcome
    status: int | None
    code: str
    detail: str
    retry_after_s: float | None
    duration_ms: int
    excerpt: str
    """The beginning of the answer's body, redacted."""


def classify(status: int, headers: Mapping[str, str], now_ms: int) -> Verdict:
    """Return what the answer means."""
    detail = f"the destination answered {status}"
    if 200 <= status < 300:
        return Verdict(Outcome.DELIVERED, "clint.ok", detail)
    if status in {404, 410}:
        return Verdict(
            Outcome.REMOVED,
            "clint.removed",
            f"{detail}: the integration was removed in Clint; set the destination's new URL and resume it",
        )
    if 300 <= status < 400:
        return Verdict(
            Outcome.REJECTED,
            "clint.redirect",
            f"{detail}: redirects are not followed; copy the integration's URL from Clint again",
        )
    code = f"clint.http_{status}"
    if 400 <= status < 500 and status not in WORTH_ANOTHER_TRY:
        return Verdict(Outcome.REJECTED, code, detail)
    return Verdict(Outcome.RETRY, code, detail, retry_after_s(headers, now_ms))


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Return the seconds that `Retry-After` asks to wait, or None where it says nothing that makes sense."""
    text = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,9})?", text):
        return min(float(text), RETRY_AFTER_CAP_S)
    try:
        moment = parsedate_to_datetime(text)
        # A date without a zone is UTC: HTTP knows no other.
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now_ms / 1000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(seconds, RETRY_AFTER_CAP_S) if seconds > 0 else None
