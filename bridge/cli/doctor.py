"""`bridge doctor` and `bridge config`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.output import json_option, plain, show_json, show_table
from bridge.errors import SettingsError
from bridge.messages import N_, _, message
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
    from bridge.operations.doctor import State, check, check_data, run_checks
    from bridge.runtime import Runtime

    invocation: Invocation = context.obj
    made: list[Check] = []
    with ExitStack() as opened:
        try:
            settings = invocation.settings
        except SettingsError as error:
            mend = N_("see: docs/settings.md")
            found: Iterable[Check] = [check(N_("settings"), problem, State.WRONG, mend) for problem in error.problems]
        else:
            counts = {"accounts": len(settings.accounts), "destinations": len(settings.destinations)}
            what = N_("read; accounts: {accounts}, destinations: {destinations}")
            made.append(check(N_("settings"), message(what, **counts)))
            what = N_("{variable} has no effect any more")
            made += [
                check(N_("settings"), what, State.WARNING, N_("remove it"), variable=name)
                for name in settings.without_effect
            ]
            runtime = opened.enter_context(closing(Runtime(settings)))
            found = run_checks(runtime, lambda: invocation.journal)
        for one in [] if as_json else made:
            _show(one)
        for one in found:
            made.append(one)
            if not as_json:
                _show(one)
    if as_json:
        show_json([check_data(one) for one in made])
    if any(one.state is State.WRONG for one in made):
        context.exit(NO)


def _show(check: Check) -> None:
    state = click.style(f"{check.state.value:<8}", fg=_COLOURS[check.state.value])
    name, value, mend = (message(part).text() for part in (check.name, check.value, check.mend))
    click.echo(f"{state} {plain(name)}: {plain(value)}{f'; {plain(mend)}' if mend else ''}")


@click.command()
@json_option
@click.pass_obj
def config(invocation: Invocation, as_json: bool) -> None:
    """Show every setting as the bridge reads it; of a secret, only whether it is set."""
    rows = [row for setting in SETTINGS for row in _rows(setting, invocation.settings)]
    if as_json:
        show_json([{"name": name, "value": value, "help": text} for name, value, text in rows])
    else:
        show_table(("variable", "value", "meaning"), [(name, value, _(text)) for name, value, text in rows])


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
        "CLINT_RATE_LIMIT": settings.rate_limits,
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
