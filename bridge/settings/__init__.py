"""The environment, read once into a typed value; what may stand in it is the table in `settings.table`.

Every problem is collected before one error is raised, and no value of a secret is ever put into it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from bridge.errors import SettingsError
from bridge.settings.table import SETTINGS, WITHOUT_EFFECT, Setting

__all__ = ["DEFAULT", "NAME", "SETTINGS", "Account", "Setting", "Settings", "variable"]

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
    given = [
        # Of two tokens only the new one: the old, short one goes on until Asaas has the new.
        (variable("ASAAS_WEBHOOK_TOKEN", name), tokens.split()[0], 32, _REPLACE)
        for name, tokens in families["ASAAS_WEBHOOK_TOKEN"].items()
        if tokens and not in_sandbox.get(name)
    ]
    if not in_sandbox or not all(in_sandbox.values()):
        given += [(name, values[name] or "", least, todo) for name, (least, todo) in _LEAST.items()]
    problems += [
        f"{name} must have at least {least} characters, got {len(text)}; {todo}"
        for name, text, least, todo in given
        if 0 < len(text) < least
    ]


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
