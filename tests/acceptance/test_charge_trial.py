"""`bridge test-charge` against the simulators and a bridge in real processes: what proves, and what is said instead."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import DEFAULT_TOKEN
from tests import asking
from tests.acceptance.deployment import ROOT, TOKEN, Deployment
from tests.commands import Commands, Said
from tests.factories import until
from tests.peers import closed_port

# In one process of the test run, because they share one bridge.
pytestmark = pytest.mark.slow

PRODUCTION_KEY = "$aact_prod_simulator"
OTHER_TOKEN = "b9d2f7a4-1c6e-4f80-93b5-e8a1d4c7f260"


class Site:
    """A bridge in real processes between the simulators, its webhook at Asaas, and commands of its operator."""

    def __init__(self, bridge: Deployment, directory: Path) -> None:
        self.bridge = bridge
        self.commands = Commands(directory)
        self.commands.environ = {**bridge.env, "PORT": str(bridge.web_ports[0])}
        self.registered: dict[str, Any] = {}
        self.asaas_api = asking.client(
            base_url=f"{bridge.asaas_url}/v3", headers={"access_token": DEFAULT_KEY, "User-Agent": "test"}
        )

    @property
    def url(self) -> str:
        """The address of the web process."""
        return f"http://127.0.0.1:{self.bridge.web_ports[0]}"

    def register(self) -> None:
        """Register the webhook at Asaas, and keep how it was registered."""
        registered = self.commands.run("webhook", "register", "--url", self.url)
        assert registered.status == 0, registered.err
        (webhook,) = self.asaas_api.get("/webhooks").json()["data"]
        names = ("name", "url", "email", "enabled", "interrupted", "apiVersion", "sendType", "events")
        self.registered = {**{name: webhook[name] for name in names}, "authToken": TOKEN}

    def try_it(self, *arguments: str, status: int, **environ: str) -> Any:
        """Run a test charge and return what its --json says."""
        said = self.commands.run("test-charge", "--json", *arguments, **environ)

        assert said.status == status, (said.out, said.err)
        return said.json

    def on_terminal(self, *arguments: str, types: str = "", **environ: str) -> Said:
        """Run a test charge on a terminal."""
        return self.commands.on_terminal("test-charge", *arguments, types=types, **environ)

    def hook(self, **changes: Any) -> None:
        """Make the webhook at Asaas anew, as `bridge webhook register` left it but for these changes."""
        for webhook in self.asaas_api.get("/webhooks").json()["data"]:
            self.asaas_api.delete(f"/webhooks/{webhook['id']}").raise_for_status()
        self.asaas_api.post("/webhooks", json={**self.registered, **changes}).raise_for_status()

    @contextlib.contextmanager
    def with_hook(self, **changes: Any) -> Iterator[None]:
        """Change the webhook while the block runs; what could not be sent then is lost."""
        self.hook(**changes)
        try:
            yield
        finally:
            self.hook()

    def asaas_state(self) -> dict[str, Any]:
        """Return the numbers of the simulated Asaas."""
        state: dict[str, Any] = asking.get(f"{self.bridge.asaas_url}/_sim/state").json()
        return state

    def settle(self) -> None:
        """Wait until nothing of earlier tests is under way."""

        def under_way() -> bool:
            listed = [self.commands.run(what, "list", "--json").json for what in ("events", "deliveries")]
            states = {one["state"] for rows in listed for one in rows}
            return bool(states & {"received", "pending", "sending", "retrying"})

        until(lambda: not under_way(), 30)

    def close(self) -> None:
        """Close the connections."""
        self.asaas_api.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, emptied_redis_url: str) -> Iterator[Site]:
    """Give a bridge that runs, with the mappings it ships with and a webhook as `bridge webhook register` makes."""
    scratch = tmp_path_factory.mktemp("trial")
    mappings = scratch / "shipped"
    shutil.copytree(ROOT / "mappings", mappings)
    with (mappings / "cobranca_paga.yaml").open("a", encoding="utf-8") as file:
        file.write("verify: true\n")
    settings = {"CLINT_API_TOKEN": DEFAULT_TOKEN, "BRIDGE_READ_BACK_WAIT": "1"}
    bridge = Deployment(scratch, f"sqlite:///{scratch}/journal.db", emptied_redis_url, mappings, settings)
    with bridge:
        bridge.env["CLINT_API_URL"] = bridge.clint_url
        bridge.asaas("keys", keys=[DEFAULT_KEY, PRODUCTION_KEY])
        bridge.start()
        site = Site(bridge, scratch)
        site.register()
        yield site
        site.close()


def codes(found: Any) -> list[str]:
    """Return the codes of the problems."""
    return [problem["code"] for problem in found["problems"]]


def test_a_paid_pix_is_proved_by_its_deal(site: Site) -> None:
    """The charge is made and paid, its events come, are delivered, and the deal is read back with its stage."""
    found = site.try_it(status=0)
    charge = site.asaas_api.get(f"/payments/{found['payments'][0]}").json()
    customer = site.asaas_api.get(f"/customers/{found['customer']}").json()

    assert found["proved"]
    assert found["deal"]["stage"]
    assert found["conflicts"][0]["integration"] == "default"
    assert set(found["conflicts"][0]["statuses"]) == {"OPEN", "WON", "LOST"}
    assert found["deal"]["status"] in {"OPEN", "WON"}
    assert [event["name"] for event in found["events"]] == ["PAYMENT_CREATED", "PAYMENT_RECEIVED"]
    assert "delivered" in {one["state"] for event in found["events"] for one in event["deliveries"]}
    assert (charge["status"], charge["value"], charge["externalReference"]) == ("RECEIVED", 10, found["mark"])
    assert (customer["notificationDisabled"], customer["externalReference"]) == (True, found["mark"])
    assert "TESTE" in customer["name"]


def test_a_mapping_that_says_verify_has_its_deal_looked_for(site: Site) -> None:
    """The worker finds the deal by itself, and the delivery says so."""
    number = str(site.try_it(status=0)["events"][-1]["id"])

    def paid() -> dict[str, Any]:
        shown = site.commands.run("events", "show", number, "--json").json
        return next(one for one in shown["deliveries"] if one["mapping"] == "cobranca_paga")

    until(lambda: paid()["read_back"] == "seen", 20)
    shown = site.commands.run("events", "show", number)
    (listed,) = site.commands.run("deliveries", "list", "--mapping", "cobranca_paga", "--limit", "1", "--json").json

    assert re.search(r"deal +proved: .*stage ", shown.out)
    assert (listed["read_back"], listed["read_back_tries"]) == ("seen", 1)


def test_each_step_is_said_in_plain_lines(site: Site) -> None:
    """A pipe gets a line for each step: charge, events, verdicts, payload, Clint's answer, deal."""
    said = site.commands.run("test-charge", "--billing-type", "boleto", "--cleanup")

    assert said.status == 0, said.out
    steps = (
        *("(cus_", "R$ 10.00 (pay_", "paid in the sandbox", "PAYMENT_CREATED pay_", "PAYMENT_RECEIVED pay_"),
        *(
            "valor: 10.00",
            "delivered to",
            "looking for the deal",
            "found: stage",
            "mappings checklist",
            "proved",
            "Asaas keeps pay_",
        ),
    )
    assert [step for step in steps if step not in said.out] == []
    assert "\x1b" not in said.out


