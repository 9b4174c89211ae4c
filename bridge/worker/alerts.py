"""Tells people: keeps what is wrong as notices, sends alerts about them to each receiver, and the morning summaries.

A receiver that can't be reached holds up no other one. What is being sent when the process dies is sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Connection

from bridge.alerts import plan as alert_plan
from bridge.alerts import send as alert_send
from bridge.alerts import summary
from bridge.alerts.plan import HOUR_MS, KEPT_H, Item, Plan, plan
from bridge.alerts.send import Message, Result, problem_of
from bridge.journal import Journal, daily, destinations, jobs, notices, receivers, statistics
from bridge.journal import accounts as stored
from bridge.journal.notices import Alert, Key, StoredNotice
from bridge.journal.receivers import ENVIRONMENT, ENVIRONMENT_NAME, Receiver
from bridge.logs import logger
from bridge.mapping import Mapping as MappingFile
from bridge.mapping import ParseResult, Severity
from bridge.operations.accounts import without_mapping
from bridge.operations.causes import unseen_overlaps
from bridge.operations.webhooks import apply_notices
from bridge.pipeline.active_mappings import MappingFiles
from bridge.runtime import Runtime

log = logger(__name__)

ALERTS_EVERY_S = 15.0
ALERTS_RUN = "alerts"
SUMMARIES_EVERY_S = 30.0
SUMMARY_AGAIN_MS = 10 * 60_000
"""The time between a summary that did not arrive and the next try."""
SILENCES_EVERY_MS = 300_000
"""How long the silences are used: they need nine weeks of hours, and a silence takes hours to be one."""
BROKEN_MS = 60_000
"""How long a mapping's file must have had its fault: an editor may save it half-written."""
PAGE_PAUSE_S = 0.02
"""Between two pages of a day's attempts, so that deliveries go on meanwhile."""

Problems: TypeAlias = Mapping[str, tuple[str, int]]
"""By mapping: BROKEN or REFUSED, and the line of the fault."""
Posts: TypeAlias = Sequence[tuple[str, Message]]


@dataclass(frozen=True, slots=True)
class AlertSetup:
    """What alerts need besides the journal."""

    urls: Sequence[str] = ()
    language: str = "pt-BR"
    public_url: str = ""
    """Empty: the address that a person gave for a webhook."""
    allow_private: bool = False
    silences: Callable[[int], Mapping[str, int | None]] = lambda _now_ms: {}
    mappings: Callable[[], Iterable[MappingFile]] = tuple
    faults: Callable[[int], Problems] = lambda _now_ms: {}
    unheard: Callable[[], Iterable[str]] = tuple
    overlaps: Callable[[], Mapping[str, Sequence[str]]] = dict
    send: Callable[..., list[Result]] = alert_send.send_all

    @classmethod
    def from_runtime(cls, runtime: Runtime) -> AlertSetup:
        s = runtime.settings
        return cls(
            s.bridge_alert_urls,
            s.bridge_language,
            s.bridge_public_url,
            s.bridge_allow_private_destinations,
            SilenceCheck(runtime.journal, runtime.accounts),
            lambda: [item.mapping for item in runtime.mappings.current()],
            FaultCheck(runtime),
            lambda: without_mapping(runtime.accounts, (item.mapping for item in runtime.mappings.current())),
            lambda: unseen_overlaps(runtime),
        )


# ---------------------------------------------------------------- alerts


