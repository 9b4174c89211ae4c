"""The door: `POST /webhooks/asaas[/ACCOUNT]`.

Asaas counts any answer but 200 as a failure, also 201, 202 and 204 (docs "faq-de-webhooks"), and interrupts the queue
after 15 of them in a row. So everything that could be an event is kept and answered 200; what is refused here could not
have come from the account's own Asaas.
"""

from __future__ import annotations

from flask import Blueprint, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from bridge.asaas.webhook import check_token, parse_event
from bridge.errors import BodyTooLarge, NotAnEvent, UnknownAccount, WrongToken
from bridge.runtime import Runtime
from bridge.settings import DEFAULT
from bridge.web.refusals import Refusals

MAX_BODY_BYTES = 1024 * 1024

webhooks = Blueprint("webhooks", __name__)


@webhooks.post("/webhooks/asaas", defaults={"account": DEFAULT})
@webhooks.post("/webhooks/asaas/<account>")
def receive(account: str) -> ResponseReturnValue:
    """Keep one event of an account and answer exactly 200."""
    try:
        _keep(account)
    except (UnknownAccount, WrongToken, BodyTooLarge, NotAnEvent) as error:
        refusals: Refusals = current_app.extensions["bridge.refusals"]
        # Not under a name that a stranger made up: those would fill the journal.
        refusals.note("" if isinstance(error, UnknownAccount) else account, error.code)
        raise
    return jsonify(received=True)


def _keep(account: str) -> None:
    runtime: Runtime = current_app.extensions["bridge"]
    known = runtime.settings.accounts.get(account)
    if known is None:
        raise UnknownAccount(
            f"no account is named {account!r}",
            mend=f"set ASAAS_WEBHOOK_TOKEN_{account.upper()} or mend the URL in Asaas",
        )
    # An account without a token has no way in: a stranger must not be able to post money events.
    if not known.webhook_token or not check_token(known.webhook_token, request.headers.get("asaas-access-token")):
        raise WrongToken(mend=f"set the same token in Asaas's webhook and for the account {account} here")
    event = parse_event(account, _body(), runtime.clock_ms())
    runtime.ingress.keep(event)


def _body() -> bytes:
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        body = None
    # A body in chunks has no length to refuse beforehand, and werkzeug cuts it off at the limit without a word.
    if body is None or len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"the body must not be over {MAX_BODY_BYTES} bytes")
    return body
