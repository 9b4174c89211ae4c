"""What the door refused last, by account and reason, and which of two tokens came last: a row each, so that strangers
can't fill the journal.

Given a refusal it leaves when and how often; never what was posted, nor the name of an account that nobody set up.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from bridge.journal.schema import refusals


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason for which the door refused what was posted for an account."""

    account: str
    """Empty where the URL named no account of ours."""
    code: str
    last_ms: int
    times: int
    """How often it was noted; the door notes the same reason once in a few seconds at most."""


NEW_TOKEN, OLD_TOKEN = "door.new_token", "door.old_token"
"""Noted beside the refusals while two tokens are valid: which of them an event came with."""


def note(connection: Connection, account: str, code: str, now_ms: int) -> None:
    """Note that the door refused something for this reason."""
    columns = refusals.c
    changed = connection.execute(
        update(refusals)
        .where(columns.account == account, columns.code == code)
        .values(last_ms=now_ms, times=columns.times + 1)
    ).rowcount
    if not changed:
        connection.execute(insert(refusals).values(account=account, code=code, last_ms=now_ms, times=1))


def since(connection: Connection, account: str, since_ms: int) -> list[Refusal]:
    """Return why the door refused something for the account, or for none of ours, since then; newest first."""
    columns = refusals.c
    query = (
        select(columns.account, columns.code, columns.last_ms, columns.times)
        .where(columns.account.in_([account, ""]), columns.last_ms >= since_ms)
        .where(columns.code.not_in([NEW_TOKEN, OLD_TOKEN]))
        .order_by(columns.last_ms.desc())
    )
    return [Refusal(**row) for row in connection.execute(query).mappings()]


def tokens_used(connection: Connection, account: str) -> tuple[int | None, int | None]:
    """Return when an event last came with the new token and with the old one, as far as it was noted."""
    columns = refusals.c
    query = select(columns.code, columns.last_ms).where(
        columns.account == account, columns.code.in_([NEW_TOKEN, OLD_TOKEN])
    )
    found = {row.code: int(row.last_ms) for row in connection.execute(query)}
    return found.get(NEW_TOKEN), found.get(OLD_TOKEN)
