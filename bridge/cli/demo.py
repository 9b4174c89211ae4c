"""`bridge demo`: the whole bridge on this machine against a simulated Asaas and Clint, with charges of every kind.

It needs no setting, touches nothing of an operator's own bridge, and sends nothing off this machine.
"""

from __future__ import annotations

import contextvars
import fcntl
import os
import re
import shlex
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import click

from bridge import private_files
from bridge.asaas.webhooks import generate as new_token
from bridge.cli.main import NO
from bridge.cli.output import LiveLog, show_table
from bridge.cli.stack import LOOPBACK, LocalBridge, Stopping, bridge_command, chosen_port, reserved
from bridge.crypto import keep_new_key, with_kept_key
from bridge.errors import DemoRefused, JournalError
from bridge.journal import Journal, queries, statistics
from bridge.journal.clock import system_clock_ms
from bridge.mapping import Setup, read_directory
from bridge.mapping.values import brl
from bridge.messages import LANGUAGES, N_, _, current_language
from bridge.model import FINISHED, EventState
from bridge.operations.mappings import starters, switched
from bridge.runtime import Runtime
from bridge.settings import JOURNAL_FILE, SETTINGS, variable
from bridge.simulator.asaas import AsaasSimulator
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.asaas.sender import NAMES
from bridge.simulator.clint import ClintSimulator
from bridge.simulator.clint.account import DEFAULT_ORIGIN, DEFAULT_TOKEN, INTEGRATIONS, KEY_FIELD, STAGES
from bridge.simulator.scenario import ExpectedDeal, play
from bridge.simulator.serve import Served

DEADLINE_S = 60.0
_POLL_S = 0.15


