"""`bridge mappings`: what it prints, as text and as JSON, and what it ends with."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from bridge.cli.main import Invocation, Root
from bridge.cli.mappings import mappings

SHIPPED = Path(__file__).parents[2] / "mappings"
GOOD = """\
description: Pago
events: [PAYMENT_RECEIVED]
filter:
  all:
    - {field: payment.value, at_least: 5}
    - {expression: "!(payment.deleted)"}
contact: {email: customer.email}
deal:
  valor: money(payment.value)
  numero: {from: payment.value, type: number}
routes: [{events: [PAYMENT_RECEIVED], send_to: pagas}]
tests:
  - {name: certo, given: samples/e.json, with: {customer: samples/c.json}, expect: {valor: "10.00"}}
"""
EVENT = {"event": "PAYMENT_RECEIVED", "payment": {"id": "p", "customer": "c", "value": 10.0, "deleted": False}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory of mappings that the environment names, with one good file."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "e.json").write_text(json.dumps(EVENT))
    (tmp_path / "samples" / "c.json").write_text('{"email": "a@example.com"}')
    (tmp_path / "pago.yaml").write_text(GOOD)
    monkeypatch.setenv("BRIDGE_MAPPINGS_DIR", str(tmp_path))
    monkeypatch.setenv("ASAAS_WEBHOOK_TOKEN", "0e5b5c5e-0000-4000-8000-000000000000")
    monkeypatch.setenv("CLINT_WEBHOOK_URL", "https://clint.example/x")
    monkeypatch.setenv("CLINT_WEBHOOK_URL_PAGAS", "https://clint.example/y")
    return tmp_path


def bridge(*arguments: str) -> Result:
    """Run `bridge mappings ...` under the real root, which turns errors into one line and a status."""

    @click.group(cls=Root)
    @click.pass_context
    def cli(context: click.Context) -> None:
        context.obj = Invocation(debug=False)

    cli.add_command(mappings)
    return CliRunner().invoke(cli, ["mappings", *arguments])


def as_json(result: Result) -> Any:
    """Return what a command printed as JSON."""
    return json.loads(result.stdout)


def test_lint_of_good_files_ends_with_zero(root: Path) -> None:
    """One line says how much was looked at."""
    result = bridge("lint")

    assert (result.stdout, result.exit_code) == ("1 mapping: 0 errors, 0 warnings, 0 notes\n", 0)


def test_lint_prints_path_line_column_and_the_caret(root: Path) -> None:
    """The first line is what editors read; below a bad expression stands the caret."""
    (root / "pago.yaml").write_text(GOOD.replace("money(payment.value)", "money(payment..value)"))

    result = bridge("lint")

    assert result.exit_code == 1
    assert result.stdout == (
        f"{root}/pago.yaml:9:24: expression.syntax: expression 'money(payment..value)' has '.' where it is not "
        "allowed; write a name on both sides of a dot\n    money(payment..value)\n                  ^\n"
        "1 mapping: 1 error, 0 warnings, 0 notes\n"
    )


def test_lint_ends_with_one_for_a_warning_but_not_for_a_note(root: Path) -> None:
    """Warnings are worth stopping a change for; a disabled mapping's destination is not."""
    (root / "pago.yaml").write_text(GOOD.split("tests:")[0])
    assert bridge("lint").exit_code == 1

    (root / "pago.yaml").write_text(f"{GOOD}enabled: false\nsend_to: outra\n")
    result = bridge("lint")
    assert result.exit_code == 0
    assert "destination.unset" in result.stdout


def test_lint_as_json(root: Path) -> None:
    """The same as data."""
    (root / "pago.yaml").write_text(f"{GOOD}sendto: x\n")

    result = bridge("lint", "--json")

    assert result.exit_code == 1
    (finding,) = as_json(result)
    assert finding | {"facts": {}} == {
        "path": f"{root}/pago.yaml",
        "line": 14,
        "column": 1,
        "code": "key.unknown",
        "severity": "error",
        "message": "a mapping has no key 'sendto'; did you mean send_to?",
        "facts": {},
    }


def test_texts_are_in_the_language_of_the_reader_and_json_is_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output, headings and errors in Portuguese; codes and `--json` stay."""
    monkeypatch.setenv("BRIDGE_LANGUAGE", "pt-BR")

    assert bridge("lint").stdout.startswith("1 automação: 0 erros")
    assert bridge("show").stdout.split()[:2] == ["nome", "estado"]
    assert bridge("show", "nada").stderr == "nenhuma automação se chama 'nada'; veja `bridge mappings show`\n"
    assert as_json(bridge("show", "--json"))[0]["enabled"] is True


def test_lint_takes_files_and_directories(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Paths replace the directory of the environment; samples are looked for beside each file."""
    other = tmp_path_factory.mktemp("other")
    (other / "x.yaml").write_text("nope")

    assert "2 mappings: 1 error" in bridge("lint", str(other), str(root / "pago.yaml")).stdout


