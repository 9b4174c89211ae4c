"""People who look never take the door away: not while Asaas hangs, nor with every place that pages may hold."""

from __future__ import annotations

import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest

from bridge.journal import audit, revisions
from bridge.journal.schema import events as event_table
from bridge.model import DeliveryState
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from bridge.web.console.jobs import CALL_S
from tests import asking
from tests.console import Console, opened_console
from tests.factories import NOW_MS, envelope, incoming, keep, owe, put_in_state, revision, until
from tests.simulated import AsaasSimulator

TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"
THREADS = 16
MAPPING = """
events: [PAYMENT_RECEIVED]
filter: {all: [{field: customer.name, equals: Ana}]}
contact: {email: customer.email}
"""


@dataclass
class House:
    """A console and a door on a real server, and a journal with one dead delivery of one event."""

    console: Console
    url: str
    cookie: str
    csrf: str
    event: int
    database: str

    def get(self, path: str) -> httpx.Response:
        """Fetch a page as the operator."""
        return asking.get(f"{self.url}{path}", headers={"Cookie": self.cookie, "Accept": "text/html"}, timeout=30)

    def send(self, path: str, **fields: str) -> httpx.Response:
        """Send a form as the operator."""
        data = {"csrf_token": self.csrf, **fields}
        return asking.post(f"{self.url}{path}", headers={"Cookie": self.cookie}, data=data, timeout=30)

    def post(self) -> float:
        """Post an event; return how long its answer took."""
        began_s = time.monotonic()
        headers = {"asaas-access-token": TOKEN}
        answer = asking.post(f"{self.url}/webhooks/asaas", json=envelope(), headers=headers, timeout=20)
        assert answer.status_code == 200
        return time.monotonic() - began_s


@pytest.fixture
def asaas() -> Iterator[AsaasSimulator]:
    """Give an Asaas that takes every request and answers none."""
    simulator = AsaasSimulator()
    simulator.faults.hangs(60)
    yield simulator
    simulator.faults.comes_back()
    simulator.close()


