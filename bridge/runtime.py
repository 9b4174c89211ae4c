"""The composition root: the only module that puts the concrete parts of a process together.

Each process makes a runtime from its settings. A part is made on first use, so that a web process opens no client of
Clint and a command that reads the journal needs no Redis.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from bridge import logs
from bridge.accounts import Accounts, PerAccount
from bridge.asaas.client import AsaasClient, base_url, environment
from bridge.asaas.limiter import AccountLimiter
from bridge.clint.api import ClintApi
from bridge.clint.directory import ClintAccount, Directory
from bridge.clint.limiter import ApiLimiter
from bridge.clint.webhook import ClintClient
from bridge.crypto import Keyring
from bridge.errors import ClintApiFailed, JournalError, JournalNotMigrated, SettingsError
from bridge.http import HttpClient, check_url
from bridge.journal import Database, Journal, destinations, encryption
from bridge.journal.clock import DatabaseClock
from bridge.journal.clock import system_clock_ms as clock_ms
from bridge.journal.database import NO_PLACE
from bridge.mapping import Setup
from bridge.mapping.model import ClintDirectory
from bridge.messages import N_, Message, message
from bridge.pipeline.active_mappings import ActiveMappings, MappingFiles
from bridge.pipeline.deals import PATIENCE_S, DealSender, at_once
from bridge.pipeline.decide import Decider
from bridge.pipeline.deliver import Deliverer, DeliveryRules, is_origin
from bridge.pipeline.enrich import Cache, Enricher, Lifetimes
from bridge.pipeline.intake import Intake
from bridge.redis_client import OptionalRedis, connect
from bridge.settings import Account, Settings, origin_of, variable
from bridge.telemetry import SharedCounters, Telemetry
from bridge.wakeups import BackgroundWaker, Wakeups

log = logs.logger(__name__)


class Runtime:
    """The parts of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened = ExitStack()
        self._clint_lock = threading.Lock()
        self._clint: tuple[str, ClintAccount] | None = None
        """The newest token, with the account that it opens."""

    @cached_property
    def clock_ms(self) -> Callable[[], int]:
        """The clock of leases and due times, the same for all processes of the journal."""
        database = self.journal.database
        return clock_ms if database.is_sqlite else DatabaseClock(database)

    @cached_property
    def journal(self) -> Journal:
        keyring = Keyring.from_text(self.settings.bridge_encryption_key)
        database = Database(self.settings.database_url, keyring=keyring)
        self._opened.callback(database.close)
        return Journal(database, self.settings.bridge_lease)

    @cached_property
    def redis(self) -> Redis:
        return self._connected()

    @cached_property
    def worker_redis(self) -> Redis:
        """The Redis client of RQ's worker, whose blocking reads have no timeout."""
        return self._connected(timeout_s=None)

    def _connected(self, **options: Any) -> Redis:
        self.settings.require("REDIS_URL")
        redis = connect(self.settings.redis_url, **options)
        self._opened.callback(redis.close)
        return redis

    @cached_property
    def wakeups(self) -> Wakeups:
        return Wakeups(self.redis)

    def wake(self, lanes: Iterable[int]) -> None:
        """Wake these lanes; without Redis a periodic task finds their work."""
        with suppress(RedisError, SettingsError):
            for lane in sorted(lanes):
                self.wakeups.wake(lane)

    @cached_property
    def intake(self) -> Intake:
        waker = BackgroundWaker(self.wakeups)
        self._opened.callback(waker.close)
        return Intake(self.journal, waker.wake)

    @cached_property
    def account_store(self) -> Accounts:
        return Accounts(self.settings, self.journal)

    @property
    def accounts(self) -> Mapping[str, Account]:
        return self.account_store.accounts

    @property
    def destinations(self) -> Mapping[str, str]:
        """By name: a webhook URL, or the text of an API destination (see `settings.origin_of`)."""
        return self.account_store.destinations

    @property
    def setup(self) -> Setup:
        """The names that mappings may refer to."""
        directory, token = self.settings.bridge_mappings_dir, self.account_store.clint_token
        known = dict(self.destinations)
        api = {name: origin for name, url in known.items() if (origin := origin_of(url)) is not None}
        return Setup(frozenset(self.accounts), frozenset(known), directory, bool(token), api=api)

    def clint_names(self) -> ClintDirectory | None:
        """Return the names in Clint, for lint; None without an API destination, and where Clint can't be asked."""
        directory = self.clint_directory
        if directory is None or not self.setup.api:
            return None
        try:
            return directory.names()
        except ClintApiFailed as error:
            log.warning("clint.names_not_read", error=str(error))
            return None

    @cached_property
    def mappings(self) -> ActiveMappings:
        return ActiveMappings(self.journal, self.clock_ms)

    @cached_property
    def _optional_redis(self) -> OptionalRedis:
        return OptionalRedis(self.settings.redis_url)

    @cached_property
    def shared_counts(self) -> SharedCounters:
        counts = SharedCounters(self._optional_redis)
        self._opened.callback(counts.close)
        return counts

    @cached_property
    def telemetry(self) -> Telemetry:
        spans = None
        if self.settings.otel_exporter_otlp_endpoint:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            from bridge.traces import OtelSpans

            spans = OtelSpans(OTLPSpanExporter())  # its other variables are OTEL_EXPORTER_OTLP_...
        telemetry = Telemetry(self.shared_counts, spans)
        self._opened.callback(telemetry.close)
        logs.count_dropped(telemetry.log_dropped)
        return telemetry

    @cached_property
    def limiters(self) -> Mapping[str, AccountLimiter]:
        """The limiter of each account with a key; a new key leaves it as it is."""
        return PerAccount(self.accounts, lambda account: AccountLimiter(account.name, self._optional_redis))

    @cached_property
    def asaas(self) -> Mapping[str, AsaasClient]:
        """The API client of each account with a key; raises SettingsError where a key would be sent unencrypted."""
        self._refuse({"ASAAS_API_URL": self.settings.asaas_api_url})
        return PerAccount(
            self.accounts,
            lambda account: self.asaas_client(account, self.limiters[account.name]),
            lambda account: account.api_key,
        )

    def asaas_client(self, account: Account, limiter: AccountLimiter | None = None) -> AsaasClient:
        """Return the API client of an account that need not be set up yet; raise SettingsError."""
        override = self.settings.asaas_api_url
        self._refuse({"ASAAS_API_URL": override})
        limiter = limiter or AccountLimiter(account.name, self._optional_redis)
        return AsaasClient(account.name, account.api_key, base_url(account.api_key, override), self.http, limiter)

    @cached_property
    def enricher(self) -> Enricher:
        lifetimes = Lifetimes(customer_s=self.settings.bridge_cache_ttl)
        more: dict[str, Any] = {"keyring": self.journal.database.keyring, "erasure_of": self._erasure}
        cache = Cache(self._optional_redis, lifetimes, api_of=self._api_of, **more)
        return Enricher(self.asaas, cache, fixed=self.settings.accounts)

    def _erasure(self) -> str:
        with self.journal.database.read() as connection:
            return encryption.erasure(connection)

    def _api_of(self, account: str) -> str:
        client = self.asaas.get(account)
        return client.base_url if client else ""

    def environment(self, account: str) -> str:
        """Return production or sandbox by the account's key."""
        found = self.accounts.get(account)
        return environment(self.settings.asaas_api_url or (found.api_key if found else ""))

    @cached_property
    def decider(self) -> Decider:
        more: dict[str, Any] = {"observer": self.telemetry, "is_api": self.is_api}
        return Decider(self.journal, self.mappings, self.enricher, self.environment, self.clock_ms, **more)

    def is_api(self, destination: str) -> bool:
        """Return whether the destination of this name is written by Clint's API."""
        return is_origin(self.destinations, destination)

    @cached_property
    def clint(self) -> ClintClient:
        return ClintClient(self.http, deadline_s=self.settings.bridge_send_timeout, clock_ms=self.clock_ms)

    def clint_account(self, *, anew: bool = False) -> ClintAccount | None:
        """Return the account of Clint by the token that is set now, None without one; see `FindAccount`."""
        if anew:
            self.account_store.refresh()
        token = self.account_store.clint_token
        if not token:
            return None
        with self._clint_lock:
            if self._clint is None or self._clint[0] != token:
                api = self.clint_api_of(token)
                self._clint = (token, ClintAccount(api, Directory(api)))
            return self._clint[1]

    def clint_api_of(self, token: str) -> ClintApi:
        """Return the client of a token that need not be set yet."""
        s = self.settings
        more: dict[str, Any] = {
            "limiter": ApiLimiter(s.clint_api_rate_limit, self._optional_redis, token),
            # A write must end before the lane's lease does.
            "deadline_s": s.bridge_send_timeout,
            "patience_s": PATIENCE_S,
        }
        return ClintApi(token, s.clint_api_url, self.http, **more)

    @property
    def clint_api(self) -> ClintApi | None:
        """The client of API destinations and read-backs; None without a token. It is another one after a new token."""
        account = self.clint_account()
        return account.api if account else None

    @property
    def clint_directory(self) -> Directory | None:
        """The names of Clint's origins, stages, users and fields; None without a token."""
        account = self.clint_account()
        return account.directory if account else None

    @cached_property
    def deal_sender(self) -> DealSender:
        """The sender of API destinations."""
        s = self.settings
        more = {"appears_s": s.clint_deal_appears_s, "at_once": at_once(s.clint_api_rate_limit)}
        sender = DealSender(self.journal, self.clint_account, self.clock_ms, **more)
        self._opened.callback(sender.close)
        return sender

    @cached_property
    def http(self) -> HttpClient:
        return self._opened.enter_context(HttpClient(allow_private=self.settings.bridge_allow_private_destinations))

    @cached_property
    def deliverer(self) -> Deliverer:
        s = self.settings
        more: dict[str, Any] = {"observer": self.telemetry}
        if s.rate_limits or s.bridge_rate_limit:
            from bridge.pipeline.pace import Pace

            more["pace"] = Pace(s.rate_limits, self._optional_redis, of_all=s.bridge_rate_limit).wait_until_ms
        more |= {"accounts": self.accounts, "deals": self.deal_sender, "read_urls": self.account_store.refresh}
        return Deliverer(
            self.journal, self.clint, self.destinations, DeliveryRules.from_settings(s), self.clock_ms, **more
        )

    @cached_property
    def mapping_files(self) -> MappingFiles:
        return MappingFiles(self.journal, self.settings.bridge_mappings_dir, lambda: self.setup, self.clock_ms)

    def check_urls(self) -> None:
        """Raise SettingsError that names each URL of the environment to which nothing may be sent."""
        if problems := self.url_problems():
            raise SettingsError(problems)

    def url_problems(self) -> list[Message]:
        """Return a problem for each URL of the environment to which nothing may be sent."""
        s = self.settings
        webhooks = {name: url for name, url in s.destinations.items() if origin_of(url) is None}
        urls = {variable("CLINT_WEBHOOK_URL", name): url for name, url in webhooks.items()}
        return self._judge(
            {
                **urls,
                "CLINT_API_URL": s.clint_api_url,
                "ASAAS_API_URL": s.asaas_api_url,
                "BRIDGE_OIDC_ISSUER": s.bridge_oidc_issuer,
            }
        )

    def _refuse(self, urls: Mapping[str, str]) -> None:
        if problems := self._judge(urls):
            raise SettingsError(problems)

    def _judge(self, urls: Mapping[str, str]) -> list[Message]:
        allow_private = self.settings.bridge_allow_private_destinations
        judged = {name: check_url(url, allow_private) for name, url in urls.items() if url}
        return [message("{name} {rule}", name=name, rule=rule) for name, rule in judged.items() if rule]

    def register(self) -> list[str]:
        """Bring the destinations and mapping files of the environment into the journal.

        Returns the paused destinations that a new URL resumed. Raises JournalNotMigrated, DecryptionFailed.
        """
        self.journal.check()
        with self.journal.database.write() as connection:
            encryption.prepare(connection)
            resumed = destinations.register(connection, self.settings.destinations, self.clock_ms())
        self.mapping_files.import_changed()
        return resumed

    def close(self) -> None:
        """Close every part that was made, the last first."""
        self._opened.close()


def open_journal(settings: Settings) -> Journal:
    """Return the journal of these settings; raise JournalError where it is missing or has another version's schema."""
    runtime = Runtime(settings)
    database = runtime.journal.database
    where = str(database.url.database)
    if database.is_sqlite and not Path(where).exists():
        there = next(path for path in Path(where).absolute().parents if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise JournalError(N_("there is no journal, and none can be made"), where=where, hint=NO_PLACE)
        hint = N_("run: bridge up, which makes it; where web and worker run apart: bridge db upgrade")
        raise JournalNotMigrated(N_("there is no journal yet"), where=where, hint=hint)
    runtime.journal.check()
    return runtime.journal
