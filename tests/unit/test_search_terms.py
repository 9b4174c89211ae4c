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
    terms.written(fresh, *batch)
    assert terms.of(*batch) == []


def test_after_a_day_everything_is_written_again() -> None:
    """Retention may have removed it meanwhile."""
    terms = Terms(for_s=0)
    batch = [plan("pay_1", invoiceNumber="7")], [dict[str, object]()]
    fresh = terms.of(*batch)
    terms.written(fresh, *batch)

    assert terms.of(*batch) == fresh


def test_what_was_written_long_ago_is_forgotten() -> None:
    """The memory of a process is bounded; to write a term again does no harm."""
    terms = Terms(remembered=1)
    batch = [plan("pay_1", invoiceNumber="7")], [dict[str, object]()]
    first = terms.of(*batch)
    terms.written(first, *batch)
    other = [plan("pay_2", invoiceNumber="8")], [{"customer": None}]
    terms.written(terms.of(*other), *other)

    assert terms.of([plan("pay_1", invoiceNumber="7")], [AsaasRejected()]) == first


def test_a_customer_of_whom_nothing_new_is_said_is_not_looked_at_again() -> None:
    """Enrichment gives the same object for a while; what it fetches anew is looked at, and so is another customer."""
    terms = Terms(customers=1)
    ana = {"name": "Ana"}
    known = [plan("pay_1")], [{"customer": ana}]
    terms.written(terms.of(*known), *known)
    ana["name"] = "Bia"  # nobody changes it in truth: here it shows that the object is not read

    assert terms.of(*known) == []
    assert terms.of([plan("pay_1")], [{"customer": dict(ana)}]) == [Term("bia", Kind.SUBJECT, "default", "cus_1")]

    other = [plan("pay_2", "cus_2")], [{"customer": {"name": "Eva"}}]
    terms.written(terms.of(*other), *other)
    assert terms.of(*known) == [Term("bia", Kind.SUBJECT, "default", "cus_1")]
