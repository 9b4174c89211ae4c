"""A person's changes to the journal, one transaction each, in which it is also noted who made them (`by`)."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select, update

from bridge.errors import BridgeError, IllegalTransition, NotFound
from bridge.failpoints import failpoint
from bridge.journal import Journal, audit, destinations, events, lanes, queries, retention, statistics
from bridge.journal.audit import Actor
from bridge.journal.deliveries import set_first_due
from bridge.journal.queries import Dead, DeadFilter
from bridge.journal.schema import deliveries as table
from bridge.journal.schema import events as event_table
from bridge.model import FINISHED, TRANSITIONS, DeliveryState, EventState


def retry(journal: Journal, delivery_id: int, now_ms: int, *, by: Actor | None = None) -> DeliveryState:
    """Send the same payload again: now where it waits, anew where it is dead or stale; return the state it was in.

    A stale delivery that a person retries is sent although a newer event was delivered: that is what the person said.
    Raises NotFound, IllegalTransition, BodyEmptied.
    """
    with journal.database.write() as connection:
        state = _retry(connection, delivery_id, now_ms, by)
        failpoint("retry.before_commit")
    failpoint("retry.after_commit")
    return state


def _retry(connection: Connection, delivery_id: int, now_ms: int, by: Actor | None) -> DeliveryState:
    before = _locked(connection, delivery_id)
    state = DeliveryState(before.state)
    _note(connection, by, "delivery.retried", delivery_id, now_ms, was=state)
    if state in {DeliveryState.PENDING, DeliveryState.RETRYING}:
        connection.execute(
            update(table)
            .where(table.c.id == delivery_id, table.c.due_ms.is_not(None))
            .values(due_ms=now_ms, waiting=None)
        )
        return state
    retention.check_full(connection, [before.event_id])
    if DeliveryState.PENDING not in TRANSITIONS[state] or before.payload is None:
        raise IllegalTransition(
            f"delivery {delivery_id} is {state} and can't be retried", hint=_instead(state, before.event_id)
        )
    connection.execute(
        update(table)
        .where(table.c.id == delivery_id)
        .values(
            state=DeliveryState.PENDING.value,
            forgiven=before.attempts,
            skip_stale=before.skip_stale and state is not DeliveryState.STALE,
            due_ms=None,
            waiting=None,
            finished_ms=None,
            reason_code=None,
            reason=None,
        )
    )
    set_first_due(connection, (before.account, before.subject, before.line), now_ms)
    if state is DeliveryState.DEAD:
        queries.close_notice(connection, before.destination, now_ms)
    return state


def _instead(state: DeliveryState, event_id: int) -> str:
    if state is DeliveryState.SENDING:
        return "it is being sent right now; look again in a moment"
    return f"to send its event through today's mapping: bridge events replay {event_id}"


def discard(journal: Journal, delivery_id: int, now_ms: int, *, by: Actor | None = None) -> DeliveryState:
    """Decide that a delivery is not owed, which frees its line; return the state it was in.

    Raises NotFound, IllegalTransition.
    """
    with journal.database.write() as connection:
        return _discard(connection, delivery_id, now_ms, by, replaced=False)


def _discard(
    connection: Connection, delivery_id: int, now_ms: int, by: Actor | None, *, replaced: bool
) -> DeliveryState:
    before = _locked(connection, delivery_id)
    state = DeliveryState(before.state)
    if DeliveryState.DISCARDED not in TRANSITIONS[state]:
        raise IllegalTransition(f"delivery {delivery_id} is {state} and can't be discarded")
    connection.execute(
        update(table)
        .where(table.c.id == delivery_id)
        .values(
            state=DeliveryState.DISCARDED.value,
            due_ms=None,
            waiting=None,
            finished_ms=now_ms,
            reason_code="delivery.replaced" if replaced else "delivery.discarded",
            reason="a replay took its place" if replaced else "discarded by a person",
        )
    )
    if replaced:
        statistics.leave_out(connection, delivery_id)
    _note(connection, by, "delivery.discarded", delivery_id, now_ms, was=state)
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
) -> int:
    """Send an event through today's mappings (or one of them) again; return the replay's number.

    What comes of it stands in new deliveries: the dead ones that the event has now are discarded in the same commit, or
    only the one that `instead_of` names. Raises NotFound, and IllegalTransition where the
    event still waits: it goes through today's mappings anyway, and a replay of one mapping in its place would take it
    from the others. Raises BodyEmptied where its body is gone.
    """
    with journal.database.write() as connection:
        lane = connection.scalar(select(event_table.c.lane).where(event_table.c.id == event_id))
        if lane is None:
            raise NotFound(f"no event has the number {event_id}", hint="see: bridge events list")
        lanes.lock(connection, lane)
        if connection.scalar(select(event_table.c.state).where(event_table.c.id == event_id)) != EventState.PROCESSED:
            raise IllegalTransition(
                f"event {event_id} still waits to be processed", hint="look again when it is: bridge events show"
            )
        retention.check_full(connection, [event_id])
        _note(connection, by, "event.replayed", event_id, now_ms, **({"mapping": mapping} if mapping else {}))
        number = events.ask_replay(connection, event_id, mapping, now_ms)
        replaced = queries.dead_ids(connection, event_id, mapping=mapping) if instead_of is None else [instead_of]
        for delivery_id in replaced:
            _discard(connection, delivery_id, now_ms, by, replaced=True)
        failpoint("replay.before_commit")
    failpoint("replay.after_commit")
    return number


def pause(journal: Journal, name: str, reason: str, now_ms: int, *, by: Actor | None = None) -> None:
    """Stop sending to a destination; its work waits. Raises NotFound."""
    with journal.database.write() as connection:
        _known(connection, name)
        _note(connection, by, "destination.paused", name, now_ms)
        destinations.pause(connection, name, reason, now_ms)


def resume(journal: Journal, name: str, now_ms: int, *, by: Actor | None = None) -> int:
    """Send to a destination again; return how many lines were waiting. Raises NotFound."""
    with journal.database.write() as connection:
        _known(connection, name)
        _note(connection, by, "destination.resumed", name, now_ms)
        return destinations.resume(connection, name, now_ms)


def _note(connection: Connection, by: Actor | None, action: str, about: str | int, now_ms: int, **detail: str) -> None:
    if by is not None:
        audit.note(connection, by, action, str(about), now_ms, detail)


def _known(connection: Connection, name: str) -> None:
    if name not in destinations.load(connection):
        raise NotFound(f"no destination is named {name!r}", hint="see: bridge destinations list")


def _locked(connection: Connection, delivery_id: int) -> Row[Any]:
    lane = connection.scalar(select(table.c.lane).where(table.c.id == delivery_id))
    if lane is None:
        raise NotFound(f"no delivery has the number {delivery_id}", hint="see: bridge deliveries list")
    lanes.lock(connection, lane)
    return connection.execute(select(table).where(table.c.id == delivery_id)).one()


PIECE = 200
PIECE_S = 1.5
"""Of one piece: short enough that somebody who watches sees it go on."""


class BulkAction(StrEnum):
    """What is done to each of them."""

    RETRY = "retry"
    REPLAY = "replay"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a decision about many has come."""

    total: int
    done: int = 0
    refused: int = 0
    """Those that were no longer dead, or could not be changed."""
    after_id: int = 0
    finished: bool = False