@click.command()
@click.option(
    "--once", is_flag=True, help="End when all is done: status 0 if each deal is in its stage and status, else 1."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the bridge; otherwise 8000, or the next free one.")
@click.option(
    "--api", is_flag=True, help="Show deals by Clint's API: one mapping, and one deal for each charge, in its stage."
)
@click.pass_context
def demo(context: click.Context, once: bool, port: int | None, api: bool) -> None:
    """Show the bridge at work against a simulated Asaas and Clint.

    Starts the simulators, a Redis, web and worker on this machine, makes charges of different kinds, pays
    them, and shows each event, what each mapping makes of it, and the deals that move through the funnel. Then it stays
    up until Ctrl-C, for you to pay the charge that is left, or refund others, on the page of the simulated Asaas. Needs
    no setting, and works on a copy of the mapping files that come with the bridge; to see others, set
    BRIDGE_MAPPINGS_DIR.
    """
    context.obj.queue_output(click.echo)
    directory = Path(os.environ.get("BRIDGE_DATA_DIR", "").strip() or "./data", "demo")
    with ExitStack() as kept:
        bridge = kept.enter_context(chosen_port(8000) if port is None else reserved(LOOPBACK, port))
        asaas, clint = (kept.enter_context(chosen_port(wanted)) for wanted in (8100, 8200))
        kept.enter_context(take_directory(directory))
        if not _run(set_stage(directory.resolve(), (bridge, asaas, clint), api=api), once=once):
            context.exit(NO)


def _run(stage: DemoSetup, *, once: bool) -> bool:
    """Run one demo; return whether every expected deal is there."""
    with ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        stack.callback(lambda: _say_ended() if stopping else None)
        pool = stack.enter_context(ThreadPoolExecutor(1))  # left last: its work fails once the simulators are gone
        # The simulated Asaas posts a refused event again after a fiftieth of the real time.
        asaas, clint = AsaasSimulator(webhook_time_scale=0.02), ClintSimulator()
        log = DemoLog(asaas, clint)
        where = stage.directory
        log.say(_("bridge demo: all runs on this machine, in {directory}; nothing leaves it", directory=where))
        log.say(stage.shows)
        log.say(_("starting Redis, a simulated Asaas, a simulated Clint, web and worker"), "dim")

        def step(text: str) -> None:
            if not stopping:
                log.print("asaas", _(text))

        for app, url, close in ((asaas.app, stage.asaas_url, asaas.close), (clint.app, stage.clint_url, clint.close)):
            stack.enter_context(Served(app, port=int(url.rpartition(":")[2])))
            stack.callback(close)
        stage.connect(asaas, clint)  # before the bridge looks for its webhook
        notice, logs = partial(log.say, style="dim"), stage.directory / "logs"
        bridge = stack.enter_context(LocalBridge(stage.environ(), notice=notice, output=logs))
        runtime = stack.enter_context(closing(Runtime(bridge.settings)))

        def show_until(done: Callable[[], bool]) -> None:
            while not stopping:
                bridge.poll()
                with suppress(JournalError):  # it may be busy
                    log.look(runtime.journal)
                    if done():
                        return
                time.sleep(_POLL_S)

        bridge.wait_until_up(stopping)
        for problem in () if stopping else bridge.readiness()[1]:
            log.print("bridge", problem, "yellow")
        expected: list[ExpectedDeal] = []
        if not stopping:
            context, pause_s = contextvars.copy_context(), 0.1 if once else 0.7
            charges = pool.submit(lambda: context.run(play, f"{stage.asaas_url}/v3", DEFAULT_KEY, step, pause_s))
            show_until(charges.done)
            expected += charges.result() if charges.done() else []
            deadline_s = time.monotonic() + DEADLINE_S
            # An idle bridge and an idle Asaas make no further deal.
            show_until(lambda: time.monotonic() > deadline_s or log.is_idle(runtime.journal))
        if stopping:
            log.say("\n" + _("ending ..."))
            return not once
        deals = clint.deals
        missing = [line for deal in expected if (line := _problem(deal, deals, of_charges=stage.api))]
        if not missing and not log.is_idle(runtime.journal):
            missing = [_("not everything was delivered in time")]
        log.say()
        show_funnel(deals, KEY_FIELD if stage.api else "situacao")
        log.say()
        for line in missing:
            log.say(line, "bold red")
        if not once:
            _show_addresses(stage, bridge, log)
            log.say("\n" + _("Ctrl-C ends it."), "bold")
            show_until(lambda: False)
            log.say("\n" + _("ending ..."))
            return True
    if not missing:
        log.say(_("every expected deal is there"), "bold green")
    return not missing


def _say_ended() -> None:
    click.echo(_("ended: nothing of the demo is running any more"))


def _problem(expected: ExpectedDeal, deals: Sequence[dict[str, Any]], *, of_charges: bool) -> str:
    """Return what is wrong with the deal of one customer, or with those of their charges, or an empty text."""
    found, wanted = expected.found(deals), expected.wanted(of_charges=of_charges)
    if found == wanted:
        return ""
    return _(
        "{name} ({kind}): expected {wanted}; there is {found}",
        name=expected.name,
        kind=_(expected.kind),
        wanted=_(" and ").join(wanted),
        found=_(" and ").join(found) or _("no deal"),
    )


def _show_addresses(stage: DemoSetup, bridge: LocalBridge, log: DemoLog) -> None:
    copy = _("a copy, with {file} on", file=stage.funnel) if (stage.mappings / stage.funnel).exists() else _("a copy")
    # The shell may have the operator's own settings, and its `bridge` may be another program.
    theirs = ("DATABASE_URL", "BRIDGE_ENCRYPTION_KEY")
    settings = ["env", *(word for name in theirs for word in ("-u", name)), f"BRIDGE_DATA_DIR={stage.directory}"]
    command = shlex.join([*settings, *bridge_command("events"), "list"])
    pay = _("pay Helena's charge, make customers and charges of your own, and see what happens")
    for name, place, what in (
        (_("Asaas (simulated)"), stage.asaas_url, pay),
        (_("Clint (simulated)"), stage.clint_url, _("the funnel; let it fail on purpose")),
        (_("console"), bridge.console_url, _("every event, explained; mappings, test charge, reconciliation")),
        (_("mappings"), stage.mappings, copy),
        (_("journal"), command, _("what came in")),
        (_("logs"), stage.directory / "logs", ""),
    ):
        log.say(f"{name:<18} {place}" + (f"  ({what})" if what else ""))


FUNNEL = "exemplo_etapas_do_funil.yaml"
FUNNEL_BY_API = "exemplo_um_negocio_por_cobranca.yaml"
API_DESTINATION = "funil"
"""The destination of FUNNEL_BY_API."""
API_RATE = "50/second"
"""The simulated Clint has no limit, and nobody wants to wait for a demo."""


@dataclass(frozen=True, slots=True)
class DemoSetup:
    """Directory, addresses and secrets of one demo."""

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
    api: bool = False
    """Whether the funnel of charges is a destination by Clint's API."""

    @property
    def funnel(self) -> str:
        """The mapping file that makes the expected deals."""
        return FUNNEL_BY_API if self.api else FUNNEL

    def environ(self) -> dict[str, str]:
        """Return the environment of the demo's bridge, without the operator's own settings.

        It has a key of its own, so that the forms for accounts and destinations work.
        """
        names = {setting.name for setting in SETTINGS}
        ours = ("ASAAS_", "CLINT_", "BRIDGE_")
        environ = {k: v for k, v in os.environ.items() if k not in names and not k.startswith(ours)}
        for name, identity in self.destinations.items():
            url = f"{self.clint_url}/endpoints/integration/webhook/{identity}"
            environ[variable("CLINT_WEBHOOK_URL", name)] = url
        if self.api:
            environ |= {
                variable("CLINT_ORIGIN", API_DESTINATION): DEFAULT_ORIGIN,
                "CLINT_API_TOKEN": DEFAULT_TOKEN,
                "CLINT_API_URL": self.clint_url,
                "CLINT_API_RATE_LIMIT": API_RATE,
            }
        environ |= {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_API_URL": f"{self.asaas_url}/v3",
            "ASAAS_WEBHOOK_TOKEN": self.webhook_token,
            "BRIDGE_DATA_DIR": str(self.directory),
            "BRIDGE_MAPPINGS_DIR": str(self.mappings),
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_HOST": LOOPBACK,
            "BRIDGE_LANGUAGE": LANGUAGES[current_language()],
            "PORT": str(self.bridge_port),
        }
        keep_new_key(environ, JOURNAL_FILE)
        return with_kept_key(environ)

    def connect(self, asaas: AsaasSimulator, clint: ClintSimulator) -> None:
        """Set up what an operator sets up by hand: the webhook in Asaas, the integrations in Clint."""
        for name, identity in self.destinations.items():
            if name not in INTEGRATIONS:
                # A funnel of its own: in that of the charges it would move their deals.
                clint.crm.add_origin(name, ["Entrada"])
                clint.has_integration(name, origin=name, stage="Entrada", uuid=identity)
        asaas.webhooks.create(
            {
                "name": "bridge",
                "url": f"http://{LOOPBACK}:{self.bridge_port}/webhooks/asaas",
                "email": "bridge@example.com",
                "authToken": self.webhook_token,
                "apiVersion": 3,
                "sendType": "SEQUENTIALLY",
                "events": sorted(NAMES),
            }
        )


def set_stage(directory: Path, ports: tuple[int, int, int], *, api: bool = False) -> DemoSetup:
    """Return the setup of a new demo in an empty directory; the ports are the bridge's, Asaas's and Clint's."""
    source, mappings = find_mappings(), directory / "mappings"
    copy_mappings(source, mappings, api=api)
    shows = _("it runs a copy of the mappings in {directory}", directory=source)
    funnel = FUNNEL_BY_API if api else FUNNEL
    if not (mappings / funnel).exists():
        lacking = N_("{file} is not there, so deals are not where the demo expects them (unset BRIDGE_MAPPINGS_DIR)")
        shows += "; " + _(lacking, file=funnel)
    asaas, clint = (f"http://{LOOPBACK}:{port}" for port in ports[1:])
    webhooks = _destinations(mappings)
    if api:
        webhooks.pop(API_DESTINATION, None)
    return DemoSetup(directory, mappings, asaas, clint, ports[0], new_token(), webhooks, shows, api)


def take_directory(directory: Path) -> IO[bytes]:
    """Empty the demo's directory, or make it; return its lock, which holds until it is closed.

    Raises DemoRefused where another demo runs in it, or where it holds files that no demo made.
    """
    mark = directory / ".bridge-demo"
    if directory.exists() and not mark.exists() and any(directory.iterdir()):
        what = N_("the demo empties its directory, and this one holds other things")
        raise DemoRefused(what, where=str(directory), hint=N_("move them, or set BRIDGE_DATA_DIR"))
    private_files.make_directory(directory)
    lock = mark.open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        hint = N_("end it with Ctrl-C, or set BRIDGE_DATA_DIR")
        raise DemoRefused(N_("another demo runs already"), where=str(directory), hint=hint) from None
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != mark:
            path.unlink()
    return lock


def find_mappings() -> Path:
    """Return the directory of BRIDGE_MAPPINGS_DIR, else that of the mapping files that come with the bridge."""
    place = Path(os.environ.get("BRIDGE_MAPPINGS_DIR", "").strip() or starters())
    if not place.is_dir():
        raise DemoRefused(N_("there are no mapping files"), where=str(place), hint=N_("unset BRIDGE_MAPPINGS_DIR"))
    return place.resolve()


def copy_mappings(source: Path, target: Path, *, api: bool = False) -> None:
    """Copy mapping files and samples, so that a change in the demo's console changes no file of the operator.

    In the copy the funnel with a stage for each situation is on, by webhooks or by Clint's API, and the files that
    send the same charges are off.
    """
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file() and path.suffix in {".yaml", ".yml"}:
            shutil.copyfile(path, target / path.name)
    if (source / "samples").is_dir():
        shutil.copytree(source / "samples", target / "samples")
    if (target / (FUNNEL_BY_API if api else FUNNEL)).exists():
        for pattern, on in (("cobranca_*.yaml", False), ("exemplo_etapas_*.yaml", not api), (FUNNEL_BY_API, api)):
            for path in target.glob(pattern):
                path.write_text(switched(path.read_text(encoding="utf-8"), on=on), encoding="utf-8")


def _destinations(mappings: Path) -> dict[str, str]:
    """Return an integration's id for every destination that a mapping may send to."""
    read = [item.mapping for item in read_directory(mappings, Setup(None, None, mappings)) if item.mapping]
    named = {name for mapping in read for name in mapping.destinations if re.fullmatch(r"[a-z0-9][a-z0-9_]*", name)}
    return {name: str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in sorted(named)} | INTEGRATIONS


class DemoLog(LiveLog):
    """Prints the changes in the demo's journal and in the simulated Clint."""

    def __init__(self, asaas: AsaasSimulator, clint: ClintSimulator) -> None:
        super().__init__()
        self._asaas = asaas
        self._clint = clint
        self._newest = 0
        self._open: set[int] = set()
        self._history = 0
        self._writes = 0

    def say(self, text: str = "", style: str = "") -> None:
        self.out.print(text, style=style, markup=False, soft_wrap=True)

    def look(self, journal: Journal) -> None:
        with journal.database.read() as connection:
            rows = queries.list_events(connection, limit=200)
            self._open |= {row["id"] for row in rows if row["id"] > self._newest}
            self._newest = max([self._newest, *self._open])
            for event_id in sorted(self._open):
                event = queries.find_event(connection, str(event_id))
                found = queries.deliveries_of(connection, event_id)
                deliveries = [(one, queries.attempts_of(connection, one["id"])) for one in found]
                if event:
                    self.news([(event, deliveries)], system_clock_ms())
                    if event["state"] == EventState.PROCESSED and all(one["state"] in FINISHED for one in found):
                        self._open.remove(event_id)
        self._look_at_webhooks()
        self._look_at_writes()

    def is_idle(self, journal: Journal) -> bool:
        """Return whether Asaas has nothing to post and the bridge nothing to do."""
        if self._asaas.webhooks.waiting():
            return False
        with journal.database.read() as connection:
            now = statistics.gauges(connection, system_clock_ms())
        return not now.events_waiting and not any(n for state, n in now.deliveries.items() if state != "dead")

    def _look_at_webhooks(self) -> None:
        entries = [entry for entry in self._clint.receiver.history if entry.sequence > self._history]
        deals = {deal["id"]: deal for deal in self._clint.deals} if entries else {}
        for entry in entries:
            if entry.result == "pending":
                return  # the next look finds it finished
            self._history = entry.sequence
            deal = deals.get(entry.deal_id)
            if deal is None:
                self.print("clint", f"{entry.result}: {entry.why or ''}", "yellow")
            else:
                place = (entry.stage_before, entry.stage, entry.deal_status)
                self.print("clint", _deal_line(deal, *place, entry.body.get("situacao")), "green")

    def _look_at_writes(self) -> None:
        """Print what Clint's API and people on the simulated Clint's page did to deals."""
        with self._clint.crm.lock:
            writes = self._clint.crm.writes.all[self._writes :]
        self._writes += len(writes)
        by_others = [write for write in writes if write.by != "webhook"]
        deals = {deal["id"]: deal for deal in self._clint.deals} if by_others else {}
        for write in by_others:
            if write.deal_id in deals:
                deal = deals[write.deal_id]
                place = (write.stage_before, write.stage, write.status)
                self.print("clint", _deal_line(deal, *place, deal["fields"].get(KEY_FIELD)), "green")


def _deal_line(deal: dict[str, Any], before: str | None, stage: str | None, status: str | None, last: Any) -> str:
    """Return the line about a change of a deal; `last` is the text at its end."""
    moved = before not in {None, stage}
    what = _("new deal") if before is None else _("deal moved") if moved else _("deal updated")
    place = f"{before} → {stage}" if moved else stage
    cells = (_contact(deal), place, status, _value(deal), last)
    return f"{what}: {' · '.join(str(cell) for cell in cells if cell)}"


def _contact(deal: dict[str, Any]) -> str:
    contact = deal["contact"]
    return str(contact["name"] or contact["email"] or contact["phone"])


def _value(deal: dict[str, Any]) -> str:
    return "" if deal["value"] is None else brl(deal["value"])


def show_funnel(deals: Sequence[dict[str, Any]], field: str) -> None:
    """Print the deals as a table with one of their fields, stage by stage."""
    order = {label: number for number, label in enumerate(STAGES)}
    rows = [
        (one["stage"], one["status"], _contact(one), _value(one), one["fields"].get(field))
        for one in sorted(deals, key=lambda deal: order.get(deal["stage"], len(order)))
    ]
    show_table((_("stage"), _("status"), _("contact"), _("value"), field), rows)
