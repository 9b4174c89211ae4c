"""Traces over real HTTP, as a collector gets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from redis import Redis

from bridge.model import trace_id
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from tests.commands import Commands
from tests.factories import envelope, opened_journal
from tests.peers import Peer

TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"


def test_a_collector_gets_the_trace(
    sqlite_url: str, redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not sent yet goes when the process ends."""
    with Peer() as collector, opened_journal(sqlite_url):
        environ = {
            "DATABASE_URL": sqlite_url,
            "REDIS_URL": redis_url,
            "BRIDGE_DATA_DIR": str(tmp_path),
            "ASAAS_WEBHOOK_TOKEN": TOKEN,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)  # the exporter reads it by itself
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        runtime = Runtime(Settings.from_env(environ))
        body = envelope()
        answer = (
            create_app(runtime).test_client().post("/webhooks/asaas", json=body, headers={"asaas-access-token": TOKEN})
        )
        runtime.close()
        (asked,) = collector.asked

    request = ExportTraceServiceRequest()
    request.ParseFromString(asked.body)
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert answer.status_code == 200
    assert asked.path == "/v1/traces"
    assert span.trace_id.hex() == trace_id("default", body["id"])


def test_traces_without_the_extra_are_refused(tmp_path: Path) -> None:
    """A process says so when it starts, instead of failing later or tracing nothing."""
    hides = tmp_path / "hides"
    hides.mkdir()
    (hides / "sitecustomize.py").write_text("import sys; sys.modules['opentelemetry'] = None\n")
    commands = Commands(tmp_path)
    environ = {
        "PYTHONPATH": str(hides),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CLINT_WEBHOOK_URL": "https://clint.example/a",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    }
    with commands.process("worker", environ=environ, stderr=-1) as process:
        _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert b"needs the extra otel" in err
