"""The environment, read once: defaults, families, and every problem at once without a secret in it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.messages import in_language
from bridge.settings import SETTINGS, Account, Settings

SECRET = "s3cr3t-of-nobody-with-enough-characters"


def problems(**environ: str) -> tuple[str, ...]:
    """Return what is wrong with this environment."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ)
    return tuple(map(str, caught.value.problems))


def test_an_empty_environment_is_the_defaults() -> None:
    """Nothing needs to be set to read the settings; what a command needs it asks for by itself."""
    settings = Settings.from_env({})

    assert settings.database_url == "sqlite:///data/journal.sqlite3"
    assert (settings.bridge_host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.bridge_data_dir, settings.bridge_mappings_dir) == (Path("data"), Path("mappings"))
    assert settings.bridge_allow_private_destinations is False
    assert settings.clint_api_url == "https://api.clint.digital"
    assert (dict(settings.accounts), dict(settings.destinations)) == ({}, {})


def test_every_default_is_valid() -> None:
    """A default that its own rule refuses would break every start."""
    for setting, text in SETTINGS.items():
        setting.parse(setting.default)
        assert text, setting.name


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the process's own environment counts."""
    monkeypatch.setenv("PORT", "9999")

    assert Settings.from_env().port == 9999


def test_values_are_stripped_and_empty_ones_are_unset() -> None:
    """A line break at the end of a pasted secret is not part of it; an empty variable is as good as none."""
    settings = Settings.from_env(
        {"ASAAS_WEBHOOK_TOKEN": f" {SECRET}\n", "PORT": "", "CLINT_WEBHOOK_URL_ERP": "", "BRIDGE_HOST": " 0.0.0.0 "}
    )

    assert settings.accounts["default"].webhook_token == SECRET
    assert (settings.port, settings.bridge_host) == (8000, "0.0.0.0")  # noqa: S104 (a value that operators use)
    assert dict(settings.destinations) == {}


@pytest.mark.parametrize(
    ("given", "bound", "url"),
    [
        ("", "127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 (a value that operators use)
        ("::", "::", "http://127.0.0.1:8000"),
        ("[::]", "::", "http://127.0.0.1:8000"),
        ("::1", "::1", "http://[::1]:8000"),
        ("[::1]", "::1", "http://[::1]:8000"),
        ("bridge.local", "bridge.local", "http://bridge.local:8000"),
    ],
)
def test_an_address_to_bind_has_an_address_to_open(given: str, bound: str, url: str) -> None:
    """An address of IPv6 may stand in brackets, and stands in them in a URL."""
    settings = Settings.from_env({"BRIDGE_HOST": given})

    assert (settings.bridge_host, settings.local_url) == (bound, url)


def test_an_origin_makes_a_destination_of_another_kind() -> None:
    """Its text says that it is one; a webhook of another name stands beside it."""
    given = {"CLINT_ORIGIN": "Vendas", "CLINT_WEBHOOK_URL_ERP": "https://erp.example/b", "CLINT_API_TOKEN": "t"}
    settings = Settings.from_env(given)

    assert dict(settings.destinations) == {"default": "clint-origin:Vendas", "erp": "https://erp.example/b"}
    assert settings.clint_api_rate_limit == "2/second"
    assert settings.clint_deal_appears_s == 60


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"CLINT_ORIGIN_PAGAS": "Vendas"}, ["CLINT_ORIGIN_PAGAS", "CLINT_API_TOKEN"]),
        (
            {"CLINT_ORIGIN_PAGAS": "V", "CLINT_WEBHOOK_URL_PAGAS": "https://a.example/b", "CLINT_API_TOKEN": "t"},
            ["CLINT_WEBHOOK_URL_PAGAS", "CLINT_ORIGIN_PAGAS"],
        ),
        ({"CLINT_ORIGIN": "https://a.example/b", "CLINT_API_TOKEN": "t"}, ["CLINT_ORIGIN"]),
    ],
)
def test_an_origin_needs_the_token_and_a_name_of_its_own(given: dict[str, str], names: list[str]) -> None:
    """Each problem names the variables that it is about."""
    (problem,) = problems(**given)

    assert [name for name in names if name not in problem] == []


