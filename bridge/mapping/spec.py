"""The keys of a mapping file, as one table: reading, lint, the operator's guide and the JSON schema follow it.

To add a key, add a row here and use it where the part is built; nothing else lists keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import cast

from bridge.mapping.advice import formatted, two_conditions
from bridge.mapping.document import MappingNode, Node, Scalar, Sequence
from bridge.mapping.findings import Findings, did_you_mean, shown
from bridge.mapping.operators import OPERATORS, Operand
from bridge.mapping.values import two_readings, typed


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


NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""How accounts, destinations and lines are named."""

_SCALARS = frozenset(
    {Shape.TEXT, Shape.NAME, Shape.BOOLEAN, Shape.CHOICE, Shape.EXPRESSION, Shape.TEMPLATE, Shape.OPERAND}
)
_BLOCKS = frozenset({Shape.FIELDS, Shape.LOOKUP, Shape.PATHS, Shape.FETCHED, Shape.VALUES})
_TEXTS = frozenset({Shape.TEXTS, Shape.EVENTS})
_OTHERWISE = frozenset({Shape.GIVEN, Shape.EXPECT})
"""What the tests' own reader judges."""
_LISTS = frozenset({Shape.CONDITIONS, Shape.ROUTES, Shape.TESTS})
_WANTED = {
    Shape.BOOLEAN: "true or false",
    Shape.CONDITION: "a condition such as {field: payment.value, at_least: 50}",
    Shape.CONDITIONS: "a list of conditions, one behind each dash",
    Shape.FIELDS: "lines such as nome: customer.name",
    Shape.LOOKUP: "pairs such as {PIX: Pix}",
    Shape.PATHS: "pairs such as {payment.value: 10}",
    Shape.FETCHED: "pairs such as {customer: samples/customer_pf.json}",
    Shape.VALUES: "pairs such as {nome: Cliente Teste}",
    Shape.ROUTES: "a list of routes, one behind each dash",
    Shape.TESTS: "a list of tests, one behind each dash",
    Shape.EXPRESSION: "an expression such as payment.value",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One pair of a block that fits the table."""

    key: Scalar
    value: Node


class Block:
    """The pairs of a block that fit its table, by key."""

    def __init__(self, node: Node, entries: dict[str, Entry], *, whole: bool) -> None:
        self.node = node
        self.whole = whole
        """False where something in the block was refused: what seems to be missing may be that."""
        self._entries = entries

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def key(self, name: str) -> Scalar:
        """Return where the key stands."""
        return self._entries[name].key

    def value(self, name: str) -> Node | None:
        """Return the key's value, or None where the block has no such key."""
        entry = self._entries.get(name)
        return entry.value if entry else None

    def scalar(self, name: str) -> Scalar | None:
        """Return the key's value if it is a scalar."""
        value = self.value(name)
        return value if isinstance(value, Scalar) else None

    def text(self, name: str, default: str = "") -> str:
        """Return the key's text, or the default."""
        scalar = self.scalar(name)
        return scalar.text if scalar else default

    def texts(self, name: str) -> list[Scalar]:
        """Return the key's list of texts; one text is a list of one."""
        return texts_of(self.value(name))


def texts_of(node: Node | None) -> list[Scalar]:
    """Return the scalars of a list, or a scalar as a list of one."""
    if isinstance(node, Sequence):
        return [item for item in node.items if isinstance(item, Scalar)]
    return [node] if isinstance(node, Scalar) else []


def unique_pairs(block: MappingNode, findings: Findings) -> list[tuple[Scalar, Node]]:
    """Return the pairs of a block, refusing a key that stands there twice."""
    first: dict[str, Scalar] = {}
    pairs = []
    for key, value in block.pairs:
        before = first.setdefault(key.text, key)
        if before is not key:
            where = f"on line {before.line} and again on line {key.line}"
            where = f"twice on line {key.line}" if before.line == key.line else where
            findings.error(key, "key.duplicate", f"key {shown(key.text)} stands {where}; keep one")
            continue
        pairs.append((key, value))
    return pairs


def read_block(
    node: Node, table: Table, what: str, findings: Findings, *, complete: bool, others: bool = False
) -> Block | None:
    """Return what fits the table, or None where the node is no block; `others` lets unknown keys pass unread."""
    if not isinstance(node, MappingNode):
        findings.error(node, "value.shape", f"{what} must be a block of keys and values, got {described(node)}")
        return None
    entries: dict[str, Entry] = {}
    refused = set()
    unindented: str | None = None
    for key, value in unique_pairs(node, findings):
        row = table.get(key.text)
        if row is not None and fits(row, value, findings):
            entries[key.text] = Entry(key, value)
        elif row is not None or not others:
            refused.add(key.text)
        if row is not None:
            unindented = key.text if row.shape in _BLOCKS and _is_empty(value) and not node.flow else None
        elif not others and key.text:
            hint = f"; indent it below {unindented}" if unindented else ""
            hint = hint or comma_hint(node, key, value) or two_conditions(key.text, table)
            hint = hint or did_you_mean(key.text, table)
            if not hint and _is_empty(value) and node.flow and len(node.pairs) == 1:
                hint = f"; an expression has no braces: write {formatted(key.text)}"
            findings.error(key, "key.unknown", f"{what} has no key {shown(key.text)}{hint}")
    if complete:
        for row in table.values():
            if row.required and row.name not in entries and row.name not in refused:
                findings.error(node, "key.missing", f"{what} needs {row.name}, such as {row.name}: {row.example}")
    return Block(node, entries, whole=complete and not refused)


def _is_empty(value: Node) -> bool:
    return isinstance(value, Scalar) and value.plain and not value.text


def comma_hint(block: MappingNode, key: Scalar, value: Node) -> str:
    """Return what to do where a key is what stands behind a comma of the value before it; empty where it is none."""
    before = next((one for (_, one), (other, _) in pairwise(block.pairs) if other is key), None)
    if not block.flow or not _is_empty(value) or not isinstance(before, Scalar) or not before.plain:
        return ""
    number = f"{before.text},{key.text}"
    what = f'"{number}"' if re.fullmatch(r"[\d.]+,\d+", number) else "the whole value in quotes"
    what = two_readings(number) or what
    return f"; in braces a comma ends a value, so write {what}"


def fits(row: Key, value: Node, findings: Findings) -> bool:
    """Say whether a value has its key's shape; say what is wrong where it has not."""
    if isinstance(value, Scalar) and value.plain and value.text == "" and row.shape not in _OTHERWISE:
        findings.error(value, "value.empty", f"{row.name} has no value; give it one, such as {row.example}")
        return False
    shape = row.shape
    right = (
        (shape in _SCALARS and isinstance(value, Scalar))
        or (shape in _BLOCKS and isinstance(value, MappingNode))
        or (shape in _LISTS and isinstance(value, Sequence))
        or (shape is Shape.CONDITION and isinstance(value, MappingNode))
        or (shape in _TEXTS and _is_texts(value))
        or shape in _OTHERWISE
    )
    if not right:
        wanted = f"a list of texts such as {row.example}" if shape in _TEXTS else _WANTED.get(shape, "a text")
        hint = "; write all: above the list" if shape is Shape.CONDITION and isinstance(value, Sequence) else ""
        findings.error(value, "value.shape", f"{row.name} must be {wanted}, got {described(value)}{hint}")
        return False
    return not isinstance(value, Scalar) or _scalar_fits(row, value, findings)


def _is_texts(value: Node) -> bool:
    return isinstance(value, Scalar) or (
        isinstance(value, Sequence) and bool(value.items) and all(isinstance(item, Scalar) for item in value.items)
    )


def _scalar_fits(row: Key, value: Scalar, findings: Findings) -> bool:
    text = value.text
    match row.shape:
        case Shape.BOOLEAN if not (value.plain and text in {"true", "false"}):
            quotes = "" if value.plain else " without quotes"
            findings.error(value, "value.boolean", f"{row.name} must be true or false{quotes}, got {shown(text)}")
        case Shape.CHOICE if text not in row.choices:
            choices = ", ".join(row.choices)
            findings.error(
                value,
                "value.choice",
                f"{row.name} must be one of {choices}, got {shown(text)}{did_you_mean(text, row.choices)}",
            )
        case Shape.TEXT | Shape.TEMPLATE | Shape.NAME if is_null(value):
            findings.error(
                value, "value.null", f"{row.name} must be a text, got {text}; leave the key out, or quote the word"
            )
        case Shape.NAME if not NAME.fullmatch(text):
            findings.error(
                value,
                "value.name",
                f"{row.name} must be a name of lower case letters, digits, _ and -, got {shown(text)}",
            )
        case Shape.TEXT | Shape.TEMPLATE if not text.strip():
            findings.error(value, "value.empty", f"{row.name} is an empty text; leave the key out")
        case _:
            return True
    return False


def is_null(value: Scalar) -> bool:
    """Say whether a scalar is YAML's null: not quoted, and null, ~ or nothing."""
    return value.plain and typed(value.text) is None


def described(node: Node) -> str:
    """Return what a node is, in a person's words."""
    if isinstance(node, Scalar):
        return shown(node.text) if node.text else "nothing"
    if isinstance(node, Sequence):
        return "a list" if node.items else "an empty list"
    return "a block of keys and values" if cast(MappingNode, node).pairs else "an empty block"
