"""The judgement of a trial: one deal for each charge, where its last event or a person put it.

Its one witness is the simulated Clint's log of what was written to deals; of the bridge's journal it knows nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from bridge.simulator.clint.account import KEY_FIELD

STAGES = {
    "PAYMENT_CREATED": ("Nova cobrança", "OPEN"),
    "PAYMENT_OVERDUE": ("Vencida", "OPEN"),
    "PAYMENT_RECEIVED": ("Paga", "WON"),
    "PAYMENT_REFUNDED": ("Estornada", "LOST"),
}
"""The place of a deal after each event; another event leaves it where it is."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge and what the bridge is told of it."""

    id: str
    customer: str
    events: tuple[str, ...]
    values: tuple[float, ...]
    """One of each event."""

    @property
    def places(self) -> list[tuple[str, str]]:
        """Stage and status after each event that moves the deal."""
        return [STAGES[name] for name in self.events if name in STAGES]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found."""

    deals: int
    doubled: int
    """Charges with more than one deal."""
    misplaced: int
    """Deals that are not where they should be, or with another value."""
    moved: int
    """Deals that a person moved."""
    writes: int
    breaches: list[str] = field(default_factory=list)


def judge(writes: Sequence[Mapping[str, Any]], charges: Sequence[Charge]) -> Judgement:
    """Hold the log of writes against the charges."""
    in_order = sorted(writes, key=lambda write: (write["deal_id"], write["sequence"]))
    deals = [list(own) for _, own in groupby(in_order, key=lambda write: write["deal_id"])]
    told = {charge.id: charge for charge in charges}
    found = Counter(_key(deal) for deal in deals)
    breaches = [f"charge {key} has {found[key]} deals instead of one" for key in told if found[key] != 1]
    breaches += [f"there is a deal for {key or 'no charge'}, which nobody asked for" for key in found.keys() - told]
    wrong = [[*_faults(deal, told[_key(deal)])] for deal in deals if _key(deal) in told]
    return Judgement(
        deals=len(deals),
        doubled=sum(number > 1 for number in found.values()),
        misplaced=sum(bool(faults) for faults in wrong),
        moved=sum(any(write["by"] == "person" for write in deal) for deal in deals),
        writes=len(writes),
        breaches=[*breaches, *(fault for faults in wrong for fault in faults)],
    )


def _key(deal: Sequence[Mapping[str, Any]]) -> str:
    keys = {str(write["fields"][KEY_FIELD]) for write in deal if KEY_FIELD in write["fields"]}
    return " and ".join(sorted(keys))


def _faults(deal: Sequence[Mapping[str, Any]], charge: Charge) -> Iterator[str]:
    """Give what is wrong with the writes to a charge's deal, oldest first."""
    last = deal[-1]
    if any(write["what"] == "removed" for write in deal):
        yield f"charge {charge.id}: its deal was removed"
    moves = [write for write in deal if (write["stage_before"], write["status_before"]) != _place(write)]
    by_person = [number for number, move in enumerate(moves) if move["by"] == "person"]
    if by_person and by_person[-1] != len(moves) - 1:
        places = ", ".join(f"{move['by']} {_place(move)}" for move in moves)
        yield f"charge {charge.id}: moved away from where a person left it: {places}"
    if not by_person and _place(last) != charge.places[-1]:
        yield f"charge {charge.id}: in {_place(last)} instead of {charge.places[-1]}"
    if last["value"] != charge.values[-1]:
        yield f"charge {charge.id}: its value is {last['value']} instead of {charge.values[-1]}"
    stages = [stage for stage, _ in charge.places]
    way = [stages.index(move["stage"]) if move["stage"] in stages else -1 for move in moves if move["by"] == "api"]
    if way != sorted(way) or -1 in way:
        yield f"charge {charge.id}: went {[move['stage'] for move in moves]} instead of {stages}"


def _place(write: Mapping[str, Any]) -> tuple[str, str]:
    return write["stage"], write["status"]