def test_a_suffix_makes_an_account_or_a_destination() -> None:
    """The name is the suffix in lower case; without one it is default."""
    settings = Settings.from_env(
        {
            "ASAAS_API_KEY": "$aact_hmlg_1",
            "ASAAS_API_KEY_MATRIZ": "$aact_prod_2",
            "ASAAS_WEBHOOK_TOKEN_MATRIZ": "2" * 32,
            "ASAAS_WEBHOOK_TOKEN_FILIAL_2": "3" * 32,
            "CLINT_WEBHOOK_URL": "https://clint.example/a/",
            "CLINT_WEBHOOK_URL_ERP": "https://erp.example/b",
        }
    )

    assert dict(settings.accounts) == {
        "default": Account("default", "$aact_hmlg_1", ""),
        "matriz": Account("matriz", "$aact_prod_2", "2" * 32),
        "filial_2": Account("filial_2", "", "3" * 32),
    }
    assert dict(settings.destinations) == {"default": "https://clint.example/a", "erp": "https://erp.example/b"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://u@db/x", "postgresql+psycopg://u@db/x"),  # what Heroku gives
        ("postgresql://u@db/x", "postgresql+psycopg://u@db/x"),
        ("postgresql+psycopg://u@db/x", "postgresql+psycopg://u@db/x"),
        ("sqlite:////srv/journal.db", "sqlite:////srv/journal.db"),
    ],
)
def test_a_database_url_names_the_driver(given: str, expected: str) -> None:
    """The short spellings of PostgreSQL are understood."""
    assert Settings.from_env({"DATABASE_URL": given}).database_url == expected


def test_the_journal_lies_in_the_data_directory() -> None:
    """Unless DATABASE_URL says otherwise."""
    assert Settings.from_env({"BRIDGE_DATA_DIR": "/srv/b"}).database_url == "sqlite:////srv/b/journal.sqlite3"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("PORT", "80a", "must be a whole number from 0 to 65535, got '80a'"),
        ("PORT", "65536", "must be a whole number from 0 to 65535, got '65536'"),
        ("PORT", "-1", "must be a whole number from 0 to 65535, got '-1'"),
        ("BRIDGE_WORKER_LANES", "0", "must be a whole number from 1 to 64, got '0'"),
        ("BRIDGE_RETRY_BASE", "5s", "must be a number of seconds from 0.01 to 3600, got '5s'"),
        (
            "CLINT_RATE_LIMIT_ERP",
            "10/fortnight",
            "must be a number for each second, minute, hour or day, such as 10/second, got '10/fortnight'",
        ),
        ("BRIDGE_RETENTION_DAYS", "29", "must be 0 (keep for ever) or a whole number from 30 to 3650, got '29'"),
        ("BRIDGE_RETENTION_DAYS", "a", "must be a whole number from 0 to 3650, got 'a'"),
        ("BRIDGE_RETRY_BASE", "nan", "must be a number of seconds from 0.01 to 3600, got 'nan'"),
        ("BRIDGE_RETRY_CAP", "1e3", "must be a number of seconds from 0.01 to 86400, got '1e3'"),
        ("BRIDGE_SEND_TIMEOUT", "0", "must be a number of seconds from 0.1 to 60, got '0'"),
        ("BRIDGE_ALLOW_PRIVATE_DESTINATIONS", "yes", "must be 1 (on) or 0 (off), got 'yes'"),
        ("BRIDGE_LOG_LEVEL", "INFO", "must be debug, info, warning or error, got 'INFO'"),
        ("ASAAS_API_URL", "api.asaas.com", "must be an https:// URL, got 'api.asaas.com'"),
        (
            "DATABASE_URL",
            f"mysql://u:{SECRET}@db/x",
            "must begin with sqlite:///, postgres:// or postgresql+psycopg://",
        ),
        ("REDIS_URL", f"http://:{SECRET}@r", "must begin with redis://, rediss:// or unix://"),
        ("CLINT_WEBHOOK_URL", f"ftp://x/{SECRET}", "must be an https:// URL"),
        ("CLINT_WEBHOOK_URL_ERP", SECRET, "must be an https:// URL"),
        ("BRIDGE_PUBLIC_URL", "https://[bridge.example", "must be an https:// URL, got 'https://[bridge.example'"),
        (
            "BRIDGE_PUBLIC_URL",
            "https://bridge.example:99999",
            "must be an https:// URL, got 'https://bridge.example:99999'",
        ),
        ("BRIDGE_PUBLIC_URL", "https://:443", "must be an https:// URL, got 'https://:443'"),
        ("ASAAS_API_URL", "https://api.asaas.com /v3", "must be an https:// URL, got 'https://api.asaas.com /v3'"),
        ("ASAAS_WEBHOOK_TOKEN", f"{SECRET} {SECRET}", "must be two different tokens"),
        ("ASAAS_API_KEY", f"{SECRET} {SECRET}", "must be letters, digits and signs of ASCII, without blanks"),
    ],
)
def test_a_wrong_value_is_refused_with_its_rule(name: str, value: str, rule: str) -> None:
    """The problem names the variable, the rule and the value; a secret's value is never shown."""
    (problem,) = problems(**{name: value})

    assert problem.startswith(f"{name} {rule}")
    assert SECRET not in problem
    if "got '" not in rule:
        assert problem.endswith("got a secret that is not shown")


