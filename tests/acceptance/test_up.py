"""`bridge up` as an operator runs it: settings first, then everything, kept running."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
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


def test_missing_variables_are_said_with_where_to_get_them(commands: Commands) -> None:
    """All at once, before anything is started."""
    said = commands.run("up")

    assert (said.status, said.out) == (2, "")
    assert [line.split()[0] for line in said.err.splitlines()] == [
        "ASAAS_WEBHOOK_TOKEN",
        "CLINT_WEBHOOK_URL",
        "ASAAS_API_KEY",
    ]
    assert "Chaves de API" in said.err
    assert not (commands.directory / "data").exists()


def test_missing_members_of_a_family_name_the_mapping(commands: Commands) -> None:
    """A destination or an account that only one mapping names is said with that mapping."""
    commands.environ["BRIDGE_MAPPINGS_DIR"] = str(commands.mappings)
    commands.has_mapping(
        "outra",
        "account: matriz\nevents: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\nsend_to: financeiro\n",
    )
    commands.has_mapping("longe", "enabled: false\nevents: [PAYMENT_RECEIVED]\nsend_to: nope\n")
    said = commands.run(
        "up", ASAAS_WEBHOOK_TOKEN=TOKEN, CLINT_WEBHOOK_URL="https://clint.example/a", ASAAS_API_KEY="$aact_hmlg_a"
    )

    assert said.status == 2
    assert said.err.splitlines() == [
        "CLINT_WEBHOOK_URL_FINANCEIRO is not set; the mapping outra sends there",
        "ASAAS_API_KEY_MATRIZ is not set; the mapping outra reads from that account's API",
    ]


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
            printed = re.search(r"look: (\S+) \(console\)", text)
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
            assert shown.read_text().endswith("bridge  | ended\n")
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
