"""The functions that expressions may call beside JMESPath's own, as one table.

The table is what the interpreter calls, what lint counts arguments by and what the operator's guide prints. A function
given null gives null, so that a missing phone leaves its key out instead of failing; `default` is the exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from jmespath import functions as jmespath_functions

from bridge.mapping import values
from bridge.mapping.catalogue import label_of
from bridge.mapping.values import BadValue, is_missing, kind_of

MAX_TEXT = 1024 * 1024
"""Characters that a function may make out of shorter texts: as much as a whole event has."""
MOST_REMEMBERED = 200
"""Longest text, in characters, for which a function's result is kept."""
_SMALL = frozenset({int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the language."""

    name: str
    parameters: tuple[str, ...]
    call: Callable[..., Any]
    help: str
    """One Portuguese sentence for the operator."""
    example: str
    gives: str
    takes_null: bool = False

    @property
    def signature(self) -> str:
        """Return the function as it is written, such as `date(x, formato)`."""
        return f"{self.name}({', '.join(self.parameters)})"


def _replace(value: Any, old: Any, new: Any) -> str:
    if not isinstance(old, str) or not old:
        raise BadValue(f"takes a text to look for, got {kind_of(old)}")
    text, with_ = values.text_of(value), values.text_of(new)
    if text.count(old) * len(with_) > MAX_TEXT:
        raise BadValue(f"makes at most {MAX_TEXT} characters")
    return text.replace(old, with_)


def _bound_join(glue: Any, parts: Any) -> None:
    if isinstance(glue, str) and isinstance(parts, list):
        makes = len(glue) * len(parts) + sum(len(part) for part in parts if isinstance(part, str))
        if makes > MAX_TEXT:
            raise FunctionFailed(f"join() makes at most {MAX_TEXT} characters")


def _date(value: Any, pattern: Any) -> str | None:
    if not isinstance(pattern, str):
        raise BadValue(f"takes a format such as '%d/%m/%Y', got {kind_of(pattern)}")
    return None if is_missing(value) else values.format_date(value, pattern)


def _label(value: Any) -> str:
    word = values.text_of(value)
    # Asaas adds statuses without notice: the raw word is better than a delivery that fails.
    return label_of(word) or word


def _days_between(start: Any, end: Any) -> int:
    return (values.as_day(end) - values.as_day(start)).days


def _unless_blank(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if is_missing(value) else call(value)


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        function.name: function
        for function in (
            Function(
                "phone",
                ("x",),
                _unless_blank(values.phone),
                "Telefone só com dígitos e código do país 55; põe o nono dígito que faltar no celular. "
                "O que não é um telefone fica vazio; número de outro país começa com + ou 00.",
                "phone('(47) 99632-1478')",
                "5547996321478",
            ),
            Function(
                "first_email",
                ("x",),
                values.first_email,
                "O primeiro e-mail de um texto que tem vários, sem espaços.",
                "first_email(' ana@example.com ; bia@example.com')",
                "ana@example.com",
            ),
            Function("digits", ("x",), values.digits, "Só os dígitos de um texto.", "digits('01310-000')", "01310000"),
            Function(
                "money",
                ("x",),
                _unless_blank(values.money),
                "Valor com duas casas e ponto; meio centavo arredonda para cima.",
                "money(`129.9`)",
                "129.90",
            ),
            Function(
                "brl", ("x",), _unless_blank(values.brl), "Valor como se lê no Brasil.", "brl(`1234.56`)", "R$ 1.234,56"
            ),
            Function(
                "percent",
                ("x", "p"),
                values.percent,
                "p por cento de x, como número; para um repasse em percentual do split, x é payment.netValue.",
                "percent(`98.01`, `10`)",
                "9.801",
            ),
            Function(
                "date",
                ("x", "formato"),
                _date,
                "Data no formato pedido. Lê 2026-11-22, 22/11/2026, 2026-11-22 10:30:00 (hora de Brasília) e ISO.",
                "date('2026-11-22', '%d/%m/%Y')",
                "22/11/2026",
            ),
            Function(
                "days_between",
                ("a", "b"),
                _days_between,
                "Quantos dias vão de a até b; negativo quando b vem antes.",
                "days_between('2026-11-20', '2026-11-22')",
                "2",
            ),
            Function(
                "cpf_cnpj",
                ("x",),
                values.cpf_cnpj,
                "CPF ou CNPJ com pontuação; o que não for um dos dois sai como veio.",
                "cpf_cnpj('24971563792')",
                "249.715.637-92",
            ),
            Function(
                "title",
                ("x",),
                values.title,
                "Nome com maiúsculas onde o português as usa.",
                "title('MARIA DA SILVA')",
                "Maria da Silva",
            ),
            Function(
                "first_name",
                ("x",),
                values.first_name,
                "Primeira palavra de um nome.",
                "first_name('Ana de Sá')",
                "Ana",
            ),
            Function(
                "last_name", ("x",), values.last_name, "Nome sem a primeira palavra.", "last_name('Ana de Sá')", "de Sá"
            ),
            Function(
                "upper", ("x",), lambda x: values.text_of(x).upper(), "Tudo em maiúsculas.", "upper('Pix')", "PIX"
            ),
            Function(
                "lower", ("x",), lambda x: values.text_of(x).lower(), "Tudo em minúsculas.", "lower('PIX')", "pix"
            ),
            Function(
                "trim",
                ("x",),
                lambda x: values.text_of(x).strip(),
                "Sem espaços no começo e no fim.",
                "trim('  Ana ')",
                "Ana",
            ),
            Function(
                "replace",
                ("x", "antigo", "novo"),
                _replace,
                "Troca um pedaço do texto por outro, em todas as vezes que aparece.",
                "replace('a-b-c', '-', '.')",
                "a.b.c",
            ),
            Function(
                "label",
                ("x",),
                _label,
                "Nome em português de uma situação, forma de pagamento ou evento do Asaas.",
                "label('CREDIT_CARD')",
                "Cartão de crédito",
            ),
            Function(
                "default",
                ("x", "y"),
                lambda x, y: y if is_missing(x) else x,
                "O primeiro valor; se estiver vazio, o segundo. Zero não é vazio.",
                "default('', 'sem descrição')",
                "sem descrição",
                takes_null=True,
            ),
        )
    }
)


class FunctionFailed(Exception):
    """A function could not take what it was given; the text says which and what it got."""


class Functions(jmespath_functions.Functions):
    """JMESPath's own functions and the bridge's."""

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        """Call a function of the table, or JMESPath's own of that name."""
        arguments = list(resolved_args)
        function = FUNCTIONS.get(function_name)
        if function is None:
            if function_name == "join":
                _bound_join(*arguments)
            return super().call_function(function_name, arguments)
        if not function.takes_null and any(argument is None for argument in arguments):
            return None
        if function_name in _REMEMBERED and all(
            type(one) in _SMALL or (type(one) is str and len(one) <= MOST_REMEMBERED) for one in arguments
        ):
            return _remembered(function_name, *arguments)
        return _called(function_name, *arguments)


def _called(name: str, *arguments: Any) -> Any:
    try:
        return FUNCTIONS[name].call(*arguments)
    except BadValue as error:
        raise FunctionFailed(f"{name}() {error}") from None


_REMEMBERED = frozenset({"brl", "date", "days_between", "money", "percent"})
"""The costly ones. The others take names, phones and documents, which no process may keep."""
# By type too: to a dictionary 1, 1.0 and true are one key.
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
    """Return the names of all functions."""
    return (*FUNCTIONS, *jmespath_functions.Functions.FUNCTION_TABLE)
