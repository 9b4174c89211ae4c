"""The form of a mapping in the console, by the controls and buttons that its pages have."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.journal import customers, revisions
from bridge.journal.schema import events as event_table
from bridge.journal.search import Found, Kind
from bridge.mapping.deal_form import LISTS, WORDS, Deal, Value
from bridge.mapping.form import read_form
from bridge.mapping.spec import MAPPING as KEYS
from bridge.model import DeliveryState
from tests.console import VIEWER, Console, finish_jobs, opened_console
from tests.factories import NOW_MS, envelope, incoming, keep, owe, payment, put_in_state
from tests.forms import form_of

ROOT = Path(__file__).parents[2]
STARTERS = sorted(path.stem for path in (ROOT / "mappings").glob("*.yaml"))
DAY_MS = 86_400_000
TEXT = """# Kept as it is
description: Cobrança paga atualiza o negócio
events: [PAYMENT_RECEIVED]

contact:
  email: {text: ana@example.com} # always hers
deal:
  valor: money(payment.value)

tests:
  - name: paga
    given: samples/payment_received_pix.json
    expect: {valor: "10.00"}
"""


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with one mapping, and the samples."""
    shutil.copytree(ROOT / "mappings" / "samples", tmp_path / "mappings" / "samples")
    with opened_console(sqlite_url, tmp_path) as opened:
        save(opened, TEXT)
        yield opened


def save(console: Console, text: str, name: str = "cobranca") -> int:
    """Make a text the active one."""
    path = Path(console.runtime.settings.bridge_mappings_dir) / f"{name}.yaml"
    path.write_text(text)
    with console.journal.database.write() as connection:
        fresh = revisions.import_text(connection, name, text, "file", "Ana", console.clock())
    console.clock.go(1)
    return fresh or 0


def text_of(console: Console, name: str = "cobranca") -> str:
    """Return a mapping's active text."""
    with console.journal.database.read() as connection:
        found = revisions.newest(connection, name)
    return (found.text if found else "") or ""


def arrive(console: Console, *values: float, days_ago: int = 1) -> list[int]:
    """Let charges of these amounts be received and processed on an earlier day."""
    made = []
    for n, value in enumerate(values):
        body = envelope(payment=payment(f"cus_{n}", value=value, dueDate="2026-11-22", description=f"Pedido {n}"))
        event = incoming(f"cus_{n}", key=body["id"], body=json.dumps(body), object_id=f"pay_{n}")
        made.append(replace(event, received_ms=NOW_MS - days_ago * DAY_MS))
    ids = keep(console.journal, *made)
    with console.journal.database.write() as connection:
        connection.execute(
            event_table.update().where(event_table.c.id.in_(ids)).values(state="processed", processed_ms=NOW_MS)
        )
    return ids


def test_only_above_a_hundred_and_the_due_date_too(console: Console) -> None:
    """By the form, seen before it is saved, its test accepted, saved, and yesterday's replayed."""
    browser = console.operator("pt-BR")
    arrive(console, 500.0, days_ago=3)
    small, large = arrive(console, 40.0, 150.0)
    form = form_of(browser.get("/mappings/cobranca"))
    form = form_of(form.press(browser, "Adicionar condição"))
    form.fill(row_0_field="payment.value", row_0_operator="at_least", row_0_value="100,00")
    form.fill(offer="vencimento")
    form = form_of(form.press(browser, "Adicionar campo"))
    assert form["field-2-key"] == "vencimento"
    page = form.press(browser, "Ver o que muda")

    assert page.status_code == 200
    assert "<strong>1 deixaria de ser enviado</strong>" in page.text
    assert f'href="/events/{small}"' in page.text
    assert "Pedido 0" in page.text
    assert "22/11/2026" in page.text
    assert text_of(console) == TEXT  # nothing is saved yet
    form = form_of(page)
    page = form.press(browser, "Aceitar o novo resultado: paga")
    assert "Aceitar o novo resultado" not in page.text
    form = form_of(page)
    begun = form.press(browser, "Salvar e reprocessar os de ontem")
    finish_jobs()
    preview = browser.get(begun.location)

    changed = text_of(console)
    assert "# Kept as it is" in changed
    assert "{text: ana@example.com} # always hers" in changed
    assert "  all:\n    - {field: payment.value, at_least: 100}\n" in changed
    assert "vencimento: date(payment.dueDate, '%d/%m/%Y')" in changed
    assert "expect: filtered" in changed
    asked = form_of(preview, "/replay").press(browser, "Reprocessar 2 eventos (1 a enviar)")
    finish_jobs()
    assert asked.status_code == 303
    with console.journal.database.read() as connection:
        replayed = connection.execute(event_table.select().where(event_table.c.replay > 0)).all()
    assert {row.id for row in replayed} == {small, large}


