"""Every reason code of the catalogue, made to happen once by the real stages, and what an operator reads of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from bridge.asaas.client import AsaasClient
from bridge.asaas.incoming import parse_event
from bridge.asaas.limiter import AccountLimiter, Limits
from bridge.http import HttpClient, NameNotResolved
from bridge.journal import Journal, Lease, revisions
from bridge.journal.schema import deliveries, destinations
from bridge.messages import in_language, read_message
from bridge.model import DeliveryState, lane_of
from bridge.operations import actions
from bridge.operations.proof import Code
from bridge.pipeline import policy
from bridge.pipeline.active_mappings import ActiveMappings
from bridge.pipeline.decide import Decider
from bridge.pipeline.deliver import Deliverer, DeliveryRules, Pacing
from bridge.pipeline.enrich import Cache, Enricher, Lifetimes
from bridge.pipeline.policy import RetryPolicy
from bridge.reasons import REASONS, reason
from bridge.redis_client import OptionalRedis
from tests.factories import (
    NOW_MS,
    Clock,
    acquire,
    begin,
    envelope,
    events_of,
    keep,
    opened_journal,
    owe,
    owed,
    payment,
    put_in_state,
    register,
    row_of,
    rows_of,
    tries_of,
)
from tests.integration.test_deals import MADE_TO_HAPPEN
from tests.peers import Peer, Reply, clint_client, closed_port

Sends: TypeAlias = Callable[["Sending"], None]

FIXED = "events: [PAYMENT_RECEIVED]\ncontact: {email: \"'ana@example.com'\"}\n"
CUSTOMER = "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email, fone: phone(customer.mobilePhone)}\n"
FOUND = Reply(body=b'{"id": "cus_1", "email": "ana@example.com"}')
FOREIGN = Path(__file__).parent.parent / "data" / "cases" / "customer_of_another_account.json"


def condition(text: str) -> str:
    """Return a mapping with this filter."""
    return f"{FIXED}filter: {text}\n"


@dataclass(frozen=True)
class Decided:
    """What the deciding half makes of an event: its mapping, its charge, and Asaas's answer."""

    code: str
    facts: tuple[str, ...]
    mapping: str = CUSTOMER
    charge: tuple[tuple[str, Any], ...] = ()
    asaas: Reply | None = FOUND
    """None: the account has no key."""
    quota: int = 25_000
    body: str = ""
    events: int = 1
    by_api: bool = False


