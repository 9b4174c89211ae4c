"""The door: `POST /webhooks/asaas[/ACCOUNT]`.

Asaas counts any answer but 200 as a failure, also 201, 202 and 204 (docs "faq-de-webhooks"), and interrupts the queue
after 15 of them in a row. So everything that could be an event is kept and answered 200; what is refused here could not
have come from the account's own Asaas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, request
from flask.typing import ResponseReturnValue

from bridge.asaas.webhook import check_token, parse_event
from bridge.errors import AddressNotAllowed, BodyTooLarge, NotAnEvent, UnknownAccount, WrongToken
from bridge.failpoints import reached
from bridge.journal.door import NEW_TOKEN, OLD_TOKEN
from bridge.runtime import Runtime
from bridge.settings import DEFAULT
from bridge.web.callers import FOR_PROGRAMS, Callers
from bridge.web.refusals import Refusals

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

webhooks = Blueprint("webhooks", __name__)

MAX_BODY_BYTES = 1024 * 1024
"""A longer body is refused. Asaas sends a few KiB."""


class _Received(Response):
    """The answer to every event that is kept: one for all, for putting it together took longer than reading the event.

    Nothing may change it: hooks of the application only add what it has already.
    """

    def __call__(self, _environ: WSGIEnvironment, start_response: StartResponse) -> tuple[bytes]:
        """Answer as WSGI does."""
        start_response("200 OK", list(_HEAD))
        return (_BODY,)


_BODY = b'{"received":true}\n'
_RECEIVED = _Received(_BODY, mimetype="application/json", headers=FOR_PROGRAMS)
_HEAD = tuple(_RECEIVED.headers)


@webhooks.post("/webhooks/asaas", defaults={"account": DEFAULT}, strict_slashes=False)
@webhooks.post("/webhooks/asaas/<account>", strict_slashes=False)
def receive(account: str) -> ResponseReturnValue:
    """Keep one event of an account and answer exactly 200."""
    try:
        _keep(account)
    except (UnknownAccount, AddressNotAllowed, WrongToken, BodyTooLarge, NotAnEvent) as error:
        refusals: Refusals = current_app.extensions["bridge.refusals"]
        # Not under a name that a stranger made up: those would fill the journal.
        whose = "" if isinstance(error, UnknownAccount) else account
        refusals.note(whose, error.code)
        current_app.extensions["bridge"].observer.refused(whose, error.code)
        raise
    reached("ingress.before_answer")
    return _RECEIVED


def _keep(account: str) -> None:
    runtime: Runtime = current_app.extensions["bridge"]
    known = runtime.tenants.account(account)
    if known is None:
        raise UnknownAccount(
            f"no account is named {account!r}",
            mend=f"add it (bridge accounts add), set ASAAS_WEBHOOK_TOKEN_{account.upper()}, or mend the URL in Asaas",
        )
    headers = request.environ  # as WSGI has them: Flask's own view of them costs more than what is read
    callers: Callers = current_app.extensions["bridge.callers"]
    if stranger := callers.refused(request.remote_addr or "", headers.get("HTTP_X_FORWARDED_FOR", "")):
        raise AddressNotAllowed(
            f"the address must be one of BRIDGE_WEBHOOK_ALLOWED_IPS, got {stranger}",
            mend="add it, or set BRIDGE_TRUSTED_PROXIES where it is your proxy's",
        )
    # An account without a token has no way in: a stranger must not be able to post money events.
    given = headers.get("HTTP_ASAAS_ACCESS_TOKEN")
    is_new = check_token(known.webhook_token, given)
    is_old = check_token(known.old_webhook_token, given) if known.old_webhook_token else False
    if not is_new and not is_old:
        raise WrongToken(mend=f"set the same token in Asaas's webhook and for the account {account} here")
    event = parse_event(account, _body(), runtime.clock_ms())
    kept = runtime.ingress.keep(event)
    if known.old_webhook_token:
        refusals: Refusals = current_app.extensions["bridge.refusals"]
        refusals.note(account, OLD_TOKEN if is_old else NEW_TOKEN)
    runtime.observer.received(event, kept.id, kept.repeats, runtime.clock_ms())


def _body() -> bytes:
    # The server has gathered the whole body, and its input ends with the request.
    body: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"the body must not be over {MAX_BODY_BYTES} bytes")
    return body
