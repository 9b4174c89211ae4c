"""The whole life of charges where a mapping sends one event and filters those after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from werkzeug.security import generate_password_hash

from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from tests.acceptance.test_charge_trial import Site
from tests.acceptance.test_life import lives, opened_site, step_of, verdicts
from tests.console import PASSWORD, QUICK, Browser, finish_jobs

pytestmark = pytest.mark.slow

ONLY_NEW = """
events: [PAYMENT_CREATED, PAYMENT_CONFIRMED, PAYMENT_RECEIVED]
filter: {field: payment.status, equals: PENDING}
contact: {nome: customer.name, email: customer.email}
deal: {valor: money(payment.value), codigo_asaas: payment.id}
send_to: default
tests: []
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, emptied_redis_url: str) -> Iterator[Site]:
    """Give a bridge that runs with the one mapping."""
    with opened_site(tmp_path_factory.mktemp("life"), emptied_redis_url, {"novas": ONLY_NEW}) as opened:
        yield opened


def test_the_deal_before_a_filtered_event_is_looked_for(site: Site) -> None:
    """A step is proved by a deal that was seen, not by the filter of its last event."""
    found = lives(site, status=0)
    paid = step_of(found, "paid")["lines"]

    assert verdicts(found)["paid"] == "proved"
    assert [(line["event"], line["verdict"]) for line in paid if line["verdict"]] == [
        ("PAYMENT_CREATED", "proved"),
        ("PAYMENT_RECEIVED", "filtered"),
    ]


def test_without_the_clint_api_a_person_must_look(site: Site) -> None:
    """Nothing went wrong, so the page warns and says what only a person can see."""
    found = lives(site, status=1, CLINT_API_TOKEN="")
    environ = {**site.commands.environ, "BRIDGE_PASSWORD": generate_password_hash(PASSWORD, QUICK)}
    with contextlib.closing(Runtime(Settings.from_env({**environ, "CLINT_API_TOKEN": ""}))) as runtime:
        browser = Browser(create_app(runtime).test_client())
        browser.sign_in()
        form = {"account": "default", "billing_type": "PIX", "value": "10"}
        path = browser.post("/test-charge/life", form).location
        finish_jobs(120)
        page = browser.get(path).text

    assert verdicts(found)["paid"] == "not_confirmed"
    assert "only you can see the deals" in page
    assert "Not every step is proved" not in page
