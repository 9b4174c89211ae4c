"""Watches the queue at Asaas: is the account's webhook there, does it send, does it bring what the mappings need.

Every few minutes it asks each account that has a key, and leaves notices in the journal, closed by themselves when it
is mended. It runs in a thread of the sweeper, since an Asaas that is slow must not hold up a wake-up. It must never
take the last of an account's quota: events need that for their customers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from bridge.asaas.webhook_rules import CODES, Problem, hook_url, needed, ours, problems, retention
from bridge.asaas.webhooks import Api, Webhook, Webhooks
from bridge.errors import AsaasKeyRefused, BridgeError
from bridge.journal import Journal, events, notices
from bridge.journal.notices import Mended, Notice
from bridge.logs import logger
from bridge.mapping import Mapping as MappingFile
from bridge.model import NoticeLevel

log = logger(__name__)

EVERY_S = 300.0
KEY_REFUSED = "account.key_refused"


class Quota(Protocol):
    """Says whether an account has requests to spare."""

    def to_spare(self) -> bool:
        """Return whether a request that is not for an event may be made."""
        ...


class QueueWatch:
    """Looks until it is stopped."""

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

    def run(self, stopping: threading.Event, every_s: float = EVERY_S) -> None:
        """Look every few minutes; what goes wrong is logged and tried again."""
        while not stopping.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 (an odd answer or a database that is away must not end the watch)
                log.error("watch.failed", error=str(error) if isinstance(error, BridgeError) else type(error).__name__)
            stopping.wait(every_s)

    def look(self) -> None:
        """Look at each account once."""
        for account in sorted(self._accounts):
            if not self._quotas[account].to_spare():
                log.warning("watch.skipped", account=account, reason="the account's quota is nearly used up")
                continue
            try:
                found = Webhooks(self._accounts[account]).all()
            except AsaasKeyRefused as error:
                mend = error.mend or "look at the account's ASAAS_API_KEY"
                self._say([Notice(KEY_REFUSED, account, NoticeLevel.ERROR, error.what, mend)])
            except BridgeError as error:
                log.warning("watch.away", account=account, error=str(error))
            else:
                self._judge(account, found)

    def _judge(self, account: str, webhooks: list[Webhook]) -> None:
        wants = needed(self._mappings(), account)
        url = hook_url(self._public_url, account) if self._public_url else None
        # An account from which no mapping wants anything may well have no webhook.
        said = problems(ours(webhooks, account, url), wants, account) if wants else []
        if any(problem.code == "webhook.interrupted" for problem in said):
            late = retention(self._waits_since_ms(account), self._clock_ms(), account)
            said += [late] if late else []
        codes = {problem.code for problem in said}
        mended = [Mended(code, account) for code in (*CODES, KEY_REFUSED) if code not in codes]
        self._say([*(_notice(problem, account) for problem in said), *mended])

    def _waits_since_ms(self, account: str) -> int:
        """Return the earliest time from which events may wait at Asaas: it does not say itself."""
        with self._journal.database.read() as connection:
            open_since = [one.raised_ms for one in notices.unmended(connection, ["webhook.interrupted"], account)]
            received_ms = events.last_received_ms(connection, account)
        # What waits came after the last one that got in, and at the latest when the queue was found interrupted.
        return min([self._clock_ms(), *open_since, *([received_ms] if received_ms is not None else [])])

    def _say(self, said: list[Notice | Mended]) -> None:
        with self._journal.database.write() as connection:
            changed = notices.apply(connection, said, self._clock_ms())
        for one in changed:
            if isinstance(one, Notice):
                log.warning("notice.raised", code=one.code, about=one.about, level=one.level.value, detail=one.detail)
            else:
                log.info("notice.closed", code=one.code, about=one.about)


def _notice(problem: Problem, account: str) -> Notice:
    return Notice(problem.code, account, problem.level, problem.what, problem.mend)
