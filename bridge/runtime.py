"""The composition root: the only module that knows which concrete classes stand behind the stages.

A runtime is made from settings in each process; its parts are made when they are first asked for, so that a web process
opens no client of Clint and a command that reads the journal needs no Redis.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import httpx
from redis import Redis

from bridge.asaas.client import AsaasClient
from bridge.asaas.environment import base_url, environment
from bridge.asaas.governor import Governor
from bridge.asaas.redis_link import RedisLink
from bridge.clint import ClintClient, check_url, http_client
from bridge.clint.api import ClintApi
from bridge.delivery.circuit import Limits
from bridge.delivery.retry import Policy
from bridge.enrichment import Cache, Enricher
from bridge.enrichment.cache import Lifetimes
from bridge.errors import JournalNotMigrated, SettingsError
from bridge.ingress import Ingress
from bridge.journal import Database, Journal, destinations
from bridge.mapping import Known
from bridge.outbox import Outbox, Rules
from bridge.process import ActiveMappings, MappingFiles, Processor
from bridge.queueing.wakeups import TIMEOUT_S, BackgroundWaker, Wakeups, connect
from bridge.settings import Settings


def clock_ms() -> int:
    """Return the time: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Runtime:
    """The parts of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock_ms = clock_ms
        self._opened = ExitStack()

    @cached_property
    def journal(self) -> Journal:
        """The journal; not opened yet."""
        pool_size = max(4, self.settings.bridge_worker_lanes + 2)
        database = Database(self.settings.database_url, pool_size=pool_size)
        self._opened.callback(database.close)
        return Journal(database, self.settings.bridge_lease)

    @cached_property
    def redis(self) -> Redis:
        """A Redis client that gives up quickly."""
        return self._connected(TIMEOUT_S)

    @cached_property
    def worker_redis(self) -> Redis:
        """A Redis client for RQ's worker, which waits in blocking reads."""
        return self._connected(None)

    def _connected(self, timeout_s: float | None) -> Redis:
        self.settings.require("REDIS_URL")
        redis = connect(self.settings.redis_url, timeout_s=timeout_s)
        self._opened.callback(redis.close)
        return redis

    @cached_property
    def wakeups(self) -> Wakeups:
        """The way to wake a lane."""
        return Wakeups(self.redis)

    @cached_property
    def ingress(self) -> Ingress:
        """The door's writer."""
        ingress = Ingress(self.journal, BackgroundWaker(self.wakeups).wake)
        self._opened.callback(ingress.close)
        return ingress

    @cached_property
    def known(self) -> Known:
        """What the environment names that mappings may refer to."""
        return Known(
            frozenset(self.settings.accounts),
            frozenset(self.settings.destinations),
            self.settings.bridge_mappings_dir,
            bool(self.settings.clint_api_token),
        )

    @cached_property
    def mappings(self) -> ActiveMappings:
        """The active mappings."""
        return ActiveMappings(self.journal, self.clock_ms)

    @cached_property
    def _redis_link(self) -> RedisLink:
        return RedisLink.from_url(self.settings.redis_url or None)

    @cached_property
    def governors(self) -> dict[str, Governor]:
        """The limits of each account that has a key."""
        keyed = (account for account in self.settings.accounts.values() if account.api_key)
        return {account.name: Governor(account.name, self._redis_link) for account in keyed}

    @cached_property
    def asaas(self) -> dict[str, AsaasClient]:
        """The API client of each account that has a key; raises SettingsError where a key would go in clear."""
        override = self.settings.asaas_api_url
        self._refuse({"ASAAS_API_URL": override})
        http = self._http()
        return {
            account.name: AsaasClient(
                account.name,
                account.api_key,
                base_url(account.api_key, override),
                http,
                self.governors[account.name],
            )
            for account in self.settings.accounts.values()
            if account.api_key
        }

    @cached_property
    def enricher(self) -> Enricher:
        """What fetches the objects that events point to."""
        ttl_s = self.settings.bridge_cache_ttl
        return Enricher(self.asaas, Cache(self._redis_link, Lifetimes(customer_s=ttl_s)))

    def environment(self, account: str) -> str:
        """Return production or sandbox, by the account's key."""
        key = self.settings.accounts[account].api_key if account in self.settings.accounts else ""
        return environment(self.settings.asaas_api_url or key)

    @cached_property
    def processor(self) -> Processor:
        """The deciding half of a drain."""
        return Processor(self.journal, self.mappings, self.enricher, self.environment, self.clock_ms)

    @cached_property
    def clint(self) -> ClintClient:
        """The client that posts to destinations."""
        return ClintClient(
            self._http(),
            deadline_s=self.settings.bridge_send_timeout,
            allow_private=self.settings.bridge_allow_private_destinations,
        )

    @cached_property
    def clint_api(self) -> ClintApi | None:
        """The client that reads deals back, None without CLINT_API_TOKEN."""
        s = self.settings
        if not s.clint_api_token:
            return None
        return ClintApi(s.clint_api_token, s.clint_api_url, self._http())

    def _http(self) -> httpx.Client:
        return self._opened.enter_context(http_client(allow_private=self.settings.bridge_allow_private_destinations))

    @cached_property
    def outbox(self) -> Outbox:
        """The sending half of a drain."""
        s = self.settings
        longest_s = s.bridge_send_timeout + 1
        rules = Rules(
            Policy(s.bridge_retry_base, s.bridge_retry_cap, s.bridge_retry_attempts),
            Limits(s.bridge_circuit_failures, s.bridge_circuit_wait, probe_s=longest_s),
            in_flight=s.bridge_worker_sends,
            longest_send_ms=int(longest_s * 1000),
        )
        sends = s.bridge_worker_lanes * s.bridge_worker_sends
        pool = self._opened.enter_context(ThreadPoolExecutor(sends, thread_name_prefix="send"))
        return Outbox(self.journal, self.clint, s.destinations, rules, pool, self.clock_ms)

    @cached_property
    def mapping_files(self) -> MappingFiles:
        """The mapping files of this process's environment."""
        return MappingFiles(self.journal, self.settings.bridge_mappings_dir, self.known, self.clock_ms)

    def check_urls(self) -> None:
        """Raise SettingsError naming each URL of the environment that nothing may be sent to."""
        s = self.settings
        urls = {f"CLINT_WEBHOOK_URL (destination {name})": url for name, url in s.destinations.items()}
        if s.clint_api_token:
            urls["CLINT_API_URL"] = s.clint_api_url
        self._refuse({**urls, "ASAAS_API_URL": s.asaas_api_url})

    def _refuse(self, urls: Mapping[str, str]) -> None:
        allow_private = self.settings.bridge_allow_private_destinations
        problems = {name: check_url(url, allow_private) for name, url in urls.items() if url}
        if any(problems.values()):
            raise SettingsError([f"{name} {problem}" for name, problem in problems.items() if problem])

    def register(self) -> list[str]:
        """Bring destinations and mapping files of this process's environment into the journal.

        Returns the paused destinations that a new URL resumed. Raises JournalNotMigrated on an older schema.
        """
        self.journal.check()
        with self.journal.database.write() as connection:
            resumed = destinations.register(connection, self.settings.destinations, self.clock_ms())
        self.mapping_files.import_changed()
        return resumed

    def close(self) -> None:
        """Write what has gathered and close what was opened, the last first."""
        self._opened.close()


def open_journal(settings: Settings) -> Journal:
    """Return the journal of these settings; raise where it is not there or has another version's schema."""
    runtime = Runtime(settings)
    database = runtime.journal.database
    where = str(database.url.database)
    if database.is_sqlite and not Path(where).exists():
        raise JournalNotMigrated("there is no journal yet", where=where, mend="run: bridge db upgrade")
    runtime.journal.check()
    return runtime.journal
