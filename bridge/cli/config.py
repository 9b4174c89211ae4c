"""`bridge config`: the settings as the bridge reads them; secrets only as set or unset."""

from __future__ import annotations

from collections.abc import Mapping

import click

from bridge.cli.output import json_option, show_json, show_table
from bridge.cli.root import Invocation
from bridge.settings import DEFAULT, SETTINGS, Setting, Settings


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
