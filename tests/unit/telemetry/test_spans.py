"""One trace for each event, whichever process made which span."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from bridge.model import AttemptFinished, EventProcessed, trace_id, traceparent
from bridge.telemetry import Telemetry
from bridge.traces import OtelSpans
from tests.factories import NOW_MS, incoming

EVENT = incoming(key="evt_1")
TRACE = trace_id("default", "evt_1")
PROCESSED = EventProcessed(7, TRACE, "default", "PAYMENT_RECEIVED", NOW_MS + 5, NOW_MS + 9, {"paga": "pending"})
ATTEMPTED = AttemptFinished(
    delivery_id=3,
    event_id=7,
    trace_id=TRACE,
    destination="default",
    mapping="paga",
    number=2,
    outcome="delivered",
    code="clint.ok",
    status=200,
    state="delivered",
    duration_ms=40,
    ended_ms=NOW_MS + 100,
    received_ms=NOW_MS,
    created="",
)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Give what keeps finished spans."""
    return InMemorySpanExporter()


@pytest.fixture
def observer(exporter: InMemorySpanExporter) -> Telemetry:
    """Give an observer whose spans arrive when it is closed."""
    return Telemetry(None, OtelSpans(exporter))


def test_an_event_is_one_trace(observer: Telemetry, exporter: InMemorySpanExporter) -> None:
    """Its arrival is the root; processing and tries hang below it, with the times that they had."""
    observer.attempted(ATTEMPTED)
    observer.received(EVENT, 7, 0, NOW_MS + 3)
    observer.processed(PROCESSED)

    observer.close()
    spans: dict[str, Any] = {span.name: span for span in exporter.get_finished_spans()}
    root = spans["event received"]
    assert root.parent is None
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
    assert {span.parent.span_id for span in spans.values() if span.parent} == {root.context.span_id}
    assert {name: (span.kind, (span.end_time - span.start_time) / 1e6) for name, span in spans.items()} == {
        "event received": (SpanKind.SERVER, 3),
        "event processed": (SpanKind.CONSUMER, 4),
        "delivery attempted": (SpanKind.CLIENT, 40),
    }
    assert spans["event processed"].attributes["bridge.verdict.paga"] == "pending"
    assert spans["delivery attempted"].attributes["http.response.status_code"] == 200
    assert root.resource.attributes["service.name"] == "asaas-clint-bridge"


def test_the_header_names_the_try(observer: Telemetry, exporter: InMemorySpanExporter) -> None:
    """What a destination is sent leads to the very span."""
    observer.attempted(ATTEMPTED)
    observer.close()
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    header = traceparent(TRACE, 3, 2)

    assert header == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", header)
    assert len({traceparent(TRACE, 3, 1), traceparent(TRACE, 4, 2), header}) == 3


def test_a_failed_try_is_an_error(observer: Telemetry, exporter: InMemorySpanExporter) -> None:
    """With its code; one that never got an answer has no status."""
    observer.attempted(replace(ATTEMPTED, outcome="retry", code="clint.timeout", status=None))
    observer.close()
    (span,) = exporter.get_finished_spans()

    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "clint.timeout"
    assert "http.response.status_code" not in (span.attributes or {})


def test_a_repeat_is_no_second_root(observer: Telemetry, exporter: InMemorySpanExporter) -> None:
    """Asaas may post an event many times: its trace has one arrival."""
    observer.received(EVENT, 7, 1, NOW_MS + 3)

    observer.close()
    assert exporter.get_finished_spans() == ()


def test_ids_are_used_once(observer: Telemetry, exporter: InMemorySpanExporter) -> None:
    """Spans that have no id of their own get random ones."""
    for _ in range(3):
        observer.processed(PROCESSED)

    observer.close()
    assert len({span.context.span_id for span in exporter.get_finished_spans() if span.context}) == 3
