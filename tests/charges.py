"""A bridge that reads from a simulated Asaas over real HTTP, for tests of what is compared, brought in and exported."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bridge.asaas.incoming import parse_event
from bridge.journal import Journal, events
from bridge.journal.clock import system_clock_ms
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.asaas.rules import BRASILIA
from bridge.simulator.serve import Served
from tests.commands import Commands
from tests.factories import keep
from tests.simulated import AsaasSimulator

PAID = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
deal: {valor: payment.value}
"""


class Calendar:
    """The simulated Asaas's clock, which a test moves by days."""

    def __init__(self) -> None:
        self.now = datetime.now(BRASILIA)

    def __call__(self) -> datetime:
        return self.now

    def goes(self, days: float) -> None:
        """Let days pass, or go back."""
        self.now += timedelta(days=days)


@dataclass
class Place:
    """A simulated Asaas, and commands that read from it."""

    asaas: AsaasSimulator
    calendar: Calendar
    commands: Commands

    def paid(self, value: float = 100.0, customer: str | None = None, **fields: Any) -> str:
        """Open a charge and let it be paid by Pix; return its id."""
        whom = customer or self.asaas.has_customer()["id"]
        charge = str(self.asaas.has_payment(whom, value, **fields)["id"])
        self.asaas.is_paid(charge)
        return charge

    def came(self, journal: Journal, *names: str, about: str = "", processed: bool = True) -> list[int]:
        """Let events of these names reach the journal, all of them or those about one charge."""
        found = [
            event
            for event in self.asaas.book.events
            if (not names or event.name in names) and about.encode() in event.body
        ]
        numbers = keep(journal, *(parse_event("default", event.body, system_clock_ms() - 1) for event in found))
        if processed:
            with journal.database.write() as connection:
                events.mark_processed(connection, numbers, system_clock_ms())
        return numbers

    def register(self, name: str = "paga", text: str = PAID) -> None:
        """Bring a mapping file into the journal, as a worker does."""
        self.commands.has_mapping(name, text)
        with contextlib.closing(self.runtime()) as runtime:
            runtime.register()

    def runtime(self, **environ: str) -> Runtime:
        """Give the parts of the bridge as the commands' environment has them; close it."""
        return Runtime(
            Settings.from_env({"CLINT_WEBHOOK_URL": "https://clint.example/a", **self.commands.environ, **environ})
        )


@contextlib.contextmanager
def place(directory: Path) -> Iterator[Place]:
    """Give a simulated Asaas that listens, and commands that know its address and key."""
    calendar = Calendar()
    asaas = AsaasSimulator(clock=calendar)
    commands = Commands(directory)
    try:
        with Served(asaas.app) as served, commands.journal():
            commands.environ |= {
                "ASAAS_API_KEY": DEFAULT_KEY,
                "ASAAS_API_URL": f"{served.url}/v3",
                "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            }
            yield Place(asaas, calendar, commands)
    finally:
        asaas.close()


def body_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a kept event."""
    return dict(json.loads(row["body"]))
