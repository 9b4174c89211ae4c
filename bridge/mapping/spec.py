"""The keys of a mapping file, as one table: reading, lint, the operator's guide and the JSON schema follow it.

To add a key, add a row here and use it where the part is built; nothing else lists keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from bridge.mapping.operators import OPERATORS, Operand


class Shape(StrEnum):
    """What a key's value looks like in the file."""

    TEXT = "text"
    NAME = "name"  # lower case letters, digits, _ and -
    BOOLEAN = "boolean"
    CHOICE = "choice"
    TEXTS = "texts"  # a list of texts, or one text
    EVENTS = "events"  # names of events or families: a list, or one
    EXPRESSION = "expression"
    OPERAND = "operand"  # what an operator compares with; the operator says what it takes
    TEMPLATE = "template"
    CONDITION = "condition"
    CONDITIONS = "conditions"  # a list of conditions
    FIELDS = "fields"  # key of the payload: field
    LOOKUP = "lookup"  # text: text
    ROUTES = "routes"
    TESTS = "tests"
    PATHS = "paths"  # path into the event: any value
    FETCHED = "fetched"  # name of a fetched object: a file, the object or null
    VALUES = "values"  # key of the payload: the value it must have
    GIVEN = "given"  # a file or an event
    EXPECT = "expect"  # filtered, or what the table EXPECT says


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a block may have."""

    name: str
    shape: Shape
    help: str
    """One Portuguese sentence for the operator."""
    example: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()


Table = Mapping[str, Key]


def _table(*keys: Key) -> Table:
    return MappingProxyType({key.name: key for key in keys})


MAPPING = _table(
    Key("description", Shape.TEXT, "O que a automação faz, em uma frase.", "Cobrança paga vira negócio"),
    Key("enabled", Shape.BOOLEAN, "false desliga o arquivo sem apagá-lo.", "false", default="true"),
    Key("account", Shape.NAME, "De qual conta do Asaas vêm os eventos.", "matriz", default="default"),
    Key(
        "events",
        Shape.EVENTS,
        "Quais eventos do Asaas; PAYMENT_* são todos os de cobrança.",
        "[PAYMENT_CONFIRMED, PAYMENT_RECEIVED]",
        required=True,
    ),
    Key(
        "installments",
        Shape.CHOICE,
        "Parcelamentos: each envia toda parcela, first só a primeira, once uma vez por parcelamento e evento.",
        "once",
        default="each",
        choices=("each", "first", "once"),
    ),
    Key(
        "filter",
        Shape.CONDITION,
        "A condição que o evento precisa cumprir; sem ela, todos passam.",
        "{field: payment.value, at_least: 50}",
    ),
    Key(
        "contact",
        Shape.FIELDS,
        "Campos da aba Contato do Clint; pelo menos um é o e-mail ou o telefone.",
        "{email: customer.email}",
        required=True,
    ),
    Key("organization", Shape.FIELDS, "Campos da aba Organização do Clint.", "{empresa: customer.company}"),
    Key("deal", Shape.FIELDS, "Campos da aba Negócio do Clint.", "{valor: money(payment.value)}"),
    Key(
        "line",
        Shape.NAME,
        "A fila de cada cliente: os envios de uma fila saem um por vez, na ordem, entre todos os arquivos.",
        "relatorios",
        default="default",
    ),
    Key(
        "stale",
        Shape.CHOICE,
        "O que fazer com um evento mais velho que o último já enviado da mesma cobrança.",
        "send",
        default="skip",
        choices=("skip", "send"),
    ),
    Key(
        "send_to",
        Shape.NAME,
        "O destino: default é CLINT_WEBHOOK_URL, vencidas é CLINT_WEBHOOK_URL_VENCIDAS.",
        "vencidas",
        default="default",
    ),
    Key(
        "routes",
        Shape.ROUTES,
        "Eventos que vão a outro destino (outra etapa no Clint); vale a primeira rota que serve.",
        "[{events: [PAYMENT_OVERDUE], send_to: vencidas}]",
    ),
    Key(
        "verify",
        Shape.BOOLEAN,
        "true: depois do envio a ponte procura o negócio no Clint e avisa se não o vê (precisa de CLINT_API_TOKEN).",
        "true",
        default="false",
    ),
    Key("tests", Shape.TESTS, "Os testes deste arquivo.", "[{name: ..., given: ..., expect: ...}]"),
)

ROUTE = _table(
    Key("events", Shape.EVENTS, "Para quais eventos a rota vale.", "[PAYMENT_OVERDUE]", required=True),
    Key("send_to", Shape.NAME, "O destino.", "vencidas", required=True),
)

FIELD = _table(
    Key("from", Shape.EXPRESSION, "A expressão JMESPath que dá o valor.", "payment.billingType"),
    Key("template", Shape.TEMPLATE, "Texto com expressões entre chaves.", '"Cobrança {payment.invoiceNumber}"'),
    Key("text", Shape.TEXT, "Um texto fixo.", "Asaas"),
    Key("lookup", Shape.LOOKUP, "Troca o valor do from por outro texto.", "{PIX: Pix, BOLETO: Boleto}"),
    Key("default", Shape.TEXT, "O que enviar quando não há valor (ou o lookup não o conhece).", "Outra"),
    Key(
        "required",
        Shape.BOOLEAN,
        "true: sem valor, nada é enviado e a entrega para com esse motivo.",
        "true",
        default="false",
    ),
    Key(
        "type",
        Shape.CHOICE,
        "Como o valor vai no JSON.",
        "number",
        default="text",
        choices=("text", "number", "boolean"),
    ),
    Key(
        "is",
        Shape.CHOICE,
        "Diz que a chave é o e-mail ou o telefone do contato, quando o nome dela não diz.",
        "email",
        choices=("email", "phone"),
    ),
)
FIELD_SOURCES = ("from", "template", "text")
"""A field has exactly one of these."""

CASE = _table(
    Key("name", Shape.TEXT, "O que o teste mostra.", "Pix recebido cria negócio", required=True),
    Key(
        "given",
        Shape.GIVEN,
        "O evento: um arquivo de samples/ ou o próprio evento.",
        "samples/payment_received_pix.json",
        required=True,
    ),
    Key("set", Shape.PATHS, "Valores trocados no evento, pelo caminho.", "{payment.value: 129.9}"),
    Key(
        "with",
        Shape.FETCHED,
        "O que seria buscado no Asaas, por nome: um arquivo, o próprio objeto ou null.",
        "{customer: samples/customer_pf.json}",
    ),
    Key(
        "expect",
        Shape.EXPECT,
        "O que deve sair: filtered, ou chaves e valores do envio.",
        "{nome: Cliente Teste}",
        required=True,
    ),
)

EXPECT = _table(
    Key("exactly", Shape.VALUES, "Todas as chaves do envio; nenhuma outra pode sair.", "{nome: Cliente Teste}"),
    Key("dead", Shape.TEXT, "O código do motivo pelo qual nada é enviado.", "transform.no_contact"),
    Key("send_to", Shape.NAME, "O destino esperado.", "vencidas"),
)

_OPERAND_SHAPES = {Operand.TEXTS: Shape.TEXTS, Operand.BOOLEAN: Shape.BOOLEAN}

CONDITION = _table(
    Key("all", Shape.CONDITIONS, "Todas estas condições valem.", "[...]"),
    Key("any", Shape.CONDITIONS, "Pelo menos uma destas condições vale.", "[...]"),
    Key("not", Shape.CONDITION, "Esta condição não vale.", "{...}"),
    Key("field", Shape.EXPRESSION, "O valor a comparar; junto dele vai um operador.", "payment.value"),
    Key(
        "expression",
        Shape.EXPRESSION,
        "Uma expressão JMESPath que dá verdadeiro ou falso.",
        '"length(payment.split || `[]`) == `0`"',
    ),
    *(
        Key(
            operator.name,
            _OPERAND_SHAPES.get(operator.operand, Shape.OPERAND),
            operator.help,
            operator.example.split(": ", 1)[1],
        )
        for operator in OPERATORS.values()
    ),
)
CONDITION_KINDS = ("all", "any", "not", "field", "expression")
"""A condition has exactly one of these."""

TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "mapping": MAPPING,
        "condition": CONDITION,
        "field": FIELD,
        "route": ROUTE,
        "test": CASE,
        "expect": EXPECT,
    }
)
