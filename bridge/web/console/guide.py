"""The guide of the first start on the overview: account, Clint, mapping and test charge, until all are done.

The journal and the settings say which steps are done; only the dismissal of the guide is stored.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple, cast

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from bridge.errors import JournalError, MappingChanged, UsageError
from bridge.journal import accounts as stored
from bridge.journal import events, jobs, revisions, statistics
from bridge.journal.jobs import Job
from bridge.mapping import Mapping
from bridge.mapping.lint import shared_events
from bridge.messages import _, ngettext
from bridge.model import DeliveryState
from bridge.operations.mappings import PLACING, copy_starters, placing, starters, switched, unplaced
from bridge.settings import origin_of
from bridge.web.console import clint, layout
from bridge.web.console.access import person, runtime
from bridge.web.console.connecting import took_effect
from bridge.web.console.mapping_editor import read
from bridge.web.console.mappings import keep, revision_of

pages = Blueprint("guide", __name__)

LAST_TESTS = 20
MOST_DELIVERED = 20
"""The guide is not shown to a bridge that delivered more."""


class Guide(NamedTuple):
    """The steps of the guide; the first one that is not done has the button."""

    done: dict[str, bool]
    """By step, in order."""
    connecting: int
    """The number of the job that connects an account now; 0 where none does."""
    unregistered: str
    """An account whose webhook is missing; empty where there is none."""
    unreached: str
    """An account whose webhook's address did not lead to the bridge; empty where there is none."""
    unanswered: str
    """A destination that is set up and has not answered yet; empty where one has, or where there is none."""
    check: Job | None
    """The last check of Clint for that destination, which found something wrong."""
    keyless: tuple[str, ...]
    """Accounts of the environment that have a token and no key."""
    has_files: bool
    off: tuple[Mapping, ...]
    """Mappings that would fit and are switched off."""
    unplaced: tuple[Mapping, ...]
    """Mappings that write deals into an origin where none sets a stage or a status."""

    @property
    def has_token(self) -> bool:
        """Whether there is a token of Clint's API."""
        return runtime.clint_api is not None

    @property
    def is_origin(self) -> bool:
        """Whether the destination that has not answered is one by Clint's API: its test sends nothing."""
        return origin_of(runtime.destinations.get(self.unanswered, "")) is not None

    @property
    def wrong(self) -> list[dict[str, Any]]:
        """What that check found wrong."""
        return layout.wrong_checks(self.check) if self.check else []

    @property
    def next(self) -> str:
        return next((step for step, is_done in self.done.items() if not is_done), "")

    @property
    def here(self) -> str:
        """The step that the page of this request belongs to; empty for another page."""
        step = _step()
        return (self.next if self.next in _CONNECTIONS else "") if step == _EITHER else step


def _step() -> str:
    """Return the step of the page of this request, _EITHER for the list of connections, or an empty text."""
    endpoint = g.get("shown_for", request.endpoint or "")
    if endpoint == "console.connections.show":
        return _STEP_OF_JOB.get(g.get("job_kind", ""), _EITHER)
    _console, part, name = endpoint.split(".") if endpoint.count(".") == 2 else ("", "", "")
    return _STEP_OF_PAGE.get(f"{part}.{name}") or _STEP_OF_PART.get(part, "")


_EITHER = "either"
_CONNECTIONS = ("account", "clint")
_STEP_OF_PART = {"mappings": "mapping", "guide": "mapping", "trial": "test"}
_STEP_OF_JOB = {"connect": "account", "clint": "clint"}
"""The kinds of jobs that start on the list of connections."""
_STEP_OF_PAGE = {
    **dict.fromkeys(("connecting.new_account", "connecting.take_account"), "account"),
    **dict.fromkeys(("connecting.key_form", "connecting.take_key"), "account"),
    **dict.fromkeys(("connections.webhook", "connections.register"), "account"),
    **dict.fromkeys(("connecting.new_destination", "connecting.take_destination"), "clint"),
    **dict.fromkeys(("connecting.url_form", "connecting.take_url"), "clint"),
    **dict.fromkeys(("connecting.token_form", "connecting.take_token"), "clint"),
    **dict.fromkeys(("connections.test_form", "connections.test"), "clint"),
    "connecting.key_taken": "account",
}
"""The pages of each step, below `console`; all pages of mappings and test charges belong to their step."""


def guide_now() -> Guide | None:
    """Return the guide for a page of one of its steps, None for others; an error in it does not break the page."""
    if "guide" not in g:
        g.guide = None
        if _step() and g.get("person") is not None:
            with suppress(JournalError), runtime.journal.database.read() as connection:
                g.guide = current(connection)
    return cast("Guide | None", g.guide)


