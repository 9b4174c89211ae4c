"""`bridge clint check` and `bridge destinations add --origin`, on a simulated Clint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.crypto import new_key
from bridge.journal import deals
from bridge.journal.deals import Claim
from bridge.simulator.clint.account import DEFAULT_TOKEN, DEFAULT_USER, KEY_FIELD
from bridge.simulator.serve import Served
from tests.commands import Commands
from tests.peers import closed_port
from tests.simulated import ClintSimulator

MAPPING = f"""
events: [PAYMENT_CREATED, PAYMENT_RECEIVED]
send_to: vendas
funnel:
  stage: {{from: event, lookup: {{PAYMENT_CREATED: Nova cobrança, PAYMENT_RECEIVED: Paga}}}}
  status: {{from: event, lookup: {{PAYMENT_RECEIVED: won}}, default: open}}
  user: {{text: {DEFAULT_USER}}}
contact: {{nome: customer.name, email: customer.email}}
deal: {{situacao: payment.status, vencimento: payment.dueDate}}
tests: []
"""
ANA = "ana@example.com"


class Bridge:
    """A bridge with one API destination, and the Clint that it writes to."""

    def __init__(self, directory: Path, clint: ClintSimulator, url: str) -> None:
        self.clint = clint
        self.commands = Commands(directory)
        self.commands.environ |= {
            "CLINT_API_URL": url,
            "CLINT_API_TOKEN": DEFAULT_TOKEN,
            "CLINT_API_RATE_LIMIT": "1000/second",
            "CLINT_ORIGIN_VENDAS": "Vendas",
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
        }
        self.commands.has_mapping("cobranca", MAPPING)

    def check(self, *arguments: str, **environ: str) -> tuple[int, list[dict[str, Any]]]:
        """Return the status and the checks of the command."""
        said = self.commands.run("clint", "check", "--json", *arguments, **environ)
        return said.status, said.json

    def todo(self, **environ: str) -> dict[str, dict[str, Any]]:
        """Return the facts of the checks after which something is to be done, by code; each says what to do."""
        status, found = self.check(**environ)
        todo = [one for one in found if one["state"] != "fine"]

        assert status == (1 if todo else 0)
        assert all(one["mend"] and one["code"] for one in todo)
        return {one["code"]: one["facts"] for one in todo}

    def has_deal(self, key: str, status: str = "OPEN", origin: str = "Vendas") -> str:
        """Add a deal of Ana that carries a key; return its id."""
        crm = self.clint.crm
        with crm.lock:
            contact = crm.find_contact(ANA, None) or crm.keep_contact(ANA, None, "Ana", {})
            funnel = crm.origin(origin)
            deal = crm.add_deal(funnel["id"], contact, funnel["stages"][0]["id"], fields={KEY_FIELD: key})
            crm.change_deal(deal, "api", status=status)
        return str(deal["id"])


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """Give a bridge whose mapping fits what Clint has."""
    clint = ClintSimulator()
    with Served(clint.app) as served:
        yield Bridge(tmp_path, clint, served.url)
    clint.close()


def test_all_is_fine(bridge: Bridge) -> None:
    """Status 0; the origin says its stages and what uses it, and the look for doubled deals says how far it went."""
    status, found = bridge.check()
    of_origin = next(one["facts"] for one in found if one["facts"].get("stages"))
    looked = next(one["facts"] for one in found if "doubled" in one["facts"])

    assert (status, {one["state"] for one in found}) == (0, {"fine"})
    assert of_origin["stages"] == "Nova cobrança, Vencida, Paga, Estornada"
    assert (of_origin["destinations"], of_origin["mappings"]) == ("vendas", "cobranca")
    bridge.clint.crm.add_origin("Suporte", ["Nova"])
    unused = next(one["facts"] for one in bridge.check()[1] if one["facts"].get("origin") == "Suporte")
    assert (unused["destinations"], unused["mappings"]) == ("–", "–"), "no word: it would have a gender"
    assert (looked["doubled"], looked["number"], looked["days"]) == (0, 0, 30)


def test_a_person_reads_lines_and_no_traceback(bridge: Bridge) -> None:
    """In the language of the person, with nothing on standard error."""
    bridge.clint.crm.fields["DEAL"].pop(KEY_FIELD)
    said = bridge.commands.run("clint", "check", BRIDGE_LANGUAGE="pt-BR")

    assert (said.status, said.err) == (1, "")
    assert KEY_FIELD in said.out
    assert "grupo" in said.out


@pytest.mark.parametrize(
    ("has_plan", "token", "code"), [(True, "of-nobody", "api.token"), (False, DEFAULT_TOKEN, "api.plan")]
)
def test_what_is_wrong_with_the_token(bridge: Bridge, has_plan: bool, token: str, code: str) -> None:
    """A refused token and a plan without the API are different things to do; nothing else is asked then."""
    bridge.clint.knobs.turn(has_plan=has_plan)

    assert list(bridge.todo(CLINT_API_TOKEN=token)) == [code]


def test_without_a_token(bridge: Bridge) -> None:
    """The check says how to set one."""
    bridge.commands.environ["CLINT_ORIGIN_VENDAS"] = ""

    assert list(bridge.todo(CLINT_API_TOKEN="")) == ["api.no_token"]


def test_a_token_is_kept_used_and_removed(bridge: Bridge) -> None:
    """One that Clint refuses is not kept; no output says the token, and the variable wins."""
    run, key = bridge.commands.run, new_key()
    bridge.commands.environ |= {"CLINT_API_TOKEN": "", "BRIDGE_ENCRYPTION_KEY": key, "CLINT_ORIGIN_VENDAS": "Vendas"}
    with bridge.commands.journal():
        assert list(bridge.todo()) == ["api.no_token"]
        refused = run("clint", "set-token", lines="of-nobody\n")
        assert list(bridge.todo()) == ["api.no_token"]
        kept = run("clint", "set-token", lines=f"{DEFAULT_TOKEN}\n")
        assert bridge.todo() == {}
        fixed = run("clint", "set-token", lines=f"{DEFAULT_TOKEN}\n", CLINT_API_TOKEN=DEFAULT_TOKEN)
        asked = run("clint", "remove-token")
        removed = run("clint", "remove-token", "--yes")
        again = run("clint", "remove-token", "--yes")
        assert list(bridge.todo()) == ["api.no_token"]
        with closed_port() as port:
            blind = run("clint", "set-token", lines="of-clint\n", CLINT_API_URL=f"http://127.0.0.1:{port}")

    assert [one.status for one in (refused, kept, fixed, asked, removed, again, blind)] == [1, 0, 2, 2, 0, 1, 0]
    assert "bridge clint set-token" in refused.err
    assert "CLINT_API_TOKEN" in fixed.err
    assert "not tried" in blind.err
    for said in (refused, kept, fixed, removed, blind):
        assert not {DEFAULT_TOKEN, "of-nobody", "of-clint"} & set((said.out + said.err).split())


def test_clint_away(bridge: Bridge) -> None:
    """No answer is something to do, not a fault of the bridge."""
    with closed_port() as port:
        assert list(bridge.todo(CLINT_API_URL=f"http://127.0.0.1:{port}")) == ["api.away"]


def test_wrong_use_is_2(bridge: Bridge) -> None:
    """An origin without the writes, and writes without a terminal or --yes: nothing was asked or written."""
    for arguments in (["--origin", "Vendas"], ["--try-writes"]):
        said = bridge.commands.run("clint", "check", *arguments)
        assert (said.status, said.out) == (2, "")

    assert not bridge.clint.crm.contacts


def test_names_that_clint_does_not_have(bridge: Bridge) -> None:
    """Each stage, status and user that a mapping names; the right stages are said, and no e-mail."""
    text = MAPPING.replace("PAYMENT_RECEIVED: Paga", "PAYMENT_RECEIVED: Pagas")
    bridge.commands.has_mapping("cobranca", text.replace(DEFAULT_USER, "sumido@example.com"))
    said = bridge.commands.run("clint", "check").out
    todo = bridge.todo()

    assert set(todo) == {"api.stage", "api.user"}
    assert todo["api.stage"]["stages"] == "Nova cobrança, Vencida, Paga, Estornada"
    assert todo["api.stage"]["stage"] == "'Pagas'"
    assert "sumido" not in said


def test_an_origin_that_clint_does_not_have(bridge: Bridge) -> None:
    """The destination's and the mapping's own; several of one name ask for the id."""
    assert bridge.todo(CLINT_ORIGIN_VENDAS="Venda")["api.origin"]["origins"] == "Vendas"
    gone = bridge.check(CLINT_ORIGIN_VENDAS="Venda")[1]
    assert [one["state"] for one in gone if "mapping" in one["facts"]] == []

    bridge.commands.has_mapping("cobranca", MAPPING.replace("funnel:\n", "funnel:\n  origin: Suporte\n"))
    assert bridge.todo()["api.origin"]["mapping"] == "cobranca"

    bridge.commands.has_mapping("cobranca", MAPPING)
    bridge.clint.crm.add_origin("Vendas", ["Nova"])
    assert bridge.todo()["api.origin"]["count"] == 2


def test_fields_that_clint_lacks_or_has_otherwise(bridge: Bridge) -> None:
    """A missing field says name, group and kind to make; a type that takes no such text; a key that Clint cut."""
    crm = bridge.clint.crm
    crm.fields["DEAL"].pop("situacao")
    crm.fields["DEAL"]["vencimento"]["type"] = "NUMBER"
    crm.add_field("DEAL", "quantas_horas_por_di")
    cut = "{situacao: payment.status, vencimento: payment.dueDate, quantas_horas_por_dia: payment.description}"
    text = MAPPING.replace("{situacao: payment.status, vencimento: payment.dueDate}", cut)
    bridge.commands.has_mapping("cobranca", text)
    todo = bridge.todo()
    one_cut = [one for one in bridge.check()[1] if one["facts"].get("field") == "quantas_horas_por_dia"]

    assert set(todo) == {"api.field", "api.field_type"}
    assert (todo["api.field"]["field"], todo["api.field"]["tab"], todo["api.field"]["kind"]) == (
        "situacao",
        "deal",
        "text",
    )
    assert (todo["api.field_type"]["field"], todo["api.field_type"]["type"]) == ("vencimento", "NUMBER")
    assert [(one["state"], one["facts"]["there"]) for one in one_cut] == [("fine", "quantas_horas_por_di")]

    both = cut.replace("{situacao", "{quantas_horas_por_diaria: payment.status, situacao")
    bridge.commands.has_mapping("cobranca", text.replace(cut, both))
    assert bridge.todo()["api.field_cut"]["there"] == "quantas_horas_por_di"


def test_deals_that_carry_the_same_key(bridge: Bridge) -> None:
    """Over every status, in this origin only, with the ids of both and which one the bridge writes to."""
    bridge.clint.crm.add_origin("Suporte", ["Nova"])
    first, second = bridge.has_deal("pay_1"), bridge.has_deal("pay_1", "LOST")
    bridge.has_deal("pay_2")
    bridge.has_deal("pay_2", origin="Suporte")
    found = bridge.todo()["api.doubled"]

    assert (found["key"], set(found["ids"].split(", ")), found["mine"]) == ("pay_1", {first, second}, "")


def test_of_two_deals_the_one_that_the_bridge_writes_to_is_named(bridge: Bridge) -> None:
    """It is the one to keep."""
    first, _second = bridge.has_deal("pay_1"), bridge.has_deal("pay_1")
    with bridge.commands.journal() as journal:
        with journal.database.write() as connection:
            claim = Claim(1, 1, 1, 30_000)
            row = deals.claim_deal(connection, "vendas", "pay_1", ("default", "cus_1"), claim, 0)
            assert row is not None
            deals.save(connection, row, replace(row, deal_id=first), claim, 0)

        assert bridge.todo()["api.doubled"]["mine"] == first


def test_a_key_that_is_no_code_of_asaas_is_not_told(bridge: Bridge) -> None:
    """A mapping's expression may make a key of anything."""
    for _ in range(2):
        bridge.has_deal("Zenaide 777")

    assert "Zenaide" not in bridge.commands.run("clint", "check").out


