"""Judges what Clint shows of a delivery: proved, not confirmed or contradicted. Pure.

Proved by a webhook is a deal in the destination's origin and in the status of the checklist, with a text that only
this delivery carried, or written after the send when no other delivery can have written it. By Clint's API it is the
deal of the delivery's key, which shows everything as it was sent. Contradicted is a deal that is surely the delivery's
and shows something else, which nobody can have changed since. Every doubt is another code; `reasons` has the meaning
of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NamedTuple

from bridge.clint.api import CLOCK_TOLERANCE_MS, MOST_KEY, Deal, same_key
from bridge.mapping.values import as_decimal, or_none, two_readings
from bridge.messages import N_
from bridge.model import ReadBack
from bridge.pipeline.wanted import Wanted


class Verdict(StrEnum):
    """The verdict of a look at Clint or of a test step, the strongest last."""

    SKIPPED = "skipped"  # not tried
    FILTERED = "filtered"  # nothing was to be sent, and nothing was: no deal was looked for
    PROVED = "proved"  # seen as expected
    NOT_CONFIRMED = "not_confirmed"  # not seen
    CONTRADICTED = "contradicted"  # seen otherwise than expected


VERDICTS = {
    Verdict.SKIPPED: N_("skipped"),
    Verdict.FILTERED: N_("filtered as expected"),
    Verdict.PROVED: N_("proved"),
    Verdict.NOT_CONFIRMED: N_("not confirmed"),
    Verdict.CONTRADICTED: N_("contradicted"),
}


class Code(StrEnum):
    """The codes of findings, the strongest last: of several that one is the answer."""

    NO_CONTACT = "deal.no_contact"
    NAME_UNKNOWN = "clint.name_unknown"
    NONE = "deal.none"
    GONE = "deal.gone"
    HIDDEN = "deal.hidden"
    OTHER_ORIGIN = "deal.other_origin"
    OLDER = "deal.older"
    LATER = "deal.later"
    AMBIGUOUS = "deal.ambiguous"
    ORIGIN_UNKNOWN = "deal.origin_unknown"
    UNMARKED = "deal.unmarked"
    OTHER_CHARGE = "deal.other_charge"
    OTHER_STAGE = "deal.other_stage"
    OTHER_STATUS = "deal.other_status"
    UNSURE = "deal.unsure"
    CHANGED = "deal.changed"
    KEPT = "deal.kept"
    SEEN = "deal.seen"
    DIFFERS = "deal.differs"

    @property
    def verdict(self) -> Verdict:
        """The verdict of this finding."""
        if self in {Code.SEEN, Code.KEPT}:
            return Verdict.PROVED
        return Verdict.CONTRADICTED if self is Code.DIFFERS else Verdict.NOT_CONFIRMED


NO_FAULT = frozenset({Code.LATER, Code.AMBIGUOUS, Code.CHANGED})
"""Findings that another delivery or a person explains; they raise no notice."""


def recorded_verdict(state: str | None, detail: str | None) -> Verdict | None:
    """Return the verdict of a delivery's read-back from its columns; None before the last look."""
    if state == ReadBack.SEEN:
        return Verdict.PROVED
    if state != ReadBack.NOT_SEEN:
        return None
    try:
        return Code(json.loads(detail or "")["code"]).verdict
    except (ValueError, TypeError, KeyError):  # of an older version
        return Verdict.NOT_CONFIRMED


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
    contact: tuple[str, str] = ("", "")
    """The e-mail and the phone by which deals are looked for."""

    @property
    def until_ms(self) -> int | None:
        """The next delivery of the customer, which may have changed the same deal."""
        return min((one.sent_ms for one in self.others if one.sent_ms > self.sent_ms), default=None)


class Difference(NamedTuple):
    """What a deal shows otherwise than it was sent."""

    what: str
    """origin, stage, status, value, user or field."""
    wanted: str
    seen: str
    """Empty where the deal has nothing there."""
    field: str = ""
    """The key of the field."""


class Finding(NamedTuple):
    code: Code
    deal: Deal | None = None
    differences: tuple[Difference, ...] = ()
    unseen: tuple[str, ...] = ()
    """What was sent and Clint does not show: value, user, or the key of a field."""


