"""`bridge webhook` against the simulated Asaas over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.asaas.webhooks import problem
from bridge.journal import audit, notices
from bridge.mapping.catalogue import EVENTS
from bridge.model import NoticeLevel
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from bridge.web.app import create_app
from tests import asking
from tests.commands import Commands
from tests.factories import NOW_MS, envelope, noticed, revision, until
from tests.peers import closed_port
from tests.simulated import AsaasSimulator
from tests.simulator.conftest import QUICK

CASE = Path(__file__).parents[1] / "data" / "cases" / "webhook_with_slash.json"
TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"
MAPPING = "events: [PAYMENT_RECEIVED, CHECKOUT_*]\ncontact: {email: customer.email}\n"
PUBLIC = "https://bridge.example"
HOOK = f"{PUBLIC}/webhooks/asaas"
EVENTS_OF_MAPPING = ["CHECKOUT_CANCELED", "CHECKOUT_CREATED", "CHECKOUT_EXPIRED", "CHECKOUT_PAID", "PAYMENT_RECEIVED"]


@pytest.fixture
def asaas() -> Iterator[AsaasSimulator]:
    """Give a simulated Asaas whose penalties are short."""
    simulator = AsaasSimulator(webhook_time_scale=QUICK)
    yield simulator
    simulator.close()


@pytest.fixture
def commands(tmp_path: Path, asaas: AsaasSimulator) -> Iterator[Commands]:
    """Give a place to run commands in, with a key for the simulated Asaas and one mapping."""
    place = Commands(tmp_path)
    place.has_mapping("paga", MAPPING)
    with Served(asaas.app) as served:
        place.environ |= {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_WEBHOOK_TOKEN": TOKEN,
            "ASAAS_API_URL": f"{served.url}/v3",
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
        }
        yield place


def hooks(asaas: AsaasSimulator) -> list[dict[str, Any]]:
    """Return the account's webhooks as Asaas lists them."""
    listed: list[dict[str, Any]] = asaas.webhooks.listed({})["data"]
    return listed


def tokens(asaas: AsaasSimulator) -> list[str | None]:
    """Return the tokens that Asaas sends."""
    return [queue.token for queue in asaas.book.queues.values()]


def test_register_closes_the_notice_that_there_is_no_webhook(commands: Commands) -> None:
    """Nobody waits five minutes for the watch, and `doctor` does not go on about what was mended."""
    with commands.journal() as journal, journal.database.write() as connection:
        gone = noticed("webhook.missing", "default", NoticeLevel.ERROR, "no webhook at Asaas", "register one")
        notices.apply(connection, [gone], NOW_MS)
    before = commands.run("notices", "list", "--json").json
    for _again in range(2):
        commands.run("webhook", "register", "--url", PUBLIC, "--email", "ana@example.com")

    assert [one["code"] for one in before] == ["webhook.missing"]
    assert commands.run("notices", "list", "--json").json == []
    commands.run("webhook", "resume")
    commands.run("webhook", "remove", "--yes")
    with commands.journal() as journal, journal.database.read() as connection:
        noted = [(one["action"], one["about"]) for one in audit.newest(connection, 9)]
    assert noted == [("webhook.removed", "default"), ("webhook.registered", "default")], "what changed nothing is none"


@pytest.mark.parametrize("command", ["register", "resume", "status", "remove"])
def test_before_the_first_start_no_journal_is_made(commands: Commands, asaas: AsaasSimulator, command: str) -> None:
    """Beside an empty one, `bridge up` would make no encryption key, and keep all in the clear."""
    commands.run("webhook", "register", "--url", PUBLIC, "--email", "ana@example.com")
    more = ["--yes"] if command == "remove" else []
    commands.run("webhook", command, "--url", PUBLIC, *more)

    assert list(commands.directory.rglob("*.sqlite3*")) == []


def test_register_makes_what_the_mappings_need(commands: Commands, asaas: AsaasSimulator) -> None:
    """Exactly the named events, the token of the environment, in order, and the e-mail where one is given."""
    said = commands.run("webhook", "register", "--url", PUBLIC, "--email", "ana@example.com")

    (hook,) = hooks(asaas)
    assert (said.status, said.err) == (0, "")
    assert hook["url"] == HOOK
    assert hook["events"] == EVENTS_OF_MAPPING
    assert (hook["sendType"], hook["email"], hook["enabled"]) == ("SEQUENTIALLY", "ana@example.com", True)
    assert tokens(asaas) == [TOKEN]
    assert TOKEN not in said.out
    assert "5 events" in said.out


