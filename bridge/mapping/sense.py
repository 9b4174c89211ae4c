"""Checks of a mapping that can run: whether it would send nonsense, fail for every event or never match.

A mistake that is certain is an error and keeps the mapping from being activated; a likely one is a warning. Kinds and
values of fields come from data/asaas_values.json; a field without them gives no finding.
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
from bridge.mapping.expressions import ELEMENT, Expression, Part, Reading, compile_text, nodes
from bridge.mapping.findings import Findings, did_you_mean, shown
from bridge.mapping.lint import FIELDS, PLAIN_NAMES, doubt, kind_of_path, values_of_path
from bridge.mapping.model import Comparison, Template, covers
from bridge.mapping.operators import Operand, Operator
from bridge.mapping.values import Text, as_day, as_decimal, either, or_none, two_readings
from bridge.messages import N_, Message

_KIND_OF_CALL = {
    **dict.fromkeys(["percent", "days_between", "length", "sum", "avg", "abs", "ceil", "floor", "to_number"], "number"),
    **dict.fromkeys(["money", "brl"], "amount"),
    **dict.fromkeys(["phone", "digits", "cpf_cnpj", "title", "first_email", "first_name", "last_name"], "text"),
    **dict.fromkeys(["upper", "lower", "trim", "replace", "label", "join", "to_string"], "text"),
}
"""The kinds of what functions give."""
_EMPTY: tuple[Any, ...] = (None, False, "", [], {})
_ORDERS = frozenset({"lt", "lte", "gt", "gte"})
_NEVER = {"eq": N_("this is never equal; {hint}"), "ne": N_("this is always different; {hint}")}
_IS_TEXT = frozenset({Operand.TEXT, Operand.TEXTS})
_MOST_VALUES = 16
"""Values that a message lists; of more it names the nearest."""
_KIND_WORDS = {
    "amount": N_("an amount as text"),
    "boolean": N_("true or false"),
    "date": N_("a date"),
    "formatted": N_("a date as text"),
    "number": N_("a number"),
    "text": N_("a text"),
}
_SURE_NAMES = frozenset({"today", *(name for name in DERIVED if "_" in name)})
"""Names of one word that are hardly meant as a text."""
_LAST_OVERDUE = 4
"""Days after the due date at which Asaas may still send PAYMENT_OVERDUE: a weekend and a holiday lie between."""
_SHARES = frozenset({"fixedValue", "percentualValue", "totalValue", "totalFixedValue"})
_OTHER_SHARE = {
    "fixedValue": N_("a split by percentage has no {share}; for both kinds see mappings/marketplace_split.yaml"),
    "percentualValue": N_(
        "a split by a fixed value has no {share}; for both kinds see mappings/marketplace_split.yaml"
    ),
}
_MORE_THAN = {"gte": 1, "gt": 0, "at_least": 1, "greater_than": 0}
"""Operators that ask for more days, and the days that their limit may lie behind the last one."""

# Date formats of other programs, with the directive of this one.
_DIRECTIVE_OF = {
    "yyyy": "%Y", "aaaa": "%Y", "yy": "%y", "aa": "%y", "mmmm": "%B", "mmm": "%b", "mm": "%m", "dd": "%d", "hh": "%H",
    "ss": "%S",
}  # fmt: skip
_FOREIGN = re.compile(rf"(?<![%\w])({'|'.join(_DIRECTIVE_OF)})(?!\w)", re.IGNORECASE)
_MINUTES_FOR_MONTHS = re.compile(r"(%-?[dYy]\W?)%M|%M(\W?%[Yy])")
_BY_SIZE = "YmdHMS"
"""Directives whose texts, in this order, sort as the dates do."""
_MONTHS_FOR_MINUTES = re.compile(r"(%H[:h])%m")
_NUMBER_COMPARED = re.compile(r"(?:[=!]=|[<>]=?)\s*`\s*(-?[\d.]+)\s*`|`\s*(-?[\d.]+)\s*`\s*(?:[=!]=|[<>]=?)")


def check_expression(expression: Expression, findings: Findings) -> None:
    """Report comparisons, indexes and formats of an expression from which nothing sensible can come."""
    for node in nodes(expression.parsed):
        _check_constant(node, expression, findings)
        if node["type"] == "function_expression" and node["value"] == "date":
            _check_format(node["children"][1], expression, findings)
    reading = Reading(expression.parsed)
    for part in reading.indexed:
        _check_index(part, expression, findings)
    for word, left, right in reading.compared:
        _check_comparison(word, left, right, expression, findings)
    for match in _NUMBER_COMPARED.finditer(expression.text):
        number = match[1] or match[2]
        if two_readings(number):
            what = N_("`{number}` may mean {readings}; write the one that is meant")
            findings.nonsense(expression, "number.ambiguous", what, number=number, readings=as_literal(number))


def _check_constant(node: dict[str, Any], expression: Expression, findings: Findings) -> None:
    kind, children = node["type"], node["children"]
    if kind == "pipe" and _is_constant(children[1]):
        text = expression.text.strip()
        right = re.sub(r"(?<!\|)\|(?!\|)", "||", text) if len(expression.text) < 80 else "||"
        what = N_("the part after | is the value, whatever the part before it gives; for 'or else' write {right}")
        findings.nonsense(expression, "expression.always_same", what, right=right)
    elif kind == "or_expression" and _is_constant(children[0]) and children[0].get("value") not in _EMPTY:
        what = N_("a fixed value stands before ||, so the part after it is never used; write the fixed value last")
        findings.nonsense(expression, "expression.always_same", what)
    elif kind == "literal" and isinstance(node["value"], str) and "" != node["value"] == expression_in(node["value"]):
        what = N_("in quotes {path} is a text; write {path} without quotes for its value")
        findings.nonsense(expression, "expression.quoted_path", what, path=node["value"])


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
        what = N_("date() writes letters of another program with {pattern}; write {right}")
        if _MINUTES_FOR_MONTHS.search(pattern):
            what = N_("date() writes minutes for months with {pattern}; write {right}")
        findings.nonsense(expression, "expression.date_letters", what, pattern=shown(pattern), right=repr(right))


def _check_index(part: Part, expression: Expression, findings: Findings) -> None:
    kind = _kind(part)
    if kind is None or kind == "list" or part.node["type"] in {"identity", "current"}:
        return
    what = N_(
        "[...] takes from a list, and this is {kind}, so it gives nothing; "
        "digits(x), first_name(x), last_name(x) and replace(x, old, new) give parts of a text"
    )
    if part.node["type"] == "function_expression" and part.node["value"] == "phone":
        what = N_(
            "[...] takes from a list, and this is {kind}, so it gives nothing; digits(x) gives a phone without 55"
        )
    findings.nonsense(expression, "expression.index", what, kind=Message(_KIND_WORDS[kind]))


def _check_comparison(word: str, left: Part, right: Part, expression: Expression, findings: Findings) -> None:
    kinds = {_kind(left), _kind(right)}
    fixed = [part.node["value"] for part in (left, right) if part.node["type"] == "literal"]
    literal = next((value for value in fixed if isinstance(value, str)), None)
    if "list" in kinds and (literal is not None or kinds & {"number", "text", "date"}):
        what = N_("a list is never equal to one value; write | [0] after the list, or contains(list, value)")
        findings.warning(expression, "expression.never_equal", what)
    elif word in _ORDERS:
        _check_order(kinds, literal, expression, findings)
    elif word in _NEVER:
        side = left if _values_of(left) else right
        known = _values_of(side)
        if hint := _why_never_equal(kinds, literal, fixed):
            findings.warning(expression, "expression.never_equal", _NEVER[word], hint=hint)
        elif known and literal is not None and literal not in known:
            name = ".".join(step for step in min(side.scope) if step != ELEMENT)
            findings.warning(expression, "value.undocumented", _undocumented(name, literal, known))


def _why_never_equal(kinds: set[str | None], literal: str | None, fixed: list[Any]) -> Text:
    if "number" in kinds and kinds & {"text", "date", "amount"}:
        what = N_("a number is compared with a text; write {right}")
        number = f"'{fixed[0] if fixed else '...'}'" if literal is None else _bare_number(literal)
        return Message(what, {"right": number})
    if "boolean" in kinds and literal is not None:
        return Message(N_("write true and false between backticks: `true`"))
    if "date" in kinds and literal is not None and (iso := _iso_day(literal)) != literal:
        return Message(N_("Asaas writes a date as 2026-12-01; write {right}"), {"right": f"'{iso or '2026-12-01'}'"})
    return ""


def _check_order(kinds: set[str | None], literal: str | None, expression: Expression, findings: Findings) -> None:
    what, right = "", _bare_number(literal)
    if "amount" in kinds:
        what = N_("money() and brl() give texts; compare the amount itself, such as payment.value > `50`")
    elif "number" in kinds and kinds & {"text", "date", "formatted"}:
        what = N_("comparing a number with a text fails for every event")
        if literal:
            what = N_(
                "comparing a number with a text fails for every event; write the number between backticks: {right}"
            )
    elif "date" in kinds and literal is not None and not re.match(r"\d{4}(-|$)", literal):
        right = _iso_day(literal) or "2026-12-01"
        what = N_("dates are compared as texts here; write '{right}', or a condition with after or before")
    elif "formatted" in kinds:
        what = N_("a formatted date is compared as a text; compare the field itself, or write after or before")
    if what:
        dated = kinds & {"date", "formatted"} and "number" not in kinds
        code = "expression.date_as_text" if dated else "expression.number_and_text"
        findings.nonsense(expression, code, what, right=right)


def _bare_number(literal: str | None) -> Text:
    number = or_none(as_decimal, literal)
    if number is None:
        return "`50`"
    return as_literal(str(literal)) if two_readings(str(literal)) else f"`{number:f}`"


def check_compare(expression: Expression, operator: Operator, operands: Sequence[Scalar], findings: Findings) -> None:
    """Report a condition that fails for every event, or compares with a value that the field never has."""
    kind, known, field = _kind(Reading(expression.parsed).part), _values(expression), expression.text.strip()
    facts = {"field": field, "operator": operator.name}
    for operand in operands:
        text, what = operand.text, ""
        is_number = operator.operand is Operand.NUMBER or (operator.operand in _IS_TEXT and kind == "number")
        if is_number and (readings := two_readings(text)):
            ambiguous = N_("{number} may mean {readings}; write the one that is meant")
            findings.nonsense(operand, "number.ambiguous", ambiguous, number=text, readings=either(readings))
        elif kind == "list" and operator.name.endswith(("equals", "one_of")):
            never = N_(
                "{field} is a list and never equal to one value; "
                "write contains, or field: {field} | [0] for its first element"
            )
            findings.warning(operand, "condition.never_equal", never, **facts)
        elif kind == "list":
            if operator.operand is not Operand.BOOLEAN and not operator.name.endswith("contains"):
                what = N_(
                    "{field} is a list, so {operator} fails for every event that has it; "
                    "write contains, or field: {field} | [0] for its first element"
                )
        elif operator.operand is Operand.NUMBER and (kind in {"date", "boolean"} or known):
            what = N_("{field} is no number, so {operator} fails for every event; write equals or one_of")
            if kind == "date":
                what = N_("{field} is no number, so {operator} fails for every event; for dates write after or before")
        elif operator.operand is Operand.DATE and (kind in {"number", "amount", "boolean"} or known):
            what = N_("{field} is no date, so {operator} fails for every event; write equals or one_of")
            if kind == "number":
                what = N_(
                    "{field} is no date, so {operator} fails for every event; "
                    "for numbers write greater_than or less_than"
                )
        elif operator.operand in _IS_TEXT and operator.name.endswith(("equals", "one_of")):
            _check_equal(field, kind, operand, "!=" if operator.name.startswith("not") else "==", findings)
            if known and text not in known:
                findings.warning(operand, "value.undocumented", _undocumented(field, text, known))
        elif known and operator.operand in {Operand.TEXT, Operand.PATTERN}:
            positive = operator.name != "not_contains"
            if not any(operator.holds(value, (text,), as_day("2026-01-01")) is positive for value in known):
                findings.warning(operand, "value.undocumented", _undocumented(field, text, known))
        if what:
            findings.nonsense(operand, "condition.kind", what, **facts)


def _check_equal(field: str, kind: str | None, operand: Scalar, sign: str, findings: Findings) -> None:
    text, what, iso = operand.text, "", ""
    if kind == "number" and or_none(as_decimal, text) is None:
        what = N_("this is never equal to {value}; {field} is a number, so write one, such as 50 or 129.90")
    elif kind == "boolean" and text not in {"true", "false"}:
        what = N_("this is never equal to {value}; {field} is true or false, so write one of them")
    elif kind == "date" and text == "today":
        what = N_(
            'this is never equal to {value}, since equals compares texts; write expression: "{field} {sign} today"'
        )
    elif kind == "date" and (iso := _iso_day(text) or "") != text:
        what = N_("this is never equal to {value}; Asaas writes a date as 2026-12-01, so write {right}")
    if what:
        facts = {"value": shown(text), "field": field, "sign": sign, "right": iso or "2026-12-01"}
        findings.warning(operand, "condition.never_equal", what, **facts)


def _iso_day(text: str) -> str | None:
    """Return the day of a text as Asaas writes it, or None where the text is no date; a moment stays as it is."""
    if re.match(r"\d{4}-\d{2}-\d{2}", text):
        return text
    day = or_none(as_day, text)
    return day.isoformat() if day else None


def _undocumented(field: str, text: str, known: Sequence[str]) -> Message:
    words = re.split(r"[,;]\s*", text)
    facts: dict[str, Any] = {"field": field, "value": shown(text)}
    if len(words) > 1 and set(words) <= set(known):
        return Message(N_("no {field} is {value}; write a list: [{words}]"), {**facts, "words": ", ".join(words)})
    facts |= {"known": ", ".join(known), "hint": did_you_mean(text, known)}
    if len(known) > _MOST_VALUES:
        return Message(N_("no {field} that Asaas documents is {value}; there are others{hint}"), facts)
    return Message(N_("no {field} that Asaas documents is {value}; it is one of {known}{hint}"), facts)


def check_lookup(expression: Expression, keys: Iterable[Scalar], findings: Findings) -> None:
    known = _values(expression)
    for key in (key for key in keys if known and key.text not in known):
        findings.warning(key, "value.undocumented", _undocumented(expression.text.strip(), key.text, known))


def check_text(key: str, scalar: Scalar, source: str, findings: Findings) -> None:
    """Report a fixed text that is meant as an expression; `source` is the expression beside a default, if any."""
    text = scalar.text.strip()
    found = expression_in(text)
    if not found:
        return
    bare = re.fullmatch(r"\{*([^{}]*)\}*", text)
    is_template = found != text and not (bare and expression_in(bare[1]) == bare[1])
    right = _in_braces(text) if is_template else bare[1].strip() if bare else text
    if key == "lookup":
        what = N_("{key} sends {text} as it stands; a lookup gives fixed texts, so write one")
    elif is_template:
        what = N_('{key} sends {text} as it stands; write template: "{right}"')
        if key == "default":
            what = N_(
                "{key} sends {text} as it stands; a default is a fixed text, "
                'so leave it out and write template: "{right}"'
            )
    elif key == "default" and not source:
        what = N_("{key} sends {text} as it stands; write {{... || {right}}} in the template")
    else:
        what = N_("{key} sends {text} as it stands; write from: {right}")
        right = f"{source} || {right}" if key == "default" else right
    findings.nonsense(scalar, "field.text_is_expression", what, key=key, text=shown(text), right=right)


def check_template(template: Template, scalar: Scalar, findings: Findings) -> None:
    """Report a part of a template that is sent as it stands although its value is meant."""
    if "{" in scalar.comment:
        what = N_("` #` begins a comment, so only {text} is sent; put the text in quotes")
        findings.nonsense(scalar, "template.cut", what, text=shown(template.text))
    for match in _DOUBLED.finditer(template.text):
        if match[1] in PLAIN_NAMES or expression_in(match[1]) == match[1]:
            what = N_("{{{{ and }}}} send the braces themselves; write {{{right}}}")
            findings.nonsense(scalar, "template.literal", what, right=match[1])
            return
    for piece in template.pieces:
        if isinstance(piece, str) and (found := expression_in(piece)):
            what = N_("the template sends {text} as it stands; put it in braces: {right}")
            findings.nonsense(scalar, "template.literal", what, text=shown(found), right=_in_braces(piece.strip()))


_DOUBLED = re.compile(r"(?<!\{)\{\{\s*([^{}]+?)\s*\}\}(?!\})")
_PATH = re.compile(r"(?<![\w./@-])[a-z]\w*\.[A-Za-z]\w*(?:\.\w+|\[[^\]]*\])*(?![\w/@-])")
_CALL_OR_PATH = re.compile(rf"\b[a-z_]+\([^(){{}}]*{_PATH.pattern}[^(){{}}]*\)|{_PATH.pattern}")


def _in_braces(text: str) -> str:
    """Return a text with its paths and calls between braces.

    >>> _in_braces("Valor brl(payment.value) de {customer.name}")
    'Valor {brl(payment.value)} de {customer.name}'
    """
    return _CALL_OR_PATH.sub(lambda match: f"{{{match[0]}}}", text.replace("{", "").replace("}", ""))


def expression_in(text: str) -> str:
    """Return the part of a text that is surely an expression: all of it, or a path of an object; empty for none.

    >>> expression_in("customer.name"), expression_in("Pedido payment.id"), expression_in("Asaas")
    ('customer.name', 'payment.id', '')
    """
    text = text.strip()
    if text in _SURE_NAMES:
        return text
    if not (found := _named(text)):
        return ""
    scalar = Scalar(1, 1, text, plain=False, inline=False)
    return text if compile_text(text, scalar, 0, Findings("")) else found


def _named(text: str) -> str:
    for match in _PATH.finditer(text):
        path = tuple(re.findall(r"\w+", re.sub(r"\[.*?\]", "", match[0])))
        if FIELDS.get(path[0]) and doubt(path, frozenset()) is None:
            return match[0]
    return ""


def check_splits(expressions: Iterable[Expression], findings: Findings) -> None:
    """Report amounts of a split that a split of the other kind does not have."""
    read: dict[str, dict[str, Expression]] = {}
    for expression in expressions:
        chosen = False
        for node in nodes(expression.parsed):
            if node["type"] == "filter_projection":
                condition = node["children"][2]
                asked, taken = _shares_in(condition), _shares_in(node["children"][1])
                chosen = chosen or bool(asked) or any(one["value"] == "walletId" for one in _fields(condition))
                if asked and taken and not asked & taken:
                    what = N_("a split with {share} has no {other}; write {share}")
                    findings.warning(expression, "split.kind", what, share=min(asked), other=min(taken))
        for path in expression.paths:
            if path[1:3] == ("split", ELEMENT) and set(path[3:4]) & _SHARES and not chosen:
                read.setdefault(path[0], {})[path[3]] = expression
    for shares in read.values():
        share = next(iter(shares))
        if len(shares) == 1 and share in _OTHER_SHARE:
            findings.note(shares[share], "split.kind", _OTHER_SHARE[share], share=share)


def _shares_in(node: dict[str, Any]) -> frozenset[str]:
    """Return the shares of a split that a part of an expression asks for."""
    inner = list(nodes(node))
    if any(one["type"] == "not_expression" or (one["type"] == "literal" and one["value"] is None) for one in inner):
        return frozenset()
    return frozenset(one["value"] for one in _fields(node)) & _SHARES


def _fields(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (one for one in nodes(node) if one["type"] == "field")


def check_conditions(filters: Iterable[Comparison], events: tuple[str, ...], findings: Findings) -> None:
    """Report conditions that always say the same, and those that no event of the mapping fulfils."""
    for one in filters:
        name = one.expression
        if not name.paths:
            what = N_("this condition reads no value, so it always says the same")
            findings.warning(name, "condition.constant", what)
        elif not one.operator and _KIND_OF_CALL.get(name.parsed.get("value")) == "number":
            what = N_("a number counts as true, also 0, so this always holds; compare it: {expression} > `0`")
            findings.warning(name, "condition.constant", what, expression=name.text.strip())
        if one.operator:
            word, limits, paths = one.operator.name, one.operands, name.paths
            if paths == {("event",)} and word in {"equals", "one_of"} and not any(covers(events, op) for op in limits):
                what = N_("the mapping does not listen to {events}, so this never holds; add it to events")
                findings.warning(name, "condition.event", what, events=either(limits))
            asked = [(word, limits[0])] if paths == {("days_overdue",)} else []
        else:
            asked = [
                (word, str(right.node["value"]))
                for word, left, right in Reading(name.parsed).compared
                if left.scope == {("days_overdue",)} and right.node["type"] == "literal"
            ]
        for word, limit in asked:
            least = (or_none(as_decimal, limit) or 0) if word in _MORE_THAN else 0
            if events == ("PAYMENT_OVERDUE",) and least >= _LAST_OVERDUE + _MORE_THAN.get(word, 0):
                what = N_("Asaas sends PAYMENT_OVERDUE one to four days after the due date; delete the condition")
                findings.warning(name, "condition.event", what)


def _last(node: dict[str, Any]) -> dict[str, Any]:
    while node["type"] in {"pipe", "subexpression"}:
        node = node["children"][-1]
    return node


def _kind(part: Part) -> str | None:
    """Return the kind of a part's value: one of a field, amount or formatted (a text of money() or date()), or list."""
    node = _last(part.node)
    match node["type"]:
        case "literal":
            return {bool: "boolean", int: "number", float: "number", str: "text"}.get(type(node["value"]))
        case "projection" | "filter_projection" | "value_projection" | "flatten":
            return "list"
        case "function_expression":
            name = node["value"]
            if name == "date":
                return _kind_of_format(node)
            if name not in {"default", "not_null", "max", "min"}:
                return _KIND_OF_CALL.get(name)
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
    """Return the kind of date()'s text: a date as Asaas writes it, a text that sorts by time, or a formatted one."""
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
        return tuple(label_of(value) or value for value in _values_of(Reading(tree["children"][0]).part))
    return _values_of(Reading(tree).part)


def _values_of(part: Part) -> tuple[str, ...]:
    if _last(part.node)["type"] not in {"field", "index_expression"}:
        return ()
    values = [values_of_path(path) for path in part.scope]
    return tuple(dict.fromkeys(one for some in values for one in some)) if values and all(values) else ()
