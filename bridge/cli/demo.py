"""`bridge demo`: the whole bridge on this machine against a simulated Asaas and Clint, with charges of every kind.

Needs no setting, touches nothing of an operator's own bridge, and sends nothing off this machine.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shlex
import shutil
import string
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import httpx
from rich.console import Console
from rich.text import Text

from bridge import private_files
from bridge.cli.main import NO
from bridge.cli.mappings import starters
from bridge.cli.output import STYLES, delivery_said, plain, show_table
from bridge.cli.stack import LOOPBACK, Child, check_free
from bridge.errors import DemoRefused, JournalError
from bridge.http import nobody
from bridge.journal import Journal, queries
from bridge.journal.clock import system_clock_ms
from bridge.journal.queries import Row
from bridge.mapping import Setup, read_directory
from bridge.mapping.values import BRASILIA
from bridge.model import FINISHED, DeliveryState, EventState
from bridge.operations.mappings import switched
from bridge.settings import DEFAULT, SETTINGS
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.asaas.sender import NAMES
from bridge.simulator.clint.account import INTEGRATIONS, STAGES

if TYPE_CHECKING:
    from rich.console import Console

    from bridge.cli.stack import LocalBridge, Stopping, Supervisor
    from bridge.simulator.scenario import ExpectedDeal


PORTS = (8000, 8100, 8200)
"""Bridge, Asaas, Clint: taken where they are free."""
DEADLINE_S = 60.0
_LOOK_S = 0.15
_PAUSE_S = 0.7
_PAUSE_ONCE_S = 0.1


@click.command()
@click.option(
    "--once", is_flag=True, help="End when all is done: status 0 if each deal stands in its stage and status, else 1."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the bridge; otherwise 8000, or a free one.")
@click.pass_context
def demo(context: click.Context, once: bool, port: int | None) -> None:
    """Show the bridge at work against a simulated Asaas and Clint.

    Starts the simulators, a Redis, web and worker on this machine, makes charges of different kinds, pays
    them, and shows each event, what each mapping makes of it, and the deals that move through the funnel. Then it stays
    up until Ctrl-C, for you to pay the charge that is left, or refund others, on the page of the simulated Asaas. Needs
    no setting, and works on a copy of the mapping files that come with the bridge; to see others, set
    BRIDGE_MAPPINGS_DIR.
    """
    from bridge.cli.stack import LOOPBACK, choose_ports

    context.obj.queue_output(click.echo)
    directory = Path(os.environ.get("BRIDGE_DATA_DIR", "").strip() or "./data", "demo")
    if port is not None:
        check_free(LOOPBACK, port)
    with take_directory(directory):
        bridge, asaas, clint = choose_ports((port or PORTS[0], *PORTS[1:]))
        if not _play(set_stage(directory.resolve(), (bridge, asaas, clint)), once=once):
            context.exit(NO)


def _play(stage: DemoSetup, *, once: bool) -> bool:
    """Run one demo; return whether every expected deal came to stand."""
    from bridge.cli.output import console
    from bridge.cli.stack import LocalBridge, Stopping, Supervisor, wait_for
    from bridge.runtime import Runtime

    out = console()
    with ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        out.print(f"bridge demo: all runs on this machine, in {stage.directory}; nothing leaves it", markup=False)
        out.print(stage.shows, markup=False, soft_wrap=True)
        out.print("starting Redis, a simulated Asaas, a simulated Clint, web and worker", style="dim")
        notice = _Notices(out)
        logs = stage.directory / "logs"
        simulators = stack.enter_context(Supervisor(stage.simulators(), notice=notice, log_directory=logs))
        wait_for({"asaas": stage.asaas_url, "clint": stage.clint_url}, simulators.poll, stopping.__bool__)
        if not stopping:
            stage.connect()  # before the bridge looks for its webhook
        bridge = stack.enter_context(LocalBridge(stage.environ(), notice=notice, log_directory=logs))
        runtime = Runtime(bridge.settings)
        stack.callback(runtime.close)
        watch = DemoLog(runtime.journal, stage.asaas_url, stage.clint_url, out)
        stack.callback(watch.close)
        show = _ChargeProgress(stage, bridge, simulators, watch, stopping)
        wait_for({"web": f"{bridge.url}/healthz"}, show.tend, stopping.__bool__)
        for problem in () if stopping else bridge.readiness().problems:
            watch.print("bridge", problem, "yellow")
        fine = show.run(_PAUSE_ONCE_S if once else _PAUSE_S)
        if stopping:
            return not once
        out.print()
        funnel(watch.deals())
        out.print()
        for line in show.missing:
            out.print(line, style="bold red", markup=False)
        if not once:
            _addresses(stage, bridge, out)
            out.print("\nCtrl-C ends it.", style="bold")
            show.until(lambda: False)
            out.print("\nending ...")
            return True
    if fine:
        out.print("every expected deal stands", style="bold green")
    return fine


class _Notices:
    """Prints what the processes' keeper has to say."""

    def __init__(self, out: Console) -> None:
        self._out = out

    def __call__(self, text: str) -> None:
        self._out.print(text, markup=False, style="dim", soft_wrap=True)


