"""The read-only part of Clint's public API: deals, contacts and origins, with their filters and pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from flask import Blueprint, request

from bridge.simulator.clint.crm import BRAZIL, Contact, Crm, Deal, Origin, local_phone
from bridge.simulator.pages import Routes, add_routes

DEFAULT_LIMIT = 200
MOST = 1000
DAYS = ("created_at", "updated_at", "updated_stage_at", "won_at", "lost_at")
Answer = dict[str, Any]
T = TypeVar("T")


def moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="microseconds")


def deal_body(crm: Crm, deal: Deal) -> Answer:
    stage = crm.stage_of(deal).label
    more = {"updated_at": moment(deal.updated_at), "stage": stage, "value": deal.value, "currency": "BRL"}
    return {**documented_body(crm, deal), **more}


def documented_body(crm: Crm, deal: Deal) -> Answer:
    """Return a deal as documented: without value, currency, stage and updated_at, which only real answers have."""
    contact = crm.contacts[deal.contact_id]
    return {
        "id": deal.id,
        "origin_id": deal.origin_id,
        "user": None,
        "contact": {
            "id": contact.id,
            "name": contact.name,
            "email": contact.email,
            "phone": full_phone(contact),
        },
        "created_at": moment(deal.created_at),
        "stage_id": deal.stage_id,
        "updated_stage_at": moment(deal.updated_stage_at),
        "status": deal.status,
        "won_at": moment(deal.won_at),
        "won_by": None,
        "lost_status_id": None,
        "lost_at": moment(deal.lost_at),
        "lost_by": None,
        "fields": {**({"titulo": deal.title} if deal.title is not None else {}), **deal.fields},
    }


def contact_body(contact: Contact) -> Answer:
    return {
        "id": contact.id,
        "created_at": moment(contact.created_at),
        "updated_at": moment(contact.updated_at),
        "name": contact.name,
        "email": contact.email,
        "organization": None,
        "instagram": None,
        "tags": [],
        "fields": dict(contact.fields),
        "fullPhone": full_phone(contact),
    }


def origin_body(origin: Origin) -> Answer:
    return {
        "id": origin.id,
        "name": origin.name,
        "group": None,
        "stages": [vars(stage) for stage in origin.stages],
        "archived_at": None,
        "archived_by": None,
    }


def full_phone(contact: Contact) -> str | None:
    """Return a contact's phone in E.164."""
    return f"+{BRAZIL}{contact.phone}" if contact.phone else None


def api_blueprint(crm: Crm, tokens: set[str]) -> Blueprint:
    api = Blueprint("v1", __name__, url_prefix="/v1")

    @api.before_request
    def check() -> tuple[Answer, int] | None:
        if request.headers.get("api-token") not in tokens:
            return {"error": "Unauthorized"}, 401
        return None

    def listing(found: dict[str, T], matches: Callable[[T], bool], body: Callable[[T], Answer]) -> Callable[[], Answer]:
        def view() -> Answer:
            with crm.lock:
                return _paged([one for one in reversed(found.values()) if matches(one)], body)

        return view

    def single(found: dict[str, T], body: Callable[[T], Answer]) -> Callable[[str], tuple[Answer, int]]:
        def view(id_: str) -> tuple[Answer, int]:
            with crm.lock:
                if id_ not in found:
                    return {"error": "Not found"}, 404
                return {"status": 200, "data": body(found[id_])}, 200

        return view

    def deal(one: Deal) -> Answer:
        return documented_body(crm, one)

    routes: Routes = {
        "GET /deals": listing(crm.deals, lambda one: _deal_matches(crm, one, request.args), deal),
        "GET /deals/<id_>": single(crm.deals, deal),
        "GET /contacts": listing(crm.contacts, lambda one: _contact_matches(crm, one, request.args), contact_body),
        "GET /contacts/<id_>": single(crm.contacts, contact_body),
        "GET /origins": lambda: _paged(list(crm.origins.values()), origin_body),
        "GET /origins/<id_>": single(crm.origins, origin_body),
    }
    add_routes(api, routes)
    return api


def _paged(found: list[T], body: Callable[[T], Answer]) -> Answer:
    limit = min(MOST, max(1, request.args.get("limit", DEFAULT_LIMIT, type=int)))
    page = max(1, request.args.get("page", 1, type=int))
    offset = max(0, request.args.get("offset", (page - 1) * limit, type=int))
    page = offset // limit + 1
    return {
        "status": 200,
        "totalCount": len(found),
        "page": page,
        "totalPages": max(1, math.ceil(len(found) / limit)),
        "hasNext": offset + limit < len(found),
        "hasPrevious": offset > 0,
        "data": [body(one) for one in found[offset : offset + limit]],
    }


def _deal_matches(crm: Crm, deal: Deal, asked: Mapping[str, str]) -> bool:
    contact = crm.contacts[deal.contact_id]
    if asked.get("status", "OPEN") != deal.status or not _is_person(contact, asked):
        return False
    if any(name in asked and asked[name] != getattr(deal, name) for name in ("origin_id", "stage_id", "contact_id")):
        return False
    for name in DAYS:
        value = getattr(deal, name)
        start, end = asked.get(f"{name}_start"), asked.get(f"{name}_end")
        if start and (value is None or value < _when(start)):
            return False
        if end and (value is None or value > _when(end)):
            return False
    return _has_fields(deal.fields, asked)


def _contact_matches(crm: Crm, contact: Contact, asked: Mapping[str, str]) -> bool:
    if "name" in asked and asked["name"].lower() not in (contact.name or "").lower():
        return False
    if "ddi" in asked and asked["ddi"].strip("+ ") != BRAZIL:
        return False
    if "origin_id" in asked and crm.find_deal(asked["origin_id"], contact.id) is None:
        return False
    return _is_person(contact, asked) and _has_fields(contact.fields, asked)


def _is_person(contact: Contact, asked: Mapping[str, str]) -> bool:
    if "email" in asked and asked["email"].lower() != (contact.email or "").lower():
        return False
    return "phone" not in asked or (contact.phone or "").endswith(local_phone(asked["phone"]) or "-")


def _has_fields(fields: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    wanted = {name[7:-1]: value for name, value in asked.items() if name.startswith("fields[") and name.endswith("]")}
    return all(str(fields.get(name)) == value for name, value in wanted.items())


def _when(text: str) -> datetime:
    # An unescaped `+` of an offset arrives as a space.
    return datetime.fromisoformat(text.replace(" ", "+")).astimezone()
