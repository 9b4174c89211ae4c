"""`bridge events`: lists, one event's whole way, and replays, on a real journal."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import pytest

from bridge.clint.webhook import Answer
from bridge.errors import NotFound
from bridge.journal import Journal, customers, events, retention, search
from bridge.journal.about import cents_of
from bridge.journal.clock import system_clock_ms
from bridge.journal.deliveries import StateChange
from bridge.journal.schema import events as event_table
from bridge.mapping import Setup, read_directory
from bridge.mapping.evaluate import REASONS, once_key
from bridge.messages import Message
from bridge.model import DeliveryState, IncomingEvent, Outcome, Waiting
from bridge.operations import actions
from bridge.operations.explain import preview
from bridge.runtime import Runtime
from bridge.settings import Settings
from tests.commands import Commands
from tests.factories import (
    NOW_MS,
    begin,
    delivery,
    envelope,
    events_of,
    incoming,
    keep,
    owe,
    owe_all,
    owed,
    payment,
    put_in_state,
    record,
    revision,
    row_of,
)

MAPPING = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
deal: {valor: payment.value}
"""
HOUR_MS = 3_600_000
MATRIZ = {"ASAAS_WEBHOOK_TOKEN_MATRIZ": "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"}


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Give a place to run commands in."""
    return Commands(tmp_path)


def register(commands: Commands) -> None:
    """Bring the mapping files into the journal, as a worker does."""
    runtime = Runtime(Settings.from_env({**commands.environ, "CLINT_WEBHOOK_URL": "https://clint.example/a"}))
    runtime.register()
    runtime.close()


def kept(journal: Journal, *given: IncomingEvent) -> list[int]:
    """Append events that every mapping has seen, and return their numbers."""
    numbers = keep(journal, *given)
    with journal.database.write() as connection:
        events.mark_processed(connection, numbers, NOW_MS)
    return numbers


def attempted(journal: Journal, delivery_id: int, outcome: Outcome, state: DeliveryState, code: str) -> None:
    """Let one attempt at a delivery end so, as the outbox writes it."""
    one = owed(journal, delivery_id)
    answer = Answer(outcome, 503, code, Message("the destination answered 503"), None, 12, "try later\n")
    detail = answer.detail.to_json()
    step = StateChange(one, state, system_clock_ms(), system_clock_ms() + 60_000, Waiting.BACKOFF, code, detail)
    with journal.database.write() as connection:
        begin(connection, [one], 1, system_clock_ms())
        record(
            connection,
            step,
            one.attempts + 1,
            outcome,
            status=answer.status,
            code=code,
            detail=detail,
            excerpt=answer.excerpt,
            duration_ms=answer.duration_ms,
        )


def test_list_is_newest_first_with_what_became_of_each(commands: Commands) -> None:
    """Each event has its time, name, object and the states of its deliveries."""
    with commands.journal() as journal:
        owe(journal, state=DeliveryState.FILTERED, payload=None)
        keep(journal, incoming("cus_2", name="PAYMENT_CREATED", object_id="pay_2", received_ms=system_clock_ms()))
    said = commands.run("events", "list")
    lines = said.out.splitlines()

    assert (said.status, said.err) == (0, "")
    headers = ["number", "received", "event", "customer", "value", "description", "about", "outcome"]
    told = ["R$129.90", "Mensalidade"]
    assert re.split(r"\s{2,}", lines[0]) == headers
    assert re.split(r"\s{2,}", lines[1])[2:] == ["PAYMENT_CREATED", "cus_2", *told, "pay_2", "waits for a worker"]
    assert re.split(r"\s{2,}", lines[2])[2:] == ["PAYMENT_RECEIVED", "cus_1", *told, "pay_1", "1 filtered"]


def test_list_can_be_narrowed_and_paged(commands: Commands) -> None:
    """Filters hold together, and the next page is named on standard error."""
    with commands.journal() as journal:
        first, *_ = keep(journal, *(incoming(f"cus_{n}", received_ms=NOW_MS + n) for n in range(5)))
        keep(journal, incoming(account="matriz", name="PAYMENT_CREATED", object_id="pay_9"))
    numbers = [row["id"] for row in commands.run("events", "list", "--name", "PAYMENT_RECEIVED", "--json").json]
    page = commands.run("events", "list", "--limit", "2", "--before", str(first + 3))

    assert numbers == [first + 4, first + 3, first + 2, first + 1, first]
    assert [line.split()[0] for line in page.out.splitlines()[1:]] == [str(first + 2), str(first + 1)]
    assert page.err == f"older ones: bridge events list --before {first + 1}\n"
    assert len(commands.run("events", "list", "--account", "matriz", "--json").json) == 1
    assert len(commands.run("events", "list", "--object", "pay_9", "--json").json) == 1


def test_list_between_two_times(commands: Commands) -> None:
    """Times may be an age or a day; the first moment of --until is too late."""
    with commands.journal() as journal:
        keep(
            journal,
            incoming("cus_1", received_ms=system_clock_ms() - 3 * HOUR_MS),
            incoming("cus_2", received_ms=system_clock_ms()),
        )

    assert [e["subject"] for e in commands.run("events", "list", "--since", "2h", "--json").json] == ["cus_2"]
    assert [e["subject"] for e in commands.run("events", "list", "--until", "2h", "--json").json] == ["cus_1"]
    assert commands.run("events", "list", "--until", "2020-01-31", "--json").json == []
    assert len(commands.run("events", "list", "--since", "2020-01-31 10:30", "--json").json) == 2


def worth(journal: Journal, value: object, customer: str = "cus_1", *, sent: bool = False, **charge: object) -> int:
    """Keep an event of a charge of that value; `sent`: with a delivery. Return its number."""
    body = json.dumps(envelope(payment=payment(customer, value=value, **charge)))
    (id_,) = kept(journal, incoming(customer, body=body))
    if sent:
        owe(journal, event_id=id_, customer=customer, amount=cents_of(value))
    return id_


def test_lists_have_the_person_the_value_and_the_description(commands: Commands) -> None:
    """Contact data in a description is masked; --json has the same."""
    with commands.journal() as journal:
        worth(journal, 1100.5, "cus_maria", sent=True, description="Curso de maria@gmail.com, 529.982.247-25")
        with journal.database.write() as connection:
            customers.record(connection, [search.customer_found("default", "cus_maria", {"name": "Maria"})], [], NOW_MS)
    for command in ("events", "deliveries"):
        table = commands.run(command, "list").out
        (row,) = commands.run(command, "list", "--json").json

        assert re.search(r"  Maria +R\$1,100\.50 +Curso de \S+, \S+  ", table)
        assert (row["customer_name"], row["value"]) == ("Maria", 1100.5)
        for hidden in ("maria@gmail.com", "529.982.247-25"):
            assert hidden not in table + json.dumps(row)
        assert "body" not in row
        assert "payload" not in row


def test_lists_fit_a_terminal_of_a_hundred_columns(commands: Commands) -> None:
    """Texts are folded between words; no line is longer."""
    with commands.journal() as journal:
        with journal.database.write() as connection:
            found = search.customer_found("default", "cus_maria", {"name": "Maria Aparecida Albuquerque"})
            customers.record(connection, [found], [], NOW_MS)
        worth(journal, 12345.67, "cus_maria", sent=True, description="Mensalidade de novembro, turma da tarde")
    for command in ("events", "deliveries"):
        said = commands.on_terminal(command, "list", COLUMNS="100", BRIDGE_LANGUAGE="en").out
        lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in said.splitlines() if line.strip()]

        assert max(map(len, lines)) <= 100
        for word in ("Aparecida", "Albuquerque", "R$12,345.67", "Mensalidade", "novembro,"):
            assert word in " ".join(lines), word


def test_lists_can_be_narrowed_by_value(commands: Commands) -> None:
    """With a delivery or without, sealed or not; both ends belong to the range; a list has as many as it may."""
    with commands.journal() as journal:
        ids = [worth(journal, value, sent=sent) for value in (100, 1100.5, 1100.51) for sent in (False, True)]
        keep(journal, incoming("cus_none", body=json.dumps(envelope(payment={"id": "pay_1"}))))

    def listed(command: str, *options: str) -> list[int]:
        name = "id" if command == "events" else "event_id"
        return [row[name] for row in commands.run(command, "list", "--json", *options).json][::-1]

    for text in ("1100.50", "1.100,50", "R$ 1.100,50"):
        assert listed("events", "--value-from", text) == ids[2:]
        assert listed("events", "--value-to", text) == ids[:4]
        assert listed("events", "--value-from", text, "--value-to", text) == ids[2:4]
        assert listed("deliveries", "--value-from", text, "--value-to", text) == [ids[3]]
    assert listed("events", "--value-to", "1100.50", "--limit", "1") == [ids[3]]
    assert listed("deliveries", "--value-from", "1", "--before", "3", "--state", "pending") == [ids[1], ids[3]]


@pytest.mark.parametrize("command", ["events", "deliveries"])
@pytest.mark.parametrize(
    "options",
    [
        ("--value-from", "much"),
        ("--value-from", "1.100"),
        ("--value-to", "-5"),
        ("--value-from", "2", "--value-to", "1"),
    ],
)
def test_a_value_that_is_none_is_wrong_use(commands: Commands, command: str, options: tuple[str, ...]) -> None:
    """The message says which, and how it is written."""
    with commands.journal():
        pass
    said = commands.run(command, "list", *options)

    assert said.status == 2
    assert options[0] in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", [("events", "list"), ("events", "replay", "--yes")])
def test_a_period_that_ends_before_it_begins_is_wrong_use(commands: Commands, command: tuple[str, ...]) -> None:
    """An empty list would look like an answer."""
    with commands.journal():
        pass
    said = commands.run(*command, "--since", "2026-11-22", "--until", "2026-11-20")

    assert said.status == 2
    for text in ("--until", "--since", "2026-11-22", "2026-11-20"):
        assert text in said.err


def test_a_time_that_is_none_is_wrong_use(commands: Commands) -> None:
    """The message says how a time is written."""
    said = commands.run("events", "list", "--since", "tomorrow")

    assert said.status == 2
    assert "2h" in said.err
    assert "'tomorrow'" in said.err


def test_list_json_has_times_to_read(commands: Commands) -> None:
    """JSON carries each time twice: in milliseconds, and as Brasília writes it."""
    with commands.journal() as journal:
        keep(journal, incoming())
    (row,) = commands.run("events", "list", "--json").json

    assert row["received_ms"] == NOW_MS
    assert row["received_at"].endswith("-03:00")
    assert row["deliveries"] == {}
    assert "body" not in row


def test_show_tells_the_whole_way(commands: Commands) -> None:
    """A delivery that is retried shows its payload, its attempts, what the reason means and the next try."""
    with commands.journal() as journal:
        id_ = owe(journal, payload='{"email": "ana@example.com", "valor": "10.00"}')
        attempted(journal, id_, Outcome.RETRY, DeliveryState.RETRYING, "clint.http_503")
        event_id = row_of(journal, id_)["event_id"]
    said = commands.run("events", "show", str(event_id))

    assert said.status == 0
    for text in (
        f"event {event_id}: PAYMENT_RECEIVED",
        "customer     cus_1",
        f"delivery {id_}: mapping paga",
        "retrying: next try in 59 s; the destination answered 503",
        "means        the destination has a fault of its own",
        "next try",
        "    valor: 10.00",
        "failed, tried again, 12 ms, the destination answered 503, answer: try later",
    ):
        assert text in said.out


def test_show_takes_the_whole_asaas_id(commands: Commands) -> None:
    """An event is found by the id that Asaas gave it."""
    with commands.journal() as journal:
        keep(journal, incoming(key="evt_x&7"))

    assert commands.run("events", "show", "evt_x&7").out.startswith("event 1: ")


def test_show_of_a_cut_off_id_says_to_quote_it(commands: Commands) -> None:
    """A shell cuts an id at the &; the message says so."""
    with commands.journal() as journal:
        keep(journal, incoming(key="evt_x&7"))
    said = commands.run("events", "show", "evt_x")

    assert (said.status, said.out) == (1, "")
    assert "put an Asaas id in quotes" in said.err


def test_show_without_deliveries_says_that_nobody_listens(commands: Commands) -> None:
    """An event that no mapping wants is kept and explained."""
    with commands.journal() as journal:
        kept(journal, incoming(name="TRANSFER_DONE"))

    assert "no active mapping listens to it, so nothing is sent" in commands.run("events", "show", "1").out
    assert "no mapping of its account listens" in commands.run("events", "list").out


def test_a_reason_is_in_words_for_people_and_as_kept_in_json(commands: Commands) -> None:
    """Programs go on reading the path and the values as they came."""
    asked = {"field": "payment.value", "operator": "at_least", "must": Message("must be at least"), "operand": "500"}
    why = Message(REASONS["filter.compare"], {**asked, "value": "129.9"})
    with commands.journal() as journal:
        (id_,) = kept(journal, incoming())
        filtered = owe(journal, event_id=id_, payload=None)
        state = {"due_ms": None, "reason_code": "filter.compare", "reason": why.to_json()}
        put_in_state(journal, filtered, DeliveryState.FILTERED, **state)
    shown = commands.run("events", "show", str(id_)).out
    data = commands.run("events", "show", str(id_), "--json").json

    assert "R$500.00" in shown
    assert "payment.value" not in shown
    assert data["deliveries"][0]["reason"] == str(why)
    assert data["deliveries"][0]["reason_facts"]["field"] == "payment.value"
    assert str(why) in data["explanation"]


def test_a_mapping_of_another_account_is_named_as_the_reason(commands: Commands) -> None:
    """Show, the same as data, and a replay's preview do not deny that a mapping listens."""
    commands.has_mapping("paga", MAPPING)
    with commands.journal() as journal:
        register(commands)
        kept(journal, incoming(account="matriz"))
    shown = commands.run("events", "show", "1")
    data = commands.run("events", "show", "1", "--json")
    previewed = commands.run("events", "replay", "1", "--dry-run")

    for said in (shown.out, data.json["explanation"], previewed.out):
        assert "only for another (see `account:` in mappings)" in said


