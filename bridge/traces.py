"""OpenTelemetry spans: one trace for each event, from its arrival to Clint's answer.

A span is made when its work is over, with the times of the work, so that no context travels through queues and
processes: the trace's id follows from the event, the root's from the trace, an attempt's from its number.
The extra `otel` brings opentelemetry; this module is imported only where traces are on.
"""

from __future__ import annotations

import os
import threading

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from bridge import __version__
from bridge.model import AttemptFinished, EventProcessed, IncomingEvent, Outcome, attempt_span, trace_id

Attributes = dict[str, str | int]


class _Ids(IdGenerator):
    """Gives the ids that were set for the thread's next span, else random ones."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._next = threading.local()

    def set(self, trace: int, span: int) -> None:
        self._next.trace, self._next.span = trace, span

    def generate_trace_id(self) -> int:
        return int(getattr(self._next, "trace", 0)) or self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        span = int(getattr(self._next, "span", 0))
        self._next.span = 0
        return span or self._random.generate_span_id()


class OtelSpans:
    """Makes spans and passes them to an exporter."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._ids = _Ids()
        name = os.environ.get("OTEL_SERVICE_NAME", "asaas-clint-bridge")
        resource = Resource.create({"service.name": name, "service.version": __version__})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("bridge", __version__)

    def received(self, event: IncomingEvent, event_id: int, ended_ms: int) -> None:
        """Make the root span of an event's trace."""
        trace = trace_id(event.account, event.key)
        self._ids.set(int(trace, 16), _root(trace))
        about: Attributes = {"bridge.event_id": event_id, "bridge.account": event.account, "bridge.event": event.name}
        self._start("event received", None, SpanKind.SERVER, about, event.received_ms).end(_ns(ended_ms))

    def processed(self, done: EventProcessed) -> None:
        about: Attributes = {
            "bridge.event_id": done.event_id,
            "bridge.account": done.account,
            "bridge.event": done.name,
            **{f"bridge.verdict.{mapping}": verdict for mapping, verdict in done.verdicts.items()},
        }
        self._ids.set(0, 0)
        parent = _below(done.trace_id)
        self._start("event processed", parent, SpanKind.CONSUMER, about, done.began_ms).end(_ns(done.ended_ms))

    def attempted(self, done: AttemptFinished) -> None:
        about: Attributes = {
            "bridge.event_id": done.event_id,
            "bridge.delivery_id": done.delivery_id,
            "bridge.destination": done.destination,
            "bridge.mapping": done.mapping,
            "bridge.attempt": done.number,
            "bridge.outcome": done.outcome,
            "bridge.state": done.state,
            "bridge.code": done.code,
        }
        if done.status is not None:
            about["http.response.status_code"] = done.status
        self._ids.set(0, int(attempt_span(done.trace_id, done.delivery_id, done.number), 16))
        began_ms = done.ended_ms - done.duration_ms
        span = self._start("delivery attempted", _below(done.trace_id), SpanKind.CLIENT, about, began_ms)
        if done.outcome != Outcome.DELIVERED.value:
            span.set_status(Status(StatusCode.ERROR, done.code))
        span.end(_ns(done.ended_ms))

    def _start(self, name: str, parent: Context | None, kind: SpanKind, about: Attributes, began_ms: int) -> Span:
        return self._tracer.start_span(name, parent, kind, about, start_time=_ns(began_ms))

    def close(self) -> None:
        """Export the pending spans."""
        self._provider.shutdown()


def _below(trace: str) -> Context:
    root = SpanContext(int(trace, 16), _root(trace), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(root))


def _root(trace: str) -> int:
    return int(trace[16:], 16)


def _ns(ms: int) -> int:
    return ms * 1_000_000