def test_lint_of_files_sees_what_two_of_them_send_twice(root: Path) -> None:
    """As in a directory."""
    (root / "outro.yaml").write_text(GOOD)

    said = bridge("lint", str(root / "outro.yaml"), str(root / "pago.yaml"))

    assert said.exit_code == 1
    assert "mapping.overlap" in said.stdout


def test_lint_can_leave_the_environment_aside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CI has no webhook URLs."""
    monkeypatch.delenv("CLINT_WEBHOOK_URL")
    assert bridge("lint").exit_code == 1

    assert bridge("lint", "--no-environment").exit_code == 0


def test_lint_of_a_path_that_is_not_there_is_wrong_use(root: Path) -> None:
    """Status 2, one line."""
    result = bridge("lint", str(root / "nope.yaml"))

    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_test_runs_the_shipped_mappings_without_any_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests ask for no accounts and destinations."""
    monkeypatch.setenv("BRIDGE_MAPPINGS_DIR", str(SHIPPED))

    result = bridge("test")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].endswith(" passed, 0 failed, 0 files can't run")
    assert "ok    cobranca_paga: Pix recebido atualiza negócio" in result.stdout


def test_test_shows_expected_beside_actual(root: Path) -> None:
    """A failure has file, line, key and both sides."""
    (root / "pago.yaml").write_text(GOOD.replace('valor: "10.00"}}', 'valor: "11.00"}}'))

    result = bridge("test")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"FAIL  {root}/pago.yaml:13: certo",
        "line  key    expected  actual",
        "13    valor  '11.00'   '10.00'",
        "0 passed, 1 failed, 0 files can't run",
    ]


def test_test_says_why_a_case_or_a_file_cannot_run(root: Path) -> None:
    """A file with an error fails too, with its findings."""
    (root / "pago.yaml").write_text(GOOD.replace("samples/c.json", "null").replace("samples/e.json", "samples/c.json"))
    (root / "quebrado.yaml").write_text("events: [PAYMENT_RECEIVED]\n")

    result = bridge("test")

    assert result.exit_code == 1
    assert f"{root}/quebrado.yaml:1:1: key.missing" in result.stdout
    assert "      given must be an event as Asaas sends it" in result.stdout
    assert result.stdout.splitlines()[-1] == "0 passed, 1 failed, 1 file can't run"


def test_test_as_json(root: Path) -> None:
    """Results and broken files as data."""
    (root / "quebrado.yaml").write_text("events: [PAYMENT_RECEIVED]\n")

    told = as_json(bridge("test", "--json"))

    assert [(one["name"], one["passed"], one["payload"]["valor"]) for one in told["results"]] == [
        ("certo", True, "10.00")
    ]
    assert told["broken"][0]["code"] == "key.missing"


def test_show_lists_the_files(root: Path) -> None:
    """State, events and destinations of each, and the first finding of what can't run."""
    (root / "a.yaml").write_text("nope")
    (root / "desligado.yaml").write_text(f"{GOOD}enabled: false\n")

    lines = bridge("show").stdout.splitlines()

    assert lines[0].split() == ["name", "state", "events", "sends", "to", "description"]
    assert lines[1].startswith("a          error")
    assert "a.yaml:1:1: value.shape" in lines[1]
    assert lines[2].split() == ["desligado", "off", "Payment", "received", "default,", "pagas", "Pago"]
    assert lines[3].split()[:2] == ["pago", "on"]


def test_show_as_json(root: Path) -> None:
    """Every file, those that can't run with their findings."""
    (root / "a.yaml").write_text("nope")

    broken, good = as_json(bridge("show", "--json"))

    assert (broken["name"], broken["findings"][0]["code"]) == ("a", "value.shape")
    assert (good["name"], good["fetched"], good["tests"]) == ("pago", ["customer", "payment"], 1)
    assert good["filter"] == ["all:", "payment.value at_least 5", "expression: !(payment.deleted)"]


def test_show_of_deals_by_the_api(root: Path) -> None:
    """Which deal, and what its stage may become."""
    stage = "stage: {from: payment.status, lookup: {RECEIVED: Paga}}"
    deal = f"one_deal_per: installment\nfunnel: {{{stage}, tags: [Asaas]}}\n"
    (root / "negocio.yaml").write_text(GOOD + deal)

    text = bridge("show", "negocio").stdout

    assert re.search(r"^one_deal_per: +installment$", text, re.M)
    assert re.search(r"^stage: +payment.status -> Paga$", text, re.M)
    assert as_json(bridge("show", "negocio", "--json"))["deal"]["tags"] == ["Asaas"]
    assert as_json(bridge("show", "pago", "--json"))["deal"] is None