def test_show_says_why_an_event_is_held_and_until_when(commands: Commands) -> None:
    """A held event names the reason, the time and what to do."""
    with commands.journal() as journal:
        keep(journal, incoming())
        with journal.database.write() as connection:
            events.hold(
                connection, {1: (system_clock_ms() + 60_000, "asaas.key_missing", "account default has no key")}
            )
    said = commands.run("events", "show", "1")

    assert re.search(r"on hold \(asaas\.key_missing\), checked again in [45]\d s", said.out)
    assert "account default has no key; what to do: " in said.out
    assert "on hold (asaas.key_missing)" in commands.run("events", "list").out


def test_show_says_what_to_do_about_a_dead_delivery(commands: Commands) -> None:
    """A dead letter comes with its meaning and what to do."""
    with commands.journal() as journal:
        owe(
            journal,
            state=DeliveryState.DEAD,
            payload=None,
            reason_code="transform.no_contact",
            reason="neither an e-mail nor a phone",
        )
    said = commands.run("events", "show", "1")

    assert "dead: neither an e-mail nor a phone" in said.out
    assert re.search(r"what to do +fill in one of them .*; then: bridge events replay", said.out)


def test_show_of_an_attempt_whose_answer_is_out(commands: Commands) -> None:
    """While a delivery is being sent, its attempt says that there is no answer yet."""
    with commands.journal() as journal:
        id_ = owe(journal)
        with journal.database.write() as connection:
            begin(connection, [owed(journal, id_)], 1, NOW_MS)

    assert "no answer yet" in commands.run("events", "show", "1").out


