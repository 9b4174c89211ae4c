"""Who may come into the console and what they may do there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.security import generate_password_hash

from bridge.journal import audit
from bridge.web.console.sessions import LASTS
from bridge.web.console.throttle import ALTOGETHER, BY_ADDRESS, WINDOW_MS
from tests.console import PASSWORD, VIEWER, Console, opened_console


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with both passwords."""
    with opened_console(sqlite_url, tmp_path) as opened:
        yield opened


def actions(console: Console) -> list[tuple[str, str]]:
    """Return who did what, newest first."""
    with console.journal.database.read() as connection:
        return [(one.actor, one.action) for one in audit.newest(connection, 100)]


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
    assert actions(console) == [("operator Ana", "console.signed_in")]


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
    assert "That is not the password" in refused.text
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


def test_wrong_passwords_are_limited_by_address(console: Console) -> None:
    """After some of them even the right one is refused from there, for a quarter of an hour; others come in."""
    browser = console.browser()
    answers = [browser.sign_in("falsch").status_code for _ in range(BY_ADDRESS)]
    refused = browser.sign_in()
    elsewhere = console.browser(**{"X-Forwarded-For": "10.0.0.1, 198.51.100.7"}).sign_in()
    console.clock.go(WINDOW_MS / 1000 + 1)

    assert set(answers) == {401}
    assert refused.status_code == 429
    assert "Wait a quarter of an hour" in refused.text
    assert elsewhere.status_code == 302
    assert browser.sign_in().status_code == 302


def test_wrong_passwords_are_limited_altogether(console: Console) -> None:
    """Whoever makes up addresses has no more tries than all strangers together."""
    throttle = console.app.extensions["bridge.throttle"]
    for number in range(ALTOGETHER):
        throttle.failed(f"198.51.100.{number}")

    assert console.browser().sign_in().status_code == 429


def test_a_session_ends_by_leaving_by_time_and_by_another_password(sqlite_url: str, tmp_path: Path) -> None:
    """Signing out, twelve hours and a new password each end it."""
    with opened_console(sqlite_url, tmp_path, how={"secret_key": "always the same"}) as console:
        left, late, other = console.operator(), console.operator(), console.operator()
        left.post("/logout")
        cookie = other._client.get_cookie("bridge_session")
        console.clock.go(LASTS.total_seconds() + 1)
        assert [left.get("/who").status_code, late.get("/who").status_code] == [302, 302]
        console.clock.go(-LASTS.total_seconds())
        assert late.get("/who").status_code == 200
    assert cookie
    with opened_console(sqlite_url, tmp_path, how={"secret_key": "always the same"}, BRIDGE_PASSWORD="x") as console:
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
    assert client.post("/logout", headers={**headers, "X-CSRF-Token": token}).status_code == 302


# ---------------------------------------------------------------- without a password


@pytest.mark.parametrize(
    ("how", "headers", "why"),
    [
        ({"bound_to": "0.0.0.0"}, {}, "other machines reach"),  # noqa: S104 (not bound)
        ({}, {"X-Forwarded-For": "198.51.100.7"}, "proxy or tunnel"),
        ({}, {"Forwarded": "for=198.51.100.7"}, "proxy or tunnel"),
        ({}, {"Host": "bridge.example.com"}, "not this machine"),
    ],
)
def test_without_a_password_strangers_are_told_why(
    sqlite_url: str, tmp_path: Path, how: dict[str, str], headers: dict[str, str], why: str
) -> None:
    """The page says what is wrong and what to set; nothing else is served, signing in neither."""
    with opened_console(sqlite_url, tmp_path, how=how, BRIDGE_PASSWORD="", BRIDGE_VIEWER_PASSWORD="") as console:
        browser = console.browser(**headers)
        answer = browser.get("/who")

        assert answer.status_code == 403
        assert why in answer.text
        assert "BRIDGE_PASSWORD" in answer.text
        assert browser.get("/login").status_code == 403
        program = console.app.test_client().get("/who", headers=headers)
        assert program.json is None or program.json["error"]["code"] == "console.closed"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_without_a_password_people_at_this_machine_come_in(sqlite_url: str, tmp_path: Path, host: str) -> None:
    """They may change everything, and there is no form to sign in."""
    with opened_console(sqlite_url, tmp_path, BRIDGE_PASSWORD="", BRIDGE_VIEWER_PASSWORD="") as console:
        browser = console.browser(Host=host)

        assert "On this machine" in browser.get("/who").text
        assert browser.get("/login").location == "/"


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
