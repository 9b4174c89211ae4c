"""Sign-in and sign-out, and the choice of language and theme."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from typing import Any

from flask import Blueprint, Response, current_app, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature, Signer
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from bridge.errors import ConsoleBusy, JournalError, SignInFailed, TooManySignIns, UsageError
from bridge.journal import audit, users
from bridge.journal.audit import Actor
from bridge.logs import logger
from bridge.messages import LANGUAGES, N_, _
from bridge.operations.users import as_name, come_in
from bridge.web.console import layout
from bridge.web.console.access import (
    Person,
    Role,
    access,
    begin_session,
    client_address,
    here_only,
    over_https,
    runtime,
    signs_in,
)
from bridge.web.console.oidc import Provider

log = logger(__name__)

YEAR_S = 365 * 24 * 3600
TRIES = RateLimitItemPerMinute(8, 15)
"""The limit of wrong passwords for an address, and for known browsers."""
NOTED = RateLimitItemPerMinute(1, 15, "noted")
"""The audit trail notes at most this often that tries were held back."""
BROWSER = "bridge_browser"
"""The cookie of a known browser: a person or the operator signed in there before.

Its tries are counted apart, so that strangers at the same address can't lock it out; all browsers of a person with an
account of their own share one count.
"""
_CHECKING = {known: threading.Lock() for known in (False, True)}
"""A password check needs much CPU: one runs at a time, and one more for known browsers."""
_ASKING = {known: threading.Lock() for known in (False, True)}
"""The same for requests to the provider, each of which holds a thread of the pages for some seconds."""
PROVIDER_MS = 600_000
"""A person may take this long at the provider."""
CHECK_WAITS_S = 1.0
_COUNTING = threading.Lock()

pages = Blueprint("signin", __name__)


@pages.get("/login")
def form() -> ResponseReturnValue:
    if not signs_in():
        return redirect("/")
    return _form(here_only(request.args.get("next", "/")), by_email="password" not in request.args)


def _form(target: str, status: int = 200, *, by_email: bool = True, **values: Any) -> ResponseReturnValue:
    """Show the form: for an e-mail where people have accounts of their own, else for a password of the settings."""
    with runtime.journal.database.read() as connection:
        has_people = users.exist(connection)
    by_email = has_people and (by_email or not access.has_password)
    return layout.page(
        "signin.html",
        status,
        target=target,
        by_email=by_email,
        other_way=has_people and access.has_password,
        provider=access.provider,
        **values,
    )


@pages.post("/login")
def enter() -> ResponseReturnValue:
    target = here_only(request.form.get("next", "/"))
    email, name = request.form.get("email"), request.form.get("name", "")
    try:
        name = as_name(name)
    except UsageError as error:
        return _form(target, 422, by_email=False, name=name, problem=error)
    known, who = count_try()
    with one_at_a_time(known, who):
        found = _found(email, name, request.form.get("password", ""))
    if found is None:
        log.warning("console.sign_in_refused")
        return _form(target, 401, by_email=email is not None, name=name, email=email, wrong=True)
    give_back_try(who)
    return let_in(found, target, known)


def _found(email: str | None, name: str, password: str) -> Person | None:
    """Return the person whose password it is."""
    if email is None:
        role = access.role_of(password)
        return Person(role, name) if role else None
    with runtime.journal.database.read() as connection:
        user = users.by_email(connection, email)
    return Person(Role(user.role), user.name, user) if access.is_password_of(user, password) and user else None


def count_try() -> tuple[str, str]:
    """Count a sign-in try; return the id of a known browser (or an empty text) and under whom it was counted.

    Raises TooManySignIns.
    """
    known = _known_browser()
    who = known or _network(client_address())
    # The count rises before the check, so that parallel tries do not all see the same count.
    if not _count(who):
        is_proxy = "X-Forwarded-For" in request.headers and client_address() == request.remote_addr
        hint = "set BRIDGE_TRUSTED_PROXIES: all people share the address of the proxy" if is_proxy else None
        log.warning("console.sign_in_limited", hint=hint)
        _note_limited()
        raise TooManySignIns
    return known, who


def _note_limited() -> None:
    """Note in the audit trail that tries are held back: one row for all in a while, since strangers cause it."""
    tries: FixedWindowRateLimiter = current_app.extensions["bridge.tries"]
    with _COUNTING:
        is_first = tries.hit(NOTED)
    if is_first:
        with suppress(JournalError), runtime.journal.database.write() as connection:
            audit.note(connection, Actor("", ""), audit.LIMITED, "", runtime.clock_ms())


@contextmanager
def one_at_a_time(known: str, who: str = "", places: Mapping[bool, threading.Lock] = _CHECKING) -> Iterator[None]:
    """Allow one password check at a time; raise ConsoleBusy after a long wait, which is not counted as a try."""
    place = places[bool(known)]
    if not place.acquire(timeout=CHECK_WAITS_S):
        if who:
            give_back_try(who)
        raise ConsoleBusy
    try:
        yield
    finally:
        place.release()


def let_in(who: Person, target: str, known: str) -> Response:
    """Begin the session, redirect to the target and remember the browser as a known one."""
    begin_session(who)
    response = redirect(target)
    # Not for the viewer's password: viewers could get many such cookies, each with tries at the operator's password.
    if who.user or who.role is Role.OPERATOR:
        response.set_cookie(
            BROWSER,
            _browsers().sign(known or (who.user.key if who.user else secrets.token_urlsafe(12))).decode(),
            max_age=YEAR_S,
            path=url_for("console.signin.form"),
            httponly=True,
            samesite="Lax",
            secure=over_https(),
        )
    return response  # type: ignore[return-value]  # flask's redirect gives werkzeug's own class


def _count(who: str, cost: int = 1) -> bool:
    """Count a try, or take one back; return whether it was within the limit."""
    tries: FixedWindowRateLimiter = current_app.extensions["bridge.tries"]
    # Two threads at once could start the timer of limits' MemoryStorage twice (__schedule_expiry), which raises.
    with _COUNTING:
        return tries.hit(TRIES, who, cost=cost)


def give_back_try(who: str) -> None:
    """Take a counted try back, since the password was right."""
    _count(who, -1)


def _browsers() -> Signer:
    return Signer(current_app.config["SECRET_KEY"], salt=BROWSER)


def _known_browser() -> str:
    try:
        return _browsers().unsign(request.cookies.get(BROWSER, "")).decode()
    except BadSignature:
        return ""


def _network(address: str) -> str:
    """Return the address under which tries are counted; for IPv6 its /64, which belongs to one subscriber."""
    try:
        return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address
    except ValueError:
        return address  # with a zone, such as fe80::1%eth0


@pages.get("/login/provider")
def by_provider() -> ResponseReturnValue:
    """Redirect to the OpenID provider."""
    target = here_only(request.args.get("next", "/"))
    if not access.provider:
        return layout.go("console.signin.form", next=target)
    scheme = "https" if over_https() else "http"
    back = f"{scheme}://{request.host}{url_for('console.signin.from_provider')}"
    try:
        with one_at_a_time(_known_browser(), places=_ASKING):
            url, kept = _provider().begin(back)
    except SignInFailed as error:
        return _failed(error, target)
    session["provider"] = {**kept, "next": target, "until_ms": runtime.clock_ms() + PROVIDER_MS}
    return redirect(url)


@pages.get("/login/provider/back")
def from_provider() -> ResponseReturnValue:
    """Sign in the person who comes back from the provider, if they were invited."""
    kept = session.pop("provider", {})
    target, known = kept.get("next", "/"), _known_browser()
    try:
        if kept.get("until_ms", 0) < runtime.clock_ms():
            raise SignInFailed(N_("it took too long, or began in another browser"), hint=N_("begin again"))
        with one_at_a_time(known, places=_ASKING):
            one = _provider().finish(request.full_path, kept)
        user = come_in(
            runtime.journal, one.issuer, one.subject, one.email, address=client_address(), now_ms=runtime.clock_ms()
        )
    except SignInFailed as error:
        return _failed(error, target)
    return let_in(Person(Role(user.role), user.name, user), target, known)


def _provider() -> Provider:
    provider: Provider = current_app.extensions["bridge.provider"]
    return provider


def _failed(error: SignInFailed, target: str) -> ResponseReturnValue:
    log.warning("console.sign_in_failed", error=str(error))
    layout.flash_message(f"{layout.capital(error.text())}.", "bad")
    return layout.go("console.signin.form", next=target if target != "/" else None)


@pages.post("/logout")
def leave() -> ResponseReturnValue:
    layout.note(audit.SIGNED_OUT, str(session["entry"]))
    session.clear()
    layout.flash_message(_("You are signed out."))
    return layout.go("console.signin.form")


@pages.post("/language")
def language() -> ResponseReturnValue:
    return _remember(layout.LANGUAGE, request.form.get("language", ""), tuple(LANGUAGES))


@pages.post("/appearance")
def appearance() -> ResponseReturnValue:
    return _remember(layout.THEME, request.form.get("theme", ""), layout.THEMES)


def _remember(cookie: str, value: str, known: tuple[str, ...]) -> Response:
    response = redirect(here_only(request.form.get("next", "/")))
    if value in known:
        response.set_cookie(cookie, value, max_age=YEAR_S, httponly=True, samesite="Lax")
    return response  # type: ignore[return-value]  # flask's redirect gives werkzeug's own class
