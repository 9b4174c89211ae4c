"""Says what `bridge webhook register` did; a token only where it was made here, and only once."""

from __future__ import annotations

import click

from bridge.asaas.webhooks import Webhook
from bridge.cli.output import count, plain, show_json
from bridge.settings import variable
from bridge.workbench.webhook_plan import Done, Plan


def show_done(done: Done, source: str, *, as_json: bool) -> None:
    """Print what was done; the token only where it was made here."""
    planned, webhook = done.plan, done.webhook
    name = variable("ASAAS_WEBHOOK_TOKEN", planned.wanted.account)
    if as_json:
        data = {
            "id": webhook.id,
            "url": webhook.url,
            "send_type": webhook.send_type,
            "events": sorted(webhook.events),
            "changed": list(done.changed),
            "interrupted": webhook.interrupted,
        }
        show_json({**data, "token_variable": name, "token": planned.token} if planned.made_token else data)
        return
    click.echo(f"webhook {plain(webhook.url)}")
    click.echo(f"  {'; '.join(plain(text) for text in done.changed) or 'is as it should be; nothing was changed'}")
    click.echo(f"  {count(len(webhook.events), 'event')} by {source}, sent {webhook.send_type}")
    if planned.made_token:
        click.echo("  its token is shown only now; put it into the bridge's environment and start the bridge again:")
        click.echo(f"\n{name}='{planned.token}'\n")
    for hint in _hints(planned, webhook, name):
        click.echo(f"  {hint}")


def _hints(planned: Plan, webhook: Webhook, name: str) -> list[str]:
    hints = []
    if not planned.token:
        hints.append(f"{name} is not set here, so the webhook keeps its token; for a new one: --new-token")
    if webhook.interrupted or webhook.penalised:
        hints.append("Asaas holds its queue back; when the bridge answers: bridge webhook resume")
    if planned.wanted.email and planned.before and planned.wanted.email != planned.before.email:
        hints.append("Asaas changes the e-mail of a webhook only on its own screen: Integrações, Webhooks")
    for url in planned.others:
        hints.append(f"another webhook leads to {plain(url)}; if that is an old address: bridge webhook remove --url")
    return hints
