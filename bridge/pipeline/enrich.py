"""Fetches what an event only points to: the customer, the instalment plan, the subscription, the charge.

Given names and ids it leaves objects, from a cache where they are fresh enough, else from the Asaas API. It must never
fail an event because Asaas is away: such errors say that the event waits. The cache may be lost at any time.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from bridge.redis_client import OptionalRedis

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

    def lifetime_s(self, key: Key, found: Found) -> float:
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
            texts = self._redis.call(lambda redis: redis.mget([self._name(key, erasure) for key in missing]))
            for key, text in zip(missing, texts or (), strict=False):
                if text is not None:
                    found.update(self._entry(key, text))
            self._keep_near({key: found[key] for key in missing if key in found}, erasure)
        return found

    def write(self, entries: Mapping[Key, Found], erasure: str) -> None:
        """Remember the entries, which were fetched after that erasure."""
        kept = {key: value for key, value in entries.items() if self._lifetimes.lifetime_s(key, value) > 0}
        if not kept:
            return
        self._keep_near(kept, erasure)

        def put(redis: Redis) -> bool:
            with redis.pipeline(transaction=False) as pipe:
                for key, value in kept.items():
                    text = self._keyring.encrypt(json.dumps(value), _PLACE)
                    pipe.set(self._name(key, erasure), text, px=int(self._lifetimes.lifetime_s(key, value) * 1000) or 1)
                pipe.execute()
            return True

        self._redis.call(put)

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
        self._redis.call(lambda redis: redis.delete(*gone))

    def _entry(self, key: Key, kept: bytes | str) -> dict[Key, Found]:
        try:
            text = kept if isinstance(kept, str) else kept.decode()
            value = json.loads(self._keyring.decrypt(text, _PLACE))
        except (ValueError, DecryptionFailed):
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
                ends_s = now_s + min(self._lifetimes.near_s, self._lifetimes.lifetime_s(key, value))
                name = names[key]
                self._near[name] = (ends_s, value)
                self._near.move_to_end(name)
            while len(self._near) > self._near_size:
                self._near.popitem(last=False)

    def _name(self, key: Key, erasure: str) -> str:
        return ":".join((f"bridge:cache{erasure}", self._api_of(key[0]), *key))


LEADS_TO: Mapping[str, tuple[str, ...]] = {
    "payment": ("customer", "installment", "subscription"),
    "subscription": ("customer",),
    "installment": ("customer",),
}
"""Which objects carry the ids of which others."""

LATER = ""
"""The id of a name whose id is found in an object that is fetched first."""


def plan(needs: Collection[str], references: Mapping[str, str]) -> dict[str, str]:
    """Return names and ids to fetch: the needed ones, and those that lead to a needed one.

    A name that nothing leads to is left out: the event has no such object.
    """
    wanted = {name: references[name] for name in sorted(needs) if references.get(name)}
    for name in sorted(set(needs) - set(wanted)):
        step = next((first for first, led in LEADS_TO.items() if name in led and references.get(first)), None)
        if step:
            wanted[step] = references[step]
            wanted[name] = LATER
    return wanted


def explain_path(name: str, fetched: Mapping[str, Any]) -> str:
    """Return the id of `name` that a fetched object carries, or an empty text."""
    for first, led in LEADS_TO.items():
        holder = fetched.get(first)
        if name in led and isinstance(holder, dict) and isinstance(found := holder.get(name), str) and found:
            return found
    return ""


Wanted: TypeAlias = tuple[str, Mapping[str, str]]
"""An account, and the ids of the wanted objects by name; an empty id is found in an object fetched first."""

Outcome: TypeAlias = Found | BridgeError

FAILURES = 3
"""Requests of one account that may fail in a batch before the rest of its events wait unasked."""


class Source(Protocol):
    """The API of one account."""

    def get_object(self, name: str, object_id: str) -> dict[str, Any] | None:
        """Return the object, or None where there is none."""
        ...


class Enricher:
    """What stands between the stages and the Asaas API of every account."""

    def __init__(self, clients: Mapping[str, Source], cache: Cache, *, at_once: int = 8) -> None:
        self._clients = clients
        self._cache = cache
        self._at_once = at_once

    def fetch(self, account: str, wanted: Mapping[str, str]) -> dict[str, Any]:
        """Return the objects by name, None for one that does not exist; raise where the event has to wait."""
        outcome = self.fetch_many([(account, wanted)])[0]
        if isinstance(outcome, BridgeError):
            raise outcome
        return outcome

    def fetch_many(self, wanted: Sequence[Wanted]) -> list[dict[str, Any] | BridgeError]:
        """Return for each of them the objects by name, or the error."""
        known: dict[Key, Outcome] = {}
        troubles = _FetchFaults()
        erasure = self._erasure(wanted)
        self._learn({(a, n, i) for a, ids in wanted for n, i in ids.items() if i != LATER}, known, troubles, erasure)
        later = [_follow(account, ids, known) for account, ids in wanted]
        self._learn({key for keys in later for key in keys.values()}, known, troubles, erasure)
        return [_assemble(account, ids, known, follow) for (account, ids), follow in zip(wanted, later, strict=True)]

    def from_cache(self, wanted: Sequence[Wanted]) -> list[dict[str, Any] | BridgeError | None]:
        """Return for each of them the objects by name where no request is needed for that, else None."""
        known: dict[Key, Outcome] = {}
        erasure = self._erasure(wanted)
        self._recall({(a, n, i) for a, ids in wanted for n, i in ids.items() if i != LATER}, known, erasure)
        later = [_follow(account, ids, known) for account, ids in wanted]
        self._recall({key for keys in later for key in keys.values()}, known, erasure)
        pairs = zip(wanted, later, strict=True)
        return [
            _assemble(account, ids, known, follow) if _is_known(account, ids, known, follow) else None
            for (account, ids), follow in pairs
        ]

    def forget(self, account: str, wanted: Mapping[str, str]) -> None:
        """Forget these objects, so that the next fetch asks Asaas: for a replay after somebody mended the customer."""
        self._cache.forget((account, name, object_id) for name, object_id in wanted.items() if object_id != LATER)

    def _erasure(self, wanted: Sequence[Wanted]) -> str:
        return self._cache.erasure() if any(ids for _, ids in wanted) else ""

    def _learn(self, keys: Iterable[Key], known: dict[Key, Outcome], troubles: _FetchFaults, erasure: str) -> None:
        missing = self._recall(keys, known, erasure)
        if not missing:
            return
        fetched = dict(
            zip(missing, _each(lambda key: self._fetch_one(key, troubles), missing, self._at_once), strict=True)
        )
        known.update(fetched)
        found = {key: value for key, value in fetched.items() if not isinstance(value, BridgeError)}
        self._cache.write(found, erasure)

    def _recall(self, keys: Iterable[Key], known: dict[Key, Outcome], erasure: str) -> list[Key]:
        """Add to `known` what needs no request; return what does."""
        new = sorted(set(keys) - set(known))
        for key in new:
            try:
                check_id(*key)
            except AsaasRejected as error:
                known[key] = error
        asked = [key for key in new if key not in known]
        if asked:
            known.update(self._cache.read(asked, erasure))
        return [key for key in asked if key not in known]

    def _fetch_one(self, key: Key, troubles: _FetchFaults) -> Outcome:
        account, name, object_id = key
        client = self._clients.get(account)
        if client is None:
            return AsaasKeyMissing(
                f"the mapping needs the {name} from the Asaas API and account {account} has no key",
                hint=f"set {_variable(account)}",
            )
        trouble = troubles.of(account)
        if trouble:
            return trouble
        try:
            return client.get_object(name, object_id)
        except BridgeError as error:
            troubles.add(account, error)
            return error


class _FetchFaults:
    """Which accounts are not worth asking again in this batch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()
        self._last: dict[str, BridgeError] = {}

    def add(self, account: str, error: BridgeError) -> None:
        if not isinstance(error, EnrichmentWaits):
            return  # about this one object only
        # A refused key or a spent quota is the same for every object; a server error may be one object's own.
        weight = 1 if isinstance(error, AsaasUnavailable) else FAILURES
        with self._lock:
            self._failures[account] += weight
            self._last[account] = error

    def of(self, account: str) -> BridgeError | None:
        with self._lock:
            return self._last[account] if self._failures[account] >= FAILURES else None


