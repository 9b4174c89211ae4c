"""The one table of the environment: parsing, `bridge config`, docs/settings.md and `.env.example` read it.

A variable with `family` may also be given with a suffix: `ASAAS_API_KEY` sets up the account `default`,
`ASAAS_API_KEY_MATRIZ` the account `matriz`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge import failpoints
from bridge.settings.networks import networks, proxies
from bridge.settings.parsing import (
    alert_urls,
    api_secret,
    data_directory,
    database,
    host,
    http,
    keys,
    language,
    log_level,
    password,
    rate,
    redis,
    retention,
    seconds,
    switch,
    token,
    whole,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable of the environment."""

    name: str
    help: str
    default: str = ""
    parse: Callable[[str], Any] = str
    secret: bool = False
    family: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "ASAAS_API_KEY",
        "API key of the Asaas account; begins with `$`, so quote it",
        parse=api_secret,
        secret=True,
        family=True,
    ),
    Setting(
        "ASAAS_WEBHOOK_TOKEN",
        "token that Asaas sends in the header asaas-access-token, 32 characters at least; `new old` while one takes "
        "the place of the other",
        parse=token,
        secret=True,
        family=True,
    ),
    Setting("ASAAS_API_URL", "base URL of the Asaas API; otherwise chosen by the key's prefix", parse=http),
    Setting(
        "CLINT_WEBHOOK_URL",
        "URL of a Clint webhook integration; whoever has it can post to it",
        parse=http,
        secret=True,
        family=True,
    ),
    Setting(
        "CLINT_RATE_LIMIT",
        "how many deliveries of one account a destination is sent at most, such as 10/second or 300/minute",
        parse=rate,
        family=True,
    ),
    Setting(
        "BRIDGE_RATE_LIMIT",
        "the same for each destination without a CLINT_RATE_LIMIT of its own; empty: no limit",
        parse=rate,
    ),
    Setting("CLINT_API_TOKEN", "token of the Clint API, for reading deals back", parse=api_secret, secret=True),
    Setting("CLINT_API_URL", "base URL of the Clint API", "https://api.clint.digital", parse=http),
    Setting(
        "BRIDGE_READ_BACK_WAIT",
        "seconds after a delivery until its deal is looked for, where the mapping says verify",
        "30",
        parse=seconds(0.1, 3600),
    ),
    Setting(
        "DATABASE_URL",
        "SQLAlchemy URL of the journal; otherwise SQLite in the data directory",
        parse=database,
        secret=True,
    ),
    Setting(
        "REDIS_URL",
        "Redis or Valkey; `bridge up` and `bridge demo` start their own without it",
        parse=redis,
        secret=True,
    ),
    Setting(
        "BRIDGE_ENCRYPTION_KEY",
        "encrypts what is personal or secret in the journal (`bridge db new-key`); old keys behind it, by commas",
        parse=keys,
        secret=True,
    ),
    Setting("BRIDGE_DATA_DIR", "directory of the SQLite journal and of logs", "./data", parse=data_directory),
    Setting("BRIDGE_MAPPINGS_DIR", "directory of the mapping files", "./mappings", parse=Path),
    Setting("BRIDGE_HOST", "address that the web process binds; `::`: every one", "127.0.0.1", parse=host),
    Setting("PORT", "port that the web process binds", "8000", parse=whole(0, 65535)),
    Setting(
        "BRIDGE_PUBLIC_URL",
        "address under which Asaas reaches the bridge, such as https://bridge.example.com",
        parse=http,
    ),
    Setting(
        "BRIDGE_WEBHOOK_ALLOWED_IPS",
        "addresses and networks that may post events; `asaas` stands for those of Asaas's production; empty: any",
        parse=networks,
    ),
    Setting(
        "BRIDGE_TRUSTED_PROXIES",
        "proxies before the bridge, as a number or by their networks; only theirs is the X-Forwarded-For that counts",
        "0",
        parse=proxies,
    ),
    Setting(
        "BRIDGE_PASSWORD",
        "password of the console, 12 characters at least, or its hash as werkzeug writes it (scrypt:...)",
        parse=password,
        secret=True,
    ),
    Setting(
        "BRIDGE_VIEWER_PASSWORD",
        "a second password, for people who may see everything in the console and change nothing",
        parse=password,
        secret=True,
    ),
    Setting(
        "BRIDGE_SECRET_KEY",
        "key that signs the console's sessions, 32 characters at least; without it one is drawn at each start, which "
        "signs everybody out",
        secret=True,
    ),
    Setting(
        "BRIDGE_CONSOLE_TOKEN",
        "opens the console where no password is set, as `/?token=...`; drawn by `bridge up` and `bridge demo`",
        secret=True,
    ),
    Setting(
        "BRIDGE_ALLOW_PRIVATE_DESTINATIONS",
        "1 lets destination and API URLs be plain http or private addresses (simulators, tests)",
        "0",
        parse=switch,
    ),
    Setting(
        "BRIDGE_ALERT_URLS",
        "where people are told what needs them: URLs of apprise (e-mail, Slack, Telegram, ...), separated by spaces",
        parse=alert_urls,
        secret=True,
    ),
    Setting("BRIDGE_LANGUAGE", "language of what people are told: pt-BR or en", "pt-BR", parse=language),
    Setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "address of an OpenTelemetry collector for traces (OTLP over HTTP); needs the extra otel",
        parse=http,
    ),
    Setting("BRIDGE_LOG_LEVEL", "debug, info, warning or error", "info", parse=log_level),
    Setting(
        "BRIDGE_WEB_THREADS",
        "requests that one web process answers at once; the console gets three quarters at most",
        "16",
        parse=whole(2, 256),
    ),
    Setting(
        "BRIDGE_WORKER_LANES", "lanes that one worker drains at once, or its share of them", "64", parse=whole(1, 64)
    ),
    Setting("BRIDGE_WORKER_SENDS", "deliveries that one worker has in flight at once", "64", parse=whole(1, 128)),
    Setting("BRIDGE_SEND_TIMEOUT", "seconds until a send to Clint is given up", "10", parse=seconds(0.1, 60)),
    Setting(
        "BRIDGE_LEASE",
        "seconds after which the lane of a worker that died is taken over; at least BRIDGE_SEND_TIMEOUT + 2",
        "30",
        parse=seconds(1, 3600),
    ),
    Setting(
        "BRIDGE_RETRY_BASE", "seconds of the first retry's ceiling, doubled with each", "5", parse=seconds(0.01, 3600)
    ),
    Setting("BRIDGE_RETRY_CAP", "seconds that no wait between two tries exceeds", "3600", parse=seconds(0.01, 86400)),
    Setting("BRIDGE_RETRY_ATTEMPTS", "tries after which a delivery is dead", "16", parse=whole(1, 1000)),
    Setting(
        "BRIDGE_CIRCUIT_FAILURES", "failures in a row that open a destination's circuit", "5", parse=whole(1, 1000)
    ),
    Setting(
        "BRIDGE_CIRCUIT_WAIT", "seconds until an open circuit lets one probe through", "15", parse=seconds(0.01, 3600)
    ),
    Setting("BRIDGE_CACHE_TTL", "seconds that a customer read from Asaas is reused", "300", parse=seconds(0, 86400)),
    Setting(
        "BRIDGE_RETENTION_DAYS",
        "days after which bodies, payloads and answers of finished events are emptied; after twice as many the events "
        "are removed; at least 30, or 0: all is kept for ever",
        "0",
        parse=retention,
    ),
    Setting(
        "BRIDGE_RECONCILE_HOURS",
        "hours between two looks for charges that the journal does not know; 0: none",
        "0",
        parse=whole(0, 720),
    ),
    Setting(
        "BRIDGE_FAILPOINT",
        "for tests only: where a process kills itself, such as ingress.after_commit; see docs/reliability.md",
        parse=failpoints.parse,
    ),
)

WITHOUT_EFFECT = frozenset({"BRIDGE_WEB_PROCESSES", "BRIDGE_WEB_ONE_CPU", "BRIDGE_WORKER_ONE_CPU"})
"""Settings of the release before. They are accepted for one release, with a warning."""
