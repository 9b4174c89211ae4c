"""The door: `POST /webhooks/asaas[/ACCOUNT]`.

Asaas counts every answer but 200 as a failure, also 201, 202 and 204 (docs "faq-de-webhooks"), and interrupts the queue
after 15 of them in a row. The door keeps everything that may be an event and answers 200; it refuses a wrong address,
token or account, and a body that is no event or larger than any event of Asaas.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, request
from flask.typing import ResponseReturnValue

from bridge.asaas.incoming import check_token, parse_event
from bridge.errors import AddressNotAllowed, BodyTooLarge, JournalError, NotAnEvent, UnknownAccount, WrongToken
from bridge.failpoints import failpoint
from bridge.journal import Journal, events
from bridge.journal.events import NEW_TOKEN, OLD_TOKEN
from bridge.messages import N_
from bridge.runtime import Runtime
from bridge.settings import DEFAULT, Address, Network, address_of, variable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


REMEMBERED = 1_024
"""Pairs of address and X-Forwarded-For whose verdict is cached; Asaas has a few."""
NOTE_EVERY_MS = 5_000
MAX_BODY_BYTES = 1024 * 1024
"""A longer body is refused. Asaas sends a few KiB."""
FOR_PROGRAMS: dict[str, str] = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""The headers of answers to programs."""

webhooks = Blueprint("webhooks", __name__)


class AddressPolicy:
    """Which addresses may post, and which address a request came from."""

    def __init__(self, allowed: tuple[Network, ...], trusted: int | tuple[Network, ...]) -> None:
        self._allowed = allowed
        self._trusted = trusted
        self.refused = lru_cache(REMEMBERED)(self._refused) if allowed else lambda _remote, _forwarded: None

    def _refused(self, remote: str, forwarded: str) -> str | None:
        """Return the address where it may not post, else None; `forwarded` is the X-Forwarded-For header."""
        address = self.address(remote, forwarded)
        if address is not None and any(address in network for network in self._allowed):
            return None
        return str(address) if address else "one that is no address"

    def address(self, remote: str, forwarded: str) -> Address | None:
        """Return the address that called the outermost trusted proxy, None where the header holds no address there."""
        chain = [*(text for text in forwarded.split(",") if text.strip()), remote]
        if isinstance(self._trusted, int):
            return address_of(chain[max(0, len(chain) - 1 - self._trusted)])
        for text in reversed(chain):
            address = address_of(text)
            if address is None or not any(address in network for network in self._trusted):
                return address
        return address_of(chain[0])


class RefusalLog:
    """Notes refusals, and which of two tokens came, each at most once in 5 seconds: a flood costs few writes."""

    def __init__(self, journal: Journal, clock_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._clock_ms = clock_ms
        self._noted: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def record(self, account: str, code: str) -> None:
        """Note a refusal, or which of two tokens came, for an account or an empty name."""
        now_ms = self._clock_ms()
        with self._lock:
            last_ms = self._noted.get((account, code))
            if last_ms is not None and 0 <= now_ms - last_ms < NOTE_EVERY_MS:
                return
            self._noted[account, code] = now_ms
        try:
            with self._journal.database.write() as connection:
                events.record_refusal(connection, account, code, now_ms)
        except JournalError:
            return  # it must not change the answer; Asaas posts again, and then it is noted


class _Received(Response):
    """The answer to every kept event: one object for all requests, which nothing may change.

    The application's `after_request` only sets headers that it has already.
    """

    def __call__(self, _environ: WSGIEnvironment, start_response: StartResponse) -> tuple[bytes]:
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
        refusals: RefusalLog = current_app.extensions["bridge.refusals"]
        # Names that strangers make up would fill the journal.
        whose = "" if isinstance(error, UnknownAccount) else account
        refusals.record(whose, error.code)
        current_app.extensions["bridge"].telemetry.refused(whose, error.code)
        raise
    failpoint("ingress.before_answer")
    return _RECEIVED


def _keep(account: str) -> None:
    runtime: Runtime = current_app.extensions["bridge"]
    known = runtime.account_store.account(account)
    if known is None:
        raise UnknownAccount(
            N_("no account is named {account!r}"),
            hint=N_("add it (bridge accounts add), set {variable}, or fix the URL in Asaas"),
            account=account,
            variable=variable("ASAAS_WEBHOOK_TOKEN", account),
        )
    headers = request.environ  # cheaper than Flask's own view of the headers
    callers: AddressPolicy = current_app.extensions["bridge.callers"]
    if stranger := callers.refused(request.remote_addr or "", headers.get("HTTP_X_FORWARDED_FOR", "")):
        raise AddressNotAllowed(
            N_("the address must be one of BRIDGE_WEBHOOK_ALLOWED_IPS, got {address}"),
            hint=N_("add it, or set BRIDGE_TRUSTED_PROXIES where it is your proxy's"),
            address=stranger,
        )
    # An account without a token takes no event: a stranger must not be able to post one.
    given = headers.get("HTTP_ASAAS_ACCESS_TOKEN")
    is_new = check_token(known.webhook_token, given)
    is_old = check_token(known.old_webhook_token, given) if known.old_webhook_token else False
    if not is_new and not is_old:
        hint = N_("set the same token in Asaas's webhook and for the account {account} here")
        raise WrongToken(hint=hint, account=account)
    event = parse_event(account, _body(), runtime.clock_ms())
    kept = runtime.intake.keep(event)
    if known.old_webhook_token:
        refusals: RefusalLog = current_app.extensions["bridge.refusals"]
        refusals.record(account, OLD_TOKEN if is_old else NEW_TOKEN)
    runtime.telemetry.received(event, kept.id, kept.repeats, runtime.clock_ms())


def _body() -> bytes:
    # waitress has read the whole body, and the input ends with it.
    body: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(N_("the body must not be over {bytes} bytes"), bytes=MAX_BODY_BYTES)
    return body
