"""`bridge doctor` checks all that the bridge needs and says how to fix it; `bridge config` shows the settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.output import json_option, plain, show_json, show_table
from bridge.errors import SettingsError
from bridge.messages import N_, _, in_language, message
from bridge.settings import DEFAULT, SETTINGS, Setting, Settings

if TYPE_CHECKING:
    from bridge.operations.doctor import Check


_STATES = {"fine": (N_("fine"), "green"), "warning": (N_("warning"), "yellow"), "wrong": (N_("wrong"), "red")}


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check settings, keys, journal, Redis, Asaas, its webhook and its way to the bridge; say how to fix problems.

    Ends with 1 where something is wrong; a warning alone is 0. Shows no secret.
    """
    from bridge.operations.doctor import State, check, check_data, run_checks
    from bridge.runtime import Runtime

    invocation: Invocation = context.obj
    made: list[Check] = []
    with ExitStack() as opened:
        if as_json:
            opened.enter_context(in_language("en"))
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
    word, colour = _STATES[check.state.value]
    text = "; ".join(part for part in (plain(check.value), plain(check.mend)) if part)
    click.echo(f"{click.style(f'{_(word):<8}', fg=colour)} {plain(check.name)}: {text}")


@click.command()
@json_option
@click.pass_obj
def config(invocation: Invocation, as_json: bool) -> None:
    """Show every setting as the bridge reads it; of a secret, only whether it is set."""
    rows = [
        (name, value, setting.help) for setting in SETTINGS for name, value in _values(setting, invocation.settings)
    ]
    if as_json:
        show_json([{"name": name, "value": value, "help": text} for name, value, text in rows])
        return
    shown = [(name, _(_SET[value]) if value in _SET else value, _(text)) for name, value, text in rows]
    show_table((_("variable"), _("value"), _("meaning")), shown)


_SET = {"set": N_("set"), "unset": N_("unset")}


def _values(setting: Setting, settings: Settings) -> Iterator[tuple[str, str]]:
    """Give each variable of a setting with its value."""
    if not setting.family:
        value = settings.values[setting.name]
        # A SQLite URL is a path, and without DATABASE_URL the bridge makes one by itself.
        if setting.secret and not str(value).startswith("sqlite:"):
            value = "set" if value else "unset"
        elif isinstance(value, tuple):
            value = " ".join(map(str, value))
        elif isinstance(value, bool):
            value = int(value)
        yield setting.name, str(value) or "unset"
        return
    members: Mapping[str, str] = {
        "ASAAS_API_KEY": {name: account.api_key and "set" for name, account in settings.accounts.items()},
        "ASAAS_WEBHOOK_TOKEN": {name: account.webhook_token and "set" for name, account in settings.accounts.items()},
        "CLINT_WEBHOOK_URL": dict.fromkeys(settings.destinations, "set"),
        "CLINT_RATE_LIMIT": settings.rate_limits,
    }[setting.name]
    yield setting.name, members.get(DEFAULT) or "unset"
    for name in sorted(members.keys() - {DEFAULT}):
        yield f"{setting.name}_{name.upper()}", members[name] or "unset"
