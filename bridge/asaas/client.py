"""Reads and changes objects of the Asaas API for one account.

Given an id it leaves the object, or None where Asaas has no such object; every other answer is an error that says
whether waiting helps. It must never log a body or a key, and never ask without a turn from the governor. It tries
once: the event that needs the object is what is tried again. A change is never repeated by itself, since a charge that
was made twice is paid twice; where nobody knows whether it was made, the error says so.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import httpx

from bridge.errors import (
    AsaasKeyRefused,
    AsaasOutcomeUnknown,
    AsaasRateLimited,
    AsaasRejected,
    AsaasUnavailable,
    BridgeError,
    SettingsError,
)
from bridge.http import HttpClient, TooLarge

RETRY_AFTER_CAP_S = 300.0
"""No answer makes an account wait longer than this: asking again every five minutes harms nobody."""

RETRY_AFTER_S = 10.0
"""The wait after a 429 without headers, which is what too many GETs at once looks like."""

_KEY_REFUSALS: Mapping[str, tuple[str, str]] = {
    "invalid_environment": (
        "the key belongs to the other environment",
        "use a $aact_prod_ key with api.asaas.com and a $aact_hmlg_ key with the sandbox, and look at ASAAS_API_URL",
    ),
    "access_token_not_found": (
        "no key arrived",
        "set the account's ASAAS_API_KEY in single quotes, for a shell takes $aact for a variable of its own",
    ),
    "invalid_access_token_format": (
        "the key is not whole",
        "copy it again without blanks or line breaks, in single quotes",
    ),
    "invalid_access_token": (
        "the key was revoked, disabled, has expired or was deleted",
        "make a new one in Asaas (Integrações, Chaves de API) and set the account's ASAAS_API_KEY",
    ),
}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the answer asks to wait, at most five minutes, or None where it asks for none."""
    for name in ("RateLimit-Reset", "Retry-After"):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            return min(float(text), RETRY_AFTER_CAP_S)
    return None


def spent(headers: Mapping[str, str]) -> bool:
    """Return whether the answer says that it was the last one its rate limit allows for now."""
    return headers.get("RateLimit-Remaining", "").strip() == "0"


def refusal(status: int, headers: Mapping[str, str], body: bytes, where: str) -> BridgeError | None:
    """Return the error that the answer stands for, or None where it is a success or the object does not exist."""
    if 200 <= status < 300 or status == 404:
        return None
    if status == 429:
        wait_s = retry_after_s(headers)
        return AsaasRateLimited(
            "the Asaas API asked the bridge to slow down, got 429",
            where=where,
            retry_after_s=RETRY_AFTER_S if wait_s is None else wait_s,
        )
    if status >= 500:
        return AsaasUnavailable(
            f"the Asaas API answered with a server error, got {status}",
            where=where,
            retry_after_s=retry_after_s(headers),
        )
    code = _error_code(body)
    if status == 401:
        reason, mend = _KEY_REFUSALS.get(
            code,
            ("the key is not valid", "look at the key in Asaas (Integrações, Chaves de API) and at ASAAS_API_KEY"),
        )
        what = f"the Asaas API refused the account's key: {reason}, got 401 {code}".rstrip()
        return AsaasKeyRefused(what, where=where, hint=mend)
    if status == 403:
        return AsaasKeyRefused(
            f"the Asaas API refused the account's key for this request, got 403 {code}".rstrip(),
            where=where,
            hint="give the key the permission for it, and allow this machine's address if the account lists addresses",
        )
    return AsaasRejected(f"the Asaas API answered that the request is wrong, got {status} {code}".rstrip(), where=where)


