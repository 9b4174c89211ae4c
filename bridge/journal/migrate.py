"""Migrates the journal's schema to this version by Alembic; safe at every start and from several processes.

Alembic is imported only by a migration, since it needs much memory.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, delete, insert, inspect, select, text

from bridge.errors import JournalNotMigrated
from bridge.failpoints import failpoint
from bridge.journal.database import Database
from bridge.journal.schema import meta
from bridge.messages import N_

_SCRIPTS = Path(__file__).parent / "migrations"
RUNS_FROM = "0013"
"""The newest revision known to the oldest version that can work on this schema. A migration that removes or changes
what that version uses raises it."""
_RUNS_FROM_KEY = "runs_from"
_ADVISORY_LOCK = 7_205_759  # any number: one migration at a time on PostgreSQL


def head() -> str:
    """Return the newest revision that this version knows."""
    return max(path.name.split("_")[0] for path in _SCRIPTS.glob("versions/[0-9]*_*.py"))


def current(connection: Connection) -> str | None:
    """Return the revision of the schema; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def check(connection: Connection) -> None:
    """Raise JournalNotMigrated where this version can't work on the schema."""
    found = current(connection)
    if found is None or found < head():
        raise JournalNotMigrated(hint=N_("run: bridge db upgrade"))
    if found > head():
        _check_newer(connection, found)


def _check_newer(connection: Connection, found: str) -> None:
    least = connection.scalar(select(meta.c.value).where(meta.c.key == _RUNS_FROM_KEY))
    if least is None or least > head():
        what = N_(
            "a newer version of the bridge changed the journal's schema so that this one can't work on it: "
            "this one knows {known}, got {found}"
        )
        hint = N_("nothing was changed; install the newer version again (docs/hosting.md, Going back)")
        raise JournalNotMigrated(what, known=head(), found=found, hint=hint)


def upgrade(database: Database) -> tuple[str | None, str]:
    """Migrate to the newest schema; return the revisions before and after.

    The schema of a newer version stays. Raises JournalNotMigrated where this version can't work on it.
    """
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        before = current(connection)
        if before is not None and before > head():
            _check_newer(connection, before)
            return before, before
        failpoint("migration.before_steps")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        after = current(connection) or ""
        connection.execute(delete(meta).where(meta.c.key == _RUNS_FROM_KEY))
        connection.execute(insert(meta).values(key=_RUNS_FROM_KEY, value=RUNS_FROM))
        failpoint("migration.before_commit")
    failpoint("migration.after_commit")
    return before, after
