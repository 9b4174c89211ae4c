"""The checks of `bridge doctor` and of the console: verdicts with the fix, from values without a secret."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Mapping as Environ
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from redis.exceptions import RedisError, ResponseError

from bridge import __version__
from bridge.alerts import send
from bridge.alerts.plan import DIVIDE, OVERLAP, SAME_EVENTS, UNHEARD
from bridge.alerts.send import Result
from bridge.asaas import webhooks as asaas_webhooks
from bridge.asaas.client import PRODUCTION_URL, SANDBOX_URL
from bridge.asaas.webhooks import Problem, Webhooks, find_ours, needed_events, problems
from bridge.clint.api import NEW_TOKEN, ClintApi
from bridge.clint.directory import Directory
from bridge.crypto import KEY_FILE, key_to_make, with_kept_key
from bridge.embedded_redis import find_server, version_of
from bridge.errors import BridgeError, ClintApiFailed, ClintFault, JournalError
from bridge.http import check_url
from bridge.journal import Journal, events, jobs, notices, receivers, users
from bridge.journal import accounts as stored
from bridge.journal.migrate import current, head
from bridge.mapping import Mapping, ParseResult, Setup, Severity, read_directory
from bridge.mapping.explain import funnels_of
from bridge.mapping.findings import did_you_mean
from bridge.mapping.findings import shown as quoted
from bridge.mapping.model import ClintDirectory
from bridge.messages import N_, Message, message, read_message
from bridge.model import NoticeLevel
from bridge.operations.accounts import (
    SET_TOKEN,
    mappings_in_use,
    overridden,
    public_hook_url,
    strange_url,
    without_mapping,
)
from bridge.operations.overlaps import groups
from bridge.runtime import Runtime
from bridge.settings import (
    DEFAULT,
    JOURNAL_FILE,
    LEAST_PASSWORD,
    LEAST_TOKEN,
    Account,
    Settings,
    origin_of,
    variable,
)
from bridge.wakeups import refused_certificate


class State(StrEnum):
    FINE = "fine"
    WARNING = "warning"  # it works, but not for long or not as it should
    WRONG = "wrong"  # it does not work


@dataclass(frozen=True, slots=True)
class Check:
    name: Message
    value: Message
    state: State
    mend: Message
    """What to do; empty where nothing is."""
    code: str
    about: str = ""
    """The account, destination or mappings that it is about, where the console has a page to change them."""


def check(
    name: str | Message,
    what: str | Message,
    state: State = State.FINE,
    mend: str | Message = "",
    code: str = "",
    **facts: object,
) -> Check:
    about = next((str(facts[one]) for one in ("account", "destination", "mapping") if one in facts), "")
    return Check(message(name, **facts), message(what, **facts), state, message(mend, **facts), code, about)


def _graded(name: str, value: str, mend: str, code: str, *, warning: bool, wrong: bool, **facts: object) -> Check:
    """Return a check whose fix and code show only where something is to be done."""
    if not warning and not wrong:
        return check(name, value, State.FINE, "", "", **facts)
    return check(name, value, State.WRONG if wrong else State.WARNING, mend, code, **facts)


def check_data(found: Check, write: Callable[[Message], str] = str) -> dict[str, str]:
    """Return a check for `--json`, in English, or with its messages written in another form."""
    texts = {"name": write(found.name), "value": write(found.value), "mend": write(found.mend)}
    return {**texts, "state": found.state.value, "code": found.code, "about": found.about}


_BY_LEVEL = {NoticeLevel.WARNING: State.WARNING, NoticeLevel.ERROR: State.WRONG}
_KEYS = {"$aact_prod_": "production", "$aact_hmlg_": "sandbox"}
_HOSTS = {
    "api.asaas.com": "production",
    "www.asaas.com": "production",
    "api-sandbox.asaas.com": "sandbox",
    "sandbox.asaas.com": "sandbox",
}
_KEY_KINDS = {"production": N_("a production key"), "sandbox": N_("a sandbox key"), "": N_("an older key")}
_COPY_URL = N_("copy the URL from Clint: the origin's integrations, Receber Webhook")
_KEY = "BRIDGE_ENCRYPTION_KEY"
_RESTART = N_("start the bridge again with the environment of this command")


def alerts(results: Sequence[Result], kept: int = 0) -> Iterator[Check]:
    if kept:
        what = N_("receivers in the journal: {number}")
        yield check(N_("alerts"), what, number=kept)
    elif not results:
        mend = N_("nobody gets them: add a receiver (bridge alerts add), or set BRIDGE_ALERT_URLS")
        yield check(N_("alerts"), N_("no receivers"), State.FINE, mend, "alerts.none")
    for number, result in enumerate(results, 1):
        name = N_("alerts {number}")
        if result.sent:
            what = N_("{service}, can be used")
            yield check(name, what, number=number, service=result.service)
        else:
            mend = N_("fix BRIDGE_ALERT_URLS; apprise's documentation has the form of each service's URL")
            problem = message("{service}: {problem}", service=result.service, problem=message(result.problem))
            yield check(name, problem, State.WRONG, mend, number=number)


def key(account: Account, api_url: str, mappings: Iterable[Mapping], *, stored: bool = False) -> Check:
    """Check an account's API key: a mapping may need it, and it must fit the API's address.

    `stored` says that the account is the journal's, so that no variable holds the key.
    """
    setting = "" if stored else variable("ASAAS_API_KEY", account.name)
    name = Message(N_("API key of {account}"), {"account": account.name})
    facts: dict[str, Any] = {"account": account.name} if stored else {"variable": setting}
    make = N_(
        "make a key in Asaas (Integrações, Chaves de API) and give it to the bridge: bridge accounts add {account}"
    )
    if not account.api_key:
        needy = [m.name for m in mappings if m.enabled and m.account == account.name and m.filter_needs | m.field_needs]
        in_variable = N_(
            "make a key in Asaas (Integrações, Chaves de API) and put it into {variable} in single quotes, or nothing "
            "may be left of it"
        )
        mend = make if stored else in_variable
        if needy:
            what = N_("unset, but mappings need data that only the API has: {mappings}")
            return check(name, what, State.WRONG, mend, "key.needed", mappings=", ".join(needy), **facts)
        what = N_("unset: no webhook set-up and no watch on the queue")
        return check(name, what, State.WARNING, mend, "key.unset", **facts)
    kind = next((kind for prefix, kind in _KEYS.items() if account.api_key.startswith(prefix)), "")
    host = urlsplit(api_url).hostname or ""
    at = _HOSTS.get(host, "")
    facts |= {"key": Message(_KEY_KINDS[kind]), "host": host}
    if at and kind and at != kind:
        of_production = N_("{key}, but ASAAS_API_URL is production's")
        what = of_production if at == "production" else N_("{key}, but ASAAS_API_URL is sandbox's")
        mend = N_("take ASAAS_API_URL away: the key says which API it belongs to")
        return check(name, what, State.WRONG, mend, "key.other_api", **facts)
    if not account.api_key.startswith("$aact_"):
        if stored:
            return check(name, N_("cut: it does not begin with $aact_"), State.WRONG, make, "key.cut", **facts)
        what = N_("cut: it does not begin with $aact_, which a shell or compose took for a variable of its own")
        mend = N_("copy the whole key in single quotes: {variable}='$aact_...'")
        return check(name, what, State.WRONG, mend, "key.cut", **facts)
    if not kind and not api_url:
        what = N_("an older key, which does not say whether it is production's or the sandbox's")
        mend = make if stored else N_("set ASAAS_API_URL to {production} or {sandbox}")
        facts |= {"production": PRODUCTION_URL, "sandbox": SANDBOX_URL}
        return check(name, what, State.WRONG, mend, "key.older", **facts)
    return check(name, _beside(setting, N_("{key}, API at {host}") if host else "{key}", **facts), **facts)


def _beside(setting: str, what: str | Message, **facts: object) -> Message:
    """Return what is found, and the variable that holds the value where the journal does not."""
    found = message(what, **facts)
    return message("{what} ({variable})", what=found, variable=setting) if setting else found


def token(
    account: Account, used: tuple[int | None, int | None] = (None, None), now_ms: int = 0, *, stored: bool = False
) -> Check:
    """Check an account's webhook token, or two; `used`: when the last events with the new and the old one came."""
    setting = "" if stored else variable("ASAAS_WEBHOOK_TOKEN", account.name)
    name = Message(N_("webhook token of {account}"), {"account": account.name})
    facts: dict[str, Any] = {"account": account.name} if stored else {}
    if not account.webhook_token:
        mend = N_("run: bridge webhook register, which makes one; put it into the environment")
        unset = _beside(setting, N_("unset: every event of the account is refused"))
        return check(name, unset, State.WRONG, mend, "token.unset", **facts)
    if problem := asaas_webhooks.problem(account.webhook_token):
        mend = N_("unset it and run: bridge webhook register --new-token")
        return check(name, _beside(setting, problem), State.WARNING, mend, "token.weak", **facts)
    if account.old_webhook_token:
        rotation, todo = map(message, asaas_webhooks.rotation(*used, now_ms, account.name))
        if (length := len(account.old_webhook_token)) < LEAST_TOKEN:
            what = N_("{rotation}; the old one can be guessed: it has {length} characters")
            rotation = message(what, rotation=rotation, length=length)
        return check(name, rotation, State.WARNING, todo, **facts)
    return check(name, _beside(setting, N_("set")), **facts)


