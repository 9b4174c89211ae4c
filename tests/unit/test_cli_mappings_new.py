"""`bridge mappings new`: what it writes lints clean and passes its own tests, whatever was chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.mapping import Setup, read_file
from bridge.mapping.catalogue import EVENTS
from bridge.mapping.drafts import FIELD_MENU, Choices, Offer, draft
from bridge.mapping.testing import parts_of, run
from tests.commands import Commands
from tests.peers import closed_port


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give an empty directory of mappings."""
    return Commands(tmp_path)


def check(commands: Commands, name: str) -> None:
    """Hold a written file: no finding, every test passes, every part is reached."""
    read = read_file(commands.mappings / f"{name}.yaml", Setup(None, None, commands.mappings))
    assert read.mapping is not None
    assert read.findings == ()
    results = run(read.mapping, commands.mappings)
    assert [result for result in results if not result.passed] == []
    assert [part for part in parts_of(read.mapping, results) if not part.reached] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--event", "PAYMENT_RECEIVED"),
        ("--event", "PAYMENT_*", "--at-least", "129,90"),
        ("--event", "PAYMENT_OVERDUE", "--at-least", "5000", "--billing-type", "BOLETO", "--billing-type", "PIX"),
        ("--event", "PAYMENT_CREATED", "--reference", "loja: ", "--installments", "once"),
        ("--event", "PAYMENT_DELETED", "--field", "telefone", "--field", "taxa", "--description", 'diz: "sim" # e não'),
        ("--event", "SUBSCRIPTION_CREATED", "--event", "SUBSCRIPTION_DELETED", "--at-least", "10"),
        (
            "--event",
            "PAYMENT_RECEIVED",
            *(f"--field={offer.key}" for offer in FIELD_MENU if offer.entity != "subscription"),
        ),
    ],
)
def test_file_of_options_is_sound(commands: Commands, arguments: tuple[str, ...]) -> None:
    """A script says all by options; what it does not say takes its default."""
    said = commands.run("mappings", "new", "nova", *arguments)

    assert said.status == 0, said.err
    assert said.out.startswith(f"written: {commands.mappings}/nova.yaml, with ")
    assert (commands.mappings / "mapping.schema.json").exists()
    check(commands, "nova")


def test_file_with_another_destination_is_off_until_that_is_set(commands: Commands) -> None:
    """Lint stays silent but for a note; with the destination set it is on."""
    off = commands.run("mappings", "new", "a", "--event", "PAYMENT_RECEIVED", "--send-to", "vendas")
    on = commands.run(
        *("mappings", "new", "b", "--event", "PAYMENT_RECEIVED", "--send-to", "vendas"),
        CLINT_WEBHOOK_URL_VENDAS="https://clint.example/x",
    )

    assert "it is off until CLINT_WEBHOOK_URL_VENDAS is set" in off.err
    assert "enabled: false" in (commands.mappings / "a.yaml").read_text()
    assert "is off" not in on.err
    assert "enabled" not in (commands.mappings / "b.yaml").read_text()
    check(commands, "a")
    check(commands, "b")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--event", "PAYMENT_RECEIVED"),
        ("--event", "PAYMENT_*", "--one-deal-per", "customer", "--stage", "Paga", "--status", "won"),
        ("--event", "PAYMENT_CREATED", "--one-deal-per", "installment", "--stage", "Nova: 1", "--at-least", "50"),
        ("--event", "SUBSCRIPTION_CREATED", "--event", "SUBSCRIPTION_DELETED", "--status=SUBSCRIPTION_DELETED=lost"),
        (
            *("--event", "PAYMENT_CREATED", "--event", "PAYMENT_RECEIVED", "--event", "PAYMENT_OVERDUE"),
            *("--stage", "PAYMENT_RECEIVED=Paga", "--stage", "Nova", "--status", "PAYMENT_RECEIVED=won"),
        ),
    ],
)
def test_file_for_an_origin_of_clint_is_sound(commands: Commands, arguments: tuple[str, ...]) -> None:
    """It says what one deal stands for; each stage and status that is told has a test."""
    with closed_port() as port:
        clint = {"CLINT_API_TOKEN": "t", "CLINT_API_URL": f"http://127.0.0.1:{port}", "CLINT_ORIGIN_VENDAS": "Vendas"}
        local = {"BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1"}
        said = commands.run("mappings", "new", "nova", "--send-to", "vendas", *arguments, **clint, **local)

    assert said.status == 0, said.err
    assert "one_deal_per: " in (commands.mappings / "nova.yaml").read_text()
    check(commands, "nova")


def test_file_for_an_origin_that_is_not_set_up_yet_is_off(commands: Commands) -> None:
    """That it is meant for one is said by the options."""
    options = ("--event", "PAYMENT_RECEIVED", "--send-to", "vendas", "--stage", "Paga")
    off = commands.run("mappings", "new", "a", *options)
    wrong = commands.run("mappings", "new", "b", *options, CLINT_WEBHOOK_URL_VENDAS="https://clint.example/x")

    assert "it is off until CLINT_ORIGIN_VENDAS is set" in off.err
    assert (wrong.status, wrong.err.count("\n")) == (2, 1)
    assert "--stage" in wrong.err
    check(commands, "a")