def test_instalments_and_splits_are_charged_and_what_is_open_is_removed(site: Site) -> None:
    """Three instalments by card, the first one paid; cleaning up leaves that one only."""
    arguments = ("--billing-type", "CREDIT_CARD", "--value", "90,00", "--installments", "3", "--split")
    found = site.try_it(*arguments, "c0c1688f-636b-42c0-b6ee-7339182276b7:20%", "--cleanup", status=0)
    first, *others = (site.asaas_api.get(f"/payments/{one}").json() for one in found["payments"])
    customer = site.asaas_api.get(f"/customers/{found['customer']}").json()

    assert (first["status"], first["value"], first["split"][0]["percentualValue"]) == ("CONFIRMED", 30, 20)
    assert [other["deleted"] for other in others] == [True, True]
    assert (found["removed"], found["kept"]) == (True, found["payments"][:1])
    assert customer["deleted"]


def test_a_contact_that_was_there_is_found_by_its_phone(site: Site) -> None:
    """With an e-mail and a phone of the operator's own the deal is found again."""
    found = site.try_it("--email", "dona@example.com", "--phone", "11987654321", status=0)

    assert found["email"] == "dona@example.com"


def test_without_the_clint_api_only_a_person_can_prove_it(site: Site) -> None:
    """Clint's 200 is no proof; a terminal is asked, anything else ends with 1 and where to look."""
    silent = site.commands.run("test-charge", CLINT_API_TOKEN="")
    asked = site.on_terminal(types="y\n", CLINT_API_TOKEN="")

    assert silent.status == 1
    assert "Históricos" in silent.out
    assert asked.status == 0, (asked.out, asked.err)
    assert "proved" in asked.out


