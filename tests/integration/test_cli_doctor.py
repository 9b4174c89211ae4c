"""`bridge doctor` with a real journal, Redis, door and the simulated Asaas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.crypto import KEY_FILE
from bridge.embedded_redis import find_server, version_of
from bridge.journal import jobs, notices
from bridge.model import NoticeLevel
from bridge.operations import doctor
from bridge.operations.doctor import State
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from bridge.web.app import create_app
from tests.commands import Commands, Said
from tests.factories import NOW_MS, noticed
from tests.peers import closed_port
from tests.simulated import AsaasSimulator

TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"
CLINT = "https://functions-api.clint.digital/endpoints/integration/webhook/5b0c1b6e-1111-4222-8333-444455556666"


@pytest.fixture
def asaas() -> Iterator[AsaasSimulator]:
    """Give a simulated Asaas."""
    simulator = AsaasSimulator()
    yield simulator
    simulator.close()


@pytest.fixture
def commands(tmp_path: Path, asaas: AsaasSimulator, redis_url: str) -> Iterator[Commands]:
    """Give a place to run commands in, where everything is as it should be but the webhook."""
    place = Commands(tmp_path)
    place.has_mapping("paga", "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\n")
    with Served(asaas.app) as served, place.journal():
        place.environ |= {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_WEBHOOK_TOKEN": TOKEN,
            "ASAAS_API_URL": f"{served.url}/v3",
            "CLINT_WEBHOOK_URL": CLINT,
            "REDIS_URL": redis_url,
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_PASSWORD": "cavalo bateria grampo",
        }
        yield place


@pytest.fixture
def door(commands: Commands) -> Iterator[str]:
    """Give the public address of a bridge that runs with that environment."""
    runtime = Runtime(Settings.from_env(commands.environ))
    with Served(create_app(runtime)) as served:
        yield served.url
    runtime.close()


def states(said: Said) -> dict[str, str]:
    """Return the verdict of each check by the first word of its name."""
    return {check["name"].split(" ")[0]: check["state"] for check in said.json}


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({}, "console.password"),
        ({"BRIDGE_VIEWER_PASSWORD": "p" * 12}, ""),
        ({"BRIDGE_PASSWORD": "p" * 12, "BRIDGE_PUBLIC_URL": "https://bridge.example"}, "console.proxies"),
        (
            {
                "BRIDGE_PASSWORD": "p" * 12,
                "BRIDGE_PUBLIC_URL": "https://bridge.example",
                "BRIDGE_TRUSTED_PROXIES": "127.0.0.1",
            },
            "",
        ),
    ],
)
def test_doctor_warns_of_a_console_without_a_password_and_of_a_proxy_that_is_not_counted(
    environ: dict[str, str], code: str
) -> None:
    """The first is closed to everybody but `bridge up`, the second lets strangers lock everybody out."""
    check = doctor.console(Settings.from_env(environ))

    assert (check.code, check.state is State.WARNING, bool(check.mend)) == (code, bool(code), bool(code))


def test_all_is_fine(commands: Commands, door: str) -> None:
    """Once the webhook is registered every check is fine, and no secret is shown."""
    commands.run("webhook", "register", "--url", door)
    said = commands.run("doctor")
    data = commands.run("doctor", "--json")

    assert (said.status, data.status) == (0, 0), said.out
    assert set(states(data).values()) == {"fine"}
    assert {"settings", "journal", "redis", "disk", "mappings", "asaas", "clock", "quota", "webhook", "door"} <= set(
        states(data)
    )
    for secret in (TOKEN, DEFAULT_KEY, CLINT, "5b0c1b6e"):
        assert secret not in said.out + data.out


def test_what_is_wrong_comes_with_what_mends_it(commands: Commands, asaas: AsaasSimulator, door: str) -> None:
    """An interrupted webhook, a notice, and a bridge that runs with another token; the status is 1."""
    asaas.posts_to(f"{door}/webhooks/asaas", TOKEN, interrupted=True)
    with commands.journal() as journal, journal.database.write() as connection:
        expired = noticed("account.access_token", "default/1", NoticeLevel.WARNING, "a key expires", "make a new one")
        notices.apply(connection, [expired], NOW_MS)
        jobs.note_result(connection, jobs.TASKS, {"fold_counts": NOW_MS, "wake_due_lanes": 2**60})
    said = commands.run("doctor", ASAAS_WEBHOOK_TOKEN=TOKEN.upper())
    codes = {check["code"] for check in commands.run("doctor", "--json", ASAAS_WEBHOOK_TOKEN=TOKEN.upper()).json}

    assert said.status == 1
    assert {"webhook.interrupted", "account.access_token", "door.token"} <= codes
    assert "wrong    webhook default: Asaas interrupted the webhook's queue" in said.out
    assert "run: bridge webhook resume" in said.out
    assert "warning  notice 1: default/1: a key expires; make a new one" in said.out
    assert "warning  tasks: late: fold_counts;" in said.out


def test_a_way_in_that_is_down_is_said(commands: Commands, asaas: AsaasSimulator) -> None:
    """The address of a tunnel that ended answers nothing; without a webhook the public URL is tried."""
    with closed_port() as port:
        said = commands.run("doctor", "--json", BRIDGE_PUBLIC_URL=f"http://127.0.0.1:{port}")

    assert said.status == 1
    assert states(said)["door"] == states(said)["webhook"] == "wrong"


def test_what_is_away_is_a_verdict(tmp_path: Path) -> None:
    """No journal, no Redis, no Asaas: each is a line, none ends the look."""
    commands = Commands(tmp_path)
    with closed_port() as port:
        said = commands.run(
            "doctor",
            "--json",
            ASAAS_API_KEY=DEFAULT_KEY,
            ASAAS_API_URL=f"http://127.0.0.1:{port}",
            REDIS_URL=f"redis://127.0.0.1:{port}/0",
            BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1",
        )
    verdicts = states(said)

    assert said.status == 1
    for name in ("journal", "redis", "asaas", "mappings", "destination", "webhook"):
        assert verdicts[name] == "wrong", name
    assert (verdicts["disk"], verdicts["versions"]) == ("fine", "fine")
    assert "run: bridge up, which makes it" in said.out
    assert "REDIS_URL" in said.out


def test_a_bare_environment_is_judged(tmp_path: Path) -> None:
    """Without any account the default one's variables are asked for; a Redis is `bridge up`'s affair."""
    said = Commands(tmp_path).run("doctor", BRIDGE_WEB_PROCESSES="2")

    assert said.status == 1
    assert "BRIDGE_WEB_PROCESSES has no effect" in said.out
    assert "ASAAS_API_KEY" in said.out
    program = find_server()
    assert program is not None
    assert f"`bridge up` starts its own, {version_of(program)} ({program})" in said.out
    assert f"the first `bridge up` makes a key in {tmp_path / 'data' / KEY_FILE}" in said.out
    assert "new-key" not in said.out


def test_settings_that_can_not_be_read_are_each_a_line(tmp_path: Path) -> None:
    """All problems at once, and nothing else can be looked at."""
    said = Commands(tmp_path).run("doctor", "--json", PORT="x", BRIDGE_LEASE="y")

    assert said.status == 1
    assert [(check["name"], check["state"]) for check in said.json] == [("settings", "wrong")] * 2
