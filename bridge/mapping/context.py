"""The context of expressions: the event's object, the objects fetched for it and the values that the bridge derives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bridge.mapping.catalogue import spellings
from bridge.mapping.model import FETCHABLE
from bridge.mapping.values import BadValue, as_day, as_decimal, brasilia_day, cents, or_none

_NOT_PAID_OUT = frozenset({"CANCELLED", "REFUNDED"})


@dataclass(frozen=True, slots=True)
class Derived:
    """A value that the bridge derives from a charge; expressions read it by its name."""

    name: str
    help: str
    derive: Callable[[Mapping[str, Any], Mapping[str, Any], str], Any]
    """A function of the charge, the instalment plan (empty where it was not fetched) and today."""
    needs: frozenset[str] = frozenset()
    """The objects that it needs from Asaas."""


def _derive(names: frozenset[str], charge: Mapping[str, Any], plan: Mapping[str, Any], today: str) -> dict[str, Any]:
    values = {}
    for name in names:
        try:
            values[name] = DERIVED[name].derive(charge, plan, today)
        except (BadValue, ArithmeticError):
            values[name] = None
    return values


def needs_of(names: frozenset[str]) -> frozenset[str]:
    """Return the objects that the derived values among the names need from Asaas."""
    return frozenset[str]().union(*(DERIVED[name].needs for name in names & DERIVED.keys()))


def _net_of_splits(charge: Mapping[str, Any], _plan: Mapping[str, Any], _today: str) -> float:
    net = _number(charge.get("netValue"))
    shares = (_share(part, net, charge) for part in _objects(charge.get("split")))
    return float(cents(net - sum(shares, Decimal(0))))


def _share(part: Mapping[str, Any], net: Decimal, charge: Mapping[str, Any]) -> Decimal:
    if part.get("status") in _NOT_PAID_OUT:
        return Decimal(0)
    if part.get("totalValue") is not None:
        return _number(part["totalValue"])
    if part.get("totalFixedValue") is not None and charge.get("installment"):
        raise BadValue  # a share of the whole plan: Asaas does not say how much of it this instalment pays
    fixed = next((part[name] for name in ("fixedValue", "totalFixedValue") if part.get(name) is not None), 0)
    percent = part.get("percentualValue")
    # Asaas takes the percentage from the net value.
    return _number(fixed) + net * _number(0 if percent is None else percent) / 100


def _refunded_total(charge: Mapping[str, Any], _plan: Mapping[str, Any], _today: str) -> float | None:
    refunds = [_number(one.get("value")) for one in _objects(charge.get("refunds")) if one.get("status") == "DONE"]
    if not refunds and charge.get("status") == "REFUNDED":
        return float(cents(_number(charge.get("value"))))
    return float(cents(sum(refunds, Decimal(0)))) if "refunds" in charge else None


def _position(charge: Mapping[str, Any], plan: Mapping[str, Any], _today: str) -> str | None:
    number, count = charge.get("installmentNumber"), plan.get("installmentCount")
    return f"{number}/{count}" if isinstance(number, int) and isinstance(count, int) else None


def _days_overdue(charge: Mapping[str, Any], _plan: Mapping[str, Any], today: str) -> int:
    ended = charge.get("clientPaymentDate") or charge.get("paymentDate") or today
    return max(0, (as_day(ended) - as_day(charge.get("dueDate"))).days)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: Any) -> Decimal:
    if isinstance(value, (bool, str)):
        raise BadValue
    return as_decimal(value)


def _fee(entity: Mapping[str, Any]) -> float:
    return float(cents(_number(entity.get("value")) - _number(entity.get("netValue"))))


_PLAN = frozenset({"installment"})

DERIVED: Mapping[str, Derived] = {
    one.name: one
    for one in (
        Derived("net_of_splits", "o valor líquido da cobrança menos o que vai para os splits", _net_of_splits),
        Derived("refunded_total", "quanto da cobrança foi estornado, também em partes", _refunded_total),
        Derived(
            "plan_total",
            "o total do parcelamento (busca o parcelamento)",
            lambda _charge, plan, _today: float(cents(_number(plan.get("value")))),
            _PLAN,
        ),
        Derived("installment_position", "a parcela, como `2/12` (busca o parcelamento)", _position, _PLAN),
        Derived("days_overdue", "dias de atraso até o pagamento, ou até hoje; 0 em dia", _days_overdue),
    )
}
"""The derived values by name; null for an event that is about no charge."""


ENVELOPE = "envelope"
FEE = "fee"
WORKED_OUT = frozenset({FEE, *DERIVED})
"""Names that no object holds."""


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
    """Return the context of one event.

    `envelope` is the event as Asaas sent it, `entity_key` the key of its object. `today` (yyyy-mm-dd) is the day in
    Brasília unless a test names another; `derived` bounds the derived values to those that the mapping reads.
    The event's own object wins over a fetched one of the same name. An object that Asaas does not have is None in
    `fetched`, and null to expressions.
    """
    today = today or brasilia_day()
    entity_object, plan = _object(envelope.get(entity_key)), _object(fetched.get("installment"))
    charge = entity_object if entity_key == "payment" else {}
    context: dict[str, Any] = {
        **fetched,
        **_derive(derived & DERIVED.keys(), charge, plan, today),
        "event": event_name,
        "account": account,
        "environment": environment,
        "today": today,
        ENVELOPE: envelope,
    }
    if FEE in derived:
        context[FEE] = or_none(_fee, entity_object)
    # Never over the names above: an envelope whose only object is its `account` block has no entity.
    if entity_key and entity_key not in {"event", "account", "environment", "today", ENVELOPE, *WORKED_OUT}:
        context.update(dict.fromkeys(spellings(entity_key), entity_object))
    return context


def references(context: dict[str, Any]) -> dict[str, str]:
    """Return the id of each fetchable object that the context lacks, by name.

    The event's object is searched first, then the fetched ones, so that an anticipation leads over its payment to a
    customer when the caller asks again after fetching.
    """
    # An object of the event before one that is fetchable; of several the event's own, which was put in last.
    names = [name for name in reversed(context) if isinstance(context[name], dict) and name != ENVELOPE]
    found: dict[str, str] = {}
    for holder in [context[name] for name in sorted(names, key=FETCHABLE.__contains__)]:
        for name in FETCHABLE - context.keys() - found.keys():
            # Checkouts hold a whole `subscription` where others hold its id; Pix Automático says `customerId`.
            for key in (name, f"{name}Id"):
                value = holder.get(key)
                if isinstance(value, str) and value:
                    found.setdefault(name, value)
    return found
