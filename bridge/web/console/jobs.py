"""Long work that a page begins: it runs in a thread of this process, and the journal keeps its progress and result.

A page begins a job and shows what the journal has of it, so that a reload, another tab or another web process shows
the same. A job never holds a thread that answers requests, so that the door never waits for one. Bulk work can be
stopped, and goes on in a worker where this process ends.
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
from contextvars import copy_context
from dataclasses import asdict
from datetime import date
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from flask import Blueprint, Response, current_app, g, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound

from bridge.errors import BridgeError, ConsoleBusy, JournalError, NoAnswerYet
from bridge.journal import audit, jobs, queries
from bridge.journal.about import amount_of, description_of
from bridge.journal.customers import PREFIX
from bridge.journal.events import StoredEvent
from bridge.journal.jobs import Job
from bridge.logs import logger
from bridge.mapping.catalogue import event_label
from bridge.messages import Message, read_message
from bridge.model import DeliveryState
from bridge.operations import bulk
from bridge.operations.accounts import client_of
from bridge.operations.backfill import append_events, as_stored, collect
from bridge.operations.causes import stops_for_account
from bridge.operations.doctor import check_data, run_checks
from bridge.operations.explain import Preview, preview, preview_events
from bridge.operations.life import STEPS
from bridge.operations.proof import VERDICTS, Verdict
from bridge.operations.reconcile import BEHIND, Window, as_csv
from bridge.operations.reconcile import reconcile as run_reconcile
from bridge.reasons import find_reason
from bridge.runtime import Runtime
from bridge.web.console import layout
from bridge.web.console.access import person, runtime
from bridge.web.console.charts import reconciled
from bridge.web.console.lines import lines, of_events

log = logger(__name__)

JOBS_AT_ONCE = 4
CALLS_AT_ONCE = 3
CALL_S = 3.0
BEAT_S = 1.0
ALIVE_S = 2.0
"""A job reports this often that it is alive, also during a long step."""
MOST_STEPS = 500
PREVIEWED = 50
"""How many events of a backfill are shown before a person confirms it."""

NOT_SENT_SHOWN = 50
LISTED = 200
"""How many events or charges of a result its page lists."""
REPORT_PORTION = 1_000
"""The server sends a report in portions of this many charges or pieces of JSON."""

Result = Mapping[str, Any]
T = TypeVar("T")


class JobContext:
    """The runtime of a job, and the report of its progress."""

    def __init__(self, runtime: Runtime, id_: int, params: Mapping[str, Any], runner: str | None = None) -> None:
        self.runtime = runtime
        self.params = params
        self.id = id_
        self.runner = runner
        self.details: Result = {}
        """What only the files of the job need of its result."""
        self._done = 0
        self._total: int | None = None
        self._steps: list[Mapping[str, Any]] = []
        self._beaten_s = time.monotonic()

    def update(self, done: int, total: int | None) -> None:
        """Report how many items are done, of how many."""
        self._done, self._total = done, None if total is None else max(done, total)
        self._beat()

    def step(self, **said: Any) -> None:
        """Report a step, which the page shows at once."""
        if len(self._steps) < MOST_STEPS:
            self._steps.append({"at_ms": self.runtime.clock_ms(), **said})
        self.flush()

    def sleep(self, seconds: float) -> None:
        """Sleep and report that the job is alive."""
        time.sleep(seconds)
        self._beat()

    def _beat(self) -> None:
        if time.monotonic() - self._beaten_s >= BEAT_S:
            self.flush()

    def flush(self) -> None:
        self._beaten_s = time.monotonic()
        with self.runtime.journal.database.write() as connection:
            now_ms = self.runtime.clock_ms()
            jobs.beat(connection, self.id, now_ms, done=self._done, total=self._total, steps=self._steps)


Doing = Callable[[JobContext], Result | None]
"""The function of a job; it returns None if it ended the job itself or left it to another process."""


_JOBS = threading.Semaphore(JOBS_AT_ONCE)


def start(
    runtime: Runtime,
    kind: str,
    about: str,
    doing: Doing,
    params: Mapping[str, Any],
    author: str,
    runner: str | None = None,
) -> int:
    """Start a job and return its number; raise ConsoleBusy where too many run.

    It has a daemon thread: a process that ends does not wait for it.
    """
    if not _JOBS.acquire(blocking=False):
        raise ConsoleBusy
    try:
        with runtime.journal.database.write() as connection:
            id_ = jobs.begin(connection, kind, about, params, author, runtime.clock_ms(), runner)
        context = JobContext(runtime, id_, params, runner)
        threading.Thread(target=_run, args=(doing, context), name=f"job {id_}", daemon=True).start()
    except BaseException:
        _JOBS.release()
        raise
    return id_


def _stay_alive(context: JobContext, ended: threading.Event) -> None:
    while not ended.wait(ALIVE_S):
        with suppress(BridgeError):  # the journal is away: the next time says it
            context.flush()


def _run(doing: Doing, context: JobContext) -> None:
    end: Callable[..., None] | None
    ended = threading.Event()
    alive = threading.Thread(target=_stay_alive, args=(context, ended), name=f"alive {context.id}", daemon=True)
    if context.runner is None:  # one with a runner writes each second by itself
        alive.start()
    try:
        result = doing(context)
        end = None if result is None else partial(jobs.finish, result=result, details=context.details)
    except BridgeError as error:
        log.info("console.job_failed", job=context.id, code=error.code)
        end = partial(jobs.fail, code=error.code, error=error.message().to_json())
        if context.runner is not None and isinstance(error, JournalError):
            end = None  # a worker goes on with it when the journal is back
    except Exception as error:
        log.error("console.job_fault", job=context.id, exc_info=error)
        end = partial(jobs.fail, code=BridgeError.code, error=type(error).__name__)
    try:
        if context.runner is None:
            ended.set()
            alive.join()
            context.flush()
        if end is not None:
            with context.runtime.journal.database.write() as connection:
                end(connection, context.id, context.runtime.clock_ms())
    except BridgeError as error:  # the journal is away: the page will say that the job was lost
        log.warning("console.job_not_noted", job=context.id, code=error.code)
    finally:
        _JOBS.release()


_CALLS = threading.Semaphore(CALLS_AT_ONCE)


def external_call(ask: Callable[[], T], wait_s: float = CALL_S) -> T:
    """Call Asaas, Clint or another service, and wait at most `wait_s`; the caller must hold no transaction.

    Raises NoAnswerYet after that time, and ConsoleBusy where too many calls run already, including those whose callers
    gave up.
    """
    if not _CALLS.acquire(blocking=False):
        raise ConsoleBusy
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 raised where it is waited for
            answer.set_exception(error)
        finally:
            _CALLS.release()

    threading.Thread(target=copy_context().run, args=(run,), name="outside", daemon=True).start()
    try:
        return answer.result(wait_s)
    except TimeoutError:
        raise NoAnswerYet from None


# ---------------------------------------------------------------- pages

pages = Blueprint("jobs", __name__)

HOME = {
    "reconcile": "console.reconcile.form",
    "backfill_preview": "console.reconcile.form",
    "backfill": "console.reconcile.form",
    "trial": "console.trial.form",
    "life": "console.trial.form",
    "replay_preview": "console.mappings.listed",
    "replay": "console.mappings.listed",
    "bulk": "console.attention.index",
    "examination": "console.connections.show",
    "connect": "console.connections.show",
    "clint": "console.connections.show",
}
"""The page that starts each kind."""
OF_ACCOUNT = frozenset({"reconcile", "backfill_preview", "backfill", "trial", "life"})
"""The kinds of which each job is about an account."""


def begin(
    kind: str,
    about: str,
    doing: Doing,
    params: Mapping[str, Any],
    runner: str | None = None,
    preview: Job | None = None,
) -> Response:
    """Start a job and go to its page; the page of its preview then leads there too."""
    bridge: Runtime = current_app.extensions["bridge"]
    id_ = start(bridge, kind, about, doing, params, person.author, runner)
    if preview is not None:
        with bridge.journal.database.write() as connection:
            jobs.amend(connection, preview.id, {**(preview.result or {}), "run": id_})
    return show_job(id_)


def begin_bulk(kind: str, about: str, params: Mapping[str, Any], preview: Job | None = None) -> Response:
    return begin(kind, about, run_bulk, params, uuid4().hex, preview)


def show_job(id_: int) -> Response:
    return layout.go("console.jobs.show", number=id_)


def running_job(kind: str, about: str | None = None) -> Response | None:
    """Go to the job of this kind that runs now; None where none does."""
    with runtime.journal.database.read() as connection:
        last = jobs.newest(connection, kind, runtime.clock_ms(), about=about)
    return show_job(last[0].id) if last and last[0].is_running else None


def is_seen(job: Job) -> bool:
    """Return whether the person may see a job: one of an account of theirs, or any who sees all accounts."""
    if person.accounts is None:
        return True
    if "accounts" in job.params:
        return person.accounts.issuperset(job.params["accounts"])
    return job.kind in OF_ACCOUNT and person.sees(job.about)


def notes_about(
    connection: Connection, event_ids: Collection[int], delivery_ids: Collection[int]
) -> list[dict[str, Any]]:
    """Return what people did about these events and deliveries, newest first, bulk work with its job.

    A note has action, about, actor, at_ms and job, None where there is none or the person may not see it.
    """
    of_events, of_deliveries = (list(map(str, ids)) for ids in (event_ids, delivery_ids))
    found = audit.about(
        connection,
        {
            **dict.fromkeys(("event.replayed", "event.brought_in", "customer.shown"), of_events),
            **dict.fromkeys(("delivery.retried", "delivery.discarded"), of_deliveries),
        },
    )
    notes = [{**one, "job": None} for one in found]
    for job in bulk.jobs_about(connection, event_ids, delivery_ids, layout.now_ms()):
        action = "events.replayed" if job.kind == bulk.REPLAY_KIND else f"bulk.{job.params['action']}"
        actor, at_ms = job.params.get("actor", ""), job.finished_ms or job.created_ms
        told = {"action": action, "about": "", "detail": {}, "actor": actor, "at_ms": at_ms}
        notes.append({**told, "job": job.id if is_seen(job) else None})
    return sorted(notes, key=lambda note: -note["at_ms"])


def last_jobs(kind: str, limit: int) -> list[Job]:
    """Return the last jobs of a kind that the person may see, newest first."""
    with runtime.journal.database.read() as connection:
        found = jobs.newest(connection, kind, runtime.clock_ms(), limit if person.accounts is None else 100)
    return [job for job in found if is_seen(job)][:limit]


def of_number(number: int, *kinds: str) -> Job:
    """Return a job; answer 404 where no job of these kinds, that the person may see, has the number."""
    with runtime.journal.database.read() as connection:
        job: Job = layout.found(jobs.find(connection, number, runtime.clock_ms()))
    layout.found(job if is_seen(job) else None)
    return layout.found(job if not kinds or job.kind in kinds else None)


@pages.get("/work/<int:number>")
def show(number: int) -> ResponseReturnValue:
    """Show a job; htmx gets only the part that changes."""
    job = of_number(number)
    # A replay of a period was begun where it needed attention, one of a mapping on the mapping's page.
    is_of_period = job.kind in {"replay_preview", "replay"} and not job.about
    home = HOME["bulk" if is_of_period else job.kind]
    g.shown_for, g.job_kind = home, job.kind
    template = "job_part.html" if layout.partial() else "job.html"
    picture = reconciled(job.result["days"]) if job.kind == "reconcile" and job.result else None
    shown = of_events(_event_ids(job.result or {}))
    more: dict[str, Any] = {"again": layout.partial() and not job.is_running and person.may_change}
    if job.kind in {bulk.KIND, bulk.REPLAY_KIND} and job.runner:  # one of an older version had none
        with runtime.journal.database.read() as connection:
            came = bulk.outcome(connection, job)
            rows = queries.events_of(connection, came.not_sent[:NOT_SENT_SHOWN])
            more |= {"outcome": came, "sample": lines(connection, rows)}
    elif job.kind == "replay_preview" and job.result:
        more |= {"tally": tally(job.result["previews"])}
    elif job.kind == "life":
        more |= {"titles": {one.name: one.title for one in STEPS}, "verdicts": VERDICTS, "event_words": event_label}
    if job.kind == "trial" and not (job.result and job.result["proved"]) and person.sees(job.about):
        with runtime.journal.database.read() as connection:
            more["stops"] = stops_for_account(runtime, connection, job.about)[0]
    return layout.page(template, job=job, home=home, picture=picture, known_lines=shown, **more)


class ReplayGroup(NamedTuple):
    """Events of a replay that would not be sent, for one reason."""

    number: int
    state: str
    """The state of the delivery; `waits` where it can't be judged now, `unmapped` where no mapping takes the event."""
    mapping: str
    unheard: str
    """Why no mapping takes it; or an empty text."""
    why: str
    """The reason of one of them."""
    is_example: bool
    """Whether others of them have another value in their reason."""


