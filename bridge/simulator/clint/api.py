"""Version 1 of Clint's public API: what it lists, with filters and pages, and the paths of what it writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import zip_longest
from typing import Any

from flask import Blueprint, request

from bridge.simulator.clint.changes import Changes, Refused
from bridge.simulator.clint.crm import BRAZIL, GROUPS, Body, Crm, local_phone, moment
from bridge.simulator.clint.person import Person
from bridge.simulator.pages import Routes, add_routes

DEFAULT_LIMIT = 200
MOST = 1000
DAYS = ("created_at", "updated_at", "updated_stage_at", "won_at", "lost_at")


def api_blueprint(crm: Crm, tokens: set[str], person: Person) -> Blueprint:
    api = Blueprint("v1", __name__, url_prefix="/v1")
    changes = Changes(crm, person)

    @api.before_request
    def check() -> tuple[Body, int] | None:
        if request.headers.get("api-token") not in tokens:
            return {"error": "Unauthorized"}, 401
        if not crm.knobs.has_plan:
            return {"error": "Forbidden"}, 403
        return None

    @api.errorhandler(Refused)
    def refuse(refused: Refused) -> tuple[Body, int]:
        return {"error": refused.error}, refused.status

    def deal_of(id_: str) -> Body:
        deal = crm.deals.get(id_)
        if deal is None or deal["origin_id"] in crm.removed:
            raise Refused(404, "Not found")
        return deal

    def contact_of(id_: str) -> Body:
        return _known(crm.contacts, id_)

    def list_deals() -> Body:
        return _paged(_found_deals(crm, request.args), crm.deal_body)

    def create_deal() -> tuple[Body, int]:
        return {"id": changes.create_deal(_object())["id"]}, 201

    def update_deal(id_: str) -> Body:
        changes.update_deal(deal_of(id_), _object())
        return {"id": id_}

    def remove_deal(id_: str) -> tuple[str, int]:
        crm.remove_deal(deal_of(id_), "api")
        return "", 204

    def list_contacts() -> Body:
        shown = [one for one in reversed(crm.contacts.values()) if crm.is_listed(one)]
        return _paged([one for one in shown if _contact_matches(crm, one, request.args)], contact_body)

    def contact_body(contact: Body) -> Body:
        return {**contact, "fields": {crm.knobs.cut(key): value for key, value in contact["fields"].items()}}

    def create_contact() -> tuple[Body, int]:
        return {"id": changes.create_contact(_object())["id"]}, 201

    def update_contact(id_: str) -> Body:
        changes.update_contact(contact_of(id_), _object())
        return {"id": id_}

    def add_tags(id_: str) -> tuple[str, int]:
        changes.add_tags(contact_of(id_), request.get_json(silent=True))
        return "", 204

    def remove_tag(id_: str) -> tuple[str, int]:
        changes.remove_tag(contact_of(id_), _object())
        return "", 204

    def list_origins() -> Body:
        group = request.args.get("group_id")
        found = [one for one in crm.known_origins().values() if group in (None, (one["group"] or {}).get("id"))]
        return _paged(found, dict)

    def list_tags() -> Body:
        name = request.args.get("name")
        return _paged([tag for tag in crm.tags.values() if name in (None, tag["name"])], dict)

    routes: Routes = {
        "GET /deals": list_deals,
        "POST /deals": create_deal,
        "GET /deals/<id_>": lambda id_: _one(crm.deal_body(deal_of(id_))),
        "POST /deals/<id_>": update_deal,
        "DELETE /deals/<id_>": remove_deal,
        "GET /contacts": list_contacts,
        "POST /contacts": create_contact,
        "GET /contacts/<id_>": lambda id_: _one(contact_body(contact_of(id_))),
        "POST /contacts/<id_>": update_contact,
        "POST /contacts/<id_>/tags": add_tags,
        "DELETE /contacts/<id_>/tags": remove_tag,
        "GET /origins": list_origins,
        "GET /origins/<id_>": lambda id_: _one(_known(crm.known_origins(), id_)),
        "GET /tags": list_tags,
        "GET /tags/<id_>": lambda id_: _one(_known(crm.tags, id_)),
        "GET /groups": lambda: _paged(list(crm.groups.values()), dict),
        "GET /groups/<id_>": lambda id_: _one(_known(crm.groups, id_)),
        "GET /users": lambda: _paged(list(crm.users.values()), dict),
        "GET /users/<id_>": lambda id_: _one(_known(crm.users, id_)),
        "GET /lost-status": lambda: _paged(list(crm.lost_statuses.values()), dict),
        "GET /lost-status/<id_>": lambda id_: _one(_known(crm.lost_statuses, id_)),
        "GET /account/fields": lambda: {"data": _account_fields(crm)},
    }
    add_routes(api, routes, crm.lock)
    return api


def _object() -> Body:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Refused(400, "The body must be an object")
    return body


def _known(found: Mapping[str, Body], id_: str) -> Body:
    if id_ not in found:
        raise Refused(404, "Not found")
    return found[id_]


def _one(body: Body) -> Body:
    return {"status": 200, "data": body}


def _account_fields(crm: Crm) -> list[Body]:
    groups = {group: {"default": "Padrão"} for group in GROUPS}
    cut = {group: {crm.knobs.cut(key): one for key, one in crm.fields[group].items()} for group in GROUPS}
    if crm.knobs.fields_shape == "keyed":
        return [{"groups": groups, "fields": cut}]
    # As the document reads: a part has one field of each group, and the label is all that names it.
    parts = zip_longest(*(cut[group].items() for group in GROUPS))
    return [
        {
            "groups": groups,
            "fields": {
                group: {**one[1], "label": one[0]} for group, one in zip(GROUPS, part, strict=True) if one is not None
            },
        }
        for part in parts
    ]


def _found_deals(crm: Crm, asked: Mapping[str, str]) -> list[Body]:
    """Return the deals of a list, newest first."""
    contact_id = asked.get("contact_id")
    candidates = crm.deals.values() if contact_id is None else crm.deals_of(contact_id)
    shown = (crm.as_listed(deal) for deal in reversed(candidates) if deal["origin_id"] not in crm.removed)
    return [deal for deal in shown if deal is not None and _deal_matches(crm, deal, asked)]


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


def _deal_matches(crm: Crm, deal: Body, asked: Mapping[str, str]) -> bool:
    ids = {"origin_id": deal["origin_id"], "stage_id": deal["stage_id"], "contact_id": deal["contact"]["id"]}
    if asked.get("status", "OPEN") != deal["status"] or not _is_person(deal["contact"], asked):
        return False
    if any(asked.get(name, value) != value for name, value in ids.items()):
        return False
    user_id = (deal["user"] or {}).get("id")
    user_email = crm.users[user_id]["email"] if user_id else None
    if asked.get("user_id", user_id) != user_id or asked.get("user_email", user_email) != user_email:
        return False
    for name in DAYS:
        start, end = asked.get(f"{name}_start"), asked.get(f"{name}_end")
        if start and (deal[name] is None or deal[name] < _when(start)):
            return False
        if end and (deal[name] is None or deal[name] > _when(end)):
            return False
    return _has_tags(deal["contact"], asked) and _has_fields(crm, deal["fields"], asked)


def _contact_matches(crm: Crm, contact: Body, asked: Mapping[str, str]) -> bool:
    if "name" in asked and asked["name"].lower() not in (contact["name"] or "").lower():
        return False
    if "ddi" in asked and asked["ddi"].strip("+ ") != BRAZIL:
        return False
    if "origin_id" in asked and crm.find_deal(asked["origin_id"], contact["id"]) is None:
        return False
    return _is_person(contact, asked) and _has_tags(contact, asked) and _has_fields(crm, contact["fields"], asked)


def _is_person(contact: Body, asked: Mapping[str, str]) -> bool:
    if "email" in asked and asked["email"].lower() != (contact["email"] or "").lower():
        return False
    return "phone" not in asked or local_phone(contact["fullPhone"]).endswith(local_phone(asked["phone"]) or "-")


def _has_tags(contact: Body, asked: Mapping[str, str]) -> bool:
    own = {"tag_ids": {tag["id"] for tag in contact["tags"]}, "tag_names": {tag["name"] for tag in contact["tags"]}}
    return all(tags & set(asked[name].split(",")) for name, tags in own.items() if name in asked)


def _has_fields(crm: Crm, fields: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    cut = crm.knobs.cut
    wanted = {cut(name[7:-1]): value for name, value in asked.items() if name.startswith("fields[") and name[-1] == "]"}
    own = {cut(name): value for name, value in fields.items()} if wanted else {}
    return all(str(own.get(name)) == value for name, value in wanted.items())


def _when(text: str) -> str:
    # An unescaped `+` of an offset arrives as a space.
    return moment(datetime.fromisoformat(text.replace(" ", "+")))
