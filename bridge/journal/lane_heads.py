"""The first rows of each of several lanes, in one statement that costs the same however many rows stand behind them.

One range over all the lanes would have to sort everything that is due in them: with a long backlog, thousands of rows
for each look. Both databases can take a few rows of each lane's own index range instead, each in words of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, text

# CROSS JOIN: SQLite keeps this order; in the other one it would ask for each row of the table which lanes it heads.
_SQLITE = """
SELECT {columns} FROM json_each(:places) AS place
CROSS JOIN {table} ON {table}.id IN (
    SELECT head.id FROM {table} AS head
    WHERE head.lane = CAST(place.key AS INTEGER) AND {where} ORDER BY {order} LIMIT :each)
"""
_POSTGRESQL = """
SELECT {columns} FROM unnest(CAST(:lanes AS int[]), CAST(:afters AS bigint[])) AS place(lane, value)
CROSS JOIN LATERAL (
    SELECT * FROM {table} AS head
    WHERE head.lane = place.lane AND {where} ORDER BY {order} LIMIT :each) AS {table}
"""


class Heads:
    """A query for the first rows of lanes; in `where` and `order` the table is called `head`, a lane's mark `place`.

    `lists` names the parameters that are lists, none of them empty.
    """

    def __init__(
        self,
        table: str,
        columns: str,
        where: str,
        order: str,
        lists: Sequence[str] = (),
    ) -> None:
        parts = {"table": table, "columns": columns, "where": where, "order": order}
        expanding: list[BindParameter[Any]] = [bindparam(each, expanding=True) for each in lists]
        self._statements = {
            name: text(words.format_map(parts)).bindparams(*expanding)
            for name, words in (("sqlite", _SQLITE), ("postgresql", _POSTGRESQL))
        }

    def read(
        self, connection: Connection, marks: Mapping[int, int], each: int, **more: Any
    ) -> list[Row[*tuple[Any, ...]]]:
        """Return up to `each` rows of each lane; `marks` gives for each lane the number that is its `place.value`."""
        name = connection.dialect.name
        if name == "sqlite":
            more["places"] = json.dumps(marks)
        else:
            more |= {"lanes": list(marks), "afters": list(marks.values())}
        return list(connection.execute(self._statements[name], {**more, "each": each}).all())