def test_a_list_of_won_deals_that_fails(bridge: Bridge) -> None:
    """What could not be looked at is said; the other statuses are looked at."""
    bridge.clint.lists_fail("WON")
    for _ in range(2):
        bridge.has_deal("pay_1")
    todo = bridge.todo()

    assert set(todo) == {"api.doubled", "api.away"}
    assert todo["api.away"]["statuses"] == "WON"


# ---------------------------------------------------------------- writes


def tried(bridge: Bridge, *arguments: str, **environ: str) -> dict[str, dict[str, Any]]:
    """Return the checks of --try-writes by the name; nothing of it may be left in Clint."""
    found = bridge.check("--try-writes", "--yes", *arguments, **environ)[1]

    assert (bridge.clint.crm.contacts, bridge.clint.crm.deals) == ({}, {})
    return {one["name"]: one for one in found}


def test_writes_are_tried_and_removed(bridge: Bridge) -> None:
    """With a Clint that does what is hoped for, nothing is to be done."""
    bridge.clint.crm.add_tag("Asaas")
    found = tried(bridge)

    assert {one["state"] for one in found.values()} == {"fine"}
    assert found["fields that an update does not name"]["value"] == "kept"
    assert found["tags of a contact"]["value"] == "Clint accepts them"


def test_a_clint_that_does_otherwise(bridge: Bridge) -> None:
    """A name that renames the contact, fields that are lost, lists that are late, tags that are refused."""
    bridge.clint.crm.add_tag("Asaas")
    bridge.clint.knobs.turn(deal_name="contact", unnamed_fields="drop", late_s=600)
    bridge.clint.faults.answers(400, path="/v1/contacts/", method="POST")
    found = tried(bridge, CLINT_DEAL_APPEARS_S="0.5")
    codes = {one["code"] for one in found.values()}

    assert {"api.deal_name", "api.late", "api.tags", "api.fields_lost"} <= codes
    assert found["fields that an update does not name"]["value"].startswith("lost")


