"""`bridge notices`: what the operator must know about accounts, keys and webhooks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bridge.cli.main import NO, Invocation
from bridge.cli.output import ago, count, json_option, moment, show_json, show_table
from bridge.mapping import ParseResult, Setup, read_directory
from bridge.model import NoticeLevel

SHOWN = 50


@click.group()
def notices() -> None:
    """List and close what the operator must know: interrupted webhooks, expiring keys, an account's status."""


@notices.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that are closed, newest first.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=SHOWN, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def list_notices(invocation: Invocation, every: bool, limit: int, as_json: bool) -> None:
    """List the open notices with what mends them, and the mapping files that can't run."""
    from bridge.cli.output import with_times
    from bridge.journal import notices as journal
    from bridge.journal.clock import system_clock_ms

    with invocation.journal.database.read() as connection:
        found = journal.newest(connection, limit) if every else journal.open_notices(connection)[:limit]
    directory = invocation.settings.bridge_mappings_dir
    read = read_directory(directory, Setup(None, None, directory))
    broken = [_of_file(one) for one in read if one.mapping is None and Path(one.path) != directory]
    if as_json:
        show_json([*broken, *(with_times(asdict(one)) for one in found)])
        return
    now_ms = system_clock_ms()
    show_table(
        ("number", "level", "code", "about", "since", "last", "what", "what to do"),
        [
            *(("", one["level"], one["code"], one["about"], "", "", one["detail"], one["mend"]) for one in broken),
            *(
                (
                    one.id,
                    one.level if one.closed_ms is None else "closed",
                    one.code,
                    one.about,
                    moment(one.raised_ms),
                    ago(one.last_ms, now_ms),
                    one.detail,
                    one.mend,
                )
                for one in found
            ),
        ],
        empty="no notice: nothing needs you",
    )


def _of_file(read: ParseResult) -> dict[str, Any]:
    """Return that a mapping file can't run, in the form of a notice; it is none of the journal's, and has no number."""
    return {
        "id": None,
        "code": "mapping.broken",
        "about": Path(read.path).stem,
        "level": NoticeLevel.ERROR,
        "detail": f"the mapping file can't run: {read.findings[0]}",
        "mend": "correct the file, see: bridge mappings lint",
    }


@notices.command("close")
@click.argument("numbers", nargs=-1, required=True, type=int, metavar="NUMBER...")
@click.pass_context
def close_notices(context: click.Context, numbers: tuple[int, ...]) -> None:
    """Close notices that are mended or of no interest; what is not mended is raised again when it is seen again."""
    from bridge.journal import notices as journal
    from bridge.journal.clock import system_clock_ms

    invocation: Invocation = context.obj
    with invocation.journal.database.write() as connection:
        closed = {number: journal.close(connection, number, system_clock_ms()) for number in numbers}
    for number, done in closed.items():
        click.echo(
            f"notice {number} " + ("is closed" if done else "is not open; see: bridge notices list"), err=not done
        )
    if not all(closed.values()):
        context.exit(NO)


def hint(invocation: Invocation) -> None:
    """Say on standard error how many notices are open, where any is."""
    from bridge.journal import notices as journal

    with invocation.journal.database.read() as connection:
        number = sum(journal.counts(connection).values())
    if number:
        click.echo(f"{count(number, 'open notice')}; see: bridge notices list", err=True)


@click.group()
def alerts() -> None:
    """Try the way to people, and list what they were told: a worker tells by BRIDGE_ALERT_URLS what needs them."""


@alerts.command("test")
@click.pass_context
def send_test(context: click.Context) -> None:
    """Send a test message to each URL of BRIDGE_ALERT_URLS."""
    from bridge.alerts.send import send, trial

    invocation: Invocation = context.obj
    settings = invocation.settings
    settings.require("BRIDGE_ALERT_URLS")
    results = send(settings.bridge_alert_urls, trial(settings.bridge_language))
    for number, result in enumerate(results, 1):
        click.echo(f"URL {number} ({result.service}): {result.problem or 'sent'}", err=not result.sent)
    if not all(result.sent for result in results):
        context.exit(NO)


@alerts.command("list")
@json_option
@click.pass_obj
def list_alerts(invocation: Invocation, as_json: bool) -> None:
    """List the problems that last, with how often people were told of them."""
    from bridge.cli.output import with_times
    from bridge.journal import notices as journal

    with invocation.journal.database.read() as connection:
        found = [one for _, one in sorted(journal.load(connection).items())]
    if as_json:
        show_json([with_times(asdict(one)) for one in found])
        return
    show_table(
        ("code", "about", "level", "since", "told", "last", "next", "what"),
        [
            (
                one.code,
                one.about,
                one.level,
                moment(one.since_ms),
                one.times,
                moment(one.told_ms),
                moment(one.due_ms),
                f"can't be told, tried {one.failures} times: {one.detail}" if one.failures else one.detail,
            )
            for one in found
        ],
        empty="nobody was told of anything",
    )