def test_a_refused_clint_token_is_said_at_once(site: Site) -> None:
    """A wrong CLINT_API_TOKEN proves nothing and is named."""
    found = site.try_it(CLINT_API_TOKEN="wrong", status=1)

    assert codes(found) == ["clint.api"]
    assert "CLINT_API_TOKEN" in found["problems"][0]["mend"]


def test_a_clint_api_that_is_away_is_said(site: Site) -> None:
    """Whether the deal stands is not known then."""
    with closed_port() as port:
        found = site.try_it("--timeout", "4", status=1, CLINT_API_URL=f"http://127.0.0.1:{port}")

    assert codes(found) == ["clint.api"]
    assert "could not be reached" in found["problems"][0]["what"]


def test_a_deal_that_clint_does_not_show_is_no_proof(site: Site, tmp_path: Path) -> None:
    """Another Clint account shows no deal; the likely causes are named."""
    from bridge.simulator.serve import Served
    from tests.simulated import ClintSimulator

    with Served(ClintSimulator().app) as other:
        found = site.try_it("--timeout", "4", status=1, CLINT_API_URL=other.url)

    assert codes(found) == ["deal.none"]
    assert "Históricos" in found["problems"][0]["mend"]


def test_an_old_deal_of_the_contact_is_no_proof(site: Site) -> None:
    """Another Clint account has a lost deal of the same person from before: the answer says that it is older."""
    from bridge.simulator.clint.account import INTEGRATIONS
    from bridge.simulator.serve import Served
    from tests.simulated import ClintSimulator

    clint = ClintSimulator()
    with Served(clint.app) as other:
        path = clint.receiver.integrations[INTEGRATIONS["estornadas"]].path
        asking.post(f"{other.url}{path}", json={"nome": "Dona", "email": "velha@example.com", "valor": "10.00"})
        arguments = ("--email", "velha@example.com", "--timeout", "4")
        found = site.try_it(*arguments, status=1, CLINT_API_URL=other.url)

    assert codes(found) == ["deal.older"]
    assert found["deal"] is None


def test_a_wrong_token_is_seen_at_the_door(site: Site) -> None:
    """The door noted what it refused, so the command need not wait for its time to be over."""
    with site.with_hook(authToken=OTHER_TOKEN):
        found = site.try_it(status=1)

    assert codes(found)[0] == "webhook.wrong_token"
    assert found["events"] == []


@pytest.mark.parametrize(
    ("changes", "code"), [({"enabled": False}, "webhook.disabled"), ({"interrupted": True}, "webhook.interrupted")]
)
def test_a_webhook_that_stands_still_is_said(site: Site, changes: dict[str, Any], code: str) -> None:
    """What Asaas says of the webhook is what is wrong."""
    with site.with_hook(**changes):
        found = site.try_it("--timeout", "1", status=1)

    assert codes(found)[0] == code


