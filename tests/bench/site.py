"""The site: everything that a bridge needs around it to be measured, and the bridge itself in real processes.

A Redis, a receiver in Clint's place, a simulated Asaas, and a fresh journal for each bridge. Settings are those of
production, not the hurried ones of the acceptance tests; PostgreSQL commits to the disk, which the tests' does not.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis

from bridge.journal.database import Database
from bridge.settings import SETTINGS
from tests.acceptance.deployment import QUICK, TOKEN, Deployment
from tests.bench import load, references, usage
from tests.bench.bulk import bulk, bulk_customers
from tests.bench.load import Answers, Order
from tests.bench.receiver import Receiver
from tests.console import PASSWORD
from tests.services import PostgresServer, RedisServer

MAPPINGS = Path(__file__).parent / "mappings"
BRIDGE_HEAD = (
    b"POST /webhooks/asaas HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    b"asaas-access-token: %s\r\nContent-Length: " % TOKEN.encode()
)
_CUSTOMER = re.compile(rb'"customer": ?"([^"]+)"')
PRODUCTION = {
    **{setting.name: setting.default for setting in SETTINGS if setting.name in QUICK},
    "BRIDGE_PASSWORD": PASSWORD,
    "BRIDGE_CACHE_TTL": "86400",  # what is measured is the way of an event, not the Asaas API
}
_STANDSTILL_S = 30.0
_LOOK_S = 0.2


class DurablePostgres(PostgresServer):
    """A PostgreSQL server whose commits wait for the disk."""

    @property
    def pid(self) -> int:
        """The server's process, whose children serve the connections."""
        assert self._process is not None
        return self._process.pid

    def _as_owner(self, command: list[str]) -> list[str]:
        # The tests' server is told not to wait; of an option that is given twice the server takes the last.
        durable = ["--fsync=on", "--full_page_writes=on"] if command[0] == "postgres" else []
        return super()._as_owner([*command, *durable])


class Stream:
    """Events of many customers; the first of each warms the bridge, the rest is what is measured."""

    def __init__(self, customers: int, events: int, seed: int = 0) -> None:
        self.customers = customers
        bodies = [body for _, body in bulk(customers, customers + events, seed)]
        self.first, self.rest = bodies[:customers], bodies[customers:]

    def flows(self, count: int, most: int | None = None, *, first: bool = False) -> list[list[bytes]]:
        """Deal the events to so many flows, each customer's to one, so that they stay in order."""
        flows: list[list[bytes]] = [[] for _ in range(count)]
        for body in self.first if first else self.rest[:most]:
            found = _CUSTOMER.search(body)
            assert found is not None
            flows[int(found[1].rpartition(b"_")[2]) % count].append(body)
        return flows


class Bridge:
    """One bridge with a journal of its own, started."""

    def __init__(self, site: Site, deployment: Deployment, database_url: str) -> None:
        self._site = site
        self.deployment = deployment
        self.database = Database(database_url)

    def post(
        self,
        flows: Sequence[Sequence[bytes]],
        seconds: float = 3600,
        *,
        rate: float | None = None,
        ahead: int = 0,
    ) -> Answers:
        """Post events to the web process from the load's own process."""
        port, receiver_port = self.deployment.web_ports[0], self._site.receiver.port
        return self._site.post(Order(port, BRIDGE_HEAD, flows, seconds, rate, receiver_port, ahead))

    def begin(self, connections: int) -> None:
        """Post one event of each customer, so that the web process has its connections and has said everything once."""
        self.post(self._site.stream.flows(connections, first=True))

    def warm(self) -> list[bytes]:
        """Let one event of each customer through, so that every customer is cached; return the payloads."""
        self._site.receiver.forget()
        self.begin(8)
        self.arrived(self._site.stream.customers)
        self._site.receiver.forget()
        with self.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT payload FROM deliveries WHERE state = 'delivered'")
            return [str(row[0]).encode() for row in rows]

    def arrived(self, count: int) -> int:
        """Wait until so many deliveries have arrived since the receiver last forgot; return how many did.

        However slow the bridge is, it is waited for as long as it gets on.
        """
        seen, since_s = -1, time.monotonic()
        while seen < count and time.monotonic() - since_s < _STANDSTILL_S:
            now = self._site.receiver.count()
            if now > seen:
                seen, since_s = now, time.monotonic()
            time.sleep(_LOOK_S)
        return seen

    def parts(self) -> dict[str, list[int]]:
        """Return the processes of each part."""
        found: dict[str, list[int]] = {}
        for name, child in self.deployment.children.items():
            if child.alive and child.process is not None and not name.startswith("simulated"):
                found.setdefault(name.partition("-")[0], []).extend(usage.family(child.process.pid))
        if self._site.redis.pid is not None:
            found["redis"] = [self._site.redis.pid]
        if self._site.postgres is not None:
            found["postgresql"] = usage.family(self._site.postgres.pid)
        return found


class Site:
    """Where bridges are measured on one kind of database; everything ends with the `with` block."""

    def __init__(self, database: str, stream: Stream) -> None:
        self.database = database
        self.stream = stream
        self.postgres: DurablePostgres | None = None
        self._bridges = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-bench-")))
            self.redis = stack.enter_context(RedisServer.started())
            if self.database == "postgresql":
                self.postgres = stack.enter_context(DurablePostgres.started())
            self.receiver = stack.enter_context(Receiver())
            self._view = stack.enter_context(references.View(self._scratch))
            # Spawned, not forked: the load has its own memory and its own garbage collector.
            self._load = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def bridge(self, *, workers: int) -> Iterator[Bridge]:
        """Start a bridge with one web process and so many workers, on an empty journal and Redis."""
        self._bridges += 1
        scratch = self._scratch / f"bridge-{self._bridges}"
        scratch.mkdir()
        with Redis.from_url(self.redis.url) as redis:
            redis.flushall()
        self.receiver.answer()
        self.receiver.forget()
        with ExitStack() as stack:
            url = f"sqlite:///{scratch / 'journal.sqlite3'}"
            if self.postgres is not None:
                url = stack.enter_context(self.postgres.database())
            deployment = Deployment(scratch, url, self.redis.url, MAPPINGS, PRODUCTION)
            stack.push(deployment)  # before it is entered: what it had started must end also when the rest fails
            deployment.__enter__()
            deployment.env["CLINT_WEBHOOK_URL"] = self.receiver.url
            deployment.children["simulated-clint"].stop()
            deployment.asaas("customers", customers=bulk_customers(self.stream.customers))
            deployment.start(webs=1, workers=workers)
            bridge = Bridge(self, deployment, url)
            stack.callback(bridge.database.close)
            yield bridge

    def post(self, order: Order) -> Answers:
        """Carry out an order in the load's own process."""
        return self._load.submit(load.post, order).result()

    def post_to_view(self, flows: Sequence[Sequence[bytes]], seconds: float, *, rate: float | None = None) -> Answers:
        """Post the same events to the bare view."""
        return self.post(Order(self._view.port, references.VIEW_HEAD, flows, seconds, rate))

    def post_bare(self, payloads: Sequence[bytes], seconds: float) -> float:
        """Post payloads to the receiver by one bare client; return how many a second."""
        return self._load.submit(references.post_bare, self.receiver.url, payloads, seconds).result()


def commit_of(root: Path) -> str:
    """Return the commit that is measured, with a + where the work tree differs from it."""
    told = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=root, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"
