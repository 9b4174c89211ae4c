"""A Redis behind TLS whose certificate no authority signed, as Heroku's own is."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from redis import Redis
from rq import Queue, SimpleWorker

from bridge.redis_client import OptionalRedis
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.wakeups import QUEUE, BackgroundWaker
from bridge.web.app import create_app
from tests.commands import Commands
from tests.peers import tls_server

REFUSED = "its certificate is refused: unable to get local issuer certificate"


@contextlib.contextmanager
def tls_before(url: str, context: ssl.SSLContext) -> Iterator[str]:
    """Give the rediss:// URL of a proxy before that Redis."""
    parts = urlsplit(url)
    loop = asyncio.new_event_loop()

    async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
        finally:
            target.transport.abort()  # also where the task is cancelled: a closed TLS connection waits for the other

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(pipe(reader, forth), pipe(back, writer))

    server = loop.run_until_complete(asyncio.start_server(joined, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"rediss://:{parts.password}@127.0.0.1:{server.sockets[0].getsockname()[1]}/0"

    async def end() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # asyncio closes the sockets in its next step

    asyncio.run_coroutine_threadsafe(end(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def url(redis: Redis, redis_url: str) -> Iterator[str]:
    """Give the URL of an emptied Redis behind a certificate that nobody knows."""
    with tls_before(redis_url, tls_server(trustme.CA(), "127.0.0.1")) as secured:
        yield secured


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    """Give a place to run commands in, with a journal."""
    place = Commands(tmp_path)
    with place.journal():
        yield place


def redis_check(commands: Commands, url: str) -> dict[str, str]:
    """Return what doctor says of that Redis."""
    checks = commands.run("doctor", "--json", REDIS_URL=url).json
    (check,) = [check for check in checks if check["name"] == "redis"]
    return {name: str(text) for name, text in check.items()}


def test_a_certificate_that_is_refused_is_named_with_the_way_out(commands: Commands, url: str) -> None:
    """By doctor and by /readyz, which `bridge up` and hosts read."""
    check = redis_check(commands, url)
    runtime = Runtime(Settings.from_env(commands.environ | {"REDIS_URL": url}))
    ready = create_app(runtime).test_client().get("/readyz").json
    runtime.close()

    assert (check["state"], check["code"], check["value"]) == ("wrong", "redis.certificate", REFUSED)
    assert "?ssl_cert_reqs=none" in check["mend"]
    assert ready is not None
    assert REFUSED in ready["redis"]["problem"]


def test_the_log_names_a_certificate_that_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Else an operator reads that Redis is away while it runs."""
    runtime = Runtime(Settings.from_env({"REDIS_URL": url}))
    waker = BackgroundWaker(runtime.wakeups)
    waker.wake(5)
    waker.close()
    runtime.close()

    assert REFUSED in capsys.readouterr().out


def test_a_certificate_that_nobody_signed_can_be_taken(commands: Commands, url: str, redis: Redis) -> None:
    """Doctor, the wake-ups of the door, RQ's waiting reads, caches and counters all go by the URL."""
    taken = f"{url}?ssl_cert_reqs=none"
    assert redis_check(commands, taken)["state"] == "fine"
    runtime = Runtime(Settings.from_env({"REDIS_URL": taken}))
    waker = BackgroundWaker(runtime.wakeups)
    waker.wake(5)
    waker.close()

    assert [job.args for job in Queue(QUEUE, connection=redis).jobs] == [(5,)]
    redis.flushdb()
    job = Queue(connection=redis).enqueue("builtins.len", "abc")
    SimpleWorker([Queue(connection=runtime.worker_redis)], connection=runtime.worker_redis).work(
        burst=True, logging_level="ERROR"
    )
    assert job.return_value() == 3
    runtime.close()
    assert OptionalRedis(taken).call(lambda link: link.ping())
