"""Keeps an account within Asaas's limits, over all workers: GETs at once, requests in 12 hours, pauses asked for.

A request takes a slot, or an error with the time to wait. Redis counts for all workers; while it is away each process
counts for itself within smaller limits. A slot is a lease that runs out, so a killed worker loses none for long.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bridge.errors import AsaasQuotaSpent, AsaasRateLimited
from bridge.logs import logger
from bridge.messages import N_
from bridge.model import of_account
from bridge.redis_client import OptionalRedis

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an account, and the distance that the bridge keeps."""

    at_once: int = 50
    """GETs under way at once (docs duvidas-frequentes-limites-da-api)."""
    at_once_alone: int = 10
    """The same for one process without Redis."""
    quota: int = 25_000
    """Requests in a window (same page)."""
    quota_margin: int = 500
    """Requests of the quota that are left to people and to the account's other integrations."""
    quota_warning: float = 0.8
    window_s: float = 12 * 3600
    lease_s: float = 30.0
    """Longer than any request may take, so that a slot in use is never given away."""
    patience_s: float = 5.0
    """How long a request waits for a slot."""

    @property
    def quota_usable(self) -> int:
        return self.quota - self.quota_margin


# Answers {result, number}: taken and the requests used so far, or the reason and the milliseconds to wait.
# A count without a time to live, which nothing here makes, would never start anew.
# The time is Redis's own, so that machines with differing clocks agree on the end of a lease.
_TAKE = """
local pause = redis.call('PTTL', KEYS[3])
if pause > 0 then return {'paused', pause} end
local used = tonumber(redis.call('GET', KEYS[2]) or '0')
if used > 0 and redis.call('PTTL', KEYS[2]) < 0 then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
if used >= tonumber(ARGV[3]) then return {'spent', redis.call('PTTL', KEYS[2])} end
local t = redis.call('TIME')
local now_ms = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return {'full', 0} end
redis.call('ZADD', KEYS[1], now_ms + ARGV[4], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
used = redis.call('INCR', KEYS[2])
if used == 1 then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
return {'taken', used}
"""

# A later pause never shortens one that is still running.
_PAUSE = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return 1
"""


class AccountLimiter:
    """The limits of one account, shared by all workers through Redis."""

    def __init__(self, account: str, redis: OptionalRedis, limits: Limits | None = None) -> None:
        self.account = account
        self.limits = limits or Limits()
        self._redis = redis
        self._local = LocalLimiter(self.limits)
        prefix = f"bridge:asaas:{account}"
        self._slots, self._quota, self._pause = f"{prefix}:places", f"{prefix}:quota", f"{prefix}:pause"

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot for a request; raise EnrichmentWaits where none is free, or the quota is spent."""
        holder = secrets.token_hex(8)
        give_up_at_s = time.monotonic() + self.limits.patience_s
        while (taken_from := self._take(holder)) is None:
            if time.monotonic() > give_up_at_s:
                text = N_("the account's slots for requests to the Asaas API are all taken")
                raise AsaasRateLimited(text, where=of_account(self.account), retry_after_s=1.0)
            # At random, so that waiting threads do not all try at the same moment.
            time.sleep(random.uniform(0.01, 0.05))  # noqa: S311
        try:
            yield
        finally:
            if taken_from == "redis":
                self._redis.call(lambda redis: redis.zrem(self._slots, holder))
            else:
                self._local.give_back()

    def pause(self, wait_s: float) -> None:
        """Let no worker send a request for this account until the seconds have passed."""
        self._local.pause(wait_s)
        wait_ms = int(wait_s * 1000)
        if wait_ms > 0:
            self._redis.call(lambda redis: redis.eval(_PAUSE, 1, self._pause, str(wait_ms)))

    def used(self) -> int:
        """Return how many requests of the quota are used, as far as this process knows."""
        found = self._redis.call(lambda redis: redis.get(self._quota) or b"0")
        return self._local.used if found is None else int(found)

    def has_spare_quota(self, share: float | None = None) -> bool:
        """Return whether a request may be made that no event waits for: less than this share of the quota is used."""
        return self.used() < self.limits.quota * (self.limits.quota_warning if share is None else share)

    def _take(self, holder: str) -> str | None:
        self._refuse("paused", self._local.paused_s())  # a pause that this process knows needs no Redis
        limits = self.limits
        lease_ms, window_ms = int(limits.lease_s * 1000), int(limits.window_s * 1000)
        arguments: list[Any] = [holder, limits.at_once, limits.quota_usable, lease_ms, window_ms]
        keys = [self._slots, self._quota, self._pause]
        answer: Any = self._redis.call(lambda redis: redis.eval(_TAKE, len(keys), *keys, *arguments))
        if answer is None:
            (result, number), taken_from = self._local.take(), "process"
        else:
            result, taken_from = answer[0].decode(), "redis"
            number = answer[1] / 1000 if result in {"paused", "spent"} else answer[1]
        if result == "taken":
            # The counter passes this number once in a window, in one of the workers.
            if int(number) == int(limits.quota * limits.quota_warning):
                log.warning("asaas.quota_warning", account=self.account, used=int(number), quota=limits.quota)
            return taken_from
        self._refuse(result, number)
        return None

    def _refuse(self, result: str, wait_s: float) -> None:
        where = of_account(self.account)
        if result == "spent":
            text = N_("the account's quota of {quota} requests in {hours:g} hours is nearly used up, got {usable}")
            hint = N_("the events wait until it is renewed; Asaas raises the quota on request")
            limits = {
                "quota": self.limits.quota,
                "hours": self.limits.window_s / 3600,
                "usable": self.limits.quota_usable,
            }
            raise AsaasQuotaSpent(text, where=where, hint=hint, retry_after_s=wait_s, **limits)
        if result == "paused" and wait_s > 0:
            raise AsaasRateLimited(N_("the Asaas API asked the bridge to slow down"), where=where, retry_after_s=wait_s)


class LocalLimiter:
    def __init__(self, limits: Limits) -> None:
        self._lock = threading.Lock()
        self._limits = limits
        self._held = 0
        self._window_ends_s = 0.0
        self._paused_until_s = 0.0
        self.used = 0

    def take(self) -> tuple[str, float]:
        """Take a slot: `taken` and the requests used, `spent` and the seconds to wait, or `full`."""
        with self._lock:
            now_s = time.monotonic()
            if now_s >= self._window_ends_s:
                self.used, self._window_ends_s = 0, now_s + self._limits.window_s
            if self.used >= self._limits.quota_usable:
                return "spent", self._window_ends_s - now_s
            if self._held >= self._limits.at_once_alone:
                return "full", 0.0
            self._held += 1
            self.used += 1
            return "taken", float(self.used)

    def give_back(self) -> None:
        with self._lock:
            self._held -= 1

    def pause(self, wait_s: float) -> None:
        """Refuse until the seconds have passed; a shorter pause never ends a longer one."""
        with self._lock:
            self._paused_until_s = max(self._paused_until_s, time.monotonic() + wait_s)

    def paused_s(self) -> float:
        return max(0.0, self._paused_until_s - time.monotonic())