@dataclass(slots=True)
class _ChargeProgress:
    """The charges, and waiting for what must come of them."""

    stage: DemoSetup
    bridge: LocalBridge
    simulators: Supervisor
    watch: DemoLog
    stopping: Stopping
    missing: list[str] = field(default_factory=list)
    _expected: list[ExpectedDeal] = field(default_factory=list)
    _problem: list[Exception] = field(default_factory=list)

    def tend(self) -> None:
        """Keep every process running."""
        self.simulators.poll()
        self.bridge.poll()

    def until(self, done: Callable[[], bool]) -> None:
        """Show what happens until something is so, or somebody asks to stop."""
        while not self.stopping:
            self.tend()
            # A simulator that is being started again does not answer, and the journal may be busy.
            with suppress(httpx.TransportError, JournalError):
                self.watch.look()
                if done():
                    return
            time.sleep(_LOOK_S)

    def run(self, pause_s: float) -> bool:
        """Make the charges and wait for their deals; return whether all came to stand, else say which did not."""
        if self.stopping:
            return False
        playing = threading.Thread(target=self._make_charges, args=(pause_s,), name="scenario", daemon=True)
        playing.start()
        self.until(lambda: not playing.is_alive())
        if self._problem:
            raise self._problem[0]
        deadline_s = time.monotonic() + DEADLINE_S
        # Once there is nothing left to do, no further deal can come.
        self.until(lambda: time.monotonic() > deadline_s or self.watch.is_idle())
        self.missing = self._still_missing()
        return not self.missing

    def _make_charges(self, pause_s: float) -> None:
        from bridge.simulator.asaas.account import DEFAULT_KEY
        from bridge.simulator.scenario import play

        def step(text: str) -> None:
            self.watch.print("asaas", text)

        try:
            self._expected += play(f"{self.stage.asaas_url}/v3", DEFAULT_KEY, step, pause_s)
        except Exception as error:  # noqa: BLE001 (raised again in the main thread, which ends what was started)
            self._problem.append(error)

    def _still_missing(self) -> list[str]:
        deals = self.watch.deals()
        lines = [line for one in self._expected if (line := one.problem(deals))]
        return lines if lines or self.watch.is_idle() else ["not everything was delivered in time"]


def _addresses(stage: DemoSetup, bridge: LocalBridge, out: Console) -> None:
    from bridge.cli.stack import bridge_command

    on = f", with {FUNNEL} on" if (stage.mappings / FUNNEL).exists() else ""
    # The shell may have the operator's own settings, and its `bridge` may be another program.
    settings = ["env", "-u", "DATABASE_URL", f"BRIDGE_DATA_DIR={stage.directory}"]
    rows = (
        ("Asaas (simulated)", stage.asaas_url, "pay Helena's charge, refund or remove others, and see what happens"),
        ("Clint (simulated)", stage.clint_url, "the funnel"),
        ("console", bridge.console_url, "every event, explained; mappings, test charge, reconciliation"),
        ("mappings", str(stage.mappings), f"a copy{on}"),
        ("journal", shlex.join([*settings, *bridge_command("events"), "list"]), "what came in"),
        ("logs", str(stage.directory / "logs"), ""),
    )
    for name, place, what in rows:
        out.print(f"{name:<18} {place}" + (f"  ({what})" if what else ""), markup=False, soft_wrap=True)


_MARK = ".bridge-demo"
FUNNEL = "exemplo_etapas_do_funil.yaml"
_OURS = ("ASAAS_", "CLINT_", "BRIDGE_")
_TIME_SCALE = "0.02"
"""How much faster than Asaas the simulator tries again what the bridge did not take."""


