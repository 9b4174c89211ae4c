"""Checks of a Clint account against destinations and mappings: token, origins, stages, users, fields, deals.

Nothing here changes anything in Clint.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.clint.api import ClintApi, Deal, Found, same_key
from bridge.clint.directory import Directory
from bridge.errors import ClintApiFailed, JournalError, UsageError
from bridge.journal import Journal, deals, notices
from bridge.journal.notices import Notice, Resolved, StoredNotice
from bridge.logs import logger
from bridge.mapping import Mapping, Setup
from bridge.mapping.explain import funnels_of
from bridge.mapping.findings import did_you_mean
from bridge.mapping.findings import shown as quoted
from bridge.mapping.model import ClintDirectory, Funnel
from bridge.mapping.values import as_decimal as as_number
from bridge.mapping.values import folded, or_none
from bridge.messages import N_, Message, read_message
from bridge.operations.accounts import SET_TOKEN, check_token, mappings_in_use
from bridge.operations.doctor import CLINT_TOKEN, Check, State, api_origin, check, clint_api, origin_known
from bridge.operations.webhooks import apply_notices
from bridge.pipeline.deals import DOUBLED, doubled_notice, oldest
from bridge.runtime import Runtime
from bridge.settings import origin_of

log = logger(__name__)

NEW_DAYS = 30
"""Doubled deals are looked for among those that were created in these days."""
MOST_DOUBLED = 20
"""At most this many doubled keys are listed for an origin."""
TAB = {"contact": N_("contact"), "organization": N_("organization"), "deal": N_("deal")}
_NUMBERS = frozenset({"NUMBER", "INTEGER", "DECIMAL", "CURRENCY", "MONEY"})
_DATES = frozenset({"DATE", "DATETIME", "DATE_TIME"})
_OF_ASAAS = re.compile(r"[a-z]{2,5}_[A-Za-z0-9_-]{1,60}|[0-9a-f-]{36}")
LOOK_AGAIN = N_("try again in a moment")

NO_TOKEN = N_(
    "not set: deals can't be written by Clint's API, and what Clint has (origins, stages, users, fields, deals) "
    "can't be read"
)


@dataclass(frozen=True, slots=True)
class _Use:
    """A mapping that writes deals of a destination, with what it needs there."""

    mapping: Mapping
    needs: dict[str, Any]
    """See `funnels_of`."""

    @property
    def destination(self) -> str:
        return str(self.needs["destination"])


def run_checks(runtime: Runtime, open_journal: Callable[[], Journal], only: str = "") -> Iterator[Check]:
    """Yield each check; with `only`, those that concern one destination.

    `open_journal` raises where the journal can't be used; the mappings are then those of the files.
    """
    api_now = runtime.clint_api
    if api_now is None:
        yield check(CLINT_TOKEN, NO_TOKEN, State.WRONG, SET_TOKEN, "api.no_token")
        return
    of_token, clint = clint_api(Directory(api_now))
    yield of_token
    if clint is None:
        return
    api = {name: origin for name, url in runtime.destinations.items() if (origin := origin_of(url)) is not None}
    wanted = {name: origin for name, origin in api.items() if only in {"", name}}
    for name, origin in sorted(wanted.items()):
        yield api_origin(name, origin, clint)
    clint, unread = _with_users_and_fields(api_now, clint)
    yield from unread
    root = runtime.settings.bridge_mappings_dir
    setup = replace(runtime.setup, api=api, clint=clint)
    uses = list(_uses(mappings_in_use(open_journal, root)[0], setup, set(wanted)))
    yield from _origins(clint, wanted, uses, is_whole=not only)
    for use in uses:
        yield from _names(use, clint)
    yield from _fields(uses, clint)
    if not wanted:
        what = N_("none leads to an origin of Clint; nothing is written by Clint's API")
        mend = N_(
            "to write deals by it: bridge destinations add NAME --origin ORIGIN, or New destination on Connections"
        )
        yield check(N_("API destinations"), what, mend=mend)
    for origin_id, key_field in sorted(_places(clint, wanted, uses)):
        place = (origin_id, clint.origins[origin_id][0], key_field)
        yield from _doubled(api_now, open_journal, place, runtime.clock_ms())


def try_token(runtime: Runtime, token: str) -> int:
    """Ask Clint for its origins by a token that is not stored yet; return their number.

    Raises KeyNeeded, UsageError, ClintApiFailed.
    """
    check_token(runtime.journal, runtime.settings, token)
    return len(Directory(runtime.clint_api_of(token)).origins())


def _with_users_and_fields(api: ClintApi, clint: ClintDirectory) -> tuple[ClintDirectory, list[Check]]:
    """Add users and fields to what is known of Clint, and return a check for each list that can't be read."""
    unread = []
    try:
        clint = replace(clint, users={one.email: one.id for one in api.users()})
    except ClintApiFailed as error:
        unread.append(failed(N_("users of Clint"), error))
    try:
        clint = replace(clint, fields=api.fields())
    except ClintApiFailed as error:
        unread.append(failed(N_("fields of Clint"), error))
    return clint, unread


