"""What happens to charges in the simulated Asaas, and the events that tell of it."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest

from bridge.simulator.asaas.customers import is_cpf_or_cnpj, is_phone
from bridge.simulator.asaas.rules import BRASILIA, Missing, Refusal
from tests.simulated import AsaasSimulator

CARD: dict[str, Any] = {"creditCard": {"number": "5162306219378829"}}
TUESDAY = datetime(2026, 7, 14, 12, 0, tzinfo=BRASILIA)


def told(asaas: AsaasSimulator) -> list[tuple[str, str]]:
    """Give name and status of every event about a charge."""
    bodies = [json.loads(event.body) for event in asaas.book.events]
    return [(body["event"], body["payment"]["status"]) for body in bodies if "payment" in body]


def refused(asaas: AsaasSimulator, **fields: Any) -> str:
    """Give the code with which a charge is refused."""
    given = {"billingType": "PIX", "value": 10, "dueDate": asaas.book.today().isoformat(), **fields}
    with pytest.raises(Refusal) as refusal:
        asaas.payments.create(given)
    return refusal.value.code


def test_a_charges_id_has_the_form_of_november_2026(asaas: AsaasSimulator) -> None:
    """Its events name it so too."""
    charge = asaas.has_payment(asaas.has_customer())["id"]

    assert re.fullmatch(r"pay_1_[a-z0-9]{16}", charge)
    assert json.loads(asaas.book.events[0].body)["payment"]["id"] == charge


def test_pix_is_received_at_once(asaas: AsaasSimulator) -> None:
    """A Pix goes from created to received, never over confirmed, and gets its Pix transaction."""
    charge = asaas.has_payment(asaas.has_customer())
    paid = asaas.is_paid(charge["id"])

    assert told(asaas) == [("PAYMENT_CREATED", "PENDING"), ("PAYMENT_RECEIVED", "RECEIVED")]
    assert charge["pixTransaction"] is None
    assert "pixQrCodeId" not in charge
    assert paid["pixTransaction"]
    assert paid["pixQrCodeId"]


def test_late_boleto_is_confirmed_then_received(asaas: AsaasSimulator) -> None:
    """A boleto that is paid late goes over overdue and confirmed to received."""
    charge = asaas.has_payment(asaas.has_customer(), billing_type="BOLETO")["id"]
    asaas.is_overdue(charge)
    asaas.is_paid(charge)

    assert told(asaas) == [
        ("PAYMENT_CREATED", "PENDING"),
        ("PAYMENT_OVERDUE", "OVERDUE"),
        ("PAYMENT_CONFIRMED", "CONFIRMED"),
        ("PAYMENT_RECEIVED", "RECEIVED"),
    ]


def test_undecided_charge_becomes_what_it_is_paid_with(asaas: AsaasSimulator) -> None:
    """An UNDEFINED charge is a boleto after payment, or what the payer chose, with that way's fee."""
    customer = asaas.has_customer()
    boleto = asaas.is_paid(asaas.has_payment(customer, billing_type="UNDEFINED")["id"])
    card = asaas.is_paid(asaas.has_payment(customer, billing_type="UNDEFINED")["id"], "CREDIT_CARD")

    assert boleto["billingType"] == "BOLETO"
    assert (card["billingType"], card["status"], card["netValue"]) == ("CREDIT_CARD", "CONFIRMED", 96.52)


def test_card_charge_is_confirmed_and_received_later(asaas: AsaasSimulator) -> None:
    """A card charge is confirmed by its payment and received when its money comes."""
    charge = asaas.has_payment(asaas.has_customer(), billing_type="CREDIT_CARD")["id"]
    asaas.is_paid(charge)
    asaas.payments.receive(charge)

    assert [name for name, _ in told(asaas)] == ["PAYMENT_CREATED", "PAYMENT_CONFIRMED", "PAYMENT_RECEIVED"]


def test_receipt_in_cash_and_back(asaas: AsaasSimulator) -> None:
    """Received in cash is PAYMENT_RECEIVED with its own status, no fee and an unchanged billing type."""
    charge = asaas.has_payment(asaas.has_customer(), 50, "BOLETO", split=[{"walletId": "w", "fixedValue": 5}])["id"]
    paid = asaas.payments.receive_in_cash(charge, {"paymentDate": "2026-11-01", "value": 50})
    back = asaas.payments.undo_received_in_cash(charge)

    assert (paid["status"], paid["billingType"], paid["netValue"]) == ("RECEIVED_IN_CASH", "BOLETO", 50)
    assert (paid["paymentDate"], paid["creditDate"]) == ("2026-11-01", None)
    assert paid["split"][0]["cancellationReason"] == "PAYMENT_RECEIVED_IN_CASH"
    assert (back["status"], back["paymentDate"], back["netValue"]) == ("PENDING", None, 48.01)
    assert [name for name, _ in told(asaas)][-2:] == ["PAYMENT_RECEIVED", "PAYMENT_RECEIVED_IN_CASH_UNDONE"]