def console(settings: Settings, *, has_people: bool = False) -> Check:
    if not settings.bridge_password and not settings.bridge_viewer_password:
        if has_people or settings.bridge_oidc_issuer:
            return check(N_("console"), N_("people sign in with accounts of their own"))
        what = N_("no password: it is closed except for the address that `bridge up` prints")
        mend = N_("set BRIDGE_PASSWORD, 12 characters or more, or invite people: bridge users invite")
        return check(N_("console"), what, State.WARNING, mend, "console.password")
    if any(
        0 < len(password) < LEAST_PASSWORD for password in (settings.bridge_password, settings.bridge_viewer_password)
    ):
        what = N_("a password has fewer than 12 characters; an account of production would refuse it")
        mend = N_("take a longer one: it opens the console to the internet")
        return check(N_("console"), what, State.WARNING, mend, "console.short_password")
    if settings.bridge_public_url and not settings.bridge_trusted_proxies:
        what = N_("every client has the address of your proxy, so wrong passwords of a stranger lock everybody out")
        mend = N_("set BRIDGE_TRUSTED_PROXIES to the number of proxies before the bridge, such as 1")
        return check(N_("console"), what, State.WARNING, mend, "console.proxies")
    return check(N_("console"), N_("asks for a password"))


def proxies(environ: Environ[str, str]) -> Iterator[Check]:
    """Warn of a proxy in the environment, which is not used."""
    for name in sorted(name for name in environ if name.upper() in {"HTTPS_PROXY", "ALL_PROXY"}):
        what = N_("{variable} is set, but requests to Asaas and Clint do not use it; alerts do")
        mend = N_("let this machine connect to them directly, on port 443")
        yield check(N_("proxy"), what, State.WARNING, mend, "proxy.ignored", variable=name)


