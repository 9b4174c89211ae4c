"""The journeys of an operator in a real browser, before a bridge in real processes."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import PEOPLE, Site, in_both_languages
from tests.browser.looking import Visitor
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
    group = one.page.locator("article.group", has_text="clint.http_400")
    group.get_by_role("link", name=one.text("attention.retry"), exact=True).click()


def test_signing_in_and_out(visitor: Visitor) -> None:
    """A wrong password is refused in words; the right one leads to the page that was asked for; leaving ends it."""
    page, t = visitor.page, visitor.text
    page.goto("/events?state=dead")
    visitor.look("login")
    page.get_by_label(t("signin.password")).fill("falsch")
    page.get_by_role("button", name=t("signin.enter")).click()
    expect(page.get_by_role("alert")).to_contain_text(t("signin.wrong"))
    visitor.errors.clear()  # the browser itself notes the answer 401
    page.get_by_label(t("signin.password")).fill(PASSWORD)
    page.get_by_role("button", name=t("signin.enter")).click()
    expect(page).to_have_url(re.compile(r"/events\?state=dead$"))
    page.get_by_role("button", name=t("nav.leave")).click()
    expect(page.get_by_role("status")).to_contain_text(t("signin.left"))
    assert visitor.errors == []


@in_both_languages
def test_every_page_is_in_order(operator: Visitor, site: Site) -> None:
    """Overview, events, an event of each kind, what needs attention, access, and a page that is not there."""
    page, t = operator.page, operator.text
    for path, name, title in (
        ("/", "overview", ""),
        ("/events", "events", t("events.title")),
        ("/events?q=nobody-has-this", "events-none", t("events.title")),
        (f"/events/{site.until_event('pay_delivered', 'delivered')}", "event-delivered", ""),
        (f"/events/{site.until_event('pay_filtered', 'filtered')}", "event-filtered", ""),
        (f"/events/{site.until_event('pay_unmapped', 'processed')}", "event-unmapped", ""),
        ("/who", "who", t("who.title")),
    ):
        page.goto(path)
        if title:
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
        operator.look(name)
    page.goto("/nothing/here")
    expect(page.get_by_role("heading", level=1)).to_have_text(t("errors.404.title"))
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
    page.get_by_role("link", name=t("nav.attention")).click()
    operator.look("attention")
    page.get_by_role("link", name=t("attention.look")).first.click()
    page.locator(f"#e{event}").click()
    expect(page.get_by_text("422").first).to_be_visible()
    operator.look("event-dead")
    page.get_by_role("link", name=t("events.replay")).first.click()
    operator.look("replay")
    page.get_by_role("button", name=t("events.preview.go")).click()
    expect(page.get_by_role("status").first).to_contain_text(t("events.replayed", n=event))
    site.until_event(charge, "delivered")
    # The page follows by itself.
    expect(page.locator(".verdict-card").first.get_by_text(t("states.delivered"), exact=True)).to_be_visible(
        timeout=20_000
    )
    assert operator.errors == []


def test_many_dead_deliveries_are_retried_at_once(operator: Visitor, site: Site) -> None:
    """The count first, then progress to the end; Clint has every one of them."""
    page, t = operator.page, operator.text
    charges = given_up(site, [f"many{n}{operator.language}" for n in range(3)])

    chooses_to_retry(operator)
    operator.look("attention-confirm")
    page.get_by_role("button", name=t.count("attention.confirm.yes.retry", 3)).click()
    expect(page.locator("#progress")).to_contain_text(t("attention.finished"))
    operator.look("attention-progress")
    for charge in charges:
        site.until_event(charge, "delivered")
    page.goto("/who")
    expect(page.get_by_text(t("who.action.bulk.retry")).first).to_be_visible()


def test_an_event_is_found_by_what_people_know(operator: Visitor) -> None:
    """By a word of the name, the document, the reference and the charge; the slash leads to the search."""
    page, t = operator.page, operator.text
    _, name, cpf = PEOPLE[0]
    page.goto("/events")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name=t("events.search"))
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
    page.get_by_role("link", name=t("events.clear")).click()
    page.get_by_label(t("events.state"), exact=True).select_option(label=t("states.filtered"))
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

    expect(page.get_by_text(t("nav.read_only"))).to_be_visible()
    expect(page.get_by_role("link", name=t("events.replay"))).to_have_count(0)
    visitor.look("viewer", dark=False)


def test_the_console_works_by_keyboard(operator: Visitor) -> None:
    """The first stop is the link past the menu; what has the focus shows it."""
    page, t = operator.page, operator.text
    page.goto("/events")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name=t("nav.skip"))
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_language_and_light_are_switched(operator: Visitor) -> None:
    """And stay so on the next page."""
    page, t = operator.page, operator.text
    other = "en" if operator.language == "pt" else "pt"
    page.goto("/who")
    page.get_by_role("button", name=t("nav.theme.dark")).click()
    page.get_by_role("button", name=t(f"nav.language.{other}")).click()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("lang", "en" if other == "en" else "pt-BR")
    page.goto("/events")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert operator.errors == []


def test_the_console_works_without_scripts(plain: Visitor, site: Site) -> None:
    """Search, filters, a bulk retry to its end, a mapping that is saved, a reconciliation: all by forms and links."""
    page, t = plain.page, plain.text
    charges = given_up(site, ["plain0", "plain1"])

    page.goto("/events")
    page.get_by_role("searchbox", name=t("events.search")).fill(charges[0])
    page.get_by_label(t("events.state"), exact=True).select_option(label=t("states.dead"))
    page.get_by_role("button", name=t("events.apply")).click()
    page.locator("#rows tbody tr").get_by_role("link").first.click()
    expect(page.locator(".verdict-card")).to_contain_text(t("states.dead"))

    chooses_to_retry(plain)
    page.get_by_role("button", name=t.count("attention.confirm.yes.retry", 2)).click()
    for _ in charges:  # each press sends what fits into one request
        if page.get_by_text(t("attention.finished")).count():
            break
        page.get_by_role("button", name=t("attention.go_on")).click()
    expect(page.locator("#progress")).to_contain_text(t("attention.finished"))
    for charge in charges:
        site.until_event(charge, "delivered")

    page.goto("/mappings/cobranca_paga")
    text = page.get_by_role("textbox", name=t("mappings.text"))
    good = text.input_value()
    text.fill(good + "nonsense: 1\n")
    page.get_by_role("button", name=t("mappings.save"), exact=True).click()
    expect(page.locator("#findings")).to_contain_text(t("findings.key.unknown"))
    page.get_by_role("textbox", name=t("mappings.text")).fill(good + "# saved without a script\n")
    page.get_by_role("button", name=t("mappings.save"), exact=True).click()
    expect(page.get_by_role("status").first).to_be_visible()
    expect(page.get_by_role("textbox", name=t("mappings.text"))).to_have_value(re.compile("saved without a script"))

    page.goto("/reconcile")
    page.locator("main form button.primary").click()
    page.wait_for_url("**/work/*")
    for _ in range(100):
        if page.get_by_text(t("job.done"), exact=True).count():
            break
        page.get_by_role("link", name=t("job.refresh")).click()
    expect(page.get_by_text(t("job.done"), exact=True)).to_be_visible()
    page.get_by_role("button", name=t("nav.language.en")).click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