@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_switching_to_yaml_and_back_loses_nothing(console: Console, language: str) -> None:
    """Every starter mapping through the page's own controls gives the same text."""
    browser = console.operator(language)
    for name in STARTERS:
        text = (ROOT / "mappings" / f"{name}.yaml").read_text(encoding="utf-8")
        save(console, text, name)
        as_form = browser.get(f"/mappings/{name}")
        as_yaml = form_of(as_form).press(browser, "YAML")
        again = form_of(as_yaml).press(browser, "Formulário" if language == "pt-BR" else "Form")

        assert form_of(as_form)["text"] == form_of(as_yaml)["text"] == form_of(again)["text"] == text


def test_a_text_that_nobody_changed_is_the_active_one(console: Console) -> None:
    """Also one without an end of its last line, or with those of Windows, which a change keeps."""
    for text in (TEXT.rstrip(), TEXT.replace("\n", "\r\n")):
        save(console, text)
        browser = console.operator()
        form = form_of(browser.get("/mappings/cobranca"))
        page = form.press(browser, "See what changes")
        form.fill(description="Outra")
        changed = form.press(browser, "See what changes")

        assert "The text is as it was." in page.text
        assert 'class="removed">-description' in changed.text
    form_of(changed).press(browser, "Save")
    assert text_of(console) == TEXT.replace("Cobrança paga atualiza o negócio", "Outra").replace("\n", "\r\n")


def test_a_broken_file_is_fixed_under_its_own_name(console: Console) -> None:
    """One that never was active has no revision to go on from, and is no new mapping all the same."""
    path = Path(console.runtime.settings.bridge_mappings_dir) / "quebrada.yaml"
    path.write_text("events: [PAYMENT_RECEIVED\n")
    browser = console.operator()
    form = form_of(browser.get("/mappings/quebrada?file=1"))
    form.fill(text=TEXT)
    saved = form_of(form.press(browser, "See what changes")).press(browser, "Save")

    assert (saved.status_code, saved.location) == (303, "/mappings/quebrada")
    assert path.read_text() == text_of(console, "quebrada") == TEXT


def test_names_of_customers_stand_where_the_cache_has_none(console: Console) -> None:
    """The journal keeps them: beside the fields of the form, and in what a change would do."""
    arrive(console, 40.0, 150.0)
    with console.journal.database.write() as connection:
        person = Found("default", "cus_1", Kind.SUBJECT, {"name": "Maria Souza", "email": "maria@example.com"})
        customers.record(connection, [person], [], console.clock())
    browser = console.operator()
    save(console, TEXT.replace("deal:", "  nome: customer.name\ndeal:", 1))
    page = browser.get("/mappings/cobranca")
    form = form_of(form_of(page).press(browser, "Add a condition"))
    form.fill(row_0_value="200")
    change = form.press(browser, "See what changes").text

    assert "</span> Maria Souza" in page.text
    assert ">Maria Souza</a>" in change
    assert ">Pedido 0</a>" in change


@pytest.mark.parametrize("days_ago", [0, 1, 2])
def test_a_days_events_are_offered_where_there_are_any(console: Console, days_ago: int) -> None:
    """Nobody is sent into an empty replay."""
    arrive(console, 10.0, days_ago=days_ago)
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    page = form.press(browser, "See what changes").text
    offered = {day: f'name="run" value="{day}"' in page for day in ("today", "yesterday")}

    assert offered == {"today": days_ago == 0, "yesterday": days_ago == 1}
    begun = browser.post("/mappings/cobranca/run", over="today")
    finish_jobs()
    assert begun.location.startswith("/work/") is (days_ago == 0)


