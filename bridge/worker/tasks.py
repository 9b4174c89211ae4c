"""The periodic tasks: the table of them, and a function each.

Of several processes one does each run. A task raises what goes wrong, except where one account must not stop the next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from limits import parse
from sqlalchemy import Connection

from bridge.asaas.client import AsaasClient
from bridge.asaas.limiter import AccountLimiter, Limits
from bridge.asaas.webhooks import KEY_REFUSED, Webhooks
from bridge.errors import AsaasKeyRefused, AsaasRejected, BridgeError, ClintApiFailed
from bridge.failpoints import failpoint
from bridge.journal import (
    Journal,
    clock,
    customers,
    deals,
    encryption,
    jobs,
    notices,
    retention,
    search,
    statistics,
)
from bridge.journal.notices import Notice, Resolved
from bridge.logs import logger
from bridge.mapping import Mapping as MappingFile
from bridge.mapping.values import BRASILIA
from bridge.messages import N_, Message
from bridge.model import NoticeLevel
from bridge.operations import bulk
from bridge.operations.causes import note_causes
from bridge.operations.clint import note_doubled
from bridge.operations.read_back import ReadBacks
from bridge.operations.reconcile import FIELDS, Finding, Verdict, Window, reconcile
from bridge.operations.webhooks import apply_notices, judge
from bridge.pipeline.policy import PAUSE_LOOK_MS
from bridge.runtime import Runtime
from bridge.wakeups import Wakeups
from bridge.worker.alerts import ALERTS_EVERY_S, SUMMARIES_EVERY_S, AlertSetup, send_alerts, send_summaries
from bridge.worker.sweeper import LONGEST_STOP_S, PeriodicTask

log = logger(__name__)

T = TypeVar("T")

DAY_MS = 86_400_000
CLOCK_SLACK_MS = 60_000
"""The clocks of two processes may differ by this, and one may have been started with longer waits."""
RETENTION_RUN = "retention"
RETENTION_PAUSE_S = 0.05
"""Between two transactions, so that others get the lock."""
AGAIN_AFTER_MS = 10 * 60_000
"""The time between a run that was broken off and the next one."""
RECONCILE_DAYS = 2
"""Charges of at least so many days are compared: Asaas knows days only, and an event may come a day late."""
MISSING = "reconcile.missing"
"""The notice's code; the next run that finds nothing missing closes it."""
NAMED_AT_ONCE = 10
"""Customers of one account whose names are asked for in a minute."""
NAMES_SHARE = 0.5
"""Names are asked for while less than this share of the account's quota is used."""
DOUBLED_RUN = "doubled"
DOUBLED_FIRST_MS = 3_600_000
"""A new journal has no deals yet."""
DOUBLED_SHARE = 0.1
"""The look for doubled deals takes at most this share of CLINT_API_RATE_LIMIT from the deliveries."""
_QUOTA_WAIT_MS = int(Limits().window_s * 1000) + CLOCK_SLACK_MS


