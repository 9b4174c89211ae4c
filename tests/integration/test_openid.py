"""Sign-in by an OpenID provider that really answers: whom it lets in, and every answer that must let nobody in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from bridge.errors import SettingsError
from bridge.journal import audit, users
from bridge.journal.audit import Actor
from bridge.journal.users import UserRole
from bridge.operations import users as operations
from bridge.settings import Settings
from tests.console import Browser, Console, opened_console
from tests.factories import NOW_MS
from tests.openid import CLIENT, SECRET, OpenIdProvider

NOW_S = NOW_MS // 1000
BY = Actor("operator Ana")


@pytest.fixture(scope="module")
def shared() -> Iterator[OpenIdProvider]:
    """Give one provider to all tests: its key takes time to make."""
    with OpenIdProvider() as opened:
        yield opened


@pytest.fixture
def provider(shared: OpenIdProvider) -> Iterator[OpenIdProvider]:
    """Give the provider as it is at first."""
    before = dict(shared.__dict__)
    shared.person, shared.claims, shared.metadata = dict(shared.person), {}, {}
    yield shared
    shared.__dict__.update(before)


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path, provider: OpenIdProvider) -> Iterator[Console]:
    """Give a console with that provider, to which Bia is invited."""
    with opened_console(
        sqlite_url,
        tmp_path,
        BRIDGE_OIDC_ISSUER=provider.url,
        BRIDGE_OIDC_CLIENT_ID=CLIENT,
        BRIDGE_OIDC_CLIENT_SECRET=SECRET,
        BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1",
    ) as opened:
        invite(opened)
        yield opened


def invite(console: Console, email: str = "bia@example.com") -> int:
    """Invite a person as a viewer; the link is not used."""
    given: dict[str, Any] = {"name": "Bia", "email": email, "role": UserRole.VIEWER}
    return operations.invite(console.journal, BY, NOW_MS, **given)[0]


def comes_back(provider: OpenIdProvider, browser: Browser) -> str:
    """Let the person go to the provider, agree and come back; return where the answer leads."""
    there = browser.get("/login/provider?next=/events")
    assert there.location.startswith(f"{provider.url}/authorize?")
    return browser.get(provider.agrees(there.location)).location


def comes(console: Console, provider: OpenIdProvider) -> Browser:
    """Return the browser in which the person came back from the provider."""
    browser = console.browser()
    comes_back(provider, browser)
    return browser


def is_in(browser: Browser) -> bool:
    """Return whether somebody is signed in."""
    return browser.get("/me").status_code == 200


def test_an_invited_person_comes_in_by_the_provider(console: Console, provider: OpenIdProvider) -> None:
    """Without a password; the trail says who, and that it was the first time."""
    browser, asked = console.browser(), provider.asked("/.well-known")

    assert comes_back(provider, browser) == "/events"
    assert is_in(browser)
    assert is_in(comes(console, provider))
    with console.journal.database.read() as connection:
        found = [(one["actor"], one["action"]) for one in audit.newest(connection, 10)]
    assert found == [
        ("viewer Bia", "console.signed_in"),
        ("viewer Bia", "console.signed_in"),
        ("viewer Bia", "user.linked"),
        ("operator Ana", "user.invited"),
    ]
    assert provider.asked("/.well-known") == asked + 1
    assert "127.0.0.1" in console.browser().get("/login").text


def test_who_came_once_is_known_by_the_subject(console: Console, provider: OpenIdProvider) -> None:
    """Another e-mail at the provider changes nothing, and another one there with the first e-mail is not let in."""
    assert is_in(comes(console, provider))
    provider.person["email"] = "beatriz@example.com"
    assert is_in(comes(console, provider))
    provider.person = {"sub": "p-2", "email": "bia@example.com", "email_verified": True}
    assert not is_in(comes(console, provider))


@pytest.mark.parametrize(
    ("email", "is_bia"),
    [("BIA@Example.com", True), ("bia@exámple.com", False), ("bía@example.com", False), ("bia@example.com.br", False)],
)
def test_an_e_mail_that_only_looks_alike_is_somebody_elses(
    console: Console, provider: OpenIdProvider, email: str, is_bia: bool
) -> None:
    """Capitals do not matter; an accent makes another domain, which anybody may own."""
    provider.person["email"] = email

    assert is_in(comes(console, provider)) is is_bia


def test_who_was_shut_out_stays_out(console: Console, provider: OpenIdProvider) -> None:
    """And whoever was not invited, whatever the provider says."""
    assert is_in(comes(console, provider))
    operations.set_enabled(console.journal, BY, NOW_MS, 1, enabled=False)
    assert not is_in(comes(console, provider))
    provider.person = {"sub": "p-3", "email": "caio@example.com", "email_verified": True}
    refused = comes(console, provider)

    assert not is_in(refused)
    assert "was invited" in refused.get("/login").text
    invite(console, "caio@example.com")
    assert is_in(comes(console, provider))


def none_algorithm(claims: dict[str, Any]) -> str:
    """Return a token that nobody signed."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])


