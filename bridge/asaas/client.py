"""The client of the Asaas API for one account.

Each request takes a slot of the account's limiter and is sent once; an event that needs an object retries as a whole.
A change is never repeated, since a charge that is made twice is paid twice: where it may have been done, the error is
AsaasOutcomeUnknown. Logs and errors hold neither a body nor a key.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from bridge.asaas.limiter import AccountLimiter
from bridge.errors import (
    AsaasKeyRefused,
    AsaasOutcomeUnknown,
    AsaasRateLimited,
    AsaasRejected,
    AsaasUnavailable,
    BridgeError,
    SettingsError,
)
from bridge.http import HttpClient, TooLarge, why_unreached
from bridge.messages import N_, Message, message
from bridge.model import object_name, of_account

DEADLINE_S = 20.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""A list of a hundred charges is about 200 KiB."""
RETRY_AFTER_CAP_S = 300.0
"""A longer wait that Asaas asks for counts as five minutes."""
RETRY_AFTER_S = 10.0
"""The wait after a 429 without headers, which Asaas sends for too many GETs at once."""
PAGE_SIZE = 100
"""The most that Asaas gives in one page."""
PAGE_TRIES = 6
"""With the waits between them they outlast an outage of about a minute."""

PATHS = {name: f"{name}s" for name in ("customer", "installment", "subscription", "payment")}
"""The paths of the objects that a mapping may name."""

PRODUCTION_URL = "https://api.asaas.com/v3"
SANDBOX_URL = "https://api-sandbox.asaas.com/v3"

_KEY_REFUSALS: Mapping[str, tuple[str, str]] = {
    "invalid_environment": (
        N_("the key belongs to the other environment"),
        N_("use a $aact_prod_ key with api.asaas.com and a $aact_hmlg_ key with the sandbox, and check ASAAS_API_URL"),
    ),
    "access_token_not_found": (
        N_("no key arrived"),
        N_("set the account's ASAAS_API_KEY in single quotes, or a shell takes $aact for a variable of its own"),
    ),
    "invalid_access_token_format": (
        N_("the key is not whole"),
        N_("copy it again without blanks or line breaks, in single quotes"),
    ),
    "invalid_access_token": (
        N_("the key was revoked, disabled, has expired or was deleted"),
        N_("make a new one in Asaas (Integrações, Chaves de API) and set the account's ASAAS_API_KEY"),
    ),
}
_OTHER_REFUSAL = (
    N_("the key is not valid"),
    N_("check the key in Asaas (Integrações, Chaves de API) and ASAAS_API_KEY"),
)


def base_url(key: str, override: str = "") -> str:
    """Return the API's address for this key; the override is `ASAAS_API_URL`."""
    if override:
        return override.rstrip("/")
    for prefix, url in (("$aact_prod_", PRODUCTION_URL), ("$aact_hmlg_", SANDBOX_URL)):
        if key.startswith(prefix):
            return url
    text = N_(
        "ASAAS_API_KEY must begin with $aact_prod_ or $aact_hmlg_, got a secret that is not shown; "
        "copy the whole key in single quotes, or set ASAAS_API_URL if it is an older one"
    )
    raise SettingsError([message(text)])


def environment(key_or_url: str) -> Literal["production", "sandbox"]:
    """Return the environment of an API key or an address of Asaas.

    An address that is not Asaas's own, such as a simulator's, is a sandbox: nothing there is real money. Nothing, or an
    older key that does not tell, counts as production.
    """
    if not key_or_url or key_or_url.startswith("$"):
        return "sandbox" if key_or_url.startswith("$aact_hmlg_") else "production"
    return "production" if urlsplit(key_or_url).hostname in {"api.asaas.com", "www.asaas.com"} else "sandbox"