class ReplayTally(NamedTuple):
    number: int
    sent: int
    """Events of which a delivery would be sent."""
    groups: list[ReplayGroup]
    """The others, the largest group first."""


def tally(previews: Sequence[Mapping[str, Any]]) -> ReplayTally:
    """Return how many of these events would be sent, and the others by their reason."""
    sent = 0
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for one in previews:
        outcomes = {outcome["after"]: outcome for outcome in reversed(one["outcomes"])}
        if DeliveryState.PENDING in outcomes:
            sent += 1
            continue
        state = next((name for name in _NOT_SENT if name in outcomes), "")
        if state:
            kind, mapping, said = state, outcomes[state]["mapping"], outcomes[state]["reason"]
        else:
            kind, mapping, said = ("waits" if one["problem"] else "unmapped"), "", one["problem"]
        known = find_reason(one.get("code"))
        reason = Message(known.means) if known else read_message(said)
        same = Message(reason.id, {name: fact for name, fact in reason.facts.items() if name != "value"})
        unheard = str(one.get("unheard") or "") if kind == "unmapped" else ""
        found.setdefault((kind, mapping, unheard, same.to_json()), []).append(layout.reason_said(reason.to_json()))
    groups = [
        ReplayGroup(len(texts), state, mapping, unheard, texts[0], len(set(texts)) > 1)
        for (state, mapping, unheard, _reason), texts in found.items()
    ]
    return ReplayTally(len(previews), sent, sorted(groups, key=lambda group: -group.number))


