"""The headers that keep a page to itself: nothing is loaded from elsewhere, and no script or style stands in a page."""

from __future__ import annotations

import secrets

from flask import Response, current_app, g, request

from bridge.web.callers import FOR_PROGRAMS
from bridge.web.console.sessions import PROGRAMS, over_https

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def style_nonce() -> str:
    """Return a nonce for this page's own style elements: an editor must write some, and no page else may."""
    if "style_nonce" not in g:
        g.style_nonce = secrets.token_urlsafe(16)
    return str(g.style_nonce)


def secure(response: Response) -> Response:
    """Add the headers to an answer."""
    if request.path.startswith(PROGRAMS):
        for name, value in FOR_PROGRAMS.items():
            response.headers.setdefault(name, value)
        return response
    styles = f" 'nonce-{g.style_nonce}'" if "style_nonce" in g else ""
    policy = {**POLICY, "style-src": POLICY["style-src"] + styles}
    response.headers["Content-Security-Policy"] = "; ".join(f"{name} {value}" for name, value in policy.items())
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    if over_https(current_app.config["BRIDGE_PUBLIC_URL"]):
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.endpoint == "console.static":
        # The address holds a digest of the file, so that a new version has a new address.
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if "v" in request.args else "no-cache"
    else:
        response.headers.setdefault("Cache-Control", "no-store")
    return response
