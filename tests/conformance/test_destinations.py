"""Destinations in the journal: shared by all workers, known from the environment, paused and resumed."""

from __future__ import annotations

import threading
from dataclasses import replace

from bridge.journal import Journal, deliveries, destinations
from bridge.journal.deliveries import Deferral
from bridge.journal.destinations import Destination, url_digest
from bridge.model import Waiting, lane_of
from tests.factories import NOW_MS, acquire, owe, owed, register, row_of, transaction_of_one

URL = "https://functions-api.clint.digital/endpoints/integration/webhook/2f6a"


def load(journal: Journal, name: str = "default") -> Destination:
    """Read one destination."""
    with journal.database.read() as connection:
        return destinations.load(connection)[name]


def change(journal: Journal, before: Destination, after: Destination) -> bool:
    """Write a destination's state."""
    with journal.database.write() as connection:
        return destinations.save(connection, before, after)


def test_a_destination_of_the_environment_is_known(journal: Journal) -> None:
    """It begins closed; its URL is kept only as a hash, for the URL is a secret."""
    register(journal, default=URL, erp="https://erp.example")

    assert load(journal) == Destination("default", url_digest=url_digest(URL))
    assert URL not in str(load(journal))
    with journal.database.read() as connection:
        assert list(destinations.load(connection)) == ["default", "erp"]


def test_registering_again_changes_nothing(journal: Journal) -> None:
    """A process that starts leaves the circuit and a pause alone."""
    register(journal, default=URL)
    before = load(journal)
    failing = replace(before, state="open", failures=7, several=True, failed_subject="x", opens=2, until_ms=NOW_MS)
    assert change(journal, before, failing)
    with journal.database.write() as connection:
        destinations.pause(connection, "default", "gone", NOW_MS)
        assert destinations.register(connection, {"default": URL}, NOW_MS + 1) == []

    assert load(journal) == replace(failing, paused_ms=NOW_MS, paused_reason="gone")


def test_processes_that_start_at_once_register_once(journal: Journal) -> None:
    """Web, worker and sweeper of a fresh install start in the same moment: none of them fails."""
    errors: list[BaseException] = []
    ready = threading.Barrier(8)

    def start() -> None:
        ready.wait()
        try:
            register(journal, default=URL, erp="https://erp.example")
        except BaseException as error:  # noqa: BLE001 (a thread's error must fail the test)
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


def test_a_new_url_resumes_a_paused_destination(journal: Journal) -> None:
    """The integration was made anew in Clint: what waited goes out without a further command."""
    register(journal, default=URL)
    delivery_id = owe(journal)
    with journal.database.write() as connection:
        destinations.pause(connection, "default", "gone", NOW_MS)
        deliveries.defer(
            connection, [Deferral(owed(journal, delivery_id), NOW_MS + 9_000, Waiting.PAUSED, "code", "reason")]
        )
    with journal.database.write() as connection:
        assert destinations.register(connection, {"default": f"{URL}9"}, NOW_MS + 1) == ["default"]

    assert load(journal) == Destination("default", url_digest=url_digest(f"{URL}9"))
    assert row_of(journal, delivery_id)["due_ms"] == NOW_MS + 1


def test_a_new_url_of_a_destination_that_was_not_paused(journal: Journal) -> None:
    """The new URL is noted and nobody is told of a resume."""
    register(journal, default=URL)
    with journal.database.write() as connection:
        assert destinations.register(connection, {"default": f"{URL}9"}, NOW_MS) == []

    assert load(journal).url_digest == url_digest(f"{URL}9")


def test_a_resume_forgets_who_failed(journal: Journal) -> None:
    """Else one customer's next failure would count as that of a second one, and open the circuit for all."""
    register(journal)
    before = load(journal)
    assert change(journal, before, replace(before, failures=3, failed_subject="cus_1", several=True, opens=1))
    with journal.database.write() as connection:
        destinations.resume(connection, "default", NOW_MS)

    assert load(journal) == before


def test_of_two_workers_one_sends_the_probe(journal: Journal) -> None:
    """A circuit's state is written only over the one that was read."""
    register(journal)
    closed = load(journal)
    opened = replace(closed, state="open", until_ms=NOW_MS, opens=1)
    assert change(journal, closed, opened)
    probing = replace(opened, state="half_open", until_ms=NOW_MS + 11_000)

    assert change(journal, opened, probing)
    assert not change(journal, opened, probing)
    assert load(journal) == probing


def test_a_state_that_did_not_change_needs_no_write(journal: Journal) -> None:
    """The usual answer of a destination that works costs no row lock."""
    register(journal)
    before = load(journal)
    with journal.database.read() as connection:
        assert destinations.save(connection, before, replace(before))


def test_a_resume_waits_for_the_worker_that_just_read_the_pause(journal: Journal) -> None:
    """Else the worker could put a delivery off for an hour in the moment in which a person resumes."""
    register(journal)
    delivery_id = owe(journal)
    with journal.database.write() as connection:
        destinations.pause(connection, "default", "gone", NOW_MS)
    lease = acquire(journal.lanes, lane_of("default", "cus_1", journal.lane_count), "worker", NOW_MS)
    assert lease is not None

    def resume() -> None:
        with journal.database.write() as connection:
            destinations.resume(connection, "default", NOW_MS + 1)

    thread = threading.Thread(target=resume)
    chosen = owed(journal, delivery_id)
    with transaction_of_one(journal.lanes, lease, NOW_MS) as connection:
        assert destinations.load(connection)["default"].paused_ms is not None
        thread.start()
        thread.join(0.3)
        deliveries.defer(
            connection, [Deferral(chosen, NOW_MS + 3_600_000, Waiting.PAUSED, "destination.paused", "paused")]
        )
    thread.join()

    assert row_of(journal, delivery_id)["due_ms"] == NOW_MS + 1
