"""The person who works in Clint beside the bridge: moves deals, deletes them, merges contacts."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bridge.simulator.clint.crm import Body, Crm


@dataclass(frozen=True)
class Habit:
    """What a person does to the deals that the API writes."""

    share: float
    stage: str
    status: str
    after: int
    field: str


class Person:
    """Draws deals by lot: the same ones for the same seed, whichever order they come in."""

    def __init__(self, crm: Crm, seed: int = 0) -> None:
        self._crm = crm
        self._seed = seed
        self._habit: Habit | None = None

    def moves(self, deal_id: str = "", stage: str = "", status: str = "", share: float = 1.0, field: str = "") -> int:
        """Move a deal, or a share of all deals, to a stage and a status; an empty one stays.

        Deals are drawn by their id, or by the text of a field. Returns how many were moved. Raises KeyError for an
        unknown deal, ValueError for a stage that the deal's funnel lacks.
        """
        with self._crm.lock:
            deals = [self._crm.deals[deal_id]] if deal_id else list(self._crm.deals.values())
            chosen = [deal for deal in deals if deal_id or self._is_drawn(deal, share, field)]
            for deal in chosen:
                self._move(deal, stage, status)
            return len(chosen)

    def follows(self, share: float, stage: str = "", status: str = "", after: int = 1, field: str = "") -> None:
        """Move a share of the deals right after the API wrote to them for the `after`th time, until `rests`.

        Deals of a funnel that lacks the stage are left alone.
        """
        self._habit = Habit(share, stage, status, after, field)

    def rests(self) -> None:
        """End what `follows` began."""
        self._habit = None

    def sees(self, deal: Body) -> None:
        """Look at a deal that the API has just written."""
        habit = self._habit
        if habit is None or self._crm.writes.by_api(deal["id"]) != habit.after:
            return
        stages = [stage["label"] for stage in self._crm.origins[deal["origin_id"]]["stages"]]
        if habit.stage in ("", *stages) and self._is_drawn(deal, habit.share, habit.field):
            self._move(deal, habit.stage, habit.status)

    def deletes(self, deal_id: str) -> None:
        """Delete a deal; raises KeyError for an unknown one."""
        with self._crm.lock:
            self._crm.remove_deal(self._crm.deals[deal_id], "person")

    def merges(self, contact_id: str, into: str) -> None:
        """Merge a contact into another one, which gets its deals; raises KeyError for an unknown one."""
        with self._crm.lock:
            self._crm.merge_contacts(self._crm.contacts[contact_id], self._crm.contacts[into])

    def _is_drawn(self, deal: Body, share: float, field: str) -> bool:
        lot = deal["fields"].get(field, deal["id"]) if field else deal["id"]
        return random.Random(f"{self._seed} {lot}").random() < share

    def _move(self, deal: Body, stage: str, status: str) -> None:
        changes: Body = {"status": status} if status else {}
        if stage:
            changes["stage_id"] = self._crm.stage_id(deal["origin_id"], stage)
        self._crm.change_deal(deal, "person", **changes)
