"""The verdicts of `bridge doctor`, each from plain values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.asaas.webhooks import problems
from bridge.mapping import Mapping, Setup, parse_mapping, read_directory
from bridge.operations import doctor
from bridge.operations.doctor import State
from bridge.settings import Account, Settings

TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"
CLINT = "https://functions-api.clint.digital/endpoints/integration/webhook/5b0c1b6e-1111-4222-8333-444455556666"
SANDBOX = "https://api-sandbox.asaas.com/v3"


def mapping(more: str = "") -> Mapping:
    """Return a mapping that needs the customer."""
    read = parse_mapping(
        f"events: [PAYMENT_RECEIVED]\ncontact: {{email: customer.email}}\n{more}", "paga", Setup(None, None)
    )
    assert read.mapping is not None
    return read.mapping


@pytest.mark.parametrize(
    ("key", "url", "state", "words"),
    [
        ("$aact_hmlg_x", "", State.FINE, "sandbox key"),
        ("$aact_prod_x", "", State.FINE, "production key"),
        ("$aact_hmlg_x", SANDBOX, State.FINE, "API at api-sandbox.asaas.com"),
        ("$aact_hmlg_x", "http://127.0.0.1:1/v3", State.FINE, "API at 127.0.0.1"),
        ("$aact_prod_x", SANDBOX, State.WRONG, "production key, but ASAAS_API_URL is sandbox's"),
        ("$aact_hmlg_x", "https://api.asaas.com/v3", State.WRONG, "sandbox key, but ASAAS_API_URL is production's"),
        ("::-aaaa-bbbb", "", State.WRONG, "does not begin with"),
        ("::-aaaa-bbbb", SANDBOX, State.WRONG, "does not begin with"),
        ("$aact_YTU5", "", State.WRONG, "does not say whether"),
        ("$aact_YTU5", SANDBOX, State.FINE, "an older key"),
        ("", "", State.WRONG, "paga"),
    ],
)
def test_a_key_must_fit_the_api(key: str, url: str, state: State, words: str) -> None:
    """The prefix says where a key belongs; the key itself is never shown."""
    check = doctor.key(Account("matriz", api_key=key), url, [mapping("account: matriz")])

    assert (str(check.name), check.state) == ("API key of matriz", state)
    assert words in str(check.value)
    assert state is not State.FINE or "(ASAAS_API_KEY_MATRIZ)" in str(check.value)
    assert not key or key not in str(check.value)
    assert bool(check.mend) is (state is not State.FINE)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "all_proxy", "NO_PROXY"])
def test_a_proxy_of_the_environment_is_said_to_be_ignored(name: str) -> None:
    """Nothing would come through where the machine has no other way out."""
    found = list(doctor.proxies({name: "http://user:secret@proxy.example:3128"}))

    assert [check.code for check in found] == ([] if name == "NO_PROXY" else ["proxy.ignored"])
    assert all("secret" not in f"{check.value} {check.mend}" for check in found)


@pytest.mark.parametrize(
    ("version", "code"),
    [("Redis 6.2.14", "redis.old"), ("Redis 5.0.3", "redis.old"), ("Redis 7.2.4", ""), ("Valkey 8.0.1", "")],
)
def test_an_old_redis_is_noted(version: str, code: str) -> None:
    """It works, so that it is no warning."""
    check = doctor.redis(version)

    assert (str(check.value), check.state, check.code, bool(check.mend)) == (version, State.FINE, code, bool(code))


def test_a_key_that_no_mapping_needs_may_be_missing() -> None:
    """Then only the set-up and the watch are lost."""
    assert doctor.key(Account("default"), "", [mapping("enabled: false")]).state is State.WARNING


@pytest.mark.parametrize(("token", "state"), [("", State.WRONG), ("short", State.WARNING), (TOKEN, State.FINE)])
def test_a_token_must_be_there_and_should_meet_the_rules(token: str, state: State) -> None:
    """An account may have an older, shorter one, so that is a warning."""
    check = doctor.token(Account("default", webhook_token=token))

    assert check.state is state
    assert not token or token not in str(check.value)


@pytest.mark.parametrize(
    ("url", "state"),
    [
        (CLINT, State.FINE),
        ("https://clint.example/a", State.WARNING),
        ("http://functions-api.clint.digital/x", State.WRONG),
        ("", State.WRONG),
    ],
)
def test_a_destination_should_look_like_clints(url: str, state: State) -> None:
    """A URL of another form may work; plain http and none at all do not."""
    (check,) = doctor.destinations(Settings.from_env({"CLINT_WEBHOOK_URL": url}), [mapping()])

    assert (str(check.name), check.state) == ("destination default", state)
    assert not url or "(CLINT_WEBHOOK_URL)" in str(check.value)
    assert not url or url not in f"{check.value} {check.mend}"


@pytest.mark.parametrize(("has_token", "state"), [(True, State.FINE), (False, State.WRONG)])
def test_an_origin_is_no_bad_url(has_token: bool, state: State) -> None:
    """It is shown by its name; without the token nothing can be sent there."""
    settings = Settings.from_env({"CLINT_ORIGIN": "Vendas", "CLINT_API_TOKEN": "t"})
    (check,) = doctor.destinations(settings, [mapping()], has_token=has_token)

    assert (check.name.facts["destination"], check.state) == ("default", state)
    assert ("Vendas" in str(check.value)) == has_token


def test_a_destination_that_a_mapping_names_must_be_set() -> None:
    """One that only a disabled mapping names need not be."""
    settings = Settings.from_env({"CLINT_WEBHOOK_URL": CLINT})
    found = doctor.destinations(settings, [mapping("send_to: vencidas"), mapping("enabled: false\nsend_to: x")])

    assert [(str(check.name), check.state.value) for check in found] == [
        ("destination default", "fine"),
        ("destination vencidas", "wrong"),
    ]


def test_mappings_must_be_sound_and_one_enabled(tmp_path: Path) -> None:
    """An error in a file is wrong even where an older revision still runs."""
    bad = parse_mapping("events: [NOPE]\n", "x", Setup(None, None))

    assert doctor.mapping_files([], [mapping()]).state is State.FINE
    assert doctor.mapping_files([], [mapping("enabled: false")]).state is State.WRONG
    assert doctor.mapping_files([bad], [mapping()]).code == "files"
    missing = read_directory(tmp_path / "nope", Setup(None, None))
    assert doctor.mapping_files(missing, []).code == "no_directory"


@pytest.mark.parametrize(
    ("answered_at", "state", "words"),
    [
        ("Sun, 22 Nov 2026 12:00:00 GMT", State.FINE, "0 s behind"),
        ("Sun, 22 Nov 2026 11:59:00 GMT", State.WARNING, "60 s ahead"),
        ("Sun, 22 Nov 2026 13:00:00 GMT", State.WRONG, "3600 s behind"),
        ("", State.FINE, "no date"),
        ("yesterday", State.FINE, "no date"),
    ],
)
def test_the_clock_is_held_against_asaas(answered_at: str, state: State, words: str) -> None:
    """Half a minute is a warning, five minutes are wrong."""
    check = doctor.clock(answered_at, 1795348800.0)

    assert check.state is state
    assert words in str(check.value)


@pytest.mark.parametrize(("used", "state"), [(0, State.FINE), (20_000, State.WARNING), (24_500, State.WRONG)])
def test_the_quota_is_watched(used: int, state: State) -> None:
    """From four fifths on."""
    check = doctor.quota("default", used, 25_000)

    assert check.state is state
    assert f"{used / 25_000:.0%}" in str(check.value)


@pytest.mark.parametrize(
    ("free", "state"), [(10 * 1024**3, State.FINE), (1024**3 - 1, State.WARNING), (1024, State.WRONG)]
)
def test_the_disk_must_have_room(free: int, state: State) -> None:
    """A full disk keeps no event."""
    assert doctor.disk("data", free).state is state


def test_a_webhook_without_problems_is_shown_by_its_address() -> None:
    """Each problem is a line of its own, with its own verdict."""
    found = doctor.webhook("default", [], problems([], {"PAYMENT_RECEIVED"}, "default"))

    assert str(doctor.webhook("default", ["https://b.example"], [])[0].value) == "https://b.example"
    assert [(check.state, "register" in str(check.mend)) for check in found] == [(State.WRONG, True)]


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (400, State.FINE, "knows the token"),
        (None, State.WRONG, "nobody answers"),
        (401, State.WRONG, "another token"),
        (404, State.WRONG, "does not know the account"),
        (200, State.WRONG, "is not the bridge, got 200"),
        (502, State.WRONG, "is not the bridge, got 502"),
    ],
)
def test_the_door_must_know_the_token(status: int | None, state: State, words: str) -> None:
    """400 to a body that is no event is the one right answer."""
    check = doctor.door_check("door", status)

    assert check.state is state
    assert words in str(check.value)


def test_what_the_console_stored_has_no_variable() -> None:
    """Its checks name the account and the destination, and lead to their page."""
    cut = doctor.key(Account("filial", api_key="hmlg_x"), "", [], stored=True)
    weak = doctor.token(Account("filial", webhook_token="x" * 40), stored=True)
    settings = Settings.from_env({"CLINT_WEBHOOK_URL": "https://other.example/hook"})
    (url,) = doctor.destinations(settings, [mapping()], stored={"default"})

    assert (str(cut.name), cut.code, cut.about) == ("API key of filial", "key.cut", "filial")
    assert (str(weak.name), weak.about) == ("webhook token of filial", "filial")
    assert (str(url.name), url.code, url.about) == ("destination default", "url", "default")
    assert "_API_KEY" not in f"{cut.value} {cut.mend}"


def test_mappings_that_send_the_same_are_a_warning_that_leads_to_both() -> None:
    """Each pair once; a filter that may divide them is no reason to warn."""
    one, other = (replace(mapping(), name=name, path=f"{name}.yaml") for name in ("uma", "outra"))
    (found,) = doctor.overlapping([one, other], Setup(None, None))

    assert (found.code, found.state, found.about.split()) == ("mapping.overlap", State.WARNING, ["outra", "uma"])
    assert list(doctor.overlapping([one, replace(other, enabled=False)], Setup(None, None))) == []


def test_a_console_with_people_needs_no_password_of_the_settings() -> None:
    """They sign in with their own."""
    assert doctor.console(Settings.from_env({})).code == "console.password"
    assert doctor.console(Settings.from_env({}), has_people=True).state is State.FINE
