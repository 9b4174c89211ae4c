"""The console: pages under `/` for the people who run the bridge, in Portuguese and English.

Every page is one Jinja template filled on the server; htmx only fetches parts of pages anew. A page module makes a
blueprint, reads through `bridge.journal` and changes through `bridge.operations`; it never writes SQL. What all pages
have in common (who may come in, languages, headers, the forms' tokens) is done once, for every blueprint in
`mount.PAGES`. To add a page: a module with a blueprint, its line in `mount.PAGES` and `frame.NAVIGATION`, a template
that extends `layout.html`, and its words in a file of `bridge/web/words`.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.routing import IntegerConverter

from bridge.messages import read_message
from bridge.runtime import Runtime
from bridge.web.console import (
    access,
    attention,
    connections,
    event,
    events,
    layout,
    mapping_editor,
    mapping_new,
    mapping_run,
    mappings,
    overview,
    reconcile,
    signin,
    testcharge,
)
from bridge.web.console import jobs as console_jobs
from bridge.web.console.jobs import JobRunner

PAGES: tuple[Blueprint, ...] = (
    overview.overview,
    events.events,
    event.event,
    attention.attention,
    mappings.mappings,
    mapping_editor.live,
    mappings.past,
    mapping_new.fresh,
    mapping_run.running,
    testcharge.testcharge_pages,
    connections.connections,
    reconcile.reconcile,
    console_jobs.jobs_pages,
    signin.signin,
)
"""Every blueprint of the console; `frame.NAVIGATION` says which pages stand in the menu."""


class JournalNumber(IntegerConverter):
    """A whole number that the journal can hold; a larger one is no address."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"max": 2**63 - 1, **options})


def init_console(app: Flask, runtime: Runtime, secret_key: str) -> None:
    """Serve the console under `/`."""
    access.init_sessions(app, secret_key, runtime.settings.bridge_public_url)
    app.extensions["bridge.access"] = access.Access(runtime.settings, secret_key)
    app.extensions["bridge.tries"] = FixedWindowRateLimiter(MemoryStorage())
    app.extensions["bridge.work"] = JobRunner(runtime)
    console = Blueprint(
        "console", __name__, template_folder="../templates", static_folder="../static", static_url_path="/assets"
    )
    app.url_map.converters["int"] = JournalNumber
    console.before_request(access.check)
    console.before_request(layout.refuse_nul)
    for page in PAGES:
        console.register_blueprint(page)
    app.register_blueprint(console)
    app.context_processor(layout.context)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["said"] = lambda text: read_message(text).text()
    app.after_request(access.secure)