def send_alerts(journal: Journal, setup: AlertSetup, clock_ms: Callable[[], int]) -> bool:
    """Keep the problems as notices, and send each receiver one message about all that are due; return whether any was.

    Without receivers there are only notices.
    """
    # A little early, or two clocks that tick alike would leave out every second run.
    with journal.database.write() as connection:
        if not jobs.claim_run(connection, ALERTS_RUN, int(ALERTS_EVERY_S * 900), clock_ms()):
            return False
    _notice_problems(journal, setup, clock_ms())
    now_ms = clock_ms()
    with journal.database.write() as connection:
        told = notices.load(connection)
        people = _receivers(connection, setup)
        if gone := told.keys() - {one.id for one in people}:
            notices.forget(connection, gone)
        view = _View.read(connection, setup, people)
        public_url = stored.public_url(connection, setup.public_url)
        planned = {one.id: _plan(one, view, told.get(one.id, {}), now_ms) for one in people}
        for each in planned.values():
            notices.save(connection, each.keep, each.drop)
            notices.save(connection, alert_plan.sending(each.items, now_ms))
    due = [one for one in people if planned[one.id].items]
    messages = {one.id: alert_send.compose(planned[one.id].items, setup.language, public_url) for one in due}
    for one, results in _send(setup, due, messages):
        _record_alerts(journal, one, planned[one.id].items, results, clock_ms())
    return bool(due)


def _receivers(connection: Connection, setup: AlertSetup) -> list[Receiver]:
    kept = receivers.load(connection)
    of_journal = [one for one in kept if not one.is_environment]
    environment = next((one for one in kept if one.is_environment), Receiver(ENVIRONMENT, ENVIRONMENT_NAME))
    return [environment, *of_journal] if setup.urls else of_journal


def _notice_problems(journal: Journal, setup: AlertSetup, now_ms: int) -> None:
    unusual, faults, unheard, overlaps = setup.silences(now_ms), setup.faults(now_ms), setup.unheard(), setup.overlaps()
    with journal.database.read() as connection:
        problems = alert_plan.find_problems(
            now_ms,
            statistics.dead(connection),
            destinations.load(connection).values(),
            statistics.waiting_since_ms(connection),
            unusual,
            statistics.held_for_asaas(connection, now_ms - alert_plan.HELD_MS),
            faults,
            _receivers(connection, setup),
            unheard,
            overlaps,
        )
        known = notices.open_notices(connection, alert_plan.CODES)
        changes = alert_plan.notice_changes(problems, known)
    if changes:
        apply_notices(journal, changes, now_ms)


@dataclass(frozen=True, slots=True)
class _View:
    """The open notices, and what tells which accounts they concern."""

    open_notices: Sequence[StoredNotice]
    senders: Mapping[str, Collection[str]]
    """The accounts whose mappings send to a destination."""
    dead: Mapping[str, Mapping[str, Mapping[str, int]]]
    """By account, destination and reason; read only where a receiver has chosen accounts."""

    @classmethod
    def read(cls, connection: Connection, setup: AlertSetup, people: Iterable[Receiver]) -> _View:
        open_notices = notices.open_notices(connection)
        if not any(one.accounts for one in people):
            return cls(open_notices, {}, {})
        senders: dict[str, set[str]] = {}
        for mapping in setup.mappings():
            for destination in mapping.destinations:
                senders.setdefault(destination, set()).add(mapping.account)
        return cls(open_notices, senders, statistics.dead_by_account(connection))

    def of(self, receiver: Receiver, told: Mapping[Key, Alert] | None = None) -> list[StoredNotice]:
        """Return the open notices that the receiver wants, dead deliveries with the numbers of its accounts."""
        told = told or {}
        found = []
        for notice in self._counted(receiver):
            alert = told.get((notice.code, notice.about))
            accounts = alert_plan.accounts_of(notice, self.senders) if notice.code != alert_plan.DEAD else None
            if alert_plan.wants(receiver, notice, accounts, was_told=bool(alert and alert.times)):
                found.append(notice)
        return found

    def _counted(self, receiver: Receiver) -> Iterable[StoredNotice]:
        if not receiver.accounts:
            return self.open_notices
        dead: dict[str, dict[str, int]] = {}
        for account in receiver.accounts:
            for destination, reasons in self.dead.get(account, {}).items():
                numbers = dead.setdefault(destination, {})
                for code, number in reasons.items():
                    numbers[code] = numbers.get(code, 0) + number
        own = {one.about: one for one in alert_plan.dead_notices(dead)}
        return [
            replace(one, detail=own[one.about].detail.to_json()) if one.code == alert_plan.DEAD else one
            for one in self.open_notices
            if one.code != alert_plan.DEAD or one.about in own
        ]


