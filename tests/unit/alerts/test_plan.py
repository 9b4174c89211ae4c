"""When people are told: at once, again in growing distance, and when it is over; never in a thousand messages."""

from __future__ import annotations

from dataclasses import replace

from bridge.alerts.plan import AGAIN_MS, FAILED_MS, GAP_MS, OVER_MS, SENDING_MS, Item, Kind, failed, plan, sending, sent
from bridge.journal.notices import Alert, StoredNotice
from tests.factories import NOW_MS

HOUR_MS = 3_600_000


def notice(code: str = "delivery.dead", about: str = "default", **changes: object) -> StoredNotice:
    """Return an open notice."""
    one = StoredNotice(1, code, about, "warning", "deliveries: 1", "mend", NOW_MS, NOW_MS, 1, None)
    return replace(one, **changes)  # type: ignore[arg-type]  # a test's own changes


class People:
    """What is remembered, and what people were told, as the bridge's clock goes on."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.known: dict[tuple[str, str], Alert] = {}
        self.told: list[tuple[int, list[str]]] = []
        self.reached = True

    def _keep(self, *alerts: Alert) -> None:
        self.known |= {(alert.code, alert.about): alert for alert in alerts}

    def look(self, *notices: StoredNotice) -> list[Item]:
        """Plan, send and remember, as a round does."""
        planned = plan(notices, self.known, self.now_ms)
        self._keep(*planned.keep)
        for alert in planned.drop:
            del self.known[alert.code, alert.about]
        if planned.items and self.reached:
            keep, drop = sent(planned.items, self.now_ms)
            self._keep(*keep)
            for alert in drop:
                del self.known[alert.code, alert.about]
            said = [f"{item.kind.value} {item.alert.code} {item.alert.about}" for item in planned.items]
            self.told.append(((self.now_ms - NOW_MS) // 1000, said))
        elif planned.items:
            self._keep(*failed(planned.items, self.now_ms))
        return list(planned.items)

    def watch(self, seconds: float, *notices: StoredNotice, every_s: float = 15.0) -> None:
        """Look again and again for so long."""
        until_ms = self.now_ms + int(seconds * 1000)
        while self.now_ms < until_ms:
            self.look(*notices)
            self.now_ms += int(every_s * 1000)


def test_a_problem_is_told_at_once() -> None:
    """The first look that sees it."""
    people = People()
    people.look(notice())

    assert people.told == [(0, ["new delivery.dead default"])]


def test_what_lasts_is_told_in_growing_distance() -> None:
    """After one hour, four, twelve, and then once a day."""
    people = People()
    people.watch(72 * 3600, notice(), every_s=600)

    assert [at_s / 3600 for at_s, _ in people.told] == [0, 1, 5, 17, 41, 65]
    assert people.told[1][1] == ["again delivery.dead default"]
    assert AGAIN_MS[-1] == 24 * HOUR_MS


def test_a_thousand_failures_are_one_message() -> None:
    """The count of a problem grows; the next message says how far."""
    people = People()
    for number in range(1, 1001):
        people.look(notice(detail=f"deliveries: {number}"))
        people.now_ms += 1_000
    people.now_ms = NOW_MS + HOUR_MS
    (item,) = people.look(notice(detail="deliveries: 1000"))

    assert len(people.told) == 2
    assert item.alert.detail == "deliveries: 1000"


def test_many_problems_are_one_message() -> None:
    """What is wrong in one look is told together, errors first; what comes a moment later waits for the next."""
    people = People()
    three = [notice(about="a"), notice(about="b"), notice("destination.paused", "c", level="error")]
    people.look(*three)
    people.now_ms += GAP_MS - 1
    people.look(*three, notice(about="d"))
    people.now_ms += 1
    people.look(*three, notice(about="d"))

    assert people.told == [
        (0, ["new destination.paused c", "new delivery.dead a", "new delivery.dead b"]),
        (60, ["new delivery.dead d"]),
    ]


def test_its_end_is_told_after_a_while() -> None:
    """Once, and then nothing is remembered of it."""
    people = People()
    people.look(notice())
    people.now_ms += 3_600_000
    people.watch(1_200)

    assert people.told[1:] == [(3_600 + OVER_MS // 1000, ["over delivery.dead default"])]
    assert people.known == {}


def test_what_comes_and_goes_is_one_problem() -> None:
    """A destination that fails every other minute is no message every other minute."""
    people = People()
    for _ in range(20):
        people.watch(60, notice())
        people.watch(60)
    people.watch(600)

    assert [said for _, said in people.told] == [["new delivery.dead default"], ["over delivery.dead default"]]


def test_what_nobody_was_told_of_ends_in_silence() -> None:
    """A problem that was over before a message could be sent."""
    people = People()
    people.reached = False
    people.look(notice())
    people.reached = True
    people.now_ms += 15_000
    people.look()

    assert people.told == []
    assert people.known == {}


def test_a_warning_that_became_an_error_is_news() -> None:
    """It is told at once, not at the next reminder; the other way round is not."""
    people = People()
    people.look(notice())
    people.now_ms += 2 * GAP_MS
    people.look(notice(level="error"))
    people.now_ms += 2 * GAP_MS
    people.look(notice())

    assert [said for _, said in people.told] == [["new delivery.dead default"], ["new delivery.dead default"]]


def test_what_could_not_be_told_is_tried_again() -> None:
    """Soon at first, then more rarely; a message that gets through begins anew."""
    people = People()
    people.reached = False
    tries = []
    while people.now_ms < NOW_MS + 3 * HOUR_MS:
        if people.look(notice()):
            tries.append((people.now_ms - NOW_MS) // 60_000)
        people.now_ms += 60_000
    people.reached = True
    people.watch(HOUR_MS / 1000, notice())

    assert tries == [0, 1, 3, 13, 73, 133]
    assert FAILED_MS[-1] == HOUR_MS
    assert [said for _, said in people.told] == [["new delivery.dead default"]]
    assert people.known["delivery.dead", "default"].failures == 0


def test_an_end_that_could_not_be_told_is_tried_again() -> None:
    """It is remembered until somebody knows."""
    people = People()
    people.look(notice())
    people.now_ms += HOUR_MS // 2
    people.reached = False
    people.watch(600)
    people.reached = True
    people.watch(600)

    assert people.told[-1][1] == ["over delivery.dead default"]


def test_what_is_being_sent_is_nobody_elses() -> None:
    """Another process leaves it alone, unless the one that sends has died."""
    planned = plan([notice()], {}, NOW_MS)
    (alert,) = sending(planned.items, NOW_MS)
    known = {(alert.code, alert.about): alert}

    assert plan([notice()], known, NOW_MS + SENDING_MS - 1).items == ()
    assert [item.kind for item in plan([notice()], known, NOW_MS + SENDING_MS).items] == [Kind.NEW]
