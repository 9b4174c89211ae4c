"""The sending of the simulated Asaas: what arrives at a real receiver, when, and how often."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from bridge.simulator.asaas.sender import (
    MOST_FAILURES,
    WAIT_BEFORE_TRY_S,
    Event,
    SendAttempt,
    WebhookQueue,
)
from tests import asking
from tests.simulated import AsaasSimulator
from tests.simulator.conftest import QUICK, Inbox

TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"


def until(condition: Any, timeout_s: float = 5.0) -> bool:
    """Wait until something is so; false when it does not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_event_is_posted_as_the_real_one(asaas: AsaasSimulator, inbox: Inbox) -> None:
    """An event carries the token in its header, is JSON in UTF-8, and has the envelope of today."""
    asaas.posts_to(inbox.url, TOKEN)
    asaas.has_payment(asaas.has_customer(), description="Ação")

    assert asaas.is_settled()
    assert inbox.headers[0]["Asaas-Access-Token"] == TOKEN
    assert inbox.headers[0]["Content-Type"] == "application/json"
    assert list(inbox.bodies[0]) == ["id", "event", "dateCreated", "account", "payment"]
    assert inbox.bodies[0]["payment"]["description"] == "Ação"
    assert inbox.bodies[0]["payment"]["value"] == 100.0
    assert "Ação".encode() in asaas.book.events[0].body


def test_webhook_gets_what_it_asked_for(asaas: AsaasSimulator, inbox: Inbox) -> None:
    """A webhook gets the events it names, without a token when it has none; a disabled one gets nothing, also later."""
    asaas.posts_to(inbox.url, events=["PAYMENT_RECEIVED"])
    off = asaas.posts_to(inbox.url, enabled=False)["id"]
    asaas.is_paid(asaas.has_payment(asaas.has_customer())["id"])
    asaas.webhooks.update(off, {"enabled": True})

    assert asaas.is_settled()
    assert inbox.names == ["PAYMENT_RECEIVED"]
    assert "Asaas-Access-Token" not in inbox.headers[0]


@pytest.mark.parametrize("status", [201, 202, 204, 301, 404, 500])
def test_only_200_counts(asaas: AsaasSimulator, inbox: Inbox, status: int) -> None:
    """Any other status is a failure, a redirect is not followed, and the same event comes again."""
    inbox.statuses = [status]
    asaas.posts_to(inbox.url)
    asaas.has_payment(asaas.has_customer())

    assert asaas.is_settled()
    assert [attempt.status for attempt in asaas.webhooks.tries] == [status, 200]
    assert inbox.bodies[0] == inbox.bodies[1]


def test_nothing_passes_a_penalised_event_in_order(asaas: AsaasSimulator, inbox: Inbox) -> None:
    """SEQUENTIALLY: while the first event fails, the next ones wait, and never two are on their way."""
    inbox.statuses = [500, 500]
    asaas.posts_to(inbox.url)
    charges = [asaas.has_payment(asaas.has_customer())["id"] for _ in range(3)]

    assert asaas.is_settled()
    assert [body["payment"]["id"] for body in inbox.bodies] == [charges[0]] * 3 + charges[1:]
    assert inbox.most_at_once == 1


def test_others_pass_a_penalised_event_without_order(inbox: Inbox) -> None:
    """NON_SEQUENTIALLY: other events go on, several at once, while one waits for its penalty."""
    asaas = AsaasSimulator(webhook_time_scale=0.01)
    inbox.hold.clear()
    asaas.posts_to(inbox.url, send_type="NON_SEQUENTIALLY")
    customer = asaas.has_customer()
    charges = [asaas.has_payment(customer)["id"] for _ in range(4)]
    assert until(lambda: inbox.most_at_once == 4)
    inbox.statuses = [500]
    inbox.hold.set()

    assert asaas.is_settled()
    assert len(inbox.bodies) == 5
    assert {body["payment"]["id"] for body in inbox.bodies} == set(charges)
    assert inbox.bodies[4]["id"] == inbox.bodies[0]["id"]
    asaas.close()