def _plan(receiver: Receiver, view: _View, told: Mapping[Key, Alert], now_ms: int) -> Plan:
    wanted = view.of(receiver, told)
    keys = {(one.code, one.about) for one in wanted}
    left_out = {(one.code, one.about) for one in view.open_notices} - keys
    if receiver.accounts:  # its dead deliveries may be over while another account has some
        left_out = {key for key in left_out if key[0] != alert_plan.DEAD}
    return plan(wanted, told, now_ms, receiver.id, left_out)


def _send(
    setup: AlertSetup, due: Sequence[Receiver], messages: Mapping[int, Message]
) -> list[tuple[Receiver, list[Result]]]:
    """Send each receiver its message; those of the environment may be on this machine, whatever the settings say."""

    def send(people: Sequence[Receiver], *, allow_private: bool) -> list[tuple[Receiver, list[Result]]]:
        urls = [(one, url) for one in people for url in (setup.urls if one.is_environment else [one.url or ""])]
        posts: Posts = [(url, messages[one.id]) for one, url in urls]
        results = setup.send(posts, allow_private=allow_private) if posts else []
        return [
            (one, [result for (of, _url), result in zip(urls, results, strict=True) if of is one]) for one in people
        ]

    with ThreadPoolExecutor(2) as pool:
        fixed = pool.submit(send, [one for one in due if one.is_environment], allow_private=True)
        own = pool.submit(send, [one for one in due if not one.is_environment], allow_private=setup.allow_private)
        return [*fixed.result(), *own.result()]


def _record_alerts(
    journal: Journal, receiver: Receiver, items: Sequence[Item], results: Sequence[Result], now_ms: int
) -> None:
    problem = problem_of(results)
    with journal.database.write() as connection:
        if problem:
            notices.save(connection, alert_plan.failed(items, now_ms))
        else:
            notices.save(connection, *alert_plan.sent(items, now_ms))
        receivers.record(connection, receiver.id, now_ms, problem)
    write = log.info if all(result.sent for result in results) else log.warning
    write(
        "alert.not_sent" if problem else "alert.sent",
        receiver=receiver.id,
        problems=[f"{item.kind.value} {item.alert.code} {item.alert.about}" for item in items],
        services=[f"{result.service}: {result.problem or 'sent'}" for result in results],
    )


# ---------------------------------------------------------------- morning summaries


def send_summaries(
    journal: Journal, setup: AlertSetup, clock_ms: Callable[[], int], stopping: threading.Event | None = None
) -> bool:
    """Send the morning summary to each receiver for which it is due; return whether there was any.

    The due time in the receiver's row sees to it that one process sends it, once a day.
    """
    now_ms = clock_ms()
    with journal.database.read() as connection:
        due = [one for one in receivers.load(connection) if _is_due(one, now_ms)]
    if not due:
        return False
    with journal.database.write() as connection:
        sending_ms = now_ms + alert_plan.SENDING_MS
        due = [one for one in due if receivers.move_summary(connection, one, sending_ms)]
    days = _days(journal, now_ms, stopping or threading.Event())
    if days is None or not due:
        return False
    with journal.database.read() as connection:
        view = _View.read(connection, setup, due)
        idle = daily.idle_mappings(connection, now_ms)
        public_url = stored.public_url(connection, setup.public_url)
    in_use = [one for one in setup.mappings() if one.enabled and one.name in idle]
    messages = {
        one.id: summary.compose(
            summary.add_up(days, one.accounts),
            sorted(view.of(one), key=lambda notice: (notice.level != "error", notice.raised_ms)),
            [item.name for item in in_use if not one.accounts or item.account in one.accounts],
            now_ms=now_ms,
            language=setup.language,
            public_url=public_url,
        )
        for one in due
    }
    for one, results in _send(setup, due, messages):
        problem, at_ms = problem_of(results), clock_ms()
        again_ms = at_ms + SUMMARY_AGAIN_MS
        next_ms = summary.next_morning_ms(at_ms)
        with journal.database.write() as connection:
            claimed = replace(one, summary_ms=sending_ms)
            receivers.move_summary(connection, claimed, min(again_ms, next_ms) if problem else next_ms)
            receivers.record(connection, one.id, at_ms, problem)
        write = log.warning if problem else log.info
        said = [f"{result.service}: {result.problem or 'sent'}" for result in results]
        write("summary.not_sent" if problem else "summary.sent", receiver=one.id, services=said)
    return True


