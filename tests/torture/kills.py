"""Every failpoint in every flow that passes it: a process dies there, is started again, and nobody repairs anything.

One row of KILLS is one such death. What a person does again after a command died is what the command's help says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from bridge.journal.schema import events
from tests.torture.fault import Fault, settle
from tests.torture.site import Site

DECIDING = ("process.before_write", "process.before_commit", "process.after_commit")
SENDING = (
    "deliver.intent_before_commit",
    "deliver.intent_after_commit",
    "deliver.before_send",
    "deliver.after_send",
    "deliver.outcome_before_commit",
    "deliver.outcome_after_commit",
)
LANES = ("lane.after_lease", "lane.before_release", "lane.after_release")
DOOR = (
    "ingress.before_write",
    "append.before_commit",
    "ingress.after_commit",
    "ingress.before_wake",
    "ingress.before_answer",
    "wake.before_queue",
    "wake.after_queue",
)
BACKFILL = ("backfill.before_append", "append.before_commit", "backfill.after_append", "backfill.before_wake")
DEALS = (
    "deal.after_claim",
    "deal.contact_marked",
    "deal.contact_created",
    "deal.contact_noted",
    "deal.create_marked",
    "deal.created",
    "deal.create_noted",
    "deal.update_marked",
    "deal.updated",
    "deal.update_noted",
    "deal.tagged",
    "deal.before_release",
)
KNOWN_CONTACTS = ("deal.contact_updated",)
MIGRATION = (
    "migration.before_steps",
    "migration.after_step",
    "migration.after_step:5",
    "migration.before_commit",
    "migration.after_commit",
)
ONE = {"customers": 1, "events": 1}


def _web(site: Site, point: str) -> None:
    site.armed = {"web-0": point}
    site.start()
    telling = site.telling()
    site.dies("web-0", point)
    telling.result()


def _worker(site: Site, point: str) -> None:
    site.armed = {"worker-0": point}
    site.start()
    telling = site.telling()
    site.dies("worker-0", point)
    telling.result()


def _with_known_contacts(site: Site, point: str) -> None:
    """Clint has each customer's contact under another name, so it is changed and not created."""
    site.knows_contacts()
    _worker(site, point)


def _sweeper(site: Site, point: str) -> None:
    site.armed = {"sweeper-0": point}
    site.start(webs=1, workers=0, sweepers=1)
    telling = site.telling()
    site.dies("sweeper-0", point)
    site.start(webs=0, workers=1)
    telling.result()


def _failing_once(site: Site, point: str) -> None:
    """The destination refuses the first try; the point's pass says at which try the worker dies."""
    site.armed = {"worker-0": point}
    site.start()
    site.clint("answers", status=500, times=1)
    telling = site.telling()
    site.dies("worker-0", point)
    telling.result()


def _dead_ones(site: Site) -> None:
    """Let every delivery die, and the destination come back."""
    site.start()
    site.clint("answers", status=400)
    site.tell()
    settle(site)
    site.clint("comes_back")
    site.acts()


def _retry_command(site: Site, point: str) -> None:
    _dead_ones(site)
    site.command("deliveries", "retry", "--all-dead", "--yes", failpoint=point)
    assert site.command("deliveries", "retry", "--all-dead", "--yes") == 0


def _retried(site: Site, point: str) -> None:
    _dead_ones(site)
    site.restart("worker-0", point)
    assert site.command("deliveries", "retry", "--all-dead", "--yes") == 0
    site.dies("worker-0", point)


def _replay_command(site: Site, point: str) -> None:
    site.start()
    site.tell()
    settle(site)
    site.acts()
    site.command("events", "replay", "--yes", *_not_replayed(site), failpoint=point)
    assert site.command("events", "replay", "--yes", *_not_replayed(site)) == 0


def _not_replayed(site: Site) -> list[str]:
    with site.journal() as database, database.read() as connection:
        return [str(id_) for id_ in connection.scalars(select(events.c.id).where(events.c.replay == 0))]


def _replayed(site: Site, point: str) -> None:
    site.start()
    site.tell()
    settle(site)
    site.acts()
    site.restart("worker-0", point)
    assert site.command("events", "replay", "--yes", *_not_replayed(site)) == 0
    site.dies("worker-0", point)


def _backfill(site: Site, point: str) -> None:
    site.start()
    site.tell()
    site.owes()
    site.command("backfill", "--since", "2d", "--yes", failpoint=point)
    assert site.command("backfill", "--since", "2d", "--yes") == 0


def _migration(site: Site, _point: str) -> None:
    """The journal was made by a migration that died; the bridge works on it."""
    site.start()
    site.tell()


@dataclass(frozen=True)
class _Flow:
    name: str
    play: Callable[[Site, str], None]
    points: tuple[str, ...]
    site: Mapping[str, Any] = field(default_factory=dict)
    short: bool = True
    """Whether it is in the short form: there every failpoint is tried once."""


FLOWS = (
    _Flow("an event is taken", _web, DOOR),
    _Flow("an event is decided on", _worker, (*LANES, *DECIDING)),
    _Flow("a delivery is sent", _worker, SENDING),
    _Flow("a first try fails", _failing_once, SENDING, ONE, short=False),
    _Flow("a second try", _failing_once, tuple(f"{point}:2" for point in SENDING), ONE, short=False),
    _Flow("a deal is written", _worker, DEALS, {"with_deals": True}),
    _Flow("a contact is changed", _with_known_contacts, KNOWN_CONTACTS, {"with_deals": True}),
    _Flow("due work is looked for", _sweeper, ("sweep.before_wake",)),
    _Flow("a person retries", _retry_command, ("retry.before_commit", "retry.after_commit")),
    _Flow("what a person retries is sent", _retried, SENDING, short=False),
    _Flow("a person replays", _replay_command, ("replay.before_commit", "replay.after_commit")),
    _Flow("what a person replays is sent", _replayed, (*DECIDING, *SENDING), short=False),
    _Flow("what never came is brought in", _backfill, BACKFILL),
    _Flow("the journal is migrated", _migration, MIGRATION),
)


def _kills() -> Iterator[Fault]:
    tried: set[str] = set()
    for flow in FLOWS:
        for point in flow.points:
            site = dict(flow.site)
            if flow.play is _migration:
                site["migration_points"] = (point,)
            yield Fault(
                f"killed at {point}",
                flow.name,
                lambda site, flow=flow, point=point: flow.play(site, point),  # type: ignore[misc]
                site=site,
                short=flow.short and point.partition(":")[0] not in tried,
            )
            tried |= {point.partition(":")[0]} if flow.short else set()


KILLS = tuple(_kills())


def point_of(fault: Fault) -> str:
    """Return the failpoint of a row of KILLS."""
    return fault.name.removeprefix("killed at ").partition(":")[0]
