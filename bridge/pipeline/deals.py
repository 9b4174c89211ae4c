"""Writes one deal per key by Clint's API, whatever dies and whatever answer is lost.

A delivery works under a claim of its deal key (`journal.deals`), one at a time for a key. What dies or is lost where,
and what the delivery's next try sees and does:

| step | before it is sent | sent, and nothing noted |
| --- | --- | --- |
| create the contact | marked: waits, looks again, creates | marked: finds the contact, or waits for it to appear |
| create the deal | marked: waits, looks again, creates | marked: finds the deal by its key, or waits for it to appear |
| update the deal | wanted, the deal is as before: writes | wanted, and the deal is so: nothing to write |
| update the contact, add tags | differs: writes | is so: nothing to write |

The mark is committed before the request and goes with its outcome. Nothing is created while a mark is younger than
`appears_ms`, or a list could not be read, or where the account has no field for the key; nor after a lost create while
the contact has a new deal that may be the one, without its key.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from bridge.clint.api import CLOCK_TOLERANCE_MS, Deal, Origin
from bridge.clint.directory import ClintAccount
from bridge.clint.webhook import Answer
from bridge.errors import ClintApiFailed, ClintFault, ClintNameUnknown, JournalError
from bridge.failpoints import failpoint
from bridge.journal import Journal, Lease, deals
from bridge.journal.deals import StoredDeal
from bridge.journal.deliveries import DueDelivery
from bridge.journal.notices import Notice
from bridge.logs import logger
from bridge.messages import N_, Message
from bridge.model import NoticeLevel, Outcome
from bridge.pipeline.claims import BUSY_S, ClaimedRows, Ended, Parts, lost, postponed
from bridge.pipeline.contacts import DealContact
from bridge.pipeline.wanted import Wanted, read_payload

log = logger(__name__)

LEAST_AT_ONCE, MOST_AT_ONCE = 2, 8
PATIENCE_S = 20.0
"""How long a request waits for its turn of CLINT_API_RATE_LIMIT, which several processes share."""
DOUBLED = "clint.doubled_deal"
"""The notice about two deals with one key."""


def at_once(rate: str) -> int:
    """Return how many deliveries one process should work on at once, so that requests use up a rate and do not queue.

    >>> at_once("2/second"), at_once("300/minute"), at_once("20/second")
    (2, 5, 8)
    """
    from limits import parse  # a large module

    limit = parse(rate)
    return min(MOST_AT_ONCE, max(LEAST_AT_ONCE, round(limit.amount / limit.get_expiry())))


class FindAccount(Protocol):
    """Finds the account of Clint by the token that is set now."""

    def __call__(self, *, anew: bool = False) -> ClintAccount | None:
        """Return the account, None without a token; `anew` reads the token that the journal has at this moment."""


class DealSender:
    """Brings deliveries of API destinations to Clint; threads may share it."""

    def __init__(
        self,
        journal: Journal,
        account: FindAccount,
        clock_ms: Callable[[], int],
        *,
        appears_s: float,
        at_once: int = LEAST_AT_ONCE,
    ) -> None:
        """`appears_s` is how long a new deal may be missing from Clint's lists."""
        self.at_once = at_once
        self._journal = journal
        self._account = account
        self._clock_ms = clock_ms
        self._appears_ms = int(appears_s * 1000)
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="deal")

    @property
    def has_token(self) -> bool:
        return self._account() is not None

    def send_later(
        self,
        delivery: DueDelivery,
        lease: Lease,
        origin: str,
        on_result: Callable[[Answer | None], None],
        *,
        may_start: Callable[[], bool],
    ) -> None:
        """Write the delivery's deal in a thread of its own, and call `on_result` with the answer.

        `may_start` is called before every write; where it returns False, or the claim is lost, the rest is left to the
        next owner of the lane, and the result is None.
        """
        self._pool.submit(self._run, delivery, lease, origin, on_result, may_start)

    def close(self) -> None:
        """Wait for the deliveries under way."""
        self._pool.shutdown()

    def _run(
        self,
        delivery: DueDelivery,
        lease: Lease,
        origin: str,
        on_result: Callable[[Answer | None], None],
        may_start: Callable[[], bool],
    ) -> None:
        started_s = time.monotonic()
        account = self._account()
        answer: Answer | None
        try:
            answer = self.send(delivery, lease, origin, may_start)
        except JournalError as error:
            log.error("deal.not_recorded", delivery_id=delivery.id, error=str(error))
            text = N_("the journal did not answer; the next try looks at what was done in Clint")
            answer = postponed("clint.not_recorded", Message(text))
        except Exception as error:
            log.exception("delivery.fault", delivery_id=delivery.id, event_id=delivery.event_id)
            text = N_("the bridge failed to send ({error}); the log has the details")
            answer = Answer(Outcome.RETRY, None, "bridge.fault", Message(text, {"error": type(error).__name__}))
        if answer is not None:
            # A Clint that does other requests meanwhile is not down, and every delivery has a backoff of its own.
            answers = account is not None and account.api.answered_s >= started_s
            passes = answer.status in {None, 429} and answers
            duration_ms = round((time.monotonic() - started_s) * 1000)
            answer = replace(answer, duration_ms=duration_ms, opens_circuit=not passes)
        on_result(answer)

    def send(self, delivery: DueDelivery, lease: Lease, origin: str, may_start: Callable[[], bool]) -> Answer | None:
        """Write the delivery's deal and return the answer; see `send_later`. Raises JournalError."""
        account = self._account()
        if account is None:  # the token was removed a moment ago
            return None
        wanted = read_payload(delivery.payload)
        if wanted is None:
            text = N_("the payload was made for a webhook: replay the event")
            return Answer(Outcome.REJECTED, None, "clint.other_kind", Message(text))
        try:
            longest_ms = int((account.api.deadline_s + 1) * 1000)
            parts = Parts(self._journal, *account, self._clock_ms, longest_ms, self._appears_ms)
            return _Sending(parts, delivery, lease, wanted, wanted.origin or origin, may_start).run()
        except Ended as ended:
            return ended.answer
        except ClintNameUnknown as error:
            if error.kind == "origin":
                account.directory.forget()  # a resume means that it was fixed in Clint
            return _name_unknown(error)
        except ClintApiFailed as error:
            if error.kind in {ClintFault.TOKEN, ClintFault.PLAN} and self._account(anew=True) is not account:
                text = N_("the token of Clint's API was changed while this was sent; the next try uses the new one")
                return postponed("clint.token_changed", Message(text), BUSY_S)
            return _failed(error)


