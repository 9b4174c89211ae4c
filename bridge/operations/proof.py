"""Judges whether a delivery became a deal, from the sent payload and the deals of Clint: pure.

`deal.seen` is a deal in the destination's origin and in the status of the checklist, with a text that only this
delivery carried, or written after the send when no other delivery can have written it. Every doubt is another code;
`reasons` has the meaning of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NamedTuple

from bridge.clint.api import Deal


class Code(StrEnum):
    """The codes of findings, the strongest last: of several deals that one is the answer."""

    NO_CONTACT = "deal.no_contact"
    NONE = "deal.none"
    OTHER_ORIGIN = "deal.other_origin"
    OLDER = "deal.older"
    AMBIGUOUS = "deal.ambiguous"
    ORIGIN_UNKNOWN = "deal.origin_unknown"
    UNMARKED = "deal.unmarked"
    OTHER_CHARGE = "deal.other_charge"
    OTHER_STAGE = "deal.other_stage"
    OTHER_STATUS = "deal.other_status"
    SEEN = "deal.seen"


LATE_MS = 10 * 60_000
"""Clint may work on a payload for this long (an assumption: it is not documented)."""


class Other(NamedTuple):
    """Another delivery of the customer, whose origin may be the same."""

    sent_ms: int
    texts: frozenset[str]
    status: str = ""
    """The status of its destination in the checklist."""


@dataclass(frozen=True, slots=True)
class Sent:
    object_id: str
    sent_ms: int
    """The start of the first attempt."""
    payload: Mapping[str, Any]
    """Without the fields of the contact, which every deal of the contact may show."""
    others: tuple[Other, ...] = ()
    origin_id: str = ""
    stage_id: str = ""
    """The stage of the destination's deals; empty until a delivery is proved."""
    status: str = ""

    @property
    def until_ms(self) -> int | None:
        """The next delivery of the customer, which may have changed the same deal."""
        return min((one.sent_ms for one in self.others if one.sent_ms > self.sent_ms), default=None)


class Finding(NamedTuple):
    code: Code
    deal: Deal | None = None


def strongest(findings: Iterable[Finding]) -> Finding:
    """Return the finding with the strongest code, the first of several."""
    strength = list(Code)
    return max(findings, key=lambda one: strength.index(one.code))


def judge(sent: Sent, deals: Sequence[Deal], changed: AbstractSet[str] = frozenset()) -> Finding:
    """Return what the deals of the contact prove; `changed` holds the ids of those changed since the send."""
    if not deals:
        return Finding(Code.NONE)
    here = [deal for deal in deals if sent.origin_id in {"", deal.origin_id}]
    if not here:
        return Finding(Code.OTHER_ORIGIN, deals[0])
    found = [Finding(_judge(deal, sent, deal.id in changed, len(deals) == 1), deal) for deal in here]
    if len({deal.origin_id for code, deal in found if code == Code.SEEN and deal}) > 1:
        # One of them may be of another integration.
        return Finding(Code.ORIGIN_UNKNOWN)
    return strongest(found)


def _judge(deal: Deal, sent: Sent, is_changed: bool, is_only: bool) -> Code:
    until, mark, shown = sent.until_ms, sent.object_id.casefold(), texts_of(deal.fields)
    # The texts of the deal that only this delivery carried; an amount may have been there before.
    own = texts_of(sent.payload).difference(*(other.texts for other in sent.others))
    carried = [text for text in own & shown if not _is_amount(text)]
    # A date, a number or a link tells: a word such as Pix proves nothing.
    tells = any(len(text) >= 6 and re.search(r"[0-9]", text) for text in carried)
    is_of_charge = bool(mark) and any(mark in text for text in shown)
    by_id = is_of_charge and bool(carried)
    since = _is_since(sent, deal.times_ms.values()) or (until is None and is_changed)
    if not since and not by_id:
        touched = is_changed or any(time >= sent.sent_ms for time in deal.times_ms.values())
        return Code.AMBIGUOUS if touched else Code.OLDER
    # Another text where the payload has the charge's id.
    marked = [_text(deal.fields.get(key)) for key, value in sent.payload.items() if mark in _text(value)]
    if mark and any(text and mark not in text for text in marked):
        return Code.AMBIGUOUS if until else Code.OTHER_CHARGE
    if sent.status and deal.status != sent.status:
        return Code.AMBIGUOUS if until else Code.OTHER_STATUS
    if sent.stage_id not in {"", deal.stage_id} and not by_id:
        return Code.AMBIGUOUS if until else Code.OTHER_STAGE
    if by_id:
        return Code.SEEN
    before = [one for one in sent.others if sent.sent_ms - LATE_MS <= one.sent_ms <= sent.sent_ms]
    is_crowded = any(not (one.status and sent.status) or one.status == sent.status for one in before)
    if is_crowded and not tells:
        return Code.AMBIGUOUS
    is_made_since = "created_at" in deal.times_ms and _is_since(sent, [deal.times_ms["created_at"]])
    if (is_of_charge or tells or is_made_since) and (sent.origin_id or is_only):
        return Code.SEEN
    # Changed after the send, in the stage of the destination's deals: as the delivery asks.
    return Code.SEEN if sent.origin_id and sent.stage_id == deal.stage_id else Code.UNMARKED


def _is_since(sent: Sent, times_ms: Iterable[int]) -> bool:
    """Return whether one of these times lies between the send and the next delivery."""
    return any(sent.sent_ms <= time and (sent.until_ms is None or time < sent.until_ms) for time in times_ms)


def texts_of(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the texts that compare a payload with a deal; amounts are equal in any notation.

    >>> sorted(texts_of({"valor": "129.90", "value": 129.9, "titulo": " Cobrança 7 ", "vazio": None}))
    ['129.9', 'cobrança 7']
    """
    return frozenset(text for value in values.values() if (text := _text(value)))


def _text(value: object) -> str:
    text = "" if value is None or isinstance(value, bool | dict | list) else str(value).strip().casefold()
    return str(Decimal(text).normalize()) if _is_amount(text) else text


def _is_amount(text: str) -> bool:
    try:
        return len(text) <= 20 and Decimal(text).is_finite()
    except InvalidOperation:
        return False
