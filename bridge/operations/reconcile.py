"""Compares the charges of an account with the journal, a page at a time. Changes nothing.

The journal is read after the API, so that an event in between is seen.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from bridge import private_files
from bridge.asaas.client import AsaasClient, pages
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


_FIRST_OF = (
    (DeliveryState.DEAD, Verdict.DEAD),
    (DeliveryState.DELIVERED, Verdict.DELIVERED),
    (DeliveryState.STALE, Verdict.STALE),
    (DeliveryState.DISCARDED, Verdict.DISCARDED),
    (DeliveryState.FILTERED, Verdict.FILTERED),
)


def _verdict(events: Sequence[ChargeEvent]) -> Verdict:
    states = {state for event in events for state in event.states}
    if DeliveryState.DEAD not in states and (states - FINISHED or any(event.waits for event in events)):
        return Verdict.WAITING
    return next((verdict for state, verdict in _FIRST_OF if state in states), Verdict.UNMAPPED)


Day = Literal["created", "due", "paid"]

FIELDS: dict[Day, str] = {"created": "dateCreated", "due": "dueDate", "paid": "paymentDate"}
"""The charge's field by day. Asaas has no filter for the day of a charge's last change."""


@dataclass(frozen=True, slots=True)
class Window:
    """A range of days, both included."""

    since: date
    until: date
    by: Day = "created"

    @property
    def field(self) -> str:
        """The charge's field that lies within."""
        return FIELDS[self.by]

    @property
    def params(self) -> dict[str, str | int]:
        """Parameters of GET /payments."""
        return {f"{self.field}[ge]": self.since.isoformat(), f"{self.field}[le]": self.until.isoformat()}


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """A compared page of charges."""

    charges: list[Compared]
    asked_ms: int
    total: int
    following: int | None
    """The offset of the next page, None at the end."""


def compare_pages(
    client: AsaasClient,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    offset: int = 0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[ComparedPage]:
    """Compare the account's charges of these days. Raises EnrichmentWaits."""
    asked_ms = clock_ms()
    for page in pages(client, "/payments", window.params, offset=offset, sleep=sleep):
        charges = {str(charge.get("id")): charge for charge in page.items}
        with journal.database.read() as connection:
            kept = events_of_charge(connection, client.account, charges)
        compared = [compare(charge, kept.get(id_, ()), asked_ms) for id_, charge in charges.items()]
        yield ComparedPage(compared, asked_ms, page.total, page.following)
        asked_ms = clock_ms()


GOES_ON_WITHIN_S = 3600
"""A run that was interrupted longer ago starts anew."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on a charge, in plain values."""

    id: str
    day: str
    status: str
    verdict: str
    known: str = ""
    """The status in the journal's newest event."""
    event_id: int | None = None


@dataclass(slots=True)
class Report:
    """All findings of one account."""

    account: str
    window: Window
    findings: list[Finding]
    resumed_at: int = 0
    """Charges that an interrupted run had already compared."""

    @property
    def behind(self) -> list[Finding]:
        """The charges that the journal does not know, oldest first."""
        return sorted((one for one in self.findings if Verdict(one.verdict) in BEHIND), key=lambda one: one.day)

    @property
    def totals(self) -> Counter[str]:
        """The number of charges by verdict."""
        return Counter(one.verdict for one in self.findings)

    def by_day(self) -> dict[tuple[str, str], Counter[str]]:
        """Return the number of charges by verdict, for each day and status."""
        counted: dict[tuple[str, str], Counter[str]] = {}
        for one in self.findings:
            counted.setdefault((one.day, one.status), Counter())[one.verdict] += 1
        return dict(sorted(counted.items()))


@dataclass(slots=True)
class Progress:
    """The file with the progress of a run."""

    path: Path
    offset: int = 0
    found: dict[str, Finding] = field(default_factory=dict)

    @classmethod
    def from_file(cls, directory: Path, account: str, window: Window) -> Progress:
        """Return the progress of an interrupted run of the same days, or an empty one."""
        progress = cls(directory / f"{account}-{window.by}-{window.since}-{window.until}.jsonl")
        if progress.path.exists():
            if time.time() - progress.path.stat().st_mtime > GOES_ON_WITHIN_S:
                progress.path.unlink()
            else:
                progress._read()
        return progress

    def _read(self) -> None:
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                noted = json.loads(line)
            except ValueError:
                return  # the process ended within this line
            self.offset = noted["following"]
            self.add(Finding(**one) for one in noted["findings"])

    def add(self, findings: Iterable[Finding]) -> None:
        """Keep findings, the last one of each charge."""
        self.found.update((one.id, one) for one in findings)

    def note(self, findings: list[Finding], following: int) -> None:
        private_files.make_directory(self.path.parent)
        private_files.restrict(self.path.parent)
        with open(self.path, "a", encoding="utf-8", opener=private_files.opener) as file:
            file.write(json.dumps({"following": following, "findings": [asdict(one) for one in findings]}) + "\n")


def reconcile(
    client: AsaasClient,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    directory: Path,
    sleep: Callable[[float], object] = time.sleep,
    tell: Callable[[int, int], object] = lambda _done, _total: None,
) -> Report:
    """Return the report on the charges of these days; `tell` gets the number of compared charges and of all.

    Raises EnrichmentWaits; the next call continues there.
    """
    progress = Progress.from_file(directory, client.account, window)
    resumed_at = progress.offset
    for page in compare_pages(client, journal, window, clock_ms, offset=progress.offset, sleep=sleep):
        findings = [_finding(one, window) for one in page.charges]
        progress.add(findings)
        if page.following is not None:
            progress.note(findings, page.following)
        tell(len(progress.found), page.total)
    progress.path.unlink(missing_ok=True)
    return Report(client.account, window, list(progress.found.values()), resumed_at)


def _finding(compared: Compared, window: Window) -> Finding:
    charge: Any = compared.charge
    return Finding(
        str(charge.get("id")),
        str(charge.get(window.field) or "")[:10],
        str(compared.charge_status),
        compared.verdict.value,
        str(compared.known or ""),
        compared.newest.event_id if compared.newest else None,
    )


VERDICTS = tuple(verdict.value for verdict in Verdict)


def as_data(report: Report) -> dict[str, Any]:
    """Return a report for `--json`: totals, numbers by day and status, charges that the journal does not know."""
    return {
        "account": report.account,
        "since": report.window.since.isoformat(),
        "until": report.window.until.isoformat(),
        "by": report.window.by,
        "charges": len(report.findings),
        "resumed_at": report.resumed_at,
        "totals": {name: report.totals[name] for name in VERDICTS},
        "days": [
            {"day": day, "status": status, "charges": counted.total(), **{name: counted[name] for name in VERDICTS}}
            for (day, status), counted in report.by_day().items()
        ],
        "behind": [asdict(one) for one in report.behind],
    }


def as_csv(reports: Iterable[dict[str, Any]]) -> str:
    """Return the numbers by day and status of reports of `as_data`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["account", "day", "status", "charges", *VERDICTS])
    for report in reports:
        for day in report["days"]:
            numbers = [day[name] for name in VERDICTS]
            writer.writerow([report["account"], day["day"], day["status"], day["charges"], *numbers])
    return text.getvalue()