def test_show_cannot_be_steered_from_outside(commands: Commands) -> None:
    """Escape sequences and markup in what Asaas posted reach no terminal."""
    with commands.journal() as journal:
        keep(journal, incoming(name="[red]X\x1b[2J\nY"))

    assert commands.run("events", "show", "1").out.startswith("event 1: [red]X\ufffd[2J Y\n")


def test_show_json_is_everything(commands: Commands) -> None:
    """JSON holds the body, the deliveries with payload and meaning, and every attempt."""
    with commands.journal() as journal:
        id_ = owe(journal)
        attempted(journal, id_, Outcome.REJECTED, DeliveryState.DEAD, "clint.http_422")
        owe(journal, event_id=1, mapping="outra", state=DeliveryState.FILTERED, payload=None)
    shown = commands.run("events", "show", "1", "--json").json

    assert shown["body"]["payment"] == payment()
    assert [d["payload"] for d in shown["deliveries"]] == [{"email": "ana@example.com"}, None]
    assert shown["deliveries"][0]["todo"].endswith("bridge events replay")
    assert [a["status"] for a in shown["deliveries"][0]["attempts_made"]] == [503]


def test_half_a_character_in_a_body_can_be_shown(commands: Commands) -> None:
    """A body may hold an escaped half of a character, which no terminal can print."""
    with commands.journal() as journal:
        keep(journal, incoming(body='{"event": "X", "text": "\\ud800"}'))

    assert commands.run("events", "show", "1", "--json").json["body"]["text"] == "\ud800"


