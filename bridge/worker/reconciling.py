"""The periodic task that reconciles every account: it says in the log, and by a notice, what the journal does not know.

It is off unless BRIDGE_RECONCILE_HOURS says otherwise, sends nothing and brings nothing in: that is left to a person.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.asaas.client import AsaasClient
from bridge.errors import BridgeError
from bridge.journal import Journal, notices, rounds
from bridge.journal.notices import Mended, Notice
from bridge.logs import logger
from bridge.mapping.dates import BRASILIA
from bridge.model import NoticeLevel
from bridge.recovery.comparison import Verdict
from bridge.recovery.reconcile import Finding, reconcile
from bridge.recovery.walk import FIELDS, Window

log = logger(__name__)

AGAIN_AFTER_MS = 10 * 60_000
"""How long after a round that was broken off the next is tried."""
LEAST_DAYS = 2
"""Charges are looked at for so many days at least: Asaas says days only, and an event may come a day late."""


MISSING = "reconcile.missing"
"""The notice's code; it is closed by the next round that finds nothing missing."""


class _Stopping(Exception):
    """The process is to end."""


class Reconciling:
    """Reconciles the accounts."""

    def __init__(
        self,
        clients: Mapping[str, AsaasClient],
        journal: Journal,
        every_hours: int,
        clock_ms: Callable[[], int],
        directory: Path,
    ) -> None:
        self._clients = clients
        self._journal = journal
        self._every_hours = every_hours
        self._clock_ms = clock_ms
        self._directory = directory

    def reconcile_all(self, stopping: threading.Event) -> None:
        """Reconcile each account whose round is due."""
        for client in self._clients.values():
            self.reconcile_due(client, stopping)

    def reconcile_due(self, client: AsaasClient, stopping: threading.Event) -> None:
        """Reconcile an account if its round is due and no other process does it."""
        name = f"reconcile:{client.account}"
        try:
            with self._journal.database.write() as connection:
                if not rounds.claim(connection, name, self._every_hours * 3_600_000, self._clock_ms()):
                    return
            try:
                self._report(client.account, self._found(client, stopping))
            except Exception:
                with self._journal.database.write() as connection:
                    rounds.again_at(connection, name, self._clock_ms() + AGAIN_AFTER_MS)
                raise
        except _Stopping:
            return
        except (BridgeError, OSError) as error:
            log.warning("reconcile.failed", account=client.account, error=str(error))

    def _found(self, client: AsaasClient, stopping: threading.Event) -> dict[str, Finding]:
        def tell(_done: int, _total: int) -> None:
            if stopping.is_set():
                raise _Stopping

        today = datetime.fromtimestamp(self._clock_ms() / 1000, UTC).astimezone(BRASILIA).date()
        since = today - timedelta(days=max(LEAST_DAYS, self._every_hours // 24 + 1))
        found: dict[str, Finding] = {}
        for by in FIELDS:
            window = Window(since, today, by)
            report = reconcile(
                client,
                self._journal,
                window,
                self._clock_ms,
                directory=self._directory,
                sleep=stopping.wait,
                tell=tell,
            )
            found.update((one.id, one) for one in report.findings)
        return found

    def _report(self, account: str, found: dict[str, Finding]) -> None:
        numbers = {verdict: sum(one.verdict == verdict for one in found.values()) for verdict in Verdict}
        behind = numbers[Verdict.MISSING] + numbers[Verdict.OLDER]
        self._keep(account, behind, numbers)
        tell = log.warning if behind else log.info
        tell(
            "reconcile.done",
            account=account,
            charges=len(found),
            missing=numbers[Verdict.MISSING],
            older=numbers[Verdict.OLDER],
            dead=numbers[Verdict.DEAD],
        )

    def _keep(self, account: str, behind: int, numbers: dict[Verdict, int]) -> None:
        detail = (
            f"charges that never arrived: {numbers[Verdict.MISSING]}, that arrived in an older state: "
            f"{numbers[Verdict.OLDER]}"
        )
        mend = "see: bridge reconcile; then bridge backfill --dry-run"
        said = Notice(MISSING, account, NoticeLevel.WARNING, detail, mend) if behind else Mended(MISSING, account)
        with self._journal.database.write() as connection:
            rounds.note_result(connection, f"reconcile:{account}", {"behind": behind})
            notices.apply(connection, [said], self._clock_ms())