def failed(name: str, error: ClintApiFailed, **facts: Any) -> Check:
    """Return the check of something for which Clint's API could not be asked."""
    return check(name, error.what, State.WRONG, error.hint or LOOK_AGAIN, "api.away", **facts)


def _uses(mappings: Sequence[Mapping], setup: Setup, wanted: set[str]) -> Iterator[_Use]:
    for mapping in mappings:
        for needs in funnels_of([mapping] if mapping.enabled else [], setup.root, setup):
            if needs["destination"] in wanted:
                yield _Use(mapping, needs)


def _origins(clint: ClintDirectory, wanted: dict[str, str], uses: list[_Use], *, is_whole: bool) -> Iterator[Check]:
    """Return each origin with its stages, and the destinations and mappings that use it."""
    for id_, (name, stages) in sorted(clint.origins.items(), key=lambda one: folded(one[1][0])):
        leading = [one for one, origin in sorted(wanted.items()) if clint.named_origins(origin) == [id_]]
        users = sorted({use.mapping.name for use in uses if id_ in _origin_ids(use, clint)})
        if not is_whole and not leading and not users:
            continue
        facts: dict[str, Any] = {
            "origin": name,
            "stages": ", ".join(label for _, label in stages) or "–",
            "destinations": ", ".join(leading) or "–",
            "mappings": ", ".join(users) or "–",
            "id": id_,
        }
        what = N_("stages: {stages}; destinations: {destinations}; mappings: {mappings}")
        yield check(N_("origin {origin}"), what, **facts)


def _origin_ids(use: _Use, clint: ClintDirectory) -> set[str]:
    found = (clint.named_origins(one["origin"]) for one in use.needs["origins"])
    return {ids[0] for ids in found if len(ids) == 1}


def _names(use: _Use, clint: ClintDirectory) -> Iterator[Check]:
    """Check the origin, stages, statuses and users that a mapping names."""
    mapping = use.mapping
    label, wrong = N_("mapping {mapping}"), 0
    facts: dict[str, Any] = {"mapping": mapping.name}
    more: dict[str, Any]
    if mapping.funnel.origin and len(clint.named_origins(mapping.funnel.origin)) != 1:
        wrong += 1
        yield origin_known(label, mapping.funnel.origin, clint, **facts)
    for origin in use.needs["origins"]:
        labels = [name for id_ in clint.named_origins(origin["origin"])[:1] for _, name in clint.origins[id_][1]]
        for stage in origin["stages"]:
            if stage["there"] is False:
                wrong += 1
                what = N_("no stage {stage} in origin {origin}{hint}")
                mend = N_("make the stage in Clint, or write one of these into the mapping: {stages}")
                more = {"stage": quoted(stage["stage"]), "origin": quoted(origin["origin"])}
                more |= {"hint": did_you_mean(stage["stage"], labels), "stages": ", ".join(labels)}
                yield check(label, what, State.WRONG, mend, "api.stage", **facts, **more)
        for status in origin["statuses"]:
            if status not in _STATUSES:
                wrong += 1
                what, mend = N_("no status {status}{hint}"), N_("write open, won or lost into the mapping")
                more = {"status": quoted(status), "hint": did_you_mean(status, _STATUSES)}
                yield check(label, what, State.WRONG, mend, "api.status", **facts, **more)
    emails = mapping.funnel.user.outputs if mapping.funnel.user else ()
    known = {folded(one) for one in clint.users}
    if clint.users and any(folded(one) not in known for one in emails):
        wrong += 1
        # Without the e-mail, which is personal: the line says which one.
        line = mapping.funnel.user.line if mapping.funnel.user else 0
        what = N_("line {line} names a user by an e-mail that no user of Clint has")
        mend = N_("write the e-mail of a user of Clint there, or invite the person in Clint")
        yield check(label, what, State.WRONG, mend, "api.user", **facts, line=line)
    if not wrong and all(one["there"] for one in use.needs["origins"]):
        what = N_("the origin, stages, statuses and users that it names are there")
        yield check(label, what, **facts)


