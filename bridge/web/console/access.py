"""Who may come in, and what they may do.

BRIDGE_PASSWORD opens everything, BRIDGE_VIEWER_PASSWORD shows everything. Without a password the console answers only
the token of BRIDGE_CONSOLE_TOKEN, which `bridge up` and `bridge demo` draw and print in the address; without that it is
closed. Where a request seems to come from proves nothing: a proxy on this machine makes every stranger local.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import cast

from flask import current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from bridge.errors import ConsoleClosed, NotSignedIn, ReadOnly
from bridge.journal import audit
from bridge.journal.audit import Actor
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.callers import Callers
from bridge.web.console.sessions import LASTS, SAFE, check_form

FOR_STRANGERS = frozenset(
    {"console.signin.form", "console.signin.enter", "console.signin.appearance", "console.signin.language"}
)
FOR_VIEWERS = FOR_STRANGERS | {
    "console.signin.leave",
    "console.mappings_live.lint",
    "console.mappings_live.preview",
}
"""What may be posted without the right to change anything."""


class Role(StrEnum):
    """What a person may do."""

    OPERATOR = "operator"  # everything
    VIEWER = "viewer"  # look
    LOCAL = "local"  # everything: no password is set, and the person has the token that `bridge up` printed


@dataclass(frozen=True, slots=True)
class Person:
    """Who is looking at the console."""

    role: Role
    name: str = ""

    @property
    def may_change(self) -> bool:
        """Whether this person may change anything."""
        return self.role is not Role.VIEWER

    @property
    def actor(self) -> Actor:
        """Who this is, for the audit trail."""
        return Actor(f"{self.role} {self.name}".strip(), client_address())


class Access:
    """The passwords of one process, and the token that opens the console where there are none."""

    def __init__(self, settings: Settings, secret_key: str) -> None:
        self._passwords = {
            Role.OPERATOR: settings.bridge_password,
            Role.VIEWER: settings.bridge_viewer_password,
        }
        self.token = "" if self.has_password else settings.bridge_console_token
        self._secret_key = secret_key.encode()

    @property
    def has_password(self) -> bool:
        """Whether people sign in."""
        return any(self._passwords.values())

    @cached_property
    def _hashes(self) -> dict[Role, str]:
        return {
            role: text if text.startswith(("scrypt:", "pbkdf2:")) else generate_password_hash(text)
            for role, text in self._passwords.items()
            if text
        }

    def role_of(self, password: str) -> Role | None:
        """Return whose password this is."""
        # All are compared, so that the time taken does not tell which.
        found = [role for role, kept in self._hashes.items() if check_password_hash(kept, password)]
        return found[0] if found else None

    def proof(self, role: Role) -> str:
        """Return what a session must carry to have that role: another password ends it."""
        secret = self.token if role is Role.LOCAL else self._passwords[role]
        return self._signature(f"{role}\x00{secret}")

    def browser_cookie(self, browser: str) -> str:
        """Return the cookie by which a browser is known in which an operator signed in."""
        return f"{browser}.{self._signature('browser ' + browser)}"

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret_key, text.encode(), hashlib.sha256).hexdigest()


def access() -> Access:
    """Return the access of this process."""
    return cast(Access, current_app.extensions["bridge.access"])


def client_address() -> str:
    """Return the address of the client, as the trusted proxies tell it."""
    callers: Callers = current_app.extensions["bridge.callers"]
    remote = request.remote_addr or ""
    return str(callers.address(remote, request.headers.get("X-Forwarded-For", "")) or remote)


def begin(role: Role, name: str) -> None:
    """Begin the session of a person who gave the right password or token; its audit row stands for it."""
    now_ms = _runtime().clock_ms()
    with _runtime().journal.database.write() as connection:
        entry = audit.note(connection, Person(role, name).actor, audit.SIGNED_IN, "", now_ms)
    session.clear()
    session.permanent = True
    until_ms = now_ms + int(LASTS.total_seconds() * 1000)
    session.update(role=role.value, name=name, proof=access().proof(role), until_ms=until_ms, entry=entry)


def end() -> None:
    """End the session, also for whoever kept its cookie."""
    if g.person is not None:
        with _runtime().journal.database.write() as connection:
            audit.note(connection, g.person.actor, audit.SIGNED_OUT, str(session["entry"]), _runtime().clock_ms())
    session.clear()


def person() -> Person | None:
    """Return who is looking, None for a stranger."""
    try:
        role = Role(session.get("role", ""))
    except ValueError:
        return None
    if (role is Role.LOCAL) is access().has_password or "entry" not in session:
        return None
    genuine = hmac.compare_digest(access().proof(role), str(session.get("proof")))
    if not genuine or session.get("until_ms", 0) < _runtime().clock_ms():
        return None
    with _runtime().journal.database.read() as connection:
        if audit.is_signed_out(connection, session["entry"]):
            return None
    return Person(role, str(session.get("name", "")))


def _runtime() -> Runtime:
    return cast(Runtime, current_app.extensions["bridge"])


def check() -> ResponseReturnValue | None:
    """Let nobody see or change what is not theirs to see or change; runs before each page of the console."""
    if request.endpoint == "console.static":
        return None
    g.person = person()
    if not access().has_password and (g.person is None or "token" in request.args):
        return _by_token()
    check_form()
    if g.person is None and request.endpoint not in FOR_STRANGERS:
        return _to_sign_in()
    if request.method not in SAFE and request.endpoint not in FOR_VIEWERS and not g.person.may_change:
        raise ReadOnly
    return None


def _by_token() -> ResponseReturnValue:
    token = access().token
    if not token or not hmac.compare_digest(token.encode(), request.args.get("token", "").encode()):
        raise ConsoleClosed
    if g.person is None:
        begin(Role.LOCAL, "")
    return redirect("/")  # away from the address that holds the token


def _to_sign_in() -> ResponseReturnValue:
    if request.method not in SAFE:
        raise NotSignedIn
    here = request.full_path.rstrip("?")
    if "HX-Request" in request.headers:
        # The whole page must go there, not the part of it that was fetched.
        return "", 401, {"HX-Redirect": url_for("console.signin.form")}
    return redirect(url_for("console.signin.form", next=here if here != "/" else None))


def here_only(target: str) -> str:
    """Return a path of this site to go on to: what was asked for, or the first page."""
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if inside else "/"