def test_a_mapping_is_called_by_what_it_does(console: Console) -> None:
    """Its description stands where its name would; what is sent with a form is its name."""
    (event,) = arrive(console, 10.0)
    dead = owe(console.journal, event_id=event, customer="cus_0", object_id="pay_0", mapping="cobranca")
    put_in_state(console.journal, dead, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422")
    browser, title = console.operator("pt-BR"), "Cobrança paga atualiza o negócio"

    assert f'<option value="cobranca">{title}</option>' in browser.get("/events").text
    for address in ("/attention", "/customers/default/cus_0", "/charges/default/pay_0"):
        page = browser.get(address).text
        assert title in page
        assert ">cobranca<" not in page
    begun = browser.post("/mappings/cobranca/run", number="10")
    finish_jobs()
    assert f"<small>{title}</small>" in browser.get(begun.location).text


def test_every_control_has_a_label(console: Console) -> None:
    """Each key of the language is on the page of a new or of a saved mapping."""
    page = console.operator().get("/mappings/cobranca").text
    new = console.operator().get("/mappings-new").text

    for key in KEYS.keys() - {"events", "filter", "contact", "organization", "deal", "account", "funnel"}:
        assert f'name="{key}"' in page + new
    for key in (*WORDS, *LISTS, "stage-default", "status-default", "value", "user"):
        assert f'name="deal-{key}"' in page


def test_deals_by_the_api_are_a_part_of_the_form(console: Console) -> None:
    """A row for each event, and simple values; the text gets just what was written, and comes back as it was."""
    save(console, TEXT.replace("[PAYMENT_RECEIVED]", "[PAYMENT_CREATED, PAYMENT_RECEIVED]"))
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(**{
        "deal-stage-PAYMENT_RECEIVED": "Paga",
        "deal-status-PAYMENT_RECEIVED": "won",
        "deal-status-default": "open",
        "one_deal_per": "installment",
        "deal-tags": "Asaas, Pago",
        "deal-user": "ana@loja.com.br",
        "deal-value": "payment.value",
        "deal-origin": "Vendas",
        "deal-moved_by_person": "override",
    })  # fmt: skip
    changed = form_of(form.press(browser, "See what changes"))

    assert read_form(changed["text"]).deal == Deal(
        "installment",
        False,
        {
            "stage": Value(by_event={"PAYMENT_RECEIVED": "Paga"}),
            "status": Value(by_event={"PAYMENT_RECEIVED": "won"}, default="open"),
            "value": Value("from", source="payment.value"),
            "user": Value(default="ana@loja.com.br"),
        },
        {"origin": "Vendas", "moved_by_person": "override", "removed": "", "key_field": ""},
        {"tags": ("Asaas", "Pago"), "find_contact_by": ()},
    )
    assert "# always hers" in changed["text"]
    save(console, changed["text"])
    again = form_of(browser.get("/mappings/cobranca"))
    again.fill(**{"deal-stage-PAYMENT_RECEIVED": "", "one_deal_per": "charge", "deal-user": ""})
    less = form_of(again.press(browser, "See what changes"))["text"]
    deal = read_form(less).deal
    assert (deal.per, deal.values["stage"], deal.values["user"]) == ("charge", Value(), Value())
    assert deal.values["status"].default == "open"


@pytest.mark.parametrize(
    "funnel",
    [
        "one_deal_per: {expression: payment.externalReference}\n",
        "funnel: {stage: {from: payment.status, lookup: {RECEIVED: Paga}}, tags: [{from: payment.billingType}]}\n",
        "funnel: {stage: payment.status, value: {text: '10'}, user: {from: event, lookup: {X: a@b.c}}}\n",
        "funnel:\n  find_contact_by: phone # ours\n  status: {from: event, lookup: {PAYMENT_RECEIVED: won, X: lost}}\n",
    ],
)
def test_deal_that_is_not_touched_stays_as_it_is(console: Console, funnel: str) -> None:
    """What the form shows as words, as YAML or not at all."""
    save(console, TEXT + funnel)
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(description="Outra")

    sent = form_of(form.press(browser, "See what changes"))

    assert funnel in sent["text"]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("100,00", "100"),
        ("R$ 1.100,50", "1100.50"),
        ("1100.50", "1100.50"),
        ("1000", "1000"),
        ("1.000.000", "1000000"),
        ("1,100.50", "1100.50"),
        ("1.000", ""),
        ("cem", ""),
        ("", ""),
    ],
)
def test_an_amount_is_read_as_it_is_written(console: Console, said: str, written: str) -> None:
    """As Brazilians write it; what may mean two amounts, or none, is refused beside the control."""
    browser = console.operator("pt-BR")
    form = form_of(form_of(browser.get("/mappings/cobranca")).press(browser, "Adicionar condição"))
    form.fill(row_0_operator="less_than", row_0_value=said)
    page = form.press(browser, "Ver o que muda")

    assert page.status_code == (200 if written else 422)
    assert ('id="row-0-fault"' in page.text) is not bool(written)
    if written:
        assert f"less_than: {written}}}" in form_of(page)["text"]
    else:
        assert form_of(page)["row-0-value"] == said  # what was typed is not lost


