"""One try to send."""

from __future__ import annotations

from collections.abc import Callable

from bridge.clint.webhook import Answer
from bridge.journal import Lease
from bridge.journal.deliveries import DueDelivery
from bridge.journal.destinations import url_digest
from bridge.messages import Message
from bridge.model import DeliveryState, Outcome, idempotency_key, trace_id, traceparent
from bridge.pipeline import deliver

NOW_MS = 1_795_000_000_000
OK = Answer(Outcome.DELIVERED, 200, "clint.ok", Message("the destination answered 200"), None, 3, "")
OWED = DueDelivery(
    id=7,
    event_id=3,
    event_key="evt&1",
    mapping="paga",
    replay=2,
    account="default",
    subject="cus_1",
    line="default",
    lane=5,
    destination="default",
    object_id="pay_1",
    order_at="",
    order_rank=0,
    skip_stale=True,
    payload='{"nome": "Ana"}',
    state=DeliveryState.SENDING,
    attempts=4,
    forgiven=0,
    received_ms=0,
)


URL = "https://clint.example/x"


class Client:
    """A destination's client that notes what it was asked, and answers or breaks as it is told."""

    def __init__(self, says: Answer | Exception = OK) -> None:
        self.says = says
        self.asked: list[tuple[str, str, str, str]] = []

    def send_later(
        self,
        url: str,
        payload: str,
        idempotency_key: str,
        on_result: Callable[[Answer | None], None],
        *,
        traceparent: str,
        may_start: Callable[[], bool],
    ) -> None:
        """Note the request."""
        if not may_start():
            on_result(None)
            return
        self.asked.append((url, payload, idempotency_key, traceparent))
        if isinstance(self.says, Exception):
            raise self.says
        on_result(self.says)


def made(client: Client, *, until_ms: int = NOW_MS + 30_000, owed: DueDelivery = OWED) -> deliver.SendResult:
    """Make one try under a lease that ends then."""
    lease, sent = Lease(5, "one", 1, until_ms), list[deliver.SendResult]()
    urls = {OWED.destination: URL}
    deliver.send(client, urls, owed, lease, sent.append, longest_ms=11_000, clock_ms=lambda: NOW_MS)
    assert len(sent) == 1
    return sent[0]


def test_a_try_sends_the_payload_with_the_deliverys_key() -> None:
    """The same key for every try of one delivery, another for another replay."""
    client = Client()

    assert made(client) == deliver.SendResult(OWED, 5, 1, OK, url_digest(URL))
    key = idempotency_key("default", "evt&1", "paga", 2)
    parent = traceparent(trace_id("default", "evt&1"), OWED.id, 5)
    assert client.asked == [(URL, OWED.payload, key, parent)]


def test_nothing_is_sent_where_the_lease_could_run_out_first() -> None:
    """A process that slept since the intent was committed must not send beside the lane's next owner."""
    client = Client()

    assert made(client, until_ms=NOW_MS + 10_999) == deliver.SendResult(OWED, 5, 1, None, url_digest(URL))
    assert client.asked == []
    assert made(client, until_ms=NOW_MS + 11_000).answer is OK


def test_a_fault_of_the_client_is_an_answer_that_is_tried_again() -> None:
    """An error of ours must cost this one delivery a try, and not the answers of all others on their way."""
    answer = made(Client(ValueError("holds maria@example.com"))).answer

    assert answer is not None
    assert (answer.outcome, answer.code, answer.status) == (Outcome.RETRY, "bridge.fault", None)
    assert str(answer.detail) == "the bridge failed to send (ValueError); the log has the details"
