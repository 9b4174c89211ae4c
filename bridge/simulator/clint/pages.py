"""The page of the simulated Clint: the funnel as columns of deals, newest first, and the last of the history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, render_template, request

from bridge.simulator.clint.account import ClintAccount
from bridge.simulator.clint.crm import Deal, Origin, Stage

TEMPLATES = Path(__file__).parent.parent / "templates"
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
    """Give the page."""
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


def brl(value: float) -> str:
    """Write an amount as people read it."""
    return "R$ " + f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


Answer = dict[str, Any]


def _told() -> Answer:
    body = request.get_json(silent=True)
    return body if isinstance(body, dict) else {}


def control_blueprint(clint: ClintAccount) -> Blueprint:
    """Give the routes of the knobs."""
    control = Blueprint("control", __name__, url_prefix="/_sim")

    @control.get("/state")
    def state() -> Answer:
        return {
            "contacts": len(clint.crm.contacts),
            "deals": len(clint.crm.deals),
            "requests": len(clint.requests),
            "faults": clint.faults.state(),
        }

    @control.get("/history")
    def history() -> Answer:
        after = request.args.get("after", 0, type=int)
        limit = request.args.get("limit", type=int)
        return {"data": [entry.as_json() for entry in clint.history.entries(after, limit)]}

    @control.get("/deals")
    def deals() -> Answer:
        return {"data": clint.deals}

    @control.get("/integrations")
    def integrations() -> Answer:
        return {"data": [{**vars(one), "path": one.path} for one in clint.receiver.integrations.values()]}

    @control.post("/integrations")
    def add_integration() -> Answer:
        integration = clint.has_integration(**_told())
        return {"uuid": integration.uuid, "path": integration.path}

    @control.post("/origins")
    def add_origin() -> Answer:
        return {"id": clint.has_origin(**_told()).id}

    @control.post("/removed")
    def removed() -> Answer:
        clint.removed(_told()["uuid"])
        return _told()

    @control.post("/restored")
    def restored() -> Answer:
        clint.restored(_told()["uuid"])
        return _told()

    @control.post("/forget")
    def forget() -> Answer:
        clint.forget()
        return {}

    return control