def strongest(findings: Iterable[Finding]) -> Finding:
    """Return the finding with the strongest code, the first of several."""
    strength = list(Code)
    return max(findings, key=lambda one: strength.index(one.code))


def judge(
    sent: Sent, deals: Sequence[Deal], changed: AbstractSet[str] = frozenset(), looked_ms: int | None = None
) -> Finding:
    """Return what the deals of the contact prove.

    `changed` holds the ids of those changed since the send, `looked_ms` is the time at which Clint was asked.
    """
    if not deals:
        return Finding(Code.NONE)
    here = [deal for deal in deals if sent.origin_id in {"", deal.origin_id}]
    if not here:
        return Finding(Code.OTHER_ORIGIN, deals[0])
    found = [_judge(deal, sent, deal.id in changed, len(deals) == 1, looked_ms) for deal in here]
    findings = [one for one, _ in found]
    if len({one.deal.origin_id for one in findings if one.code == Code.SEEN and one.deal}) > 1:
        # One of them may be of another integration.
        return Finding(Code.ORIGIN_UNKNOWN)
    own = [one for one, is_own in found if is_own and one.code == Code.SEEN]
    return own[0] if own else strongest(findings)


def _judge(deal: Deal, sent: Sent, is_changed: bool, is_only: bool, looked_ms: int | None) -> tuple[Finding, bool]:
    """Return what one deal proves, and whether it is surely the delivery's."""
    until, mark, shown = sent.until_ms, sent.object_id.casefold(), texts_of(deal.fields)
    # The texts of the deal that only this delivery carried; an amount may have been there before.
    own = texts_of(sent.payload).difference(*(other.texts for other in sent.others))
    carried = [text for text in own & shown if not _is_amount(text)]
    # A date, a number or a link tells: a word such as Pix proves nothing.
    tells = any(len(text) >= 6 and re.search(r"[0-9]", text) for text in carried)
    is_of_charge = bool(mark) and any(mark in text for text in shown)
    by_id = is_of_charge and bool(carried)

    def found(code: Code, *differences: Difference) -> tuple[Finding, bool]:
        return Finding(code, deal, differences), by_id

    since = _is_since(sent, deal.times_ms.values()) or (until is None and is_changed)
    if not since and not by_id:
        touched = is_changed or any(time >= sent.sent_ms for time in deal.times_ms.values())
        return found(Code.AMBIGUOUS if touched else Code.OLDER)
    # Another text where the payload has the charge's id.
    marked = [_text(deal.fields.get(key)) for key, value in sent.payload.items() if mark in _text(value)]
    if mark and any(text and mark not in text for text in marked):
        return found(Code.AMBIGUOUS if until else Code.OTHER_CHARGE)
    differences = _differences_of_webhook(sent, deal) if by_id and since and until is None else ()
    sure = tuple(one for one in differences if _is_of_integration(one, sent, deal, looked_ms))
    if sent.status and deal.status != sent.status:
        if any(one.what == "status" for one in sure):
            return found(Code.DIFFERS, *sure)
        return found(Code.AMBIGUOUS if until else Code.OTHER_STATUS)
    if sent.stage_id not in {"", deal.stage_id} and not by_id:
        return found(Code.AMBIGUOUS if until else Code.OTHER_STAGE)
    if by_id:
        return found(Code.DIFFERS, *sure) if sure else found(Code.SEEN)
    before = [one for one in sent.others if sent.sent_ms - LATE_MS <= one.sent_ms <= sent.sent_ms]
    is_crowded = any(not (one.status and sent.status) or one.status == sent.status for one in before)
    if is_crowded and not tells:
        return found(Code.AMBIGUOUS)
    is_made_since = "created_at" in deal.times_ms and _is_since(sent, [deal.times_ms["created_at"]])
    if (is_of_charge or tells or is_made_since) and (sent.origin_id or is_only):
        return found(Code.SEEN)
    # Changed after the send, in the stage of the destination's deals: as the delivery asks.
    return found(Code.SEEN if sent.origin_id and sent.stage_id == deal.stage_id else Code.UNMARKED)


