"""Advice for what people write who know a spreadsheet, another language or Portuguese: the right word, or what to do.

Each piece of advice stands in tests/compliance/lint beside a mapping that follows it and works.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection

SYNONYMS = {
    # Keys of a mapping and of its parts.
    "account": "conta",
    "contact": "contato cliente",
    "deal": "negocio",
    "description": "descricao",
    "enabled": "ativo ativa ligado ligada habilitado active",
    "events": "evento eventos",
    "filter": "filtro condicao condicoes when where",
    "installments": "parcelas parcelamento parcelamentos",
    "line": "linha fila",
    "organization": "organizacao empresa company",
    "routes": "rota rotas",
    "send_to": "destino enviar_para destination",
    "tests": "teste testes",
    "name": "nome",
    "given": "dado dados evento",
    "with": "com",
    "expect": "espera esperado resultado",
    # Sources and keys of a field.
    "from": "de valor value expressao expression",
    "template": "modelo formato texto_com_valores",
    "text": "texto fixo",
    "lookup": "tabela mapa de_para traduzir map",
    "default": "padrao senao else",
    "required": "obrigatorio obrigatoria",
    "type": "tipo",
    # Conditions and operators.
    "all": "todos todas e and",
    "any": "algum alguma qualquer ou or",
    "not": "nao",
    "field": "campo",
    "expression": "expressao",
    "equals": "= == igual igual_a eq is",
    "not_equals": "!= <> diferente diferente_de ne",
    "one_of": "um_de uma_de em in",
    "not_one_of": "nenhum_de nenhuma_de not_in",
    "contains": "contem",
    "not_contains": "nao_contem",
    "starts_with": "comeca_com inicia_com",
    "ends_with": "termina_com",
    "matches": "regex",
    "greater_than": "> maior maior_que gt acima_de",
    "at_least": ">= maior_ou_igual maior_igual minimo no_minimo min gte",
    "less_than": "< menor menor_que lt abaixo_de",
    "at_most": "<= menor_ou_igual menor_igual maximo no_maximo max lte",
    "before": "antes antes_de ate",
    "after": "depois depois_de apos",
    "exists": "existe tem",
    # Functions.
    "money": "dinheiro valor",
    "brl": "moeda real reais currency",
    "phone": "telefone fone celular",
    "digits": "digitos numeros",
    "date": "data formatar_data",
    "days_between": "dias_entre datediff",
    "upper": "maiuscula maiusculas to_upper toupper uppercase",
    "lower": "minuscula minusculas to_lower tolower lowercase",
    "title": "capitalize titulo proper",
    "trim": "strip aparar",
    "first_email": "primeiro_email",
    "first_name": "primeiro_nome",
    "last_name": "sobrenome",
    "cpf_cnpj": "cpf cnpj documento",
    "replace": "substituir trocar",
    "label": "rotulo traduzir nome_de",
    "percent": "porcento porcentagem percentual",
    "length": "len tamanho count contar",
    "sum": "soma somar",
    "to_string": "str string texto",
    "to_number": "int float number numero",
    # Values and events of Asaas.
    "RECEIVED": "pago paga paid recebido liquidado",
    "PENDING": "pendente aberto aguardando_pagamento",
    "OVERDUE": "vencido atrasado late",
    "REFUNDED": "estornado reembolsado",
    "CONFIRMED": "confirmado",
    "CREDIT_CARD": "cartao cartao_de_credito credito card credit",
    "DEBIT_CARD": "cartao_de_debito debito",
    "BOLETO": "boleto_bancario bank_slip",
    "production": "producao prod",
    "sandbox": "homologacao teste",
    "FISICA": "pf pessoa_fisica",
    "JURIDICA": "pj pessoa_juridica",
    "MONTHLY": "mensal",
    "YEARLY": "anual",
    "WEEKLY": "semanal",
    "ACTIVE": "ativo ativa",
    "INACTIVE": "inativo inativa",
    "PAYMENT_RECEIVED": "payment_paid payment_approved payment_success charge_paid pagamento_recebido cobranca_paga",
    "PAYMENT_CREATED": "charge_created cobranca_criada",
    "PAYMENT_OVERDUE": "payment_late payment_expired payment_due cobranca_vencida",
    "PAYMENT_DELETED": "payment_canceled payment_cancelled payment_removed",
    "PAYMENT_REFUNDED": "payment_reversed",
    "SUBSCRIPTION_INACTIVATED": "subscription_canceled subscription_cancelled",
    "CHECKOUT_PAID": "checkout_completed",
}
"""Right words, with the words that people write for them, without accents."""
_WORDS: dict[str, list[str]] = {}
for _right, _others in SYNONYMS.items():
    for _other in _others.split():
        _WORDS.setdefault(_other, []).append(_right)

_PARTS = "an expression can't cut a text; digits(x), first_name(x), last_name(x) and replace(x, old, new) may do"
_JOIN = 'join texts by a template: {template: "{payment.invoiceNumber} - {customer.name}"}'
_CHOOSE = "write condition && 'one' || 'other', or a lookup"
_FIRST = "write a || b, or default(a, b)"
_TODAY = "write today, without brackets"
_NO_ARITHMETIC = (
    "an expression has no arithmetic: fee is value minus netValue, sum([a, b]) adds, percent(x, `10`) takes a share, "
    "days_between(a, b) counts days"
)
_INSTEAD = {
    name: advice
    for names, advice in (
        ("concat concatenar concatenate", _JOIN),
        ("if se iif case", _CHOOSE),
        ("round arredondar tofixed", "money(x) rounds to two decimals"),
        ("today hoje now agora", _TODAY),
        ("coalesce ifnull nvl isnull", _FIRST),
        ("substring substr left right mid slice split", _PARTS),
        ("add subtract minus multiply divide subtrair multiplicar dividir", _NO_ARITHMETIC),
        ("format formatar", "date(x, '%d/%m/%Y') writes a date, brl(x) an amount"),
    )
    for name in names.split()
}

INVISIBLE = {
    "\u00a0": "a no-break space",
    "\u00ad": "a soft hyphen",
    "\u200b": "a space without width",
    "\u200c": "a sign without width",
    "\u200e": "a mark of direction",
    "\u200f": "a mark of direction",
    "\u2028": "a line separator",
    "\u2029": "a paragraph separator",
    "\u202f": "a narrow no-break space",
    "\u2060": "a sign without width",
    "\u3000": "a wide space",
    "\ufeff": "a byte order mark",
    **{chr(code): "a space of another width" for code in (*range(0x2000, 0x200B), 0x205F)},
}
"""Characters that look like a space or like nothing. U+200D is not one: it joins emoji."""
SPACES = "".join(sign for sign, what in INVISIBLE.items() if what.endswith(("space", "width")) and sign.isspace())


_CURLY = "\u201c\u201d\u2018\u2019\u00b4"
_WORDS_ALONE = re.compile(r"[^\W\d][^'\"`(){}\[\]|&<>=]*")
_MOST_QUOTED = 60
"""Characters of a text that advice repeats."""


def invisible(text: str) -> str:
    """Return what the first invisible character of a text is, with its number; empty where there is none."""
    sign = next((sign for sign in text if sign in INVISIBLE), "")
    return f"{INVISIBLE[sign]} (U+{ord(sign):04X})" if sign else ""


def synonym(word: str, words: Collection[str]) -> str | None:
    """Return the one of the words that a person means who writes the word, or None where the tables have none."""
    decomposed = unicodedata.normalize("NFD", word.strip().lower())
    plain = re.sub(r"[\s-]+", "_", "".join(sign for sign in decomposed if not unicodedata.combining(sign)))
    return next((right for right in _WORDS.get(plain, ()) if right in words), None)


def instead_of(function: str) -> str:
    """Return what to write instead of a function of other languages; empty where nothing is known."""
    return _INSTEAD.get(function.lower(), "")


def of_syntax(text: str, position: int, token: str, *, number: bool) -> str:
    """Return what to do about an expression that can't be parsed, at the token that can't stand there."""
    sign, bare = token.strip("'\"")[:1], text.strip()
    path = re.search(r"\w+(\.\w+)+", text)
    inner = re.fullmatch(r"\{+\s*([^{}]*?)\s*\}+", bare)
    for holds, advice in (
        (inner, f"an expression has no braces; write {inner[1] if inner else ''}"),
        (re.search(r"\{[^{}]*\}", text), f"a text with values in braces is a template: {{template: {_quoted(bare)}}}"),
        (sign in INVISIBLE, f"delete {invisible(sign)}"),
        (sign and sign in _CURLY, "write a text between straight quotes, '...'"),
        ("R$" in text, f"write brl({path[0] if path else 'x'})"),
        (re.fullmatch(r"\d+([.,]\d+)?", bare), f"a fixed value is written {{text: '{bare}'}}"),
        (number, f"a number stands between backticks: `{_number_at(text, position)}`"),
        (sign == "=" and text[position - 1 : position] != "=", f"write == to compare{_with_number(text, position)}"),
        (sign == "=" or text[position - 1 : position + 1] == "<>", "write == or != to compare"),
        (token in {"e", "and"} or sign == "&", "write && between two conditions"),
        (token in {"ou", "or"}, "write || between two conditions"),
        (bare.startswith("not "), "write !(...) for not"),
        (sign == "?", _CHOOSE),
        (sign == "+" and "'" in text, _JOIN),
        (sign and sign in "+-*/%", _NO_ARITHMETIC),
        (sign == "#", "a comment stands outside of the quotes"),
        (sign == ".", "a name stands on both sides of a dot"),
        (" " in bare and _WORDS_ALONE.fullmatch(bare), f"a fixed text is written {{text: {_quoted(bare)}}}"),
    ):
        if holds:
            return advice
    return "quote texts with '...'"


def _with_number(text: str, position: int) -> str:
    found = re.match(r"=+\s*(?=-?\d)", text[position:])
    return f", and the number between backticks: == `{_number_at(text, position + found.end())}`" if found else ""


def _number_at(text: str, position: int) -> str:
    found = re.match(r"-?[\d.,]+", text[position:])
    return found[0].rstrip(".,").replace(",", ".") if found else "50"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if len(text) <= _MOST_QUOTED else '"..."'
