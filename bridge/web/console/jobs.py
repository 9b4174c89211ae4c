"""Long work that a page begins and that goes on without it: in threads of this process, noted in the journal.

A page only begins it and shows what the journal says of it, so that a reload, another tab or another web process shows
the same. Few threads do it, apart from those that answer requests: the webhook's door never waits for any of it.
"""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from typing import Any, TypeVar, cast

from flask import Blueprint, Response, current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError

from bridge.errors import BridgeError, ConsoleBusy, IllegalTransition, NoAnswerYet, SettingsError
from bridge.journal import events, jobs
from bridge.journal import jobs as kept
from bridge.journal.jobs import Job
from bridge.logs import logger
from bridge.messages import Message
from bridge.model import IncomingEvent
from bridge.operations import actions
from bridge.operations.accounts import client_of
from bridge.operations.backfill import append_events, as_stored, collect
from bridge.operations.doctor import check_data, run_checks
from bridge.operations.explain import Outcome, Preview, preview, preview_events
from bridge.operations.reconcile import BEHIND, Verdict, Window, as_csv, as_data
from bridge.operations.reconcile import reconcile as reconciled
from bridge.reasons import reason
from bridge.runtime import Runtime
from bridge.web.console import layout
from bridge.web.console.charts import bars

log = logger(__name__)

AT_ONCE = 4
BEAT_EVERY_S = 1.0
MOST_STEPS = 500

Result = Mapping[str, Any]
T = TypeVar("T")


