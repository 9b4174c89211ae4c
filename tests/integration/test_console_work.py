"""The console's pages on which something is done: test charge, connections, reconciliation, and long work."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from bridge.errors import UsageError
from bridge.journal import jobs, notices
from bridge.journal.clock import system_clock_ms
from bridge.messages import Message
from bridge.model import DeliveryState, NoticeLevel
from bridge.operations import actions
from bridge.operations.testcharge import Seen, amount, check_destinations
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import INTEGRATIONS
from bridge.simulator.serve import Served
from bridge.web.console import life, testcharge
from bridge.web.console.charts import MOST_BARS, OF_CHARGES, reconciled
from bridge.web.console.jobs import JOBS_AT_ONCE, JobContext, start
from tests.charges import Calendar
from tests.console import PASSWORD, QUICK, Browser, Console, finish_jobs, opened_console
from tests.factories import NOW_MS, incoming, keep, noticed, owe, put_in_state, until
from tests.forms import form_of
from tests.peers import closed_port
from tests.simulated import AsaasSimulator, ClintSimulator

TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"
WAIT_S = 30.0


@pytest.fixture
def asaas() -> Iterator[AsaasSimulator]:
    """Give a simulated Asaas."""
    simulator = AsaasSimulator(clock=Calendar())
    yield simulator
    simulator.close()


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path, asaas: AsaasSimulator, redis_url: str) -> Iterator[Console]:
    """Give a console whose bridge stands between the simulators."""
    clint = ClintSimulator()
    with contextlib.ExitStack() as opened:
        at_asaas, at_clint = opened.enter_context(Served(asaas.app)), opened.enter_context(Served(clint.app))
        environ: dict[str, Any] = {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_WEBHOOK_TOKEN": TOKEN,
            "ASAAS_API_URL": f"{at_asaas.url}/v3",
            "CLINT_WEBHOOK_URL": f"{at_clint.url}/endpoints/integration/webhook/{INTEGRATIONS['default']}",
            "REDIS_URL": redis_url,
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_PASSWORD": generate_password_hash(PASSWORD, QUICK),
        }
        console = opened.enter_context(opened_console(sqlite_url, tmp_path, **environ))
        console.clock.now_ms = system_clock_ms()
        yield console
        finish_jobs(WAIT_S)


def finished(console: Console, browser: Browser, path: str, **fields: Any) -> str:
    """Begin something, wait until it is done and return its page."""
    begun = browser.post(path, **fields)
    assert begun.status_code == 303, begun.text
    finish_jobs(WAIT_S)
    return str(browser.get(begun.location).text)


# ---------------------------------------------------------------- long work


def test_work_is_shown_while_it_goes_on_and_after(console: Console) -> None:
    """The page says how far it is, fetches itself anew, and shows the end; what failed says why."""
    go, looked = threading.Event(), threading.Event()

    def slowly(task: JobContext) -> dict[str, Any]:
        task.step(code="begun")
        task.update(3, 10)
        task.flush()
        looked.set()
        assert go.wait(WAIT_S)
        return {"checks": []}

    browser = console.operator()
    number = start(console.runtime, "examination", "", slowly, {}, "Ana")
    assert looked.wait(WAIT_S)
    under_way = browser.part(f"/work/{number}").text
    go.set()
    finish_jobs(WAIT_S)
    after = browser.get(f"/work/{number}").text

    assert "3 of 10" in under_way
    assert 'hx-trigger="every 1s"' in under_way
    assert "Done" in after
    assert 'hx-trigger="every 1s"' not in after
    assert browser.get("/work/999").status_code == 404


def test_a_fault_and_a_lost_process_are_shown(console: Console) -> None:
    """A fault of ours ends the work, and one whose process ended is not shown as going on for ever."""

    def breaks(_task: JobContext) -> dict[str, Any]:
        raise ZeroDivisionError

    browser = console.operator()
    number = start(console.runtime, "examination", "", breaks, {}, "Ana")
    finish_jobs(WAIT_S)
    with console.journal.database.write() as connection:
        lost = jobs.begin(connection, "reconcile", "default", {}, "Ana", console.clock() - jobs.LOST_AFTER_MS - 1)

    assert "ZeroDivisionError" in browser.get(f"/work/{number}").text
    page = browser.get(f"/work/{lost}").text
    assert "The process that did this ended" in page
    assert page.count("process that did") == 1


def test_a_long_step_is_no_lost_process(console: Console) -> None:
    """The work says that it is alive while one step of it takes longer than a silent process is waited for."""
    begun, go = threading.Event(), threading.Event()

    def waits(_task: JobContext) -> dict[str, Any]:
        begun.set()
        go.wait(WAIT_S)
        return {}

    number = start(console.runtime, "examination", "", waits, {}, "Ana")
    begun.wait(WAIT_S)
    console.clock.go(jobs.LOST_AFTER_MS / 1000 + 1)

    def is_running() -> bool:
        with console.journal.database.read() as connection:
            job = jobs.find(connection, number, console.clock())
        return job is not None and job.is_running

    try:
        until(is_running)
    finally:
        go.set()
        finish_jobs(WAIT_S)


def test_only_so_much_is_done_at_once(console: Console) -> None:
    """One more than allowed is refused in words, nothing of it is noted, and what was typed can be sent again."""
    go = threading.Event()

    def waits(_task: JobContext) -> dict[str, Any]:
        go.wait(WAIT_S)
        return {}

    for _ in range(JOBS_AT_ONCE):
        start(console.runtime, "replay", "x", waits, {}, "Ana")
    browser = console.browser(**{"Sec-Fetch-Site": "same-origin", "Referer": "http://localhost/connections"})
    browser.sign_in()
    refused = browser.post("/connections/check", note="typed with care")
    go.set()
    finish_jobs(WAIT_S)

    assert refused.status_code == 503
    assert "Too much at once" in refused.text
    assert 'href="/connections">Back to the page' in refused.text
    form = form_of(refused, "/connections/check")
    assert form["note"] == "typed with care"
    assert form.press(browser, "Send it again").status_code == 303


def test_what_ended_long_ago_is_forgotten(console: Console) -> None:
    """Previews after a day, everything else after a month."""
    now_ms = console.clock()
    day_ms = 24 * 3_600_000
    with console.journal.database.write() as connection:
        for kind, days in (("replay_preview", 2), ("reconcile", 2), ("reconcile", 31)):
            id_ = jobs.begin(connection, kind, "x", {}, "Ana", now_ms - days * day_ms)
            jobs.finish(connection, id_, now_ms - days * day_ms, {})
        jobs.begin(connection, "examination", "", {}, "Ana", now_ms)
        kept = connection.exec_driver_sql("SELECT kind FROM console_jobs ORDER BY id").scalars().all()

    assert kept == ["reconcile", "examination"]


# ---------------------------------------------------------------- connections


def test_everything_is_checked_and_said_with_its_mend(console: Console) -> None:
    """No secret is shown, and what is wrong says what to do."""
    page = finished(console, console.operator(), "/connections/check")

    assert "no webhook at Asaas leads to the bridge" in page
    assert "What to do" in page
    assert "Destination default:" in page
    assert "(CLINT_WEBHOOK_URL)" in page
    for secret in (TOKEN, DEFAULT_KEY, INTEGRATIONS["default"]):
        assert secret not in page + console.operator().get("/connections").text


def test_the_webhook_is_registered_after_a_look(console: Console, asaas: AsaasSimulator) -> None:
    """First what would change, then the change; a token that was made is shown once."""
    browser = console.operator()
    form: dict[str, Any] = {"url": "http://127.0.0.1:9", "email": "a@example.com", "new_token": "on"}
    asked = browser.post("/connections/default/webhook", **form)
    looked = browser.get(asked.location)
    before = browser.get("/connections/default/webhook").text
    done = browser.post("/connections/default/webhook", **form, confirmed="1")
    after = browser.get("/connections/default/webhook").text

    assert asked.status_code == 303
    assert "csrf_token=" not in asked.location
    assert "A new webhook is made" in looked.text
    assert "No webhook leads to the bridge" in before
    assert "Keep this token now" in done.text
    assert "http://127.0.0.1:9/webhooks/asaas" in after
    assert 'value="http://127.0.0.1:9"' in after  # or who only adjusts the events would have to type the address again
    assert 'name="url" type="url" placeholder="https://bridge.example.com" value=""' in before
    assert "Keep this token now" not in after
    assert browser.get("/connections/nobody/webhook").status_code == 404


def test_an_interrupted_webhook_is_resumed(console: Console, asaas: AsaasSimulator) -> None:
    """Asaas sends again; where there is nothing to resume that is said."""
    asaas.posts_to("http://127.0.0.1:9/webhooks/asaas", TOKEN, interrupted=True)
    browser = console.operator()
    page = browser.get("/connections/default/webhook").text
    first = browser.post("/connections/default/webhook/resume", follow=True).text
    second = browser.post("/connections/default/webhook/resume", follow=True).text

    assert "Interrupted" in page
    assert "Asaas sends again." in first
    assert "neither interrupted nor penalised" in second


def test_a_destination_is_tried_paused_and_resumed(console: Console) -> None:
    """A test needs a tick and a JSON object; what Clint answers is shown."""
    browser = console.operator()
    form = browser.get("/connections/destinations/default/test").text
    unsure = browser.post("/connections/destinations/default/test", body='{"email": "a@example.com"}')
    wrong = browser.post("/connections/destinations/default/test", body="[1]", confirmed="on")
    sent = browser.post("/connections/destinations/default/test", body='{"email": "a@example.com"}', confirmed="on")
    paused = browser.post("/connections/destinations/default/pause", follow=True).text
    resumed = browser.post("/connections/destinations/default/resume", follow=True).text

    assert "email" in form
    assert (unsure.status_code, wrong.status_code) == (422, 422)
    assert "Clint accepted it" in sent.text
    assert "default is paused" in paused
    assert "Paused by Ana" in paused
    assert "default takes deliveries again" in resumed


def test_a_notice_is_dismissed(console: Console) -> None:
    """It is gone from the list and stands in the audit trail."""
    with console.journal.database.write() as connection:
        said = noticed("account.access_token", "default/1", NoticeLevel.WARNING, "a key expires", "make a new one")
        notices.apply(connection, [said], console.clock())
        what = Message(
            "mappings need events that the webhook does not subscribe to: {events}", {"events": "PAYMENT_OVERDUE"}
        )
        lacking = replace(noticed("webhook.events", "default", NoticeLevel.ERROR, "", "register"), detail=what)
        failing = noticed("alerts.failing", "Financeiro", NoticeLevel.WARNING, "messages do not arrive", "test")
        notices.apply(connection, [lacking, failing], console.clock())
    browser = console.operator()
    shown = browser.get("/connections").text
    causes = browser.get("/attention").text
    after = browser.post("/attention/notices/1/close", page="connections", follow=True).text

    assert "A key expires." in shown
    assert "does not subscribe to: Payment overdue." in shown
    assert '<a class="button small" href="/alerts">' in shown
    assert '<a class="button primary" href="/alerts">' in causes
    assert "A key expires." not in after
    assert "<h1>Connections</h1>" in after
    assert "Dismissed the notice" in browser.get("/who").text


# ---------------------------------------------------------------- reconciliation


@pytest.mark.parametrize("kind", ["charges.csv", "json"])
def test_a_long_report_is_sent_in_portions(console: Console, kind: str) -> None:
    """The first bytes leave before the whole file is written; the job's pages have only the first charges."""
    charge = {"day": "2026-11-22", "status": "RECEIVED", "verdict": "missing", "known": "", "customer": "cus_1"}
    behind = [{**charge, "id": f"pay_{n}", "event_id": None, "value": "1.00", "description": ""} for n in range(5_000)]
    result = {"account": "default", "since": "2026-11-22", "until": "2026-11-22", "days": [], "behind": behind[:200]}
    with console.journal.database.write() as connection:
        number = jobs.begin(connection, "reconcile", "default", {"account": "default"}, "Ana", NOW_MS)
        jobs.finish(connection, number, NOW_MS, result, {"behind": behind})

    sent = list(console.operator().get(f"/work/{number}/report.{kind}").iter_encoded())

    assert len(sent) > 5
    assert b"pay_4999" in sent[-1] + sent[-2]
    assert b"pay_4999" not in b"".join(sent[:-2])


