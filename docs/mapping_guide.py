"""The generated parts of mappings/README.md, which cog prints from the tables of the mapping language.

The examples stand here. Their results and lint codes do not: the guide evaluates each expression and lints each
mistake when it is printed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bridge.mapping.catalogue import EVENTS
from bridge.mapping.context import DERIVED
from bridge.mapping.document import Scalar
from bridge.mapping.expressions import compile_expression, evaluate
from bridge.mapping.findings import Findings
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.lint import FIELDS
from bridge.mapping.model import Setup
from bridge.mapping.operators import OPERATORS
from bridge.mapping.parser import parse_mapping, read_directory
from bridge.mapping.spec import CONDITION_KINDS, TABLES

RECIPES: tuple[tuple[str, str], ...] = (
    ("payment.value", "O campo `value` do objeto `payment`: o ponto entra no objeto."),
    ("customer.company", "Quando o campo está vazio, a expressão dá vazio e a chave não sai."),
    ("customer.mobilePhone || customer.phone", "O celular; se estiver vazio, o fixo. `||` lê-se “ou então”."),
    ("default(payment.description, 'sem descrição')", "Um texto no lugar do vazio. Textos vão entre aspas simples."),
    ("payment.split[0].walletId", "O primeiro item de uma lista; a contagem começa no zero."),
    ("payment.split[].walletId", "O campo de todos os itens, como lista."),
    ("join(', ', payment.split[].walletId)", "Uma lista vira um texto só."),
    (
        "payment.split[?walletId=='carteira-b'].fixedValue | [0]",
        "Só os itens que cumprem a condição; deles, o primeiro.",
    ),
    ("length(payment.split)", "Quantos itens a lista tem."),
    ("payment.value > `100`", "Comparar dá verdadeiro ou falso; números vão entre crases."),
    ("payment.billingType == 'PIX' && payment.value >= `50`", "As duas coisas ao mesmo tempo: `&&` lê-se “e”."),
    ("upper(first_name(customer.name))", "Uma função dentro da outra: a de dentro vem primeiro."),
    ("money(percent(payment.netValue, `10`))", "Dez por cento do valor líquido, com duas casas."),
    ("days_between(payment.dueDate, today)", "Quantos dias passaram do vencimento até hoje."),
    ("label(payment.billingType)", "O nome em português."),
)
"""Expressions and what they teach."""

CONTEXT: dict[str, Any] = {
    "event": "PAYMENT_RECEIVED",
    "today": "2026-11-22",
    "payment": {
        "value": 129.9,
        "netValue": 127.91,
        "billingType": "PIX",
        "dueDate": "2026-11-20",
        "description": None,
        "split": [
            {"walletId": "carteira-a", "fixedValue": 20},
            {"walletId": "carteira-b", "fixedValue": 15.5},
        ],
    },
    "customer": {
        "name": "Maria da Silva",
        "company": None,
        "mobilePhone": None,
        "phone": "1130000000",
    },
}
"""What the recipes see."""

_WHOLE = "events: [PAYMENT_RECEIVED]\ncontact:\n  email: customer.email\n"
MISTAKES: tuple[tuple[str, str, str], ...] = (
    (_WHOLE, "sendto: vencidas", "A chave se chama `send_to`; o lint diz a palavra mais parecida."),
    (_WHOLE, "deal: {valor: mony(payment.value)}", "Não existe a função `mony`; é `money`."),
    (_WHOLE, "deal:\n  valor: brl(payment.value, `2`)", "A função recebeu valores demais."),
    (
        _WHOLE,
        "deal: {dia: date(payment.dueDate, '%d/%m')}",
        "Dentro de `{ }` a vírgula separa; use uma linha por campo, ou ponha a expressão entre aspas.",
    ),
    (_WHOLE, "deal: {nome: payment.custmer}", "O Asaas não tem esse campo; veja a lista dos campos abaixo."),
    (_WHOLE, "deal: {nome: payment.customer.name}", "`payment.customer` é só o código; os dados estão em `customer`."),
    (_WHOLE, "deal: {origem: Asaas}", "Sem `text`, Asaas é lido como expressão. Escreva `{text: Asaas}`."),
    (_WHOLE, "deal: {nome: {text: customer.name}}", "`text` envia o que está escrito; para o valor, `from`."),
    (_WHOLE, "deal: {valor: payment.value | `0`}", "Um `|` só dá sempre o que está depois dele; “ou então” é `||`."),
    (_WHOLE, "deal:\n  dia: date(payment.dueDate, 'dd/mm/yyyy')", "O formato de data aqui é `'%d/%m/%Y'`."),
    (_WHOLE, 'deal: {t: {template: "Pedido {{payment.id}}"}}', "Uma chave de cada lado: `{payment.id}`."),
    (_WHOLE, "filter: {field: payment.billingType, equals: Pix}", "O Asaas escreve `PIX`; o lint diz quais há."),
    (_WHOLE, "filter: {expression: payment.value > 50}", "Números vão entre crases, e a expressão toda entre aspas."),
    (_WHOLE, "filter: {expression: payment.dueDate > '01/12/2026'}", "Datas se comparam com `after` e `before`."),
    (_WHOLE, "deal: {cep: {text: 01310}}", "Sem aspas, outros programas leem outro número. Escreva `'01310'`."),
    (_WHOLE, "deal:\n\tvalor: payment.value", "Há uma tecla Tab no começo da linha; use espaços."),
    (_WHOLE, "deal: {valor: payment.value", "Falta fechar a chave `}`."),
    (_WHOLE, "filter: {field: payment.value, atleast: 50}", "O operador se chama `at_least`."),
    (_WHOLE, "filter: {field: payment.value, at_least: cinquenta}", "`at_least` compara números."),
    (_WHOLE, "filter: {field: payment.value, at_least: 1.000}", "Mil ou um? Escreva `1000` ou `1.00`."),
    (_WHOLE, "deal: {valor: payment.value # total}", "O `#` começa um comentário: feche a chave `}` antes dele."),
    (_WHOLE, "events: [PAYMENT_OVERDUE]", "A chave está duas vezes no arquivo; fica só uma."),
    (
        "contact:\n  email: customer.email\n",
        "events: [PAYMENT_RECIVED]",
        "A ponte não conhece esse evento; o lint diz o mais parecido.",
    ),
    (
        "events: [PAYMENT_RECEIVED]\n",
        "contact: {nome: customer.name}",
        "Sem e-mail nem telefone a Clint não acha o contato.",
    ),
)
"""A file's sound part, the line that is wrong, and what to say about it."""


