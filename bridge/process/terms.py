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

REMEMBERED = 10_000
"""Terms after which those before the last so many are forgotten."""
CUSTOMERS = 2_000
FOR_S = 24 * 3600.0
"""How long what was written is taken to be there: retention removes what leads to events that are gone."""


class Terms:
    """The terms that one process wrote lately."""

    def __init__(self, remembered: int = REMEMBERED, for_s: float = FOR_S, customers: int = CUSTOMERS) -> None:
        self._remembered = remembered
        self._most_customers = customers
        self._for_s = for_s
        self._since_s = time.monotonic()
        # Numbers, not terms, of which a worker held 8 MB: two that are alike among 2^64 would cost one search a word.
        self._known: set[int] = set()
        self._known_before: set[int] = set()
        self._customers: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        """What Asaas said of customers all of whose terms are written: enrichment gives the same object for a while."""
        self._lock = Lock()

    def of(self, plans: Sequence[Plan], fetched: Sequence[dict[str, Any] | BridgeError]) -> list[Term]:
        """Return what is to be written for these events and what Asaas said of them."""
        with self._lock:
            if time.monotonic() - self._since_s > self._for_s:
                self._known, self._known_before = set(), set()
                self._customers.clear()
                self._since_s = time.monotonic()
            found: list[Term] = []
            for plan in plans:
                found += search.terms_of_object(plan.event.account, plan.event.object_id, plan.entity)
            for (account, subject), customer in _customers(plans, fetched).items():
                if self._customers.get((account, subject)) is not customer:
                    found += search.terms_of_customer(account, subject, customer)
            return [term for term in dict.fromkeys(found) if not self._knows(hash(term))]

    def written(
        self, terms: Iterable[Term], plans: Sequence[Plan], fetched: Sequence[dict[str, Any] | BridgeError]
    ) -> None:
        """Remember that these, which `of` returned for the events, are in the journal."""
        with self._lock:
            self._known.update(map(hash, terms))
            if len(self._known) >= self._remembered:
                self._known, self._known_before = set(), self._known
            self._customers.update(_customers(plans, fetched))
            while len(self._customers) > self._most_customers:
                self._customers.popitem(last=False)

    def _knows(self, term: int) -> bool:
        return term in self._known or term in self._known_before


def _customers(
    plans: Sequence[Plan], fetched: Sequence[dict[str, Any] | BridgeError]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return by account and id what Asaas said of the events' customers."""
    return {
        (plan.event.account, plan.event.subject): customer
        for plan, said in zip(plans, fetched, strict=True)
        if isinstance(said, dict) and isinstance(customer := said.get("customer"), dict)
    }
