"""`bridge mappings test`: runs the tests in the files, once or after every change, and says what none reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bridge import mapping_cases
from bridge.cli import mapping_views
from bridge.cli.mapping_source import paths_argument, read_paths
from bridge.cli.output import is_terminal, json_option, plain, show_json, show_table
from bridge.cli.root import NO, Invocation
from bridge.errors import UsageError
from bridge.mapping import ReadMapping
from bridge.mapping_cases import CaseResult, Part

_WATCHED = (".yaml", ".yml", ".json")
_SETTLE_MS = 200
"""Editors write a file in several steps; one run is enough for them."""


@click.command("test")
@paths_argument
@json_option
@click.option("--watch", is_flag=True, help="Run again whenever a mapping or a sample changes; Ctrl-C ends it.")
@click.option("--coverage", is_flag=True, help="Say which fields, conditions and routes no test reached.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="End with 1 where the tests of all files together reach less than that; implies --coverage.",
)
@click.pass_context
def test(
    context: click.Context,
    paths: tuple[Path, ...],
    as_json: bool,
    watch: bool,
    coverage: bool,
    fail_under: float | None,
) -> None:
    """Run the tests that the mapping files hold, with the worker's own functions.

    A file with an error fails too, since it can't run; accounts and destinations need not be set up for it. Ends with
    1 if anything failed.
    """
    if watch and as_json:
        raise UsageError("--watch and --json exclude each other")
    coverage = coverage or fail_under is not None

    def once() -> bool:
        return _run(context.obj, paths, as_json=as_json, coverage=coverage, least=fail_under or 0.0)

    passed = _again_and_again(context.obj, paths, once) if watch else once()
    if not passed:
        context.exit(NO)


def _again_and_again(invocation: Invocation, paths: tuple[Path, ...], once: Any) -> bool:
    import watchfiles

    places = [path if path.is_dir() else path.parent for path in paths] or [invocation.settings.bridge_mappings_dir]
    passed: bool = once()
    click.echo("watching; Ctrl-C ends", err=True)
    for _ in watchfiles.watch(
        *places,
        watch_filter=lambda _change, path: path.endswith(_WATCHED),
        debounce=_SETTLE_MS,
        step=50,
        raise_interrupt=False,
    ):
        if is_terminal():
            click.clear()
        passed = once()
    return passed


def _run(invocation: Invocation, paths: Iterable[Path], *, as_json: bool, coverage: bool, least: float) -> bool:
    """Run everything once, print it, and return whether it is as it should be."""
    read = read_paths(invocation, paths, no_environment=True)
    broken = [one for one in read if one.mapping is None]
    results: list[CaseResult] = []
    parts: list[Part] = []
    for one in read:
        if one.mapping is not None:
            of_file = mapping_cases.run(one.mapping, Path(one.path).parent)
            results += of_file
            parts += mapping_cases.parts_of(one.mapping, of_file)
    percent = _percent(parts)
    if as_json:
        told: dict[str, Any] = {
            "results": [mapping_views.result_json(result) for result in results],
            "broken": [mapping_views.finding_json(finding) for one in broken for finding in one.findings],
        }
        more = {"coverage": {"percent": percent, "parts": [asdict(part) for part in parts]}} if coverage else {}
        show_json({**told, **more})
    else:
        _show(results, broken)
        if coverage:
            _show_coverage(parts, percent)
    enough = not coverage or percent >= least
    if not enough:
        click.echo(f"the tests reach {percent:.1f} %, at least {least:g} % is asked", err=True)
    return enough and not broken and all(result.passed for result in results)


def _show(results: Sequence[CaseResult], broken: Sequence[ReadMapping]) -> None:
    for one in broken:
        for finding in one.findings:
            click.echo("\n".join(mapping_views.finding_lines(finding)))
    for result in results:
        mapping_views.show_result(result)
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results) - failed} passed, {failed} failed, {len(broken)} files can't run")


def _percent(parts: Sequence[Part]) -> float:
    return 100 * sum(part.reached for part in parts) / len(parts) if parts else 100.0


def _show_coverage(parts: Sequence[Part], percent: float) -> None:
    missed = [(f"{plain(part.path)}:{part.line}", part.kind, part.what) for part in parts if not part.reached]
    if missed:
        click.echo("no test reaches:")
        show_table(("where", "kind", "what"), missed)
    click.echo(f"the tests reach {percent:.1f} % of {len(parts)} fields, sides of conditions and routes")
