"""The environment as typed values; `SETTINGS` is the table of every variable.

`Settings.from_env` collects every problem before it raises one error, which holds no value of a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bridge import failpoints
from bridge.errors import SettingsError
from bridge.messages import N_, Message, message

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# ---------------------------------------------------------------- parsers
# Each returns the value of a text, or raises ValueError with the rule as a message.


def _broken(rule: str, **facts: object) -> ValueError:
    return ValueError(message(rule, **facts))


def _number(kind: type[Any], pattern: str, rule: str, least: float, most: float) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if not re.fullmatch(pattern, text) or not least <= kind(text) <= most:
            raise _broken(rule, least=least, most=most)
        return kind(text)

    return parse


_whole = partial(_number, int, r"\d{1,9}", N_("must be a whole number from {least} to {most}"))
_seconds = partial(_number, float, r"\d{1,9}(\.\d{1,6})?", N_("must be a number of seconds from {least:g} to {most:g}"))


def _one_of(rule: str, *values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise _broken(rule)
        return text

    return parse


def _retention(text: str) -> int:
    # Asaas sends an event again for 14 days; a month leaves time to fix what went wrong.
    days: int = _whole(0, 3650)(text)
    if 0 < days < 30:
        raise _broken(N_("must be 0 (keep for ever) or a whole number from 30 to 3650"))
    return days


def _rate(text: str) -> str:
    """Return a rate limit in the form of the library `limits`."""
    found = re.fullmatch(r"([1-9]\d{0,5}) ?/ ?(second|minute|hour|day)", text)
    if text and not found:
        raise _broken(N_("must be a number for each second, minute, hour or day, such as 10/second"))
    return f"{found[1]}/{found[2]}" if found else ""


def _switch(text: str) -> bool:
    return _one_of(N_("must be 1 (on) or 0 (off)"), "0", "1")(text) == "1"


def _data_directory(text: str) -> Path:
    if "?" in text:  # the directory becomes part of the journal's URL
        raise _broken(N_("must be a directory without ? in its name"))
    return Path(text)


def _database(text: str) -> str:
    text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
    if not text.startswith(("sqlite:///", "postgresql+psycopg://")) and text:
        raise _broken(N_("must begin with sqlite:///, postgres:// or postgresql+psycopg://"))
    if re.match(r"sqlite:///(\?|:memory:|file:|$)", text):
        raise _broken(N_("must name a file: every process has its own journal in memory, which ends with it"))
    if text.startswith("postgresql"):
        from sqlalchemy import make_url

        _check_form(lambda: make_url(text))
    return text


def _redis(text: str) -> str:
    if text and not text.startswith(("redis://", "rediss://", "unix://")):
        raise _broken(N_("must begin with redis://, rediss:// or unix://"))
    if text:
        from redis import ConnectionPool

        _check_form(lambda: ConnectionPool.from_url(text).make_connection())  # connects to nothing yet
    return text


def _check_form(read: Callable[[], object]) -> None:
    try:
        read()
    except Exception:  # noqa: BLE001 (the libraries raise many kinds, with texts that may quote a password)
        rule = N_("must be a URL with a port that is a number, and only options that exist")
        raise _broken(rule) from None


def api_secret(text: str) -> str:
    """Return a key or token that goes into a header; raise ValueError with the rule."""
    if not re.fullmatch(r"[!-~]*", text):
        raise _broken(N_("must be letters, digits and signs of ASCII, without blanks"))
    return text


def host(text: str) -> str:
    """Return a host name or address; one of IPv6 may stand in brackets, as in a URL."""
    return text.removeprefix("[").removesuffix("]")


def _http(text: str) -> str:
    try:
        parts = urlsplit(text)
        well_formed = re.fullmatch(r"https?://\S+", text) and parts.hostname and parts.port != 0
    except ValueError:  # unclosed brackets, a port that is no number
        well_formed = False
    if text and not well_formed:
        raise _broken(N_("must be an https:// URL"))
    return text.rstrip("/")


def _origin(text: str) -> str:
    if len(text) > 200 or not text.isprintable() or text.startswith(("http://", "https://")):
        raise _broken(N_("must be the name or id of an origin in Clint, no URL"))
    return text


def _token(text: str) -> str:
    tokens = text.split()  # no token has white space
    if len(tokens) > 2:
        raise _broken(N_("must be one token, or the new and the old one with a blank between them"))
    if len(tokens) == 2 and tokens[0] == tokens[1]:
        raise _broken(N_("must be two different tokens, the new and the old one"))
    return " ".join(tokens)


def _keys(text: str) -> str:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{43}=?", part) for part in parts):
        raise _broken(N_("must be keys of 32 bytes in URL-safe base64, by commas, as `bridge db new-key` makes them"))
    return ",".join(part if part.endswith("=") else f"{part}=" for part in parts)


def _alert_urls(text: str) -> tuple[str, ...]:
    # A comma may be part of such a URL: it ends one only before the next scheme.
    urls = tuple(url for url in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text.strip(" ,")) if url)
    if any(not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S+$", url) for url in urls):
        raise _broken(N_("must be URLs of apprise such as mailto://... or slack://..., separated by spaces"))
    return urls


def _password(text: str) -> str:
    """Return a password, or its hash in werkzeug's form."""
    if text.startswith(("scrypt:", "pbkdf2:")) and text.count("$") < 2:
        raise _broken(N_("must be the whole hash in single quotes: a shell or compose takes $ for a variable"))
    return text


