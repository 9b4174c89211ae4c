"""The accounts and destinations of a bridge: those of its environment, and those that people keep in its journal.

A process looks at one number of the journal now and then, and reads the rows only where it grew; what the environment
names is never looked up. Where both name the same, the environment wins. A journal that is away leaves what was known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from bridge.asaas.client import AsaasClient, base_url
from bridge.asaas.limiter import AccountLimiter
from bridge.errors import JournalError
from bridge.http import HttpClient
from bridge.journal import Journal
from bridge.journal import accounts as kept
from bridge.logs import logger
from bridge.settings import Account, Settings

log = logger(__name__)

LOOK_EVERY_S = 1.0
"""How old a process's idea of the journal's accounts and destinations may be."""

T = TypeVar("T")


class Accounts:
    """What one process knows of accounts and destinations; threads may share it."""

    def __init__(self, settings: Settings, journal: Journal, look_every_s: float = LOOK_EVERY_S) -> None:
        self._journal = journal
        self._look_every_s = look_every_s
        self._looking = threading.Lock()
        self._due_s = 0.0
        self._version = -1
        self._accounts: Mapping[str, Account] = {}
        self._urls: Mapping[str, str] = {}
        self._ever: dict[str, str] = {}
        self._problem: JournalError | None = None
        self.accounts: Mapping[str, Account] = _Both(settings.accounts, self._look_at_accounts)
        """Every account by name; changes as the journal does."""
        self.destinations: Mapping[str, str] = _Urls(settings.destinations, self._look_at_urls, self._ever)
        """Every webhook URL by the destination's name; changes as the journal does."""

    def account(self, name: str) -> Account | None:
        """Return the account of that name, None where nobody set it up.

        Raises JournalError where the environment does not name it and the journal could not be read: whether there is
        such an account is then not known.
        """
        found = self.accounts.get(name)
        if found is None and self._problem is not None:
            raise self._problem
        return found

    def _look_at_accounts(self) -> Mapping[str, Account]:
        self._look()
        return self._accounts

    def _look_at_urls(self) -> Mapping[str, str]:
        self._look()
        return self._urls

    def _look(self) -> None:
        # Without a key nothing can be in the journal. While one thread looks, the others go by what is known; only
        # before the first look there is nothing to go by.
        if not self._journal.database.keyring or time.monotonic() < self._due_s:
            return
        if not self._looking.acquire(blocking=self._version < 0):
            return
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

    def _read(self) -> None:
        with self._journal.database.read() as connection:
            version = kept.version(connection)
            if version == self._version:
                return
            accounts, urls = kept.accounts(connection), kept.destinations(connection)
        self._accounts = {one.name: Account(one.name, one.api_key, one.webhook_token) for one in accounts.values()}
        self._urls = {one.name: one.url for one in urls.values()}
        self._ever.update(self._urls)
        self._version = version
        log.info("tenants.read", version=version, accounts=sorted(accounts), destinations=sorted(urls))


class _Both(Mapping[str, T]):
    """What the environment says, and behind it what the journal says at the moment."""

    def __init__(self, fixed: Mapping[str, T], look: Callable[[], Mapping[str, T]]) -> None:
        self._fixed = fixed
        self._look = look

    def __getitem__(self, name: str) -> T:
        return self._fixed[name] if name in self._fixed else self._look()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fixed or name in self._look()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._fixed, *self._look()}))

    def __len__(self) -> int:
        return len({*self._fixed, *self._look()})


class _Urls(_Both[str]):
    """URLs; what was just about to be sent when its destination was removed still finds its way."""

    def __init__(
        self, fixed: Mapping[str, str], look: Callable[[], Mapping[str, str]], ever: Mapping[str, str]
    ) -> None:
        super().__init__(fixed, look)
        self._ever = ever

    def __getitem__(self, name: str) -> str:
        if name in self._fixed:
            return self._fixed[name]
        now = self._look()
        return now[name] if name in now else self._ever[name]


class _Keyed(Mapping[str, T]):
    """Something for each account that has a key, by the account's name."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> T:
        account = self._accounts[name]
        if not account.api_key:
            raise KeyError(name)
        with self._lock:
            return self._of(account)

    def __iter__(self) -> Iterator[str]:
        return iter([account.name for account in dict(self._accounts).values() if account.api_key])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _of(self, account: Account) -> T:
        raise NotImplementedError


class Limiters(_Keyed[AccountLimiter]):
    """The limits of each account; a new key of an account leaves its limits as they are."""

    def __init__(self, accounts: Mapping[str, Account], make: Callable[[str], AccountLimiter]) -> None:
        super().__init__(accounts)
        self._make = make
        self._made: dict[str, AccountLimiter] = {}

    def _of(self, account: Account) -> AccountLimiter:
        if account.name not in self._made:
            self._made[account.name] = self._make(account.name)
        return self._made[account.name]


class Clients(_Keyed[AsaasClient]):
    """The client of each account; `api_url` overrides the address that its key chooses."""

    def __init__(
        self, accounts: Mapping[str, Account], governors: Mapping[str, AccountLimiter], api_url: str, http: HttpClient
    ) -> None:
        super().__init__(accounts)
        self._governors = governors
        self._api_url = api_url
        self._http = http
        self._made: dict[str, tuple[str, AsaasClient]] = {}

    def _of(self, account: Account) -> AsaasClient:
        name, key = account.name, account.api_key
        made = self._made.get(name)
        if made is None or made[0] != key:
            client = AsaasClient(name, key, base_url(key, self._api_url), self._http, self._governors[name])
            made = self._made[name] = (key, client)
        return made[1]
