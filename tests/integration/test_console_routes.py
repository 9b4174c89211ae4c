"""Every route that changes something, as the application has them: a new one joins by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from bridge.web.console.access import FOR_ADMINISTRATORS
from tests.console import VIEWER, Console, opened_console

READS = {"GET", "HEAD", "OPTIONS"}
OF_EVERYBODY = {
    "console.signin.enter",
    "console.signin.appearance",
    "console.signin.language",
    "console.people.accept",
}
OF_VIEWERS = {
    *("console.signin.leave", "console.mappings_live.lint", "console.mappings_live.preview"),
    *("console.mappings_live.values", "console.mappings.draft"),  # a viewer looks at what a text would do, too
    *("console.people.rename_me", "console.people.change_my_password", "console.people.sign_me_out"),
}
"""Posts that change nothing of the bridge's, but the person's own account. Whoever adds one says here why."""
DOOR = "webhooks.receive"


def changing() -> list[tuple[str, Rule]]:
    """Return each method and rule of the application that is not for reading, but for the door."""
    app = create_app(Runtime(Settings.from_env({})))
    return [
        (method, rule)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - READS)
        if rule.endpoint != DOOR
    ]


ROUTES = [pytest.param(*one, id=f"{one[1].endpoint}-{one[0]}") for one in changing()]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Give one console to all: no request here may change anything in it."""
    scratch = tmp_path_factory.mktemp("routes")
    with opened_console(f"sqlite:///{scratch}/journal.db", Path(scratch)) as opened:
        yield opened


def refusal(console: Console, client: FlaskClient, method: str, rule: Rule, token: str = "") -> tuple[int, str]:
    """Return status and code of the answer to a program that asks for the change."""
    with console.app.test_request_context():
        path = console.app.url_map.bind("").build(rule.endpoint, dict.fromkeys(rule.arguments, "1"), method)
    answer = client.open(path, method=method, headers={"X-CSRF-Token": token} if token else {})
    return answer.status_code, (answer.get_json(silent=True) or {}).get("error", {}).get("code", "")


def test_there_are_routes_to_hold() -> None:
    """All of them are of the console, and those that are free to more than operators exist."""
    endpoints = {param.values[1].endpoint for param in ROUTES}  # type: ignore[union-attr]

    assert len(endpoints) > 25
    assert all(endpoint.startswith("console.") for endpoint in endpoints)
    assert endpoints > OF_EVERYBODY | OF_VIEWERS


@pytest.mark.parametrize(("method", "rule"), ROUTES)
def test_a_change_is_refused_to_viewers_to_strangers_and_without_the_forms_token(
    console: Console, method: str, rule: Rule
) -> None:
    """Each by its own code; without the token the operator is refused too, and a stranger with one is."""
    operator, viewer, stranger = console.operator(), console.browser(), console.browser()
    viewer.sign_in(VIEWER)
    by_nobody = refusal(console, stranger._client, method, rule, stranger.token())
    by_viewer = refusal(console, viewer._client, method, rule, viewer.token())

    for browser in (operator, viewer, stranger):
        assert refusal(console, browser._client, method, rule) == (400, "console.form_refused")
    if rule.endpoint not in OF_EVERYBODY:
        assert by_nobody == (401, "console.not_signed_in")
    if rule.endpoint in FOR_ADMINISTRATORS:
        assert by_viewer == (403, "console.for_administrators")
    elif rule.endpoint not in OF_EVERYBODY | OF_VIEWERS:
        assert by_viewer == (403, "console.read_only")
