"""The environment, read once into a typed value; what may stand in it is the table in `settings.table`.

Every problem is collected before one error is raised, and no value of a secret is ever put into it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from bridge import failpoints
from bridge.errors import SettingsError


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number between these two."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return what reads a number of seconds between these two."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text) or not least <= float(text) <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(text)

    return parse


def retention(text: str) -> int:
    """Return for how many days all is kept, 0 for ever."""
    # Asaas sends an event again for 14 days; a month leaves time to see and mend what went wrong.
    days = whole(0, 3650)(text)
    if 0 < days < 30:
        raise ValueError("must be 0 (keep for ever) or a whole number from 30 to 3650")
    return days


def rate(text: str) -> str:
    """Return a rate limit as the library reads it."""
    found = re.fullmatch(r"([1-9]\d{0,5}) ?/ ?(second|minute|hour|day)", text)
    if text and not found:
        raise ValueError("must be a number for each second, minute, hour or day, such as 10/second")
    return f"{found[1]}/{found[2]}" if found else ""


def switch(text: str) -> bool:
    """Return whether it is on."""
    if text not in {"0", "1"}:
        raise ValueError("must be 1 (on) or 0 (off)")
    return text == "1"


def data_directory(text: str) -> Path:
    """Return the directory, whose name becomes part of the journal's URL."""
    if "?" in text:
        raise ValueError("must be a directory without ? in its name")
    return Path(text)


def database(text: str) -> str:
    """Return the text as a database, or raise ValueError with the rule."""
    text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
    if not text.startswith(("sqlite:///", "postgresql+psycopg://")) and text:
        raise ValueError("must begin with sqlite:///, postgres:// or postgresql+psycopg://")
    if re.match(r"sqlite:///(\?|:memory:|file:|$)", text):
        raise ValueError("must name a file: every process has its own journal in memory, which ends with it")
    if text.startswith("postgresql"):
        from sqlalchemy import make_url

        _well_formed(lambda: make_url(text))
    return text


def redis(text: str) -> str:
    """Return the text as a redis, or raise ValueError with the rule."""
    if text and not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    if text:
        from redis import ConnectionPool

        _well_formed(lambda: ConnectionPool.from_url(text).make_connection())  # connects to nothing yet
    return text


def _well_formed(read: Callable[[], object]) -> None:
    try:
        read()
    except Exception:  # noqa: BLE001 (the libraries raise what they like)
        # What was said may quote a password.
        raise ValueError("must be a URL with a port that is a number, and only options that exist") from None


def api_secret(text: str) -> str:
    """Return a key or token that goes out in a header."""
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("must be letters, digits and signs of ASCII, without blanks")
    return text


def host(text: str) -> str:
    """Return a host name or address; one of IPv6 may stand in brackets, as in a URL."""
    return text.removeprefix("[").removesuffix("]")


def http(text: str) -> str:
    """Return the text as a http, or raise ValueError with the rule."""
    try:
        parts = urlsplit(text)
        well_formed = re.fullmatch(r"https?://\S+", text) and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        well_formed = False
    if text and not well_formed:
        raise ValueError("must be an https:// URL")
    return text.rstrip("/")


def token(text: str) -> str:
    """Return the text as a token, or raise ValueError with the rule."""
    # No token has white space, so two of them can't be taken for one.
    tokens = text.split()
    if len(tokens) > 2:
        raise ValueError("must be one token, or the new and the old one with a blank between them")
    if len(tokens) == 2 and tokens[0] == tokens[1]:
        raise ValueError("must be two different tokens, the new and the old one")
    return " ".join(tokens)


