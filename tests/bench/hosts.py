"""`python -m tests.bench.hosts`: a bridge on several machines, with 1, 2 and 4 workers, and one of four cut off.

The machines are network namespaces of this one (tests/acceptance/network.py): addresses and cables are real, but all
of them share its cores, so that more workers can only help until these are busy. It prints tables in Markdown.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
from redis import Redis

from bridge.journal.database import Database
from tests.acceptance import story
from tests.acceptance.hosts import CutOff, HostDeployment, cut_off
from tests.acceptance.network import Network
from tests.bench import load, references, usage
from tests.bench.bulk import bulk_customers
from tests.bench.load import Order
from tests.bench.receiver import Receiver
from tests.bench.site import BRIDGE_HEAD, MAPPINGS, PRODUCTION, DurablePostgres, Stream, commit_of
from tests.services import RedisServer

_ROOT = Path(__file__).parents[2]
_CONNECTIONS = 8
_REFERENCE_S = 3.0
_STANDSTILL_S = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast so many workers drained a backlog, and the CPU time that one delivery took."""

    workers: int
    per_s: float
    bare_per_s: float
    """One thread of bare posts to the same receiver, just before."""
    worker_ms: float
    postgresql_ms: float
    cores_busy: float
    """Of all processes of the machine, on average while it was drained."""
    web_ms: float
    """CPU time of the web process for one answer, and below of PostgreSQL."""
    postgresql_answer_ms: float
    event_bytes: float
    """What the journal has grown by for each event with its delivery and attempt, indexes included."""