def run_step(
    journal: Journal, decision: BulkAction, chosen: DeadFilter, progress: Progress, now_ms: int, by: Actor | None = None
) -> Progress:
    """Do the next piece and return how far it is; once finished, it stands in the audit trail."""
    with journal.database.read() as connection:
        piece = queries.dead_page(connection, chosen, progress.after_id, PIECE)
    until_s = time.monotonic() + PIECE_S
    for one in piece:
        try:
            _decide(journal, decision, one, now_ms)
            progress = replace(progress, done=progress.done + 1, after_id=one.id)
        except BridgeError:
            progress = replace(progress, refused=progress.refused + 1, after_id=one.id)
        if time.monotonic() > until_s:
            return progress
    if len(piece) == PIECE:
        return progress
    if by is not None:
        detail = {"done": progress.done, "refused": progress.refused, "destination": chosen.destination}
        about = " ".join(part for part in (chosen.mapping, chosen.code) if part)
        with journal.database.write() as connection:
            audit.note(connection, by, f"bulk.{decision}", about, now_ms, detail)
    return replace(progress, finished=True)


def _decide(journal: Journal, decision: BulkAction, one: Dead, now_ms: int) -> None:
    if decision is BulkAction.RETRY:
        retry(journal, one.id, now_ms)
    elif decision is BulkAction.DISCARD:
        discard(journal, one.id, now_ms)
    else:
        # One commit: were it killed between two, the next run would replay the event once more.
        replay(journal, one.event_id, one.mapping, now_ms, instead_of=one.id)
