"""`bridge web`, `worker` and `sweeper` as real processes: how they start, wait, refuse and end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.journal import jobs
from bridge.journal.clock import system_clock_ms
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from bridge.worker.sweeper import LEASE_MS
from tests import asking
from tests.acceptance.forked import Forked
from tests.commands import Commands
from tests.factories import incoming, keep, rows_of, until
from tests.services import PostgresServer, free_port
from tests.simulated import AsaasSimulator

NO_REDIS = "redis://127.0.0.1:1/0"
SETTINGS = {
    "ASAAS_WEBHOOK_TOKEN": "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30",
    "CLINT_WEBHOOK_URL": "https://clint.example/a",
    "REDIS_URL": NO_REDIS,
}
MAPPING = "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n"


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in, with what every process needs."""
    place = Commands(tmp_path)
    place.environ |= SETTINGS
    place.has_mapping("paga", MAPPING)
    return place


class Running:
    """A process whose log is a file."""

    def __init__(self, commands: Commands, *arguments: str, **environ: str) -> None:
        self.log = commands.directory / f"{'-'.join(arguments)}.log"
        self.log.write_text("")
        command = [sys.executable, "-m", "bridge", *arguments]
        self.process = Forked(command, {**os.environ, **commands.environ, **environ}, self.log)

    def records(self) -> list[dict[str, Any]]:
        """Return what it has logged, whole lines only."""
        return [json.loads(line) for line in self.log.read_text().split("\n")[:-1] if line.startswith("{")]

    def logged(self, action: str) -> list[dict[str, Any]]:
        """Return the records of that action."""
        return [record for record in self.records() if record["action"] == action]

    def is_at_work(self) -> bool:
        """Say whether it has begun other threads, which it does once it ends in order when it is asked to.

        Whether SIGTERM is handled would say too little: measured for coverage a process handles it from its first line.
        """
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir())) > 1

    def end(self) -> int:
        """Ask it to end, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextlib.contextmanager
def running(commands: Commands, *arguments: str, **environ: str) -> Iterator[Running]:
    """Give a process that is killed at the latest when the block is left."""
    one = Running(commands, *arguments, **environ)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("command", ["web", "worker", "sweeper"])
def test_only_redis_has_to_be_there_at_the_start(commands: Commands, command: str) -> None:
    """Accounts and destinations are connected later; without Redis the status is 2."""
    for name in SETTINGS:
        del commands.environ[name]
    said = commands.run(command)

    assert said.status == 2
    assert said.err.splitlines() == [line for line in said.err.splitlines() if line.startswith("REDIS_URL is not set")]


def test_processes_start_with_nothing_connected_and_log_what_is_usual(commands: Commands, redis_url: str) -> None:
    """Without a key the console can't take accounts either, so each process names the variable that it lacks."""
    for name in SETTINGS:
        del commands.environ[name]
    with commands.journal():
        port = str(free_port())
        with (
            running(commands, "web", "--port", port, REDIS_URL=redis_url) as web,
            running(commands, "worker", REDIS_URL=redis_url) as worker,
        ):
            until(lambda: web.logged("setting.missing") and worker.logged("setting.missing"), 30)
            until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 30)
            until(worker.is_at_work, 30)
            said = [one.logged("setting.missing")[0]["problem"].split()[0] for one in (web, worker)]
            ended = [web.end(), worker.end()]

    assert said == ["ASAAS_WEBHOOK_TOKEN", "CLINT_WEBHOOK_URL"]
    assert ended == [0, 0]


@pytest.mark.parametrize("command", ["worker", "sweeper"])
def test_a_schema_of_another_version_is_not_waited_for(commands: Commands, command: str) -> None:
    """Only `bridge db upgrade` ends that, so the process says so and ends with 1."""
    said = commands.run(command)

    assert said.status == 1
    assert said.err.endswith("run: bridge db upgrade\n")


