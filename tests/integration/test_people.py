"""People with accounts of their own: invited by a link, with a role, shut out, signed out everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from werkzeug.security import generate_password_hash

from bridge.crypto import new_key
from bridge.errors import ForAdministrators, LinkSpent, ReadOnly, UsageError
from bridge.journal import audit, users
from bridge.journal.audit import Actor
from bridge.journal.schema import audit as audit_table
from bridge.journal.users import LINK_LASTS_MS, UserRole, UserState
from bridge.operations import users as operations
from bridge.web.console.signin import TRIES
from tests.console import HTML, PASSWORD, QUICK, VIEWER, Browser, Console, opened_console
from tests.databases import on_both
from tests.factories import NOW_MS, opened_journal

SECRET = "grampo bateria cavalo"
EMAIL = "bia@example.com"
BY = Actor("operator Ana")


@pytest.fixture
def console(sqlite_url: str, tmp_path: Path) -> Iterator[Console]:
    """Give a console with both passwords and two Asaas accounts."""
    tokens = {"ASAAS_WEBHOOK_TOKEN": "a" * 16 + "b1" * 8, "ASAAS_WEBHOOK_TOKEN_FILIAL": "c" * 16 + "d1" * 8}
    with opened_console(sqlite_url, tmp_path, **tokens) as opened:
        yield opened


def invited(console: Console, email: str = EMAIL, name: str = "Bia", role: str = "operator", **more: str) -> str:
    """Invite a person as an administrator does; return the path of the link."""
    answer = console.operator().post("/people", {"name": name, "email": email, "role": role, **more})
    assert answer.status_code == 200, answer.text
    found = re.search(r"http://localhost(/invitation/[\w-]+)", answer.text)
    assert found
    return found[1]


def joined(console: Console, email: str = EMAIL, role: str = "operator", **more: str) -> Browser:
    """Return the browser of a person who was invited and has a password, of which the hash takes no time."""
    invited(console, email, role=role, **more)
    with console.journal.database.write() as connection:
        user = users.by_email(connection, email)
        assert user
        kept = {"password": generate_password_hash(SECRET, QUICK), "state": UserState.ACTIVE.value, "seen_ms": NOW_MS}
        users.change(connection, user.id, **kept)
    browser = console.browser()
    assert sign_in(browser, email=email) == 302
    return browser


def sign_in(browser: Browser, password: str = SECRET, email: str = EMAIL) -> int:
    """Sign in with an e-mail."""
    return browser.post("/login", email=email, password=password).status_code


def trail(console: Console) -> list[tuple[str, str, str]]:
    """Return who did what about what, oldest first."""
    with console.journal.database.read() as connection:
        rows = audit.newest(connection, 100)
    return [(one["actor"], one["action"], one["about"]) for one in reversed(rows)]


def test_a_link_that_opens_here_only_is_marked(console: Console) -> None:
    """Whoever gets it by e-mail would open an address of their own machine."""
    operator = console.operator()
    person = {"name": "Bia", "role": "operator"}
    here = operator.post("/people", {**person, "email": "a@example.com"})
    elsewhere = console.browser(Host="bridge.example")
    elsewhere.sign_in()
    reached = elsewhere.post("/people", {**person, "email": "b@example.com"})

    assert "opens on this machine only" in here.text
    assert "http://bridge.example/invitation/" in reached.text
    assert "opens on this machine only" not in reached.text


def test_an_invited_person_chooses_a_password_and_signs_in_with_it(console: Console) -> None:
    """The link is looked at as often as one likes and used once; the trail has names and no e-mail."""
    path = invited(console)
    browser = console.browser()
    assert [browser.get(path).status_code for _ in range(2)] == [200, 200]
    assert browser.get(path).text.count(EMAIL) >= 1
    entered = browser.post(path, password=SECRET, again=SECRET)

    assert (entered.status_code, entered.location) == (302, "/")
    assert browser.get("/events").status_code == 200
    assert [console.browser().get(path).status_code, console.browser().post(path).status_code] == [410, 410]
    assert [sign_in(console.browser()), sign_in(console.browser(), email="BIA@Example.com ")] == [302, 302]
    assert trail(console)[:5] == [
        ("administrator Ana", "console.signed_in", ""),
        ("administrator Ana", "user.invited", "user 1"),
        ("operator Bia", "user.password_set", "user 1"),
        ("operator Bia", "console.signed_in", "user 1"),
        ("operator Bia", "console.signed_in", "user 1"),
    ]
    with console.journal.database.read() as connection:
        assert EMAIL not in str(connection.execute(select(audit_table)).all())


def test_who_has_an_own_password_is_led_back_in(sqlite_url: str, tmp_path: Path) -> None:
    """Also without BRIDGE_PASSWORD a form whose session is over comes with the link to sign in."""
    settings = {"BRIDGE_PASSWORD": "", "BRIDGE_VIEWER_PASSWORD": "", "BRIDGE_CONSOLE_TOKEN": "k" * 43}
    with opened_console(sqlite_url, tmp_path, **settings) as console:
        local = console.browser()
        local.get(f"/?token={'k' * 43}")
        local.post("/people", email=EMAIL, name="Bia", role="operator")
        fields, headers = {"csrf_token": "old", "why": "x"}, {**HTML, "Sec-Fetch-Site": "same-origin"}
        page = console.browser()._client.post("/connections/destinations/default/pause", data=fields, headers=headers)

    assert page.status_code == 400
    assert re.findall(r'href="(/login)[^"]*" target="_blank"', page.text) == ["/login"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"password": SECRET, "again": SECRET + "x"}, 303),
        ({"password": "curta", "again": "curta"}, 303),
        ({"password": SECRET, "again": SECRET}, 302),
    ],
)
def test_a_password_is_typed_twice_and_long_enough(console: Console, fields: dict[str, str], status: int) -> None:
    """A password that is refused does not use the link up."""
    path, browser = invited(console), console.browser()

    assert browser.post(path, fields).status_code == status
    assert console.browser().get(path).status_code == (200 if status == 303 else 410)


def test_a_link_ends_with_its_time_with_a_newer_one_and_with_the_person(console: Console) -> None:
    """A new link works for one who lost the password, whose old password works until the new one is chosen."""
    first = invited(console)
    console.clock.go(LINK_LASTS_MS / 1000 + 1)
    assert console.browser().get(first).status_code == 410
    admin = console.operator()

    def renewed() -> str:
        found = re.search(r"/invitation/[\w-]+", admin.post("/people/1/link").text)
        assert found
        return found[0]

    older, newer = renewed(), renewed()
    assert [console.browser().get(path).status_code for path in (older, newer)] == [410, 200]
    assert console.browser().post(newer, password=SECRET, again=SECRET).status_code == 302
    last = renewed()
    assert sign_in(console.browser()) == 302
    assert admin.post("/people/1/enable", on="0").status_code == 303
    assert console.browser().get(last).status_code == 410
    assert sign_in(console.browser()) == 401
    assert admin.post("/people/1/link").status_code == 422
    assert admin.post("/people/1/enable", on="1").status_code == 303
    assert sign_in(console.browser()) == 302


def test_a_wrong_password_an_unknown_e_mail_and_one_who_never_chose_are_answered_alike(console: Console) -> None:
    """Nobody learns whose e-mail is known; the tries count as those at the password of the settings."""
    joined(console)
    invited(console, "caio@example.com", "Caio")
    pages = [
        console.browser().post("/login", email=email, password=password)
        for email, password in ((EMAIL, "falsch"), ("nobody@example.com", SECRET), ("caio@example.com", ""))
    ]

    assert [page.status_code for page in pages] == [401] * 3
    assert len({re.sub(r'value="[^"]*"', "", page.text) for page in pages}) == 1
    assert [sign_in(console.browser(), "falsch") for _ in range(TRIES.amount - 2)] == [401] * (TRIES.amount - 3) + [429]


def test_the_passwords_of_the_settings_go_on_working(console: Console) -> None:
    """The form asks for an e-mail once people have accounts, and leads to the other form."""
    assert 'name="email"' not in console.browser().get("/login").text
    joined(console)
    page = console.browser().get("/login").text

    assert 'name="email"' in page
    assert "/login?password=1" in page
    assert 'name="email"' not in console.browser().get("/login?password=1").text
    assert console.browser().post("/login", password=PASSWORD).status_code == 302


ADMINISTRATORS = ("/people", "/people/1")


@pytest.mark.parametrize(
    ("role", "people", "change"), [("administrator", 200, 303), ("operator", 403, 303), ("viewer", 403, 403)]
)
def test_a_role_decides_what_a_person_may_do(console: Console, role: str, people: int, change: int) -> None:
    """Only administrators see who else may come in; a viewer changes nothing but the own account."""
    browser = joined(console, role=role)

    assert [browser.get(path).status_code for path in ADMINISTRATORS] == [people] * 2
    assert ('href="/people"' in browser.get("/").text) is (people == 200)
    assert browser.post("/people", name="x", email="x@example.com", role="viewer").status_code == people
    assert browser.post("/connections/destinations/default/pause").status_code == change
    assert browser.post("/me/name", name="Beatriz").status_code == 303
    assert "Beatriz" in browser.get("/me").text


def test_the_password_of_the_settings_is_an_administrators_and_the_viewers_is_not(console: Console) -> None:
    """It is the first way in, and the last. The other one's page says who can give more."""
    joined(console, role="administrator")
    viewer = console.browser()
    viewer.sign_in(VIEWER)
    closed, refused = viewer.get("/people"), viewer.post("/connections/destinations/default/pause")

    assert console.operator().get("/people").status_code == 200
    for answer, code in ((closed, ForAdministrators.code), (refused, ReadOnly.code)):
        assert (answer.status_code, code in answer.text) == (403, True)
        assert "Administrator of this bridge: Bia" in answer.text