class _Sending:
    """One delivery on its way to one deal."""

    def __init__(
        self,
        parts: Parts,
        delivery: DueDelivery,
        lease: Lease,
        wanted: Wanted,
        origin: str,
        may_start: Callable[[], bool],
    ) -> None:
        self._parts = parts
        self._delivery = delivery
        self._wanted = wanted
        self._origin_name = origin
        self._row: StoredDeal
        self._origin: Origin
        self._stage_id = ""
        self._user_id = ""
        self._fields: dict[str, str] = {}
        self._rows = ClaimedRows(parts, delivery.id, lease, may_start)
        self._contact = DealContact(self._rows, wanted)

    def run(self) -> Answer:
        """Claim the key and write the deal. Raises Ended, ClintApiFailed, ClintNameUnknown, JournalError."""
        delivery, parts = self._delivery, self._parts
        self._origin = parts.directory.origin(self._origin_name)
        person = (delivery.account, delivery.subject)
        with parts.journal.database.write() as connection:
            now_ms = parts.clock_ms()
            row = deals.claim_deal(connection, self._origin.id, self._wanted.key, person, self._rows.claim, now_ms)
        if row is None:
            text = N_("another delivery is writing this deal; this one goes next")
            raise Ended(postponed("clint.key_busy", Message(text), BUSY_S))
        failpoint("deal.after_claim")
        self._row = row
        with self._rows.released(row):
            return self._write()

    def _write(self) -> Answer:
        wanted, directory = self._wanted, self._parts.directory
        self._stage_id = directory.stage_id(self._origin.id, wanted.stage) if wanted.stage else ""
        self._user_id = directory.user_id(wanted.user) if wanted.user else ""
        self._fields = {self._parts.field_key("deal", name): text for name, text in self._deal_fields()}
        deal = self._known_deal()
        code = "clint.deal_updated"
        if deal is None:
            self._check_key_field(anew=self._row.creating_ms is not None)
            contact_id = self._contact.find_or_create()
            deal = self._find_deal(contact_id)
            if deal is None:
                self._rows.wait_for_mark(self._row.creating_ms, "clint.deal_may_appear", _DEAL_MAY_APPEAR)
                deal = self._create_deal(contact_id)
                code = "clint.deal_created"
        deal, changed, kept = self._update_deal(deal)
        self._update_contact(deal)
        if code == "clint.deal_updated" and not changed:
            code = "clint.deal_unchanged"
        if kept:
            code = "clint.deal_kept"
        label = next((stage.label for stage in self._origin.stages if stage.id == deal.stage_id), deal.stage)
        facts = {"deal": deal.id, "stage": label or deal.stage_id or Message(N_("unknown")), "status": deal.status}
        return Answer(Outcome.DELIVERED, 200, code, Message(_DONE[code], facts))

    def _deal_fields(self) -> Iterator[tuple[str, str]]:
        yield from self._wanted.fields.items()
        yield self._wanted.key_field, self._wanted.key

    def _check_key_field(self, *, anew: bool) -> None:
        """Raise Ended where the account has no field for the key: a deal without it could not be found again."""
        with suppress(ClintApiFailed):
            if self._parts.directory.has_field("deal", self._wanted.key_field, anew=anew) is False:
                raise self._key_not_kept()

    def _key_not_kept(self) -> Ended:
        self._parts.directory.forget()  # who resumes the destination has made the field
        text = N_(
            "Clint did not keep the field {field}, by which the bridge finds a deal again: make this field for "
            "deals in Clint, of the type text, and resume the destination"
        )
        detail = Message(text, {"field": self._wanted.key_field})
        return Ended(Answer(Outcome.REMOVED, 200, "clint.key_not_kept", detail))

    # ------------------------------------------------------------ the deal

    def _known_deal(self) -> Deal | None:
        """Return the deal of the key as it stands in Clint; None where none is known or it is removed.

        A deal that was removed ends the delivery where the mapping does not say otherwise.
        """
        row = self._row
        if row.deal_id is None:
            return None
        deal = self._parts.api.deal(row.deal_id)
        if deal is not None:
            return deal
        known = row.contact_id and self._parts.api.contact(row.contact_id)
        other = self._find_deal(row.contact_id or "") if known else None
        if other is None and row.creating_ms is None and not self._wanted.make_again:
            text = N_("deal {deal} was removed in Clint, and the mapping leaves it so")
            answer = Answer(Outcome.DISCARDED, 404, "clint.deal_removed", Message(text, {"deal": row.deal_id}))
            raise Ended(answer)
        return other

    def _find_deal(self, contact_id: str) -> Deal | None:
        """Return the deal that carries the key, and note it; with several, the oldest, and raise a notice."""
        wanted, api, row = self._wanted, self._parts.api, self._row
        is_first = row.creating_ms is None and row.deal_id is None
        if self._contact.is_new and is_first:
            return None  # a contact that was created a moment ago has no deals
        searches = [api.deals_of(contact_id, self._origin.id)]
        if not is_first:
            searches.append(api.deals_with(wanted.key_field, wanted.key, self._origin.id))
        found = {deal.id: deal for search in searches for deal in search.deals}
        listed = [deal.id for deal in found.values() if deal.field(wanted.key_field) == wanted.key]
        # Lists may show a deal as it was, before a person moved or removed it.
        mine = [deal for deal_id in listed if (deal := api.deal(deal_id)) is not None]
        if not mine:
            missed = next((search for search in searches if search.missed), None)
            if missed is not None:
                facts = {"statuses": ", ".join(missed.missed)}
                text = N_("Clint did not list its deals of status {statuses}; nothing is created before it does")
                wait_s = missed.error.retry_after_s if missed.error else None
                status = missed.error.status if missed.error else None
                answer = Answer(Outcome.RETRY, status, "clint.not_everywhere", Message(text, facts), wait_s)
                raise Ended(answer)
            self._check_for_keyless(searches[0].deals)
            return None
        first = oldest(mine)
        if row.creating_ms is not None:
            place = (row.wanted_stage_id, row.wanted_status)  # as the bridge created it
        elif self._may_be_written_by_bridge(first):
            place = (first.stage_id, first.status)
        else:
            # A person's: it differs from every place that the bridge writes, so also from this one.
            place = (self._stage_id or None, wanted.status or "OPEN")
        after = replace(
            row,
            contact_id=first.contact_id or contact_id,
            deal_id=first.id,
            creating_ms=None,
            stage_id=place[0],
            status=place[1],
            wanted_stage_id=None,
            wanted_status=None,
        )
        raised = [doubled_notice(self._delivery.destination, wanted.key_field, first, mine)] if len(mine) > 1 else []
        self._save(after, raised)
        return first

    def _may_be_written_by_bridge(self, deal: Deal) -> bool:
        """Return whether a deal that the journal knows nothing of is where the mapping puts deals at some event."""
        wanted, origin = self._wanted, self._origin
        stages: set[str] = set()
        for name in wanted.own_stages:
            with suppress(ClintNameUnknown):
                stages.add(self._parts.directory.stage_id(origin.id, name))
        if wanted.own_stages and origin.stages:
            stages.add(origin.stages[0].id)  # where Clint puts a new deal without a stage
        return deal.status in wanted.own_statuses and (not wanted.own_stages or deal.stage_id in stages)

    def _check_for_keyless(self, listed: Sequence[Deal]) -> None:
        """Raise Ended where one of the contact's deals may be what a create made whose answer and key were lost."""
        wanted, parts, creating_ms = self._wanted, self._parts, self._row.creating_ms
        if creating_ms is None:
            return
        earliest_ms = creating_ms - CLOCK_TOLERANCE_MS
        latest_ms = creating_ms + parts.longest_ms + parts.appears_ms
        alike = {
            deal.id
            for deal in listed
            if not deal.field(wanted.key_field)
            and earliest_ms <= deal.times_ms.get("created_at", creating_ms) <= latest_ms
            and self._may_be_made_of_this(deal)
        }
        with parts.journal.database.read() as connection:
            alike -= deals.known_ids(connection, alike)
        if alike:
            parts.directory.forget()
            text = N_(
                "the answer to a create was lost, and the deal {deal} may be the one, without its key in the field "
                "{field}: write the key there in Clint, or remove the deal, and resume the destination"
            )
            detail = Message(text, {"deal": ", ".join(sorted(alike)), "field": wanted.key_field})
            raise Ended(Answer(Outcome.REMOVED, 200, "clint.key_not_kept", detail))

    def _may_be_made_of_this(self, deal: Deal) -> bool:
        """Return whether nothing that Clint shows of the deal is other than this delivery creates it."""
        value = self._wanted.value
        if value is not None and deal.value is not None and round(deal.value - value, 2) != 0:
            return False
        return all(deal.field(name) in {"", text} for name, text in self._fields.items())

    def _create_deal(self, contact_id: str) -> Deal:
        wanted, parts = self._wanted, self._parts
        before = self._row
        marked = replace(
            before,
            contact_id=contact_id,
            stage_id=None,
            status=None,
            wanted_stage_id=self._stage_id or None,
            wanted_status="OPEN",
        )

        def mark() -> None:
            self._save(replace(marked, creating_ms=parts.clock_ms()))
            failpoint("deal.create_marked")

        try:
            deal_id = parts.api.create_deal(
                origin_id=self._origin.id,
                contact_id=contact_id,
                stage_id=self._stage_id,
                user_id=self._user_id,
                value=wanted.value,
                name=wanted.name,
                fields=self._fields,
                may_start=lambda: self._rows.may_write(mark),
            )
        except ClintApiFailed as error:
            if error.kind is ClintFault.UNKNOWN:
                raise Ended(lost(error, "clint.create_unknown")) from None
            if self._row is not before:
                self._save(replace(self._row, creating_ms=before.creating_ms))
            if error.kind in {ClintFault.GONE, ClintFault.REFUSED}:
                self._check_origin()
            raise
        failpoint("deal.created")
        # Without a stage Clint chooses it: what the next look shows is the bridge's own.
        stage_id, status = (self._stage_id, "OPEN") if self._stage_id else (None, None)
        made = replace(self._row, deal_id=deal_id, stage_id=stage_id, status=status, creating_ms=None)
        self._save(replace(made, wanted_stage_id=None, wanted_status=None))
        failpoint("deal.create_noted")
        return self._look_at_new(deal_id, contact_id)

    def _look_at_new(self, deal_id: str, contact_id: str) -> Deal:
        """Return the deal that was just created, which must carry its key, with the values that it was created with."""
        wanted = self._wanted
        deal = self._parts.api.deal(deal_id)
        if deal is None and self._stage_id:
            # The next delivery of the deal looks for its key.
            deal = Deal(deal_id, self._origin.id, self._stage_id, "", "OPEN", contact_id=contact_id)
        elif deal is None:
            text = N_("deal {deal} was created and does not show yet")
            raise Ended(postponed("clint.deal_may_appear", Message(text, {"deal": deal_id}), BUSY_S))
        elif deal.field(wanted.key_field) != wanted.key:
            raise self._key_not_kept()
        return replace(deal, fields=self._fields, user_id=self._user_id, value=wanted.value)

    def _update_deal(self, deal: Deal) -> tuple[Deal, bool, bool]:
        """Write what differs; return the deal, whether it was changed, and whether a person's place for it was kept."""
        wanted, parts = self._wanted, self._parts
        lacks_key = deal.field(wanted.key_field) != wanted.key
        if lacks_key:
            self._check_key_field(anew=True)
        is_ours = self._is_ours(deal)
        is_elsewhere = deal.origin_id not in {"", self._origin.id}
        kept = (not is_ours or is_elsewhere) and not wanted.override
        # The stages of another origin are other stages, so no mapping can set one there.
        stage_id = "" if kept or is_elsewhere else self._stage_id
        status = "" if kept else wanted.status
        changes: dict[str, Any] = {}
        if stage_id and stage_id != deal.stage_id:
            changes["stage_id"] = stage_id
        if status and status != deal.status:
            changes["status"] = status
        if wanted.value is not None and (deal.value is None or round(deal.value - wanted.value, 2) != 0):
            changes["value"] = wanted.value
        if self._user_id and self._user_id != deal.user_id:
            changes["user_id"] = self._user_id
        if any(deal.field(name) != text for name, text in self._fields.items()):
            # All of them: whether Clint keeps the fields that an update does not name is unknown.
            changes["fields"] = self._fields
        seen = replace(self._row, contact_id=deal.contact_id or self._row.contact_id)
        if is_ours:
            seen = replace(seen, stage_id=deal.stage_id, status=deal.status)
        if not changes:
            self._save(replace(seen, wanted_stage_id=None, wanted_status=None))
            return deal, False, kept and self._differs(deal)
        after = replace(
            deal, stage_id=stage_id or deal.stage_id, stage="" if stage_id else deal.stage, status=status or deal.status
        )

        def mark() -> None:
            written = "stage_id" in changes or "status" in changes
            place = (after.stage_id, after.status) if written else (None, None)
            self._save(replace(seen, wanted_stage_id=place[0], wanted_status=place[1]))
            failpoint("deal.update_marked")

        try:
            parts.api.update_deal(deal.id, **changes, may_start=lambda: self._rows.may_write(mark))
        except ClintApiFailed as error:
            if error.kind is ClintFault.UNKNOWN:
                raise Ended(lost(error, "clint.update_unknown")) from None
            if error.kind in {ClintFault.GONE, ClintFault.REFUSED}:
                self._check_origin()
            if error.kind is ClintFault.GONE:
                # Removed since it was read: the next try reads it again, and decides.
                raise Ended(Answer(Outcome.RETRY, error.status, "clint.deal_gone", error.message())) from None
            raise
        failpoint("deal.updated")
        noted = replace(self._row, wanted_stage_id=None, wanted_status=None)
        if self._row.wanted_stage_id is not None:
            noted = replace(noted, stage_id=after.stage_id, status=after.status)
        self._save(noted)
        failpoint("deal.update_noted")
        if lacks_key and (now := parts.api.deal(deal.id)) is not None and now.field(wanted.key_field) != wanted.key:
            raise self._key_not_kept()
        return after, True, kept and self._differs(after)

    def _is_ours(self, deal: Deal) -> bool:
        """Return whether stage and status are as the bridge wrote them, or wanted to."""
        row = self._row
        places = [(row.stage_id, row.status), (row.wanted_stage_id, row.wanted_status)]
        known = [(stage_id, status) for stage_id, status in places if stage_id or status]
        return not known or any(
            stage_id in {None, deal.stage_id} and status in {None, deal.status} for stage_id, status in known
        )

    def _differs(self, deal: Deal) -> bool:
        """Return whether the mapping would have put the deal elsewhere."""
        wanted = self._wanted
        return bool(
            (self._stage_id and self._stage_id != deal.stage_id) or (wanted.status and wanted.status != deal.status)
        )

    def _check_origin(self) -> None:
        """Raise ClintNameUnknown where the origin or the stage that a refused request named is gone by now."""
        directory = self._parts.directory
        directory.forget()
        with suppress(ClintApiFailed):
            directory.origin(self._origin_name)
            if self._wanted.stage:
                directory.stage_id(self._origin_name, self._wanted.stage)

    # ------------------------------------------------------------ contact and row

    def _update_contact(self, deal: Deal) -> None:
        """Write to the contact what the payload says of it, once."""
        row = self._row
        digest = self._contact.digest()
        contact_id = deal.contact_id or row.contact_id
        if digest == row.contact_digest or not contact_id:
            return
        # A deal whose contact was removed in Clint stands without it.
        if self._contact.update(contact_id, lambda: self._save(self._row)):
            self._save(replace(self._row, contact_digest=digest))

    def _save(self, after: StoredDeal, raised: Sequence[Notice] = ()) -> None:
        self._row = self._rows.save(self._row, after, raised)


