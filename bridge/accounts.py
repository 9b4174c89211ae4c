"""The accounts and destinations of a bridge, and its token of Clint's API: of its environment and of its journal.

A process polls a version number of the journal and reads the rows when it grew. The environment wins where both name
the same. While the journal is away, the last known ones stay.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from bridge.errors import JournalError
from bridge.journal import Journal
from bridge.journal import accounts as stored
from bridge.logs import logger
from bridge.settings import Account, Settings

log = logger(__name__)

LOOK_EVERY_S = 1.0
"""Between two reads of the version number."""

T = TypeVar("T")


class Accounts:
    """The accounts, destinations and token of Clint's API that one process knows; threads may share it."""

    def __init__(self, settings: Settings, journal: Journal, look_every_s: float = LOOK_EVERY_S) -> None:
        self._journal = journal
        self._look_every_s = look_every_s
        self._looking = threading.Lock()
        self._due_s = 0.0
        self._version = -1
        self._accounts: Mapping[str, Account] = {}
        self._urls: Mapping[str, str] = {}
        self._removed_urls: dict[str, str] = {}
        self._fixed_token: str = settings.clint_api_token
        self._token = ""
        self._problem: JournalError | None = None
        self.accounts: Mapping[str, Account] = _Both(settings.accounts, lambda: self._look()._accounts, {})
        """Every account by name; follows the journal."""
        self.destinations: Mapping[str, str] = _Both(
            settings.destinations, lambda: self._look()._urls, self._removed_urls
        )
        """Every webhook URL by the destination's name; follows the journal."""

    def account(self, name: str) -> Account | None:
        """Return the account of that name, None where there is none.

        Raises JournalError where the environment does not name it and the journal could not be read.
        """
        found = self.accounts.get(name)
        if found is None and self._problem is not None:
            raise self._problem
        return found

    @property
    def clint_token(self) -> str:
        """The token of Clint's API, empty where there is none; follows the journal."""
        return self._fixed_token or self._look()._token

    def refresh(self) -> None:
        """Let the next look read the journal: this process, or the one that sent the person here, changed it."""
        self._due_s = 0.0

    def _look(self) -> Accounts:
        # Without a key the journal holds nothing. While one thread reads, the others use the known ones; only the
        # first read makes them wait.
        if not self._journal.database.keyring or time.monotonic() < self._due_s:
            return self
        if not self._looking.acquire(blocking=self._version < 0):
            return self
        try:
            if time.monotonic() >= self._due_s:
                self._read()
                self._problem = None
        except JournalError as error:
            self._problem = error
            log.warning("tenants.not_read", error=str(error))
        finally:
            self._due_s = time.monotonic() + self._look_every_s
            self._looking.release()
        return self

    def _read(self) -> None:
        with self._journal.database.read() as connection:
            version = stored.version(connection)
            if version == self._version:
                return
            self._accounts, self._urls = stored.accounts(connection), stored.destinations(connection)
            self._token = stored.clint_token(connection)
        self._removed_urls.update(self._urls)
        self._version = version
        log.info("tenants.read", version=version, accounts=list(self._accounts), destinations=list(self._urls))


class _Both(Mapping[str, T]):
    """The values of the environment, and behind them those of the journal.

    A removed value is not listed, and `[]` still finds it: a delivery in progress needs its URL.
    """

    def __init__(self, fixed: Mapping[str, T], look: Callable[[], Mapping[str, T]], removed: Mapping[str, T]) -> None:
        self._fixed = fixed
        self._look = look
        self._removed = removed

    def __getitem__(self, name: str) -> T:
        if name in self._fixed:
            return self._fixed[name]
        now = self._look()
        return now[name] if name in now else self._removed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fixed or name in self._look()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._fixed, *self._look()}))

    def __len__(self) -> int:
        return len({*self._fixed, *self._look()})


class PerAccount(Mapping[str, T]):
    """An object for each account with an API key: made on demand, and anew when the account's `version` changes."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        make: Callable[[Account], T],
        version: Callable[[Account], str] = lambda _account: "",
    ) -> None:
        self._accounts = accounts
        self._make = make
        self._version = version
        self._lock = threading.Lock()
        self._made: dict[str, tuple[str, T]] = {}

    def __getitem__(self, name: str) -> T:
        account = self._accounts[name]
        if not account.api_key:
            raise KeyError(name)
        version = self._version(account)
        with self._lock:
            if name not in self._made or self._made[name][0] != version:
                self._made[name] = (version, self._make(account))
            return self._made[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter([account.name for account in dict(self._accounts).values() if account.api_key])

    def __len__(self) -> int:
        return sum(1 for _ in self)