_NOT_SENT = (DeliveryState.DEAD, DeliveryState.STALE, DeliveryState.FILTERED)


@pages.post("/work/<int:number>/stop")
def stop(number: int) -> ResponseReturnValue:
    """Ask bulk work to stop; what is done stays done."""
    job = of_number(number, bulk.KIND, bulk.REPLAY_KIND)
    with runtime.journal.database.write() as connection:
        if jobs.stop(connection, job.id, person.author):
            audit.note(connection, person.actor, "job.stopped", str(job.id), runtime.clock_ms(), {"kind": job.kind})
    return show_job(number)


def _event_ids(result: Result) -> set[int]:
    """Return the numbers of the events that the page of a job lists."""
    numbers = {one.get("event_id") for part in ("previews", "behind", "dead") for one in result.get(part, [])[:LISTED]}
    return {number for number in numbers | {one["id"] for one in result.get("made", [])[:LISTED]} if number}


@pages.get("/work/<int:number>/report.<kind>")
def report(number: int, kind: str) -> ResponseReturnValue:
    """Answer a reconciliation's report as a file: the numbers of each day as CSV, everything as JSON."""
    result = layout.found(of_number(number, "reconcile").result)
    if kind != "csv":
        with runtime.journal.database.read() as connection:
            result = {**result, **jobs.details(connection, number)}
    name = f"reconcile-{result['account']}-{result['since']}-{result['until']}"
    texts: Iterable[str]
    if kind == "json":
        texts, file = _json(result), f"{name}.json"
    elif kind == "csv":
        texts, file = [as_csv([dict(result)])], f"{name}.csv"
    elif kind == "charges.csv":
        texts, file = _charges([*result["behind"], *result.get("dead", [])]), f"{name}-charges.csv"
    else:
        raise NotFound
    mime = "application/json" if kind == "json" else "text/csv; charset=utf-8"
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response((text.encode(errors="replace") for text in texts), mimetype=mime, headers=headers)


