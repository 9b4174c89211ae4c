"""The webhook of an integration: maps the keys of a flat body, finds the contact, writes the deal.

A body that can be read is answered with 200; a failure is in the history only, as in Clint.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, Response, g, request

from bridge.simulator.clint.crm import Crm, Deal, Entry, History

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
class _Mapped:
    email: str | None = None
    phone: str | None = None
    name: str | None = None
    title: str | None = None
    value: str | None = None
    contact_fields: dict[str, Any] = field(default_factory=dict)
    deal_fields: dict[str, Any] = field(default_factory=dict)

    def take(self, target: str, key: str, value: object) -> None:
        group, _, name = target.partition(".")
        own = {"contact": {"email", "phone", "name"}, "deal": {"title", "value"}}.get(group, set())
        if name not in own:
            (self.contact_fields if group == "contact" else self.deal_fields)[name] = value
        elif getattr(self, name) is None:
            setattr(self, name, str(value))
        else:
            self.deal_fields[key] = value


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
    def __init__(self, crm: Crm, history: History) -> None:
        self._crm = crm
        self._history = history
        self.integrations: dict[str, Integration] = {}

    def install(self, app: Flask) -> None:
        """Record requests before the faults apply, and their end afterwards."""

        @app.before_request
        def begin() -> None:
            if request.path.startswith(PATH):
                kept = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
                g.body = _read()
                g.entry = self._history.begin(request.path.removeprefix(PATH), kept, g.body or {})

        @app.after_request
        def end(response: Response) -> Response:
            entry: Entry | None = g.get("entry")
            if entry is not None:
                fault = g.get("fault")
                dropped = fault is not None and fault.drop
                if entry.result == "pending":
                    entry.result = "dropped" if dropped else "fault"
                self._history.end(entry, None if dropped else response.status_code)
            return response

    def blueprint(self) -> Blueprint:
        webhook = Blueprint("webhook", __name__)

        @webhook.post(f"{PATH}<uuid>")
        def receive(uuid: str) -> tuple[dict[str, Any], int]:
            entry: Entry = g.entry
            integration = self.integrations.get(uuid)
            if integration is None or integration.removed:
                entry.result, entry.why = "unknown", "integração não encontrada"
                return {"error": "integration not found"}, 404
            if g.body is None:
                entry.result, entry.why = "unreadable", "o corpo não é um objeto"
                return {"error": "invalid body"}, 400
            self.apply(integration, g.body, entry)
            return {"success": True}, 200

        return webhook

    def apply(self, integration: Integration, body: dict[str, Any], entry: Entry) -> None:
        """Write contact and deal, or put the reason into the entry."""
        mapped = self._map(integration, body, entry)
        if not mapped.email and not mapped.phone:
            entry.result, entry.why = "failed", "sem e-mail e sem telefone"
            return
        crm = self._crm
        with crm.lock:
            contact = crm.find_contact(mapped.email, mapped.phone)
            deal = crm.find_deal(integration.origin_id, contact.id) if contact else None
            if deal is None and integration.mode == "update":
                entry.result, entry.why = "failed", "não há negócio deste contato nesta origem"
                return
            contact = crm.keep_contact(mapped.email, mapped.phone, mapped.name, mapped.contact_fields)
            entry.result = "updated"
            if deal is None or integration.mode == "create":
                deal = crm.add_deal(integration.origin_id, contact.id, integration.stage_id)
                entry.result = "created"
            else:
                entry.stage_before = crm.stage_of(deal).label
            _fill(deal, mapped, entry)
            crm.move_deal(deal, integration.stage_id, integration.status)
            entry.contact_id, entry.deal_id = contact.id, deal.id
            entry.stage, entry.deal_status = crm.stage_of(deal).label, deal.status

    @staticmethod
    def _map(integration: Integration, body: dict[str, Any], entry: Entry) -> _Mapped:
        mapped = _Mapped()
        for key, value in body.items():
            if isinstance(value, dict | list) or value is None:
                entry.notes.append(f"{key}: valor que não é texto, ignorado")
                continue
            target = guess(key) if integration.mapping is None else integration.mapping.get(key)
            if target is not None:
                mapped.take(target, key, value)
        return mapped


def _fill(deal: Deal, mapped: _Mapped, entry: Entry) -> None:
    deal.fields.update(mapped.deal_fields)
    if mapped.title is not None:
        deal.title = mapped.title
    if mapped.value is not None:
        try:
            deal.value = float(mapped.value)
        except ValueError:
            entry.notes.append("valor: não é um número, ignorado")


def _read() -> dict[str, Any] | None:
    if request.mimetype in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return dict(request.form)
    try:
        body = json.loads(request.get_data())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
