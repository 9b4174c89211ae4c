"""One suite for both databases: each test here runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.journal import Journal
from tests.factories import opened_journal


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the SQLAlchemy URL of a new database that has this version's schema and no rows, once of each kind."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give an empty journal, once in each database."""
    with opened_journal(database_url) as journal:
        yield journal
