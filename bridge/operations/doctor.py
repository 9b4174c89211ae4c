"""What `bridge doctor` and the console make of what is seen: pure, from values to verdicts with what mends them.

No secret gets in.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as Environ
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx
from redis.exceptions import RedisError, ResponseError

from bridge import __version__
from bridge.alerts import send
from bridge.alerts.send import Result
from bridge.asaas import webhooks as asaas_webhooks
from bridge.asaas.client import PRODUCTION_URL, SANDBOX_URL, AsaasClient
from bridge.asaas.webhooks import Problem, Webhooks, find_ours, needed_events, problems
from bridge.embedded_redis import find_server, version_of
from bridge.errors import BridgeError, JournalError
from bridge.http import check_url
from bridge.journal import Journal, events, jobs, notices
from bridge.journal import accounts as kept
from bridge.journal.migrate import current, head
from bridge.mapping import Mapping, ParseResult, Setup, Severity, read_directory
from bridge.model import NoticeLevel
from bridge.operations.accounts import mappings_in_use, overridden, public_hook_url
from bridge.runtime import Runtime
from bridge.settings import DEFAULT, LEAST_TOKEN, Account, Settings, variable
from bridge.wakeups import refused_certificate


class State(StrEnum):
    """A verdict."""

    FINE = "fine"
    WARNING = "warning"  # it works, but not for long or not as it should
    WRONG = "wrong"  # it does not work until it is mended


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    value: str
    state: State = State.FINE
    mend: str = ""
    code: str = ""
    """By which a mend is said in another language."""


_BY_LEVEL = {NoticeLevel.WARNING: State.WARNING, NoticeLevel.ERROR: State.WRONG}
_KEY_KINDS = {"$aact_prod_": "production", "$aact_hmlg_": "sandbox"}
_HOSTS = {
    "api.asaas.com": "production",
    "www.asaas.com": "production",
    "api-sandbox.asaas.com": "sandbox",
    "sandbox.asaas.com": "sandbox",
}
_CLINT = re.compile(r"https://functions-api\.clint\.digital/endpoints/integration/[a-z]+/[0-9a-fA-F-]{36}/?")
_CLOCK_WARNING_S, _CLOCK_WRONG_S = 30, 300
_DISK_WARNING, _DISK_WRONG = 1024**3, 100 * 1024**2
_QUOTA_WARNING, _QUOTA_WRONG = 0.8, 0.98


def by_level(level: str) -> State:
    """Return the verdict that a notice's level stands for."""
    return _BY_LEVEL[NoticeLevel(level)]


def alerts(results: Sequence[Result]) -> Iterator[Check]:
    """Judge the URLs to which people are told what needs them."""
    if not results:
        yield Check("alerts", "BRIDGE_ALERT_URLS is unset: nobody is told; `bridge notices list` has what is wrong")
    for number, result in enumerate(results, 1):
        name = f"alerts {number}"
        if result.sent:
            yield Check(name, f"{result.service}, can be used; `bridge alerts test` sends a message")
        else:
            mend = "mend BRIDGE_ALERT_URLS; apprise's documentation has the form of each service's URL"
            yield Check(name, f"{result.service}: {result.problem}", State.WRONG, mend)


