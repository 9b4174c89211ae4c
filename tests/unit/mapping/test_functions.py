"""The functions of expressions, held to the tables in tests/compliance/functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jmespath import exceptions

from bridge.mapping.document import Scalar
from bridge.mapping.expressions import Expression, compile_expression, evaluate
from bridge.mapping.findings import Findings
from bridge.mapping.functions import FUNCTIONS, EvaluationFailed, Functions, arity

TABLES = Path(__file__).parents[2] / "compliance" / "functions"


def compiled(text: str) -> Expression:
    """Compile an expression that must be fine."""
    findings = Findings("x")
    expression = compile_expression(Scalar(1, 1, text, plain=True, inline=True), findings)
    assert expression is not None, [str(found) for found in findings.in_order()]
    return expression


def rows(table: str) -> list[dict[str, Any]]:
    """Return what stands in a table."""
    read: list[dict[str, Any]] = yaml.safe_load((TABLES / f"{table}.yaml").read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("table", sorted(path.stem for path in TABLES.glob("*.yaml")))
def test_expression_gives_what_its_table_says(table: str) -> None:
    """Every row of the tables holds: the result with its type, or the whole error."""
    for row in rows(table):
        expression = compiled(row["expression"])

        if "error" in row:
            with pytest.raises(EvaluationFailed) as caught:
                evaluate(expression, row.get("given", {}))
            assert str(caught.value) == row["error"], row
        else:
            result = evaluate(expression, row.get("given", {}))
            assert result == row["result"], row
            assert type(result) is type(row["result"]), row


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_example_in_the_guide_is_true(function: Any) -> None:
    """The example that the operator's guide prints gives the result that it prints."""
    assert str(evaluate(compiled(function.example), {})) == function.gives


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_at_least_ten_rows(name: str) -> None:
    """No function is held by a thin table."""
    assert len(rows(name)) >= 10


def test_arity_knows_both_tables() -> None:
    """Argument counts come from the bridge's table and from JMESPath's own, variadic ones without an end."""
    assert arity("date") == (2, 2)
    assert arity("length") == (1, 1)
    assert arity("merge") == (1, None)
    assert arity("nope") is None


def test_fault_of_python_inside_a_function_does_not_come_out() -> None:
    """JMESPath's own functions raise whatever Python does; the error names only its kind."""
    with pytest.raises(EvaluationFailed, match=r"can't be evaluated \(ValueError\)"):
        evaluate(compiled("ceil(x)"), {"x": float("nan")})


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=12))
def test_cnpj_with_letters_has_the_check_digits_of_the_rule(base: str) -> None:
    """IN RFB 2.229/2024: modulo 11 as before, each character worth its ASCII code less 48; only the two digits are not.

    Worked out here by itself, so that the library's idea of the rule is held to the rule.
    """
    whole = base
    for _ in range(2):
        weights = [2 + place % 8 for place in range(len(whole))][::-1]
        rest = sum((ord(one) - 48) * weight for one, weight in zip(whole, weights, strict=True)) % 11
        whole += str(0 if rest < 2 else 11 - rest)
    written = f"{whole[:2]}.{whole[2:5]}.{whole[5:8]}/{whole[8:12]}-{whole[12:]}"
    wrong = whole[:-1] + str((int(whole[-1]) + 1) % 10)

    if len(set(whole)) > 1:
        assert evaluate(compiled("cpf_cnpj(x)"), {"x": whole.lower()}) == written
    assert evaluate(compiled("cpf_cnpj(x)"), {"x": wrong}) == wrong


def test_join_leaves_what_is_no_list_of_texts_to_jmespath() -> None:
    """Its size is not counted; the error says what it takes."""
    with pytest.raises(exceptions.JMESPathTypeError):
        Functions().call_function("join", [1, ["a"]])
