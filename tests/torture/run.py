"""Tries many faults, several at once, and says how each went; most of the time they wait for leases and time-outs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.factories import sqlite_template
from tests.services import PostgresServer
from tests.torture.fault import POSTGRESQL, Fault, Tried, attempt


def tries_of(faults: Sequence[Fault], databases: Sequence[str], tries: int) -> list[tuple[Fault, str]]:
    """Return what is to be tried: each fault on each database that it concerns, so many times."""
    return [
        (fault, database)
        for _ in range(tries)
        for fault in faults
        for database in databases
        if database in fault.databases
    ]


def run(
    wanted: Sequence[tuple[Fault, str]], at_once: int, tell: Callable[[Tried, int], object] = lambda _tried, _n: None
) -> list[Tried]:
    """Try these, so many at once; tell of each when it is done."""
    done: list[Tried] = []
    lock = threading.Lock()

    def one(item: tuple[Fault, str], postgres: PostgresServer | None) -> None:
        tried = attempt(*item, postgres)
        with lock:
            done.append(tried)
            tell(tried, len(done))

    sqlite_template()  # made once, before several ask for it at the same time
    with ExitStack() as opened:
        shared = any(database == POSTGRESQL for _, database in wanted)
        postgres = opened.enter_context(PostgresServer.started()) if shared else None
        with ThreadPoolExecutor(at_once) as pool:
            for future in [pool.submit(one, item, postgres) for item in wanted]:
                future.result()
    order = {id(fault): number for number, (fault, _) in enumerate(wanted)}
    return sorted(done, key=lambda tried: order[id(tried.fault)])


def line(tried: Tried) -> str:
    """Return in a line how a try went."""
    state = "kept " if tried.held else "BROKEN"
    words = f"{state} {tried.fault.area}: {tried.fault.name} ({tried.database}, {tried.seconds:.1f} s)"
    return "\n".join([words, *(f"       {trouble}" for trouble in troubles(tried))])


def troubles(tried: Tried) -> Iterator[str]:
    """Give what is wrong with a try, and where its logs are."""
    if tried.held:
        return
    if tried.trouble:
        yield tried.trouble
    elif not tried.strikes:
        yield "the fault did not strike"
    yield from tried.judgement.breaches if tried.judgement else ()
    yield f"logs: {tried.scratch}"