def _differences_of_webhook(sent: Sent, deal: Deal) -> Iterable[Difference]:
    """Return what a deal shows otherwise, in fields of the payload's keys; what fills others is not known."""
    if sent.status and deal.status != sent.status:
        yield Difference("status", sent.status, deal.status)
    for key, wanted in sent.payload.items():
        seen, text = deal.fields.get(key), str(wanted).strip()
        if text and isinstance(seen, str | int | float) and str(seen).strip() and not is_same(text, seen):
            yield Difference("field", text, str(seen).strip(), key)


def _is_of_integration(one: Difference, sent: Sent, deal: Deal, looked_ms: int | None) -> bool:
    """Return whether it was the integration that wrote it so, as far as times can tell: nobody changed it later."""
    latest_ms = sent.sent_ms + LATE_MS
    if looked_ms is not None and looked_ms <= latest_ms:
        return True
    time_ms = _time_of(one, deal)
    return time_ms is not None and time_ms <= latest_ms


def _time_of(one: Difference, deal: Deal) -> int | None:
    """Return when what a difference is about was changed last; None where Clint does not tell it."""
    own = {"stage": "updated_stage_at", "status": {"WON": "won_at", "LOST": "lost_at"}.get(deal.status, "")}
    found = deal.times_ms.get(own.get(one.what, ""))
    return deal.times_ms.get("updated_at") if found is None else found


def _is_since(sent: Sent, times_ms: Iterable[int]) -> bool:
    """Return whether one of these times lies between the send and the next delivery, although Clint's clock may lag."""
    until_ms = None if sent.until_ms is None else sent.until_ms - CLOCK_TOLERANCE_MS
    return any(sent.sent_ms <= time and (until_ms is None or time < until_ms) for time in times_ms)


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


# ---------------------------------------------------------------- deals by Clint's API


@dataclass(frozen=True, slots=True)
class Written:
    """A delivery by Clint's API, and what the journal knows of its deal."""

    wanted: Wanted
    deal_id: str
    """Empty where the journal knows no deal of the key."""
    sent_ms: int
    """The start of the first attempt."""
    done_ms: int
    """The end of the last attempt. Somebody else made any later change."""
    origin: str = ""
    """Name or id of the origin; empty where it is not known any more."""
    is_kept: bool = False
    """Whether the bridge saw that a person had moved the deal, and left it there as the mapping says."""
    has_later: bool = False
    """Whether a later delivery wrote to the same deal, or tried to."""
    before_ms: int = 0
    """The end of the delivery before it of the same deal."""
    origin_id: str = ""
    stage_id: str = ""
    user_id: str = ""


def judge_written(written: Written, deal: Deal | None) -> Finding:
    """Return what the deal of a key proves; None where Clint has no deal of that id.

    Ids of origin, stage and user that are empty are not compared.
    """
    if not written.deal_id:
        return Finding(Code.NONE)
    if deal is None:
        return Finding(Code.GONE)
    wanted = written.wanted
    unseen = tuple(_unseen(written, deal))
    if all(_is_hidden(value) for name, value in deal.fields.items() if name != "value"):
        return Finding(Code.HIDDEN, deal, unseen=unseen)
    differences = tuple(_differences(written, deal))

    def found(code: Code, differences: Iterable[Difference] = ()) -> Finding:
        return Finding(code, deal, tuple(differences), unseen)

    rest = [one for one in differences if not (written.is_kept and one.what in _PLACE)]
    if not rest:
        if deal.field(wanted.key_field) != wanted.key:
            return found(Code.HIDDEN)
        return found(Code.KEPT if differences else Code.SEEN, differences)
    if written.has_later:
        return found(Code.LATER, rest)
    # Older than the write is what Clint shows late, or did not do; the clocks agree within the tolerance.
    since_ms = max(written.sent_ms - CLOCK_TOLERANCE_MS, written.before_ms)
    times = deal.times_ms
    is_shown = any(time >= since_ms for time in times.values())
    # Only a deal that was made a moment ago can't have been moved to another origin by a person before.
    is_made = times.get("created_at", 0) >= since_ms
    asked = [one for one in rest if is_shown and (is_made or one.what != "origin")]
    if sure := [one for one in asked if _is_before(_time_of(one, deal), written.done_ms)]:
        return found(Code.DIFFERS, sure)
    return found(Code.CHANGED if any(time > written.done_ms for time in times.values()) else Code.UNSURE, rest)


