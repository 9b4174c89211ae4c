"""The places at which a test lets a process die, as by `kill -9`: one for each boundary between two steps.

`BRIDGE_FAILPOINT=ingress.after_commit` kills the process there, `ingress.after_commit:3` on its third pass. Each
process counts its own passes. `tests/torture` tries every one of them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Mapping

from bridge.messages import N_, message

FAILPOINTS: Mapping[str, str] = {
    "ingress.before_write": "an event is posted, nothing is written",
    "append.before_commit": "the statement that keeps events is ready, nothing is committed",
    "ingress.after_commit": "events are committed, nobody is answered and no lane is woken",
    "ingress.before_wake": "the senders of the events know of the commit, no lane is woken",
    "ingress.before_answer": "the event is kept, Asaas is not answered",
    "wake.before_queue": "the wake-up is marked in Redis and not in the queue",
    "wake.after_queue": "the wake-up is in the queue",
    "sweep.before_wake": "lanes with due work are found, none is woken",
    "lane.after_lease": "lanes are leased, nothing is done in them",
    "lane.before_release": "nothing is left to do, the lanes are still leased",
    "lane.after_release": "the lanes are released, not checked once more",
    "process.before_write": "the events are decided, nothing is written",
    "process.before_commit": "deliveries are written, not committed",
    "process.after_commit": "deliveries are committed, none is started",
    "deliver.intent_before_commit": "an attempt's intent is written, not committed",
    "deliver.intent_after_commit": "an attempt's intent is committed, nothing is handed to a sender",
    "deliver.before_send": "a sender has the delivery, nothing has left the bridge",
    "deliver.after_send": "the destination has answered, nothing is written",
    "deliver.outcome_before_commit": "the answer is written, not committed",
    "deliver.outcome_after_commit": "the answer is committed, nothing that follows from it is done",
    "deal.after_claim": "a deal key is claimed, nothing is asked of Clint",
    "deal.contact_marked": "the create of a contact is marked, not sent",
    "deal.contact_created": "Clint has created the contact, its id is not noted",
    "deal.contact_noted": "the contact's id is noted, there is no deal",
    "deal.create_marked": "the create of a deal is marked, not sent",
    "deal.created": "Clint has created the deal, its id is not noted",
    "deal.create_noted": "the deal's id is noted, its status is not written",
    "deal.update_marked": "the update of a deal is marked, not sent",
    "deal.updated": "Clint has changed the deal, which is not noted",
    "deal.update_noted": "the deal's stage and status are noted, the contact is not changed",
    "deal.contact_updated": "Clint has changed the contact, which is not noted",
    "deal.tagged": "Clint has added the contact's tags, which is not noted",
    "deal.before_release": "nothing is left to do for a deal or a contact, its key is still claimed",
    "retry.before_commit": "a person's retry is written, not committed",
    "retry.after_commit": "a person's retry is committed",
    "replay.before_commit": "a person's replay is written, not committed",
    "replay.after_commit": "a person's replay is committed",
    "backfill.before_append": "the missing events are known, none is written",
    "backfill.after_append": "a batch of missing events is committed, no lane is woken",
    "backfill.before_wake": "all missing events are committed, no lane is woken",
    "migration.before_steps": "the journal is locked for a migration, nothing is changed",
    "migration.after_step": "one of the migration's steps is done, not committed",
    "migration.before_commit": "all of the migration's steps are done, not committed",
    "migration.after_commit": "the migration is committed",
}
"""Name -> the state of things there."""

_armed: str | None = None
_passes_left = 0
_counting = threading.Lock()


def parse(text: str) -> str:
    """Return an empty text, or one that names a failpoint and perhaps a pass; raise ValueError with the rule."""
    name = text.partition(":")[0]
    if text and (name not in FAILPOINTS or not re.fullmatch(r"(:[1-9]\d{0,5})?", text[len(name) :])):
        rule = N_("must be one of {names}, with :3 after it for the third pass")
        raise ValueError(message(rule, names=", ".join(sorted(FAILPOINTS))))
    return text


def arm(text: str) -> None:
    """Arm this process by a text of `parse`; an empty text disarms it."""
    global _armed, _passes_left
    name, _, passes = text.partition(":")
    _passes_left = int(passes or 1)
    _armed = name or None


def failpoint(name: str) -> None:
    """Die here where this is the armed failpoint and its pass."""
    if name == _armed:
        _count(name)


def _count(name: str) -> None:
    global _passes_left
    with _counting:
        _passes_left -= 1
        if _passes_left == 0:
            # The logger may hold the line back, and the process has no time left.
            os.write(2, json.dumps({"action": "failpoint.reached", "failpoint": name}).encode() + b"\n")
            os.kill(os.getpid(), signal.SIGKILL)
