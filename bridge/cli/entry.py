"""The command `bridge` with everything below it."""

from __future__ import annotations

from importlib import import_module

import click

from bridge import __version__
from bridge.cli.root import Invocation, Root

COMMANDS = {
    "demo": "demo:demo",
    "up": "up:up",
    "web": "processes:web",
    "worker": "processes:worker",
    "sweeper": "processes:sweeper",
    "db": "database:database",
    "mappings": "mappings:mappings",
    "events": "events:events",
    "deliveries": "deliveries:deliveries",
    "accounts": "accounts:accounts",
    "destinations": "destinations:destinations",
    "forget": "people:forget",
    "export": "people:export",
    "webhook": "webhook:webhook",
    "notices": "notices:notices",
    "alerts": "alerts:alerts",
    "doctor": "doctor:doctor",
    "reconcile": "reconcile:reconcile",
    "backfill": "backfill:backfill",
    "statement": "statement:statement",
    "test-charge": "trial:test_charge",
    "config": "config:config",
}
"""Name -> module of `bridge.cli` and the command in it: a process that runs for months holds no other code."""


class Commands(Root):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the alphabet, as click does."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(f"bridge.cli.{module}"), name)
        return command


@click.group(cls=Commands)
@click.version_option(__version__, message="%(version)s")
@click.option("--debug", is_flag=True, help="Show log records and, where the bridge itself fails, the traceback.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Bring the charges of an Asaas account into the Clint CRM, in order, once, and explained.

    Settings come from the environment. Exit status: 0 fine, 1 the answer is no, 2 wrong use.
    """
    context.obj = Invocation(debug=debug)
    context.obj.configure_logs()
    context.call_on_close(context.obj.close)
