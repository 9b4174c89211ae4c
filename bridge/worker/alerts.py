"""The periodic task that looks what is wrong, keeps it as notices, and tells people.

Of several processes one does each round. A message that was being sent when the process died is sent again: twice is
better than never. Without BRIDGE_ALERT_URLS the notices are kept all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bridge.alerting import standing
from bridge.alerting.message import Message, compose
from bridge.alerting.plan import Item, failed, plan, sending, sent
from bridge.alerting.sending import Result, send
from bridge.alerting.silence import Silence
from bridge.alerting.standing import Look
from bridge.journal import Journal, alerts, destinations, gauges, notices, rounds
from bridge.journal.notices import Notice
from bridge.logs import logger

log = logger(__name__)

EVERY_S = 15.0
ROUND = "alerts"

Send = Callable[[Sequence[str], Message], list[Result]]


class Alerts:
    """Looks and tells."""

    def __init__(
        self,
        journal: Journal,
        urls: Sequence[str],
        language: str,
        public_url: str,
        silences: Callable[[int], Mapping[str, Silence | None]],
        clock_ms: Callable[[], int],
        send: Send = send,
    ) -> None:
        self._journal = journal
        self._urls = urls
        self._language = language
        self._public_url = public_url
        self._silences = silences
        self._clock_ms = clock_ms
        self._send = send

    def round(self, every_s: float = EVERY_S) -> bool:
        """Look and tell once, unless another process does it; return whether there was something to tell."""
        # A little early: two clocks that tick alike must not leave out every second round.
        with self._journal.database.write() as connection:
            if not rounds.claim(connection, ROUND, int(every_s * 900), self._clock_ms()):
                return False
        self.look()
        return self.tell() if self._urls else False

    def look(self) -> None:
        """Raise notices for what is wrong, close those that are mended."""
        now_ms = self._clock_ms()
        silences = self._silences(now_ms)
        with self._journal.database.read() as connection:
            look = Look(
                now_ms,
                gauges.dead(connection),
                destinations.load(connection).values(),
                gauges.waiting_since_ms(connection),
                silences,
            )
            changes = standing.changes(standing.wrong(look), notices.unmended(connection, standing.CODES))
        if not changes:
            return
        with self._journal.database.write() as connection:
            news = notices.apply(connection, changes, now_ms)
        for one in news:
            if isinstance(one, Notice):
                log.warning("notice.raised", code=one.code, about=one.about, level=one.level.value, detail=one.detail)
            else:
                log.info("notice.closed", code=one.code, about=one.about)

    def tell(self) -> bool:
        """Send one message with what is to be told now; return whether there was anything."""
        now_ms = self._clock_ms()
        with self._journal.database.write() as connection:
            planned = plan(notices.unmended(connection), alerts.load(connection), now_ms)
            alerts.save(connection, planned.keep, planned.drop)
            alerts.save(connection, sending(planned.items, now_ms))
        if not planned.items:
            return False
        results = self._send(self._urls, compose(planned.items, self._language, self._public_url))
        self._record(planned.items, results)
        return True

    def _record(self, items: Sequence[Item], results: Sequence[Result]) -> None:
        now_ms = self._clock_ms()
        # Whom it reached must not get it again for another's sake: one is enough.
        reached = any(result.sent for result in results)
        with self._journal.database.write() as connection:
            if reached:
                alerts.save(connection, *sent(items, now_ms))
            else:
                alerts.save(connection, failed(items, now_ms))
        tell = log.info if all(result.sent for result in results) else log.warning
        tell(
            "alert.sent" if reached else "alert.not_sent",
            problems=[f"{item.kind.value} {item.alert.code} {item.alert.about}" for item in items],
            services=[f"{result.service}: {result.problem or 'sent'}" for result in results],
        )
