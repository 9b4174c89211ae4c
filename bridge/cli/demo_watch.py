"""Shows a demo as it happens: what Asaas was told to do, each event, each mapping's verdict, each deal in Clint.

It only looks: into the journal, and at the simulated Clint over HTTP. On a terminal lines are coloured; otherwise they
are the same lines without colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from bridge.cli.output import plain, show_table
from bridge.cli.wording import STYLES, delivery_said
from bridge.http import nobody
from bridge.journal import Journal, reading
from bridge.journal.reading import Row
from bridge.mapping.dates import BRASILIA
from bridge.model import FINISHED, DeliveryState, EventState
from bridge.runtime import clock_ms
from bridge.simulator.clint.account import STAGES

_PAGE = 200
_KIND_STYLES = {"asaas": "magenta", "clint": "bold green", "bridge": "yellow"}


class Watch:
    """What has been seen so far."""

    def __init__(self, journal: Journal, asaas_url: str, clint_url: str, out: Console) -> None:
        self._journal = journal
        self._asaas_url = asaas_url
        self._clint_url = clint_url
        self._http = httpx.Client(timeout=10, verify=nobody(), trust_env=False)
        self._out = out
        self._newest = 0
        self._open: dict[int, Row] = {}
        self._told: dict[int, str] = {}
        self._history = 0

    def close(self) -> None:
        """Close the connections to the simulators."""
        self._http.close()

    def say(self, kind: str, text: str, style: str = "") -> None:
        """Print one line of a kind, such as asaas, clint, bridge or an event's number."""
        time = datetime.now(BRASILIA).strftime("%H:%M:%S")
        self._out.print(
            Text.assemble((time, "dim"), "  ", (f"{kind:<7}", _KIND_STYLES.get(kind, "cyan")), " ", (text, style)),
            soft_wrap=True,
        )

    def look(self) -> None:
        """Print what is new since the last look."""
        self._look_at_journal()
        self._look_at_clint()

    def deals(self) -> list[dict[str, Any]]:
        """Return every deal that stands in the simulated Clint."""
        found: list[dict[str, Any]] = self._get(f"{self._clint_url}/_sim/deals")["data"]
        return found

    def is_idle(self) -> bool:
        """Return whether Asaas has nothing to post and the bridge nothing to do."""
        if self._get(f"{self._asaas_url}/_sim/state")["waiting"]:
            return False
        with self._journal.database.read() as connection:
            work = reading.work(connection, clock_ms())
        return not work.events_waiting and not any(n for state, n in work.deliveries.items() if state != "dead")

    def _get(self, url: str, **query: int) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(url, params=query).raise_for_status().json()
        return answer

    def _look_at_journal(self) -> None:
        now_ms = clock_ms()
        with self._journal.database.read() as connection:
            fresh = [row for row in reading.list_events(connection, limit=_PAGE) if row["id"] > self._newest]
            for event in reversed(fresh):
                self._newest = event["id"]
                self._open[event["id"]] = event
                self.say(f"#{event['id']}", f"{plain(event['name'])} {plain(event['object_id'])}", "bold")
            for event_id in list(self._open):
                event = reading.find_event(connection, str(event_id)) or self._open[event_id]
                deliveries = reading.deliveries_of(connection, event_id)
                for delivery in deliveries:
                    self._tell(delivery, reading.attempts_of(connection, delivery["id"]), now_ms)
                self._settle(event, deliveries)

    def _tell(self, delivery: Row, attempts: Sequence[Row], now_ms: int) -> None:
        state = DeliveryState(delivery["state"])
        told = f"{state} {delivery['attempts']} {delivery['waiting']}"
        # What is only on its way is no news.
        if state in {DeliveryState.PENDING, DeliveryState.SENDING} or self._told.get(delivery["id"]) == told:
            return
        self._told[delivery["id"]] = told
        said = f"  {plain(delivery['mapping'])}: {delivery_said(delivery, attempts, now_ms)}"
        self.say(f"#{delivery['event_id']}", said, STYLES[state])

    def _settle(self, event: Row, deliveries: Sequence[Row]) -> None:
        if event["state"] != EventState.PROCESSED:
            return
        if not deliveries:
            self.say(f"#{event['id']}", "  kept; no active mapping listens to this event", "dim")
        if all(DeliveryState(delivery["state"]) in FINISHED for delivery in deliveries):
            del self._open[event["id"]]

    def _look_at_clint(self) -> None:
        entries = self._get(f"{self._clint_url}/_sim/history", after=self._history)["data"]
        deals = {deal["id"]: deal for deal in self.deals()} if entries else {}
        for entry in entries:
            if entry["result"] == "pending":
                return  # looked at again, when it is finished
            self._history = entry["sequence"]
            deal = deals.get(entry["deal_id"])
            if deal is None:
                self.say("clint", f"{entry['result']}: {entry['why'] or ''}", "yellow")
            else:
                self.say("clint", _deal_line(entry, deal), "green")


def _deal_line(entry: dict[str, Any], deal: dict[str, Any]) -> str:
    before, stage = entry["stage_before"], entry["stage"]
    moved = before not in {None, stage}
    what = "new deal" if before is None else "deal moved" if moved else "deal updated"
    place = f"{before} → {stage}" if moved else stage
    cells = (_who(deal), place, entry["deal_status"], _value(deal), entry["body"].get("situacao"))
    return f"{what}: {' · '.join(plain(cell) for cell in cells if cell)}"


def _who(deal: dict[str, Any]) -> str:
    contact = deal["contact"]
    return str(contact["name"] or contact["email"] or contact["phone"])


def _value(deal: dict[str, Any]) -> str:
    return "" if deal["value"] is None else f"R$ {deal['value']:.2f}".replace(".", ",")


def funnel(deals: Sequence[dict[str, Any]]) -> None:
    """Print the deals as a table, stage by stage."""
    order = {label: number for number, label in enumerate(STAGES)}
    rows = [
        [plain(cell) for cell in (one["stage"], one["status"], _who(one), _value(one), one["fields"].get("situacao"))]
        for one in sorted(deals, key=lambda deal: order.get(deal["stage"], len(order)))
    ]
    show_table(("stage", "status", "contact", "value", "situacao"), rows)
