"""Holds what the simulated Clint's API is asked, and what it answers, against the OpenAPI document.

It listens at the simulator's door, so that whatever part of the bridge asks is heard, over real HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request
from jsonschema import Draft202012Validator, FormatChecker

from tests.simulator.recordings import DATA

DOCUMENT: dict[str, Any] = json.loads((DATA / "specs" / "clint.json").read_text(encoding="utf-8"))
SEEN_BEYOND_THE_DOCUMENT = frozenset({"value", "currency", "stage", "updated_at"})
"""Keys that people report of Clint's deals and that its document does not have."""
OPEN = frozenset({"Paginated", "AccountFields"})
"""Schemas that others extend, and the one whose keys a real account chooses."""


def operations() -> Iterator[str]:
    """Give each operation of the document, such as `GET /v1/deals`."""
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            yield f"{method.upper()} {path}"


def operation_of(method: str, path: str) -> str:
    """Return the document's operation for a request, or an empty text."""
    found = (
        one for one in operations() if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(one)), f"{method} {path}")
    )
    return next(found, "")


def strict(schema: Any, *, nullable: bool, is_part: bool = False) -> Any:
    """Return a schema that refuses keys it does not name; with `nullable` what is missing may be null.

    The document does not say what may be null; the recorded answers do. A part of an `allOf` leaves keys to the whole.
    """
    if isinstance(schema, list):
        return [strict(one, nullable=nullable) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {
        name: [strict(part, nullable=nullable, is_part=True) for part in value]
        if name == "allOf"
        else strict(value, nullable=nullable)
        for name, value in schema.items()
        if name not in {"properties", "enum", "example"}
    }
    if "properties" in schema:
        changed["properties"] = {name: strict(one, nullable=nullable) for name, one in schema["properties"].items()}
    if not is_part and ("allOf" in schema or "properties" in schema) and "additionalProperties" not in schema:
        changed["unevaluatedProperties"] = False
    if "enum" in schema:
        changed["enum"] = [*schema["enum"], None] if nullable else schema["enum"]
    if nullable and isinstance(schema.get("type"), str):
        changed["type"] = [schema["type"], "null"]
    return changed


def schemas(*, nullable: bool) -> dict[str, Any]:
    """Return the document's schemas, made strict."""
    found = DOCUMENT["components"]["schemas"]
    made = {name: one if name in OPEN else strict(one, nullable=nullable) for name, one in found.items()}
    if nullable:
        made["Deal"]["properties"] |= dict.fromkeys(SEEN_BEYOND_THE_DOCUMENT, True)
    return made


REQUESTS, ANSWERS = ({"components": {"schemas": schemas(nullable=one)}} for one in (False, True))


def faults(value: Any, schema: Any, *, nullable: bool) -> list[str]:
    """Return what is wrong with a value, in the document's words."""
    whole = {**(ANSWERS if nullable else REQUESTS), **strict(schema, nullable=nullable)}
    found = Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]


def resolved(one: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter or an answer of the document, which may stand in another place."""
    if "$ref" not in one:
        return one
    kind, name = one["$ref"].split("/")[-2:]
    found: dict[str, Any] = DOCUMENT["components"][kind][name]
    return found


class ClintContract:
    """Hears every request of the API and notes what breaks the document."""

    def __init__(self, app: Flask) -> None:
        self.operations: set[str] = set()
        self.breaches: list[str] = []
        app.after_request(self._hear)

    def _hear(self, response: Response) -> Response:
        if request.path.startswith("/v1/"):
            operation = operation_of(request.method, request.path)
            if operation:
                self.operations.add(operation)
                found = [*_of_request(operation), *_of_answer(operation, response)]
                self.breaches += [f"{operation}: {fault}" for fault in found]
            else:
                self.breaches.append(f"{request.method} {request.path} is not in the document")
        return response


def _described(operation: str) -> dict[str, Any]:
    method, path = operation.split()
    found: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return found


def _of_request(operation: str) -> Iterator[str]:
    described = _described(operation)
    parameters = {one["name"]: one for one in map(resolved, described["parameters"])}
    if "api-token" not in request.headers:
        yield "no api-token"
    for name, text in request.args.items():
        known = parameters.get("fields" if name.startswith("fields[") and name.endswith("]") else name)
        if known is None or known["in"] != "query":
            yield f"the query has {name}, which the document does not know"
        elif known["schema"].get("type") == "integer":
            yield from faults(int(text) if text.isdecimal() else text, known["schema"], nullable=False)
        elif known["schema"].get("type") != "object":
            yield from faults(text, known["schema"], nullable=False)
    if "{id}" in operation:
        yield from faults(request.path.split("/")[3], parameters["id"]["schema"], nullable=False)
    if "requestBody" in described:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        yield from faults(request.get_json(silent=True), schema, nullable=False)
    elif request.get_data():
        yield "a body, which the document does not know"


def _of_answer(operation: str, response: Response) -> Iterator[str]:
    answers = _described(operation)["responses"]
    status = str(response.status_code)
    if status in answers:
        content = resolved(answers[status]).get("content")
        if content is not None:
            yield from faults(response.get_json(), content["application/json"]["schema"], nullable=True)
        elif response.get_data():
            yield f"a {status} with a body"
    elif response.status_code < 400:
        yield f"{status} is not in the document"
    elif list(response.get_json(silent=True) or {}) != ["error"]:
        yield f"a {status} without an error"
