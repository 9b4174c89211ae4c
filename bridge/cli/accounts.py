"""`bridge accounts` and `bridge destinations`: those of the environment, and those kept in the journal."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial

import click

from bridge.asaas.webhooks import hook_url
from bridge.cli.main import Invocation
from bridge.cli.options import check_can_ask, confirm, opened_runtime, remove_after_question
from bridge.cli.output import Columns, json_option, show_json, show_list
from bridge.errors import ClintApiFailed, ClintFault, NotFound
from bridge.journal import accounts as kept
from bridge.journal import audit
from bridge.journal import destinations as journal
from bridge.journal.clock import system_clock_ms
from bridge.messages import N_, Message, _, ngettext, pgettext
from bridge.operations import accounts as operations
from bridge.operations import actions
from bridge.operations.accounts import Stored
from bridge.settings import origin_of, origin_url

_WORDS = (N_("set"), N_("unset"), N_("environment"), N_("journal"))
"""Codes of `--json` that tables show in words."""
_CIRCUIT = {"closed": N_("takes deliveries"), "open": N_("failing"), "half_open": N_("being probed")}
"""The words of the console for the states of a destination's circuit."""


@click.group()
def accounts() -> None:
    """List, add and remove Asaas accounts.

    Accounts of the environment are only listed. `add` keeps an account in the journal, encrypted with
    BRIDGE_ENCRYPTION_KEY; the running processes use it within seconds.
    """


@accounts.command("list")
@json_option
@click.pass_obj
def list_accounts(invocation: Invocation, as_json: bool) -> None:
    """List accounts with the path of their webhook; of a secret, only whether it is set."""
    with invocation.journal.database.read() as connection:
        found = kept.accounts(connection)
    environment = invocation.settings.accounts
    rows = []
    for name in sorted({*found, *environment}):
        one = environment[name] if name in environment else found[name]
        rows.append(
            {
                "name": name,
                "kept_in": "environment" if name in environment else "journal",
                "hidden": name in environment and name in found,
                "api_key": "set" if one.api_key else "unset",
                "webhook_token": "set" if one.webhook_token else "unset",
                "path": hook_url("", name),
                "changed_ms": None if name in environment else found[name].changed_ms,
            }
        )
    columns: Columns = [
        (_("name"), "name"),
        (_("kept in"), lambda row: row["kept_in"] and _(row["kept_in"])),
        (pgettext("column", "API key"), lambda row: _(row["api_key"])),
        (_("token"), lambda row: _(row["webhook_token"])),
        (_("path of its webhook"), "path"),
        (_("changed"), "changed_ms"),
    ]
    show_list(rows, columns, as_json=as_json, empty=_("no account yet; see: bridge accounts add --help"))


@accounts.command("add")
@click.argument("name")
@click.option("--no-key", is_flag=True, help="The account has no API key: what only the API knows can't be sent.")
@json_option
@click.pass_obj
def add_account(invocation: Invocation, name: str, no_key: bool, as_json: bool) -> None:
    """Keep an account in the journal, or give the one of that name another key or token.

    Asks for the API key and the webhook token without showing them; where there is no terminal, the first line of
    standard input is the key and the second the token. Without a token one is made and shown once.
    """
    api_key = "" if no_key else read_secret(_("API key (Asaas: Integrações, Chaves de API)"))
    token = read_secret(_("webhook token (empty: the token stays, or one is made)"))
    done, made = operations.add_account(
        invocation.journal, invocation.settings, invocation.actor, system_clock_ms(), name, api_key=api_key, token=token
    )
    path = hook_url("", name)
    if as_json:
        show_json({"name": name, "path": path, "fresh": done is Stored.ADDED, "done": done, "token": made})
        return
    said = {
        Stored.ADDED: N_("account {name} is added; its webhook is {path}"),
        Stored.CHANGED: N_("account {name} is changed; its webhook is {path}"),
        Stored.UNCHANGED: N_("account {name} is unchanged; its webhook is {path}"),
    }
    click.echo(_(said[done], name=name, path=path))
    if made:
        click.echo(_("its webhook token is shown only now; enter it in Asaas: Integrações, Webhooks"))
        click.echo(f"\n{made}\n")
    if api_key:
        click.echo(_("next: bridge webhook register --account {name}", name=name))
    else:
        click.echo(_("next: bridge accounts add {name}, with a key: the webhook is registered with it", name=name))


