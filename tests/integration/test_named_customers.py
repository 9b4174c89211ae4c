"""The worker's task that asks Asaas who the customers are that no mapping asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from bridge.asaas.client import AsaasClient
from bridge.asaas.limiter import AccountLimiter, Limits
from bridge.http import HttpClient
from bridge.journal import Journal, customers, events, privacy, queries
from bridge.journal.audit import Actor
from bridge.journal.customers import Customer
from bridge.journal.queries import EventFilter
from bridge.journal.schema import customers as customer_table
from bridge.model import IncomingEvent
from bridge.redis_client import OptionalRedis
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from bridge.worker.tasks import name_customers
from tests.databases import on_both
from tests.factories import NOW_MS, Clock, incoming, keep, opened_journal
from tests.simulated import AsaasSimulator


def came(journal: Journal, *found: IncomingEvent) -> list[int]:
    """Let events have come and been processed; return their numbers."""
    ids = keep(journal, *found)
    with journal.database.write() as connection:
        events.mark_processed(connection, ids, NOW_MS)
    return ids


class Naming:
    """The task of one account, on a simulated Asaas over real HTTP."""

    def __init__(self, asaas: AsaasSimulator, url: str, http: HttpClient) -> None:
        self.asaas = asaas
        self._url = url
        self._http = http

    def turn(self, journal: Journal, quota: int = 25_000, limit: int = 10) -> int:
        """Run it once; return the number of answers."""
        limiter = AccountLimiter("default", OptionalRedis(None), Limits(quota=quota, quota_margin=0))
        client = AsaasClient("default", DEFAULT_KEY, self._url, self._http, limiter)
        return name_customers(journal, client, limiter, Clock(), threading.Event(), limit)


@pytest.fixture
def naming() -> Iterator[Naming]:
    """Give the task and its Asaas."""
    asaas = AsaasSimulator()
    with Served(asaas.app) as served, HttpClient(allow_private=True) as http:
        yield Naming(asaas, f"{served.url}/v3", http)
    asaas.close()


def known(journal: Journal) -> dict[str, Customer]:
    """Return the customers that the journal knows."""
    with journal.database.read() as connection:
        ids = connection.scalars(select(customer_table.c.id)).all()
        return {id_: one for (_, id_), one in customers.load(connection, [("default", id_) for id_ in ids]).items()}


@on_both
def test_customers_of_the_newest_events_get_their_names(database_url: str, naming: Naming) -> None:
    """A few a turn, the newest first, each once; they are found by their names then."""
    with opened_journal(database_url) as journal:
        people = [naming.asaas.has_customer(name=f"Pessoa Numero{n}")["id"] for n in range(3)]
        ids = came(journal, *(incoming(id_) for id_ in [*people, people[0]]))
        came(journal, incoming("cus_x", account="matriz"), incoming("", object_id="trf_1", subject="trf_1"))

        assert naming.turn(journal, limit=2) == 2
        assert set(known(journal)) == {people[0], people[2]}
        assert naming.turn(journal) == 1
        assert naming.turn(journal) == 0
        assert known(journal)[people[1]].name == "Pessoa Numero1"
        assert known(journal)[people[1]].document
        with journal.database.read() as connection:
            rows = queries.event_page(connection, EventFilter(text="numero1"), 9)
        assert [row["id"] for row in rows] == [ids[1]]


def test_a_customer_that_asaas_does_not_have_is_asked_for_once(sqlite_url: str, naming: Naming) -> None:
    """Nor is an id that can't be one asked for again."""
    with opened_journal(sqlite_url) as journal:
        came(journal, incoming("cus_gone"), incoming("cus_ü"))

        assert naming.turn(journal) == 2
        assert naming.turn(journal) == 0
        assert known(journal) == {}


def test_an_error_ends_the_turn_and_the_next_one_goes_on(sqlite_url: str, naming: Naming) -> None:
    """Nothing is remembered of a question without an answer."""
    with opened_journal(sqlite_url) as journal:
        came(journal, incoming(naming.asaas.has_customer()["id"]))
        naming.asaas.faults.answers(503, path="/v3", times=1)

        assert naming.turn(journal) == 0
        assert naming.turn(journal) == 1


def test_names_leave_half_of_the_quota_to_events(sqlite_url: str, naming: Naming) -> None:
    """Of a quota of four requests the task takes two."""
    with opened_journal(sqlite_url) as journal:
        came(journal, *(incoming(naming.asaas.has_customer()["id"]) for _ in range(4)))

        assert naming.turn(journal, quota=4) == 2


def test_what_is_not_processed_yet_is_left_to_the_mappings(sqlite_url: str, naming: Naming) -> None:
    """They may ask for the same customer in this moment."""
    with opened_journal(sqlite_url) as journal:
        keep(journal, incoming(naming.asaas.has_customer()["id"]))

        assert naming.turn(journal) == 0


def test_a_customer_that_was_erased_is_not_asked_for_again(sqlite_url: str, naming: Naming) -> None:
    """Its events are nobody's."""
    with opened_journal(sqlite_url) as journal:
        id_ = naming.asaas.has_customer(name="Ana Souza")["id"]
        came(journal, incoming(id_))
        assert naming.turn(journal) == 1
        with journal.database.write() as connection:
            privacy.erase(connection, [("default", id_)], Actor("operator Ana"), NOW_MS)

        assert naming.turn(journal) == 0
        assert known(journal) == {}
