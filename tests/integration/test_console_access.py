"""Who may come into the console and what they may do there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from bridge.journal import audit
from bridge.operations.users import NAME_LENGTH
from bridge.web.app import create_app
from bridge.web.console.access import SESSION_LASTS
from bridge.web.console.signin import TRIES
from tests.console import HTML, PASSWORD, VIEWER, Browser, Console, opened_console
from tests.forms import form_of

CONSOLE_TOKEN = "k" * 43
OPEN_TO_NOBODY: dict[str, Any] = {"BRIDGE_PASSWORD": "", "BRIDGE_VIEWER_PASSWORD": ""}


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with both passwords."""
    with opened_console(sqlite_url, tmp_path) as opened:
        yield opened


def actions(console: Console) -> list[tuple[str, str]]:
    """Return who did what, newest first."""
    with console.journal.database.read() as connection:
        return [(one["actor"], one["action"]) for one in audit.newest(connection, 100)]


# ---------------------------------------------------------------- with a password


def test_a_stranger_is_asked_for_the_password_and_then_led_on(console: Console) -> None:
    """Every page leads to the form first, and the form to the page that was asked for."""
    browser = console.browser()
    asked = browser.get("/who?before=7")
    form = browser.get(asked.location)
    entered = browser.sign_in(next="/who?before=7")

    assert (asked.status_code, asked.location) == (302, "/login?next=/who?before%3D7")
    assert 'value="/who?before=7"' in form.text
    assert (entered.status_code, entered.location) == (302, "/who?before=7")
    assert "Access and audit" in browser.get("/who").text
    assert actions(console) == [("administrator Ana", "console.signed_in")]


@pytest.mark.parametrize(
    "target", ["//evil.example/", "/\\evil.example", "https://evil.example/", "javascript:alert(1)"]
)
def test_signing_in_never_leads_to_another_site(console: Console, target: str) -> None:
    """A link to the form can't be made into a link to a stranger's page."""
    assert console.browser().sign_in(next=target).location == "/"


def test_a_wrong_password_lets_nobody_in(console: Console) -> None:
    """The form says so, and keeps the name that was given."""
    browser = console.browser()
    refused = browser.sign_in("falsch", name="Ana")

    assert refused.status_code == 401
    assert 'Wrong password. <a href="#password">Enter the password again</a>' in refused.text
    assert 'value="Ana"' in refused.text
    assert browser.get("/who").status_code == 302


def test_a_password_may_be_given_as_it_is_or_as_its_hash(sqlite_url: str, tmp_path: Path) -> None:
    """Then the environment does not hold the password itself."""
    with opened_console(sqlite_url, tmp_path, BRIDGE_PASSWORD=PASSWORD, BRIDGE_VIEWER_PASSWORD="") as console:
        assert console.browser().sign_in(PASSWORD).status_code == 302
    kept = generate_password_hash(PASSWORD)
    with opened_console(sqlite_url, tmp_path, BRIDGE_PASSWORD=kept) as console:
        assert console.browser().sign_in(PASSWORD).status_code == 302
        assert console.browser().sign_in(kept).status_code == 401


def test_the_viewer_sees_everything_and_changes_nothing(console: Console) -> None:
    """The second password opens each page; every form that changes something is refused."""
    browser = console.browser()
    browser.sign_in(VIEWER, name="")

    page = browser.get("/who").text
    assert "Read-only" in page
    assert "nothing can be changed" in page
    assert browser.post("/logout").location == "/login"


def tried(browser: Browser, times: int) -> list[int]:
    """Return the answers to so many wrong passwords."""
    return [browser.sign_in("falsch").status_code for _ in range(times)]


@pytest.mark.parametrize("made_up", ["198.51.100.{}", "2001:db8::{}"])
def test_a_made_up_address_buys_no_tries(console: Console, made_up: str) -> None:
    """Without a trusted proxy only the address of the connection counts, and the header is what anybody writes."""
    answers = [
        tried(console.browser(**{"X-Forwarded-For": made_up.format(number)}), 1)[0]
        for number in range(TRIES.amount + 3)
    ]

    assert answers == [401] * TRIES.amount + [429] * 3
    assert console.browser().sign_in().status_code == 429


