"""`bridge db`: the journal's schema and encryption, and copies of a SQLite journal."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import click

from bridge import crypto
from bridge.cli.main import Invocation
from bridge.cli.options import progress_bar
from bridge.crypto import key_file
from bridge.errors import KeyNeeded, UsageError
from bridge.journal import Database, upgrade
from bridge.journal.backup import back_up, restore
from bridge.journal.encryption import rekey
from bridge.journal.migrate import head
from bridge.messages import N_, _, ngettext
from bridge.runtime import Runtime


@click.group("db")
def database() -> None:
    """Look after the journal's database."""


@database.command("upgrade")
@click.pass_obj
def upgrade_schema(invocation: Invocation) -> None:
    """Make the journal, or bring its schema to this version.

    Safe to run at every start and from several machines at once. The Procfile's release line runs it.
    """
    with closing(Runtime(invocation.settings)) as runtime:
        click.echo(upgraded(runtime.journal.database))


@database.command("new-key")
def new_key() -> None:
    """Print a new key for BRIDGE_ENCRYPTION_KEY. Keep a copy apart from the journal's backups."""
    click.echo(crypto.new_key())


@database.command("rekey")
@click.pass_obj
def rekey_rows(invocation: Invocation) -> None:
    """Encrypt the journal with the first key of BRIDGE_ENCRYPTION_KEY, while the bridge runs.

    For rows from before there was a key, and after a new key: first put the new key after the old one and start all
    processes again, then in front of it and start them again, then run this; after that the old key may go. After an
    interruption it goes on at the same row.
    """
    database = invocation.journal.database
    if not database.keyring:
        raise KeyNeeded(hint=N_("make one with `bridge db new-key`"))
    done = 0
    with progress_bar(_("rows")) as on_progress:
        for done, total in rekey(database):
            on_progress(done, total)
    click.echo(ngettext("{n} row encrypted with the first key", "{n} rows encrypted with the first key", done))


@database.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def backup(invocation: Invocation, file: Path) -> None:
    """Write a copy of the SQLite journal to FILE, while the bridge runs.

    The copy is whole as of one moment. It holds personal data: keep it as safe as the journal.
    """
    number = back_up(_sqlite(invocation, "pg_dump --format=custom --file=FILE"), file)
    click.echo(f"{file}: " + ngettext("{n} event", "{n} events", number))
    kept = key_file(os.environ)
    if kept and kept.exists():
        click.echo(_("it can be read with {key} only: copy that file too, to another place", key=kept))


@database.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def restore_copy(invocation: Invocation, file: Path) -> None:
    """Put a copy of the SQLite journal back; stop web and worker first.

    The present journal is kept beside it. Run `bridge db upgrade` afterwards, and `bridge reconcile` for the events
    since the copy was made.
    """
    journal = _sqlite(invocation, "pg_restore --clean --if-exists --dbname=DATABASE FILE")
    if aside := restore(file, journal):
        click.echo(_("{file}: restored; the journal of before is {aside}", file=journal, aside=aside))
    else:
        click.echo(_("{file}: restored", file=journal))
    click.echo(_("next: bridge db upgrade; then start the bridge, and bridge reconcile for the events since the copy"))


def _sqlite(invocation: Invocation, instead: str) -> Path:
    """Return the file of the SQLite journal; raise UsageError for PostgreSQL."""
    with closing(Runtime(invocation.settings)) as runtime:
        database = runtime.journal.database
        if not database.is_sqlite:
            raise UsageError(
                N_("this command is for a SQLite journal, got PostgreSQL"),
                hint=N_("use PostgreSQL's own: {command}; see docs/hosting.md"),
                command=instead,
            )
        return Path(str(database.url.database))


def upgraded(database: Database) -> str:
    """Bring the schema to this version and return in one line what was done."""
    before, after = upgrade(database)
    if before == after != head():
        text = N_("journal {place}: schema {after} of a newer version, which this one can use; nothing to do")
    elif before == after:
        text = N_("journal {place}: schema {after}, nothing to do")
    elif before is None:
        text = N_("journal {place}: made with schema {after}")
    else:
        text = N_("journal {place}: schema {before} -> {after}")
    return _(text, place=database.place, before=before, after=after)
