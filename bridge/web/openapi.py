"""`GET /openapi.json`: the requests and answers of the web process for programs, as they stand in openapi.json."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response

DOCUMENT = Path(__file__).with_name("openapi.json").read_bytes()

openapi = Blueprint("openapi", __name__)


@openapi.get("/openapi.json")
def described() -> Response:
    """Answer the document."""
    return Response(DOCUMENT, mimetype="application/json")