def test_register_twice_changes_nothing(commands: Commands, asaas: AsaasSimulator) -> None:
    """The webhook is found by its address."""
    commands.run("webhook", "register", "--url", PUBLIC)
    before = hooks(asaas)
    said = commands.run("webhook", "register", BRIDGE_PUBLIC_URL=PUBLIC)
    again = commands.run("webhook", "register", "--json")

    assert "is as it should be; nothing was changed" in said.out
    assert again.json["changed"] == []
    assert "token" not in again.json
    assert hooks(asaas) == before


def test_register_makes_a_token_and_shows_it_once(commands: Commands, asaas: AsaasSimulator) -> None:
    """Without a token in the environment one is made; the next run keeps it and says that it is not set here."""
    said = commands.run("webhook", "register", "--url", PUBLIC, ASAAS_WEBHOOK_TOKEN="")
    (token,) = tokens(asaas)
    again = commands.run("webhook", "register", "--url", PUBLIC, ASAAS_WEBHOOK_TOKEN="")

    assert token is not None
    assert problem(token) is None
    assert f"\nASAAS_WEBHOOK_TOKEN='{token}'\n" in said.out
    assert tokens(asaas) == [token]
    assert token not in again.out
    assert "ASAAS_WEBHOOK_TOKEN is not set here, so the webhook keeps its token" in again.out


def test_register_makes_a_new_token_when_told(commands: Commands, asaas: AsaasSimulator) -> None:
    """`--new-token` replaces the token, and as JSON it comes with the name of its variable."""
    commands.run("webhook", "register", "--url", PUBLIC)
    made = commands.run("webhook", "register", "--new-token", "--json").json

    assert made["token_variable"] == "ASAAS_WEBHOOK_TOKEN"
    assert tokens(asaas) == [made["token"]] != [TOKEN]
    assert made["changed"] == ["a new token"]


def test_a_token_is_changed_without_a_gap(commands: Commands, asaas: AsaasSimulator, redis_url: str) -> None:
    """A new one is made and shown; Asaas gets it once the bridge's own door knows it, and the old one is then idle."""
    with commands.journal() as journal:
        revision(journal, text=MAPPING)
    commands.environ["REDIS_URL"] = redis_url
    first = Runtime(Settings.from_env(commands.environ))
    site = create_app(first)
    with Served(site) as before:
        commands.run("webhook", "register", "--url", before.url)
        made = commands.run("webhook", "register", "--rotate", "--json").json
        new = made["token"]
        both = {"ASAAS_WEBHOOK_TOKEN": f"{new} {TOKEN}", "BRIDGE_PUBLIC_URL": before.url}
        too_early = commands.run("webhook", "register", "--rotate", **both)
        assert made["token_variable"] == "ASAAS_WEBHOOK_TOKEN"
        assert problem(new) is None
        assert too_early.status == 1
        assert "the new token must open the door before Asaas gets it, got 401" in too_early.err
        assert tokens(asaas) == [TOKEN]

        site.extensions["bridge"] = runtime = Runtime(Settings.from_env({**commands.environ, **both}))
        unused = commands.run("webhook", "status", **both)
        done = commands.run("webhook", "register", "--rotate", **both)
        posted = asking.post(
            f"{before.url}/webhooks/asaas", json=envelope(), headers={"asaas-access-token": str(tokens(asaas)[0])}
        )
        used = commands.run("webhook", "status", "--json", **both)
        doctor = commands.run("doctor", "--json", **both)
        runtime.close()
        first.close()

    assert "two are valid; no event has come with either yet" in unused.out
    assert (done.status, tokens(asaas), posted.status_code) == (0, [new], 200)
    assert used.json[0]["rotation"]["mend"].startswith("Asaas has the new one: take the old one out")
    assert "the old one came never, the new one 0 min ago" in doctor.out
    assert not [said for said in (too_early, unused, done, used, doctor) if new in said.out or TOKEN in said.out]


