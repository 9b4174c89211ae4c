"""`bridge doctor`: is everything there that the bridge needs, and what mends what is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.output import json_option, plain, show_json, show_table
from bridge.errors import SettingsError
from bridge.settings import DEFAULT, SETTINGS, Setting, Settings

if TYPE_CHECKING:
    from bridge.operations.doctor import Check


_COLOURS = {"fine": "green", "warning": "yellow", "wrong": "red"}


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check settings, keys, journal, Redis, Asaas, its webhook and the way in; say what mends what is wrong.

    Ends with 1 where something is wrong; a warning alone is 0. Shows no secret.
    """
    from bridge.operations.doctor import Check, State, run_checks
    from bridge.runtime import Runtime

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
            found = run_checks(runtime, lambda: invocation.journal)
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


@click.command()
@json_option
@click.pass_obj
def config(invocation: Invocation, as_json: bool) -> None:
    """Show every setting as the bridge reads it; of a secret, only whether it is set."""
    rows = [row for setting in SETTINGS for row in _rows(setting, invocation.settings)]
    if as_json:
        show_json([{"name": name, "value": value, "help": text} for name, value, text in rows])
    else:
        show_table(("variable", "value", "meaning"), rows)


def _rows(setting: Setting, settings: Settings) -> list[tuple[str, str, str]]:
    if not setting.family:
        value = settings.values[setting.name]
        # A SQLite URL is a path, and without DATABASE_URL the bridge makes one by itself.
        if setting.secret and not str(value).startswith("sqlite:"):
            return [(setting.name, _set(bool(value)), setting.help)]
        if isinstance(value, tuple):
            value = " ".join(map(str, value))
        shown = str(int(value)) if isinstance(value, bool) else str(value)
        return [(setting.name, shown or "unset", setting.help)]
    members: Mapping[str, str] = {
        "ASAAS_API_KEY": {name: _set(bool(account.api_key)) for name, account in settings.accounts.items()},
        "ASAAS_WEBHOOK_TOKEN": {name: _set(bool(account.webhook_token)) for name, account in settings.accounts.items()},
        "CLINT_WEBHOOK_URL": dict.fromkeys(settings.destinations, "set"),
        "CLINT_RATE_LIMIT": settings.paces,
    }[setting.name]
    names = sorted({DEFAULT, *members}, key=lambda name: (name != DEFAULT, name))
    return [
        (
            setting.name if name == DEFAULT else f"{setting.name}_{name.upper()}",
            members.get(name) or "unset",
            setting.help,
        )
        for name in names
    ]


def _set(is_set: bool) -> str:
    return "set" if is_set else "unset"
