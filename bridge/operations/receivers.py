"""Changes to the receivers of alerts, and tests of them, for the console and for commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from bridge.alerts import send
from bridge.alerts.plan import FAILING, Area
from bridge.alerts.send import Result, problem_of
from bridge.alerts.summary import next_morning_ms
from bridge.errors import KeyNeeded, NotFound, UsageError
from bridge.journal import Journal, audit, encryption, notices, receivers
from bridge.journal.audit import Actor
from bridge.journal.notices import Resolved
from bridge.journal.receivers import Receiver
from bridge.messages import N_
from bridge.model import NoticeLevel
from bridge.operations.accounts import MAKE_KEY
from bridge.settings import Settings

MOST_NAME = 120


@dataclass(frozen=True, slots=True)
class Choice:
    """The alerts that a receiver wants."""

    areas: Collection[str] = ()
    """Empty: all."""
    accounts: Collection[str] = ()
    """Empty: all."""
    level: str = NoticeLevel.WARNING.value
    summary: bool = False


def load(journal: Journal, settings: Settings) -> list[Receiver]:
    """Return the receivers, that of the environment first where it has URLs."""
    with journal.database.read() as connection:
        kept = receivers.load(connection)
    environment = next(
        (one for one in kept if one.is_environment), Receiver(receivers.ENVIRONMENT, receivers.ENVIRONMENT_NAME)
    )
    return [*([environment] if settings.bridge_alert_urls else []), *(one for one in kept if not one.is_environment)]


def save_receiver(
    journal: Journal, actor: Actor, now_ms: int, id_: int | None, name: str, url: str | None, choice: Choice
) -> int:
    """Add a receiver, or change that of this id; return the id. None leaves the address as it is.

    Raises KeyNeeded, UsageError, NotFound.
    """
    name = " ".join(name.split())
    if not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise UsageError(N_("a name must have 1 to {most} characters"), most=MOST_NAME)
    if unknown := set(choice.areas) - set(Area):
        raise UsageError(N_("there is no area {name!r}"), name=min(unknown))
    if not journal.database.keyring:
        raise KeyNeeded(hint=MAKE_KEY)
    if url is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", url):
        raise UsageError(N_("the address is none that apprise can use"))
    with journal.database.write() as connection:
        encryption.prepare(connection)
        kept = {one.id: one for one in receivers.load(connection)}
        before = kept.get(id_) if id_ else None
        if id_ is not None and before is None:
            raise NotFound(N_("there is no such receiver of alerts"))
        if name == receivers.ENVIRONMENT_NAME or any(one.name == name and one.id != id_ for one in kept.values()):
            raise UsageError(N_("another receiver is named {name!r}"), name=name)
        morning_ms = (before and before.summary_ms) or next_morning_ms(now_ms)
        values = {
            "name": name,
            "areas": [area for area in Area if area in choice.areas],
            "accounts": sorted(choice.accounts),
            "level": NoticeLevel(choice.level).value,
            "summary_ms": morning_ms if choice.summary else None,
        }
        if url is not None:
            values |= {"url": url, "failing_ms": None, "problem": None}
            notices.apply(connection, [Resolved(FAILING, name)], now_ms)
        if before is not None and before.name != name:
            notices.apply(connection, [Resolved(FAILING, before.name)], now_ms)
        saved = receivers.put(connection, id_, now_ms, **values)
        audit.note(connection, actor, "receiver.changed" if before else "receiver.added", name, now_ms)
    return saved


def remove_receiver(journal: Journal, actor: Actor, now_ms: int, id_: int) -> str:
    """Remove a receiver and return its name. Raises NotFound."""
    with journal.database.write() as connection:
        name = next((one.name for one in receivers.load(connection) if one.id == id_ and id_), None)
        if name is None:
            raise NotFound(N_("there is no such receiver of alerts"))
        receivers.remove(connection, id_)
        notices.apply(connection, [Resolved(FAILING, name)], now_ms)
        audit.note(connection, actor, "receiver.removed", name, now_ms)
    return name


def send_trial(journal: Journal, settings: Settings, clock_ms: Callable[[], int], receiver: Receiver) -> list[Result]:
    """Send a test message to a receiver, store the result, and return that of each of its addresses."""
    message = send.trial(settings.bridge_language)
    urls = settings.bridge_alert_urls if receiver.is_environment else [receiver.url or ""]
    allow_private = receiver.is_environment or settings.bridge_allow_private_destinations
    results = send.send(urls, message, allow_private=allow_private)
    with journal.database.write() as connection:
        receivers.record(connection, receiver.id, clock_ms(), problem_of(results))
        if not problem_of(results):
            notices.apply(connection, [Resolved(FAILING, receiver.name)], clock_ms())
    return results
