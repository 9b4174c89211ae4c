"""When something that is done now and then is due again, over all processes: one of them gets each round."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select, update

from bridge.journal.schema import meta
from bridge.journal.upsert import unless_there

_FIRST = unless_there(meta)
TASKS = "tasks"
"""The result under this name says for each periodic task until when it is in time."""


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
    """Return the names of the periodic tasks that no sweeper has done in time; none where none ever ran."""
    known = results(connection, [TASKS]).get(TASKS, {})
    return sorted(name for name, until_ms in known.items() if until_ms < now_ms)


def _result_key(name: str) -> str:
    return f"result:{name}"


def _key(name: str) -> str:
    return f"next_ms:{name}"