def test_a_period_is_compared_and_what_is_missing_brought_in(console: Console, asaas: AsaasSimulator) -> None:
    """Report, picture and files; then what would be sent; then the events, once."""
    customer = asaas.has_customer()["id"]
    charge = str(asaas.has_payment(customer, 1100.5, description="Mensalidade")["id"])
    asaas.is_paid(charge)
    browser = console.operator()
    today = Calendar().now.date().isoformat()
    begun = browser.post("/reconcile", account="default", by="created", since=today, until=today)
    finish_jobs(WAIT_S)
    report = browser.get(begun.location).text
    as_csv = browser.get(f"{begun.location}/report.csv").text
    charges = browser.get(f"{begun.location}/report.charges.csv").text
    as_json = browser.get(f"{begun.location}/report.json").get_json()
    looked = browser.post(f"{begun.location}/missing")
    finish_jobs(WAIT_S)
    preview = browser.get(looked.location).text
    done = finished(console, browser, f"{looked.location}/bring-in")
    again = browser.post(f"{looked.location}/bring-in")  # of the preview in another tab
    after = browser.get(looked.location).text

    assert "1 charge is not known as Asaas has it" in report
    assert '<svg class="bars"' in report
    assert as_csv.splitlines()[0].startswith("account,day,status,charges,missing")
    assert charge in charges
    assert re.findall(r'<a class="[\w-]+" href="#(\w+)">1</a>', report) == ["behind", "behind"]  # the tile and the day
    assert as_json["behind"][0]["id"] == charge
    assert browser.get(f"{begun.location}/report.xml").status_code == 404
    assert "1 event would be made" in preview
    assert "Payment received: 1." in preview
    assert '<li aria-current="page">Reconciliation<' not in report  # that is the page above it
    assert '<li aria-current="page">What is missing<' in preview
    for page in (report, preview, done):
        assert "R$1,100.50" in page
        assert "Mensalidade" in page
    assert "Cliente Teste 1" in preview
    assert "<dt>email</dt><dd><ins>ana@example.com</ins></dd>" in preview
    assert "1 event was made and goes on its way to Clint" in done
    assert f'href="{again.location}"' in after
    assert [f'action="{looked.location}/bring-in"' in page for page in (preview, after)] == [True, False]
    assert today[:4] in browser.get("/reconcile").text