@accounts.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_obj
def remove_account(invocation: Invocation, name: str, yes: bool) -> None:
    """Remove an account from the journal; its events and deliveries stay."""
    check_can_ask(yes=yes)
    with invocation.journal.database.read() as connection:
        waiting = operations.waiting_events(connection, name)
    question = _(
        "remove account {name}? the bridge then refuses its events, so remove its webhook first: "
        "bridge webhook remove --account {name}; events that are not processed yet: {number}",
        name=name,
        number=waiting,
    )
    remove = partial(operations.remove_account, invocation.journal, invocation.actor, system_clock_ms(), name)
    remove_after_question(question, remove, _("account {name} is removed", name=name), yes=yes)


def read_secret(what: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(what, default="", show_default=False, hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip()


@click.group()
def destinations() -> None:
    """List, add, remove, pause and resume the destinations of deliveries."""


@destinations.command("list")
@json_option
@click.pass_obj
def list_destinations(invocation: Invocation, as_json: bool) -> None:
    """List destinations: whether each takes deliveries, and whether and why it is paused."""
    with invocation.journal.database.read() as connection:
        found = journal.load(connection)
        own, fixed = kept.destinations(connection), invocation.settings.destinations
        urls = {**dict.fromkeys(own, "journal"), **dict.fromkeys(fixed, "environment")}
        origins = {name: origin_of(url) for name, url in {**own, **fixed}.items()}
    rows = []
    for one in found.values():
        data = {name: value for name, value in asdict(one).items() if name not in {"url_digest", "failed_subject"}}
        kept_in = urls.get(one.name)
        url, paused = "set" if kept_in else "unset", one.paused_ms is not None
        origin = origins.get(one.name)
        rows.append({**data, "url": url, "origin": origin, "kept_in": kept_in, "paused": paused})
    columns: Columns = [
        (_("name"), "name"),
        ("URL", lambda row: "" if row["origin"] else _(row["url"])),
        (_("origin"), lambda row: row["origin"] or ""),
        (_("kept in"), lambda row: row["kept_in"] and _(row["kept_in"])),
        (_("state"), lambda row: _(_CIRCUIT[row["state"]])),
        (_("failures in a row"), "failures"),
        (_("paused since"), "paused_ms"),
        (_("why"), "paused_reason"),
    ]
    show_list(rows, columns, as_json=as_json, empty=_("no destination yet; see: bridge destinations add --help"))


@destinations.command("add")
@click.argument("name")
@click.option("--origin", help="Name or id of an origin (funnel) of Clint: its deals are written by Clint's API.")
@click.option("--yes", is_flag=True, help="Keep also a URL that does not look like one of a Clint integration.")
@click.pass_obj
def add_destination(invocation: Invocation, name: str, origin: str | None, yes: bool) -> None:
    """Keep a destination in the journal, or give the one of that name another URL or origin.

    Asks for the URL of the Clint integration without showing it; where there is no terminal, the first line of standard
    input is the URL. It is encrypted with BRIDGE_ENCRYPTION_KEY, and the running processes use it within seconds. One
    that is of no Clint integration is kept only where you say so. With --origin it asks for nothing, needs a
    token of Clint's API, and lists the origins of Clint where it has none of that name.
    """
    if origin:
        _check_origin(invocation, origin)
    question = _("URL (Clint: the origin's integrations, Receber Webhook)")
    url = origin_url(origin) if origin else read_secret(question).strip("'\"")
    if not origin:
        operations.check_destination(invocation.journal, invocation.settings, name, url)
        if words := operations.strange_url(invocation.settings, url):
            click.echo(f"{words[0].text()}. {words[1].text()}", err=True)
            with invocation.journal.database.read() as connection:
                waiting = operations.open_deliveries(connection, name)
            confirm(
                _("keep it anyway? deliveries that would go there at once: {number}", number=waiting),
                _("nothing was stored"),
                yes=yes,
            )
    stored, freed = operations.add_destination(
        invocation.journal, invocation.settings, invocation.actor, system_clock_ms(), name, url
    )
    said = {
        Stored.ADDED: N_("destination {name} is added"),
        Stored.CHANGED: N_("destination {name} is changed"),
        Stored.UNCHANGED: N_("destination {name} is unchanged"),
    }
    waited = ngettext("; {n} line waited for it", "; {n} lines waited for it", freed) if freed else ""
    click.echo(_(said[stored], name=name) + waited)


def _check_origin(invocation: Invocation, origin: str) -> None:
    """Raise UsageError where Clint has no such origin; where it can't be asked now, say so and go on."""
    from bridge.operations.clint import known_origin

    with opened_runtime(invocation.settings) as runtime:
        try:
            known_origin(runtime, origin)
        except ClintApiFailed as error:
            if error.kind not in {ClintFault.BUSY, ClintFault.FAILED}:
                raise
            click.echo(_("the origin is not checked: {error}", error=error.text()), err=True)


@destinations.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_obj
def remove_destination(invocation: Invocation, name: str, yes: bool) -> None:
    """Remove a destination's URL from the journal; deliveries to it wait for another URL."""
    check_can_ask(yes=yes)
    with invocation.journal.database.read() as connection:
        number = operations.open_deliveries(connection, name)
    question = _("remove the URL of {name}? deliveries that will wait: {number}", name=name, number=number)
    remove = partial(operations.remove_destination, invocation.journal, invocation.actor, system_clock_ms(), name)
    remove_after_question(question, remove, _("destination {name} is removed", name=name), yes=yes)


@destinations.command()
@click.argument("name")
@click.option("--reason", show_default="paused by a person", help="Shown where its deliveries wait.")
@json_option
@click.pass_obj
def pause(invocation: Invocation, name: str, reason: str | None, as_json: bool) -> None:
    """Stop sending to a destination; its deliveries wait, nothing is lost."""
    why = reason or Message(N_("paused by a person"))
    actions.pause(invocation.journal, name, why, system_clock_ms(), by=invocation.actor)
    if as_json:
        show_json({"name": name, "paused": True})
        return
    click.echo(_("{name} is paused; its deliveries wait until: bridge destinations resume {name}", name=name))


@destinations.command()
@click.argument("name")
@json_option
@click.pass_obj
def resume(invocation: Invocation, name: str, as_json: bool) -> None:
    """Send to a destination again what waits for it; to one that fails, one delivery first."""
    resumed = actions.resume(invocation.journal, name, system_clock_ms(), by=invocation.actor)
    if as_json:
        show_json({"name": name, "paused": False, "lines": resumed.lines, "is_probed": resumed.is_probed})
        return
    text = ngettext(
        "{name} takes deliveries again; {n} line waited for it",
        "{name} takes deliveries again; {n} lines waited for it",
        resumed.lines,
        name=name,
    )
    if resumed.is_probed:
        text = ngettext(
            "{name} is tried now, with the delivery of {n} line",
            "{name} is tried now: one delivery first; those of {n} lines follow once Clint takes it",
            resumed.lines,
            name=name,
        )
    click.echo(text)


@destinations.command()
@click.argument("name")
@click.argument("origin_id", metavar="[ORIGIN_ID]", required=False)
@click.pass_obj
def origin(invocation: Invocation, name: str, origin_id: str | None) -> None:
    """Set the origin of Clint that holds a destination's deals; without an id it is learned again.

    A read-back takes a deal of another origin for no proof. The origin is learned from the first delivery whose deal
    is seen, and forgotten with the destination's URL.
    """
    with invocation.journal.database.write() as connection:
        found = journal.set_place(connection, name, origin_id)
        if found:
            audit.note(
                connection, invocation.actor, "destination.origin", name, system_clock_ms(), {"origin": origin_id}
            )
    if not found:
        raise NotFound(N_("no destination is named {name!r}"), name=name, hint=N_("see: bridge destinations list"))
    if origin_id:
        click.echo(_("the deals of {name} are in origin {origin}", name=name, origin=origin_id))
    else:
        click.echo(_("the origin of {name} is learned again", name=name))
