"""Works on the rows of deals and contacts under one delivery's claim.

A row is written and a request sent only while the claim holds, and the claim lasts as long as the lane's lease.
What ends a delivery early is an answer of its own, `Ended`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from bridge.clint.api import ClintApi
from bridge.clint.directory import Directory
from bridge.clint.webhook import Answer
from bridge.errors import ClintApiFailed, JournalError
from bridge.failpoints import failpoint
from bridge.journal import Journal, Lease, deals, notices
from bridge.journal.deals import Claim, Row, StoredContact, StoredDeal
from bridge.journal.notices import Notice
from bridge.messages import Message
from bridge.model import Outcome

BUSY_S = 1.0
"""A delivery whose deal key is taken looks again after this."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What every delivery of one process works with."""

    journal: Journal
    api: ClintApi
    directory: Directory
    clock_ms: Callable[[], int]
    longest_ms: int
    """No request takes longer once it is sent."""
    appears_ms: int
    """For so long a new object may be missing from Clint's lists."""

    def field_key(self, group: str, name: str) -> str:
        """Return the key under which Clint has a field, which it may have cut; the given one where it does not say."""
        with suppress(ClintApiFailed):
            return self.directory.field_key(group, name)
        return name


class Ended(Exception):
    """The delivery ends here with this answer; with None the next owner of the lane goes on."""

    def __init__(self, answer: Answer | None) -> None:
        super().__init__()
        self.answer = answer


class ClaimedRows:
    """The rows that one delivery works on."""

    def __init__(self, parts: Parts, delivery_id: int, lease: Lease, may_start: Callable[[], bool]) -> None:
        self.parts = parts
        self.claim = Claim(lease.lane, lease.fence, delivery_id, lease.until_ms)
        self._lease = lease
        self._may_start = may_start

    def may_write(self, mark: Callable[[], object]) -> bool:
        """Return whether a write may begin now: it ends before lease and claim do. `mark` commits what it is about."""
        if not self._may_start():
            return False
        mark()
        ends_ms = self.parts.clock_ms() + self.parts.longest_ms
        return ends_ms <= self.claim.until_ms and self._may_start()

    def save(self, before: Row, after: Row, raised: Sequence[Notice] = ()) -> Row:
        """Write what changed, raise notices and lengthen the claim; raise Ended where the claim was lost."""
        self.claim = replace(self.claim, until_ms=self._lease.until_ms)
        with self.parts.journal.database.write() as connection:
            now_ms = self.parts.clock_ms()
            saved = deals.save(connection, before, after, self.claim, now_ms)
            if saved and raised:
                notices.apply(connection, raised, now_ms)
        if not saved:
            raise Ended(None)
        return after

    @contextmanager
    def released(self, row: StoredDeal | StoredContact) -> Iterator[None]:
        """Give the row's claim back at the end; where the journal is away it ends with the lease."""
        try:
            yield
        finally:
            failpoint("deal.before_release")
            with suppress(JournalError), self.parts.journal.database.write() as connection:
                deals.release(connection, row, self.claim)

    def wait_for_mark(self, creating_ms: int | None, code: str, text: str) -> None:
        """Raise Ended where a create was begun so lately that what it made may not show yet."""
        if creating_ms is None:
            return
        left_ms = creating_ms + self.parts.longest_ms + self.parts.appears_ms - self.parts.clock_ms()
        if left_ms > 0:
            raise Ended(postponed(code, Message(text, {"seconds": -(-left_ms // 1000)}), left_ms / 1000))


def postponed(code: str, detail: Message, wait_s: float | None = None) -> Answer:
    return Answer(Outcome.POSTPONED, None, code, detail, wait_s)


def lost(error: ClintApiFailed, code: str) -> Answer:
    return Answer(Outcome.RETRY, error.status, code, error.message(), error.retry_after_s)