def test_a_rotation_says_what_to_do(commands: Commands, asaas: AsaasSimulator) -> None:
    """The new token is shown once with the steps; where there is none to replace, that is said."""
    said = commands.run("webhook", "register", "--rotate")
    none = commands.run("webhook", "register", "--rotate", ASAAS_WEBHOOK_TOKEN="")
    nobody = commands.run("webhook", "status", ASAAS_WEBHOOK_TOKEN=f"{TOKEN}x {TOKEN}")

    assert "ASAAS_WEBHOOK_TOKEN='NEW OLD'" in said.out
    assert TOKEN not in said.out
    assert hooks(asaas) == []
    assert none.status == 2
    assert "so there is no token to replace" in none.err
    assert "two are valid" in nobody.out or nobody.status == 1


def test_register_refuses_a_token_that_asaas_would_refuse(commands: Commands, asaas: AsaasSimulator) -> None:
    """The rule is said, the token is not, and Asaas is not asked."""
    said = commands.run("webhook", "register", "--url", PUBLIC, ASAAS_WEBHOOK_TOKEN="abc12345")

    assert said.status == 2
    assert "must have 32 to 255 characters, got 8" in said.err
    assert "abc12345" not in said.err
    assert hooks(asaas) == []


def test_register_follows_the_mappings(commands: Commands, asaas: AsaasSimulator) -> None:
    """Events that no mapping needs any more are left out, new ones come in, and both are said."""
    commands.run("webhook", "register", "--url", PUBLIC)
    commands.has_mapping("paga", "events: [PAYMENT_RECEIVED, PAYMENT_OVERDUE]\ncontact: {email: customer.email}\n")
    said = commands.run("webhook", "register", "--send-type", "non_sequentially")

    (hook,) = hooks(asaas)
    assert hook["events"] == ["PAYMENT_OVERDUE", "PAYMENT_RECEIVED"]
    assert hook["sendType"] == "NON_SEQUENTIALLY"
    assert "subscribed to PAYMENT_OVERDUE; no longer subscribed to CHECKOUT_CANCELED" in said.out
    assert "sends NON_SEQUENTIALLY, before SEQUENTIALLY" in said.out


def test_register_follows_the_journal_where_there_is_one(commands: Commands, asaas: AsaasSimulator) -> None:
    """What is active counts, not what lies in the directory."""
    with commands.journal() as journal:
        revision(journal, text="events: [PAYMENT_DELETED]\ncontact: {email: customer.email}\n")
        said = commands.run("webhook", "register", "--url", PUBLIC)

    assert hooks(asaas)[0]["events"] == ["PAYMENT_DELETED"]
    assert "1 event by the active mappings" in said.out


def test_register_can_have_every_event(commands: Commands, asaas: AsaasSimulator) -> None:
    """`--all` needs no mapping, and `--account-events` adds those about the account and its keys."""
    commands.run("webhook", "register", "--url", PUBLIC, "--account-events")
    some = set(hooks(asaas)[0]["events"])
    commands.run("webhook", "register", "--all")

    assert set(hooks(asaas)[0]["events"]) == set(EVENTS)
    assert {"PAYMENT_RECEIVED", "ACCESS_TOKEN_EXPIRED", "ACCOUNT_STATUS_COMMERCIAL_INFO_EXPIRING_SOON"} < some
    assert len(some) == len(EVENTS_OF_MAPPING) + 24


def test_register_subscribes_to_a_new_event(commands: Commands, asaas: AsaasSimulator) -> None:
    """Also with --all; where Asaas does not have it, the name is said, with a webhook and without one."""
    commands.has_mapping("nova", "events: [LOYALTY_2_EARNED]\ncontact: {email: customer.email}\n")
    refused = [commands.run("webhook", "register", "--url", PUBLIC)]
    asaas.webhooks.events.add("LOYALTY_2_EARNED")
    taken = [commands.run("webhook", "register", "--url", PUBLIC, *more) for more in ((), ("--all",))]
    subscribed = set(hooks(asaas)[0]["events"])
    asaas.webhooks.events.remove("LOYALTY_2_EARNED")
    refused.append(commands.run("webhook", "register", "--yes"))

    assert [said.status for said in (*refused, *taken)] == [1, 1, 0, 0]
    assert all("Asaas may not have LOYALTY_2_EARNED" in said.err for said in refused)
    assert subscribed == {*EVENTS, "LOYALTY_2_EARNED"}