def test_a_charge_that_was_not_delivered_is_named(console: Console, asaas: AsaasSimulator) -> None:
    """The numbers lead to it, and it to its event; the CSV of charges has it, and a report of before had none."""
    charge = asaas.has_payment(asaas.has_customer()["id"], 100.0, description="Mensalidade")
    body = {"id": "evt_1", "event": "PAYMENT_CREATED", "payment": charge}
    made = incoming(key="evt_1", name="PAYMENT_CREATED", object_id=charge["id"], body=json.dumps(body))
    (event_id,) = keep(console.journal, made)
    dead = owe(console.journal, event_id=event_id, object_id=charge["id"])
    put_in_state(console.journal, dead, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422")
    browser = console.operator()
    today = Calendar().now.date().isoformat()
    begun = browser.post("/reconcile", account="default", by="created", since=today, until=today)
    finish_jobs(WAIT_S)
    report = browser.get(begun.location).text
    result = browser.get(f"{begun.location}/report.json").get_json()
    with console.journal.database.write() as connection:
        del result["dead"]
        old = jobs.begin(connection, "reconcile", "default", {"account": "default"}, "Ana", NOW_MS)
        jobs.finish(connection, old, NOW_MS, result)
    before = browser.get(f"/work/{old}").text

    assert result["totals"]["dead"] == 1
    assert "Complete" not in report
    assert "1 charge did not reach Clint" in report
    assert re.findall(r'<a class="[\w-]+" href="#(\w+)">1</a>', report) == ["dead", "dead"]  # the tile and the day
    assert "1 charge did not reach Clint" in report
    shown = report[report.index('id="dead"') :]
    assert f'href="/events/{event_id}"' in shown
    assert "Mensalidade" in shown
    assert charge["id"] in browser.get(f"{begun.location}/report.charges.csv").text
    assert '"#dead"' not in before
    assert browser.get(f"/work/{old}/report.charges.csv").status_code == 200


@pytest.mark.parametrize(("language", "shown"), [("pt", "Recebida"), ("en", "Received")])
def test_a_report_says_statuses_in_the_language_of_its_page(
    console: Console, asaas: AsaasSimulator, language: str, shown: str
) -> None:
    """As people say them, with the code of Asaas on hovering."""
    asaas.is_paid(str(asaas.has_payment(asaas.has_customer()["id"], 100.0)["id"]))
    browser = console.operator(language)
    today = Calendar().now.date().isoformat()
    begun = browser.post("/reconcile", account="default", by="created", since=today, until=today)
    finish_jobs(WAIT_S)

    assert browser.get(begun.location).text.count(f'title="RECEIVED">{shown}<') == 2


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"since": ""}, ["since"]),
        ({"since": "", "until": "soon"}, ["since", "until"]),
        ({"until": "2020-01-01"}, ["until"]),
        ({"account": "nobody"}, ["account"]),
    ],
)
def test_a_period_that_makes_no_sense_is_refused(console: Console, changes: dict[str, str], at: list[str]) -> None:
    """The form says what is wrong, at the field."""
    form: dict[str, Any] = {
        "account": "default",
        "by": "created",
        "since": "2026-11-01",
        "until": "2026-11-02",
        **changes,
    }
    page = console.operator().post("/reconcile", **form)

    assert page.status_code == 422
    assert re.findall(r'id="(\w+)-fault">[^<]', page.text) == at
    assert re.findall(r'aria-invalid="true" aria-describedby="(\w+)-fault"', page.text) == at