def test_dry_run_shows_the_difference_and_changes_nothing(commands: Commands) -> None:
    """Each key that would be another is shown, old and new."""
    commands.has_mapping("paga", MAPPING)
    with commands.journal() as journal:
        id_ = owe(journal, payload='{"email": "bia@example.com", "titulo": "x"}')
        put_in_state(journal, id_, DeliveryState.DELIVERED, due_ms=None)
        register(commands)
        said = commands.run("events", "replay", "1", "--dry-run")

        assert said.status == 0
        assert said.out.splitlines() == [
            "event 1 PAYMENT_RECEIVED",
            "  paga: was delivered, would be sent to default: 3 changes",
            '    email: "bia@example.com" -> "ana@example.com"',
            '    valor: (not sent) -> "129.9"',
            '    titulo: "x" -> (not sent)',
        ]
        assert [event["replay"] for event in events_of(journal)] == [0]


def test_dry_run_says_what_would_not_be_sent(commands: Commands) -> None:
    """Filtered, stale and already sent plans are told apart, with the reason; so is an event nobody listens to."""
    commands.has_mapping("paga", MAPPING)
    commands.has_mapping("grande", MAPPING + "filter: {field: payment.value, greater_than: 500}\n")
    commands.has_mapping("uma", MAPPING + "installments: once\nline: outra\n")
    instalment = '{"payment": {"value": 1, "installment": "plan_1"}}'
    with commands.journal() as journal:
        kept(
            journal,
            incoming("cus_1"),
            incoming("cus_1", name="PAYMENT_OVERDUE"),
            incoming("cus_1", body=instalment, object_id="pay_3"),
            incoming("cus_1", body=instalment, object_id="pay_4", name="PAYMENT_OVERDUE"),
        )
        newer = delivery(journal, event_id=2, mapping="outra", order_at="2026-11-22 11:00:00")
        (uma,) = (one.mapping for one in read_directory(commands.mappings, Setup(None, None)) if "uma" in one.path)
        assert uma is not None
        key = once_key(uma, {"event": "PAYMENT_RECEIVED", "payment": {"installment": "plan_1"}})
        plan = delivery(journal, event_id=4, mapping="uma", object_id="pay_4", once_key=key)
        for one in owe_all(journal, [newer, plan]):
            put_in_state(journal, one, DeliveryState.DELIVERED, due_ms=None)
        register(commands)
    said = commands.run("events", "replay", "--since", "2020-01-31", "--dry-run", "--json")
    outcomes = {
        (event["event_id"], outcome["mapping"]): (outcome["after"], outcome["reason"])
        for event in said.json
        for outcome in event["outcomes"]
    }

    assert outcomes[1, "paga"][0] == "stale"
    assert outcomes[1, "grande"][0] == "filtered"
    assert outcomes[1, "uma"] == ("pending", "")
    assert outcomes[3, "paga"] == ("pending", "")
    assert outcomes[3, "uma"] == ("filtered", "this instalment plan already has a delivery")
    assert [event["outcomes"] for event in said.json if event["event_id"] == 2] == [[]]


