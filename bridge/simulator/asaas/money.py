"""Fees, and the division of a total into instalments, as seen on the sandbox."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
FLAT_FEE = Decimal("1.99")
"""Pix, boleto and undecided charges."""
CARD_FIXED_FEE = Decimal("0.49")


def _card_share(instalments: int) -> Decimal:
    if instalments == 1:
        return Decimal("0.0299")
    if instalments <= 6:
        return Decimal("0.0349")
    return Decimal("0.0399") if instalments <= 12 else Decimal("0.0429")


def net_value(billing_type: str, value: float, instalments: int = 1) -> float:
    """Take the fee off a charge; each part of a card's fee is cut to whole cents."""
    amount = Decimal(str(value))
    if billing_type == "CREDIT_CARD":
        fee = (amount * _card_share(instalments)).quantize(CENT, ROUND_DOWN)
        fee += (CARD_FIXED_FEE / instalments).quantize(CENT, ROUND_DOWN)
    else:
        fee = FLAT_FEE
    return float((amount - fee).quantize(CENT, ROUND_HALF_UP))


def instalment_values(total: float, count: int) -> list[float]:
    """Divide a total; what does not divide evenly goes to the last instalment.

    >>> instalment_values(350.00, 12)[-2:]
    [29.16, 29.24]
    """
    amount = Decimal(str(total))
    each = (amount / count).quantize(CENT, ROUND_DOWN)
    return [float(each)] * (count - 1) + [float(amount - each * (count - 1))]


def whole_or_float(value: float) -> int | float:
    """Write 100.0 as 100, as the API does."""
    return int(value) if float(value).is_integer() else value
