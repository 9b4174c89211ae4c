"""The clock that the processes of one journal share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from bridge.journal import Database
from bridge.journal.clock import DatabaseClock, system_clock_ms
from bridge.runtime import Runtime
from bridge.settings import Settings
from tests.services import PostgresServer


def _told_ms(database: Database) -> int:
    with database.read() as connection:
        return round(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp()) * 1000")) or 0)


def test_the_clock_is_the_databases(postgres_url: str) -> None:
    """What the clock says lies between what the database says before and after, within a few milliseconds."""
    database = Database(postgres_url)
    clock = DatabaseClock(database)
    clock()
    before, said, after = _told_ms(database), clock(), _told_ms(database)
    database.close()

    assert before - 50 <= said <= after + 50


def test_many_threads_ask_the_database_once(postgres_url: str) -> None:
    """Whoever comes while the first look is under way waits for it and looks at nothing himself."""
    database = Database(postgres_url)
    clock = DatabaseClock(database)
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: clock(), range(64)))
    connections = database.engine.pool.checkedin()  # type: ignore[attr-defined]
    database.close()

    assert max(said) - min(said) < 60_000
    assert connections == 1


def test_without_the_database_the_machines_own_clock_counts(
    postgres_server: PostgresServer,
) -> None:
    """A database that is away does not stop the clock; it is asked again later, and then counts."""
    database = Database(postgres_server.url("postgres"))
    clock = DatabaseClock(database, retry_after_ms=0)
    postgres_server.stop()
    before, said = system_clock_ms(), clock()
    postgres_server.start()
    clock()
    database.close()

    assert before <= said <= system_clock_ms()
    assert clock._ahead_ms is not None


def test_on_sqlite_it_is_the_machines(sqlite_url: str) -> None:
    """All processes of a SQLite journal share one machine: nothing is asked."""
    runtime = Runtime(Settings.from_env({"DATABASE_URL": sqlite_url}))

    assert runtime.clock_ms is system_clock_ms


def test_on_postgresql_it_is_the_databases(postgres_url: str) -> None:
    """Every part of a runtime on PostgreSQL goes by one clock, the database's."""
    runtime = Runtime(Settings.from_env({"DATABASE_URL": postgres_url}))

    assert isinstance(runtime.clock_ms, DatabaseClock)
    assert runtime.clock_ms is runtime.clock_ms
    runtime.close()


def test_a_silent_session_does_not_hold_its_locks_for_ever(postgres_url: str) -> None:
    """The server ends a session that stands idle in a transaction, and asks quiet peers whether they live."""
    database = Database(postgres_url)
    with database.read() as connection:
        shown = {
            name: connection.scalar(text(f"SHOW {name}"))
            for name in ("idle_in_transaction_session_timeout", "tcp_keepalives_idle", "statement_timeout")
        }
    database.close()

    assert shown == {
        "idle_in_transaction_session_timeout": "10s",
        "tcp_keepalives_idle": "30",
        "statement_timeout": "15s",
    }
