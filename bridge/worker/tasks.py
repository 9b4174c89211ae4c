"""The periodic task that looks what is wrong, keeps it as notices, and tells people.

Of several processes one does each round. A message that was being sent when the process died is sent again: twice is
better than never. Without BRIDGE_ALERT_URLS the notices are kept all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from bridge.alerts import plan as alert_plan
from bridge.alerts.plan import HOUR_MS, KEPT_H, Item, Silence, Snapshot, failed, plan, sending, sent, unusual
from bridge.alerts.send import Message, Result, compose, send
from bridge.asaas.client import AsaasClient
from bridge.asaas.limiter import Limits
from bridge.asaas.webhooks import KEY_REFUSED, Api, Webhooks
from bridge.errors import AsaasKeyRefused, BridgeError
from bridge.journal import Journal, clock, destinations, jobs, notices, retention, statistics
from bridge.journal.notices import Notice, Resolved
from bridge.logs import logger
from bridge.mapping import Mapping as MappingFile
from bridge.mapping.values import BRASILIA
from bridge.model import NoticeLevel
from bridge.operations.reconcile import FIELDS, Finding, Verdict, Window, reconcile
from bridge.operations.webhooks import apply_notices, judge
from bridge.pipeline.policy import PAUSE_LOOK_MS

log = logger(__name__)

EVERY_S = 15.0
ALERT_ROUND = "alerts"

Send = Callable[[Sequence[str], Message], list[Result]]


class AlertTask:
    """Looks and tells."""

    def __init__(
        self,
        journal: Journal,
        urls: Sequence[str],
        language: str,
        public_url: str,
        silences: Callable[[int], Mapping[str, Silence | None]],
        clock_ms: Callable[[], int],
        send: Send = send,
    ) -> None:
        self._journal = journal
        self._urls = urls
        self._language = language
        self._public_url = public_url
        self._silences = silences
        self._clock_ms = clock_ms
        self._send = send

    def run(self, every_s: float = EVERY_S) -> bool:
        """Look and tell once, unless another process does it; return whether there was something to tell."""
        # A little early: two clocks that tick alike must not leave out every second round.
        with self._journal.database.write() as connection:
            if not jobs.claim_run(connection, ALERT_ROUND, int(every_s * 900), self._clock_ms()):
                return False
        self.check()
        return self.send() if self._urls else False

    def check(self) -> None:
        """Raise notices for what is wrong, close those that are mended."""
        now_ms = self._clock_ms()
        silences = self._silences(now_ms)
        with self._journal.database.read() as connection:
            look = Snapshot(
                now_ms,
                statistics.dead(connection),
                destinations.load(connection).values(),
                statistics.waiting_since_ms(connection),
                silences,
                statistics.held_for_asaas(connection, now_ms - alert_plan.HELD_MS),
            )
            changes = alert_plan.notice_changes(
                alert_plan.find_problems(look), notices.open_notices(connection, alert_plan.CODES)
            )
        if not changes:
            return
        with self._journal.database.write() as connection:
            news = notices.apply(connection, changes, now_ms)
        for one in news:
            if isinstance(one, Notice):
                log.warning("notice.raised", code=one.code, about=one.about, level=one.level.value, detail=one.detail)
            else:
                log.info("notice.closed", code=one.code, about=one.about)

    def send(self) -> bool:
        """Send one message with what is to be told now; return whether there was anything."""
        now_ms = self._clock_ms()
        with self._journal.database.write() as connection:
            planned = plan(notices.open_notices(connection), notices.load(connection), now_ms)
            notices.save(connection, planned.keep, planned.drop)
            notices.save(connection, sending(planned.items, now_ms))
        if not planned.items:
            return False
        results = self._send(self._urls, compose(planned.items, self._language, self._public_url))
        self._record(planned.items, results)
        return True

    def _record(self, items: Sequence[Item], results: Sequence[Result]) -> None:
        now_ms = self._clock_ms()
        # Whom it reached must not get it again for another's sake: one is enough.
        reached = any(result.sent for result in results)
        with self._journal.database.write() as connection:
            if reached:
                notices.save(connection, *sent(items, now_ms))
            else:
                notices.save(connection, failed(items, now_ms))
        tell = log.info if all(result.sent for result in results) else log.warning
        tell(
            "alert.sent" if reached else "alert.not_sent",
            problems=[f"{item.kind.value} {item.alert.code} {item.alert.about}" for item in items],
            services=[f"{result.service}: {result.problem or 'sent'}" for result in results],
        )


EVERY_MS = 300_000
"""How long what was read is used: it is nine weeks of hours, and a silence takes hours to be one."""


class SilenceCheck:
    """The silences of the accounts that are set up, read now and then."""

    def __init__(self, journal: Journal, accounts: Collection[str]) -> None:
        self._journal = journal
        self._accounts = accounts
        self._found: dict[str, Silence | None] = {}
        self._read_ms: int | None = None

    def __call__(self, now_ms: int) -> dict[str, Silence | None]:
        """Return by account the silence that is unusually long, or None."""
        if self._read_ms is None or not 0 <= now_ms - self._read_ms < EVERY_MS:
            with self._journal.database.read() as connection:
                hours = statistics.active_hours(connection, now_ms - KEPT_H * HOUR_MS)
            self._found = {account: unusual(hours.get(account, []), now_ms) for account in self._accounts}
            self._read_ms = now_ms
        return self._found


SLACK_MS = 60_000
"""Two processes need not agree to the second, and one may have been started with longer waits than the other."""
_QUOTA_WAIT_MS = int(Limits().window_s * 1000) + SLACK_MS


class ClockWatch:
    """Remembers the leases that it saw, so that one which nobody renews is told from one that somebody holds."""

    def __init__(
        self,
        journal: Journal,
        lease_s: float,
        retry_cap_s: float,
        clock_ms: Callable[[], int],
        counted_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._lease_s = lease_s
        self._longest_wait_ms = max(int(retry_cap_s * 1000), PAUSE_LOOK_MS) + SLACK_MS
        self._clock_ms = clock_ms
        self._counted_s = counted_s
        self._seen: dict[tuple[int, int], float] = {}

    def check(self) -> int:
        """Take away what lies further ahead than it can; return how much that was.

        A lease must have looked so for as long as a lease lasts: an owner that lives renews it meanwhile.
        """
        now_ms = self._clock_ms()
        latest_ms = now_ms + self._longest_wait_ms
        quota_ms = max(latest_ms, now_ms + _QUOTA_WAIT_MS)
        with self._journal.database.read() as connection:
            found = clock.leases(connection, now_ms + int(self._lease_s * 1000) + SLACK_MS)
            far = clock.is_any_due_after(connection, latest_ms, quota_ms)
        at_s = self._counted_s()
        self._seen = {seen: self._seen.get(seen, at_s) for seen in found.items()}
        left = {lane: until_ms for (lane, until_ms), since_s in self._seen.items() if at_s - since_s >= self._lease_s}
        if not left and not far:
            return 0
        with self._journal.database.write() as connection:
            ended = clock.end_leases(connection, left)
            moved = clock.due_now(connection, now_ms, latest_ms, quota_ms)
        log.warning("clock.was_ahead", leases=ended, due=moved, mend="keep this machine's clock right, as by NTP")
        return ended + moved


PAUSE_S = 0.05
"""Between two transactions, so that others get their turn."""

RETENTION_ROUND = "retention"
DAY_MS = 86_400_000
AGAIN_AFTER_MS = 10 * 60_000
"""How long after a round that was broken off the next is tried."""


class Housekeeping:
    """Keeps house."""

    def __init__(
        self,
        journal: Journal,
        retention_days: int,
        clock_ms: Callable[[], int],
        pause_s: float = PAUSE_S,
    ) -> None:
        self._journal = journal
        self._retention_days = retention_days
        self._clock_ms = clock_ms
        self._pause_s = pause_s

    def fold(self, stopping: threading.Event) -> None:
        """Add up all tallies there are."""
        more = True
        while more and not stopping.is_set():
            with self._journal.database.write() as connection:
                more = statistics.fold(connection)
            if more:
                stopping.wait(self._pause_s)

    def clear_due(self, stopping: threading.Event) -> None:
        """Empty and remove what is old, where that is due today and no other process does it."""
        with self._journal.database.write() as connection:
            if not jobs.claim_run(connection, RETENTION_ROUND, DAY_MS, self._clock_ms()):
                return
        finished = False
        try:
            finished = self.clear(stopping)
        finally:
            if not finished:
                with self._journal.database.write() as connection:
                    jobs.reschedule(connection, RETENTION_ROUND, self._clock_ms() + AGAIN_AFTER_MS)

    def clear(self, stopping: threading.Event) -> bool:
        """Remove what is twice as old as BRIDGE_RETENTION_DAYS, empty what is older than they; return whether all.

        The console's jobs go after a month also where events are kept for ever.
        """
        now_ms = self._clock_ms()
        with self._journal.database.write() as connection:
            jobs.forget(connection, now_ms)
        if not self._retention_days:
            return True
        before_ms = now_ms - self._retention_days * DAY_MS
        removed = self._each(
            stopping,
            before_ms - self._retention_days * DAY_MS,
            lambda connection, ids, until_ms: retention.remove(connection, ids, until_ms),
            full_only=False,
        )
        emptied = self._each(
            stopping,
            before_ms,
            lambda connection, ids, until_ms: retention.empty(connection, ids, until_ms, now_ms),
            full_only=True,
        )
        log.info("house.cleared", removed=removed, emptied=emptied)
        return not stopping.is_set()

    def _each(
        self,
        stopping: threading.Event,
        before_ms: int,
        clear: Callable[[Connection, list[int], int], int],
        *,
        full_only: bool,
    ) -> int:
        cleared = 0
        last_id: int | None = 0
        while last_id is not None and not stopping.is_set():
            with self._journal.database.read() as connection:
                page = retention.old_page(connection, before_ms, last_id, full_only=full_only)
            if page.ids:
                with self._journal.database.write() as connection:
                    cleared += clear(connection, page.ids, before_ms)
                stopping.wait(self._pause_s)
            last_id = page.last_id
        return cleared


class Quota(Protocol):
    """Says whether an account has requests to spare."""

    def has_spare_quota(self) -> bool:
        """Return whether a request that is not for an event may be made."""
        ...


class QueueWatch:
    """Looks at the queues of all accounts."""

    def __init__(
        self,
        journal: Journal,
        accounts: Mapping[str, Api],
        quotas: Mapping[str, Quota],
        mappings: Callable[[], Iterable[MappingFile]],
        public_url: str,
        clock_ms: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._accounts = accounts
        self._quotas = quotas
        self._mappings = mappings
        self._public_url = public_url
        self._clock_ms = clock_ms

    def check(self) -> None:
        """Look at each account once."""
        for account in sorted(self._accounts):
            if not self._quotas[account].has_spare_quota():
                log.warning("watch.skipped", account=account, reason="the account's quota is nearly used up")
                continue
            try:
                found = Webhooks(self._accounts[account]).all()
            except AsaasKeyRefused as error:
                mend = str(error.hint or "look at the account's ASAAS_API_KEY")
                refused = Notice(KEY_REFUSED, account, NoticeLevel.ERROR, str(error.what), mend)
                apply_notices(self._journal, [refused], self._clock_ms())
            except BridgeError as error:
                log.warning("watch.away", account=account, error=str(error))
            else:
                judge(self._journal, account, found, self._mappings(), self._public_url, self._clock_ms())


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
                if not jobs.claim_run(connection, name, self._every_hours * 3_600_000, self._clock_ms()):
                    return
            try:
                self._report(client.account, self._found(client, stopping))
            except Exception:
                with self._journal.database.write() as connection:
                    jobs.reschedule(connection, name, self._clock_ms() + AGAIN_AFTER_MS)
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
        said = Notice(MISSING, account, NoticeLevel.WARNING, detail, mend) if behind else Resolved(MISSING, account)
        with self._journal.database.write() as connection:
            jobs.note_result(connection, f"reconcile:{account}", {"behind": behind})
            notices.apply(connection, [said], self._clock_ms())
