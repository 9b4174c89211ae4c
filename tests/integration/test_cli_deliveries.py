"""`bridge deliveries`: lists and a person's decisions, on a real journal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.journal import Journal
from bridge.journal.clock import system_clock_ms
from bridge.journal.schema import destinations as destination_table
from bridge.messages import Message, in_language
from bridge.model import DeliveryState
from bridge.operations import actions
from tests.commands import Commands
from tests.factories import owe, put_in_state, register, row_of, states


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in, with a destination that has a URL."""
    commands = Commands(tmp_path)
    commands.environ["CLINT_WEBHOOK_URL"] = "https://functions-api.clint.digital/endpoints/integration/webhook/x"
    return commands


def dead(journal: Journal, customer: str = "cus_1", mapping: str = "paga") -> int:
    """Add a delivery that was given up."""
    id_ = owe(journal, customer=customer, mapping=mapping)
    reason = "the destination answered 422"
    put_in_state(journal, id_, DeliveryState.DEAD, due_ms=None, reason_code="clint.http_422", reason=reason)
    return id_


def test_list_shows_state_and_reason(commands: Commands) -> None:
    """Newest first, each with its event, mapping, destination, state and why."""
    with commands.journal() as journal:
        dead(journal)
        owe(journal, customer="cus_2")
    said = commands.run("deliveries", "list")
    lines = [re.split(r"\s{2,}", line) for line in said.out.splitlines()]

    assert (said.status, said.err) == (0, "")
    assert lines[0][:5] == ["number", "event", "name", "mapping", "to"]
    assert lines[0][5:] == ["customer", "value", "description", "state", "since", "why"]
    assert lines[1][:6] == ["2", "2", "PAYMENT_RECEIVED", "paga", "default", "cus_2"]
    assert lines[1][6:9] == ["R$129.90", "Mensalidade", "pending"]
    assert lines[2][8::2] == ["dead", "the destination answered 422"]


def test_a_reason_is_read_in_the_operators_language(commands: Commands) -> None:
    """A table is Portuguese by the locale; JSON keeps codes and English, with the facts beside."""
    with commands.journal() as journal:
        reason = Message("payload.id is {value}", {"value": 9}).to_json()
        put_in_state(journal, dead(journal), DeliveryState.DEAD, reason=reason)
    with in_language("en"):
        table = commands.run("deliveries", "list", BRIDGE_LANGUAGE="pt-BR").out.splitlines()
    (row,) = commands.run("deliveries", "list", "--json").json

    assert table[0].split()[:3] == ["número", "evento", "nome"]
    assert re.split(r"\s{2,}", table[1])[8] == "não entregue"
    assert table[1].endswith("payload.id is 9")
    assert (row["state"], row["reason"], row["reason_facts"]) == ("dead", "payload.id is 9", {"value": 9})


def test_list_can_be_narrowed_and_paged(commands: Commands) -> None:
    """By state, mapping, destination and reason; the next page is named."""
    with commands.journal() as journal:
        dead(journal)
        owe(journal, customer="cus_2", mapping="outra", destination="vencidas")
        owe(journal, customer="cus_3")

    def numbers(*arguments: str) -> list[int]:
        return [row["id"] for row in commands.run("deliveries", "list", "--json", *arguments).json]

    assert numbers() == [3, 2, 1]
    assert numbers("--state", "dead") == [1]
    assert numbers("--state", "dead", "--state", "pending") == [3, 2, 1]
    assert numbers("--mapping", "outra") == numbers("--destination", "vencidas") == [2]
    assert numbers("--code", "clint.http_422") == [1]
    assert numbers("--before", "3", "--limit", "1") == [2]
    assert commands.run("deliveries", "list", "--limit", "2").err == "older ones: bridge deliveries list --before 2\n"


def test_list_json_holds_no_payload(commands: Commands) -> None:
    """A list is not the place for personal data."""
    with commands.journal() as journal:
        owe(journal)
    (row,) = commands.run("deliveries", "list", "--json").json

    assert "payload" not in row
    assert row["event_name"] == "PAYMENT_RECEIVED"
    assert row["created_at"].endswith("-03:00")


def test_an_unknown_state_is_wrong_use(commands: Commands) -> None:
    """The states that there are, are named."""
    said = commands.run("deliveries", "list", "--state", "lost")

    assert said.status == 2
    assert "'delivered'" in said.err


