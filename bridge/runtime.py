"""The composition root: the only module that knows which concrete classes stand behind the stages.

A runtime is made from settings in each process; its parts are made when they are first asked for, so that a web process
opens no client of Clint and a command that reads the journal needs no Redis.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
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
from bridge.queueing.wakeups import BackgroundWaker, Wakeups, connect
from bridge.settings import Settings


def clock_ms() -> int:
    """Return the time: milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Runtime:
    """The parts of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock_ms = clock_ms
        self._opened: list[httpx.Client] = []

    @cached_property
    def journal(self) -> Journal:
        """The journal; not opened yet."""
        pool_size = max(4, self.settings.bridge_worker_lanes + 2)
        return Journal(Database(self.settings.database_url, pool_size=pool_size), self.settings.bridge_lease)

    @cached_property
    def redis(self) -> Redis:
        """A Redis client that gives up quickly."""
        self.settings.require("REDIS_URL")
        return connect(self.settings.redis_url)

    @cached_property
    def worker_redis(self) -> Redis:
        """A Redis client for RQ's worker, which waits in blocking reads."""
        self.settings.require("REDIS_URL")
        return connect(self.settings.redis_url, timeout_s=None)

    @cached_property
    def wakeups(self) -> Wakeups:
        """The way to wake a lane."""
        return Wakeups(self.redis)

    @cached_property
    def ingress(self) -> Ingress:
        """The door's writer."""
        return Ingress(self.journal, BackgroundWaker(self.wakeups).wake)

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
    def _asaas_http(self) -> httpx.Client:
        return http_client(allow_private=self.settings.bridge_allow_private_destinations)

    @cached_property
    def governors(self) -> dict[str, Governor]:
        """The limits of each account that has a key."""
        keyed = (account for account in self.settings.accounts.values() if account.api_key)
        return {account.name: Governor(account.name, self._redis_link) for account in keyed}

    @cached_property
    def asaas(self) -> dict[str, AsaasClient]:
        """The API client of each account that has a key."""
        override = self.settings.asaas_api_url
        return {
            account.name: AsaasClient(
                account.name,
                account.api_key,
                base_url(account.api_key, override),
                self._asaas_http,
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
        allow_private: bool = self.settings.bridge_allow_private_destinations
        return ClintClient(
            self._http(),
            deadline_s=self.settings.bridge_send_timeout,
            allow_private=allow_private,
        )

    @cached_property
    def clint_api(self) -> ClintApi | None:
        """The client that reads deals back, None without CLINT_API_TOKEN."""
        s = self.settings
        if not s.clint_api_token:
            return None
        return ClintApi(s.clint_api_token, s.clint_api_url, self._http())

    def _http(self) -> httpx.Client:
        client = http_client(allow_private=self.settings.bridge_allow_private_destinations)
        self._opened.append(client)
        return client

    @property
    def _sends(self) -> int:
        return int(self.settings.bridge_worker_lanes * self.settings.bridge_worker_sends)

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
        pool = ThreadPoolExecutor(self._sends, thread_name_prefix="send")
        return Outbox(self.journal, self.clint, s.destinations, rules, pool, self.clock_ms)

    @cached_property
    def mapping_files(self) -> MappingFiles:
        """The mapping files of this process's environment."""
        return MappingFiles(self.journal, self.settings.bridge_mappings_dir, self.known, self.clock_ms)

    def check_urls(self) -> None:
        """Raise SettingsError naming each URL of the environment that nothing may be sent to."""
        s = self.settings
        urls = {f"CLINT_WEBHOOK_URL (destination {name})": url for name, url in s.destinations.items()}
        if s.asaas_api_url:
            urls["ASAAS_API_URL"] = s.asaas_api_url  # over plain http the key would be read on the way
        if s.clint_api_token:
            urls["CLINT_API_URL"] = s.clint_api_url
        problems = {name: check_url(url, s.bridge_allow_private_destinations) for name, url in urls.items()}
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
        """Write what has gathered and close what was opened."""
        if "ingress" in self.__dict__:
            self.ingress.close()
        if "journal" in self.__dict__:
            self.journal.database.close()
        if "_asaas_http" in self.__dict__:
            self._asaas_http.close()
        for client in self._opened:
            client.close()


def open_journal(settings: Settings) -> Journal:
    """Return the journal of these settings; raise where it is not there or has another version's schema."""
    runtime = Runtime(settings)
    database = runtime.journal.database
    where = str(database.url.database)
    if database.is_sqlite and not Path(where).exists():
        raise JournalNotMigrated("there is no journal yet", where=where, mend="run: bridge db upgrade")
    runtime.journal.check()
    return runtime.journal
