"""Reading files and directories, what a mapping is, and the set of active ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.mapping import Mapping, Setup, Severity, parse_mapping, read_directory, read_file

ANY = Setup(None, None, None)
SMALL = "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\n"
FULL = """\
description: Tudo
enabled: false
account: matriz
events: [PAYMENT_*, SUBSCRIPTION_CREATED]
installments: once
filter:
  all:
    - {field: installment.value, at_least: 50}
    - {expression: payment.deleted}
contact:
  nome: {template: "{customer.name} {{x}} {subscription.id}"}
  numero: {from: customer.phone, is: phone, required: true}
organization: {empresa: customer.company}
deal:
  valor: {from: payment.value, type: number, default: "0"}
  pago: {from: payment.deleted, type: boolean}
  forma: {from: payment.billingType, lookup: {PIX: Pix}, default: Outra}
  origem: {text: Asaas}
line: relatorios
stale: send
send_to: vendas
routes:
  - {events: PAYMENT_OVERDUE, send_to: vencidas}
"""


def mapping_of(text: str, path: str = "mappings/x.yaml") -> Mapping:
    """Read a text that must be a mapping."""
    read = parse_mapping(text, path, ANY)
    assert read.mapping is not None, [str(finding) for finding in read.findings]
    return read.mapping


def test_every_key_arrives_in_the_mapping() -> None:
    """What the file says is what the mapping holds."""
    mapping = mapping_of(FULL)

    assert (mapping.name, mapping.path) == ("x", "mappings/x.yaml")
    assert mapping.digest == hashlib.sha256(FULL.encode()).hexdigest()
    assert (mapping.description, mapping.enabled, mapping.account) == ("Tudo", False, "matriz")
    assert (mapping.events, mapping.installments) == (("PAYMENT_*", "SUBSCRIPTION_CREATED"), "once")
    assert (mapping.line, mapping.stale, mapping.send_to) == ("relatorios", "send", "vendas")
    assert mapping.destinations == {"vendas", "vencidas"}
    assert [(f.group, f.key, f.type, f.required, f.identifies, f.default, f.source.text) for f in mapping.fields] == [
        ("contact", "nome", "text", False, None, None, "{customer.name} {{x}} {subscription.id}"),
        ("contact", "numero", "text", True, "phone", None, "customer.phone"),
        ("organization", "empresa", "text", False, None, None, "customer.company"),
        ("deal", "valor", "number", False, None, "0", "payment.value"),
        ("deal", "pago", "boolean", False, None, None, "payment.deleted"),
        ("deal", "forma", "text", False, None, "Outra", "payment.billingType"),
        ("deal", "origem", "text", False, None, None, "Asaas"),
    ]


def test_defaults_are_those_of_the_language() -> None:
    """A small file stands for the usual case."""
    mapping = mapping_of(SMALL)

    assert (mapping.enabled, mapping.account, mapping.installments) == (True, "default", "each")
    assert (mapping.filter, mapping.line, mapping.stale, mapping.send_to) == (None, "default", "skip", "default")
    assert (mapping.routes, mapping.tests) == ((), ())


def test_needs_are_read_from_the_expressions() -> None:
    """Nobody lists what must be fetched; filter and fields are told apart, so that a filtered event fetches little."""
    mapping = mapping_of(FULL)

    assert mapping.filter_needs == {"installment", "payment"}
    assert mapping.field_needs == {"customer", "subscription", "payment"}


def test_whole_context_needs_everything() -> None:
    """`@` may look at anything."""
    mapping = mapping_of('events: [PAYMENT_RECEIVED]\ncontact: {email: "to_string(@)"}\n')

    assert mapping.field_needs == {"customer", "installment", "subscription", "payment"}


def test_mapping_listens_to_names_and_families() -> None:
    """A family holds events that the bridge does not know yet."""
    mapping = mapping_of(FULL)

    assert mapping.listens_to("PAYMENT_RECEIVED")
    assert mapping.listens_to("PAYMENT_OF_NEXT_YEAR")
    assert mapping.listens_to("SUBSCRIPTION_CREATED")
    assert not mapping.listens_to("SUBSCRIPTION_DELETED")
    assert not mapping.listens_to("MOBILE_PHONE_RECHARGE_PENDING")


def test_first_route_that_names_the_event_wins() -> None:
    """Events without a route go to send_to."""
    mapping = mapping_of(FULL)

    assert mapping.destination("PAYMENT_OVERDUE") == "vencidas"
    assert mapping.destination("PAYMENT_CREATED") == "vendas"


def test_directory_gives_its_mapping_files_in_order(tmp_path: Path) -> None:
    """Both endings count; other files and directories below do not."""
    (tmp_path / "b.yml").write_text(SMALL)
    (tmp_path / "a.yaml").write_text("nope")
    (tmp_path / "README.md").write_text("# x")
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "c.yaml").write_text(SMALL)
    (tmp_path / "d.yaml").mkdir()

    read = read_directory(tmp_path, ANY)

    assert [(Path(one.path).name, one.mapping is not None) for one in read] == [("a.yaml", False), ("b.yml", True)]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """x.yaml and x.yml would be one mapping in the journal; which of them would be chance."""
    (tmp_path / "x.yaml").write_text(SMALL)
    (tmp_path / "x.yml").write_text(SMALL)

    (*_, last) = read_directory(tmp_path, ANY)

    assert [str(finding) for finding in last.findings] == [
        f"{tmp_path}/x.yml:1:1: file.unreadable: x.yaml has the same name x; rename one"
    ]


@pytest.mark.parametrize(
    "name", ["paga.yaml.txt", "paga.YAML", "paga.Yml", "paga.yml.txt", "paga.yaml.TEXT", "paga.yam", "paga.ymal"]
)
def test_file_that_an_editor_named_otherwise_is_named(tmp_path: Path, name: str) -> None:
    """It is not read, and with the name of the advice it is."""
    (tmp_path / name).write_text(SMALL)

    (read,) = read_directory(tmp_path, ANY)
    (finding,) = read.findings
    assert finding in read_file(tmp_path / name, ANY).findings, "also where lint is given the file by its name"
    (tmp_path / name).rename(tmp_path / finding.message.rpartition(" ")[2])
    (renamed,) = read_directory(tmp_path, ANY)

    assert (read.mapping, finding.code, finding.severity) == (None, "file.name", Severity.WARNING)
    assert renamed.mapping is not None


@pytest.mark.parametrize("name", ["paga.yaml.bak", "paga.yaml~", ".paga.yaml.new", "paga.json", "leia.txt", "yaml"])
def test_file_that_is_meant_to_be_no_mapping_is_not_named(tmp_path: Path, name: str) -> None:
    """Copies and other files are nobody's slip."""
    (tmp_path / name).write_text(SMALL)

    assert read_directory(tmp_path, ANY) == []