_STATUSES = ("open", "won", "lost")


def _fields(uses: list[_Use], clint: ClintDirectory) -> Iterator[Check]:
    """Check that Clint has the fields that mappings write, each of a type that takes what they write."""
    if not any(clint.fields.values()):
        if uses:
            what = N_("Clint listed none, so it is not known whether those that the mappings write are there")
            mend = N_("look at the fields in Clint and compare: bridge mappings checklist")
            yield check(N_("fields"), what, State.WARNING, mend, "api.fields")
        return
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    users: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for use in uses:
        for row in use.needs["fields"]:
            if row["place"] == "fields":
                place = (row["tab"], row["key"])
                rows.setdefault(place, row)
                users[place].add(use.mapping.name)
    fine = 0
    for (tab, key), row in sorted(rows.items()):
        facts: dict[str, Any] = {
            "field": key,
            "tab": Message(TAB[tab]),
            "kind": Message(row["kind"]),
            "mappings": ", ".join(sorted(users[tab, key])),
        }
        found = _field(key, row, clint.fields.get(tab, {}), [other for group, other in rows if group == tab], facts)
        if found is None:
            fine += 1
        else:
            yield found
    if uses:
        yield check(N_("fields"), N_("there and of a type that fits: {fine} of {number}"), fine=fine, number=len(rows))


def _field(
    key: str, row: dict[str, Any], known: dict[str, str] | Any, others: list[str], facts: dict[str, Any]
) -> Check | None:
    """Check one field; None where nothing is to be said of it."""
    label = N_("field {field} ({tab})")
    there = key if key in known else next((one for one in known if same_key(one, key)), None)
    if there is None:
        what = N_("Clint does not have it; written by: {mappings}")
        mend = N_("make the field {field} in Clint: group {tab}, type {kind}")
        return check(label, what, State.WRONG, mend, "api.field", **facts)
    same = [other for other in others if other != key and same_key(other, key) and other not in known]
    if there != key and same:
        what = N_("Clint cuts keys to {length} characters, and {others} is the same field then: {there}")
        mend = N_("give one of them another key, which differs in its first {length} characters")
        more = {"length": len(there), "others": ", ".join(same), "there": there}
        return check(label, what, State.WRONG, mend, "api.field_cut", **facts, **more)
    kind = known[there].upper()
    takes = "number" if kind in _NUMBERS else "date" if kind in _DATES else None
    fits = takes in {None, row["kind"]} or (takes == "number" and or_none(as_number, row["example"]) is not None)
    if not fits:
        what = N_("its type in Clint is {type}, and the kind that is written is {kind}; written by: {mappings}")
        mend = N_("change the field in Clint to the type {kind}, or the mapping to write: {takes}")
        more = {"type": kind, "takes": Message(_KINDS[takes or ""])}
        return check(label, what, State.WRONG, mend, "api.field_type", **facts, **more)
    if there != key:
        return check(label, N_("Clint cut its key to {there}; the bridge writes there"), **facts, there=there)
    return None


_KINDS = {"number": N_("number"), "date": N_("date")}


# ---------------------------------------------------------------- doubled deals