class JobContext:
    """One job while it is done: what it works with, and how it says how far it is."""

    def __init__(self, runtime: Runtime, id_: int, params: Mapping[str, Any]) -> None:
        self.runtime = runtime
        self.params = params
        self._id = id_
        self._done = 0
        self._total: int | None = None
        self._steps: list[Mapping[str, Any]] = []
        self._beaten_s = time.monotonic()

    def update(self, done: int, total: int | None) -> None:
        """Say how many of how many are done."""
        self._done, self._total = done, None if total is None else max(done, total)
        self._beat()

    def step(self, **said: Any) -> None:
        """Say that something happened; it is shown at once."""
        if len(self._steps) < MOST_STEPS:
            self._steps.append({"at_ms": self.runtime.clock_ms(), **said})
        self._beat(now=True)

    def sleep(self, seconds: float) -> None:
        """Wait, giving signs of life."""
        time.sleep(seconds)
        self._beat()

    def _beat(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._beaten_s < BEAT_EVERY_S:
            return
        self._beaten_s = time.monotonic()
        with self.runtime.journal.database.write() as connection:
            jobs.beat(
                connection,
                self._id,
                self.runtime.clock_ms(),
                done=self._done,
                total=self._total,
                steps=self._steps,
            )

    def flush(self) -> None:
        """Write down how far it came."""
        self._beat(now=True)


Doing = Callable[[JobContext], Result]


class JobRunner:
    """The long work of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._free = threading.Semaphore(AT_ONCE)
        self._threads: list[threading.Thread] = []

    def begin(self, kind: str, about: str, doing: Doing, params: Mapping[str, Any], author: str) -> int:
        """Begin it and return the job's number; raise ConsoleBusy where too much is under way."""
        if not self._free.acquire(blocking=False):
            raise ConsoleBusy
        try:
            runtime = self._runtime
            with runtime.journal.database.write() as connection:
                id_ = jobs.begin(connection, kind, about, params, author, runtime.clock_ms())
            # A daemon: a process that ends does not wait for it, and the journal knows that it was lost.
            thread = threading.Thread(
                target=self._run, args=(doing, JobContext(runtime, id_, params), id_), name=f"{kind}-{id_}", daemon=True
            )
            thread.start()
        except BaseException:
            self._free.release()
            raise
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        return id_

    def join(self, timeout_s: float) -> None:
        """Wait until all that was begun is done."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self, doing: Doing, task: JobContext, id_: int) -> None:
        try:
            self._end(task, id_, doing)
        except BridgeError as error:  # the journal is away: the page will say that it was lost
            log.warning("console.job_not_noted", job=id_, code=error.code)
        finally:
            self._free.release()

    def _end(self, task: JobContext, id_: int, doing: Doing) -> None:
        database, clock_ms = self._runtime.journal.database, self._runtime.clock_ms
        try:
            result = doing(task)
            task.flush()
        except BridgeError as error:
            task.flush()
            log.info("console.job_failed", job=id_, code=error.code)
            with database.write() as connection:
                jobs.fail(connection, id_, clock_ms(), error.code, str(error))
        except Exception as error:
            log.error("console.job_fault", job=id_, exc_info=error)
            with database.write() as connection:
                jobs.fail(connection, id_, clock_ms(), BridgeError.code, type(error).__name__)
        else:
            with database.write() as connection:
                jobs.finish(connection, id_, clock_ms(), result)


_OUTSIDE = threading.Semaphore(3)
OUTSIDE_S = 3.0


def external_call(ask: Callable[[], T]) -> T:
    """Ask Asaas or Clint while a request waits, for 3 seconds at most; the caller holds no transaction meanwhile.

    Raises NoAnswerYet after that, and ConsoleBusy where as many calls as may be are under way, those that nobody
    waits for any more included.
    """
    if not _OUTSIDE.acquire(blocking=False):
        raise ConsoleBusy
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 raised where it is waited for
            answer.set_exception(error)
        finally:
            _OUTSIDE.release()

    # A daemon: a process that ends does not wait for it.
    threading.Thread(target=run, name="outside", daemon=True).start()
    try:
        return answer.result(OUTSIDE_S)
    except TimeoutError:
        raise NoAnswerYet from None


def work() -> JobRunner:
    """Return the long work of this process."""
    return cast(JobRunner, current_app.extensions["bridge.work"])


jobs_pages = Blueprint("jobs", __name__)

HOME = {
    "reconcile": "console.reconcile.form",
    "backfill_preview": "console.reconcile.form",
    "backfill": "console.reconcile.form",
    "trial": "console.trial.form",
    "replay_preview": "console.mappings.listed",
    "replay": "console.mappings.listed",
    "examination": "console.connections.show",
}
"""The page from which each kind is begun."""


def of_number(number: int, *kinds: str) -> Job:
    """Return a job; the page is not found where there is none of these kinds."""
    with layout.runtime().journal.database.read() as connection:
        job: Job = layout.found(kept.find(connection, number, layout.runtime().clock_ms()))
    return job if not kinds or job.kind in kinds else layout.found(None)


@jobs_pages.get("/work/<int:number>")
def show(number: int) -> ResponseReturnValue:
    """Show a job, or, to htmx, what of it changes."""
    job = of_number(number)
    g.shown_for = HOME[job.kind]
    template = "job_part.html" if layout.partial() else "job.html"
    return layout.page(template, job=job, home=HOME[job.kind], picture=_picture(job), reason=reason)


def _picture(job: Job) -> str:
    if job.kind != "reconcile" or not job.result:
        return ""
    days: dict[str, dict[str, int]] = {}
    for row in job.result["days"]:
        counted = days.setdefault(row["day"], {})
        for name, number in row.items():
            if name in job.result["totals"] and number:
                counted[name] = counted.get(name, 0) + number
    return bars(days)


@jobs_pages.get("/work/<int:number>/report.<kind>")
def report(number: int, kind: str) -> ResponseReturnValue:
    """Give a reconciliation's report as a file: the numbers of each day as CSV, everything as JSON."""
    job = of_number(number, "reconcile")
    result = layout.found(job.result)
    name = f"reconcile-{result['account']}-{result['since']}-{result['until']}"
    if kind == "json":
        text, mime = json.dumps(result, ensure_ascii=False, indent=2) + "\n", "application/json"
    elif kind == "csv":
        text, mime = as_csv([result]), "text/csv; charset=utf-8"
    elif kind == "charges.csv":
        text, mime, name = _charges(result["behind"]), "text/csv; charset=utf-8", f"{name}-charges"
        kind = "csv"
    else:
        return layout.found(None)  # type: ignore[no-any-return]
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return Response(text.encode(errors="replace"), mimetype=mime, headers=headers)


def _charges(behind: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ("day", "id", "status", "verdict", "known", "event_id"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(behind)
    return text.getvalue()


@jobs_pages.post("/work/<int:number>/deal")
def deal(number: int) -> ResponseReturnValue:
    """Take a person's word that the deal of a test charge stands in Clint, or does not."""
    job = of_number(number, "trial")
    result = dict(layout.found(job.result))
    sees = request.form.get("sees") == "yes"
    result |= {"proved": sees, "asks_person": False, "person_looked": True}
    if sees:
        result["causes"] = []
    with layout.runtime().journal.database.write() as connection:
        kept.amend(connection, number, result)
    layout.note("trial.deal_seen" if sees else "trial.deal_not_seen", str(number))
    return redirect(url_for("console.jobs.show", number=number), 303)


PREVIEWED = 50
"""So many events are shown before somebody says yes; the rest is counted."""
RECONCILE_DIRECTORY = "reconcile"


def examination(task: JobContext) -> Result:
    """Check everything that the bridge needs."""
    found: list[dict[str, Any]] = []
    for check in run_checks(task.runtime, lambda: task.runtime.journal):
        found.append(check_data(check, Message.to_json))
        task.update(len(found), None)
    return {"checks": found}


# ---------------------------------------------------------------- charges that the journal does not know


def _window(params: Any) -> Window:
    return Window(date.fromisoformat(params["since"]), date.fromisoformat(params["until"]), params["by"])


def reconcile(task: JobContext) -> Result:
    """Compare the charges of an account with the journal."""
    runtime = task.runtime
    report = reconciled(
        client_of(runtime, task.params["account"]),
        runtime.journal,
        _window(task.params),
        runtime.clock_ms,
        directory=runtime.settings.bridge_data_dir / RECONCILE_DIRECTORY,
        sleep=task.sleep,
        tell=task.update,
    )
    return as_data(report)


def _gathered(task: JobContext) -> tuple[list[IncomingEvent], list[str]]:
    runtime, params = task.runtime, task.params
    only: Collection[Verdict] = BEHIND if not params.get("only") else frozenset({Verdict(params["only"])})
    gathered = collect(
        client_of(runtime, params["account"]),
        runtime.journal,
        _window(params),
        runtime.clock_ms,
        only=only,
        sleep=task.sleep,
        tell=task.update,
    )
    return gathered.events, [str(one.charge.get("id")) for one in gathered.unknown]


def backfill_preview(task: JobContext) -> Result:
    """Say what would be brought in and sent; changes nothing."""
    runtime = task.runtime
    events, unknown = _gathered(task)
    shown = preview_events(
        runtime.journal,
        [as_stored(runtime.journal, event) for event in events[:PREVIEWED]],
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


def backfill(task: JobContext) -> Result:
    """Bring in what the preview showed, as far as it is still missing."""
    runtime = task.runtime
    wanted = frozenset(task.params["keys"])
    events = [event for event in _gathered(task)[0] if event.key in wanted]
    made, lanes = [], set[int]()
    for event, lane, stored in append_events(runtime.journal, events, runtime.clock_ms):
        made.append({"id": stored.id, "event": event.name, "charge": event.object_id})
        lanes.add(lane)
        task.update(len(made), len(events))
    _wake(runtime, lanes)
    return {"made": made, "not_missing": len(wanted) - len(made)}


def _wake(runtime: Runtime, lanes: Iterable[int]) -> None:
    # Without Redis a periodic task finds the work.
    with suppress(RedisError, SettingsError):
        for lane in sorted(lanes):
            runtime.wakeups.wake(lane)


# ---------------------------------------------------------------- events that a mapping would see again


def replay_preview(task: JobContext) -> Result:
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
        task.update(len(found), len(ids))
    return {"ids": ids, "previews": found}


def replay(task: JobContext) -> Result:
    """Send these events through a mapping again."""
    runtime, ids = task.runtime, task.params["ids"]
    asked, refused, lanes = [], [], set[int]()
    for number, id_ in enumerate(ids, 1):
        try:
            actions.replay(runtime.journal, id_, task.params["mapping"], runtime.clock_ms())
            asked.append(id_)
        except IllegalTransition:
            refused.append(id_)  # it still waits, and goes through today's mappings anyway
        task.update(number, len(ids))
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
