"""Finds everything that needs a person, by its cause: the menu, the overview and the page count the same list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from redis.exceptions import RedisError
from sqlalchemy import Connection

from bridge.alerts.plan import BEHIND, BRIDGE, BROKEN, HELD, OVERLAP, REFUSED, UNHEARD
from bridge.asaas.webhooks import KEY_REFUSED
from bridge.errors import AsaasKeyMissing, AsaasKeyRefused, MappingRefused, SettingsError
from bridge.journal import causes, destinations, notices, queries, statistics
from bridge.journal.causes import Cause, Facts, Kind
from bridge.journal.destinations import Destination
from bridge.journal.notices import StoredNotice
from bridge.mapping import Finding, Severity
from bridge.model import NoticeLevel
from bridge.operations.accounts import without_mapping
from bridge.operations.overlaps import groups
from bridge.runtime import Runtime
from bridge.wakeups import workers

PAUSED, CIRCUIT = destinations.NOTICES
UNSET, NO_TOKEN = "destination.not_set", "destination.no_token"
SHOWN_AS_CAUSES = frozenset({queries.NOTICE, PAUSED, CIRCUIT, HELD, BROKEN, REFUSED, UNHEARD, OVERLAP})
"""Notices of what has a cause of its own here; they are for alerts and for the command line."""
_DIED_OF_PAUSE = frozenset({"delivery.attempts_spent", "clint.removed", "clint.url", "destination.paused"})
_DIED_OF_CIRCUIT = frozenset({"delivery.attempts_spent"})
_FOR_PERSON = frozenset({AsaasKeyMissing.code, AsaasKeyRefused.code, MappingRefused.code})
"""Holds that do not end by themselves."""


UNCONNECTED = frozenset({"account.unset", "destination.unset"})
"""Findings of mappings that name an account or destination which is not set up: before the first destination is there
all of them have one, and only one thing is missing."""


class Stop(NamedTuple):
    """Why a destination takes no delivery now."""

    destination: str
    code: str
    """UNSET, NO_TOKEN, PAUSED or CIRCUIT."""
    reason: str = ""
    """Of a pause, as the journal has it."""


def stop_of(runtime: Runtime, name: str, kept: Destination | None) -> Stop | None:
    """Return what keeps deliveries to a destination from being sent now; `kept` is its row. None: nothing does."""
    if name not in runtime.destinations:
        return Stop(name, UNSET)
    if runtime.is_api(name) and runtime.clint_api is None:
        return Stop(name, NO_TOKEN)
    if kept is not None and kept.paused_ms is not None:
        return Stop(name, PAUSED, kept.paused_reason or "")
    is_shut = kept is not None and kept.state != "closed" and runtime.clock_ms() < kept.until_ms
    return Stop(name, CIRCUIT) if is_shut else None


def stops_for_account(runtime: Runtime, connection: Connection, account: str) -> tuple[list[Stop], bool]:
    """Return which destinations of an account's active mappings wait for a person, and whether all of them do."""
    active = (item.mapping for item in runtime.mappings.current(connection))
    names = {name for one in active if one.enabled and one.account == account for name in one.destinations}
    kept = destinations.load(connection)
    found = [stop for name in sorted(names) if (stop := stop_of(runtime, name, kept.get(name)))]
    stops = [stop for stop in found if stop.code != CIRCUIT]  # the bridge tries one of those by itself
    return stops, bool(stops) and len(stops) == len(names)


def broken_files(runtime: Runtime) -> dict[str, list[Finding]]:
    """Return the mapping files that can't run, by mapping, with their findings; an older text may be active.

    Before the first destination is connected, files that only wait for one are none of them.
    """
    directory, waits = runtime.settings.bridge_mappings_dir, frozenset() if runtime.destinations else UNCONNECTED
    found = {
        Path(one.path).stem: [found for found in one.findings if found.severity is Severity.ERROR] or list(one.findings)
        for one in runtime.mapping_files.read()
        if one.mapping is None and Path(one.path) != directory
    }
    return {name: errors for name, errors in found.items() if not waits.issuperset(one.code for one in errors)}