def test_show_of_one_says_all_that_it_does(root: Path) -> None:
    """Every key, the filter as a tree in words, the fields as a table."""
    text = bridge("show", "pago").stdout

    assert "asks Asaas for:       customer, payment\n" in text
    assert "route to pagas:       Payment received (PAYMENT_RECEIVED)\n" in text
    assert (
        "only if:              All of these conditions hold:\n                        Value is at least R$5.00\n"
        in text
    )
    assert "deal     numero  number  payment.value\n" in text
    assert as_json(bridge("show", "pago", "--json"))["name"] == "pago"


def test_show_of_what_is_not_there_or_cannot_run(root: Path) -> None:
    """One line says which."""
    (root / "a.yaml").write_text("nope")

    missing, broken = bridge("show", "nope"), bridge("show", "a")

    assert (missing.stderr, missing.exit_code) == ("no mapping is named 'nope'; see `bridge mappings show`\n", 1)
    assert (broken.stderr, broken.exit_code) == (f"mapping a can't run; {root}/a.yaml; see `bridge mappings lint`\n", 2)


def explain(root: Path, *arguments: str, **payment: Any) -> Result:
    """Explain the event with these values changed."""
    event = {**EVENT, "payment": {**EVENT["payment"], **payment}}  # type: ignore[dict-item]
    (root / "event.json").write_text(json.dumps(event))
    return bridge("explain", "--event", str(root / "event.json"), *arguments)


def test_explain_shows_conditions_fields_and_destination(root: Path) -> None:
    """Everything the mapping saw, and where the payload would go."""
    (root / "outro.yaml").write_text(GOOD.replace("PAYMENT_RECEIVED", "PAYMENT_OVERDUE"))

    result = explain(root, "--with", f"customer={root}/samples/c.json")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "outro: does not listen to this event",
        "pago: sent to pagas",
        "  yes line 4   All of these conditions hold:",
        "  yes line 5     Value is at least R$5.00  (saw R$10.00)",
        "  yes line 6     !(payment.deleted)  (saw yes)",
        "group    key     from                  value",
        "contact  email   customer.email        a@example.com",
        "deal     valor   money(payment.value)  10.00",
        "deal     numero  payment.value         10",
        'payload: {"email": "a@example.com", "valor": "10.00", "numero": 10}',
    ]
    assert result.stderr == ""


def test_explain_shows_the_deal(root: Path) -> None:
    """Its values beside the fields, and what makes it beside the payload, which stays flat."""
    (root / "pago.yaml").write_text(GOOD + "funnel: {stage: {text: Paga}}\n")
    (root / "pago.yaml").write_text((root / "pago.yaml").read_text().replace("send_to: pagas", "send_to: funil"))
    customer = f"customer={root}/samples/c.json"

    (said,) = as_json(explain(root, "--with", customer, "--json"))
    lines = explain(root, "--with", customer).stdout.splitlines()

    assert (said["funnel"]["stage"], said["funnel"]["key"]) == ("Paga", "p")
    assert "funnel" not in said["payload"]
    assert ["funnel", "funnel.stage", "Paga", "Paga"] in [line.split() for line in lines]
    assert lines[-1].startswith('deal: {"key": "p"')


def test_explain_says_which_condition_said_no(root: Path) -> None:
    """The reason stands above the conditions."""
    lines = explain(root, "pago", value=1).stdout.splitlines()

    assert lines[1].startswith("  filter.compare: Value ")
    assert {"R$1.00,", "R$5.00"} <= set(lines[1].split())
    assert lines[:1] + lines[2:] == [
        "pago: filtered",
        "  no  line 4   All of these conditions hold:",
        "  no  line 5     Value is at least R$5.00  (saw R$1.00)",
        "  -   line 6     !(payment.deleted)",
    ]


def test_explain_shows_which_instalment_was_seen(root: Path) -> None:
    """`installments: first` is a condition too, before the others."""
    (root / "pago.yaml").write_text(f"{GOOD}installments: first\n")

    assert explain(root, "pago", installmentNumber=2).stdout.splitlines()[2:4] == [
        "  no  line 1   only the first instalment  (saw 2)",
        "  -   line 4   All of these conditions hold:",
    ]


def test_explain_says_what_would_be_dead_and_what_is_missing(root: Path) -> None:
    """Without the customer there is no contact; the command says how to give one."""
    result = explain(root, "pago")

    assert result.stdout.splitlines()[0] == "pago: dead"
    assert "transform.no_contact" in result.stdout
    assert "(left out)" in result.stdout
    assert result.stderr == ("customer would be fetched from Asaas and was not given here; use --with customer=FILE\n")


