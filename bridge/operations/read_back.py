"""Read-back: looks in Clint for the deals of deliveries whose mapping says `verify`.

What was sent by a webhook is looked for by the payload's e-mail or phone, the deal of a delivery by Clint's API by its
id. A 2xx does not prove a deal. After a delivery there are a few looks, each later than the one before; `proof` judges
the deals, and the journal keeps the finding. Nothing is sent, and a failed Clint API costs no look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from bridge.clint.api import ClintApi
from bridge.clint.directory import ClintAccount, Directory
from bridge.errors import ClintNameUnknown
from bridge.journal import Journal, deals, deliveries, destinations, notices
from bridge.journal.notices import Notice, Resolved
from bridge.logs import logger
from bridge.mapping.evaluate import flat
from bridge.mapping.explain import statuses
from bridge.mapping.model import ClintDirectory
from bridge.messages import N_, Message, message
from bridge.model import NoticeLevel, ReadBack
from bridge.operations import proof
from bridge.operations.proof import NO_FAULT, Code, Finding, Other, Sent, Verdict, Written
from bridge.pipeline.active_mappings import ActiveMapping
from bridge.pipeline.wanted import Wanted, read_payload
from bridge.reasons import deal_message
from bridge.settings import origin_of

log = logger(__name__)

LOOKS = 4
BATCH = 20
SLOWER = 4
"""Each wait is this many times as long as the one before."""
OLDEST_MS = 2 * 24 * 3_600_000
"""Older deliveries are left alone: a token that is set after weeks must not cause thousands of requests."""
NOT_SEEN = "delivery.not_seen"
"""The notice's code; the next delivery of the same mapping whose deal is seen closes it."""


class Origins(NamedTuple):
    """The origins of API destinations."""

    by_destination: Mapping[str, str]
    """Names or ids."""
    clint: ClintDirectory

    def find(self, destination: str, wanted: Wanted) -> tuple[str, str]:
        """Return name or id of the origin of a delivery, and its id; empty where it is not known."""
        origin = wanted.origin or self.by_destination.get(destination, "")
        ids = self.clint.named_origins(origin) if origin else []
        return origin, ids[0] if len(ids) == 1 else ""


def read_origins(urls: Mapping[str, str], directory: Directory) -> Origins:
    """Return the origins of destinations, given by name as in `settings.origin_of`. Raises ClintApiFailed."""
    found = {name: origin for name, url in urls.items() if (origin := origin_of(url)) is not None}
    return Origins(found, ClintDirectory(directory.origins() if found else {}))


def sent_deliveries(
    connection: Connection, account: str, subject: str, active: Sequence[ActiveMapping], origins: Origins
) -> dict[int, Sent | Written]:
    """Return the deliveries of a customer, newest first, for `read_back_deal`."""
    rows = deliveries.sent_to(connection, account, subject)
    told = {row.id: wanted for row in rows if row.payload and (wanted := read_payload(row.payload))}
    found: dict[int, Sent | Written] = {**_sent(connection, rows, told, active)}
    found |= _written(connection, rows, told, origins)
    return {row.id: found[row.id] for row in rows}


def _sent(
    connection: Connection,
    rows: Sequence[Row[*tuple[Any, ...]]],
    told: Mapping[int, Wanted],
    active: Sequence[ActiveMapping],
) -> dict[int, Sent]:
    """Return the deliveries by webhooks; `told` is what those by the API want, which may write the same deals."""
    places = destinations.load(connection)
    origins = {name: place.origin_id or "" for name, place in places.items()}
    status = statuses(one.mapping for one in active)
    fields = {one.mapping.name: one.mapping.fields for one in active}
    payloads = {row.id: flat(json.loads(row.payload)) if row.payload else {} for row in rows}
    keys = {id_: {wanted.key_field: wanted.key} for id_, wanted in told.items()}
    texts = {id_: proof.texts_of(payload | keys.get(id_, {})) for id_, payload in payloads.items()}
    asked = {row.id: told[row.id].status if row.id in told else status.get(row.destination, "") for row in rows}
    found = {}
    for row in rows:
        if row.id in told:
            continue
        origin, place = origins.get(row.destination, ""), places.get(row.destination)
        own, payload = fields.get(row.mapping, ()), payloads[row.id]
        contact = contact_of(payload, {field.key: field.identifies for field in own if field.identifies})
        of_contact = {field.key for field in own if field.group != "deal"}
        others = (
            Other(other.sent_ms, texts[other.id], asked[other.id])
            for other in rows
            if other.id != row.id and (not origin or origins.get(other.destination, "") in {"", origin})
        )
        found[row.id] = Sent(
            object_id=row.object_id,
            sent_ms=row.sent_ms,
            payload={k: v for k, v in payload.items() if k not in of_contact and str(v) not in contact},
            others=tuple(others),
            origin_id=origin,
            stage_id=(place.stage_id if place else None) or "",
            status=asked[row.id],
            contact=contact,
        )
    return found


