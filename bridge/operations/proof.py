"""Judges whether a delivery became a deal, from the sent payload and the deals of Clint: pure.

`deal.seen` is a deal in the destination's origin and in the status of the checklist, with a text that only this
delivery carried, or written after the send when no other delivery can have written it. Every doubt is another code;
`reasons` has the meaning of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from bridge.clint.api import Deal

SEEN = "deal.seen"
NONE = "deal.none"
OLDER = "deal.older"
OTHER_ORIGIN = "deal.other_origin"
OTHER_STATUS = "deal.other_status"
OTHER_STAGE = "deal.other_stage"
OTHER_CHARGE = "deal.other_charge"
UNMARKED = "deal.unmarked"
ORIGIN_UNKNOWN = "deal.origin_unknown"
AMBIGUOUS = "deal.ambiguous"
NO_CONTACT = "deal.no_contact"

CODES = (
    NO_CONTACT,
    NONE,
    OTHER_ORIGIN,
    OLDER,
    AMBIGUOUS,
    ORIGIN_UNKNOWN,
    UNMARKED,
    OTHER_CHARGE,
    OTHER_STAGE,
    OTHER_STATUS,
    SEEN,
)
"""The codes, the strongest last: of several deals that one is the answer."""

LATE_MS = 10 * 60_000
"""Clint may work on a payload for this long (an assumption: it is not documented)."""

_LONGEST_AMOUNT = 20
_TELLING = 6
_DIGIT = re.compile(r"[0-9]")


class Other(NamedTuple):
    """Another delivery of the customer, whose origin may be the same."""

    sent_ms: int
    texts: frozenset[str]
    status: str = ""
    """The status of its destination in the checklist."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A sent payload and its destination."""

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
    """A code and its deal."""

    code: str
    deal: Deal | None = None


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a deal shows of the sent payload."""

    deal: Deal
    sent: Sent
    is_changed: bool
    texts: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", texts_of(self.deal.fields))

    @property
    def carried(self) -> frozenset[str]:
        """The texts of the deal that only this delivery carried; an amount may have been there before."""
        own = texts_of(self.sent.payload).difference(*(other.texts for other in self.sent.others))
        return frozenset(text for text in own & self.texts if not _is_amount(text))

    @property
    def tells(self) -> bool:
        """Whether one of them is a date, a number or a link: a word such as Pix proves nothing."""
        return any(len(text) >= _TELLING and _DIGIT.search(text) for text in self.carried)

    @property
    def is_of_charge(self) -> bool:
        mark = self.sent.object_id.casefold()
        return bool(mark) and any(mark in text for text in self.texts)

    @property
    def is_of_other_charge(self) -> bool:
        """Whether it shows another text where the payload has the charge's id."""
        mark = self.sent.object_id.casefold()
        shown = [_text(self.deal.fields.get(key)) for key, value in self.sent.payload.items() if mark in _text(value)]
        return bool(mark) and any(text and mark not in text for text in shown)

    def is_since(self, *names: str) -> bool:
        """Return whether one of these times lies between the send and the next delivery."""
        until = self.sent.until_ms
        times = [self.deal.times_ms[name] for name in names or self.deal.times_ms if name in self.deal.times_ms]
        return any(self.sent.sent_ms <= time and (until is None or time < until) for time in times)


def judge(sent: Sent, deals: Sequence[Deal], changed: AbstractSet[str] = frozenset()) -> Finding:
    """Return what the deals of the contact prove; `changed` holds the ids of those changed since the send."""
    if not deals:
        return Finding(NONE)
    here = [deal for deal in deals if sent.origin_id in {"", deal.origin_id}]
    if not here:
        return Finding(OTHER_ORIGIN, deals[0])
    found = [Finding(_judge(_Shown(deal, sent, deal.id in changed), len(deals) == 1), deal) for deal in here]
    if len({deal.origin_id for code, deal in found if code == SEEN and deal}) > 1:
        # One of them may be of another integration.
        return Finding(ORIGIN_UNKNOWN)
    return max(found, key=lambda one: CODES.index(one.code))


def _judge(shown: _Shown, is_only: bool) -> str:
    sent, deal, until = shown.sent, shown.deal, shown.sent.until_ms
    since = shown.is_since() or (until is None and shown.is_changed)
    by_id = bool(shown.is_of_charge and shown.carried)
    if not since and not by_id:
        touched = shown.is_changed or any(time >= sent.sent_ms for time in deal.times_ms.values())
        return AMBIGUOUS if touched else OLDER
    if shown.is_of_other_charge:
        return AMBIGUOUS if until else OTHER_CHARGE
    if sent.status and deal.status != sent.status:
        return AMBIGUOUS if until else OTHER_STATUS
    if sent.stage_id not in {"", deal.stage_id} and not by_id:
        return AMBIGUOUS if until else OTHER_STAGE
    if by_id:
        return SEEN
    before = [one for one in sent.others if sent.sent_ms - LATE_MS <= one.sent_ms <= sent.sent_ms]
    is_crowded = any(not (one.status and sent.status) or one.status == sent.status for one in before)
    if is_crowded and not shown.tells:
        return AMBIGUOUS
    if (shown.is_of_charge or shown.tells or shown.is_since("created_at")) and (sent.origin_id or is_only):
        return SEEN
    # Changed after the send, in the stage of the destination's deals: as the delivery asks.
    return SEEN if sent.origin_id and sent.stage_id == deal.stage_id else UNMARKED


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
        return len(text) <= _LONGEST_AMOUNT and Decimal(text).is_finite()
    except InvalidOperation:
        return False
