"""Fetches the objects that a batch of events points to, each one once, several at a time.

Given accounts with names and ids it leaves, for each, the objects or the error that its event waits for. One account's
trouble must not hold up another's, and an Asaas that is away must not cost one timeout for each event of the batch.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias

from bridge.asaas.client import check_id
from bridge.enrichment.cache import Cache, Found, Key
from bridge.enrichment.plan import LATER, led_to
from bridge.errors import AsaasKeyMissing, AsaasRejected, AsaasUnavailable, BridgeError, EnrichmentWaits

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
        troubles = _Troubles()
        erasure = self._erasure(wanted)
        self._learn({(a, n, i) for a, ids in wanted for n, i in ids.items() if i != LATER}, known, troubles, erasure)
        later = [_follow(account, ids, known) for account, ids in wanted]
        self._learn({key for keys in later for key in keys.values()}, known, troubles, erasure)
        return [_assemble(account, ids, known, follow) for (account, ids), follow in zip(wanted, later, strict=True)]

    def at_hand(self, wanted: Sequence[Wanted]) -> list[dict[str, Any] | BridgeError | None]:
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

    def _learn(self, keys: Iterable[Key], known: dict[Key, Outcome], troubles: _Troubles, erasure: str) -> None:
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

    def _fetch_one(self, key: Key, troubles: _Troubles) -> Outcome:
        account, name, object_id = key
        client = self._clients.get(account)
        if client is None:
            return AsaasKeyMissing(
                f"the mapping needs the {name} from the Asaas API and account {account} has no key",
                mend=f"set {_variable(account)}",
            )
        trouble = troubles.of(account)
        if trouble:
            return trouble
        try:
            return client.get_object(name, object_id)
        except BridgeError as error:
            troubles.add(account, error)
            return error


class _Troubles:
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
    found = {name: led_to(name, first) for name, i in ids.items() if i == LATER}
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
