"""The journeys of an operator in a real browser, before a bridge in real processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from bridge.simulator.clint.account import INTEGRATIONS
from tests.acceptance.deployment import PATH
from tests.browser.conftest import PEOPLE, Site, in_both_languages
from tests.browser.looking import PHONE, Visitor
from tests.console import PASSWORD, VIEWER


def given_up(site: Site, names: list[str]) -> list[str]:
    """Let Clint refuse one event of each name; return the charges once their deliveries are given up."""
    site.clint("answers", status=400, times=len(names))
    charges = [site.says(name, customer) for customer, name in enumerate(names)]
    for charge in charges:
        site.until_event(charge, "dead")
    return charges


def chooses_to_retry(one: Visitor) -> None:
    """Go from what needs attention to the question whether all that Clint refused is to be retried."""
    one.page.goto("/attention")
    group = one.page.locator("article.cause", has_text="clint.http_400")
    group.get_by_role("link", name=one.text("Retry"), exact=True).click()


def refresh_until_done(one: Visitor) -> None:
    """Load the page of a job again, as a person without scripts does, until the job is done."""
    done = one.page.get_by_text(one.text("Done"), exact=True)
    for _ in range(200):
        # What is only counted does not wait for the page to arrive.
        expect(one.page.locator("#job")).to_be_visible()
        one.page.wait_for_load_state()
        if done.count():
            break
        one.page.get_by_role("link", name=one.text("Refresh")).click()
    expect(done).to_be_visible()


def test_signing_in_and_out(visitor: Visitor) -> None:
    """A wrong password is refused in words; the right one leads to the page that was asked for; leaving ends it."""
    page, t = visitor.page, visitor.text
    page.goto("/events?state=dead")
    visitor.look("login")
    page.get_by_label(t("Password")).fill("falsch")
    page.get_by_role("button", name=t("Sign in")).click()
    expect(page.get_by_role("alert")).to_contain_text(t("Wrong password."))
    visitor.errors.clear()  # the browser itself notes the answer 401
    page.get_by_label(t("Password")).fill(PASSWORD)
    page.get_by_role("button", name=t("Sign in")).click()
    expect(page).to_have_url(re.compile(r"/events\?state=dead$"))
    page.get_by_role("button", name=t("Sign out")).click()
    expect(page.get_by_role("status")).to_contain_text(t("You are signed out."))
    assert visitor.errors == []


@in_both_languages
def test_every_page_is_in_order(operator: Visitor, site: Site) -> None:
    """Overview, events, an event of each kind, a customer, a charge, access, and a page that is not there."""
    page, t = operator.page, operator.text
    for path, name, title in (
        ("/", "overview", ""),
        ("/events", "events", t("Events")),
        ("/events?q=nobody-has-this", "events-none", t("Events")),
        (f"/events/{site.until_event('pay_delivered', 'delivered')}", "event-delivered", ""),
        (f"/events/{site.until_event('pay_filtered', 'filtered')}", "event-filtered", ""),
        (f"/events/{site.until_event('pay_unmapped', 'processed')}", "event-unmapped", ""),
        (f"/customers/default/{PEOPLE[0][0]}", "customer", PEOPLE[0][1]),
        ("/charges/default/pay_delivered", "charge", ""),
        (f"/charges/default/{site.missed}/bring", "bring", t("Bring in a charge")),
        ("/lookup?q=pay_nobody", "lookup", t("At Asaas: {text}", text="pay_nobody")),
        ("/who", "who", t("Access and audit")),
    ):
        page.goto(path)
        if title:
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
        operator.look(name)
    page.goto("/nothing/here")
    expect(page.get_by_role("heading", level=1)).to_have_text(t("Page not found"))
    operator.errors.clear()
    operator.look("missing")


def test_from_a_dead_delivery_to_a_replayed_event(operator: Visitor, site: Site) -> None:
    """Clint refuses; the reason is found under what needs attention; the event is replayed and delivered."""
    page, t = operator.page, operator.text
    site.clint("answers", status=422, times=1)
    charge = site.says(f"dead{operator.language}")
    event = site.until_event(charge, "dead")

    page.goto("/")
    operator.look("overview-bad")
    page.get_by_role("link", name=t("Needs attention")).click()
    operator.look("attention")
    page.get_by_role("link", name=t("See the events")).first.click()
    page.locator(f"#e{event}").click()
    expect(page.get_by_text("422").first).to_be_visible()
    operator.look("event-dead")
    page.get_by_role("link", name=t("Replay")).first.click()
    operator.look("replay")
    page.get_by_role("button", name=t("Replay now")).click()
    replayed = t("Event {n} goes through today's mappings in a moment.", n=event)
    expect(page.get_by_role("status").first).to_contain_text(replayed)
    site.until_event(charge, "delivered")
    # The page follows by itself.
    expect(page.locator(".verdict-card").first.get_by_text(t("Delivered"), exact=True)).to_be_visible(timeout=20_000)
    assert operator.errors == []


def test_many_dead_deliveries_are_retried_at_once(operator: Visitor, site: Site) -> None:
    """The count first, then progress to the end; Clint has every one of them."""
    page, t = operator.page, operator.text
    charges = given_up(site, [f"many{n}{operator.language}" for n in range(3)])

    chooses_to_retry(operator)
    operator.look("attention-confirm")
    page.get_by_role("button", name=operator.count("Yes, retry {n} delivery", "Yes, retry {n} deliveries", 3)).click()
    expect(page.locator("#job")).to_contain_text(t("Done"))
    operator.look("bulk-work")
    for charge in charges:
        site.until_event(charge, "delivered")
    page.goto("/who")
    expect(page.get_by_text(t("Retried many deliveries")).first).to_be_visible()


def test_an_event_is_found_by_what_people_know(operator: Visitor) -> None:
    """By a word of the name, the document, the reference and the charge; the slash leads to the search."""
    page, t = operator.page, operator.text
    _, name, cpf = PEOPLE[0]
    page.goto("/events")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name=t("Search"))
    expect(search).to_be_focused()
    for known in (
        name.split()[1].lower(),
        f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}",
        "PED-delivered",
        "pay_delivered",
    ):
        search.fill(known)
        search.press("Enter")
        expect(page.locator("td", has_text="pay_delivered").first).to_be_visible()
    operator.look("events-found", dark=False)
    page.get_by_role("link", name=t("Clear filters")).click()
    page.get_by_label(t("State"), exact=True).select_option(label=t("Filtered"))
    expect(page).to_have_url(re.compile("state=filtered"))
    expect(page.locator("#rows tbody tr")).to_have_count(1)


def test_the_list_is_live(operator: Visitor, site: Site) -> None:
    """What Asaas says now appears without anybody loading the page again."""
    operator.page.goto("/events")
    charge = site.says(f"live{operator.language}", 1)

    expect(operator.page.locator("td", has_text=charge)).to_be_visible(timeout=20_000)
    assert operator.errors == []


def test_a_viewer_changes_nothing(visitor: Visitor, site: Site) -> None:
    """Everything is there to see, and no button that changes it."""
    visitor.sign_in(VIEWER, name="")
    page, t = visitor.page, visitor.text
    page.goto(f"/events/{site.until_event('pay_delivered', 'delivered')}")

    expect(page.get_by_text(t("You are signed in to look only: nothing can be changed."))).to_be_visible()
    expect(page.get_by_role("link", name=t("Replay"))).to_have_count(0)
    visitor.look("viewer", dark=False)


def test_the_console_works_by_keyboard(operator: Visitor, site: Site) -> None:
    """A destination connected, events filtered, one retried, a mapping changed: by Tab, Enter and letters alone."""
    page, t = operator.page, operator.text
    (charge,) = given_up(site, ["keyboard"])

    page.goto("/events")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name=t("Skip to content"))).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    operator.presses(page.get_by_role("link", name=t("Connections"), exact=True))
    operator.presses(page.get_by_role("link", name=t("New destination")))
    operator.types(page.get_by_label(t("Name"), exact=True), "teclado")
    operator.types(page.get_by_role("textbox", name="URL"), f"{site.clint_url}{PATH}{INTEGRATIONS['default']}")
    operator.presses(page.get_by_role("button", name=t("Save the URL")))
    expect(page.get_by_role("heading", level=1)).to_contain_text("teclado")

    operator.presses(page.get_by_role("link", name=t("Events"), exact=True))
    operator.picks(page.get_by_label(t("State"), exact=True), t("Not delivered"))
    operator.presses(page.get_by_role("button", name=t("Apply")))
    expect(page).to_have_url(re.compile("state=dead"))
    operator.presses(page.locator("#rows a[id^=e]").first)
    operator.presses(page.get_by_role("button", name=t("Retry"), exact=True))
    site.until_event(charge, "delivered")

    operator.presses(page.get_by_role("link", name=t("Mappings"), exact=True))
    operator.presses(page.locator("a[href='/mappings/cobranca_paga']"))
    operator.types(page.get_by_label(t("Name of the mapping")), "Cobrança paga vira negócio")
    operator.presses(page.get_by_role("button", name=t("See what changes")))
    operator.presses(page.get_by_role("button", name=t("Save"), exact=True))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Cobrança paga vira negócio")
    assert operator.errors == []


def test_the_menu_of_a_phone_opens_without_a_script(plain: Visitor) -> None:
    """Closed it takes no room; the button opens it by the keyboard, too."""
    page, t = plain.page, plain.text
    page.set_viewport_size({"width": PHONE, "height": 900})
    page.goto("/events")
    link = page.get_by_role("link", name=t("Mappings"), exact=True)
    expect(link).to_be_hidden()
    plain.reaches(page.locator("summary", has_text=t("Menu")))
    page.keyboard.press("Enter")
    plain.presses(link)
    expect(page.get_by_role("heading", level=1)).to_have_text(t("Mappings"))


def test_language_and_light_are_switched(operator: Visitor) -> None:
    """And stay so on the next page."""
    page, t = operator.page, operator.text
    other = "en" if operator.language == "pt" else "pt"
    page.goto("/who")
    page.get_by_role("button", name=t("Dark")).click()
    page.get_by_role("button", name={"pt": "Português", "en": "English"}[other]).click()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("lang", "en" if other == "en" else "pt-BR")
    page.goto("/events")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert operator.errors == []


def changes_a_mapping_and_goes_back(visitor: Visitor) -> None:
    """The browser's back and forward show the pages that they left, and the change waits on the mapping's page."""
    page, t = visitor.page, visitor.text
    page.goto("/mappings/cobranca_paga")
    page.get_by_label(t("Name of the mapping")).fill("Outro nome")
    page.get_by_role("button", name=t("See what changes")).last.click()
    page.wait_for_url("**/draft/*")
    changes = page.locator(".diff .added")
    expect(changes).to_contain_text("Outro nome")
    page.get_by_role("button", name=t("Continue editing")).click()
    expect(page.get_by_label(t("Name of the mapping"))).to_have_value("Outro nome")
    page.go_back()
    expect(changes).to_contain_text("Outro nome")
    page.goto("/mappings/cobranca_paga")
    expect(page.get_by_label(t("Name of the mapping"))).not_to_have_value("Outro nome")
    page.get_by_role("link", name=t("Continue editing")).click()
    expect(page.get_by_label(t("Name of the mapping"))).to_have_value("Outro nome")
    page.go_back()
    page.get_by_role("button", name=t("Discard them")).click()
    expect(page.get_by_role("link", name=t("Continue editing"))).to_have_count(0)


def test_the_console_works_without_scripts(plain: Visitor, site: Site) -> None:
    """Search, filters, a bulk retry to its end, a mapping that is saved, a reconciliation: all by forms and links."""
    page, t = plain.page, plain.text
    charges = given_up(site, ["plain0", "plain1"])

    page.goto("/events")
    page.get_by_role("searchbox", name=t("Search")).fill(charges[0])
    page.get_by_label(t("State"), exact=True).select_option(label=t("Not delivered"))
    page.get_by_role("button", name=t("Apply")).click()
    page.locator("#rows a[id^=e]").first.click()
    expect(page.locator(".verdict-card")).to_contain_text(t("Not delivered"))

    chooses_to_retry(plain)
    page.get_by_role("button", name=plain.count("Yes, retry {n} delivery", "Yes, retry {n} deliveries", 2)).click()
    refresh_until_done(plain)
    for charge in charges:
        site.until_event(charge, "delivered")

    page.goto("/mappings/cobranca_paga?tab=yaml")
    text = page.get_by_role("textbox", name=t("Text (YAML)"))
    good = text.input_value()
    text.fill(good + "nonsense: 1\n")
    page.get_by_role("button", name=t("See what changes")).click()
    expect(page.locator("#findings")).to_contain_text("key.unknown")
    page.get_by_role("textbox", name=t("Text (YAML)")).fill(good + "# saved without a script\n")
    page.get_by_role("button", name=t("See what changes")).click()
    page.get_by_role("button", name=t("Save"), exact=True).click()
    expect(page.get_by_role("status").first).to_be_visible()
    page.get_by_role("button", name=t("YAML")).click()
    expect(page.get_by_role("textbox", name=t("Text (YAML)"))).to_have_value(re.compile("saved without a script"))

    changes_a_mapping_and_goes_back(plain)

    page.goto("/reconcile")
    page.locator("main form button.primary").click()
    page.wait_for_url("**/work/*")
    refresh_until_done(plain)
    page.get_by_role("button", name=t("English")).click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.mark.parametrize("visitor", ["pt"], indirect=True)
def test_only_above_a_hundred_by_the_form_and_the_keyboard(operator: Visitor, site: Site) -> None:
    """A condition and a field more, seen before they are saved, and a replay asked for; no YAML is seen."""
    page, t = operator.page, operator.text
    site.until_event(site.says("form_small", 0, 60), "delivered")
    site.until_event(site.says("form_large", 1, 1100.5), "delivered")
    page.goto("/mappings")
    page.locator("a[href='/mappings/cobranca_paga']").click()
    operator.look("mapping-form")
    page.get_by_label(f"{t('Value')} 1", exact=True).fill("R$ 100,00")
    page.get_by_label(t("Another field")).select_option("vencimento")
    page.get_by_role("button", name=t("Add the field")).press("Enter")
    expect(page.locator(".sent-rows input[name$=-key]").last).to_be_focused()
    expect(page.locator(".sent-rows input[name$=-key]").last).to_have_value("vencimento")
    page.get_by_role("button", name=t("Add a condition")).click()
    expect(page.get_by_label(f"{t('Field')} 2", exact=True)).to_be_focused()
    page.get_by_role("button", name=t("Remove condition {n}", n=2)).click()
    operator.look("mapping-form-changed")
    page.get_by_label(t("Name of the mapping")).press("Enter")  # the key that sends a form shows what it changes

    expect(page.get_by_role("heading", name=t("What changes for the last events"))).to_be_visible()
    expect(page.locator(".effect")).to_contain_text(
        operator.count("{n} would no longer be sent", "{n} would no longer be sent", 1)
    )
    operator.look("mapping-change")
    page.locator("button[name=run]").first.click()  # today's; yesterday's where a day ends meanwhile
    expect(page.get_by_role("status").first).to_be_visible()
    text = Path(site.env["BRIDGE_MAPPINGS_DIR"], "cobranca_paga.yaml").read_text()
    assert "at_least: 100}" in text
    assert "vencimento: date(payment.dueDate, '%d/%m/%Y')" in text
    assert operator.errors == []


@pytest.mark.parametrize("visitor", ["pt"], indirect=True)
def test_above_a_hundred_or_from_one_customer_by_the_keyboard(operator: Visitor, site: Site) -> None:
    """A group of conditions is made and changed by keys on a phone; nothing is saved before it is seen."""
    page, t = operator.page, operator.text
    path = Path(site.env["BRIDGE_MAPPINGS_DIR"], "cobranca_paga.yaml")
    page.set_viewport_size({"width": PHONE, "height": 900})
    page.goto("/mappings/cobranca_paga")
    operator.types(page.get_by_label(f"{t('Value')} 1", exact=True), "100,00")
    operator.presses(page.get_by_role("button", name=t("Add a condition"), exact=True))
    expect(page.get_by_label(f"{t('Field')} 2", exact=True)).to_be_focused()
    operator.types(page.get_by_label(f"{t('Value')} 2", exact=True), "1")
    operator.presses(page.get_by_role("button", name=t("Or another condition beside condition {n}", n=1)))
    expect(page.get_by_label(f"{t('Field')} 1.2", exact=True)).to_be_focused()
    chosen = page.get_by_label(f"{t('Field')} 1.2", exact=True)
    expect(chosen.locator("xpath=..").locator(".seen")).to_be_visible()
    chosen.select_option("payment.customer")
    expect(chosen.locator("xpath=..").locator(".seen")).to_be_hidden()
    page.get_by_label(f"{t('Comparison')} 1.2", exact=True).select_option("equals")
    operator.types(page.get_by_label(f"{t('Value')} 1.2", exact=True), PEOPLE[0][0])
    operator.presses(page.get_by_role("button", name=t("Add to group {n}", n=1)))
    expect(page.get_by_label(f"{t('Field')} 1.3", exact=True)).to_be_focused()
    operator.look("mapping-form-groups")
    operator.presses(page.get_by_role("button", name=t("Remove condition {n}", n="1.3")))
    expect(page.get_by_role("button", name=t("Add to group {n}", n=1))).to_be_focused()
    page.get_by_label(f"{t('Value')} 1.1", exact=True).press("Enter")

    expect(page.get_by_role("heading", name=t("What changes for the last events"))).to_be_visible()
    expect(page.locator(".diff")).to_contain_text(f"equals: {PEOPLE[0][0]}")
    assert "payment.customer" not in path.read_text()
    assert operator.errors == []