def tasks(runtime: Runtime) -> list[PeriodicTask]:
    """Return the tasks; each run reads accounts, destinations and mappings again, since they may change."""
    s, journal, clock_ms = runtime.settings, runtime.journal, runtime.clock_ms
    told = AlertSetup.from_runtime(runtime)
    watch = ClockWatch(journal, s.bridge_lease, s.bridge_retry_cap, clock_ms)
    wait_s, urls = s.bridge_read_back_wait, lambda: runtime.destinations
    looks = ReadBacks(journal, runtime.clint_account, runtime.mappings.current, wait_s, urls)

    def webhooks() -> None:
        in_use = [item.mapping for item in runtime.mappings.current()]
        watch_webhooks(journal, runtime.asaas, runtime.limiters, in_use, s.bridge_public_url, clock_ms)

    def charges(stopping: threading.Event) -> None:
        directory = s.bridge_data_dir / "reconcile" / "scheduled"
        for client in runtime.asaas.values():
            reconcile_due(client, journal, s.bridge_reconcile_hours, clock_ms, directory, stopping)

    def old(stopping: threading.Event) -> None:
        clear_old(journal, s.bridge_retention_days, clock_ms, stopping)

    def bulk_work(stopping: threading.Event) -> None:
        bulk.take_over(journal, clock_ms, runtime.wake, stopping)

    def names(stopping: threading.Event) -> None:
        for account, client in runtime.asaas.items():
            name_customers(journal, client, runtime.limiters[account], clock_ms, stopping)

    long_stop = LONGEST_STOP_S
    found = [
        PeriodicTask("wake_due_lanes", 1.0, lambda _: wake_due_lanes(journal, runtime.wakeups, clock_ms())),
        PeriodicTask("import_mappings", 1.0, lambda _: runtime.mapping_files.import_changed()),
        PeriodicTask("fold_counts", 2.0, lambda stopping: fold_counts(journal, stopping), stop_timeout_s=long_stop),
        PeriodicTask("clear_old", 2.0, old, stop_timeout_s=long_stop, late_after_s=3_600.0),
        PeriodicTask("repair_clock", 5.0, lambda _: watch.check()),
        PeriodicTask("send_alerts", ALERTS_EVERY_S, lambda _: send_alerts(journal, told, clock_ms)),
        PeriodicTask(
            "send_summaries", SUMMARIES_EVERY_S, lambda stopping: send_summaries(journal, told, clock_ms, stopping)
        ),
        PeriodicTask("watch_webhooks", 300.0, lambda _: webhooks()),
        PeriodicTask("note_causes", ALERTS_EVERY_S, lambda _: note_causes(runtime)),
        PeriodicTask("resume_bulk_work", 5.0, bulk_work, stop_timeout_s=long_stop, late_after_s=3_600.0),
        PeriodicTask("name_customers", 60.0, names),
        PeriodicTask("read_back", 2.0, lambda _: looks.step(clock_ms()), again_s=60.0),
        # A look pauses for seconds before each of its requests.
        PeriodicTask("look_for_doubled", 60.0, partial(look_for_doubled, runtime), late_after_s=24 * 3_600.0),
    ]
    if s.bridge_reconcile_hours:
        # A run on a large account waits for Asaas's quota of 12 hours.
        found.append(PeriodicTask("reconcile", 60.0, charges, stop_timeout_s=long_stop, late_after_s=24 * 3_600.0))
    return found


def wake_due_lanes(journal: Journal, wakeups: Wakeups, now_ms: int) -> int:
    """Wake each lane that has due work and no live lease; return how many.

    Retries, probes of open circuits and leases that ran out need no timer: they are due times in the journal.
    """
    lanes = journal.lanes.due(now_ms)
    if lanes:
        failpoint("sweep.before_wake")
    for lane in lanes:
        wakeups.wake(lane)
    if lanes:
        log.debug("sweep.woke", lanes=lanes)
    return len(lanes)


# ---------------------------------------------------------------- the clock


class ClockWatch:
    """Repairs times that a process with a wrong clock wrote too far into the future."""

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
        self._longest_wait_ms = max(int(retry_cap_s * 1000), PAUSE_LOOK_MS) + CLOCK_SLACK_MS
        self._clock_ms = clock_ms
        self._counted_s = counted_s
        self._seen: dict[tuple[int, int], float] = {}

    def check(self) -> int:
        """Correct leases and due times that are later than possible; return how many.

        A lease must be unchanged for as long as a lease lasts: a living owner renews it meanwhile.
        """
        now_ms = self._clock_ms()
        latest_ms = now_ms + self._longest_wait_ms
        quota_ms = max(latest_ms, now_ms + _QUOTA_WAIT_MS)
        with self._journal.database.read() as connection:
            found = clock.leases(connection, now_ms + int(self._lease_s * 1000) + CLOCK_SLACK_MS)
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


# ---------------------------------------------------------------- counts and retention


def fold_counts(journal: Journal, stopping: threading.Event) -> None:
    """Add the tallies of single events and deliveries up to counts by the hour."""
    more = True
    while more and not stopping.is_set():
        with journal.database.write() as connection:
            more = statistics.fold(connection)
        if more:
            stopping.wait(RETENTION_PAUSE_S)