def test_retry_sends_named_deliveries_again(commands: Commands) -> None:
    """Naming deliveries is decision enough: nothing is asked."""
    with commands.journal() as journal:
        dead(journal)
        said = commands.run("deliveries", "retry", "1", "1")

        assert (said.status, said.out, said.err) == (0, "1 delivery will be sent\n", "")
        assert states(journal) == ["pending"]


def test_a_retry_says_what_its_destination_keeps_waiting(commands: Commands) -> None:
    """Without a URL, paused or failing: with what to do, and as JSON by the code."""
    with commands.journal() as journal:
        register(journal)
        ids = [dead(journal), dead(journal, "cus_2")]
        put_in_state(journal, ids[1], DeliveryState.DEAD, destination="vencidas")
        later = system_clock_ms() + 600_000
        with journal.database.write() as connection:
            connection.execute(destination_table.update().values(state="open", until_ms=later))
        failing = commands.run("deliveries", "retry", *map(str, ids))
        for id_ in ids:
            put_in_state(journal, id_, DeliveryState.DEAD, due_ms=None)
        actions.pause(journal, "default", "by hand", later)
        paused = commands.run("deliveries", "retry", *map(str, ids), "--json")
        tried = commands.run("destinations", "resume", "default")

    assert failing.out.splitlines() == [
        "deliveries that wait: 1; default fails; to try it now: bridge destinations resume default",
        "deliveries that wait: 1; vencidas has no URL in this environment; run: bridge destinations add vencidas",
    ]
    assert (failing.status, failing.err) == (0, "")
    assert [one["waits"] for one in paused.json] == ["destination.paused", "destination.not_set"]
    assert "default takes deliveries again" in tried.out


def test_one_refusal_stops_no_other(commands: Commands) -> None:
    """What can't be retried is said with what to do instead, and the rest is done; the status is 1."""
    with commands.journal() as journal:
        dead(journal)
        put_in_state(journal, owe(journal, customer="cus_2"), DeliveryState.DELIVERED, due_ms=None)
        said = commands.run("deliveries", "retry", "2", "9", "1")

        assert said.status == 1
        assert said.out == "1 delivery will be sent\n"
        assert said.err.splitlines() == [
            "delivery 2 is delivered and can't be retried; "
            "to send its event through today's mapping: bridge events replay 2",
            "no delivery has the number 9; see: bridge deliveries list",
        ]
        assert states(journal) == ["pending", "delivered"]


def test_results_as_json(commands: Commands) -> None:
    """JSON says for each delivery what was done or why not."""
    with commands.journal() as journal:
        dead(journal)
        said = commands.run("deliveries", "discard", "1", "9", "--json")

        assert said.status == 1
        assert said.json[0] == {"id": 1, "done": "was dead"}
        assert said.json[1]["code"] == "journal.not_found"
        assert states(journal) == ["discarded"]


def test_only_refusals_print_no_success(commands: Commands) -> None:
    """Where nothing was done, standard output is empty."""
    with commands.journal():
        said = commands.run("deliveries", "discard", "9")

    assert (said.status, said.out) == (1, "")


def test_all_dead_is_narrowed_by_the_options(commands: Commands) -> None:
    """--all-dead with --mapping takes only that mapping's dead."""
    with commands.journal() as journal:
        dead(journal)
        dead(journal, "cus_2", mapping="outra")
        said = commands.run("deliveries", "retry", "--all-dead", "--mapping", "outra", "--yes")

        assert (said.status, said.out) == (0, "1 delivery will be sent\n")
        assert states(journal) == ["dead", "pending"]


def test_all_that_failed_since_a_time_is_retried(commands: Commands) -> None:
    """--all-dead with --since leaves what failed before."""
    with commands.journal() as journal:
        old, new = dead(journal), dead(journal, "cus_2")
        put_in_state(journal, old, DeliveryState.DEAD, due_ms=None, finished_ms=system_clock_ms() - 7_200_000)
        put_in_state(journal, new, DeliveryState.DEAD, due_ms=None, finished_ms=system_clock_ms() - 60_000)
        said = commands.run("deliveries", "retry", "--all-dead", "--since", "1h", "--yes")

        assert (said.status, said.out) == (0, "1 delivery will be sent\n")
        assert states(journal) == ["dead", "pending"]
        assert commands.run("deliveries", "retry", str(old), "--since", "1h").status == 2


