"""Changes to the people who may sign in: one transaction each, with an entry in the audit trail without e-mails."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection
from werkzeug.security import generate_password_hash

from bridge.errors import LinkSpent, NotFound, SignInFailed, UsageError
from bridge.journal import Journal, audit, users
from bridge.journal.audit import Actor
from bridge.journal.users import User, UserRole, UserState
from bridge.messages import N_
from bridge.settings import LEAST_PASSWORD

NAME_LENGTH = 120
_MOST_PASSWORD = 200
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")


def as_name(text: str) -> str:
    """Return a name as it is kept; raise UsageError for one that is too long."""
    name = " ".join(text.split())
    if len(name) > NAME_LENGTH:
        raise UsageError(N_("a name has at most {most} characters, got {got}"), most=NAME_LENGTH, got=len(name))
    return name


def invite(
    journal: Journal, by: Actor, now_ms: int, *, name: str, email: str, role: UserRole, accounts: Collection[str] = ()
) -> tuple[int, str]:
    """Add a person; return the number and the secret of the link by which the person chooses a password."""
    name, email = checked_name(name), email.strip()
    if not _EMAIL.fullmatch(email):
        raise UsageError(N_("that is not an e-mail address"))
    with journal.database.write() as connection:
        if users.by_email(connection, email) is not None:
            raise UsageError(N_("somebody has that e-mail already"), hint=N_("make a new link for them instead"))
        accounts = _accounts_of(role, accounts)
        id_ = users.add(connection, name, email, role, accounts, now_ms)
        link = users.make_link(connection, id_, now_ms)
        audit.note(connection, by, "user.invited", users.key_of(id_), now_ms, _facts(role, accounts))
    return id_, link


def renew_link(journal: Journal, by: Actor, now_ms: int, id_: int) -> str:
    """Return the secret of a new link; the link before it, and no password, stops working."""
    with journal.database.write() as connection:
        user = find(connection, id_)
        if user.state is UserState.DISABLED:
            raise UsageError(N_("this person may not come in"), hint=N_("let them in again first"))
        audit.note(connection, by, "user.link_made", user.key, now_ms)
        return users.make_link(connection, id_, now_ms)


def change(
    journal: Journal, by: Actor, now_ms: int, id_: int, *, name: str, role: UserRole, accounts: Collection[str]
) -> None:
    """Change name, role and accounts; sessions that run have them at their next request."""
    with journal.database.write() as connection:
        user = find(connection, id_)
        name, accounts = checked_name(name), frozenset(_accounts_of(role, accounts))
        if (user.name, user.role, user.accounts) == (name, role, accounts):
            return
        users.change(connection, id_, name=name, role=role.value, accounts=accounts)
        audit.note(connection, by, "user.changed", user.key, now_ms, _facts(role, accounts))


def set_enabled(journal: Journal, by: Actor, now_ms: int, id_: int, *, enabled: bool) -> None:
    """Let a person in again, or block them: end their sessions and their link."""
    with journal.database.write() as connection:
        user = find(connection, id_)
        if (user.state is not UserState.DISABLED) is enabled:
            return
        state = UserState.DISABLED if not enabled else UserState.ACTIVE if user.seen_ms else UserState.INVITED
        users.change(connection, id_, state=state.value)
        users.drop_link(connection, id_)
        audit.note(connection, by, "user.enabled" if enabled else "user.disabled", user.key, now_ms)
        audit.note(connection, by, audit.ALL_ENDED, user.key, now_ms)


def remove(journal: Journal, by: Actor, now_ms: int, id_: int) -> None:
    """Remove a person with everything that is known of them; the audit trail stays."""
    with journal.database.write() as connection:
        user = find(connection, id_)
        users.remove(connection, id_)
        audit.note(connection, by, "user.removed", user.key, now_ms)


def sign_out_everywhere(journal: Journal, by: Actor, now_ms: int, whose: str) -> None:
    """End all sessions that were begun before now: of a person, or of a password."""
    with journal.database.write() as connection:
        audit.note(connection, by, audit.ALL_ENDED, whose, now_ms)


def accept(journal: Journal, link: str, password: str, address: str, now_ms: int) -> User:
    """Set the password that the person of the link chose, which uses the link up and ends their sessions."""
    with journal.database.read() as connection:
        if users.by_link(connection, link, now_ms) is None:
            raise LinkSpent  # before the hash, which takes long: a stranger must not cause many
    hashed = password_hash(password)
    with journal.database.write() as connection:
        user = users.use_link(connection, link, now_ms)
        if user is None:
            raise LinkSpent
        _set_password(connection, user, hashed, address, now_ms)
        return find(connection, user.id)


def come_in(journal: Journal, issuer: str, subject: str, email: str, *, address: str, now_ms: int) -> User:
    """Return the invited person who has come in by the provider; the first time that links them to it.

    Raises SignInFailed for one who was not invited, is shut out, or is somebody else at the provider.
    """
    with journal.database.write() as connection:
        user = users.by_subject(connection, issuer, subject)
        is_first = user is None
        if user is None:
            user = users.by_email(connection, email)
        if user is None or user.state is UserState.DISABLED or (is_first and user.is_linked):
            raise SignInFailed(N_("nobody with that e-mail was invited"), hint=N_("ask an administrator"))
        if is_first:
            users.link_subject(connection, user.id, issuer, subject)
            audit.note(connection, Actor(f"{user.role} {user.name}", address), "user.linked", user.key, now_ms)
    return user


def change_password(journal: Journal, user: User, password: str, address: str, now_ms: int) -> None:
    """Set a password that the signed-in person chose, which ends all their sessions."""
    hashed = password_hash(password)
    with journal.database.write() as connection:
        _set_password(connection, user, hashed, address, now_ms)


def _set_password(connection: Connection, user: User, hashed: str, address: str, now_ms: int) -> None:
    users.change(connection, user.id, password=hashed, state=UserState.ACTIVE.value)
    by = Actor(f"{user.role} {user.name}", address)
    audit.note(connection, by, "user.password_set", user.key, now_ms)
    if user.seen_ms is not None:  # a person who never signed in has no session
        audit.note(connection, by, audit.ALL_ENDED, user.key, now_ms)


def rename(journal: Journal, by: Actor, now_ms: int, id_: int, name: str) -> None:
    with journal.database.write() as connection:
        user = find(connection, id_)
        users.change(connection, id_, name=checked_name(name))
        audit.note(connection, by, "user.changed", user.key, now_ms)


def find(connection: Connection, id_: int) -> User:
    user = users.get(connection, id_)
    if user is None:
        raise NotFound
    return user


def password_hash(password: str) -> str:
    """Return the hash of a new password; raise UsageError for one that can be guessed."""
    if len(password) < LEAST_PASSWORD:
        raise UsageError(N_("the password must have at least {least} characters"), least=LEAST_PASSWORD)
    if len(password) > _MOST_PASSWORD:
        raise UsageError(N_("the password must have at most {most} characters"), most=_MOST_PASSWORD)
    return generate_password_hash(password)


def checked_name(text: str) -> str:
    """Return the name of a person as it is kept; raise UsageError for one that can't be."""
    name = as_name(text)
    if not name:
        raise UsageError(N_("a name is missing"))
    return name


def _accounts_of(role: UserRole, accounts: Collection[str]) -> Collection[str]:
    """Return the accounts of a role: an administrator sees all."""
    return () if role is UserRole.ADMINISTRATOR else accounts


def _facts(role: UserRole, accounts: Collection[str]) -> dict[str, Any]:
    return {"role": role.value, "accounts": ", ".join(sorted(accounts)) or "all"}
