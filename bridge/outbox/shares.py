"""How the sends of one worker are shared among destinations and accounts.

Who hangs, or has a long backlog, must not take them all. A rule without a table of its own gives each as much as it can
use and always leaves some to who comes next: nobody has more than so many times what is free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from bridge.journal.owed import Owed

TIMES_FREE = 3
"""One alone gets three quarters of the sends, two get three sevenths each: what is free is never nothing."""


class Shares:
    """What each destination and each account has out, of `all_` sends."""

    def __init__(self, all_: int, destinations: Collection[str], accounts: Collection[str]) -> None:
        self._all = all_
        self._destinations = destinations
        self._accounts = accounts
        self._to: Counter[str] = Counter()
        self._of: Counter[str] = Counter()

    def take(self, owed: Owed) -> None:
        """Note that one is out."""
        self._to[owed.destination] += 1
        self._of[owed.account] += 1

    def give_back(self, owed: Owed) -> None:
        """Note that one is out no more."""
        self._to[owed.destination] -= 1
        self._of[owed.account] -= 1

    def without(self, landed: Iterable[Owed]) -> Shares:
        """Return the shares as they are once these are out no more."""
        left = Shares(self._all, self._destinations, self._accounts)
        left._to, left._of = self._to.copy(), self._of.copy()
        for owed in landed:
            left.give_back(owed)
        return left

    def allow(self, owed: Owed) -> bool:
        """Whether both its destination and its account have sends left; who is the only one has them all."""
        return owed.destination not in self.full_destinations and owed.account not in self.full_accounts

    @property
    def full_destinations(self) -> set[str]:
        """Destinations with as many sends out as they may have now."""
        return self._full(self._to, self._destinations)

    @property
    def full_accounts(self) -> set[str]:
        """Accounts with as many sends out as they may have now."""
        return self._full(self._of, self._accounts)

    def _full(self, out: Counter[str], names: Collection[str]) -> set[str]:
        if len(names) < 2:
            return set()
        most = TIMES_FREE * (self._all - out.total())
        return {name for name, number in out.items() if number > 0 and number >= most}