def _written(
    connection: Connection,
    rows: Sequence[Row[*tuple[Any, ...]]],
    told: Mapping[int, Wanted],
    origins: Origins,
) -> dict[int, Written]:
    places = {row.id: origins.find(row.destination, told[row.id]) for row in rows if row.id in told}
    known = {id_: deals.find_deal(connection, place[1], told[id_].key) for id_, place in places.items()}
    ids = {id_: (deal.deal_id or "") if deal else "" for id_, deal in known.items()}
    found = {}
    for row in rows:
        if row.id not in told:
            continue
        same = [one for one in rows if one.id != row.id and ids[row.id] and ids.get(one.id) == ids[row.id]]
        earlier = [one for one in same if one.sent_ms <= row.sent_ms]
        found[row.id] = Written(
            wanted=told[row.id],
            deal_id=ids[row.id],
            sent_ms=row.sent_ms,
            done_ms=row.finished_ms or row.sent_ms,
            origin=places[row.id][0],
            origin_id=places[row.id][1],
            is_kept=row.code == "clint.deal_kept",
            has_later=len(earlier) < len(same),
            before_ms=max((one.finished_ms or one.sent_ms for one in earlier), default=0),
        )
    return found


def read_back_deal(clint: ClintApi, directory: Directory, sent: Sent | Written, looked_ms: int) -> Finding:
    """Look for the deal of a delivery at the time `looked_ms`. Raises ClintApiFailed."""
    if isinstance(sent, Written):
        return _read_written(clint, directory, sent)
    if not any(sent.contact):
        return Finding(Code.NO_CONTACT)
    found_deals = clint.deals(*sent.contact)
    found = proof.judge(sent, found_deals, looked_ms=looked_ms)
    if found.code.verdict is Verdict.NOT_CONFIRMED and not all("updated_at" in deal.times_ms for deal in found_deals):
        # Answers may lack the time of the last change, but the filter by that time is documented.
        changed = clint.deals(*sent.contact, changed_since_ms=sent.sent_ms)
        found = proof.judge(sent, found_deals, {deal.id for deal in changed}, looked_ms)
    return found


def _read_written(clint: ClintApi, directory: Directory, written: Written) -> Finding:
    wanted, origin_id = written.wanted, written.origin_id
    if not origin_id:  # renamed or removed since
        return Finding(Code.NAME_UNKNOWN)
    try:
        stage_id = directory.stage_id(origin_id, wanted.stage) if wanted.stage else ""
        user_id = directory.user_id(wanted.user) if wanted.user else ""
    except ClintNameUnknown:  # renamed or removed since
        return Finding(Code.NAME_UNKNOWN)
    deal = clint.deal(written.deal_id) if written.deal_id else None
    if deal is not None:
        deal = replace(deal, stage=clint.stage(deal))
    found = proof.judge_written(replace(written, stage_id=stage_id, user_id=user_id), deal)
    names = {id_: name for id_, (name, _) in directory.origins().items()} if found.differences else {}
    named = (
        one._replace(seen=names.get(one.seen, one.seen)) if one.what == "origin" else one for one in found.differences
    )
    return found._replace(differences=tuple(named))


def facts_of(found: Finding, stage: str, wanted: str = "") -> dict[str, Any]:
    """Return a finding as plain data for `reasons.deal_message`.

    `stage` is the label of its deal's stage, `wanted` the status of the checklist.
    """
    if found.deal is None:
        return {"code": found.code.value}
    facts: dict[str, Any] = {"code": found.code.value, "stage": stage, "status": found.deal.status}
    if found.code == Code.OTHER_ORIGIN:
        facts["origin"] = found.deal.origin_id
    if found.code == Code.OTHER_STATUS and wanted:
        facts["wanted"] = wanted
    if found.differences:
        facts["differences"] = [
            {name: value for name, value in one._asdict().items() if value} for one in found.differences
        ]
    return facts | ({"unseen": list(found.unseen)} if found.unseen else {})


