"""Whoever reads the log learns ids and numbers: no person, no token, no key, no URL that opens anything."""

from __future__ import annotations

import io
import json
import logging
import random
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge import logs
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from bridge.worker.drain import Drainer
from tests.databases import on_both
from tests.factories import Clock, envelope, opened_journal, payment
from tests.peers import Asked, Peer, Reply, closed_port

TOKEN, OLD = "Zq7vT2mK9pXw4RbN6cYd8sHf3gLj5aEuQ", "Bm4kW8xPz2vN7tRc5qYf9dJh3sLg6aTeU"
WRONG = "Gx5nC8bVq2mZk7wRt4pYd9fJh3sLa6TeQ"
KEY = "$aact_hmlg_Zm9vYmFyOmJhei1zZWNyZXQ6OjAwMDAwMDAwMDE6OiRhYWNo"
HOOK = "0f0e0d0c-aaaa-4bbb-8ccc-0123456789ab"
SECRETS = (TOKEN, OLD, WRONG, KEY, KEY.removeprefix("$aact_hmlg_"), HOOK, "hunter2-password")

MAPPINGS = {
    "certa": "deal: {nome: customer.name, cpf: customer.cpfCnpj, t: payment.description}",
    "para": "send_to: ninguem\ndeal: {nome: customer.name}",
    "filtra": "filter: {all: [{field: payment.description, equals: nunca}, {field: customer.name, equals: ninguem}]}",
    "quebra": "deal: {x: date(payment.description, '%d'), y: sum(payment.description)}",
    "exige": "deal: {x: {from: payment.nada, required: true}, t: {template: '{customer.name} {payment.description}'}}",
}


