"""Read-back: looks in Clint for the deals of deliveries whose mapping says `verify`, by the payload's e-mail or phone.

A 2xx does not prove a deal. After a delivery there are a few looks, each later than the one before; `proof` judges the
deals, and the journal keeps the verdict with its reason. Nothing is sent, and a failed Clint API costs no look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from bridge.clint.api import ClintApi
from bridge.journal import Journal, deliveries, destinations, notices
from bridge.journal.notices import Notice, Resolved
from bridge.logs import logger
from bridge.mapping.evaluate import flat
from bridge.mapping.explain import statuses
from bridge.messages import N_, Message, message
from bridge.model import NoticeLevel, ReadBack
from bridge.operations import proof
from bridge.operations.proof import Code, Finding, Other, Sent
from bridge.pipeline.active_mappings import ActiveMapping
from bridge.reasons import deal_message

log = logger(__name__)

LOOKS = 4
BATCH = 20
SLOWER = 4
"""Each wait is so many times as long as the one before."""
OLDEST_MS = 2 * 24 * 3_600_000
"""Older deliveries are left alone: a token that is set after weeks must not cause thousands of requests."""
NOT_SEEN = "delivery.not_seen"
"""The notice's code; the next delivery of the same mapping whose deal is seen closes it."""


def sent_deliveries(
    connection: Connection, account: str, subject: str, active: Sequence[ActiveMapping]
) -> dict[int, tuple[tuple[str, str], Sent]]:
    """Return the contact and the sent payload of each delivery of a customer, for `proof.judge`."""
    places = destinations.load(connection)
    origins = {name: place.origin_id or "" for name, place in places.items()}
    status = statuses(one.mapping for one in active)
    fields = {one.mapping.name: one.mapping.fields for one in active}
    rows = deliveries.sent_to(connection, account, subject)
    payloads = {row.id: flat(json.loads(row.payload)) if row.payload else {} for row in rows}
    texts = {id_: proof.texts_of(payload) for id_, payload in payloads.items()}
    found = {}
    for row in rows:
        origin, place = origins.get(row.destination, ""), places.get(row.destination)
        own, payload = fields.get(row.mapping, ()), payloads[row.id]
        contact = contact_of(payload, {field.key: field.identifies for field in own if field.identifies})
        of_contact = {field.key for field in own if field.group != "deal"}
        others = (
            Other(other.sent_ms, texts[other.id], status.get(other.destination, ""))
            for other in rows
            if other.id != row.id and (not origin or origins.get(other.destination, "") in {"", origin})
        )
        sent = Sent(
            object_id=row.object_id,
            sent_ms=row.sent_ms,
            payload={k: v for k, v in payload.items() if k not in of_contact and str(v) not in contact},
            others=tuple(others),
            origin_id=origin,
            stage_id=(place.stage_id if place else None) or "",
            status=status.get(row.destination, ""),
        )
        found[row.id] = contact, sent
    return found


def read_back_deal(clint: ClintApi, contact: tuple[str, str], sent: Sent) -> Finding:
    """Look for the deal of a sent payload. Raises ClintApiFailed."""
    if not any(contact):
        return Finding(Code.NO_CONTACT)
    deals = clint.deals(*contact)
    found = proof.judge(sent, deals)
    if found.code != Code.SEEN and not all("updated_at" in deal.times_ms for deal in deals):
        # Answers may lack the time of the last change, but the filter by that time is documented.
        changed = clint.deals(*contact, changed_since_ms=sent.sent_ms)
        found = proof.judge(sent, deals, {deal.id for deal in changed})
    return found


