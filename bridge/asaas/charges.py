"""Makes, pays and removes a test customer and its charges by the Asaas API.

Relied on (docs criar-novo-cliente, criar-nova-cobranca, criar-uma-cobranca-parcelada, split-de-pagamentos,
acoes-em-sandbox, estornar-cobranca, remover-cliente, endpoints para simulação do fluxo de estorno):
`notificationDisabled` keeps Asaas from writing to the customer; `installmentCount` with `totalValue` makes a plan and
answers its first charge; `/sandbox/payment/{id}/confirm` pays, `/overdue` makes overdue and `/refund/confirm` completes
a refund that is pending, in the sandbox only; removing a customer removes its open charges. The caller judges whether
the account may be charged.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from stdnum.br import cpf

from bridge.asaas.client import AsaasClient, check_id
from bridge.errors import AsaasRejected, AsaasUnavailable
from bridge.messages import N_, _
from bridge.model import object_name, of_account

BILLING_WORDS = {
    "PIX": N_("Pix"),
    "BOLETO": N_("Boleto"),
    "CREDIT_CARD": N_("Credit card"),
    "UNDEFINED": N_("The payer chooses"),
}
BILLING_TYPES = tuple(BILLING_WORDS)
MOST_INSTALLMENTS = 21

_SPLIT = re.compile(r"([A-Za-z0-9-]{8,64}):([0-9]{1,9}(?:\.[0-9]{1,2})?)(%?)")


@dataclass(frozen=True, slots=True)
class Split:
    """The part of a charge for another wallet: a percentage, or a fixed value."""

    wallet: str
    amount: Decimal
    field: str
    """Of the amount: percentualValue or fixedValue."""

    @classmethod
    def parse(cls, text: str) -> Split:
        """Return the split of a text such as WALLET:20% or WALLET:10.50; raise ValueError.

        >>> Split.parse("c0c1688f-636b:20%")
        Split(wallet='c0c1688f-636b', amount=Decimal('20'), field='percentualValue')
        """
        found = _SPLIT.fullmatch(text.strip())
        number = Decimal(found[2]) if found else Decimal(0)
        if found is None or not number or (found[3] and number > 100):
            raise ValueError(_("must be like WALLET:20% (1 to 100) or WALLET:10.50"))
        return cls(found[1], number, "percentualValue" if found[3] else "fixedValue")


@dataclass(slots=True)
class ChargeRequest:
    billing_type: str
    value: Decimal
    due: str
    """Such as 2026-11-30."""
    installments: int = 1
    splits: Sequence[Split] = ()
    email: str = ""
    """A new one of example.com where it is empty."""
    phone: str = ""
    mark: str = field(default_factory=lambda: f"bridge-test-{secrets.token_hex(4)}")
    """A text of this test alone, in the customer's name and each external reference."""

    def __post_init__(self) -> None:
        self.email = self.email or f"{self.mark}@example.com"


@dataclass(frozen=True, slots=True)
class Charge:
    customer_id: str
    payment_ids: tuple[str, ...]
    """The charge, or those of all instalments, the first one first."""
    installment_id: str
    """Empty where there is no instalment plan."""
    invoice_url: str
    """The page where a person pays."""