def test_the_trail_says_once_that_tries_were_held_back(console: Console) -> None:
    """Without whose, and one row however many tries there are, since strangers cause it."""
    tried(console.browser(), TRIES.amount + 3)
    with console.journal.database.read() as connection:
        rows = audit.newest(connection, 50)

    assert [(one["action"], one["actor"], one["about"]) for one in rows] == [("console.sign_in_limited", "", "")]


def test_tries_at_the_same_moment_are_counted_one_by_one(console: Console) -> None:
    """Each is counted before its password is looked at, so that no two see the same count."""
    browsers = [console.browser() for _ in range(TRIES.amount + 15)]
    for browser in browsers:
        browser.token()
    with ThreadPoolExecutor(len(browsers)) as pool:
        answers = list(pool.map(lambda browser: tried(browser, 1)[0], browsers))

    assert answers.count(401) <= TRIES.amount
    assert {401, 429} <= set(answers) <= {401, 429, 503}


def test_people_who_sign_in_use_up_no_tries(console: Console) -> None:
    """An office of many people has one address."""
    for password in [PASSWORD, VIEWER] * TRIES.amount:
        assert console.browser().sign_in(password).status_code == 302
    assert tried(console.browser(), TRIES.amount + 1) == [401] * TRIES.amount + [429]


def test_a_stranger_locks_no_operator_out(sqlite_url: str, tmp_path: Path) -> None:
    """Behind trusted proxies each has an address of their own; else the browser is known from before."""
    with opened_console(sqlite_url, tmp_path, BRIDGE_TRUSTED_PROXIES="1") as console:
        stranger = console.browser(**{"X-Forwarded-For": "198.51.100.7, 203.0.113.9"})
        assert tried(stranger, TRIES.amount + 1)[-1] == 429
        assert console.browser(**{"X-Forwarded-For": "198.51.100.7"}).sign_in().status_code == 302
        neighbour = console.browser(**{"X-Forwarded-For": "2001:db8::1"})
        assert tried(neighbour, TRIES.amount + 1)[-1] == 429
        assert console.browser(**{"X-Forwarded-For": "2001:db8::2"}).sign_in().status_code == 429
        assert console.browser(**{"X-Forwarded-For": "2001:db8:0:1::1"}).sign_in().status_code == 302


def test_a_browser_of_an_operator_has_tries_of_its_own(console: Console) -> None:
    """Strangers behind the same proxy do not lock it out; a viewer's browser, or a made-up cookie, has none."""
    known, viewer, forged = console.operator(), console.browser(), console.browser()
    known.post("/logout")
    assert viewer.sign_in(VIEWER).status_code == 302
    forged._client.set_cookie("bridge_browser", f"a.{64 * '0'}", path="/login")
    tried(console.browser(), TRIES.amount)

    assert forged.sign_in().status_code == 429
    assert viewer.sign_in(VIEWER).status_code == 429
    assert tried(known, TRIES.amount - 1) == [401] * (TRIES.amount - 1)
    assert known.sign_in().status_code == 302