def test_refund_in_parts(asaas: AsaasSimulator) -> None:
    """A partial refund leaves the status, the rest makes it REFUNDED, and more than was paid is refused."""
    charge = asaas.has_payment(asaas.has_customer(), split=[{"walletId": "w", "percentualValue": 10}])["id"]
    asaas.is_paid(charge)
    asaas.is_refunded(charge, 30)
    with pytest.raises(Refusal, match="invalid_value"):
        asaas.is_refunded(charge, 80)
    whole = asaas.is_refunded(charge)

    assert told(asaas)[-2:] == [("PAYMENT_PARTIALLY_REFUNDED", "RECEIVED"), ("PAYMENT_REFUNDED", "REFUNDED")]
    assert [refund["value"] for refund in whole["refunds"]] == [30, 70]
    assert whole["split"][0]["status"] == "REFUNDED"
    assert asaas.payments.refunds(charge)["totalCount"] == 2


def test_refund_of_a_boleto_is_pending_until_it_is_confirmed(asaas: AsaasSimulator) -> None:
    """Asaas pays it back by a bank transfer; the sandbox has an action that completes it."""
    charge = asaas.has_payment(asaas.has_customer(), billing_type="BOLETO")["id"]
    asaas.is_paid(charge)
    asked = asaas.is_refunded(charge)
    with asaas.book.lock:
        done = asaas.payments.confirm_refund(charge)
    with pytest.raises(Refusal, match="invalid_action"):
        asaas.payments.confirm_refund(charge)

    assert (asked["status"], asked["refunds"][0]["status"]) == ("REFUND_REQUESTED", "PENDING")
    assert (done["status"], done["refunds"][0]["status"]) == ("REFUNDED", "DONE")
    assert told(asaas)[-2:] == [("PAYMENT_RECEIVED", "RECEIVED"), ("PAYMENT_REFUNDED", "REFUNDED")]


def test_removed_charge_keeps_its_status_and_comes_back(asaas: AsaasSimulator) -> None:
    """A removed charge is PENDING and deleted, leaves the lists, cannot be paid, and can be restored once."""
    charge = asaas.has_payment(asaas.has_customer(), split=[{"walletId": "w", "fixedValue": 5}])["id"]
    asaas.is_deleted(charge)

    removed = asaas.payments.get(charge)
    assert (removed["deleted"], removed["status"]) == (True, "PENDING")
    assert removed["split"][0]["status"] == "CANCELLED"
    assert asaas.payments.listed({})["totalCount"] == 0
    with pytest.raises(Refusal, match="invalid_action"):
        asaas.is_paid(charge)

    restored = asaas.payments.restore(charge)
    assert (restored["deleted"], restored["split"][0]["status"]) == (False, "PENDING")
    with pytest.raises(Refusal, match="invalid_action"):
        asaas.payments.restore(charge)


def test_change_of_value_and_due_day(asaas: AsaasSimulator) -> None:
    """Changing an overdue charge to a later day makes it pending again and says PAYMENT_UPDATED."""
    charge = asaas.has_payment(asaas.has_customer())["id"]
    asaas.is_overdue(charge)
    changed = asaas.payments.update(charge, {"value": 80, "dueDate": "2099-01-31", "description": "outro"})
    late = asaas.payments.update(charge, {"dueDate": "2020-01-31"})

    assert (changed["value"], changed["netValue"], changed["status"]) == (80, 78.01, "PENDING")
    assert (changed["dueDate"], changed["description"]) == ("2099-01-31", "outro")
    assert late["dueDate"] == "2020-01-31"
    assert told(asaas)[-1][0] == "PAYMENT_UPDATED"


def test_overdue_receipt_is_undone_to_overdue() -> None:
    """Undoing a receipt in cash of a charge whose due day has passed makes it overdue."""
    now = TUESDAY
    asaas = AsaasSimulator(clock=lambda: now)
    charge = asaas.has_payment(asaas.has_customer(), billing_type="BOLETO")["id"]
    asaas.payments.receive_in_cash(charge, {})
    now = datetime(2026, 12, 1, tzinfo=BRASILIA)

    assert asaas.payments.undo_received_in_cash(charge)["status"] == "OVERDUE"