def test_dry_run_as_text_says_why_not(commands: Commands) -> None:
    """The text names the condition that says no, and an event that nobody listens to."""
    commands.has_mapping("grande", MAPPING + "filter: {field: payment.value, greater_than: 500}\n")
    with commands.journal() as journal:
        register(commands)
        keep(journal, incoming(), incoming(name="PAYMENT_OVERDUE"))
    said = commands.run("events", "replay", "1", "2", "--dry-run")

    assert "  grande: new, would be filtered (Value " in said.out
    assert {"R$129.90,", "R$500.00)"} <= set(said.out.split())
    assert "  no active mapping listens to it" in said.out


def test_dry_run_says_what_asaas_must_be_asked_for(commands: Commands) -> None:
    """Without a key the preview can't say, and says why."""
    commands.has_mapping("paga", "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email}\n")
    with commands.journal() as journal:
        register(commands)
        keep(journal, incoming())

    said = commands.run("events", "replay", "1", "--dry-run")

    assert "would wait: the mapping needs the customer from the Asaas API" in said.out


def test_replay_hands_the_events_to_the_workers(commands: Commands) -> None:
    """With --yes nothing is asked; each event goes back to its lane, in the order of arrival and once."""
    with commands.journal() as journal:
        owe(journal)
        owe(journal, customer="cus_2")
        said = commands.run("events", "replay", "2", "1", "2", "--yes", "--json")

        assert [row["id"] for row in said.json] == [1, 2]
        assert [(event["state"], event["replay"]) for event in events_of(journal)] == [("received", 1)] * 2
        assert "replayed     1 time" in commands.run("events", "show", "1").out