def _is_due(receiver: Receiver, now_ms: int) -> bool:
    """Return whether the summary is due; a time later than the next morning was set by a clock that was ahead."""
    if receiver.summary_ms is None or receiver.is_environment:
        return False
    return receiver.summary_ms <= now_ms or receiver.summary_ms > summary.next_morning_ms(now_ms)


def _days(journal: Journal, now_ms: int, stopping: threading.Event) -> dict[str, daily.Day] | None:
    """Return yesterday by account, with the charges of what was delivered; None where the process stops meanwhile."""
    start_ms = daily.day_before(now_ms)
    with journal.database.read() as connection:
        days = daily.numbers(connection, now_ms)
    before_id: int | None = None
    while not stopping.is_set():
        with journal.database.read() as connection:
            page = daily.delivered_page(connection, start_ms, start_ms + statistics.DAY_MS, before_id)
        charges, before_id = page
        for account, charge, value in charges:
            days.setdefault(account, daily.Day()).charges.setdefault(charge, value)
        if before_id is None:
            return days
        stopping.wait(PAGE_PAUSE_S)
    return None


# ---------------------------------------------------------------- what else is looked at


class SilenceCheck:
    """The unusual silences of the accounts, read every five minutes."""

    def __init__(self, journal: Journal, accounts: Collection[str]) -> None:
        self._journal = journal
        self._accounts = accounts
        self._found: dict[str, int | None] = {}
        self._read_ms: int | None = None

    def __call__(self, now_ms: int) -> dict[str, int | None]:
        """Return by account the hours of a silence that is unusually long, or None."""
        if self._read_ms is None or not 0 <= now_ms - self._read_ms < SILENCES_EVERY_MS:
            with self._journal.database.read() as connection:
                hours = statistics.active_hours(connection, now_ms - KEPT_H * HOUR_MS)
            self._found = {account: alert_plan.unusual(hours.get(account, []), now_ms) for account in self._accounts}
            self._read_ms = now_ms
        return self._found


class FaultCheck:
    """The mappings that can't run: files with an error for a minute, and active texts that this version refuses."""

    def __init__(self, runtime: Runtime) -> None:
        self._directory = runtime.settings.bridge_mappings_dir
        # Not the runtime's own: another thread imports by that.
        self._files = MappingFiles(runtime.journal, self._directory, lambda: runtime.setup, runtime.clock_ms)
        self._active = runtime.mappings
        self._since_ms: dict[str, int] = {}

    def __call__(self, now_ms: int) -> Problems:
        files = {
            Path(one.path).stem: _line_of(one)
            for one in self._files.read()
            if one.mapping is None and Path(one.path) != self._directory
        }
        self._since_ms = {name: self._since_ms.get(name, now_ms) for name in files}
        found = {
            name: (alert_plan.BROKEN, line)
            for name, line in files.items()
            if now_ms - self._since_ms[name] >= BROKEN_MS
        }
        self._active.current()
        if refused := self._active.refused():
            found.setdefault(str(refused.facts["mapping"]), (alert_plan.REFUSED, 0))
        return found


def _line_of(read: ParseResult) -> int:
    return next((one.line for one in read.findings if one.severity is Severity.ERROR), 1)
