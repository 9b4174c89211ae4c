"""The knobs of the simulated Clint under `/_sim/`, in JSON, for tests whose simulator is another process."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from .account import ClintAccount

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
