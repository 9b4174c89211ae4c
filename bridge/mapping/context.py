"""Builds what expressions see: the event's object, what was fetched for it, and what only the bridge knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from bridge.mapping.catalogue import spellings
from bridge.mapping.model import FETCHABLE
from bridge.mapping.values import BadValue, as_day, as_decimal, brasilia_day

_CENT = Decimal("0.01")
_NOT_PAID_OUT = frozenset({"CANCELLED", "REFUNDED"})
_DONE = "DONE"


@dataclass(frozen=True, slots=True)
class Derived:
    """One name that expressions see beside the objects."""

    name: str
    help: str
    work_out: Callable[[Mapping[str, Any], Mapping[str, Any], str], Any]
    """Takes the charge, the instalment plan (empty where it was not fetched) and today."""
    needs: frozenset[str] = frozenset()
    """What must be fetched for it."""


def derive(charge: Mapping[str, Any], fetched: Mapping[str, Any], today: str, names: frozenset[str]) -> dict[str, Any]:
    """Return those derived values of a charge."""
    found = fetched.get("installment")
    plan = found if isinstance(found, dict) else {}
    values = {}
    for name in names:
        try:
            values[name] = DERIVED[name].work_out(charge, plan, today)
        except (BadValue, ArithmeticError):
            values[name] = None
    return values


def needs_of(names: frozenset[str]) -> frozenset[str]:
    """Return what must be fetched for those of the names that are derived."""
    return frozenset[str]().union(*(DERIVED[name].needs for name in names & DERIVED.keys()))


def _net_of_splits(charge: Mapping[str, Any], _plan: Mapping[str, Any], _today: str) -> float:
    net = _number(charge.get("netValue"))
    shares = (_share(part, net, charge) for part in _objects(charge.get("split")))
    return amount(net - sum(shares, Decimal(0)))


def _share(part: Mapping[str, Any], net: Decimal, charge: Mapping[str, Any]) -> Decimal:
    if part.get("status") in _NOT_PAID_OUT:
        return Decimal(0)
    if part.get("totalValue") is not None:
        return _number(part["totalValue"])
    if part.get("totalFixedValue") is not None and charge.get("installment"):
        raise BadValue("is the share of a whole plan")  # how much of it this instalment bears is not said
    fixed = next((part[name] for name in ("fixedValue", "totalFixedValue") if part.get(name) is not None), 0)
    percent = part.get("percentualValue")
    # Asaas takes the percentage from the net value.
    return _number(fixed) + net * _number(0 if percent is None else percent) / 100


def _refunded_total(charge: Mapping[str, Any], _plan: Mapping[str, Any], _today: str) -> float | None:
    refunds = [_number(one.get("value")) for one in _objects(charge.get("refunds")) if one.get("status") == _DONE]
    if not refunds and charge.get("status") == "REFUNDED":
        return amount(_number(charge.get("value")))
    return amount(sum(refunds, Decimal(0))) if "refunds" in charge else None


def _plan_total(_charge: Mapping[str, Any], plan: Mapping[str, Any], _today: str) -> float:
    return amount(_number(plan.get("value")))


def _position(charge: Mapping[str, Any], plan: Mapping[str, Any], _today: str) -> str | None:
    number, count = charge.get("installmentNumber"), plan.get("installmentCount")
    return f"{number}/{count}" if isinstance(number, int) and isinstance(count, int) else None


def _days_overdue(charge: Mapping[str, Any], _plan: Mapping[str, Any], today: str) -> int:
    ended = charge.get("clientPaymentDate") or charge.get("paymentDate") or today
    return max(0, (as_day(ended) - as_day(charge.get("dueDate"))).days)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: Any) -> Decimal:
    if isinstance(value, (bool, str)):
        raise BadValue("takes a number")
    return as_decimal(value)


def amount(value: Decimal) -> float:
    """Return an amount rounded to cents, half a cent up; a zero without a sign."""
    return float(value.quantize(_CENT, ROUND_HALF_UP) + 0)


_PLAN = frozenset({"installment"})

DERIVED: Mapping[str, Derived] = {
    one.name: one
    for one in (
        Derived("net_of_splits", "o valor líquido da cobrança menos o que vai para os splits", _net_of_splits),
        Derived("refunded_total", "quanto da cobrança foi estornado, também em partes", _refunded_total),
        Derived("plan_total", "o total do parcelamento (busca o parcelamento)", _plan_total, _PLAN),
        Derived("installment_position", "a parcela, como `2/12` (busca o parcelamento)", _position, _PLAN),
        Derived("days_overdue", "dias de atraso até o pagamento, ou até hoje; 0 em dia", _days_overdue),
    )
}
"""The derived values by name. They are there for events of a charge; in others they are null."""


ENVELOPE = "envelope"
FEE = "fee"
WORKED_OUT = frozenset({FEE, *DERIVED})
"""What is in no object, and must be worked out for whoever reads it."""


def build_context(
    event_name: str,
    entity_key: str,
    envelope: dict[str, Any],
    account: str,
    environment: str,
    fetched: dict[str, Any],
    *,
    today: str | None = None,
    derived: frozenset[str] = WORKED_OUT,
) -> dict[str, Any]:
    """Return the context of one event; `today` (yyyy-mm-dd) is the day in Brasília unless a test names another.

    `envelope` is the event as Asaas sent it, `entity_key` the key of its object.
    Of what is worked out it has those named: who knows what will be read spares the others.

    The event's own object wins over a fetched one of the same name, because it is what Asaas said in this event. An
    object that was looked for and does not exist is None in `fetched`, and null to expressions.
    """
    today = today or brasilia_day()
    found = envelope.get(entity_key)
    entity_object: dict[str, Any] = found if isinstance(found, dict) else {}
    context: dict[str, Any] = {
        **fetched,
        **derive(entity_object if entity_key == "payment" else {}, fetched, today, derived & DERIVED.keys()),
        "event": event_name,
        "account": account,
        "environment": environment,
        "today": today,
        ENVELOPE: envelope,
    }
    if FEE in derived:
        context[FEE] = _fee(entity_object)
    # Last, but never over the names above: an envelope whose only object is its `account` block has no entity.
    if entity_key and entity_key not in {"event", "account", "environment", "today", ENVELOPE, *WORKED_OUT}:
        context.update(dict.fromkeys(spellings(entity_key), entity_object))
    return context


def references(context: dict[str, Any]) -> dict[str, str]:
    """Return, for each fetchable name that the context lacks, the id of the object it stands for.

    An id is looked for in the event's object first and then in what was fetched, so that an anticipation leads over
    its payment to a customer when the caller asks again after fetching.
    """
    found: dict[str, str] = {}
    for holder in _holders(context):
        for name in FETCHABLE - context.keys() - found.keys():
            # Checkouts hold a whole `subscription` where others hold its id; Pix Automático says `customerId`.
            for key in (name, f"{name}Id"):
                value = holder.get(key)
                if isinstance(value, str) and value:
                    found.setdefault(name, value)
    return found


def _holders(context: dict[str, Any]) -> list[dict[str, Any]]:
    objects = {name: value for name, value in context.items() if isinstance(value, dict) and name != ENVELOPE}
    own = [value for name, value in reversed(objects.items()) if name not in FETCHABLE]
    # The event's own object was put in last.
    own_fetchable = [value for name, value in reversed(objects.items()) if name in FETCHABLE]
    return [*own, *own_fetchable]


def _fee(entity: dict[str, Any]) -> float | None:
    values = entity.get("value"), entity.get("netValue")
    if any(isinstance(value, (bool, str)) for value in values):
        return None
    try:
        return amount(as_decimal(values[0]) - as_decimal(values[1]))
    except (BadValue, ArithmeticError):
        return None
