"""`GET /openapi.json`: what machines may ask the web process and what it answers, as OpenAPI 3.1.

One table, held against the running application by tests: every path that is there is in it, and every answer is one
that it names. The console's pages are for people and not part of it.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from bridge import __version__
from bridge.errors import (
    AddressNotAllowed,
    BodyTooLarge,
    BridgeError,
    JournalError,
    NotAnEvent,
    UnknownAccount,
    WrongToken,
)

Json = dict[str, Any]

PATH = "/openapi.json"

openapi = Blueprint("openapi", __name__)


@openapi.get(PATH)
def described() -> ResponseReturnValue:
    """Answer the document."""
    return jsonify(document())


def document() -> Json:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "asaas-clint-bridge",
            "version": __version__,
            "description": "The door for Asaas's webhooks, and what a host and Prometheus ask.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            "/webhooks/asaas": {"post": _door("receiveEvent", "Keep one event of the account `default`")},
            "/webhooks/asaas/{account}": {
                "parameters": [
                    {
                        "name": "account",
                        "in": "path",
                        "required": True,
                        "description": "name of an account: what stands behind ASAAS_WEBHOOK_TOKEN_, in lower case",
                        "schema": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 40,
                            "pattern": "^[a-z0-9][a-z0-9_]*$",
                        },
                    }
                ],
                "post": _door("receiveEventOfAccount", "Keep one event of an account"),
            },
            "/healthz": {"get": _get("alive", "Whether the process is alive", {"200": _json("alive", _ALIVE)})},
            "/readyz": {
                "get": _get(
                    "ready",
                    "Whether events can be kept and worked on",
                    {"200": _json("ready", _READY), "503": _json("a part is not ready", _READY)},
                )
            },
            "/metrics": {
                "get": _get(
                    "metrics",
                    "Numbers for Prometheus",
                    {
                        "200": {
                            "description": "Prometheus's text format",
                            "content": {"text/plain": {"schema": {"type": "string"}}},
                        }
                    },
                )
            },
            PATH: {"get": _get("described", "This document", {"200": _json("OpenAPI 3.1", {"type": "object"})})},
        },
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "asaas-access-token",
                    "description": "the account's ASAAS_WEBHOOK_TOKEN, or one of two while it is changed",
                }
            },
        },
    }


def _door(operation: str, summary: str) -> Json:
    return {
        "operationId": operation,
        "summary": summary,
        "description": "The body is kept exactly as it came, once per event id. Content-Type is not looked at.",
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _EVENT}}},
        "responses": {
            "200": _json("kept, or known already", _RECEIVED),
            **{
                str(error.http_status): _refusal((error.__doc__ or "").strip())
                for error in (NotAnEvent, WrongToken, AddressNotAllowed, UnknownAccount, BodyTooLarge)
            },
            "500": _refusal((BridgeError.__doc__ or "").strip()),
            "503": _refusal(f"{(JournalError.__doc__ or '').strip()}: post it again later"),
        },
    }


def _get(operation: str, summary: str, responses: Json) -> Json:
    return {"operationId": operation, "summary": summary, "security": [], "responses": responses}


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusal(description: str) -> Json:
    return _json(description, {"$ref": "#/components/schemas/Error"})


def _closed(**properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_EVENT: Json = {
    "type": "object",
    "required": ["event"],
    "properties": {"event": {"type": "string", "pattern": "\\S", "description": "name such as PAYMENT_RECEIVED"}},
    "description": "Asaas's envelope; other keys may be there, at most 100 levels deep",
}
_RECEIVED = _closed(received={"const": True})
_ALIVE = _closed(alive={"const": True})
_PART: Json = {
    "type": "object",
    "required": ["ready"],
    "properties": {
        "ready": {"type": "boolean"},
        "problem": _TEXT,
        "active": _TEXTS,
        "problems": _TEXTS,
        "late": _TEXTS,
    },
    "additionalProperties": False,
}
_READY = _closed(ready={"type": "boolean"}, journal=_PART, redis=_PART, mappings=_PART, tasks=_PART)
_ERROR = _closed(error=_closed(code={"type": "string", "pattern": "^[a-z_]+\\.[a-z0-9_]+$"}, message=_TEXT))
