"""The server around a simulator."""

from __future__ import annotations

import gc
import socket
import threading
import time
import warnings

import httpx
import pytest
from flask import Flask

from bridge.simulator.serve import Served, drop_connection
from tests import asking


def test_connections_are_kept_and_closed_at_the_end() -> None:
    """Requests share a connection while it is served; afterwards nobody listens, also with a client still connected."""
    app = Flask("hello")
    app.add_url_rule("/", view_func=lambda: {"ok": True})
    with socket.socket() as idle, Served(app) as served:
        idle.connect((served.host, served.port))
        with asking.client(base_url=served.url) as client:
            streams = [client.get("/").extensions["network_stream"] for _ in range(2)]
            ports = {stream.get_extra_info("client_addr")[1] for stream in streams}
        assert len(ports) == 1
    with pytest.raises(httpx.ConnectError):
        asking.get(served.url)


def test_a_long_answer_leaves_no_file_behind() -> None:
    """What waitress wrote into a file, being over a megabyte, is closed though the client stays connected."""
    app = Flask("long")
    app.add_url_rule("/", view_func=lambda: b"x" * 3_000_000)
    with asking.client() as client, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        with Served(app) as served:
            assert len(client.get(served.url).content) == 3_000_000
        del served
        gc.collect()

    assert [str(warning.message) for warning in seen] == []


def test_many_requests_at_once() -> None:
    """A request that takes its time does not hold up the others."""
    app = Flask("slow")
    gate = threading.Barrier(20, timeout=5)
    app.add_url_rule("/", view_func=lambda: {"all": gate.wait() is not None})
    answers: list[int] = []
    with Served(app) as served:
        threads = [
            threading.Thread(target=lambda: answers.append(asking.get(served.url).status_code)) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert answers == [200] * 20


def test_a_client_that_left_first_is_no_trouble() -> None:
    """Cutting a connection that the client has closed already is quiet."""

    class Channel:
        """A connection whose socket is closed."""

        def __init__(self) -> None:
            self.socket = socket.socket()
            self.socket.close()

        def is_gone(self) -> bool:
            """Stand for waitress's method."""
            return True

    assert drop_connection({"waitress.client_disconnected": Channel().is_gone}) is True


def test_stopping_does_not_wait_for_a_request_that_hangs() -> None:
    """A request that never ends does not keep the server from stopping."""
    app = Flask("hang")
    released = threading.Event()
    app.add_url_rule("/", view_func=lambda: {"released": released.wait(10)})
    with socket.socket() as client:
        with Served(app) as served:
            client.connect((served.host, served.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.1)
            started = time.monotonic()
        released.set()

    assert time.monotonic() - started < 5
