"""`bridge mappings sample` and `checklist`: what an operator takes from them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from bridge.mapping import Setup, read_directory
from bridge.mapping.testing import run
from tests.commands import ROOT, Commands
from tests.factories import incoming, keep
from tests.peers import Peer, Reply

CUSTOMER = {"id": "cus_1", "name": "Maria da Silva", "email": "maria@loja.com.br", "cpfCnpj": "24971563792"}


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a directory of mappings and a journal to come."""
    return Commands(tmp_path)


def test_sample_of_the_newest_event_is_written_and_can_be_tested(commands: Commands) -> None:
    """The file lies in samples/, the lines that are printed make a test of it."""
    with commands.journal() as journal:
        keep(journal, incoming(), incoming(body=json.dumps({"event": "PAYMENT_RECEIVED", "payment": {"value": 7}})))
    said = commands.run("mappings", "sample", "PAYMENT_RECEIVED")
    path = commands.mappings / "samples" / "payment_received.json"

    assert (said.status, said.err) == (0, f"written: {path}\n")
    assert json.loads(path.read_bytes())["payment"] == {"value": 7}
    commands.has_mapping(
        "paga",
        "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'a@example.com'\"}\ndeal: {valor: payment.value}\ntests:\n"
        + said.out.replace("{}", "{email: a@example.com, valor: 7}"),
    )
    (read,) = read_directory(commands.mappings, Setup(None, None, commands.mappings))
    assert read.mapping is not None
    assert read.findings == ()
    assert [result.passed for result in run(read.mapping, commands.mappings)] == [True]


def test_printed_test_gives_what_its_mapping_reads_of_the_customer(commands: Commands) -> None:
    """Invented, where nobody asked Asaas: the test runs as it was printed."""
    mapping = "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\n"
    commands.has_mapping("paga", mapping)
    with commands.journal() as journal:
        body = {"event": "PAYMENT_RECEIVED", "payment": {"customer": "cus_1", "value": 7}}
        keep(journal, incoming(body=json.dumps(body)))
    said = commands.run("mappings", "sample", "PAYMENT_RECEIVED")
    commands.has_mapping("paga", f"{mapping}tests:\n{said.out}")
    (read,) = read_directory(commands.mappings, Setup(None, None, commands.mappings))

    assert "--with" in said.err
    assert read.findings == ()
    assert read.mapping is not None
    (result,) = run(read.mapping, commands.mappings)
    assert [one.what for one in result.differences] == ["email"], result.problem


def test_sample_takes_what_asaas_says_of_the_customer(commands: Commands) -> None:
    """The customer lies beside the event; its name is found in the event's texts too."""
    with commands.journal() as journal:
        body = {"event": "PAYMENT_RECEIVED", "payment": {"customer": "cus_1", "externalReference": "de maria da silva"}}
        keep(journal, incoming(body=json.dumps(body)))
    key = "$aact_hmlg_000"
    with Peer(Reply(body=json.dumps(CUSTOMER).encode(), headers={"Connection": "close"})) as asaas:
        said = commands.run(
            *(
                "mappings",
                "sample",
                "--event-id",
                "1",
                "--with",
                "customer",
                "--output",
                str(commands.mappings / "x.json"),
            ),
            ASAAS_API_KEY=key,
            ASAAS_WEBHOOK_TOKEN="0e5b5c5e-0000-4000-8000-000000000000",
            ASAAS_API_URL=f"{asaas.url}/v3",
            BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1",
        )

    assert said.status == 0, said.err
    assert "with: {customer: x_customer.json}" in said.out
    customer = json.loads((commands.mappings / "x_customer.json").read_bytes())
    assert customer == {
        "id": "cus_1",
        "name": "Ana Exemplo da Silva",
        "email": "exemplo1@example.com",
        "cpfCnpj": "99988000138",
    }
    assert json.loads((commands.mappings / "x.json").read_bytes())["payment"] == {
        "customer": "cus_1",
        "externalReference": "de Ana Exemplo da Silva",
    }


