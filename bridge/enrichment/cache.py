"""Remembers objects of the Asaas API for a while: in Redis for all workers, and for seconds in this process.

Given keys it leaves the objects that are fresh enough. Asaas sends no event when a customer changes, so time is the
only thing that ends an entry: a customer lives as long as `BRIDGE_CACHE_TTL` says, what changes with every payment
lives a minute at most. It must never fail: without Redis it just remembers less.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from redis import Redis

from bridge.asaas.redis_link import RedisLink
from bridge.errors import SealBroken
from bridge.sealing import Keyring

Key: TypeAlias = tuple[str, str, str]
"""Account, name (customer, ...) and id."""

Found: TypeAlias = dict[str, Any] | None
"""An object, or None where Asaas has none of that id."""

_PLACE = "cache"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long entries are used."""

    customer_s: float = 300.0
    other_s: float = 60.0
    """Charges, subscriptions and plans change with each payment."""
    nothing_s: float = 10.0
    """That Asaas has no such object: it may have it in a moment."""
    near_s: float = 15.0
    """In this process, which does not learn that another one had an object read again."""

    def of(self, key: Key, found: Found) -> float:
        """Return how long the entry is used; 0 keeps it out of the cache."""
        longest_s = self.customer_s if key[1] == "customer" else min(self.customer_s, self.other_s)
        return longest_s if found is not None else min(longest_s, self.nothing_s)


class Cache:
    """Objects that were fetched a short time ago.

    `api_of` gives the address of an account's API, under which its objects are kept: ids of customers look like running
    numbers in the sandbox and in production, so one id may be two people when a key is changed for the other's.
    `erasure_of` gives what changes with every erasure of a person: no entry from before it is found again.
    """

    def __init__(
        self,
        redis: RedisLink,
        lifetimes: Lifetimes | None = None,
        *,
        near_size: int = 2000,
        keyring: Keyring | None = None,
        api_of: Callable[[str], str] = lambda account: "",
        erasure_of: Callable[[], str] = lambda: "",
    ) -> None:
        self._redis = redis
        self._lifetimes = lifetimes or Lifetimes()
        self._near_size = near_size
        self._keyring = keyring or Keyring()
        self._api_of = api_of
        self._erasure_of = erasure_of
        self._erasure = ""
        self._near: OrderedDict[str, tuple[float, Found]] = OrderedDict()
        self._lock = threading.Lock()

    def erasure(self) -> str:
        """Return the last erasure; what is fetched from now on may be remembered as later than it."""
        now = self._erasure_of()
        with self._lock:
            if now != self._erasure:
                self._erasure = now
                self._near.clear()
        return now

    def read(self, keys: Collection[Key], erasure: str) -> dict[Key, Found]:
        """Return the entries that are there since that erasure."""
        found = self._read_near(keys, erasure)
        missing = [key for key in keys if key not in found]
        if missing:
            texts = self._redis.ask(lambda redis: redis.mget([self._name(key, erasure) for key in missing]))
            for key, text in zip(missing, texts or (), strict=False):
                if text is not None:
                    found.update(self._entry(key, text))
            self._keep_near({key: found[key] for key in missing if key in found}, erasure)
        return found

    def write(self, entries: Mapping[Key, Found], erasure: str) -> None:
        """Remember the entries, which were fetched after that erasure."""
        kept = {key: value for key, value in entries.items() if self._lifetimes.of(key, value) > 0}
        if not kept:
            return
        self._keep_near(kept, erasure)

        def put(redis: Redis) -> bool:
            with redis.pipeline(transaction=False) as pipe:
                for key, value in kept.items():
                    text = self._keyring.seal(json.dumps(value), _PLACE)
                    pipe.set(self._name(key, erasure), text, px=int(self._lifetimes.of(key, value) * 1000) or 1)
                pipe.execute()
            return True

        self._redis.ask(put)

    def forget(self, keys: Iterable[Key]) -> None:
        """Forget the entries, here and in Redis."""
        wanted = list(keys)
        if not wanted:
            return
        erasure = self.erasure()
        gone = [self._name(key, erasure) for key in wanted]
        with self._lock:
            for name in gone:
                self._near.pop(name, None)
        self._redis.ask(lambda redis: redis.delete(*gone))

    def _entry(self, key: Key, kept: bytes | str) -> dict[Key, Found]:
        try:
            text = kept if isinstance(kept, str) else kept.decode()
            value = json.loads(self._keyring.open(text, _PLACE))
        except (ValueError, SealBroken):
            return {}
        return {key: value} if value is None or isinstance(value, dict) else {}

    def _read_near(self, keys: Collection[Key], erasure: str) -> dict[Key, Found]:
        now_s = time.monotonic()
        # Before the lock: an account's API may be looked up for it.
        names = {key: self._name(key, erasure) for key in keys}
        with self._lock:
            near = {key: self._near[name] for key, name in names.items() if name in self._near}
        return {key: value for key, (ends_s, value) in near.items() if now_s < ends_s}

    def _keep_near(self, entries: Mapping[Key, Found], erasure: str) -> None:
        now_s = time.monotonic()
        names = {key: self._name(key, erasure) for key in entries}
        with self._lock:
            if erasure != self._erasure:
                return  # somebody was erased while this was fetched
            for key, value in entries.items():
                ends_s = now_s + min(self._lifetimes.near_s, self._lifetimes.of(key, value))
                name = names[key]
                self._near[name] = (ends_s, value)
                self._near.move_to_end(name)
            while len(self._near) > self._near_size:
                self._near.popitem(last=False)

    def _name(self, key: Key, erasure: str) -> str:
        return ":".join((f"bridge:cache{erasure}", self._api_of(key[0]), *key))
