"""The whole bridge on this machine: Redis, journal, web and worker, for `bridge up` and `bridge demo`.

It is given an environment in which every setting stands, and leaves running processes until its `with` block ends:
first the bridge's own, which finish what they do, then Redis.
"""

from __future__ import annotations

import ipaddress
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import httpx

from bridge import private_files
from bridge.cli.database import upgraded
from bridge.embedded_redis import EmbeddedRedis, bound_to_parent
from bridge.errors import NotStarted, PortTaken, RedisNotStarted
from bridge.http import nobody
from bridge.runtime import Runtime
from bridge.settings import Settings

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
STEADY_S = 60.0
"""A child that ran so long is healthy: its next death waits from the beginning again."""
GRACE_S = 25.0
"""How long a child may finish what it does: longer than the web process takes to stop, and than a usual send."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running."""

    name: str
    command: Sequence[str]
    """The first part is a path."""
    environ: Mapping[str, str]


@dataclass(slots=True)
class _Kept:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    deaths: int = 0
    start_at_s: float = 0.0
    reader: threading.Thread | None = field(default=None)


class Supervisor:
    """Children that run from entering the `with` block to leaving it."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        notice: Callable[[str], None],
        line: Callable[[str, str], None] | None = None,
        log_directory: Path | None = None,
        grace_s: float = GRACE_S,
        steady_s: float = STEADY_S,
    ) -> None:
        """Tell `notice` about deaths; give output to `line` (name, text), or to files in the log directory."""
        self._kept = [_Kept(child) for child in children]
        self._notice = notice
        self._line = line
        self._log_directory = log_directory
        self._grace_s = grace_s
        self._steady_s = steady_s

    def __enter__(self) -> Self:
        if self._log_directory is not None:
            private_files.make_directory(self._log_directory)
            private_files.restrict(self._log_directory)
        try:
            self.poll()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def poll(self) -> None:
        """Start what is to be started and note what died; call it several times a second."""
        for kept in self._kept:
            if kept.process is None:
                if time.monotonic() >= kept.start_at_s:
                    try:
                        self._start(kept)
                    except OSError as error:
                        if not kept.deaths:
                            raise
                        # A full disk has no room for its log, a full machine none for a process.
                        self._died(kept, f"can't be started: {error}")
            elif kept.process.poll() is not None:
                self._died(kept, _end(kept.process.returncode))

    def alive(self, name: str) -> bool:
        """Return whether the child of that name runs now."""
        return any(kept.child.name == name and _runs(kept) for kept in self._kept)

    def pid(self, name: str) -> int | None:
        """Return the number of the process of that name while it runs."""
        return next((k.process.pid for k in self._kept if k.child.name == name and k.process and _runs(k)), None)

    def stop(self) -> None:
        """Ask every child to end, and kill those that take too long; a second Ctrl-C kills at once."""
        running = [kept.process for kept in self._kept if kept.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + self._grace_s
        try:
            for process in running:
                process.wait(max(0.0, deadline_s - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            for process in running:
                process.kill()
                process.wait()
        for kept in self._kept:
            if kept.reader is not None:
                kept.reader.join(1.0)

    def _start(self, kept: _Kept) -> None:
        child = kept.child
        if self._log_directory is None:
            kept.process = self._launch(child, subprocess.PIPE)
            if kept.process.stdout is not None:
                kept.reader = threading.Thread(
                    target=self._read, args=(child.name, kept.process.stdout), name=f"output-{child.name}", daemon=True
                )
                kept.reader.start()
        else:
            with open(self._log_directory / f"{child.name}.log", "ab", opener=private_files.opener) as log:
                kept.process = self._launch(child, log)
        kept.started_s = time.monotonic()

    def _launch(self, child: Child, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 (the commands are the bridge's own)
            bound_to_parent(list(child.command)),
            env=dict(child.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C goes to the whole group of the terminal; the order in which things end is decided here.
            start_new_session=True,
        )

    def _read(self, name: str, output: IO[bytes]) -> None:
        with output:
            for line in output:
                if self._line is not None:
                    self._line(name, line.decode(errors="replace").rstrip("\n"))

    def _died(self, kept: _Kept, how: str) -> None:
        now_s = time.monotonic()
        if now_s - kept.started_s >= self._steady_s:
            kept.deaths = 0
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(kept.deaths, 10))
        kept.deaths += 1
        kept.process = None
        kept.start_at_s = now_s + wait_s
        self._notice(f"{kept.child.name} {how}; starting it again in {wait_s:g} s{self._log_of(kept.child)}")

    def _log_of(self, child: Child) -> str:
        return f"; see {self._log_directory / f'{child.name}.log'}" if self._log_directory else ""


def _runs(kept: _Kept) -> bool:
    return kept.process is not None and kept.process.poll() is None


def _end(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


class Stopping:
    """Whether somebody asked to stop, by Ctrl-C or SIGTERM; asking a second time raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self._asked = False

    def __bool__(self) -> bool:
        return self._asked

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _ask(self, _signum: int, _frame: FrameType | None) -> None:
        # A flag and no threading.Event: a handler may interrupt the very code that holds the event's lock.
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