def by_the_clients_secret(claims: dict[str, Any]) -> str:
    """Return a token signed with what is no key of the provider's."""
    return jwt.encode({"alg": "HS256", "kid": "one"}, claims, OctKey.import_key(SECRET))


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": [CLIENT, "another client"], "azp": "another client"},
        {"iss": "https://other.example"},
        {"exp": NOW_S - 3600},
        {"exp": None},
        {"sub": None},
        {"iat": NOW_S + 3600},
        {"email_verified": False},
        {"email_verified": None},
        {"email": 7},
        {"email": None, "email_verified": None, "sub": "p-9"},  # the userinfo is of another one
    ],
    ids=str,
)
def test_a_token_that_is_not_as_it_must_be_lets_nobody_in(
    console: Console, provider: OpenIdProvider, claims: dict[str, Any]
) -> None:
    """Of another sign-in, client or provider, too old, or of an e-mail that nobody verified."""
    provider.claims = claims
    browser = console.browser()

    assert comes_back(provider, browser).startswith("/login")
    assert not is_in(browser)
    provider.claims = {}
    assert comes_back(provider, browser) == "/events"
    assert is_in(browser)


@pytest.mark.parametrize("sign", [none_algorithm, by_the_clients_secret, lambda claims: "no token"])
def test_a_signature_that_is_not_the_providers_lets_nobody_in(
    console: Console, provider: OpenIdProvider, sign: Callable[[dict[str, Any]], str]
) -> None:
    """None, one by a secret that others know, and what is no token at all."""
    provider.sign = sign

    assert not is_in(comes(console, provider))


def test_a_new_key_of_the_provider_is_asked_for(console: Console, provider: OpenIdProvider) -> None:
    """Once, when a token names a key that is not known."""
    assert is_in(comes(console, provider))
    provider.changes_its_key()

    assert is_in(comes(console, provider))
    assert is_in(comes(console, provider))


def test_an_e_mail_that_only_the_userinfo_has_counts_too(console: Console, provider: OpenIdProvider) -> None:
    """Some providers leave it out of the token."""
    provider.claims = {"email": None, "email_verified": None}

    assert is_in(comes(console, provider))


def test_the_clients_secret_goes_to_the_provider_as_it_asks(console: Console, provider: OpenIdProvider) -> None:
    """In a header, or in the form where the provider takes it there only."""
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}

    assert is_in(comes(console, provider))


def test_the_answer_of_another_provider_lets_nobody_in(console: Console, provider: OpenIdProvider) -> None:
    """One that names itself in the address is believed about that."""
    browser = console.browser()
    back = provider.agrees(browser.get("/login/provider").location)
    browser.get(f"{back}&iss=https%3A%2F%2Fother.example")

    assert not is_in(browser)


def test_a_client_that_the_provider_does_not_know_lets_nobody_in(
    sqlite_url: str, tmp_path: Path, provider: OpenIdProvider
) -> None:
    """Without the secret, as a public client, nobody comes in where the provider wants one."""
    client = {"BRIDGE_OIDC_ISSUER": provider.url, "BRIDGE_OIDC_CLIENT_ID": CLIENT}
    with opened_console(sqlite_url, tmp_path, **client, BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1") as opened:
        invite(opened)
        assert not is_in(comes(opened, provider))


def test_an_answer_counts_once_in_the_browser_and_the_time_of_its_question(
    console: Console, provider: OpenIdProvider
) -> None:
    """A copied address, another state, a person who took too long."""
    browser, thief = console.browser(), console.browser()
    back = provider.agrees(browser.get("/login/provider").location)
    thief.get("/login/provider")
    thief.get(back)
    assert not is_in(thief)
    browser.get(back)
    assert is_in(browser)
    late = console.browser()
    back = provider.agrees(late.get("/login/provider").location)
    console.clock.go(3600)
    late.get(back)
    assert not is_in(late)
    assert console.browser().get("/login/provider/back?error=access_denied").status_code == 303


@pytest.mark.parametrize("status", [500, 404])
def test_a_provider_that_is_away_leaves_the_other_ways_in(
    console: Console, provider: OpenIdProvider, status: int
) -> None:
    """The page says so; it costs no try, and the password of the settings opens."""
    provider.status = status
    browser = console.browser()
    led = {browser.get("/login/provider").location for _ in range(10)}

    assert led == {"/login"}
    assert "flash bad" in browser.get("/login").text
    assert browser.sign_in().status_code == 302


@pytest.mark.parametrize(
    "claims", [{"issuer": "https://other.example"}, {"authorization_endpoint": "ftp://x"}], ids=str
)
def test_a_provider_that_says_to_be_another_is_not_gone_to(
    console: Console, provider: OpenIdProvider, claims: dict[str, str]
) -> None:
    """Nor one whose addresses are none."""
    provider.metadata = claims

    assert console.browser().get("/login/provider").location.startswith("/login")


def test_without_a_provider_there_is_no_such_way(sqlite_url: str, tmp_path: Path) -> None:
    """The address leads to the form, and half of a setup is refused."""
    with opened_console(sqlite_url, tmp_path) as console:
        assert console.browser().get("/login/provider").location.startswith("/login")
        with console.journal.database.read() as connection:
            assert not users.exist(connection)
    with pytest.raises(SettingsError):
        Settings.from_env({"BRIDGE_OIDC_ISSUER": "https://id.example"})