class ReadBacks:
    """The looks of one process; two processes at once do no harm."""

    def __init__(
        self, journal: Journal, clint: ClintApi, active_mappings: Callable[[], Sequence[ActiveMapping]], wait_s: float
    ) -> None:
        self._journal = journal
        self._clint = clint
        self._active_mappings = active_mappings
        self._wait_ms = int(wait_s * 1000)
        self._revisions: dict[str, int] | None = None

    def step(self, now_ms: int) -> int:
        """Look for the deals of one batch; return its size. Raises ClintApiFailed."""
        with self._journal.database.read() as connection:
            batch = deliveries.due_read_backs(
                connection, now_ms, wait_ms=self._wait_ms, oldest_ms=now_ms - OLDEST_MS, limit=BATCH
            )
        active = self._active_mappings()
        self._close_changed({one.mapping.name: one.revision_id for one in active if one.mapping.verify}, now_ms)
        for one in batch:
            with self._journal.database.read() as connection:
                sent = sent_deliveries(connection, one.account, one.subject, active).get(one.id)
            if sent is not None:
                self._record(one, read_back_deal(self._clint, *sent), sent[1], now_ms)
        return len(batch)

    def _record(self, one: Row[*tuple[Any, ...]], found: Finding, sent: Sent, now_ms: int) -> None:
        is_seen = found.code == Code.SEEN
        if is_seen or found.code == Code.NO_CONTACT or one.read_back_tries + 1 >= LOOKS:
            state, due_ms = ReadBack.SEEN if is_seen else ReadBack.NOT_SEEN, None
        else:
            state, due_ms = ReadBack.ASKED, now_ms + self._wait_ms * SLOWER ** (one.read_back_tries + 1)
        detail = self._facts(found, sent)
        about = f"{one.destination}/{one.mapping}"
        with self._journal.database.write() as connection:
            first = deliveries.record_read_back(
                connection, one.id, one.read_back_tries, state, due_ms=due_ms, detail=json.dumps(detail)
            )
            if first and is_seen and found.deal and sent.until_ms is None:
                place = (found.deal.origin_id, found.deal.stage_id)
                if place != (sent.origin_id, sent.stage_id):
                    destinations.set_place(connection, one.destination, *place)
            # One notice for all deliveries of a mapping, which share the cause. An ambiguous finding is no fault.
            if first and is_seen:
                notices.apply(connection, [Resolved(NOT_SEEN, about)], now_ms)
            elif first and state is ReadBack.NOT_SEEN and found.code != Code.AMBIGUOUS:
                what = N_("delivered, but no deal is confirmed: {finding}")
                shown = message(what, finding=deal_message(json.dumps(detail))).to_json()
                todo = Message(N_("see: bridge deliveries list --state delivered, bridge events show NUMBER")).to_json()
                notices.apply(connection, [Notice(NOT_SEEN, about, NoticeLevel.WARNING, shown, todo)], now_ms)
        if first and state is not ReadBack.ASKED:
            write = log.info if is_seen else log.warning
            ids = {"delivery_id": one.id, "event_id": one.event_id, "mapping": one.mapping}
            write(f"delivery.{state.value}", **ids, destination=one.destination, **detail)

    def _close_changed(self, revisions: dict[str, int], now_ms: int) -> None:
        """Close the notices of mappings that were changed or lost `verify`."""
        before, self._revisions = self._revisions, revisions
        if before == revisions:
            return
        kept = {name for name, id_ in revisions.items() if before is None or before.get(name, id_) == id_}
        with self._journal.database.write() as connection:
            open_notices = notices.open_notices(connection, [NOT_SEEN])
            changed = [one.about for one in open_notices if one.about.rpartition("/")[2] not in kept]
            notices.apply(connection, [Resolved(NOT_SEEN, about) for about in changed], now_ms)

    def _facts(self, found: Finding, sent: Sent) -> dict[str, str]:
        if found.deal is None:
            return {"code": found.code}
        facts = {"code": found.code, "stage": self._clint.stage(found.deal), "status": found.deal.status}
        wanted = {"origin": found.deal.origin_id} if found.code == Code.OTHER_ORIGIN else {}
        return facts | wanted | ({"wanted": sent.status} if found.code == Code.OTHER_STATUS else {})


def contact_of(payload: Mapping[str, Any], identifies: Mapping[str, str]) -> tuple[str, str]:
    """Return e-mail and phone of a payload by the mapping's keys; the first text with @ where the mapping is gone.

    >>> contact_of({"mail": "a@example.com", "fone": "5511987654321"}, {"fone": "phone"})
    ('', '5511987654321')
    >>> contact_of({"mail": "a@example.com"}, {})
    ('a@example.com', '')
    """
    if not identifies:
        return next((str(value) for value in payload.values() if "@" in str(value)), ""), ""
    found = {kind: str(payload[key]) for key, kind in identifies.items() if key in payload}
    return found.get("email", ""), found.get("phone", "")