def test_explain_shows_a_filter_that_cannot_be_told(root: Path) -> None:
    """The event would be dead with that reason."""
    result = explain(root, "pago", value="caro")

    assert "filter.failed: condition 'payment.value at_least 5': at_least takes a number" in result.stdout


def test_explain_as_json(root: Path) -> None:
    """Payload, conditions and destination as data; environment and account are seen by expressions."""
    (root / "pago.yaml").write_text(f"{GOOD}account: matriz\n".replace("deal:", "deal:\n  ambiente: environment"))
    with_customer = ("--with", f"customer={root}/samples/c.json", "--json")

    (told,) = as_json(explain(root, *with_customer, "--account", "matriz"))
    (sandbox,) = as_json(
        explain(root, *with_customer, "--account", "matriz", invoiceUrl="https://sandbox.asaas.com/i/x")
    )
    (other,) = as_json(explain(root, *with_customer))

    assert (told["outcome"], told["send_to"]) == ("sent", "pagas")
    assert told["payload"] == {"email": "a@example.com", "ambiente": "production", "valor": "10.00", "numero": 10}
    assert sandbox["payload"]["ambiente"] == "sandbox"
    assert other == {"mapping": "pago", "enabled": True, "listens": False, "why": "other_account"}


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("[]", (), "must be an event as Asaas sends it, an object with `event`, got something else"),
        ("{", (), "is not JSON"),
        (
            "{}",
            ("--with", "customr=x"),
            "--with must be NAME=FILE with NAME one of customer, installment, payment, subscription, got 'customr=x'",
        ),
        ("{}", ("--with", "customer=/nope.json"), "/nope.json can't be read (no such file or directory)"),
    ],
)
def test_explain_of_what_is_no_event_is_wrong_use(root: Path, text: str, given: tuple[str, ...], message: str) -> None:
    """Status 2 and one line."""
    (root / "x.json").write_text(text)

    result = bridge("explain", "--event", str(root / "x.json"), *given)

    assert result.exit_code == 2
    assert message in result.stderr


def test_shipped_mappings_can_be_copied_elsewhere(tmp_path: Path) -> None:
    """Samples are found beside the files, wherever those lie."""
    shutil.copytree(SHIPPED, tmp_path / "m")

    assert bridge("test", str(tmp_path / "m")).exit_code == 0


def test_explain_of_a_kept_event_reads_the_journal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no file is the id of an event; without a journal that is said in one line."""
    monkeypatch.setenv("BRIDGE_DATA_DIR", str(root / "data"))

    result = bridge("explain", "--event", "evt_1&1")

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_schema_is_printed_or_written(root: Path) -> None:
    """The same text either way, as it lies in mappings/."""
    printed = bridge("schema")
    written = bridge("schema", "--output", str(root / "mapping.schema.json"))

    assert printed.stdout == (SHIPPED / "mapping.schema.json").read_text() == (root / "mapping.schema.json").read_text()
    assert (printed.exit_code, written.exit_code) == (0, 0)
    assert "yaml-language-server: $schema=./mapping.schema.json" in written.stdout


def test_init_copies_what_came_with_the_bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mappings, samples and guide are there, lint clean and pass; without DIR they lie in the setting's directory."""
    monkeypatch.setenv("BRIDGE_MAPPINGS_DIR", str(tmp_path / "set" / "mappings"))
    for arguments, place in (
        (["init"], tmp_path / "set" / "mappings"),
        (["init", str(tmp_path / "x")], tmp_path / "x"),
    ):
        said = bridge(*arguments)

        assert (said.exit_code, said.stderr) == (0, "")
        copied = {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        assert copied == {path.relative_to(SHIPPED): path.read_bytes() for path in SHIPPED.rglob("*") if path.is_file()}
    assert bridge("lint", "--no-environment").exit_code == 0
    assert bridge("test").exit_code == 0


@pytest.mark.parametrize("name", ["cobranca_paga.yaml", "samples/customer_pf.json"])
def test_init_overwrites_nothing(tmp_path: Path, name: str) -> None:
    """One file that is there is enough to copy none."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    said = bridge("init", str(tmp_path))

    assert said.exit_code == 2
    assert str(tmp_path / name) in said.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "mine"


def test_init_says_where_it_can_not_write(tmp_path: Path) -> None:
    """One line, no traceback."""
    (tmp_path / "file").write_text("")
    said = bridge("init", str(tmp_path / "file" / "mappings"))

    assert said.exit_code == 2
    assert said.stderr.count("\n") == 1