@dataclass(frozen=True, slots=True)
class DemoSetup:
    """Where everything of one demo is."""

    directory: Path
    mappings: Path
    asaas_url: str
    clint_url: str
    bridge_port: int
    webhook_token: str
    destinations: Mapping[str, str]
    """The id of the simulated integration for each destination that the mappings name."""
    shows: str
    """Whose mapping files run, in a sentence."""

    def environ(self) -> dict[str, str]:
        """Return the environment of the demo's bridge: nothing of the operator's own settings is in it."""
        names = {setting.name for setting in SETTINGS}
        environ = {k: v for k, v in os.environ.items() if k not in names and not k.startswith(_OURS)}
        environ |= {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_API_URL": f"{self.asaas_url}/v3",
            "ASAAS_WEBHOOK_TOKEN": self.webhook_token,
            "BRIDGE_DATA_DIR": str(self.directory),
            "BRIDGE_MAPPINGS_DIR": str(self.mappings),
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_HOST": LOOPBACK,
            "PORT": str(self.bridge_port),
        }
        for name, identity in self.destinations.items():
            variable = "CLINT_WEBHOOK_URL" if name == DEFAULT else f"CLINT_WEBHOOK_URL_{name.upper()}"
            environ[variable] = f"{self.clint_url}/endpoints/integration/webhook/{identity}"
        return environ

    def simulators(self) -> list[Child]:
        """Return the processes of the simulated Asaas and Clint."""
        asaas = ["asaas", "--port", _port(self.asaas_url), "--webhook-time-scale", _TIME_SCALE]
        clint = ["clint", "--port", _port(self.clint_url)]
        start = [sys.executable, "-m", "bridge.simulator"]
        return [Child(words[0], [*start, *words], self.environ()) for words in (asaas, clint)]

    def connect(self) -> None:
        """Set up what an operator sets up by hand: the webhook in Asaas, the integrations in Clint."""
        with httpx.Client(timeout=10, verify=nobody(), trust_env=False) as http:
            for name, identity in self.destinations.items():
                if name not in INTEGRATIONS:
                    # A funnel of its own: in that of the charges it would move their deals.
                    funnel = {"name": name, "stages": ["Entrada"]}
                    http.post(f"{self.clint_url}/_sim/origins", json=funnel).raise_for_status()
                    integration = {"name": name, "uuid": identity, "origin": name, "stage": "Entrada"}
                    http.post(f"{self.clint_url}/_sim/integrations", json=integration).raise_for_status()
            webhook = {
                "name": "bridge",
                "url": f"http://{LOOPBACK}:{self.bridge_port}/webhooks/asaas",
                "email": "operador@example.com",
                "enabled": True,
                "interrupted": False,
                "apiVersion": 3,
                "authToken": self.webhook_token,
                "sendType": "SEQUENTIALLY",
                "events": sorted(NAMES),
            }
            headers = {"access_token": DEFAULT_KEY, "User-Agent": "bridge-demo"}
            http.post(f"{self.asaas_url}/v3/webhooks", json=webhook, headers=headers).raise_for_status()


def set_stage(directory: Path, ports: tuple[int, int, int]) -> DemoSetup:
    """Return the stage of a new demo in an empty directory; the ports are the bridge's, Asaas's and Clint's."""
    source, mappings = find_mappings(), directory / "mappings"
    copy_mappings(source, mappings)
    shows = f"it runs a copy of the mappings in {source}"
    if not (mappings / FUNNEL).exists():
        shows += (
            f"; {FUNNEL} is not there, so deals do not stand where the demo expects them (unset BRIDGE_MAPPINGS_DIR)"
        )
    bridge, asaas, clint = ports
    return DemoSetup(
        directory,
        mappings,
        f"http://{LOOPBACK}:{asaas}",
        f"http://{LOOPBACK}:{clint}",
        bridge,
        _new_token(),
        _destinations(mappings),
        shows,
    )


def take_directory(directory: Path) -> IO[bytes]:
    """Empty the demo's directory, or make it, and return what holds it until it is closed.

    Raises DemoRefused where another demo runs in it, or where it holds what no demo made.
    """
    mark = directory / _MARK
    if directory.exists() and not mark.exists() and any(directory.iterdir()):
        raise DemoRefused(
            "the demo empties its directory, and this one holds other things",
            where=str(directory),
            hint="move them, or set BRIDGE_DATA_DIR",
        )
    private_files.make_directory(directory)
    hold = mark.open("wb")
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        hold.close()
        raise DemoRefused(
            "another demo runs already", where=str(directory), hint="end it with Ctrl-C, or set BRIDGE_DATA_DIR"
        ) from None
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != mark:
            path.unlink()
    return hold