def test_a_change_holds_from_the_next_page_on(console: Console) -> None:
    """Role, name and being shut out: a session that runs is not asked to sign in again, or is at once."""
    browser, admin = joined(console), console.operator()
    form = {"name": "Bia Lima", "which": "all"}
    assert admin.post("/people/1", form, role="viewer").status_code == 303
    assert browser.post("/connections/destinations/default/pause").status_code == 403
    assert "Bia Lima" in browser.get("/me").text
    assert admin.post("/people/1", form, role="administrator").status_code == 303
    assert browser.get("/people").status_code == 200
    assert admin.post("/people/1/enable", on="0").status_code == 303
    assert browser.get("/events").status_code == 302
    assert admin.post("/people/1/enable", on="1").status_code == 303
    assert browser.get("/events").status_code == 302
    assert sign_in(browser) == 302
    assert admin.post("/people/1/remove", confirmed="on").status_code == 303
    assert browser.get("/events").status_code == 302
    assert admin.get("/people/1").status_code == 404


def test_signing_out_everywhere_ends_all_other_sessions(console: Console) -> None:
    """One's own, an administrator's word for another, a new password; others' sessions go on."""
    first, other, admin = joined(console), joined(console, "caio@example.com"), console.operator()
    second = console.browser()
    assert sign_in(second) == 302
    assert second.post("/me/sign-out").status_code == 302
    assert [one.get("/events").status_code for one in (first, second, other, admin)] == [302, 200, 200, 200]
    assert sign_in(first) == 302
    fresh = {"current": SECRET, "password": SECRET + "!", "again": SECRET + "!"}
    assert first.post("/me/password", {**fresh, "current": "falsch"}).status_code == 422
    assert first.post("/me/password", fresh).status_code == 302
    assert [one.get("/events").status_code for one in (first, second, other)] == [200, 302, 200]
    assert sign_in(second, SECRET) == 401
    assert admin.post("/people/1/sign-out").status_code == 303
    assert [one.get("/events").status_code for one in (first, other)] == [302, 200]


