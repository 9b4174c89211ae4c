"""Which paths of the context an expression reads."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest

from bridge.mapping.expressions import Reading


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("payment.value", {"payment.value"}),
        ("customer", {"customer"}),
        ("phone(customer.mobilePhone || customer.phone)", {"customer.mobilePhone", "customer.phone"}),
        ("payment.deleted && 'x' || customer.name", {"payment.deleted", "customer.name"}),
        ("!(payment.deleted)", {"payment.deleted"}),
        ("payment.value > fee", {"payment.value", "fee"}),
        ("payment.split[0].walletId", {"payment.split.[].walletId"}),
        ("payment.split[1:3].id", {"payment.split.[].id"}),
        ("payment.split[1:3]", {"payment.split.[]"}),
        ("payment.split[].walletId", {"payment.split.[].walletId"}),
        ("payment.split[?status == 'DONE'].id", {"payment.split.[].status", "payment.split.[].id"}),
        ("payment.*.value", {"payment.*.value"}),
        ("payment.split[*].{a: walletId, b: [id]}", {"payment.split.[].walletId", "payment.split.[].id"}),
        ("payment | value", {"payment.value"}),
        ("@.payment.value", {"payment.value"}),
        ("@", {""}),
        ("keys(@)", {""}),
        ("default(customer, payment).name", {"customer.name", "payment.name"}),
        ("sort_by(payment.split, &fixedValue)[0].id", {"payment.split.[].fixedValue", "payment.split.[].id"}),
        ("max_by(payment.refunds, &value).status", {"payment.refunds.[].value", "payment.refunds.[].status"}),
        ("map(&walletId, payment.split)", {"payment.split.[].walletId"}),
        ("length(payment.split || `[]`) == `0`", {"payment.split"}),
        ("reverse(@)", {""}),
        ("sort()", set()),
        ("`1`", set()),
    ],
)
def test_paths_are_those_that_the_interpreter_walks(expression: str, paths: set[str]) -> None:
    """Every path ends where the expression stops looking; the empty one is the whole context."""
    parsed: Any = jmespath.compile(expression).parsed

    assert {".".join(path) for path in Reading(parsed).paths} == paths