def test_a_field_that_clint_does_not_keep(bridge: Bridge) -> None:
    """Without the key the bridge finds no deal again; the test ends there."""
    bridge.clint.crm.fields["DEAL"].pop(KEY_FIELD)
    bridge.clint.knobs.turn(unknown_fields="drop")

    assert tried(bridge)["key of a deal"]["code"] == "api.field"


@pytest.mark.parametrize("path", ["/v1/contacts", "/v1/deals"])
def test_a_lost_answer_leaves_nothing_behind(bridge: Bridge, path: str) -> None:
    """What Clint made all the same is found and removed, and the operator is told that it was unsure."""
    bridge.clint.faults.breaks("closes", path=path, method="POST", times=1)
    found = tried(bridge)

    assert found["removal"]["code"] == "api.left"
    assert "@example.com" in found["removal"]["mend"]


def test_the_writes_are_asked_for(bridge: Bridge) -> None:
    """On a terminal they wait for a yes that names the origin."""
    said = bridge.commands.on_terminal("clint", "check", "--try-writes", types="n\n")

    assert "Vendas" in said.out + said.err
    assert not bridge.clint.crm.writes.places("")
    assert said.status == 1


# ---------------------------------------------------------------- a destination


def test_a_destination_takes_an_origin_that_clint_has(bridge: Bridge) -> None:
    """A wrong name is wrong use: the nearest one and all origins are said, and nothing is stored."""
    bridge.commands.environ["BRIDGE_ENCRYPTION_KEY"] = new_key()
    bridge.clint.crm.add_origin("Suporte", ["Nova"])
    with bridge.commands.journal():
        wrong = bridge.commands.run("destinations", "add", "ajuda", "--origin", "Suport")
        before = bridge.commands.run("destinations", "list", "--json").json
        right = bridge.commands.run("destinations", "add", "ajuda", "--origin", "suporte")
        after = bridge.commands.run("destinations", "list", "--json").json

    assert (wrong.status, right.status) == (2, 0)
    assert "did you mean Suporte?" in wrong.err
    assert "Suporte, Vendas" in wrong.err
    assert ([one["name"] for one in before], [one["origin"] for one in after]) == ([], ["suporte"])


