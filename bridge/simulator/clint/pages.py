"""The page of the simulated Clint: the funnel as columns of deals, newest first, and the last of the history."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, render_template, request

from bridge.simulator.clint.account import KEY_FIELD, ClintAccount
from bridge.simulator.clint.crm import Body, local_phone
from bridge.simulator.pages import TEMPLATES, Routes, add_routes, brl, request_json

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
WRITERS = {"api": "API", "person": "uma pessoa"}
WRITTEN = {"created": "criou", "changed": "alterou", "removed": "removeu"}
STATUS_NAMES = {"OPEN": "Aberto", "WON": "Ganho", "LOST": "Perdido"}


def page_blueprint(clint: ClintAccount) -> Blueprint:
    site = Blueprint("page", __name__, template_folder=str(TEMPLATES))

    def funnel() -> str:
        newest_first = sorted(clint.crm.deals.values(), key=lambda deal: str(deal["updated_at"]), reverse=True)
        origins = [
            {"name": origin["name"], "columns": [_column(stage, newest_first) for stage in origin["stages"]]}
            for origin in clint.crm.known_origins().values()
        ]
        names = {uuid: integration.name for uuid, integration in clint.receiver.integrations.items()}
        entries = [
            {
                "entry": entry,
                "result": RESULT_NAMES[entry.result],
                "integration": names.get(entry.integration, entry.integration),
            }
            for entry in reversed(clint.receiver.history[-SHOWN_ENTRIES:])
        ]
        return render_template("clint.html", origins=origins, entries=entries, writes=_last_writes(clint))

    add_routes(site, {"GET /": funnel}, clint.crm.lock)
    return site


def _column(stage: Body, deals: list[Body]) -> Body:
    own = [deal for deal in deals if deal["stage_id"] == stage["id"]]
    return {
        "label": stage["label"],
        "count": len(own),
        "total": brl(sum(deal["value"] or 0 for deal in own)),
        "deals": [_card(deal) for deal in own[:SHOWN_DEALS]],
    }


def _card(deal: Body) -> Body:
    contact = deal["contact"]
    reach = [part for part in (contact["email"], local_phone(contact["fullPhone"])) if part]
    return {
        "name": contact["name"] or next(iter(reach), "Sem nome"),
        "title": deal["title"],
        "value": None if deal["value"] is None else brl(deal["value"]),
        "reach": " · ".join(reach),
        "status": deal["status"],
        "status_name": STATUS_NAMES[deal["status"]],
        "fields": _shown_fields(deal["fields"]),
    }


def _shown_fields(fields: Body) -> list[tuple[str, object]]:
    """Return some fields, the charge's key before the others."""
    return sorted(fields.items(), key=lambda field: field[0] != KEY_FIELD)[:SHOWN_FIELDS]


def _last_writes(clint: ClintAccount) -> list[Body]:
    """Return what the API and people wrote last, newest first; webhooks stand in the history."""
    writes = [write for write in clint.crm.writes.all if write.by in WRITERS][-SHOWN_ENTRIES:]
    return [
        {"write": write, "by": WRITERS[write.by], "what": WRITTEN[write.what], "status": STATUS_NAMES[write.status]}
        for write in reversed(writes)
    ]


def control_blueprint(clint: ClintAccount) -> Blueprint:
    """Return the routes under `/_sim/` by which tests of other processes control the account."""
    control = Blueprint("control", __name__, url_prefix="/_sim")

    def state() -> Body:
        return {
            "contacts": len(clint.crm.contacts),
            "deals": len(clint.crm.deals),
            "requests": len(clint.receiver.history),
            "faults": clint.faults.state(),
        }

    def history() -> Body:
        after, limit = request.args.get("after", 0, type=int), request.args.get("limit", type=int)
        entries = [entry for entry in clint.receiver.history if entry.sequence > after]
        return {"data": [asdict(entry) for entry in entries[:limit]]}

    def integrations() -> Body:
        return {"data": [{**vars(one), "path": one.path} for one in clint.receiver.integrations.values()]}

    def add_integration() -> Body:
        integration = clint.has_integration(**request_json())
        return {"uuid": integration.uuid, "path": integration.path}

    def remove(is_removed: bool) -> Body:
        clint.receiver.integrations[request_json()["uuid"]].removed = is_removed
        return request_json()

    def forget() -> Body:
        clint.forget()
        return {}

    routes: Routes = {
        "GET /state": state,
        "GET /history": history,
        "GET /deals": lambda: {"data": clint.deals},
        "GET /integrations": integrations,
        "POST /integrations": add_integration,
        "POST /origins": lambda: {"id": clint.crm.add_origin(**request_json())["id"]},
        "POST /removed": lambda: remove(True),
        "POST /restored": lambda: remove(False),
        "POST /forget": forget,
    }
    add_routes(control, routes)
    return control
