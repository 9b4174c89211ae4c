"""Compares the charges of an account with the journal, a page at a time. Changes nothing.

The journal is read after the API, so that an event in between is seen.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from bridge import private_files
from bridge.asaas.client import AsaasClient, Page, pages
from bridge.journal import Journal
from bridge.journal.queries import ChargeEvent, events_of_charge
from bridge.mapping.catalogue import flow_rank
from bridge.mapping.values import BadValue, as_decimal
from bridge.model import FINISHED, DeliveryState


class Verdict(StrEnum):
    """The state of a charge in the journal."""

    MISSING = "missing"  # no event of it
    OLDER = "older"  # its newest event has another status than the API
    DEAD = "dead"  # known; a delivery of it failed
    WAITING = "waiting"  # known; still being processed or delivered
    DELIVERED = "delivered"  # known and delivered
    STALE = "stale"  # known; not sent because a newer event was
    DISCARDED = "discarded"  # known; its delivery was discarded
    FILTERED = "filtered"  # known; every mapping's filter said no
    UNMAPPED = "unmapped"  # known; no mapping listens to its event


VERDICTS = tuple(verdict.value for verdict in Verdict)
BEHIND = frozenset({Verdict.MISSING, Verdict.OLDER})
"""Verdicts on charges that a backfill brings in."""


@dataclass(frozen=True, slots=True)
class ChargeStatus:
    """The part of a charge whose change makes an event."""

    status: str
    refunded: Decimal = Decimal(0)
    """Of a charge that is still paid."""

    def __str__(self) -> str:
        return f"{self.status} ({self.refunded:.2f} refunded)" if self.refunded else self.status


@dataclass(frozen=True, slots=True)
class Compared:
    """A charge and its newest event in the journal."""

    charge: Mapping[str, Any]
    charge_status: ChargeStatus
    verdict: Verdict
    newest: ChargeEvent | None = None
    """By Asaas's own time."""
    known: ChargeStatus | None = None
    """The status in that event."""


def status_of(charge: Mapping[str, Any]) -> ChargeStatus:
    """Return the status of a charge of the API or of an event."""
    if charge.get("deleted") is True:
        return ChargeStatus("DELETED")  # Asaas keeps the status of before
    status = str(charge.get("status") or "")
    if status not in {"CONFIRMED", "RECEIVED"}:
        return ChargeStatus(status)
    refunds = charge.get("refunds")
    given_back = [refund for refund in refunds if isinstance(refund, dict)] if isinstance(refunds, list) else []
    try:
        refunded = sum((as_decimal(one.get("value")) for one in given_back if one.get("status") == "DONE"), Decimal(0))
    except (BadValue, ArithmeticError):
        refunded = Decimal(0)
    return ChargeStatus(status, refunded)


def compare(charge: Mapping[str, Any], kept: Sequence[ChargeEvent], asked_ms: int) -> Compared:
    """Return the verdict on a charge that the API returned after `asked_ms`."""
    status = status_of(charge)
    if not kept:
        return Compared(charge, status, Verdict.MISSING)
    newest = max(kept, key=lambda event: (event.created, flow_rank(event.name), event.event_id))
    known = status_in(newest)
    # An event that came after the request is newer than the API's answer.
    if known != status and newest.received_ms < asked_ms:
        return Compared(charge, status, Verdict.OLDER, newest, known)
    # A viewed boleto makes an event too: every event of this status counts.
    same = [event for event in kept if event is newest or status_in(event) == status]
    return Compared(charge, status, _verdict(same), newest, known)


def status_in(event: ChargeEvent) -> ChargeStatus:
    """Return the status of the charge in an event's body."""
    charge = json.loads(event.body).get("payment")
    return status_of(charge if isinstance(charge, dict) else {})


_FIRST_OF = tuple(DeliveryState[name] for name in ("DEAD", "DELIVERED", "STALE", "DISCARDED", "FILTERED"))


def _verdict(events: Sequence[ChargeEvent]) -> Verdict:
    states = {state for event in events for state in event.states}
    if DeliveryState.DEAD not in states and (states - FINISHED or any(event.waits for event in events)):
        return Verdict.WAITING
    return next((Verdict(state.value) for state in _FIRST_OF if state in states), Verdict.UNMAPPED)


Day = Literal["created", "due", "paid"]

FIELDS: dict[Day, str] = {"created": "dateCreated", "due": "dueDate", "paid": "paymentDate"}
"""The charge's field by day. Asaas has no filter for the day of a charge's last change."""


@dataclass(frozen=True, slots=True)
class Window:
    """A range of days, both included."""

    since: date
    until: date
    by: Day = "created"