def test_the_sessions_of_a_password_of_the_settings_end_together(console: Console) -> None:
    """Several people may have it; the other password's sessions and people go on."""
    one, another, viewer, person = console.operator(), console.operator(), console.browser(), joined(console)
    viewer.sign_in(VIEWER)
    assert one.post("/me/sign-out").status_code == 302

    assert [who.get("/events").status_code for who in (one, another, viewer, person)] == [200, 302, 200, 200]


def test_an_administrator_does_not_shut_the_own_door(console: Console) -> None:
    """There is always one left: who takes the role away is another one."""
    browser = joined(console, role="administrator")
    assert browser.post("/people/1", name="Bia", role="viewer", which="all").status_code == 422
    assert browser.post("/people/1/enable", on="0").status_code == 422
    assert browser.post("/people/1/remove", confirmed="on").status_code == 422
    assert browser.get("/people").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"email": "no address"},
        {"email": EMAIL.upper()},
        {"role": "boss"},
        {"which": "some"},
        {"which": "some", "account": "nowhere"},
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused(console: Console, fields: dict[str, str]) -> None:
    """The form keeps what was typed, and adds nobody."""
    invited(console)
    form = {"name": "Caio", "email": "caio@example.com", "role": "viewer", **fields}
    answer = console.operator().post("/people", form)

    assert answer.status_code == 422
    with console.journal.database.read() as connection:
        assert len(users.everybody(connection)) == 1