class Charges:
    def __init__(self, api: AsaasClient) -> None:
        self._api = api

    def make_customer(self, order: ChargeRequest) -> str:
        """Make a customer to whom Asaas sends no messages; return its id."""
        body = {
            "name": f"TESTE da integração {order.mark}",
            "cpfCnpj": new_cpf(),
            "email": order.email,
            "externalReference": order.mark,
            "notificationDisabled": True,
            "observations": "Cliente de teste; pode ser removido.",
            **({"mobilePhone": order.phone} if order.phone else {}),
        }
        return str(self._made("customer", "/customers", body)["id"])

    def make_charge(self, customer_id: str, order: ChargeRequest) -> Charge:
        """Charge the customer; return the charge, or the charges of its instalment plan."""
        body: dict[str, Any] = {
            "customer": customer_id,
            "billingType": order.billing_type,
            "dueDate": order.due,
            "description": f"TESTE da integração {order.mark}",
            "externalReference": order.mark,
        }
        if order.installments > 1:
            body |= {"installmentCount": order.installments, "totalValue": float(order.value)}
        else:
            body["value"] = float(order.value)
        if order.splits:
            body["split"] = [{"walletId": one.wallet, one.field: float(one.amount)} for one in order.splits]
        made = self._made("payment", "/payments", body)
        first, plan = str(made["id"]), str(made.get("installment") or "")
        ids = self._ids_of_plan(plan, first) if plan else (first,)
        return Charge(customer_id, ids, plan, str(made.get("invoiceUrl") or ""))

    def pay(self, payment_id: str) -> str:
        """Let the sandbox pay a charge; return its new status."""
        return self._in_sandbox(payment_id, "confirm")

    def make_overdue(self, payment_id: str) -> str:
        """Let the sandbox make a charge overdue; return its new status."""
        return self._in_sandbox(payment_id, "overdue")

    def refund(self, payment_id: str, value: Decimal | None = None) -> str:
        """Refund a paid charge of the sandbox, or a part of it; return its new status."""
        check_id(self._api.account, "payment", payment_id)
        path = f"/payments/{payment_id}/refund"
        answer = self._api.post(path, {} if value is None else {"value": float(value)})
        if answer is None:
            raise AsaasRejected(N_("there is no such charge to refund, got 404"), where=f"POST {path}")
        refunds = answer.get("refunds")
        states = [one.get("status") for one in refunds if isinstance(one, dict)] if isinstance(refunds, list) else []
        if "PENDING" in states:
            return self._in_sandbox(payment_id, "refund/confirm")
        return str(answer.get("status") or "")

    def remove_charge(self, payment_id: str) -> None:
        """Remove an open charge; raise AsaasRejected for one that was paid."""
        check_id(self._api.account, "payment", payment_id)
        self._api.delete(f"/payments/{payment_id}")

    def customers_marked(self, mark: str) -> list[str]:
        """Return the ids of the customers that were made with this mark and still are there."""
        return self._listed("/customers", {"externalReference": mark, "limit": 100})

    def charges_of(self, customer_id: str) -> list[str]:
        """Return the ids of the customer's charges that are not removed, at most 100."""
        return self._listed("/payments", {"customer": customer_id, "limit": 100})

    def remove(self, charge: Charge) -> tuple[str, ...]:
        """Remove the customer and the open charges; return the charges that Asaas keeps, since they were paid."""
        kept = []
        for payment_id in charge.payment_ids:
            try:
                self._api.delete(f"/payments/{payment_id}")
            except AsaasRejected:
                kept.append(payment_id)
        self.remove_customer(charge.customer_id)
        return tuple(kept)

    def remove_customer(self, customer_id: str) -> None:
        self._api.delete(f"/customers/{customer_id}")

    def _in_sandbox(self, payment_id: str, action: str) -> str:
        check_id(self._api.account, "payment", payment_id)
        path = f"/sandbox/payment/{payment_id}/{action}"
        answer = self._api.post(path)
        if answer is None:
            raise AsaasRejected(N_("the sandbox has no such charge for this, got 404"), where=f"POST {path}")
        return str(answer.get("status") or "")

    def _listed(self, path: str, filters: Mapping[str, str | int]) -> list[str]:
        data = (self._api.get(path, filters) or {}).get("data")
        return [str(one["id"]) for one in data if isinstance(one, dict) and one.get("id")] if data else []

    def _ids_of_plan(self, plan: str, first: str) -> tuple[str, ...]:
        check_id(self._api.account, "installment", plan)
        # Not /installments/ID/payments: it has no documented limit, and a page has 10 by default.
        answer = self._api.get("/payments", {"installment": plan, "limit": 100}) or {}
        data = answer.get("data")
        found = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
        found.sort(key=lambda item: int(item.get("installmentNumber") or 0))
        return tuple(dict.fromkeys([first, *(str(item.get("id")) for item in found)]))

    def _made(self, name: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object and return it; raise AsaasUnavailable where the answer has no id."""
        made = self._api.post(path, body) or {}
        if not made.get("id"):
            text = N_("the answer to a new {name} must have an id, got none")
            raise AsaasUnavailable(text, where=of_account(self._api.account), name=object_name(name))
        check_id(self._api.account, name, str(made["id"]))
        return made


def new_cpf() -> str:
    """Return a random CPF with right check digits; it may be a real person's by chance.

    >>> cpf.is_valid(new_cpf())
    True
    """
    base = 100_000_000 + secrets.randbelow(900_000_000)
    return next(f"{base}{end:02}" for end in range(100) if cpf.is_valid(f"{base}{end:02}"))
