"""What the console's long work does: each function takes a task and returns what its page shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from typing import Any

from redis.exceptions import RedisError

from bridge import recovery
from bridge.errors import IllegalTransition, SettingsError
from bridge.journal import events
from bridge.model import IncomingEvent
from bridge.recovery.backfill import as_kept, bring_in, gather
from bridge.recovery.comparison import BEHIND, Verdict
from bridge.recovery.preview import Outcome, Preview, preview, preview_events
from bridge.recovery.reconcile import reconcile as reconciled
from bridge.recovery.report import as_data
from bridge.recovery.walk import Window
from bridge.runtime import Runtime
from bridge.web.console.work import Result, Task
from bridge.workbench.accounts import client_of
from bridge.workbench.probes import examine

PREVIEWED = 50
"""So many events are shown before somebody says yes; the rest is counted."""
RECONCILE_DIRECTORY = "reconcile"


def examination(task: Task) -> Result:
    """Check everything that the bridge needs."""
    found: list[dict[str, Any]] = []
    for check in examine(task.runtime, lambda: task.runtime.journal):
        found.append(asdict(check))
        task.tell(len(found), None)
    return {"checks": found}


# ---------------------------------------------------------------- charges that the journal does not know


def _window(params: Any) -> Window:
    return Window(date.fromisoformat(params["since"]), date.fromisoformat(params["until"]), params["by"])


def reconcile(task: Task) -> Result:
    """Compare the charges of an account with the journal."""
    runtime = task.runtime
    report = reconciled(
        client_of(runtime, task.params["account"]),
        runtime.journal,
        _window(task.params),
        runtime.clock_ms,
        directory=runtime.settings.bridge_data_dir / RECONCILE_DIRECTORY,
        sleep=task.sleep,
        tell=task.tell,
    )
    return as_data(report)


def _gathered(task: Task) -> tuple[list[IncomingEvent], list[str]]:
    runtime, params = task.runtime, task.params
    only: Collection[Verdict] = BEHIND if not params.get("only") else frozenset({Verdict(params["only"])})
    gathered = gather(
        client_of(runtime, params["account"]),
        runtime.journal,
        _window(params),
        runtime.clock_ms,
        only=only,
        sleep=task.sleep,
        tell=task.tell,
    )
    return gathered.events, [str(one.charge.get("id")) for one in gathered.unknown]


def backfill_preview(task: Task) -> Result:
    """Say what would be brought in and sent; changes nothing."""
    runtime = task.runtime
    events, unknown = _gathered(task)
    shown = preview_events(
        runtime.journal,
        [as_kept(runtime.journal, event) for event in events[:PREVIEWED]],
        active=runtime.mappings.current(),
        environment=runtime.environment,
        enrichment=runtime.enricher,
    )
    return {
        "keys": [event.key for event in events],
        "names": dict(Counter(event.name for event in events)),
        "unknown": unknown,
        "previews": [
            {
                "charge": event.object_id,
                "customer": event.subject,
                "created": event.created,
                **_previewed(one),
            }
            for event, one in zip(events[:PREVIEWED], shown, strict=True)
        ],
    }


def backfill(task: Task) -> Result:
    """Bring in what the preview showed, as far as it is still missing."""
    runtime = task.runtime
    wanted = frozenset(task.params["keys"])
    events = [event for event in _gathered(task)[0] if event.key in wanted]
    made, lanes = [], set[int]()
    for event, lane, kept in bring_in(runtime.journal, events, runtime.clock_ms):
        made.append({"id": kept.id, "event": event.name, "charge": event.object_id})
        lanes.add(lane)
        task.tell(len(made), len(events))
    _wake(runtime, lanes)
    return {"made": made, "not_missing": len(wanted) - len(made)}


def _wake(runtime: Runtime, lanes: Iterable[int]) -> None:
    # Without Redis a periodic task finds the work.
    with suppress(RedisError, SettingsError):
        for lane in sorted(lanes):
            runtime.wakeups.wake(lane)


# ---------------------------------------------------------------- events that a mapping would see again


def replay_preview(task: Task) -> Result:
    """Say what a replay of these events through a mapping would change; changes nothing."""
    runtime, ids = task.runtime, task.params["ids"]
    found = []
    for one in preview(
        runtime.journal,
        ids,
        task.params["mapping"],
        active=runtime.mappings.current(),
        environment=runtime.environment,
        enrichment=runtime.enricher,
    ):
        found.append(_previewed(one))
        task.tell(len(found), len(ids))
    return {"ids": ids, "previews": found}


def replay(task: Task) -> Result:
    """Send these events through a mapping again."""
    runtime, ids = task.runtime, task.params["ids"]
    asked, refused, lanes = [], [], set[int]()
    for number, id_ in enumerate(ids, 1):
        try:
            recovery.replay(runtime.journal, id_, task.params["mapping"], runtime.clock_ms())
            asked.append(id_)
        except IllegalTransition:
            refused.append(id_)  # it still waits, and goes through today's mappings anyway
        task.tell(number, len(ids))
    lanes.update(_lanes_of(runtime, asked))
    _wake(runtime, lanes)
    return {"asked": asked, "refused": refused}


def _lanes_of(runtime: Runtime, ids: Sequence[int]) -> Iterator[int]:
    for start in range(0, len(ids), 100):
        with runtime.journal.database.read() as connection:
            kept = events.load(connection, ids[start : start + 100])
        yield from (event.lane for event in kept)


def _previewed(one: Preview) -> dict[str, Any]:
    return {
        "event_id": one.event_id,
        "name": one.name,
        "problem": one.problem,
        "unheard": one.unheard,
        "outcomes": [_outcome(outcome) for outcome in one.outcomes],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {**asdict(outcome), "changes": [change._asdict() for change in outcome.changes]}
