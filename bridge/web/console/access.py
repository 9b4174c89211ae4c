"""Who may use the console, sessions, form tokens and security headers.

People sign in by their own password or an OpenID provider, or by BRIDGE_PASSWORD, which allows everything, or
BRIDGE_VIEWER_PASSWORD. The token that `bridge up` prints opens a console without BRIDGE_PASSWORD; the address of a
request proves nothing. Sessions are this module's own: Flask-Login has had no release since 2023 and knows no sign-out
everywhere.
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
from werkzeug.exceptions import NotFound
from werkzeug.local import LocalProxy
from werkzeug.security import check_password_hash, generate_password_hash
from wtforms import ValidationError

from bridge.crypto import session_key
from bridge.errors import ConsoleClosed, ForAdministrators, ForAllAccounts, FormRefused, NotSignedIn, ReadOnly
from bridge.journal import audit, users
from bridge.journal.audit import Actor
from bridge.journal.users import User, UserState
from bridge.messages import N_
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.door import FOR_PROGRAMS, AddressPolicy

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SESSION_LASTS = timedelta(hours=12)
"""A session ends after this time, also while it is in use."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
PROGRAMS = ("/webhooks/", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""Paths for programs: they answer JSON, whatever the request accepts, and have no session."""


runtime = cast(Runtime, LocalProxy(lambda: current_app.extensions["bridge"]))
"""The parts of the application that answers this request."""


class _Sessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the browser's session; None for a program, since reading one would slow the webhook down."""
        return None if request.path.startswith(PROGRAMS) else super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        return over_https()


def over_https() -> bool:
    """Return whether the browser uses https, also behind a proxy.

    A forged header does no harm: the sender's own browser then sends its cookie over https only.
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
    token = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token")
    if not _is_token(token) and not (is_from_here() and _is_token(token, _BEFORE)):
        raise FormRefused(hint=N_("load the page again and repeat it"))


_BEFORE = "token_before"
"""The part of a session that holds the form token that the browser had before the sign-in."""


def _is_token(token: str | None, kept_as: str | None = None) -> bool:
    try:
        validate_csrf(token, token_key=kept_as)
    except ValidationError:
        return False
    return True


def is_from_here() -> bool:
    """Return whether the browser says that a page of this console sent the request."""
    origin = urlsplit(request.headers.get("Origin", "")).netloc
    return request.headers.get("Sec-Fetch-Site") == "same-origin" or origin == request.host


WITH_SECRETS = frozenset(
    {
        *("console.signin.enter", "console.people.accept", "console.people.change_my_password"),
        *(f"console.connecting.{name}" for name in ("take_account", "take_key", "take_token")),
        *("console.connecting.take_destination", "console.connecting.take_url"),
        *("console.alerts.add", "console.alerts.change"),
    }
)
"""The endpoints whose forms hold a password, a key or a secret address: no page shows what was typed there again."""


FOR_STRANGERS = frozenset(
    {
        *("console.signin.form", "console.signin.enter", "console.signin.appearance", "console.signin.language"),
        *("console.signin.by_provider", "console.signin.from_provider"),
        *("console.people.invitation", "console.people.accept"),
    }
)
"""The endpoints that a stranger may fetch or post to."""
FOR_VIEWERS = FOR_STRANGERS | {
    *("console.signin.leave", "console.mappings_live.lint", "console.mappings_live.preview"),
    *("console.mappings_live.values", "console.mappings.draft"),
    *("console.people.rename_me", "console.people.change_my_password", "console.people.sign_me_out"),
}
"""The endpoints to which a viewer may post."""
FOR_ADMINISTRATORS = frozenset(
    f"console.people.{name}"
    for name in (*("index", "invite", "show", "change", "link", "new_link", "enable", "sign_out", "remove"),)
)


FOR_SOME_ACCOUNTS = FOR_STRANGERS | {
    *("console.overview.index", "console.signin.leave", "console.connections.show", "console.connections.webhook"),
    *(f"console.events.{name}" for name in ("index", "show", "retry", "discard", "compare", "replay")),
    *(f"console.customers.{name}" for name in ("show", "reveal", "charge", "find", "preview", "bring_in")),
    *(f"console.attention.{name}" for name in ("index", "confirm", "run", "close", "see", "unsee")),
    *(f"console.reconcile.{name}" for name in ("form", "begin", "missing", "bring_in")),
    *(f"console.jobs.{name}" for name in ("show", "report", "deal", "stop")),
    *("console.trial.form", "console.trial.begin", "console.life.begin"),
    *(f"console.connections.{name}" for name in ("company", "ask_to_register", "register", "registered")),
    "console.connections.resume_webhook",
    *(f"console.people.{name}" for name in ("me", "rename_me", "change_my_password", "sign_me_out")),
}
"""The endpoints that keep to `person.accounts`. The others are closed to a person who may not see all accounts."""


class Role(StrEnum):
    ADMINISTRATOR = "administrator"  # everything, and who may come in
    OPERATOR = "operator"  # everything but people; BRIDGE_PASSWORD allows those too
    VIEWER = "viewer"  # look
    LOCAL = "local"  # everything: no password is set, and the person has the token that `bridge up` printed


@dataclass(frozen=True, slots=True)
class Person:
    """The person who is signed in."""

    role: Role
    name: str = ""
    user: User | None = None
    """None for a person who signed in by a password of the settings, or the token."""

    @property
    def may_change(self) -> bool:
        return self.role is not Role.VIEWER

    @property
    def may_manage_people(self) -> bool:
        of_settings = self.user is None and self.role is not Role.VIEWER
        return of_settings or self.role is Role.ADMINISTRATOR

    @property
    def level(self) -> Role:
        """The role as the console calls it."""
        return Role.ADMINISTRATOR if self.may_manage_people and self.role is not Role.LOCAL else self.role

    @property
    def accounts(self) -> frozenset[str] | None:
        """The accounts this person may see; None: all."""
        return (self.user.accounts or None) if self.user else None

    def sees(self, account: str) -> bool:
        return self.accounts is None or account in self.accounts

    def may_open(self, endpoint: str) -> bool:
        """Return whether this person's role and accounts allow the page."""
        if self.accounts is not None and endpoint not in FOR_SOME_ACCOUNTS:
            return False
        return self.may_manage_people or endpoint not in FOR_ADMINISTRATORS

    @property
    def author(self) -> str:
        """The person's name, else the role."""
        return self.name or self.level.value

    @property
    def actor(self) -> Actor:
        return Actor(f"{self.level} {self.name}".strip(), client_address())

    @property
    def key(self) -> str:
        """Names the person in the audit trail, such as in the entry that ends all their sessions."""
        return self.user.key if self.user else self.role.value


class Access:
    """The passwords of the settings, and the token that opens the console where there are none."""

    def __init__(self, settings: Settings) -> None:
        self._passwords = {Role.OPERATOR: settings.bridge_password, Role.VIEWER: settings.bridge_viewer_password}
        self.has_password = any(self._passwords.values())
        self.provider = urlsplit(settings.bridge_oidc_issuer).hostname or ""
        """The host of the OpenID provider, if there is one."""
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

    def is_password_of(self, user: User | None, password: str) -> bool:
        """Return whether this is the user's password. Without a user the check takes as long, so nobody can find out
        which e-mails exist."""
        kept = user.password if user and user.password else self._nobodys
        is_right = check_password_hash(kept, password)
        return is_right and user is not None and user.password is not None and user.state is UserState.ACTIVE

    @cached_property
    def _nobodys(self) -> str:
        return generate_password_hash(secrets.token_urlsafe(32))

    def sessions(self) -> SecureCookieSessionInterface:
        """Return the session interface. The passwords, and whether there is a token, are part of its signing key."""
        found = _Sessions()
        # Not the token itself, which is another one at each start: a restart must not lose what a person types.
        found.salt = "\0".join((*self._passwords.values(), "token" if self.token else ""))
        return found


access = cast(Access, LocalProxy(lambda: current_app.extensions["bridge.access"]))
person = cast(Person, LocalProxy(lambda: g.person))
"""The signed-in person; only for pages that strangers never see."""


def init_access(app: Flask, settings: Settings) -> None:
    app.config.update(
        SECRET_KEY=settings.bridge_secret_key or session_key(settings.bridge_data_dir),
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


def begin_session(who: Person) -> None:
    """Begin a session and note it in the audit trail; the number of its entry is the session's id."""
    now_ms = runtime.clock_ms()
    with runtime.journal.database.write() as connection:
        if who.user:
            users.note_sign_in(connection, who.user.id, now_ms)
        entry = audit.note(connection, who.actor, audit.SIGNED_IN, who.user.key if who.user else "", now_ms)
    whose = {"user": who.user.id} if who.user else {"role": who.role.value, "name": who.name}
    # A form that waits in another tab for this sign-in can then be sent; one of another person's session can't.
    is_own = "entry" not in session or whose.items() <= session.items()
    token = session.get("csrf_token") if is_own else None
    session.clear()
    session.permanent = True
    until_ms = now_ms + int(SESSION_LASTS.total_seconds() * 1000)
    session.update(until_ms=until_ms, entry=entry, **whose, **({_BEFORE: token} if token else {}))


def has_session(app: Flask, environ: WSGIEnvironment) -> bool:
    """Return whether the request carries a session of somebody who signed in; the journal is not read."""
    opened = app.session_interface.open_session(app, app.request_class(environ))
    return opened is not None and "entry" in opened


def signed_in() -> Person | None:
    """Return the person of this request's session, None where it has none or has ended."""
    if session.get("until_ms", 0) < runtime.clock_ms():
        return None
    id_ = session.get("user")
    with runtime.journal.database.read() as connection:
        whose = session["role"] if id_ is None else users.key_of(id_)
        if audit.is_signed_out(connection, session["entry"], whose):
            return None
        user = None if id_ is None else users.get(connection, id_)
    if id_ is None:
        return Person(Role(session["role"]), session["name"])
    # Read at each request, so that a change of role or accounts holds at once.
    return Person(Role(user.role), user.name, user) if user and user.state is UserState.ACTIVE else None


def signs_in() -> bool:
    """Return whether a sign-in is possible: there is a password, a provider or a person."""
    if access.has_password or access.provider:
        return True
    with runtime.journal.database.read() as connection:
        return users.exist(connection)


def check() -> ResponseReturnValue | None:
    """Refuse a request that this person may not make; runs before each page of the console."""
    if request.endpoint == "console.static":
        return None
    g.person = signed_in()
    if not access.has_password and (g.person is None or "token" in request.args):
        answer = _by_token()
        if answer is not None:
            return answer
    changes = request.method not in SAFE
    if changes:
        check_form()
    if request.endpoint in FOR_STRANGERS:
        return None
    if g.person is None:
        return _to_sign_in()
    if not g.person.may_open(request.endpoint):
        if request.endpoint in FOR_ADMINISTRATORS and not g.person.may_manage_people:
            raise ForAdministrators
        if request.view_args:  # the answer must not say whether another account has such a thing
            raise NotFound
        raise ForAllAccounts
    if changes and request.endpoint not in FOR_VIEWERS and not g.person.may_change:
        raise ReadOnly
    return None


def _by_token() -> ResponseReturnValue | None:
    """Sign in the person whose address holds the token; return None where they may use the sign-in page instead."""
    given = request.args.get("token", "")
    if not access.token or not compare_digest(access.token.encode(), given.encode()):
        if given or not signs_in():
            raise ConsoleClosed
        return None
    if g.person is None:
        begin_session(Person(Role.LOCAL))
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
    """Return the path if it is one of this site, else `/`."""
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
    """Return this response's nonce for style elements; only the editor's page needs one."""
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