def _json(result: Result) -> Iterator[str]:
    pieces = json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(result)
    while text := "".join(islice(pieces, REPORT_PORTION)):
        yield text
    yield "\n"


def _charges(behind: list[dict[str, str]]) -> Iterator[str]:
    names = ("day", "id", "status", "verdict", "known", "event_id", "customer", "value", "description")
    yield ",".join(names) + "\n"
    for first in range(0, len(behind), REPORT_PORTION):
        text = io.StringIO()
        csv.DictWriter(text, names, lineterminator="\n").writerows(behind[first : first + REPORT_PORTION])
        yield text.getvalue()


@pages.post("/work/<int:number>/deal")
def deal(number: int) -> ResponseReturnValue:
    """Note whether a person saw the deal of a test charge in Clint; the answer can be changed."""
    result = dict(layout.found(of_number(number, "trial").result))
    layout.found(result.get("asks_person") or result.get("person_looked") or None)
    sees = request.form.get("sees") == "yes"
    verdict = Verdict.PROVED if sees else Verdict.NOT_CONFIRMED
    proved = sees and not result.get("failed")
    result |= {"proved": proved, "verdict": verdict.value, "asks_person": False, "person_looked": True}
    with runtime.journal.database.write() as connection:
        jobs.amend(connection, number, result)
    layout.note("trial.deal_seen" if sees else "trial.deal_not_seen", str(number))
    return show_job(number)


