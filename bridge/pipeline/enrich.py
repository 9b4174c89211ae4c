"""Fetches the objects that an event only points to: the customer, the instalment plan, the subscription, the charge.

It takes names and ids and returns objects, from the cache where they are fresh enough, else from the Asaas API. An
error of the API makes the event wait; only where Asaas says that the request is wrong does its delivery fail. The cache
may be lost at any time.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from redis import Redis

from bridge.asaas.client import check_id
from bridge.crypto import Keyring
from bridge.errors import (
    AsaasKeyMissing,
    AsaasRejected,
    AsaasUnavailable,
    BridgeError,
    DecryptionFailed,
    EnrichmentWaits,
)
from bridge.messages import N_
from bridge.model import object_name
from bridge.redis_client import OptionalRedis
from bridge.settings import variable

Key: TypeAlias = tuple[str, str, str]
"""Account, name (customer, ...) and id."""
Found: TypeAlias = dict[str, Any] | None
"""An object, or None where Asaas has none of that id."""
Outcome: TypeAlias = Found | BridgeError
Request: TypeAlias = tuple[str, Mapping[str, str]]
"""An account, and the ids of the wanted objects by name; ID_UNKNOWN for an id that another object carries."""

LEADS_TO: Mapping[str, tuple[str, ...]] = {
    "payment": ("customer", "installment", "subscription"),
    "subscription": ("customer",),
    "installment": ("customer",),
}
"""The names whose ids an object carries."""
ID_UNKNOWN = ""
FAILURES = 3
"""Failed requests of one account in a batch, after which its other events wait without a request."""
_PLACE = "cache"


def plan(needs: Collection[str], references: Mapping[str, str]) -> dict[str, str]:
    """Return the names and ids to fetch: the needed ones, and those that lead to a needed one.

    A name that nothing leads to is left out: the event has no such object.
    """
    wanted = {name: references[name] for name in sorted(needs) if references.get(name)}
    for name in sorted(set(needs) - set(wanted)):
        holder = next((first for first, led in LEADS_TO.items() if name in led and references.get(first)), None)
        if holder:
            wanted[holder] = references[holder]
            wanted[name] = ID_UNKNOWN
    return wanted


def explain_path(name: str, fetched: Mapping[str, Any]) -> str:
    """Return the id of `name` that a fetched object carries, or an empty text."""
    for first, led in LEADS_TO.items():
        holder = fetched.get(first)
        if name in led and isinstance(holder, dict) and isinstance(found := holder.get(name), str) and found:
            return found
    return ""


class Source(Protocol):
    """The API of one account."""

    def get_object(self, name: str, object_id: str) -> dict[str, Any] | None:
        """Return the object, or None where there is none."""


class Enricher:
    """Fetches objects of every account through the cache."""

    def __init__(
        self, clients: Mapping[str, Source], cache: Cache, *, fixed: Container[str] = (), at_once: int = 8
    ) -> None:
        """`fixed` are the accounts that the environment sets up."""
        self._clients = clients
        self._fixed = fixed
        self._cache = cache
        self._at_once = at_once

    def fetch(self, account: str, wanted: Mapping[str, str]) -> dict[str, Any]:
        """Return the objects by name, None for one that does not exist; raise BridgeError where Asaas gives none."""
        outcome = self.fetch_many([(account, wanted)])[0]
        if isinstance(outcome, BridgeError):
            raise outcome
        return outcome

    def fetch_many(self, requests: Sequence[Request]) -> list[dict[str, Any] | BridgeError]:
        """Return for each request the objects by name, or the error."""
        return [found for found in self._resolve(requests, _FetchFaults()) if found is not None]

    def from_cache(self, requests: Sequence[Request]) -> list[dict[str, Any] | BridgeError | None]:
        """Return the result of `fetch_many` for each request, None for one that needs an answer of Asaas."""
        return self._resolve(requests, None)

    def forget(self, account: str, wanted: Mapping[str, str]) -> None:
        """Let the next fetch of these objects ask Asaas again."""
        self._cache.forget((account, name, object_id) for name, object_id in wanted.items() if object_id != ID_UNKNOWN)

    def _resolve(
        self, requests: Sequence[Request], faults: _FetchFaults | None
    ) -> list[dict[str, Any] | BridgeError | None]:
        """Look objects up in two steps, since the first ones carry the ids of others; ask Asaas only with `faults`."""
        known: dict[Key, Outcome] = {}
        erasure = self._cache.erasure() if any(ids for _, ids in requests) else ""
        first = [{name: (account, name, i) for name, i in ids.items() if i != ID_UNKNOWN} for account, ids in requests]
        self._learn({key for keys in first for key in keys.values()}, known, erasure, faults)
        second: list[dict[str, Key]] = []
        for (account, ids), keys in zip(requests, first, strict=True):
            holders = {name: known.get(key) for name, key in keys.items()}
            led = {name: explain_path(name, holders) for name, i in ids.items() if i == ID_UNKNOWN}
            second.append({name: (account, name, object_id) for name, object_id in led.items() if object_id})
        self._learn({key for keys in second for key in keys.values()}, known, erasure, faults)
        return [
            _assemble(ids, {**one, **two}, known) for (_, ids), one, two in zip(requests, first, second, strict=True)
        ]

    def _learn(self, keys: Iterable[Key], known: dict[Key, Outcome], erasure: str, faults: _FetchFaults | None) -> None:
        unknown = []
        for key in sorted(set(keys) - known.keys()):
            try:
                check_id(*key)
                unknown.append(key)
            except AsaasRejected as error:
                known[key] = error
        if unknown:
            known.update(self._cache.read(unknown, erasure))
        missing = [key for key in unknown if key not in known]
        if faults is None or not missing:
            return
        if len(missing) == 1:
            fetched = {missing[0]: self._fetch_one(missing[0], faults)}
        else:
            # A pool for each batch: the threads of a longer one would be missing after a fork.
            with ThreadPoolExecutor(min(self._at_once, len(missing)), thread_name_prefix="enrichment") as pool:
                results = pool.map(lambda key: self._fetch_one(key, faults), missing)
                fetched = dict(zip(missing, results, strict=True))
        known.update(fetched)
        found = {key: value for key, value in fetched.items() if not isinstance(value, BridgeError)}
        self._cache.write(found, erasure)

    def _fetch_one(self, key: Key, faults: _FetchFaults) -> Outcome:
        account, name, object_id = key
        client = self._clients.get(account)
        if client is None:
            return AsaasKeyMissing(
                N_("the mapping needs the {name} from the Asaas API and account {account} has no key"),
                hint=N_("set {variable}") if account in self._fixed else N_("run: bridge accounts add {account}"),
                name=object_name(name),
                account=account,
                variable=variable("ASAAS_API_KEY", account),
            )
        if error := faults.of(account):
            return error
        try:
            return client.get_object(name, object_id)
        except BridgeError as error:
            faults.add(account, error)
            return error


class _FetchFaults:
    """The accounts that are not worth another request in this batch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()
        self._last: dict[str, BridgeError] = {}

    def add(self, account: str, error: BridgeError) -> None:
        if not isinstance(error, EnrichmentWaits):
            return  # it concerns this one object
        # A refused key or a spent quota is the same for every object; a server error may be one object's own.
        weight = 1 if isinstance(error, AsaasUnavailable) else FAILURES
        with self._lock:
            self._failures[account] += weight
            self._last[account] = error

    def of(self, account: str) -> BridgeError | None:
        with self._lock:
            return self._last[account] if self._failures[account] >= FAILURES else None