def _error_code(body: bytes) -> str:
    try:
        code = json.loads(body)["errors"][0]["code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return re.sub(r"[^A-Za-z0-9_]", "", str(code))[:60]


CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""A list of a hundred charges is about 200 KiB."""

PATHS: Mapping[str, str] = {
    "customer": "customers",
    "installment": "installments",
    "subscription": "subscriptions",
    "payment": "payments",
}
"""Where the objects live that a mapping may name."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


def check_id(account: str, name: str, object_id: str) -> None:
    """Raise AsaasRejected where the text can't be an id: it comes out of a posted body and goes into a path."""
    if not _ID.fullmatch(object_id):
        raise AsaasRejected(
            f"the id of a {name} must be 1 to 100 letters, digits, _ and -, got another text",
            where=f"account {account}",
        )


class Limiter(Protocol):
    """Says when a request may go out, so that the account stays within Asaas's limits."""

    def slot(self) -> AbstractContextManager[None]:
        """Hold one of the account's places while the request is under way."""
        ...

    def pause(self, wait_s: float) -> None:
        """Let nobody ask for this account until the seconds have passed."""
        ...


class AsaasClient:
    """The API of one Asaas account."""

    def __init__(
        self,
        account: str,
        api_key: str,
        base_url: str,
        http: HttpClient,
        governor: Limiter,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        if not api_key.isascii() or not api_key.isprintable():
            # A header can't carry it, and the error would come with the first event instead of at the start.
            raise SettingsError([f"the Asaas API key of account {account} must be plain text, got other characters"])
        self.account = account
        self.base_url = base_url.rstrip("/")
        self._headers = {
            "access_token": api_key,
            "Accept": "application/json",
        }
        self._http = http
        self._governor = governor
        self._connect_timeout_s = connect_timeout_s
        self._deadline_s = connect_timeout_s + read_timeout_s
        self.answered_at = ""
        """The `Date` of Asaas's last answer, by which `bridge doctor` judges this machine's clock."""

    def get_object(self, name: str, object_id: str) -> dict[str, Any] | None:
        """Return the object of that name (customer, installment, subscription, payment) and id, or None."""
        check_id(self.account, name, object_id)
        return self.get(f"/{PATHS[name]}/{object_id}")

    def customer(self, object_id: str) -> dict[str, Any] | None:
        """Return the customer, or None where there is none."""
        return self.get_object("customer", object_id)

    def installment(self, object_id: str) -> dict[str, Any] | None:
        """Return the instalment plan, or None where there is none."""
        return self.get_object("installment", object_id)

    def subscription(self, object_id: str) -> dict[str, Any] | None:
        """Return the subscription, or None where there is none."""
        return self.get_object("subscription", object_id)

    def payment(self, object_id: str) -> dict[str, Any] | None:
        """Return the charge, or None where there is none."""
        return self.get_object("payment", object_id)

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any] | None:
        """Return what the API has at the path, or None where it has nothing there."""
        return self._request("GET", path, params=dict(params or {}))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Make or do something; return what the API answers (nothing: an empty object), or None where it is not there.

        Sent once. Raises AsaasOutcomeUnknown where it may have been done all the same.
        """
        return self._request("POST", path, body=dict(body or {}))

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change what is at the path; return it as it is now, or None where it is not there. Errors as with post."""
        return self._request("PUT", path, body=dict(body))

    def delete(self, path: str) -> dict[str, Any] | None:
        """Remove what is at the path; return the API's answer, or None where it is not there. Errors as with post."""
        return self._request("DELETE", path)

    def _request(
        self, method: str, path: str, params: dict[str, str | int] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        where = f"{method} {path}, account {self.account}"
        with self._governor.slot():
            status, headers, answer = self._ask(method, path, params, body, where)
        self.answered_at = headers.get("Date", "")
        problem = refusal(status, headers, answer, where)
        if status == 429 or spent(headers):
            wait_s = retry_after_s(headers)
            self._governor.pause(RETRY_AFTER_S if wait_s is None else wait_s)
        if problem:
            # A server that fails may have done what was asked before it failed.
            raise _failed(method, str(problem.what), where) if status >= 500 and method != "GET" else problem
        if status == 404:
            return None
        if method != "GET" and not answer.strip():
            return {}
        return _object_in(answer, method, where)

    def _ask(
        self, method: str, path: str, params: dict[str, str | int] | None, body: dict[str, Any] | None, where: str
    ) -> tuple[int, httpx.Headers, bytes]:
        try:
            answer = self._http.request(
                method,
                f"{self.base_url}{path}",
                params=params,
                json=body,
                headers=self._headers,
                connect_timeout_s=self._connect_timeout_s,
                deadline_s=self._deadline_s,
                max_bytes=MAX_ANSWER_BYTES,
            )
            return answer.status_code, answer.headers, answer.content
        except TooLarge as error:
            raise _failed(method, str(error), where) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # Nothing was sent, so nothing was changed either.
            raise AsaasUnavailable(f"the Asaas API could not be reached, got {_kind(error)}", where=where) from None
        except httpx.TimeoutException as error:
            raise _failed(method, f"the Asaas API did not answer in time, got {_kind(error)}", where) from None
        except httpx.HTTPError as error:
            raise _failed(method, f"the Asaas API could not be reached, got {_kind(error)}", where) from None


def _failed(method: str, what: str, where: str) -> BridgeError:
    if method == "GET":
        return AsaasUnavailable(what, where=where)
    return AsaasOutcomeUnknown(
        f"the Asaas API may or may not have done it: {what}",
        where=where,
        hint="look in Asaas before you do it again",
    )


def _kind(error: Exception) -> str:
    # The text of such an error can carry an address or a part of the answer, its class only says what went wrong.
    return type(error).__name__


def _object_in(body: bytes, method: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        # A maintenance page with status 200, or a proxy's: the object may well be there later.
        raise _failed(method, "the Asaas API must answer with a JSON object, got something else", where)
    return found


Environment = Literal["production", "sandbox"]

PRODUCTION_URL = "https://api.asaas.com/v3"
SANDBOX_URL = "https://api-sandbox.asaas.com/v3"

_URL_BY_PREFIX = {"$aact_prod_": PRODUCTION_URL, "$aact_hmlg_": SANDBOX_URL}
_PRODUCTION_HOSTS = frozenset({"api.asaas.com", "www.asaas.com"})


def base_url(key: str, override: str = "") -> str:
    """Return the API's address for this key; the override, which is `ASAAS_API_URL`, wins."""
    if override:
        return override.rstrip("/")
    for prefix, url in _URL_BY_PREFIX.items():
        if key.startswith(prefix):
            return url
    raise SettingsError(
        [
            "ASAAS_API_KEY must begin with $aact_prod_ or $aact_hmlg_, got a secret that is not shown; "
            "copy the whole key in single quotes, or set ASAAS_API_URL if it is an older one"
        ]
    )


def environment(key_or_url: str) -> Environment:
    """Return the environment that an API key or an address of Asaas belongs to.

    An address that is not Asaas's own, such as a simulator's, is a sandbox: nothing there is real money. An account
    without key or address is taken for production, as is an older key that does not say.
    """
    if not key_or_url or key_or_url.startswith("$"):
        return "sandbox" if key_or_url.startswith("$aact_hmlg_") else "production"
    return "production" if urlsplit(key_or_url).hostname in _PRODUCTION_HOSTS else "sandbox"


LIMIT = 100
"""The most that Asaas gives in one page."""

TRIES = 6
"""Tries for one page; with the waits between them an outage of about a minute is sat out."""


class Reads(Protocol):
    """The API of one account."""

    account: str

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any] | None:
        """Return what the API has at the path, or None where it has nothing there."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a list."""

    items: list[dict[str, Any]]
    total: int
    """Objects in the whole list, as Asaas counted them for this page."""
    following: int | None
    """The offset to go on from, None after the last page."""


def pages(
    client: Reads,
    path: str,
    params: Mapping[str, str | int],
    *,
    offset: int = 0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Page]:
    """Go through the list at the path from that offset on; raise EnrichmentWaits where it can't be read for now.

    An object may come twice: when one is added in front while the walk goes on, and when one was taken away, because
    the walk then steps back so that it misses none.
    """
    counted: int | None = None
    while True:
        found = _asked(client, path, {**params, "limit": LIMIT, "offset": offset}, sleep)
        items, total = _read(found, client.account, path)
        gone = 0 if counted is None else max(0, counted - total)
        counted = total
        if gone and offset:
            offset = max(0, offset - gone)
            continue
        offset += len(items)
        more = bool(items) and found.get("hasMore") is True
        yield Page(items, total, offset if more else None)
        if not more:
            return


def _asked(
    client: Reads, path: str, params: Mapping[str, str | int], sleep: Callable[[float], object]
) -> dict[str, Any]:
    for number in range(1, TRIES + 1):
        try:
            return client.get(path, params) or {}
        except (AsaasRateLimited, AsaasUnavailable) as error:
            if number == TRIES:
                raise
            sleep(error.retry_after_s or 2.0 ** (number - 1))
    raise AssertionError("the last try returns or raises")


def _read(found: Mapping[str, Any], account: str, path: str) -> tuple[list[dict[str, Any]], int]:
    items, total = found.get("data"), found.get("totalCount")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise AsaasUnavailable(
            "the Asaas API must answer with a list, got something else", where=f"GET {path}, account {account}"
        )
    return items, total if isinstance(total, int) and not isinstance(total, bool) else len(items)