# ---------------------------------------------------------------- what the jobs do


def examination(context: JobContext) -> Result:
    found: list[dict[str, Any]] = []
    for check in run_checks(context.runtime, lambda: context.runtime.journal):
        found.append(check_data(check, Message.to_json))
        context.update(len(found), None)
    return {"checks": found}


def _compare(context: JobContext, compare: Callable[..., T], **more: Any) -> T:
    """Return what `compare` makes of a period of an account's charges."""
    runtime, params = context.runtime, context.params
    return compare(
        client_of(runtime, params["account"]),
        runtime.journal,
        Window(date.fromisoformat(params["since"]), date.fromisoformat(params["until"]), params["by"]),
        runtime.clock_ms,
        sleep=context.sleep,
        on_progress=context.update,
        **more,
    )


def reconcile(context: JobContext) -> Result:
    directory = context.runtime.settings.bridge_data_dir / "reconcile"
    data = _compare(context, run_reconcile, directory=directory).data()
    context.details = {name: data[name] for name in ("behind", "dead")}
    listed = {name: charges[:LISTED] for name, charges in context.details.items()}
    unknown = [str(one["customer"]) for one in listed["behind"][:PREVIEWED] if one.get("customer")]
    return {**data, **listed, "names": _names(context.runtime, data["account"], unknown)}


