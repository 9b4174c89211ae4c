"""Who may come in, and what they may do.

With BRIDGE_PASSWORD whoever knows it may do everything, with BRIDGE_VIEWER_PASSWORD whoever knows that may look.
Without a password the console is for people at this machine: it is served only while the process listens on a loopback
address, to requests that name such an address and carry no header of a proxy (a tunnel here is a stranger too).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import cast

from flask import current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from bridge.errors import ConsoleClosed, NotSignedIn, ReadOnly
from bridge.journal.audit import Actor
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.console.sessions import LASTS, SAFE, check_form

FORWARDING = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Cf-Ray")
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
    LOCAL = "local"  # everything: no password is set, and the person is at this machine


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
        return Actor(f"{self.role} {self.name}".strip(), request.remote_addr or "")


class Access:
    """The passwords of one process, and what the environment says of who may come in without one."""

    def __init__(self, settings: Settings, bound_to: str, secret_key: str) -> None:
        self._passwords = {
            Role.OPERATOR: settings.bridge_password,
            Role.VIEWER: settings.bridge_viewer_password,
        }
        self._loopback = is_loopback(bound_to)
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
        return hmac.new(self._secret_key, f"{role}\x00{self._passwords[role]}".encode(), hashlib.sha256).hexdigest()

    def refusal(self) -> str:
        """Return why this request is not served without a password (a key of the words), or an empty text."""
        if not self._loopback:
            return "closed.bound"
        if any(name in request.headers for name in FORWARDING):
            return "closed.forwarded"
        if not is_loopback(request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host):
            return "closed.host"  # a page of a stranger that points its own name at this machine
        return ""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches that host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def access() -> Access:
    """Return the access of this process."""
    return cast(Access, current_app.extensions["bridge.access"])


def begin(role: Role, name: str) -> None:
    """Begin the session of a person who gave the right password."""
    session.clear()
    session.permanent = True
    until_ms = _now_ms() + int(LASTS.total_seconds() * 1000)
    session.update(role=role.value, name=name, proof=access().proof(role), until_ms=until_ms)


def person() -> Person | None:
    """Return who is looking, None for a stranger."""
    if not access().has_password:
        return None if access().refusal() else Person(Role.LOCAL)
    try:
        role = Role(session.get("role", ""))
        genuine = role is not Role.LOCAL and hmac.compare_digest(access().proof(role), str(session.get("proof")))
    except ValueError:
        return None
    if not genuine or session.get("until_ms", 0) < _now_ms():
        return None
    return Person(role, str(session.get("name", "")))


def _now_ms() -> int:
    runtime: Runtime = current_app.extensions["bridge"]
    return runtime.clock_ms()


def check() -> ResponseReturnValue | None:
    """Let nobody see or change what is not theirs to see or change; runs before each page of the console."""
    if request.endpoint == "console.static":
        return None
    if not access().has_password and access().refusal():
        raise ConsoleClosed
    check_form()
    g.person = person()
    if g.person is None and request.endpoint not in FOR_STRANGERS:
        return _to_sign_in()
    if request.method not in SAFE and request.endpoint not in FOR_VIEWERS and not g.person.may_change:
        raise ReadOnly
    return None


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
