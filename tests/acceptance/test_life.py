"""`bridge test-charge --scenario life` against the simulators and a bridge in real processes."""

from __future__ import annotations

import contextlib
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import DEFAULT_TOKEN
from bridge.web.app import create_app
from tests import asking
from tests.acceptance.deployment import Deployment
from tests.acceptance.test_charge_trial import PRODUCTION_KEY, Site
from tests.console import PASSWORD, QUICK, Browser, finish_jobs
from tests.factories import until

# In one process of the test run, because they share one bridge.
pytestmark = pytest.mark.slow

FUNNEL = """
events:
  - PAYMENT_CREATED
  - PAYMENT_OVERDUE
  - PAYMENT_CONFIRMED
  - PAYMENT_RECEIVED
  - PAYMENT_PARTIALLY_REFUNDED
  - PAYMENT_REFUNDED
  - PAYMENT_DELETED
contact: {nome: customer.name, email: customer.email}
deal:
  valor: money(payment.value)
  situacao: label(event)
  vencimento: date(payment.dueDate, '%d/%m/%Y')
  codigo_asaas: payment.id
send_to: default
routes:
  - {events: [PAYMENT_OVERDUE], send_to: vencidas}
  - {events: [PAYMENT_CONFIRMED, PAYMENT_RECEIVED, PAYMENT_PARTIALLY_REFUNDED], send_to: pagas}
  - {events: [PAYMENT_REFUNDED, PAYMENT_DELETED], send_to: estornadas}
tests: []
"""
ONLY_LARGE = """
events: [PAYMENT_REFUNDED]
filter: {field: payment.value, at_least: 1000}
contact: {email: customer.email}
deal: {codigo_asaas: payment.id}
send_to: default
tests: []
"""
OTHER_STATUS = """
events: [PAYMENT_RECEIVED]
filter: {field: payment.value, equals: 77}
contact: {email: customer.email}
deal: {codigo_asaas: payment.id, situacao: label(event), caminho: {text: outra}}
send_to: abertas
tests: []
"""
"""Its integration should set WON and sets OPEN; `caminho` shows that it wrote the deal."""
WALLET = "c0c1688f-636b-42c0-b6ee-7339182276b7:20%"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, emptied_redis_url: str) -> Iterator[Site]:
    """Give a bridge that runs, with an integration for each stage of the funnel."""
    texts = {"funil": FUNNEL, "so_grandes": ONLY_LARGE, "zz_outra_situacao": OTHER_STATUS}
    with opened_site(tmp_path_factory.mktemp("life"), emptied_redis_url, texts) as opened:
        yield opened


@contextlib.contextmanager
def opened_site(scratch: Path, emptied_redis_url: str, texts: Mapping[str, str]) -> Iterator[Site]:
    """Give a bridge that runs with these mappings, by name."""
    mappings = scratch / "funnel"
    mappings.mkdir()
    for name, text in texts.items():
        (mappings / f"{name}.yaml").write_text(text)
    settings = {"CLINT_API_TOKEN": DEFAULT_TOKEN}
    bridge = Deployment(scratch, f"sqlite:///{scratch}/journal.db", emptied_redis_url, mappings, settings)
    with bridge:
        bridge.env["CLINT_API_URL"] = bridge.clint_url
        open_deals = {"name": "abertas", "stage": "Paga", "status": "OPEN"}
        added = asking.post(f"{bridge.clint_url}/_sim/integrations", json=open_deals).json()
        bridge.env["CLINT_WEBHOOK_URL_ABERTAS"] = f"{bridge.clint_url}{added['path']}"
        bridge.start()
        site = Site(bridge, scratch)
        site.register()
        yield site
        site.close()


def lives(site: Site, *arguments: str, status: int, **environ: str) -> Any:
    """Run the scenario and return what its --json says."""
    return site.try_it("--scenario", "life", *arguments, status=status, **environ)


