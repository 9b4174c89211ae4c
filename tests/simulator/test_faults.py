"""How the simulators misbehave when they are told to, over a real socket."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from bridge.simulator.clint.account import INTEGRATIONS
from bridge.simulator.faults import FLOOD_BYTES, Faults
from bridge.simulator.serve import drop_connection
from tests.simulated import AsaasSimulator, ClintSimulator

HOOK = "/endpoints/integration/webhook/" + INTEGRATIONS["default"]
BODY = {"email": "ana@example.com"}


def test_away_means_no_answer(clint: ClintSimulator, crm: httpx.Client) -> None:
    """A simulator that is down cuts the connection, keeps its knobs reachable, and comes back."""
    clint.faults.goes_down()
    with pytest.raises(httpx.RemoteProtocolError):
        crm.post(HOOK, json=BODY)
    assert crm.get("/_sim/faults").json()["down"] is True
    clint.faults.comes_back()

    assert crm.post(HOOK, json=BODY).status_code == 200
    assert [(entry.result, entry.status) for entry in clint.receiver.history] == [("dropped", None), ("created", 200)]


def test_status_for_some_times(clint: ClintSimulator, crm: httpx.Client) -> None:
    """A status is answered as often as told, with its headers, and nothing is taken meanwhile."""
    clint.answers(429, times=2, headers={"Retry-After": "7"})
    answers = [crm.post(HOOK, json=BODY) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert [entry.result for entry in clint.receiver.history] == ["fault", "fault", "created"]


def test_a_share_of_the_requests(clint: ClintSimulator, crm: httpx.Client) -> None:
    """A share is drawn by lot, the same requests again for the same seed."""
    clint.answers(500, share=0.3)
    statuses = [crm.post(HOOK, json=BODY).status_code for _ in range(60)]

    assert 5 < statuses.count(500) < 35
    assert statuses.count(500) + statuses.count(200) == 60


def test_hanging_after_the_work_is_done(clint: ClintSimulator, crm: httpx.Client) -> None:
    """A webhook that hangs has already written the deal: the sender cannot know."""
    clint.hangs(30, times=1)
    with pytest.raises(httpx.ReadTimeout):
        crm.post(HOOK, json=BODY, timeout=0.1)
    hanging = clint.receiver.history[0]

    assert hanging.result == "created"
    assert (hanging.status, hanging.finished_ms) == (None, None)
    clint.faults.comes_back()
    assert crm.post(HOOK, json=BODY).status_code == 200


def test_hanging_before_the_work(clint: ClintSimulator, crm: httpx.Client) -> None:
    """A webhook may also hang first and do its work when it is let go."""
    clint.hangs(30, takes_first=False)
    thread = threading.Thread(target=lambda: crm.post(HOOK, json=BODY))
    thread.start()
    while not clint.receiver.history:
        time.sleep(0.01)
    assert clint.deals == []
    clint.faults.comes_back()
    thread.join()

    assert len(clint.deals) == 1


def test_slow_for_all(asaas: AsaasSimulator, api: httpx.Client, clint: ClintSimulator, crm: httpx.Client) -> None:
    """A slow simulator answers rightly, later."""
    asaas.faults.is_slow(0.1)
    clint.faults.is_slow(0.1)
    started = time.monotonic()

    assert api.get("/customers").status_code == 200
    assert crm.post(HOOK, json=BODY).status_code == 200
    assert time.monotonic() - started >= 0.2


def test_dropping_and_keeping_to_a_path(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """A fault may be kept to a path, and a drop to a number of times."""
    asaas.faults.answers(503, path="/v3/customers")
    asaas.faults.drops(times=1, path="/v3/webhooks")
    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/webhooks")

    assert api.get("/customers").status_code == 503
    assert api.get("/webhooks").status_code == api.get("/payments").status_code == 200
    asaas.faults.goes_down()
    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/payments")
    asaas.faults.comes_back()
    assert api.get("/customers").status_code == 200
    asaas.faults.answers(500, times=1)
    assert [api.get("/customers").status_code for _ in range(2)] == [500, 200]


def test_test_client_sees_a_503_for_a_cut_connection(clint: ClintSimulator) -> None:
    """Where there is no connection to cut, a 503 says so."""
    clint.faults.goes_down()

    assert clint.app.test_client().post(HOOK, json=BODY).status_code == 503
    assert drop_connection({}) is False


def test_lots_repeat() -> None:
    """The same seed draws the same lots."""

    def draw(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.drops(share=0.5)
        return [faults.draw("/") is not None for _ in range(20)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_knobs_over_http(clint: ClintSimulator, crm: httpx.Client) -> None:
    """Every fault can be set from another process."""
    crm.post("/_sim/answers", json={"status": 418, "times": 1, "headers": {"X-Y": "z"}, "share": 1.0})
    crm.post("/_sim/hangs", json={"seconds": 0.01, "times": 1})
    crm.post("/_sim/drops", json={"times": 1})
    assert crm.post("/_sim/is_slow", json={"seconds": 0.01}).json() == {"down": False, "slow_s": 0.01, "rules": 3}

    assert [crm.post(HOOK, json=BODY).status_code for _ in range(2)] == [418, 200]
    with pytest.raises(httpx.RemoteProtocolError):
        crm.post(HOOK, json=BODY)
    assert crm.post("/_sim/goes_down").json()["down"] is True
    assert crm.post("/_sim/comes_back").json() == {"down": False, "slow_s": 0.0, "rules": 0}
    assert clint.receiver.history[-1].result == "dropped"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("resets", httpx.ReadError),
        ("truncates", httpx.RemoteProtocolError),
        ("garbles", httpx.RemoteProtocolError),
    ],
)
def test_a_spoilt_answer_comes_after_the_work(
    how: str, error: type[httpx.TransportError], clint: ClintSimulator, crm: httpx.Client
) -> None:
    """An answer may be reset, cut off or no HTTP at all, and the deal is written all the same."""
    crm.post("/_sim/breaks", json={"how": how, "times": 1})
    with pytest.raises(error):
        crm.post(HOOK, json=BODY)

    assert crm.post(HOOK, json=BODY).status_code == 200
    assert [entry.result for entry in clint.receiver.history] == ["created", "updated"]


def test_an_answer_may_be_a_flood(clint: ClintSimulator, crm: httpx.Client) -> None:
    """An answer may have ten million bytes."""
    clint.faults.breaks("floods", times=1)

    assert len(crm.post(HOOK, json=BODY).content) == FLOOD_BYTES