def test_a_picture_of_many_days_puts_some_together() -> None:
    """However long the period, so many bars at most, each with its words."""
    nothing: dict[str, Any] = dict.fromkeys(OF_CHARGES, 0)
    days = [
        {"day": f"20{year}-{month:02d}-01", **nothing, "delivered": 2, "missing": 1}
        for year in range(10, 20)
        for month in range(1, 13)
    ]
    drawn = reconciled([*days, {"day": "", **nothing, "dead": 5}])

    assert 0 < len(drawn.bars) <= MOST_BARS
    assert drawn.totals == {"delivered": 240, "missing": 120}
    assert drawn.bars[0].counted == {"delivered": 4, "missing": 2}
    assert [piece.verdict for piece in drawn.bars[0].pieces] == ["delivered", "missing"]
    assert reconciled([]).bars == []


# ---------------------------------------------------------------- test charge


def test_a_test_charge_says_why_no_event_came(console: Console) -> None:
    """Without a webhook the charge is made and paid, and the page says what is missing."""
    browser = console.operator()
    params = {
        "account": "default",
        "billing_type": "PIX",
        "value": "10.00",
        "due": "2030-01-01",
        "installments": 1,
        "email": "",
        "phone": "",
        "cleanup": True,
        "timeout_s": 1.0,
    }
    number = start(console.runtime, "trial", "default", testcharge.run_test_charge, params, "Ana")
    finish_jobs(WAIT_S)
    page = browser.get(f"/work/{number}").text

    assert "No webhook at Asaas leads to the bridge" in page
    assert "Paid in the sandbox" in page
    assert "Not confirmed" in browser.get("/test-charge").text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"account": "nobody"}, "Choose an account"),
        ({"value": "viel"}, "“viel” is no number"),
        ({"value": "1.000"}, "“1.000” can be read in two ways; write 1000 or 1.00"),
        ({"value": "-5"}, "“-5” is less than zero"),
        ({"value": "0"}, "“0” can&#39;t be charged"),
        ({"value": "1.000.000"}, "“1.000.000” can&#39;t be charged"),
        ({"installments": "99"}, "no such billing type or number"),
    ],
)
def test_a_test_charge_that_makes_no_sense_is_refused(console: Console, changes: dict[str, str], says: str) -> None:
    """Nothing is made at Asaas."""
    form: dict[str, Any] = {"account": "default", "billing_type": "PIX", "value": "10", **changes}
    page = console.operator().post("/test-charge", **form)

    assert page.status_code == 422
    assert says in page.text