LEAST = {
    "ASAAS_WEBHOOK_TOKEN": 32,
    "ASAAS_WEBHOOK_TOKEN_MATRIZ": 32,
    "BRIDGE_PASSWORD": 12,
    "BRIDGE_VIEWER_PASSWORD": 12,
    "BRIDGE_SECRET_KEY": 32,
    "BRIDGE_CONSOLE_TOKEN": 32,
}


@pytest.mark.parametrize("name", sorted(LEAST))
def test_a_secret_that_can_be_guessed_is_refused_where_money_is_real(name: str) -> None:
    """The problem says what to do; the sandbox and simulators take any, for nothing is to be had there."""
    least, text = LEAST[name], "s" * 40
    production = {"ASAAS_API_KEY": "$aact_prod_1", "ASAAS_API_KEY_MATRIZ": "$aact_prod_2"}
    sandbox = {"ASAAS_API_KEY": "$aact_hmlg_1", "ASAAS_API_KEY_MATRIZ": "$aact_hmlg_2"}

    for environ in (production, {}, {**sandbox, "ASAAS_API_KEY": "$aact_prod_1", "ASAAS_API_KEY_MATRIZ": "older"}):
        (problem,) = problems(**environ, **{name: text[: least - 1]})
        assert problem.startswith(f"{name} must have at least {least} characters, got {least - 1}; ")
        Settings.from_env({**environ, name: text[:least]})
    Settings.from_env({**sandbox, name: "s"})
    Settings.from_env({**production, name: "s", "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1"})


def test_a_short_token_is_let_in_as_the_old_one_until_asaas_has_the_new_one() -> None:
    """Else an account that has a short one could not change it without a gap."""
    settings = Settings.from_env({"ASAAS_WEBHOOK_TOKEN": f"{'n' * 32} the-old1"})

    assert settings.accounts["default"].old_webhook_token == "the-old1"


def test_an_old_token_of_one_letter_opens_no_door_where_money_is_real() -> None:
    """The old token of two is let in like the new one; a sandbox account beside a production one takes any."""
    production = {"ASAAS_API_KEY": "$aact_prod_1", "ASAAS_API_KEY_TESTE": "$aact_hmlg_1"}

    for old in ("b", "b" * 7):
        (problem,) = problems(**production, ASAAS_WEBHOOK_TOKEN=f"{'n' * 34} {old}")
        assert problem.startswith(f"ASAAS_WEBHOOK_TOKEN's old token must have at least 8 characters, got {len(old)}; ")
    Settings.from_env({**production, "ASAAS_WEBHOOK_TOKEN_TESTE": f"{'n' * 34} b"})