_PLACE = frozenset({"origin", "stage", "status"})
"""What a person changes who moves a deal."""


def _is_before(time_ms: int | None, done_ms: int) -> bool:
    return time_ms is not None and time_ms <= done_ms


def _differences(written: Written, deal: Deal) -> Iterable[Difference]:
    wanted = written.wanted
    is_elsewhere = bool(written.origin_id and deal.origin_id and deal.origin_id != written.origin_id)
    if is_elsewhere:
        yield Difference("origin", written.origin, deal.origin_id)
    elif written.stage_id not in {"", deal.stage_id}:  # another origin has other stages
        yield Difference("stage", wanted.stage, deal.stage or deal.stage_id)
    if wanted.status not in {"", deal.status}:
        yield Difference("status", wanted.status, deal.status)
    if wanted.value is not None and deal.value is not None and round(deal.value - wanted.value, 2) != 0:
        yield Difference("value", f"{wanted.value:.2f}", f"{deal.value:.2f}")
    if written.user_id and deal.user_id not in {"", written.user_id}:
        yield Difference("user", written.user_id, deal.user_id)
    sent = {**wanted.fields, wanted.key_field: wanted.key}
    for key, text in sent.items():
        shown = _shown(deal, key)
        # Of two keys that Clint cuts to the same one, the field has the text of either.
        texts = [text] if key in deal.fields else [other for name, other in sent.items() if same_key(name, key)]
        if not any(isinstance(seen, dict | list) or is_same(one, seen) for seen in shown for one in texts):
            yield Difference("field", text, next((str(seen).strip() for seen in shown), ""), key)


def _shown(deal: Deal, key: str) -> list[object]:
    """Return what the deal has under a key, which Clint may have cut."""
    if not _is_hidden(deal.fields.get(key)):
        return [deal.fields[key]]
    cut = [name for name in deal.fields if same_key(name, key) and MOST_KEY in {len(name), len(key)}]
    return [deal.fields[name] for name in cut if not _is_hidden(deal.fields[name])]


def _is_hidden(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _unseen(written: Written, deal: Deal) -> Iterable[str]:
    wanted = written.wanted
    if wanted.value is not None and deal.value is None:
        yield "value"
    if written.user_id and not deal.user_id:
        yield "user"
    for key in wanted.fields:
        # A list, or parts: what a text looks like there is not known.
        if (shown := _shown(deal, key)) and all(isinstance(seen, dict | list) for seen in shown):
            yield key


def is_same(wanted: str, seen: object) -> bool:
    """Return whether a field has what was sent; amounts and days are equal in any notation.

    >>> is_same("129.90", 129.9), is_same("1299.9", "R$ 1.299,90"), is_same("10/12/2026", "2026-12-10T00:00:00Z")
    (True, True, True)
    >>> is_same("129.90", "12.99"), is_same("Pix", "pix "), is_same("Pix", None)
    (False, True, False)
    """
    one, other = wanted.strip(), "" if seen is None else str(seen).strip()
    if one.casefold() == other.casefold():
        return True
    return bool(_amounts(one) & _amounts(other)) or (_day(one) is not None and _day(one) == _day(other))


def _amounts(text: str) -> set[Decimal]:
    found = (or_none(as_decimal, one) for one in two_readings(text) or (text,))
    return {amount for amount in found if amount is not None}


def _day(text: str) -> tuple[str, ...] | None:
    found = re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})([T ]00:00.*)?", text)
    if found:
        return found.groups()[:3]
    brazilian = re.fullmatch(r"(\d{2})/(\d{2})/(\d{4})", text)
    return brazilian.groups()[::-1] if brazilian else None
