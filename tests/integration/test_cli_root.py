"""Every command's errors are one line and a status, whatever went wrong."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bridge.cli.main import COMMANDS, Root, cli
from bridge.errors import NotFound
from tests.commands import Commands


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def run_failing(error: BaseException, directory: Path, *options: str) -> Result:
    """Run a command under the bridge's root that fails with this error."""

    @click.group(cls=Root)
    @click.option("--debug", is_flag=True)
    def root(debug: bool) -> None:
        """Stand for the bridge."""

    @root.command()
    def fails() -> None:
        """Fail."""
        raise error

    return CliRunner(env={"BRIDGE_DATA_DIR": str(directory)}).invoke(root, [*options, "fails"])


def test_no_command_shows_help(commands: Commands) -> None:
    """Without a command the help comes on standard error, as wrong use."""
    said = commands.run()

    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("Usage: bridge")


@pytest.mark.parametrize(
    ("arguments", "beginning", "end"),
    [
        (["nope"], "no such command 'nope'", "; see: bridge --help\n"),
        (["events", "nope"], "no such command 'nope'", "; see: bridge events --help\n"),
        (["events", "show"], "missing argument 'EVENT'", "; see: bridge events show --help\n"),
        (["--nope"], "no such option", "; see: bridge --help\n"),
    ],
)
def test_wrong_use_is_one_line_and_2(commands: Commands, arguments: list[str], beginning: str, end: str) -> None:
    """Wrong use is said in one line that names the help."""
    said = commands.run(*arguments)

    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(beginning)
    assert said.err.endswith(end)


def test_help_and_errors_are_in_the_language_of_the_reader(commands: Commands) -> None:
    """In Portuguese where nothing asks for English: click's own texts, the commands' and the errors'."""
    for environ in ({"BRIDGE_LANGUAGE": "pt-BR"}, {"LC_MESSAGES": "C", "LANG": "C"}):
        shown = commands.run("--help", **environ)

        assert "Opções:" in shown.out
        assert "Roda só as tarefas periódicas." in shown.out
        assert commands.run("nope", **environ).err == "o comando 'nope' não existe; veja: bridge --help\n"
    assert "Options:" in commands.run("--help", LANG="en_US.UTF-8").out


def test_version(commands: Commands) -> None:
    """The version is printed alone."""
    from bridge import __version__

    assert commands.run("--version").out == f"{__version__}\n"


def test_every_wrong_setting_is_said(commands: Commands) -> None:
    """All problems of the environment come at once, one line each, with status 2."""
    said = commands.run("events", "list", PORT="x", BRIDGE_LEASE="y")

    assert said.status == 2
    assert {line.split()[0] for line in said.err.splitlines()} == {"BRIDGE_LEASE", "PORT"}


def test_no_journal_says_how_to_make_one(commands: Commands) -> None:
    """A list without a journal names the command that makes it."""
    said = commands.run("events", "list")

    assert (said.status, said.out) == (1, "")
    assert said.err.count("\n") == 1
    assert "bridge db upgrade" in said.err


def test_error_of_the_bridge_has_its_own_status(tmp_path: Path) -> None:
    """An error of the tree ends the command with its status, in one line."""
    result = run_failing(NotFound("no such thing", where="here", hint="look"), tmp_path)

    assert (result.exit_code, result.stderr) == (1, "no such thing; here; look\n")


def test_click_errors_without_a_command_are_one_line(tmp_path: Path) -> None:
    """An error that click raises without a context has no help to name."""
    result = run_failing(click.ClickException("Could not do it."), tmp_path)

    assert (result.exit_code, result.stderr) == (1, "could not do it\n")


def test_a_fault_is_one_line_and_a_redacted_file(tmp_path: Path) -> None:
    """An unexpected error names the file with the traceback, which holds no secret."""
    result = run_failing(RuntimeError("access_token=abc for ana@example.com"), tmp_path)
    written = (tmp_path / "logs" / "faults.log").read_text()

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert str(tmp_path / "logs" / "faults.log") in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" in written
    assert "ana@example.com" not in written
    assert "abc" not in written


def test_a_fault_without_a_place_to_write_is_one_line(tmp_path: Path) -> None:
    """Where the data directory can't be written, the line says --debug only."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    result = run_failing(RuntimeError("x"), in_the_way)

    assert result.exit_code == 1
    assert result.stderr == "the bridge has a fault (RuntimeError); run it again with --debug to see where\n"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    """With --debug the fault is raised as it is."""
    error = RuntimeError("x")

    assert run_failing(error, tmp_path, "--debug").exception is error


def test_stopping_a_question_is_one_line(tmp_path: Path) -> None:
    """Ctrl-C at a question ends with 1 and says that nothing more was done."""
    result = run_failing(click.Abort(), tmp_path)

    assert (result.exit_code, result.stderr) == (1, "stopped; nothing more was done\n")


def test_only_what_works_is_offered() -> None:
    """A command is added when it is whole, and not before."""
    assert set(COMMANDS) == {
        "accounts",
        "alerts",
        "backfill",
        "clint",
        "config",
        "db",
        "deliveries",
        "demo",
        "destinations",
        "doctor",
        "events",
        "export",
        "forget",
        "mappings",
        "notices",
        "reconcile",
        "statement",
        "sweeper",
        "test-charge",
        "up",
        "users",
        "web",
        "webhook",
        "worker",
    }


def test_every_command_explains_itself() -> None:
    """Each command has a help text, and each option says what it does."""
    silent: list[str] = []

    def look(command: click.Command, name: str) -> None:
        if not command.help:
            silent.append(name)
        silent.extend(f"{name} {o.name}" for o in command.params if isinstance(o, click.Option) and not o.help)
        for word, below in getattr(command, "commands", {}).items():
            look(below, f"{name} {word}")

    look(cli, "bridge")

    assert silent == []