def test_queue_pauses_after_fifteen_failures(asaas: AsaasSimulator, inbox: Inbox) -> None:
    """After fifteen failures the queue stands still and keeps what comes; switched on again it sends all in order."""
    inbox.always = 503
    webhook = asaas.posts_to(inbox.url)["id"]
    asaas.has_payment(asaas.has_customer())
    assert until(lambda: asaas.webhooks.get(webhook)["interrupted"], 10)
    asaas.has_payment(asaas.has_customer())
    tries = len(asaas.webhooks.tries)
    paused = asaas.webhooks.get(webhook)
    inbox.always = None
    asaas.webhooks.update(webhook, {"interrupted": False})

    assert (tries, paused["penalizedRequestsCount"]) == (15, 15)
    assert asaas.is_settled()
    assert inbox.names[15:] == ["PAYMENT_CREATED"] * 2
    assert [attempt.number for attempt in asaas.webhooks.tries] == [*range(1, 16), 1, 1]
    assert asaas.webhooks.get(webhook)["penalizedRequestsCount"] == 0


def test_penalties_are_the_documented_ones() -> None:
    """The waits of fifteen tries add up to about thirteen hours."""
    assert len(WAIT_BEFORE_TRY_S) == MOST_FAILURES == 15
    assert WAIT_BEFORE_TRY_S[1:5] == (30, 60, 210, 300)
    assert sum(WAIT_BEFORE_TRY_S) / 3600 == pytest.approx(12.8, abs=0.1)


def test_penalty_can_be_taken_away(inbox: Inbox) -> None:
    """removeBackoff sends at once what would have waited."""
    asaas = AsaasSimulator(webhook_time_scale=100)
    inbox.statuses = [500]
    webhook = asaas.posts_to(inbox.url)["id"]
    asaas.has_payment(asaas.has_customer())
    assert until(lambda: len(asaas.webhooks.tries) == 1)
    assert not asaas.is_settled(0.1)
    asaas.webhooks.remove_backoff(webhook)

    assert asaas.is_settled()
    asaas.close()


def test_unreachable_receiver_is_a_failure(asaas: AsaasSimulator) -> None:
    """A connection that fails is a try without a status, with the error's name."""
    asaas.posts_to("http://127.0.0.1:9/hook")
    asaas.has_payment(asaas.has_customer())

    assert until(lambda: asaas.webhooks.tries)
    assert (asaas.webhooks.tries[0].status, asaas.webhooks.tries[0].error) == (None, "ConnectError")


def a_queue(inbox: Inbox, client: httpx.Client, tries: list[SendAttempt], kept_s: float = 60) -> WebhookQueue:
    """Make a queue of its own, paused."""
    webhook = {"id": "w", "url": inbox.url, "enabled": True, "interrupted": True, "sendType": "SEQUENTIALLY"}
    webhook["events"] = ["CHECKOUT_PAID"]
    return WebhookQueue(webhook, None, client, tries, QUICK, kept_s=kept_s)


def an_event(number: int) -> Event:
    """Make an event that belongs to no charge."""
    return Event(f"evt_1&{number}", "CHECKOUT_PAID", b"{}")


def test_old_events_are_dropped(inbox: Inbox) -> None:
    """What waited longer than it is kept is never sent."""
    tries: list[SendAttempt] = []
    with asking.client() as client:
        queue = a_queue(inbox, client, tries, kept_s=0.2)
        queue.offer(an_event(1))
        time.sleep(0.3)
        queue.offer(an_event(2))
        queue.change({"interrupted": False})

        assert until(lambda: queue.size == 0)
        assert [attempt.event_id for attempt in tries] == [an_event(2).id]
        queue.stop()
        queue.offer(an_event(3))
        assert queue.size == 0


def test_late_answer_is_a_failure(inbox: Inbox) -> None:
    """An answer that takes longer than the timeout counts as none."""
    tries: list[SendAttempt] = []
    with asking.client(timeout=0.2) as client:
        queue = a_queue(inbox, client, tries)
        inbox.hold.clear()
        queue.offer(an_event(1))
        queue.change({"interrupted": False})
        assert until(lambda: tries)
        inbox.hold.set()

        assert (tries[0].status, tries[0].error) == (None, "ReadTimeout")
        assert until(lambda: queue.size == 0)
        queue.stop()


def test_any_event_can_be_said(asaas: AsaasSimulator, inbox: Inbox) -> None:
    """Events of families that the simulator does not play travel in the same envelope."""
    asaas.posts_to(inbox.url)
    event = asaas.says("TRANSFER_DONE", "transfer", {"id": "t1", "status": "DONE"})

    assert asaas.is_settled()
    assert inbox.bodies == [json.loads(event.body)]
