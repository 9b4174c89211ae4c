"""`bridge statement`: the statement of an Asaas account as a file for bank reconciliation; reads only."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import click

from bridge.cli.asaas_choice import account_option, check_days, clients_of, days, progress_bar
from bridge.cli.output import count
from bridge.cli.root import Invocation
from bridge.errors import UsageError


@click.command()
@days
@account_option
@click.option(
    "--format", "kind", type=click.Choice(["ofx", "csv"]), default="ofx", show_default=True, help="What to write."
)
@click.option("--output", metavar="FILE", help="Write there instead of printing.")
@click.option("--bank-id", default="461", show_default=True, metavar="CODE", help="BANKID in OFX: Asaas's code.")
@click.option("--account-id", metavar="NUMBER", help="ACCTID in OFX; otherwise the account's name.")
@click.pass_obj
def statement(
    invocation: Invocation,
    since: date,
    until: date,
    account: str | None,
    kind: str,
    output: str | None,
    bank_id: str,
    account_id: str | None,
) -> None:
    """Write the account's statement for an accounting program, such as Conta Azul's import of OFX.

    OFX 1.02, Windows-1252, days of Brasília. Each entry keeps the id that Asaas gave it, so importing the same days a
    second time repeats nothing. It has names of customers in it: keep the file as you keep a bank's.
    """
    from bridge.runtime import Runtime
    from bridge.statement import read_statement, written_csv, written_ofx

    check_days(since, until)
    if not 1 <= len(bank_id) <= 9:
        raise UsageError(f"--bank-id must have 1 to 9 characters, got {len(bank_id)}")
    with closing(Runtime(invocation.settings)) as runtime:
        clients = clients_of(runtime, account)
        if kind == "ofx" and len(clients) > 1:
            names = ", ".join(client.account for client in clients)
            raise UsageError(f"an OFX file is for one account, got {names}", mend="choose one with --account")
        found = []
        for client in clients:
            with progress_bar(f"reading {client.account}") as tell:
                found.append(read_statement(client, since, until, tell=tell))
    if kind == "csv":
        written = written_csv(found).encode(errors="replace")
    else:
        written = written_ofx(found[0], datetime.now(UTC), bank=bank_id, account_id=account_id or "")
    if output:
        Path(output).write_bytes(written)
    else:
        click.echo(written, nl=False)  # bytes: the encoding is the file's, not the terminal's
    entries = sum(len(one.entries) for one in found)
    click.echo(f"{count(entries, 'entry', 'entries')}{f'; written: {output}' if output else ''}", err=True)
