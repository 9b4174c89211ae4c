"""`bridge db`: the journal's schema, and copies of a SQLite journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.main import Invocation
from bridge.cli.output import count
from bridge.errors import UsageError

if TYPE_CHECKING:
    from bridge.journal import Database


@click.group("db")
def database() -> None:
    """Look after the journal's database."""


@database.command("upgrade")
@click.pass_obj
def upgrade_schema(invocation: Invocation) -> None:
    """Make the journal, or bring its schema to this version.

    Safe to run at every start and from several machines at once. The Procfile's release line runs it.
    """
    from bridge.runtime import Runtime

    runtime = Runtime(invocation.settings)
    try:
        click.echo(upgraded(runtime.journal.database))
    finally:
        runtime.close()


@database.command("new-key")
def new_key() -> None:
    """Print a new key for BRIDGE_ENCRYPTION_KEY. Keep a copy where the journal's backups are not."""
    from bridge.crypto import new_key as made

    click.echo(made())


@database.command("rekey")
@click.pass_obj
def rekey_rows(invocation: Invocation) -> None:
    """Encrypt what is in the journal with the first key of BRIDGE_ENCRYPTION_KEY, while the bridge runs.

    For rows from before there was a key, and after a new key: first put the new key behind the old one and start all
    processes again, then in front of it and start them again, then run this; after that the old key may go. Broken off,
    it goes on where it stopped.
    """
    from bridge.cli.options import progress_bar
    from bridge.errors import KeyNeeded
    from bridge.journal.encryption import rekey

    database = invocation.journal.database
    if not database.keyring:
        raise KeyNeeded(hint="make one with `bridge db new-key`")
    done = 0
    with progress_bar("rows") as tell:
        for progress in rekey(database):
            done = progress.done
            tell(progress.done, progress.total)
    click.echo(f"{count(done, 'row')} encrypted with the first key")


@database.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def backup(invocation: Invocation, file: Path) -> None:
    """Write a copy of the SQLite journal to FILE, while the bridge runs.

    The copy is whole as of one moment. It holds personal data: keep it as safe as the journal.
    """
    from bridge.journal.backup import back_up

    events = back_up(_sqlite(invocation, "pg_dump --format=custom --file=FILE"), file)
    click.echo(f"{file}: {count(events, 'event')}")


@database.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def restore_copy(invocation: Invocation, file: Path) -> None:
    """Put a copy of the SQLite journal back; stop web and worker first.

    The journal that is there is kept beside it. Run `bridge db upgrade` afterwards, and `bridge reconcile` for what
    came since the copy was made.
    """
    from bridge.journal.backup import restore

    journal = _sqlite(invocation, "pg_restore --clean --if-exists --dbname=DATABASE FILE")
    aside = restore(file, journal)
    click.echo(f"{journal}: restored" + (f"; what was there is {aside}" if aside else ""))
    click.echo("next: bridge db upgrade; then start the bridge, and bridge reconcile for what came since")


def _sqlite(invocation: Invocation, instead: str) -> Path:
    """Return the file of the SQLite journal; raise UsageError where it is PostgreSQL."""
    from bridge.runtime import Runtime

    runtime = Runtime(invocation.settings)
    try:
        url = runtime.journal.database.url
        if not runtime.journal.database.is_sqlite:
            raise UsageError(
                "this command is for a SQLite journal, got PostgreSQL",
                hint=f"use PostgreSQL's own: {instead}; see docs/hosting.md",
            )
        return Path(str(url.database))
    finally:
        runtime.close()


def upgraded(database: Database) -> str:
    """Bring the schema to this version and return what was done, in words."""
    from bridge.journal import upgrade
    from bridge.journal.migrate import head

    before, after = upgrade(database)
    where = f"journal {database.place}"
    if before == after != head():
        return f"{where}: schema {after} of a newer version, on which this one works too; nothing to do"
    if before == after:
        return f"{where}: schema {after}, nothing to do"
    return f"{where}: schema {before or 'none'} -> {after}"