@pytest.mark.parametrize(
    ("typed", "language", "words"),
    [("12.50", "en", "charge 12.50"), ("1.100,50", "pt-BR", "cobrar 1.100,50"), ("R$ 100", "pt-BR", "cobrar 100,00")],
)
def test_a_charge_of_production_needs_typed_words(
    sqlite_url: str, tmp_path: Path, typed: str, language: str, words: str
) -> None:
    """The value that is typed must be the value that is charged."""
    with opened_console(sqlite_url, tmp_path, ASAAS_API_KEY="$aact_prod_x", ASAAS_WEBHOOK_TOKEN=TOKEN) as opened:
        form = {"account": "default", "billing_type": "PIX", "value": typed, "confirm": "charge 10.00"}
        page = opened.operator(language).post("/test-charge", form)

    assert page.status_code == 422
    assert 'id="confirm"' in page.text
    assert words in page.text


def test_a_whole_life_is_a_table_and_leaves_nothing_at_asaas(console: Console, asaas: AsaasSimulator) -> None:
    """Without a webhook the first step says why nothing came, the others are not begun, and all is removed."""
    browser = console.operator()
    params = {"account": "default", "billing_type": "PIX", "value": "10.00", "split": "", "due": "2030-01-01"}
    number = start(console.runtime, "life", "default", life.run_life, {**params, "timeout_s": 1.0}, "Ana")
    finish_jobs(WAIT_S)
    page = browser.get(f"/work/{number}").text
    (customer,) = asaas.book.customers.values()
    wrong = {"code": "ended", "step": "paid", "verdict": "contradicted", "reasons": [], "lines": []}
    with console.journal.database.write() as connection:
        other = jobs.begin(connection, "life", "default", params, "Ana", console.clock())
        jobs.beat(connection, other, console.clock(), done=1, total=1, steps=[wrong])
        jobs.finish(connection, other, console.clock(), {"proved": False, "person_must_look": False, "left": []})

    assert "Not every step is proved" in page
    assert "card callout warning" in page  # what was only not seen is not wrong
    assert "card callout bad" in browser.get(f"/work/{other}").text
    assert "No webhook at Asaas leads to the bridge" in page
    assert "sandbox has no action for it" in page
    assert f'href="/work/{number}"' in browser.get("/test-charge").text
    assert customer["deleted"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"account": "nobody"}, "Choose an account of the sandbox"),
        ({"value": "viel"}, "“viel” is no number"),
        ({"value": "-5"}, "“-5” is less than zero"),
        ({"billing_type": "x"}, "There is no such billing type"),
        ({"split": "20%"}, "A split must be like"),
    ],
)
def test_a_whole_life_that_makes_no_sense_is_refused(console: Console, changes: dict[str, str], says: str) -> None:
    """Nothing is made at Asaas."""
    form = {"account": "default", "billing_type": "PIX", "value": "10", "split": "", **changes}
    page = console.operator().post("/test-charge/life", form)

    assert page.status_code == 422
    assert says in page.text


