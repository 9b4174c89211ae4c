"""`bridge up` as an operator runs it: settings first, then everything, kept running."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.embedded_redis import find_server
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import INTEGRATIONS
from bridge.simulator.serve import Served
from tests import asking
from tests.commands import ROOT, Commands
from tests.factories import until
from tests.services import free_port
from tests.simulated import AsaasSimulator, ClintSimulator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_server() is None and os.environ.get("CI") != "true", reason="no Redis server to start here"
    ),
]

TOKEN = "x7q2m9d4k1w8z5r3t6y0p2s4g7h1j3b5"


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in, with the mappings that come with the bridge."""
    place = Commands(tmp_path)
    place.environ["BRIDGE_MAPPINGS_DIR"] = str(ROOT / "mappings")
    return place


@contextlib.contextmanager
def up(commands: Commands, *arguments: str, **environ: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run `bridge up` and give it with the file of what it prints; end it at the latest when the block is left."""
    shown = commands.directory / "shown"
    with shown.open("wb") as out:
        process = commands.process("up", *arguments, environ=environ, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process, shown
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def children_of(pid: int) -> dict[str, int]:
    """Return the processes that this one started, by their last word."""
    children = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().strip("\0").split("\0")
        children["redis" if "redis" in words[0] else words[-1]] = int(child)
    return children


def test_with_nothing_set_it_runs_and_keeps_a_key(commands: Commands) -> None:
    """It needs no setting; the key of the journal is the user's alone, and the other commands find it."""
    data = commands.directory / "data"
    with up(commands, "--port", str(free_port())) as (_, shown):
        until(lambda: "open the console:" in shown.read_text(), 90, 0.1)
        text = shown.read_text()
        added = commands.run("destinations", "add", "vendas", "--yes", lines="https://clint.example/a\n")
    key = (data / "encryption.key").read_text().strip()

    assert "nothing is connected yet" in text
    assert "destination default is not set up" not in text
    assert (data / "encryption.key").stat().st_mode & 0o077 == 0
    assert key not in text
    assert added.out == "destination vendas is added\n"
    assert f"with the key of {data}/encryption.key" in commands.run("doctor").out
    assert "encryption.key" in commands.run("db", "backup", str(commands.directory / "copy")).out
    wrong = commands.run("events", "list", BRIDGE_ENCRYPTION_KEY=commands.run("db", "new-key").out.strip())
    assert wrong.status == 1


def test_on_a_terminal_a_person_reads_a_few_lines_and_the_log_is_a_file(commands: Commands) -> None:
    """The console's address and what to do first; nothing is wrong with an empty directory."""
    environ = {"BRIDGE_MAPPINGS_DIR": "", "BRIDGE_LANGUAGE": "en"}
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-m", "bridge", "up", "--port", str(free_port())]
    with subprocess.Popen(  # its own working directory, where the mappings' directory is made
        arguments,
        cwd=commands.directory,
        env={**os.environ, **commands.environ, **environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        seen = b""
        while b"Ctrl-C ends it" not in seen:
            seen += os.read(ours, 65536)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):  # the other end is closed: that is how a terminal says it
            while chunk := os.read(ours, 65536):
                seen += chunk
    os.close(ours)
    shown, log = seen.decode(), (commands.directory / "data" / "logs" / "bridge.log").read_text()

    assert process.returncode == 0
    assert re.search(r"open the console: http://127\.0\.0\.1:\d+/\?token=", shown)
    assert "four steps" in shown
    assert "problem" not in shown
    assert '"action"' not in shown
    assert '"action"' in log
    assert "Redis of its own" in log
    assert commands.mappings.is_dir()


def test_in_a_pipe_standard_output_is_the_log_alone(commands: Commands) -> None:
    """Every line is a record of a process, as it wrote it; what a person reads is on standard error."""
    log, said = commands.directory / "log", commands.directory / "said"
    with log.open("wb") as out, said.open("wb") as err:
        process = commands.process("up", "--port", str(free_port()), environ={}, stdout=out, stderr=err)
    try:
        until(lambda: "open the console:" in said.read_text(), 90, 0.1)
        os.kill(children_of(process.pid)["worker"], signal.SIGKILL)
        until(lambda: "worker was ended by SIGKILL" in said.read_text(), 30)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    records = [json.loads(line) for line in log.read_text().splitlines()]

    assert process.returncode == 0
    assert {"at", "level", "action", "logger"} <= set.intersection(*map(set, records))
    assert said.read_text().endswith("\nended\n")
    assert '"action"' not in said.read_text()


def test_what_is_not_connected_names_variable_and_mapping(commands: Commands) -> None:
    """A destination or an account that only one mapping names, a weak token, and that there are no mapping files."""
    commands.environ["BRIDGE_MAPPINGS_DIR"] = str(commands.mappings)
    commands.has_mapping(
        "outra",
        "account: matriz\nevents: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\nsend_to: financeiro\n",
    )
    commands.has_mapping("longe", "enabled: false\nevents: [PAYMENT_RECEIVED]\nsend_to: nope\n")
    settings = {"CLINT_WEBHOOK_URL": "https://clint.example/a", "ASAAS_API_KEY": "$aact_hmlg_a"}
    with up(commands, "--port", str(free_port()), ASAAS_WEBHOOK_TOKEN="short", **settings) as (_, shown):
        until(lambda: "open the console:" in shown.read_text(), 90, 0.1)
        text = shown.read_text()

    assert "problem: CLINT_WEBHOOK_URL_FINANCEIRO is not set; the mapping outra sends there" in text
    assert "problem: ASAAS_API_KEY_MATRIZ is not set; the mapping outra reads from that account's API" in text
    assert "problem: ASAAS_WEBHOOK_TOKEN must have 32 to 255 characters, got 5" in text
    assert "nope" not in text


def test_a_directory_without_mappings_is_said(commands: Commands) -> None:
    """The bridge runs, and says that nothing can be sent and which command helps."""
    settings = {"BRIDGE_MAPPINGS_DIR": str(commands.directory / "nowhere"), "ASAAS_WEBHOOK_TOKEN": TOKEN}
    with up(commands, "--port", str(free_port()), CLINT_WEBHOOK_URL="https://clint.example/a", **settings) as (
        _,
        shown,
    ):
        until(lambda: "open the console:" in shown.read_text(), 90, 0.1)

    assert "run: bridge mappings init" in shown.read_text()


def test_every_fault_of_the_settings_is_said_at_once(commands: Commands) -> None:
    """Values that can't be read, and URLs to which nothing may be sent; nothing is started or made."""
    said = commands.run("up", BRIDGE_LEASE="x", CLINT_WEBHOOK_URL="http://clint.example/a", BRIDGE_PASWORD="x")

    assert (said.status, said.out) == (2, "")
    assert sorted(line.split()[0] for line in said.err.splitlines()) == [
        "BRIDGE_LEASE",
        "BRIDGE_PASWORD",
        "CLINT_WEBHOOK_URL",
    ]
    assert not (commands.directory / "data").exists()


def test_a_private_destination_is_refused(commands: Commands) -> None:
    """A URL that the worker would not send to is said before anything is started."""
    said = commands.run(
        "up", ASAAS_WEBHOOK_TOKEN=TOKEN, CLINT_WEBHOOK_URL="https://10.0.0.1/secret", ASAAS_API_KEY="$aact_hmlg_a"
    )

    assert said.status == 2
    assert "secret" not in said.err


def test_a_port_in_use_is_said(commands: Commands) -> None:
    """The message names the port and how to choose another."""
    with Served(ClintSimulator().app) as taken:
        said = commands.run(
            "up",
            "--port",
            str(taken.port),
            ASAAS_WEBHOOK_TOKEN=TOKEN,
            CLINT_WEBHOOK_URL="https://clint.example/a",
            ASAAS_API_KEY="$aact_hmlg_a",
        )

    assert said.status == 1
    assert f"port {taken.port} of 127.0.0.1 can't be bound" in said.err


def test_a_paid_charge_becomes_a_deal_and_what_dies_is_started_again(commands: Commands) -> None:
    """The whole bridge runs: it prints the webhook's address, survives -9 of worker and Redis, and ends in order."""
    port = free_port()
    asaas, clint = AsaasSimulator(webhook_time_scale=0.01), ClintSimulator()
    with Served(asaas.app) as asaas_at, Served(clint.app) as clint_at:
        settings = {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_API_URL": f"{asaas_at.url}/v3",
            "ASAAS_WEBHOOK_TOKEN": TOKEN,
            "CLINT_WEBHOOK_URL": f"{clint_at.url}/endpoints/integration/webhook/{INTEGRATIONS['default']}",
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_SEND_TIMEOUT": "2",
            "BRIDGE_LEASE": "4",
        }
        with up(commands, "--port", str(port), **settings) as (process, shown):
            until(lambda: "up at" in shown.read_text(), 90, 0.1)
            text = shown.read_text()
            address = re.search(r"webhook of account default: (\S+)", text)
            assert address is not None
            assert address[1] == f"http://127.0.0.1:{port}/webhooks/asaas"
            assert "active mappings: cobranca_alterada, cobranca_criada" in text
            assert "problem: " not in text
            assert re.search(r"Redis of its own: (Redis|Valkey) [\d.]+ \(/", text)
            # As an ordinary nginx on this machine passes a stranger on: nothing tells it from a request made here.
            assert asking.get(f"http://127.0.0.1:{port}/who").status_code == 403
            printed = re.search(r"open the console: (\S+)", text)
            assert printed is not None
            assert asking.get(printed[1]).headers["Set-Cookie"].startswith("bridge_session=")

            asaas.posts_to(address[1], TOKEN)
            ana = asaas.has_customer(email="ana@example.com")
            charge = asaas.has_payment(ana)
            until(lambda: clint.deal_of("ana@example.com"), 30)

            before = children_of(process.pid)
            assert set(before) == {"redis", "web", "worker"}
            for name in ("worker", "redis"):
                os.kill(before[name], signal.SIGKILL)
            asaas.is_paid(charge["id"])
            # The worker may have died before it noted that the first was taken: then that one comes twice.
            history = clint.receiver.history
            until(lambda: len({one.headers["idempotency-key"] for one in history if one.deal_id}) == 2, 60)
            after = until(lambda: found if len(found := children_of(process.pid)) == 3 else None, 30)

            assert after["web"] == before["web"]
            assert after["worker"] != before["worker"]
            assert "worker was ended by SIGKILL" in shown.read_text()
            assert "Redis ended; starting it again" in shown.read_text()

            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert shown.read_text().endswith("\nended\n")
            for pid in after.values():
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)


def test_problems_of_a_mapping_file_are_shown_and_an_own_redis_is_used(commands: Commands, redis_url: str) -> None:
    """A file that can't run stops nothing, and is said in the reader's language; with REDIS_URL no Redis is started."""
    commands.environ["BRIDGE_MAPPINGS_DIR"] = str(commands.mappings)
    commands.has_mapping("fixo", "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n")
    commands.has_mapping("errada", "events: [PAYMENT_RECEIVED]\ncontact: {email: 'upper('}\n")
    settings = {"ASAAS_WEBHOOK_TOKEN": TOKEN, "CLINT_WEBHOOK_URL": "https://clint.example/a", "REDIS_URL": redis_url}
    settings["BRIDGE_LANGUAGE"] = "pt-BR"
    everywhere = "0.0.0.0"  # noqa: S104 (what a container binds)
    with up(commands, "--port", str(port := free_port()), "--host", everywhere, **settings) as (process, shown):
        until(lambda: "cloudflared" in shown.read_text(), 90, 0.1)
        ready = asking.get(f"http://127.0.0.1:{port}/readyz")
        children = set(children_of(process.pid))

    assert "automações ativas: fixo" in shown.read_text()
    assert re.search(r"problema: .*errada\.yaml:2:\d+: .* acaba cedo demais", shown.read_text())
    assert ready.status_code == 200
    assert "ends too early" in ready.json()["mappings"]["problems"][0]
    assert "no ar em http://127.0.0.1" in shown.read_text()
    assert children == {"web", "worker"}
    assert "está fechado: defina BRIDGE_PASSWORD" in shown.read_text()
    assert "?token=" not in shown.read_text()
