"""The command `bridge` with everything below it."""

from __future__ import annotations

import sys

import click

from bridge import __version__, logs
from bridge.cli.backfill import backfill
from bridge.cli.config import config
from bridge.cli.database import database
from bridge.cli.deliveries import deliveries
from bridge.cli.demo import demo
from bridge.cli.destinations import destinations
from bridge.cli.doctor import doctor
from bridge.cli.events import events
from bridge.cli.mappings import mappings
from bridge.cli.notices import notices
from bridge.cli.processes import sweeper, web, worker
from bridge.cli.reconcile import reconcile
from bridge.cli.root import Invocation, Root
from bridge.cli.statement import statement
from bridge.cli.trial import test_charge
from bridge.cli.up import up
from bridge.cli.webhook import webhook


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
@click.option("--debug", is_flag=True, help="Show log records and, where the bridge itself fails, the traceback.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Bring the charges of an Asaas account into the Clint CRM, in order, once, and explained.

    Settings come from the environment. Exit status: 0 fine, 1 the answer is no, 2 wrong use.
    """
    # Standard output belongs to what the command answers; the processes of the Procfile log there instead.
    logs.configure("debug" if debug else "error", json=not sys.stderr.isatty(), stream=sys.stderr)
    context.obj = Invocation(debug=debug)
    context.call_on_close(context.obj.close)


for command in (
    demo,
    up,
    web,
    worker,
    sweeper,
    database,
    mappings,
    events,
    deliveries,
    destinations,
    webhook,
    notices,
    doctor,
    reconcile,
    backfill,
    statement,
    test_charge,
    config,
):
    cli.add_command(command)