def key(account: Account, api_url: str, mappings: Iterable[Mapping]) -> Check:
    """Judge an account's API key: is it there where a mapping needs it, and does it fit the API's address."""
    name = variable("ASAAS_API_KEY", account.name)
    if not account.api_key:
        needy = [m.name for m in mappings if m.enabled and m.account == account.name and m.filter_needs | m.field_needs]
        mend = (
            "make a key in Asaas (Integrações, Chaves de API) and put it in single quotes, or nothing may be left of it"
        )
        if needy:
            return Check(
                name, f"unset, but {', '.join(needy)} needs what only the API knows", State.WRONG, mend, "key.needed"
            )
        return Check(name, "unset: no webhook set-up and no watch on the queue", State.WARNING, mend, "key.unset")
    kind = next((kind for prefix, kind in _KEY_KINDS.items() if account.api_key.startswith(prefix)), "older")
    host = urlsplit(api_url).hostname or ""
    at = _HOSTS.get(host, "")
    if at and kind != "older" and at != kind:
        mend = "take ASAAS_API_URL away: the key says which API it belongs to"
        return Check(name, f"a {kind} key, but ASAAS_API_URL is {at}'s", State.WRONG, mend, "key.other_api")
    if not account.api_key.startswith("$aact_"):
        told = "cut: it does not begin with $aact_, which a shell or compose took for a variable of its own"
        return Check(name, told, State.WRONG, f"copy the whole key in single quotes: {name}='$aact_...'", "key.cut")
    if kind == "older" and not api_url:
        mend = f"set ASAAS_API_URL to {PRODUCTION_URL} or {SANDBOX_URL}"
        told = "an older key, which does not say whether it is production's or the sandbox's"
        return Check(name, told, State.WRONG, mend, "key.older")
    return Check(name, f"{'an' if kind == 'older' else 'a'} {kind} key" + (f", API at {host}" if host else ""))


def token(account: Account, used: tuple[int | None, int | None] = (None, None), now_ms: int = 0) -> Check:
    """Judge an account's webhook token, or two; `used` is when an event last came with the new one and the old one."""
    name = variable("ASAAS_WEBHOOK_TOKEN", account.name)
    if not account.webhook_token:
        mend = "run: bridge webhook register, which makes one; put it into the environment"
        return Check(name, "unset: every event of the account is refused", State.WRONG, mend, "token.unset")
    problem = asaas_webhooks.problem(account.webhook_token)
    if problem:
        return Check(
            name, problem, State.WARNING, "unset it and run: bridge webhook register --new-token", "token.weak"
        )
    if account.old_webhook_token:
        what, mend = asaas_webhooks.rotation(*used, now_ms, account.name)
        if len(account.old_webhook_token) < LEAST_TOKEN:
            what += f"; the old one can be guessed: it has {len(account.old_webhook_token)} characters"
        return Check(name, what, State.WARNING, mend)
    return Check(name, "set")


def console(settings: Settings) -> Check:
    """Judge who may come into the console."""
    if not settings.bridge_password and not settings.bridge_viewer_password:
        told = "no password: it is closed but for the address that `bridge up` prints"
        return Check("console", told, State.WARNING, "set BRIDGE_PASSWORD, 12 characters or more", "console.password")
    if settings.bridge_public_url and not settings.bridge_trusted_proxies:
        told = "every client has the address of your proxy, so that a stranger's wrong passwords lock everybody out"
        mend = "set BRIDGE_TRUSTED_PROXIES to the number of proxies before the bridge, such as 1"
        return Check("console", told, State.WARNING, mend, "console.proxies")
    return Check("console", "asks for a password")


def proxies(environ: Environ[str, str]) -> Iterator[Check]:
    """Warn of a proxy in the environment, which is not used."""
    for name in sorted(name for name in environ if name.upper() in {"HTTPS_PROXY", "ALL_PROXY"}):
        told = f"{name} is set, but what goes to Asaas and Clint does not use it; alerts do"
        mend = "let this machine connect to them directly, on port 443"
        yield Check("proxy", told, State.WARNING, mend, "proxy.ignored")


def failpoint(settings: Settings) -> Iterator[Check]:
    """Complain of a setting that is for tests only."""
    if settings.bridge_failpoint:
        told = f"BRIDGE_FAILPOINT is set: processes kill themselves at {settings.bridge_failpoint}"
        yield Check("failpoint", told, State.WRONG, "unset it and start all processes again", "failpoint")