def test_rows_show_words_and_write_the_values_of_asaas(console: Console) -> None:
    """Boleto is BOLETO, hoje is today; what was not touched keeps its characters."""
    text = TEXT.replace("contact:", "filter: {all: [{field: payment.billingType, one_of: ['PIX']}]}\n\ncontact:", 1)
    save(console, text)
    browser = console.operator("pt-BR")
    form = form_of(browser.get("/mappings/cobranca"))
    assert form["row-0-value"] == "Pix"
    assert form_of(form.press(browser, "YAML"))["text"] == text
    form.fill(row_0_value="Boleto, Cartão de crédito, OUTRO")
    form = form_of(form.press(browser, "Adicionar condição"))
    form.fill(row_1_field="payment.dueDate", row_1_operator="before", row_1_value="hoje")
    after = form_of(form.press(browser, "YAML"))["text"]

    assert "one_of: [BOLETO, CREDIT_CARD, OUTRO]" in after
    assert "{field: payment.dueDate, before: today}" in after


def test_the_last_event_stands_beside_each_control(console: Console) -> None:
    """Values of fields and conditions, and what was sent where the cache has no customer."""
    save(console, TEXT.replace("contact:", "filter: {field: payment.value, at_least: 5}\n\ncontact:", 1))
    (event,) = arrive(console, 1234.5)
    page = console.operator("pt-BR").get("/mappings/cobranca").text

    assert f'href="/events/{event}">Pedido 0</a>' in page
    assert "R$ 1.234,50" in page.replace("\u00a0", " ")
    assert "</span> 1234.50" in page
    assert "Vencimento — 22 de nov. de 2026" in page


def test_an_error_is_said_in_the_form(console: Console) -> None:
    """What lint finds, what a block lacks, and a key that is missing; what was typed stays."""
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(field_1_choice="=from", field_1_source="mony(payment.value)")
    page = form.press(browser, "See what changes")
    assert (page.status_code, form_of(page)["field-1-source"]) == (422, "mony(payment.value)")
    assert "mony" in page.text
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(tests="- name: [")
    assert form.press(browser, "See what changes").status_code == 422
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(field_1_key="")
    page = form.press(browser, "See what changes")
    assert 'id="field-1-fault"' in page.text


def test_a_text_with_an_error_opens_as_yaml(console: Console) -> None:
    """The form would hide a part of it."""
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca?tab=yaml"))
    form.fill(text="events: [A\n")
    page = form.press(browser, "Form")

    assert "does not open as a form" in page.text
    assert form_of(page)["text"] == "events: [A\n"


def test_rows_come_and_go(console: Console) -> None:
    """A row that was removed is gone from the text, one that was added and removed never was in it."""
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    form = form_of(form.press(browser, "Add a condition"))
    form = form_of(form.press(browser, "Remove condition 1"))
    form = form_of(form.press(browser, "Remove field valor"))
    after = form_of(form.press(browser, "YAML"))["text"]

    assert after == TEXT.replace("deal:\n  valor: money(payment.value)\n", "")


