"""The read-only part of Clint's public API: deals, contacts and origins, with their filters and pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, request

from bridge.simulator.clint.crm import BRAZIL, Body, Crm, local_phone, moment
from bridge.simulator.pages import Routes, add_routes

DEFAULT_LIMIT = 200
MOST = 1000
DAYS = ("created_at", "updated_at", "updated_stage_at", "won_at", "lost_at")


def api_blueprint(crm: Crm, tokens: set[str]) -> Blueprint:
    api = Blueprint("v1", __name__, url_prefix="/v1")

    @api.before_request
    def check() -> tuple[Body, int] | None:
        if request.headers.get("api-token") not in tokens:
            return {"error": "Unauthorized"}, 401
        return None

    def listing(found: dict[str, Body], matches: Callable[[Body], bool], body: Callable[[Body], Body]) -> Body:
        return _paged([one for one in reversed(found.values()) if matches(one)], body)

    def single(found: dict[str, Body], id_: str, body: Callable[[Body], Body]) -> tuple[Body, int]:
        if id_ not in found:
            return {"error": "Not found"}, 404
        return {"status": 200, "data": body(found[id_])}, 200

    routes: Routes = {
        "GET /deals": lambda: listing(crm.deals, lambda one: _deal_matches(one, request.args), crm.deal_body),
        "GET /deals/<id_>": lambda id_: single(crm.deals, id_, crm.deal_body),
        "GET /contacts": lambda: listing(crm.contacts, lambda one: _contact_matches(crm, one, request.args), dict),
        "GET /contacts/<id_>": lambda id_: single(crm.contacts, id_, dict),
        "GET /origins": lambda: _paged(list(crm.origins.values()), dict),
        "GET /origins/<id_>": lambda id_: single(crm.origins, id_, dict),
    }
    add_routes(api, routes, crm.lock)
    return api


def _paged(found: list[Body], body: Callable[[Body], Body]) -> Body:
    limit = min(MOST, max(1, request.args.get("limit", DEFAULT_LIMIT, type=int)))
    page = max(1, request.args.get("page", 1, type=int))
    offset = max(0, request.args.get("offset", (page - 1) * limit, type=int))
    return {
        "status": 200,
        "totalCount": len(found),
        "page": offset // limit + 1,
        "totalPages": max(1, math.ceil(len(found) / limit)),
        "hasNext": offset + limit < len(found),
        "hasPrevious": offset > 0,
        "data": [body(one) for one in found[offset : offset + limit]],
    }


def _deal_matches(deal: Body, asked: Mapping[str, str]) -> bool:
    ids = {"origin_id": deal["origin_id"], "stage_id": deal["stage_id"], "contact_id": deal["contact"]["id"]}
    if asked.get("status", "OPEN") != deal["status"] or not _is_person(deal["contact"], asked):
        return False
    if any(asked.get(name, value) != value for name, value in ids.items()):
        return False
    for name in DAYS:
        start, end = asked.get(f"{name}_start"), asked.get(f"{name}_end")
        if start and (deal[name] is None or deal[name] < _when(start)):
            return False
        if end and (deal[name] is None or deal[name] > _when(end)):
            return False
    return _has_fields(deal["fields"], asked)


def _contact_matches(crm: Crm, contact: Body, asked: Mapping[str, str]) -> bool:
    if "name" in asked and asked["name"].lower() not in (contact["name"] or "").lower():
        return False
    if "ddi" in asked and asked["ddi"].strip("+ ") != BRAZIL:
        return False
    if "origin_id" in asked and crm.find_deal(asked["origin_id"], contact["id"]) is None:
        return False
    return _is_person(contact, asked) and _has_fields(contact["fields"], asked)


def _is_person(contact: Body, asked: Mapping[str, str]) -> bool:
    if "email" in asked and asked["email"].lower() != (contact["email"] or "").lower():
        return False
    return "phone" not in asked or local_phone(contact["fullPhone"]).endswith(local_phone(asked["phone"]) or "-")


def _has_fields(fields: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    wanted = {name[7:-1]: value for name, value in asked.items() if name.startswith("fields[") and name.endswith("]")}
    return all(str(fields.get(name)) == value for name, value in wanted.items())


def _when(text: str) -> str:
    # An unescaped `+` of an offset arrives as a space.
    return moment(datetime.fromisoformat(text.replace(" ", "+")))
