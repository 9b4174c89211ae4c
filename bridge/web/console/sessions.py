"""The session cookie: signed, for this site only, over https only where https is spoken."""

from __future__ import annotations

import secrets
from datetime import timedelta
from hmac import compare_digest
from urllib.parse import urlsplit

from flask import Flask, Request, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from bridge.errors import FormRefused

LASTS = timedelta(hours=12)
"""From signing in to having to sign in again, however busy the pages are."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FIELD = "csrf_token"
HEADER = "X-CSRF-Token"

PROGRAMS = ("/webhooks/", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""Addresses that only programs ask; they get JSON whatever they say they take, and no session."""


class _Sessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the browser's session; a program has none, and at the door reading one took a tenth of the time."""
        return None if request.path.startswith(PROGRAMS) else super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether the browser may send the cookie over https only."""
        return over_https(app.config["BRIDGE_PUBLIC_URL"])


def settle(app: Flask, secret_key: str, public_url: str) -> None:
    """Say how the application keeps sessions."""
    app.config.update(
        SECRET_KEY=secret_key,
        SESSION_COOKIE_NAME="bridge_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",  # Strict would sign out whoever follows a link from a message
        PERMANENT_SESSION_LIFETIME=LASTS,
        SESSION_REFRESH_EACH_REQUEST=False,  # pages that fetch themselves anew would keep it for ever
        BRIDGE_PUBLIC_URL=public_url,
    )
    app.session_interface = _Sessions()


def over_https(public_url: str) -> bool:
    """Return whether the browser speaks https, also with a proxy in between.

    The header can be made up, but who makes it up only keeps the own browser from sending the cookie in clear.
    """
    public = urlsplit(public_url)
    return (
        request.is_secure
        or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        or (public.scheme == "https" and request.host == public.netloc)
    )


def form_token() -> str:
    """Return the token that every form of this session carries."""
    if "csrf" not in session:
        session.permanent = True
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


def check_form() -> None:
    """Raise FormRefused unless this change was asked for by a form of this session."""
    if request.method in SAFE:
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise FormRefused("the form came from another site")
    given = request.headers.get(HEADER) or request.form.get(FIELD, "")
    if not compare_digest(str(session.get("csrf", "")).encode(), given.encode()) or not given:
        raise FormRefused(mend="load the page again and repeat it")