def destinations(settings: Settings, mappings: Iterable[Mapping]) -> list[Check]:
    """Judge each destination's URL, and whether those that mappings name are there."""
    checks = []
    copy = "copy the URL from Clint: the origin's integrations, Receber Webhook"
    for name, url in sorted(settings.destinations.items()):
        label = variable("CLINT_WEBHOOK_URL", name)
        problem = check_url(url, settings.bridge_allow_private_destinations)
        if problem:
            checks.append(Check(label, problem, State.WRONG, copy, "url"))
        elif not _CLINT.fullmatch(url) and not settings.bridge_allow_private_destinations:
            checks.append(
                Check(label, "does not look like a URL of a Clint webhook integration", State.WARNING, copy, "url")
            )
        else:
            checks.append(Check(label, "set"))
    named = {destination for mapping in mappings if mapping.enabled for destination in mapping.destinations}
    for name in sorted((named or {"default"}) - settings.destinations.keys()):
        checks.append(Check(variable("CLINT_WEBHOOK_URL", name), "unset", State.WRONG, copy, "url"))
    return checks


def mapping_files(read: Sequence[ParseResult], mappings: Sequence[Mapping]) -> Check:
    """Judge the mapping files and the mappings in use."""
    if any(finding.code == "directory.missing" for one in read for finding in one.findings):
        return Check("mappings", "there is no directory", State.WRONG, "run: bridge mappings init", "no_directory")
    errors = sum(finding.severity is Severity.ERROR for one in read for finding in one.findings)
    enabled = [mapping.name for mapping in mappings if mapping.enabled]
    if errors:
        return Check("mappings", f"files with errors, got {errors}", State.WRONG, "run: bridge mappings lint", "files")
    if not enabled:
        return Check(
            "mappings", "none is enabled, so nothing is sent", State.WRONG, "see: bridge mappings show", "none_enabled"
        )
    return Check("mappings", ", ".join(enabled))


def clock(answered_at: str, now_s: float) -> Check:
    """Judge this machine's clock by the Date of an answer."""
    try:
        off_s = now_s - parsedate_to_datetime(answered_at).timestamp()
    except ValueError:
        return Check("clock", "unknown: Asaas's answer has no date")
    state = (
        State.WRONG if abs(off_s) > _CLOCK_WRONG_S else State.WARNING if abs(off_s) > _CLOCK_WARNING_S else State.FINE
    )
    value = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} Asaas"
    mend = "" if state is State.FINE else "let this machine's clock be set by NTP: retries and leases go by it"
    return Check("clock", value, state, mend, "clock" if mend else "")


def quota(account: str, used: int, limit: int) -> Check:
    """Judge how much of an account's requests is used, as far as the bridge counts them."""
    share = used / limit
    state = State.WRONG if share >= _QUOTA_WRONG else State.WARNING if share >= _QUOTA_WARNING else State.FINE
    mend = "" if state is State.FINE else "events wait until the 12 hours are over; Asaas raises the quota on request"
    return Check(f"quota {account}", f"{used} of {limit} requests in 12 hours", state, mend, "quota" if mend else "")


def webhook(account: str, urls: Sequence[str], problems: Sequence[Problem]) -> list[Check]:
    """Judge an account's webhook at Asaas."""
    name = f"webhook {account}"
    if not problems:
        return [Check(name, ", ".join(urls))]
    return [Check(name, problem.what, _BY_LEVEL[problem.level], problem.mend, problem.code) for problem in problems]


def door_check(name: str, status: int | None) -> Check:
    """Judge what the bridge's own door answered from outside to the right token with no event: 400 is right."""
    if status == 400:
        return Check(name, "the bridge answers there and knows the token")
    mend = "is the tunnel or the proxy up, and does it lead to this bridge's port? see: bridge webhook register --url"
    if status is None:
        return Check(name, "nobody answers there", State.WRONG, mend, "door.away")
    if status == 401:
        mend = "start the bridge again with the environment of this command"
        return Check(name, "the bridge that answers there has another token", State.WRONG, mend, "door.token")
    if status == 404:
        mend = "start the bridge again with the environment of this command, or mend the address"
        return Check(name, "what answers there does not know the account, got 404", State.WRONG, mend, "door.account")
    return Check(name, f"what answers there is not the bridge, got {status}", State.WRONG, mend, "door.away")


def schema_check(place: str, found: str | None, head: str) -> Check:
    """Judge a journal that this version can work on, by its schema."""
    if found == head:
        return Check("journal", place)
    mend = "install the newer version again when you can; until then, run neither forget nor db rekey"
    return Check("journal", f"{place}, of a newer version: schema {found}", State.WARNING, mend, "journal.newer")


