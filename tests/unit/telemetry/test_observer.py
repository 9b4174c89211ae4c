"""What an observer counts, and under which labels."""

from __future__ import annotations

import doctest

from bridge import telemetry
from bridge import telemetry as observer
from bridge.model import AttemptFinished, EventProcessed, trace_id
from bridge.telemetry import FAMILIES, Family, NoCounters, Telemetry
from tests.factories import NOW_MS, incoming

CREATED = "2026-11-22 10:00:00"
CREATED_MS = 1_795_352_400_000


class Noted(NoCounters):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, ...]] = []
        self.seconds: dict[str, float] = {}

    def add(self, family: Family, *labels: str, by: int = 1) -> None:
        """Count."""
        assert len(labels) == len(family.labels)
        self.counted.append((family.name, *labels, str(by)))

    def observe(self, family: Family, value_s: float, *labels: str) -> None:
        """Note one duration."""
        assert len(labels) == len(family.labels)
        self.seconds[family.name] = value_s


def attempted(**changes: object) -> AttemptFinished:
    """Return a try that delivered, two seconds after its event came in."""
    values: dict[str, object] = {
        "delivery_id": 1,
        "event_id": 2,
        "trace_id": "0" * 32,
        "destination": "default",
        "mapping": "paga",
        "number": 1,
        "outcome": "delivered",
        "code": "clint.ok",
        "status": 200,
        "state": "delivered",
        "duration_ms": 250,
        "ended_ms": CREATED_MS + 5_000,
        "received_ms": CREATED_MS + 3_000,
        "created": CREATED,
        **changes,
    }
    return AttemptFinished(**values)  # type: ignore[arg-type]  # a test's own changes


def test_an_arrival_is_counted_with_whether_it_came_before() -> None:
    """Asaas delivers at least once: repeats are a series of their own."""
    noted = Noted()
    Telemetry(noted).received(incoming(), 1, 0, NOW_MS)
    Telemetry(noted).received(incoming(), 1, 2, NOW_MS)

    assert noted.counted == [
        ("bridge_events_received", "default", "first", "1"),
        ("bridge_events_received", "default", "repeat", "1"),
    ]


def test_refusals_and_holds_are_counted_by_code() -> None:
    """The code of the error is the label, never its words."""
    noted = Noted()
    Telemetry(noted).refused("", "webhook.unknown_account")
    Telemetry(noted).held("matriz", "asaas.away")

    assert noted.counted == [
        ("bridge_webhook_refusals", "", "webhook.unknown_account", "1"),
        ("bridge_events_held", "matriz", "asaas.away", "1"),
    ]


def test_verdicts_are_counted_by_event_and_mapping() -> None:
    """A delivery that waits to be sent is the verdict `owed`; a name that Asaas does not document is `other`."""
    noted = Noted()
    known = EventProcessed(1, "0" * 32, "default", "PAYMENT_RECEIVED", 0, 1, {"paga": "pending", "b": "filtered"})
    Telemetry(noted).processed(known)
    Telemetry(noted).processed(EventProcessed(2, "0" * 32, "default", "MADE_UP", 0, 1))

    assert noted.counted == [
        ("bridge_events_processed", "default", "PAYMENT_RECEIVED", "1"),
        ("bridge_verdicts", "default", "PAYMENT_RECEIVED", "paga", "owed", "1"),
        ("bridge_verdicts", "default", "PAYMENT_RECEIVED", "b", "filtered", "1"),
        ("bridge_events_processed", "default", "other", "1"),
    ]


def test_a_delivery_is_timed_from_its_receipt_and_from_asaas() -> None:
    """Asaas's `dateCreated` is Brasília time."""
    noted = Noted()
    Telemetry(noted).attempted(attempted())

    assert noted.counted == [
        ("bridge_attempts", "default", "delivered", "1"),
        ("bridge_deliveries_settled", "default", "delivered", "1"),
    ]
    assert noted.seconds == {
        "bridge_attempt_seconds": 0.25,
        "bridge_delivered_after_receipt_seconds": 2.0,
        "bridge_delivered_after_created_seconds": 5.0,
    }


def test_what_was_not_delivered_has_no_way() -> None:
    """A failed try has a duration, and no time of arrival."""
    noted = Noted()
    Telemetry(noted).attempted(attempted(outcome="retry", state="retrying"))

    assert noted.seconds == {"bridge_attempt_seconds": 0.25}


def test_an_odd_creation_time_is_left_out() -> None:
    """An event without a date, and one whose date is ahead of our clock."""
    without, ahead = Noted(), Noted()
    Telemetry(without).attempted(attempted(created="soon"))
    Telemetry(ahead).attempted(attempted(created="2099-01-01 00:00:00"))

    assert "bridge_delivered_after_created_seconds" not in without.seconds
    assert ahead.seconds["bridge_delivered_after_created_seconds"] == 0.0


def test_the_examples_are_true() -> None:
    """The docstrings' examples are run."""
    results = doctest.testmod(observer)

    assert results.attempted
    assert not results.failed


def test_families_have_names_of_their_own() -> None:
    """A histogram ends in its unit, as Prometheus asks, and no name is used twice."""
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert all(family.name.endswith("_seconds") == bool(family.bounds) for family in FAMILIES)
    assert tuple(sorted(telemetry.WAY_S)) == telemetry.WAY_S


def test_an_event_has_one_trace() -> None:
    """The same id in every process, another for another account, also for an id with half characters in it."""
    one = trace_id("default", "evt_1")

    assert one == trace_id("default", "evt_1")
    assert len({one, trace_id("matriz", "evt_1"), trace_id("default", "evt_\ud800")}) == 3
    assert len(one) == 32
    assert int(one, 16)


def test_a_replay_is_not_on_the_way_from_asaas() -> None:
    """Its event came long ago; the try itself counts as any."""
    noted = Noted()
    Telemetry(noted).attempted(attempted(replay=1))

    assert set(noted.seconds) == {"bridge_attempt_seconds"}
