"""People who may sign in to the console: role, accounts, and the link by which they choose a password.

E-mails, the ids of the OpenID provider and links are found by keyed hashes; the journal holds no link that works.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from bridge.journal.encryption import search_key
from bridge.journal.schema import users
from bridge.journal.search import hashed

LINK_LASTS_MS = 72 * 3_600_000


class UserRole(StrEnum):
    ADMINISTRATOR = "administrator"  # everything, and who else may come in
    OPERATOR = "operator"  # everything but people
    VIEWER = "viewer"  # look


class UserState(StrEnum):
    INVITED = "invited"  # has never signed in
    ACTIVE = "active"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class User:
    """A person with a name of their own."""

    id: int
    name: str
    email: str
    role: UserRole
    state: UserState
    accounts: frozenset[str]
    """The accounts they may see; empty: all."""
    password: str | None
    link_until_ms: int | None
    created_ms: int
    seen_ms: int | None
    is_linked: bool
    """Whether they came in by the OpenID provider before."""

    @property
    def key(self) -> str:
        """The name of this person in the audit trail, where no personal data stands."""
        return key_of(self.id)


def key_of(id_: int) -> str:
    return f"user {id_}"


def everybody(connection: Connection) -> list[User]:
    return [_user(row) for row in connection.execute(select(users).order_by(users.c.id)).mappings()]


def exist(connection: Connection) -> bool:
    return connection.scalar(select(users.c.id).limit(1)) is not None


def get(connection: Connection, id_: int) -> User | None:
    return _one(connection, users.c.id == id_)


def by_email(connection: Connection, email: str) -> User | None:
    return _one(connection, users.c.email_hash == _hash(connection, "email", _address(email)))


def by_subject(connection: Connection, issuer: str, subject: str) -> User | None:
    return _one(connection, users.c.subject_hash == _hash(connection, "subject", f"{issuer} {subject}"))


def by_link(connection: Connection, link: str, now_ms: int) -> User | None:
    """Return whose link it is, None where it was used, replaced or is too old."""
    return _one(connection, _is_link(connection, link, now_ms))


def use_link(connection: Connection, link: str, now_ms: int) -> User | None:
    """Use the link up and return whose it was; of two at once one gets None."""
    used = update(users).where(_is_link(connection, link, now_ms)).values(link_hash=None, link_until_ms=None)
    id_ = connection.scalar(used.returning(users.c.id))
    return None if id_ is None else get(connection, id_)


def _is_link(connection: Connection, link: str, now_ms: int) -> ColumnElement[bool]:
    c = users.c
    is_valid = (c.link_until_ms > now_ms) & (c.state != UserState.DISABLED.value)
    return (c.link_hash == _hash(connection, "link", link)) & is_valid


def _one(connection: Connection, where: ColumnElement[bool]) -> User | None:
    row = connection.execute(select(users).where(where)).mappings().first()
    return _user(row) if row else None


def _user(row: Any) -> User:
    values = {name: row[name] for name in ("id", "name", "email", "password", "link_until_ms", "created_ms", "seen_ms")}
    role, state = UserRole(row["role"]), UserState(row["state"])
    accounts = frozenset(json.loads(row["accounts"]))
    return User(**values, role=role, state=state, accounts=accounts, is_linked=row["subject_hash"] is not None)


def add(connection: Connection, name: str, email: str, role: UserRole, accounts: Collection[str], now_ms: int) -> int:
    """Add an invited person and return the number; the e-mail must be new."""
    row = insert(users).values(
        name=name,
        email=email,
        email_hash=_hash(connection, "email", _address(email)),
        role=role.value,
        state=UserState.INVITED.value,
        accounts=json.dumps(sorted(accounts)),
        created_ms=now_ms,
    )
    return int(connection.execute(row.returning(users.c.id)).scalar_one())


def change(connection: Connection, id_: int, **values: Any) -> None:
    """Change these columns of a person."""
    if "accounts" in values:
        values["accounts"] = json.dumps(sorted(values["accounts"]))
    connection.execute(update(users).where(users.c.id == id_).values(**values))


def make_link(connection: Connection, id_: int, now_ms: int) -> str:
    """Return a new link's secret, which replaces the one before it."""
    link = secrets.token_urlsafe(32)
    change(connection, id_, link_hash=_hash(connection, "link", link), link_until_ms=now_ms + LINK_LASTS_MS)
    return link


def drop_link(connection: Connection, id_: int) -> None:
    change(connection, id_, link_hash=None, link_until_ms=None)


def note_sign_in(connection: Connection, id_: int, now_ms: int) -> None:
    change(connection, id_, seen_ms=now_ms)
    first = update(users).where(users.c.id == id_, users.c.state == UserState.INVITED.value)
    connection.execute(first.values(state=UserState.ACTIVE.value))


def link_subject(connection: Connection, id_: int, issuer: str, subject: str) -> None:
    """Note who the person is at the OpenID provider."""
    change(connection, id_, subject_hash=_hash(connection, "subject", f"{issuer} {subject}"))


def remove(connection: Connection, id_: int) -> None:
    connection.execute(delete(users).where(users.c.id == id_))


def _address(email: str) -> str:
    """Return an e-mail in one case; letters beyond ASCII stay, for á and a are two people's domains."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in email.strip())


def _hash(connection: Connection, kind: str, text: str) -> str:
    return hashed(search_key(connection), f"user {kind} {text}")
