"""`bridge mappings history`, `diff` and `restore`: what was active when, by whom, and how to have it back."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from bridge.journal import revisions
from bridge.mapping import Setup
from bridge.pipeline.active_mappings import MappingFiles
from tests.commands import Commands
from tests.factories import NOW_MS, Clock

ONE = "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n"
TWO = f"{ONE}deal:\n  valor: payment.value\n"


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a journal with two revisions of the file paga.yaml, which holds the second."""
    commands = Commands(tmp_path)
    for text in (ONE, TWO):
        commands.has_mapping("paga", text)
        bring(commands)
    return commands


def bring(commands: Commands) -> None:
    """Do what the sweeper does with a changed file."""
    with commands.journal() as journal:
        MappingFiles(journal, commands.mappings, Setup(None, None), lambda: NOW_MS).import_changed()


def active(commands: Commands) -> list[str | None]:
    """Return the active texts."""
    with commands.journal() as journal, journal.database.read() as connection:
        return [one.text for one in revisions.active(connection)]


def test_history_lists_who_when_and_how_much(commands: Commands) -> None:
    """A file's revision is by the file's owner."""
    owner = pwd.getpwuid(os.getuid()).pw_name
    lines = commands.run("mappings", "history", "paga").out.splitlines()
    told = commands.run("mappings", "history", "paga", "--json").json

    assert lines[0].split() == ["revision", "made", "age", "by", "from", "lines"]
    assert lines[1].startswith("2         2026-11-18 08:06:40")
    assert lines[1].split()[-5:] == [owner, "file", "+2", "-0", "active"]
    assert [(one["id"], one["author"], one["origin"], one["active"]) for one in told] == [
        (2, owner, "file", True),
        (1, owner, "file", False),
    ]
    assert commands.run("mappings", "history", "paga", "--show", "1").out == ONE


def test_a_file_that_can_not_run_is_told_apart_from_what_is_active(commands: Commands) -> None:
    """The list says that the file has another text, diff shows it."""
    commands.has_mapping("paga", TWO + "nope: 1\n")
    bring(commands)

    assert "the file has another text" in commands.run("mappings", "history", "paga").err
    assert commands.run("mappings", "diff", "paga", "2", "file").out.splitlines()[-1] == "+nope: 1"


def test_diff_shows_lines(commands: Commands) -> None:
    """By default what the newest changed; the other way round when asked; nothing where nothing differs."""
    newest = commands.run("mappings", "diff", "paga").out.splitlines()

    assert newest[:2] == ["--- paga 1", "+++ paga 2"]
    assert newest[-2:] == ["+deal:", "+  valor: payment.value"]
    assert commands.run("mappings", "diff", "paga", "1").out.splitlines() == newest
    assert commands.run("mappings", "diff", "paga", "2", "1").out.splitlines()[-1] == "-  valor: payment.value"
    assert commands.run("mappings", "diff", "paga", "2", "file").out == "no difference\n"
    told = commands.run("mappings", "diff", "paga", "--json").json
    assert (told["from"], told["to"], told["diff"]) == ("1", "2", newest)


def test_the_first_revision_differs_from_nothing(commands: Commands) -> None:
    """There is nothing before it; it is number 1 of its mapping, and its id names it too."""
    commands.has_mapping("nova", ONE)
    bring(commands)

    assert commands.run("mappings", "diff", "nova").out.splitlines()[:2] == ["--- nova nothing", "+++ nova 1"]
    told = commands.run("mappings", "history", "nova", "--json").json
    assert [(one["number"], one["id"]) for one in told] == [(1, 3)]
    assert commands.run("mappings", "history", "nova", "--show", "3").out == ONE


def test_restore_makes_an_old_text_active_and_the_file_does_not_take_it_back(commands: Commands) -> None:
    """The new revision says who; the unchanged file waits until somebody changes it."""
    said = commands.run("mappings", "restore", "paga", "1", "--yes", SUDO_USER="ana")

    assert (said.status, said.out) == (0, "paga is revision 3 now, with the text of 1\n")
    assert "the file still has another text" in said.err
    bring(commands)
    assert active(commands) == [ONE]
    newest = commands.run("mappings", "history", "paga", "--json").json[0]
    assert (newest["author"], newest["origin"], newest["active"]) == ("ana", "command", True)
    commands.has_mapping("paga", TWO + "line: outra\n")
    bring(commands)
    assert active(commands) == [TWO + "line: outra\n"]


def test_restore_of_what_is_active_is_no(commands: Commands) -> None:
    """Status 1 and one line."""
    said = commands.run("mappings", "restore", "paga", "2", "--yes")

    assert (said.status, said.err) == (1, "paga has the text of revision 2 already; nothing was restored\n")


@pytest.mark.parametrize(("answer", "status", "text"), [("y\n", 0, ONE), ("n\n", 1, TWO)])
def test_restore_shows_the_difference_and_asks(commands: Commands, answer: str, status: int, text: str) -> None:
    """On a terminal a person decides."""
    said = commands.on_terminal("mappings", "restore", "paga", "1", types=answer)

    assert said.status == status
    assert "-  valor: payment.value" in said.out
    assert "restore revision 1 of paga?" in said.err
    assert active(commands) == [text]


def test_restore_of_a_removed_mapping(commands: Commands) -> None:
    """The removal itself has no text, the one before has; there is no file to speak of then."""
    (commands.mappings / "paga.yaml").unlink()
    with commands.journal() as journal:
        clock = Clock()
        files = MappingFiles(journal, commands.mappings, Setup(None, None), clock)
        files.import_changed()
        clock.go(3)  # a file must stay gone
        files.import_changed()
    lines = commands.run("mappings", "history", "paga").out.splitlines()
    removal = commands.run("mappings", "restore", "paga", "3", "--yes")
    said = commands.run("mappings", "restore", "paga", "2", "--yes")

    assert lines[1].endswith("removed")
    assert removal.status == 2
    assert removal.err.startswith("revision 3 removed paga")
    assert (said.status, said.err) == (0, "")
    assert active(commands) == [TWO]
    assert commands.run("mappings", "diff", "paga", "2", "file").err.startswith("there is no file of paga")


def test_a_revision_that_can_not_run_any_more_is_not_restored(commands: Commands) -> None:
    """A text that an older version took may be refused by this one."""
    with commands.journal() as journal, journal.database.write() as connection:
        revisions.import_text(connection, "velha", "events: nope\n", "console", "ana", NOW_MS)
        revisions.import_text(connection, "velha", ONE, "console", "ana", NOW_MS)
    said = commands.run("mappings", "restore", "velha", "3", "--yes")

    assert said.status == 2
    assert said.err.startswith("that revision of velha can't run any more; velha.yaml:1:1: ")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("history", "nada"), 1, "the journal has no revision of 'nada'"),
        (("history", "paga", "--show", "9"), 1, "paga has no revision 9; see: bridge mappings history paga"),
        (("diff", "paga", "x"), 2, "a revision is a number or the word file, got 'x'"),
        (("diff", "paga", "1", "2", "3"), 2, "diff takes at most two revisions, got 3"),
        (("restore", "paga", "9", "--yes"), 1, "paga has no revision 9"),
        (("restore", "paga", "1"), 2, "this asks first, and there is no terminal to ask on; add --yes"),
    ],
)
def test_what_is_wrong_is_said(commands: Commands, arguments: tuple[str, ...], status: int, message: str) -> None:
    """One line and a status."""
    said = commands.run("mappings", *arguments)

    assert (said.status, said.err.count("\n")) == (status, 1)
    assert said.err.startswith(message)
