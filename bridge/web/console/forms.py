"""A POST keeps a form or a secret for the next page and redirects to it: a reload or the browser's back repeats nothing
and loses no form.

The form is a refused one, with its faults; the secret is a text that a page shows for some minutes, such as a new
link. `journal.drafts` keeps both, encrypted with a key of the session key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Response, current_app, g, redirect, request, url_for
from werkzeug.datastructures import MultiDict

from bridge.crypto import Keyring
from bridge.errors import BridgeError, DecryptionFailed
from bridge.journal import drafts
from bridge.messages import Message
from bridge.web.console import layout
from bridge.web.console.access import person, runtime

NUMBER = "form"
"""The part of an address that names the kept form or secret."""
SHOWN_MS = 15 * 60_000
"""How long a page shows a secret that is shown once."""
_COLUMN = "console.form"

Text = str | Message | BridgeError


@dataclass(frozen=True, slots=True)
class Sent:
    """The kept form of this request's page; empty for a page that a person opened without one."""

    fields: MultiDict[str, str] = field(default_factory=MultiDict)
    problem: str = ""
    """What is wrong with the form as a whole; `layout.said` makes it a text, as it does the faults."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with fields, by the ids of their controls."""
    more: Mapping[str, Any] = field(default_factory=dict)
    at_ms: int = 0

    @property
    def status(self) -> int:
        """The status of a page that shows a form again."""
        return 422 if self.problem or self.faults else 200


def send_back(
    endpoint: str,
    *,
    problem: Text = "",
    faults: Mapping[str, Text] | None = None,
    without: Collection[str] = (),
    more: Mapping[str, Any] | None = None,
    **values: Any,
) -> Response:
    """Keep the form of this request but for the fields `without`, and go to its page, which says what is wrong."""
    left_out = {"csrf_token", *without}
    fields = [one for one in request.form.items(multi=True) if one[0] not in left_out]
    wrong = {name: _kept_text(fault) for name, fault in (faults or {}).items()}
    what = {"fields": fields, "problem": _kept_text(problem), "faults": wrong, "more": dict(more or {})}
    return _go(endpoint, what, {**request.args.to_dict(), **values})


def show_once(endpoint: str, more: Mapping[str, Any], **values: Any) -> Response:
    """Keep what a page shows for some minutes, and go to that page."""
    return _go(endpoint, {"more": dict(more)}, values)


def sent() -> Sent:
    """Return what was kept for this page and this person."""
    if "sent" not in g:
        g.sent = _read()
    found: Sent = g.sent
    return found


def shown_once() -> Mapping[str, Any] | None:
    """Return what this page shows for some minutes; None where that is over."""
    found = sent()
    return found.more if found.more and layout.now_ms() - found.at_ms < SHOWN_MS else None


def _go(endpoint: str, what: Mapping[str, Any], values: dict[str, Any]) -> Response:
    values.pop(NUMBER, None)
    about = url_for(endpoint, **values).partition("?")[0]
    fields = [("sealed", _keyring().encrypt(json.dumps(what), _COLUMN))]
    with runtime.journal.database.write() as connection:
        number = drafts.keep(connection, about, _owner(), fields, layout.now_ms())
    return redirect(url_for(endpoint, **{**values, NUMBER: number}), 303)  # type: ignore[return-value]


def _read() -> Sent:
    number = layout.number(request.args.get(NUMBER)) if request.method in {"GET", "HEAD"} else None
    if number is None:
        return Sent()
    with runtime.journal.database.read() as connection:
        draft = drafts.find(connection, number, request.path, _owner(), layout.now_ms())
    if draft is None:
        return Sent()
    try:
        kept = json.loads(_keyring().decrypt(dict(draft.fields)["sealed"], _COLUMN))
    except (DecryptionFailed, ValueError):  # of another session key
        return Sent()
    fields: MultiDict[str, str] = MultiDict([(name, text) for name, text in kept.get("fields", ())])
    return Sent(fields, kept.get("problem", ""), kept.get("faults", {}), kept["more"], draft.created_ms)


def _kept_text(text: Text) -> str:
    made = text.message() if isinstance(text, BridgeError) else text
    return made.to_json() if isinstance(made, Message) else made


def _owner() -> str:
    return f"{person.key} {person.name}"


def _keyring() -> Keyring:
    keyring: Keyring | None = current_app.extensions.get("bridge.forms")
    if keyring is None:
        key = hashlib.sha256(b"console forms" + str(current_app.config["SECRET_KEY"]).encode()).digest()
        keyring = current_app.extensions["bridge.forms"] = Keyring([key])
    return keyring
