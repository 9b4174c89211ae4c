"""The HTTP surface as its OpenAPI document has it, tried by schemathesis against the application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

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
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from bridge.web.health import OPENAPI as DOCUMENT
from tests.factories import opened_journal
from tests.integration.test_web import OTHER, TOKEN, environment

pytest_plugins = ["schemathesis.pytest.plugin"]
document: dict[str, Any] = json.loads(DOCUMENT)
schema = schemathesis.openapi.from_dict(document)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def app(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """Give the application on a journal of its own."""
    scratch = tmp_path_factory.mktemp("openapi")
    url = f"sqlite:///{scratch}/journal.db"
    with opened_journal(url):
        runtime = Runtime(Settings.from_env(environment(url, redis_url, scratch)))
        runtime.register()
        yield create_app(runtime)
        runtime.close()


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_answer_is_one_that_the_document_names(case: Case[Any], app: Flask) -> None:
    """Sound and unsound requests, with the right token and without: no answer is another than it says, none a fault."""
    if case.path_parameters and case.method == "POST":
        case.path_parameters = {"account": "matriz"}
    for token in (TOKEN, OTHER, None):
        case.call_and_validate(
            app=app,
            headers={"asaas-access-token": token} if token else {"asaas-access-token": "x"},
            checks=CHECKS,
        )


def test_every_path_is_in_the_document(app: Flask) -> None:
    """What is not for people in the console is described, with its methods."""
    served = {
        (str(rule.rule).replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith("console.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, item in document["paths"].items() for method in item if method != "parameters"
    }

    assert described == served


@pytest.mark.parametrize("path", ["/webhooks/asaas", "/webhooks/asaas/{account}"])
def test_every_refusal_of_the_door_is_in_the_document(path: str) -> None:
    """Requests can't bring about all of them."""
    refusals = (NotAnEvent, WrongToken, AddressNotAllowed, UnknownAccount, BodyTooLarge, BridgeError, JournalError)

    assert set(document["paths"][path]["post"]["responses"]) == {"200", *(str(one.http_status) for one in refusals)}


@pytest.mark.parametrize("path", ["/readyz", "/metrics", "/openapi.json"])
def test_a_busy_bridge_answers_as_the_document_says(path: str, app: Flask) -> None:
    """An answer that nobody took holds its thread."""
    with ExitStack() as held:
        for _ in range(16):
            held.callback(app.test_client().get("/metrics").close)

        answer = schema[path]["GET"].Case().call_and_validate(app=app, checks=CHECKS[1:])

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "console.busy"


def test_the_document_is_served_as_it_is(app: Flask) -> None:
    """It names the version that runs."""
    assert app.test_client().get("/openapi.json").data == DOCUMENT
    assert document["info"]["version"] == __version__
