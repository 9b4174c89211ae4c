"""Periodic tasks over all processes: the lease of the one that runs them, and when something is due again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select, update

from bridge.journal.schema import meta
from bridge.journal.upsert import unless_there

_FIRST = unless_there(meta)
_NO_LEASE = "0 "
TASKS = "tasks"
"""The result under this name says for each periodic task until when it is in time."""


def leased_to(connection: Connection, name: str, for_ms: int, now_ms: int) -> str:
    """Return the owner of the lease, empty where nobody has it; it lasts `for_ms` from its last renewal."""
    value = connection.execute(select(meta.c.value).where(meta.c.key == _lease_key(name))).scalar_one_or_none()
    return _live_owner(value or _NO_LEASE, for_ms, now_ms)


def lease(connection: Connection, name: str, owner: str, for_ms: int, now_ms: int) -> bool:
    """Take the lease or renew it; return whether this owner has it."""
    key = _lease_key(name)
    connection.execute(_FIRST.of(connection), {"key": key, "value": _NO_LEASE})
    value = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one()
    if _live_owner(value, for_ms, now_ms) not in {"", owner}:
        return False
    taken = update(meta).where(meta.c.key == key, meta.c.value == value).values(value=f"{now_ms + for_ms} {owner}")
    return connection.execute(taken).rowcount == 1


def end_lease(connection: Connection, name: str, owner: str) -> None:
    """Give the lease back, where this owner has it."""
    of_owner = meta.c.value.endswith(f" {owner}", autoescape=True)
    connection.execute(update(meta).where(meta.c.key == _lease_key(name), of_owner).values(value=_NO_LEASE))


def _live_owner(value: str, for_ms: int, now_ms: int) -> str:
    until_ms, _, owner = value.partition(" ")
    # A lease that ends later than one that begins now was taken while the clock was ahead.
    return owner if now_ms < int(until_ms) <= now_ms + for_ms else ""


def claim(connection: Connection, name: str, every_ms: int, now_ms: int) -> bool:
    """Return whether a round is due and this caller is the one to do it; the next is due after `every_ms`."""
    key = _key(name)
    connection.execute(_FIRST.of(connection), {"key": key, "value": "0"})
    next_ms = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one()
    # One that is further away than a whole round was set when rounds were longer.
    if now_ms < int(next_ms) <= now_ms + every_ms:
        return False
    taken = update(meta).where(meta.c.key == key, meta.c.value == next_ms).values(value=str(now_ms + every_ms))
    return connection.execute(taken).rowcount == 1


def again_at(connection: Connection, name: str, at_ms: int) -> None:
    """Let the next round be due then: this one was broken off."""
    connection.execute(update(meta).where(meta.c.key == _key(name)).values(value=str(at_ms)))


def note_result(connection: Connection, name: str, result: Mapping[str, int]) -> None:
    """Keep the numbers that the last round found, such as the charges that are missing."""
    row = {"key": _result_key(name), "value": json.dumps(dict(result))}
    connection.execute(_FIRST.of(connection), row)
    connection.execute(update(meta).where(meta.c.key == row["key"]).values(value=row["value"]))


def results(connection: Connection, names: Collection[str]) -> dict[str, dict[str, int]]:
    """Return by name what the last round found, for those that had one."""
    keys = {_result_key(name): name for name in names}
    rows = connection.execute(select(meta.c.key, meta.c.value).where(meta.c.key.in_(list(keys))))
    return {keys[row.key]: json.loads(row.value) for row in rows}


def late_tasks(connection: Connection, now_ms: int) -> list[str]:
    """Return the names of the periodic tasks that no process has done in time; none where none ever ran."""
    known = results(connection, [TASKS]).get(TASKS, {})
    return sorted(name for name, until_ms in known.items() if until_ms < now_ms)


def _lease_key(name: str) -> str:
    return f"lease:{name}"


def _result_key(name: str) -> str:
    return f"result:{name}"


def _key(name: str) -> str:
    return f"next_ms:{name}"
