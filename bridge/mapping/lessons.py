"""What the operator's guide teaches by example: expressions with what they give, and mistakes with what lint says.

Nothing here is typed off: the guide evaluates each expression and lints each mistake when it is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

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

CONTEXT: Mapping[str, Any] = MappingProxyType(
    {
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
)
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
    (_WHOLE, "events: [PAYMENT_OVERDUE]", "A chave está duas vezes no arquivo; fica só uma."),
    (
        "contact:\n  email: customer.email\n",
        "events: [PAYMENT_RECIVED]",
        "A ponte não conhece esse evento; o lint diz o mais parecido.",
    ),
    (
        "events: [PAYMENT_RECEIVED]\n",
        "contact: {nome: customer.name}",
        "Sem e-mail nem telefone o Clint não acha o contato.",
    ),
)
"""A file's sound part, the line that is wrong, and what to say about it."""