def failpoint(settings: Settings) -> Iterator[Check]:
    if settings.bridge_failpoint:
        what = N_("BRIDGE_FAILPOINT is set: processes kill themselves at {failpoint}")
        mend = N_("unset it and start all processes again")
        yield check(N_("failpoint"), what, State.WRONG, mend, "failpoint", failpoint=settings.bridge_failpoint)


def clint_api(directory: Directory) -> tuple[Check, ClintDirectory | None]:
    """Ask Clint's API for its origins: the check of the token, and the origins where it is taken."""
    try:
        origins = directory.origins()
    except ClintApiFailed as error:
        mend, code = _API_FAULTS.get(error.kind, (error.hint or _AGAIN, "api.away"))
        return check(CLINT_TOKEN, error.what, State.WRONG, mend, code), None
    what = N_("Clint accepts it, and the plan has the API; origins: {number}")
    return check(CLINT_TOKEN, what, number=len(origins)), ClintDirectory(origins)


CLINT_TOKEN = N_("token of Clint's API")
_AGAIN = N_("try again in a moment")
_API_FAULTS = {
    ClintFault.TOKEN: (NEW_TOKEN, "api.token"),
    ClintFault.PLAN: (
        N_("Clint's API needs the Elite plan: ask Clint for it, or send to webhooks instead"),
        "api.plan",
    ),
}


