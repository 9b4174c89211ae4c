"""The trial: events of many charges go through an API destination in bad weather, and Clint must have one deal of each.

Three in ten answers to writes are lost, some requests are answered 429, lists show deals and contacts late, workers are
killed again and again, and a person moves every tenth deal.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

from bridge.journal import Database
from bridge.simulator.clint.account import KEY_FIELD
from tests import asking
from tests.acceptance.deployment import Child
from tests.torture.judge import settled
from tests.trial.judge import Charge, Judgement, judge
from tests.trial.site import DealDeployment

EVENTS_OF_THREE = 10
"""Each three charges have so many events."""
CHARGES_EACH = 6
"""Of each customer."""
CREATED, UPDATED, OVERDUE = "PAYMENT_CREATED", "PAYMENT_UPDATED", "PAYMENT_OVERDUE"
RECEIVED, REFUNDED = "PAYMENT_RECEIVED", "PAYMENT_REFUNDED"
LONG_WAY = (CREATED, OVERDUE, RECEIVED, REFUNDED)
WAYS = (
    (CREATED, OVERDUE, RECEIVED),
    (CREATED, RECEIVED, REFUNDED),
    (CREATED, UPDATED, OVERDUE),
    (CREATED, UPDATED, UPDATED),
)
LOST, BUSY, MOVED_BY_PERSON = 0.3, 0.003, 0.1
LATE_S = 1.0
PERSONS_PLACE = ("Vencida", "LOST")
"""No event puts a deal there."""


class Weather(DealDeployment):
    """A deployment whose processes may be killed and whose Clint is unreliable."""

    with_api: ClassVar[Mapping[str, str]] = {
        **DealDeployment.with_api,
        "CLINT_DEAL_APPEARS_S": "2",
        "BRIDGE_LEASE": "6",
        "BRIDGE_SEND_TIMEOUT": "3",
    }

    def begins(self, lots: random.Random) -> None:
        """Let the bad weather begin."""
        self.clint("knobs", late_s=LATE_S, contacts_late_s=LATE_S)
        self.clint("answers", status=429, headers={"Retry-After": "1"}, path="/v1", share=BUSY)
        self.clint("breaks", how="closes", path="/v1", method="POST", share=LOST)
        self.person_moves(after=1)
        self._lots = lots

    def person_moves(self, after: int) -> None:
        """Let a person move every tenth deal right after the API has written to it for this time."""
        stage, status = PERSONS_PLACE
        self.clint("person/follows", share=MOVED_BY_PERSON, stage=stage, status=status, field=KEY_FIELD, after=after)

    def kills(self, workers: Sequence[Child]) -> int:
        """Kill a worker, or one time in four all of them, and start them again; return how many."""
        victims = workers if self._lots.random() < 0.25 else [self._lots.choice(workers)]
        for worker in victims:
            worker.kill()
        for worker in victims:
            worker.start()
        return len(victims)

    def asked(self, what: str) -> Any:
        """Return what the simulated Clint tells of itself."""
        return asking.get(f"{self.clint_url}/_sim/{what}", timeout=120).json()


@dataclass(frozen=True, slots=True)
class Trial:
    """How one trial went."""

    charges: int
    customers: int
    events: int
    seconds: float
    kills: int
    lost: int
    """Answers to writes that were lost."""
    busy: int
    """Requests that were answered 429."""
    contacts: int
    """In Clint at the end, which should be as many as customers."""
    judgement: Judgement


def plan(number: int, seed: int = 7) -> list[Charge]:
    """Return so many charges with ten events for each three."""
    lots = random.Random(seed)
    customers = [f"cus_{one:012d}" for one in range(-(-number // CHARGES_EACH))]
    charges = []
    for one in range(number):
        way = lots.choice(WAYS) if one % 3 else LONG_WAY
        values = tuple(round(100 + one / 100 + step, 2) for step in range(len(way)))
        charges.append(Charge(f"pay_{one:06d}", customers[one % len(customers)], way, values))
    return charges


def told(charges: Sequence[Charge], seed: int = 7) -> list[tuple[Charge, int]]:
    """Return the events of all charges mixed, those of each charge in their order: the charge and the event's place."""
    turns = [charge for charge in charges for _ in charge.events]
    random.Random(seed).shuffle(turns)
    places = {charge.id: iter(range(len(charge.events))) for charge in charges}
    return [(charge, next(places[charge.id])) for charge in turns]


def run(
    site: Weather,
    charges: Sequence[Charge],
    *,
    kill_every_s: tuple[float, float],
    patience_s: float,
    tell: Callable[[str], object] = lambda _text: None,
    seed: int = 7,
) -> Trial:
    """Tell a site, whose web process runs, of all charges; judge it when all is done."""
    begun_s = time.monotonic()
    lots = random.Random(seed)
    customers = site.has_customers(len({charge.customer for charge in charges}))
    site.begins(lots)
    workers = [site.worker(f"worker-{number}") for number in range(2)]
    for worker in workers:
        worker.start()
    events = told(charges, seed)

    def post() -> None:
        for number, (charge, place) in enumerate(events):
            if number == len(events) // 2:
                site.person_moves(after=2)
            site.tells(charge.customer, charge.events[place], charge=charge.id, value=charge.values[place])

    posting = threading.Thread(target=post)
    posting.start()
    kills = 0
    with closing(Database(site.env["DATABASE_URL"])) as database:
        while posting.is_alive() or not settled(database):
            seconds = time.monotonic() - begun_s
            assert seconds < patience_s, f"not all is done after {patience_s:g} s"
            pause_ends_s = time.monotonic() + lots.uniform(*kill_every_s)
            while time.monotonic() < pause_ends_s and (posting.is_alive() or not settled(database)):
                time.sleep(0.1)
            kills += site.kills(workers)
            tell(f"{seconds:5.0f} s: {site.posted:,} events told, {kills} workers killed")
    posting.join()
    struck = site.asked("struck")
    return Trial(
        charges=len(charges),
        customers=len(customers),
        events=len(events),
        seconds=time.monotonic() - begun_s,
        kills=kills,
        lost=struck.get("closes", 0),
        busy=struck.get("429", 0),
        contacts=site.contacts(),
        judgement=judge(site.asked("writes")["data"], charges),
    )