def verdicts(found: Any) -> dict[str, str]:
    """Return the verdict of each step."""
    return {one["step"]: one["verdict"] for one in found["steps"]}


def step_of(found: Any, name: str) -> Any:
    """Return one step."""
    return next(one for one in found["steps"] if one["step"] == name)


def not_removed(site: Site, path: str) -> set[str]:
    """Return the ids of what the simulated Asaas still lists."""
    data = site.asaas_api.get(path, params={"limit": 100}).json()["data"]
    return {one["id"] for one in data}


def test_every_step_is_proved_by_its_own_deal(site: Site) -> None:
    """Each step is on a charge of its own, its last event is read back, and at the end Asaas has only what was paid."""
    before = not_removed(site, "/payments")
    found = lives(site, "--split", WALLET, status=0)
    lines = [line for step in found["steps"] for line in step["lines"]]
    deals = {line["deal_id"] for line in lines if line["deal_id"]}
    charges = [id_ for step in found["steps"] for id_ in step["payments"]]
    kept = {one["id"] for one in found["left"] if one["kind"] == "charge"}
    proved = [line["code"] for line in lines if line["verdict"] == "proved"]

    assert found["proved"]
    assert verdicts(found).pop("chargeback") == "skipped"
    assert sorted(set(verdicts(found).values())) == ["proved", "skipped"]
    assert Counter(proved) == {"deal.seen": 8}
    assert Counter(line["code"] for line in lines if line["verdict"] == "filtered") == {"filter.compare": 6}
    assert step_of(found, "refunded")["lines"][-1]["expected_facts"]
    assert len(charges) == len(set(charges)) == 9
    assert len(deals) == 8
    assert {one["id"] for one in found["left"] if one["kind"] == "deal"} == deals
    assert not_removed(site, "/customers") == set()
    assert not_removed(site, "/payments") - before == kept
    assert kept <= {id_ for step in found["steps"] for id_ in step["payments"]}
    assert [len(step_of(found, name)["payments"]) for name in ("paid", "plan")] == [1, 2]


def test_the_console_shows_the_same_table_while_it_runs(site: Site) -> None:
    """The form begins it, the job's page has every step from the start, and ends with all of them proved."""
    environ = {**site.commands.environ, "BRIDGE_PASSWORD": generate_password_hash(PASSWORD, QUICK)}
    runtime = Runtime(Settings.from_env(environ))
    with contextlib.closing(runtime):
        browser = Browser(create_app(runtime).test_client())
        browser.sign_in()
        form = {"account": "default", "billing_type": "CREDIT_CARD", "value": "10", "split": WALLET}
        path = browser.post("/test-charge/life", form).location
        until(lambda: "Under way" in browser.get(path).text and "Charge created" in browser.get(path).text, 30)
        until(lambda: "Ended early" in browser.get(path).text or "What was not removed" in browser.get(path).text, 120)
        page = browser.get(path).text
        finish_jobs()

    assert "Proved: every step that the sandbox can do" in page
    assert page.count("created or changed a deal") == 8
    assert "only a button in Asaas" in page
    assert "What was not removed" in page
    assert not_removed(site, "/customers") == set()


def test_what_the_sandbox_cant_do_is_skipped_and_another_status_contradicts(site: Site) -> None:
    """A boleto is not refunded in part; a deal in another status, and a refund that Asaas refuses, are no proof."""
    site.bridge.asaas("answers", status=400, path="/v3/payments/", method="POST", times=1)
    found = lives(site, "--billing-type", "boleto", "--value", "77", "--timeout", "3", status=1)
    paid, refunded = step_of(found, "paid"), step_of(found, "refunded")
    wrong = next(line for line in paid["lines"] if line["mapping"] == "zz_outra_situacao")

    assert not found["proved"]
    assert verdicts(found) == {
        "created": "proved",
        "overdue": "proved",
        "paid": "contradicted",
        "partly_refunded": "skipped",
        "refunded": "not_confirmed",
        "removed": "proved",
        "plan": "proved",
        "split": "skipped",
        "chargeback": "skipped",
    }
    assert (wrong["code"], wrong["verdict"]) == ("deal.differs", "contradicted")
    assert refunded["reasons"][0]["code"] == "asaas.rejected"
    assert not_removed(site, "/customers") == set()


