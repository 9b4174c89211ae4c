"""Who may use the console, sessions, form tokens and security headers.

BRIDGE_PASSWORD allows everything, BRIDGE_VIEWER_PASSWORD only looking. Without both, the console takes only the token
BRIDGE_CONSOLE_TOKEN, which `bridge up` and `bridge demo` draw and print; without that it is closed. The address of a
request proves nothing: behind a proxy on this machine every stranger has a local one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from hmac import compare_digest
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from flask import Flask, Request, Response, current_app, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import validate_csrf
from werkzeug.local import LocalProxy
from werkzeug.security import check_password_hash, generate_password_hash
from wtforms import ValidationError

from bridge.errors import ConsoleClosed, FormRefused, NotSignedIn, ReadOnly
from bridge.journal import audit
from bridge.journal.audit import Actor
from bridge.messages import N_
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.door import FOR_PROGRAMS, AddressPolicy

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SESSION_LASTS = timedelta(hours=12)
"""After this a person signs in again, however busy the pages are."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
PROGRAMS = ("/webhooks/", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""Paths for programs: they answer JSON, whatever the request accepts, and have no session."""


runtime = cast(Runtime, LocalProxy(lambda: current_app.extensions["bridge"]))
"""The parts of the application that answers this request."""


class _Sessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the browser's session, None for a program: reading one would slow the door down."""
        return None if request.path.startswith(PROGRAMS) else super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        return over_https()


def over_https() -> bool:
    """Return whether the browser speaks https, also with a proxy in between.

    A false header only keeps the sender's own browser from sending the cookie in clear.
    """
    public = urlsplit(runtime.settings.bridge_public_url)
    return (
        request.is_secure
        or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        or (public.scheme == "https" and request.host == public.netloc)
    )


def check_form() -> None:
    """Raise FormRefused unless a form of this session sent the request."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise FormRefused(N_("the form came from another site"))
    try:
        validate_csrf(request.headers.get("X-CSRF-Token") or request.form.get("csrf_token"))
    except ValidationError:
        raise FormRefused(hint=N_("load the page again and repeat it")) from None


FOR_STRANGERS = frozenset(
    {"console.signin.form", "console.signin.enter", "console.signin.appearance", "console.signin.language"}
)
"""The endpoints to which a stranger may post."""
FOR_VIEWERS = FOR_STRANGERS | {"console.signin.leave", "console.mappings_live.lint", "console.mappings_live.preview"}
"""The endpoints to which a viewer may post."""


class Role(StrEnum):
    OPERATOR = "operator"  # everything
    VIEWER = "viewer"  # look
    LOCAL = "local"  # everything: no password is set, and the person has the token that `bridge up` printed


@dataclass(frozen=True, slots=True)
class Person:
    """The person who is signed in."""

    role: Role
    name: str = ""

    @property
    def may_change(self) -> bool:
        return self.role is not Role.VIEWER

    @property
    def author(self) -> str:
        """The name that was given at sign-in, else the role."""
        return self.name or self.role.value

    @property
    def actor(self) -> Actor:
        return Actor(f"{self.role} {self.name}".strip(), client_address())


class Access:
    """The passwords of one process, and the token that opens the console where there are none."""

    def __init__(self, settings: Settings) -> None:
        self._passwords = {Role.OPERATOR: settings.bridge_password, Role.VIEWER: settings.bridge_viewer_password}
        self.has_password = any(self._passwords.values())
        self.token = "" if self.has_password else settings.bridge_console_token

    @cached_property
    def _hashes(self) -> dict[Role, str]:
        return {
            role: text if text.startswith(("scrypt:", "pbkdf2:")) else generate_password_hash(text)
            for role, text in self._passwords.items()
            if text
        }

    def role_of(self, password: str) -> Role | None:
        # Every hash is checked, so that the time taken does not tell whose password it is.
        found = [role for role, kept in self._hashes.items() if check_password_hash(kept, password)]
        return found[0] if found else None

    def sessions(self) -> SecureCookieSessionInterface:
        """Return what signs the sessions; with another password or token it does not know them any more."""
        found = _Sessions()
        found.salt = "\0".join((*self._passwords.values(), self.token))
        return found


access = cast(Access, LocalProxy(lambda: current_app.extensions["bridge.access"]))
person = cast(Person, LocalProxy(lambda: g.person))
"""The signed-in person; only for pages that strangers never see."""


def init_access(app: Flask, settings: Settings) -> None:
    app.config.update(
        SECRET_KEY=settings.bridge_secret_key or secrets.token_urlsafe(32),
        SESSION_COOKIE_NAME="bridge_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",  # Strict would sign out a person who follows a link from a message
        PERMANENT_SESSION_LIFETIME=SESSION_LASTS,
        WTF_CSRF_TIME_LIMIT=None,  # a form's token holds as long as its session
        SESSION_REFRESH_EACH_REQUEST=False,  # pages that refresh themselves would keep it alive for ever
    )
    app.extensions["bridge.access"] = Access(settings)
    app.session_interface = app.extensions["bridge.access"].sessions()


def client_address() -> str:
    """Return the address of the client behind the trusted proxies."""
    callers: AddressPolicy = current_app.extensions["bridge.callers"]
    remote = request.remote_addr or ""
    return str(callers.address(remote, request.headers.get("X-Forwarded-For", "")) or remote)


def begin_session(role: Role, name: str) -> None:
    """Begin a session and note it in the audit trail; the number of its entry is the session's id."""
    now_ms = runtime.clock_ms()
    with runtime.journal.database.write() as connection:
        entry = audit.note(connection, Person(role, name).actor, audit.SIGNED_IN, "", now_ms)
    session.clear()
    session.permanent = True
    until_ms = now_ms + int(SESSION_LASTS.total_seconds() * 1000)
    session.update(role=role.value, name=name, until_ms=until_ms, entry=entry)


def has_session(app: Flask, environ: WSGIEnvironment) -> bool:
    """Return whether the request carries a session of somebody who signed in; the journal is not read."""
    opened = app.session_interface.open_session(app, app.request_class(environ))
    return opened is not None and "entry" in opened


def signed_in() -> Person | None:
    """Return the person of this request's session, None where it has none or has ended."""
    if session.get("until_ms", 0) < runtime.clock_ms():
        return None
    with runtime.journal.database.read() as connection:
        if audit.is_signed_out(connection, session["entry"]):
            return None
    return Person(Role(session["role"]), session["name"])


def check() -> ResponseReturnValue | None:
    """Refuse a request that this person may not make; runs before each page of the console."""
    if request.endpoint == "console.static":
        return None
    g.person = signed_in()
    if not access.has_password and (g.person is None or "token" in request.args):
        return _by_token()
    changes = request.method not in SAFE
    if changes:
        check_form()
    if g.person is None and request.endpoint not in FOR_STRANGERS:
        return _to_sign_in()
    if changes and request.endpoint not in FOR_VIEWERS and not g.person.may_change:
        raise ReadOnly
    return None


def _by_token() -> ResponseReturnValue:
    if not access.token or not compare_digest(access.token.encode(), request.args.get("token", "").encode()):
        raise ConsoleClosed
    if g.person is None:
        begin_session(Role.LOCAL, "")
    return redirect("/")  # away from the address that holds the token


def _to_sign_in() -> ResponseReturnValue:
    if request.method not in SAFE:
        raise NotSignedIn
    here = request.full_path.rstrip("?")
    if "HX-Request" in request.headers:
        # The whole page goes there, not the part that was fetched.
        return "", 401, {"HX-Redirect": url_for("console.signin.form")}
    return redirect(url_for("console.signin.form", next=here if here != "/" else None))


def here_only(target: str) -> str:
    """Return the path where it is one of this site, else the first page."""
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if inside else "/"


POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{nonce}; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def style_nonce() -> str:
    """Return a nonce for style elements; only the page of the editor, which writes some, asks for one."""
    if "style_nonce" not in g:
        g.style_nonce = secrets.token_urlsafe(16)
    return str(g.style_nonce)


def secure(response: Response) -> Response:
    """Add the security headers; runs after every request."""
    if request.path.startswith(PROGRAMS):
        for name, value in FOR_PROGRAMS.items():
            response.headers.setdefault(name, value)
        return response
    nonce = f" 'nonce-{g.style_nonce}'" if "style_nonce" in g else ""
    response.headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
    response.headers.update(HEADERS)
    if over_https():
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.endpoint == "console.static":
        # The address holds a digest of the file: a new version has a new address.
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if "v" in request.args else "no-cache"
    else:
        response.headers.setdefault("Cache-Control", "no-store")
    return response