OF_ASAAS = ("52.67.12.206", "18.230.8.159", "54.94.136.112", "54.94.183.101")
"""Addresses from which Asaas posts (docs ips-oficiais-do-asaas); its sandbox may use others (erro-403-forbidden)."""


_NETWORKS = N_("must be addresses or networks such as 192.0.2.1 10.0.0.0/8, or the word asaas")
_PROXIES = N_("must be a number of proxies such as 1, or their networks such as 10.0.0.0/8, or the word asaas")


def networks(text: str, rule: str = _NETWORKS) -> tuple[Network, ...]:
    """Return the networks of a text; the word asaas stands for those of Asaas.

    >>> networks("10.0.0.0/8, 192.0.2.1")
    (IPv4Network('10.0.0.0/8'), IPv4Network('192.0.2.1/32'))
    """
    found: list[Network] = []
    for word in re.split(r"[\s,]+", text.strip()) if text.strip() else ():
        try:
            found += [ip_network(one) for one in (OF_ASAAS if word.lower() == "asaas" else (word,))]
        except ValueError:
            raise _broken(rule) from None
    return tuple(found)


def proxies(text: str) -> int | tuple[Network, ...]:
    """Return the number of proxies before the bridge, or their networks."""
    if not re.fullmatch(r"\d{0,2}", text):
        return networks(text, _PROXIES)
    if int(text or 0) > 9:
        raise _broken(N_("must be at most {most} proxies, or their networks"), most=9)
    return int(text or 0)


def address_of(text: str) -> Address | None:
    """Return the address in a text, without a port and as IPv4 where it is a mapped one; None for another text.

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


# ---------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable of the environment; of a family there is one for each account or destination."""

    name: str
    parse: Callable[[str], Any] = str
    default: str = ""
    secret: bool = False
    family: bool = False


Secret = partial(Setting, secret=True)

