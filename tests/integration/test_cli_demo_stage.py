"""What a demo stands on: its own directory, its own environment, its own destinations."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli.demo import FUNNEL, FUNNEL_BY_API, DemoSetup, copy_mappings, find_mappings, set_stage, take_directory
from bridge.cli.stack import chosen_port, reserved
from bridge.clint import origin_of
from bridge.errors import DemoRefused, PortTaken
from bridge.mapping import Setup, parse_mapping, read_directory
from bridge.messages import in_language
from bridge.operations.mappings import switched
from bridge.settings import Settings
from bridge.simulator.asaas.webhooks import token_problem
from bridge.simulator.clint.account import DEFAULT_ORIGIN, DEFAULT_TOKEN, INTEGRATIONS
from tests.commands import ROOT
from tests.services import free_port

MAPPING = "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\nsend_to: financeiro\n"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoSetup:
    """Give a stage whose mappings send to a destination of the operator's own."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    (mappings / "paga.yaml").write_text(MAPPING)
    monkeypatch.setenv("BRIDGE_MAPPINGS_DIR", str(mappings))
    return set_stage(tmp_path / "demo", (8000, 8100, 8200))


def test_nothing_of_the_operators_own_leaks(stage: DemoSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting of the bridge is the demo's own; other variables stay."""
    for name in ("ASAAS_API_KEY", "ASAAS_API_KEY_MATRIZ", "CLINT_WEBHOOK_URL_X", "DATABASE_URL", "REDIS_URL", "PORT"):
        monkeypatch.setenv(name, "leak")
    monkeypatch.setenv("LANG", "pt_BR.UTF-8")
    environ = stage.environ()

    assert "leak" not in environ.values()
    assert environ["LANG"] == "pt_BR.UTF-8"
    assert environ["BRIDGE_DATA_DIR"] == str(stage.directory)


def test_the_environment_is_one_the_bridge_can_run_in(stage: DemoSetup) -> None:
    """The demo's settings are complete, and each destination that a mapping names has a URL."""
    settings = Settings.from_env(stage.environ())
    settings.require("ASAAS_API_KEY", "ASAAS_WEBHOOK_TOKEN", "CLINT_WEBHOOK_URL")

    assert set(settings.destinations) == {"financeiro", *INTEGRATIONS}
    assert settings.port == 8000


def test_the_demo_speaks_the_language_of_its_terminal(stage: DemoSetup) -> None:
    """The console of the demo starts in the language of the command."""
    with in_language("pt"):
        assert stage.environ()["BRIDGE_LANGUAGE"] == "pt-BR"
    with in_language("en"):
        assert stage.environ()["BRIDGE_LANGUAGE"] == "en"


def test_the_token_is_one_that_asaas_takes(stage: DemoSetup) -> None:
    """Asaas has rules for tokens; a drawn one keeps them."""
    assert token_problem(stage.webhook_token) is None


def test_the_funnel_is_shown_also_beside_an_operators_own_mappings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other files run only where the setting names them, and what is not shown then is said."""
    monkeypatch.delenv("BRIDGE_MAPPINGS_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "minha.yaml").write_text(MAPPING)
    shipped = set_stage(tmp_path / "one", (8000, 8100, 8200))
    monkeypatch.setenv("BRIDGE_MAPPINGS_DIR", "mappings")
    own = set_stage(tmp_path / "two", (8000, 8100, 8200))

    assert (shipped.mappings / FUNNEL).exists()
    assert str(ROOT / "mappings") in shipped.shows
    assert FUNNEL not in shipped.shows
    assert [path.name for path in own.mappings.iterdir()] == ["minha.yaml"]
    assert FUNNEL in own.shows

    monkeypatch.setenv("BRIDGE_MAPPINGS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DemoRefused, match="there are no mapping files"):
        find_mappings()


def test_the_demo_works_on_a_copy(stage: DemoSetup, tmp_path: Path) -> None:
    """What is changed in the demo's console changes no file of the operator."""
    copied = Path(stage.environ()["BRIDGE_MAPPINGS_DIR"])

    assert (copied / "paga.yaml").read_text() == MAPPING
    (copied / "paga.yaml").write_text("")
    assert (tmp_path / "mappings" / "paga.yaml").read_text() == MAPPING


def test_the_copy_has_the_funnel_on_and_what_would_send_the_same_off(tmp_path: Path) -> None:
    """Of the starters those with a stage for each situation run, and samples are there for the mappings' tests."""
    copy_mappings(ROOT / "mappings", tmp_path / "copy")
    read = [one.mapping for one in read_directory(tmp_path / "copy", Setup(None, None, tmp_path / "copy"))]

    assert {one.name for one in read if one and one.enabled} == {
        *("exemplo_etapas_ainda_vencida", "exemplo_etapas_parcela_estornada", Path(FUNNEL).stem)
    }
    assert len(read) == len(list((ROOT / "mappings").glob("*.yaml")))


def test_by_the_api_one_mapping_makes_the_whole_funnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the starter with a deal for each charge is on, and its destination is the origin of the simulated Clint."""
    monkeypatch.delenv("BRIDGE_MAPPINGS_DIR", raising=False)
    stage = set_stage(tmp_path / "demo", (8000, 8100, 8200), api=True)
    settings = Settings.from_env(stage.environ())
    read = [one.mapping for one in read_directory(stage.mappings, Setup(None, None, stage.mappings))]
    (on,) = [one for one in read if one and one.enabled]

    assert on.name == Path(FUNNEL_BY_API).stem
    assert [origin_of(settings.destinations[name]) for name in on.destinations] == [DEFAULT_ORIGIN]
    assert settings.clint_api_token == DEFAULT_TOKEN
    assert FUNNEL_BY_API not in stage.shows


@pytest.mark.parametrize("path", sorted((ROOT / "mappings").glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("api", [False, True], ids=["webhooks", "api"])
def test_every_starter_can_be_switched_on_in_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path, api: bool
) -> None:
    """The demo's settings have each destination that a starter names, under that name."""
    monkeypatch.delenv("BRIDGE_MAPPINGS_DIR", raising=False)
    stage = set_stage(tmp_path / "demo", (8000, 8100, 8200), api=api)
    settings = Settings.from_env(stage.environ())
    known = Setup(frozenset({"default"}), frozenset(settings.destinations), stage.mappings)
    read = parse_mapping(switched(path.read_text(encoding="utf-8"), on=True), path.name, known)

    assert read.mapping is not None, read.findings
    assert read.mapping.enabled


def test_a_destination_with_a_hyphen_is_told_a_name_that_can_be_set_up(tmp_path: Path) -> None:
    """Settings' names have no hyphen, so no setting could ever make the destination known."""
    known = Setup(frozenset({"default"}), frozenset({"default"}), tmp_path)
    read = parse_mapping(MAPPING.replace("financeiro", "pos-venda"), "paga.yaml", known)

    assert "write pos_venda" in next(one.message for one in read.findings if one.code == "destination.unset")


def test_the_directory_is_emptied_each_time(tmp_path: Path) -> None:
    """A new demo starts from nothing, whatever the last one left."""
    directory = tmp_path / "demo"
    with take_directory(directory):
        (directory / "journal.sqlite3").write_text("old")
        (directory / "logs").mkdir()
        (directory / "logs" / "web.log").write_text("old")
        (directory / "link").symlink_to(tmp_path)
    with take_directory(directory):
        assert [path.name for path in directory.iterdir()] == [".bridge-demo"]
    assert tmp_path.exists()


def test_two_demos_do_not_share_a_directory(tmp_path: Path) -> None:
    """A second demo must not take the journal away from the first."""
    with take_directory(tmp_path / "demo"), pytest.raises(DemoRefused, match="another demo runs already"):
        take_directory(tmp_path / "demo")


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    """What no demo made is not deleted."""
    (tmp_path / "precious").write_text("")

    with pytest.raises(DemoRefused, match="holds other things"):
        take_directory(tmp_path)

    assert (tmp_path / "precious").exists()


def test_a_port_in_use_is_replaced_by_the_next_free_one() -> None:
    """The pleasant port is taken where it is free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with chosen_port(port) as found, chosen_port(found) as again:
            assert port < found < again

        with pytest.raises(PortTaken), reserved("127.0.0.1", port):
            raise AssertionError


def test_a_port_that_another_bridge_keeps_is_taken_though_nothing_listens_there() -> None:
    """As between the choice of a demo and the start of its web process; it is free when that bridge ended."""
    port = free_port()
    code = (
        "import sys\n"
        "from bridge.cli.stack import reserved\n"
        f"with reserved('127.0.0.1', {port}):\n"
        "    print('kept', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"kept\n"
        with chosen_port(port) as found:
            assert found > port
        with pytest.raises(PortTaken), reserved("127.0.0.1", port):
            raise AssertionError
        other.kill()

    with reserved("127.0.0.1", port) as found:
        assert found == port