@pytest.fixture
def house(asaas: AsaasSimulator, sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    """Give the house."""
    with (
        Served(asaas.app) as served,
        opened_console(
            sqlite_url,
            tmp_path,
            ASAAS_API_KEY=DEFAULT_KEY,
            ASAAS_API_URL=f"{served.url}/v3",
            ASAAS_WEBHOOK_TOKEN=TOKEN,
            REDIS_URL="redis://127.0.0.1:1/0",
            CLINT_WEBHOOK_URL=f"{served.url}/nowhere",
            BRIDGE_PUBLIC_URL="https://bridge.example",
            BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1",
            BRIDGE_TRUSTED_PROXIES="127.0.0.1",
            BRIDGE_WEB_THREADS=str(THREADS),
        ) as console,
        Served(console.app, threads=THREADS) as web,
    ):
        (event,) = keep(console.journal, incoming())
        with console.journal.database.write() as connection:
            revisions.import_text(connection, "paga", MAPPING, "console", "ana", NOW_MS)
            connection.execute(event_table.update().values(state="processed", processed_ms=NOW_MS))
        until(lambda: any(one.mapping.name == "paga" for one in console.runtime.mappings.current()))
        version = revision(console.journal, text=MAPPING)
        dead = owe(console.journal, event_id=event, mapping="paga", revision_id=version)
        put_in_state(console.journal, dead, DeliveryState.DEAD, due_ms=None)
        operator = console.operator()
        csrf = operator.token()
        yield House(
            console,
            web.url,
            f"bridge_session={operator.cookie()}",
            csrf,
            event,
            str(console.journal.database.url.database),
        )


@pytest.mark.alone
@pytest.mark.slow
def test_no_page_waits_for_asaas_or_clint_and_the_door_stays_open(house: House) -> None:
    """Each page that asks them is answered in its time, holds no transaction meanwhile, and events still get in."""
    house.post()
    looks: list[Callable[[], httpx.Response]] = [
        lambda: house.get(f"/events/{house.event}?ask=1"),
        lambda: house.get(f"/events/{house.event}/replay"),
        lambda: house.get("/attention/confirm?decision=replay"),
        lambda: house.get("/connections/default/webhook"),
        lambda: house.get("/connections/default/webhook/register"),
        lambda: house.send("/connections/default/webhook/resume"),
        lambda: house.send("/mappings/live/preview", text=MAPPING, name="paga", against=f"event:{house.event}"),
        lambda: house.send("/connections/destinations/default/test", body="{}", confirmed="1"),
    ]
    with ThreadPoolExecutor(5 * len(looks)) as pool:
        began_s = time.monotonic()
        asked = [pool.submit(looks[0])]
        until(lambda: "outside" in {thread.name for thread in threading.enumerate()})
        with closing(sqlite3.connect(house.database)) as other:
            is_read, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        asked += [pool.submit(look) for look in looks * 5]
        took_s = [house.post() for _ in range(10)]
        statuses = {one.result().status_code for one in asked}
        whole_s = time.monotonic() - began_s

    assert not is_read, "a page holds a transaction while it waits"
    assert statistics.median(took_s) < 1
    assert whole_s < CALL_S + 10, "Asaas's client alone would wait for twenty seconds"
    assert statuses <= {200, 302, 303, 422, 503, 504}


def test_pages_leave_threads_to_probes_and_probes_to_the_door(house: House) -> None:
    """An answer that nobody takes holds its place; what finds none is refused in words, until one is free again."""
    client = house.console.app.test_client(use_cookies=False)
    signed_in = {"Cookie": house.cookie}
    held = [client.get("/assets/codemirror/codemirror.min.js", headers=signed_in) for _ in range(THREADS * 3 // 4)]
    page = client.get("/login", headers={"Accept": "text/html", "Accept-Language": "pt-BR"})
    probed = [client.get("/metrics") for _ in range(3)]
    headers = {"asaas-access-token": TOKEN}
    posted = client.post("/webhooks/asaas", json=envelope(), headers=headers)

    assert {one.status_code for one in held} == {200}
    assert (page.status_code, "console.busy" in page.text) == (503, True)
    assert [one.status_code for one in probed] == [200, 200, 503]
    assert (posted.status_code, client.get("/healthz").status_code) == (200, 200)
    for one in (*held, *probed):
        one.close()
    assert client.get("/login").status_code == 200


@pytest.mark.slow
def test_strangers_who_sign_in_leave_the_console_to_operators(house: House) -> None:
    """24 connections with wrong passwords, each from another address behind the proxy, close no page to an operator."""
    stranger = house.console.browser()
    csrf = stranger.token()
    cookie = f"bridge_session={stranger.cookie()}"
    stopping = threading.Event()

    def try_passwords(number: int) -> set[tuple[int, bool]]:
        seen = set()
        with asking.client(timeout=30) as client:
            for address in count():
                if stopping.is_set():
                    break
                headers = {"Cookie": cookie, "X-Forwarded-For": f"2001:200:{number:x}:{address:x}::1"}
                data = {"csrf_token": csrf, "password": "falsch"}
                answer = client.post(f"{house.url}/login", headers=headers, data=data)
                seen.add((answer.status_code, "Retry-After" in answer.headers))
        return seen

    with ThreadPoolExecutor(24) as pool:
        trying = [pool.submit(try_passwords, number) for number in range(24)]
        until(lambda: house.console.app.test_client().get("/login").status_code == 503)
        pages = [house.get("/who").status_code for _ in range(20)]
        stopping.set()
        answers = set[tuple[int, bool]]().union(*(one.result() for one in trying))

    assert pages == [200] * 20
    assert (503, True) in answers
    assert {status for status, _ in answers} <= {401, 429, 503}


@pytest.mark.slow
def test_a_new_token_is_shown_although_asaas_takes_its_time(house: House, asaas: AsaasSimulator) -> None:
    """It may be the webhook's by now, and only the next page knows it; the audit trail says that it was asked for."""
    asaas.faults.comes_back()
    asaas.posts_to("https://bridge.example/webhooks/asaas", TOKEN, ["PAYMENT_RECEIVED"])
    (hook,) = asaas.webhooks.listed({})["data"]
    asaas.faults.hangs(60, path=f"/v3/webhooks/{hook['id']}")
    sent = house.send("/connections/default/webhook", confirmed="1", new_token="1")
    page = asking.get(f"{house.url}{sent.headers['location']}", headers={"Cookie": house.cookie}, timeout=30)
    with house.console.journal.database.read() as connection:
        noted = audit.newest(connection, 1)

    assert page.status_code == 422
    assert [str(queue.token) in page.text for queue in asaas.book.queues.values()] == [True]
    assert noted[0]["detail"] == {"outcome": "unknown"}