def _places(clint: ClintDirectory, wanted: dict[str, str], uses: list[_Use]) -> dict[tuple[str, str], str]:
    """Return each id of an origin and key field of the deals of these destinations, with the first destination."""
    found = [(use.destination, id_, use.mapping.funnel.key_field) for use in uses for id_ in _origin_ids(use, clint)]
    used = {use.destination for use in uses}
    for name, origin in wanted.items():
        if name not in used and len(ids := clint.named_origins(origin)) == 1:
            found.append((name, ids[0], Funnel().key_field))
    places: dict[tuple[str, str], str] = {}
    for name, id_, key_field in sorted(found):
        places.setdefault((id_, key_field), name)
    return places


def _look(api: ClintApi, origin_id: str, key_field: str, now_ms: int) -> tuple[Found, dict[str, list[Deal]]]:
    """Return the new deals of an origin, and those of each key that several of them carry."""
    found = api.new_deals(origin_id, now_ms - NEW_DAYS * 86_400_000)
    by_key: defaultdict[str, list[Deal]] = defaultdict(list)
    for deal in found.deals:
        if key := deal.field(key_field):
            by_key[key].append(deal)
    return found, {key: same for key, same in by_key.items() if len(same) > 1}


def _doubled(
    api: ClintApi, open_journal: Callable[[], Journal], place: tuple[str, str, str], now_ms: int
) -> Iterator[Check]:
    """Look for keys that several new deals of an origin carry.

    `place` is the id and the name of the origin and the field with the keys.
    """
    origin_id, origin, key_field = place
    label = N_("deals of {origin}")
    facts: dict[str, Any] = {"origin": origin, "field": key_field}
    try:
        found, twice = _look(api, origin_id, key_field, now_ms)
    except ClintApiFailed as error:
        yield failed(label, error, **facts)
        return
    ours = _written(open_journal, [deal.id for same in twice.values() for deal in same])
    for key, same in list(twice.items())[:MOST_DOUBLED]:
        yield _doubled_key(label, key, [deal.id for deal in same], ours, facts)
    if found.missed:
        what = N_("Clint did not list its deals of status {statuses}")
        more = {"statuses": ", ".join(found.missed)}
        yield check(label, what, State.WARNING, LOOK_AGAIN, "api.away", **facts, **more)
    what = N_(
        "values of {field} that several deals have: {doubled}; deals looked at: {number}, the newest of each status, "
        "of the last {days} days"
    )
    bounds: dict[str, Any] = {"days": NEW_DAYS, "number": len(found.deals), "doubled": len(twice)}
    yield check(label, what, **facts, **bounds)


def _doubled_key(label: str, key: str, ids: list[str], ours: set[str], facts: dict[str, str]) -> Check:
    mine = [one for one in ids if one in ours]
    more: dict[str, Any] = {
        "ids": ", ".join(ids),
        # A mapping's expression may give personal data, so only ids of Asaas are shown.
        "key": key if _OF_ASAAS.fullmatch(key) else "…",
        "mine": ", ".join(mine),
    }
    what = N_("{field} {key} is in several deals: {ids}")
    mend = (
        N_("compare them in Clint and remove the one that is not needed; the bridge writes to {mine}")
        if mine
        else N_("compare them in Clint and remove the one that is not needed")
    )
    return check(label, what, State.WRONG, mend, "api.doubled", **facts, **more)


def _written(open_journal: Callable[[], Journal], ids: list[str]) -> set[str]:
    if not ids:
        return set()
    try:
        with open_journal().database.read() as connection:
            return deals.known_ids(connection, ids)
    except JournalError:
        return set()


@dataclass(frozen=True, slots=True)
class _Suspects:
    """Deals with one key, by a list or a notice."""

    destination: str
    key_field: str
    ids: set[str]


