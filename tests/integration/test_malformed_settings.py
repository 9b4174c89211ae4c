"""No value of a setting is a fault of the bridge: each command says in lines what is wrong, or works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bridge.cli.main import cli
from bridge.errors import SettingsError
from bridge.settings import SETTINGS, Settings
from tests.commands import Commands
from tests.peers import closed_port

pytestmark = pytest.mark.slow

FORMS = (
    *(
        "x y",
        "-1",
        "1e9",
        "\udcff",
        "é" * 70,
        "a..b",
        "a\nb",
        "/dev/null/x",
        "http://",
        "https://[::1",
        "https://a:99999/",
    ),
    *("sqlite:////dev/null/x/j.db", "sqlite:///:memory:", "sqlite:///", "sqlite:////tmp", "sqlite:///file:x?uri=true"),
    *("postgresql://u:p@127.0.0.1:abc/db", "postgresql://127.0.0.1:99999/db", "postgresql://127.0.0.1:1/db?foo=1"),
    *("redis://127.0.0.1:abc", "redis://127.0.0.1:99999", "redis://127.0.0.1:1/0?foo=1", "redis://127.0.0.1:1/abc"),
    *("rediss://127.0.0.1:1/0?ssl_cert_reqs=x", "unix://"),
)
REFUSED = {
    "DATABASE_URL": [
        "sqlite:///:memory:",
        "sqlite:///",
        "sqlite:///file:x?uri=true",
        "postgresql://u:p@127.0.0.1:abc/db",
    ],
    "REDIS_URL": ["redis://127.0.0.1:abc", "redis://127.0.0.1:99999", "redis://127.0.0.1:1/0?foo=1"],
}
NO_PLACE = {"BRIDGE_DATA_DIR": "/dev/null/x", "DATABASE_URL": "sqlite:////dev/null/x/j.db"}
DOCTOR, LINT = ["doctor"], ["mappings", "lint"]
EVERY_USER = [DOCTOR, LINT, ["db", "upgrade"], ["events", "list"]]
USERS = {
    "BRIDGE_DATA_DIR": EVERY_USER,
    "BRIDGE_MAPPINGS_DIR": [DOCTOR, LINT],
    "DATABASE_URL": EVERY_USER,
    "REDIS_URL": [DOCTOR],
    "BRIDGE_HOST": [DOCTOR],
}
"""What works with a place; the first one looks at every setting."""
LONG = {"up", "demo", "web", "worker", "sweeper"}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    """Give a place to run commands in, where nothing but the file system answers."""
    monkeypatch.chdir(tmp_path)
    place = Commands(tmp_path)
    place.has_mapping("fixo", "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n")
    with place.journal(), closed_port() as port:
        place.environ |= {
            "ASAAS_API_KEY": "$aact_hmlg_x",
            "ASAAS_API_URL": f"http://127.0.0.1:{port}",
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        }
        yield place


def every_command() -> list[list[str]]:
    """Return each command that ends by itself, with something for each argument that it must have."""

    def below(group: click.Group, path: tuple[str, ...]) -> Iterator[list[str]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from below(command, (*path, name))
            elif command is not None and name not in LONG:
                yield [
                    *path,
                    name,
                    *("1" for one in command.params if isinstance(one, click.Argument) and one.required),
                ]

    return list(below(cli, ()))


@pytest.mark.parametrize("setting", [setting.name for setting in SETTINGS])
def test_no_value_of_a_setting_is_a_fault(commands: Commands, setting: str) -> None:
    """A form that is taken for a value leads to no fault, and one that is not is said with the setting's name."""
    taken = [form for form in FORMS if not problems(commands, setting, form)]
    assert not set(taken) & set(REFUSED.get(setting, ()))
    for form in taken if setting in USERS else taken[:1]:
        for command in USERS.get(setting, [DOCTOR]):
            said = commands.run(*command, **{setting: form})
            assert "has a fault" not in said.err, (form, command, said.err)


def problems(commands: Commands, setting: str, form: str) -> list[str]:
    """Return what is said of this form, which must name the setting."""
    try:
        Settings.from_env({**commands.environ, setting: form})
    except SettingsError as error:
        said = list(map(str, error.problems))
    else:
        return []
    assert all(problem.startswith(setting) for problem in said)
    return said


@pytest.mark.parametrize("setting", NO_PLACE)
def test_a_journal_that_has_no_place_is_said_by_every_command(commands: Commands, setting: str) -> None:
    """In a line that names the setting; what needs no journal goes on without the directory."""
    for command in every_command():
        said = commands.run(*command, lines="n\n", **{setting: NO_PLACE[setting]})
        assert "has a fault" not in said.err, (command, said.err)
    for command in (["doctor"], ["db", "upgrade"]):
        said = commands.run(*command, **{setting: NO_PLACE[setting]})
        assert setting in said.out + said.err
    assert commands.run("mappings", "lint", **{setting: NO_PLACE[setting]}).err == ""