def api_origin(name: str, origin: str, clint: ClintDirectory | None, *, has_token: bool = True) -> Check:
    """Check the origin of an API destination, as far as it is known what Clint has."""
    label = N_("destination {destination}")
    if not has_token:
        what = N_("needs a token of Clint's API, and none is set")
        return check(label, what, State.WRONG, SET_TOKEN, "api.no_token", destination=name)
    return origin_known(label, origin, clint, destination=name)


def origin_known(label: str, origin: str, clint: ClintDirectory | None, **facts: Any) -> Check:
    """Check that a name or id means one origin of Clint; `facts` fill the label."""
    ids = [] if clint is None else clint.named_origins(origin)
    if clint is None or len(ids) == 1:
        return check(label, N_("origin {origin}"), origin=origin, **facts)
    facts |= {"origin": quoted(origin), "count": len(ids), "ids": ", ".join(ids)}
    if ids:
        mend = N_("give the id instead of the name: {ids}")
        return check(label, N_("Clint has {count} origins called {origin}"), State.WRONG, mend, "api.origin", **facts)
    names = sorted(name for name, _ in clint.origins.values())
    facts |= {"hint": did_you_mean(origin, names), "origins": ", ".join(names) or Message(N_("none"))}
    mend = N_("choose one of these origins: {origins}")
    return check(label, N_("Clint has no origin {origin}{hint}"), State.WRONG, mend, "api.origin", **facts)


def destinations(
    settings: Settings,
    mappings: Iterable[Mapping],
    clint: ClintDirectory | None = None,
    stored: Collection[str] = (),
    *,
    has_token: bool = False,
) -> Iterator[Check]:
    """Check each destination's URL or origin, and that every destination of a mapping has one.

    `clint` has the origins of Clint; None where they are not known. `stored` names the destinations of the journal,
    whose URL no variable holds.
    """
    words = N_("destination {destination}")
    for name, url in sorted(settings.destinations.items()):
        if (origin := origin_of(url)) is not None:
            yield api_origin(name, origin, clint, has_token=has_token)
            continue
        setting = "" if name in stored else variable("CLINT_WEBHOOK_URL", name)
        label = Message(words, {"destination": name})
        facts: dict[str, Any] = {"destination": name} if name in stored else {}
        if problem := check_url(url, settings.bridge_allow_private_destinations):
            yield check(label, _beside(setting, problem), State.WRONG, _COPY_URL, "url", **facts)
        elif strange := strange_url(settings, url):
            yield check(label, _beside(setting, strange[0]), State.WARNING, _COPY_URL, "url", **facts)
        else:
            yield check(label, _beside(setting, N_("its URL is set")), **facts)
    named = {destination for mapping in mappings if mapping.enabled for destination in mapping.destinations}
    for name in sorted((named or {DEFAULT}) - settings.destinations.keys()):
        mend = N_(
            "copy its URL from Clint (the origin's integrations, Receber Webhook) into {variable}, or run: bridge "
            "destinations add {destination}"
        )
        facts = {"destination": name, "variable": variable("CLINT_WEBHOOK_URL", name)}
        yield check(words, N_("not connected"), State.WRONG, mend, "destination.unset", **facts)