def test_an_unsubscribed_event_is_said(site: Site) -> None:
    """The charge's own event came, the payment's could not."""
    fewer = [name for name in site.registered["events"] if name != "PAYMENT_RECEIVED"]
    with site.with_hook(events=fewer):
        found = site.try_it("--timeout", "3", status=1)

    assert codes(found) == ["webhook.events"]
    assert "PAYMENT_RECEIVED" in found["problems"][0]["what"]
    assert [event["name"] for event in found["events"]] == ["PAYMENT_CREATED"]


def test_another_url_is_said(site: Site) -> None:
    """With BRIDGE_PUBLIC_URL the webhook of another address is told from ours."""
    with closed_port() as port, site.with_hook(url=f"http://127.0.0.1:{port}/webhooks/asaas"):
        found = site.try_it("--timeout", "1", status=1, BRIDGE_PUBLIC_URL=site.url)

    assert codes(found) == ["webhook.other_url"]


def test_a_tunnel_that_is_down_is_told_from_a_bridge_that_is_down(site: Site) -> None:
    """The public address does not answer: the bridge itself does, or does not either."""
    with closed_port() as port, site.with_hook(url=f"http://127.0.0.1:{port}/webhooks/asaas"):
        tunnel = site.try_it("--timeout", "1", status=1)
        nothing = site.try_it("--timeout", "1", status=1, PORT=str(port))

    assert codes(tunnel)[-1] == "public_url.no_answer"
    assert codes(nothing)[-1] == "bridge.not_running"


def test_an_address_that_is_not_the_bridge_is_said(site: Site) -> None:
    """Something answers there, but not as the bridge does."""
    with site.with_hook(url=f"{site.bridge.clint_url}/webhooks/asaas"):
        found = site.try_it("--timeout", "1", status=1)

    assert "is not the bridge" in found["problems"][-1]["what"]


def test_events_without_a_worker_are_said(site: Site) -> None:
    """What came and waits is told from what did not come."""
    site.bridge.children["worker-0"].stop()
    try:
        found = site.try_it("--timeout", "3", status=1)
    finally:
        site.bridge.restart_the_dead()

    assert codes(found) == ["trial.not_finished"]
    assert [event["state"] for event in found["events"]] == ["received", "received"]


@pytest.mark.parametrize("token", [DEFAULT_TOKEN, ""])
def test_a_charge_of_which_one_delivery_failed_is_no_proof_and_its_deal_is_judged(site: Site, token: str) -> None:
    """The event that Clint refused is named with its reason; the deal of the others is looked for or asked about."""
    site.settle()
    site.bridge.clint("answers", status=422, times=1, path="/endpoints")
    try:
        found = site.try_it(status=1, CLINT_API_TOKEN=token)
    finally:
        site.bridge.clint("comes_back")
    failed = found["problems"][0]

    assert failed["code"] == "trial.delivery_failed"
    assert "422" in failed["what"]
    assert "trial.not_delivered" not in codes(found)
    assert not found["proved"]
    if token:
        assert found["deal"]
    else:
        assert codes(found)[-1] == "trial.deal_not_looked_at"


def test_a_destination_that_is_paused_meanwhile_is_the_reason_of_what_waits(site: Site) -> None:
    """Nothing is charged once it is paused, and a delivery that found it gone says so."""
    site.settle()
    site.bridge.clint("answers", status=404, times=1, path="/endpoints")
    try:
        found = site.try_it("--timeout", "8", status=1)
        refused = site.commands.run("test-charge")
    finally:
        site.bridge.clint("comes_back")
        site.commands.run("destinations", "resume", "default")
    site.settle()

    assert codes(found) == ["trial.destination_waits"]
    assert (refused.status, "paused" in refused.err) == (2, True)


def test_production_is_never_charged_by_accident(site: Site) -> None:
    """A production key needs --production and a person who types that they mean it."""
    before = site.asaas_state()["payments"]
    bare = site.commands.run("test-charge", ASAAS_API_KEY=PRODUCTION_KEY)
    piped = site.commands.run("test-charge", "--production", ASAAS_API_KEY=PRODUCTION_KEY)
    mistyped = site.on_terminal("--production", types="yes\n", ASAAS_API_KEY=PRODUCTION_KEY)
    sandbox = site.commands.run("test-charge", "--production")

    assert [bare.status, piped.status, mistyped.status, sandbox.status] == [2, 2, 1, 2]
    assert "add --production if you mean it" in bare.err
    assert "leave --production out" in sandbox.err
    assert site.asaas_state()["payments"] == before


