"""`bridge doctor`: is everything there that the bridge needs, and what mends what is not."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bridge.cli.output import json_option, plain, show_json
from bridge.cli.root import NO, Invocation
from bridge.errors import SettingsError

if TYPE_CHECKING:
    from bridge.workbench.checks import Check

_COLOURS = {"fine": "green", "warning": "yellow", "wrong": "red"}


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check settings, keys, journal, Redis, Asaas, its webhook and the way in; say what mends what is wrong.

    Ends with 1 where something is wrong; a warning alone is 0. Shows no secret.
    """
    from bridge.runtime import Runtime
    from bridge.workbench.checks import Check, State
    from bridge.workbench.probes import examine

    invocation: Invocation = context.obj
    made: list[Check] = []
    with ExitStack() as opened:
        try:
            settings = invocation.settings
        except SettingsError as error:
            mend = "see: docs/settings.md"
            found: Iterable[Check] = [Check("settings", problem, State.WRONG, mend) for problem in error.problems]
        else:
            made.append(
                Check("settings", f"read, {len(settings.accounts)} accounts, {len(settings.destinations)} destinations")
            )
            made += [
                Check("settings", f"{name} has no effect any more", State.WARNING, "remove it")
                for name in settings.without_effect
            ]
            runtime = opened.enter_context(closing(Runtime(settings)))
            found = examine(runtime, lambda: invocation.journal)
        for check in [] if as_json else made:
            _show(check)
        for check in found:
            made.append(check)
            if not as_json:
                _show(check)
    if as_json:
        show_json([asdict(check) for check in made])
    if any(check.state is State.WRONG for check in made):
        context.exit(NO)


def _show(check: Check) -> None:
    state = click.style(f"{check.state.value:<8}", fg=_COLOURS[check.state.value])
    mend = f"; {plain(check.mend)}" if check.mend else ""
    click.echo(f"{state} {plain(check.name)}: {plain(check.value)}{mend}")
