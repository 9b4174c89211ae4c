"""The parts of the documents that are made from the code: settings, commands, error codes, layers.

cog runs these inside docs/*.md, CONTRIBUTING.md and .env.example: `make docs` writes them anew, `make lint`
fails when one is not what the code says. Nothing here is used by the bridge itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from bridge.errors import BridgeError
from bridge.messages import in_language
from bridge.reasons import REASONS, Then
from bridge.settings import SETTINGS, Setting
from tests.layers import LAYERS, SIMULATOR

HELP_WIDTH = 100


def settings_table() -> str:
    """Return every setting as a row of a Markdown table."""
    rows = ["| variable | meaning | default |", "| --- | --- | --- |"]
    for setting, text in SETTINGS.items():
        meaning = f"{text} (secret)" if setting.secret else text
        rows.append(f"| {_name(setting)} | {meaning} | {_default(setting)} |")
    return "\n".join(rows)


def _name(setting: Setting) -> str:
    return f"`{setting.name}`, `{setting.name}_NAME`" if setting.family else f"`{setting.name}`"


def _default(setting: Setting) -> str:
    return f"`{setting.default}`" if setting.default else "none"


def settings_example() -> str:
    """Return every setting as a line of an .env file that changes nothing until it is filled in."""
    lines = []
    for setting, text in SETTINGS.items():
        lines += ["", f"# {text}"]
        if setting.family:
            lines.append(f"# another one, named x: {setting.name}_X=")
        value = f"'{setting.default}'" if setting.default and not setting.default.isalnum() else setting.default
        lines.append(f"#{setting.name}={value or _QUOTED.get(setting.name, '')}")
    return "\n".join(lines).strip()


_QUOTED = {"ASAAS_API_KEY": "'$aact_hmlg_...'"}
"""A key begins with `$`, which a shell takes for a variable unless it stands in single quotes."""


def commands(group: click.Group, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Return a context of every command below the group, groups before what is in them."""
    context = parent or click.Context(group, info_name="bridge", **group.context_settings)
    for word in sorted(group.list_commands(context)):
        command = group.get_command(context, word)
        if command is not None and not command.hidden:
            inner = click.Context(command, parent=context, info_name=word, terminal_width=HELP_WIDTH)
            yield inner
            if isinstance(command, click.Group):
                yield from commands(command, inner)


def command_table(group: click.Group) -> str:
    """Return every command that does something, with its first sentence, as a Markdown table."""
    rows = ["| command | what it does |", "| --- | --- |"]
    for context in commands(group):
        if not isinstance(context.command, click.Group):
            rows.append(f"| `{context.command_path}` | {context.command.get_short_help_str(limit=120)} |")
    return "\n".join(rows)


def command_reference(group: click.Group) -> str:
    """Return the help of every command, as the command itself prints it."""
    return "\n\n".join(
        f"## `{context.command_path}`\n\n```text\n{context.get_help()}\n```" for context in commands(group)
    )


def error_table() -> str:
    """Return every error code with its meaning, and what a command and the web answer with it."""
    rows = ["| code | meaning | exit status | HTTP status |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{cls.code}` | {(cls.__doc__ or '').strip()} | {cls.exit_status} | {cls.http_status} |"
        for cls in sorted(_family(BridgeError), key=lambda cls: cls.code)
    ]
    return "\n".join(rows)


def _family(cls: type[BridgeError]) -> Iterator[type[BridgeError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _family(child)


def reason_table(language: str = "en") -> str:
    """Return every reason code that the journal keeps, with its meaning, likely cause and what to do, in a language."""
    rows = [_HEADS[language], "| --- | --- | --- | --- |"]
    nothing = {"en": "nothing", "pt": "nada"}[language]
    with in_language(language):
        for code, known in REASONS.items():
            said = known.translated()
            todo = "; ".join(part for part in (said.todo, _THEN[language][said.then]) if part)
            rows.append(f"| `{code}` | {said.means} | {said.cause or '–'} | {todo or nothing} |")
    return "\n".join(rows)


_HEADS = {
    "en": "| reason | meaning | likely cause | what to do |",
    "pt": "| motivo | significado | causa provável | o que fazer |",
}
_THEN = {
    "en": {Then.RETRY: "then: bridge deliveries retry", Then.REPLAY: "then: bridge events replay", Then.NOTHING: ""},
    "pt": {Then.RETRY: "depois: Reenviar", Then.REPLAY: "depois: Repetir", Then.NOTHING: ""},
}


def layer_list() -> str:
    """Return the layers, highest first, as the architecture test knows them."""
    lines = ["    " + " | ".join(line) for line in LAYERS]
    return "\n".join([*lines, f"    {SIMULATOR} (imports nothing of the bridge; the commands and the tests start it)"])
