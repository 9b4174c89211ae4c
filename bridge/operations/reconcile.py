"""Walks through the charges of an account and compares each with the journal, a page at a time. Changes nothing.

The journal is asked after the API, so that an event that comes in between is seen.
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
from bridge.asaas.client import Reads, pages
from bridge.journal import Journal
from bridge.journal.queries import ChargeEvent, events_of_charge
from bridge.mapping.catalogue import flow_rank
from bridge.mapping.values import BadValue, as_decimal
from bridge.model import FINISHED, DeliveryState


class Verdict(StrEnum):
    """How a charge stands in the journal."""

    MISSING = "missing"  # no event about it was ever kept
    OLDER = "older"  # its newest event says another status than the API
    DEAD = "dead"  # known, and a delivery of it was given up
    WAITING = "waiting"  # known, and still being processed or delivered
    DELIVERED = "delivered"  # known, and sent to a destination
    STALE = "stale"  # known, and not sent because a newer event was
    DISCARDED = "discarded"  # known, and a person decided that it is not owed
    FILTERED = "filtered"  # known, and no mapping wanted it
    UNMAPPED = "unmapped"  # known, and no mapping listened to its event


BEHIND = frozenset({Verdict.MISSING, Verdict.OLDER})
"""What a backfill brings in."""


@dataclass(frozen=True, slots=True)
class ChargeStatus:
    """What of a charge makes an event when it changes."""

    status: str
    refunded: Decimal = Decimal(0)
    """What was given back of a charge that is still paid."""

    def __str__(self) -> str:
        """Write it in one line."""
        return f"{self.status} ({self.refunded:.2f} refunded)" if self.refunded else self.status


@dataclass(frozen=True, slots=True)
class Compared:
    """One charge and what the journal knows of it."""

    charge: Mapping[str, Any]
    charge_status: ChargeStatus
    verdict: Verdict
    newest: ChargeEvent | None = None
    """The event that says most about it, by Asaas's own time."""
    known: ChargeStatus | None = None
    """The standing in that event."""


def status_of(charge: Mapping[str, Any]) -> ChargeStatus:
    """Return the standing of a charge, from the API or from an event."""
    if charge.get("deleted") is True:
        return ChargeStatus("DELETED")  # its status stays what it was
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
    """Return the verdict on a charge that the API was asked for at that time."""
    standing = status_of(charge)
    if not kept:
        return Compared(charge, standing, Verdict.MISSING)
    newest = max(kept, key=lambda event: (event.created, flow_rank(event.name), event.event_id))
    known = status_in(newest)
    # An event that came after the API was asked knows more than the API's answer.
    if known != standing and newest.received_ms < asked_ms:
        return Compared(charge, standing, Verdict.OLDER, newest, known)
    # A boleto that was only looked at makes an event too: every event of this standing counts.
    same = [event for event in kept if event is newest or status_in(event) == standing]
    return Compared(charge, standing, _came_of_it(same), newest, known)


def status_in(event: ChargeEvent) -> ChargeStatus:
    """Return the standing of the charge in an event's body."""
    charge = json.loads(event.body).get("payment")
    return status_of(charge if isinstance(charge, dict) else {})


_FIRST_OF = (
    (DeliveryState.DEAD, Verdict.DEAD),
    (DeliveryState.DELIVERED, Verdict.DELIVERED),
    (DeliveryState.STALE, Verdict.STALE),
    (DeliveryState.DISCARDED, Verdict.DISCARDED),
    (DeliveryState.FILTERED, Verdict.FILTERED),
)


def _came_of_it(events: Sequence[ChargeEvent]) -> Verdict:
    states = {state for event in events for state in event.states}
    if DeliveryState.DEAD not in states and (states - FINISHED or any(event.waits for event in events)):
        return Verdict.WAITING
    return next((verdict for state, verdict in _FIRST_OF if state in states), Verdict.UNMAPPED)


Day = Literal["created", "due", "paid"]

FIELDS: dict[Day, str] = {"created": "dateCreated", "due": "dueDate", "paid": "paymentDate"}
"""The day of a charge that a window is about. Asaas has no filter for the day of a charge's last change."""


@dataclass(frozen=True, slots=True)
class Window:
    """The days that are looked at, both included."""

    since: date
    until: date
    by: Day = "created"

    @property
    def field(self) -> str:
        """The charge's field that must lie within."""
        return FIELDS[self.by]

    @property
    def params(self) -> dict[str, str | int]:
        """The same as parameters of GET /payments."""
        return {f"{self.field}[ge]": self.since.isoformat(), f"{self.field}[le]": self.until.isoformat()}


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """A page of charges that was compared."""

    charges: list[Compared]
    asked_ms: int
    total: int
    following: int | None
    """The offset to go on from, None at the end."""


