"""How `bridge webhook status` shows an account's webhook: as data, or as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from bridge.asaas.client import AsaasClient
from bridge.asaas.webhook_rules import Problem, needed, ours, problems
from bridge.asaas.webhooks import Webhook, Webhooks
from bridge.cli.output import count, plain
from bridge.mapping import Mapping


@dataclass(frozen=True, slots=True)
class Status:
    """An account's webhooks that lead to the bridge, and what is wrong with them."""

    account: str
    webhooks: Sequence[Webhook]
    needed: frozenset[str]
    problems: Sequence[Problem]
    rotation: tuple[str, str] | None = None
    """While two tokens are valid: how far the change has come, and what to do next."""

    def data(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return {
            "account": self.account,
            "webhooks": [asdict(webhook) for webhook in self.webhooks],
            "needed": sorted(self.needed),
            "problems": [asdict(problem) for problem in self.problems],
            "rotation": dict(zip(("what", "mend"), self.rotation, strict=True)) if self.rotation else None,
        }


def account_status(
    client: AsaasClient,
    mappings: Iterable[Mapping],
    url: str | None,
    account: str,
    rotation: tuple[str, str] | None = None,
) -> Status:
    """Ask Asaas for the account's webhooks and judge the bridge's own."""
    found = ours(Webhooks(client).all(), account, url)
    wants = needed(mappings, account)
    return Status(account, found, wants, problems(found, wants, account), rotation)


def show_statuses(statuses: Iterable[Status]) -> None:
    """Print each account's webhooks and what is wrong with them."""
    for status in statuses:
        click.echo(f"account {status.account}")
        for webhook in status.webhooks:
            _show(webhook, status)
        if status.rotation:
            click.echo(f"  tokens     {'; '.join(status.rotation)}")
        for problem in status.problems:
            click.echo(f"  {problem.level}: {plain(problem.what)}; {plain(problem.mend)}")
        if not status.problems:
            click.echo("  fine")


def _show(webhook: Webhook, status: Status) -> None:
    state = "interrupted" if webhook.interrupted else "sends" if webhook.enabled else "switched off"
    click.echo(f"  url        {plain(webhook.url)}")
    click.echo(f"  id         {plain(webhook.id)}")
    click.echo(f"  state      {state}, {plain(webhook.send_type)}, {count(webhook.penalised, 'penalised failure')}")
    click.echo(f"  token      {'set at Asaas' if webhook.has_token else 'not set at Asaas'}")
    more = len(set(webhook.events) - status.needed)
    click.echo(f"  events     {len(webhook.events)}, of which {more} no mapping needs")