_DEAL_MAY_APPEAR = N_(
    "the answer to a create was lost, and Clint shows no deal with this key; the bridge looks again in {seconds} s"
)
_DONE = {
    "clint.deal_created": N_("deal {deal} was created: stage {stage}, status {status}"),
    "clint.deal_updated": N_("deal {deal} was changed: stage {stage}, status {status}"),
    "clint.deal_unchanged": N_("deal {deal} is so already: stage {stage}, status {status}"),
    "clint.deal_kept": N_("deal {deal} stays where a person put it: stage {stage}, status {status}"),
}


def oldest(found: Sequence[Deal]) -> Deal:
    """Return the one of several deals with one key with which the bridge goes on."""
    return min(found, key=lambda deal: (deal.times_ms.get("created_at", 0), deal.id))


def doubled_notice(destination: str, key_field: str, kept: Deal, found: Sequence[Deal]) -> Notice:
    """Return the notice about deals with one key, of which the bridge writes to `kept`."""
    ids = [kept.id, *sorted(deal.id for deal in found if deal.id != kept.id)]
    text = N_(
        "{destination}: the deals {deals} carry one key in {field}; the bridge goes on with {kept} and makes no third"
    )
    facts = {"destination": destination, "deals": ", ".join(ids), "field": key_field, "kept": kept.id}
    detail = Message(text, facts)
    mend = Message(N_("look at these deals in Clint, and remove the one that is not needed"))
    return Notice(DOUBLED, f"{destination}/{kept.id}", NoticeLevel.WARNING, detail, mend)


