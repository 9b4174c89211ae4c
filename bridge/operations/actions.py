"""A person's changes to deliveries, events and destinations: one transaction each, with an entry in the audit trail."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select, update

from bridge.errors import ChangedMeanwhile, IllegalTransition, NotFound
from bridge.failpoints import failpoint
from bridge.journal import Journal, audit, destinations, events, lanes, queries, retention, statistics
from bridge.journal.audit import Actor
from bridge.journal.deliveries import set_first_due
from bridge.journal.destinations import Resumed
from bridge.journal.queries import DeadFilter
from bridge.journal.schema import deliveries as table
from bridge.journal.schema import events as event_table
from bridge.messages import N_, Message, message
from bridge.model import DISCARDABLE, FINISHED, TRANSITIONS, DeliveryState, EventState


def retry(
    journal: Journal, delivery_id: int, now_ms: int, *, by: Actor | None = None, dead_by_ms: int | None = None
) -> DeliveryState:
    """Send the same payload again, a waiting one now; return the state before.

    A stale delivery is sent although a newer event was delivered. With `dead_by_ms` only one that has been dead since
    then is sent. One that waits for a paused destination can't be sent sooner.
    Raises NotFound, IllegalTransition, ChangedMeanwhile, BodyEmptied.
    """
    with journal.database.write() as connection:
        before = _locked(connection, delivery_id, dead_by_ms)
        state = DeliveryState(before.state)
        _note(connection, by, "delivery.retried", delivery_id, now_ms, was=state, **_cause(before))
        change = update(table).where(table.c.id == delivery_id)
        if state in {DeliveryState.PENDING, DeliveryState.RETRYING}:
            place = destinations.load(connection).get(before.destination)
            if place is not None and place.paused_ms is not None:
                what = N_("delivery {delivery} waits for the destination {destination}, which is paused")
                hint = N_("run: bridge destinations resume {destination}")
                raise IllegalTransition(what, hint=hint, delivery=delivery_id, destination=before.destination)
            connection.execute(change.where(table.c.due_ms.is_not(None)).values(due_ms=now_ms, waiting=None))
        else:
            retention.check_full(connection, [before.event_id])
            if DeliveryState.PENDING not in TRANSITIONS[state] or before.payload is None:
                what = N_("delivery {delivery} is {state} and can't be retried")
                hint = N_("to send its event through today's mapping: bridge events replay {event}")
                if state is DeliveryState.SENDING:
                    hint = N_("it is being sent right now; check again in a moment")
                facts = {"delivery": delivery_id, "state": Message(state.value), "event": before.event_id}
                raise IllegalTransition(what, hint=hint, **facts)
            pending = {
                "state": DeliveryState.PENDING.value,
                "forgiven": before.attempts,
                "skip_stale": before.skip_stale and state is not DeliveryState.STALE,
            }
            empty = dict.fromkeys(("due_ms", "waiting", "finished_ms", "reason_code", "reason", "answer"))
            connection.execute(change.values(**pending, **empty))
            set_first_due(connection, (before.account, before.subject, before.line), now_ms)
            if state is DeliveryState.DEAD:
                queries.close_notice(connection, before.destination, now_ms)
        failpoint("retry.before_commit")
    failpoint("retry.after_commit")
    return state


def discard(
    journal: Journal, delivery_id: int, now_ms: int, *, by: Actor | None = None, dead_by_ms: int | None = None
) -> DeliveryState:
    """Discard a delivery, which frees its line; return the state before.

    With `dead_by_ms` only one that has been dead since then. Raises NotFound, IllegalTransition, ChangedMeanwhile.
    """
    with journal.database.write() as connection:
        return _discard(connection, delivery_id, now_ms, by, replaced=False, dead_by_ms=dead_by_ms)


def _discard(
    connection: Connection,
    delivery_id: int,
    now_ms: int,
    by: Actor | None,
    *,
    replaced: bool,
    dead_by_ms: int | None = None,
) -> DeliveryState:
    before = _locked(connection, delivery_id, dead_by_ms)
    state = DeliveryState(before.state)
    if state not in DISCARDABLE:
        what = N_("delivery {delivery} is {state} and can't be discarded")
        raise IllegalTransition(what, delivery=delivery_id, state=Message(state.value))
    reason = N_("a replay replaced it") if replaced else N_("a person discarded it")
    connection.execute(
        update(table)
        .where(table.c.id == delivery_id)
        .values(
            state=DeliveryState.DISCARDED.value,
            due_ms=None,
            waiting=None,
            finished_ms=now_ms,
            reason_code="delivery.replaced" if replaced else "delivery.discarded",
            reason=Message(reason).to_json(),
        )
    )
    if replaced:
        statistics.leave_out(connection, delivery_id)
    _note(connection, by, "delivery.discarded", delivery_id, now_ms, was=state, **_cause(before))
    if state not in FINISHED:
        set_first_due(connection, (before.account, before.subject, before.line), now_ms)
    if state is DeliveryState.DEAD:
        queries.close_notice(connection, before.destination, now_ms)
    return state


def replay(
    journal: Journal,
    event_id: int,
    mapping: str | None,
    now_ms: int,
    *,
    by: Actor | None = None,
    instead_of: int | None = None,
    dead_by_ms: int | None = None,
    after: int | None = None,
) -> int:
    """Send an event through today's mappings, or one of them, again; return the number of the replay.

    The replay makes new deliveries, and the same commit discards the event's dead ones, or only `instead_of`, which
    must have been dead since `dead_by_ms`. With `after` the event is replayed only where that is the number of its last
    replay. Raises NotFound, BodyEmptied, ChangedMeanwhile, and IllegalTransition where the event still waits for
    today's mappings: a replay of one mapping would take it from the others.
    """
    with journal.database.write() as connection:
        lane = connection.scalar(select(event_table.c.lane).where(event_table.c.id == event_id))
        if lane is None:
            raise NotFound(N_("no event has the number {number}"), hint=N_("see: bridge events list"), number=event_id)
        lanes.lock(connection, [lane])
        if instead_of is not None:
            _locked(connection, instead_of, dead_by_ms)
        replays = select(event_table.c.state, event_table.c.replay).where(event_table.c.id == event_id)
        state, last = connection.execute(replays).one()
        if after is not None and last != after:
            raise ChangedMeanwhile(N_("event {event} was replayed meanwhile"), event=event_id)
        if state != EventState.PROCESSED:
            what, hint = N_("event {event} is not processed yet"), N_("try again later; see: bridge events show")
            raise IllegalTransition(what, hint=hint, event=event_id)
        retention.check_full(connection, [event_id])
        _note(connection, by, "event.replayed", event_id, now_ms, **({"mapping": mapping} if mapping else {}))
        number = events.ask_replay(connection, event_id, mapping, now_ms)
        if instead_of is not None:
            replaced = [instead_of]
        else:
            dead = queries.dead_page(connection, DeadFilter(event_id=event_id, mapping=mapping or ""))
            replaced = [id_ for id_, _, _ in dead]
        for delivery_id in replaced:
            _discard(connection, delivery_id, now_ms, by, replaced=True)
        failpoint("replay.before_commit")
    failpoint("replay.after_commit")
    return number


def pause(journal: Journal, name: str, reason: str | Message, now_ms: int, *, by: Actor | None = None) -> None:
    """Stop sending to a destination; its deliveries wait. Raises NotFound."""
    with journal.database.write() as connection:
        _known(connection, name)
        _note(connection, by, "destination.paused", name, now_ms)
        destinations.pause(connection, name, message(reason).to_json(), now_ms)


def resume(journal: Journal, name: str, now_ms: int, *, by: Actor | None = None) -> Resumed:
    """Send to a destination again; where its circuit is open, one delivery goes first. Raises NotFound."""
    with journal.database.write() as connection:
        _known(connection, name)
        _note(connection, by, "destination.resumed", name, now_ms)
        return destinations.resume(connection, name, now_ms, with_probe=True)


def _note(connection: Connection, by: Actor | None, action: str, about: str | int, now_ms: int, **detail: str) -> None:
    if by is not None:
        audit.note(connection, by, action, str(about), now_ms, detail)


def _known(connection: Connection, name: str) -> None:
    if name not in destinations.load(connection):
        raise NotFound(N_("no destination is named {name!r}"), hint=N_("see: bridge destinations list"), name=name)


def _cause(before: Row[Any]) -> dict[str, str]:
    return {"code": before.reason_code or "", "destination": before.destination} if before.state == "dead" else {}


def _locked(connection: Connection, delivery_id: int, dead_by_ms: int | None = None) -> Row[Any]:
    lane = connection.scalar(select(table.c.lane).where(table.c.id == delivery_id))
    if lane is None:
        hint = N_("see: bridge deliveries list")
        raise NotFound(N_("no delivery has the number {number}"), hint=hint, number=delivery_id)
    lanes.lock(connection, [lane])
    row = connection.execute(select(table).where(table.c.id == delivery_id)).one()
    if dead_by_ms is not None and (row.state != DeliveryState.DEAD or (row.finished_ms or 0) > dead_by_ms):
        raise ChangedMeanwhile(N_("delivery {delivery} is no longer failed as it was"), delivery=delivery_id)
    return row