def compare_pages(
    client: AsaasClient,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    offset: int = 0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[tuple[Page, list[Compared], int]]:
    """Yield each page of the account's charges of these days, compared, with the time of the request.

    Raises EnrichmentWaits.
    """
    day = FIELDS[window.by]
    days = {f"{day}[ge]": window.since.isoformat(), f"{day}[le]": window.until.isoformat()}
    asked_ms = clock_ms()
    for page in pages(client, "/payments", days, offset=offset, sleep=sleep):
        charges = {str(charge.get("id")): charge for charge in page.items}
        with journal.database.read() as connection:
            kept = events_of_charge(connection, client.account, charges)
        yield page, [compare(charge, kept.get(id_, ()), asked_ms) for id_, charge in charges.items()], asked_ms
        asked_ms = clock_ms()


def compare_charge(
    client: AsaasClient, journal: Journal, charge_id: str, clock_ms: Callable[[], int]
) -> tuple[Compared, int] | None:
    """Return one charge compared, with the time of the request; None where Asaas does not have it.

    Raises EnrichmentWaits, AsaasRejected.
    """
    asked_ms = clock_ms()
    charge = client.get_object("payment", charge_id)
    return None if charge is None else (compare_with_journal(client.account, journal, charge, asked_ms), asked_ms)


def compare_with_journal(account: str, journal: Journal, charge: Mapping[str, Any], asked_ms: int) -> Compared:
    """Return the comparison of a charge that the API returned after `asked_ms`."""
    id_ = str(charge.get("id"))
    with journal.database.read() as connection:
        kept = events_of_charge(connection, account, [id_])
    return compare(charge, kept.get(id_, ()), asked_ms)


GOES_ON_WITHIN_S = 3600
"""A run that was interrupted longer ago starts again."""


Finding = dict[str, Any]
"""The verdict on a charge, for `--json`: id, day, status, verdict, the status and number of the newest event, and the
charge's customer, value and description."""


@dataclass(frozen=True, slots=True)
class Report:
    account: str
    window: Window
    findings: list[Finding]
    resumed_at: int
    """Charges that an interrupted run had already compared."""

    def data(self) -> dict[str, Any]:
        """Return it for `--json`: totals, numbers by day and status, the charges that need something, by what it is."""
        totals = Counter(one["verdict"] for one in self.findings)
        days = defaultdict[tuple[str, str], Counter[str]](Counter)
        for one in self.findings:
            days[one["day"], one["status"]][one["verdict"]] += 1
        return {
            "account": self.account,
            "since": self.window.since.isoformat(),
            "until": self.window.until.isoformat(),
            "by": self.window.by,
            "charges": len(self.findings),
            "resumed_at": self.resumed_at,
            "totals": {name: totals[name] for name in VERDICTS},
            "days": [
                {"day": day, "status": status, "charges": counted.total(), **{name: counted[name] for name in VERDICTS}}
                for (day, status), counted in sorted(days.items())
            ],
            "behind": self._of(BEHIND),
            "dead": self._of({Verdict.DEAD}),
        }

    def _of(self, verdicts: Collection[str]) -> list[Finding]:
        return sorted((one for one in self.findings if one["verdict"] in verdicts), key=itemgetter("day"))


def reconcile(
    client: AsaasClient,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    directory: Path,
    sleep: Callable[[float], object] = time.sleep,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Report:
    """Return the report on the charges of these days; `on_progress` gets the number of compared charges and of all.

    Raises EnrichmentWaits; the next call continues there, by a file in `directory`.
    """
    path = directory / f"{client.account}-{window.by}-{window.since}-{window.until}.jsonl"
    found, resumed_at = _interrupted_run(path)
    for page, charges, _ in compare_pages(client, journal, window, clock_ms, offset=resumed_at, sleep=sleep):
        findings = [_finding(one, window) for one in charges]
        found.update((one["id"], one) for one in findings)
        if page.following is not None:
            private_files.make_directory(directory)
            private_files.restrict(directory)
            with open(path, "a", encoding="utf-8", opener=private_files.opener) as file:
                # In a plain file: a description may name a person.
                kept = [{name: one[name] for name in one if name != "description"} for one in findings]
                file.write(json.dumps({"following": page.following, "findings": kept}) + "\n")
        on_progress(len(found), page.total)
    path.unlink(missing_ok=True)
    return Report(client.account, window, list(found.values()), resumed_at)


def _interrupted_run(path: Path) -> tuple[dict[str, Finding], int]:
    """Return the last finding of each charge, and the offset at which the run continues."""
    found: dict[str, Finding] = {}
    offset = 0
    if not path.exists() or time.time() - path.stat().st_mtime > GOES_ON_WITHIN_S:
        path.unlink(missing_ok=True)
        return found, offset
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            noted = json.loads(line)
        except ValueError:
            break  # the process ended within this line
        offset = noted["following"]
        found.update((one["id"], one) for one in noted["findings"])
    return found, offset


def _finding(compared: Compared, window: Window) -> Finding:
    return {
        "id": str(compared.charge.get("id")),
        "day": str(compared.charge.get(FIELDS[window.by]) or "")[:10],
        "status": str(compared.charge_status),
        "verdict": compared.verdict.value,
        "known": str(compared.known or ""),
        "event_id": compared.newest.event_id if compared.newest else None,
        "customer": str(compared.charge.get("customer") or ""),
        "value": compared.charge.get("value"),
        "description": str(compared.charge.get("description") or ""),
    }


def as_csv(reports: Iterable[dict[str, Any]]) -> str:
    """Return the numbers by day and status of reports, given as their data."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["account", "day", "status", "charges", *VERDICTS], lineterminator="\n")
    writer.writeheader()
    for report in reports:
        writer.writerows({"account": report["account"], **day} for day in report["days"])
    return text.getvalue()
