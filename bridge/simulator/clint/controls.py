"""The routes under `/_sim/` for the API: its knobs, the account's fields and tokens, the person, the log of writes."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, request

from bridge.simulator.clint.account import ClintAccount
from bridge.simulator.clint.crm import Body
from bridge.simulator.pages import Routes, add_routes, request_json


def api_controls(clint: ClintAccount) -> Blueprint:
    control = Blueprint("api_controls", __name__, url_prefix="/_sim")
    crm, person = clint.crm, clint.person

    @control.errorhandler(ValueError)
    @control.errorhandler(KeyError)
    @control.errorhandler(TypeError)
    def refuse(error: Exception) -> tuple[Body, int]:
        return {"error": str(error)}, 400

    def turn() -> Body:
        clint.knobs.turn(**request_json())
        return asdict(clint.knobs)

    def tokens() -> Body:
        clint.tokens.clear()
        clint.tokens.update(request_json()["tokens"])
        return {"count": len(clint.tokens)}

    def add_field() -> Body:
        body = request_json()
        crm.add_field(body["group"], body["key"], body.get("type", "TEXT"), body.get("label", ""))
        return {"fields": crm.fields}

    def remove_field() -> Body:
        del crm.fields[request_json()["group"]][request_json()["key"]]
        return {"fields": crm.fields}

    def remove_origin() -> Body:
        clint.removes_origin(**request_json())
        return {"removed": sorted(crm.removed)}

    def writes() -> Body:
        deal_id, after = request.args.get("deal_id"), request.args.get("after", 0, type=int)
        found = crm.writes.all if deal_id is None else crm.writes.of(deal_id)
        return {"data": [asdict(write) for write in found if write.sequence > after]}

    def rest() -> Body:
        person.rests()
        return {}

    def follow() -> Body:
        person.follows(**request_json())
        return request_json()

    def delete() -> Body:
        person.deletes(**request_json())
        return request_json()

    def merge() -> Body:
        person.merges(**request_json())
        return request_json()

    routes: Routes = {
        "GET /knobs": lambda: asdict(clint.knobs),
        "POST /knobs": turn,
        "POST /tokens": tokens,
        "POST /fields": add_field,
        "DELETE /fields": remove_field,
        "POST /users": lambda: crm.add_user(**request_json()),
        "POST /removed-origins": remove_origin,
        "POST /person/moves": lambda: {"moved": person.moves(**request_json())},
        "POST /person/follows": follow,
        "POST /person/rests": rest,
        "POST /person/deletes": delete,
        "POST /person/merges": merge,
        "GET /writes": writes,
        "GET /count": lambda: clint.count(request.args["field"]),
        "GET /judged": lambda: {"data": clint.judged(request.args["field"])},
    }
    add_routes(control, routes, crm.lock)
    return control
