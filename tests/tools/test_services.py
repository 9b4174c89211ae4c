"""The servers that the tests stand on: fresh, real, and able to go away and come back."""

from __future__ import annotations

import os

import psycopg
import pytest
from redis import Redis
from sqlalchemy import create_engine, text

from tests.services import PostgresServer, RedisServer


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    """Return the rows that a statement gives on a connection of its own."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_environment_is_scrubbed() -> None:
    """No setting of a real bridge reaches a test."""
    assert [name for name in os.environ if name.startswith(("BRIDGE_", "ASAAS_", "CLINT_"))] == []
    assert {"DATABASE_URL", "REDIS_URL", "PORT"}.isdisjoint(os.environ)


@pytest.mark.parametrize("time", [1, 2])
def test_redis_is_empty_for_each_test(redis: Redis, time: int) -> None:
    """What one test wrote the next does not find."""
    assert redis.keys() == []
    redis.set("time", time)


def test_redis_comes_back_where_it_was(redis_server: RedisServer) -> None:
    """A test may kill its Redis and start it again at the same URL."""
    with Redis.from_url(redis_server.url) as client:
        redis_server.kill()
        redis_server.start()

        assert client.ping()


@pytest.mark.parametrize("time", [1, 2])
def test_a_database_is_empty_for_each_test(empty_url: str, time: int) -> None:
    """Each test that asks for a database gets a new one, of each kind."""
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("create table seen (time integer)"))
        connection.execute(text("insert into seen values (:time)"), {"time": time})

        assert connection.execute(text("select time from seen")).all() == [(time,)]
    engine.dispose()


def test_postgresql_keeps_its_data_over_a_kill(postgres_server: PostgresServer) -> None:
    """A test may kill its PostgreSQL: what was committed is there when it comes back at the same URL."""
    with postgres_server.database() as url:
        ask(url, "create table kept as select 1 as one")
        postgres_server.kill()
        with pytest.raises(psycopg.OperationalError):
            ask(url, "select 1")
        postgres_server.start()

        assert ask(url, "select one from kept") == [(1,)]


def test_postgresql_may_be_down_when_its_database_is_dropped(postgres_server: PostgresServer) -> None:
    """A test may leave its PostgreSQL stopped."""
    with postgres_server.database():
        postgres_server.stop()
        postgres_server.stop()