def test_a_clint_that_is_away_keeps_no_destination_from_being_stored(bridge: Bridge) -> None:
    """The operator is told that the origin is not checked."""
    bridge.commands.environ["BRIDGE_ENCRYPTION_KEY"] = new_key()
    with bridge.commands.journal(), closed_port() as port:
        away = {"CLINT_API_URL": f"http://127.0.0.1:{port}"}
        said = bridge.commands.run("destinations", "add", "ajuda", "--origin", "Suporte", **away)

    assert said.status == 0
    assert "not checked" in said.err


def test_a_new_mapping_takes_its_stages_from_clint(bridge: Bridge) -> None:
    """They are listed with numbers; a name that the origin does not have is asked for again, or wrong use."""
    event = ("--event", "PAYMENT_CREATED", "--event", "PAYMENT_RECEIVED", "--send-to", "vendas")
    # Description, amount, billing types, reference, instalments, keys; then the deal.
    typed = ["", "", "", "", "", "", "plan", "charge", "nova cobrança", "Pago", "3", "open", "won"]
    asked = bridge.commands.on_terminal("mappings", "new", "a", *event, types="".join(f"{one}\n" for one in typed))
    text = (bridge.commands.mappings / "a.yaml").read_text()
    told = bridge.commands.run("mappings", "new", "b", *event, "--stage", "PAYMENT_RECEIVED=Pago")
    with closed_port() as port:
        away = bridge.commands.run(
            "mappings", "new", "c", *event, "--stage", "Pago", CLINT_API_URL=f"http://127.0.0.1:{port}"
        )

    assert asked.status == 0, asked.err
    assert "Vencida" in asked.out
    assert "did you mean Paga?" in asked.err
    assert "one_deal_per: charge" in text
    assert "PAYMENT_CREATED: Nova cobrança\n      PAYMENT_RECEIVED: Paga" in text
    assert "PAYMENT_CREATED: open\n      PAYMENT_RECEIVED: won" in text
    assert told.status == 2
    assert "Nova cobrança, Vencida, Paga, Estornada" in told.err
    assert away.status == 0
    assert "the stages are not known" in away.err