def check_id(account: str, name: str, object_id: str) -> None:
    """Raise AsaasRejected where the text can't be an id: ids of posted bodies go into paths."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", object_id):
        text = N_("the id of a {name} must be 1 to 100 letters, digits, _ and -, got another text")
        raise AsaasRejected(text, where=of_account(account), name=object_name(name))


class AsaasClient:
    """The API of one Asaas account; threads may share it."""

    def __init__(
        self,
        account: str,
        api_key: str,
        base_url: str,
        http: HttpClient,
        limiter: AccountLimiter,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        if not api_key.isascii() or not api_key.isprintable():
            # A header can't carry it, and without this check the first event would find out.
            text = N_("the Asaas API key of account {account} must be plain text, got other characters")
            raise SettingsError([message(text, account=account)])
        self.account = account
        self.base_url = base_url.rstrip("/")
        self._headers = {"access_token": api_key, "Accept": "application/json"}
        self._http = http
        self._limiter = limiter
        self._deadline_s = deadline_s
        self.answered_at = ""
        """The `Date` of Asaas's last answer; `bridge doctor` compares this machine's clock with it."""

    def get_object(self, name: str, object_id: str) -> dict[str, Any] | None:
        """Return the object of that name (a key of PATHS) and id, or None."""
        check_id(self.account, name, object_id)
        return self.get(f"/{PATHS[name]}/{object_id}")

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any] | None:
        """Return the object at the path, or None where there is none. Raises EnrichmentWaits and AsaasRejected."""
        return self._request("GET", path, params=dict(params or {}))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Make or do something; return the answer ({} for an empty one), or None where the path does not exist.

        Raises AsaasOutcomeUnknown where it may have been done.
        """
        return self._request("POST", path, body=dict(body or {}))

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change the object at the path and return it; None and errors as with post."""
        return self._request("PUT", path, body=dict(body))

    def delete(self, path: str) -> dict[str, Any] | None:
        """Remove the object at the path; result and errors as with post."""
        return self._request("DELETE", path)

    def _request(
        self, method: str, path: str, params: dict[str, str | int] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        where = of_account(self.account, f"{method} {path}")
        try:
            with self._limiter.slot():
                answer = self._http.request(
                    method,
                    f"{self.base_url}{path}",
                    params=params,
                    json=body,
                    headers=self._headers,
                    deadline_s=self._deadline_s,
                    max_bytes=MAX_ANSWER_BYTES,
                )
        except (TooLarge, httpx.HTTPError) as error:
            raise _no_answer(method, error, where, urlsplit(self.base_url).hostname or "") from None
        self.answered_at = answer.headers.get("Date", "")
        problem = refusal(answer.status_code, answer.headers, answer.content, where)
        if answer.status_code == 429 or spent(answer.headers):
            wait_s = retry_after_s(answer.headers)
            self._limiter.pause(RETRY_AFTER_S if wait_s is None else wait_s)
        if problem:
            # A server that fails may have done what was asked before it failed.
            is_unknown = answer.status_code >= 500 and method != "GET"
            raise _failed(method, problem.what, where) if is_unknown else problem
        if answer.status_code == 404:
            return None
        if method != "GET" and not answer.content.strip():
            return {}
        try:
            found = json.loads(answer.content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            # A maintenance page with status 200, or a proxy's: a later answer may be right.
            text = N_("the Asaas API must answer with a JSON object, got something else")
            raise _failed(method, message(text), where)
        return found


def _no_answer(method: str, error: TooLarge | httpx.HTTPError, where: Message, host: str) -> BridgeError:
    if isinstance(error, TooLarge):
        return _failed(method, message("{error}", error=str(error)), where)
    what = N_("the Asaas API at {host} could not be reached: {why}")
    problem = message(what, host=host, why=why_unreached(error))
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        hint = N_("check this machine's way to the internet, and ASAAS_API_URL where it is set")
        return AsaasUnavailable(problem, where=where, hint=hint)  # nothing was sent
    return _failed(method, problem, where)


def _failed(method: str, problem: Message, where: Message) -> BridgeError:
    if method == "GET":
        return AsaasUnavailable(problem, where=where)
    text = N_("the Asaas API may or may not have done it: {problem}")
    return AsaasOutcomeUnknown(text, where=where, hint=N_("look in Asaas before you do it again"), problem=problem)


def refusal(status: int, headers: Mapping[str, str], body: bytes, where: Message) -> BridgeError | None:
    """Return the error that the answer stands for; None for a success and for an object that does not exist."""
    if 200 <= status < 300 or status == 404:
        return None
    wait_s = retry_after_s(headers)
    if status == 429:
        text = N_("the Asaas API asked the bridge to slow down, got 429")
        return AsaasRateLimited(text, where=where, retry_after_s=RETRY_AFTER_S if wait_s is None else wait_s)
    if status >= 500:
        text = N_("the Asaas API answered with a server error, got {status}")
        return AsaasUnavailable(text, where=where, retry_after_s=wait_s, status=status)
    code = _error_code(body)
    got = f"{status} {code}".rstrip()
    if status == 401:
        reason, hint = _KEY_REFUSALS.get(code, _OTHER_REFUSAL)
        text = N_("the Asaas API refused the account's key: {reason}, got {got}")
        return AsaasKeyRefused(text, where=where, hint=hint, reason=Message(reason), got=got)
    if status == 403:
        text = N_("the Asaas API refused the account's key for this request, got {got}")
        hint = N_("give the key the permission for it, and allow this machine's address if the account lists addresses")
        return AsaasKeyRefused(text, where=where, hint=hint, got=got)
    return AsaasRejected(N_("the Asaas API answered that the request is wrong, got {got}"), where=where, got=got)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the answer asks to wait, at most five minutes, or None."""
    for name in ("RateLimit-Reset", "Retry-After"):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            return min(float(text), RETRY_AFTER_CAP_S)
    return None


