"""What a batch writes for the console's search: each charge and customer once, as long as it is remembered."""

from __future__ import annotations

import json

from bridge.errors import AsaasRejected
from bridge.journal.events import KeptEvent
from bridge.journal.search import Kind, Term
from bridge.process import opened
from bridge.process.plan import Plan
from bridge.process.terms import Terms
from tests.factories import envelope, payment


def plan(charge: str, customer: str = "cus_1", **more: object) -> Plan:
    """Return the plan of an event of that charge, to which no mapping listens."""
    body = envelope(payment=payment(customer, id=charge, **more))
    event = KeptEvent(
        1, "default", body["id"], body["event"], "payment", charge, customer, 0, "", json.dumps(body), 0, 0, None
    )
    return opened(event, [], "sandbox")


def test_a_charge_and_its_customer_are_written_once() -> None:
    """The second event of the same charge has nothing to write once the first is in the journal."""
    terms = Terms()
    batch = [plan("pay_1", invoiceNumber="7")], [{"customer": {"name": "Ana", "email": "ana@example.com"}}]
    fresh = terms.of(*batch)

    assert fresh == [
        Term("7", Kind.OBJECT, "default", "pay_1"),
        Term("ana", Kind.SUBJECT, "default", "cus_1"),
        Term("ana@example.com", Kind.SUBJECT, "default", "cus_1"),
    ]
    assert terms.of(*batch) == fresh  # a commit that failed is made again
    terms.written(fresh)
    assert terms.of(*batch) == []


def test_after_a_day_everything_is_written_again() -> None:
    """Retention may have removed it meanwhile."""
    terms = Terms(for_s=0)
    batch = [plan("pay_1", invoiceNumber="7")], [dict[str, object]()]
    fresh = terms.of(*batch)
    terms.written(fresh)

    assert terms.of(*batch) == fresh


def test_what_was_written_long_ago_is_forgotten() -> None:
    """The memory of a process is bounded; to write a term again does no harm."""
    terms = Terms(remembered=1)
    first = terms.of([plan("pay_1", invoiceNumber="7")], [{}])
    terms.written(first)
    terms.written(terms.of([plan("pay_2", invoiceNumber="8")], [{"customer": None}]))

    assert terms.of([plan("pay_1", invoiceNumber="7")], [AsaasRejected()]) == first