class Hosts:
    """The machine with the data, and hosts for as many bridges as are measured one after another."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-hosts-")))
            self._network = stack.enter_context(Network())
            self._redis = stack.enter_context(RedisServer.started(self._network.address))
            self._postgres = stack.enter_context(DurablePostgres.started(self._network.address))
            self._receiver = stack.enter_context(Receiver(self._network.address))
            self._load = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def _bridge(self, mappings: Path) -> Iterator[tuple[HostDeployment, str]]:
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        with Redis.from_url(self._redis.url) as redis:
            redis.flushall()
        with ExitStack() as stack:
            url = stack.enter_context(self._postgres.database())
            deployment = HostDeployment(scratch, self._network, url, self._redis.url, mappings, PRODUCTION)
            yield stack.enter_context(deployment), url

    def rate(self, workers: int, stream: Stream) -> Rate:
        """Let so many workers, each on a host of its own, drain a backlog."""
        receiver = self._receiver
        receiver.forget()
        with self._bridge(MAPPINGS) as (bridge, url):
            bridge.env["CLINT_WEBHOOK_URL"] = receiver.url
            bridge.asaas("customers", customers=bulk_customers(stream.customers))
            bridge.start(webs=1, workers=workers)
            self._post(bridge, stream.flows(_CONNECTIONS, first=True))
            self._arrived(stream.customers)
            children = [child for name, child in bridge.children.items() if name.startswith("worker")]
            for child in children:
                child.stop()
            web, grown = _pids(bridge, "web"), -self._size(url)
            door = -usage.cpu_s(web), -usage.cpu_s(usage.family(self._postgres.pid))
            posted = self._post(bridge, stream.flows(_CONNECTIONS))
            door = door[0] + usage.cpu_s(web), door[1] + usage.cpu_s(usage.family(self._postgres.pid))
            bare_per_s = self._load.submit(references.post_bare, receiver.url, stream.rest[:200], _REFERENCE_S).result()
            receiver.forget()
            for child in children:
                child.start()
            self._arrived(1)
            pids = _pids(bridge, "worker")
            before = usage.cpu_s(pids), usage.cpu_s(usage.family(self._postgres.pid)), _busy_s(), time.monotonic()
            first = receiver.count()
            self._arrived(posted)
            after = usage.cpu_s(pids), usage.cpu_s(usage.family(self._postgres.pid)), _busy_s(), time.monotonic()
            spent = [late - early for early, late in zip(before, after, strict=True)]
            arrivals = [arrival.at_ns for arrival in receiver.arrivals()]
            grown += self._size(url)
        measured = max(1, len(arrivals) - first)
        per_s = (len(arrivals) - 1) / (max(arrivals) - min(arrivals)) * 1e9
        each_ms = [1000 * cpu_s / measured for cpu_s in spent[:2]]
        return Rate(
            workers,
            per_s,
            bare_per_s,
            each_ms[0],
            each_ms[1],
            spent[2] / spent[3],
            1000 * door[0] / posted,
            1000 * door[1] / posted,
            grown / posted,
        )

    def cut(self, workers: int, events: int) -> CutOff:
        """Cut one of so many workers off in mid-drain; the settings are those of production."""
        people = story.customers(max(1, events // 7))
        told = story.events([person["id"] for person in people], events, seed=77)
        mappings = story.write_mappings(Path(tempfile.mkdtemp(dir=self._scratch)) / "mappings")
        with self._bridge(mappings) as (bridge, url):
            bridge.asaas("customers", customers=people)
            bridge.start(webs=1, workers=workers)
            bridge.clint("is_slow", seconds=0.5)
            self._post(bridge, [[event.body for event in events] for events in told.values()])
            database = Database(url)
            try:
                return cut_off(bridge, database, events * len(story.MAPPINGS), "worker-0")
            finally:
                database.close()

    def _size(self, url: str) -> int:
        database = Database(url)
        try:
            with database.read() as connection:
                return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
        finally:
            database.close()

    def _post(self, bridge: HostDeployment, flows: Sequence[Sequence[bytes]]) -> int:
        order = Order(bridge.web_ports[0], BRIDGE_HEAD, flows, host=bridge.host("web-0").address)
        return self._load.submit(load.post, order).result().statuses[200]

    def _arrived(self, count: int) -> None:
        seen, since_s = -1, time.monotonic()
        while seen < count:
            now = self._receiver.count()
            if now > seen:
                seen, since_s = now, time.monotonic()
            if time.monotonic() - since_s > _STANDSTILL_S:
                raise click.ClickException(f"only {seen} of {count} deliveries arrived")
            time.sleep(0.05)


def _pids(bridge: HostDeployment, kind: str) -> list[int]:
    """Return the processes of that kind."""
    children = [child for name, child in bridge.children.items() if name.startswith(kind)]
    return [pid for child in children if child.process for pid in usage.family(child.process.pid)]


def _busy_s() -> float:
    """Return the CPU time that this machine has spent so far on anything but idling."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def rates_table(rates: Sequence[Rate]) -> str:
    """Return the rates as a table in Markdown."""
    lines = [
        "| workers | deliveries/s | x 1st row | x bare posts | worker, CPU each | PostgreSQL, CPU each | cores busy |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for rate in rates:
        lines.append(
            f"| {rate.workers} | {rate.per_s:,.0f} | {rate.per_s / rates[0].per_s:.2f} |"
            f" {rate.per_s / rate.bare_per_s:.2f} | {rate.worker_ms:.1f} ms | {rate.postgresql_ms:.1f} ms |"
            f" {rate.cores_busy:.1f} |"
        )
    return "\n".join(lines)


def cut_words(workers: int, found: CutOff) -> str:
    """Return in words what became of a bridge of which one worker was cut off."""
    verdict = found.verdict
    return (
        f"One of {workers} workers was cut off in mid-drain, holding {found.lanes} lanes: taken over within"
        f" {found.taken_over_s:.0f} s; {found.unknown} attempts of unknown outcome, {found.overwritten} of them"
        f" overwritten later; {verdict.delivered:,} delivered, {sum(verdict.repeats.values())} of them twice;"
        f" customers out of order: {len(verdict.out_of_order)}; sent two at once: {len(verdict.overlapping)}."
    )


@click.command(context_settings={"show_default": True})
@click.option("--workers", type=click.IntRange(1, 32), multiple=True, default=(1, 2, 4), help="Workers; repeat it.")
@click.option("--backlog", type=click.IntRange(10), default=5_000, help="Events of the backlog that is drained.")
@click.option("--customers", type=click.IntRange(1), default=300, help="Customers that the events are of.")
@click.option("--cut", type=click.IntRange(0), default=2_000, help="Events of the run with one cut off; 0: none.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="File to write the numbers to.")
def main(workers: tuple[int, ...], backlog: int, customers: int, cut: int, path: Path | None) -> None:
    """Measure a bridge on several machines, which are network namespaces of this one."""
    found: dict[str, Any] = {"commit": commit_of(_ROOT), "cores": len(os.sched_getaffinity(0)), "backlog": backlog}
    stream = Stream(customers, backlog)
    with Hosts() as hosts:
        rates = []
        for count in workers:
            rates.append(hosts.rate(count, stream))
            click.echo(f"{count} workers: {rates[-1].per_s:,.0f} deliveries/s", err=True)
        click.echo(rates_table(rates))
        found["rates"] = [asdict(rate) for rate in rates]
        if cut:
            cut_found = hosts.cut(max(2, *workers), cut)
            found["cut"] = {**asdict(cut_found), "words": cut_words(max(2, *workers), cut_found)}
            del found["cut"]["verdict"]
            click.echo(f"\n{cut_words(max(2, *workers), cut_found)}")
    if path is not None:
        path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
