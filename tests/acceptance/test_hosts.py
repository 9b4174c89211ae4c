"""A bridge on several machines: more workers deliver, and one that the network loses neither loses nor disorders."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from bridge.journal.database import Database
from tests.acceptance import story
from tests.acceptance.deployment import ROOT, until
from tests.acceptance.hosts import PATIENCE_S, HostDeployment, cut_off, finished
from tests.acceptance.network import Network, NetworkMissing
from tests.missing import cannot_have
from tests.services import PostgresServer, RedisServer

EVENTS, CUSTOMERS, MAPPINGS = 100, 40, 2

pytestmark = pytest.mark.slow


@pytest.fixture
def network() -> Iterator[Network]:
    """Give hosts with addresses of their own; where they can't be had tests are skipped, or fail under CI=true."""
    try:
        with Network() as network:
            yield network
    except NetworkMissing as error:
        cannot_have("network namespaces", error)


def test_a_worker_that_is_cut_off_neither_loses_nor_disorders(tmp_path: Path, network: Network) -> None:
    """In mid-drain a worker's network goes: others take its lanes, its late outcomes are refused, and it comes back."""
    people = story.customers(CUSTOMERS)
    told = story.events([person["id"] for person in people], EVENTS, seed=41)
    later = story.events([person["id"] for person in people[:20]], 20, seed=42)
    mappings = story.write_mappings(tmp_path / "mappings")
    with (
        RedisServer.started(network.address) as redis,
        PostgresServer.started(network.address) as postgres,
        HostDeployment(tmp_path, network, postgres.url("postgres"), redis.url, mappings) as bridge,
        closing(Database(postgres.url("postgres"))) as database,
    ):
        bridge.asaas("customers", customers=people)
        bridge.start(webs=1, workers=2)
        bridge.clint("is_slow", seconds=0.5)
        for event in (event for events in told.values() for event in events):
            bridge.post_until_kept(event.body)
        found = cut_off(bridge, database, EVENTS * MAPPINGS, "worker-0")

        bridge.children["worker-1"].stop()
        for event in (event for events in later.values() for event in events):
            bridge.post_until_kept(event.body)
        until(lambda: finished(database, (EVENTS + 20) * MAPPINGS), PATIENCE_S)

    print(f"{found.lanes} lanes taken over within {found.taken_over_s:.1f} s, {found.unknown} attempts unknown")  # noqa: T201
    assert found.lanes > 0
    assert found.unknown > 0
    assert found.overwritten == 0
    assert found.verdict.delivered == EVENTS * MAPPINGS
    assert [found.verdict.out_of_order, found.verdict.overlapping] == [[], []]
    assert sum(found.verdict.repeats.values()) <= found.unknown


_POSTS_TWICE = """
import sys
from bridge.clint.webhook import ClintClient
from bridge.http import HttpClient

client = ClintClient(HttpClient(allow_private=True), deadline_s=2)
for key in ("in-time", "late"):
    sys.stdin.readline()
    print(client.send(sys.argv[1], {"key": key}, key).code, flush=True)
sys.stdin.readline()
"""


def test_what_was_given_up_does_not_arrive_when_the_network_is_back(network: Network) -> None:
    """A POST into a network that is down is given up by the kernel too, before another worker may send it again."""
    host = network.host("worker")
    got: list[bytes] = []
    with socket.create_server((network.address, 0)) as server:
        server.settimeout(PATIENCE_S)
        url = f"http://{network.address}:{server.getsockname()[1]}/x"
        command = host.command([sys.executable, "-c", _POSTS_TWICE, url])
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            print("post", file=worker.stdin, flush=True)
            connection, _ = server.accept()
            with connection:
                while b'in-time"}' not in b"".join(got):
                    got.append(connection.recv(10_000))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                first = worker.stdout.readline().strip()
                host.cut()
                print("post", file=worker.stdin, flush=True)
                second = worker.stdout.readline().strip()
                time.sleep(3)  # so long a packet may wait for its neighbour's address: that is not TCP's to forget
                host.mend()
                connection.settimeout(6)
                with suppress(TimeoutError, ConnectionResetError):
                    got.append(connection.recv(10_000))
            print("end", file=worker.stdin, flush=True)

    assert [first, second] == ["clint.ok", "clint.timeout"]
    assert b"late" not in b"".join(got)


# psycopg sends the statements of many rows as a pipeline: while the server waits for its end, it calls no transaction
# idle, and what it answered nobody acknowledges.
_LEAVES_A_PIPELINE = """
import sys, time
from bridge.journal.database import Database

connection = Database(sys.argv[1]).engine.raw_connection().driver_connection
with connection.pipeline():
    connection.execute("SELECT pg_advisory_xact_lock(7)")
    connection.execute("SELECT pg_sleep(2)")
    connection.pgconn.send_flush_request()
    while connection.pgconn.flush():
        pass
    print("sent", flush=True)
    time.sleep(600)
"""


def test_locks_of_a_machine_that_is_gone_are_given_back(network: Network) -> None:
    """Also where it went in the middle of its statements: its lanes are others' within seconds, not within minutes."""
    with PostgresServer.started(network.address) as postgres:
        url = postgres.url("postgres")
        host = network.host("worker")
        command = host.command([sys.executable, "-c", _LEAVES_A_PIPELINE, url])
        with (
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker,
            closing(Database(url)) as database,
            ExitStack() as stack,
        ):
            stack.callback(worker.kill)
            assert worker.stdout is not None
            assert worker.stdout.readline().strip() == "sent"
            host.cut()

            def free() -> bool:
                with database.write() as connection:
                    return bool(connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(7)").scalar())

            begun_s = time.monotonic()
            assert not free()
            until(free, 40, every_s=0.5)
            print(f"given back after {time.monotonic() - begun_s:.0f} s")  # noqa: T201
