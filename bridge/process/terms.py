"""What leads a search to the charges and customers of a batch: only what this process did not write lately.

A charge has several events and a customer many; each of them is written once and then costs nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any

from bridge.errors import BridgeError
from bridge.journal import search
from bridge.journal.search import Term
from bridge.process.plan import Plan

REMEMBERED = 20_000
FOR_S = 24 * 3600.0
"""How long what was written is taken to be there: retention removes what leads to events that are gone."""


class Terms:
    """The terms that one process wrote lately."""

    def __init__(self, remembered: int = REMEMBERED, for_s: float = FOR_S) -> None:
        self._remembered = remembered
        self._for_s = for_s
        self._since_s = time.monotonic()
        self._known: OrderedDict[Term, None] = OrderedDict()
        self._lock = Lock()

    def of(self, plans: Sequence[Plan], fetched: Sequence[dict[str, Any] | BridgeError]) -> list[Term]:
        """Return what is to be written for these events and what Asaas said of them."""
        found = [term for pair in zip(plans, fetched, strict=True) for term in _terms(*pair)]
        with self._lock:
            if time.monotonic() - self._since_s > self._for_s:
                self._known.clear()
                self._since_s = time.monotonic()
            return [term for term in dict.fromkeys(found) if term not in self._known]

    def written(self, terms: Iterable[Term]) -> None:
        """Remember that these are in the journal."""
        with self._lock:
            for term in terms:
                self._known[term] = None
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)


def _terms(plan: Plan, fetched: dict[str, Any] | BridgeError) -> list[Term]:
    event = plan.event
    found = search.terms_of_object(event.account, event.object_id, plan.entity)
    customer = fetched.get("customer") if isinstance(fetched, dict) else None
    if isinstance(customer, dict):
        found += search.terms_of_customer(event.account, event.subject, customer)
    return found