SETTINGS: Mapping[Setting, str] = {
    Secret("ASAAS_API_KEY", api_secret, family=True): N_("API key of the Asaas account; begins with `$`, so quote it"),
    Secret("ASAAS_WEBHOOK_TOKEN", _token, family=True): N_(
        "token in Asaas's header asaas-access-token, 32 to 255 characters without a sequence such as 12345; `new old` "
        "while one replaces the other"
    ),
    Setting("ASAAS_API_URL", _http): N_("base URL of the Asaas API; otherwise chosen by the key's prefix"),
    Secret("CLINT_WEBHOOK_URL", _http, family=True): N_(
        "URL of a Clint webhook integration; anyone who has it can post to it"
    ),
    Setting("CLINT_RATE_LIMIT", _rate, family=True): N_(
        "how many deliveries of one account a destination gets at most, such as 10/second or 300/minute"
    ),
    Setting("BRIDGE_RATE_LIMIT", _rate): N_(
        "the same for each destination without a CLINT_RATE_LIMIT of its own; empty: no limit"
    ),
    Setting("CLINT_ORIGIN", _origin, family=True): N_(
        "name or id of an origin (funnel) of Clint: makes a destination whose deals the bridge writes by Clint's API; "
        "needs a token of it"
    ),
    Secret("CLINT_API_TOKEN", api_secret): N_(
        "token of the Clint API (plan Elite): for destinations that are an origin, and for reading deals back; unset: "
        "the one that was entered in the console or by `bridge clint set-token`"
    ),
    Setting("CLINT_API_URL", _http, "https://api.clint.digital"): N_("base URL of the Clint API"),
    Setting("CLINT_API_RATE_LIMIT", _rate, "2/second"): N_(
        "requests to the Clint API at most, of all processes together"
    ),
    Setting("CLINT_DEAL_APPEARS_S", _seconds(0, 3600), "60"): N_(
        "seconds for which a new deal may be missing from Clint's lists: so long nothing is made again after an answer "
        "was lost"
    ),
    Setting("BRIDGE_READ_BACK_WAIT", _seconds(0.1, 3600), "30"): N_(
        "seconds after a delivery until its deal is looked for, where the mapping says verify"
    ),
    Secret("DATABASE_URL", _database): N_("SQLAlchemy URL of the journal; otherwise SQLite in the data directory"),
    Secret("REDIS_URL", _redis): N_("Redis or Valkey; `bridge up` and `bridge demo` start their own without it"),
    Secret("BRIDGE_ENCRYPTION_KEY", _keys): N_(
        "encrypts what is personal or secret in the journal (`bridge db new-key`); old keys after it, separated "
        "by commas; without it `bridge up` keeps a key for a new SQLite journal in the data directory"
    ),
    Setting("BRIDGE_DATA_DIR", _data_directory, "./data"): N_("directory of the SQLite journal and of logs"),
    Setting("BRIDGE_MAPPINGS_DIR", Path, "./mappings"): N_("directory of the mapping files"),
    Setting("BRIDGE_HOST", host, "127.0.0.1"): N_("address that the web process binds; `::`: every one"),
    Setting("PORT", _whole(0, 65535), "8000"): N_("port that the web process binds"),
    Setting("BRIDGE_PUBLIC_URL", _http): N_(
        "address under which Asaas reaches the bridge, such as https://bridge.example.com"
    ),
    Setting("BRIDGE_WEBHOOK_ALLOWED_IPS", networks): N_(
        "addresses and networks that may post events; `asaas` stands for those of Asaas's production; empty: any"
    ),
    Setting("BRIDGE_TRUSTED_PROXIES", proxies, "0"): N_(
        "proxies before the bridge, as a number or by their networks; only their X-Forwarded-For counts"
    ),
    Secret("BRIDGE_PASSWORD", _password): N_(
        "password of the console, 12 characters at least, or its hash as werkzeug writes it (scrypt:...)"
    ),
    Secret("BRIDGE_VIEWER_PASSWORD", _password): N_(
        "a second password, for people who may see everything in the console and change nothing"
    ),
    Setting("BRIDGE_OIDC_ISSUER", _http): N_(
        "OpenID Connect provider by which invited people may sign in too, such as https://accounts.google.com"
    ),
    Setting("BRIDGE_OIDC_CLIENT_ID"): N_("the bridge's client id at that provider"),
    Secret("BRIDGE_OIDC_CLIENT_SECRET", api_secret): N_("its client secret; empty for a public client"),
    Secret("BRIDGE_SECRET_KEY"): N_(
        "key that signs the console's sessions, 32 characters at least; unset: session.key in the data directory"
    ),
    Secret("BRIDGE_CONSOLE_TOKEN"): N_(
        "opens the console where no password is set, as `/?token=...`; drawn by `bridge up` and `bridge demo`"
    ),
    Setting("BRIDGE_ALLOW_PRIVATE_DESTINATIONS", _switch, "0"): N_(
        "1 lets destination and API URLs be plain http or private addresses (simulators, tests)"
    ),
    Secret("BRIDGE_ALERT_URLS", _alert_urls): N_(
        "where alerts go: URLs of apprise (e-mail, Slack, Telegram, ...), separated by spaces"
    ),
    Setting("BRIDGE_LANGUAGE", _one_of(N_("must be pt-BR or en"), "pt-BR", "en"), "pt-BR"): N_(
        "language of alerts and commands: pt-BR or en; unset: alerts are in Portuguese, commands follow the locale"
    ),
    Setting("OTEL_EXPORTER_OTLP_ENDPOINT", _http): N_(
        "address of an OpenTelemetry collector for traces (OTLP over HTTP); needs the extra otel"
    ),
    Setting(
        "BRIDGE_LOG_LEVEL",
        _one_of(N_("must be debug, info, warning or error"), "debug", "info", "warning", "error"),
        "info",
    ): N_("debug, info, warning or error"),
    Setting("BRIDGE_WEB_THREADS", _whole(2, 256), "16"): N_(
        "requests that one web process answers at once; the console gets three quarters at most"
    ),
    Setting("BRIDGE_WORKER_LANES", _whole(1, 64), "64"): N_(
        "lanes that one worker drains at once, or its share of them"
    ),
    Setting("BRIDGE_WORKER_SENDS", _whole(1, 128), "64"): N_("deliveries that one worker has in flight at once"),
    Setting("BRIDGE_SEND_TIMEOUT", _seconds(0.1, 60), "10"): N_("seconds until a send to Clint counts as failed"),
    Setting("BRIDGE_LEASE", _seconds(1, 3600), "30"): N_(
        "seconds after which the lane of a worker that died is taken over; at least BRIDGE_SEND_TIMEOUT + 2"
    ),
    Setting("BRIDGE_RETRY_BASE", _seconds(0.01, 3600), "5"): N_(
        "seconds of the first retry's ceiling, doubled with each"
    ),
    Setting("BRIDGE_RETRY_CAP", _seconds(0.01, 86400), "3600"): N_("seconds that no wait between two attempts exceeds"),
    Setting("BRIDGE_RETRY_ATTEMPTS", _whole(1, 1000), "16"): N_("attempts after which a delivery is dead"),
    Setting("BRIDGE_CIRCUIT_FAILURES", _whole(1, 1000), "5"): N_("failures in a row that open a destination's circuit"),
    Setting("BRIDGE_CIRCUIT_WAIT", _seconds(0.01, 3600), "15"): N_(
        "seconds until an open circuit lets one probe through"
    ),
    Setting("BRIDGE_CACHE_TTL", _seconds(0, 86400), "300"): N_("seconds that a customer read from Asaas is reused"),
    Setting("BRIDGE_RETENTION_DAYS", _retention, "0"): N_(
        "days until finished events are emptied, and removed after twice as many; at least 30, or 0: kept for ever"
    ),
    Setting("BRIDGE_RECONCILE_HOURS", _whole(0, 720), "0"): N_(
        "hours between two looks for charges that the journal does not know; 0: none"
    ),
    Setting("BRIDGE_FAILPOINT", failpoints.parse): N_(
        "for tests only: where a process kills itself, such as ingress.after_commit; see docs/reliability.md"
    ),
}
"""Every variable with its meaning, a message id."""