def mapping_files(read: Sequence[ParseResult], mappings: Sequence[Mapping]) -> Check:
    name, lint = N_("mappings"), N_("run: bridge mappings lint")
    if any(finding.code == "directory.missing" for one in read for finding in one.findings):
        return check(name, N_("there is no directory"), State.WRONG, N_("run: bridge mappings init"), "no_directory")
    errors = sum(finding.severity is Severity.ERROR for one in read for finding in one.findings)
    if errors:
        return check(name, N_("errors in the files: {errors}"), State.WRONG, lint, "files", errors=errors)
    enabled = [mapping.name for mapping in mappings if mapping.enabled]
    if not enabled:
        what, mend = N_("none is enabled, so nothing is sent"), N_("see: bridge mappings show")
        return check(name, what, State.WRONG, mend, "none_enabled")
    return replace(check(name, ", ".join(enabled), code="mapping.on"), about=" ".join(enabled))


def overlapping(mappings: Iterable[Mapping], setup: Setup) -> Iterator[Check]:
    """Warn of mappings that send the same events to the same place."""
    for mapping, others in groups(mappings, setup):
        names = [one.other.name for one in others]
        facts = {"mapping": mapping.name, "others": ", ".join(names)}
        found = check(N_("mapping {mapping}"), SAME_EVENTS, State.WARNING, DIVIDE, OVERLAP, **facts)
        yield replace(found, about=" ".join((mapping.name, *names)))


def clock(answered_at: str, now_s: float) -> Check:
    """Check this machine's clock by the Date of an answer."""
    name = N_("clock")
    try:
        off_s = now_s - parsedate_to_datetime(answered_at).timestamp()
    except ValueError:
        return check(name, N_("unknown: Asaas's answer has no date"))
    what = N_("{off:.0f} s ahead of Asaas") if off_s > 0 else N_("{off:.0f} s behind Asaas")
    mend = N_("let NTP set this machine's clock: retries and leases go by it")
    off = abs(off_s)
    return _graded(name, what, mend, "clock", warning=off > 30, wrong=off > 300, off=off)


def quota(account: str, used: int, limit: int) -> Check:
    """Check the share of an account's requests that is used, as far as the bridge counts them."""
    mend = N_("events wait until the 12 hours are over; Asaas raises the quota on request")
    what = N_("{share:.0%} of the requests that Asaas takes in 12 hours")
    share = used / limit
    facts = {"account": account, "share": share}
    return _graded(N_("quota {account}"), what, mend, "quota", warning=share >= 0.8, wrong=share >= 0.98, **facts)


def webhook(account: str, urls: Sequence[str], problems: Sequence[Problem]) -> list[Check]:
    name = N_("webhook {account}")
    if not problems:
        return [check(name, ", ".join(urls), account=account)]
    return [check(name, one.what, _BY_LEVEL[one.level], one.mend, one.code, account=account) for one in problems]


def door_check(address: str, status: int | None) -> Check:
    """Check the door by its answer, from outside, to the right token without an event: 400 is right."""
    if status == 400:
        return check(N_("door {address}"), N_("the bridge answers there and knows the token"), address=address)
    what, mend, code = {
        None: (N_("nobody answers there"), _TUNNEL, "door.away"),
        401: (N_("the bridge that answers there has another token"), _RESTART, "door.token"),
        404: (
            N_("the server there does not know the account, got 404"),
            N_("start the bridge again with the environment of this command, or fix the address"),
            "door.account",
        ),
    }.get(status, (N_("the server there is not the bridge, got {status}"), _TUNNEL, "door.away"))
    return check(N_("door {address}"), what, State.WRONG, mend, code, address=address, status=status)


_TUNNEL = N_(
    "is the tunnel or the proxy up, and does it lead to this bridge's port? see: bridge webhook register --url"
)


def redis(version: str) -> Check:
    if re.match(r"Redis [1-6]\.", version) is None:
        return check("redis", version)
    mend = N_("install a newer redis-server or valkey-server when you can: this one lacks later security fixes")
    return check("redis", version, mend=mend, code="redis.old")