def test_sample_can_be_printed_with_other_ids(commands: Commands, tmp_path: Path) -> None:
    """Nothing is written then."""
    with commands.journal() as journal:
        keep(journal, incoming(body='{"event": "PAYMENT_RECEIVED", "payment": {"id": "pay_123456789"}}'))
    said = commands.run("mappings", "sample", "PAYMENT_RECEIVED", "--ids", "--output", "-")

    assert said.json["payment"]["id"] == "pay_000000000001"
    assert not (commands.mappings / "samples").exists()


def test_sample_overwrites_only_by_force(commands: Commands, tmp_path: Path) -> None:
    """A sample that tests were made from is not lost by a slip."""
    path = tmp_path / "outside.json"
    path.write_text("mine")
    with commands.journal() as journal:
        keep(journal, incoming())
    refused = commands.run("mappings", "sample", "PAYMENT_RECEIVED", "--output", str(path))

    assert refused.status == 2
    assert refused.err == f"the file is there already; {path}; choose --output, or add --force\n"
    assert path.read_text() == "mine"
    forced = commands.run("mappings", "sample", "PAYMENT_RECEIVED", "--output", str(path), "--force")
    assert (forced.status, forced.out) == (0, ""), "lint would refuse a test with a file from outside"
    assert str(commands.mappings) in forced.err


@pytest.mark.parametrize("name", ["x.json", "a b.json", "10 #3.json", "com, vírgula.json", "a: b.json"])
def test_printed_test_is_one_that_lint_takes(commands: Commands, name: str) -> None:
    """As it was printed, whatever the file is named; run, it says what came out."""
    with commands.journal() as journal:
        keep(journal, incoming(body=json.dumps({"event": "PAYMENT_RECEIVED", "payment": {"value": 7}})))
    said = commands.run("mappings", "sample", "PAYMENT_RECEIVED", "--output", str(commands.mappings / name))
    commands.has_mapping("paga", f"events: [PAYMENT_RECEIVED]\ncontact: {{email: \"'a@b.c'\"}}\ntests:\n{said.out}")
    (read,) = read_directory(commands.mappings, Setup(None, None, commands.mappings))

    assert read.findings == ()
    assert read.mapping is not None
    (result,) = run(read.mapping, commands.mappings)
    assert [(one.what, str(one.actual)) for one in result.differences] == [("email", "'a@b.c'")]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "name either an EVENT or an --event-id"),
        (("PAYMENT_RECEIVED", "--event-id", "1"), 2, "name either an EVENT or an --event-id"),
        (("PAYMENT_RECEIVED", "--with", "customer", "--output", "-"), 2, "--with writes a file beside the event's"),
        (("PAYMENT_OVERDUE",), 1, "no event 'PAYMENT_OVERDUE' was kept"),
    ],
)
def test_sample_says_what_is_wrong(commands: Commands, arguments: tuple[str, ...], status: int, message: str) -> None:
    """One line and a status."""
    with commands.journal():
        said = commands.run("mappings", "sample", *arguments)

    assert said.status == status
    assert said.err.startswith(message)
    assert said.err.count("\n") == 1


def test_checklist_has_every_key_as_it_is_sent_and_every_integration(commands: Commands) -> None:
    """Tabs, kinds and examples from the tests, and where each destination's URL is."""
    said = commands.run("mappings", "checklist", str(ROOT / "mappings" / "exemplo_etapas_do_funil.yaml"), "--json")

    assert {row["key"]: (row["tab"], row["kind"], row["example"]) for row in said.json["keys"]}.items() >= {
        "email": ("contact", "e-mail", "cliente.teste@example.com"),
        "telefone": ("contact", "phone", "5547990000001"),
        "valor": ("deal", "text", "10.00"),
        "vencimento": ("deal", "date", "08/08/2026"),
        "link": ("deal", "link", "https://sandbox.asaas.com/i/exemplo000001001"),
    }.items()
    assert {row["integration"]: row["setting"] for row in said.json["integrations"]}.items() >= {
        "vencidas": "CLINT_WEBHOOK_URL_VENCIDAS",
        "pagas": "CLINT_WEBHOOK_URL_PAGAS",
    }.items()