PLAN = (("installment", "ins_1"), ("installmentNumber", 2))
DECIDED = [
    Decided("filter.installment", ("2",), f"{FIXED}installments: first\n", PLAN),
    Decided("filter.once", ("once",), f"{FIXED}installments: once\n", PLAN, events=2),
    Decided("filter.compare", ("payment.billingType", "PIX"), condition("{field: payment.billingType, equals: X}")),
    Decided("filter.exists", ("payment.split",), condition("{field: payment.split, exists: true}")),
    Decided("filter.absent", ("payment.value",), condition("{field: payment.value, exists: false}")),
    Decided("filter.expression", ("payment.split",), condition("{expression: payment.split}")),
    Decided("filter.any", ("1",), condition("{any: [{field: payment.billingType, equals: BOLETO}]}")),
    Decided("filter.not", ("payment.billingType",), condition("{not: {field: payment.billingType, equals: PIX}}")),
    Decided("filter.failed", ("payment.description",), condition("{field: payment.description, at_least: 5}")),
    Decided("transform.expression", ("dia",), f"{FIXED}deal:\n  dia: date(payment.description, '%d/%m/%Y')\n"),
    Decided(
        "transform.required_missing", ("pedido",), f"{FIXED}deal: {{pedido: {{from: payment.x, required: true}}}}\n"
    ),
    Decided("transform.no_contact", ("email", "fone"), asaas=Reply(body=b'{"id": "cus_1", "name": "Ana"}')),
    Decided(
        "transform.no_deal_key",
        ("payment.externalReference",),
        f"{FIXED}one_deal_per: {{expression: payment.externalReference}}\n",
        by_api=True,
    ),
    Decided("bridge.fault", ("AttributeError",), FIXED, body="[]"),
    Decided("asaas.rejected", ("400", "invalid_x"), asaas=Reply(400, b'{"errors": [{"code": "invalid_x"}]}')),
    Decided("asaas.not_found", ("cus_1", "404", "API key"), asaas=Reply(404, b"")),
    Decided("asaas.unavailable", ("503",), asaas=Reply(503)),
    Decided("asaas.rate_limited", ("429",), asaas=Reply(429)),
    Decided("asaas.quota_spent", ("500",), quota=500),
    Decided("asaas.key_refused", ("401", "revoked"), asaas=Reply(401, b'{"errors":[{"code":"invalid_access_token"}]}')),
    Decided("asaas.key_missing", ("bridge accounts add",), asaas=None),
    Decided("mapping.refused", ("paga",), "events: [PAYMENT_RECEIVED]\nnonsense: 1\n"),
    Decided("event.behind", ("earlier",), asaas=Reply(503), events=2),
]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Give a journal."""
    with opened_journal(f"sqlite:///{tmp_path}/journal.db") as made:
        yield made


def processed(journal: Journal, case: Decided, body: dict[str, Any]) -> None:
    """Let the deciding half work on these events."""
    clock = Clock()
    with journal.database.write() as connection:
        revisions.import_text(connection, "paga", case.mapping, "file", "test", NOW_MS)
    with Peer(case.asaas or Reply()) as peer, HttpClient(allow_private=True) as http:
        governor = AccountLimiter("default", OptionalRedis(None), Limits(quota=case.quota))
        client = AsaasClient("default", "key", peer.url, http, governor)
        cache = Cache(OptionalRedis(None), Lifetimes(customer_s=0, nothing_s=0))
        enricher = Enricher({"default": client} if case.asaas else {}, cache)
        more: dict[str, Any] = {"is_api": lambda _name: case.by_api}
        mappings = ActiveMappings(journal, clock)
        processor = Decider(journal, mappings, enricher, lambda _account: "sandbox", clock, **more)
        for number in range(case.events):
            event = parse_event("default", json.dumps({**body, "id": f"evt_{number}"}).encode(), NOW_MS)
            keep(journal, replace(event, body=case.body or event.body))
            lane = lane_of("default", event.subject, journal.lane_count)
            lease = acquire(journal.lanes, lane, "worker", clock())
            assert lease is not None
            for found in processor.next_batches([lane]):
                processor.commit([lease], processor.fetch(found) if found.must_fetch else found)
            journal.lanes.release_all([lease])


@pytest.mark.parametrize("case", DECIDED, ids=lambda case: case.code)
def test_each_reason_of_a_decision_names_its_own_cause(journal: Journal, case: Decided) -> None:
    """The last event's delivery, or its hold, has the code and the facts of what happened."""
    processed(journal, case, envelope(payment=payment(**dict(case.charge))))
    event, rows = events_of(journal)[-1], rows_of(journal)
    if event["hold_code"]:
        code, said = event["hold_code"], event["hold_reason"]
    else:
        code, said = rows[-1]["reason_code"], rows[-1]["reason"]

    assert code == case.code
    assert [fact for fact in case.facts if fact not in said] == []
    reads(code)


def test_a_customer_of_another_account_is_said_as_asaas_said_it(journal: Journal) -> None:
    """The customer has e-mail and phone, in the account that the event came from; completing it would mend nothing."""
    processed(journal, Decided("", (), asaas=Reply(404, b"")), json.loads(FOREIGN.read_text()))
    (row,) = rows_of(journal)

    assert (row["state"], row["reason_code"]) == ("dead", "asaas.not_found")
    assert "cus_sub000001" in row["reason"]
    assert "complete the customer" not in row["reason"]


def test_a_filter_that_lacks_what_asaas_has_not_says_so(journal: Journal) -> None:
    """Filtered for want of a value that Asaas answered 404 for: the reason has both."""
    case = Decided("", (), condition("{field: customer.city, equals: Recife}"), asaas=Reply(404, b""))
    processed(journal, case, envelope())
    (row,) = rows_of(journal)

    assert (row["state"], row["reason_code"]) == ("filtered", "filter.compare")
    assert [fact for fact in ("404", "customer.city") if fact not in row["reason"]] == []


def reads(code: str) -> None:
    """Assert that an operator finds a sentence for the code in both languages."""
    for language in ("en", "pt"):
        with in_language(language):
            said = reason(code)
        assert said is not None, code
        assert said.means