def test_a_field_of_ones_own_begins_as_a_text(console: Console) -> None:
    """What is typed is what is sent; nobody needs to know the language of expressions first."""
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(offer="")
    form = form_of(form.press(browser, "Add the field"))
    form.fill(field_2_key="origem", field_2_source="Cobrança do Asaas")
    page = form.press(browser, "See what changes")

    assert page.status_code == 200
    assert "origem: {text: Cobrança do Asaas}" in form_of(page)["text"]


def test_tests_that_differ_are_accepted_all_at_once(console: Console) -> None:
    """Each with what it expected and what came; afterwards they pass, and saving needs no more."""
    more = '  - name: de novo\n    given: samples/payment_received_pix.json\n    expect: {valor: "10.00"}\n'
    save(console, TEXT + more)
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(field_1_choice="money(payment.netValue)")
    page = form.press(browser, "See what changes")
    assert page.text.count("&#39;10.00&#39;") == 2
    assert page.text.count("8.01") >= 2
    refused = form_of(page).press(browser, "Save")
    accepted = form_of(page).press(browser, "Accept all new results")
    saved = form_of(accepted).press(browser, "Save")

    assert refused.status_code == 422
    assert saved.status_code == 303
    assert text_of(console).count('valor: "8.01"') == 2


def test_a_new_mapping_by_the_same_form(console: Console) -> None:
    """Its name is made of what it is called, its tests of an example; what was chosen is not lost on the way."""
    browser = console.operator("pt-BR")
    form = form_of(browser.get("/mappings-new"))
    form.fill(description="Venda no Pix acima de R$ 50")
    form.tick("event", "PAYMENT_RECEIVED")
    form = form_of(form.press(browser, "Adicionar condição"))
    form.fill(row_0_value="50,00")
    page = form.press(browser, "Ver o que muda")
    back = form_of(form_of(page).press(browser, "Continuar editando"))
    back.fill(row_0_value="60,00")
    page = back.press(browser, "Ver o que muda")
    assert "Os 2 testes dela passam." in page.text  # those of the first try are made anew
    saved = form_of(page).press(browser, "Salvar")

    assert saved.location == "/mappings/venda_no_pix_acima_de_r_50"
    text = text_of(console, "venda_no_pix_acima_de_r_50")
    assert "description: Venda no Pix acima de R$ 50" in text
    assert "at_least: 60}" in text
    assert "valor menor não entra" in text
    console.clock.go(1)
    assert "Venda no Pix acima de R$ 50" in browser.get("/mappings").text
    again = form_of(browser.get("/mappings-new"))
    again.fill(description="Venda no Pix acima de R$ 50")
    again.tick("event", "PAYMENT_RECEIVED")
    assert form_of(again.press(browser, "Ver o que muda")).action == "/mappings/venda_no_pix_acima_de_r_50_2"


def test_a_form_without_an_event_says_so_beside_the_events(console: Console) -> None:
    """In words of the form, not in those of the file."""
    browser = console.operator()
    form = form_of(browser.get("/mappings-new"))
    form.fill(description="Sem evento")
    page = form.press(browser, "See what changes")

    assert page.status_code == 422
    assert 'id="events-fault"' in page.text
    summary = page.text.partition('id="not-taken"')[2].partition("</div></div>")[0]
    places = re.findall(r'href="#([\w-]+)"', summary)
    assert places == ["when"]
    assert 'id="when"' in page.text


def test_a_restore_shows_first_what_it_undoes(console: Console) -> None:
    """The difference and the same line about the last events; then it is done by a button."""
    browser = console.operator()
    arrive(console, 40.0, 150.0)
    with console.journal.database.read() as connection:
        first = revisions.newest(connection, "cobranca")
    assert first is not None
    save(console, TEXT.replace("contact:", "filter: {field: payment.value, at_least: 100}\n\ncontact:", 1))
    page = browser.get(f"/mappings/cobranca/restore?revision={first.id}")

    assert "<strong>1 would now be sent</strong>" in page.text
    assert '<span class="removed">-filter: {field: payment.value, at_least: 100}</span>' in page.text
    form_of(page, "/restore").press(browser, f"Restore revision {first.id}")
    assert text_of(console) == TEXT


