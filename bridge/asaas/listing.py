"""Walks through a list of the Asaas API, a hundred objects at a time, from any place in it.

Each request takes a turn from the account's governor, as every other does. Where Asaas says to wait, or does not
answer, the walk waits and asks again; a quota that is used up ends it, and the offset says where to go on. It relies on
`offset`, `limit`, `hasMore` and `totalCount` (docs listagem-e-paginacao); the order of a list is not documented.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.errors import AsaasRateLimited, AsaasUnavailable

LIMIT = 100
"""The most that Asaas gives in one page."""

TRIES = 6
"""Tries for one page; with the waits between them an outage of about a minute is sat out."""


class Reads(Protocol):
    """The API of one account."""

    account: str

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any] | None:
        """Return what the API has at the path, or None where it has nothing there."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a list."""

    items: list[dict[str, Any]]
    total: int
    """Objects in the whole list, as Asaas counted them for this page."""
    following: int | None
    """The offset to go on from, None after the last page."""


def pages(
    client: Reads,
    path: str,
    params: Mapping[str, str | int],
    *,
    offset: int = 0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Page]:
    """Go through the list at the path from that offset on; raise EnrichmentWaits where it can't be read for now.

    An object may come twice: when one is added in front while the walk goes on, and when one was taken away, because
    the walk then steps back so that it misses none.
    """
    counted: int | None = None
    while True:
        found = _asked(client, path, {**params, "limit": LIMIT, "offset": offset}, sleep)
        items, total = _read(found, client.account, path)
        gone = 0 if counted is None else max(0, counted - total)
        counted = total
        if gone and offset:
            offset = max(0, offset - gone)
            continue
        offset += len(items)
        more = bool(items) and found.get("hasMore") is True
        yield Page(items, total, offset if more else None)
        if not more:
            return


def _asked(
    client: Reads, path: str, params: Mapping[str, str | int], sleep: Callable[[float], object]
) -> dict[str, Any]:
    for number in range(1, TRIES + 1):
        try:
            return client.get(path, params) or {}
        except (AsaasRateLimited, AsaasUnavailable) as error:
            if number == TRIES:
                raise
            sleep(error.retry_after_s or 2.0 ** (number - 1))
    raise AssertionError("the last try returns or raises")


def _read(found: Mapping[str, Any], account: str, path: str) -> tuple[list[dict[str, Any]], int]:
    items, total = found.get("data"), found.get("totalCount")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise AsaasUnavailable(
            "the Asaas API must answer with a list, got something else", where=f"GET {path}, account {account}"
        )
    return items, total if isinstance(total, int) and not isinstance(total, bool) else len(items)