# ---------------------------------------------------------------- what the sending half says


class Sending:
    """One delivery on its way to one destination."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.clock = Clock()
        self.stack = ExitStack()
        self.client: dict[str, Any] = {"allow_private": True, "deadline_s": 2.0}
        self.urls: dict[str, str] = {}
        self.pace: Pacing | None = None
        self.tries = 3
        self.leads_to(self.stack.enter_context(Peer()).url)
        self.id = owe(journal)

    def leads_to(self, url: str) -> None:
        """Give the destination this URL."""
        self.urls = {"default": url}
        register(self.journal, **self.urls)

    def answers(self, status: int, **more: Any) -> None:
        """Let the destination answer so."""
        self.leads_to(self.stack.enter_context(Peer(Reply(status, **more))).url)

    def answers_too_late(self) -> None:
        """Let the destination answer after the deadline."""
        self.client["deadline_s"] = 0.2
        self.answers(200, after_s=0.6)

    def resolves(self, *addresses: str) -> None:
        """Let the destination's name lead there, or nowhere."""

        def lookup(_host: str, _port: int) -> list[str]:
            if not addresses:
                raise NameNotResolved("no address")
            return list(addresses)

        self.client = {"lookup": lookup, "deadline_s": 2.0, "allow_private": False}
        self.leads_to("https://clint.example/a")

    def lease(self, owner: str = "worker") -> Lease:
        """Lease the customer's lane."""
        lease = acquire(self.journal.lanes, self.lane, owner, self.clock())
        assert lease is not None
        return lease

    @property
    def lane(self) -> int:
        return lane_of("default", "cus_1", self.journal.lane_count)

    def run(self, sleeps_s: float = 0) -> None:
        """Send what is due; after the claim the process may sleep."""
        client = self.stack.enter_context(clint_client(**self.client))

        def begin(*arguments: Any, **more: Any) -> None:
            self.clock.go(sleeps_s)
            client.send_later(*arguments, **more)

        rules = DeliveryRules(RetryPolicy(10, 60, self.tries), policy.CircuitLimits(3, 20, 4), 8, 3_000)
        sender = SimpleNamespace(send_later=begin)
        outbox = Deliverer(self.journal, sender, self.urls, rules, self.clock, lambda: 0.5, pace=self.pace)
        lease = self.lease()
        claims = [lease]
        while outbox.turn([lease], claims, lambda: False).more or outbox.in_flight:
            claims = []
            if outbox.in_flight:
                outbox.wait(2)

    def does_not_know(self) -> None:
        """Take the attempt over from a worker that died."""
        lease = self.lease()
        with self.journal.database.write() as connection:
            begin(connection, [owed(self.journal, self.id)], lease.fence, self.clock())
        self.clock.go(60)
        self.lease("other")

    def is_stale(self) -> None:
        """Let a newer event of the charge be delivered already."""
        newer = owe(self.journal, line="other", order_at="2026-11-23 10:00:00")
        put_in_state(self.journal, newer, DeliveryState.DELIVERED, line="default", due_ms=None)
        self.run()

    def fails_for_many(self) -> None:
        """Open the destination's circuit."""
        with self.journal.database.write() as connection:
            connection.execute(destinations.update().values(state="open", opens=1, until_ms=NOW_MS + 10_000))
        self.run()

    def is_unreadable(self, payload: str) -> None:
        """Send what is no JSON."""
        with self.journal.database.write() as connection:
            connection.execute(deliveries.update().values(payload=payload))
        self.run()

    def not_set(self) -> None:
        """Send where the environment names no destination."""
        self.urls = {}
        self.run()

    def finds_no_slot(self) -> None:
        """Send under a limit that is used up."""
        self.pace = lambda _destination, _account, now_ms: now_ms + 5_000
        self.run()


def status(number: int, *facts: str, code: str = "") -> tuple[str, Sends, tuple[str, ...]]:
    """Return the row of an answer by its status."""

    def sends(sending: Sending) -> None:
        sending.answers(number)
        sending.run()

    return code or f"clint.http_{number}", sends, facts or (str(number),)


def then_run(prepare: Sends) -> Sends:
    """Return what prepares and sends."""

    def sends(sending: Sending) -> None:
        prepare(sending)
        sending.run()

    return sends


