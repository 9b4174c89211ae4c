"""The composition root: the only module that knows which concrete classes stand behind the stages.

A runtime is made from settings in each process; its parts are made when they are first asked for, so that a web process
opens no client of Clint and a command that reads the journal needs no Redis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from redis import Redis

from bridge import logs
from bridge.accounts import Accounts, Clients, Limiters
from bridge.asaas.client import AsaasClient, environment
from bridge.asaas.limiter import AccountLimiter
from bridge.clint.api import ClintApi
from bridge.clint.webhook import ClintClient
from bridge.crypto import Keyring
from bridge.errors import JournalError, JournalNotMigrated, SettingsError
from bridge.http import HttpClient, check_url
from bridge.journal import Database, Journal, destinations, encryption
from bridge.journal.clock import DatabaseClock
from bridge.journal.clock import system_clock_ms as clock_ms
from bridge.journal.database import NO_PLACE
from bridge.mapping import Setup
from bridge.pipeline.active_mappings import ActiveMappings, MappingFiles
from bridge.pipeline.decide import Decider
from bridge.pipeline.deliver import Deliverer, DeliveryRules
from bridge.pipeline.enrich import Cache, Enricher, Lifetimes
from bridge.pipeline.intake import Intake
from bridge.redis_client import OptionalRedis
from bridge.settings import Account, Settings
from bridge.telemetry import SharedCounters, Telemetry, spans_to
from bridge.wakeups import TIMEOUT_S, BackgroundWaker, Wakeups, connect


class Runtime:
    """The parts of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened = ExitStack()

    @cached_property
    def clock_ms(self) -> Callable[[], int]:
        """The clock that leases and due times go by: the same for all processes of the journal."""
        database = self.journal.database
        return clock_ms if database.is_sqlite else DatabaseClock(database)

    @cached_property
    def journal(self) -> Journal:
        """The journal; not opened yet."""
        keyring = Keyring.from_text(self.settings.bridge_encryption_key)
        database = Database(self.settings.database_url, keyring=keyring)
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
    def intake(self) -> Intake:
        """The door's writer."""
        waker = BackgroundWaker(self.wakeups)
        self._opened.callback(waker.close)
        return Intake(self.journal, waker.wake)

    @cached_property
    def account_store(self) -> Accounts:
        """The accounts and destinations of the environment and of the journal, as they are at the moment."""
        return Accounts(self.settings, self.journal)

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts by name, as they are at the moment."""
        return self.account_store.accounts

    @property
    def destinations(self) -> Mapping[str, str]:
        """The webhook URLs by the destination's name, as they are at the moment."""
        return self.account_store.destinations

    @property
    def setup(self) -> Setup:
        """What mappings may refer to at the moment."""
        directory, token = self.settings.bridge_mappings_dir, self.settings.clint_api_token
        return Setup(frozenset(self.accounts), frozenset(self.destinations), directory, bool(token))

    @cached_property
    def mappings(self) -> ActiveMappings:
        """The active mappings."""
        return ActiveMappings(self.journal, self.clock_ms)

    @cached_property
    def _optional_redis(self) -> OptionalRedis:
        return OptionalRedis.from_url(self.settings.redis_url or None)

    @cached_property
    def shared_counts(self) -> SharedCounters:
        """What this process counts for the metrics, and the way to the numbers of all."""
        counts = SharedCounters(self._optional_redis)
        self._opened.callback(counts.close)
        return counts

    @cached_property
    def telemetry(self) -> Telemetry:
        """What the stages tell what they did."""
        observer = Telemetry(self.shared_counts, spans_to(self.settings.otel_exporter_otlp_endpoint))
        self._opened.callback(observer.close)
        logs.count_dropped(observer.log_dropped)
        return observer

    @cached_property
    def limiters(self) -> Mapping[str, AccountLimiter]:
        """The limits of each account that has a key."""
        return Limiters(self.accounts, lambda name: AccountLimiter(name, self._optional_redis))

    @cached_property
    def asaas(self) -> Mapping[str, AsaasClient]:
        """The API client of each account that has a key; raises SettingsError where a key would go in clear."""
        override = self.settings.asaas_api_url
        self._refuse({"ASAAS_API_URL": override})
        return Clients(self.accounts, self.limiters, override, self.http)

    @cached_property
    def enricher(self) -> Enricher:
        """What fetches the objects that events point to."""
        lifetimes = Lifetimes(customer_s=self.settings.bridge_cache_ttl)
        more: dict[str, Any] = {"keyring": self.journal.database.keyring, "erasure_of": self._erasure}
        return Enricher(self.asaas, Cache(self._optional_redis, lifetimes, api_of=self._api_of, **more))

    def _erasure(self) -> str:
        with self.journal.database.read() as connection:
            return encryption.erasure(connection)

    def _api_of(self, account: str) -> str:
        client = self.asaas.get(account)
        return client.base_url if client else ""

    def environment(self, account: str) -> str:
        """Return production or sandbox, by the account's key."""
        found = self.accounts.get(account)
        return environment(self.settings.asaas_api_url or (found.api_key if found else ""))

    @cached_property
    def decider(self) -> Decider:
        """The deciding half of a drain."""
        return Decider(
            self.journal, self.mappings, self.enricher, self.environment, self.clock_ms, observer=self.telemetry
        )

    @cached_property
    def clint(self) -> ClintClient:
        """The client that posts to destinations."""
        return ClintClient(self.http, deadline_s=self.settings.bridge_send_timeout, clock_ms=self.clock_ms)

    @cached_property
    def clint_api(self) -> ClintApi | None:
        """The client that reads deals back, None without CLINT_API_TOKEN."""
        s = self.settings
        return ClintApi(s.clint_api_token, s.clint_api_url, self.http) if s.clint_api_token else None

    @cached_property
    def http(self) -> HttpClient:
        """The client of every outgoing request."""
        return self._opened.enter_context(HttpClient(allow_private=self.settings.bridge_allow_private_destinations))

    @cached_property
    def deliverer(self) -> Deliverer:
        """The sending half of a drain."""
        s = self.settings
        more: dict[str, Any] = {"observer": self.telemetry}
        if s.paces or s.bridge_rate_limit:
            from bridge.pipeline.pace import Pace

            more["pace"] = Pace(s.paces, self._optional_redis, of_all=s.bridge_rate_limit).wait_until_ms
        more["accounts"] = self.accounts
        return Deliverer(
            self.journal, self.clint, self.destinations, DeliveryRules.from_settings(s), self.clock_ms, **more
        )

    @cached_property
    def mapping_files(self) -> MappingFiles:
        """The mapping files of this process's environment."""
        return MappingFiles(self.journal, self.settings.bridge_mappings_dir, lambda: self.setup, self.clock_ms)

    def check_urls(self) -> None:
        """Raise SettingsError naming each URL of the environment that nothing may be sent to."""
        s = self.settings
        urls = {f"CLINT_WEBHOOK_URL (destination {name})": url for name, url in s.destinations.items()}
        if s.clint_api_token:
            urls["CLINT_API_URL"] = s.clint_api_url
        self._refuse({**urls, "ASAAS_API_URL": s.asaas_api_url})

    def _refuse(self, urls: Mapping[str, str]) -> None:
        allow_private = self.settings.bridge_allow_private_destinations
        judged = {name: check_url(url, allow_private) for name, url in urls.items() if url}
        if problems := [f"{name} {problem}" for name, problem in judged.items() if problem]:
            raise SettingsError(problems)

    def register(self) -> list[str]:
        """Bring destinations and mapping files of this process's environment into the journal.

        Returns the paused destinations that a new URL resumed. Raises JournalNotMigrated on an older
        schema, DecryptionFailed without the journal's key.
        """
        self.journal.check()
        with self.journal.database.write() as connection:
            encryption.prepare(connection)
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
        there = next(path for path in Path(where).absolute().parents if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise JournalError("there is no journal, and none can be made", where=where, hint=NO_PLACE)
        raise JournalNotMigrated("there is no journal yet", where=where, hint="run: bridge db upgrade")
    runtime.journal.check()
    return runtime.journal
