"""The simulated Asaas over HTTP: who may ask, how often, and how lists are filtered and cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from bridge.simulator.asaas.account import DEFAULT_KEY, QUOTA_WINDOW_S, Limits
from bridge.simulator.asaas.rules import Refusal
from bridge.simulator.serve import Served
from tests import asking
from tests.simulated import AsaasSimulator


@pytest.fixture
def url(asaas: AsaasSimulator) -> Iterator[str]:
    """Give the address of a simulated Asaas, for clients with other headers."""
    with Served(asaas.app) as served:
        yield served.url


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "access_token_not_found"),
        ("abc", "invalid_access_token_format"),
        ("$aact_prod_simulator", "invalid_environment"),
        ("$aact_hmlg_other", "invalid_access_token"),
    ],
)
def test_wrong_key_is_401_with_its_code(url: str, key: str | None, code: str) -> None:
    """A key that is missing, malformed, of production or unknown has its own 401."""
    answer = asking.get(f"{url}/v3/customers", headers={"access_token": key} if key else {})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, code)


def test_key_goes_in_the_header_with_the_underscore(url: str) -> None:
    """`access-token` is not `access_token`: a client that confuses them is refused here as well."""
    wrong = asking.get(f"{url}/v3/customers", headers={"access-token": DEFAULT_KEY})
    right = asking.get(f"{url}/v3/customers", headers={"Access_Token": DEFAULT_KEY})

    assert (wrong.status_code, right.status_code) == (401, 200)


def test_user_agent_is_needed(asaas: AsaasSimulator) -> None:
    """A request without a User-Agent is refused, as for accounts since 2024-06."""
    answer = asaas.app.test_client().get("/v3/customers", headers={"access_token": DEFAULT_KEY, "User-Agent": ""})

    assert answer.status_code == 400


def test_get_with_a_body_is_403(api: httpx.Client) -> None:
    """A GET that carries a body is forbidden."""
    assert api.request("GET", "/customers", content=b"{}").status_code == 403


def test_unknown_object_is_an_empty_404(api: httpx.Client) -> None:
    """What does not exist is a 404 without a body, whatever it is."""
    for path in ("/customers/cus_0", "/payments/pay_0", "/installments/x", "/subscriptions/sub_0", "/webhooks/x"):
        answer = api.get(path)
        assert (answer.status_code, answer.content) == (404, b"")


def test_body_that_is_no_json_object_is_400(api: httpx.Client) -> None:
    """A body that is not a JSON object is refused in the shape of all errors."""
    for content in (b"{", b"[1]"):
        answer = api.post("/customers", content=content)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "invalid_object")


def test_lists_are_newest_first_ten_at_a_time(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """A list gives ten of all, at most a hundred, from the offset on."""
    customer = asaas.has_customer()
    made = [asaas.has_payment(customer)["id"] for _ in range(12)]
    first = api.get("/payments").json()
    rest = api.get("/payments", params={"offset": "10", "limit": "999"}).json()

    assert [payment["id"] for payment in first["data"]] == made[:1:-1]
    assert (first["hasMore"], first["totalCount"], first["limit"], first["offset"]) == (True, 12, 10, 0)
    assert (rest["hasMore"], rest["limit"], len(rest["data"])) == (False, 100, 2)


def test_lists_are_filtered(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """Filters by equality and by days from and to select what they name."""
    ana, bia = asaas.has_customer(email="ana@example.com"), asaas.has_customer(externalReference="b")
    asaas.has_payment(ana, externalReference="1", dueDate="2099-01-10")
    paid = asaas.has_payment(bia, externalReference="2", dueDate="2099-02-10")["id"]
    asaas.is_paid(paid)

    def count(**filters: str) -> int:
        return int(api.get("/payments", params=filters).json()["totalCount"])

    assert count(customer=ana["id"]) == count(status="RECEIVED") == count(externalReference="2") == 1
    assert count(anticipated="false") == 2
    assert count(**{"dueDate[ge]": "2099-02-01"}) == count(**{"dueDate[le]": "2099-02-01"}) == 1
    assert count(**{"paymentDate[ge]": "2020-01-01"}) == 1
    assert count(**{"paymentDate[le]": "2020-01-01"}) == 0
    assert api.get("/customers", params={"email": "ana@example.com"}).json()["totalCount"] == 1
    assert api.get("/customers", params={"externalReference": "b"}).json()["data"][0]["id"] == bia["id"]


def test_quota_of_twelve_hours() -> None:
    """The quota counts from the first request and is full again when twelve hours have passed."""
    now = 100.0
    limits = Limits(["k"], quota=2, now=lambda: now)
    for _ in range(2):
        limits.enter("POST")
    with pytest.raises(Refusal, match="429"):
        limits.enter("POST")
    now += QUOTA_WINDOW_S

    limits.enter("POST")
    assert limits.requests == 4


def test_fifty_gets_at_once(asaas: AsaasSimulator) -> None:
    """The fifty-first GET at once is a 429; writing is not counted; a slot is free again after the answer."""
    limits = asaas.limits
    for _ in range(50):
        limits.enter("GET")
    limits.enter("POST")
    limits.leave("POST")
    with pytest.raises(Refusal, match="429"):
        limits.enter("GET")
    for _ in range(51):
        limits.leave("GET")

    limits.enter("GET")


def test_many_threads_at_once_lose_nothing(asaas: AsaasSimulator, api: httpx.Client) -> None:
    """Charges made from many threads all exist, with numbers of their own, and every slot is given back."""
    customer = asaas.has_customer()["id"]
    due = asaas.book.today().isoformat()

    def make() -> None:
        for _ in range(5):
            body = {"customer": customer, "billingType": "PIX", "value": 1, "dueDate": due}
            payment = api.post("/payments", json=body).json()["id"]
            api.get(f"/payments/{payment}").raise_for_status()

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    events = asaas.book.events
    assert len(asaas.book.payments) == len({event.id for event in events}) == 40
    assert [event.id for event in events] == sorted((event.id for event in events), key=lambda one: one.split("&")[1])
    for _ in range(50):
        asaas.limits.enter("GET")