def test_settled_split_is_told(asaas: AsaasSimulator) -> None:
    """When a charge with splits is received, each split has its own PAYMENT_SPLIT_DONE that names it."""
    split = [{"walletId": "a", "percentualValue": 20}, {"walletId": "b", "fixedValue": 5}]
    charge = asaas.has_payment(asaas.has_customer(), split=split)
    asaas.is_paid(charge["id"])
    done = [json.loads(event.body) for event in asaas.book.events if event.name == "PAYMENT_SPLIT_DONE"]

    assert [part["totalValue"] for part in charge["split"]] == [19.6, 5]
    assert [body["additionalInfo"]["splitId"] for body in done] == [part["id"] for part in charge["split"]]


def test_dispute_of_a_card_charge(asaas: AsaasSimulator) -> None:
    """A disputed charge says so in its status; the event carries status and reason only."""
    charge = asaas.has_payment(asaas.has_customer(), billing_type="CREDIT_CARD", **CARD)["id"]
    asaas.payments.disputes(charge, "FRAUD")
    body = json.loads(asaas.book.events[-1].body)["payment"]

    assert body["status"] == "CHARGEBACK_REQUESTED"
    assert body["chargeback"] == {"status": "REQUESTED", "reason": "FRAUD"}


def test_only_what_can_happen_happens(asaas: AsaasSimulator) -> None:
    """A paid charge cannot fall due, be paid again or be removed; a pending one cannot be refunded."""
    customer = asaas.has_customer()
    paid, pending = (asaas.has_payment(customer)["id"] for _ in range(2))
    asaas.is_paid(paid)
    for wrong in (asaas.is_overdue, asaas.is_paid, asaas.is_deleted):
        with pytest.raises(Refusal, match="invalid_action"):
            wrong(paid)
    with pytest.raises(Refusal, match="invalid_action"):
        asaas.is_refunded(pending)
    with pytest.raises(Missing):
        asaas.is_paid("pay_0")


def test_wrong_charges_are_refused(asaas: AsaasSimulator) -> None:
    """Each fault of a charge has its code, and only the first is told."""
    customer = asaas.has_customer()["id"]

    assert refused(asaas) == "invalid_customer"
    assert refused(asaas, customer=customer, billingType="CASH") == "invalid_billingType"
    assert refused(asaas, customer=customer, value=0) == "invalid_value"
    assert refused(asaas, customer=customer, value="x") == "invalid_value"
    assert refused(asaas, customer=customer, dueDate="amanhã") == "invalid_dueDate"
    assert refused(asaas, customer=customer, dueDate="2020-01-01") == "invalid_dueDate"
    assert refused(asaas, customer=customer, description="x" * 501) == "invalid_description"
    assert refused(asaas, customer=customer, split=[{"fixedValue": 1}]) == "invalid_split"
    assert refused(asaas, customer=customer, installmentCount=1) == "invalid_installmentCount"
    assert refused(asaas, customer=customer, installmentCount=22) == "invalid_installmentCount"


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ("24971563792", True),
        ("24971563793", False),
        ("11111111111", False),
        ("11222333000181", True),
        ("11222333000182", False),
        ("00000000000000", False),
        ("123", False),
    ],
)
def test_documents_are_checked_by_their_digits(document: str, valid: bool) -> None:
    """A CPF or CNPJ passes only with the right check digits."""
    assert is_cpf_or_cnpj(document) is valid


def test_customers_are_checked_and_changed(asaas: AsaasSimulator) -> None:
    """A customer needs a name and a phone that is not made up, can be a company, be changed and be removed."""
    company = asaas.has_customer(cpfCnpj="11.222.333/0001-81", email=None, mobilePhone=None)
    changed = asaas.customers.update(company["id"], {"email": "loja@example.com", "deleted": True})
    asaas.customers.delete(company["id"])

    assert (company["personType"], company["cpfCnpj"], company["email"]) == ("JURIDICA", "11222333000181", None)
    assert (changed["email"], changed["deleted"]) == ("loja@example.com", False)
    assert asaas.customers.get(company["id"])["deleted"] is True
    assert asaas.customers.listed({})["totalCount"] == 0
    assert refused(asaas, customer=company["id"]) == "invalid_customer"
    assert not is_phone("47999999999")
    with pytest.raises(Refusal, match="invalid_name"):
        asaas.has_customer(name="")
    with pytest.raises(Refusal, match="invalid_mobilePhone"):
        asaas.has_customer(mobilePhone="47999999999")
    with pytest.raises(Missing):
        asaas.customers.update("cus_0", {})


def test_same_seed_gives_the_same_account() -> None:
    """Two simulators with one seed and one clock give out the same ids; another seed gives others."""

    def make(seed: int) -> str:
        asaas = AsaasSimulator(seed=seed, clock=lambda: TUESDAY)
        return str(asaas.has_payment(asaas.has_customer())["id"])

    assert make(1) == make(1)
    assert make(1) != make(2)
