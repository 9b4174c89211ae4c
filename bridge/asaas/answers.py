"""Says what an answer of the Asaas API means: pure, from status, headers and error codes to an error of the bridge.

It must never put a body into an error: a body carries personal data. Only the codes that Asaas documents, and unknown
ones reduced to letters, digits and `_`, get into a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from bridge.errors import AsaasKeyRefused, AsaasRateLimited, AsaasRejected, AsaasUnavailable, BridgeError

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
        return AsaasKeyRefused(what, where=where, mend=mend)
    if status == 403:
        return AsaasKeyRefused(
            f"the Asaas API refused the account's key for this request, got 403 {code}".rstrip(),
            where=where,
            mend="give the key the permission for it, and allow this machine's address if the account lists addresses",
        )
    return AsaasRejected(f"the Asaas API answered that the request is wrong, got {status} {code}".rstrip(), where=where)


def _error_code(body: bytes) -> str:
    try:
        code = json.loads(body)["errors"][0]["code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return re.sub(r"[^A-Za-z0-9_]", "", str(code))[:60]