def test_person_is_asked(commands: Commands) -> None:
    """Events and fields come as numbered menus; a wrong answer is asked again."""
    # Name, events, destination, description, amount, billing types, reference, instalments, keys.
    typed = ["Venda no Pix", "venda", "PAYMENT_RECIVED", "3, PAYMENT_RECEIVED", "", "Pago, na Clint", "dez", "50"]
    typed += ["pix", "PIX", "", "never", "first", "1 7", "1 2 7 8 valor"]
    said = commands.on_terminal("mappings", "new", types="".join(f"{line}\n" for line in typed))
    text = (commands.mappings / "venda.yaml").read_text()

    assert said.status == 0, said.err
    assert "Cobrança recebida" in said.out
    assert "cliente.teste@example.com" in said.out
    assert "did you mean PAYMENT_RECEIVED?" in said.err
    assert "Clint finds the contact by email or telefone" in said.err
    assert 'description: "Pago, na Clint"' in text
    assert "events: [PAYMENT_CONFIRMED, PAYMENT_RECEIVED]" in text
    assert "installments: first" in text
    assert "valor_liquido: money(payment.netValue)" in text
    check(commands, "venda")


def test_person_may_take_every_default(commands: Commands) -> None:
    """Return is an answer; a subscription is asked nothing about instalments."""
    said = commands.on_terminal("mappings", "new", "assinatura", "--event", "SUBSCRIPTION_CREATED", types="\n" * 12)

    assert said.status == 0, said.err
    assert "instalments" not in said.err
    check(commands, "assinatura")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name of the file is missing"),
        (("x",), "no event was named; add --event"),
        (("X", "--event", "PAYMENT_RECEIVED"), "a name has at most 40 lower case letters, digits, _ and -, got 'X'"),
        (
            ("x", "--event", "PAYMENT_RECIVED"),
            "the menu knows no event 'PAYMENT_RECIVED'; did you mean PAYMENT_RECEIVED?",
        ),
        (("x", "--event", "TRANSFER_DONE"), "the menu has fields for charges or for subscriptions"),
        (("x", "--event", "PAYMENT_*", "--event", "SUBSCRIPTION_*"), "the menu has fields for charges or"),
        (("x", "--event", "PAYMENT_*", "--at-least", "dez"), "“dez” is no number; write one such as 129.90"),
        (("x", "--event", "PAYMENT_*", "--at-least", "1.000"), "“1.000” can be read in two ways; write 1000 or 1.00"),
        (("x", "--event", "PAYMENT_*", "--at-least", "-5"), "“-5” is less than zero"),
        (("x", "--event", "PAYMENT_*", "--billing-type", "pix"), "Asaas has no billing type 'pix'; did you mean PIX?"),
        (("x", "--event", "PAYMENT_*", "--field", "nome"), "Clint finds the contact by email or telefone, got neither"),
        (("x", "--event", "PAYMENT_*", "--field", "emial"), "the menu has no key 'emial'; did you mean email?"),
        (("velha", "--event", "PAYMENT_*"), "there is a mapping of that name"),
        (
            ("x", "--event", "PAYMENT_*", "--send-to", "y", "--status", "wno"),
            "a status is open, won or lost, got 'wno'",
        ),
        (
            ("x", "--event", "PAYMENT_RECEIVED", "--send-to", "y", "--stage", "PAYMENT_RECEIVD=Paga"),
            "the mapping does not listen to 'PAYMENT_RECEIVD'; did you mean PAYMENT_RECEIVED?",
        ),
    ],
)
def test_wrong_use_is_said_in_one_line(commands: Commands, arguments: tuple[str, ...], message: str) -> None:
    """Status 2, and nothing is written."""
    commands.has_mapping("velha", "x")
    said = commands.run("mappings", "new", *arguments)

    assert (said.status, said.err.count("\n")) == (2, 1)
    assert said.err.startswith(message)
    assert [path.name for path in commands.mappings.iterdir()] == ["velha.yaml"]


@pytest.mark.parametrize(
    "event", [name for name, known in EVENTS.items() if known.family in {"PAYMENT", "SUBSCRIPTION"}][::7]
)
def test_every_event_of_the_menu_makes_a_sound_file(commands: Commands, event: str) -> None:
    """A few of each family."""
    assert commands.run("mappings", "new", "x", "--event", event).status == 0
    check(commands, "x")


def test_draft_of_a_broken_field_says_what_is_wrong() -> None:
    """A menu with a mistake can't hide behind a file without tests."""
    read = draft(Choices("x", "x", ("PAYMENT_RECEIVED",), (Offer("deal", "x", "nope("),)))

    assert read.mapping is None
    assert "expression.syntax" in {one.code for one in read.findings}