def test_replay_through_one_mapping(commands: Commands) -> None:
    """--mapping limits a replay; a name that no active mapping has is wrong use."""
    commands.has_mapping("paga", MAPPING)
    with commands.journal() as journal:
        register(commands)
        kept(journal, incoming())
        wrong = commands.run("events", "replay", "1", "--mapping", "nope", "--dry-run")
        said = commands.run("events", "replay", "1", "--mapping", "paga", "--yes")

        assert (wrong.status, said.status) == (2, 0)
        assert "no active mapping is named 'nope'" in wrong.err
        assert events_of(journal)[0]["replay_mapping"] == "paga"
        assert "the last for the mapping paga" in commands.run("events", "show", "1").out


def test_replay_asks_on_a_terminal(commands: Commands) -> None:
    """What would change is shown, and nothing happens without a yes."""
    commands.has_mapping("paga", MAPPING)
    with commands.journal() as journal:
        register(commands)
        kept(journal, incoming())
        no = commands.on_terminal("events", "replay", "1", types="n\n")
        yes = commands.on_terminal("events", "replay", "1", types="y\n")

        assert (no.status, yes.status) == (1, 0)
        assert "replay 1 event?" in no.err
        assert "nothing was replayed" in no.err
        assert "paga: new, would be sent to default" in yes.out
        assert "1 event handed to the workers" in yes.out
        assert [event["replay"] for event in events_of(journal)] == [1]


@pytest.mark.parametrize("arguments", [[], ["1", "--name", "X"]])
def test_replay_wants_one_way_to_choose(commands: Commands, arguments: list[str]) -> None:
    """Either events are named or they are chosen."""
    said = commands.run("events", "replay", *arguments)

    assert said.status == 2
    assert "either name events or choose them" in said.err


def test_replay_does_not_ask_where_nobody_can_answer(commands: Commands) -> None:
    """Without a terminal --yes is needed, and nothing is done before that is said."""
    with commands.journal() as journal:
        keep(journal, incoming())
        said = commands.run("events", "replay", "1")

        assert (said.status, said.out) == (2, "")
        assert "--yes" in said.err


def test_replay_of_nothing_is_no(commands: Commands) -> None:
    """Where no event is chosen, nothing is replayed, with status 1."""
    with commands.journal():
        said = commands.run("events", "replay", "--name", "NOPE", "--yes")

    assert (said.status, said.err) == (1, "nothing was replayed\n")


def test_list_on_a_terminal_is_a_table(commands: Commands) -> None:
    """A terminal gets folded columns, the same cells."""
    with commands.journal() as journal:
        owe(journal)
    said = commands.on_terminal("events", "list")

    assert said.status == 0
    assert "PAYMENT_RECEIVED" in said.out
    assert "1 pending" in said.out