def test_values_for_completion_are_those_of_the_chosen_event(console: Console) -> None:
    """Nothing is asked of Asaas for them."""
    first, second = arrive(console, 40.0, 150.0)
    browser = console.operator()
    given = {"text": f"{TEXT}deal: [", "name": "cobranca"}  # a text is seldom whole while somebody types
    chosen = browser.post("/mappings/live/values", given, against=f"event:{first}").get_json()
    last = browser.post("/mappings/live/values", given, against=f"event:{second}").get_json()

    assert chosen["payment.value"] == "R$40.00"
    assert last["payment.value"] == "R$150.00"
    assert browser.post("/mappings/live/values", name="nobody").get_json()["payment.value"] == "R$129.90"


def test_who_may_only_look_sees_the_form_and_no_button(console: Console) -> None:
    """The controls are shown and can't be changed; the tabs are links."""
    viewer = console.browser()
    viewer.sign_in("so para olhar")
    page = viewer.get("/mappings/cobranca").text

    assert '<fieldset class="stack" disabled>' in page
    assert "See what changes" not in page
    assert 'href="/mappings/cobranca?tab=yaml"' in page


def test_a_draft_waits_for_its_person_and_outlives_a_reload(console: Console) -> None:
    """Its page can be fetched again; the mapping's page offers it until it is saved or discarded, to nobody else."""
    browser, other = console.operator(), console.browser()
    other.sign_in(name="Bia")
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(description="Outra")
    kept = browser.post(form.action, {**dict(form.fields), "do": "preview"}).location
    page, again = browser.get(kept), browser.get(kept)
    waiting = browser.get("/mappings/cobranca")
    going_on = form_of(browser.get(f"{kept}?edit=1"))

    assert page.status_code == again.status_code == 200
    assert "+description: Outra" in page.text
    assert f'href="{kept}?edit=1"' in waiting.text
    assert other.get(kept).status_code == 303
    assert f'href="{kept}?edit=1"' not in other.get("/mappings/cobranca").text
    assert going_on["description"] == "Outra"
    assert text_of(console) == TEXT
    form_of(page, "/mappings/cobranca").press(browser, "Save")
    assert "description: Outra" in text_of(console)
    assert "/draft/" not in browser.get("/mappings/cobranca").text
    assert browser.get(kept).location == "/mappings/cobranca"


def test_a_look_at_the_other_tab_is_no_change_that_waits(console: Console) -> None:
    """Nor is a draft that was discarded, or that is older than a day."""
    browser = console.operator()
    form_of(browser.get("/mappings/cobranca")).press(browser, "YAML")
    looked = browser.get("/mappings/cobranca").text
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(description="Outra")
    form.press(browser, "See what changes")
    discarded = form_of(browser.get("/mappings/cobranca"), "/discard").press(browser, "Discard them", follow=True).text
    form.press(browser, "See what changes")
    console.clock.go(25 * 3600)
    browser.sign_in()

    assert "/draft/" not in looked.replace("/draft/discard", "")
    assert "/draft/" not in discarded
    assert "/draft/" not in browser.get("/mappings/cobranca").text


def test_a_new_mapping_waits_too(console: Console) -> None:
    """What was written of it is offered where a new one is begun."""
    browser = console.operator()
    form = form_of(browser.get("/mappings-new?kind=payment"), "/mappings-new")
    form.fill(description="Venda no Pix")
    form.tick("event", "PAYMENT_RECEIVED")
    page = form.press(browser, "See what changes")
    found = re.search(r'href="(/mappings/new/draft/\d+\?edit=1&amp;fresh=1)"', browser.get("/mappings-new").text)
    assert found
    again = form_of(browser.get(found[1].replace("&amp;", "&")))

    assert "What changes" in page.text
    assert again["description"] == "Venda no Pix"
    assert again.action == "/mappings-new"


