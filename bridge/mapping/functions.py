"""The functions of expressions beside JMESPath's own, as one table.

The interpreter calls them, lint counts their arguments, the guide prints them (data/language.json). A function given
null gives null, so that a missing phone leaves its key out instead of failing; `default` is the exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jmespath import functions as jmespath_functions

from bridge.mapping import values
from bridge.mapping.catalogue import label_of, read_data
from bridge.mapping.values import BadValue, is_missing, kind_of
from bridge.messages import N_, Message

MAX_TEXT = 1024 * 1024
"""Ours: characters that a function may make out of shorter texts, as many as a whole event has."""
LONGEST_REMEMBERED = 200
"""Longest text, in characters, for which a function's result is kept."""
_SMALL = frozenset({int, float, bool, type(None)})


class EvaluationFailed(BadValue):
    """An expression could not be evaluated; the message says why without quoting a value."""


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    parameters: tuple[str, ...]
    call: Callable[..., Any]
    help: str
    """One Portuguese sentence for the operator's guide."""
    example: str
    gives: str

    @property
    def signature(self) -> str:
        """Return the function as it is written, such as `date(x, formato)`."""
        return f"{self.name}({', '.join(self.parameters)})"


def _replace(value: Any, old: Any, new: Any) -> str:
    if not isinstance(old, str) or not old:
        raise BadValue(N_("takes a text to look for, got {kind}"), kind=kind_of(old))
    text, with_ = values.text_of(value), values.text_of(new)
    if text.count(old) * len(with_) > MAX_TEXT:
        raise BadValue(N_("makes at most {limit} characters"), limit=MAX_TEXT)
    return text.replace(old, with_)


def _bound_join(glue: Any, parts: Any) -> None:
    if isinstance(glue, str) and isinstance(parts, list):
        makes = len(glue) * len(parts) + sum(len(part) for part in parts if isinstance(part, str))
        if makes > MAX_TEXT:
            raise _failed("join", BadValue(N_("makes at most {limit} characters"), limit=MAX_TEXT))


def _date(value: Any, pattern: Any) -> str | None:
    if not isinstance(pattern, str):
        raise BadValue(N_("takes a format such as '%d/%m/%Y', got {kind}"), kind=kind_of(pattern))
    return None if is_missing(value) else values.format_date(value, pattern)


def _unless_blank(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if is_missing(value) else call(value)


_CALLS: Mapping[str, Callable[..., Any]] = {
    "phone": _unless_blank(values.phone),
    "first_email": values.first_email,
    "digits": lambda x: re.sub(r"[^0-9]", "", values.text_of(x)) or None,
    "money": _unless_blank(lambda x: format(values.cents(x), "f")),
    "brl": _unless_blank(values.brl),
    "percent": values.percent,
    "date": _date,
    "days_between": lambda start, end: (values.as_day(end) - values.as_day(start)).days,
    "cpf_cnpj": values.cpf_cnpj,
    "title": values.title,
    "first_name": lambda x: next(iter(values.text_of(x).split()), None),
    "last_name": lambda x: " ".join(values.text_of(x).split()[1:]) or None,
    "upper": lambda x: values.text_of(x).upper(),
    "lower": lambda x: values.text_of(x).lower(),
    "trim": lambda x: values.text_of(x).strip(),
    "replace": _replace,
    # Asaas adds statuses without notice: the raw word is better than a delivery that fails.
    "label": lambda x: label_of(values.text_of(x)) or values.text_of(x),
    "default": lambda x, y: y if is_missing(x) else x,
}
FUNCTIONS: Mapping[str, Function] = {
    name: Function(name, tuple(about["parameters"]), _CALLS[name], about["help"], about["example"], about["gives"])
    for name, about in read_data("language")["functions"].items()
}


class Functions(jmespath_functions.Functions):
    """JMESPath's own functions and the bridge's."""

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        arguments = list(resolved_args)
        if function_name not in FUNCTIONS:
            if function_name == "join":
                _bound_join(*arguments)
            return super().call_function(function_name, arguments)
        if function_name != "default" and any(argument is None for argument in arguments):
            return None
        if function_name in _REMEMBERED and all(
            type(one) in _SMALL or (type(one) is str and len(one) <= LONGEST_REMEMBERED) for one in arguments
        ):
            return _remembered(function_name, *arguments)
        return _called(function_name, *arguments)


def _called(name: str, *arguments: Any) -> Any:
    try:
        return FUNCTIONS[name].call(*arguments)
    except BadValue as error:
        raise _failed(name, error) from None


def _failed(name: str, error: BadValue) -> EvaluationFailed:
    return EvaluationFailed(Message("{function}() {problem}", {"function": name, "problem": error.message}))


_REMEMBERED = frozenset({"brl", "date", "days_between", "money", "percent"})
"""The costly ones. The others take names, phones and documents, which no process may keep."""
# By type too: 1, 1.0 and true are one key of a dictionary.
_remembered = lru_cache(maxsize=4096, typed=True)(_called)


def arity(name: str) -> tuple[int, int | None] | None:
    """Return the least and most arguments a function takes (most None: any number), or None for an unknown one."""
    if name in FUNCTIONS:
        count = len(FUNCTIONS[name].parameters)
        return count, count
    entry = jmespath_functions.Functions.FUNCTION_TABLE.get(name)
    if entry is None:
        return None
    signature = entry["signature"]
    variadic = bool(signature) and bool(signature[-1].get("variadic"))
    return len(signature), None if variadic else len(signature)


def names() -> tuple[str, ...]:
    return (*FUNCTIONS, *jmespath_functions.Functions.FUNCTION_TABLE)