def clear_old(journal: Journal, retention_days: int, clock_ms: Callable[[], int], stopping: threading.Event) -> None:
    """Once a day, empty events and deal keys older than BRIDGE_RETENTION_DAYS and remove those twice as old.

    Of a deal its row stays, so that it is made once. The console's jobs go after a month, also where events are kept
    for ever.
    """
    with _claimed(journal, RETENTION_RUN, DAY_MS, clock_ms) as is_due:
        if not is_due:
            return
        now_ms = clock_ms()
        with journal.database.write() as connection:
            jobs.forget(connection, now_ms)
        if not retention_days:
            return
        before_ms = now_ms - retention_days * DAY_MS
        remove_ms = before_ms - retention_days * DAY_MS

        def empty(connection: Connection, ids: list[int], until_ms: int) -> int:
            return retention.empty(connection, ids, until_ms, now_ms)

        full, any_event = partial(retention.old_page, full_only=True), partial(retention.old_page, full_only=False)
        with_key, of_person = partial(deals.old_page, full_only=True), partial(deals.old_page, full_only=False)
        empty_key, empty_person = partial(deals.empty, full_only=True), partial(deals.empty, full_only=False)
        cleared = {
            "removed": _clear(journal, stopping, remove_ms, any_event, retention.remove, 0),
            "emptied": _clear(journal, stopping, before_ms, full, empty, 0),
            "deals": _clear(journal, stopping, remove_ms, of_person, empty_person, 0),
            "deal_keys": _clear(journal, stopping, before_ms, with_key, empty_key, 0),
            "contacts": _clear(journal, stopping, remove_ms, deals.old_contacts, deals.remove_contacts, ""),
        }
        log.info("house.cleared", **cleared)
        if stopping.is_set():
            raise _Stopping


class _Stopping(Exception):
    """The process stops."""


@contextmanager
def _claimed(
    journal: Journal, name: str, every_ms: int, clock_ms: Callable[[], int], first_in_ms: int = 0
) -> Iterator[bool]:
    """Claim a run, and give whether it is due; one that is broken off comes again in ten minutes."""
    with journal.database.write() as connection:
        is_due = jobs.claim_run(connection, name, every_ms, clock_ms(), first_in_ms)
    try:
        yield is_due
    except BaseException as error:
        with journal.database.write() as connection:
            jobs.reschedule(connection, name, clock_ms() + AGAIN_AFTER_MS)
        if not isinstance(error, _Stopping):
            raise


def _clear(
    journal: Journal,
    stopping: threading.Event,
    before_ms: int,
    page: Callable[[Connection, int, T], tuple[list[T], T | None]],
    clear: Callable[[Connection, list[T], int], int],
    first: T,
) -> int:
    """Clear page after page; `page` gives the rows after one, and the last of them where there may be more."""
    cleared = 0
    last: T | None = first
    while last is not None and not stopping.is_set():
        with journal.database.read() as connection:
            rows, last = page(connection, before_ms, last)
        if rows:
            with journal.database.write() as connection:
                cleared += clear(connection, rows, before_ms)
            stopping.wait(RETENTION_PAUSE_S)
    return cleared


# ---------------------------------------------------------------- Clint


def look_for_doubled(runtime: Runtime, stopping: threading.Event) -> None:
    """Once a day, look for deals in Clint that carry one key.

    Daily: such a deal does no harm to the next events, a person has to remove it, and a look costs up to 15 requests
    for each origin. A look that Clint refuses is left until the next day.
    """
    limit = parse(runtime.settings.clint_api_rate_limit)
    pause_s = limit.get_expiry() / limit.amount / DOUBLED_SHARE

    def pause() -> None:
        if stopping.wait(pause_s):
            raise _Stopping

    if runtime.clint_api is None:
        return
    with _claimed(runtime.journal, DOUBLED_RUN, DAY_MS, runtime.clock_ms, DOUBLED_FIRST_MS) as is_due:
        if not is_due:
            return
        try:
            note_doubled(runtime, pause)
        except ClintApiFailed as error:
            log.warning("doubled.away", error=error.code, kind=error.kind.value, status=error.status)


# ---------------------------------------------------------------- Asaas


def watch_webhooks(
    journal: Journal,
    clients: Mapping[str, AsaasClient],
    limiters: Mapping[str, AccountLimiter],
    mappings: Iterable[MappingFile],
    public_url: str,
    clock_ms: Callable[[], int],
) -> None:
    """Check the webhooks of each account at Asaas, and keep what is wrong as notices."""
    in_use = list(mappings)
    for account in sorted(clients):
        if not limiters[account].has_spare_quota():
            log.warning("watch.skipped", account=account, reason="the account's quota is nearly used up")
            continue
        try:
            found = Webhooks(clients[account]).all()
        except AsaasKeyRefused as error:
            todo = error.hint or Message(N_("check the account's ASAAS_API_KEY"))
            refused = Notice(KEY_REFUSED, account, NoticeLevel.ERROR, error.what, todo)
            apply_notices(journal, [refused], clock_ms())
        except BridgeError as error:
            log.warning("watch.away", account=account, error=str(error))
        else:
            judge(journal, account, found, in_use, public_url, clock_ms())


