"""What every test may ask for: a clean environment, a real Redis, a real PostgreSQL, a database of each kind.

A server that can't be had skips its tests and says so; under CI=true it fails them instead, because a green run that
tried nothing is worse than a red one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from bridge.errors import RedisMissing
from tests.databases import SpareDatabase
from tests.factories import opened_journal, sqlite_template
from tests.measuring import pytest_collection
from tests.missing import cannot_have
from tests.services import PostgresServer, RedisServer, ServiceMissing
from tests.turns import pytest_collection_modifyitems, pytest_runtest_protocol, pytest_xdist_make_scheduler

__all__ = [
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_runtest_protocol",
    "pytest_xdist_make_scheduler",
]

_OURS = ("BRIDGE_", "ASAAS_", "CLINT_")
_OURS_EXACTLY = frozenset({"DATABASE_URL", "REDIS_URL", "PORT", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"})


def pytest_configure() -> None:
    """Take every setting of a real bridge out of the environment, before any test or fixture could read it."""
    for name in [name for name in os.environ if name.startswith(_OURS) or name in _OURS_EXACTLY]:
        del os.environ[name]
    os.environ.pop("LC_ALL", None)
    os.environ["LC_MESSAGES"] = "en_US.UTF-8"  # commands answer in English; tests of the language set their own


def _running_redis() -> RedisServer:
    try:
        return RedisServer.started()
    except RedisMissing as error:
        cannot_have("Redis", error)


def _running_postgres() -> PostgresServer:
    try:
        return PostgresServer.started()
    except ServiceMissing as error:
        cannot_have("PostgreSQL", error)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give the URL of this run's own Redis; it is not emptied between tests, `redis` is."""
    with _running_redis() as server:
        yield server.url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Give a client of this run's Redis, emptied."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="module")
def emptied_redis_url(redis_url: str) -> str:
    """Give the URL of this run's Redis, emptied once: what other tests fetched is not this module's Asaas."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """Give a Redis of the test's own, started, that it may stop, kill and start again."""
    with _running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    with _running_postgres() as server:
        yield server


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """Give a PostgreSQL of the test's own, started, that it may stop, kill and start again."""
    with _running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_template(_postgres: PostgresServer) -> Iterator[str]:
    with _postgres.database() as url:
        with opened_journal(url):
            pass
        yield url.rpartition("/")[2]


@pytest.fixture(scope="session")
def _postgres_spare(_postgres: PostgresServer, _postgres_template: str) -> Iterator[SpareDatabase]:
    with contextlib.closing(SpareDatabase(_postgres, _postgres_template)) as spare:
        yield spare


@pytest.fixture
def postgres_url(_postgres_spare: SpareDatabase) -> Iterator[str]:
    """Give the SQLAlchemy URL of a PostgreSQL database that has this version's schema and no rows."""
    with _postgres_spare.lent() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the SQLAlchemy URL of a new SQLite file that has this version's schema and no rows."""
    return f"sqlite:///{shutil.copy(sqlite_template(), tmp_path)}"


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the SQLAlchemy URL of a new database that has this version's schema and no rows.

    It is SQLite, but on both kinds for tests marked `tests.databases.on_both` and in tests/conformance.
    """
    fixture = "postgres_url" if getattr(request, "param", "sqlite") == "postgresql" else "sqlite_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the SQLAlchemy URL of a new database with nothing in it, not even a schema, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with request.getfixturevalue("_postgres").database() as url:
        yield url