PIX = "filter: {field: payment.billingType, equals: PIX}\n"
BOLETO = "filter: {field: payment.billingType, equals: BOLETO}\n"
CONTACT = "contact: {email: customer.email}\n"
ROUTE = "routes: [{events: [PAYMENT_OVERDUE], send_to: vencidas}]\n"


@pytest.mark.parametrize(
    ("first", "second", "severity"),
    [
        ("events: [PAYMENT_RECEIVED]\n", "events: [PAYMENT_*]\n", "warning"),
        ("events: [PAYMENT_RECEIVED]\n" + PIX, "events: [PAYMENT_RECEIVED]\n", "warning"),
        ("events: [PAYMENT_RECEIVED]\n" + PIX, "events: [PAYMENT_RECEIVED]\n\n" + PIX, "warning"),
        ("events: [PAYMENT_RECEIVED]\n" + PIX, "events: [PAYMENT_RECEIVED]\n" + BOLETO, "note"),
        ("events: [PAYMENT_OVERDUE]\nsend_to: vencidas\n", "events: [PAYMENT_*]\n" + ROUTE, "warning"),
        ("events: [PAYMENT_OVERDUE]\n", "events: [PAYMENT_OVERDUE]\n" + ROUTE, None),
        ("events: [PAYMENT_RECEIVED]\n", "events: [PAYMENT_OVERDUE]\n", None),
        ("events: [PAYMENT_RECEIVED]\n", "events: [PAYMENT_RECEIVED]\naccount: matriz\n", None),
        ("events: [PAYMENT_RECEIVED]\n", "events: [PAYMENT_RECEIVED]\nenabled: false\n", None),
        ("events: [PAYMENT_RECEIVED]\n", "events: [PAYMENT_RECEIVED]\nsend_to: ganhas\n", None),
    ],
)
def test_two_mappings_that_send_an_event_to_one_destination(
    tmp_path: Path, first: str, second: str, severity: str | None
) -> None:
    """Clint would get the event twice; the finding names both files."""
    (tmp_path / "a.yaml").write_text(first + CONTACT)
    (tmp_path / "b.yaml").write_text(second + CONTACT)

    found = [one for read in read_directory(tmp_path, ANY) for one in read.findings if one.code == "mapping.overlap"]

    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all("a.yaml" in one.message and one.path.endswith("b.yaml") for one in found)