def note_doubled(runtime: Runtime, pause: Callable[[], object] = lambda: None) -> None:
    """Raise a notice for each key of the journal that several deals carry; close those of which one deal is left.

    `pause` is called before each request. Raises ClintApiFailed; then no notice is changed.
    """
    journal, wanted = runtime.journal, dict(runtime.setup.api)
    with journal.database.read() as connection:
        known = {one.about: _noted(one) for one in notices.open_notices(connection, [DOUBLED])}
    api = runtime.clint_api
    if api is None or not (wanted or known):
        return
    api = api.paced(pause)
    clint = ClintDirectory(Directory(api).origins())
    mappings = [item.mapping for item in runtime.mappings.current()]
    uses = list(_uses(mappings, replace(runtime.setup, clint=clint), set(wanted)))
    suspects = list(known.values())
    for (origin_id, key_field), destination in sorted(_places(clint, wanted, uses).items()):
        found, twice = _look(api, origin_id, key_field, runtime.clock_ms())
        if found.missed:
            log.warning("doubled.not_listed", destination=destination, statuses=list(found.missed))
        with journal.database.read() as connection:
            ours = deals.known_keys(connection, origin_id, twice)
        for key in sorted(ours)[:MOST_DOUBLED]:
            _add(suspects, _Suspects(destination, key_field, {deal.id for deal in twice[key]}))
    raised = [notice for one in suspects if (notice := _still_doubled(api, journal, one)) is not None]
    gone = sorted(known.keys() - {one.about for one in raised})
    for about in gone:
        log.info("doubled.gone", about=about, reason="fewer than two of its deals are left with one key")
    apply_notices(journal, [*raised, *(Resolved(DOUBLED, about) for about in gone)], runtime.clock_ms())


def _noted(notice: StoredNotice) -> _Suspects:
    facts = read_message(notice.detail).facts
    ids = set(str(facts.get("deals", "")).split(", ")) - {""}
    return _Suspects(notice.about.partition("/")[0], str(facts.get("field", Funnel().key_field)), ids)


def _add(suspects: list[_Suspects], new: _Suspects) -> None:
    """Add deals with one key to those of the list that they share one with."""
    for one in suspects:
        if one.key_field == new.key_field and one.ids & new.ids:
            one.ids.update(new.ids)
            return
    suspects.append(new)


def _still_doubled(api: ClintApi, journal: Journal, suspects: _Suspects) -> Notice | None:
    """Return the notice about those of these deals that carry one key; None where no two do."""
    by_key: defaultdict[tuple[str, str], list[Deal]] = defaultdict(list)
    for id_ in sorted(suspects.ids):
        deal = api.deal(id_)  # lists may show it as it was before it was changed or removed
        if deal is not None and (key := deal.field(suspects.key_field)):
            by_key[deal.origin_id, key].append(deal)
    same = max(by_key.values(), key=len, default=[])
    if len(same) < 2:
        return None
    with journal.database.read() as connection:
        ours = deals.known_ids(connection, [deal.id for deal in same])
    kept = oldest([deal for deal in same if deal.id in ours] or same)
    return doubled_notice(suspects.destination, suspects.key_field, kept, same)


def place_of_test(runtime: Runtime, open_journal: Callable[[], Journal], origin: str) -> tuple[str, str]:
    """Return the id of the origin for a test of writes, and the field with the keys of its deals.

    Without a name or id it is the origin of the only API destination. Raises UsageError, ClintApiFailed.
    """
    api = {name: found for name, url in runtime.destinations.items() if (found := origin_of(url)) is not None}
    if not origin and len(set(api.values())) != 1:
        raise UsageError(N_("name the origin of the test: --origin ORIGIN"))
    origin_id = known_origin(runtime, origin or next(iter(api.values())))
    mappings, _ = mappings_in_use(open_journal, runtime.settings.bridge_mappings_dir)
    writing = [one for one in mappings if one.enabled and one.destinations & api.keys()]
    return origin_id, writing[0].funnel.key_field if writing else Funnel().key_field


def known_origin(runtime: Runtime, origin: str) -> str:
    """Return the id of an origin of Clint by its name or id.

    Raises UsageError that lists the origins where there is none, or several; ClintApiFailed.
    """
    directory = runtime.clint_directory
    if directory is None:
        raise UsageError(N_("no token of Clint's API is set"), hint=SET_TOKEN)
    clint = ClintDirectory(directory.origins())
    found = origin_known("", origin, clint)
    if found.state is not State.FINE:
        raise UsageError(found.value, hint=found.mend)
    return clint.named_origins(origin)[0]
