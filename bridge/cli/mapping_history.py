"""`bridge mappings history`, `diff` and `restore`: the revisions of a mapping that the journal keeps.

A revision is named by its number among those of its mapping, or by its id in `--json`; `file` names the text in the
directory of mappings.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit

from bridge.cli.main import NO, Invocation
from bridge.cli.options import check_can_ask, confirm
from bridge.cli.output import ago, is_terminal, json_option, moment, plain, show_json, show_table, values_of
from bridge.errors import NotFound, UsageError
from bridge.mapping import Setup, Severity, parse_mapping
from bridge.messages import N_, _
from bridge.operations.mappings import changed, difference, file_text

if TYPE_CHECKING:
    from bridge.journal.revisions import Revision


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
    active = found[0] if found[0].text is not None else None
    if as_json:
        show_json([{**values_of(one), "created": moment(one.created_ms), "active": one is active} for one in found])
        return
    now_ms, rows = system_clock_ms(), []
    for one, before in zip(found, [*found[1:], None], strict=True):
        added, removed = changed((before and before.text) or "", one.text or "")
        lines = _("removed") if one.text is None else f"+{added} -{removed}"
        age, state = ago(one.created_ms, now_ms), _("active") if one is active else ""
        rows.append((one.number, moment(one.created_ms), age, one.author, one.origin, lines, state))
    show_table((_("revision"), _("made"), _("age"), _("by"), _("from"), _("lines"), ""), rows)
    if file_text(invocation.settings.bridge_mappings_dir, name) not in {None, found[0].text}:
        text = N_("the file has another text; see: bridge mappings diff {name} {number} file")
        click.echo(_(text, name=name, number=found[0].number), err=True)


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
        raise UsageError(N_("diff takes at most two revisions, got {number}"), number=len(revs))
    found = _revisions(invocation, name)
    newest, second = (str(one.number) if one else "" for one in (found[0], found[1] if found[1:] else None))
    before, after = {0: (second, newest), 1: (*revs, newest), 2: revs}[len(revs)]
    old, new = (_text_of(invocation, found, name, rev) for rev in (before, after))
    nothing = _("nothing")
    lines = difference(old, new, f"{name} {before or nothing}", f"{name} {after}")
    if as_json:
        show_json({"mapping": name, "from": before, "to": after, "diff": lines})
    else:
        _show_difference(lines)


@click.command()
@click.argument("name")
@click.argument("rev", type=int)
@click.option("--yes", is_flag=True, help="Do not show and ask first.")
@click.pass_obj
def restore(invocation: Invocation, name: str, rev: int, yes: bool) -> None:
    """Make an older revision of a mapping the active one again, as a new revision.

    Workers use it within two seconds. The file keeps its text, and becomes a revision again when somebody changes
    it. What went out since then is not taken back; see: bridge events replay.
    """
    from bridge.journal import audit, revisions
    from bridge.journal.clock import system_clock_ms

    check_can_ask(yes=yes)
    directory = invocation.settings.bridge_mappings_dir
    found = _revisions(invocation, name)
    wanted = _of_number(found, name, rev)
    rev = wanted.number
    if wanted.text is None:
        what, hint = N_("revision {rev} removed {name}, so it has no text to restore"), N_("choose an older one")
        raise UsageError(what, rev=rev, name=name, hint=hint)
    # The destinations that are set up here need not be those of the workers.
    read = parse_mapping(wanted.text, f"{name}.yaml", Setup(None, None, directory))
    if read.mapping is None:
        first = next(finding for finding in read.findings if finding.severity is Severity.ERROR)
        what, hint = N_("that revision of {name} can't run any more"), N_("write it again as a file")
        raise UsageError(what, name=name, where=first.shown(), hint=hint)
    if not yes:
        _show_difference(difference(found[0].text or "", wanted.text, f"{name} {found[0].number}", f"{name} {rev}"))
    confirm(_("restore revision {rev} of {name}?", rev=rev, name=name), _("nothing was restored"), yes=yes)
    with invocation.journal.database.write() as connection:
        now_ms = system_clock_ms()
        fresh = revisions.restore(connection, wanted, _operator(), now_ms)
        if fresh is not None:
            number = revisions.numbers(connection, [fresh])[fresh]
            detail = {"revision": fresh, "number": number, "text_of": rev, "file": False}
            audit.note(connection, invocation.actor, "mapping.restored", name, now_ms, detail)
    if fresh is None:
        text = N_("{name} has the text of revision {rev} already; nothing was restored")
        click.echo(_(text, name=name, rev=rev), err=True)
        raise Exit(NO)
    click.echo(_("{name} is revision {fresh} now, with the text of {rev}", name=name, fresh=number, rev=rev))
    if file_text(directory, name) not in {None, wanted.text}:
        text = N_(
            "the file still has another text, which becomes active when somebody changes it; to keep this one: "
            "bridge mappings history {name} --show {rev}"
        )
        click.echo(_(text, name=name, rev=rev), err=True)


def _operator() -> str:
    """Return the name of the person at the terminal, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _revisions(invocation: Invocation, name: str) -> list[Revision]:
    from bridge.journal import revisions

    with invocation.journal.database.read() as connection:
        found = revisions.history(connection, name)
    if not found:
        raise NotFound(N_("the journal has no revision of {name!r}"), name=name, hint=N_("see: bridge mappings show"))
    return found


def _of_number(found: Sequence[Revision], name: str, number: int) -> Revision:
    by_number = {one.id: one for one in found} | {one.number: one for one in found}
    one = by_number.get(number)
    if one is None:
        hint = N_("see: bridge mappings history {name}")
        raise NotFound(N_("{name} has no revision {number}"), name=name, number=number, hint=hint)
    return one


def _text_of(invocation: Invocation, found: Sequence[Revision], name: str, rev: str) -> str:
    if rev == "file":
        directory = invocation.settings.bridge_mappings_dir
        text = file_text(directory, name)
        if text is None:
            raise NotFound(N_("there is no file of {name}"), name=name, where=str(directory))
        return text
    if not rev:
        return ""
    if not (rev.isascii() and rev.isdigit()):
        raise UsageError(N_("a revision is a number or the word file, got {rev!r}"), rev=rev)
    return _of_number(found, name, int(rev)).text or ""


def _show_difference(lines: Sequence[str]) -> None:
    if not lines:
        click.echo(_("no difference"))
    colours = {"+": "green", "-": "red", "@": "cyan"} if is_terminal() else {}
    for line in lines:
        bare = line.lstrip(" ")  # plain() would take the indentation away
        click.secho(" " * (len(line) - len(bare)) + plain(bare), fg=colours.get(line[:1]))