def _name_unknown(error: ClintNameUnknown) -> Answer:
    if error.kind == "origin":
        text = N_("{problem}: the origin was removed or renamed in Clint; set the destination's origin and resume it")
        return Answer(Outcome.REMOVED, None, "clint.origin_gone", Message(text, {"problem": error.message()}))
    return Answer(Outcome.REJECTED, None, "clint.name_unknown", error.message())


def _failed(error: ClintApiFailed) -> Answer | None:
    """Return the answer to a request that failed, in which nothing was changed or a repeat does no harm."""
    kind, detail, status, wait_s = error.kind, error.message(), error.status, error.retry_after_s
    match kind:
        case ClintFault.NOT_STARTED:
            return None
        case ClintFault.TOKEN:
            return Answer(Outcome.REMOVED, status, "clint.token", detail)
        case ClintFault.PLAN:
            return Answer(Outcome.REMOVED, status, "clint.plan", detail)
        case ClintFault.REFUSED:
            return Answer(Outcome.REJECTED, status, "clint.refused", detail)
        case ClintFault.BUSY if status is None:
            return postponed("clint.api_turn", detail, wait_s)
        case ClintFault.BUSY:
            return Answer(Outcome.RETRY, status, "clint.http_429", detail, wait_s)
        case ClintFault.UNKNOWN:
            return Answer(Outcome.RETRY, status, "clint.update_unknown", detail, wait_s)
        case ClintFault.GONE:
            return Answer(Outcome.RETRY, status, "clint.deal_gone", detail, wait_s)
    code = f"clint.http_{status}" if status and re.fullmatch(r"5\d\d", str(status)) else "clint.connection"
    return Answer(Outcome.RETRY, status, code, detail, wait_s)
