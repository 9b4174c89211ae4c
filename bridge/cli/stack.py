"""The whole bridge on this machine for `bridge up` and `bridge demo`: Redis, journal, web and worker.

`LocalBridge` takes an environment with every setting. Its processes run until its `with` block ends: first web and
worker stop, which finish their work, then Redis.
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
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Self

import httpx

from bridge import private_files
from bridge.cli.database import upgraded
from bridge.embedded_redis import EmbeddedRedis, bound_to_parent
from bridge.errors import NotStarted, PortTaken, RedisNotStarted
from bridge.http import nobody
from bridge.messages import N_, Message, _
from bridge.runtime import Runtime
from bridge.settings import Settings

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
STEADY_S = 60.0
"""After running so long a child counts as healthy: the waits before its next starts begin anew."""
GRACE_S = 25.0
"""How long a child may take to stop: longer than the web process and a usual send need."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running; the command's first part is a path."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]


@dataclass(slots=True)
class _Kept:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    deaths: int = 0
    start_at_s: float = 0.0
    reader: threading.Thread | None = None


class Supervisor:
    """Runs children from entering the `with` block to leaving it, and starts again those that die."""

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
        """Pass deaths to `notice`, and output to `line` (name, text) or to files in the log directory."""
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

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def poll(self) -> None:
        """Start children whose time has come and notice deaths; call it several times a second."""
        for kept in self._kept:
            if kept.process is None and time.monotonic() >= kept.start_at_s:
                try:
                    self._start(kept)
                except OSError as error:
                    if not kept.deaths:
                        raise
                    # A full disk has no room for its log, a full machine none for a process.
                    self._died(kept, _("can't be started: {problem}", problem=error))
            elif kept.process is not None and kept.process.poll() is not None:
                self._died(kept, _end(kept.process.returncode))

    def pid(self, name: str) -> int | None:
        """Return the process id of the child with that name while it runs."""
        processes = [kept.process for kept in self._kept if kept.child.name == name]
        return next((process.pid for process in processes if process and process.poll() is None), None)

    def stop(self) -> None:
        """Send SIGTERM to every child and kill those that take too long; Ctrl-C kills them at once."""
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
        name = kept.child.name
        if self._log_directory is None:
            kept.process = _launch(kept.child, subprocess.PIPE)
            kept.reader = threading.Thread(
                target=self._read, args=(name, kept.process.stdout), name=f"output-{name}", daemon=True
            )
            kept.reader.start()
        else:
            with open(self._log_directory / f"{name}.log", "ab", opener=private_files.opener) as log:
                kept.process = _launch(kept.child, log)
        kept.started_s = time.monotonic()

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
        facts = {"name": kept.child.name, "how": how, "seconds": f"{wait_s:g}"}
        text = _("{name} {how}; starting it again in {seconds} s", **facts)
        if self._log_directory:
            path = self._log_directory / f"{kept.child.name}.log"
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

    def __bool__(self) -> bool:
        return self._asked

    def is_set(self) -> bool:
        """Return whether a signal came, for libraries that take a threading.Event."""
        return self._asked

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
_REDIS_REST_S = 5.0


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
        is_local = not self.has_password and _is_loopback(settings.bridge_host)
        self._environ["BRIDGE_CONSOLE_TOKEN"] = secrets.token_urlsafe(32) if is_local else ""
        self.settings = Settings.from_env(self._environ)

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            if not self.settings.redis_url:
                self._redis = starting.enter_context(EmbeddedRedis(self.settings.bridge_data_dir / "redis"))
                self._notice(_("Redis of its own: {server}", server=self._redis.server))
                self._environ["REDIS_URL"] = self._redis.url
                self.settings = Settings.from_env(self._environ)
            with closing(Runtime(self.settings)) as runtime:
                self._notice(upgraded(runtime.journal.database))
                for name in runtime.register():
                    self._notice(_("destination {name} was paused and goes on, since its URL is new", name=name))
            self.processes = starting.enter_context(
                Supervisor(
                    [Child(name, bridge_command(name), self._environ) for name in ("web", "worker")],
                    notice=self._notice,
                    line=self._line,
                    log_directory=self._log_directory,
                    grace_s=self.settings.bridge_send_timeout + STOP_GRACE_S,
                )
            )
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
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
            self._notice(_("Redis ended; starting it again"))
            self._redis_again_s = time.monotonic() + _REDIS_REST_S
            try:
                self._redis.start()
            except RedisNotStarted as error:
                self._notice(error.text())
            except OSError as error:
                self._notice(str(error))

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return the names of the active mappings, and the problems that the web process reports."""
        parts = httpx.get(f"{self.url}/readyz", timeout=10, verify=nobody(), trust_env=False).json()
        problems = [part["problem"] for part in parts.values() if isinstance(part, dict) and "problem" in part]
        mappings = parts["mappings"]
        return mappings.get("active", []), [*problems, *mappings.get("problems", ())]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bridge_command(name: str) -> list[str]:
    """Return the command of one of the bridge's processes, run by this Python."""
    return [sys.executable, "-m", "bridge", name]


def wait_for(urls: Mapping[str, str], poll: Callable[[], None], stopping: Stopping) -> None:
    """Return when each address answers 200; raise NotStarted with the names of those that do not in time."""
    waiting = dict(urls)
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while waiting and not stopping:
        if time.monotonic() > deadline_s:
            what, hint = N_("{names} did not answer within {seconds} s"), N_("see what it logged")
            raise NotStarted(what, names=", ".join(waiting), seconds=f"{READY_TIMEOUT_S:g}", hint=hint)
        poll()
        waiting = {name: url for name, url in waiting.items() if not _answers(url)}
        time.sleep(POLL_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, verify=nobody(), trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def choose_ports(wanted: Sequence[int]) -> list[int]:
    """Return free ports of this machine: the wanted ones where they are free, else others."""
    chosen: list[int] = []
    for port in wanted:
        chosen.append(port if port not in chosen and _is_free(port) else _free_port(chosen))
    return chosen


def _is_free(port: int) -> bool:
    try:
        check_free(LOOPBACK, port)
    except PortTaken:
        return False
    return True


def _free_port(taken: Sequence[int]) -> int:
    while True:
        with socket.create_server((LOOPBACK, 0)) as probe:
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
        family, _type, _proto, _name, address = min(found, key=lambda one: one[0] == socket.AF_INET6)
        # Every address of IPv6 is every one of IPv4, too.
        return socket.create_server(address, family=family, dualstack_ipv6=host == "::")
    except (OSError, UnicodeError) as error:
        refused = (getattr(error, "strerror", None) or "").partition(" (")[0].lower()
        raise PortTaken(
            N_("port {port} of {host} can't be bound: {why}"),
            port=port,
            host=host,
            why=refused or Message(N_("that is no host's name")),
            hint=N_("choose another with --port or PORT, or end what listens there"),
        ) from error
