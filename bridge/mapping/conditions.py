"""Builds the filter of a mapping from its nodes, and says what could not be compared."""

from __future__ import annotations

import re
from typing import Literal

from bridge.mapping import dates, patterns, sense
from bridge.mapping.advice import synonym
from bridge.mapping.document import Node, Scalar, Sequence
from bridge.mapping.entries import Entries, is_null, read_entries
from bridge.mapping.expressions import compile_expression
from bridge.mapping.findings import Findings, did_you_mean, shown
from bridge.mapping.operators import OPERATORS, Operand, Operator
from bridge.mapping.parts import Compare, Condition, Group, Holds
from bridge.mapping.spec import CONDITION, CONDITION_KINDS
from bridge.mapping.values import Unreadable, as_decimal

_COMPARISON = re.compile(r"([\w.]+) *(>=|<=|==|!=|<>|>|<|=) *['\"`]?([^'\"`]+)['\"`]?")
MAX_PATTERN = 500
"""Ours: a longer pattern is a list that belongs into one_of."""


def build_condition(node: Node, findings: Findings, *, complete: bool) -> Condition | None:
    """Return the condition a node describes, or None after saying what is wrong with it."""
    entries = read_entries(node, CONDITION, "a condition", findings, complete=complete)
    if entries is None:
        return None
    kinds = [name for name in CONDITION_KINDS if name in entries]
    if len(kinds) > 1:
        findings.error(
            entries.key(kinds[1]),
            "condition.ambiguous",
            f"a condition is either {kinds[0]} or {kinds[1]}, not both; put both under all:",
        )
        return None
    operators = [name for name in OPERATORS if name in entries]
    if not kinds:
        _say_no_kind(entries, operators, findings)
        return None
    kind = kinds[0]
    if kind != "field" and operators:
        findings.error(
            entries.key(operators[0]),
            "condition.operator",
            f"{operators[0]} compares a field and can't stand with {kind}",
        )
        return None
    if kind == "field":
        return _compare(entries, operators, findings)
    value = entries.value(kind)
    if kind == "expression" and isinstance(value, Scalar):
        expression = compile_expression(value, findings)
        return Holds(value.line, expression) if expression else None
    return _group(kind, value, entries, findings, complete=complete)


def _say_no_kind(entries: Entries, operators: list[str], findings: Findings) -> None:
    if operators:
        key = entries.key(operators[0])
        findings.error(key, "condition.field_missing", f"{operators[0]} needs field: beside it, the value to compare")
    elif entries.whole:
        findings.error(
            entries.node,
            "condition.empty",
            "a condition needs field with an operator, or one of all, any, not, expression",
        )


def _group(kind: str, value: Node | None, entries: Entries, findings: Findings, *, complete: bool) -> Group | None:
    word: Literal["all", "any", "not"] = "all" if kind == "all" else "any" if kind == "any" else "not"
    nodes = value.items if isinstance(value, Sequence) else [value] if value else []
    if not nodes:
        findings.error(entries.key(kind), "condition.empty", f"{kind} has no conditions; give it one or leave it out")
        return None
    built = [build_condition(node, findings, complete=complete) for node in nodes]
    conditions = tuple(one for one in built if one is not None)
    return Group(entries.key(kind).line, word, conditions) if len(conditions) == len(nodes) else None


def _compare(entries: Entries, operators: list[str], findings: Findings) -> Compare | None:
    scalar = entries.scalar("field")
    inside = _COMPARISON.fullmatch(scalar.text.strip()) if scalar else None
    if scalar and inside and not operators and (name := synonym(inside[2], OPERATORS)):
        message = f"an operator is a key beside field; write {{field: {inside[1]}, {name}: {inside[3]}}}"
        findings.error(scalar, "condition.operator_missing", message)
        return None
    expression = compile_expression(scalar, findings) if scalar else None
    if len(operators) != 1:
        if operators:
            place, got = entries.key(operators[1]), f"{operators[0]} and {operators[1]}"
            findings.error(place, "condition.operators", f"a condition has one operator, got {got}; use all: for both")
        elif entries.whole:
            names = ", ".join(OPERATORS)
            findings.error(entries.node, "condition.operator_missing", f"a condition with field needs one of {names}")
        return None
    operator = OPERATORS[operators[0]]
    operands = entries.texts(operator.name)
    wrong = [operand for operand in operands if not _operand_fits(operator, operand, findings)]
    if expression is None or wrong:
        return None
    sense.check_compare(expression, operator, operands, findings)
    return Compare(entries.key("field").line, expression, operator, tuple(operand.text for operand in operands))


def _operand_fits(operator: Operator, operand: Scalar, findings: Findings) -> bool:
    text, name = operand.text, operator.name
    if operator.operand is not Operand.BOOLEAN and (is_null(operand) or not text):
        findings.error(operand, "operand.null", f"{name} can't compare with nothing; use exists: false")
        return False
    wrong = ""
    try:
        if operator.operand is Operand.NUMBER:
            wrong = f"{name} needs a number such as 50 or 129.90, got {shown(text)}{_if_date(text)}"
            as_decimal(text)
        elif operator.operand is Operand.DATE:
            wrong = f"{name} needs a date such as 2026-11-22 or 22/11/2026, or today, got {shown(text)}"
            wrong += did_you_mean(text, ["today"])
            if text != "today":
                dates.as_moment(text)
        elif operator.operand is Operand.PATTERN:
            wrong = _pattern_fault(name, text)
            if wrong:
                raise Unreadable
    except Unreadable:
        findings.error(operand, f"operand.{operator.operand}", wrong)
        return False
    return True


def _if_date(text: str) -> str:
    try:
        if text != "today":
            dates.as_day(text)
    except Unreadable:
        return ""
    return "; for dates write after or before"


def _pattern_fault(name: str, text: str) -> str:
    """Return why the text can't be the operator's pattern, empty where it can."""
    import regex  # 1 MB, for those that have such a condition

    if len(text) > MAX_PATTERN:
        return f"{name} needs a regular expression of at most {MAX_PATTERN} characters, got {len(text)}"
    if problem := patterns.problem(text):
        return f"{name} needs a simple regular expression, got one that {problem}"
    try:
        regex.compile(text)
    except (regex.error, RecursionError) as error:
        why = f": {error}" if isinstance(error, regex.error) else ""
        return f"{name} needs a regular expression, got {shown(text)}{why}"
    return ""