WITHOUT_EFFECT = frozenset({"BRIDGE_WEB_PROCESSES", "BRIDGE_WEB_ONE_CPU", "BRIDGE_WORKER_ONE_CPU"})
"""Settings of the release before: accepted for one release, with a warning."""


DEFAULT = "default"
"""The name of the account or destination whose variable has no suffix."""
NAME = r"[a-z0-9][a-z0-9_]{0,39}"
"""The pattern of the names of accounts and destinations."""

JOURNAL_FILE = "journal.sqlite3"
"""The journal in the data directory, where DATABASE_URL names no other."""
NEARLY = 0.72
"""How like a setting a variable is that counts as misspelt: the common beginning alone makes two names rather alike."""


def variable(family: str, name: str) -> str:
    """Return the name of a family's variable for an account or destination.

    >>> variable("ASAAS_API_KEY", "default"), variable("CLINT_WEBHOOK_URL", "pos-venda")
    ('ASAAS_API_KEY', 'CLINT_WEBHOOK_URL_POS_VENDA')
    """
    return family if name == DEFAULT else f"{family}_{name.upper().replace('-', '_')}"


ORIGIN_PREFIX = "clint-origin:"
"""What the text of an API destination begins with; that of a webhook destination is its URL."""


def origin_of(url: str) -> str | None:
    """Return the name or id of an API destination's origin; None for a webhook destination.

    >>> origin_of("clint-origin:Vendas"), origin_of("https://functions-api.clint.digital/")
    ('Vendas', None)
    """
    return url.removeprefix(ORIGIN_PREFIX) if url.startswith(ORIGIN_PREFIX) else None


