"""The documented flows of a charge, through the shipped mappings into the simulated Clint: how the deal ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.mapping import Mapping, Setup, evaluate, read_directory
from bridge.mapping.catalogue import EVENTS
from bridge.mapping.context import build_context
from bridge.simulator.clint.account import INTEGRATIONS
from tests.simulated import ClintSimulator

ROOT = Path(__file__).parents[1] / "mappings"
SHIPPED = [one.mapping for one in read_directory(ROOT, Setup(None, None, ROOT)) if one.mapping]
SINGLE = [one for one in SHIPPED if one.enabled]
STAGED = [one for one in SHIPPED if one.name.startswith("exemplo_etapas_")]
NEW, OVERDUE, PAID, REFUNDED = ("Nova cobrança", "OPEN"), ("Vencida", "OPEN"), ("Paga", "WON"), ("Estornada", "LOST")

TODAY, LATER = "2026-08-08", "2026-09-30"
PAYMENT = json.loads((ROOT / "samples" / "payment_created_pix.json").read_bytes())["payment"]
CUSTOMER = json.loads((ROOT / "samples" / "customer_pf.json").read_bytes())
PAY = {"clientPaymentDate": TODAY, "paymentDate": TODAY}
UNPAY = {"clientPaymentDate": None, "paymentDate": None}

Step = tuple[str, str, dict[str, Any]]


def said(event: str, status: str, **changes: Any) -> Step:
    return f"PAYMENT_{event}", status, changes


CREATED = said("CREATED", "PENDING")
LATE = said("OVERDUE", "OVERDUE")
CARD = [said("CREATED", "PENDING", billingType="CREDIT_CARD"), said("CONFIRMED", "CONFIRMED", **PAY)]
DISPUTED = [
    *CARD,
    said("CHARGEBACK_REQUESTED", "CHARGEBACK_REQUESTED"),
    said("CHARGEBACK_DISPUTE", "CHARGEBACK_DISPUTE"),
    said("AWAITING_CHARGEBACK_REVERSAL", "AWAITING_CHARGEBACK_REVERSAL"),
]
PAID_PIX = [CREATED, said("RECEIVED", "RECEIVED", **PAY)]
IN_CASH = [CREATED, said("RECEIVED", "RECEIVED_IN_CASH", **PAY)]
REMOVED = said("DELETED", "PENDING", deleted=True)

FLOWS: dict[str, tuple[list[Step], tuple[str, str], str]] = {
    "Pix": (PAID_PIX, PAID, "Recebida"),
    "late Pix": ([CREATED, LATE, PAID_PIX[1]], PAID, "Recebida"),
    "boleto": ([CREATED, said("CONFIRMED", "CONFIRMED", **PAY), PAID_PIX[1]], PAID, "Recebida"),
    "overdue": ([CREATED, LATE], OVERDUE, "Vencida"),
    "card": ([*CARD, said("RECEIVED", "RECEIVED")], PAID, "Recebida"),
    "card captured at once": (
        [said("CREATED", "CONFIRMED", **PAY), said("CONFIRMED", "CONFIRMED")],
        PAID,
        "Confirmada",
    ),
    "card authorized": ([CREATED, said("AUTHORIZED", "AUTHORIZED")], NEW, "Autorizada"),
    "card refused": ([CREATED, said("CREDIT_CARD_CAPTURE_REFUSED", "PENDING")], NEW, "Cartão de crédito recusado"),
    "in risk analysis": (
        [CREATED, said("AWAITING_RISK_ANALYSIS", "AWAITING_RISK_ANALYSIS")],
        NEW,
        "Em análise de risco",
    ),
    "reproved by risk": (
        [said("CREATED", "AWAITING_RISK_ANALYSIS"), said("REPROVED_BY_RISK_ANALYSIS", "REFUNDED")],
        REFUNDED,
        "Reprovada na análise de risco",
    ),
    "in cash": (IN_CASH, PAID, "Recebida em dinheiro"),
    "cash undone": ([*IN_CASH, said("RECEIVED_IN_CASH_UNDONE", "PENDING", **UNPAY)], NEW, "Pendente"),
    "cash undone, late": ([*IN_CASH, said("RECEIVED_IN_CASH_UNDONE", "OVERDUE", **UNPAY)], OVERDUE, "Vencida"),
    "new due day": ([CREATED, LATE, said("UPDATED", "PENDING", dueDate=LATER, value=90)], NEW, "Pendente"),
    "new value, still overdue": ([CREATED, LATE, said("UPDATED", "OVERDUE", value=90)], OVERDUE, "Vencida"),
    "removed": ([CREATED, REMOVED], REFUNDED, "Removida"),
    "restored": ([CREATED, REMOVED, said("RESTORED", "PENDING", deleted=False)], NEW, "Pendente"),
    "restored, overdue": (
        [CREATED, LATE, said("DELETED", "OVERDUE", deleted=True), said("RESTORED", "OVERDUE", deleted=False)],
        OVERDUE,
        "Vencida",
    ),
    "dunning": ([CREATED, LATE, said("DUNNING_REQUESTED", "DUNNING_REQUESTED")], OVERDUE, "Em negativação"),
    "recovered by dunning": (
        [CREATED, LATE, said("DUNNING_RECEIVED", "DUNNING_RECEIVED", **PAY)],
        PAID,
        "Recuperada por negativação",
    ),
    "refunded": ([*PAID_PIX, said("REFUNDED", "REFUNDED")], REFUNDED, "Estornada"),
    "refunded in part": ([*PAID_PIX, said("PARTIALLY_REFUNDED", "RECEIVED")], PAID, "Estornada em parte"),
    "refund in progress": (
        [*PAID_PIX, said("REFUND_IN_PROGRESS", "REFUND_IN_PROGRESS")],
        REFUNDED,
        "Estorno em processamento",
    ),
    "refund denied": (
        [*PAID_PIX, said("REFUND_IN_PROGRESS", "REFUND_IN_PROGRESS"), said("REFUND_DENIED", "RECEIVED")],
        PAID,
        "Recebida",
    ),
    "chargeback won": ([*DISPUTED, said("RECEIVED", "RECEIVED")], PAID, "Recebida"),
    "chargeback lost": ([*DISPUTED, said("REFUNDED", "REFUNDED")], REFUNDED, "Estornada"),
}


def play(steps: list[Step], mappings: list[Mapping], **fetched: Any) -> tuple[ClintSimulator, dict[str, Any]]:
    """Send a charge's events through the mappings; return the Clint they reached, and the charge as it ended."""
    clint = ClintSimulator()
    crm = clint.app.test_client()
    payment, fetched = dict(PAYMENT), {"customer": CUSTOMER, **fetched}
    for event, status, changes in steps:
        payment |= {"status": status, **changes}
        context = build_context(event, "payment", {"payment": payment}, "default", "sandbox", fetched)
        heard = [one for one in mappings if one.listens_to(event) and evaluate.apply_filter(one, context).passed]
        assert len(heard) <= 1
        for mapping in heard:
            path = clint.receiver.integrations[INTEGRATIONS[mapping.destination(event)]].path
            assert crm.post(path, json=evaluate.build_payload(mapping, context)).status_code == 200
    return clint, payment


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("mappings", [SINGLE, STAGED], ids=["one integration", "one for each stage"])
def test_a_flow_leaves_the_deal_as_the_charge_is(flow: str, mappings: list[Mapping]) -> None:
    """What the last event means stands in the deal: situation, value, due day, payment day, and stage and status."""
    steps, place, situation = FLOWS[flow]
    clint, payment = play(steps, mappings)
    (deal,) = clint.deals

    assert (deal["stage"], deal["status"]) == (NEW if mappings is SINGLE else place)
    assert deal["fields"]["situacao"].removeprefix("Cobrança ").capitalize() == situation
    assert deal["value"] == payment["value"]
    assert deal["fields"]["vencimento"] == "/".join(reversed(payment["dueDate"].split("-")))
    paid = payment["clientPaymentDate"]
    assert deal["fields"]["pago_em"] == ("/".join(reversed(paid.split("-"))) if paid else "não pago")