def test_a_whole_life_is_begun_by_the_form(console: Console) -> None:
    """It is about an account, and while one is under way another one is not begun."""
    browser = console.operator()
    browser.post("/mappings/cobranca/switch", on="0")
    console.clock.go(1)
    page = finished(console, browser, "/test-charge/life", account="default", billing_type="PIX", value="10")
    with console.journal.database.write() as connection:
        number = jobs.begin(connection, "life", "default", {}, "Ana", console.clock())
    again = browser.post("/test-charge/life", account="default", billing_type="PIX", value="10").location

    assert "no active mapping of account default listens" in page
    assert again == f"/work/{number}"


def test_a_whole_life_is_not_offered_for_production(sqlite_url: str, tmp_path: Path) -> None:
    """Neither by the page nor to one who posts the form."""
    with opened_console(sqlite_url, tmp_path, ASAAS_API_KEY="$aact_prod_x", ASAAS_WEBHOOK_TOKEN=TOKEN) as opened:
        browser = opened.operator()
        form = {"account": "default", "billing_type": "PIX", "value": "10"}

        assert "/test-charge/life" not in browser.get("/test-charge").text
        assert browser.post("/test-charge/life", form).status_code == 422


@pytest.mark.parametrize(("sees", "says"), [("yes", "A person saw the deal"), ("no", "Not confirmed")])
def test_a_person_says_whether_the_deal_stands(console: Console, sees: str, says: str) -> None:
    """Where nobody but a person can look, the page asks, and keeps the answer."""
    params = {"value": "10.00", "billing_type": "PIX"}
    result = {"proved": False, "asks_person": True, "email": "a@example.com", "causes": [], "events": [], "deal": None}
    with console.journal.database.write() as connection:
        number = jobs.begin(connection, "trial", "default", params, "Ana", console.clock())
        jobs.finish(connection, number, console.clock(), result)
    browser = console.operator()
    asked = browser.get(f"/work/{number}").text
    answered = browser.post(f"/work/{number}/deal", sees=sees, follow=True).text

    assert "Is the deal in Clint?" in asked
    assert says in answered
    other = {"yes": "no", "no": "yes"}[sees]
    assert f'value="{other}"' in answered
    assert says not in browser.post(f"/work/{number}/deal", sees=other, follow=True).text


def test_only_what_asked_a_person_takes_an_answer(console: Console) -> None:
    """A deal that the bridge saw is not for a person to deny."""
    deal = {"id": "d", "stage": "Paga", "status": "WON"}
    result = {"proved": True, "asks_person": False, "email": "a@example.com", "causes": [], "deal": deal}
    with console.journal.database.write() as connection:
        number = jobs.begin(
            connection, "trial", "default", {"value": "10.00", "billing_type": "PIX"}, "Ana", console.clock()
        )
        jobs.finish(connection, number, console.clock(), result)
    browser = console.operator()

    assert browser.post(f"/work/{number}/deal", sees="no").status_code == 404
    assert "Proved: the charge became a deal" in browser.get(f"/work/{number}").text


@pytest.mark.parametrize(
    ("language", "shown"), [("pt", "Pago no sandbox: Recebida"), ("en", "Paid in the sandbox: Received")]
)
def test_a_test_charge_says_statuses_in_the_language_of_its_page(console: Console, language: str, shown: str) -> None:
    """The step of the payment, and the one of an integration that one status can't serve."""
    now_ms = console.clock()
    steps = [
        {"code": "paid", "at_ms": now_ms, "values": {"status": "RECEIVED"}},
        {"code": "conflict", "at_ms": now_ms, "values": {"integration": "pagas", "statuses": "OPEN, WON"}},
    ]
    with console.journal.database.write() as connection:
        number = jobs.begin(connection, "trial", "default", {"value": "10.00", "billing_type": "PIX"}, "Ana", now_ms)
        jobs.beat(connection, number, now_ms, done=2, total=None, steps=steps)
    page = console.operator(language).get(f"/work/{number}").text

    assert shown in page
    assert "pagas" in page
    assert {"pt": "Aberto, Ganho", "en": "Open, Won"}[language] in page


