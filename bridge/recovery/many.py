"""A person's decision about many dead deliveries, taken piece by piece, so that it can be watched and broken off.

A replay puts the dead delivery aside once its event was handed to today's mappings: what comes of it stands in a new
delivery, and the old one needs nobody any more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.errors import BridgeError
from bridge.journal import Journal, audit, dead
from bridge.journal.audit import Actor
from bridge.journal.dead import Chosen, Dead
from bridge.recovery import actions

PIECE = 200
PIECE_S = 1.5
"""Of one piece: short enough that somebody who watches sees it go on."""


class Decision(StrEnum):
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


def go_on(
    journal: Journal, decision: Decision, chosen: Chosen, progress: Progress, now_ms: int, by: Actor | None = None
) -> Progress:
    """Do the next piece and return how far it is; once finished, it stands in the audit trail."""
    with journal.database.read() as connection:
        piece = dead.some(connection, chosen, progress.after_id, PIECE)
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


def _decide(journal: Journal, decision: Decision, one: Dead, now_ms: int) -> None:
    if decision is Decision.RETRY:
        actions.retry(journal, one.id, now_ms)
    elif decision is Decision.DISCARD:
        actions.discard(journal, one.id, now_ms)
    else:
        # One commit: were it killed between two, the next run would replay the event once more.
        actions.replay(journal, one.event_id, one.mapping, now_ms, instead_of=one.id)