def spent(headers: Mapping[str, str]) -> bool:
    """Return whether the answer says that its rate limit allows no other request now."""
    return headers.get("RateLimit-Remaining", "").strip() == "0"


def _error_code(body: bytes) -> str:
    try:
        code = json.loads(body)["errors"][0]["code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return re.sub(r"[^A-Za-z0-9_]", "", str(code))[:60]


@dataclass(frozen=True, slots=True)
class Page:
    items: list[dict[str, Any]]
    total: int
    """The objects of the whole list, as Asaas counted them for this page."""
    following: int | None
    """The offset of the next page, None after the last one."""


def pages(
    client: AsaasClient,
    path: str,
    params: Mapping[str, str | int],
    *,
    offset: int = 0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Page]:
    """Read the list at the path from that offset on; raise EnrichmentWaits where it can't be read now.

    An object may come twice: after one is added in front of it, and after one was removed, since the reader then steps
    back in order to miss none.
    """
    counted = 0
    while True:
        found = _page(client, path, {**params, "limit": PAGE_SIZE, "offset": offset}, sleep)
        items, total = found.get("data"), found.get("totalCount")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            where = of_account(client.account, f"GET {path}")
            raise AsaasUnavailable(N_("the Asaas API must answer with a list, got something else"), where=where)
        if not isinstance(total, int) or isinstance(total, bool):
            total = len(items)
        gone, counted = counted - total, total
        if gone > 0 and offset:
            offset = max(0, offset - gone)
            continue
        offset += len(items)
        more = bool(items) and found.get("hasMore") is True
        yield Page(items, total, offset if more else None)
        if not more:
            return


def _page(
    client: AsaasClient, path: str, params: Mapping[str, str | int], sleep: Callable[[float], object]
) -> dict[str, Any]:
    for number in range(PAGE_TRIES - 1):
        try:
            return client.get(path, params) or {}
        except (AsaasRateLimited, AsaasUnavailable) as error:
            sleep(error.retry_after_s or 2.0**number)
    return client.get(path, params) or {}
