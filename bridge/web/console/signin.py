"""Signing in and out, the choice of language and light, and who changed what."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from bridge.journal import audit
from bridge.journal.audit import Actor
from bridge.logs import logger
from bridge.web.console import frame
from bridge.web.console.access import access, begin, here_only
from bridge.web.console.throttle import Throttle
from bridge.web.console.words import COOKIE, LANGUAGES

log = logger(__name__)

NAME_LENGTH = 40
SHOWN = 50
YEAR_S = 365 * 24 * 3600

signin = Blueprint("signin", __name__)


@signin.get("/login")
def form() -> ResponseReturnValue:
    """Ask for the password."""
    if not access().has_password:
        return redirect("/")
    return frame.page("signin.html", target=here_only(request.args.get("next", "/")))


@signin.post("/login")
def enter() -> ResponseReturnValue:
    """Let in who knows a password."""
    target = here_only(request.form.get("next", "/"))
    address = _address()
    throttle: Throttle = current_app.extensions["bridge.throttle"]
    throttle.check(address)
    role = access().role_of(request.form.get("password", ""))
    name = " ".join(request.form.get("name", "").split())[:NAME_LENGTH]
    if role is None:
        throttle.failed(address)
        log.warning("console.sign_in_refused")
        return frame.page("signin.html", 401, target=target, name=name, wrong=True)
    begin(role, name)
    runtime = frame.runtime()
    with runtime.journal.database.write() as connection:
        actor = Actor(f"{role} {name}".strip(), request.remote_addr or "")
        audit.note(connection, actor, "console.signed_in", "", runtime.clock_ms())
    return redirect(target)


def _address() -> str:
    # Behind a proxy all people have its address; the last hop that it names is the nearest to the truth. Who makes up
    # such headers still meets the limit for all addresses together.
    hops = request.headers.get("X-Forwarded-For", "").rsplit(",", 1)[-1].strip()[:64]
    return f"{request.remote_addr} {hops}"


@signin.post("/logout")
def leave() -> ResponseReturnValue:
    """End the session."""
    session.clear()
    frame.said("signin.left")
    return redirect(url_for("console.signin.form"))


@signin.post("/language")
def language() -> ResponseReturnValue:
    """Answer in that language from now on."""
    return _remember(COOKIE, request.form.get("language", ""), tuple(LANGUAGES))


@signin.post("/appearance")
def appearance() -> ResponseReturnValue:
    """Be light or dark from now on, or as the system is."""
    return _remember(frame.THEME, request.form.get("theme", ""), frame.THEMES)


def _remember(cookie: str, value: str, known: tuple[str, ...]) -> Response:
    response = redirect(here_only(request.form.get("next", "/")))
    if value in known:
        response.set_cookie(cookie, value, max_age=YEAR_S, httponly=True, samesite="Lax")
    return response  # type: ignore[return-value]  # flask's redirect gives werkzeug's own class


@signin.get("/who")
def who() -> ResponseReturnValue:
    """Show who is signed in, what may be done, and who changed what."""
    before = frame.number(request.args.get("before"))
    with frame.runtime().journal.database.read() as connection:
        entries = audit.newest(connection, SHOWN + 1, before)
    settings = frame.runtime().settings
    return frame.page(
        "who.html",
        entries=entries[:SHOWN],
        more=len(entries) > SHOWN,
        before=before,
        passwords=(
            ("who.operator_password", bool(settings.bridge_password)),
            ("who.viewer_password", bool(settings.bridge_viewer_password)),
        ),
        session_key=bool(settings.bridge_secret_key),
    )