def compare_pages(
    client: Reads,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    offset: int = 0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[ComparedPage]:
    """Compare the account's charges of these days; raise EnrichmentWaits where Asaas can't be asked for now."""
    asked_ms = clock_ms()
    for page in pages(client, "/payments", window.params, offset=offset, sleep=sleep):
        charges = {str(charge.get("id")): charge for charge in page.items}
        with journal.database.read() as connection:
            kept = events_of_charge(connection, client.account, charges)
        compared = [compare(charge, kept.get(id_, ()), asked_ms) for id_, charge in charges.items()]
        yield ComparedPage(compared, asked_ms, page.total, page.following)
        asked_ms = clock_ms()


GOES_ON_WITHIN_S = 3600
"""A walk that was broken off longer ago starts anew: what it found may no longer be so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one charge."""

    id: str
    day: str
    status: str
    verdict: str
    known: str = ""
    """The standing that the journal knows, where it knows the charge."""
    event_id: int | None = None
    """The number of the event that says so."""


@dataclass(slots=True)
class Report:
    """All findings of one account."""

    account: str
    window: Window
    findings: list[Finding]
    resumed_at: int = 0
    """How many charges an earlier walk had already looked at."""

    @property
    def behind(self) -> list[Finding]:
        """What the journal does not know: oldest first."""
        return sorted((one for one in self.findings if Verdict(one.verdict) in BEHIND), key=lambda one: one.day)

    @property
    def totals(self) -> Counter[str]:
        """How many charges there are of each verdict."""
        return Counter(one.verdict for one in self.findings)

    def by_day(self) -> dict[tuple[str, str], Counter[str]]:
        """Return the verdicts counted for each day and status, in their order."""
        counted: dict[tuple[str, str], Counter[str]] = {}
        for one in self.findings:
            counted.setdefault((one.day, one.status), Counter())[one.verdict] += 1
        return dict(sorted(counted.items()))


@dataclass(slots=True)
class Progress:
    """The file in which a walk notes how far it has come."""

    path: Path
    offset: int = 0
    found: dict[str, Finding] = field(default_factory=dict)

    @classmethod
    def from_file(cls, directory: Path, account: str, window: Window) -> Progress:
        """Return the progress of an earlier walk through the same days, or an empty one."""
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
                return  # the line that was being written when the process ended
            self.offset = noted["following"]
            self.add(Finding(**one) for one in noted["findings"])

    def add(self, findings: Iterable[Finding]) -> None:
        """Keep findings; a charge that a walk meets twice counts once, as it was met last."""
        self.found.update((one.id, one) for one in findings)

    def note(self, findings: list[Finding], following: int) -> None:
        """Write a page down."""
        private_files.make_directory(self.path.parent)
        private_files.restrict(self.path.parent)
        with open(self.path, "a", encoding="utf-8", opener=private_files.opener) as file:
            file.write(json.dumps({"following": following, "findings": [asdict(one) for one in findings]}) + "\n")


def reconcile(
    client: Reads,
    journal: Journal,
    window: Window,
    clock_ms: Callable[[], int],
    *,
    directory: Path,
    sleep: Callable[[float], object] = time.sleep,
    tell: Callable[[int, int], object] = lambda _done, _total: None,
) -> Report:
    """Return what the journal knows of each charge of these days; `tell` hears how many of how many were looked at.

    Raises EnrichmentWaits where Asaas can't be asked for now; the next call goes on from there.
    """
    progress = Progress.from_file(directory, client.account, window)
    resumed_at = progress.offset
    for looked in compare_pages(client, journal, window, clock_ms, offset=progress.offset, sleep=sleep):
        findings = [_finding(one, window) for one in looked.charges]
        progress.add(findings)
        if looked.following is not None:
            progress.note(findings, looked.following)
        tell(len(progress.found), looked.total)
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
    """Return totals, the numbers of each day and status, and every charge that the journal does not know."""
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
    """Return the numbers of each day and status of these reports, as `as_data` gives them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["account", "day", "status", "charges", *VERDICTS])
    for report in reports:
        for day in report["days"]:
            numbers = [day[name] for name in VERDICTS]
            writer.writerow([report["account"], day["day"], day["status"], day["charges"], *numbers])
    return text.getvalue()