def test_without_script_the_editor_shows_what_would_come_out(console: Console) -> None:
    """The button that stands there for it leads to the editor with the preview, for viewers too."""
    viewer = console.browser()
    viewer.sign_in(VIEWER, "Leo")
    form = form_of(viewer.get("/mappings/cobranca?tab=yaml"))
    form.fill(against="sample:payment_received_pix.json")
    page = form.press(viewer, "What would come out")

    assert page.status_code == 200
    assert "10.00" in page.text.partition('id="preview"')[2]
    assert form_of(page)["against"] == "sample:payment_received_pix.json"


def test_what_rows_cant_show_is_said_in_words(console: Console) -> None:
    """What is too deep part by part, routes by their events, tests by name and result."""
    text = (ROOT / "mappings" / "exemplo_etapas_do_funil.yaml").read_text(encoding="utf-8")
    deep = "{any: [{not: {field: event, equals: PAYMENT_BANK_SLIP_VIEWED}}, {expression: payment.installment}]}"
    text = text.replace("filter:\n  all:\n", f"filter:\n  all:\n    - any: [{{all: [{deep}, {deep}]}}]\n")
    save(console, text, "funil")
    page = console.operator("pt-BR").get("/mappings/funil").text
    parts = [" ".join(one.split()) for one in re.findall(r'<li class="depth-\d">(.*?)</li>', page)]
    routes = re.findall(r"<tr><td>(.*?)</td><td>→ <span class=\"strong\">(\w+)</span>", page)
    cases = page.partition('<ul class="rows cases">')[2].partition("</ul>")[0]

    assert parts[:3] == [
        "Pelo menos uma destas condições vale:",
        "Isto não pode valer:",
        "Evento é igual a Boleto visualizado",
    ]
    assert ("Cobrança vencida, Negativação pedida", "vencidas") in routes
    assert routes[-1] == ("Todos os outros eventos", "default")
    assert cases.count("Passa") == text.count("- name:")
    assert "enviado ao destino “pagas”" in cases


def test_words_follow_what_a_person_writes(console: Console) -> None:
    """A block that is changed says its new condition, one that is wrong stands as YAML; a test that fails says so."""
    save(console, TEXT.replace("contact:", "filter: {expression: payment.value}\n\ncontact:"))
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(row_0_block="not: {field: payment.value, at_least: 5}")
    draft = browser.post(form.action, {**dict(form.fields), "do": "events"}).location
    changed = browser.get(draft).text
    form.fill(row_0_block="not: {field: payment.value, at_leest: 5}")
    wrong = form.press(browser, "Add a condition").text

    assert "is at least R$5.00" in changed.replace("\xa0", "")
    assert "Fails" in changed
    assert "depth-0" not in wrong
    assert "at_leest" in wrong


GROUPED = TEXT.replace(
    "contact:",
    """filter:
  all:
    - {field: payment.billingType, equals: PIX}
    # one of these
    - any:
        - {field: payment.value, at_least: 100} # large
        - not: {field: payment.description, contains: teste}
contact:""",
    1,
)


def filter_of(text: str) -> str:
    """Return the lines of a text's filter."""
    return text.partition("filter:\n")[2].partition("\ncontact:")[0]


def test_above_a_hundred_or_from_one_customer(console: Console) -> None:
    """One condition gets another one beside it, of which one is enough; where two must hold, they become a group."""
    browser = console.operator("pt-BR")
    form = form_of(form_of(browser.get("/mappings/cobranca")).press(browser, "Adicionar condição"))
    form.fill(row_0_value="100,00")
    form = form_of(form.press(browser, "Ou outra condição ao lado da condição 1"))
    form.fill(row_1_field="payment.customer", row_1_operator="equals", row_1_value="cus_1")
    either = form_of(form.press(browser, "Ver o que muda"))["text"]
    form.fill(together="all")
    form = form_of(form.press(browser, "Adicionar condição"))
    form.fill(row_2_field="payment.description", row_2_operator="exists")
    form = form_of(form.press(browser, "Ou outra condição ao lado da condição 2"))
    form.fill(row_1_1_value="5")
    both = form_of(form.press(browser, "Ver o que muda"))["text"]

    large, whose = "{field: payment.value, at_least: 100}", "{field: payment.customer, equals: cus_1}"
    assert filter_of(either) == f"  any:\n    - {large}\n    - {whose}\n"
    assert filter_of(both) == (
        f"  all:\n    - {large}\n    - any:\n        - {whose}\n"
        "        - {field: payment.value, at_least: 5}\n    - {field: payment.description, exists: true}\n"
    )