class ReadBacks:
    """The looks of one process; two processes at once do no harm."""

    def __init__(
        self,
        journal: Journal,
        account: Callable[[], ClintAccount | None],
        active_mappings: Callable[[], Sequence[ActiveMapping]],
        wait_s: float,
        urls: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`account` gives the account of Clint, None without a token; `wait_s` is the time from a delivery to the first
        look, `urls` gives those of the destinations by name."""
        self._journal = journal
        self._account = account
        self._urls = urls
        self._active_mappings = active_mappings
        self._wait_ms = int(wait_s * 1000)
        self._revisions: dict[str, int] | None = None

    def step(self, now_ms: int) -> int:
        """Look for the deals of one batch; return its size. Raises ClintApiFailed."""
        account = self._account()
        if account is None:
            return 0
        with self._journal.database.read() as connection:
            batch = deliveries.due_read_backs(
                connection, now_ms, wait_ms=self._wait_ms, oldest_ms=now_ms - OLDEST_MS, limit=BATCH
            )
        active = self._active_mappings()
        origins = read_origins(self._urls(), account.directory) if batch else Origins({}, ClintDirectory({}))
        self._close_changed({one.mapping.name: one.revision_id for one in active if one.mapping.verify}, now_ms)
        for one in batch:
            with self._journal.database.read() as connection:
                sent = sent_deliveries(connection, one.account, one.subject, active, origins).get(one.id)
            if sent is not None:
                found = read_back_deal(*account, sent, now_ms)
                stage = account.api.stage(found.deal) if found.deal else ""
                self._record(one, found, stage, sent, now_ms)
        return len(batch)

    def _record(
        self, one: Row[*tuple[Any, ...]], found: Finding, stage: str, sent: Sent | Written, now_ms: int
    ) -> None:
        verdict, is_seen = found.code.verdict, found.code.verdict is Verdict.PROVED
        # Another look would show the same.
        is_final = is_seen or found.code in {Code.NO_CONTACT, Code.LATER}
        if is_final or one.read_back_tries + 1 >= LOOKS:
            state, due_ms = ReadBack.SEEN if is_seen else ReadBack.NOT_SEEN, None
        else:
            state, due_ms = ReadBack.ASKED, now_ms + self._wait_ms * SLOWER ** (one.read_back_tries + 1)
        detail = json.dumps(facts_of(found, stage, sent.status if isinstance(sent, Sent) else ""))
        about = f"{one.destination}/{one.mapping}"
        with self._journal.database.write() as connection:
            first = deliveries.record_read_back(
                connection, one.id, one.read_back_tries, state, due_ms=due_ms, detail=detail
            )
            if first and is_seen and found.deal and isinstance(sent, Sent) and sent.until_ms is None:
                place = (found.deal.origin_id, found.deal.stage_id)
                if place != (sent.origin_id, sent.stage_id):
                    destinations.set_place(connection, one.destination, *place)
            # One notice for all deliveries of a mapping, which share the cause.
            if first and is_seen:
                notices.apply(connection, [Resolved(NOT_SEEN, about)], now_ms)
            elif first and state is ReadBack.NOT_SEEN and found.code not in NO_FAULT:
                what = N_("delivered, but no deal is confirmed: {finding}")
                if verdict is Verdict.CONTRADICTED:
                    what = N_("delivered, but the deal is not as it was sent: {finding}")
                # Without what fields show, which may be personal data.
                shown = message(what, finding=deal_message(detail, with_texts=False))
                todo = Message(N_("see: bridge deliveries list --state delivered, bridge events show NUMBER"))
                notices.apply(connection, [Notice(NOT_SEEN, about, NoticeLevel.WARNING, shown, todo)], now_ms)
        if first and state is not ReadBack.ASKED:
            write = log.info if is_seen else log.warning
            ids = {"delivery_id": one.id, "event_id": one.event_id, "mapping": one.mapping}
            place_facts = {"stage": stage, "status": found.deal.status} if found.deal else {}
            differs = ", ".join(difference.field or difference.what for difference in found.differences)
            more = {"verdict": verdict.value, "code": found.code.value, **place_facts, "differs": differs or None}
            write(f"delivery.{state.value}", **ids, destination=one.destination, **more)

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