def _follow(account: str, ids: Mapping[str, str], known: Mapping[Key, Outcome]) -> dict[str, Key]:
    first = {name: known.get((account, name, i)) for name, i in ids.items() if i != LATER}
    found = {name: explain_path(name, first) for name, i in ids.items() if i == LATER}
    return {name: (account, name, object_id) for name, object_id in found.items() if object_id}


def _is_known(account: str, ids: Mapping[str, str], known: Mapping[Key, Outcome], later: Mapping[str, Key]) -> bool:
    return all((account, name, i) in known for name, i in ids.items() if i != LATER) and all(
        key in known for key in later.values()
    )


def _assemble(
    account: str, ids: Mapping[str, str], known: Mapping[Key, Outcome], later: Mapping[str, Key]
) -> dict[str, Any] | BridgeError:
    objects: dict[str, Any] = {}
    for name, object_id in ids.items():
        key = later.get(name) if object_id == LATER else (account, name, object_id)
        value = known[key] if key else None
        if isinstance(value, BridgeError):
            return value
        objects[name] = value
    return objects


def _each(ask: Callable[[Key], Outcome], keys: Sequence[Key], at_once: int) -> list[Outcome]:
    if len(keys) < 2:
        return [ask(key) for key in keys]
    # A pool for each batch: threads that outlive it would be missing in a worker that forks.
    with ThreadPoolExecutor(min(at_once, len(keys)), thread_name_prefix="enrichment") as pool:
        return list(pool.map(ask, keys))


def _variable(account: str) -> str:
    return "ASAAS_API_KEY" if account == "default" else f"ASAAS_API_KEY_{account.upper()}"