def _assemble(
    ids: Iterable[str], keys: Mapping[str, Key], known: Mapping[Key, Outcome]
) -> dict[str, Any] | BridgeError | None:
    """Return the objects by name, or the first error; None where an object is not known yet."""
    if any(key not in known for key in keys.values()):
        return None
    objects: dict[str, Any] = {}
    for name in ids:
        value = known[keys[name]] if name in keys else None
        if isinstance(value, BridgeError):
            return value
        objects[name] = value
    return objects


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long entries of the cache are used."""

    customer_s: float = 300.0
    other_s: float = 60.0
    """Charges, subscriptions and plans change with each payment."""
    nothing_s: float = 10.0
    """That Asaas has no such object: it may have it in a moment."""
    near_s: float = 15.0
    """In this process, which does not learn that another one had an object fetched again."""

    def lifetime_s(self, key: Key, found: Found) -> float:
        """Return the lifetime of an entry; 0 keeps it out of the cache."""
        longest_s = self.customer_s if key[1] == "customer" else min(self.customer_s, self.other_s)
        return longest_s if found is not None else min(longest_s, self.nothing_s)


class Cache:
    """Objects that were fetched a short time ago, in this process and in Redis.

    Two texts are a part of each entry's name. `api_of` gives the address of an account's API: customers of sandbox and
    production may have the same id, and a key may be changed for the other environment's. `erasure_of` changes with
    every erasure of a person: no entry from before it is found again.
    """

    def __init__(
        self,
        redis: OptionalRedis,
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
        """Return the last erasure, to be given to `read` and `write`."""
        erasure = self._erasure_of()
        with self._lock:
            if erasure != self._erasure:
                self._erasure = erasure
                self._near.clear()
        return erasure

    def read(self, keys: Collection[Key], erasure: str) -> dict[Key, Found]:
        """Return the entries that were written since that erasure."""
        names = {key: self._name(key, erasure) for key in keys}  # before the lock: it may look an account up
        now_s = time.monotonic()
        with self._lock:
            near = {key: self._near[name] for key, name in names.items() if name in self._near}
        found = {key: value for key, (ends_s, value) in near.items() if now_s < ends_s}
        missing = [key for key in keys if key not in found]
        if missing:
            texts = self._redis.call(lambda redis: redis.mget([names[key] for key in missing]))
            shared: dict[Key, Found] = {}
            for key, stored in zip(missing, texts or (), strict=False):
                if stored is None:
                    continue
                with suppress(ValueError, DecryptionFailed):  # an entry that can't be read is fetched again
                    text = stored.decode() if isinstance(stored, bytes) else stored
                    value = json.loads(self._keyring.decrypt(text, _PLACE))
                    if value is None or isinstance(value, dict):
                        shared[key] = value
            self._keep_near(shared, erasure)
            found |= shared
        return found

    def write(self, entries: Mapping[Key, Found], erasure: str) -> None:
        """Keep entries that were fetched after that erasure."""
        lifetimes_s = {key: self._lifetimes.lifetime_s(key, value) for key, value in entries.items()}
        kept = {key: value for key, value in entries.items() if lifetimes_s[key] > 0}
        if not kept:
            return
        self._keep_near(kept, erasure)

        def put(redis: Redis) -> bool:
            with redis.pipeline(transaction=False) as pipe:
                for key, value in kept.items():
                    text = self._keyring.encrypt(json.dumps(value), _PLACE)
                    pipe.set(self._name(key, erasure), text, px=int(lifetimes_s[key] * 1000) or 1)
                pipe.execute()
            return True

        self._redis.call(put)

    def forget(self, keys: Iterable[Key]) -> None:
        """Remove entries, here and in Redis."""
        wanted = list(keys)
        if not wanted:
            return
        erasure = self.erasure()
        names = [self._name(key, erasure) for key in wanted]
        with self._lock:
            for name in names:
                self._near.pop(name, None)
        self._redis.call(lambda redis: redis.delete(*names))

    def _keep_near(self, entries: Mapping[Key, Found], erasure: str) -> None:
        now_s = time.monotonic()
        names = {key: self._name(key, erasure) for key in entries}
        with self._lock:
            if erasure != self._erasure:
                return  # a person was erased after these were fetched
            for key, value in entries.items():
                ends_s = now_s + min(self._lifetimes.near_s, self._lifetimes.lifetime_s(key, value))
                self._near[names[key]] = (ends_s, value)
                self._near.move_to_end(names[key])
            while len(self._near) > self._near_size:
                self._near.popitem(last=False)

    def _name(self, key: Key, erasure: str) -> str:
        return ":".join((f"bridge:cache{erasure}", self._api_of(key[0]), *key))
