"""The editor's requests while a person types: findings, completion, and a preview of an event. They change nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from bridge.errors import BridgeError, ConsoleBusy, NoAnswerYet
from bridge.journal import customers, events, queries
from bridge.journal.events import StoredEvent
from bridge.mapping import Finding, Mapping, ParseResult, Setup, parse_mapping, with_overlaps
from bridge.mapping.cases import CannotRun, read_sample
from bridge.mapping.catalogue import EVENTS, entity_key, event_label, named_paths, path_label, path_meaning
from bridge.mapping.context import DERIVED, build_context, references
from bridge.mapping.drafts import EXAMPLES
from bridge.mapping.evaluate import STATUSES
from bridge.mapping.explain import explained
from bridge.mapping.findings import shown
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.lint import FIELDS
from bridge.mapping.model import FETCHABLE, ClintDirectory
from bridge.mapping.operators import OPERATORS
from bridge.mapping.spec import TABLES
from bridge.messages import Message, _, current_language
from bridge.operations import effects
from bridge.operations.causes import UNCONNECTED
from bridge.pipeline import enrich
from bridge.web.console import layout
from bridge.web.console.access import runtime
from bridge.web.console.jobs import external_call
from bridge.web.console.lines import label, lines
from bridge.web.console.mapping_form import Around, seen

pages = Blueprint("mappings_live", __name__)

RECENT = 15


@pages.post("/mappings/live/lint")
def lint() -> ResponseReturnValue:
    return jsonify(
        findings=[
            {
                **{name: getattr(one, name) for name in ("line", "column", "severity", "code")},
                "message": finding_words(one).striptags(),
            }
            for one in _read().findings
        ]
    )


@pages.get("/mappings/live/words.json")
def words() -> ResponseReturnValue:
    response = jsonify({**_words(current_language()), "names": _names(runtime.setup.clint)})
    response.headers["Cache-Control"] = "private, max-age=600"
    return response


def _names(clint: ClintDirectory | None) -> list[dict[str, str]]:
    """Return the names that a value of a deal may have: statuses, and the stages and origins of the account."""
    origins = clint.origins.values() if clint else ()
    names = [{"label": label, "detail": origin} for origin, stages in origins for _, label in stages]
    return [{"label": one, "detail": "status"} for one in STATUSES] + names + [{"label": one} for one, _ in origins]


@pages.post("/mappings/live/values")
def values() -> ResponseReturnValue:
    """Answer the value that each known field has in the chosen event; nothing is asked of Asaas."""
    kind, _, reference = request.form.get("against", "").partition(":")
    # A text is seldom complete while a person types: the active one is used.
    name = request.form.get("name")
    mapping = next((one.mapping for one in runtime.mappings.current() if one.mapping.name == name), None)
    stored: list[StoredEvent] = []
    if kind == "event" and (number := layout.number(reference)):
        with runtime.journal.database.read() as connection:
            stored = events.load(connection, [number])
    seen_in = _around(stored[0]) if stored else around(mapping)
    paths = {path for root in (*seen_in.context, *DERIVED) for path in named_paths(root)}
    found = {path: seen(path, seen_in) for path in sorted(paths)}
    return jsonify({path: value for path, value in found.items() if value})


@cache
def _words(_language: str) -> dict[str, Any]:
    return {
        "keys": [
            {"label": f"{key.name}: ", "detail": table, "info": key.help}
            for table, keys in TABLES.items()
            for key in keys.values()
            if table in {"mapping", "condition", "field", "route", "test", "funnel"} and key.name not in OPERATORS
        ],
        "operators": [{"label": f"{one.name}: ", "info": one.help} for one in OPERATORS.values()],
        "events": [{"label": one.name, "info": one.label} for one in EVENTS.values()],
        "functions": [
            {"label": one.name, "detail": one.signature, "info": f"{one.help} {one.example} → {one.gives}"}
            for one in FUNCTIONS.values()
        ],
        "paths": [
            *({"label": one.name, "detail": path_label(one.name), "info": one.help} for one in DERIVED.values()),
            *(
                {"label": path, "detail": path_label(path) if path_meaning(path) else "", "info": path_meaning(path)}
                for name, inner in FIELDS.items()
                for path in _paths(name, inner)
            ),
        ],
    }


def _paths(name: str, inner: Any) -> list[str]:
    if not inner:
        return [name]
    return [path for field, deeper in inner.items() for path in _paths(f"{name}.{field}", deeper)]


@pages.post("/mappings/live/preview")
def preview() -> ResponseReturnValue:
    """Show what the text would make of a sample or of an event of the journal."""
    return layout.page("mapping_preview.html", **previewed(_read().mapping, request.form.get("against", "")))


def previewed(mapping: Mapping | None, against: str) -> dict[str, Any]:
    """Return what `mapping_preview.html` says of a mapping and the event that a person chose."""
    values: dict[str, Any] = {"told": None}
    if mapping is not None:
        try:
            context, values["missing"] = _context(mapping, against)
            values["told"] = explained(mapping, context, runtime.setup)
        except BridgeError as error:
            values["problem"] = error.text()
        except CannotRun as error:
            values["problem"] = error.message.text()
        except (ValueError, KeyError):
            values["problem"] = against
    return values


def read(name: str, text: str) -> ParseResult:
    """Parse a text as the mapping of that name, beside the other active mappings."""
    others = [item.mapping for item in runtime.mappings.current() if item.mapping.name != name]
    known = known_setup()
    (found,) = with_overlaps([parse_mapping(text, f"{name}.yaml", known)], others, known)
    return found


CLINT_S = 1.0
"""The editor waits at most this long for the names in Clint; its next request gets them."""


def known_setup() -> Setup:
    """Return the names that mappings may refer to, with those in Clint where an API destination needs them."""
    setup = runtime.setup
    with suppress(NoAnswerYet, ConsoleBusy):
        return replace(setup, clint=external_call(runtime.clint_names, CLINT_S) if setup.api else None)
    return setup


MOST_LACKING = 5


def lacking(name: str, text: str) -> list[Finding]:
    """Return what lint says of names that Clint does not have, the first few."""
    return [one for one in read(name, text).findings if one.code.startswith("clint.")][:MOST_LACKING]


def finding_words(finding: Finding) -> Markup:
    """Return what a finding says, with links to other mappings, by their titles, and to what is not connected."""
    what, overlap = finding.what, finding.what.facts.get("overlap")
    if finding.code in UNCONNECTED and what.facts["name"] == shown(str(what.facts["usable"])):
        return not_connected(finding.code, str(what.facts["usable"]))
    if not isinstance(overlap, Message):
        return escape(finding.text())
    others = overlap.facts["others"]
    is_short = isinstance(others, Message)
    files = str(others.facts["names"] if is_short else others).split(", ")
    facts: dict[str, object] = {"mapping": "{mapping}", "event": f"“{event_label(str(overlap.facts['event']))}”"}
    facts["others"] = Message(others.id, {**others.facts, "names": "{others}"}) if is_short else "{others}"
    said = Message(overlap.id, {**overlap.facts, **facts})
    text = escape(Message(what.id, {**what.facts, "overlap": said}).text())
    links = [
        Markup('<a href="{}">“{}”</a>').format(url_for("console.mappings.edit", name=name), layout.mapping_title(name))
        for name in (Path(one).stem for one in files)
    ]
    return text.format(mapping=f"“{layout.mapping_title(Path(finding.path).stem)}”", others=Markup(", ").join(links))


def not_connected(code: str, name: str, then: str | None = None) -> Markup:
    """Return which account or destination is missing, with the link to the form that connects it.

    `then` is the mapping that a person was about to switch on.
    """
    if code == "account.unset":
        place, text = url_for("console.connecting.new_account"), _("The account {name} is missing: {way}")
        way = _("Connections → New account")
    else:
        place = url_for("console.connecting.new_destination", name=name, then=then)
        text, way = _("The destination {name} is missing: {way}"), _("Connections → New destination")
    link = Markup('<a href="{}">{}</a>').format(place, way)
    return escape(text).format(name=Markup("<strong>{}</strong>").format(name), way=link)


def _read() -> ParseResult:
    text = request.form.get("text", "")[:200_000].replace("\r\n", "\n")
    return read(request.form.get("name") or "mapping", text)


def choices(mapping: Mapping | None) -> dict[str, list[tuple[str, str]]]:
    """Return the samples and events that the mapping listens to, to preview."""
    samples = []
    for path in sorted(Path(runtime.settings.bridge_mappings_dir, "samples").glob("*.json")):
        try:
            name = json.loads(path.read_text(encoding="utf-8")).get("event", "")
        except (OSError, ValueError, AttributeError):
            continue
        if name and (mapping is None or mapping.listens_to(name)):
            samples.append((f"sample:{path.name}", f"{path.stem} ({name})"))
    recent = []
    if mapping is not None:
        with runtime.journal.database.read() as connection:
            rows = queries.list_events(connection, limit=RECENT * 10, account=mapping.account)
            listened = [row["id"] for row in rows if row["emptied_ms"] is None and mapping.listens_to(row["name"])]
            found = lines(connection, queries.events_of(connection, listened[:RECENT])[::-1])
        recent = [(f"event:{line.row['id']}", label(line, layout.now_ms())) for line in found]
    return {"events": recent, "samples": samples}


def _around(event: StoredEvent) -> Around:
    """Return what the cache and the journal have of an event and its customer; nothing is asked of Asaas."""
    with runtime.journal.database.read() as connection:
        person = customers.load(connection, [(event.account, event.subject)]).get((event.account, event.subject))
    context, missing = effects.cached_contexts(runtime, [event], [], every=True)[0]
    if person is not None and "customer" in missing:
        known = {"name": person.name, "email": person.email, "mobilePhone": person.phone, "cpfCnpj": person.document}
        context = {**context, "customer": known}
    return Around(context, effects.about(event, context, person)[0], event.id)


def around(mapping: Mapping | None) -> Around:
    """Return the last event that a mapping listens to, with what the cache has of it; else the built-in example."""
    if mapping is not None:
        with runtime.journal.database.read() as connection:
            last = effects.last_events(connection, [mapping], 1)
            sent = queries.deliveries_of(connection, last[0].id) if last else []
        if last:
            payloads = [row["payload"] for row in sent if row["mapping"] == mapping.name and row["payload"]]
            return replace(_around(last[0]), payload=json.loads(payloads[-1]) if payloads else {})
    context, _ = _context(mapping, "example") if mapping is not None else ({**EXAMPLES}, "")
    return Around(context, "")


def _context(mapping: Mapping, against: str) -> tuple[dict[str, Any], str]:
    """Return what expressions see, and why an object of Asaas is missing from it."""
    kind, _, reference = against.partition(":")
    if kind == "event":
        return _of_event(mapping, reference)
    root = runtime.settings.bridge_mappings_dir
    if kind == "sample" and reference:
        envelope = read_sample(root, f"samples/{Path(reference).name}")
        key, event = entity_key(envelope), str(envelope["event"])
    else:
        event = next(iter(mapping.event_names), "PAYMENT_RECEIVED")
        key = EVENTS[event].entity if event in EVENTS else "payment"
        envelope = {"event": event, key: dict(EXAMPLES.get(key, {}))}
    customer: Any = EXAMPLES["customer"]
    if (Path(root) / "samples" / "customer_pf.json").exists():
        customer = read_sample(root, "samples/customer_pf.json")
    fetched = {"customer": customer} if key != "customer" else {}
    return build_context(event, key, envelope, mapping.account, "sandbox", fetched), ""


def _of_event(mapping: Mapping, reference: str) -> tuple[dict[str, Any], str]:
    with runtime.journal.database.read() as connection:
        event = layout.found(queries.find_event(connection, reference))
    account, envelope = event["account"], json.loads(event["body"])

    def seen(fetched: dict[str, Any]) -> dict[str, Any]:
        return build_context(event["name"], event["entity"], envelope, account, runtime.environment(account), fetched)

    needed = FETCHABLE & (mapping.filter_needs | mapping.field_needs)
    wanted = enrich.plan(needed, references(seen({})))
    if not wanted:
        return seen({}), ""
    try:
        return seen(external_call(lambda: runtime.enricher.fetch(account, wanted))), ""
    except BridgeError as error:
        return seen({}), error.text()