def test_groups_are_changed_row_by_row(console: Console) -> None:
    """A row or a group more and less, and another kind; comments stay, and the last event is beside each row."""
    save(console, GROUPED)
    arrive(console, 150.0)
    browser = console.operator()
    page = browser.get("/mappings/cobranca")
    row = page.text.partition('id="row-1-0"')[2].partition("</li>")[0]
    assert "</span> R$150.00" in row
    form = form_of(page)
    assert (form["row-1-group"], form["row-1-1-group"], form["row-1-1-0-value"]) == ("any", "none", "teste")
    assert form_of(form.press(browser, "YAML"))["text"] == GROUPED
    form.fill(**{"row-1-group": "not_all", "row-1-0-value": "200"})
    form = form_of(form.press(browser, "Add to group 2"))
    form.fill(**{"row-1-2-field": "payment.status", "row-1-2-operator": "equals", "row-1-2-value": "RECEIVED"})
    changed = form_of(form.press(browser, "See what changes"))["text"]
    form = form_of(form.press(browser, "Remove condition 2.1"))
    form = form_of(form.press(browser, "Remove condition 2.1.1"))  # its group goes with it
    form = form_of(form.press(browser, "Add a group"))
    form.fill(**{"row-2-0-value": "1", "row-2-1-value": "2"})
    more = form_of(form.press(browser, "See what changes"))["text"]
    form = form_of(form.press(browser, "Remove group 3"))
    less = form_of(form.press(browser, "See what changes"))["text"]

    assert filter_of(changed) == (
        "  all:\n    - {field: payment.billingType, equals: PIX}\n    # one of these\n    - not:\n        all:\n"
        "          - {field: payment.value, at_least: 200} # large\n"
        "          - not: {field: payment.description, contains: teste}\n"
        "          - {field: payment.status, equals: RECEIVED}"
    )
    assert (
        "    - any:\n        - {field: payment.value, at_least: 1}\n        - {field: payment.value, at_least: 2}"
        in more
    )
    assert "at_least" not in filter_of(less)
    assert "# one of these\n    - not:\n        all:\n          - {field: payment.status, equals: RECEIVED}" in less


def test_what_is_wrong_stands_at_its_row(console: Console) -> None:
    """A value that can't be read, and what lint says of a condition."""
    save(console, GROUPED)
    browser = console.operator()
    form = form_of(browser.get("/mappings/cobranca"))
    form.fill(**{"row-1-0-value": "cem"})
    unread = form.press(browser, "See what changes")
    form.fill(**{"row-1-0-value": "100", "row-1-1-0-operator": "matches", "row-1-1-0-value": "("})
    refused = form.press(browser, "See what changes")

    assert (unread.status_code, refused.status_code) == (422, 422)
    assert 'id="row-1-0-fault"' in unread.text
    assert unread.text.count('-fault" role') == 1
    wrong = refused.text.partition('id="row-1-1-0"')[2].partition("</li>")[0]
    assert 'class="fault bad-text"' in wrong
    assert refused.text.count('class="fault bad-text"') == 1


def test_a_new_mapping_with_a_group_has_tests_that_pass(console: Console) -> None:
    """Its example fulfils the first condition of the group, and what is denied is not so."""
    browser = console.operator()
    form = form_of(browser.get("/mappings-new?kind=payment"), "/mappings-new")
    form.fill(description="Venda grande")
    form.tick("event", "PAYMENT_RECEIVED")
    form = form_of(form.press(browser, "Add a group"))
    form.fill(row_0_0_value="100000", row_0_1_field="customer.name", row_0_1_operator="equals", row_0_1_value="Ana")
    form = form_of(form.press(browser, "Add a condition"))
    form.fill(row_1_field="customer.email", row_1_operator="equals", row_1_value="ana@loja.com.br")
    page = form.press(browser, "See what changes")

    assert page.status_code == 200
    assert "Accept the new result" not in page.text
    assert form_of(page).press(browser, "Save").location == "/mappings/venda_grande"
