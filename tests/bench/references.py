"""The references: what the bridge is held against, measured in the same run on the same machine.

For answers, a bare Flask view on waitress, with the bridge's threads, that does one durable insert into SQLite. Its
threads share one connection under a lock: with a connection each they would wait for SQLite's sleeps, and the bridge
would look better beside them. For deliveries, one thread that posts the same payloads by one bare `httpx.Client`.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

from bridge.settings import SETTINGS
from tests import asking
from tests.acceptance.deployment import until
from tests.services import free_port

VIEW_HEAD = b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "
_FILE = "BENCH_VIEW_FILE"
_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


def view() -> Flask:
    """Return the application; waitress calls this."""
    app = Flask("view")
    lock = threading.Lock()
    connection = sqlite3.connect(os.environ[_FILE], isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")

    @app.post("/")
    def keep() -> ResponseReturnValue:
        body = request.get_data(as_text=True)
        with lock:
            connection.execute("INSERT INTO bodies (body) VALUES (?)", (body,))
        return jsonify(received=True)

    @app.get("/")
    def alive() -> ResponseReturnValue:
        return jsonify(alive=True)

    return app


class View:
    """The bare view's server, from entering the `with` block to leaving it."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.port = free_port()

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{self.port}"]
        command += [f"--threads={_DEFAULTS['BRIDGE_WEB_THREADS']}", "--call", "tests.bench.references:view"]
        env = {**os.environ, _FILE: str(self._scratch / "view.sqlite3")}
        with (self._scratch / "view.log").open("wb") as log:
            self._process = subprocess.Popen(command, env=env, cwd=Path(__file__).parents[2], stdout=log, stderr=log)
        until(self._answers, 30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _answers(self) -> bool:
        try:
            return asking.get(f"http://127.0.0.1:{self.port}/", timeout=2).status_code == 200
        except httpx.TransportError:
            return False


def post_bare(url: str, payloads: Sequence[bytes], seconds: float) -> float:
    """Post these payloads again and again by one client in one thread; return how many a second."""
    count = 0
    with asking.client() as client:
        begun_s = time.perf_counter()
        for payload in cycle(payloads):
            client.post(url, content=payload, headers={"Content-Type": "application/json"}).raise_for_status()
            count += 1
            if time.perf_counter() - begun_s >= seconds:
                break
        return count / (time.perf_counter() - begun_s)