@pytest.mark.parametrize("is_there", [False, True])
def test_one_mistyped_event_does_not_keep_the_others_away(
    commands: Commands, asaas: AsaasSimulator, is_there: bool
) -> None:
    """The webhook subscribes to what Asaas takes, also to a new event; the name that it refuses is said, with 1."""
    if is_there:
        commands.run("webhook", "register", "--url", PUBLIC)
    asaas.webhooks.events.add("LOYALTY_2_EARNED")
    names = "PAYMENT_FOO_BAR, PAYMENT_ANTICIPATED, LOYALTY_2_EARNED"
    commands.has_mapping("nova", f"events: [{names}]\ncontact: {{email: customer.email}}\n")
    said = commands.run("webhook", "register", "--url", PUBLIC, "--json")

    assert said.status == 1
    assert said.json["refused"] == ["PAYMENT_FOO_BAR"]
    assert "PAYMENT_FOO_BAR" in said.err
    assert set(hooks(asaas)[0]["events"]) == {*EVENTS_OF_MAPPING, "PAYMENT_ANTICIPATED", "LOYALTY_2_EARNED"}


def test_register_asks_on_a_terminal_before_events_are_lost(commands: Commands, asaas: AsaasSimulator) -> None:
    """A no leaves the webhook as it is; --yes does not ask."""
    commands.run("webhook", "register", "--url", PUBLIC, "--all")
    said = commands.on_terminal("webhook", "register", types="n\n")

    assert said.status == 1
    assert "the webhook loses 107 events" in said.err + said.out
    assert len(hooks(asaas)[0]["events"]) == len(EVENTS)
    assert commands.run("webhook", "register", "--yes").status == 0
    assert hooks(asaas)[0]["events"] == EVENTS_OF_MAPPING


def test_register_switches_on_again_and_says_what_holds_it_back(commands: Commands, asaas: AsaasSimulator) -> None:
    """A webhook that was switched off sends again; an interruption is for `resume`; the e-mail is for the screen."""
    hook = asaas.posts_to(HOOK, TOKEN, ["PAYMENT_RECEIVED"], enabled=False, interrupted=True)
    asaas.posts_to("https://old.example/webhooks/asaas", TOKEN)
    said = commands.run("webhook", "register", "--url", PUBLIC, "--email", "new@example.com")

    now = asaas.webhooks.get(hook["id"])
    assert (now["enabled"], now["interrupted"]) == (True, True)
    assert "switched on" in said.out
    assert "bridge webhook resume" in said.out
    assert "only on its own screen" in said.out
    assert "another webhook leads to https://old.example/webhooks/asaas" in said.out


def test_register_needs_an_address(commands: Commands) -> None:
    """The first time somebody must say where the bridge is."""
    said = commands.run("webhook", "register")

    assert said.status == 2
    assert "give it with --url" in said.err


@pytest.mark.parametrize("url", ["http://10.0.0.1", "bridge.example", "https://b.example/?a=1", "https://b.example/#a"])
def test_register_refuses_an_address_that_asaas_can_not_use(commands: Commands, url: str) -> None:
    """Personal data must not go over plain http, and the address has nothing behind its path."""
    del commands.environ["ASAAS_API_URL"]
    said = commands.run("webhook", "register", "--url", url, BRIDGE_ALLOW_PRIVATE_DESTINATIONS="0")

    assert (said.status, said.err.count("\n")) == (2, 1)
    assert said.err.startswith("--url must")


def test_register_needs_a_mapping_that_listens(commands: Commands) -> None:
    """Nothing to subscribe to is wrong use, with the way out."""
    commands.has_mapping("paga", f"enabled: false\n{MAPPING}")
    said = commands.run("webhook", "register", "--url", PUBLIC)

    assert said.status == 2
    assert "no enabled mapping names an event of account default" in said.err
    assert "--all" in said.err