def test_in_production_a_person_pays(site: Site) -> None:
    """The bridge says where to pay and waits; what the person pays is followed to its deal."""
    before = {one["id"] for one in site.asaas_api.get("/payments", params={"limit": 100}).json()["data"]}

    def pays() -> None:
        def fresh() -> list[str]:
            data = site.asaas_api.get("/payments", params={"limit": 100}).json()["data"]
            return [one["id"] for one in data if one["id"] not in before]

        site.bridge.asaas(f"payments/{until(fresh, 30)[0]}/pay")

    person = threading.Thread(target=pays)
    person.start()
    said = site.on_terminal("--production", types="charge 10.00\n", ASAAS_API_KEY=PRODUCTION_KEY)
    person.join()

    assert said.status == 0, (said.out, said.err)
    assert "pay it at https://" in said.out
    assert "proved" in said.out


def test_in_production_nothing_is_paid_by_the_bridge(site: Site) -> None:
    """Without a person who pays the time passes and nothing is proved."""
    said = site.on_terminal(
        "--production", "--timeout", "2", "--cleanup", types="charge 10.00\n", ASAAS_API_KEY=PRODUCTION_KEY
    )

    assert said.status == 1
    assert "may not be paid yet" in said.out
    assert "removed" in said.out


def test_a_charge_that_asaas_refuses_leaves_no_customer(site: Site) -> None:
    """Asaas's refusal is the answer, and the customer that was made for it is removed again."""
    before = site.asaas_api.get("/customers", params={"limit": 100}).json()["totalCount"]
    site.bridge.asaas("answers", status=400, times=1, path="/v3/payments")
    said = site.commands.run("test-charge")
    after = site.asaas_api.get("/customers", params={"limit": 100}).json()["totalCount"]

    assert (said.status, said.err.count("\n")) == (1, 1)
    assert "asaas" in said.err.lower()
    assert after == before


@pytest.mark.parametrize(("option", "wrong"), [("--email", "dona"), ("--phone", "11999999999"), ("--phone", "12")])
def test_a_wrong_contact_is_refused_before_anything_is_made(site: Site, option: str, wrong: str) -> None:
    """As Asaas would refuse it, but without a customer left there."""
    before = site.asaas_api.get("/customers", params={"limit": 100}).json()["totalCount"]
    said = site.commands.run("test-charge", option, wrong)

    assert said.status == 2
    assert said.err.startswith(f"{option} must be")
    assert site.asaas_api.get("/customers", params={"limit": 100}).json()["totalCount"] == before


def test_a_mapping_must_listen_to_charges(site: Site, tmp_path: Path) -> None:
    """Without one there is nothing to prove, and nothing is charged."""
    commands = Commands(tmp_path)
    commands.environ |= {
        "ASAAS_API_KEY": DEFAULT_KEY,
        "ASAAS_API_URL": f"{site.bridge.asaas_url}/v3",
        "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
    }
    with commands.journal():
        said = commands.run("test-charge")

    assert said.status == 1
    assert "no active mapping of account default listens to PAYMENT_CREATED, PAYMENT_RECEIVED" in said.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--value", "0"), "“0” can't be charged"),
        (("--value", "dez"), "“dez” is no number"),
        (("--split", "carteira"), "must be like WALLET:20%"),
        (("--split", "c0c1688f:120%"), "must be like WALLET:20%"),
        (("--installments", "22"), "22 is not in the range"),
        (("--account", "matriz"), "ASAAS_API_KEY_MATRIZ is not set"),
    ],
)
def test_wrong_use_is_said_before_anything_is_charged(site: Site, arguments: tuple[str, ...], text: str) -> None:
    """Status 2 and one line."""
    said = site.commands.run("test-charge", *arguments)

    assert said.status == 2
    assert text in said.err
