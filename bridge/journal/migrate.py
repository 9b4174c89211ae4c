"""Brings the journal's schema to this version, by Alembic; safe to run at every start and from several processes."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from bridge.journal.database import Database

_SCRIPTS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 7_205_759  # any number of our own: one migration at a time on PostgreSQL


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def head() -> str:
    """Return the newest revision of the schema that this version knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(database: Database) -> str | None:
    """Return the schema's revision in the database, None where there is none."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_current(database: Database) -> bool:
    """Return whether the schema is this version's."""
    return current(database) == head()


def upgrade(database: Database) -> tuple[str | None, str]:
    """Migrate to the newest schema; return the revisions before and after."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = _config()
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        before = MigrationContext.configure(connection).get_current_revision()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before, MigrationContext.configure(connection).get_current_revision() or ""