def redis_away(error: BaseException) -> Check:
    if refused := refused_certificate(error):
        what = N_("its certificate is refused: {error}")
        mend = N_("where nobody can intercept it, as with Heroku's own Redis, add ?ssl_cert_reqs=none to REDIS_URL")
        return check("redis", what, State.WRONG, mend, "redis.certificate", error=refused)
    if isinstance(error, ResponseError):
        what = N_("takes no writes, got {error}")
        mend = N_("give it memory, or name the primary in REDIS_URL; events are kept meanwhile, and delivered then")
        return check("redis", what, State.WRONG, mend, "redis", error=str(error))
    mend = N_("start it, or fix REDIS_URL; events are kept meanwhile and delivered once it is back")
    return check("redis", N_("it does not answer"), State.WRONG, mend, "redis")


def disk(where: str, free: int) -> Check:
    warning, wrong = free < 1024**3, free < 100 * 1024**2
    mend = N_("make room: a journal that can't be written keeps no event")
    is_much = free >= 1000**3
    what = N_("{free} GB free at {directory}") if is_much else N_("{free} MB free at {directory}")
    facts = {"free": free // (1000**3 if is_much else 1000**2), "directory": where}
    return _graded(N_("disk"), what, mend, "disk", warning=warning, wrong=wrong, **facts)


def encryption(open_journal: Callable[[], Journal], runtime: Runtime) -> Iterator[Check]:
    """Check the encryption of the journal, its accounts, and what the environment overrides of them."""
    name = N_("encryption")
    if not runtime.settings.bridge_encryption_key and (made := key_to_make(os.environ, JOURNAL_FILE)):
        yield check(name, N_("not yet: the first `bridge up` makes a key in {file}"), file=str(made))
        return
    if not runtime.settings.bridge_encryption_key:
        mend = N_("to switch it on, make BRIDGE_ENCRYPTION_KEY with `bridge db new-key`")
        what = N_("off: personal data is in the journal as it came")
        yield check(name, what, State.FINE, mend, "encryption.off")
        return
    try:
        with open_journal().database.read() as connection:
            accounts, urls = stored.accounts(connection), stored.destinations(connection)
            token = stored.clint_token(connection)
            hidden = overridden(connection, runtime.settings)
    except JournalError:
        return  # the check of the journal shows it
    file = runtime.settings.bridge_data_dir / KEY_FILE
    if with_kept_key({"BRIDGE_DATA_DIR": str(file.parent)}).get(_KEY) == runtime.settings.bridge_encryption_key:
        yield check(name, N_("on, with the key of {file}: keep a copy of it, apart from the journal's"), file=str(file))
    else:
        yield check(name, N_("on"))
    what = N_("accounts: {accounts}; destinations: {destinations}; token of Clint's API: {token}")
    facts: dict[str, Any] = {"accounts": ", ".join(accounts) or "–", "destinations": ", ".join(urls) or "–"}
    yield check(N_("in the journal"), what, **facts, token=Message(N_("yes")) if token else "–")
    for setting in hidden:
        what = N_("the environment wins over the journal's value of that name")
        mend = N_("remove the variable, or remove the value from the journal")
        yield check(N_("hidden by {variable}"), what, State.WARNING, mend, variable=setting)


def _has_people(open_journal: Callable[[], Journal]) -> bool:
    try:
        with open_journal().database.read() as connection:
            return users.exist(connection)
    except JournalError:
        return False  # the check of the journal shows it


def _receivers(open_journal: Callable[[], Journal]) -> int:
    try:
        with open_journal().database.read() as connection:
            return sum(not one.is_environment for one in receivers.load(connection))
    except JournalError:
        return 0  # the check of the journal shows it


DOOR_TIMEOUT_S = 10.0
"""As long as Asaas waits (docs erro-read-timed-out)."""


def run_checks(runtime: Runtime, open_journal: Callable[[], Journal]) -> Iterator[Check]:
    """Yield each check; `open_journal` raises where the journal can't be used."""
    # The accounts and destinations of the journal count as those of the environment do.
    own = runtime.settings
    settings = replace(own, accounts=dict(runtime.accounts), destinations=dict(runtime.destinations))
    directory = settings.bridge_mappings_dir
    mappings, _ = mappings_in_use(open_journal, directory)
    versions = f"bridge {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    yield check(N_("versions"), f"{versions}, {platform.system()} {platform.machine()}")
    yield from failpoint(settings)
    yield console(settings, has_people=_has_people(open_journal))
    yield from proxies(os.environ)
    yield from _journal(open_journal, runtime.clock_ms)
    yield _redis(runtime)
    checked = send.check(settings.bridge_alert_urls) if settings.bridge_alert_urls else []
    yield from alerts(checked, _receivers(open_journal))
    yield from encryption(open_journal, runtime)
    data = settings.bridge_data_dir
    there = next(path for path in (data.absolute(), *data.absolute().parents) if path.exists())
    yield disk(str(data), shutil.disk_usage(there).free)
    yield mapping_files(read_directory(directory, runtime.setup), mappings)
    for name in without_mapping(settings.accounts, mappings):
        what = N_("no mapping that is on listens to it: none of its events go to Clint")
        mend = N_("copy a mapping with the line `account: {account}`, or switch one on; see: bridge mappings list")
        yield check(N_("account {account}"), what, State.WARNING, mend, UNHEARD, account=name)
    yield from overlapping(mappings, runtime.setup)
    api, clint = runtime.clint_api, None
    if api:
        of_token, clint = clint_api(Directory(api))
        yield of_token
    of_journal = settings.destinations.keys() - own.destinations.keys()
    yield from destinations(settings, mappings, clint, of_journal, has_token=api is not None)
    if clint is not None and api:
        yield from _lacking(runtime, api, mappings, clint)
    if not settings.accounts:
        mend = N_("connect one: bridge accounts add NAME, or set ASAAS_API_KEY and ASAAS_WEBHOOK_TOKEN")
        yield check("asaas", N_("no account: every event is refused"), State.WRONG, mend, "account.none")
    for account in settings.accounts.values():
        stored_here = account.name not in own.accounts
        yield token(account, tokens_used(open_journal, account), runtime.clock_ms(), stored=stored_here)
        of_key = key(account, settings.asaas_api_url, mappings, stored=stored_here)
        yield of_key
        if account.api_key and of_key.state is State.FINE:
            yield from _asaas(runtime, account, mappings)


def _lacking(runtime: Runtime, api: ClintApi, mappings: Sequence[Mapping], clint: ClintDirectory) -> Iterator[Check]:
    """Name the stages and fields that mappings write to API destinations and that Clint does not have."""
    setup = runtime.setup
    writing = [one for one in mappings if one.enabled and one.destinations & setup.api.keys()]
    if not writing:
        return
    label = N_("what mappings need in Clint")
    try:
        fields = api.fields()
    except ClintApiFailed as error:
        yield check(label, error.what, State.WRONG, error.hint or _AGAIN, "api.away")
        return
    known = replace(setup, clint=replace(clint, fields=fields))
    rows = funnels_of(writing, setup.root, known)
    stages = [
        one["stage"] for row in rows for origin in row["origins"] for one in origin["stages"] if one["there"] is False
    ]
    # Where Clint told no field at all, none is known to be missing.
    told = any(fields.values())
    keys = [one["key"] for row in rows for one in row["fields"] if told and one["there"] is False]
    if lacking := list(dict.fromkeys([*stages, *keys])):
        what = N_("stages and fields that mappings write and Clint does not have: {names}")
        mend = N_("see what to make: bridge clint check, or Check Clint on Connections")
        yield check(label, what, State.WRONG, mend, "api.lacking", names=", ".join(lacking[:MOST_NAMED]))
    else:
        yield check(label, N_("the stages and fields are there"))


MOST_NAMED = 10
"""At most this many missing stages and fields are named."""


def _journal(open_journal: Callable[[], Journal], clock_ms: Callable[[], int]) -> Iterator[Check]:
    try:
        journal = open_journal()
        journal.try_append()
        with journal.database.read() as connection:
            schema = current(connection)
            open_notices = notices.open_notices(connection)
            late = jobs.late_tasks(connection, clock_ms())
    except BridgeError as error:
        mend = error.hint or N_("is the database of DATABASE_URL up?")
        yield check(N_("journal"), error.what, State.WRONG, mend, "journal")
        return
    place = journal.database.place
    if schema == head():
        yield check(N_("journal"), place)
    else:
        what = N_("{place}, of a newer version: schema {schema}")
        mend = N_("install the newer version again when you can; until then, run neither forget nor db rekey")
        yield check(N_("journal"), what, State.WARNING, mend, "journal.newer", place=place, schema=schema)
    if late:
        mend = N_("is a worker running? its log says why (task.failed)")
        yield check(N_("tasks"), N_("late: {tasks}"), State.WARNING, mend, "task.failing", tasks=", ".join(late))
    for one in open_notices:
        if one.code in {UNHEARD, OVERLAP}:  # a check of its own says it
            continue
        facts = {"number": one.id, "about": one.about, "detail": read_message(one.detail)}
        state = _BY_LEVEL[NoticeLevel(one.level)]
        yield check(N_("notice {number}"), "{about}: {detail}", state, read_message(one.mend), one.code, **facts)


def tokens_used(open_journal: Callable[[], Journal], account: Account) -> tuple[int | None, int | None]:
    """Return when the last events with the new and with the old token came; nothing where there is no journal."""
    try:
        with open_journal().database.read() as connection:
            return events.tokens_used(connection, account.name)
    except BridgeError:
        return None, None  # the check of the journal shows it


def _redis(runtime: Runtime) -> Check:
    if not runtime.settings.redis_url:
        program = find_server()
        own = N_("none is named: `bridge up` starts its own, {version} ({program}); the other commands need REDIS_URL")
        none = N_("none is named, and `bridge up` finds none to start; the other commands need REDIS_URL")
        return check("redis", own if program else none, version=version_of(program) if program else "", program=program)
    try:
        runtime.wakeups.check()
        with contextlib.suppress(ResponseError):  # a server may forbid INFO
            info = cast("dict[str, str]", runtime.redis.info("server"))
            valkey = info.get("valkey_version")
            return redis(f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}")
    except RedisError as error:
        return redis_away(error)
    return check("redis", N_("takes writes"))


def _asaas(runtime: Runtime, account: Account, mappings: Sequence[Mapping]) -> Iterator[Check]:
    try:
        client, started_s = runtime.asaas[account.name], time.monotonic()
        client.get("/customers", {"limit": 1})  # enrichment needs it most
        elapsed_ms = (time.monotonic() - started_s) * 1000
        yield check("asaas {account}", N_("answers in {elapsed:.0f} ms"), account=account.name, elapsed=elapsed_ms)
        url = public_hook_url(runtime.settings, account.name, None)
        every = Webhooks(client).all()
    except BridgeError as error:
        hint = error.hint or N_("try again in a moment")
        yield check("asaas {account}", error.what, State.WRONG, hint, error.code, account=account.name)
        return
    if account.name == next(iter(runtime.asaas)):
        yield clock(client.answered_at, time.time())
    limiter = runtime.limiters[account.name]
    yield quota(account.name, limiter.used(), limiter.limits.quota)
    found = find_ours(every, account.name, url)
    wrong = problems(found, needed_events(mappings, account.name), account.name)
    yield from webhook(account.name, [webhook.url for webhook in found], wrong)
    if account.webhook_token:
        for address in sorted({webhook.url for webhook in found} or ({url} if url else set())):
            yield door_check(address, post_to_door(runtime, address, account.webhook_token))


def post_to_door(runtime: Runtime, address: str, token: str) -> int | None:
    """Return the status of the door's answer to the token with a body that is no event; None without an answer."""
    try:
        return runtime.http.request(
            "POST", address, json={}, headers={"asaas-access-token": token}, deadline_s=DOOR_TIMEOUT_S
        ).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