def test_the_steps_of_a_test_are_words_with_the_codes_small(console: Console) -> None:
    """Names of events, ways of paying and statuses of deals; one integration for all is no warning."""
    now_ms = console.clock()
    told: list[tuple[str, dict[str, str]]] = [
        ("customer_made", {"customer": "cus_1", "mark": "bridge-test-1"}),
        ("charge_made", {"charge": "pay_1", "billing_type": "CREDIT_CARD", "value": "10.00"}),
        ("waiting", {"events": "PAYMENT_RECEIVED"}),
        ("event", {"name": "PAYMENT_RECEIVED"}),
        ("deal", {"deal": "d1", "stage": Message("unknown").to_json(), "status": "WON"}),
        ("one_integration", {"integration": "default", "statuses": "OPEN, WON"}),
    ]
    steps = [{"code": code, "at_ms": now_ms, "values": values, "event": 1} for code, values in told]
    with console.journal.database.write() as connection:
        number = jobs.begin(connection, "trial", "default", {"value": "10.00", "billing_type": "PIX"}, "Ana", now_ms)
        jobs.beat(connection, number, now_ms, done=2, total=None, steps=steps)
    page = console.operator("pt").get(f"/work/{number}").text
    words = re.sub(r"<code.*?</code>|<[^>]+>", " ", page)

    for text in ("Cartão", "Aguardando Cobrança recebida", "etapa desconhecida", "Ganho"):
        assert text in words
    for code in ("PAYMENT_RECEIVED", "CREDIT_CARD", "cus_1", "pay_1", "WON"):
        assert code not in words
    assert "<code" in page
    assert '<li class="warning">' not in page


@pytest.mark.parametrize(
    ("name", "wrong"), [("email", "ana"), ("email", "a@b.com, c@d.com"), ("phone", "12"), ("phone", "47999999999")]
)
def test_a_wrong_contact_is_said_at_its_field_and_nothing_is_made(console: Console, name: str, wrong: str) -> None:
    """What Asaas would refuse is refused before a customer is made."""
    form = {"account": "default", "billing_type": "PIX", "value": "10", name: wrong}
    answer = console.operator().post("/test-charge", form)

    assert answer.status_code == 422
    assert f'id="{name}-fault"' in answer.text
    assert f'value="{wrong}"' in answer.text
    with console.journal.database.read() as connection:
        assert jobs.newest(connection, "trial", console.clock()) == []


def test_amounts_are_read_as_people_write_them() -> None:
    """A comma or a point, two decimals, nothing else."""
    assert str(amount(" 10,50 ")) == "10.50"
    refused = ("", "NaN", "0", "-1", "1.005", "1.000", "1000000", "1.000.000")
    assert [text for text in refused if not isinstance(amount(text), Message)] == []


def test_lists_are_empty_in_words(console: Console) -> None:
    """Each page has something to say before anything happened."""
    browser = console.operator("pt-BR")

    assert "Nenhuma conferência ainda" in browser.get("/reconcile").text
    assert "Nenhum teste ainda" in browser.get("/test-charge").text
    until(lambda: "Conexões" in browser.get("/connections").text, 5)


def test_a_test_that_no_mapping_listens_to_ends_at_once(console: Console) -> None:
    """Nothing is made at Asaas, and the page names the reason."""
    browser = console.operator()
    browser.post("/mappings/cobranca/switch", on="0")
    console.clock.go(1)
    page = finished(console, browser, "/test-charge", account="default", billing_type="PIX", value="10")

    assert "no active mapping of account default listens" in page


def test_a_paused_destination_is_said_before_a_test_and_resumed_there(console: Console) -> None:
    """Nothing is charged while nothing would reach Clint; the test that runs says it too, at once."""
    browser, now_ms = console.operator(), console.clock()
    form = {"account": "default", "billing_type": "PIX", "value": "10"}
    with console.journal.database.write() as connection:
        number = jobs.begin(connection, "trial", "default", {"value": "10.00", "billing_type": "PIX"}, "Ana", now_ms)
    resume = "/test-charge/destinations/default/resume"
    assert resume not in browser.get("/test-charge").text + browser.get(f"/work/{number}").text
    actions.pause(console.journal, "default", "gone", now_ms)

    for path in ("/test-charge", f"/work/{number}"):
        assert "Destination default is paused" in browser.get(path).text
        assert f'action="{resume}"' in browser.get(path).text
    for path in ("/test-charge", "/test-charge/life"):
        refused = browser.post(path, form)
        assert (refused.status_code, "takes deliveries now" in refused.text) == (422, True)
    with pytest.raises(UsageError):
        check_destinations(console.runtime, "default")
    assert browser.post(resume, work=number).location == f"/work/{number}"
    assert browser.post(resume).location == "/test-charge"
    assert resume not in browser.get("/test-charge").text