def backfill_preview(context: JobContext) -> Result:
    """Preview the events that a backfill would bring in, and their deliveries; nothing is changed."""
    runtime = context.runtime
    collected = _compare(context, collect, only=BEHIND)
    found = collected.events
    stored = [as_stored(runtime.journal, event) for event in found[:PREVIEWED]]
    shown = preview_events(runtime, stored, runtime.mappings.current(at_once=True))
    return {
        "keys": [event.key for event in found],
        "names": dict(Counter(event.name for event in found)),
        "unknown": [str(one.charge.get("id")) for one in collected.unknown],
        "previews": [
            {"charge": event.object_id, "customer": event.subject, "created": event.created, **told, **asdict(one)}
            for event, told, one in zip(found[:PREVIEWED], _told(runtime, stored), shown, strict=True)
        ],
    }


def _told(runtime: Runtime, found: Sequence[StoredEvent]) -> list[dict[str, Any]]:
    """Return customer's name, value and description of events of one account that are not in the journal."""
    names = _names(runtime, found[0].account, [one.subject for one in found]) if found else {}
    result = []
    for event in found:
        charge = json.loads(event.body).get(event.entity) or {}
        told = {"who": names.get(event.subject, ""), "value": amount_of(charge), "description": description_of(charge)}
        result.append(told)
    return result


def _names(runtime: Runtime, account: str, customers: Iterable[str]) -> dict[str, str]:
    """Return the names of an account's customers, of those that are known.

    Asaas is asked while there is quota for what no event waits for.
    """
    ids = sorted({one for one in customers if one.startswith(PREFIX)})
    asked = [(account, {"customer": one}) for one in ids]
    has_quota = runtime.limiters[account].has_spare_quota()
    answers = runtime.enricher.fetch_many(asked) if has_quota else runtime.enricher.from_cache(asked)
    found = {one: answer.get("customer") for one, answer in zip(ids, answers, strict=True) if isinstance(answer, dict)}
    return {one: str(customer["name"]) for one, customer in found.items() if customer and customer.get("name")}


def backfill(context: JobContext) -> Result:
    """Bring in the events that the preview showed and that are still missing."""
    runtime = context.runtime
    keys = frozenset(context.params["keys"])
    wanted = [event for event in _compare(context, collect, only=BEHIND).events if event.key in keys]
    made, lanes = [], set[int]()
    for event, lane, stored_event in append_events(runtime.journal, wanted, runtime.clock_ms):
        made.append({"id": stored_event.id, "event": event.name, "charge": event.object_id})
        lanes.add(lane)
        context.update(len(made), len(wanted))
    runtime.wake(lanes)
    return {"made": made, "not_missing": len(keys) - len(made)}


def replay_previews(runtime: Runtime, ids: Sequence[int], mapping: str | None) -> Iterator[Preview]:
    """Yield what a replay of these events, through one mapping or all, would make of each."""
    return preview(runtime, ids, mapping, runtime.mappings.current(at_once=True))


def previews_now(ids: Sequence[int], mapping: str | None) -> list[Preview]:
    """Return these previews within the time of a request, or one preview that says why there are none yet."""
    try:
        return external_call(lambda: list(replay_previews(runtime, ids, mapping)))
    except (ConsoleBusy, NoAnswerYet) as error:
        return [Preview(ids[0], "", problem=error.text())]


def replay_preview(context: JobContext) -> Result:
    """Preview a replay of these events through a mapping; nothing is changed."""
    ids, found = context.params["ids"], []
    with context.runtime.journal.database.read() as connection:
        replays = bulk.replays_of(connection, ids)  # first: an event that is replayed meanwhile is not sent twice
    for one in replay_previews(context.runtime, ids, context.params["mapping"]):
        found.append(asdict(one))
        context.update(len(found), len(ids))
    return {"ids": ids, "replays": replays, "previews": found}


def run_bulk(context: JobContext) -> None:
    """Change many deliveries or events; the job is finished, or left to another process, when this returns."""
    bridge = context.runtime
    bulk.run(bridge.journal, context.id, context.runner or "", bridge.clock_ms, bridge.wake)
