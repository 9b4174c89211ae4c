"""The whole bridge on this machine for `bridge up` and `bridge demo`: Redis, journal, web and worker.

`LocalBridge` takes an environment with every setting. Its processes run until its `with` block ends: first web and
worker stop, which finish their work, then Redis.
"""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import IO, Self

import httpx

from bridge import private_files
from bridge.cli.database import upgraded
from bridge.embedded_redis import EmbeddedRedis, bound_to_parent
from bridge.errors import NotStarted, PortTaken, RedisNotStarted
from bridge.http import nobody
from bridge.messages import N_, Message, _, system_reason
from bridge.runtime import Runtime
from bridge.settings import Settings, address_of

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
STEADY_S = 60.0
"""After running so long a child counts as healthy: the waits before its next starts begin anew."""
GRACE_S = 25.0
"""How long a child may take to stop: longer than the web process and a usual send need."""


@dataclass(slots=True)
class Child:
    """A process to keep running, and its state; the command's first part is a path."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    deaths: int = 0
    start_at_s: float = 0.0
    reader: threading.Thread | None = None


Output = Callable[[str, str], None] | Path
"""Takes a child's name and a line of its output, or is the directory of a log for each child."""

LOG_BYTES = 10_000_000


class LogFile(RotatingFileHandler):
    """Keeps what web and worker print while a person reads the terminal: the newest lines, 20 MB at most."""

    def __init__(self, path: Path) -> None:
        private_files.make_directory(path.parent)
        private_files.restrict(path.parent)
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace")
        private_files.restrict(path)

    def write(self, name: str, text: str) -> None:
        """Add a line of a process."""
        self.handle(logging.makeLogRecord({"msg": f"{name:<8}| {text}"}))

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the line where the disk is full: the bridge goes on."""


class Supervisor:
    """Runs children from entering the `with` block to leaving it, and starts again those that die."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        notice: Callable[[str], None],
        output: Output,
        grace_s: float = GRACE_S,
        steady_s: float = STEADY_S,
    ) -> None:
        """Pass deaths to `notice`."""
        self.children = children
        self._notice = notice
        self._output = output
        self._grace_s = grace_s
        self._steady_s = steady_s

    def __enter__(self) -> Self:
        if isinstance(self._output, Path):
            private_files.make_directory(self._output)
            private_files.restrict(self._output)
        try:
            self.poll()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def poll(self) -> None:
        """Start children whose time has come and notice deaths; call it several times a second."""
        for child in self.children:
            if child.process is None and time.monotonic() >= child.start_at_s:
                try:
                    self._start(child)
                except OSError as error:
                    if not child.deaths:
                        raise
                    # A full disk has no room for its log, a full machine none for a process.
                    self._died(child, _("can't be started: {problem}", problem=system_reason(error)))
            elif child.process is not None and child.process.poll() is not None:
                self._died(child, _end(child.process.returncode))

    def stop(self) -> None:
        """Send SIGTERM to every child and kill those that take too long; Ctrl-C kills them at once."""
        running = [child.process for child in self.children if child.process is not None]
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
        for child in self.children:
            if child.reader is not None:
                child.reader.join(1.0)

    def _start(self, child: Child) -> None:
        if isinstance(self._output, Path):
            with open(self._output / f"{child.name}.log", "ab", opener=private_files.opener) as log:
                child.process = _launch(child, log)
        else:
            child.process = _launch(child, subprocess.PIPE)
            arguments = (child.name, child.process.stdout, self._output)
            child.reader = threading.Thread(target=_read, args=arguments, name=f"output-{child.name}", daemon=True)
            child.reader.start()
        child.started_s = time.monotonic()

    def _died(self, child: Child, how: str) -> None:
        now_s = time.monotonic()
        if now_s - child.started_s >= self._steady_s:
            child.deaths = 0
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(child.deaths, 10))
        child.deaths += 1
        child.process = None
        child.start_at_s = now_s + wait_s
        text = _("{name} {how}; starting it again in {seconds} s", name=child.name, how=how, seconds=int(wait_s))
        if isinstance(self._output, Path):
            path = self._output / f"{child.name}.log"
            text += _("; see {path}", path=path)
        self._notice(text)


def _launch(child: Child, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 (the commands are the bridge's own)
        bound_to_parent(list(child.command)),
        env=dict(child.environ),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # Ctrl-C goes to the whole group of the terminal; the order in which things end is decided here.
        start_new_session=True,
    )


def _read(name: str, output: IO[bytes], show: Callable[[str, str], None]) -> None:
    with output:
        for line in output:
            show(name, line.decode(errors="replace").rstrip("\n"))


def _end(status: int) -> str:
    if status >= 0:
        return _("ended with status {status}", status=status)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    return _("was ended by {signal}", signal=name)


class Stopping:
    """Whether Ctrl-C, SIGTERM or SIGHUP came within the `with` block; the second signal raises KeyboardInterrupt.

    The handlers also replace an ignored SIGINT, which a shell gives its background jobs.
    """

    def __init__(self) -> None:
        self._asked = False

    def is_set(self) -> bool:
        """Return whether a signal came, for libraries that take a threading.Event."""
        return self._asked

    __bool__ = is_set

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)
        return self

    def __exit__(self, *_error: object) -> None:
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
"""How long a process that was told to stop may take after its last send; then it is killed."""
LOOPBACK = "127.0.0.1"
PORTS_TRIED = 100
_REDIS_REST_S = 5.0


