"""Watches the queue at Asaas: is the account's webhook there, does it send, does it bring what the mappings need.

A periodic task: it asks each account that has a key, and leaves notices in the journal, closed by themselves when it
is mended. It must never take the last of an account's quota: events need that for their customers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from bridge.asaas.webhook_rules import KEY_REFUSED
from bridge.asaas.webhooks import Api, Webhooks
from bridge.errors import AsaasKeyRefused, BridgeError
from bridge.journal import Journal
from bridge.journal.notices import Notice
from bridge.logs import logger
from bridge.mapping import Mapping as MappingFile
from bridge.model import NoticeLevel
from bridge.workbench.webhook_notices import judge, say_notices

log = logger(__name__)


class Quota(Protocol):
    """Says whether an account has requests to spare."""

    def to_spare(self) -> bool:
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
                say_notices(
                    self._journal, [Notice(KEY_REFUSED, account, NoticeLevel.ERROR, error.what, mend)], self._clock_ms()
                )
            except BridgeError as error:
                log.warning("watch.away", account=account, error=str(error))
            else:
                judge(self._journal, account, found, self._mappings(), self._public_url, self._clock_ms())
