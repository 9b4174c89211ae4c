"""What `bridge doctor` and the console ask the world: the journal, Redis, Asaas, the bridge's own door, the disk.

Each probe leaves checks and never an error: what can't be reached is a verdict. The door is asked with the account's
own token and a body that is no event, so that nothing is kept.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
from redis.exceptions import RedisError, ResponseError

from bridge import __version__
from bridge.alerting import sending
from bridge.asaas.client import AsaasClient
from bridge.asaas.webhook_rules import needed, ours, problems
from bridge.asaas.webhooks import Webhooks
from bridge.errors import BridgeError
from bridge.journal import Journal, door, notices, rounds
from bridge.journal.migrate import current, head
from bridge.mapping import Known, Mapping, read_directory
from bridge.queueing.embedded import find_server, version_of
from bridge.runtime import Runtime
from bridge.settings import DEFAULT, Account
from bridge.workbench import checks
from bridge.workbench.accounts import mappings_in_use, public_hook_url
from bridge.workbench.checks import Check, State
from bridge.workbench.tenants import tenants

DOOR_TIMEOUT_S = 10.0
"""As long as Asaas itself waits (docs erro-read-timed-out)."""


def examine(runtime: Runtime, open_journal: Callable[[], Journal]) -> Iterator[Check]:
    """Give each check as it is made; `open_journal` raises where the journal can't be used."""
    # What is in the journal counts as what is in the environment does.
    settings = replace(runtime.settings, accounts=dict(runtime.accounts), destinations=dict(runtime.destinations))
    directory = settings.bridge_mappings_dir
    mappings, _ = mappings_in_use(open_journal, directory)
    yield Check("versions", f"bridge {__version__}, Python {platform.python_version()}, {_machine()}")
    yield from checks.failpoint(settings)
    yield checks.console(settings)
    yield from checks.proxies(os.environ)
    yield from _journal(open_journal, runtime.clock_ms)
    yield _redis(runtime)
    yield from checks.alerts(sending.check(settings.bridge_alert_urls) if settings.bridge_alert_urls else [])
    yield from tenants(open_journal, runtime)
    yield _disk(settings.bridge_data_dir)
    known = Known(frozenset(settings.accounts), frozenset(settings.destinations), directory)
    yield checks.mapping_files(read_directory(directory, known), mappings)
    yield from checks.destinations(settings, mappings)
    for account in settings.accounts.values() or [Account(DEFAULT)]:
        yield checks.token(account, _tokens_used(open_journal, account), runtime.clock_ms())
        of_key = checks.key(account, settings.asaas_api_url, mappings)
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
            told = notices.unmended(connection)
            late = rounds.late_tasks(connection, clock_ms())
    except BridgeError as error:
        yield Check("journal", error.what, State.WRONG, error.mend or "is the database of DATABASE_URL up?", "journal")
        return
    yield checks.schema(journal.database.place, schema, head())
    if late:
        todo = "is a worker running? its log says why (task.failed)"
        yield Check("tasks", f"late: {', '.join(late)}", State.WARNING, todo, "task.failing")
    for one in told:
        yield Check(f"notice {one.id}", f"{one.about}: {one.detail}", checks.by_level(one.level), one.mend, one.code)


def _tokens_used(open_journal: Callable[[], Journal], account: Account) -> tuple[int | None, int | None]:
    try:
        with open_journal().database.read() as connection:
            return door.tokens_used(connection, account.name)
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
            return checks.redis(f"Valkey {valkey}" if valkey else f"Redis {told['redis_version']}")
    except RedisError as error:
        return checks.redis_away(error)
    return Check("redis", "takes writes")


def _disk(directory: Path) -> Check:
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    return checks.disk(str(directory), shutil.disk_usage(there).free)


def _asaas(runtime: Runtime, account: Account, mappings: Sequence[Mapping]) -> Iterator[Check]:
    settings = runtime.settings
    try:
        client = runtime.asaas[account.name]
        yield _api(client)
        url = public_hook_url(settings, account.name, None)
        every = Webhooks(client).all()
    except BridgeError as error:
        yield Check(f"asaas {account.name}", error.what, State.WRONG, error.mend or "try again in a moment", error.code)
        return
    if account.name == next(iter(runtime.asaas)):
        yield checks.clock(client.answered_at, time.time())
    governor = runtime.governors[account.name]
    yield checks.quota(account.name, governor.used(), governor.limits.quota)
    found = ours(every, account.name, url)
    said = problems(found, needed(mappings, account.name), account.name)
    yield from checks.webhook(account.name, [webhook.url for webhook in found], said)
    if account.webhook_token:
        for address in sorted({webhook.url for webhook in found} or ({url} if url else set())):
            yield checks.door(f"door {address}", knock(runtime, address, account.webhook_token))


def _api(client: AsaasClient) -> Check:
    started_s = time.monotonic()
    # What enrichment needs most; of the answer nothing is looked at.
    client.get("/customers", {"limit": 1})
    return Check(f"asaas {client.account}", f"answers in {(time.monotonic() - started_s) * 1000:.0f} ms")


def knock(runtime: Runtime, address: str, token: str) -> int | None:
    """Return what the door at this address answers to the token with a body that is no event; None: nothing."""
    try:
        return runtime.http.request(
            "POST", address, json={}, headers={"asaas-access-token": token}, deadline_s=DOOR_TIMEOUT_S
        ).status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
