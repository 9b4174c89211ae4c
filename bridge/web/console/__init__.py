"""The console: pages under `/` for the people who run the bridge, in Portuguese and English.

The server renders each page from a Jinja template; htmx fetches parts of pages again. A page module has a blueprint
`pages`, reads through `bridge.journal` and changes through `bridge.operations`; it has no SQL. To add a page: a module
with a blueprint, its name in `PAGES` and its line in `layout.NAVIGATION`, and a template that extends `layout.html`.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.routing import IntegerConverter

from bridge.mapping.catalogue import event_label
from bridge.messages import use_language
from bridge.runtime import Runtime
from bridge.web.console import (
    access,
    alerts,
    attention,
    clint,
    connecting,
    connections,
    customers,
    events,
    guide,
    jobs,
    layout,
    life,
    mapping_deal,
    mapping_editor,
    mappings,
    overview,
    people,
    reconcile,
    signin,
    testcharge,
    trail,
)
from bridge.web.console.oidc import Provider
from bridge.web.console.personal import masked, shown

PAGES = (
    *(overview, guide, events, customers, attention, mappings, mapping_editor),
    *(testcharge, life, connections, connecting, clint, reconcile, alerts, people, trail, jobs),
)


class JournalNumber(IntegerConverter):
    """A number of the journal in an address; a larger number is not found."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"max": 2**63 - 1, **options})


def init_console(app: Flask, runtime: Runtime) -> None:
    access.init_access(app, runtime.settings)
    app.extensions["bridge.tries"] = FixedWindowRateLimiter(MemoryStorage())
    app.extensions["bridge.provider"] = Provider(runtime)
    console = Blueprint(
        "console", __name__, template_folder="../templates", static_folder="../static", static_url_path="/assets"
    )
    app.url_map.converters["int"] = JournalNumber
    console.before_request(access.check)
    console.before_request(layout.refuse_nul)
    for module in (*PAGES, signin):
        console.register_blueprint(module.pages)
    app.register_blueprint(console)
    app.before_request(layout.set_language)
    app.teardown_request(lambda _error: use_language("en"))
    app.context_processor(layout.context)
    app.jinja_env.globals.update(
        layout.GLOBALS,
        did_in_words=trail.told,
        finding_words=mapping_editor.finding_words,
        not_connected=mapping_editor.not_connected,
        part_name=mapping_deal.part_name,
        guide_now=guide.guide_now,
    )
    app.jinja_env.filters |= {
        "shown": shown,
        "masked": masked,
        "part_value": mapping_deal.part_value,
        "capital": layout.capital,
        "event_label": event_label,
    }
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.after_request(access.secure)