def keys(text: str) -> str:
    """Return encryption keys, each of 32 bytes in base64, by commas."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{43}=?", part) for part in parts):
        raise ValueError("must be keys of 32 bytes in URL-safe base64, by commas, as `bridge db new-key` makes them")
    return ",".join(part if part.endswith("=") else f"{part}=" for part in parts)


def alert_urls(text: str) -> tuple[str, ...]:
    """Return the text as a alert urls, or raise ValueError with the rule."""
    # A comma may be part of such a URL: it ends one only before the next scheme.
    urls = tuple(url for url in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text.strip(" ,")) if url)
    if any(not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S+$", url) for url in urls):
        raise ValueError("must be URLs of apprise such as mailto://... or slack://..., separated by spaces")
    return urls


def password(text: str) -> str:
    """Return a password, or its hash as werkzeug writes it."""
    if text.startswith(("scrypt:", "pbkdf2:")) and text.count("$") < 2:
        raise ValueError("must be the whole hash in single quotes: a shell or compose takes $ for a variable")
    return text


def language(text: str) -> str:
    """Return the text as a language, or raise ValueError with the rule."""
    if text not in {"pt-BR", "en"}:
        raise ValueError("must be pt-BR or en")
    return text


def log_level(text: str) -> str:
    """Return the text as a log level, or raise ValueError with the rule."""
    if text not in {"debug", "info", "warning", "error"}:
        raise ValueError("must be debug, info, warning or error")
    return text


Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

OF_ASAAS = ("52.67.12.206", "18.230.8.159", "54.94.136.112", "54.94.183.101")
"""From where Asaas says that it posts (docs ips-oficiais-do-asaas); its sandbox may use others (erro-403-forbidden)."""

MOST_PROXIES = 9


def networks(text: str) -> tuple[Network, ...]:
    """Return the networks that the text names; the word asaas stands for those of Asaas.

    >>> networks("10.0.0.0/8, 192.0.2.1")
    (IPv4Network('10.0.0.0/8'), IPv4Network('192.0.2.1/32'))
    """
    found: list[Network] = []
    for word in re.split(r"[\s,]+", text.strip()) if text.strip() else ():
        try:
            found += [ip_network(one) for one in (OF_ASAAS if word.lower() == "asaas" else (word,))]
        except ValueError:
            raise ValueError("must be addresses or networks such as 192.0.2.1 10.0.0.0/8, or the word asaas") from None
    return tuple(found)


def proxies(text: str) -> int | tuple[Network, ...]:
    """Return how many proxies stand before the bridge, or in which networks they are.

    >>> proxies("1"), proxies("")
    (1, 0)
    """
    if re.fullmatch(r"\d{0,2}", text):
        if int(text or 0) > MOST_PROXIES:
            raise ValueError(f"must be at most {MOST_PROXIES} proxies, or their networks")
        return int(text or 0)
    return networks(text)


def address_of(text: str) -> Address | None:
    """Return the address that the text is, without a port and as IPv4 where it is one; None where it is none.

    >>> address_of("[::ffff:192.0.2.1]:443"), address_of("unknown")
    (IPv4Address('192.0.2.1'), None)
    """
    bare = text.strip()
    if found := re.fullmatch(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+", bare):
        bare = found[1] or found[2]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


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


DEFAULT = "default"
"""The name of the account or destination whose variable has no suffix."""
NAME = r"[a-z0-9][a-z0-9_]{0,39}"
"""What the name of an account or destination may be: a pattern."""


def variable(family: str, name: str) -> str:
    """Return the name of the variable that sets this up for the account or destination.

    >>> variable("ASAAS_API_KEY", "default"), variable("CLINT_WEBHOOK_URL", "pos-venda")
    ('ASAAS_API_KEY', 'CLINT_WEBHOOK_URL_POS_VENDA')
    """
    return family if name == DEFAULT else f"{family}_{name.upper().replace('-', '_')}"


_BY_NAME = {setting.name: setting for setting in SETTINGS}
_PREFIXES = ("ASAAS_", "CLINT_", "BRIDGE_")

# What Kubernetes puts into every container for each Service of its namespace, one named bridge included.
_ADDRESS = r"(?:tcp|udp|sctp)://\S+"
_SERVICE_LINKS = re.compile(
    r"\w+_SERVICE_HOST=[0-9a-f.:]+"
    r"|\w+_SERVICE_PORT(?:_\w+)?=\d+"
    rf"|\w+_PORT(?:_\d+_(?:TCP|UDP|SCTP))?={_ADDRESS}"
    r"|\w+_PORT_\d+_(?:TCP|UDP|SCTP)_(?:PROTO=(?:tcp|udp|sctp)|PORT=\d+|ADDR=[0-9a-f.:]+)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """One Asaas account that may post events to us."""

    name: str
    api_key: str = field(default="", repr=False)
    webhook_token: str = field(default="", repr=False)
    old_webhook_token: str = field(default="", repr=False)
    """Still let in, until the operator takes it out."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment as values; attribute names are the variables' names in lower case."""

    values: Mapping[str, Any] = field(repr=False)
    accounts: Mapping[str, Account]
    destinations: Mapping[str, str] = field(repr=False)
    """Webhook URLs by destination name."""
    paces: Mapping[str, str]
    """Rate limits by destination name, of those that have one of their own."""
    without_effect: tuple[str, ...]
    """Variables that are set and that only the release before knew."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; raise SettingsError with every problem at once."""
        environ = {
            name: text
            for name, text in (os.environ if environ is None else environ).items()
            if not _SERVICE_LINKS.fullmatch(f"{name}={text}")
        }
        problems: list[str] = []
        values: dict[str, Any] = {}
        families: dict[str, dict[str, str]] = {s.name: {} for s in SETTINGS if s.family}
        for name in sorted(environ):
            _read_family(name, environ[name].strip(), families, problems)
        for setting in SETTINGS:
            if not setting.family:
                text = environ.get(setting.name, "").strip() or setting.default
                values[setting.name] = _parsed(setting, setting.name, text, problems)
        _check_names(environ, families, problems)
        if values["BRIDGE_ALLOW_PRIVATE_DESTINATIONS"] is not True:
            _check_lengths(values, families, problems)
        if not problems and values["BRIDGE_LEASE"] < values["BRIDGE_SEND_TIMEOUT"] + 2:
            problems.append(
                f"BRIDGE_LEASE must be at least BRIDGE_SEND_TIMEOUT + 2, got {values['BRIDGE_LEASE']:g}; "
                "else a second worker could send while the first still waits for an answer"
            )
        if problems:
            raise SettingsError(problems)
        if not values["DATABASE_URL"]:
            values["DATABASE_URL"] = f"sqlite:///{values['BRIDGE_DATA_DIR']}/journal.sqlite3"
        names = sorted({*families["ASAAS_API_KEY"], *families["ASAAS_WEBHOOK_TOKEN"]})
        return cls(
            MappingProxyType(values),
            MappingProxyType(
                {
                    name: Account(
                        name,
                        families["ASAAS_API_KEY"].get(name, ""),
                        *families["ASAAS_WEBHOOK_TOKEN"].get(name, "").split(),
                    )
                    for name in names
                }
            ),
            MappingProxyType(families["CLINT_WEBHOOK_URL"]),
            MappingProxyType(families["CLINT_RATE_LIMIT"]),
            tuple(sorted(WITHOUT_EFFECT & environ.keys())),
        )

    def __getattr__(self, name: str) -> Any:
        """Return a plain variable's value by its name in lower case."""
        try:
            return self.values[name.upper()]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def local_url(self) -> str:
        """The address at which this machine reaches the web process."""
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(self.bridge_host, self.bridge_host)  # noqa: S104 (read)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def require(self, *names: str) -> None:
        """Raise SettingsError naming each of these variables that is not set and where its value comes from."""
        problems = []
        for name in names:
            missing = {
                "CLINT_WEBHOOK_URL": not self.destinations,
                "ASAAS_WEBHOOK_TOKEN": not any(account.webhook_token for account in self.accounts.values()),
                "ASAAS_API_KEY": not any(account.api_key for account in self.accounts.values()),
            }.get(name)
            if missing if missing is not None else not self.values[name]:
                problems.append(f"{name} is not set; {_WHERE[name]}")
        if problems:
            raise SettingsError(problems)


