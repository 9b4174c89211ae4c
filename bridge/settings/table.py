"""The one table of the environment: parsing, `bridge config`, the README and `.env.example` all read it.

A variable with `family` may also be given with a suffix: `ASAAS_API_KEY` sets up the account `default`,
`ASAAS_API_KEY_MATRIZ` the account `matriz`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable of the environment."""

    name: str
    help: str
    default: str = ""
    parse: Callable[[str], Any] = str
    secret: bool = False
    family: bool = False


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text) or not least <= float(text) <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(text)

    return parse


def _switch(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError("must be 1 (on) or 0 (off)")
    return text == "1"


def _database(text: str) -> str:
    text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
    if not text.startswith(("sqlite:///", "postgresql+psycopg://")) and text:
        raise ValueError("must begin with sqlite:///, postgres:// or postgresql+psycopg://")
    return text


def _redis(text: str) -> str:
    if text and not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return text


def _http(text: str) -> str:
    if text and not re.match(r"https?://[^/\s]+", text):
        raise ValueError("must be an https:// URL")
    return text.rstrip("/")


def _token(text: str) -> str:
    # Asaas's rules for webhook tokens (docs "create-new-webhook-via-web-application") ask for 32 to 255 characters;
    # only what can't work at all is refused here, since an account may have an older, shorter one.
    if re.search(r"\s", text):
        raise ValueError("must not have white space")
    return text


def _log_level(text: str) -> str:
    if text not in {"debug", "info", "warning", "error"}:
        raise ValueError("must be debug, info, warning or error")
    return text


SETTINGS: tuple[Setting, ...] = (
    Setting("ASAAS_API_KEY", "API key of the Asaas account; begins with `$`, so quote it", secret=True, family=True),
    Setting(
        "ASAAS_WEBHOOK_TOKEN",
        "token that Asaas sends in the header asaas-access-token",
        parse=_token,
        secret=True,
        family=True,
    ),
    Setting("ASAAS_API_URL", "base URL of the Asaas API; otherwise chosen by the key's prefix", parse=_http),
    Setting(
        "CLINT_WEBHOOK_URL",
        "URL of a Clint webhook integration; whoever has it can post to it",
        parse=_http,
        secret=True,
        family=True,
    ),
    Setting("CLINT_API_TOKEN", "token of the Clint API, for reading deals back", secret=True),
    Setting("CLINT_API_URL", "base URL of the Clint API", "https://api.clint.digital", parse=_http),
    Setting(
        "BRIDGE_READ_BACK_WAIT",
        "seconds after a delivery until its deal is looked for, where the mapping says verify",
        "30",
        parse=_seconds(0.1, 3600),
    ),
    Setting(
        "DATABASE_URL",
        "SQLAlchemy URL of the journal; otherwise SQLite in the data directory",
        parse=_database,
        secret=True,
    ),
    Setting(
        "REDIS_URL",
        "Redis or Valkey; `bridge up` and `bridge demo` start their own without it",
        parse=_redis,
        secret=True,
    ),
    Setting("BRIDGE_DATA_DIR", "directory of the SQLite journal and of logs", "./data", parse=Path),
    Setting("BRIDGE_MAPPINGS_DIR", "directory of the mapping files", "./mappings", parse=Path),
    Setting("BRIDGE_HOST", "address that the web process binds", "127.0.0.1"),
    Setting("PORT", "port that the web process binds", "8000", parse=_whole(0, 65535)),
    Setting(
        "BRIDGE_PUBLIC_URL",
        "address under which Asaas reaches the bridge, such as https://bridge.example.com",
        parse=_http,
    ),
    Setting("BRIDGE_PASSWORD", "password of the console", secret=True),
    Setting("BRIDGE_SECRET_KEY", "key that signs the console's sessions", secret=True),
    Setting(
        "BRIDGE_ALLOW_PRIVATE_DESTINATIONS",
        "1 lets destination and API URLs be plain http or private addresses (simulators, tests)",
        "0",
        parse=_switch,
    ),
    Setting("BRIDGE_LOG_LEVEL", "debug, info, warning or error", "info", parse=_log_level),
    Setting("BRIDGE_WEB_THREADS", "requests that one web process answers at once", "16", parse=_whole(1, 256)),
    Setting("BRIDGE_WEB_PROCESSES", "web processes of `bridge web`", "1", parse=_whole(1, 32)),
    Setting("BRIDGE_WORKER_LANES", "lanes that one worker drains at once", "4", parse=_whole(1, 64)),
    Setting("BRIDGE_WORKER_SENDS", "deliveries that one lane has in flight at once", "8", parse=_whole(1, 128)),
    Setting("BRIDGE_SEND_TIMEOUT", "seconds until a send to Clint is given up", "10", parse=_seconds(0.1, 60)),
    Setting(
        "BRIDGE_LEASE",
        "seconds after which the lane of a worker that died is taken over; at least BRIDGE_SEND_TIMEOUT + 2",
        "30",
        parse=_seconds(1, 3600),
    ),
    Setting(
        "BRIDGE_RETRY_BASE", "seconds of the first retry's ceiling, doubled with each", "5", parse=_seconds(0.01, 3600)
    ),
    Setting("BRIDGE_RETRY_CAP", "seconds that no wait between two tries exceeds", "3600", parse=_seconds(0.01, 86400)),
    Setting("BRIDGE_RETRY_ATTEMPTS", "tries after which a delivery is dead", "16", parse=_whole(1, 1000)),
    Setting(
        "BRIDGE_CIRCUIT_FAILURES", "failures in a row that open a destination's circuit", "5", parse=_whole(1, 1000)
    ),
    Setting(
        "BRIDGE_CIRCUIT_WAIT", "seconds until an open circuit lets one probe through", "15", parse=_seconds(0.01, 3600)
    ),
    Setting("BRIDGE_CACHE_TTL", "seconds that a customer read from Asaas is reused", "300", parse=_seconds(0, 86400)),
    Setting(
        "BRIDGE_RECONCILE_HOURS",
        "hours between two looks of the sweeper for charges that the journal does not know; 0: none",
        "0",
        parse=_whole(0, 720),
    ),
)
