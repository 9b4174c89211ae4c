"""The webhook of an integration: maps the keys of a flat body, finds the contact, writes the deal.

A body that can be read is answered with 200; a failure is in the history only, as in Clint.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from itertools import count

from flask import Flask, Response, g, request

from bridge.simulator.clint.crm import Body, Crm
from bridge.simulator.pages import add_routes

PATH = "/endpoints/integration/webhook/"
MODES = frozenset({"create", "update", "create_or_update"})
KEPT_HEADERS = ("content-type", "idempotency-key", "user-agent", "x-request-id")
WORDS = re.compile(r"[^a-z0-9]+")
PHONE_PARTS = ("fone", "phone", "celular", "whatsapp", "mobile")
GUESSES = {
    "contact.name": frozenset({"nome", "name"}),
    "deal.title": frozenset({"titulo", "título", "title"}),
    "deal.value": frozenset({"valor", "value"}),
}
OWN = frozenset({"contact.email", "contact.phone", *GUESSES})
"""What contacts and deals have beside their fields."""


@dataclass
class Integration:
    """A webhook's URL with its settings in Clint."""

    uuid: str
    name: str
    origin_id: str
    stage_id: str
    status: str = "OPEN"
    mode: str = "create_or_update"
    mapping: dict[str, str] | None = None
    """Key to contact.name, contact.email, contact.phone, deal.title, deal.value, contact.x or deal.x; none: a guess."""
    removed: bool = False

    @property
    def path(self) -> str:
        return PATH + self.uuid


@dataclass
class Entry:
    """A request in the history."""

    sequence: int
    integration: str
    started_ms: float
    headers: dict[str, str]
    body: Body
    finished_ms: float | None = None
    status: int | None = None
    """None while it is being answered, or when the connection was cut."""
    result: str = "pending"
    """created, updated, failed (why says it), unreadable, unknown (no such integration), fault or dropped."""
    why: str | None = None
    contact_id: str | None = None
    deal_id: str | None = None
    stage_before: str | None = None
    """The label of the stage that the deal left; None for a new deal."""
    stage: str | None = None
    deal_status: str | None = None
    notes: list[str] = field(default_factory=list)


def guess(key: str) -> str:
    """Guess the field of a key, as an operator would map it in Clint.

    >>> guess("telefone"), guess("contact_name"), guess("forma_de_pagamento")
    ('contact.phone', 'contact.name', 'deal.forma_de_pagamento')
    """
    low = key.lower()
    if "mail" in low:
        return "contact.email"
    if any(part in low for part in PHONE_PARTS):
        return "contact.phone"
    words = set(WORDS.split(low)) | {low}
    return next((target for target, names in GUESSES.items() if words & names), f"deal.{key}")


class Receiver:
    def __init__(self, crm: Crm) -> None:
        self._crm = crm
        self._numbers = count(1)
        self.integrations: dict[str, Integration] = {}
        self.history: list[Entry] = []
        """Every request, oldest first."""

    def install(self, app: Flask) -> None:
        """Add the webhooks; they record requests before the faults apply, and their end afterwards."""

        @app.before_request
        def begin() -> None:
            if request.path.startswith(PATH):
                kept = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
                g.body = _read()
                uuid, now_ms = request.path.removeprefix(PATH), time.time() * 1000
                with self._crm.lock:
                    g.entry = Entry(next(self._numbers), uuid, now_ms, kept, g.body or {})
                    self.history.append(g.entry)

        @app.after_request
        def end(response: Response) -> Response:
            entry: Entry | None = g.get("entry")
            if entry is not None:
                fault = g.get("fault")
                dropped = fault is not None and fault.drop
                if entry.result == "pending":
                    entry.result = "dropped" if dropped else "fault"
                entry.status = None if dropped else response.status_code
                entry.finished_ms = time.time() * 1000
            return response

        add_routes(app, {f"POST {PATH}<uuid>": self._receive}, self._crm.lock)

    def _receive(self, uuid: str) -> tuple[Body, int]:
        entry: Entry = g.entry
        integration = self.integrations.get(uuid)
        if integration is None or integration.removed:
            entry.result, entry.why = "unknown", "integração não encontrada"
            return {"error": "integration not found"}, 404
        if g.body is None:
            entry.result, entry.why = "unreadable", "o corpo não é um objeto"
            return {"error": "invalid body"}, 400
        self._write(integration, g.body, entry)
        return {"success": True}, 200

    def _write(self, integration: Integration, body: Body, entry: Entry) -> None:
        """Write contact and deal, or put the reason into the entry."""
        own, contact_fields, deal_fields = _mapped(integration, body, entry)
        email, phone = own.get("contact.email"), own.get("contact.phone")
        if not email and not phone:
            entry.result, entry.why = "failed", "sem e-mail e sem telefone"
            return
        crm = self._crm
        contact = crm.find_contact(email, phone)
        deal = crm.find_deal(integration.origin_id, contact["id"]) if contact else None
        if deal is None and integration.mode == "update":
            entry.result, entry.why = "failed", "não há negócio deste contato nesta origem"
            return
        contact = crm.keep_contact(email, phone, own.get("contact.name"), contact_fields)
        entry.result = "updated"
        if deal is None or integration.mode == "create":
            deal = crm.add_deal(integration.origin_id, contact, integration.stage_id)
            entry.result = "created"
        else:
            entry.stage_before = crm.stage_of(deal)
        deal["fields"].update(deal_fields)
        deal["title"] = own.get("deal.title", deal["title"])
        if "deal.value" in own:
            try:
                deal["value"] = float(own["deal.value"])
            except ValueError:
                entry.notes.append("valor: não é um número, ignorado")
        crm.move_deal(deal, integration.stage_id, integration.status)
        entry.contact_id, entry.deal_id = contact["id"], deal["id"]
        entry.stage, entry.deal_status = crm.stage_of(deal), deal["status"]


def _mapped(integration: Integration, body: Body, entry: Entry) -> tuple[dict[str, str], Body, Body]:
    """Return what contact and deal have of their own, and the fields of each."""
    own: dict[str, str] = {}
    contact_fields: Body = {}
    deal_fields: Body = {}
    for key, value in body.items():
        if isinstance(value, dict | list) or value is None:
            entry.notes.append(f"{key}: valor que não é texto, ignorado")
            continue
        target = guess(key) if integration.mapping is None else integration.mapping.get(key, "")
        group, _, name = target.partition(".")
        if target in OWN and target not in own:
            own[target] = str(value)
        elif target in OWN:
            deal_fields[key] = value
        elif target:
            (contact_fields if group == "contact" else deal_fields)[name] = value
    return own, contact_fields, deal_fields


def _read() -> Body | None:
    if request.mimetype in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return dict(request.form)
    try:
        body = json.loads(request.get_data())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