def test_register_needs_a_key(commands: Commands) -> None:
    """An account without a key is said with the variable's name and the accounts that have one."""
    commands.has_mapping("matriz", f"account: matriz\n{MAPPING}")
    said = commands.run("webhook", "register", "--url", PUBLIC, "--account", "matriz")

    assert said.status == 2
    assert said.err.startswith("ASAAS_API_KEY_MATRIZ is not set; ")
    assert said.err.endswith("accounts with a key: default\n")

    commands.environ["BRIDGE_ENCRYPTION_KEY"] = commands.run("db", "new-key").out.strip()
    commands.run("db", "upgrade")
    commands.run("accounts", "add", "filial", "--no-key", lines="\n")
    kept = commands.run("webhook", "register", "--url", PUBLIC, "--account", "filial")

    assert kept.status == 2
    assert "bridge accounts add filial" in kept.err, "no mapping listens either, but first it needs a key"
    assert "ASAAS_API_KEY" not in kept.err


def test_register_does_not_choose_between_two(commands: Commands, asaas: AsaasSimulator) -> None:
    """Two webhooks that may be ours need an address."""
    for host in ("a", "b"):
        asaas.posts_to(f"https://{host}.example/webhooks/asaas", TOKEN)
    said = commands.run("webhook", "register")

    assert said.status == 2
    assert "2 webhooks lead to the bridge" in said.err


@pytest.mark.parametrize(("email", "mend"), [("", "--email"), ("a@example.com", "ten webhooks at most")])
def test_register_says_what_a_refusal_may_mean(
    commands: Commands, asaas: AsaasSimulator, email: str, mend: str
) -> None:
    """The eleventh webhook is refused; Asaas's own code is shown."""
    for number in range(10):
        asaas.posts_to(f"https://other.example/{number}", TOKEN)
    said = commands.run("webhook", "register", "--url", PUBLIC, *(["--email", email] if email else []))

    assert said.status == 1
    assert "400 invalid_action" in said.err
    assert mend in said.err


def test_register_of_a_named_account_has_its_own_path(commands: Commands, asaas: AsaasSimulator) -> None:
    """The account's name stands in the path and in the variable's name."""
    commands.has_mapping("matriz", f"account: matriz\n{MAPPING}")
    said = commands.run("webhook", "register", "--url", PUBLIC, "--account", "matriz", ASAAS_API_KEY_MATRIZ=DEFAULT_KEY)

    assert hooks(asaas)[0]["url"] == f"{HOOK}/matriz"
    assert "ASAAS_WEBHOOK_TOKEN_MATRIZ='" in said.out


def test_status_is_fine(commands: Commands) -> None:
    """A webhook as the mappings need it is fine, with status 0."""
    commands.run("webhook", "register", "--url", PUBLIC)
    said = commands.run("webhook", "status")
    (data,) = commands.run("webhook", "status", "--json").json

    assert said.status == 0
    assert said.out.endswith("  fine\n")
    assert data["problems"] == []
    assert data["webhooks"][0]["url"] == HOOK
    assert data["needed"] == EVENTS_OF_MAPPING


def test_status_says_what_is_wrong(commands: Commands, asaas: AsaasSimulator) -> None:
    """An interrupted queue and missing events are errors with what mends them, and the status is 1."""
    asaas.posts_to(HOOK, TOKEN, ["PAYMENT_RECEIVED", "PAYMENT_CREATED"], interrupted=True)
    said = commands.run("webhook", "status")

    assert said.status == 1
    assert "error: Asaas interrupted the webhook's queue" in said.out
    assert "run: bridge webhook resume" in said.out
    assert "does not subscribe to: CHECKOUT_CANCELED, CHECKOUT_CREATED" in said.out
    assert "of which 1 no mapping needs" in said.out


def test_status_says_the_slash_that_register_takes_away(commands: Commands, asaas: AsaasSimulator) -> None:
    """The webhook of a real account, entered by hand with a slash at its end."""
    (kept,) = json.loads(CASE.read_text())["data"]
    made = {name: kept[name] for name in ("name", "url", "email", "enabled", "interrupted", "apiVersion", "sendType")}
    asaas.webhooks.create({**made, "authToken": TOKEN, "events": EVENTS_OF_MAPPING})
    before = commands.run("webhook", "status", "--json").json
    said = commands.run("webhook", "register", "--url", "https://bridge.example.com")
    after = commands.run("webhook", "status", "--json").json

    assert [one["code"] for status in before for one in status["problems"]] == ["webhook.slash"]
    assert said.status == 0
    assert [hook["url"] for hook in hooks(asaas)] == [kept["url"].rstrip("/")]
    assert [status["problems"] for status in after] == [[]]


