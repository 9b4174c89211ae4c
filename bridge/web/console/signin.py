"""Sign-in and sign-out, the choice of language and theme, and the audit trail."""

from __future__ import annotations

import secrets
import threading
from ipaddress import ip_network

from flask import Blueprint, Response, current_app, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature, Signer
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from bridge.errors import ConsoleBusy, TooManySignIns
from bridge.journal import audit
from bridge.logs import logger
from bridge.messages import LANGUAGES, N_, _
from bridge.web.console import layout
from bridge.web.console.access import Role, access, begin_session, client_address, here_only, over_https, runtime

log = logger(__name__)

NAME_LENGTH = 40
TRAIL_SHOWN = 50
YEAR_S = 365 * 24 * 3600
TRIES = RateLimitItemPerMinute(8, 15)
"""Wrong passwords in 15 minutes of an address, or of a browser in which an operator signed in before."""
BROWSER = "bridge_browser"
"""The cookie of such a browser. It has tries of its own, so that strangers of the same address do not lock it out."""
_CHECKING = {known: threading.Lock() for known in (False, True)}
"""Checking a password needs much CPU: one at a time, and one more of browsers in which an operator signed in."""
CHECK_WAITS_S = 1.0
_COUNTING = threading.Lock()

pages = Blueprint("signin", __name__)


@pages.get("/login")
def form() -> ResponseReturnValue:
    if not access.has_password:
        return redirect("/")
    return layout.page("signin.html", target=here_only(request.args.get("next", "/")))


@pages.post("/login")
def enter() -> ResponseReturnValue:
    target = here_only(request.form.get("next", "/"))
    known = _known_browser()
    who = known or _network(client_address())
    # The count rises before the check, so that parallel tries do not all see the same count.
    if not _count(who):
        is_proxy = "X-Forwarded-For" in request.headers and client_address() == request.remote_addr
        hint = "set BRIDGE_TRUSTED_PROXIES: all people share the address of the proxy" if is_proxy else None
        log.warning("console.sign_in_limited", hint=hint)
        raise TooManySignIns
    one_at_a_time = _CHECKING[bool(known)]
    if not one_at_a_time.acquire(timeout=CHECK_WAITS_S):
        _count(who, -1)
        raise ConsoleBusy
    try:
        role = access.role_of(request.form.get("password", ""))
    finally:
        one_at_a_time.release()
    name = " ".join(request.form.get("name", "").split())[:NAME_LENGTH]
    if role is None:
        log.warning("console.sign_in_refused")
        return layout.page("signin.html", 401, target=target, name=name, wrong=True)
    _count(who, -1)
    begin_session(role, name)
    response = redirect(target)
    if role is Role.OPERATOR:  # a viewer could get many such cookies, each with tries at the operator's password
        response.set_cookie(
            BROWSER,
            _browsers().sign(known or secrets.token_urlsafe(12)).decode(),
            max_age=YEAR_S,
            path=url_for("console.signin.form"),
            httponly=True,
            samesite="Lax",
            secure=over_https(),
        )
    return response


def _count(who: str, cost: int = 1) -> bool:
    """Count a try, or take one back; return whether it was within the limit."""
    tries: FixedWindowRateLimiter = current_app.extensions["bridge.tries"]
    # Two threads at once could start the timer of limits' MemoryStorage twice (__schedule_expiry), which raises.
    with _COUNTING:
        return tries.hit(TRIES, who, cost=cost)


def _browsers() -> Signer:
    return Signer(current_app.config["SECRET_KEY"], salt=BROWSER)


def _known_browser() -> str:
    try:
        return _browsers().unsign(request.cookies.get(BROWSER, "")).decode()
    except BadSignature:
        return ""


def _network(address: str) -> str:
    """Return the address or network whose tries count together: an IPv6 /64 belongs to one subscriber."""
    try:
        return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address
    except ValueError:
        return address  # with a zone, such as fe80::1%eth0


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


@pages.get("/who")
def who() -> ResponseReturnValue:
    before = layout.number(request.args.get("before"))
    with runtime.journal.database.read() as connection:
        entries = audit.newest(connection, TRAIL_SHOWN + 1, before)
    settings = runtime.settings
    return layout.page(
        "who.html",
        entries=entries[:TRAIL_SHOWN],
        more=len(entries) > TRAIL_SHOWN,
        before=before,
        passwords=(
            (N_("Operator's password"), bool(settings.bridge_password)),
            (N_("Viewer's password"), bool(settings.bridge_viewer_password)),
        ),
        session_key=bool(settings.bridge_secret_key),
    )
