"""The Asaas API's client of each account that has a key, made when it is first asked for and anew for a new key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from bridge.asaas.client import AsaasClient
from bridge.asaas.environment import base_url
from bridge.asaas.governor import Governor
from bridge.http import HttpClient
from bridge.settings import Account

T = TypeVar("T")


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


class Governors(_Keyed[Governor]):
    """The limits of each account; a new key of an account leaves its limits as they are."""

    def __init__(self, accounts: Mapping[str, Account], make: Callable[[str], Governor]) -> None:
        super().__init__(accounts)
        self._make = make
        self._made: dict[str, Governor] = {}

    def _of(self, account: Account) -> Governor:
        if account.name not in self._made:
            self._made[account.name] = self._make(account.name)
        return self._made[account.name]


class Clients(_Keyed[AsaasClient]):
    """The client of each account; `api_url` overrides the address that its key chooses."""

    def __init__(
        self, accounts: Mapping[str, Account], governors: Mapping[str, Governor], api_url: str, http: HttpClient
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
