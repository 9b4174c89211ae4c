"""Reads and changes objects of the Asaas API for one account.

Given an id it leaves the object, or None where Asaas has no such object; every other answer is an error that says
whether waiting helps. It must never log a body or a key, and never ask without a turn from the governor. It tries
once: the event that needs the object is what is tried again. A change is never repeated by itself, since a charge that
was made twice is paid twice; where nobody knows whether it was made, the error says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import httpx

from bridge.asaas import answers
from bridge.errors import AsaasOutcomeUnknown, AsaasRejected, AsaasUnavailable, BridgeError, SettingsError
from bridge.http import HttpClient, TooLarge

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


class Turns(Protocol):
    """Says when a request may go out, so that the account stays within Asaas's limits."""

    def turn(self) -> AbstractContextManager[None]:
        """Hold one of the account's places while the request is under way."""
        ...

    def slow_down(self, wait_s: float) -> None:
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
        governor: Turns,
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
        with self._governor.turn():
            status, headers, answer = self._ask(method, path, params, body, where)
        self.answered_at = headers.get("Date", "")
        problem = answers.refusal(status, headers, answer, where)
        if status == 429 or answers.spent(headers):
            wait_s = answers.retry_after_s(headers)
            self._governor.slow_down(answers.RETRY_AFTER_S if wait_s is None else wait_s)
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
        mend="look in Asaas before you do it again",
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