def test_the_audit_trail_has_the_address_behind_the_trusted_proxies(sqlite_url: str, tmp_path: Path) -> None:
    """Of signing in and of what is changed; an address that no trusted proxy wrote is not believed."""
    for trusted, address in (("1", "198.51.100.7"), ("0", "127.0.0.1")):
        with opened_console(sqlite_url, tmp_path, BRIDGE_TRUSTED_PROXIES=trusted) as console:
            browser = console.browser(**{"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
            browser.sign_in()
            browser.post("/connections/destinations/default/pause")
            with console.journal.database.read() as connection:
                rows = audit.newest(connection, 2)
            assert [(one["action"], one["address"]) for one in rows] == [
                ("destination.paused", address),
                ("console.signed_in", address),
            ]


def test_signing_out_ends_the_session_for_whoever_has_its_cookie(console: Console) -> None:
    """The cookie of before opens nothing any more, in no process; another session of the same person goes on."""
    browser, other = console.operator(), console.operator()
    kept = browser._client.get_cookie("bridge_session")
    browser.post("/logout")
    again = create_app(console.runtime).test_client()

    assert kept
    for client in (console.browser()._client, again):
        client.set_cookie("bridge_session", kept.value)
        assert client.get("/who").status_code == 302
    assert other.get("/who").status_code == 200
    assert actions(console)[0] == ("administrator Ana", "console.signed_out")


def test_a_session_ends_by_leaving_by_time_and_by_another_password(sqlite_url: str, tmp_path: Path) -> None:
    """Signing out, twelve hours and a new password each end it."""
    with opened_console(sqlite_url, tmp_path) as console:
        left, late, other = console.operator(), console.operator(), console.operator()
        left.post("/logout")
        cookie = other._client.get_cookie("bridge_session")
        console.clock.go(SESSION_LASTS.total_seconds() + 1)
        assert [left.get("/who").status_code, late.get("/who").status_code] == [302, 302]
        console.clock.go(-SESSION_LASTS.total_seconds())
        assert late.get("/who").status_code == 200
    assert cookie
    with opened_console(sqlite_url, tmp_path, BRIDGE_PASSWORD="x" * 12) as console:
        browser = console.browser()
        browser._client.set_cookie("bridge_session", cookie.value)
        assert browser.get("/who").status_code == 302


def test_the_cookie_is_for_this_site_and_where_possible_for_https_only(console: Console) -> None:
    """No script reads it, no other site sends it, and over https it never goes in clear."""
    plain = console.browser().get("/login").headers["Set-Cookie"]
    secure = console.browser(**{"X-Forwarded-Proto": "https"}).get("/login")

    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    assert "Secure" in secure.headers["Set-Cookie"]
    assert "max-age" in secure.headers["Strict-Transport-Security"]


def test_htmx_is_led_to_the_form_as_a_whole_page(console: Console) -> None:
    """When a session has ended, the part of a page that is fetched must not become the form."""
    answer = console.browser().part("/who")

    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login")


# ---------------------------------------------------------------- forms


def test_a_form_without_its_token_changes_nothing(console: Console) -> None:
    """Neither without a token, nor with another session's, nor from another site."""
    browser, other = console.operator(), console.operator()
    client = browser._client
    headers = {"Accept": "text/html"}
    token = browser.token()

    assert client.post("/logout", headers=headers).status_code == 400
    assert client.post("/logout", data={"csrf_token": other.token()}, headers=headers).status_code == 400
    cross = client.post("/logout", data={"csrf_token": token}, headers={**headers, "Sec-Fetch-Site": "cross-site"})
    assert cross.status_code == 400
    assert browser.get("/who").status_code == 200
    assert client.post("/logout", headers={**headers, "X-CSRF-Token": token}).status_code == 303


def test_a_stale_form_leads_back_to_its_page_or_to_the_sign_in(console: Console) -> None:
    """Whoever is signed in goes back to the page; whose session ended signs in first and comes back."""
    signed_in, stranger = console.operator(), console.browser()
    from_page = {"Referer": "http://localhost/events?state=dead"}
    stale = signed_in._client.post("/logout", headers={"Accept": "text/html", **from_page})
    ended = stranger._client.post("/attention/replay", headers={"Accept": "text/html", **from_page})
    elsewhere = signed_in._client.post("/logout", headers={"Accept": "text/html", "Referer": "https://evil.example/x"})

    assert 'href="/events?state=dead"' in stale.text
    assert "/login?next=/events?state%3Ddead" in ended.text
    assert "evil" not in elsewhere.text


def test_an_address_that_is_not_there_keeps_the_menu(console: Console) -> None:
    """For whoever is signed in; a stranger gets no menu and no name."""
    inside, outside = console.operator().get("/nope"), console.browser().get("/nope")

    assert (inside.status_code, outside.status_code) == (404, 404)
    assert 'href="/attention"' in inside.text
    assert 'href="/attention"' not in outside.text


# ---------------------------------------------------------------- without a password


@pytest.mark.parametrize("token", ["", CONSOLE_TOKEN])
def test_without_a_password_the_console_is_closed(sqlite_url: str, tmp_path: Path, token: str) -> None:
    """A request that looks as if it came from this machine proves nothing: a proxy here passes any on like that."""
    with opened_console(sqlite_url, tmp_path, BRIDGE_CONSOLE_TOKEN=token, **OPEN_TO_NOBODY) as console:
        browser = console.browser(Host="localhost")
        answers = [browser.get(path) for path in ("/who", "/login", "/?token=", "/?token=wrong", "/?token=ção")]

        assert [answer.status_code for answer in answers] == [403] * 5
        assert all("BRIDGE_PASSWORD" in answer.text for answer in answers)
        assert ("?token=" in answers[0].text) is bool(token)
        program = console.app.test_client()
        assert program.get("/who").json["error"]["code"] == "console.closed"  # type: ignore[index]
        assert program.post("/language", data={"language": "en"}).status_code == 403


def test_a_wrong_token_leads_people_to_the_sign_in(sqlite_url: str, tmp_path: Path) -> None:
    """Where somebody has a password of their own, an old address is no reason to set variables."""
    with opened_console(sqlite_url, tmp_path, BRIDGE_CONSOLE_TOKEN=CONSOLE_TOKEN, **OPEN_TO_NOBODY) as console:
        opener = console.browser()
        opener.get(f"/?token={CONSOLE_TOKEN}")
        opener.post("/people", name="Bia", email="bia@example.com", role="administrator")
        answer = console.browser().get("/?token=old")

        assert answer.status_code == 403
        assert 'href="/login"' in answer.text
        assert "BRIDGE_PASSWORD" not in answer.text


def test_without_a_password_the_token_of_the_address_opens_the_console(sqlite_url: str, tmp_path: Path) -> None:
    """It leads on to an address without it; the next start has another, and goes on with the sessions of this one."""
    with opened_console(sqlite_url, tmp_path, BRIDGE_CONSOLE_TOKEN=CONSOLE_TOKEN, **OPEN_TO_NOBODY) as console:
        browser = console.browser()
        opened = browser.get(f"/?token={CONSOLE_TOKEN}")
        cookie = browser._client.get_cookie("bridge_session")

        assert (opened.status_code, opened.location) == (302, "/")
        assert browser.get(f"/?token={CONSOLE_TOKEN}").location == "/"
        assert "On this machine" in browser.get("/who").text
        assert 'action="/logout"' not in browser.get("/who").text
        assert browser.get("/login").location == "/"
        assert browser.post("/connections/destinations/default/pause").status_code == 303
        assert actions(console) == [("local", "destination.paused"), ("local", "console.signed_in")]
        assert "Paused by somebody at this machine" in browser.get("/connections").text
        assert console.browser().get("/who").status_code == 403
    assert cookie
    with opened_console(sqlite_url, tmp_path, BRIDGE_CONSOLE_TOKEN="n" * 43, **OPEN_TO_NOBODY) as console:
        browser = console.browser()
        browser._client.set_cookie("bridge_session", cookie.value)
        assert browser.get("/who").status_code == 200
        assert console.browser().get(f"/?token={CONSOLE_TOKEN}").status_code == 403
    for changed in (OPEN_TO_NOBODY, {"BRIDGE_CONSOLE_TOKEN": "n" * 43}):  # no token at all; a password
        with opened_console(sqlite_url, tmp_path, **changed) as console:
            browser = console.browser()
            browser._client.set_cookie("bridge_session", cookie.value)
            assert browser.get("/who").status_code == (403 if changed is OPEN_TO_NOBODY else 302)


# ---------------------------------------------------------------- forms that outlive their page

HERE = {"Sec-Fetch-Site": "same-origin"}


def test_a_restart_takes_the_forms_of_before(sqlite_url: str, tmp_path: Path) -> None:
    """The key of sessions and forms stays in a private file of the data directory, where no setting gives one."""
    unset = {"BRIDGE_SECRET_KEY": "", "BRIDGE_VIEWER_PASSWORD": "", "BRIDGE_PASSWORD": PASSWORD}
    with opened_console(sqlite_url, tmp_path, **unset) as console:
        before = console.operator()
        token, cookie = before.token(), before.cookie()
    assert (tmp_path / "session.key").stat().st_mode & 0o077 == 0
    with opened_console(sqlite_url, tmp_path, **unset) as console:
        client = console.app.test_client()
        client.set_cookie("bridge_session", cookie)
        where = "/connections/destinations/default/pause"
        assert client.post(where, data={"csrf_token": token}, headers=HTML).status_code == 303


def test_what_was_typed_into_a_form_that_is_too_old_is_offered_again(console: Console) -> None:
    """The page says what happened and holds what was typed, with a token that is taken now."""
    browser = console.operator()
    typed = {"body": '{"nome": "Ana <b>"}\r\n', "confirmed": "on"}
    where = "/connections/destinations/default/test"
    answer = browser._client.post(where, data={"csrf_token": "old", **typed}, headers={**HTML, **HERE})
    form = form_of(answer, where)
    again = browser._client.post(where, data=dict(form.fields), headers={**HTML, **HERE})

    assert (answer.status_code, again.status_code) == (400, 303)
    assert form["body"] == typed["body"]
    assert form["confirmed"] == "on"


def test_a_session_that_ended_keeps_what_was_typed(console: Console) -> None:
    """Who signs in again in another tab can send the form from the page that said so."""
    browser, where = console.operator(), "/connections/destinations/default/test"
    console.clock.go(13 * 3600)
    stale = browser._client.post(where, data={"csrf_token": browser.token(), "body": "{}"}, headers={**HTML, **HERE})
    form = form_of(stale, where)

    assert stale.status_code == 401
    assert form["body"] == "{}"
    assert 'target="_blank"' in stale.text


@pytest.mark.parametrize("has_cookie", [True, False])
def test_a_form_that_waited_for_a_sign_in_is_sent_once(console: Console, has_cookie: bool) -> None:
    """Whether the browser still had the cookie of the session or not, the first “Send it again” is taken."""
    browser, where = console.operator(), "/connections/destinations/default/pause"
    token = browser.token()
    console.clock.go(13 * 3600)
    if not has_cookie:
        browser._client.delete_cookie("bridge_session")
    refused = browser._client.post(where, data={"csrf_token": token, "why": "x"}, headers={**HTML, **HERE})
    form = form_of(refused, where)
    assert 'href="/login' in refused.text
    assert browser.sign_in().status_code == 302
    sent = browser._client.post(where, data=dict(form.fields), headers={**HTML, **HERE})

    assert (refused.status_code, sent.status_code) == (401 if has_cookie else 400, 303)
    assert actions(console)[0] == ("administrator Ana", "destination.paused")


def test_a_form_of_another_persons_session_is_not_sent(console: Console) -> None:
    """Nor is one of the own session without the browser's word that a page of the console sent it."""
    browser, where = console.operator(), "/connections/destinations/default/pause"
    token = browser.token()
    console.clock.go(13 * 3600)
    browser.sign_in()
    unsaid = browser._client.post(where, data={"csrf_token": token}, headers=HTML)
    browser.sign_in(name="Bia")
    of_ana = browser._client.post(where, data={"csrf_token": token}, headers={**HTML, **HERE})

    assert (unsaid.status_code, of_ana.status_code) == (400, 400)
    assert "destination.paused" not in [action for _, action in actions(console)]


def test_a_kept_form_says_how_to_come_in_without_a_password(sqlite_url: str, tmp_path: Path) -> None:
    """The address with the token opens the console again, and the form is then taken."""
    where = "/connections/destinations/default/pause"
    with opened_console(sqlite_url, tmp_path, BRIDGE_CONSOLE_TOKEN=CONSOLE_TOKEN, **OPEN_TO_NOBODY) as console:
        browser = console.browser()
        headers = {**HTML, **HERE, "Accept-Language": "en"}
        refused = browser._client.post(where, data={"csrf_token": "old", "why": "x"}, headers=headers)
        form = form_of(refused, where)
        browser.get(f"/?token={CONSOLE_TOKEN}")
        sent = browser._client.post(where, data=dict(form.fields), headers=headers)

    assert "?token=… in another tab" in refused.text
    assert sent.status_code == 303


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/login", {"password": "geheim-1"}),
        ("/connections/new-account", {"key": "geheim-1"}),
        ("/connections/new-destination", {"url": "https://clint.example/geheim-1"}),
        ("/connections/destinations/default/url", {"url": "https://clint.example/geheim-1"}),
        ("/alerts/new", {"at-token": "geheim-1"}),
        ("/alerts/1", {"at-token": "geheim-1"}),
        ("/invitation/abc", {"password": "geheim-1"}),
        ("/me/password", {"current": "geheim-1"}),
    ],
)
def test_no_secret_and_nothing_of_another_site_is_offered_again(
    console: Console, path: str, fields: dict[str, str]
) -> None:
    """A page never shows a secret; and a form that another site filled in must not be one click away."""
    client = console.operator()._client
    secret = client.post(path, data=fields, headers={**HTML, **HERE})
    foreign = client.post(
        "/connections/destinations/default/test",
        data={"body": "geheim-1"},
        headers={**HTML, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    )

    assert (secret.status_code, foreign.status_code) == (400, 400)
    assert "geheim-1" not in secret.text + foreign.text


def test_the_token_opens_nothing_where_there_is_a_password(sqlite_url: str, tmp_path: Path) -> None:
    """An address that was printed before a password was set is worth nothing any more."""
    with opened_console(sqlite_url, tmp_path, BRIDGE_CONSOLE_TOKEN=CONSOLE_TOKEN) as console:
        assert console.browser().get(f"/?token={CONSOLE_TOKEN}").location.startswith("/login")


# ---------------------------------------------------------------- headers, languages, looks


def test_nothing_is_loaded_from_elsewhere_and_no_script_stands_in_a_page(console: Console) -> None:
    """The policy forbids it, and the pages have none; what is served from here may be kept for ever."""
    answer = console.operator().get("/who")
    policy = answer.headers["Content-Security-Policy"]
    sheet = re.search(r'href="(/assets/console\.css\?v=[^"]+)"', answer.text)

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|https?://(?!www\.w3\.org)", answer.text)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert sheet
    with console.browser().get(sheet[1]) as file:
        assert "immutable" in file.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("accepted", "language", "title"),
    [
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt-BR", "Entrar"),
        ("en-GB,en;q=0.9", "en", "Sign in"),
        ("de-DE,de;q=0.9", "pt-BR", "Entrar"),
        ("pt-PT", "pt-BR", "Entrar"),
    ],
)
def test_the_browser_decides_the_language(console: Console, accepted: str, language: str, title: str) -> None:
    """Whoever asks for neither language is answered in Portuguese."""
    page = console.browser(accepted).get("/login").text

    assert f'<html lang="{language}"' in page
    assert f"<h1>{title}</h1>" in page


