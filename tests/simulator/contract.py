"""Holds what the bridge asks of the simulated Asaas, and what that answers, against the OpenAPI document.

It listens at the simulator's door, so that whatever part of the bridge asks is heard, over real HTTP.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Flask, Response, request

from tests.simulator.test_conformance import ASAAS, RECORDED_BEYOND_THE_DOCUMENT, check

MOST_IN_A_PAGE = 100


def operation_of(method: str, path: str) -> str:
    """Return the document's operation for a request; one without placeholders wins."""
    found = [
        operation
        for operation in ASAAS["operations"]
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(operation)), f"{method} {path}")
    ]
    return min(found, key=lambda operation: operation.count("{"), default="")


class Contract:
    """Hears every request of the API and notes what breaks the document."""

    def __init__(self, app: Flask) -> None:
        self.operations: set[str] = set()
        self.breaches: list[str] = []
        app.after_request(self._hear)

    def _hear(self, response: Response) -> Response:
        if request.path.startswith("/v3/"):
            try:
                self._hold(response)
            except AssertionError as breach:
                self.breaches.append(str(breach).splitlines()[0])  # what follows is for a person who debugs
        return response

    def _hold(self, response: Response) -> None:
        asked = f"{request.method} {request.path}"
        operation = operation_of(request.method, request.path)
        assert operation, f"{asked} is not in the document"
        self.operations.add(operation)
        document: dict[str, Any] = ASAAS["operations"][operation]
        unknown = set(request.args) - set(document["query"])
        assert not unknown, f"{operation}: the query has {sorted(unknown)}, which the document does not know"
        assert int(request.args.get("limit", "1")) <= MOST_IN_A_PAGE, f"{operation}: more than a page at once"
        if request.method == "GET":
            assert not request.get_data(), f"{operation}: a GET with a body, which Asaas refuses with 403"
        else:
            body = request.get_json(silent=True) or {}
            more = set(body) - set(document["request"])
            assert not more, f"{operation}: the body has {sorted(more)}, which the document does not know"
        if response.status_code == 200:
            answer = response.get_json()
            check(answer, document["responses"]["200"], ASAAS, RECORDED_BEYOND_THE_DOCUMENT, operation)