MAPPING = "events: [{event}]\ncontact: {{email: customer.email}}\ndeal: {{{key}: payment.value}}\nsend_to: {send_to}\n"


def test_a_checklist_belongs_to_the_integration_over_all_its_mappings(commands: Commands) -> None:
    """Four mappings that share a URL ask one integration for several statuses: that is said, whichever is looked at."""
    shared = {"criada": "PAYMENT_CREATED", "paga": "PAYMENT_RECEIVED", "vencida": "PAYMENT_OVERDUE"}
    for name, event in {**shared, "estornada": "PAYMENT_REFUNDED"}.items():
        commands.has_mapping(name, MAPPING.format(event=event, key=name, send_to="default"))
    commands.has_mapping("ganha", MAPPING.format(event="PAYMENT_RECEIVED", key="ganha", send_to="ganhas"))
    commands.has_mapping("off", "enabled: false\n" + MAPPING.format(event="PAYMENT_DELETED", key="x", send_to="ganhas"))
    one, every = (
        commands.run("mappings", "checklist", "paga", "--json"),
        commands.run("mappings", "checklist", "--json"),
    )
    (integration,) = one.json["integrations"]

    assert (integration["integration"], integration["status"]) == ("default", None)
    assert integration["conflict"] == {
        "OPEN": ["PAYMENT_CREATED", "PAYMENT_OVERDUE"],
        "WON": ["PAYMENT_RECEIVED"],
        "LOST": ["PAYMENT_REFUNDED"],
    }
    assert integration["mappings"] == ["criada", "estornada", "paga", "vencida"]
    assert [row["key"] for row in one.json["keys"]] == ["email", "paga", "criada", "estornada", "vencida"]
    assert {row["integration"]: row["status"] for row in every.json["integrations"]} == {
        "default": None,
        "ganhas": "WON",
    }
    assert {row["key"]: row["integrations"] for row in every.json["keys"]}["email"] == ["default", "ganhas"]
    assert (one.status, every.status) == (1, 1)
    assert commands.run("mappings", "checklist", "ganha").status == 0
    assert "conflict" in commands.run("mappings", "checklist").out


def test_checklist_as_table_and_as_csv(commands: Commands) -> None:
    """The same rows; CSV has one header for both parts."""
    commands.has_mapping(
        "tudo",
        "events: [PAYMENT_*]\ncontact: {email: \"'ana@example.com'\"}\norganization: {a: environment}\ndeal:\n"
        "  dia: today\n  teste: {from: environment, type: boolean}\n  x: payment.description\n"
        "routes: [{events: [PAYMENT_*], send_to: uma-s}]\n"
        "tests: [{name: a, given: {event: PAYMENT_CREATED}, set: {today: 2026-11-22}, expect: {dead: x}},"
        ' {name: b, given: {event: PAYMENT_CREATED}, set: {today: 2026-11-22, environment: "true"}, expect: {a: b}}]\n',
    )
    table = commands.run("mappings", "checklist", "tudo").out
    rows = list(csv.DictReader(io.StringIO(commands.run("mappings", "checklist", "tudo", "--csv").out)))

    assert [(row["key"], row["tab"], row["kind"]) for row in rows[:5]] == [
        ("email", "contact", "e-mail"),
        ("a", "organization", "text"),
        ("dia", "deal", "date"),
        ("teste", "deal", "boolean"),
        ("x", "deal", "text"),
    ]
    assert rows[3]["example"] == "true"
    assert rows[5]["setting"] == "CLINT_WEBHOOK_URL_UMA_S"
    assert rows[5]["status"] == "the same for all: OPEN or WON or LOST"
    assert rows[5]["stage"] == "the one for: Payment created or Payment updated or Payment confirmed or 27 more"
    assert "dia    deal          date     2026-11-22" in table


