"""Checks whether a mapping that can run would send nonsense, fail for every event or never match.

An error is what surely does: it keeps the mapping from being activated. What may be meant is a warning. Kinds and
values of fields come from `asaas_fields`; nothing is said about a field of which they are not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bridge.mapping import values
from bridge.mapping.advice import as_literal
from bridge.mapping.catalogue import label_of
from bridge.mapping.context import DERIVED
from bridge.mapping.document import Scalar
from bridge.mapping.expressions import ELEMENT, Expression, Part, compared, compile_text, indexed, whole
from bridge.mapping.findings import Findings, did_you_mean, shown
from bridge.mapping.lint import PLAIN_NAMES, doubt, kind_of_path, known_fields, values_of_path
from bridge.mapping.model import Comparison, ExpressionCondition, Template, covers
from bridge.mapping.operators import Operand, Operator
from bridge.mapping.values import BadValue, as_day, as_decimal, two_readings

_NUMBERS = frozenset({"percent", "days_between", "length", "sum", "avg", "abs", "ceil", "floor", "to_number"})
_AMOUNTS = frozenset({"money", "brl"})
_TEXTS = _AMOUNTS | {
    "phone", "digits", "cpf_cnpj", "title", "first_email", "first_name", "last_name", "upper", "lower", "trim",
    "replace", "label", "join", "to_string",
}  # fmt: skip
_EMPTY: tuple[Any, ...] = (None, False, "", [], {})
_ORDERS = frozenset({"lt", "lte", "gt", "gte"})
_NEVER = {"eq": "is never equal", "ne": "is always different"}
_IS_TEXT = frozenset({Operand.TEXT, Operand.TEXTS})
_MOST_VALUES = 16
"""Values that a message lists; of more it names the nearest."""
_SURE_NAMES = frozenset({"today", *(name for name in DERIVED if "_" in name)})
"""Names of one word that nobody writes as a text."""
_LAST_OVERDUE = 4
"""Days after the due date at which Asaas may still send PAYMENT_OVERDUE: a weekend and a holiday lie between."""
_SHARES = frozenset({"fixedValue", "percentualValue", "totalValue", "totalFixedValue"})
_OTHER_SHARE = {"fixedValue": "percentage", "percentualValue": "a fixed value"}
_MORE_THAN = {"gte": 1, "gt": 0, "at_least": 1, "greater_than": 0}
"""Operators that ask for more days, and by how much the limit itself may be more than the last day."""

# Date formats: what other programs write, and which directive it is here.
_DIRECTIVE_OF = {
    "yyyy": "%Y", "aaaa": "%Y", "yy": "%y", "aa": "%y", "mmmm": "%B", "mmm": "%b", "mm": "%m", "dd": "%d", "hh": "%H",
    "ss": "%S",
}  # fmt: skip
_FOREIGN = re.compile(rf"(?<![%\w])({'|'.join(_DIRECTIVE_OF)})(?!\w)", re.IGNORECASE)
_MINUTES_FOR_MONTHS = re.compile(r"(%-?[dYy]\W?)%M|%M(\W?%[Yy])")
_BY_SIZE = "YmdHMS"
"""Directives whose texts sort as the dates do, in this order."""
_MONTHS_FOR_MINUTES = re.compile(r"(%H[:h])%m")
_NUMBER_COMPARED = re.compile(r"(?:[=!]=|[<>]=?)\s*`\s*(-?[\d.]+)\s*`|`\s*(-?[\d.]+)\s*`\s*(?:[=!]=|[<>]=?)")


def check_expression(expression: Expression, findings: Findings) -> None:
    """Find what an expression compares, cuts or writes so that nothing sensible can come out."""
    for node in _nodes(expression.parsed):
        _check_constant(node, expression, findings)
        if node["type"] == "function_expression" and node["value"] == "date":
            _check_format(node["children"][1], expression, findings)
    for part in indexed(expression.parsed):
        _check_index(part, expression, findings)
    for word, left, right in compared(expression.parsed):
        _check_comparison(word, left, right, expression, findings)
    for match in _NUMBER_COMPARED.finditer(expression.text):
        number = match[1] or match[2]
        if two_readings(number):
            message = f"`{number}` may mean `{as_literal(number)}`; write the one that is meant"
            findings.nonsense(expression, "number.ambiguous", message)


def _check_constant(node: dict[str, Any], expression: Expression, findings: Findings) -> None:
    kind, children = node["type"], node["children"]
    if kind == "pipe" and _is_constant(children[1]):
        findings.nonsense(
            expression,
            "expression.always_same",
            f"what stands behind | is the value, whatever stands before it; for 'or else' write {_or_else(expression)}",
        )
    elif kind == "or_expression" and _is_constant(children[0]) and children[0].get("value") not in _EMPTY:
        message = "a fixed value stands before ||, so what stands behind it is never looked at; write it last"
        findings.nonsense(expression, "expression.always_same", message)
    elif kind == "literal" and isinstance(node["value"], str) and "" != node["value"] == expression_in(node["value"]):
        path = node["value"]
        message = f"in quotes {path} is a text; write {path} without quotes for its value"
        findings.nonsense(expression, "expression.quoted_path", message)


def _or_else(expression: Expression) -> str:
    return re.sub(r"(?<!\|)\|(?!\|)", "||", expression.text.strip()) if len(expression.text) < 80 else "||"


def _is_constant(node: dict[str, Any]) -> bool:
    if node["type"] == "literal":
        return True
    inner = [child for child in node["children"] if isinstance(child, dict)]
    return node["type"] == "function_expression" and bool(inner) and all(map(_is_constant, inner))


def _check_format(node: dict[str, Any], expression: Expression, findings: Findings) -> None:
    if node["type"] != "literal" or not isinstance(node["value"], str) or values.wrong_directive(node["value"]):
        return
    pattern = node["value"]
    right = _FOREIGN.sub(lambda match: _DIRECTIVE_OF[match[1].lower()], pattern)
    right = _MONTHS_FOR_MINUTES.sub(r"\1%M", _MINUTES_FOR_MONTHS.sub(r"\1%m\2", right))
    if right == pattern and "%" not in pattern:
        right = "%d/%m/%Y"
    if right != pattern:
        what = "minutes for months" if _MINUTES_FOR_MONTHS.search(pattern) else "letters of another language"
        findings.nonsense(
            expression, "expression.date_letters", f"date() writes {what} with {shown(pattern)}; write {right!r}"
        )


def _check_index(part: Part, expression: Expression, findings: Findings) -> None:
    kind = _kind(part)
    if kind is None or kind == "list" or part.node["type"] in {"identity", "current"}:
        return
    phone = part.node["type"] == "function_expression" and part.node["value"] == "phone"
    advice = (
        "digits(x) gives a phone without 55"
        if phone
        else "digits(x), first_name(x), last_name(x) and replace(x, old, new) give parts of a text"
    )
    findings.nonsense(
        expression, "expression.index", f"[...] takes from a list, and this is a {kind}, so it gives nothing; {advice}"
    )


def _check_comparison(word: str, left: Part, right: Part, expression: Expression, findings: Findings) -> None:
    kinds = {_kind(left), _kind(right)}
    literal = next((str(part.node["value"]) for part in (left, right) if _is_text_literal(part)), None)
    if "list" in kinds and (literal is not None or kinds & {"number", "text", "date"}):
        message = "a list is never equal to one value; write | [0] behind the list, or contains(list, value)"
        findings.warning(expression, "expression.never_equal", message)
    elif word in _ORDERS:
        _check_order(kinds, literal, expression, findings)
    elif word in _NEVER:
        hint = _why_never_equal(kinds, literal, left, right)
        side = left if _values_of(left) else right
        values = _values_of(side)
        if hint:
            findings.warning(expression, "expression.never_equal", f"this {_NEVER[word]}; {hint}")
        elif values and literal is not None and literal not in values:
            what = ".".join(step for step in min(side.scope) if step != ELEMENT)
            findings.warning(expression, "value.undocumented", _undocumented(what, literal, values))


def _is_text_literal(part: Part) -> bool:
    return part.node["type"] == "literal" and isinstance(part.node["value"], str)


def _why_never_equal(kinds: set[str | None], literal: str | None, left: Part, right: Part) -> str:
    if "number" in kinds and kinds & {"text", "date", "amount"}:
        number = next((part.node["value"] for part in (left, right) if part.node["type"] == "literal"), "...")
        right_way = f"`{_bare_number(literal)}`" if literal is not None else f"'{number}'"
        return f"a number is compared with a text; write {right_way}"
    if "boolean" in kinds and literal is not None:
        return "true and false stand between backticks: `true`"
    if "date" in kinds and literal is not None and (iso := _iso_day(literal)) != literal:
        return f"Asaas writes a date as 2026-12-01; write '{iso or '2026-12-01'}'"
    return ""


def _check_order(kinds: set[str | None], literal: str | None, expression: Expression, findings: Findings) -> None:
    hint = ""
    if "amount" in kinds:
        hint = "money() and brl() give texts; compare the amount itself, such as payment.value > `50`"
    elif "number" in kinds and kinds & {"text", "date", "formatted"}:
        hint = "comparing a number with a text fails for every event"
        hint += f"; write the number between backticks: `{_bare_number(literal)}`" if literal else ""
    elif "date" in kinds and literal is not None and not re.match(r"\d{4}(-|$)", literal):
        iso = _iso_day(literal) or "2026-12-01"
        hint = f"dates are compared as texts here; write '{iso}', or a condition with after or before"
    elif "formatted" in kinds:
        hint = "a formatted date is compared as a text; compare the field itself, or write after or before"
    if hint:
        dated = kinds & {"date", "formatted"} and "number" not in kinds
        code = "expression.date_as_text" if dated else "expression.number_and_text"
        findings.nonsense(expression, code, hint)


def _bare_number(literal: str | None) -> str:
    try:
        number = format(as_decimal(literal), "f")
        return as_literal(str(literal)) if two_readings(str(literal)) else number
    except BadValue:
        return "50"


def check_condition(condition: Comparison | ExpressionCondition, findings: Findings) -> None:
    """Find a condition that always says the same."""
    expression = condition.field if isinstance(condition, Comparison) else condition.expression
    if not expression.paths:
        findings.warning(expression, "condition.constant", "this condition reads no value, so it always says the same")
    elif isinstance(condition, ExpressionCondition) and expression.parsed.get("value") in _NUMBERS:
        message = f"a number counts as true, also 0, so this always holds; compare it: {expression.text.strip()} > `0`"
        findings.warning(expression, "condition.constant", message)


def check_compare(expression: Expression, operator: Operator, operands: Sequence[Scalar], findings: Findings) -> None:
    """Find a condition that fails for every event, or compares with a value that the field never has."""
    kind, values, what = _kind(whole(expression.parsed)), _values(expression), expression.text.strip()
    for operand in operands:
        text = operand.text
        is_number = operator.operand is Operand.NUMBER or (operator.operand in _IS_TEXT and kind == "number")
        if is_number and (readings := two_readings(text)):
            message = f"{text} may mean {readings}; write the one that is meant"
            findings.nonsense(operand, "number.ambiguous", message)
        elif kind == "list":
            _check_list(what, operator, operand, findings)
        elif operator.operand is Operand.NUMBER and (kind in {"date", "boolean"} or values):
            hint = "for dates write after or before" if kind == "date" else "write equals or one_of"
            message = f"{what} is no number, so {operator.name} fails for every event; {hint}"
            findings.nonsense(operand, "condition.kind", message)
        elif operator.operand is Operand.DATE and (kind in {"number", "amount", "boolean"} or values):
            hint = "for numbers write greater_than or less_than" if kind == "number" else "write equals or one_of"
            message = f"{what} is no date, so {operator.name} fails for every event; {hint}"
            findings.nonsense(operand, "condition.kind", message)
        elif operator.operand in _IS_TEXT and operator.name.endswith(("equals", "one_of")):
            _check_equal(what, kind, operand, "!=" if operator.name.startswith("not") else "==", findings)
            if values and text not in values:
                findings.warning(operand, "value.undocumented", _undocumented(what, text, values))
        elif values and operator.operand in {Operand.TEXT, Operand.PATTERN}:
            positive = operator.name != "not_contains"
            if not any(operator.holds(value, (text,), as_day("2026-01-01")) is positive for value in values):
                findings.warning(operand, "value.undocumented", _undocumented(what, text, values))


def _check_list(what: str, operator: Operator, operand: Scalar, findings: Findings) -> None:
    hint = f"write contains, or field: {what} | [0] for its first element"
    if operator.name.endswith(("equals", "one_of")):
        message = f"{what} is a list and never equal to one value; {hint}"
        findings.warning(operand, "condition.never_equal", message)
    elif operator.operand is not Operand.BOOLEAN and not operator.name.endswith("contains"):
        message = f"{what} is a list, so {operator.name} fails for every event that has it; {hint}"
        findings.nonsense(operand, "condition.kind", message)


def _check_equal(what: str, kind: str | None, operand: Scalar, sign: str, findings: Findings) -> None:
    text, hint = operand.text, ""
    if kind == "number" and not _is_number(text):
        hint = f"{what} is a number; write one, such as 50 or 129.90"
    elif kind == "boolean" and text not in {"true", "false"}:
        hint = f"{what} is true or false; write one of them"
    elif kind == "date" and text == "today":
        hint = f'equals compares texts; write expression: "{what} {sign} today"'
    elif kind == "date" and (iso := _iso_day(text)) != text:
        hint = f"Asaas writes a date as 2026-12-01; write {iso or '2026-12-01'}"
    if hint:
        findings.warning(operand, "condition.never_equal", f"this is never equal to {shown(text)}; {hint}")


def _iso_day(text: str) -> str | None:
    """Return the day that a text names as Asaas writes it, or None where it names none; a moment stays as it is."""
    if re.match(r"\d{4}-\d{2}-\d{2}", text):
        return text
    try:
        return as_day(text).isoformat()
    except BadValue:
        return None


def _is_number(text: str) -> bool:
    try:
        as_decimal(text)
    except BadValue:
        return False
    return True


def _undocumented(what: str, text: str, values: Sequence[str]) -> str:
    words = re.split(r"[,;]\s*", text)
    if len(words) > 1 and set(words) <= set(values):
        return f"no {what} is {shown(text)}; write a list: [{', '.join(words)}]"
    known = f"it is one of {', '.join(values)}" if len(values) <= _MOST_VALUES else "Asaas documents others"
    return f"no {what} that Asaas documents is {shown(text)}; {known}{did_you_mean(text, values)}"


def check_lookup(expression: Expression, keys: Iterable[Scalar], findings: Findings) -> None:
    """Find keys of a lookup that the value never is."""
    values = _values(expression)
    for key in keys:
        if values and key.text not in values:
            what = expression.text.strip()
            findings.warning(key, "value.undocumented", _undocumented(what, key.text, values))


def check_text(key: str, scalar: Scalar, source: str, findings: Findings) -> None:
    """Find a fixed text that is meant as an expression; `source` is the expression beside a default, if any."""
    text = scalar.text.strip()
    found = expression_in(text)
    if not found:
        return
    bare = re.fullmatch(r"\{*([^{}]*)\}*", text)
    if found != text and not (bare and expression_in(bare[1]) == bare[1]):
        hint = f'write template: "{_in_braces(text)}"'
        hint = f"a default is a fixed text; leave it out, and {hint}" if key == "default" else hint
    else:
        inner = bare[1].strip() if bare else text
        hint = f"write from: {source} || {inner}" if key == "default" and source else f"write from: {inner}"
        hint = f"write {{... || {inner}}} in the template" if key == "default" and not source else hint
    hint = "a lookup gives fixed texts, so write one" if key == "lookup" else hint
    findings.nonsense(scalar, "field.text_is_expression", f"{key} sends {shown(text)} as it stands; {hint}")


def check_template(template: Template, scalar: Scalar, findings: Findings) -> None:
    """Find what a template sends as it stands though its value is meant."""
    if "{" in scalar.comment:
        message = f"` #` begins a comment, so only {shown(template.text)} is sent; put the text in quotes"
        findings.nonsense(scalar, "template.cut", message)
    for match in _DOUBLED.finditer(template.text):
        if match[1] in PLAIN_NAMES or expression_in(match[1]) == match[1]:
            message = f"{{{{ and }}}} send the braces themselves; write {{{match[1]}}}"
            findings.nonsense(scalar, "template.literal", message)
            return
    for piece in template.pieces:
        if isinstance(piece, str) and (found := expression_in(piece)):
            message = f"the template sends {shown(found)} as it stands; put it in braces: {_in_braces(piece.strip())}"
            findings.nonsense(scalar, "template.literal", message)


_DOUBLED = re.compile(r"(?<!\{)\{\{\s*([^{}]+?)\s*\}\}(?!\})")
_PATH = re.compile(r"(?<![\w./@-])[a-z]\w*\.[A-Za-z]\w*(?:\.\w+|\[[^\]]*\])*(?![\w/@-])")
_CALL_OR_PATH = re.compile(rf"\b[a-z_]+\([^(){{}}]*{_PATH.pattern}[^(){{}}]*\)|{_PATH.pattern}")


def _in_braces(text: str) -> str:
    """Return a text with what is meant as an expression between braces.

    >>> _in_braces("Valor brl(payment.value) de {customer.name}")
    'Valor {brl(payment.value)} de {customer.name}'
    """
    return _CALL_OR_PATH.sub(lambda match: f"{{{match[0]}}}", text.replace("{", "").replace("}", ""))


def expression_in(text: str) -> str:
    """Return what of a text is surely meant as an expression: all of it, or a path of an object; empty for none.

    >>> expression_in("customer.name"), expression_in("Pedido payment.id"), expression_in("Asaas")
    ('customer.name', 'payment.id', '')
    """
    text = text.strip()
    if text in _SURE_NAMES:
        return text
    if not (found := _named(text)):
        return ""
    scalar = Scalar(1, 1, text, plain=False, inline=False)
    return text if compile_text(text, scalar, 0, scalar, Findings("")) else found


def _named(text: str) -> str:
    for match in _PATH.finditer(text):
        path = tuple(re.findall(r"\w+", re.sub(r"\[.*?\]", "", match[0])))
        if known_fields().get(path[0]) and doubt(path, frozenset()) is None:
            return match[0]
    return ""


def check_splits(expressions: Iterable[Expression], findings: Findings) -> None:
    """Find amounts of a split that are missing in a split of the other kind."""
    read: dict[str, dict[str, Expression]] = {}
    for expression in expressions:
        chosen = False
        for node in _nodes(expression.parsed):
            if node["type"] == "filter_projection":
                condition = node["children"][2]
                asked, taken = _shares_in(condition), _shares_in(node["children"][1])
                chosen = chosen or bool(asked) or any(one["value"] == "walletId" for one in _fields(condition))
                if asked and taken and not asked & taken:
                    message = f"a split with {min(asked)} has no {min(taken)}; write {min(asked)}"
                    findings.warning(expression, "split.kind", message)
        for path in expression.paths:
            if path[1:3] == ("split", ELEMENT) and set(path[3:4]) & _SHARES and not chosen:
                read.setdefault(path[0], {})[path[3]] = expression
    for shares in read.values():
        share = next(iter(shares))
        if len(shares) == 1 and share in _OTHER_SHARE:
            other = _OTHER_SHARE[share]
            message = f"a split by {other} has no {share}; for both kinds see mappings/marketplace_split.yaml"
            findings.note(shares[share], "split.kind", message)


def _shares_in(node: dict[str, Any]) -> frozenset[str]:
    """Return the shares of a split that a part of an expression wants to be there."""
    inner = list(_nodes(node))
    if any(one["type"] == "not_expression" or (one["type"] == "literal" and one["value"] is None) for one in inner):
        return frozenset()
    return frozenset(one["value"] for one in _fields(node)) & _SHARES


def _fields(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (one for one in _nodes(node) if one["type"] == "field")


def check_events(
    filters: Iterable[Comparison | ExpressionCondition], events: tuple[str, ...], findings: Findings
) -> None:
    """Find conditions that no event of the mapping ever fulfils."""
    for one in filters:
        if isinstance(one, Comparison):
            name, word, limits = one.field, one.operator.name, one.operands
            paths = one.field.paths
            if paths == {("event",)} and word in {"equals", "one_of"} and not any(covers(events, op) for op in limits):
                message = f"the mapping does not listen to {' or '.join(limits)}, so this never holds; add it to events"
                findings.warning(name, "condition.event", message)
            asked = [(word, limits[0])] if paths == {("days_overdue",)} else []
        else:
            name = one.expression
            asked = [
                (word, str(right.node["value"]))
                for word, left, right in compared(name.parsed)
                if left.scope == {("days_overdue",)} and right.node["type"] == "literal"
            ]
        for word, limit in asked:
            least = as_decimal(limit) if word in _MORE_THAN and _is_number(limit) else 0
            if events == ("PAYMENT_OVERDUE",) and least >= _LAST_OVERDUE + _MORE_THAN.get(word, 0):
                message = "Asaas sends PAYMENT_OVERDUE one to four days after the due date; delete the condition"
                findings.warning(name, "condition.event", message)


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(child for child in reversed(node["children"]) if isinstance(child, dict))


def _last(node: dict[str, Any]) -> dict[str, Any]:
    while node["type"] in {"pipe", "subexpression"}:
        node = node["children"][-1]
    return node


def _kind(part: Part) -> str | None:
    """Return the kind of a part's value: one of a field, amount or formatted (a text of money() or date()), or list."""
    node = _last(part.node)
    match node["type"]:
        case "literal":
            value = node["value"]
            return (
                "boolean" if isinstance(value, bool)
                else "number" if isinstance(value, (int, float))
                else "text" if isinstance(value, str)
                else None
            )  # fmt: skip
        case "projection" | "filter_projection" | "value_projection" | "flatten":
            return "list"
        case "function_expression":
            name = node["value"]
            if name == "date":
                return _kind_of_format(node)
            if name in _TEXTS:
                return "amount" if name in _AMOUNTS else "text"
            if name in _NUMBERS:
                return "number"
            if name not in {"default", "not_null", "max", "min"}:
                return None
        case "and_expression":
            return None
    inner = [_last(child)["type"] for child in node["children"] if isinstance(child, dict)]
    if node["type"] in {"or_expression", "function_expression"} and not {"field", "literal"}.issuperset(inner):
        return None
    kinds = {kind_of_path(path) for path in part.scope}
    kind = kinds.pop() if len(kinds) == 1 else None
    others = {
        _kind(Part(child, part.scope)) for child in node["children"] if isinstance(child, dict) and _is_constant(child)
    }
    return kind if others <= {kind} else None


def _kind_of_format(call: dict[str, Any]) -> str:
    """Return what date() writes: a date as Asaas writes it, a text that sorts by time, or one that does not."""
    pattern = call["children"][1]
    text = str(pattern["value"]) if pattern["type"] == "literal" else ""
    ranks = [_BY_SIZE.find(directive[-1]) for directive in re.findall(r"%-?.", text)]
    if -1 in ranks or "%-" in text or ranks != sorted(ranks):
        return "formatted"
    return "date" if text.startswith("%Y-%m-%d") else "text"


def _values(expression: Expression) -> tuple[str, ...]:
    """Return the values that an expression may have as far as Asaas documents them; empty where it does not."""
    tree = expression.parsed
    if tree["type"] == "function_expression" and tree["value"] == "label":
        return tuple(label_of(value) or value for value in _values_of(whole(tree["children"][0])))
    return _values_of(whole(tree))


def _values_of(part: Part) -> tuple[str, ...]:
    if _last(part.node)["type"] not in {"field", "index_expression"}:
        return ()
    values = [values_of_path(path) for path in part.scope]
    return tuple(dict.fromkeys(one for some in values for one in some)) if values and all(values) else ()
