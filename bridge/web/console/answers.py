"""Errors as pages: what a browser gets where a program would get JSON."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from bridge.errors import BridgeError, ConsoleClosed
from bridge.web.console import frame
from bridge.web.console.access import access
from bridge.web.console.sessions import PROGRAMS


def wants_page() -> bool:
    """Return whether a person's browser asks."""
    if request.path.startswith(PROGRAMS):
        return False
    return "HX-Request" in request.headers or "text/html" in request.headers.get("Accept", "")


def page_of(status: int, error: BridgeError | None = None) -> ResponseReturnValue:
    """Return the page that says what went wrong and what to do."""
    if isinstance(error, ConsoleClosed):
        return frame.page("closed.html", status, why="closed.token" if access().token else "closed.unset")
    text = frame.words()
    known = error.code if error and text.maybe(f"errors.{error.code}.title") else str(status)
    if not text.maybe(f"errors.{known}.title"):
        known = "500" if status >= 500 else "400"
    return frame.page("error.html", status, http_status=status, known=known, error=error)
