"""`bridge notices`: what is wrong, with what to do."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit

from bridge.cli.deliveries import limit_option
from bridge.cli.main import NO, Invocation
from bridge.cli.output import Columns, ago, json_option, show_list
from bridge.journal import notices as journal
from bridge.journal.clock import system_clock_ms
from bridge.mapping import ParseResult, Setup, read_directory
from bridge.messages import N_, Message, _, ngettext
from bridge.model import NoticeLevel

LEVELS: dict[str, str] = {NoticeLevel.WARNING: N_("warning"), NoticeLevel.ERROR: N_("error")}


@click.group()
def notices() -> None:
    """List and close notices: interrupted webhooks, expiring keys, an account's status."""


@notices.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that are closed, newest first.")
@limit_option
@json_option
@click.pass_obj
def list_notices(invocation: Invocation, every: bool, limit: int, as_json: bool) -> None:
    """List the open notices with what to do, and the mapping files that can't run."""
    with invocation.journal.database.read() as connection:
        found = journal.newest(connection, limit) if every else journal.open_notices(connection)[:limit]
    found = [one for one in found if one.code != "mapping.broken"]  # the files themselves say more
    directory = invocation.settings.bridge_mappings_dir
    read = read_directory(directory, Setup(None, None, directory))
    rows = [_of_file(one) for one in read if one.mapping is None and Path(one.path) != directory]
    rows += map(asdict, found)
    now_ms = system_clock_ms()
    columns: Columns = [
        (_("number"), "id"),
        (_("level"), lambda row: _(LEVELS[row["level"]]) if row["closed_ms"] is None else _("closed")),
        (_("code"), "code"),
        (_("about"), "about"),
        (_("since"), "raised_ms"),
        (_("last"), lambda row: ago(row["last_ms"], now_ms) if row["last_ms"] else ""),
        (_("what"), "detail"),
        (_("what to do"), "mend"),
    ]
    show_list(rows, columns, as_json=as_json, empty=_("no open notice"))


def _of_file(read: ParseResult) -> dict[str, Any]:
    """Return a mapping file that can't run in the form of a notice; it has no number, since nobody can close it."""
    return {
        **dict.fromkeys(field.name for field in fields(journal.StoredNotice)),
        "code": "mapping.broken",
        "about": Path(read.path).stem,
        "level": NoticeLevel.ERROR,
        "detail": Message(N_("the mapping file can't run: {finding}"), {"finding": read.findings[0].report}),
        "mend": Message(N_("correct the file, see: bridge mappings lint")),
    }


@notices.command("close")
@click.argument("numbers", nargs=-1, required=True, type=int, metavar="NUMBER...")
@click.pass_obj
def close_notices(invocation: Invocation, numbers: tuple[int, ...]) -> None:
    """Close notices; a problem that is not fixed raises its notice again."""
    with invocation.journal.database.write() as connection:
        closed = {number: journal.close(connection, number, system_clock_ms()) for number in numbers}
    for number, done in closed.items():
        text = N_("notice {number} is closed") if done else N_("notice {number} is not open; see: bridge notices list")
        click.echo(_(text, number=number), err=not done)
    if not all(closed.values()):
        raise Exit(NO)


def show_open_notices(invocation: Invocation) -> None:
    """Print on standard error how many notices are open, where any is."""
    with invocation.journal.database.read() as connection:
        number = len(journal.open_notices(connection))
    if number:
        text = ngettext(
            "{n} open notice; see: bridge notices list", "{n} open notices; see: bridge notices list", number
        )
        click.echo(text, err=True)