def origin_url(origin: str) -> str:
    """Return the text of the API destination of this origin."""
    return f"{ORIGIN_PREFIX}{origin}"


def destination_variable(name: str, url: str) -> str:
    """Return the name of the variable that holds a destination's text.

    >>> destination_variable("vendas", "clint-origin:Vendas")
    'CLINT_ORIGIN_VENDAS'
    """
    return variable("CLINT_WEBHOOK_URL" if origin_of(url) is None else "CLINT_ORIGIN", name)


_BY_NAME = {setting.name: setting for setting in SETTINGS}
_PREFIXES = ("ASAAS_", "CLINT_", "BRIDGE_")

# Kubernetes puts these into every container for each Service of its namespace, one named bridge included.
_ADDRESS = r"(?:tcp|udp|sctp)://\S+"
_SERVICE_LINKS = re.compile(
    r"\w+_SERVICE_HOST=[0-9a-f.:]+"
    r"|\w+_SERVICE_PORT(?:_\w+)?=\d+"
    rf"|\w+_PORT(?:_\d+_(?:TCP|UDP|SCTP))?={_ADDRESS}"
    r"|\w+_PORT_\d+_(?:TCP|UDP|SCTP)_(?:PROTO=(?:tcp|udp|sctp)|PORT=\d+|ADDR=[0-9a-f.:]+)"
)


