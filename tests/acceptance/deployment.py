"""A whole bridge in real processes, which a test may kill, and the simulators it stands between.

The processes are those of the Procfile, forked from one that has imported the bridge. Nothing here restarts one by
itself: a test says when, as a host would.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import structlog
from click.testing import CliRunner

from bridge.cli.main import cli
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import INTEGRATIONS
from tests import asking
from tests.acceptance.forked import ROOT as ROOT
from tests.acceptance.forked import Forked
from tests.factories import opened_journal
from tests.services import free_port

TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"
PATH = "/endpoints/integration/webhook/"

QUICK = {
    "BRIDGE_LEASE": "5",
    "BRIDGE_SEND_TIMEOUT": "2",
    "BRIDGE_RETRY_BASE": "0.2",
    "BRIDGE_RETRY_CAP": "2",
    "BRIDGE_RETRY_ATTEMPTS": "200",
    "BRIDGE_CIRCUIT_WAIT": "0.5",
}
"""Settings under which an hour of trouble passes in seconds."""


class Running(Protocol):
    """A process, as subprocess gives it."""

    pid: int

    def poll(self) -> int | None:
        """Return its exit status, None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends and return its exit status; raise subprocess.TimeoutExpired."""
        ...

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it as a crash would."""
        ...


@dataclass
class Child:
    """One process of the deployment and how to start it again."""

    command: list[str]
    env: Mapping[str, str]
    log: Path
    cwd: Path = ROOT
    process: Running | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it; its output goes on in the same file."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.env), cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end and return its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class ForkedChild(Child):
    """One process that is forked, which saves what its imports cost."""

    def start(self) -> None:
        """Start it; its output goes on in the same file."""
        self.log.touch()
        self.process = Forked(self.command, self.env, self.log)