def test_doctor_looks_at_api_destinations(bridge: Bridge) -> None:
    """The token is tried, and each origin must be one of Clint."""
    fine = bridge.commands.run("doctor", "--json").json
    gone = bridge.commands.run("doctor", "--json", CLINT_ORIGIN_VENDAS="Venda").json
    refused = bridge.commands.run("doctor", "--json", CLINT_API_TOKEN="of-nobody").json

    assert {one["state"] for one in fine if one["name"] in {"token of Clint's API", "destination vendas"}} == {"fine"}
    assert "api.origin" in {one["code"] for one in gone}
    assert "api.token" in {one["code"] for one in refused}


def test_explain_shows_the_deal_of_an_api_destination(bridge: Bridge, tmp_path: Path) -> None:
    """The destination's kind is known from the environment and the journal: one line of the file switches it."""
    plain = MAPPING.split("funnel:")[0] + MAPPING[MAPPING.index("contact:") :]
    bridge.commands.has_mapping("cobranca", plain)
    event = tmp_path / "event.json"
    event.write_text('{"event": "PAYMENT_CREATED", "payment": {"id": "pay_1", "status": "PENDING"}}')
    customer = tmp_path / "customer.json"
    customer.write_text('{"email": "ana@example.com"}')
    given = ("mappings", "explain", "cobranca", "--event", str(event), "--with", f"customer={customer}", "--json")
    (told,) = bridge.commands.run(*given).json
    (by_webhook,) = bridge.commands.run(*given, CLINT_ORIGIN_VENDAS="").json

    assert told["funnel"]["key"] == "pay_1"
    assert "funnel" not in by_webhook


def test_doctor_names_what_mappings_need_and_clint_lacks(bridge: Bridge) -> None:
    """All is fine only where stages and fields are there; the check of Clint says what to make."""
    fine = bridge.commands.run("doctor", "--json").json
    bridge.clint.crm.fields["DEAL"].pop(KEY_FIELD)
    bridge.commands.has_mapping("cobranca", MAPPING.replace("Paga}", "Pagas}"))
    (lacking,) = [one for one in bridge.commands.run("doctor", "--json").json if one["code"] == "api.lacking"]

    assert "api.lacking" not in {one["code"] for one in fine}
    assert lacking["state"] == "wrong"
    assert "Pagas" in lacking["value"]
    assert KEY_FIELD in lacking["value"]