POLL_S = 0.1
READY_TIMEOUT_S = 60.0
STOP_GRACE_S = 15.0
"""How long after its last send a process that was told to stop may take; then it is killed."""
LOOPBACK = "127.0.0.1"
_REDIS_REST_S = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """The mappings that are active, and everything that is wrong."""

    active: tuple[str, ...]
    problems: tuple[str, ...]


class LocalBridge:
    """The bridge of one environment, with a Redis of its own unless REDIS_URL names one."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        notice: Callable[[str], None],
        line: Callable[[str, str], None] | None = None,
        log_directory: Path | None = None,
    ) -> None:
        self._environ = dict(environ)
        self._notice = notice
        self._line = line
        self._log_directory = log_directory
        self._stack = ExitStack()
        self._redis: EmbeddedRedis | None = None
        self._redis_again_s = 0.0
        settings = Settings.from_env(self._environ)
        self.has_password = bool(settings.bridge_password or settings.bridge_viewer_password)
        is_local = not self.has_password and is_loopback(settings.bridge_host)
        self._environ["BRIDGE_CONSOLE_TOKEN"] = secrets.token_urlsafe(32) if is_local else ""
        self.settings = Settings.from_env(self._environ)

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            if not self.settings.redis_url:
                self._redis = starting.enter_context(EmbeddedRedis(self.settings.bridge_data_dir / "redis"))
                self._notice(f"Redis of its own: {self._redis.server}")
                self._environ["REDIS_URL"] = self._redis.url
                self.settings = Settings.from_env(self._environ)
            self._prepare_journal()
            commands = {name: bridge_command(name) for name in ("web", "worker")}
            self.processes = starting.enter_context(
                Supervisor(
                    [Child(name, command, self._environ) for name, command in commands.items()],
                    notice=self._notice,
                    line=self._line,
                    log_directory=self._log_directory,
                    grace_s=self.settings.bridge_send_timeout + STOP_GRACE_S,
                )
            )
            self._stack = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The address of the web process on this machine."""
        return self.settings.local_url

    @property
    def console_url(self) -> str:
        """The address that opens the console, with its token where there is no password."""
        token = self.settings.bridge_console_token
        return f"{self.url}/?token={token}" if token else f"{self.url}/"

    def poll(self) -> None:
        """Start again what died; call it several times a second from the main thread."""
        self.processes.poll()
        if self._redis is not None and not self._redis.alive and time.monotonic() >= self._redis_again_s:
            self._notice("Redis ended; starting it again")
            self._redis_again_s = time.monotonic() + _REDIS_REST_S
            try:
                self._redis.start()
            except (RedisNotStarted, OSError) as error:
                self._notice(str(error))

    def wait_until_up(self, stopping: Callable[[], bool]) -> None:
        """Return when the web process answers; raise NotStarted where it does not in time."""
        wait_for({"web": f"{self.url}/healthz"}, self.poll, stopping)

    def readiness(self) -> Readiness:
        """Return what the bridge says of itself."""
        parts = httpx.get(f"{self.url}/readyz", timeout=10, verify=nobody(), trust_env=False).json()
        problems = [part["problem"] for part in parts.values() if isinstance(part, dict) and "problem" in part]
        mappings = parts["mappings"]
        return Readiness(tuple(mappings.get("active", ())), (*problems, *mappings.get("problems", ())))

    def _prepare_journal(self) -> None:
        runtime = Runtime(self.settings)
        try:
            self._notice(upgraded(runtime.journal.database))
            for name in runtime.register():
                self._notice(f"destination {name} was paused and goes on, since its URL is new")
        finally:
            runtime.close()


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches that host name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bridge_command(name: str) -> list[str]:
    """Return what starts one of the bridge's processes with this very Python."""
    return [sys.executable, "-m", "bridge", name]


def wait_for(urls: Mapping[str, str], tend: Callable[[], None], stopping: Callable[[], bool]) -> None:
    """Return when each address answers 200; raise NotStarted with the names of those that do not in time."""
    waiting = dict(urls)
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while waiting and not stopping():
        if time.monotonic() > deadline_s:
            names = ", ".join(waiting)
            raise NotStarted(f"{names} did not answer within {READY_TIMEOUT_S:g} s", hint="see what it logged")
        tend()
        for name, url in list(waiting.items()):
            if _answers(url):
                del waiting[name]
        time.sleep(POLL_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, verify=nobody(), trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def choose_ports(wanted: Sequence[int]) -> list[int]:
    """Return ports of this machine that are free: the wanted ones where they are, else others."""
    chosen: list[int] = []
    for port in wanted:
        chosen.append(_free_port(chosen) if port in chosen or not _is_free(port) else port)
    return chosen


def _is_free(port: int) -> bool:
    try:
        check_free(LOOPBACK, port)
    except PortTaken:
        return False
    return True


def _free_port(taken: Sequence[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def check_free(host: str, port: int) -> None:
    """Raise PortTaken where another process listens there."""
    listen(host, port).close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raise PortTaken where that can't be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # A name such as localhost may have both: IPv4 comes first.
        family, _, _, _, address = min(found, key=lambda one: one[0] == socket.AF_INET6)
        # Every address of IPv6 is every one of IPv4, too.
        return socket.create_server(address, family=family, dualstack_ipv6=host == "::")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "that is no host's name"
        raise PortTaken(
            f"port {port} of {host} can't be bound: {why.partition(' (')[0].lower()}",
            hint="choose another with --port or PORT, or end what listens there",
        ) from error