def test_all_dead_asks_with_a_count(commands: Commands) -> None:
    """A bulk change is asked for with its size; anything but yes changes nothing."""
    with commands.journal() as journal:
        for number in range(25):
            dead(journal, f"cus_{number}")
        no = commands.on_terminal("deliveries", "discard", "--all-dead", types="n\n")
        assert set(states(journal)) == {"dead"}
        yes = commands.on_terminal("deliveries", "discard", "--all-dead", types="y\n")
        dead(journal, "cus_ana")
        sim = commands.on_terminal("deliveries", "discard", "--all-dead", types="sim\n", BRIDGE_LANGUAGE="pt-BR")

        assert (no.status, yes.status, sim.status) == (1, 0, 0)
        assert "[s/N]" in sim.err
        assert "discard 25 dead deliveries?" in no.err
        assert "nothing was changed" in no.err
        assert "25 deliveries discarded" in yes.out
        assert set(states(journal)) == {"discarded"}


def test_all_dead_without_a_terminal_needs_yes(commands: Commands) -> None:
    """Where nobody can be asked, --yes is asked for."""
    with commands.journal() as journal:
        dead(journal)
        said = commands.run("deliveries", "retry", "--all-dead")

        assert said.status == 2
        assert states(journal) == ["dead"]


def test_no_dead_delivery_is_fine(commands: Commands) -> None:
    """Nothing to do is no failure."""
    with commands.journal():
        plain = commands.run("deliveries", "retry", "--all-dead")
        narrowed = commands.run("deliveries", "retry", "--all-dead", "--code", "x")

    assert (plain.status, plain.err) == (0, "no delivery is dead\n")
    assert (narrowed.status, narrowed.err) == (0, "no delivery is dead with these options\n")


@pytest.mark.parametrize("arguments", [[], ["1", "--all-dead"], ["1", "--mapping", "paga"]])
def test_deliveries_are_chosen_in_one_way(commands: Commands, arguments: list[str]) -> None:
    """Either numbers or --all-dead; the options narrow down only the latter."""
    said = commands.run("deliveries", "retry", *arguments)

    assert said.status == 2
    assert said.err.startswith("either name deliveries or say --all-dead")


def test_a_retry_of_what_waits_makes_it_due(commands: Commands) -> None:
    """A delivery that waits for its next try is sent now."""
    with commands.journal() as journal:
        id_ = owe(journal)
        put_in_state(journal, id_, DeliveryState.RETRYING, due_ms=9_000_000_000_000, waiting="backoff")
        assert "next try in" in commands.run("deliveries", "list").out
        commands.run("deliveries", "retry", "1")

        assert row_of(journal, id_)["due_ms"] < 9_000_000_000_000


def test_what_waits_for_a_paused_destination_is_not_said_to_be_sent(commands: Commands) -> None:
    """It goes on when the destination is resumed, which the answer says; nothing is changed."""
    with commands.journal() as journal:
        register(journal)
        id_ = owe(journal)
        put_in_state(journal, id_, DeliveryState.RETRYING, due_ms=9_000_000_000_000, waiting="paused")
        commands.run("destinations", "pause", "default")
        said = commands.run("deliveries", "retry", "1")

        assert (said.status, said.out) == (1, "")
        assert "bridge destinations resume default" in said.err
        assert row_of(journal, id_)["waiting"] == "paused"


def test_an_empty_list_says_what_that_means(commands: Commands) -> None:
    """Headers alone look like a fault; standard output stays what a program expects."""
    with commands.journal():
        pass
    said = commands.run("deliveries", "list", "--state", "dead")

    assert (said.status, said.err) == (0, "no such delivery\n")
    headers = ["number", "event", "name", "mapping", "to", "customer", "value", "description", "state", "since", "why"]
    assert said.out.split() == headers
    assert commands.run("notices", "list").err == "no open notice\n"
    assert commands.run("notices", "list", "--json").err == ""


def test_a_retry_of_all_counts_only_those_that_have_a_payload(commands: Commands) -> None:
    """The others are named with what to do instead; where there are only such, the answer is no."""
    with commands.journal() as journal:
        bare, full = dead(journal), dead(journal, "cus_2")
        put_in_state(journal, bare, DeliveryState.DEAD, payload=None)
        first = commands.run("deliveries", "retry", "--all-dead", "--yes")
        second = commands.run("deliveries", "retry", "--all-dead", "--yes")

        assert (first.status, first.out) == (0, "1 delivery will be sent\n")
        assert "without a payload: 1" in first.err
        assert (second.status, second.out) == (1, "")
        assert states(journal) == ["dead", "pending"]
        assert row_of(journal, full)["state"] == "pending"