def redis(version: str) -> Check:
    """Judge a Redis that answers, by its name and version."""
    is_old = re.match(r"Redis [1-6]\.", version) is not None
    mend = "install a newer redis-server or valkey-server when you can: this one lacks later security fixes"
    return Check("redis", version, mend=mend if is_old else "", code="redis.old" if is_old else "")


def redis_away(error: BaseException) -> Check:
    """Judge a Redis that gave this error."""
    if refused := refused_certificate(error):
        mend = "where nobody can stand between, as with Heroku's own Redis, add ?ssl_cert_reqs=none to REDIS_URL"
        return Check("redis", f"its certificate is refused: {refused}", State.WRONG, mend, "redis.certificate")
    if isinstance(error, ResponseError):
        mend = "give it memory, or name the primary in REDIS_URL; events are kept meanwhile, and delivered then"
        return Check("redis", f"takes no writes, got {error}", State.WRONG, mend, "redis")
    mend = "start it, or mend REDIS_URL; events are kept meanwhile and delivered once it is back"
    return Check("redis", f"does not answer, got {type(error).__name__}", State.WRONG, mend, "redis")


def disk(where: str, free: int) -> Check:
    """Judge the free space where the data lies."""
    state = State.WRONG if free < _DISK_WRONG else State.WARNING if free < _DISK_WARNING else State.FINE
    mend = "" if state is State.FINE else "make room: a journal that can't be written keeps no event"
    return Check("disk", f"{free / 1024**3:.1f} GiB free at {where}", state, mend, "disk" if mend else "")


def tenants(open_journal: Callable[[], Journal], runtime: Runtime) -> Iterator[Check]:
    """Say whether the journal is encrypted, what it keeps, and what the environment hides of that."""
    if not runtime.settings.bridge_encryption_key:
        mend = "to switch it on, make BRIDGE_ENCRYPTION_KEY with `bridge db new-key`"
        yield Check("encryption", "off: personal data stands in the journal as it came", mend=mend)
        return
    try:
        with open_journal().database.read() as connection:
            accounts, urls = kept.accounts(connection), kept.destinations(connection)
            hidden = overridden(connection, runtime.settings)
    except JournalError:
        return  # said with the journal
    yield Check("encryption", "on")
    names = f"accounts: {', '.join(accounts) or 'none'}; destinations: {', '.join(urls) or 'none'}"
    yield Check("in the journal", names)
    for setting in hidden:
        mend = "take the variable away, or remove what is in the journal"
        yield Check(
            f"hidden by {setting}",
            "the environment wins over what the journal keeps under that name",
            State.WARNING,
            mend,
        )


DOOR_TIMEOUT_S = 10.0
"""As long as Asaas itself waits (docs erro-read-timed-out)."""


def run_checks(runtime: Runtime, open_journal: Callable[[], Journal]) -> Iterator[Check]:
    """Give each check as it is made; `open_journal` raises where the journal can't be used."""
    # What is in the journal counts as what is in the environment does.
    settings = replace(runtime.settings, accounts=dict(runtime.accounts), destinations=dict(runtime.destinations))
    directory = settings.bridge_mappings_dir
    mappings, _ = mappings_in_use(open_journal, directory)
    yield Check("versions", f"bridge {__version__}, Python {platform.python_version()}, {_machine()}")
    yield from failpoint(settings)
    yield console(settings)
    yield from proxies(os.environ)
    yield from _journal(open_journal, runtime.clock_ms)
    yield _redis(runtime)
    yield from alerts(send.check(settings.bridge_alert_urls) if settings.bridge_alert_urls else [])
    yield from tenants(open_journal, runtime)
    yield _disk(settings.bridge_data_dir)
    known = Setup(frozenset(settings.accounts), frozenset(settings.destinations), directory)
    yield mapping_files(read_directory(directory, known), mappings)
    yield from destinations(settings, mappings)
    for account in settings.accounts.values() or [Account(DEFAULT)]:
        yield token(account, _tokens_used(open_journal, account), runtime.clock_ms())
        of_key = key(account, settings.asaas_api_url, mappings)
        yield of_key
        if account.api_key and of_key.state is State.FINE:
            yield from _asaas(runtime, account, mappings)