@pytest.mark.parametrize("sees", ["yes", "no"])
def test_a_test_of_which_a_delivery_failed_says_which_and_asks_for_the_deal(console: Console, sees: str) -> None:
    """The badge is never that of success, whatever a person sees in Clint."""
    reason = Message("the destination answered {status}", {"status": 422}).to_json()
    failed = {"event": 7, "name": "PAYMENT_CREATED", "mapping": "cobranca", "destination": "default"}
    result = {
        **{"proved": False, "verdict": "not_confirmed", "asks_person": True, "email": "a@example.com", "deal": None},
        "causes": [{"code": "trial.delivery_failed", "what": reason, "mend": reason}],
        "failed": [{**failed, "reason_code": "clint.http_422", "reason": reason}],
        "delivered": 1,
    }
    params = {"value": "10.00", "billing_type": "PIX"}
    with console.journal.database.write() as connection:
        number = jobs.begin(connection, "trial", "default", params, "Ana", console.clock())
        jobs.finish(connection, number, console.clock(), result)
    browser = console.operator()
    pages = [browser.get(f"/work/{number}").text, browser.post(f"/work/{number}/deal", sees=sees, follow=True).text]

    assert "Is the deal in Clint?" in pages[0]
    for page in [*pages, browser.get("/test-charge").text]:
        assert '<span class="badge good">' not in page
        assert "Not all delivered" in page
    for page in pages:
        assert "1 of 2 deliveries" in page
        assert 'href="/events/7"' in page
        assert "Nothing was delivered" not in page
    with console.journal.database.read() as connection:
        assert jobs.newest(connection, "trial", console.clock())[0].result["proved"] is False  # type: ignore[index]


def test_a_test_that_goes_on_is_shown_instead_of_a_second_one(console: Console) -> None:
    """Of one account there is one test at a time, and one reconciliation, and one examination."""
    browser = console.operator()
    with console.journal.database.write() as connection:
        numbers = [
            jobs.begin(connection, kind, about, {}, "Ana", console.clock())
            for kind, about in (("trial", "default"), ("reconcile", "default"), ("examination", ""))
        ]
    period = {"by": "created", "since": "2026-11-01", "until": "2026-11-02"}
    again = (
        browser.post("/test-charge", account="default", billing_type="PIX", value="10").location,
        browser.post("/reconcile", account="default", **period).location,  # type: ignore[arg-type]
        browser.post("/connections/check").location,
    )

    assert again == tuple(f"/work/{number}" for number in numbers)


def test_each_thing_that_becomes_of_a_charge_is_a_step(console: Console) -> None:
    """Events, payloads, answers and what nobody listens to, each once."""
    event = {"id": 7, "name": "PAYMENT_RECEIVED", "state": "processed"}
    owed = {"id": 3, "mapping": "paga", "destination": "default", "payload": '{"valor": "10.00"}', "reason": None}
    sent = [(owed | {"state": "delivered", "attempts": 1}, [{"status": 200, "duration_ms": 12}])]
    given_up: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (owed | {"id": 4, "state": "dead", "attempts": 0, "payload": None, "reason": "no e-mail"}, [])
    ]

    def watches(task: JobContext) -> dict[str, Any]:
        witness = testcharge.PageListener(task)
        with witness.waiting(("PAYMENT_RECEIVED",)):
            seen = [Seen(event, sent), Seen({**event, "id": 8}, given_up), Seen({**event, "id": 9}, [])]
            assert witness.news(seen, 0)
            assert not witness.news(seen, 0)
        witness.step("to_be_paid", url="https://asaas.example/i/1")
        assert not witness.sees_deal()
        return {"proved": False, "asks_person": witness.asked, "email": "a@example.com", "causes": [], "deal": None}

    number = start(console.runtime, "trial", "default", watches, {}, "Ana")
    finish_jobs(WAIT_S)
    page = console.operator().get(f"/work/{number}").text

    assert page.count("sends to “default”") == 1
    assert "<dd>10.00</dd>" in page
    assert "no e-mail" in page
    assert "no active mapping of its account listens" in page
    assert "https://asaas.example/i/1" in page


def test_an_asaas_that_is_away_is_said(sqlite_url: str, tmp_path: Path) -> None:
    """The webhook's page, its registration and its resumption say what happened, in a page."""
    with closed_port() as port:
        environ: dict[str, Any] = {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_WEBHOOK_TOKEN_MATRIZ": TOKEN,
            "ASAAS_API_URL": f"http://127.0.0.1:{port}",
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
        }
        with opened_console(sqlite_url, tmp_path, **environ) as opened:
            browser = opened.operator()
            shown = browser.get("/connections/default/webhook").text
            refused = browser.post("/connections/default/webhook", url="http://127.0.0.1:9", follow=True)
            malformed = browser.post("/connections/default/webhook", url="https://xn--/", follow=True)
            resumed = browser.post("/connections/default/webhook/resume", follow=True).text
            keyless = browser.get("/connections/matriz/webhook").text
            listed = browser.get("/connections").text

    assert "Asaas does not say what webhooks there are" in shown
    assert "It can&#39;t be registered" in refused.text
    assert "must be a URL such as" in malformed.text
    assert "It failed:" in resumed
    assert "has no API key" in keyless
    assert "Without a key the webhook can" in listed
