"""`bridge mappings sample`: makes a sample for tests from what really came, with everything personal replaced."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from bridge.cli import explain_source
from bridge.cli.output import json_text
from bridge.cli.root import Invocation
from bridge.errors import NotFound, UsageError
from bridge.mapping.parts import FETCHABLE
from bridge.mapping.scrub import Scrubber


@click.command("sample")
@click.argument("event", required=False)
@click.option("--event-id", metavar="ID", help="This event, by its number or its whole Asaas id; else the newest.")
@click.option(
    "--with",
    "names",
    multiple=True,
    type=click.Choice(sorted(FETCHABLE)),
    help="Ask Asaas for this object too and write it beside the event; may be repeated.",
)
@click.option("--ids", is_flag=True, help="Replace the ids too, for a sample that leaves the company.")
@click.option("--output", metavar="FILE", help="Where to write it; - prints. [default: samples/EVENT.json]")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.pass_context
def sample(
    context: click.Context,
    event: str | None,
    event_id: str | None,
    names: tuple[str, ...],
    ids: bool,
    output: str | None,
    force: bool,
) -> None:
    """Write a sample from a kept event: EVENT is its name, such as PAYMENT_RECEIVED.

    Names, CPF and CNPJ, e-mails, phones, addresses, links and free texts are replaced by fakes that stay the same each
    time. Amounts, dates, statuses and ids are what came. Look at the file before you share it.
    """
    if (event is None) == (event_id is None):
        raise UsageError("name either an EVENT or an --event-id", mend="see: bridge mappings sample --help")
    if output == "-" and names:
        raise UsageError("--with writes a file beside the event's and can't print", mend="leave --output - out")
    row, fetched = explain_source.load_with(context, event_id or _newest(context.obj, str(event)), names)
    found = {name: fetched[name] for name in names if fetched.get(name) is not None}
    # Together, so that a name that only the customer tells is found in the event's texts too.
    scrubbed = Scrubber(ids=ids).scrub({"": json.loads(row["body"]), **found})
    texts = {name: json_text(one) + "\n" for name, one in scrubbed.items()}
    if output == "-":
        click.echo(texts[""], nl=False)
        return
    root = context.obj.settings.bridge_mappings_dir
    path = Path(output) if output else root / "samples" / f"{row['name'].lower()}.json"
    paths = {name: path.with_name(f"{path.stem}_{name}.json") if name else path for name in texts}
    _write(paths, texts, force=force)
    _say_how_to_use(paths, root)


def _newest(invocation: Invocation, name: str) -> str:
    from bridge.journal import reading

    with invocation.journal.database.read() as connection:
        rows = reading.list_events(connection, limit=1, name=name)
    if not rows:
        raise NotFound(f"no event {name!r} was kept", mend="see: bridge events list")
    return str(rows[0]["id"])


def _write(paths: dict[str, Path], texts: dict[str, str], *, force: bool) -> None:
    there = [path for path in paths.values() if path.exists()]
    if there and not force:
        raise UsageError("the file is there already", where=str(there[0]), mend="choose --output, or add --force")
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name], encoding="utf-8")


def _say_how_to_use(paths: dict[str, Path], root: Path) -> None:
    for path in paths.values():
        click.echo(f"written: {path}", err=True)
    if not all(path.resolve().is_relative_to(root.resolve()) for path in paths.values()):
        click.echo(f"a test reads samples below {root}: put the file there to write one", err=True)
        return
    named = {name: _as_yaml(path.resolve().relative_to(root.resolve())) for name, path in paths.items()}
    click.echo(f"  - name: o que este teste mostra\n    given: {named.pop('')}")
    if named:
        click.echo(f"    with: {{{', '.join(f'{name}: {path}' for name, path in named.items())}}}")
    click.echo("    expect: {exactly: {}}  # bridge mappings test says what came out")


def _as_yaml(path: Path) -> str:
    text = path.as_posix()
    return text if re.fullmatch(r"[A-Za-z][\w./-]*", text) else json.dumps(text, ensure_ascii=False)
