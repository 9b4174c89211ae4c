"""Puts the console on the application: its pages, and what holds for all of them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.routing import IntegerConverter

from bridge.runtime import Runtime
from bridge.web.console import (
    access,
    attention,
    connections,
    event,
    events,
    frame,
    headers,
    jobs,
    mapping_history,
    mapping_live,
    mapping_new,
    mapping_run,
    mappings,
    overview,
    reconciling,
    sessions,
    signin,
    trial,
)
from bridge.web.console.work import Work

PAGES: tuple[Blueprint, ...] = (
    overview.overview,
    events.events,
    event.event,
    attention.attention,
    mappings.mappings,
    mapping_live.live,
    mapping_history.past,
    mapping_new.fresh,
    mapping_run.running,
    trial.trial,
    connections.connections,
    reconciling.reconcile,
    jobs.jobs,
    signin.signin,
)
"""Every blueprint of the console; `frame.NAVIGATION` says which pages stand in the menu."""


class JournalNumber(IntegerConverter):
    """A whole number that the journal can hold; a larger one is no address."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"max": 2**63 - 1, **options})


def mount(app: Flask, runtime: Runtime, secret_key: str) -> None:
    """Serve the console under `/`."""
    sessions.settle(app, secret_key, runtime.settings.bridge_public_url)
    app.extensions["bridge.access"] = access.Access(runtime.settings, secret_key)
    app.extensions["bridge.tries"] = FixedWindowRateLimiter(MemoryStorage())
    app.extensions["bridge.work"] = Work(runtime)
    console = Blueprint(
        "console", __name__, template_folder="../templates", static_folder="../static", static_url_path="/assets"
    )
    app.url_map.converters["int"] = JournalNumber
    console.before_request(access.check)
    console.before_request(frame.refuse_nul)
    for page in PAGES:
        console.register_blueprint(page)
    app.register_blueprint(console)
    app.context_processor(frame.context)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.after_request(headers.secure)
