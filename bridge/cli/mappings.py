"""`bridge mappings`: lint, test and show the mapping files; the other commands about them have modules of their own.

These commands read files only: no journal, no Redis and no network, so that they run on a laptop and in CI.
Only what names a kept event or a revision looks into the journal.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from bridge.cli import mapping_views
from bridge.cli.mapping_checklist import checklist
from bridge.cli.mapping_explain import explain
from bridge.cli.mapping_history import diff, history, restore
from bridge.cli.mapping_new import new
from bridge.cli.mapping_sample import sample
from bridge.cli.mapping_schema import schema
from bridge.cli.mapping_source import named, paths_argument, read_paths, starters
from bridge.cli.mapping_test import test
from bridge.cli.output import json_option, show_json, show_table
from bridge.cli.root import NO, Invocation
from bridge.errors import UsageError
from bridge.mapping import ReadMapping, Severity


@click.group("mappings")
def mappings() -> None:
    """Check, test, show and explain the mapping files."""


@mappings.command()
@paths_argument
@json_option
@click.option(
    "--no-environment",
    is_flag=True,
    help="Do not ask whether accounts and destinations are set up here; for CI, which has no secrets.",
)
@click.pass_context
def lint(context: click.Context, paths: tuple[Path, ...], as_json: bool, no_environment: bool) -> None:
    """Say everything that is wrong with the mapping files, with file, line and column.

    PATHS are files or directories; without any, the directory of BRIDGE_MAPPINGS_DIR. Ends with 1 if there are errors
    or warnings; notes do not count.
    """
    read = read_paths(context.obj, paths, no_environment=no_environment)
    if as_json:
        show_json([finding for one in read for finding in map(mapping_views.finding_json, one.findings)])
    else:
        mapping_views.show_findings(read)
    if any(finding.severity is not Severity.NOTE for one in read for finding in one.findings):
        context.exit(NO)


@mappings.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def init(invocation: Invocation, directory: Path | None) -> None:
    """Copy the mapping files that come with the bridge, with their samples and the guide.

    They go to DIR; without it, to the directory of BRIDGE_MAPPINGS_DIR. No file is overwritten: where one is there
    already, nothing is copied.
    """
    source, target = starters(), directory or invocation.settings.bridge_mappings_dir
    names = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    for name in names:
        if (target / name).exists():
            raise UsageError("there is a file of that name", where=str(target / name), mend="name another directory")
    try:
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
    except OSError as error:
        raise UsageError(f"{target} can't be written ({error.strerror})", mend="name another directory") from None
    click.echo(f"written: {target}, with {sum(name.suffix == '.yaml' for name in names)} mappings")


@mappings.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def show(context: click.Context, name: str | None, as_json: bool) -> None:
    """List the mapping files, or show all that one of them does."""
    read = read_paths(context.obj, (), no_environment=name is not None)
    if name is not None:
        mapping = named(read, name)
        if as_json:
            show_json(mapping_views.summary(mapping))
        else:
            mapping_views.show_mapping(mapping)
        return
    if as_json:
        show_json([mapping_views.summary(one.mapping) if one.mapping else _broken_json(one) for one in read])
        return
    rows = [_row(one) for one in read]
    show_table(("name", "state", "events", "sends to", "description"), rows)


def _row(read: ReadMapping) -> tuple[str, str, str, str, str]:
    name, mapping = Path(read.path).stem, read.mapping
    if mapping is None:
        return name, "error", "", "", str(read.findings[0])
    state = "on" if mapping.enabled else "off"
    return name, state, ", ".join(mapping.events), ", ".join(sorted(mapping.destinations)), mapping.description


def _broken_json(read: ReadMapping) -> dict[str, Any]:
    return {
        "name": Path(read.path).stem,
        "path": read.path,
        "findings": [mapping_views.finding_json(finding) for finding in read.findings],
    }


for command in (test, explain, checklist, new, sample, schema, history, diff, restore):
    mappings.add_command(command)