def test_many_mappings_that_send_an_event_have_one_finding_for_each_file(tmp_path: Path) -> None:
    """It names the other files, the first five of them."""
    for name in "abcdefgh":
        (tmp_path / f"{name}.yaml").write_text("events: [PAYMENT_RECEIVED]\n" + CONTACT)

    found = [one for read in read_directory(tmp_path, ANY) for one in read.findings if one.code == "mapping.overlap"]

    assert [Path(one.path).stem for one in found] == list("bcdefgh")
    assert found[1].facts["overlap"] == "c.yaml and a.yaml, b.yaml send PAYMENT_RECEIVED to default"
    assert "e.yaml and 2 more send" in found[-1].facts["overlap"]


def test_missing_directory_is_a_finding(tmp_path: Path) -> None:
    """Reading never raises."""
    (read,) = read_directory(tmp_path / "nope", ANY)

    assert [one.code for one in read.findings] == ["directory.missing"]
    assert "bridge mappings init" in read.findings[0].message


def test_file_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    """A file may vanish between the listing and the reading."""
    read = read_file(tmp_path / "nope.yaml", ANY)

    assert read.findings[0].code == "file.unreadable"
    assert "check that it is there" in read.findings[0].message


def test_file_that_is_not_utf8_is_a_finding(tmp_path: Path) -> None:
    """A file saved as Latin-1 says so."""
    (tmp_path / "x.yaml").write_bytes("description: Cobrança\n".encode("latin-1"))

    read = read_file(tmp_path / "x.yaml", ANY)

    assert read.findings[0].message == "the file is not UTF-8; save it as UTF-8"


def test_file_of_gigabytes_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A sparse file of 4 GB costs half a megabyte."""
    path = tmp_path / "x.yaml"
    path.touch()
    os.truncate(path, 4 << 30)

    read = read_file(path, ANY)

    assert read.findings[0].code == "file.too_large"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:{}[]&*<!|>'\"`-,. \n\t#%@\x00é\ud800"), max_size=60))
def test_no_text_makes_reading_raise(text: str) -> None:
    """Whatever stands in a file, reading gives findings."""
    read = parse_mapping(text, "x.yaml", ANY)

    assert read.mapping is None
    assert any(finding.severity is Severity.ERROR for finding in read.findings)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab.()[]{}|&'\"`@?*!=<0 ,:-"), max_size=30))
def test_no_expression_makes_reading_raise(text: str) -> None:
    """Whatever stands in an expression, reading gives a mapping or findings."""
    quoted = "'" + text.replace("'", "''") + "'"
    read = parse_mapping(f"{SMALL}deal: {{x: {quoted}}}\n", "x.yaml", ANY)

    assert read.mapping is not None or any(finding.line == 3 for finding in read.findings)


@pytest.mark.parametrize("key", ["email", "E-mail", "e_mail", "contact_mail", "EMAIL2"])
def test_key_names_an_email(key: str) -> None:
    """Clint's keys are free, so the e-mail is known by its name."""
    mapping = mapping_of(f"events: [PAYMENT_RECEIVED]\ncontact: {{{key}: customer.email}}\n")

    assert mapping.fields[0].identifies == "email"


@pytest.mark.parametrize("key", ["telefone", "fone", "contact_phone", "Celular", "whatsapp", "mobile_1"])
def test_key_names_a_phone(key: str) -> None:
    """And so is the phone."""
    mapping = mapping_of(f"events: [PAYMENT_RECEIVED]\ncontact: {{{key}: customer.phone}}\n")

    assert mapping.fields[0].identifies == "phone"