def name_customers(
    journal: Journal,
    client: AsaasClient,
    limiter: AccountLimiter,
    clock_ms: Callable[[], int],
    stopping: threading.Event,
    limit: int = NAMED_AT_ONCE,
) -> int:
    """Ask Asaas for the customers of the newest events that no mapping asked for; return the number of answers.

    An error ends the turn; the next one begins with the newest again.
    """
    with journal.database.read() as connection:
        wanted = customers.unnamed(connection, client.account, limit)
        erasure = encryption.erasure(connection)
    answers: dict[str, dict[str, object] | None] = {}
    for id_ in wanted:
        if stopping.is_set() or not limiter.has_spare_quota(NAMES_SHARE):
            break
        try:
            answers[id_] = client.get_object("customer", id_)
        except AsaasRejected:
            answers[id_] = None  # an id that Asaas does not take
        except BridgeError as error:
            log.info("names.away", account=client.account, error=error.code)
            break
    if not answers:
        return 0
    found = [search.customer_found(client.account, id_, one) for id_, one in answers.items() if one is not None]
    unknown = [(client.account, id_) for id_, one in answers.items() if one is None]
    with journal.database.write() as connection:
        if encryption.erasure(connection) != erasure:
            return 0  # a person was erased meanwhile: it may be one of these
        customers.record(connection, found, unknown, clock_ms())
    return len(answers)


def reconcile_due(
    client: AsaasClient,
    journal: Journal,
    every_hours: int,
    clock_ms: Callable[[], int],
    directory: Path,
    stopping: threading.Event,
) -> None:
    """Compare an account's charges with the journal where that is due, and keep missing ones as a notice."""
    try:
        with _claimed(journal, f"reconcile:{client.account}", every_hours * 3_600_000, clock_ms) as is_due:
            if is_due:
                found = _compare(client, journal, every_hours, clock_ms, directory, stopping)
                _record_comparison(journal, client.account, found, clock_ms())
    except (BridgeError, OSError) as error:
        log.warning("reconcile.failed", account=client.account, error=str(error))


def _compare(
    client: AsaasClient,
    journal: Journal,
    every_hours: int,
    clock_ms: Callable[[], int],
    directory: Path,
    stopping: threading.Event,
) -> list[Finding]:
    def check_stop(_done: int, _total: int) -> None:
        if stopping.is_set():
            raise _Stopping

    today = datetime.fromtimestamp(clock_ms() / 1000, UTC).astimezone(BRASILIA).date()
    since = today - timedelta(days=max(RECONCILE_DAYS, every_hours // 24 + 1))
    found: dict[str, Finding] = {}
    for by in FIELDS:
        window = Window(since, today, by)
        report = reconcile(
            client, journal, window, clock_ms, directory=directory, sleep=stopping.wait, on_progress=check_stop
        )
        found.update((one["id"], one) for one in report.findings)
    return list(found.values())


def _record_comparison(journal: Journal, account: str, found: Sequence[Finding], now_ms: int) -> None:
    numbers = {verdict: sum(one["verdict"] == verdict for one in found) for verdict in Verdict}
    missing, older = numbers[Verdict.MISSING], numbers[Verdict.OLDER]
    change: Notice | Resolved = Resolved(MISSING, account)
    if missing + older:
        text = N_("charges that never arrived: {missing}, that arrived in an older state: {older}")
        detail = Message(text, {"missing": missing, "older": older})
        todo = Message(N_("see: bridge reconcile; then bridge backfill --dry-run"))
        change = Notice(MISSING, account, NoticeLevel.WARNING, detail, todo)
    with journal.database.write() as connection:
        jobs.note_result(connection, f"reconcile:{account}", {"behind": missing + older})
        notices.apply(connection, [change], now_ms)
    write = log.warning if missing + older else log.info
    dead = numbers[Verdict.DEAD]
    write("reconcile.done", account=account, charges=len(found), missing=missing, older=older, dead=dead)
