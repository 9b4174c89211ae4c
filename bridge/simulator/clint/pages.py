"""The page of the simulated Clint: the funnel as columns of deals, newest first, and the last of the history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import Blueprint, render_template, request

from bridge.simulator.clint.account import ClintAccount
from bridge.simulator.clint.crm import Deal, Origin, Stage
from bridge.simulator.pages import TEMPLATES, add_routes, brl, request_json

SHOWN_DEALS = 50
SHOWN_FIELDS = 4
SHOWN_ENTRIES = 15
RESULT_NAMES = {
    "created": "criou",
    "updated": "atualizou",
    "failed": "falhou",
    "unreadable": "ilegível",
    "unknown": "sem integração",
    "fault": "erro",
    "dropped": "conexão cortada",
    "pending": "em curso",
}
STATUS_NAMES = {"OPEN": "Aberto", "WON": "Ganho", "LOST": "Perdido"}


def page_blueprint(clint: ClintAccount) -> Blueprint:
    site = Blueprint("page", __name__, template_folder=str(TEMPLATES))

    @site.get("/")
    def funnel() -> str:
        with clint.crm.lock:
            origins = [_origin(clint, origin) for origin in clint.crm.origins.values()]
        entries = [
            {"entry": entry, "result": RESULT_NAMES[entry.result], "integration": _name(clint, entry.integration)}
            for entry in reversed(clint.requests[-SHOWN_ENTRIES:])
        ]
        return render_template("clint.html", origins=origins, entries=entries)

    return site


def _origin(clint: ClintAccount, origin: Origin) -> dict[str, Any]:
    deals = [deal for deal in clint.crm.deals.values() if deal.origin_id == origin.id]
    newest_first = sorted(deals, key=lambda deal: deal.updated_at, reverse=True)
    return {"name": origin.name, "columns": [_column(clint, stage, newest_first) for stage in origin.stages]}


def _column(clint: ClintAccount, stage: Stage, deals: list[Deal]) -> dict[str, Any]:
    own = [deal for deal in deals if deal.stage_id == stage.id]
    return {
        "label": stage.label,
        "count": len(own),
        "total": brl(sum(deal.value or 0 for deal in own)),
        "deals": [_card(clint, deal) for deal in own[:SHOWN_DEALS]],
    }


def _card(clint: ClintAccount, deal: Deal) -> dict[str, Any]:
    contact = clint.crm.contacts[deal.contact_id]
    return {
        "name": contact.name or contact.email or contact.phone,
        "title": deal.title,
        "value": None if deal.value is None else brl(deal.value),
        "reach": " · ".join(part for part in (contact.email, contact.phone) if part),
        "status": deal.status,
        "status_name": STATUS_NAMES[deal.status],
        "fields": list(deal.fields.items())[:SHOWN_FIELDS],
    }


def _name(clint: ClintAccount, uuid: str) -> str:
    integration = clint.receiver.integrations.get(uuid)
    return integration.name if integration else uuid


def control_blueprint(clint: ClintAccount) -> Blueprint:
    """Return the routes under `/_sim/` by which tests of other processes control the account."""
    control = Blueprint("control", __name__, url_prefix="/_sim")

    def state() -> dict[str, Any]:
        return {
            "contacts": len(clint.crm.contacts),
            "deals": len(clint.crm.deals),
            "requests": len(clint.requests),
            "faults": clint.faults.state(),
        }

    def history() -> dict[str, Any]:
        entries = clint.history.entries(request.args.get("after", 0, type=int), request.args.get("limit", type=int))
        return {"data": [asdict(entry) for entry in entries]}

    def integrations() -> dict[str, Any]:
        return {"data": [{**vars(one), "path": one.path} for one in clint.receiver.integrations.values()]}

    def add_integration() -> dict[str, Any]:
        integration = clint.has_integration(**request_json())
        return {"uuid": integration.uuid, "path": integration.path}

    def done(change: Callable[..., None]) -> Callable[[], dict[str, Any]]:
        def view() -> dict[str, Any]:
            change(**request_json())
            return request_json()

        return view

    routes = {
        "GET /state": state,
        "GET /history": history,
        "GET /deals": lambda: {"data": clint.deals},
        "GET /integrations": integrations,
        "POST /integrations": add_integration,
        "POST /origins": lambda: {"id": clint.has_origin(**request_json()).id},
        "POST /removed": done(clint.removed),
        "POST /restored": done(clint.restored),
        "POST /forget": done(clint.forget),
    }
    add_routes(control, routes)
    return control