def _machine() -> str:
    return f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.machine()}"


def _journal(open_journal: Callable[[], Journal], clock_ms: Callable[[], int]) -> Iterator[Check]:
    try:
        journal = open_journal()
        schema = current(journal.database)
        journal.try_append()
        with journal.database.read() as connection:
            told = notices.open_notices(connection)
            late = jobs.late_tasks(connection, clock_ms())
    except BridgeError as error:
        mend = str(error.hint or "is the database of DATABASE_URL up?")
        yield Check("journal", str(error.what), State.WRONG, mend, "journal")
        return
    yield schema_check(journal.database.place, schema, head())
    if late:
        todo = "is a worker running? its log says why (task.failed)"
        yield Check("tasks", f"late: {', '.join(late)}", State.WARNING, todo, "task.failing")
    for one in told:
        yield Check(f"notice {one.id}", f"{one.about}: {one.detail}", by_level(one.level), one.mend, one.code)


def _tokens_used(open_journal: Callable[[], Journal], account: Account) -> tuple[int | None, int | None]:
    try:
        with open_journal().database.read() as connection:
            return events.tokens_used(connection, account.name)
    except BridgeError:
        return None, None  # said by the journal's own check


def _redis(runtime: Runtime) -> Check:
    if not runtime.settings.redis_url:
        program = find_server()
        own = f"starts its own, {version_of(program)} ({program})" if program else "finds none to start"
        return Check("redis", f"REDIS_URL is unset: `bridge up` {own}; the other commands need one")
    try:
        runtime.wakeups.check()
        with contextlib.suppress(ResponseError):  # a server may keep INFO to itself
            told = cast("dict[str, str]", runtime.redis.info("server"))
            valkey = told.get("valkey_version")
            return redis(f"Valkey {valkey}" if valkey else f"Redis {told['redis_version']}")
    except RedisError as error:
        return redis_away(error)
    return Check("redis", "takes writes")


def _disk(directory: Path) -> Check:
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    return disk(str(directory), shutil.disk_usage(there).free)


def _asaas(runtime: Runtime, account: Account, mappings: Sequence[Mapping]) -> Iterator[Check]:
    settings = runtime.settings
    try:
        client = runtime.asaas[account.name]
        yield _api(client)
        url = public_hook_url(settings, account.name, None)
        every = Webhooks(client).all()
    except BridgeError as error:
        mend = str(error.hint or "try again in a moment")
        yield Check(f"asaas {account.name}", str(error.what), State.WRONG, mend, error.code)
        return
    if account.name == next(iter(runtime.asaas)):
        yield clock(client.answered_at, time.time())
    governor = runtime.limiters[account.name]
    yield quota(account.name, governor.used(), governor.limits.quota)
    found = find_ours(every, account.name, url)
    said = problems(found, needed_events(mappings, account.name), account.name)
    yield from webhook(account.name, [webhook.url for webhook in found], said)
    if account.webhook_token:
        for address in sorted({webhook.url for webhook in found} or ({url} if url else set())):
            yield door_check(f"door {address}", post_to_door(runtime, address, account.webhook_token))


def _api(client: AsaasClient) -> Check:
    started_s = time.monotonic()
    # What enrichment needs most; of the answer nothing is looked at.
    client.get("/customers", {"limit": 1})
    return Check(f"asaas {client.account}", f"answers in {(time.monotonic() - started_s) * 1000:.0f} ms")


def post_to_door(runtime: Runtime, address: str, token: str) -> int | None:
    """Return what the door at this address answers to the token with a body that is no event; None: nothing."""
    try:
        return runtime.http.request(
            "POST", address, json={}, headers={"asaas-access-token": token}, deadline_s=DOOR_TIMEOUT_S
        ).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