def current(connection: Connection) -> Guide | None:
    """Return the guide, None where it was dismissed or all is done, and where many deliveries reached Clint lately."""
    if person.accounts is not None or stored.guide_is_dismissed(connection):
        return None
    counted = statistics.last_30_days(connection, layout.now_ms())
    delivered = sum(one.number for one in counted if one.key == (DeliveryState.DELIVERED.value,))
    if delivered > MOST_DELIVERED:
        return None
    tests = jobs.newest(connection, "trial", runtime.clock_ms(), limit=LAST_TESTS)
    proved = any(job.result and job.result["proved"] for job in tests)
    with_key = [one.name for one in runtime.accounts.values() if one.api_key]
    last = {name: _connected(connection, name) for name in with_key}
    connecting = next((job.id for job in last.values() if job and job.is_running), 0)
    missing = {name: _missing(connection, name, job) for name, job in last.items()}
    unregistered = next((name for name, part in missing.items() if part == "webhook"), "")
    unreached = next((name for name, part in missing.items() if part == "door"), "")
    active = [item.mapping for item in runtime.mappings.current()]
    fitting = [
        one for one in active if one.account in runtime.accounts and one.destinations <= set(runtime.destinations)
    ]
    without_place = unplaced(fitting, runtime.setup)
    names = list(runtime.destinations)
    with_answer = layout.answering(connection, names)
    done = {
        "account": bool(with_key) and not connecting and not unregistered and not unreached,
        # The operator set an account of the environment with the documents at hand.
        "clint": bool(with_answer or runtime.settings.destinations) or (bool(names) and (proved or delivered > 0)),
        "mapping": any(one.enabled for one in fitting) and not without_place,
        "test": proved or (delivered > 0 and not tests),
    }
    if all(done.values()):
        return None
    unanswered = "" if done["clint"] or not names else names[0]
    is_origin = origin_of(runtime.destinations.get(unanswered, "")) is not None
    return Guide(
        done,
        connecting,
        unregistered,
        unreached,
        unanswered,
        layout.last_check(connection, unanswered) if is_origin else None,
        tuple(one.name for one in runtime.settings.accounts.values() if not one.api_key),
        any(runtime.settings.bridge_mappings_dir.glob("*.y*ml")),
        tuple(one for one in fitting if not one.enabled)[:3],
        tuple(without_place),
    )


def _connected(connection: Connection, account: str) -> Job | None:
    """Return the last job that connected the account here."""
    return next(iter(jobs.newest(connection, "connect", runtime.clock_ms(), about=account)), None)


def _missing(connection: Connection, account: str, job: Job | None) -> str:
    """Return "webhook" where Asaas has none and no event came yet; else what the job that connected the account left
    undone, "webhook" or "door"; empty where an event came since, or all is there."""
    came_ms = events.last_received_ms(connection, account)
    told = layout.open_notices(connection) if came_ms is None else []
    if any((one.code, one.about) == ("webhook.missing", account) for one in told):
        return "webhook"
    if job is None or job.is_running:
        return ""
    result = job.result or {}
    missing = next((part for part in ("webhook", "door") if not result.get(part)), "")
    return missing if came_ms is None or (missing == "door" and came_ms < job.created_ms) else ""


@pages.post("/guide/dismiss")
def dismiss() -> ResponseReturnValue:
    with runtime.journal.database.write() as connection:
        stored.dismiss_guide(connection)
    layout.note("guide.dismissed", "")
    return layout.go("console.overview.index")


@pages.post("/guide/mappings")
def copy() -> ResponseReturnValue:
    """Copy the mappings that come with the bridge into the directory of the mapping files."""
    directory = runtime.settings.bridge_mappings_dir
    try:
        number = copy_starters(directory)
    except UsageError as error:
        layout.flash_message(_("It failed: {error}", error=error.text()), "bad")
        return layout.go("console.overview.index")
    took_effect()
    layout.note("mappings.copied", str(directory), {"mappings": number})
    text = ngettext("{n} mapping is there; see which are on.", "{n} mappings are there; see which are on.", number)
    layout.flash_message(text)
    return layout.go("console.mappings.listed")


class Placing(NamedTuple):
    """The ready mapping that sets stage and status, and the mappings that it replaces."""

    mapping: Mapping
    text: str
    base: int
    """The revision from which the text was made; 0 where there is none."""
    off: list[Mapping]


def _placing() -> Placing | None:
    """Return the ready mapping for the first origin where no mapping sets a stage or a status; None without one."""
    active = [item.mapping for item in runtime.mappings.current(at_once=True)]
    setup = runtime.setup
    without_place = unplaced(active, setup)
    if not without_place:
        return None
    first = without_place[0]
    destination = next(name for name in sorted(first.destinations) if name in setup.api)
    with runtime.journal.database.read() as connection:
        newest = revisions.newest(connection, PLACING)
    text = newest.text if newest and newest.text else (starters() / f"{PLACING}.yaml").read_text(encoding="utf-8")
    text = placing(text, first.account, destination)
    mapping = read(PLACING, text).mapping
    if mapping is None:
        return None
    # One that also sends elsewhere stays on.
    off = [one for one in without_place if one.destinations == {destination} and shared_events(one, mapping)]
    return Placing(mapping, text, newest.id if newest else 0, off)


@pages.get("/guide/stages")
def stages() -> ResponseReturnValue:
    """Show which mapping would move the deals through the stages, and which ones it replaces."""
    found = _placing()
    if found is None:
        return layout.go("console.mappings.listed")
    stage = found.mapping.funnel.stage
    names = list(dict.fromkeys(stage.outputs)) if stage else []
    return layout.page("guide_stages.html", found=found, origin=runtime.setup.api[found.mapping.send_to], stages=names)


@pages.post("/guide/stages")
def place() -> ResponseReturnValue:
    """Switch that mapping on and those that it replaces off; then check what it needs in Clint."""
    found = _placing()
    if found is None:
        return layout.go("console.mappings.listed")
    try:
        keep(PLACING, found.text, found.base, action="mapping.switched_on", is_told=False)
        for one in found.off:
            before = revision_of(one.name)
            text = switched(before.text or "", on=False)
            keep(one.name, text, before.id, action="mapping.switched_off", is_told=False)
    except MappingChanged as error:
        layout.flash_message(_("It failed: {error}", error=error.text()), "bad")
        return layout.go("console.guide.stages")
    layout.flash_message(_("{mapping} is switched on.", mapping=layout.mapping_title(PLACING)))
    return clint.check_destination(found.mapping.send_to)