def test_a_token_too_short_to_be_the_old_one_is_told_another_way() -> None:
    """Who is told to put the new token before a short one must not be refused again."""
    (short,) = problems(ASAAS_WEBHOOK_TOKEN="s" * 7)
    (longer,) = problems(ASAAS_WEBHOOK_TOKEN="s" * 8)

    assert ("--rotate" in short, "--rotate" in longer) == (False, True)


def test_a_problem_is_said_in_the_language_of_the_reader() -> None:
    """The rule inside the sentence too."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"PORT": "x"})

    with in_language("pt"):
        assert "PORT precisa ser um número inteiro de 0 a 65535" in caught.value.text()


def test_every_problem_is_said_at_once() -> None:
    """Nobody has to start the bridge five times to learn of five mistakes."""
    found = problems(PORT="x", BRIDGE_LEASE="x", CLINT_WEBHOOK_URL_ERP="x", BRIDGE_LOG_LEVEL="x")

    assert [problem.split()[0] for problem in found] == [
        "CLINT_WEBHOOK_URL_ERP",
        "PORT",
        "BRIDGE_LOG_LEVEL",
        "BRIDGE_LEASE",
    ]


def test_a_lease_must_outlast_a_send() -> None:
    """Else a second worker could send while the first still waits for an answer."""
    (problem,) = problems(BRIDGE_LEASE="11.5", BRIDGE_SEND_TIMEOUT="10")
    assert problem.startswith("BRIDGE_LEASE must be at least BRIDGE_SEND_TIMEOUT + 2, got 11.5")

    assert Settings.from_env({"BRIDGE_LEASE": "12", "BRIDGE_SEND_TIMEOUT": "10"}).bridge_lease == 12


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("BRIDGE_MAPPING_DIR", "BRIDGE_MAPPINGS_DIR"),
        ("BRIDGE_PASWORD", "BRIDGE_PASSWORD"),
        ("CLINT_API_TOKE", "CLINT_API_TOKEN"),
    ],
)
def test_a_misspelt_variable_is_refused(name: str, close: str) -> None:
    """A variable that nearly is one of ours would otherwise be ignored in silence."""
    assert problems(**{name: "x"}) == (f"{name} is not a setting of the bridge; did you mean {close}?",)


@pytest.mark.parametrize("name", ["BRIDGE_PASSWORD", "BRIDGE_VIEWER_PASSWORD"])
def test_a_hash_that_a_shell_cut_is_refused(name: str) -> None:
    """Without quotes its salt is a variable of the shell's, and nobody could sign in."""
    (problem,) = problems(**{name: "scrypt:32768:8:1"})

    assert problem.startswith(f"{name} must be the whole hash in single quotes")
    assert Settings.from_env({name: "scrypt:32768:8:1$salt$hash"}).values[name] == "scrypt:32768:8:1$salt$hash"


KUBERNETES = (Path(__file__).parents[1] / "data" / "cases" / "kubernetes_service_links.env").read_text()


@pytest.mark.parametrize("service", ["BRIDGE", "BRIDGE_WEB", "ASAAS_CLINT_BRIDGE", "CLINT_WEBHOOK_URL"])
def test_service_links_of_kubernetes_are_no_settings(service: str) -> None:
    """They are in every container of a namespace that has such a Service, for each of its ports."""
    lines = [*KUBERNETES.splitlines()[1:], "BRIDGE_SERVICE_PORT_HTTP=8000", "BRIDGE_PORT_53_UDP=udp://[fd00::a]:53"]
    links = dict(line.replace("BRIDGE", service, 1).split("=") for line in lines)

    assert len(links) == 9
    assert Settings.from_env(links) == Settings.from_env({})


@pytest.mark.parametrize(
    ("name", "text"), [("BRIDGE_PORT", "8000"), ("BRIDGE_SERVICE_HOST", "localhost"), ("BRIDGE_PASSWORD_", "tcp://x")]
)
def test_a_misspelt_variable_is_no_service_link(name: str, text: str) -> None:
    """A name alone, and an address alone, is still a typing error."""
    assert "is not a setting of the bridge; did you mean" in problems(**{name: text})[0]