def keys(table: str) -> str:
    """Return the keys of one block of a mapping file as a Markdown table."""
    rows = [
        (
            f"`{key.name}`",
            key.help,
            "sim" if key.required else f"`{key.default}`" if key.default else "",
            _code(key.example),
        )
        for key in TABLES[table].values()
        if table != "condition" or key.name in CONDITION_KINDS
    ]
    return _table(("chave", "o que é", "obrigatória, ou valor sem ela", "exemplo"), rows)


def operators() -> str:
    """Return the operators of conditions as a Markdown table."""
    rows = [(f"`{one.name}`", one.help, _code(one.example)) for one in OPERATORS.values()]
    return _table(("operador", "quando vale", "exemplo"), rows)


def functions() -> str:
    """Return the functions of expressions as a Markdown table."""
    rows = [(f"`{one.signature}`", one.help, _code(one.example), one.gives) for one in FUNCTIONS.values()]
    return _table(("função", "o que faz", "exemplo", "resultado"), rows)


def derived() -> str:
    """Return the values that the bridge works out itself as a Markdown table."""
    return _table(("nome", "o que é"), [(f"`{one.name}`", one.help) for one in DERIVED.values()])


def events() -> str:
    """Return the events of Asaas as a Markdown table."""
    return _table(
        ("evento", "o que aconteceu", "objeto"), [(f"`{e.name}`", e.label, e.entity) for e in EVENTS.values()]
    )


def recipes() -> str:
    """Return expressions with what they teach and what they give, as a Markdown table."""
    rows = [(_code(text), what, _code(_given(text))) for text, what in RECIPES]
    return _table(("expressão", "o que ensina", "dá"), rows)


def recipe_context() -> str:
    """Return what the recipes see, as JSON."""
    return json.dumps(CONTEXT, ensure_ascii=False, indent=2)


def _given(text: str) -> str:
    expression = compile_expression(Scalar(1, 1, text, plain=True, inline=True), Findings("guide"))
    value = evaluate(expression, CONTEXT) if expression else None
    return "vazio" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def mistakes() -> str:
    """Return common mistakes with what lint says of each, as a Markdown table."""
    rows = []
    for sound, wrong, what in MISTAKES:
        found = parse_mapping(f"{sound}{wrong}\n", "x.yaml", Setup(None, None)).findings
        first = next(one for one in found if one.code != "tests.none" and one.line > sound.count("\n"))
        rows.append((_code(wrong.replace("\n", " ⏎ ").replace("\t", "⇥")), what, f"`{first.code}`"))
    return _table(("o que está escrito", "o que é", "código do lint"), rows)


def fields(name: str) -> str:
    """Return the fields that an object of Asaas is known to have, in one line; those with fields of their own last."""
    known = FIELDS[name]
    plain = [f"`{field}`" for field, inner in known.items() if not inner]
    deep = [f"`{field}.{one}`" for field, inner in known.items() if inner for one in inner]
    return ", ".join([*plain, *deep])


def starters(directory: Path) -> str:
    """Return the mapping files of a directory as a Markdown table."""
    rows = [
        (
            f"`{one.mapping.name}.yaml`",
            one.mapping.description,
            ", ".join(sorted(one.mapping.destinations)),
            "ligado" if one.mapping.enabled else "desligado",
        )
        for one in read_directory(directory, Setup(None, None))
        if one.mapping
    ]
    return _table(("arquivo", "o que faz", "destinos", "vem"), rows)


def _code(text: str) -> str:
    # A backtick inside needs a longer fence around it.
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(headers)
    lines = [head, tuple("---" for _ in head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
