"""The JSON Schema of a mapping file, by which editors complete and mark mistakes while a person types.

It follows the tables of `spec`. It checks no expression, sample or destination; lint refuses all that it refuses.
"""

from __future__ import annotations

import json
from typing import Any

from bridge.mapping import spec
from bridge.mapping.cases import SET_PATH
from bridge.mapping.catalogue import EVENTS
from bridge.mapping.lint import EVENT_FORM
from bridge.mapping.model import FETCHABLE
from bridge.mapping.operators import OPERATORS, Operand
from bridge.mapping.spec import CONDITION_KINDS, FIELD_SOURCES, NAME, TABLES, Key, Shape

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE_NAME = "mapping.schema.json"
COMMENT = f"# yaml-language-server: $schema=./{FILE_NAME}"
"""The first line of a mapping file, by which an editor finds the schema."""

_FAMILIES = sorted({f"{event.family}_*" for event in EVENTS.values()})
# An editor reads unquoted 10 as a number and true as a boolean; to the bridge every scalar is a text.
_SCALAR = ["string", "number", "boolean"]
_TEXT: dict[str, Any] = {"type": _SCALAR, "pattern": "\\S"}
_EXPRESSION: dict[str, Any] = {"type": "string", "pattern": "\\S"}
_EVENT: dict[str, Any] = {
    "anyOf": [{"enum": [*EVENTS, *_FAMILIES]}, {"type": "string", "pattern": f"^{EVENT_FORM.pattern}$"}]
}
_SOURCES = [{"required": [source]} for source in FIELD_SOURCES]
_OPERANDS: dict[Operand, dict[str, Any]] = {
    Operand.TEXT: {"type": _SCALAR, "minLength": 1},
    Operand.NUMBER: {"type": ["string", "number"], "minLength": 1},
    Operand.DATE: {"type": "string", "minLength": 1},
    Operand.PATTERN: {"type": _SCALAR, "minLength": 1},
}


def schema() -> dict[str, Any]:
    compared = {"required": ["field"], "oneOf": [{"required": [name]} for name in OPERATORS]}
    return {
        "$schema": DIALECT,
        "title": "Automação entre o Asaas e a Clint",
        **_block("mapping"),
        "$defs": {
            "condition": {
                **_block("condition"),
                "oneOf": [compared if kind == "field" else {"required": [kind]} for kind in CONDITION_KINDS],
                "dependentRequired": {name: ["field"] for name in OPERATORS},
            },
            "field": {
                **_block("field"),
                "oneOf": _SOURCES,
                "dependentRequired": {"lookup": ["from"]},
            },
            "value": {**_block("field", spec.VALUE), "oneOf": _SOURCES, "dependentRequired": {"lookup": ["from"]}},
            "funnel": _block("funnel"),
            "deal_key": _block("deal_key"),
            "route": _block("route"),
            "test": _block("test"),
            "expect": {**_block("expect"), "additionalProperties": {"type": [*_SCALAR, "null"]}, "minProperties": 1},
        },
    }


def schema_text() -> str:
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _block(name: str, table: spec.Table | None = None) -> dict[str, Any]:
    keys = (table or TABLES[name]).values()
    block: dict[str, Any] = {
        "type": "object",
        "properties": {key.name: _property(key) for key in keys},
        "additionalProperties": False,
    }
    required = [key.name for key in keys if key.required]
    return {**block, "required": required} if required else block


def _property(key: Key) -> dict[str, Any]:
    told: dict[str, Any] = {"description": f"{key.help} Exemplo: {key.example}"}
    if key.default:
        told["default"] = {"true": True, "false": False}.get(key.default, key.default)
    if key.shape is Shape.CHOICE:
        return {**told, "enum": list(key.choices)}
    if key.shape is Shape.DEAL_KEY:
        return {**told, "anyOf": [{"enum": list(key.choices)}, _ref("deal_key")]}
    if key.choices:
        one = {"enum": list(key.choices)}
        return {**told, "anyOf": [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]}
    return {**told, **(_OPERANDS[OPERATORS[key.name].operand] if key.shape is Shape.OPERAND else _VALUES[key.shape])}


def _texts(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


_VALUES: dict[Shape, dict[str, Any]] = {
    Shape.TEXT: _TEXT,
    Shape.TEMPLATE: _TEXT,
    Shape.NAME: {"type": _SCALAR, "pattern": f"^{NAME.pattern}$"},
    Shape.BOOLEAN: {"type": "boolean"},
    Shape.TEXTS: _texts({"type": _SCALAR, "minLength": 1}),
    Shape.EVENTS: _texts(_EVENT),
    Shape.EXPRESSION: _EXPRESSION,
    Shape.CONDITION: _ref("condition"),
    Shape.CONDITIONS: {"type": "array", "items": _ref("condition"), "minItems": 1},
    Shape.FIELDS: {
        "type": "object",
        "propertyNames": {"pattern": "\\S"},
        "additionalProperties": {"anyOf": [_EXPRESSION, _ref("field")]},
    },
    Shape.VALUE: {"anyOf": [_EXPRESSION, _ref("value")]},
    Shape.TAGS: _texts({"anyOf": [_TEXT, _ref("value")]}),
    Shape.FUNNEL: _ref("funnel"),
    Shape.LOOKUP: {"type": "object", "additionalProperties": {"type": _SCALAR}, "minProperties": 1},
    Shape.ROUTES: {"type": "array", "items": _ref("route")},
    Shape.TESTS: {"type": "array", "items": _ref("test")},
    Shape.PATHS: {"type": "object", "propertyNames": {"pattern": f"^{SET_PATH.pattern}$"}},
    Shape.FETCHED: {
        "type": "object",
        "properties": {key: {"type": [*_SCALAR, "object", "null"]} for key in sorted(FETCHABLE)},
        "additionalProperties": False,
    },
    Shape.VALUES: {"type": "object", "additionalProperties": {"type": [*_SCALAR, "null"]}},
    Shape.GIVEN: {"type": [*_SCALAR, "object"]},
    Shape.EXPECT: {"anyOf": [{"enum": ["filtered"]}, _ref("expect")]},
}
