"""`bridge users`: the people who may sign in to the console."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from bridge.cli.main import Invocation
from bridge.cli.options import check_can_ask, remove_after_question
from bridge.cli.output import Columns, json_option, show_json, show_list
from bridge.errors import NotFound
from bridge.journal import accounts as stored
from bridge.journal import users as kept
from bridge.journal.clock import system_clock_ms
from bridge.journal.users import LINK_LASTS_MS, User, UserRole
from bridge.messages import N_, _, pgettext
from bridge.operations import users as operations


class _Role(click.Choice[str]):
    """A role by its code, or by the word that `users list` shows."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        by_word = {_(role).casefold(): role for role in self.choices}
        return super().convert(by_word.get(str(value).casefold(), value), param, ctx)


ROLES = _Role([role.value for role in UserRole])
_WORDS = (N_("administrator"), N_("operator"), N_("viewer"), N_("invited"), N_("disabled"))
"""Codes of `--json` that tables show in words."""


@click.group()
def users() -> None:
    """List, invite and shut out the people who sign in to the console with an e-mail of their own."""


@users.command("list")
@json_option
@click.pass_obj
def list_users(invocation: Invocation, as_json: bool) -> None:
    """List people with role, state, accounts (empty: all) and last sign-in."""
    with invocation.journal.database.read() as connection:
        found = kept.everybody(connection)
    rows = [
        {
            "id": one.id,
            "name": one.name,
            "email": one.email,
            "role": one.role.value,
            "state": one.state.value,
            "accounts": sorted(one.accounts),
            "created_ms": one.created_ms,
            "seen_ms": one.seen_ms,
        }
        for one in found
    ]
    columns: Columns = [
        (_("name"), "name"),
        (_("e-mail"), "email"),
        (_("role"), lambda row: _(row["role"])),
        (_("state"), lambda row: pgettext("person", "active") if row["state"] == "active" else _(row["state"])),
        (_("accounts"), lambda row: ", ".join(row["accounts"]) or _("all")),
        (_("last sign-in"), "seen_ms"),
    ]
    show_list(rows, columns, as_json=as_json, empty=_("nobody yet; see: bridge users invite --help"))


@users.command()
@click.argument("email")
@click.option("--name", required=True, help="As it appears in the audit trail.")
@click.option("--role", type=ROLES, default="operator", show_default=True, help="What the person may do.")
@click.option("--account", "accounts", multiple=True, metavar="NAME", help="Only this account; may be repeated.")
@json_option
@click.pass_obj
def invite(invocation: Invocation, email: str, name: str, role: str, accounts: Sequence[str], as_json: bool) -> None:
    """Add a person and print the link by which the person chooses a password; it works once, for 72 hours."""
    id_, link = operations.invite(
        invocation.journal,
        invocation.actor,
        system_clock_ms(),
        name=name,
        email=email,
        role=UserRole(role),
        accounts=accounts,
    )
    _show_link(invocation, id_, link, as_json=as_json)


@users.command()
@click.argument("email")
@json_option
@click.pass_obj
def link(invocation: Invocation, email: str, as_json: bool) -> None:
    """Print a new link for a person who lost the password, or the link before it."""
    id_ = _find(invocation, email).id
    secret = operations.renew_link(invocation.journal, invocation.actor, system_clock_ms(), id_)
    _show_link(invocation, id_, secret, as_json=as_json)


def _show_link(invocation: Invocation, id_: int, link: str, *, as_json: bool) -> None:
    settings = invocation.settings
    with invocation.journal.database.read() as connection:
        public_url = stored.public_url(connection, settings.bridge_public_url)
    url = f"{public_url or settings.local_url}/invitation/{link}"
    if as_json:
        show_json({"id": id_, "url": url})
        return
    click.echo(_("pass this link on; it is shown only now and works once, for {n} hours", n=LINK_LASTS_MS // 3_600_000))
    click.echo(f"\n{url}\n")


@users.command()
@click.argument("email")
@click.argument("role", type=ROLES)
@click.pass_obj
def role(invocation: Invocation, email: str, role: str) -> None:
    """Change a person's role; it holds from the person's next page on."""
    user = _find(invocation, email)
    operations.change(
        invocation.journal,
        invocation.actor,
        system_clock_ms(),
        user.id,
        name=user.name,
        role=UserRole(role),
        accounts=user.accounts,
    )
    click.echo(_("{name} is {role} now", name=user.name, role=_(role)))


@users.command()
@click.argument("email")
@click.pass_obj
def disable(invocation: Invocation, email: str) -> None:
    """Shut a person out: all sessions end at once."""
    _set_enabled(invocation, email, enabled=False)
    click.echo(_("the person is shut out"))


@users.command()
@click.argument("email")
@click.pass_obj
def enable(invocation: Invocation, email: str) -> None:
    """Let a person who was shut out in again."""
    _set_enabled(invocation, email, enabled=True)
    click.echo(_("the person may come in again"))


def _set_enabled(invocation: Invocation, email: str, *, enabled: bool) -> None:
    id_ = _find(invocation, email).id
    operations.set_enabled(invocation.journal, invocation.actor, system_clock_ms(), id_, enabled=enabled)


@users.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_obj
def remove(invocation: Invocation, email: str, yes: bool) -> None:
    """Remove a person with name, e-mail and password; the audit trail stays."""
    check_can_ask(yes=yes)
    user = _find(invocation, email)
    remove = partial(operations.remove, invocation.journal, invocation.actor, system_clock_ms(), user.id)
    question, done = _("remove {name}?", name=user.name), _("{name} is removed", name=user.name)
    remove_after_question(question, remove, done, yes=yes)


def _find(invocation: Invocation, email: str) -> User:
    with invocation.journal.database.read() as connection:
        user = kept.by_email(connection, email)
    if user is None:
        raise NotFound(N_("nobody has that e-mail"), hint=N_("see: bridge users list"))
    return user
