"""`python -m tests.catalogue update|check`: the gettext catalogue of `bridge/locales` against the texts of the bridge.

`update` (`make messages`) extracts the texts into `messages.po`, drops those that are gone and compiles `messages.mo`.
`check` (in `make lint`) changes nothing and fails on a text without Portuguese, a fuzzy or unused entry, a placeholder
that differs, and a `.mo` that is older than its `.po`.
"""

from __future__ import annotations

import ast
import inspect
import string
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import click
from babel.messages import Catalog
from babel.messages.catalog import Message as Entry
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

from bridge.cli.main import cli
from bridge.errors import BridgeError, default_text
from bridge.messages import LOCALES

_BRIDGE = Path(__file__).parents[1] / "bridge"
_PO = LOCALES / "pt_BR" / "LC_MESSAGES" / "messages.po"
_KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
_METHODS = [
    ("simulator/scenario.py", "python"),
    ("**/simulator/**", "ignore"),
    ("**.py", "python"),
    ("**.html", "jinja2.ext:babel_extract"),
]
_OF_CLICK = "of click"

Key = tuple[str | tuple[str, ...], str | None]
"""A message id, or a pair of them with its plural, and its context."""


def texts() -> set[Key]:
    """Return every text of the bridge: those marked in code and templates, errors, and what commands say."""
    help_and_errors = {(text, None) for text in (*_errors(BridgeError), *_help(cli, click.Context(cli))) if text}
    return _extracted(_BRIDGE, _METHODS) | help_and_errors


def click_texts() -> set[Key]:
    """Return click's own texts. Another version of click may have others, so that none is asked for."""
    return _extracted(Path(click.__file__).parent, [("**.py", "python")]) | {("required", None)}  # not marked there


def _extracted(folder: Path, methods: list[tuple[str, str]]) -> set[Key]:
    found = extract_from_dir(folder, methods, keywords=_KEYWORDS)
    return {(message, context) for _file, _line, message, _comments, context in found if message}


def hidden(source: str) -> list[int]:
    """Return the lines that call gettext inside an f-string, where Babel finds no text on Python 3.11."""
    return [
        call.lineno
        for joined in ast.walk(ast.parse(source))
        if isinstance(joined, ast.JoinedStr)
        for call in ast.walk(joined)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _KEYWORDS
        if isinstance(call.args[0], ast.Constant)
    ]


def _errors(kind: type[BridgeError]) -> Iterator[str]:
    yield default_text(kind)
    for child in kind.__subclasses__():
        yield from _errors(child)


def _help(command: click.Command, context: click.Context) -> Iterator[str]:
    yield inspect.cleandoc(command.help or "").partition("\f")[0]
    yield command.short_help or ""
    yield command.options_metavar or ""
    yield getattr(command, "subcommand_metavar", "")
    for parameter in command.params:
        yield getattr(parameter, "help", None) or ""
        yield parameter.metavar or ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _help(child, context)


def read() -> Catalog:
    """Return the catalogue as it is committed."""
    with _PO.open("rb") as file:
        return read_po(file, locale="pt_BR")


def update(catalogue: Catalog, keys: set[Key], of_click: set[Key]) -> None:
    """Add the texts that are new, without a translation, and drop those that are gone."""
    entries = {_key(entry): entry for entry in catalogue if entry.id}
    for text, context in entries.keys() - keys - of_click:
        catalogue.delete(text[0] if isinstance(text, tuple) else text, context)
    for key in (keys | of_click) - entries.keys():
        entries[key] = catalogue.add(key[0], context=key[1])
    for key in keys | of_click:
        entries[key].auto_comments = [_OF_CLICK] if key not in keys else []


def problems(catalogue: Catalog, keys: set[Key]) -> list[str]:
    """Return what is wrong with a catalogue, a line each."""
    entries = {_key(entry): entry for entry in catalogue if entry.id}
    found = [f"no entry (run make messages): {key[0]!r}" for key in sorted(keys - entries.keys(), key=str)]
    unused = {key for key, entry in entries.items() if _OF_CLICK not in entry.auto_comments} - keys
    found += [f"no text of the bridge (run make messages): {key[0]!r}" for key in sorted(unused, key=str)]
    for key, entry in entries.items():
        strings = entry.string if isinstance(entry.string, tuple | list) else (entry.string,)
        ids = entry.id if isinstance(entry.id, tuple | list) else (entry.id,)
        if entry.fuzzy or not all(strings):
            found.append(f"not translated: {key[0]!r}")
        # A sentence of click's may leave out what it says in English only, such as "integer range".
        elif any((_names(str(a)) ^ _names(str(b))) - {"n", "number_type"} for a, b in zip(ids, strings, strict=True)):
            found.append(f"other placeholders than in English: {key[0]!r}")
    return found


def _key(entry: Entry) -> Key:
    return (tuple(entry.id) if isinstance(entry.id, tuple | list) else entry.id, entry.context)


def _names(text: str) -> set[str]:
    try:
        return {name for _literal, name, _spec, _conversion in string.Formatter().parse(text) if name}
    except ValueError:
        return set()


def _strings(catalogue: Catalog) -> dict[Key, tuple[str, ...]]:
    strings = {_key(entry): entry.string for entry in catalogue if entry.id}
    return {key: (text,) if isinstance(text, str) else tuple(text or ()) for key, text in strings.items()}


def _compiled(catalogue: Catalog) -> bytes:
    buffer = BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def _written(catalogue: Catalog) -> bytes:
    buffer = BytesIO()
    write_po(buffer, catalogue, width=0, no_location=True, omit_header=False, sort_output=True)
    return buffer.getvalue()


def main(arguments: list[str]) -> int:
    """Run `update` or `check`; return the exit status."""
    if arguments not in (["update"], ["check"]):
        print("usage: python -m tests.catalogue update|check", file=sys.stderr)  # noqa: T201 (a tool of `make`)
        return 2
    keys, catalogue = texts(), read()
    if arguments == ["update"]:
        update(catalogue, keys, click_texts())
        _PO.write_bytes(_written(catalogue))
        _PO.with_suffix(".mo").write_bytes(_compiled(catalogue))
        found = [line for line in problems(catalogue, keys) if line.startswith("not translated")]
    else:
        found = problems(catalogue, keys)
        found += [
            f"a text in an f-string is not found: {path.relative_to(_BRIDGE.parent)}:{line}"
            for path in sorted(_BRIDGE.rglob("*.py"))
            for line in hidden(path.read_text(encoding="utf-8"))
        ]
        if _strings(read_mo(BytesIO(_PO.with_suffix(".mo").read_bytes()))) != _strings(catalogue):
            found.append("messages.mo is older than messages.po: run make messages")
    for line in found:
        print(f"{_PO.relative_to(_BRIDGE.parent)}: {line}", file=sys.stderr)  # noqa: T201
    return 1 if found and arguments == ["check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
