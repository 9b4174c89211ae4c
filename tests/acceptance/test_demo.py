"""`bridge demo` as an operator runs it on a machine that has nothing but the bridge."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.embedded_redis import find_server
from tests import asking
from tests.commands import ROOT
from tests.factories import until
from tests.services import free_port

Both = dict[str, tuple[Path, subprocess.CompletedProcess[str]]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_server() is None and os.environ.get("CI") != "true", reason="no Redis server to start here"
    ),
]


def environ(data: Path, **more: str) -> dict[str, str]:
    """Return an environment with an operator's own settings, none of which may matter."""
    own = {
        "ASAAS_API_KEY": "$aact_prod_real",
        "ASAAS_WEBHOOK_TOKEN": "real",
        "CLINT_WEBHOOK_URL": "https://clint.invalid/real",
        "DATABASE_URL": f"sqlite:///{data}/real.sqlite3",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    return {**os.environ, **own, "BRIDGE_DATA_DIR": str(data), **more}


def environ_of(pid: int) -> Mapping[str, str]:
    pairs = (part.partition("=") for part in Path(f"/proc/{pid}/environ").read_text().split("\0"))
    return {name: value for name, _, value in pairs}


def run_once(data: Path, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a demo to its end."""
    command = [sys.executable, "-m", "bridge", "demo", "--once", *options]
    return subprocess.run(
        command, cwd=ROOT, env=environ(data, **more), capture_output=True, text=True, timeout=170, check=False
    )


def processes_in(text: str) -> list[int]:
    """Return the processes whose environment names this text: everything a demo started in its directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            told = (path / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in told and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found


def children_of(parent: int) -> list[int]:
    """Return the processes that this process started; Redis is among them, whose environment can't be read."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.name))
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Give the data directories of a demo and of one by the API, which were started at once, and how they ended."""
    places = {option: tmp_path_factory.mktemp("demo") for option in ("", "--api")}
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda option: run_once(places[option], *option.split()), places))
    return dict(zip(places, zip(places.values(), done, strict=True), strict=True))


def test_once_ends_with_0_when_every_deal_stands(both: Both) -> None:
    """Each event, each verdict and each deal is shown, nothing of the operator's own is touched, nothing stays."""
    data, done = both[""]

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.search(r"#\d+ +PAYMENT_RECEIVED pay_", done.stdout)
    assert re.search(r"exemplo_etapas_do_funil: delivered to pagas \(200 in \d+ ms\)", done.stdout)
    assert re.search(r"exemplo_etapas_do_funil: filtered: ", done.stdout)
    assert "no active mapping of its account listens to this event" in done.stdout
    assert re.search(r"clint +new deal: Ana Beatriz Souza", done.stdout)
    assert re.search(r"deal moved: Bruno Carvalho · Vencida → Paga · WON", done.stdout)
    assert re.search(r"deal moved: Fábio Gomes · Paga → Estornada · LOST", done.stdout)
    rows = [re.split(r"\s{2,}", line)[:3] for line in done.stdout.splitlines()]
    stages = [row for row in rows if row[1:2] in (["OPEN"], ["WON"], ["LOST"])]
    assert [row[:2] for row in stages] == [
        ["Nova cobrança", "OPEN"], ["Vencida", "OPEN"], *[["Paga", "WON"]] * 6, *[["Estornada", "LOST"]] * 2,
    ]  # fmt: skip
    assert [row[2] for row in stages].count("Carla Dias da Silva") == 1
    assert "every expected deal is there" in done.stdout
    assert "\x1b" not in done.stdout
    assert not (data / "real.sqlite3").exists()
    assert not (data / "journal.sqlite3").exists()
    until(lambda: not processes_in(str(data)))


def test_two_that_start_at_once_do_not_meet(both: Both) -> None:
    """Each has ports of its own, so each shows its own deals and no other's."""
    for _, done in both.values():
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(re.findall("clint +new deal: Ana Beatriz Souza", done.stdout)) == 1


def test_by_the_api_each_charge_is_a_deal_of_its_own(both: Both) -> None:
    """One mapping makes the same funnel; three instalments of one customer are three deals, each with its charge."""
    _, done = both["--api"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert set(re.findall(r"(\w+): delivered to (\w+)", done.stdout)) == {("exemplo_um_negocio_por_cobranca", "funil")}
    assert re.search(r"clint +new deal: Ana Beatriz Souza", done.stdout)
    assert re.search(r"deal moved: Bruno Carvalho · Vencida → Paga · WON", done.stdout)
    assert re.search(r"deal moved: Fábio Gomes · Paga → Estornada · LOST", done.stdout)
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    deals = [row for row in rows if row[1:2] in (["OPEN"], ["WON"], ["LOST"])]
    assert [row[:2] for row in deals] == [
        ["Nova cobrança", "OPEN"], ["Vencida", "OPEN"], *[["Paga", "WON"]] * 8, *[["Estornada", "LOST"]] * 2,
    ]  # fmt: skip
    assert [row[3] for row in deals if row[2] == "Carla Dias da Silva"] == ["R$ 300,00"] * 3
    assert len({row[4] for row in deals if row[4].startswith("pay_")}) == len(deals) == 12
    assert "every expected deal is there" in done.stdout


def test_once_ends_with_1_and_names_what_is_missing(tmp_path: Path) -> None:
    """Mappings that take nothing but one event leave deals missing: the demo says whose."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    (mappings / "so_uma.yaml").write_text("events: [PAYMENT_OVERDUE]\ncontact: {email: customer.email}\n")
    done = run_once(tmp_path / "data", BRIDGE_MAPPINGS_DIR=str(mappings))

    assert done.returncode == 1
    assert re.search(r"Ana Beatriz Souza \(pix\): expected Paga, WON, 129.9; there is no deal", done.stdout)
    assert re.search(r"Igor Jardim \(overdue\): expected Vencida, OPEN, 180.0; there is Nova cobrança", done.stdout)


@pytest.mark.long
def test_stays_until_it_is_ended(tmp_path: Path) -> None:
    """Without --once the pages stay up, a charge paid there is shown, and a signal ends everything with 0."""
    port = free_port()
    command = [sys.executable, "-m", "bridge", "demo", "--port", str(port)]
    shown = tmp_path / "shown"
    with (
        shown.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=environ(tmp_path), stdout=out, stderr=subprocess.STDOUT) as demo,
    ):
        try:
            until(lambda: "Ctrl-C ends it." in shown.read_text(), 150, 0.2)
            asaas = re.search(r"Asaas \(simulated\) +(\S+)", shown.read_text())
            assert asaas is not None
            # Nothing is wrong, so no notice says so, and the command that looks is a whole one.
            journal = re.search(r"^journal +(.*) events list  \(", shown.read_text(), re.MULTILINE)
            assert journal is not None
            notices = subprocess.run(
                [*shlex.split(journal[1]), "notices", "list", "--json"], capture_output=True, text=True, check=True
            )
            assert json.loads(notices.stdout) == []

            (charge,) = re.findall(r"/charges/(pay_\w+)/overdue", asking.get(asaas[1]).text)
            asking.post(f"{asaas[1]}/charges/{charge}/pay")
            until(lambda: "deal moved: Helena Klein · Nova cobrança → Paga · WON" in shown.read_text(), 30, 0.2)

            assert asking.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
            assert asking.get(f"http://127.0.0.1:{port}/").status_code == 403
            console = re.search(r"console +(http\S+)", shown.read_text())
            assert console is not None
            assert asking.get(console[1]).headers["Set-Cookie"].startswith("bridge_session=")
            second = run_once(tmp_path)
            assert (second.returncode, second.stdout) == (1, "")
            assert "another demo runs already" in second.stderr
        finally:
            demo.send_signal(signal.SIGINT)
            status = demo.wait(60)

    assert status == 0
    assert shown.read_text().endswith("ended: nothing of the demo is running any more\n")
    until(lambda: not processes_in(str(tmp_path)))


@pytest.mark.long
def test_an_end_while_the_scenes_run_is_said(tmp_path: Path) -> None:
    """It stops, and says so, and that nothing is left."""
    shown = tmp_path / "shown"
    command = [sys.executable, "-m", "bridge", "demo"]
    with (
        shown.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=environ(tmp_path), stdout=out, stderr=subprocess.STDOUT) as demo,
    ):
        try:
            until(lambda: "PAYMENT_CREATED" in shown.read_text(), 150, 0.05)
        finally:
            demo.send_signal(signal.SIGINT)
            status = demo.wait(60)

    assert status == 0
    assert re.search(r"ending \.\.\.\s+ended: nothing of the demo is running any more\s*$", shown.read_text())
    until(lambda: not processes_in(str(tmp_path)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
def test_a_killed_demo_leaves_nothing_running(tmp_path: Path) -> None:
    """Killed with -9, the demo takes all that it started with it; none of that had a key of the operator."""
    command = [sys.executable, "-m", "bridge", "demo"]
    shown = tmp_path / "shown"
    with (
        shown.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=environ(tmp_path), stdout=out, stderr=subprocess.STDOUT) as demo,
    ):
        try:
            until(lambda: "PAYMENT_CREATED" in shown.read_text(), 90, 0.2)
            started = children_of(demo.pid)
            children = [pid for pid in processes_in(f"BRIDGE_DATA_DIR={tmp_path / 'demo'}") if pid != demo.pid]
            keys = [environ_of(pid).get("ASAAS_API_KEY") for pid in children]
        finally:
            demo.kill()

    # Both simulators run in the demo itself.
    assert len(started) == 3, "Redis, web and worker"
    assert len(keys) >= 2
    assert "$aact_prod_real" not in keys
    until(
        lambda: not processes_in(str(tmp_path)) and not any(Path(f"/proc/{pid}").exists() for pid in started), 30, 0.2
    )


def test_a_demo_can_be_ended_while_it_starts(tmp_path: Path) -> None:
    """A signal before everything is up ends what has begun."""
    command = [sys.executable, "-m", "bridge", "demo"]
    with subprocess.Popen(command, cwd=ROOT, env=environ(tmp_path), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert "nothing leaves it" in demo.stdout.readline()
        demo.stdout.readline()
        demo.send_signal(signal.SIGTERM)
        demo.stdout.read()
        status = demo.wait(60)

    assert status == 0
    until(lambda: not processes_in(str(tmp_path)))