def test_a_webhook_of_another_api_version_is_made_anew(commands: Commands, asaas: AsaasSimulator) -> None:
    """The bridge does not read what it posts, and Asaas changes no version: register says so instead of fine."""
    asaas.posts_to(HOOK, TOKEN, EVENTS_OF_MAPPING, apiVersion=2)
    before = commands.run("webhook", "status", "--json").json
    refused = commands.run("webhook", "register", "--url", PUBLIC)
    commands.run("webhook", "remove", "--yes")
    made = commands.run("webhook", "register", "--url", PUBLIC)
    after = commands.run("webhook", "status", "--json").json

    assert [one["code"] for status in before for one in status["problems"]] == ["webhook.version"]
    assert (refused.status, "bridge webhook remove" in refused.err) == (2, True)
    assert made.status == 0
    assert [status["problems"] for status in after] == [[]]


def test_status_of_an_account_without_a_webhook(commands: Commands) -> None:
    """Nothing registered is said with how to register."""
    said = commands.run("webhook", "status", "--account", "default")

    assert said.status == 1
    assert "bridge webhook register --url PUBLIC_URL" in said.out


def test_resume_starts_the_queue_and_takes_penalties_off(commands: Commands, asaas: AsaasSimulator) -> None:
    """What fifteen failures stopped goes on, and a second time there is nothing to do."""
    with closed_port() as port:
        url = f"http://127.0.0.1:{port}/webhooks/asaas"
        hook = asaas.posts_to(url, TOKEN)
        asaas.has_payment(asaas.has_customer())
        until(lambda: asaas.webhooks.get(hook["id"])["interrupted"])
        asaas.webhooks.update(hook["id"], {"events": ["PAYMENT_RECEIVED"]})
        penalised = asaas.webhooks.get(hook["id"])["penalizedRequestsCount"]
        asaas.book.queues[hook["id"]].webhook["url"] = HOOK  # so that nothing is sent in the midst of the look
        said = commands.run("webhook", "resume")

    assert penalised == 15
    assert said.status == 0
    assert "the queue was started again; the penalties of 15 failures were taken off" in said.out
    assert asaas.webhooks.get(hook["id"])["interrupted"] is False


def test_resume_of_a_sound_queue_does_nothing(commands: Commands, asaas: AsaasSimulator) -> None:
    """There is nothing to start and nothing to forgive."""
    asaas.posts_to(HOOK, TOKEN)

    assert commands.run("webhook", "resume").out == f"{HOOK}: neither interrupted nor penalised\n"
    assert commands.run("webhook", "resume", "--json").json[0]["done"] == []


@pytest.mark.parametrize("command", [["resume"], ["remove", "--yes"]])
def test_what_is_not_there_can_not_be_changed(commands: Commands, asaas: AsaasSimulator, command: list[str]) -> None:
    """A webhook of another program is never touched."""
    asaas.posts_to("https://other.example/hook", TOKEN)
    said = commands.run("webhook", *command)

    assert said.status == 1
    assert "account default has no webhook at Asaas that leads to the bridge" in said.err
    assert len(hooks(asaas)) == 1


def test_remove_takes_only_ours(commands: Commands, asaas: AsaasSimulator) -> None:
    """The webhook with the bridge's path goes, another stays."""
    asaas.posts_to(HOOK, TOKEN)
    asaas.posts_to("https://other.example/hook", TOKEN)
    said = commands.run("webhook", "remove", "--yes")

    assert (said.status, said.out) == (0, f"{HOOK}: removed\n")
    assert [hook["url"] for hook in hooks(asaas)] == ["https://other.example/hook"]


def test_remove_asks_first(commands: Commands, asaas: AsaasSimulator) -> None:
    """Without --yes a terminal is needed, and a no removes nothing; --json says what was removed."""
    asaas.posts_to(HOOK, TOKEN)
    refused = commands.run("webhook", "remove")
    declined = commands.on_terminal("webhook", "remove", types="n\n")
    removed = commands.run("webhook", "remove", "--yes", "--json").json

    assert (refused.status, declined.status) == (2, 1)
    assert "add --yes" in refused.err
    assert "nothing was removed" in declined.err
    assert [one["url"] for one in removed] == [HOOK]