def find_causes(
    runtime: Runtime,
    connection: Connection,
    broken: Collection[str] | None = None,
    told: Collection[StoredNotice] | None = None,
    accounts: Collection[str] | None = None,
    names: Collection[str] | None = None,
) -> list[Cause]:
    """Return the open causes: those that do not end by themselves first, then the largest.

    A person may see only some accounts: then their notices, and the destinations of their mappings, are given. Without
    them everything counts.
    """
    files = broken_files(runtime) if broken is None else broken
    told = notices.open_notices(connection) if told is None else told
    left = causes.dead(connection, accounts)
    kept = destinations.load(connection)
    stops = [stop_of(runtime, one, kept.get(one)) for one in causes.waited_for(connection)]
    unset = [stop for stop in stops if stop and stop.code in {UNSET, NO_TOKEN}]
    found = [Cause(Kind.UNSET, one.code, one.destination) for one in unset if names is None or one.destination in names]
    for one in kept.values():
        if any(stop.destination == one.name for stop in unset) or one.name not in runtime.destinations:
            continue  # its pause says nothing any more
        if (one.paused_ms is not None or one.state != "closed") and (names is None or one.name in names):
            cause, left = _of_destination(one, left)
            codes = (cause.code, queries.NOTICE) if cause.dead else (cause.code,)
            found.append(replace(cause, told=_of(told, *codes, one.name)))
    if _lacks_workers(runtime, connection, accounts):
        found.append(Cause(Kind.WORKERS, BEHIND, BRIDGE, told=_of(told, BEHIND, BRIDGE)))
    refused = 0
    for cause in causes.held(connection, accounts):
        level = NoticeLevel.ERROR if cause.code in _FOR_PERSON else cause.level
        codes = (HELD, KEY_REFUSED) if cause.code == AsaasKeyRefused.code else (HELD,)
        if cause.code == MappingRefused.code:
            refused += cause.number
        else:
            found.append(replace(cause, level=level, told=_of(told, *codes, cause.about)))
    if accounts is None and (refused or runtime.mappings.refused() is not None):
        said = tuple(one for one in told if one.code == REFUSED)
        found.append(Cause(Kind.REFUSED, MappingRefused.code, "", number=refused, told=said))
    found += [Cause(Kind.MAPPING, BROKEN, name, told=_of(told, BROKEN, name)) for name in files]
    for name in without_mapping(runtime.accounts, (one.mapping for one in runtime.mappings.current())):
        if accounts is None or name in accounts:
            warning = NoticeLevel.WARNING
            found.append(Cause(Kind.UNHEARD, UNHEARD, name, level=warning, told=_of(told, UNHEARD, name)))
    found += [replace(one, told=_of(told, OVERLAP, one.about)) for one in _overlaps(runtime, accounts)]
    found += [replace(cause, told=_of(told, queries.NOTICE, cause.about)) for cause in left]
    is_said = {(one.code, one.about) for cause in found for one in cause.told}
    for notice in told:
        if notice.code not in SHOWN_AS_CAUSES and (notice.code, notice.about) not in is_said:
            level = NoticeLevel(notice.level)
            found.append(
                Cause(Kind.NOTICE, notice.code, notice.about, level=level, since_ms=notice.raised_ms, told=(notice,))
            )
    return sorted(found, key=lambda one: (one.level is not NoticeLevel.ERROR, list(Kind).index(one.kind), -one.number))


def _lacks_workers(runtime: Runtime, connection: Connection, accounts: Collection[str] | None) -> bool:
    """Return whether work waits and no worker runs; without an answer of Redis nobody knows."""
    if not statistics.has_work(connection, runtime.clock_ms(), accounts):
        return False
    try:
        return not workers(runtime.redis)
    except (RedisError, SettingsError):
        return False


def _overlaps(runtime: Runtime, accounts: Collection[str] | None) -> list[Cause]:
    """Return a cause for each mapping that meets others. Its key has all names: another set is another cause."""
    active = [one.mapping for one in runtime.mappings.current()]
    seen = [one for one in active if accounts is None or one.account in accounts]
    return [
        Cause(
            Kind.OVERLAP,
            OVERLAP,
            one.name,
            answer=" ".join(each.other.name for each in others),
            number=len(others),
            level=NoticeLevel.WARNING,
        )
        for one, others in groups(seen, runtime.setup)
    ]


def unseen_overlaps(runtime: Runtime) -> dict[str, list[str]]:
    """Return the mappings that meet others, with those; without the ones that a person has seen and leaves so."""
    with runtime.journal.database.read() as connection:
        known = causes.noted(connection)
    seen = {key for key, one in known.items() if one.seen_by}
    return {one.about: (one.answer or "").split(" ") for one in _overlaps(runtime, None) if one.key not in seen}


def _of(told: Collection[StoredNotice], *codes_and_about: str) -> tuple[StoredNotice, ...]:
    *codes, about = codes_and_about
    return tuple(one for one in told if one.code in codes and one.about == about)


def _of_destination(one: Destination, dead: list[Cause]) -> tuple[Cause, list[Cause]]:
    """Return the cause of a destination that takes nothing, and the failed deliveries with another cause."""
    is_paused = one.paused_ms is not None
    codes = _DIED_OF_PAUSE if is_paused else _DIED_OF_CIRCUIT
    of_it = tuple(cause for cause in dead if cause.about == one.name and cause.code in codes)
    if is_paused:
        cause = Cause(Kind.PAUSED, PAUSED, one.name, since_ms=one.paused_ms, dead=of_it)
    else:
        cause = Cause(Kind.CIRCUIT, CIRCUIT, one.name, level=NoticeLevel.WARNING, dead=of_it)
    return cause, [cause for cause in dead if cause not in of_it]


def facts_of(
    connection: Connection, standing: Collection[Cause], accounts: Collection[str] | None = None
) -> list[Facts]:
    """Return what each cause concerns, in these accounts or in all."""
    failed = [dead for cause in standing for dead in (cause, *cause.dead) if dead.kind is Kind.DEAD]
    of_dead = causes.facts_of_dead(connection, failed, accounts) if failed else {}

    def facts(cause: Cause) -> Facts:
        if cause.kind is Kind.DEAD:
            return of_dead.get(cause.key, Facts())  # without people and worth
        if cause.kind is Kind.HELD:
            return causes.held_facts(connection, cause.code, cause.about)
        if cause.kind is Kind.REFUSED:
            return causes.held_facts(connection, cause.code, None)
        if cause.kind in {Kind.PAUSED, Kind.CIRCUIT, Kind.UNSET}:
            died = [(one.dead_filter(accounts), facts(one)) for one in cause.dead]
            of_it = causes.destination_facts(connection, cause.about, died, accounts)
            fails = cause.kind is Kind.CIRCUIT
            return causes.with_last_try(connection, of_it, cause.about, accounts) if fails else of_it
        return Facts()

    return [
        causes.with_worth(connection, facts(cause), cause.dead_filter(accounts))
        if cause.kind is Kind.DEAD
        else facts(cause)
        for cause in standing
    ]


def note_causes(runtime: Runtime) -> None:
    """Store which causes are open now, where their rows do not say so."""
    with runtime.journal.database.read() as connection:
        standing = find_causes(runtime, connection)
        if not causes.is_news(standing, causes.noted(connection)):
            return
    with runtime.journal.database.write() as connection:
        causes.note(connection, standing, runtime.clock_ms())
