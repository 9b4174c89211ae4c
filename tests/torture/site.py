"""The place of one fault: a journal, a Redis, both ends and the bridge between them, and a story that is told to it.

Whoever tells plays Asaas: it posts until the answer is 200, and each customer's events in their order.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import func, select

from bridge.journal.database import Database
from bridge.journal.schema import attempts
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.clint.account import DEFAULT_TOKEN
from tests import asking
from tests.acceptance import story
from tests.acceptance.deployment import Child, Deployment, until
from tests.factories import sqlite_template
from tests.services import PostgresServer, RedisServer
from tests.trial.site import DealDeployment, write_mapping

PATIENCE_S = 120.0
KILLED = -9
QUICK = {
    "BRIDGE_SEND_TIMEOUT": "1",
    "BRIDGE_LEASE": "3",
    "BRIDGE_RETRY_BASE": "0.1",
    "BRIDGE_RETRY_CAP": "1",
    "BRIDGE_CIRCUIT_WAIT": "0.3",
    "BRIDGE_CACHE_TTL": "0",
}
"""Settings under which trouble is over within seconds; every customer is asked of Asaas anew each time."""


class Site(Deployment):
    """A deployment with what a fault may touch; leave it by `with`."""

    def __init__(
        self,
        scratch: Path,
        database_url: str,
        redis: RedisServer,
        *,
        postgres: PostgresServer | None = None,
        settings: Mapping[str, str] | None = None,
        customers: int = 4,
        events: int = 12,
        padding: int = 0,
        migration_points: Sequence[str] = (),
        prelude: Mapping[str, list[str]] | None = None,
        by_name: bool = False,
        before_head: bool = False,
        with_deals: bool = False,
    ) -> None:
        mappings = write_mapping(scratch) if with_deals else story.write_mappings(scratch / "mappings")
        of_deals = {**DealDeployment.with_api, "CLINT_API_TOKEN": DEFAULT_TOKEN} if with_deals else {}
        super().__init__(scratch, database_url, redis.url, mappings, {**QUICK, **of_deals, **(settings or {})})
        self.with_deals = with_deals
        """Whether the destination is an origin of Clint instead of webhooks."""
        self.scratch = scratch
        self.redis = redis
        self.postgres = postgres
        self.database_url = database_url
        self.people = story.customers(customers)
        told = story.events([person["id"] for person in self.people], events, seed=events, padding=padding)
        self.untold = sorted((one for each in told.values() for one in each), key=lambda one: one.event_id[-7:])
        self.told: list[story.Told] = []
        self.charges: list[str] = []
        """Charges at Asaas of which no event came."""
        self.answers: Counter[int] = Counter()
        """How often each status was answered to a post; 0: none."""
        self.acted_ms: list[float] = []
        """When a person had something sent again."""
        self.armed: dict[str, str] = {}
        """Failpoint by name of the process."""
        self.prelude = prelude or {}
        """The script that a process is run through, by the process's name."""
        self.knob = scratch / "knob"
        """What such a script goes by."""
        self.knob.write_text("0")
        self.door = 0
        """Which web process is posted to."""
        self._by_name = by_name
        self._before_head = before_head
        self.old: Path | None = None
        """The code of the schema before this one, where the journal is made by it."""
        self._migration_points = migration_points
        self.strikes = 0
        """How often the fault struck."""
        self._commands = 0
        self._teller = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        super().__enter__()
        self.asaas("customers", customers=self.people)
        return self

    def __exit__(self, *error: Any) -> None:
        self._teller.shutdown(wait=False, cancel_futures=True)
        for child in self.children.values():
            if child.process is not None:
                child.process.kill()  # everything was judged, or never will be: nobody waits for an orderly end
        super().__exit__(*error)

    def _begin(self) -> None:
        super()._begin()
        if self.with_deals:
            self.env["CLINT_API_URL"] = self.clint_url

    @property
    def is_sqlite(self) -> bool:
        """Whether the journal is a file."""
        return self.database_url.startswith("sqlite")

    @property
    def file(self) -> Path:
        """The SQLite journal's file."""
        return Path(self.database_url.removeprefix("sqlite:///"))

    @contextmanager
    def journal(self) -> Iterator[Database]:
        """Give the journal's database, for looking."""
        database = Database(self.database_url)
        try:
            yield database
        finally:
            database.close()

    # ------------------------------------------------------------ processes

    def _upgrade(self) -> None:
        if self._by_name:
            renamed = {name: url.replace("127.0.0.1", "localhost") for name, url in self._clint_urls().items()}
            self.env |= renamed
        if self._before_head:
            from tests.torture.upgrade import old_code

            self.old = old_code(self.scratch / "old")
            made = self.of_old("db", "upgrade")
            made.start()
            assert made.process is not None
            assert made.process.wait(60) == 0, made.log.read_text()
            return
        if self.is_sqlite and not self._migration_points:
            shutil.copyfile(sqlite_template(), self.file)
            return
        for point in self._migration_points:
            self.command("db", "upgrade", failpoint=point)
        assert self.command("db", "upgrade") == 0, self.log_of("command")

    def _start(self, child: Child, name: str) -> None:
        if name in self.prelude:
            child.command[1:2] = [*self.prelude[name], str(self.knob)]  # instead of -m
        child.env = {**self.env, "BRIDGE_FAILPOINT": self.armed.get(name, "")}
        child.start()

    def _clint_urls(self) -> dict[str, str]:
        return {name: url for name, url in self.env.items() if name.startswith("CLINT_WEBHOOK_URL")}

    def of_old(self, *arguments: str) -> Child:
        """Return a process of the old code, not started; it is told of no failpoints, which it does not know."""
        assert self.old is not None
        log = self.scratch / f"old-{arguments[0]}.log"
        return Child([sys.executable, "-m", "bridge", *arguments], self.env, log, cwd=self.old)

    def opens_at(self, port: int) -> None:
        """Note a web process that listens there, and wait until it answers."""
        self.web_ports.append(port)
        self._web_urls.append(f"http://{self.address}:{port}")
        until(lambda: self.post(b"{}") == 400, 60)

    def kill_all(self) -> None:
        """Kill every process of the bridge."""
        for name, child in self.children.items():
            if name.startswith(("web", "worker", "sweeper")):
                child.kill()

    def restart(self, name: str, failpoint: str = "") -> None:
        """End a process, asking first where it runs, and start it again, armed where a failpoint is named."""
        child = self.children[name]
        if child.alive:
            child.stop()
        child.env = {**self.env, "BRIDGE_FAILPOINT": failpoint}
        child.start()

    def command(self, *arguments: str, failpoint: str = "") -> int:
        """Run a command of the bridge and return its exit status; one that is armed must die."""
        env = {**self.env, "BRIDGE_FAILPOINT": failpoint}
        child = self._child([sys.executable, "-m", "bridge", *arguments], env, self.scratch / "command.log")
        self.children["command"] = child
        child.start()
        assert child.process is not None
        status = child.process.wait(60)
        if failpoint:
            assert status == KILLED, f"bridge {' '.join(arguments)} did not come to {failpoint}: {status}"
            self.strikes += 1
        return status

    def dies(self, name: str, failpoint: str) -> None:
        """Wait until an armed process has come to its failpoint, kill what is left of it and start it again."""
        child = self.children[name]
        until(
            lambda: f'"failpoint.reached", "failpoint": "{failpoint.partition(":")[0]}"' in self.log_of(name), 60, 0.02
        )
        self.strikes += 1
        child.kill()
        child.env = {**self.env, "BRIDGE_FAILPOINT": ""}
        child.start()

    # ------------------------------------------------------------ what is told

    def tell(self, count: int | None = None) -> None:
        """Post so many events, or all that are left, each until it is kept."""
        while self.untold and (count is None or count > 0):
            one = self.untold[0]
            ends_s = time.monotonic() + PATIENCE_S
            while (status := self.post(one.body, self.door)) != 200:
                self.answers[status] += 1
                assert time.monotonic() < ends_s, f"the bridge did not keep an event: {dict(self.answers)}"
                time.sleep(0.1)
            self.answers[200] += 1
            self.told.append(self.untold.pop(0))
            count = None if count is None else count - 1

    def telling(self, count: int | None = None) -> Future[None]:
        """Do the same beside what the caller does."""
        return self._teller.submit(self.tell, count)

    def knows_contacts(self) -> None:
        """Let Clint have a contact for each customer, under another name."""
        with asking.client(headers={"api-token": DEFAULT_TOKEN}, timeout=30) as clint:
            for person in self.people:
                known = {"email": person["email"], "name": "Outro nome"}
                clint.post(f"{self.clint_url}/v1/contacts", json=known).raise_for_status()

    def owes(self) -> None:
        """Let Asaas have a charge for each customer, of which the bridge is told nothing."""
        with asking.client(headers={"access_token": DEFAULT_KEY, "User-Agent": "torture"}, timeout=30) as asaas:
            for person in self.people:
                charge = {"customer": person["id"], "billingType": "PIX", "value": 10, "dueDate": "2030-01-01"}
                made = asaas.post(f"{self.asaas_url}/v3/payments", json={**charge, "description": "1000"})
                made.raise_for_status()
                self.charges.append(made.json()["id"])

    def acts(self) -> None:
        """Note that a person has something sent again from now on."""
        self.acted_ms.append(time.time() * 1000)

    # ------------------------------------------------------------ what is seen

    def deal_writes(self) -> list[dict[str, Any]]:
        """Return everything that was written to deals in Clint, oldest first."""
        data: list[dict[str, Any]] = asking.get(f"{self.clint_url}/_sim/writes", timeout=60).json()["data"]
        return data

    def attempts(self, *codes: str) -> int:
        """Return how many attempts ended with one of these codes."""
        with self.journal() as database, database.read() as connection:
            return connection.scalar(select(func.count()).where(attempts.c.code.in_(codes))) or 0

    def logged(self, words: str) -> int:
        """Return how often the bridge's processes said this."""
        ours = ("web", "worker", "sweeper")
        return sum(self.log_of(name).count(words) for name in self.children if name.startswith(ours))