class Deployment:
    """Simulators, web processes and workers; start with `with`, then `start(...)` what the test needs."""

    address = "127.0.0.1"
    """Where the simulators listen."""

    def __init__(
        self,
        scratch: Path,
        database_url: str,
        redis_url: str,
        mappings: Path,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._scratch = scratch
        self._http = asking.client(timeout=10)
        self.children: dict[str, Child] = {}
        self.outputs: dict[str, Path] = {}
        """Where a process writes instead of into its own log."""
        self.web_ports: list[int] = []
        self._web_urls: list[str] = []
        # Without coverage: it makes a start half as long again, and what is killed leaves none.
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "BRIDGE_DATA_DIR": str(scratch / "data"),
            "BRIDGE_MAPPINGS_DIR": str(mappings),
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_WEBHOOK_TOKEN": TOKEN,
            **QUICK,
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        """Start the simulators and migrate the journal."""
        try:
            self._begin()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _begin(self) -> None:
        self.asaas_url = self._simulator("asaas")
        self.clint_url = self._simulator("clint")
        self.env["ASAAS_API_URL"] = f"{self.asaas_url}/v3"
        for name, uuid in INTEGRATIONS.items():
            suffix = "" if name == "default" else f"_{name.upper()}"
            self.env[f"CLINT_WEBHOOK_URL{suffix}"] = f"{self.clint_url}{PATH}{uuid}"
        self._upgrade()

    def _upgrade(self) -> None:
        with opened_journal(self.env["DATABASE_URL"]):
            pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for child in self.children.values():
            if child.process is not None and child.alive:
                child.process.terminate()
        for child in self.children.values():
            if child.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(10)
                if child.alive:
                    child.process.kill()
                    child.process.wait()
        self._http.close()

    # ------------------------------------------------------------ processes

    def start(self, *, webs: int = 1, workers: int = 1, sweepers: int = 0) -> None:
        """Start so many of each kind and wait until the web processes answer."""
        for number in range(webs):
            port = free_port()
            self.web_ports.append(port)
            self._web_urls.append(f"http://{self._host_of(f'web-{number}')}:{port}")
            self._add(f"web-{number}", ["web", "--port", str(port)])
        for number in range(workers):
            self._add(f"worker-{number}", ["worker"])
        for number in range(sweepers):
            self._add(f"sweeper-{number}", ["sweeper"])
        for url in self._web_urls:
            until(lambda url=url: _answers(f"{url}/healthz"), 120)  # type: ignore[misc]

    def start_up(self) -> None:
        """Start `bridge up` instead, and wait until its web process answers."""
        port = free_port()
        self.web_ports.append(port)
        self._web_urls.append(f"http://{self.address}:{port}")
        self._add("up", ["up", "--port", str(port)])
        until(lambda: _answers(f"{self._web_urls[-1]}/healthz"), 120)

    def restart_the_dead(self) -> list[str]:
        """Start again what is not running, as a host does; return the names."""
        dead = [name for name, child in self.children.items() if not child.alive]
        for name in dead:
            self.children[name].start()
        return dead

    def _add(self, name: str, arguments: list[str]) -> None:
        command = [sys.executable, "-m", "bridge", *arguments]
        self.children[name] = self._child(command, self.env, self.outputs.get(name, self._scratch / f"{name}.log"))
        self._start(self.children[name], name)

    def _child(self, command: list[str], env: Mapping[str, str], log: Path) -> Child:
        return ForkedChild(command, env, log)

    def _start(self, child: Child, _name: str) -> None:
        child.start()

    def _host_of(self, _name: str) -> str:
        """Return the address of the machine that a process runs on."""
        return self.address

    def _simulator(self, name: str) -> str:
        log = self._scratch / f"simulated-{name}.log"
        command = [sys.executable, "-m", "bridge.simulator", name, "--host", self.address]
        child = self._child(command, {"PATH": os.environ["PATH"]}, log)
        self.children[f"simulated-{name}"] = child
        child.start()
        until(lambda: re.search(r"http://\S+", log.read_text()), 120)
        found = re.search(r"http://\S+", log.read_text())
        assert found is not None
        return found[0].rstrip("/")

    def log_of(self, name: str) -> str:
        """Return what a process wrote."""
        return self.children[name].log.read_text(errors="replace")

    # ------------------------------------------------------------ both ends

    def post(self, body: bytes, web: int = 0, token: str = TOKEN, account: str = "") -> int:
        """Post one event to a web process once; return the status, 0 where nothing answered."""
        path = f"/webhooks/asaas/{account}" if account else "/webhooks/asaas"
        try:
            return self._http.post(
                f"{self._web_urls[web]}{path}",
                content=body,
                headers={"asaas-access-token": token, "Content-Type": "application/json"},
            ).status_code
        except httpx.TransportError:
            return 0

    def post_until_kept(self, body: bytes, web: int = 0, patience_s: float = 120) -> int:
        """Post an event as Asaas does, again after each failure; return how many times it took."""
        ends_s = time.monotonic() + patience_s
        tries = 1
        while self.post(body, web) != 200:
            assert time.monotonic() < ends_s, "the bridge did not keep the event"
            time.sleep(0.2)
            tries += 1
        return tries

    def clint(self, knob: str, **told: Any) -> None:
        """Turn a knob of the simulated Clint."""
        self._http.post(f"{self.clint_url}/_sim/{knob}", json=told).raise_for_status()

    def asaas(self, knob: str, **told: Any) -> None:
        """Turn a knob of the simulated Asaas."""
        self._http.post(f"{self.asaas_url}/_sim/{knob}", json=told, timeout=30).raise_for_status()

    def history(self) -> list[dict[str, Any]]:
        """Return every request that the simulated Clint got, oldest first."""
        data: list[dict[str, Any]] = self._http.get(f"{self.clint_url}/_sim/history", timeout=60).json()["data"]
        return data

    def bridge(self, *arguments: str) -> Any:
        """Run a command of the bridge, in this process for speed, and return what its --json says."""
        result = CliRunner(env=self.env).invoke(cli, [*arguments, "--json"], prog_name="bridge")
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def _answers(url: str) -> bool:
    try:
        return asking.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def until(holds: Callable[[], Any], patience_s: float, every_s: float = 0.1) -> None:
    """Wait until something holds; fail after so many seconds."""
    ends_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < ends_s, f"did not happen within {patience_s:g} s"
        time.sleep(every_s)