def find_mappings() -> Path:
    """Return the directory of BRIDGE_MAPPINGS_DIR, else that of the mapping files that came with the bridge."""
    place = Path(os.environ.get("BRIDGE_MAPPINGS_DIR", "").strip() or starters())
    if not place.is_dir():
        raise DemoRefused("there are no mapping files", where=str(place), hint="unset BRIDGE_MAPPINGS_DIR")
    return place.resolve()


def copy_mappings(source: Path, target: Path) -> None:
    """Copy mapping files and samples, so that what is changed in the demo's console changes no file of the operator.

    In the copy the funnel with a stage for each situation is on, and the files that send the same charges are off.
    """
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file() and path.suffix in {".yaml", ".yml"}:
            shutil.copyfile(path, target / path.name)
    if (source / "samples").is_dir():
        shutil.copytree(source / "samples", target / "samples")
    if (target / FUNNEL).exists():
        for pattern, on in (("cobranca_*.yaml", False), ("exemplo_etapas_*.yaml", True)):
            for path in target.glob(pattern):
                path.write_text(switched(path.read_text(encoding="utf-8"), on=on), encoding="utf-8")


def _destinations(mappings: Path) -> dict[str, str]:
    """Return an integration for every destination that a mapping may send to."""
    read = [item.mapping for item in read_directory(mappings, Setup(None, None, mappings)) if item.mapping]
    named = {name for mapping in read for name in mapping.destinations if re.fullmatch(r"[a-z0-9][a-z0-9_]*", name)}
    return {name: str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in sorted(named)} | INTEGRATIONS


def _new_token() -> str:
    # Letters and digits in turn: Asaas takes no token with four equal letters or five rising digits in a row.
    return "".join(secrets.choice(string.ascii_letters) + secrets.choice(string.digits) for _ in range(20))


def _port(url: str) -> str:
    return url.rpartition(":")[2]


_PAGE = 200
_KIND_STYLES = {"asaas": "magenta", "clint": "bold green", "bridge": "yellow"}


class DemoLog:
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

    def print(self, kind: str, text: str, style: str = "") -> None:
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
            work = queries.work(connection, system_clock_ms())
        return not work.events_waiting and not any(n for state, n in work.deliveries.items() if state != "dead")

    def _get(self, url: str, **query: int) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(url, params=query).raise_for_status().json()
        return answer

    def _look_at_journal(self) -> None:
        now_ms = system_clock_ms()
        with self._journal.database.read() as connection:
            fresh = [row for row in queries.list_events(connection, limit=_PAGE) if row["id"] > self._newest]
            for event in reversed(fresh):
                self._newest = event["id"]
                self._open[event["id"]] = event
                self.print(f"#{event['id']}", f"{plain(event['name'])} {plain(event['object_id'])}", "bold")
            for event_id in list(self._open):
                event = queries.find_event(connection, str(event_id)) or self._open[event_id]
                deliveries = queries.deliveries_of(connection, event_id)
                for delivery in deliveries:
                    self._print_deal(delivery, queries.attempts_of(connection, delivery["id"]), now_ms)
                self._mark_seen(event, deliveries)

    def _print_deal(self, delivery: Row, attempts: Sequence[Row], now_ms: int) -> None:
        state = DeliveryState(delivery["state"])
        told = f"{state} {delivery['attempts']} {delivery['waiting']}"
        # What is only on its way is no news.
        if state in {DeliveryState.PENDING, DeliveryState.SENDING} or self._told.get(delivery["id"]) == told:
            return
        self._told[delivery["id"]] = told
        said = f"  {plain(delivery['mapping'])}: {delivery_said(delivery, attempts, now_ms)}"
        self.print(f"#{delivery['event_id']}", said, STYLES[state])

    def _mark_seen(self, event: Row, deliveries: Sequence[Row]) -> None:
        if event["state"] != EventState.PROCESSED:
            return
        if not deliveries:
            self.print(f"#{event['id']}", "  kept; no active mapping of its account listens to this event", "dim")
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
                self.print("clint", f"{entry['result']}: {entry['why'] or ''}", "yellow")
            else:
                self.print("clint", _deal_line(entry, deal), "green")


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
