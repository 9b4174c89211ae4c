"""Looks in Clint for the deals of what was delivered, where the mapping says `verify`.

A 2xx says that Clint took a payload, not that a deal stands. So some time after the delivery the deal is looked for by
the payload's e-mail or phone, a few times, each later than the one before. It leaves seen or not seen in the journal,
the latter with the likely causes in the log; it never sends anything, and a Clint API that fails costs no look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bridge.clint.api import Deal
from bridge.journal import Journal, notices, read_backs
from bridge.journal.notices import Mended, Notice
from bridge.journal.read_backs import ToReadBack
from bridge.logs import logger
from bridge.model import NoticeLevel, ReadBack
from bridge.process import ActiveMapping

log = logger(__name__)

LOOKS = 4
BATCH = 20
SLOWER = 4
"""Each look waits so many times as long as the one before."""
OLDEST_MS = 2 * 24 * 3_600_000
"""What was delivered longer ago is left: a token that is set after weeks must not set off thousands of requests."""
_CLOCKS_MS = 120_000

CAUSES = (
    "look at Históricos in Clint: a key that its screen does not map (see: bridge mappings checklist), neither e-mail "
    "nor phone mapped, or an integration that only updates or belongs to another origin"
)
NOT_SEEN = "delivery.not_seen"
"""The notice's code; it is closed by the next delivery of the same mapping whose deal is seen."""
MEND = "see: bridge deliveries list --state delivered, bridge events show NUMBER"
NO_CONTACT = "the payload has neither an e-mail nor a phone to look for"


class Deals(Protocol):
    """The part of the Clint API that is read."""

    def deals(self, email: str = "", phone: str = "") -> list[Deal]:
        """Return the deals of a contact."""
        ...

    def stage(self, deal: Deal) -> str:
        """Return the label of a deal's stage."""
        ...


class Mappings(Protocol):
    """What says which keys of a payload are the e-mail and the phone."""

    def current(self) -> Sequence[ActiveMapping]:
        """Return the active mappings."""
        ...


class ReadBacks:
    """The looks of one process; two processes do no harm."""

    def __init__(self, journal: Journal, clint: Deals, mappings: Mappings, wait_s: float) -> None:
        self._journal = journal
        self._clint = clint
        self._mappings = mappings
        self._wait_ms = int(wait_s * 1000)

    def step(self, now_ms: int) -> int:
        """Look for the deals of one batch; return how many deliveries it was. Raises ClintApiFailed."""
        with self._journal.database.read() as connection:
            batch = read_backs.due(connection, now_ms, wait_ms=self._wait_ms, oldest_ms=now_ms - OLDEST_MS, limit=BATCH)
        found: dict[tuple[str, str], list[Deal]] = {}
        keys = {active.mapping.name: active.mapping.fields for active in self._mappings.current()}
        for one in batch:
            identifies = {field.key: field.identifies for field in keys.get(one.mapping, ()) if field.identifies}
            contact = contact_of(json.loads(one.payload), identifies)
            if any(contact) and contact not in found:
                found[contact] = self._clint.deals(*contact)
            self._record(one, contact, found.get(contact, []), now_ms)
        return len(batch)

    def _record(self, one: ToReadBack, contact: tuple[str, str], deals: Sequence[Deal], now_ms: int) -> None:
        deal = next((deal for deal in deals if _is_of(deal, one)), None)
        if deal is not None:
            state, due_ms, detail = ReadBack.SEEN, None, f"stage {self._clint.stage(deal)}, status {deal.status}"
        elif one.read_back_tries + 1 < LOOKS and any(contact):
            wait_ms = self._wait_ms * SLOWER ** (one.read_back_tries + 1)
            state, due_ms, detail = ReadBack.ASKED, now_ms + wait_ms, "not seen yet"
        else:
            state, due_ms, detail = ReadBack.NOT_SEEN, None, CAUSES if any(contact) else NO_CONTACT
        with self._journal.database.write() as connection:
            first = read_backs.record(connection, one, state, due_ms=due_ms, detail=detail)
            if first and state is not ReadBack.ASKED:
                # One for all deliveries of a mapping: what one of them lacks in Clint, the others lack too.
                about = f"{one.destination}/{one.mapping}"
                seen = state is ReadBack.SEEN
                notices.apply(connection, [Mended(NOT_SEEN, about) if seen else _notice(about, detail)], now_ms)
        if first and state is not ReadBack.ASKED:
            say = log.info if state is ReadBack.SEEN else log.warning
            told = {"delivery_id": one.id, "event_id": one.event_id, "mapping": one.mapping}
            say(f"delivery.{state.value}", **told, destination=one.destination, detail=detail)


def _notice(about: str, detail: str) -> Notice:
    return Notice(NOT_SEEN, about, NoticeLevel.WARNING, f"delivered, but no deal was seen: {detail}", MEND)


def _is_of(deal: Deal, one: ToReadBack) -> bool:
    """Return whether the deal was written since the delivery began, as far as Clint says when."""
    return deal.changed_ms is None or deal.changed_ms >= one.created_ms - _CLOCKS_MS


def contact_of(payload: Mapping[str, Any], identifies: Mapping[str, str]) -> tuple[str, str]:
    """Return e-mail and phone of a payload by the mapping's keys; by the look of it where the mapping is gone.

    >>> contact_of({"mail": "a@example.com", "fone": "5511987654321"}, {"fone": "phone"})
    ('', '5511987654321')
    >>> contact_of({"mail": "a@example.com"}, {})
    ('a@example.com', '')
    """
    if not identifies:
        return next((str(value) for value in payload.values() if "@" in str(value)), ""), ""
    found = {kind: str(payload[key]) for key, kind in identifies.items() if key in payload}
    return found.get("email", ""), found.get("phone", "")
