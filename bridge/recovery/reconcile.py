"""Reconciles an account: a finding for each charge, gathered over all pages, in a file while the walk goes on.

Given a window of days it leaves a report and changes nothing. The file lets a walk that was broken off (a used-up
quota, Ctrl-C) go on where it stood; it holds ids, days and statuses only, and is deleted at the end.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bridge import private_files
from bridge.asaas.listing import Reads
from bridge.journal import Journal
from bridge.recovery.comparison import BEHIND, Compared, Verdict
from bridge.recovery.walk import Window, walk

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
    def of(cls, directory: Path, account: str, window: Window) -> Progress:
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
    progress = Progress.of(directory, client.account, window)
    resumed_at = progress.offset
    for looked in walk(client, journal, window, clock_ms, offset=progress.offset, sleep=sleep):
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
        str(compared.standing),
        compared.verdict.value,
        str(compared.known or ""),
        compared.newest.event_id if compared.newest else None,
    )