@contextmanager
def logging_to(stream: io.StringIO) -> Iterator[None]:
    """Send all records to the stream, from debug on."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("debug", stream=stream)
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level
        for name in logs._QUIET:
            logging.getLogger(name).setLevel(logging.NOTSET)


class Run:
    """A whole bridge in this process, whose Asaas and Clint say back what they know."""

    def __init__(self, url: str, redis_url: str, scratch: Path, person: dict[str, str]) -> None:
        self.person = person
        self.clint_says = Reply()
        self.asaas_says = Reply(200, json.dumps({"id": "cus_1", "object": "customer", **person}).encode())
        (scratch / "mappings").mkdir(exist_ok=True)
        for name, more in MAPPINGS.items():
            text = f"events: [PAYMENT_*]\ncontact: {{email: customer.email}}\n{more}\n"
            (scratch / "mappings" / f"{name}.yaml").write_text(text)
        self.clint = Peer(respond=lambda _asked: self.clint_says)
        self.asaas = Peer(respond=self._asaas)
        self.env = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "BRIDGE_DATA_DIR": str(scratch),
            "BRIDGE_MAPPINGS_DIR": str(scratch / "mappings"),
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_PASSWORD": "hunter2-password",
            "BRIDGE_RETRY_ATTEMPTS": "2",
            "BRIDGE_CACHE_TTL": "0",
            "ASAAS_WEBHOOK_TOKEN": f"{TOKEN} {OLD}",
            "ASAAS_API_KEY": KEY,
        }

    def _asaas(self, _asked: Asked) -> Reply:
        return self.asaas_says

    def go(self) -> None:
        """Let everything happen that can happen to an event."""
        echo = json.dumps({**self.person, "url": f"https://clint.example/webhook/{HOOK}", "token": TOKEN}).encode()
        with self.clint, self.asaas, closed_port() as nobody:
            self.env["ASAAS_API_URL"] = f"{self.asaas.url}/v3"
            self.env["CLINT_WEBHOOK_URL"] = f"{self.clint.url}/endpoints/integration/webhook/{HOOK}"
            self.env["CLINT_WEBHOOK_URL_NINGUEM"] = f"http://127.0.0.1:{nobody}/endpoints/integration/webhook/{HOOK}"
            self.runtime = Runtime(Settings.from_env(self.env))
            self.runtime.__dict__["clock_ms"] = self.clock = Clock()
            self.runtime.register()
            self.web = create_app(self.runtime).test_client()
            for reply in (
                Reply(),
                Reply(500, echo),
                Reply(400, echo),
                Reply(302, echo, {"Location": f"https://clint.example/webhook/{HOOK}?email={self.person['email']}"}),
                Reply(404, echo),
            ):
                self.clint_says = reply
                self.posts()
                self.works()
            for status in (400, 401, 404, 429, 500):
                self.asaas_says = Reply(
                    status, json.dumps({"errors": [{"code": "x", "description": str(self.person)}]}).encode()
                )
                self.posts()
                self.works()
            self.posts_what_is_refused()
            self.runtime.close()

    def post(self, body: Any, token: str = TOKEN, path: str = "/webhooks/asaas") -> int:
        """Post a body as Asaas does."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.web.post(path, data=data, headers={"asaas-access-token": token}).status_code

    def about(self, **more: Any) -> dict[str, Any]:
        """Return an event that names the person wherever it can."""
        person = self.person
        charge = payment(
            "cus_1", **{**person, "description": person["name"], "creditCard": person, "id": person["tag"]}
        )
        return envelope(payment={**charge, **more})

    def posts(self) -> None:
        """Post events that are kept."""
        assert {self.post(self.about()), self.post(self.about(value=None), OLD)} == {200}

    def posts_what_is_refused(self) -> None:
        """Post what is refused, in every way, and what the journal can't take."""
        body = json.dumps(self.about()).encode()
        statuses = [
            self.post(body, WRONG),
            self.post(body[:-1]),
            self.post(body + body),
            self.post(b'{"event": 7, "x": ' + body + b"}"),
            self.post(body + b" " * 2_000_000),
            self.post(body, TOKEN, f"/webhooks/asaas/{self.person['tag']}"),
        ]
        assert statuses == [401, 400, 400, 400, 413, 404]
        for path in ("/", f"/events?q={self.person['email']}", "/nothing"):
            self.web.get(path, headers={"Cookie": f"session={TOKEN}", "Authorization": f"Bearer {TOKEN}"})
        with self.runtime.journal.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE attempts RENAME TO gone_attempts")
        self.works()
        with self.runtime.journal.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE events RENAME TO gone")
        assert self.post(self.about()) == 503
        self.works()

    def works(self) -> None:
        """Drain every lane, now and when retries are due."""
        drainer = Drainer(
            self.runtime.journal,
            self.runtime.decider,
            self.runtime.deliverer,
            self.runtime.wakeups,
            self.clock,
            lanes_at_once=1,
        )
        for _ in range(3):
            for lane in range(self.runtime.journal.lane_count):
                if self._is_due(lane):
                    drainer.start(lane)
            drainer.join()
            self.clock.go(4_000)

    def _is_due(self, lane: int) -> bool:
        try:
            return bool(self.runtime.journal.lanes.due(self.clock(), [lane]))
        except Exception:  # noqa: BLE001 (the journal is broken on purpose)
            return True


def somebody() -> dict[str, str]:
    """Return a person whom no test has met, so that no word of the log is a part of them by chance."""
    first, last, street, tag = ("".join(random.choices(string.ascii_lowercase, k=12)) for _ in range(4))
    cpf, phone = ("".join(random.choices(string.digits, k=length)) for length in (11, 8))
    return {
        "name": f"{first.title()} {last.title()}",
        "email": f"{first}@{last}.example",
        "cpfCnpj": cpf,
        "mobilePhone": f"119{phone}",
        "address": f"Rua {street.title()}, 1",
        "tag": tag,
    }


@on_both
@pytest.mark.slow
@pytest.mark.usefixtures("redis")  # one that remembers no 429 of the run before
def test_nothing_personal_or_secret_reaches_the_log(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Every way that an event can go, with a person drawn anew, and nothing of theirs in any line."""
    stream, person = io.StringIO(), somebody()
    with opened_journal(database_url), logging_to(stream):
        Run(database_url, redis_url, tmp_path, person).go()
    told = stream.getvalue()
    personal = {*person.values(), *person["name"].split(), *person["email"].split("@")} - {person["tag"]}
    leaks = [value for value in (*personal, *SECRETS) if value.lower() in told.lower()]

    lines = [line[:1500] for line in told.splitlines() if any(leak.lower() in line.lower() for leak in leaks)]
    assert leaks == [], lines[:3]
    actions = {json.loads(line)["action"] for line in told.splitlines()}
    assert actions >= {"event.received", "delivery.attempted", "request.refused", "event.not_kept"}, actions
