"""The harms that come over a bridge and pass: each lasts until it has struck, and gives how often it did.

They are context managers over a site. The story goes on meanwhile; when the block is left everything is as before.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import psycopg
from redis import Redis

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import INTEGRATIONS
from tests import asking
from tests.acceptance.deployment import until
from tests.torture import disk
from tests.torture.site import Site

Struck = Callable[[], int]
Harm = Callable[[Site], AbstractContextManager[Struck]]
HOLDS_S = 1.0
"""How long a harm lasts beyond its first strike."""
USED_WITHIN_S = 6.0


def weather(harm: Harm) -> Callable[[Site], None]:
    """Return how such a harm is played: a third of the story before it, a third in it, a third after it."""

    def play(site: Site) -> None:
        part = len(site.untold) // 3
        site.start()
        site.tell(part)
        with harm(site) as struck:
            telling = site.telling(part)
            until(struck, 90)
            time.sleep(HOLDS_S)
            site.strikes += struck()
        telling.result()
        site.tell()

    return play


def refused(site: Site) -> int:
    """Return how often Asaas was told to come again."""
    return site.answers[503] + site.answers[0]


# ------------------------------------------------------------ disk and database


@contextmanager
def disk_full(site: Site) -> Iterator[Struck]:
    with disk.full(site.scratch / "disk"):
        yield lambda: refused(site)
    if site.postgres is not None:
        site.postgres.revive()  # PostgreSQL ends itself where the log can't grow; a host starts it again


@contextmanager
def read_only_file(site: Site) -> Iterator[Struck]:
    """The directory is mounted read-only, and the processes start there."""
    site.kill_all()
    with disk.read_only(site.file.parent):
        site.restart_the_dead()
        yield lambda: refused(site)
        site.kill_all()
    site.restart_the_dead()


@contextmanager
def locked_file(site: Site) -> Iterator[Struck]:
    with closing(sqlite3.connect(site.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: refused(site)
        other.execute("ROLLBACK")


@contextmanager
def _setting(site: Site, name: str, value: str) -> Iterator[None]:
    """Give new sessions another default, and end those that there are, as a failover does."""
    database = site.database_url.rpartition("/")[2]
    _sql(site, f"ALTER DATABASE {database} SET {name} = {value}")
    _terminate(site)
    try:
        yield
    finally:
        _sql(site, f"ALTER DATABASE {database} RESET {name}")
        _terminate(site)


@contextmanager
def read_only_server(site: Site) -> Iterator[Struck]:
    with _setting(site, "default_transaction_read_only", "on"):
        yield lambda: refused(site)


@contextmanager
def serializable(site: Site) -> Iterator[Struck]:
    """Every transaction is serializable, and another client writes into what the bridge reads."""
    over = threading.Event()

    def write() -> None:
        with psycopg.connect(site.database_url.replace("+psycopg", "")) as other:
            while not over.is_set():
                other.execute("UPDATE lanes SET fence = fence")
                time.sleep(0.05)
                other.commit()

    with _setting(site, "default_transaction_isolation", "serializable"), ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            yield lambda: site.logged("could not serialize")
        finally:
            over.set()
        writing.result()


@contextmanager
def connections_lost(site: Site) -> Iterator[Struck]:
    lost = [0]

    def struck() -> int:
        lost[0] += _terminate(site)
        return lost[0] if lost[0] > 30 else 0

    yield struck


@contextmanager
def database_stopped(site: Site) -> Iterator[Struck]:
    assert site.postgres is not None
    site.postgres.stop()
    yield lambda: refused(site)
    site.postgres.start()


@contextmanager
def database_killed(site: Site) -> Iterator[Struck]:
    assert site.postgres is not None
    site.postgres.kill()
    yield lambda: refused(site)
    site.postgres.start()


def _sql(site: Site, statement: str) -> list[Any]:
    server, _, _ = site.database_url.replace("+psycopg", "").rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _terminate(site: Site) -> int:
    database = site.database_url.rpartition("/")[2]
    return len(_sql(site, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"))


# ------------------------------------------------------------ Redis


@contextmanager
def redis_flushed(site: Site) -> Iterator[Struck]:
    flushed = [0]

    def struck() -> int:
        with Redis.from_url(site.redis.url) as client:
            client.flushall()
        flushed[0] += 1
        return flushed[0] if flushed[0] > 10 else 0

    yield struck


@contextmanager
def redis_restarted(site: Site) -> Iterator[Struck]:
    site.redis.kill()
    site.redis.start()
    yield lambda: 1


@contextmanager
def redis_away(site: Site) -> Iterator[Struck]:
    site.redis.kill()
    yield lambda: site.logged("queue.away")
    site.redis.start()


@contextmanager
def redis_full(site: Site) -> Iterator[Struck]:
    with Redis.from_url(site.redis.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        yield lambda: int(client.info("errorstats").get("errorstat_OOM", {}).get("count", 0))
        client.config_set("maxmemory", "64mb")


@contextmanager
def redis_slow(site: Site) -> Iterator[Struck]:
    with Redis.from_url(site.redis.url) as client:
        client.client_pause(3_000)
    yield lambda: site.logged("queue.away")


@contextmanager
def redis_frozen(site: Site) -> Iterator[Struck]:
    pid = site.redis.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield lambda: site.logged("queue.away")
    finally:
        os.kill(pid, signal.SIGCONT)


# ------------------------------------------------------------ the clock and names


def clock(*steps_s: float) -> Harm:
    """The machine's clock is set wrong by each of these, and right again at the end.

    Meanwhile deliveries fail, so that due times are written by the wrong clock, and a worker dies with its leases.
    """

    @contextmanager
    def stepped(site: Site) -> Iterator[Struck]:
        done = [0]
        site.clint("answers", status=500, share=0.5, times=10)

        def struck() -> int:
            if done[0] < len(steps_s):
                site.knob.write_text(str(steps_s[done[0]]))
                done[0] += 1
                time.sleep(HOLDS_S)
                site.children["worker-0"].kill()
                site.restart_the_dead()
            return done[0] if done[0] == len(steps_s) else 0

        yield struck
        site.knob.write_text("0")

    return stepped


@contextmanager
def names_unknown(site: Site) -> Iterator[Struck]:
    site.knob.write_text("1")
    yield lambda: site.attempts("clint.dns")
    site.knob.write_text("0")


# ------------------------------------------------------------ both ends


def _used(url: str, times: int) -> Struck:
    """Return how many of so many rules, each for one request, were used: all, or what came within some seconds."""
    first_s = [0.0]

    def struck() -> int:
        used = times - int(asking.get(f"{url}/_sim/faults", timeout=10).json()["rules"])
        if used and not first_s[0]:
            first_s[0] = time.monotonic()
        return used if used == times or (used and time.monotonic() > first_s[0] + USED_WITHIN_S) else 0

    return struck


def clint(knob: str, times: int = 5, **told: Any) -> Harm:
    """The destination does that so many times."""

    @contextmanager
    def harm(site: Site) -> Iterator[Struck]:
        for _ in range(times):
            site.clint(knob, times=1, **told)
        yield _used(site.clint_url, times)
        site.clint("comes_back")

    return harm


@contextmanager
def clint_down(site: Site) -> Iterator[Struck]:
    site.clint("goes_down")
    yield lambda: site.attempts("clint.connection")
    site.clint("comes_back")


@contextmanager
def clint_removed(site: Site) -> Iterator[Struck]:
    """The integration is removed in Clint, then put back, and a person resumes the destination."""
    site.clint("removed", uuid=INTEGRATIONS["default"])
    yield lambda: site.attempts("clint.removed")
    site.clint("restored", uuid=INTEGRATIONS["default"])
    assert site.command("destinations", "resume", "default") == 0


def asaas(knob: str, times: int = 4, **told: Any) -> Harm:
    """The Asaas API does that so many times."""

    @contextmanager
    def harm(site: Site) -> Iterator[Struck]:
        for _ in range(times):
            site.asaas(knob, times=1, path="/v3", **told)
        yield _used(site.asaas_url, times)
        site.asaas("comes_back")

    return harm


@contextmanager
def key_refused(site: Site) -> Iterator[Struck]:
    site.asaas("keys", keys=[])
    yield lambda: site.logged('"code":"asaas.key_refused"')
    site.asaas("keys", keys=[DEFAULT_KEY])