def test_the_table_is_printed_with_what_is_not_removed(site: Site) -> None:
    """Where nothing comes the first step says why, the others are not started, and a customer that stays is named."""
    site.bridge.asaas("answers", status=500, path="/v3/customers/", method="DELETE", times=9)
    with site.with_hook(enabled=False):
        said = site.commands.run("test-charge", "--scenario", "life", "--timeout", "1")
    site.bridge.asaas("comes_back")
    (customer,) = not_removed(site, "/customers")
    site.asaas_api.delete(f"/customers/{customer}")

    assert said.status == 1
    assert re.search(
        r"^Charge created +Payment created +funil +the event +the event did not come +not confirmed$", said.out, re.M
    )
    assert said.out.count("not started") == 2 * 6
    assert f"not removed: customers {customer}" in said.out
    assert "webhook register" in said.out


def test_a_customer_whose_answer_was_lost_is_removed_too(site: Site) -> None:
    """Nobody knows its id, so it is found by its mark."""
    before = site.asaas_state()["customers"]
    site.bridge.asaas("breaks", how="closes", path="/v3/customers", method="POST", times=1)
    said = site.commands.run("test-charge", "--scenario", "life")

    assert said.status == 1
    assert "may or may not have done it" in said.err
    assert site.asaas_state()["customers"] == before + 1
    assert not_removed(site, "/customers") == set()


def test_ctrl_c_removes_what_was_made(site: Site) -> None:
    """The step under way ends, and nothing open is left at Asaas."""
    before = not_removed(site, "/payments")
    with (
        site.with_hook(enabled=False),
        site.commands.process("test-charge", "--scenario", "life", stdout=-1, stderr=-1) as process,
    ):
        until(lambda: not_removed(site, "/payments") - before, 30)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == 1
    assert not_removed(site, "/payments") == before
    assert not_removed(site, "/customers") == set()


def test_a_paused_destination_ends_it_at_once(site: Site) -> None:
    """The other steps would each make a charge and wait in vain."""
    site.commands.run("destinations", "pause", "default", "--reason", "parado")
    try:
        found = lives(site, "--timeout", "600", status=1)
    finally:
        site.commands.run("destinations", "resume", "default")
    reasons = {one["step"]: [reason["code"] for reason in one["reasons"]] for one in found["steps"]}

    assert reasons["created"] == ["trial.destination_waits"]
    assert reasons["paid"] == reasons["removed"] == ["life.not_begun"]


def test_production_is_refused(site: Site) -> None:
    """Also with --production: nothing is made."""
    site.bridge.asaas("keys", keys=[DEFAULT_KEY, PRODUCTION_KEY])
    before = site.asaas_state()["customers"]
    said = site.commands.run("test-charge", "--scenario", "life", ASAAS_API_KEY=PRODUCTION_KEY)
    meant = site.commands.run("test-charge", "--scenario", "life", "--production", ASAAS_API_KEY=PRODUCTION_KEY)

    assert [said.status, meant.status] == [2, 2]
    assert "ASAAS_API_KEY belongs to production" in said.err
    assert site.asaas_state()["customers"] == before


def test_without_the_clint_api_nothing_delivered_is_proved(site: Site) -> None:
    """A 200 of Clint is no proof; what is filtered as expected is."""
    found = lives(site, "--timeout", "30", status=1, CLINT_API_TOKEN="")
    (line,) = [one for one in step_of(found, "created")["lines"] if one["mapping"] == "funil"]

    assert verdicts(found)["created"] == "not_confirmed"
    assert line["code"] == "trial.deal_not_looked_at"