def test_states_of_a_delivery_in_words(commands: Commands) -> None:
    """Second in line, paused, delivered at the second try: each is said."""
    with commands.journal() as journal:
        first = owe(journal)
        owe(journal, event_id=1, mapping="segunda")
        put_in_state(journal, first, DeliveryState.PENDING, waiting="paused", reason="the destination is paused")
        paused = commands.run("events", "show", "1").out
        actions.discard(journal, first, NOW_MS)
        free = commands.run("events", "show", "1").out
        put_in_state(journal, first, DeliveryState.DELIVERED, attempts=2)
        twice = commands.run("events", "show", "1").out

    assert "pending: waits until the destination is resumed; the destination is paused" in paused
    assert "pending: waits for the delivery before it of the same customer" in paused
    assert "pending: is sent next" in free
    assert "discarded: a person discarded it" in free
    assert "delivered to default, try 2" in twice


def test_revision_is_named(commands: Commands) -> None:
    """The revision of the mapping that made a payload is shown."""
    with commands.journal() as journal:
        number = revision(journal)
        owe(journal)

    assert f"revision {number}" in commands.run("events", "show", "1").out


def test_preview_of_an_unknown_event_is_not_found(commands: Commands) -> None:
    """An event that vanished between choosing and looking is said like any other that is not there."""
    with commands.journal(), closing(Runtime(Settings.from_env(commands.environ))) as runtime:
        found = preview(runtime, [99], None, [])

        with pytest.raises(NotFound, match="no event has the number 99"):
            list(found)


def test_what_retention_emptied_is_said_everywhere(commands: Commands) -> None:
    """Show says when and why; replay, its preview and explain refuse in one line."""
    with commands.journal() as journal:
        (event_id,) = kept(journal, incoming())
        with journal.database.write() as connection:
            assert retention.empty(connection, [event_id], NOW_MS + 1, NOW_MS) == 1

    shown = commands.run("events", "show", str(event_id))
    assert "body, payloads and answers were erased (BRIDGE_RETENTION_DAYS)" in shown.out
    assert json.loads(commands.run("events", "show", str(event_id), "--json").out)["body"] is None
    for asked in (
        ["events", "replay", str(event_id), "--yes"],
        ["events", "replay", str(event_id), "--dry-run"],
        ["mappings", "sample", "--event-id", str(event_id)],
    ):
        said = commands.run(*asked)
        assert said.status == 1
        assert said.err.strip().endswith(f"the body of event {event_id} was emptied after BRIDGE_RETENTION_DAYS")


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("criada", "mapping criada does not listen to it"),
        ("desligada", "mapping desligada is switched off"),
        ("outra", "mapping outra is for another account"),
    ],
)
def test_a_dry_run_through_one_mapping_says_why_that_one_takes_nothing(
    commands: Commands, mapping: str, said: str
) -> None:
    """Another mapping listens to the event, so nobody may say that none does."""
    commands.has_mapping("paga", MAPPING)
    commands.has_mapping("criada", MAPPING.replace("PAYMENT_RECEIVED", "PAYMENT_CREATED"))
    commands.has_mapping("desligada", f"{MAPPING}enabled: false\n")
    commands.has_mapping("outra", f"{MAPPING}account: matriz\n")
    with commands.journal() as journal:
        kept(journal, incoming())
    runtime = Runtime(Settings.from_env({**commands.environ, "CLINT_WEBHOOK_URL": "https://clint.example/a", **MATRIZ}))
    runtime.register()
    runtime.close()
    shown = commands.run("events", "replay", "1", "--mapping", mapping, "--dry-run")

    assert said in shown.out
    assert "no active mapping" not in shown.out


def test_a_replay_through_a_mapping_that_is_not_there_is_refused(commands: Commands) -> None:
    """Also without a look at what would change: nothing would come of it."""
    with commands.journal() as journal:
        kept(journal, incoming())

    assert commands.run("events", "replay", "1", "--mapping", "nada", "--yes").status == 2


def test_events_without_a_body_are_not_chosen_for_a_replay(commands: Commands) -> None:
    """Retention emptied one of two; the other is replayed."""
    with commands.journal() as journal:
        emptied, full = kept(journal, incoming(), incoming())
        with journal.database.write() as connection:
            connection.execute(event_table.update().where(event_table.c.id == emptied).values(emptied_ms=NOW_MS))
    said = commands.run("events", "replay", "--name", "PAYMENT_RECEIVED", "--yes", "--json")

    assert [one["id"] for one in said.json] == [full]