_WHERE = {
    "CLINT_WEBHOOK_URL": "copy the URL from Clint: the origin's integrations, Receber Webhook",
    "ASAAS_WEBHOOK_TOKEN": "choose one (a UUID will do) and enter the same in Asaas: Integrações, Webhooks, token",
    "ASAAS_API_KEY": "make one in Asaas: Integrações, Chaves de API; put it in single quotes, for it begins with $",
    "BRIDGE_ALERT_URLS": "give URLs of apprise, such as mailto://USER:PASSWORD@example.com or slack://...",
    "REDIS_URL": "give the address of a Redis or Valkey, such as redis://127.0.0.1:6379/0, or use `bridge up`",
}


def _parsed(setting: Setting, name: str, text: str, problems: list[str]) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:
        problems.append(f"{name} must be text in UTF-8, got other bytes")
        return None
    try:
        return setting.parse(text)
    except ValueError as error:
        got = "a secret that is not shown" if setting.secret else repr(text)
        problems.append(f"{name} {error}, got {got}")
        return None


def _read_family(name: str, text: str, families: dict[str, dict[str, str]], problems: list[str]) -> None:
    for base, members in families.items():
        if name != base and not name.startswith(f"{base}_"):
            continue
        suffix = name[len(base) + 1 :].lower() or DEFAULT
        if not re.fullmatch(NAME, suffix):
            problems.append(f"{name} must end in a name of letters, digits and _, got {suffix!r}")
        elif text:
            members[suffix] = _parsed(_BY_NAME[base], name, text, problems)