def test_an_administrator_sees_all_accounts_others_those_they_were_given(console: Console) -> None:
    """The accounts that were named do not hold an administrator in."""
    bia = joined(console, which="some", account="filial")
    joined(console, "caio@example.com", role="administrator", which="some", account="filial")
    with console.journal.database.read() as connection:
        found = [one.accounts for one in users.everybody(connection)]

    assert found == [frozenset({"filial"}), frozenset()]
    assert "Sees only these accounts" in bia.get("/me").text


def test_people_may_sign_in_without_a_password_of_the_settings(sqlite_url: str, tmp_path: Path) -> None:
    """The console is closed until there is anybody; the token goes on opening it."""
    token = "k" * 43
    closed = {"BRIDGE_PASSWORD": "", "BRIDGE_VIEWER_PASSWORD": "", "BRIDGE_CONSOLE_TOKEN": token}
    with opened_console(sqlite_url, tmp_path, **closed) as console:
        assert console.browser().get("/login").status_code == 403
        _, link = operations.invite(
            console.journal, BY, NOW_MS, name="Bia", email=EMAIL, role=UserRole.OPERATOR, accounts=()
        )
        browser = console.browser()
        assert browser.post(f"/invitation/{link}", password=SECRET, again=SECRET).status_code == 302
        assert sign_in(console.browser()) == 302
        assert console.browser().get("/events").status_code == 302
        assert console.browser().get("/events?token=falsch").status_code == 403
        assert console.browser().get(f"/?token={token}", follow=True).status_code == 200


@on_both
def test_of_two_who_use_a_link_at_once_one_chooses_the_password(database_url: str) -> None:
    """On both databases a link is used up by the statement that finds it."""
    with opened_journal(database_url) as journal:
        _, link = operations.invite(
            journal, BY, NOW_MS, name="Bia", email=EMAIL, role=UserRole.VIEWER, accounts=["filial"]
        )
        with pytest.raises(UsageError):
            operations.invite(journal, BY, NOW_MS, name="Bia", email=EMAIL, role=UserRole.VIEWER)
        with journal.database.write() as connection:
            first = users.use_link(connection, link, NOW_MS)
            assert users.use_link(connection, link, NOW_MS) is None
        with pytest.raises(LinkSpent):
            operations.accept(journal, link, SECRET, "", NOW_MS)
        assert first
        assert (first.state, first.accounts) == (UserState.INVITED, frozenset({"filial"}))


def test_the_journal_holds_nobody_in_clear(sqlite_url: str, tmp_path: Path) -> None:
    """With a key: neither name nor e-mail, password or link."""
    with opened_console(sqlite_url, tmp_path, BRIDGE_ENCRYPTION_KEY=new_key()) as console:
        path = invited(console, name="Beatriz Lima")
        console.browser().post(path, password=SECRET, again=SECRET)
    with opened_journal(sqlite_url) as journal, journal.database.read() as connection:
        row = connection.exec_driver_sql("SELECT * FROM users").mappings().one()

    text = " ".join(str(value) for value in row.values())
    assert not [word for word in ("Beatriz", EMAIL, "scrypt", path.rpartition("/")[2]) if word in text]
