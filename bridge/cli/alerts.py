"""`bridge alerts`: what people are told, and a test of the way to them."""

from __future__ import annotations

from dataclasses import asdict

import click

from bridge.cli.output import json_option, moment, show_json, show_table
from bridge.cli.root import NO, Invocation


@click.group()
def alerts() -> None:
    """Try the way to people, and list what they were told: a worker tells by BRIDGE_ALERT_URLS what needs them."""


@alerts.command("test")
@click.pass_context
def send_test(context: click.Context) -> None:
    """Send a test message to each URL of BRIDGE_ALERT_URLS."""
    from bridge.alerting.message import trial
    from bridge.alerting.sending import send

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
    from bridge.journal import alerts as journal

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