class LocalBridge:
    """The bridge of one environment, with a Redis of its own unless REDIS_URL names one."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        notice: Callable[[str], None],
        output: Output,
        detail: Callable[[str], None] | None = None,
    ) -> None:
        """Pass what a person should know to `notice`, and what a start consists of to `detail`."""
        self._environ = dict(environ)
        self._notice = notice
        self._detail = detail or notice
        self._output = output
        self._stack = ExitStack()
        self._redis: EmbeddedRedis | None = None
        self._redis_again_s = 0.0
        self.settings = Settings.from_env(self._environ)
        self.has_password = bool(self.settings.bridge_password or self.settings.bridge_viewer_password)
        address = address_of(self.settings.bridge_host)
        is_local = address.is_loopback if address else self.settings.bridge_host == "localhost"
        token = secrets.token_urlsafe(32) if is_local and not self.has_password else ""
        self._set("BRIDGE_CONSOLE_TOKEN", token)

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            if not self.settings.redis_url:
                self._redis = starting.enter_context(EmbeddedRedis(self.settings.bridge_data_dir / "redis"))
                self._detail(_("Redis of its own: {server}", server=self._redis.server))
                self._set("REDIS_URL", self._redis.url)
            with closing(Runtime(self.settings)) as runtime:
                self._detail(upgraded(runtime.journal.database))
                for name in runtime.register():
                    self._notice(_("destination {name} was paused and goes on, since its URL is new", name=name))
            children = [Child(name, bridge_command(name), self._environ) for name in ("web", "worker")]
            grace_s = self.settings.bridge_send_timeout + STOP_GRACE_S
            supervisor = Supervisor(children, notice=self._notice, output=self._output, grace_s=grace_s)
            self.processes = starting.enter_context(supervisor)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _set(self, name: str, value: str) -> None:
        self._environ[name] = value
        self.settings = Settings.from_env(self._environ)

    @property
    def console_url(self) -> str:
        """The address that opens the console, with its token where there is no password."""
        token = self.settings.bridge_console_token
        return f"{self.settings.local_url}/{f'?token={token}' if token else ''}"

    def poll(self) -> None:
        """Start again what died; call it several times a second from the main thread."""
        self.processes.poll()
        if self._redis is not None and not self._redis.alive and time.monotonic() >= self._redis_again_s:
            self._notice(_("Redis ended; starting it again"))
            self._redis_again_s = time.monotonic() + _REDIS_REST_S
            try:
                self._redis.start()
            except (RedisNotStarted, OSError) as error:
                self._notice(error.text() if isinstance(error, RedisNotStarted) else system_reason(error).text())

    def wait_until_up(self, stopping: Stopping) -> None:
        """Return when the web process answers; raise NotStarted where it does not in time."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not stopping and not self._answers():
            if time.monotonic() > deadline_s:
                what, hint = N_("{names} did not answer within {seconds} s"), N_("see what it logged")
                raise NotStarted(what, names="web", seconds=f"{READY_TIMEOUT_S:g}", hint=hint)
            self.poll()
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        try:
            url = f"{self.settings.local_url}/healthz"
            return httpx.get(url, timeout=2, verify=nobody(), trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return the names of the active mappings, and what `/readyz` finds wrong, in the reader's language."""
        from bridge.web.health import Readiness

        with closing(Runtime(self.settings)) as runtime:
            parts = Readiness(runtime, Message.text).parts()
        problems = [part["problem"] for part in parts.values() if "problem" in part]
        mappings = parts["mappings"]
        return mappings.get("active", []), [*problems, *mappings.get("problems", ())]


def bridge_command(name: str) -> list[str]:
    """Return the command of one of the bridge's processes, run by this Python."""
    return [sys.executable, "-m", "bridge", name]


@contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """Keep a free port for a process that will bind it; raise PortTaken where it is bound, or another bridge keeps it.

    Until that process listens, a look alone would let two bridges that start at once take the same port.
    """
    with ExitStack() as kept:
        if sys.platform == "linux":  # elsewhere such a socket needs a file, which outlives a bridge that is killed
            mark = kept.enter_context(socket.socket(socket.AF_UNIX))
            try:
                # A name without a file: it ends with its socket, and is of the same network namespace as the port.
                mark.bind(f"\0asaas-clint-bridge/{host}:{port}")
            except OSError as error:
                raise _port_taken(host, port, system_reason(error)) from error
        listen(host, port).close()
        yield port


@contextmanager
def chosen_port(wanted: int) -> Iterator[int]:
    """Keep a port of this machine: the wanted one, or the next that is free."""
    with ExitStack() as kept:
        for port in range(wanted, min(wanted + PORTS_TRIED, 65_536)):
            with suppress(PortTaken):
                kept.enter_context(reserved(LOOPBACK, port))
                break
        else:
            port = kept.enter_context(reserved(LOOPBACK, wanted))  # raises
        yield port


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raise PortTaken where that can't be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # A name such as localhost may have both: IPv4 comes first.
        family, _type, _proto, _name, address = min(found, key=lambda one: one[0] == socket.AF_INET6)
        # Every address of IPv6 is every one of IPv4, too.
        return socket.create_server(address, family=family, dualstack_ipv6=host == "::")
    except (OSError, UnicodeError) as error:
        problem = system_reason(error) if isinstance(error, OSError) else Message(N_("that is no host's name"))
        raise _port_taken(host, port, problem) from error


def _port_taken(host: str, port: int, why: Message) -> PortTaken:
    hint = N_("choose another with --port or PORT, or end what listens there")
    return PortTaken(N_("port {port} of {host} can't be bound: {why}"), port=port, host=host, why=why, hint=hint)
