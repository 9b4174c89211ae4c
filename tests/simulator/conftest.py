"""A simulated Asaas and a simulated Clint on real sockets, and a receiver of webhooks that answers what it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from flask import Flask, Response, request

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from tests import asking
from tests.simulated import AsaasSimulator, ClintSimulator

QUICK = 0.00002
"""Turns a penalty of three hours into a fifth of a second."""


class Inbox:
    """A receiver of webhooks: keeps what comes, answers 200 or what is queued in `statuses`."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.always: int | None = None
        self.most_at_once = 0
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()
        self._now = 0
        self.app = Flask("inbox")
        self.app.add_url_rule("/hook", view_func=self._take, methods=["POST"])

    @property
    def names(self) -> list[str]:
        """Give the names of the events in the order they came."""
        return [body["event"] for body in self.bodies]

    def _take(self) -> Response:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        self.hold.wait(5)
        with self._lock:
            self._now -= 1
            self.bodies.append(request.get_json())
            self.headers.append(dict(request.headers))
            status = self.always or (self.statuses.pop(0) if self.statuses else 200)
        return Response(status=status, headers={"Location": "/elsewhere"} if status in {301, 302, 307} else {})


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Give a receiver of webhooks that listens at `.url`."""
    box = Inbox()
    with Served(box.app) as served:
        box.url = f"{served.url}/hook"
        yield box


@pytest.fixture
def asaas() -> Iterator[AsaasSimulator]:
    """Give a simulated Asaas whose penalties are short."""
    simulator = AsaasSimulator(webhook_time_scale=QUICK)
    yield simulator
    simulator.close()


@pytest.fixture
def api(asaas: AsaasSimulator) -> Iterator[httpx.Client]:
    """Give a client of the simulated Asaas, over a real socket."""
    with (
        Served(asaas.app) as served,
        asking.client(base_url=f"{served.url}/v3", headers={"access_token": DEFAULT_KEY}) as client,
    ):
        yield client


@pytest.fixture
def clint() -> Iterator[ClintSimulator]:
    """Give a simulated Clint."""
    simulator = ClintSimulator()
    yield simulator
    simulator.close()


@pytest.fixture
def crm(clint: ClintSimulator) -> Iterator[httpx.Client]:
    """Give a client of the simulated Clint, over a real socket."""
    with Served(clint.app) as served, asking.client(base_url=served.url) as client:
        yield client