@pytest.mark.parametrize("name", ["BRIDGE_WEB_PROCESSES", "BRIDGE_WEB_ONE_CPU", "BRIDGE_WORKER_ONE_CPU"])
def test_a_setting_of_the_release_before_is_taken_and_named(name: str) -> None:
    """It has no effect, whatever its value, and stops nothing."""
    assert Settings.from_env({name: "x"}).without_effect == (name,)


def test_other_variables_are_nobodys_business() -> None:
    """What is not ours, and what looks like nothing of ours, is left alone."""
    others = ("PATH", "BRIDGE_TEST_MAPPINGS_DIR", "ASAAS_SOMETHING_ELSE_ENTIRELY", "PORTA", "BRIDGE_TIMEZONE")

    Settings.from_env(dict.fromkeys(others, "x"))


def test_a_name_in_a_suffix_has_rules() -> None:
    """An account's name stands in a URL and in journals."""
    (problem,) = problems(**{"ASAAS_API_KEY_MATRIZ-SÃO": "$aact_prod_1"})

    assert problem == "ASAAS_API_KEY_MATRIZ-SÃO must end in a name of letters, digits and _, got 'matriz-são'"


def test_what_a_command_needs_is_named_with_where_to_get_it() -> None:
    """All that is missing at once, each with the place its value comes from."""
    settings = Settings.from_env({})
    with pytest.raises(SettingsError) as caught:
        settings.require("CLINT_WEBHOOK_URL", "ASAAS_WEBHOOK_TOKEN", "ASAAS_API_KEY", "REDIS_URL")

    assert [problem.facts["name"] for problem in caught.value.problems] == [
        "CLINT_WEBHOOK_URL",
        "ASAAS_WEBHOOK_TOKEN",
        "ASAAS_API_KEY",
        "REDIS_URL",
    ]
    assert "Receber Webhook" in str(caught.value.problems[0])


def test_any_member_of_a_family_is_enough() -> None:
    """A bridge whose only destination has a name needs no unnamed one."""
    Settings.from_env(
        {
            "CLINT_WEBHOOK_URL_ERP": "https://erp.example/b",
            "ASAAS_WEBHOOK_TOKEN_MATRIZ": "t" * 32,
            "ASAAS_API_KEY_MATRIZ": "$aact_prod_1",
            "REDIS_URL": "redis://r",
        }
    ).require("CLINT_WEBHOOK_URL", "ASAAS_WEBHOOK_TOKEN", "ASAAS_API_KEY", "REDIS_URL")


def test_settings_do_not_show_secrets() -> None:
    """Whoever prints them, in a log or a traceback, prints no key, token or webhook URL."""
    settings = Settings.from_env(
        {
            "ASAAS_API_KEY": SECRET,
            "ASAAS_WEBHOOK_TOKEN": SECRET,
            "CLINT_WEBHOOK_URL": f"https://clint.example/{SECRET}",
            "CLINT_API_TOKEN": SECRET,
            "DATABASE_URL": f"postgres://u:{SECRET}@db/x",
            "REDIS_URL": f"redis://:{SECRET}@r",
            "BRIDGE_PASSWORD": SECRET,
            "BRIDGE_SECRET_KEY": SECRET,
        }
    )

    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.accounts)


def test_a_setting_that_does_not_exist_is_an_attribute_error() -> None:
    """A misspelt name in our own code fails like any other attribute."""
    settings = Settings.from_env({})
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = settings.no_such_thing

    assert copy.copy(settings).port == 8000


def test_rate_limits_are_of_a_destination_or_of_all() -> None:
    """Those of destinations by name, whether the environment has their URL or not, and the one of all."""
    limits = {"CLINT_RATE_LIMIT": "5/hour", "CLINT_RATE_LIMIT_ERP": "300 / minute", "BRIDGE_RATE_LIMIT": "10/second"}
    settings = Settings.from_env(limits)

    assert settings.rate_limits == {"default": "5/hour", "erp": "300/minute"}
    assert settings.bridge_rate_limit == "10/second"
    assert Settings.from_env({}).rate_limits == {}
