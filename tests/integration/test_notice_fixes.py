"""Every notice code: what fixes the thing closes its notice at once, not at the next look of a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from bridge.alerts import plan as alert_plan
from bridge.asaas.client import AsaasClient
from bridge.asaas.limiter import AccountLimiter
from bridge.asaas.webhooks import CODES, KEY_REFUSED, Webhook, Webhooks
from bridge.clint.directory import ClintAccount
from bridge.clint.webhook import Answer
from bridge.crypto import Keyring, new_key
from bridge.http import HttpClient
from bridge.journal import Database, Journal, destinations, jobs, notices, revisions, upgrade
from bridge.journal.audit import Actor
from bridge.journal.schema import destinations as destination_table
from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.messages import Message
from bridge.model import DeliveryState, NoticeLevel, Origin, Outcome, lane_of
from bridge.operations import actions
from bridge.operations.accounts import add_account, add_destination
from bridge.operations.backfill import append_events
from bridge.operations.read_back import NOT_SEEN, ReadBacks
from bridge.operations.webhooks import WantedWebhook, apply, judge, plan, resumed
from bridge.pipeline.account_events import ACCESS_TOKEN, RULES
from bridge.pipeline.active_mappings import ActiveMapping, ActiveMappings
from bridge.pipeline.decide import Decider
from bridge.pipeline.deliver import Recorder
from bridge.pipeline.deliver import SendResult as Attempt
from bridge.pipeline.enrich import Cache, Enricher
from bridge.pipeline.policy import CircuitLimits, RetryPolicy
from bridge.redis_client import OptionalRedis
from bridge.settings import Settings
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from bridge.worker.tasks import MISSING
from tests.factories import NOW_MS, Clock, acquire, begin, incoming, keep, noticed, owe, owed, put_in_state, register
from tests.simulated import AsaasSimulator

HOOK = "https://bridge.example/webhooks/asaas"
TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"
TEXT = "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n"
ANA = Actor("operator Ana")


class World:
    """A journal with an open notice, and what a person or Asaas may do about it."""

    def __init__(self, journal: Journal, asaas: AsaasSimulator, webhooks: Webhooks) -> None:
        self.journal = journal
        self.clock = Clock()
        self.asaas = asaas
        self.webhooks = webhooks
        self.maps(TEXT)

    def maps(self, text: str) -> None:
        """Make this the newest revision of the mapping."""
        with self.journal.database.write() as connection:
            revisions.import_text(connection, "paga", text, "file", "test", self.clock())
        self.clock.go(2)

    @property
    def mapping(self) -> Mapping:
        found = parse_mapping(TEXT, "paga.yaml", Setup(None, None)).mapping
        assert found is not None
        return found

    def says(self, code: str, about: str, level: NoticeLevel = NoticeLevel.ERROR) -> None:
        """Raise a notice."""
        with self.journal.database.write() as connection:
            notices.apply(connection, [noticed(code, about, level, "it is so", "mend it")], self.clock())

    def judges(self, webhooks: list[Webhook] | None = None) -> None:
        """Let what Asaas has be judged, as after each change and by the watch."""
        found = self.webhooks.all() if webhooks is None else webhooks
        judge(self.journal, "default", found, [self.mapping], "", self.clock())

    def codes(self) -> set[str]:
        """Return the codes of the open notices."""
        with self.journal.database.read() as connection:
            return {one.code for one in notices.open_notices(connection)}

    # ------------------------------------------------------------ fixes

    def registers(self) -> None:
        """`bridge webhook register`."""
        wanted = WantedWebhook("default", HOOK, frozenset({"PAYMENT_RECEIVED"}), TOKEN, email="ana@example.com")
        done = apply(self.webhooks, plan(self.webhooks.all(), wanted))
        self.judges([done.webhook])

    def resumes(self) -> None:
        """`bridge webhook resume`."""
        self.judges(
            [replace(one, interrupted=False, penalised=0) for one, _ in resumed(self.webhooks, "default", None)]
        )

    def hears(self, origin: Origin = Origin.WEBHOOK) -> None:
        """An event comes and is processed."""
        self.clock.go(1)
        keep(self.journal, replace(incoming(), received_ms=self.clock(), origin=origin))
        self.clock.go(1)
        enricher = Enricher({}, Cache(OptionalRedis(None)))
        processor = Decider(
            self.journal, ActiveMappings(self.journal, self.clock), enricher, lambda _account: "sandbox", self.clock
        )
        lane = lane_of("default", "cus_1", self.journal.lane_count)
        lease = acquire(self.journal.lanes, lane, "worker", self.clock())
        assert lease is not None
        for found in processor.next_batches([lane]):
            processor.commit([lease], found)
        self.journal.lanes.release_all([lease])

    def sets_key(self) -> None:
        """`bridge accounts add`."""
        add_account(
            self.journal, Settings.from_env({}), ANA, self.clock(), "filial", api_key="$aact_hmlg_new", token=TOKEN
        )

    def dead(self) -> int:
        """Return a dead delivery of the destination."""
        number = owe(self.journal)
        put_in_state(self.journal, number, DeliveryState.DEAD, due_ms=None)
        return number

    def reads_back(self, text: str) -> None:
        """Let the reader of deals see that the mapping is another."""
        active = [ActiveMapping(self.mapping_of(TEXT), 1)]

        class Mappings:
            def current(self) -> list[ActiveMapping]:
                return active

        account = ClintAccount(None, None)  # type: ignore[arg-type]  # nothing is due
        reader = ReadBacks(self.journal, lambda: account, Mappings().current, 30)
        reader.step(self.clock())
        active[:] = [ActiveMapping(self.mapping_of(text), 2)]
        reader.step(self.clock())

    @staticmethod
    def mapping_of(text: str) -> Mapping:
        found = parse_mapping(text + "verify: true\n", "paga.yaml", Setup(None, None)).mapping
        assert found is not None
        return found


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    """Give a world whose account has no webhook at Asaas."""
    simulator = AsaasSimulator()
    database = Database(sqlite_url, keyring=Keyring.from_text(new_key()))
    with closing(database), Served(simulator.app) as served, HttpClient(allow_private=True) as http:
        upgrade(database)
        governor = AccountLimiter("default", OptionalRedis(None))
        client = AsaasClient("default", DEFAULT_KEY, f"{served.url}/v3", http, governor)
        yield World(Journal(database, 30), simulator, Webhooks(client))
    simulator.close()


Does: TypeAlias = Callable[[World], object]


def hooked(**changes: Any) -> Does:
    """Return what makes a webhook at Asaas in which something is wrong, and lets it be judged."""

    def opens(world: World) -> None:
        world.asaas.posts_to(**{"url": HOOK, "token": TOKEN, "events": ["PAYMENT_RECEIVED"], **changes})
        world.judges()

    return opens


def says(code: str, about: str = "default", level: NoticeLevel = NoticeLevel.ERROR) -> Does:
    """Return what raises a notice."""
    return lambda world: world.says(code, about, level)


def paused(world: World) -> None:
    """Pause the destination, and say so."""
    register(world.journal)
    actions.pause(world.journal, "default", "being set up", NOW_MS)
    world.says(alert_plan.PAUSED, "default")


def several(world: World) -> None:
    """Two webhooks lead to the bridge."""
    hooked()(world)
    hooked()(world)


def removes_one(world: World) -> None:
    """A person removes what is left over, and registers."""
    world.webhooks.remove(world.webhooks.all()[0])
    world.registers()


def new_url(world: World) -> None:
    """`bridge destinations add` with another URL."""
    url = "https://functions-api.clint.example/endpoints/integration/webhook/5b0c1b6e-1111-4222-8333-944445555666"
    add_destination(world.journal, Settings.from_env({}), ANA, NOW_MS, "default", url)


def resumed_destination(world: World) -> None:
    """`bridge destinations resume`."""
    register(world.journal)
    actions.resume(world.journal, "default", NOW_MS)


FIXES: list[tuple[str, str, Does, Does]] = [
    ("webhook.missing", "register", World.judges, World.registers),
    ("webhook.missing", "an event", World.judges, World.hears),
    ("webhook.disabled", "register", hooked(enabled=False), World.registers),
    ("webhook.disabled", "an event", hooked(enabled=False), World.hears),
    ("webhook.interrupted", "resume", hooked(interrupted=True), World.resumes),
    ("webhook.interrupted", "an event", hooked(interrupted=True), World.hears),
    ("webhook.events", "register", hooked(events=["PAYMENT_CREATED"]), World.registers),
    ("webhook.slash", "register", hooked(url=f"{HOOK}/"), World.registers),
    ("webhook.version", "remove, register", says("webhook.version"), World.registers),
    ("webhook.several", "remove", several, removes_one),
    ("webhook.token", "an event", says("webhook.token"), World.hears),
    ("webhook.token", "register", says("webhook.token"), World.registers),
    ("webhook.penalised", "register", says("webhook.penalised"), World.registers),
    ("webhook.retention", "register", says("webhook.retention"), World.registers),
    ("webhook.retention", "an event", says("webhook.retention"), World.hears),
    (KEY_REFUSED, "an answer", says(KEY_REFUSED), World.judges),
    (KEY_REFUSED, "another key", says(KEY_REFUSED, "filial"), World.sets_key),
    (ACCESS_TOKEN, "an answer", says(ACCESS_TOKEN, "default/key_1"), World.judges),
    (ACCESS_TOKEN, "another key", says(ACCESS_TOKEN, "filial/key_1", NoticeLevel.WARNING), World.sets_key),
    (alert_plan.SILENT, "an event", says(alert_plan.SILENT), World.hears),
    (alert_plan.PAUSED, "resume", paused, resumed_destination),
    (alert_plan.PAUSED, "another URL", paused, new_url),
    (alert_plan.CIRCUIT, "resume", says(alert_plan.CIRCUIT), resumed_destination),
    (NOT_SEEN, "another mapping", says(NOT_SEEN, "default/paga"), lambda world: world.reads_back(TEXT + "line: x\n")),
]


@pytest.mark.parametrize(("code", "fix", "opens", "fixes"), FIXES, ids=[f"{code} by {fix}" for code, fix, *_ in FIXES])
def test_what_fixes_a_thing_closes_its_notice_at_once(
    world: World, code: str, fix: str, opens: Does, fixes: Does
) -> None:
    """The notice is open before, and closed when the fix returns."""
    opens(world)
    before = world.codes()
    fixes(world)

    assert code in before
    assert code not in world.codes(), fix


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_the_last_dead_delivery_closes_the_notice(world: World, action: str) -> None:
    """As long as another is dead the notice stays."""
    first, second = world.dead(), world.dead()
    world.says(alert_plan.DEAD, "default")
    does = {"retry": actions.retry, "discard": actions.discard}[action]
    does(world.journal, first, NOW_MS)
    between = world.codes()
    does(world.journal, second, NOW_MS)

    assert (between, world.codes()) == ({alert_plan.DEAD}, set())


def test_an_answer_that_closes_the_circuit_closes_its_notice(world: World) -> None:
    """In the transaction that records the answer."""
    register(world.journal)
    with world.journal.database.write() as connection:
        connection.execute(destination_table.update().values(state="half_open", opens=3, until_ms=NOW_MS + 9_000))
        known = destinations.load(connection)
    world.says(alert_plan.CIRCUIT, "default")
    owed_one = owed(world.journal, owe(world.journal))
    answer = Answer(Outcome.DELIVERED, 200, "clint.ok", Message(""), None, 1, "")
    with world.journal.database.write() as connection:
        begin(connection, [owed_one], 1, NOW_MS)
        settling = Recorder(RetryPolicy(10, 60, 3), CircuitLimits(3, 20, 4), world.clock, lambda: 0.5)
        sent = replace(owed_one, state=DeliveryState.SENDING, attempts=1)
        settling.record(connection, [Attempt(sent, 1, 1, answer)], known)

    assert world.codes() == set()


def test_a_backfill_lets_the_reconciliation_judge_again_at_once(world: World) -> None:
    """What was brought in may be all that was missing: the next round is due now, and its result closes the notice."""
    with world.journal.database.write() as connection:
        assert jobs.claim_run(connection, "reconcile:default", 86_400_000, NOW_MS)
        assert not jobs.claim_run(connection, "reconcile:default", 86_400_000, NOW_MS)
    list(append_events(world.journal, [incoming()], world.clock))
    with world.journal.database.write() as connection:
        assert jobs.claim_run(connection, "reconcile:default", 86_400_000, world.clock.go(1))


@pytest.mark.parametrize("origin", [Origin.BACKFILL])
def test_what_asaas_did_not_post_proves_nothing(world: World, origin: Origin) -> None:
    """An event that was fetched says nothing of the webhook; nor does one from before the notice."""
    world.judges()
    world.hears(origin)
    world.clock.go(-60)
    world.hears()

    assert world.codes() == {"webhook.missing"}


def test_each_code_has_its_fix_here() -> None:
    """Asaas's events about the account close their own (see test_account_events); test_alerts has the look's own."""
    of_account = {rule.code for rule in RULES.values()} - {ACCESS_TOKEN}
    elsewhere = {alert_plan.DEAD, alert_plan.BEHIND, alert_plan.HELD, MISSING}
    elsewhere |= {alert_plan.UNHEARD, alert_plan.BROKEN, alert_plan.REFUSED, alert_plan.OVERLAP, alert_plan.FAILING}
    raised = {*CODES, KEY_REFUSED, NOT_SEEN, *alert_plan.CODES, ACCESS_TOKEN, MISSING}

    assert {code for code, *_ in FIXES} | elsewhere == raised
    assert not raised & of_account
