"""`bridge db`: the journal's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bridge.cli.root import Invocation

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


def upgraded(database: Database) -> str:
    """Bring the schema to this version and return what was done, in words."""
    from bridge.journal import upgrade

    before, after = upgrade(database)
    where = f"journal {place(database)}"
    if before == after:
        return f"{where}: schema {after}, nothing to do"
    return f"{where}: schema {before or 'none'} -> {after}"


def place(database: Database) -> str:
    """Return where the journal is, without user and password."""
    if database.is_sqlite:
        return str(database.url.database)
    return f"{database.url.host}/{database.url.database}"
