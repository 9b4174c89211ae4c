"""Which mappings send the same events, so that Clint may get one twice, or one deal be moved by both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

from bridge.mapping import Mapping, Setup
from bridge.mapping.lint import may_divide, shared_events


class Meeting(StrEnum):
    """Where the same events of two mappings meet in Clint, the surest first."""

    DESTINATION = "destination"  # the same webhook integration gets them twice
    DEAL = "deal"  # by the API, one deal of an origin is written twice
    DEALS = "deals"  # by the API, an origin gets two deals, since the deal keys differ
    MAYBE = "maybe"  # two destinations, a webhook among them: nobody but Clint knows the origin of an integration


@dataclass(frozen=True, slots=True)
class Overlap:
    other: Mapping
    events: list[str]
    meeting: Meeting
    here: str
    """The destination of the mapping for the first of the events."""
    there: str
    """That of the other mapping."""
    divided: bool
    """Whether both have filters, and different ones, that may keep each event out of one of them."""


def overlaps(mapping: Mapping, others: Iterable[Mapping], setup: Setup) -> list[Overlap]:
    """Return the mappings among the enabled ones of `others` that send events of this mapping to the same place."""
    found = []
    for other in others:
        if not other.enabled:
            continue
        met: dict[Meeting, list[str]] = {}
        for event in shared_events(mapping, other):
            meeting = _meeting(mapping, other, event, setup)
            if meeting is not None:
                met.setdefault(meeting, []).append(event)
        if met:
            surest = next(one for one in Meeting if one in met)
            first, events = met[surest][0], [event for one in Meeting for event in met.get(one, ())]
            places = (mapping.destination(first), other.destination(first))
            found.append(Overlap(other, events, surest, *places, may_divide(mapping, other)))
    return found


def _meeting(mapping: Mapping, other: Mapping, event: str, setup: Setup) -> Meeting | None:
    here, there = mapping.destination(event), other.destination(event)
    origins = [setup.api[one] for one in (here, there) if one in setup.api]
    if len(origins) < 2:
        return Meeting.DESTINATION if here == there else Meeting.MAYBE
    if here != there and origins[0].casefold() != origins[1].casefold():
        return None
    return Meeting.DEAL if mapping.funnel.one_deal_per == other.funnel.one_deal_per else Meeting.DEALS


Groups = list[tuple[Mapping, list[Overlap]]]
_MOST_KEPT = 16
_kept: dict[object, Groups] = {}
"""The groups of these texts of mappings and these API destinations."""


def groups(mappings: Iterable[Mapping], setup: Setup) -> Groups:
    """Return the enabled mappings that meet others which no filter divides from them, each pair once.

    A mapping that meets many comes before those that meet it. Every page of the console asks: they are compared once.
    """
    enabled = [one for one in mappings if one.enabled]
    key = (tuple((one.name, one.digest) for one in enabled), tuple(sorted(setup.api.items())))
    found = _kept.get(key)
    if found is None:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        found = _kept[key] = _compare(enabled, setup)
    return found


def _compare(enabled: list[Mapping], setup: Setup) -> Groups:
    met: dict[str, list[Overlap]] = {one.name: [] for one in enabled}
    for one, other in combinations(enabled, 2):  # an overlap holds for both mappings
        for found_here in overlaps(one, [other], setup):
            if not found_here.divided:
                met[one.name].append(found_here)
                mirrored = replace(found_here, other=one, here=found_here.there, there=found_here.here)
                met[other.name].append(mirrored)
    told: set[str] = set()
    found = []
    for one in sorted(enabled, key=lambda each: (-len(met[each.name]), each.name)):
        if left := [each for each in met[one.name] if each.other.name not in told]:
            found.append((one, left))
            told.add(one.name)
    return found