@dataclass(frozen=True, slots=True)
class Account:
    """An Asaas account."""

    name: str
    api_key: str = field(default="", repr=False)
    webhook_token: str = field(default="", repr=False)
    old_webhook_token: str = field(default="", repr=False)
    """The door still takes it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment as values; attribute names are the variables' names in lower case."""

    values: Mapping[str, Any] = field(repr=False)
    accounts: Mapping[str, Account]
    destinations: Mapping[str, str] = field(repr=False)
    """By name: a webhook URL, or the text of an API destination (see `origin_of`)."""
    rate_limits: Mapping[str, str]
    """Of destinations with a limit of their own, by name."""
    without_effect: tuple[str, ...]
    """Variables of the environment that only the release before knew."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; raise SettingsError with every problem at once."""
        environ = {
            name: text
            for name, text in (os.environ if environ is None else environ).items()
            if not _SERVICE_LINKS.fullmatch(f"{name}={text}")
        }
        problems: list[Message] = []
        values: dict[str, Any] = {}
        families: dict[str, dict[str, str]] = {s.name: {} for s in SETTINGS if s.family}
        for name in sorted(environ):
            _read_name(name, environ[name].strip(), families, problems)
        for setting in SETTINGS:
            if not setting.family:
                text = environ.get(setting.name, "").strip() or setting.default
                values[setting.name] = _parsed(setting, setting.name, text, problems)
        if values["BRIDGE_ALLOW_PRIVATE_DESTINATIONS"] is not True:
            _check_lengths(values, families, problems)
        if values["BRIDGE_OIDC_ISSUER"] and not values["BRIDGE_OIDC_CLIENT_ID"]:
            problems.append(message(N_("BRIDGE_OIDC_ISSUER needs BRIDGE_OIDC_CLIENT_ID, which is not set")))
        webhooks, origins = families["CLINT_WEBHOOK_URL"], families["CLINT_ORIGIN"]
        for name in sorted(webhooks.keys() & origins.keys()):
            rule = N_("{webhook} and {origin} name one destination, which has one kind; rename or unset one of them")
            names = {"webhook": variable("CLINT_WEBHOOK_URL", name), "origin": variable("CLINT_ORIGIN", name)}
            problems.append(message(rule, **names))
        if origins and not values["CLINT_API_TOKEN"] and not values["BRIDGE_ENCRYPTION_KEY"]:
            # With an encryption key the journal may hold the token.
            name = variable("CLINT_ORIGIN", min(origins))
            problems.append(message(N_("{name} needs CLINT_API_TOKEN, which is not set"), name=name))
        if not problems and values["BRIDGE_LEASE"] < values["BRIDGE_SEND_TIMEOUT"] + 2:
            rule = N_(
                "BRIDGE_LEASE must be at least BRIDGE_SEND_TIMEOUT + 2, got {lease:g}; else a second worker could "
                "send while the first still waits for an answer"
            )
            problems.append(message(rule, lease=values["BRIDGE_LEASE"]))
        if problems:
            raise SettingsError(problems)
        if not values["DATABASE_URL"]:
            values["DATABASE_URL"] = f"sqlite:///{values['BRIDGE_DATA_DIR']}/{JOURNAL_FILE}"
        keys, tokens = families["ASAAS_API_KEY"], families["ASAAS_WEBHOOK_TOKEN"]
        accounts = {
            name: Account(name, keys.get(name, ""), *tokens.get(name, "").split()) for name in sorted({*keys, *tokens})
        }
        without_effect = tuple(sorted(WITHOUT_EFFECT & environ.keys()))
        destinations = {**webhooks, **{name: origin_url(origin) for name, origin in origins.items()}}
        return cls(values, accounts, destinations, families["CLINT_RATE_LIMIT"], without_effect)

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
        """Raise SettingsError that names each unset variable of these and where its value comes from."""
        if problems := self.missing(*names):
            raise SettingsError(problems)

    def missing(self, *names: str) -> list[Message]:
        """Return a problem for each unset variable of these."""
        of_families = {
            "CLINT_WEBHOOK_URL": bool(self.destinations),
            "ASAAS_WEBHOOK_TOKEN": any(account.webhook_token for account in self.accounts.values()),
            "ASAAS_API_KEY": any(account.api_key for account in self.accounts.values()),
        }
        is_set = {**self.values, **of_families}
        text = N_("{name} is not set; {how}")
        return [message(text, name=name, how=Message(_WHERE[name])) for name in names if not is_set[name]]


_WHERE = {
    "CLINT_WEBHOOK_URL": N_("copy the URL from Clint: the origin's integrations, Receber Webhook"),
    "ASAAS_WEBHOOK_TOKEN": N_("choose one (a UUID will do) and enter the same in Asaas: Integrações, Webhooks, token"),
    "ASAAS_API_KEY": N_("make one in Asaas: Integrações, Chaves de API; put it in single quotes, for it begins with $"),
    "BRIDGE_ALERT_URLS": N_("give URLs of apprise, such as mailto://USER:PASSWORD@example.com or slack://..."),
    "REDIS_URL": N_("give the address of a Redis or Valkey, such as redis://127.0.0.1:6379/0, or use `bridge up`"),
}