def one_try(sending: Sending) -> None:
    """Send with no further try."""
    sending.tries = 1
    sending.answers(500)
    sending.run()


def to_a_closed_port(sending: Sending) -> None:
    """Send where nobody listens."""
    with closed_port() as port:
        sending.leads_to(f"http://127.0.0.1:{port}")
        sending.run()


def pause(sending: Sending) -> None:
    """Let a person pause the destination."""
    actions.pause(sending.journal, "default", "being set up", sending.clock())


def another_url(sending: Sending) -> None:
    """Send to the URL that the destination had before."""
    sending.answers(404)
    register(sending.journal, default="https://clint.example/new")
    sending.run()


def discard(sending: Sending) -> None:
    """Let a person discard the delivery."""
    actions.discard(sending.journal, sending.id, sending.clock())


def replace_by_replay(sending: Sending) -> None:
    """Replay the delivery's event, which discards it."""
    event_id = row_of(sending.journal, sending.id)["event_id"]
    actions.replay(sending.journal, event_id, None, sending.clock(), instead_of=sending.id)


SENT: list[tuple[str, Sends, tuple[str, ...]]] = [
    status(200, code="clint.ok"),
    status(404, "404", code="clint.removed"),
    status(302, "302", code="clint.redirect"),
    *(status(number) for number in (400, 401, 403, 413, 422, 418, 429, 503)),
    ("clint.timeout", then_run(lambda sending: sending.answers_too_late()), ("0.2 s",)),
    ("clint.connection", to_a_closed_port, ("connection",)),
    ("clint.dns", then_run(lambda sending: sending.resolves()), ("name",)),
    ("clint.private_address", then_run(lambda sending: sending.resolves("127.0.0.1")), ("this machine",)),
    ("clint.tls", then_run(lambda s: s.leads_to(s.urls["default"].replace("http:", "https:"))), ("secure",)),
    ("clint.url", then_run(lambda sending: sending.leads_to("ftp://clint.example")), ("URL",)),
    ("clint.payload", lambda sending: sending.is_unreadable('{"valor": NaN}'), ("JSON",)),
    ("destination.not_set", Sending.not_set, ("default",)),
    ("destination.paused", then_run(pause), ("being set up",)),
    ("destination.url_changed", another_url, ("404",)),
    ("destination.circuit_open", Sending.fails_for_many, ("default",)),
    ("destination.rate_limit", Sending.finds_no_slot, ("default",)),
    ("attempt.not_sent", lambda sending: sending.run(sleeps_s=40), ("lease",)),
    ("attempt.unknown", Sending.does_not_know, ()),
    ("delivery.attempts_spent", one_try, ("500", "try 1")),
    ("delivery.stale", Sending.is_stale, ("2026-11-23",)),
    ("delivery.discarded", discard, ()),
    ("delivery.replaced", replace_by_replay, ()),
]


@pytest.mark.parametrize(("code", "sends", "facts"), SENT, ids=[code for code, *_ in SENT])
def test_each_reason_of_a_send_names_its_own_cause(
    journal: Journal, code: str, sends: Sends, facts: tuple[str, ...]
) -> None:
    """The delivery, or its attempt where it was taken, has the code and the facts of what happened."""
    sending = Sending(journal)
    with sending.stack:
        sends(sending)
    row, tries = row_of(journal, sending.id), tries_of(journal, sending.id)
    texts = {row["reason_code"]: row["reason"], **{one["code"]: one["detail"] for one in tries}}
    said = {key: str(read_message(text)) for key, text in texts.items()}

    assert code in said
    assert [fact for fact in facts if fact not in said[code]] == []
    reads(code)


@pytest.mark.parametrize("code", sorted(MADE_TO_HAPPEN))
def test_each_reason_of_a_deal_has_its_sentence(code: str) -> None:
    """Those of deliveries by Clint's API, which test_deals makes happen."""
    reads(code)


def test_the_walk_leaves_out_no_code() -> None:
    """A code that joins the catalogue must be made to happen here; what a deal proves is walked in test_proof."""
    walked = {case.code for case in DECIDED} | {code for code, *_ in SENT} | set(Code) | MADE_TO_HAPPEN
    by_status = {"clint.http_4xx": "clint.http_418", "clint.http_5xx": "clint.http_503"}

    assert {by_status.get(code, code) for code in REASONS} == walked
