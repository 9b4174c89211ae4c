"""`bridge demo`: the whole bridge on this machine against a simulated Asaas and Clint, with charges of every kind.

Needs no setting, touches nothing of an operator's own bridge, and sends nothing off this machine.
"""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx

from bridge.cli.local import check_free
from bridge.cli.root import NO
from bridge.errors import JournalError

if TYPE_CHECKING:
    from rich.console import Console

    from bridge.cli.demo_stage import Stage
    from bridge.cli.demo_watch import Watch
    from bridge.cli.local import LocalBridge
    from bridge.cli.supervise import Stopping, Supervisor
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
    no setting, and works on a copy of the mapping files.
    """
    from bridge.cli.demo_stage import set_stage, take_directory
    from bridge.cli.local import LOOPBACK, choose_ports

    context.obj.queue_output(click.echo)
    directory = Path(os.environ.get("BRIDGE_DATA_DIR", "").strip() or "./data", "demo")
    if port is not None:
        check_free(LOOPBACK, port)
    with take_directory(directory):
        bridge, asaas, clint = choose_ports((port or PORTS[0], *PORTS[1:]))
        if not _play(set_stage(directory.resolve(), (bridge, asaas, clint)), once=once):
            context.exit(NO)


def _play(stage: Stage, *, once: bool) -> bool:
    """Run one demo; return whether every expected deal came to stand."""
    from bridge.cli.demo_watch import Watch, funnel
    from bridge.cli.local import LocalBridge, wait_for
    from bridge.cli.output import console
    from bridge.cli.supervise import Stopping, Supervisor
    from bridge.runtime import Runtime

    out = console()
    with ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        out.print(f"bridge demo: all runs on this machine, in {stage.directory}; nothing leaves it", markup=False)
        out.print("starting Redis, a simulated Asaas, a simulated Clint, web and worker", style="dim")
        notice = _Notices(out)
        logs = stage.directory / "logs"
        simulators = stack.enter_context(Supervisor(stage.simulators(), notice=notice, log_directory=logs))
        wait_for({"asaas": stage.asaas_url, "clint": stage.clint_url}, simulators.tend, stopping.__bool__)
        if not stopping:
            stage.connect()  # before the bridge looks for its webhook
        bridge = stack.enter_context(LocalBridge(stage.environ(), notice=notice, log_directory=logs))
        runtime = Runtime(bridge.settings)
        stack.callback(runtime.close)
        watch = Watch(runtime.journal, stage.asaas_url, stage.clint_url, out)
        stack.callback(watch.close)
        show = _Show(stage, bridge, simulators, watch, stopping)
        wait_for({"web": f"{bridge.url}/healthz"}, show.tend, stopping.__bool__)
        for problem in () if stopping else bridge.readiness().problems:
            watch.say("bridge", problem, "yellow")
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
class _Show:
    """The charges, and waiting for what must come of them."""

    stage: Stage
    bridge: LocalBridge
    simulators: Supervisor
    watch: Watch
    stopping: Stopping
    missing: list[str] = field(default_factory=list)
    _expected: list[ExpectedDeal] = field(default_factory=list)
    _problem: list[Exception] = field(default_factory=list)

    def tend(self) -> None:
        """Keep every process running."""
        self.simulators.tend()
        self.bridge.tend()

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
        from bridge.simulator.asaas import DEFAULT_KEY
        from bridge.simulator.scenario import play

        def step(text: str) -> None:
            self.watch.say("asaas", text)

        try:
            self._expected += play(f"{self.stage.asaas_url}/v3", DEFAULT_KEY, step, pause_s)
        except Exception as error:  # noqa: BLE001 (raised again in the main thread, which ends what was started)
            self._problem.append(error)

    def _still_missing(self) -> list[str]:
        deals = self.watch.deals()
        lines = [line for one in self._expected if (line := one.problem(deals))]
        return lines if lines or self.watch.is_idle() else ["not everything was delivered in time"]


def _addresses(stage: Stage, bridge: LocalBridge, out: Console) -> None:
    from bridge.cli.demo_stage import FUNNEL
    from bridge.cli.local import bridge_command

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