def test_checklist_fits_a_terminal(commands: Commands) -> None:
    """A key and an event have a line each, and no line is cut up or longer than a terminal is wide."""
    said = commands.run("mappings", "checklist", BRIDGE_MAPPINGS_DIR=str(ROOT / "mappings"))
    lines = said.out.splitlines()

    assert [line for line in lines if len(line) > 140] == []
    assert [line.split() for line in lines if "(PAYMENT_RECEIVED)" in line][:1] == [
        ["Won", "Payment", "received", "(PAYMENT_RECEIVED)"]
    ]
    assert (said.status, "conflict" in said.out) == (0, False), "one integration for all is a choice"


def test_checklist_of_what_was_lost(commands: Commands) -> None:
    """Refunded and removed charges are lost deals."""
    commands.has_mapping("a", MAPPING.format(event="PAYMENT_REFUNDED, PAYMENT_DELETED", key="x", send_to="default"))

    assert commands.run("mappings", "checklist", "a", "--json").json["integrations"][0]["status"] == "LOST"


def test_checklist_says_what_is_wrong(commands: Commands) -> None:
    """Two forms at once, a name that is not there, a file that can't run."""
    commands.has_mapping("a", "nope")

    assert commands.run("mappings", "checklist", "a", "--csv", "--json").err.startswith("--csv and --json exclude")
    assert commands.run("mappings", "checklist", "b").status == 1
    assert "can't run" in commands.run("mappings", "checklist", str(commands.mappings / "a.yaml")).err


DEAL = """events: [PAYMENT_CREATED, PAYMENT_RECEIVED]
contact: {nome: customer.name, email: customer.email}
deal: {valor: money(payment.value), vencimento: payment.dueDate}
send_to: vendas
funnel:
  origin: Vendas
  stage: {from: event, lookup: {PAYMENT_CREATED: Nova, PAYMENT_RECEIVED: Paga}}
  status: {from: event, lookup: {PAYMENT_RECEIVED: won}, default: open}
"""


def test_checklist_of_deals_by_the_api_has_a_funnel_and_no_integration(commands: Commands) -> None:
    """The origin with its stages and statuses, and each field with what it is in Clint."""
    commands.has_mapping("negocios", DEAL)
    commands.has_mapping("paga", MAPPING.format(event="PAYMENT_RECEIVED", key="x", send_to="default"))
    found = commands.run("mappings", "checklist", "--json").json
    (funnel,) = found["funnels"]

    assert [row["integration"] for row in found["integrations"]] == ["default"]
    assert {key: funnel[key] for key in ("destination", "mappings", "events")} == {
        "destination": "vendas",
        "mappings": ["negocios"],
        "events": ["PAYMENT_CREATED", "PAYMENT_RECEIVED"],
    }
    assert funnel["origins"] == [
        {
            "origin": "Vendas",
            "there": None,
            "stages": [{"stage": "Nova", "there": None}, {"stage": "Paga", "there": None}],
            "statuses": ["won", "open"],
        }
    ]
    assert {(one["tab"], one["key"]): one["place"] for one in funnel["fields"]} == {
        ("deal", "codigo_asaas"): "fields",
        ("contact", "nome"): "name",
        ("contact", "email"): "email",
        ("deal", "valor"): "value",
        ("deal", "vencimento"): "fields",
    }


def test_checklist_of_deals_as_table_and_as_csv(commands: Commands) -> None:
    """Both name what must be in Clint."""
    commands.has_mapping("negocios", DEAL)

    table = commands.run("mappings", "checklist", "negocios")
    rows = list(csv.DictReader(io.StringIO(commands.run("mappings", "checklist", "negocios", "--csv").out)))

    assert table.status == 0
    assert [word for word in ("vendas", "Vendas", "Nova", "Paga", "codigo_asaas", "won") if word not in table.out] == []
    assert [row["key"] for row in rows if row["key"]] == ["codigo_asaas", "nome", "email", "valor", "vencimento"]
    assert [(row["origin"], row["stage"], row["status"]) for row in rows if row["origin"]] == [
        ("Vendas", "", "won open"),
        ("Vendas", "Nova", ""),
        ("Vendas", "Paga", ""),
    ]