def test_a_worker_refuses_a_url_it_may_not_send_to(commands: Commands) -> None:
    """A private destination is wrong use, and the message does not show it."""
    said = commands.run("worker", CLINT_WEBHOOK_URL="http://10.0.0.1/secret")

    assert said.status == 2
    assert "secret" not in said.err


def test_a_port_in_use_is_said_with_how_to_choose_another(commands: Commands) -> None:
    """The message names the port, --port and PORT."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = commands.run("web", "--port", str(port))

    assert (said.status, said.err.count("\n")) == (1, 1)
    assert f"port {port} of 127.0.0.1 can't be bound" in said.err
    assert "--port or PORT" in said.err


def test_web_does_not_wait_for_a_schema_of_another_version(commands: Commands) -> None:
    """The command says so in one line, with its status."""
    said = commands.run("web", "--port", "0")

    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.endswith("run: bridge db upgrade\n")


@pytest.mark.parametrize(
    ("host", "reached"), [("::", ["127.0.0.1", "[::1]"]), ("[::]", ["[::1]"]), ("::1", ["[::1]"]), ("[::1]", ["[::1]"])]
)
def test_web_binds_an_address_of_ipv6(commands: Commands, host: str, reached: list[str]) -> None:
    """With or without brackets, by the setting or the option; every address of IPv6 is every one of IPv4, too."""
    port = free_port()
    option = ["--host", host] if host.startswith("[") else []
    with commands.journal(), running(commands, "web", "--port", str(port), *option, BRIDGE_HOST=host):
        for address in reached:
            until(lambda url=f"http://{address}:{port}/healthz": answers(url), 30)  # type: ignore[misc]


def test_web_keeps_events_while_redis_is_away(commands: Commands) -> None:
    """Without Redis the door is open, and SIGTERM ends the process with 0."""
    port = free_port()
    more = {"BRIDGE_WEB_ONE_CPU": "1", "ASAAS_WEBHOOK_TOKEN": f"{SETTINGS['ASAAS_WEBHOOK_TOKEN']} the-old1"}
    with commands.journal(), running(commands, "web", "--port", str(port), **more) as web:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/healthz"), 30)
        answer = asking.post(
            f"{url}/webhooks/asaas",
            headers={"asaas-access-token": SETTINGS["ASAAS_WEBHOOK_TOKEN"]},
            json={"event": "X", "id": "a&1"},
        )
        ready = asking.get(f"{url}/readyz").json()

        assert (answer.status_code, answer.json()) == (200, {"received": True})
        assert 'bridge_notices{level="error"} 0.0' in asking.get(f"{url}/metrics").text
        assert ready["mappings"]["active"] == ["paga"]
        assert [record["name"] for record in web.logged("setting.without_effect")] == ["BRIDGE_WEB_ONE_CPU"]
        assert [record["characters"] for record in web.logged("token.old_is_short")] == [8]
        assert web.end() == 0


def answers(url: str) -> bool:
    """Return whether a GET is answered."""
    with contextlib.suppress(httpx.TransportError):
        return asking.get(url).status_code == 200
    return False


def test_a_worker_waits_for_redis_and_ends_on_sigterm(commands: Commands) -> None:
    """A Redis that is away is logged and tried again; the worker registers destinations and mappings meanwhile."""
    with commands.journal(), running(commands, "worker") as worker:
        until(lambda: worker.logged("queue.away"), 30)
        until(lambda: worker.logged("mapping.imported"), 30)
        listed = until(lambda: commands.run("destinations", "list", "--json").json)

        assert [row["name"] for row in listed] == ["default"]
        assert worker.end() == 0
        assert worker.logged("worker.stopping")


@pytest.mark.slow
def test_another_worker_takes_the_tasks_of_one_that_was_killed(commands: Commands, redis_url: str) -> None:
    """What is due is worked on within five seconds; a sweeper beside them changes nothing, and all end in order."""
    commands.environ["REDIS_URL"] = redis_url
    with commands.journal() as journal, running(commands, "worker") as first, contextlib.ExitStack() as others:

        def owner() -> str:
            with journal.database.read() as connection:
                return jobs.leased_to(connection, jobs.TASKS, LEASE_MS, system_clock_ms())

        killed = until(owner, 30)
        second, third = (others.enter_context(running(commands, name)) for name in ("worker", "sweeper"))
        until(second.is_at_work, 30)  # a sweeper that does not hold the lease has no other thread
        assert owner() == killed
        first.process.kill()
        killed_s = time.monotonic()
        keep(journal, incoming(received_ms=system_clock_ms()))
        until(lambda: rows_of(journal), 30)

        assert time.monotonic() - killed_s < 5
        assert owner() not in {"", killed}
        assert (second.end(), third.end()) == (0, 0)
        assert owner() == ""


@pytest.mark.slow
def test_processes_wait_for_a_database_that_is_away(commands: Commands, postgres_server: PostgresServer) -> None:
    """The worker logs and tries again; the door answers 503 until the database is back, then all work."""
    url = postgres_server.url("postgres")
    assert commands.run("db", "upgrade", DATABASE_URL=url).status == 0
    postgres_server.stop()
    port = free_port()
    door = f"http://127.0.0.1:{port}"
    with (
        running(commands, "web", "--port", str(port), DATABASE_URL=url) as web,
        running(commands, "worker", DATABASE_URL=url) as worker,
    ):
        for process in (web, worker):
            until(lambda process=process: process.logged("journal.away"), 30)  # type: ignore[misc]
        until(lambda: answers(f"{door}/healthz"), 30)
        headers = {"asaas-access-token": SETTINGS["ASAAS_WEBHOOK_TOKEN"]}
        refused = asking.post(f"{door}/webhooks/asaas", headers=headers, json={"event": "X", "id": "a&1"}, timeout=15)
        postgres_server.start()
        until(lambda: worker.logged("mapping.imported"), 40)
        kept = asking.post(f"{door}/webhooks/asaas", headers=headers, json={"event": "X", "id": "a&1"}, timeout=15)

        assert (refused.status_code, kept.status_code) == (503, 200)
        assert (web.end(), worker.end()) == (0, 0)


def test_a_new_url_resumes_a_paused_destination(commands: Commands) -> None:
    """The worker says so when it starts."""
    with commands.journal():
        with running(commands, "worker") as worker:
            until(lambda: worker.logged("mapping.imported"), 30)
        until(lambda: commands.run("destinations", "pause", "default").status == 0)
        with running(commands, "worker", CLINT_WEBHOOK_URL="https://clint.example/new") as worker:
            (record,) = until(lambda: worker.logged("destination.resumed"), 30)

    assert record["destination"] == "default"


@pytest.mark.parametrize("name", ["sweeper", "worker"])
def test_sigterm_while_waiting_for_the_database_ends_a_process(commands: Commands, name: str) -> None:
    """A process that has not begun yet ends at once, and well."""
    with running(commands, name, DATABASE_URL="postgresql://u@127.0.0.1:1/x") as process:
        until(lambda: process.logged("journal.away"), 30)

        assert process.end() == 0


def test_the_worker_watches_the_queue_at_asaas(commands: Commands) -> None:
    """With a key it looks at the account's webhooks by itself, and a missing one becomes a notice."""
    simulator = AsaasSimulator()
    with (
        Served(simulator.app) as served,
        commands.journal(),
        running(
            commands,
            "worker",
            ASAAS_API_KEY=DEFAULT_KEY,
            ASAAS_API_URL=f"{served.url}/v3",
            BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1",
        ) as worker,
    ):
        (told,) = until(lambda: commands.run("notices", "list", "--json").json, 30)

        assert told["code"] == "webhook.missing"
        assert until(lambda: worker.logged("notice.raised"))
        assert worker.end() == 0
    simulator.close()
