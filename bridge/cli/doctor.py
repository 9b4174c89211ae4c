"""`bridge doctor` checks all that the bridge needs and says how to fix it; `bridge config` shows the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.output import json_option, plain, show_json, show_table
from bridge.errors import SettingsError
from bridge.messages import N_, _, current_language, in_language
from bridge.settings import DEFAULT, SETTINGS, Setting, Settings, origin_of, variable

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
    from bridge.operations.doctor import State, check_data

    made: list[Check] = []
    with in_language("en" if as_json else current_language()):
        for one in _checks(context.obj):
            made.append(one)
            if not as_json:
                _show(one)
    if as_json:
        show_json([check_data(one) for one in made])
    if any(one.state is State.WRONG for one in made):
        context.exit(NO)


def _checks(invocation: Invocation) -> Iterator[Check]:
    from bridge.operations.doctor import State, check, run_checks
    from bridge.runtime import Runtime

    try:
        settings = invocation.settings
    except SettingsError as error:
        for problem in error.problems:
            yield check(N_("settings"), problem, State.WRONG, N_("see: docs/settings.md"))
        return
    what = N_("read; accounts: {accounts}, destinations: {destinations}")
    yield check(N_("settings"), what, accounts=len(settings.accounts), destinations=len(settings.destinations))
    for name in settings.without_effect:
        what = N_("{variable} has no effect any more")
        yield check(N_("settings"), what, State.WARNING, N_("remove it"), variable=name)
    with closing(Runtime(settings)) as runtime:
        yield from run_checks(runtime, lambda: invocation.journal)


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
        (name, value, text)
        for setting, text in SETTINGS.items()
        for name, value in _values(setting, invocation.settings)
    ]
    if as_json:
        show_json([{"name": name, "value": value, "help": text} for name, value, text in rows])
        return
    shown = [(name, _(_SET[value]) if value in _SET else value, _(text)) for name, value, text in rows]
    show_table((_("variable"), _("value"), _("meaning")), shown)


_SET = {"set": N_("set"), "unset": N_("unset")}


def _values(setting: Setting, settings: Settings) -> Iterator[tuple[str, str]]:
    """Give each variable of a setting with its value."""
    origins = {name: origin_of(url) for name, url in settings.destinations.items()}
    families: Mapping[str, Mapping[str, object]] = {
        "ASAAS_API_KEY": {name: account.api_key for name, account in settings.accounts.items()},
        "ASAAS_WEBHOOK_TOKEN": {name: account.webhook_token for name, account in settings.accounts.items()},
        "CLINT_WEBHOOK_URL": {name: url for name, url in settings.destinations.items() if origins[name] is None},
        "CLINT_ORIGIN": {name: origin for name, origin in origins.items() if origin is not None},
        "CLINT_RATE_LIMIT": settings.rate_limits,
    }
    members = families.get(setting.name, {DEFAULT: settings.values.get(setting.name)})
    for name in (DEFAULT, *sorted(members.keys() - {DEFAULT})):
        value = members.get(name, "")
        # A SQLite URL is a path, and without DATABASE_URL the bridge makes one by itself.
        if setting.secret and value and not str(value).startswith("sqlite:"):
            value = "set"
        elif isinstance(value, tuple):
            value = " ".join(map(str, value))
        elif isinstance(value, bool):
            value = int(value)
        yield variable(setting.name, name), str(value) or "unset"