def _check_lengths(values: Mapping[str, Any], families: Mapping[str, Mapping[str, str]], problems: list[str]) -> None:
    """Refuse secrets that can be guessed, unless all that they guard is the sandbox of Asaas."""
    in_sandbox = {name: key.startswith("$aact_hmlg_") for name, key in families["ASAAS_API_KEY"].items()}
    guarding = {
        variable("ASAAS_WEBHOOK_TOKEN", name): tokens.split()
        for name, tokens in families["ASAAS_WEBHOOK_TOKEN"].items()
        if tokens and not in_sandbox.get(name)
    }
    given = [
        (name, new, LEAST_TOKEN, _REPLACE if len(new) >= _LEAST_OLD_TOKEN else _RENEW)
        for name, (new, *_) in guarding.items()
    ]
    # The old one may be short until Asaas has the new one, but it opens the door meanwhile.
    given += [
        (f"{name}'s old token", old, _LEAST_OLD_TOKEN, _RENEW) for name, (_, *rest) in guarding.items() for old in rest
    ]
    if not in_sandbox or not all(in_sandbox.values()):
        given += [(name, values[name] or "", least, todo) for name, (least, todo) in _LEAST.items()]
    problems += [
        f"{name} must have at least {least} characters, got {len(text)}; {todo}"
        for name, text, least, todo in given
        if 0 < len(text) < least
    ]


LEAST_TOKEN = 32
_LEAST_OLD_TOKEN = 8
_RENEW = "take a new one, such as uuidgen makes, alone, here and in Asaas, which repeats what is refused meanwhile"
_REPLACE = (
    "take a new one, such as uuidgen makes, put it before this one with a blank between them, start the bridge again "
    "and run: bridge webhook register --rotate"
)
_LEAST = {
    "BRIDGE_PASSWORD": (12, "take a longer one: it opens the console to the internet"),
    "BRIDGE_VIEWER_PASSWORD": (12, "take a longer one: it opens the console to the internet"),
    "BRIDGE_SECRET_KEY": (32, "make one with `openssl rand -hex 32`; everybody signs in again"),
    "BRIDGE_CONSOLE_TOKEN": (32, "unset it, and `bridge up` makes one, or set BRIDGE_PASSWORD"),
}


def _check_names(environ: Mapping[str, str], families: Mapping[str, object], problems: list[str]) -> None:
    for name in sorted(environ):
        known = name in _BY_NAME or name in WITHOUT_EFFECT or any(name.startswith(f"{base}_") for base in families)
        if known or not name.startswith(_PREFIXES):
            continue
        close = get_close_matches(name, _BY_NAME, 1)
        if close and not name.startswith("BRIDGE_TEST_"):
            problems.append(f"{name} is not a setting of the bridge; did you mean {close[0]}?")
