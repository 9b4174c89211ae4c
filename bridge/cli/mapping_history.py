"""`bridge mappings history`, `diff` and `restore`: the revisions of a mapping that the journal keeps.

A revision is named by its number; `file` names the text that lies in the directory of mappings now.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.options import agreed, check_can_ask
from bridge.cli.output import ago, is_terminal, json_option, moment, plain, show_json, show_table
from bridge.errors import NotFound, UsageError
from bridge.mapping import Setup, Severity, parse_mapping
from bridge.operations.mappings import changed, difference

if TYPE_CHECKING:
    from bridge.journal.revisions import Revision


_FILE = "file"
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.argument("name")
@click.option("--show", "number", type=int, metavar="REV", help="Print the whole text of this revision.")
@json_option
@click.pass_obj
def history(invocation: Invocation, name: str, number: int | None, as_json: bool) -> None:
    """List the revisions of a mapping, newest first: when each was made, by whom and how. The first one is active."""
    from bridge.journal.clock import system_clock_ms

    found = _revisions(invocation, name)
    if number is not None:
        click.echo(_of_number(found, name, number).text or "", nl=False)
        return
    if as_json:
        show_json([_as_data(one, active=one is found[0]) for one in found])
        return
    now_ms = system_clock_ms()
    rows = [
        (
            one.id,
            moment(one.created_ms),
            ago(one.created_ms, now_ms),
            one.author,
            one.origin,
            _changed(one, found[place + 1] if place + 1 < len(found) else None),
            "active" if place == 0 and one.text is not None else "",
        )
        for place, one in enumerate(found)
    ]
    show_table(("revision", "made", "age", "by", "from", "lines", ""), rows)
    if _file_text(invocation, name) not in {None, found[0].text}:
        click.echo(f"the file has another text; see: bridge mappings diff {name} {found[0].id} file", err=True)


@click.command()
@click.argument("name")
@click.argument("revs", nargs=-1, metavar="[REV] [REV]")
@json_option
@click.pass_obj
def diff(invocation: Invocation, name: str, revs: tuple[str, ...], as_json: bool) -> None:
    """Show what changed between two revisions of a mapping, line by line.

    Without a REV: what the newest one changed. With one: what changed from it to the newest. REV is a number from
    `bridge mappings history`, or `file` for the file as it is now.
    """
    if len(revs) > 2:
        raise UsageError(f"diff takes at most two revisions, got {len(revs)}")
    found = _revisions(invocation, name)
    newest = str(found[0].id)
    before, after = {
        0: (str(found[1].id) if len(found) > 1 else "", newest),
        1: (revs[0] if revs else "", newest),
        2: (revs[0] if revs else "", revs[-1] if revs else ""),
    }[len(revs)]
    texts = [_text_of(invocation, found, name, rev) for rev in (before, after)]
    lines = difference(texts[0], texts[1], f"{name} {before or 'nothing'}", f"{name} {after}")
    if as_json:
        show_json({"mapping": name, "from": before, "to": after, "diff": lines})
    else:
        _show_difference(lines)


@click.command()
@click.argument("name")
@click.argument("rev", type=int)
@click.option("--yes", is_flag=True, help="Do not show and ask first.")
@click.pass_context
def restore(context: click.Context, name: str, rev: int, yes: bool) -> None:
    """Make an older revision of a mapping the active one again, as a new revision.

    Workers take it up within two seconds. The file keeps its text, and becomes a revision again when somebody changes
    it. What went out since then is not taken back; see: bridge events replay.
    """
    from bridge.journal import revisions
    from bridge.journal.clock import system_clock_ms

    check_can_ask(yes=yes)
    invocation: Invocation = context.obj
    found = _revisions(invocation, name)
    wanted = _of_number(found, name, rev)
    if wanted.text is None:
        raise UsageError(f"revision {rev} removed {name}, so it has no text to restore", hint="choose an older one")
    _check_runs(invocation, name, wanted.text)
    if not yes:
        _show_difference(difference(found[0].text or "", wanted.text, f"{name} {found[0].id}", f"{name} {rev}"))
    if not agreed(f"restore revision {rev} of {name}?", yes=yes):
        click.echo("nothing was restored", err=True)
        context.exit(NO)
    with invocation.journal.database.write() as connection:
        fresh = revisions.restore(connection, wanted, operator(), system_clock_ms())
    if fresh is None:
        click.echo(f"{name} has the text of revision {rev} already; nothing was restored", err=True)
        context.exit(NO)
    click.echo(f"{name} is revision {fresh} now, with the text of {rev}")
    if _file_text(invocation, name) not in {None, wanted.text}:
        click.echo(
            f"the file still has another text, which becomes active when somebody changes it; to keep this one: "
            f"bridge mappings history {name} --show {rev}",
            err=True,
        )


def operator() -> str:
    """Return the operating system's name of whoever runs the command."""
    # Behind sudo the person is meant, not root.
    asked = os.environ.get("SUDO_USER", "")
    try:
        return asked or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _revisions(invocation: Invocation, name: str) -> list[Revision]:
    from bridge.journal import revisions

    with invocation.journal.database.read() as connection:
        found = revisions.history(connection, name)
    if not found:
        raise NotFound(f"the journal has no revision of {name!r}", hint="see: bridge mappings show")
    return found


def _of_number(found: Sequence[Revision], name: str, number: int) -> Revision:
    for one in found:
        if one.id == number:
            return one
    raise NotFound(f"{name} has no revision {number}", hint=f"see: bridge mappings history {name}")


def _text_of(invocation: Invocation, found: Sequence[Revision], name: str, rev: str) -> str:
    if rev == _FILE:
        text = _file_text(invocation, name)
        if text is None:
            raise NotFound(f"there is no file of {name}", where=str(invocation.settings.bridge_mappings_dir))
        return text
    if not rev:
        return ""
    if not (rev.isascii() and rev.isdigit()):
        raise UsageError(f"a revision is a number or the word file, got {rev!r}")
    return _of_number(found, name, int(rev)).text or ""


def _file_text(invocation: Invocation, name: str) -> str | None:
    directory: Path = invocation.settings.bridge_mappings_dir
    for suffix in (".yaml", ".yml"):
        try:
            return (directory / f"{name}{suffix}").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return None


def _check_runs(invocation: Invocation, name: str, text: str) -> None:
    """Raise where the text can't run in this version of the bridge."""
    root = invocation.settings.bridge_mappings_dir
    # Whether its destinations are set up where the operator sits says nothing about where the workers run.
    read = parse_mapping(text, f"{name}.yaml", Setup(None, None, root))
    if read.mapping is None:
        first = next(finding for finding in read.findings if finding.severity is Severity.ERROR)
        raise UsageError(
            f"that revision of {name} can't run any more", where=str(first), hint="write it anew as a file"
        )


def _changed(one: Revision, before: Revision | None) -> str:
    if one.text is None:
        return "removed"
    added, removed = changed(before.text or "" if before else "", one.text)
    return f"+{added} -{removed}"


def _show_difference(lines: Sequence[str]) -> None:
    if not lines:
        click.echo("no difference")
    for line in lines:
        click.secho(_plain_line(line), fg=_COLOURS.get(line[:1]) if is_terminal() else None)


def _plain_line(line: str) -> str:
    # As a terminal may show it, with its indentation.
    bare = line.lstrip(" ")
    return " " * (len(line) - len(bare)) + plain(bare)


def _as_data(one: Revision, *, active: bool) -> dict[str, Any]:
    return {**asdict(one), "created": moment(one.created_ms), "active": active and one.text is not None}