def _parsed(setting: Setting, name: str, text: str, problems: list[Message]) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:
        problems.append(message(N_("{name} must be text in UTF-8, got other bytes"), name=name))
        return None
    try:
        return setting.parse(text)
    except ValueError as error:
        value = Message(N_("a secret that is not shown")) if setting.secret else repr(text)
        problems.append(message(N_("{name} {rule}, got {value}"), name=name, rule=error.args[0], value=value))
        return None


def _read_name(name: str, text: str, families: dict[str, dict[str, str]], problems: list[Message]) -> None:
    """Read a variable of a family; refuse one that is misspelt."""
    base = next((base for base in families if name == base or name.startswith(f"{base}_")), "")
    suffix = name[len(base) + 1 :].lower() or DEFAULT
    if base and not re.fullmatch(NAME, suffix):
        rule = N_("{name} must end in a name of letters, digits and _, got {suffix!r}")
        problems.append(message(rule, name=name, suffix=suffix))
    elif base and text:
        families[base][suffix] = _parsed(_BY_NAME[base], name, text, problems) or ""
    elif not base and name.startswith(_PREFIXES) and not name.startswith("BRIDGE_TEST_"):
        close = get_close_matches(name, _BY_NAME, 1, NEARLY)
        if close and name not in _BY_NAME.keys() | WITHOUT_EFFECT:
            rule = N_("{name} is not a setting of the bridge; did you mean {close}?")
            problems.append(message(rule, name=name, close=close[0]))


def _check_lengths(
    values: Mapping[str, Any], families: Mapping[str, Mapping[str, str]], problems: list[Message]
) -> None:
    """Refuse secrets that can be guessed, unless all that they guard is the sandbox of Asaas."""

    def check(name: str | Message, text: str, least: int, todo: str) -> None:
        if 0 < len(text) < least:
            rule = N_("{name} must have at least {least} characters, got {length}; {todo}")
            problems.append(message(rule, name=name, least=least, length=len(text), todo=Message(todo)))

    in_sandbox = {name: key.startswith("$aact_hmlg_") for name, key in families["ASAAS_API_KEY"].items()}
    for account, tokens in families["ASAAS_WEBHOOK_TOKEN"].items():
        if tokens and not in_sandbox.get(account):
            name = variable("ASAAS_WEBHOOK_TOKEN", account)
            new, *old = tokens.split()
            check(name, new, LEAST_TOKEN, _REPLACE if len(new) >= _LEAST_OLD_TOKEN else _RENEW)
            # The old one may be short until Asaas has the new one, but it opens the door meanwhile.
            for one in old:
                check(message(N_("{name}'s old token"), name=name), one, _LEAST_OLD_TOKEN, _RENEW)
    if not in_sandbox or not all(in_sandbox.values()):
        for name, (least, todo) in _LEAST.items():
            check(name, values[name] or "", least, todo)


LEAST_TOKEN = 32
LEAST_PASSWORD = 12
_LEAST_OLD_TOKEN = 8
_RENEW = N_("take a new one, such as uuidgen makes, alone, here and in Asaas, which repeats what is refused meanwhile")
_REPLACE = N_(
    "take a new one, such as uuidgen makes, put it before this one with a blank between them, start the bridge again "
    "and run: bridge webhook register --rotate"
)
_LEAST = {
    "BRIDGE_PASSWORD": (LEAST_PASSWORD, N_("take a longer one: it opens the console to the internet")),
    "BRIDGE_VIEWER_PASSWORD": (LEAST_PASSWORD, N_("take a longer one: it opens the console to the internet")),
    "BRIDGE_SECRET_KEY": (32, N_("make one with `openssl rand -hex 32`; everybody signs in again")),
    "BRIDGE_CONSOLE_TOKEN": (32, N_("unset it, and `bridge up` makes one, or set BRIDGE_PASSWORD")),
}