def test_one_refunded_instalment_does_not_lose_the_plan() -> None:
    """The plan's deal stays paid and whole, and says which instalment was refunded; a removed one changes nothing."""
    plan = json.loads((ROOT / "samples" / "installment_2x.json").read_bytes())
    of_plan = {"installment": plan["id"], "installmentNumber": 2, "billingType": "CREDIT_CARD"}
    steps = [
        said("CREATED", "CONFIRMED", **of_plan, **PAY),
        said("CONFIRMED", "CONFIRMED"),
        said("REFUNDED", "REFUNDED"),
        said("DELETED", "REFUNDED", deleted=True),
    ]
    clint, _ = play(steps, STAGED, installment=plan)
    (deal,) = clint.deals

    assert (deal["stage"], deal["status"], deal["value"]) == (*PAID, plan["value"])
    assert deal["fields"]["situacao"] == "Parcela 2/2: Estornada"


WITHOUT_A_WORD_ON_THE_CHARGE = {
    *("PAYMENT_ANTICIPATED", "PAYMENT_BANK_SLIP_CANCELLED", "PAYMENT_BANK_SLIP_VIEWED", "PAYMENT_CHECKOUT_VIEWED"),
    *(name for name in EVENTS if name.startswith("PAYMENT_SPLIT_")),
}
"""Neither status nor value nor due day changes with them."""


def test_every_event_that_changes_a_charge_is_named() -> None:
    """An event is heard by the starters, or by chargeback.yaml, which waits for a stage of its own."""
    disputes = {name for one in SHIPPED if one.name == "chargeback" for name in one.events}
    events = {name for name in EVENTS if name.startswith("PAYMENT_")} - WITHOUT_A_WORD_ON_THE_CHARGE - disputes

    assert {name for name in EVENTS if any(one.listens_to(name) for one in SINGLE)} == events
    assert {name for name in EVENTS if any(one.listens_to(name) for one in STAGED)} == events
    assert {event for steps, _, _ in FLOWS.values() for event, _, _ in steps} >= events - {
        "PAYMENT_APPROVED_BY_RISK_ANALYSIS"  # what follows it, captured or not, tells more
    }