def test_language_and_light_are_chosen_by_a_person_and_kept(console: Console) -> None:
    """The choice is stronger than the browser's, and an unknown one changes nothing."""
    browser = console.browser("en")
    browser.post("/language", language="pt", next="/login")
    browser.post("/appearance", theme="dark", next="/login")
    browser.post("/appearance", theme="neon")
    page = browser.get("/login").text

    assert '<html lang="pt-BR" data-theme="dark">' in page


@pytest.mark.parametrize(("language", "title"), [("pt-BR", "Página não encontrada"), ("en", "Page not found")])
def test_errors_are_pages_for_people_and_json_for_programs(console: Console, language: str, title: str) -> None:
    """A browser reads what is wrong in its language; a program gets the one JSON shape."""
    missing = console.operator(language).get("/nothing/here")
    program = console.app.test_client().get("/nothing/here")

    assert (missing.status_code, title in missing.text) == (404, True)
    assert program.json == {"error": {"code": "http.404", "message": "not found"}}
    assert console.browser().get("/webhooks/asaas/").is_json


def test_a_name_that_is_too_long_is_refused_and_not_cut(console: Console) -> None:
    """At the sign-in, at its field, before the password counts as a try."""
    browser = console.browser()
    answer = browser.sign_in(name="n" * (NAME_LENGTH + 1))

    assert answer.status_code == 422
    assert f"at most {NAME_LENGTH} characters, got {NAME_LENGTH + 1}" in answer.text
    assert browser.get("/who").status_code == 302
