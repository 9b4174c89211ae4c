"""A reconciliation's report as data for JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bridge.recovery.comparison import Verdict
from bridge.recovery.reconcile import Report

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
