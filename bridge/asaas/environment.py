"""Tells Asaas's two environments apart: production, where money moves, and the sandbox.

A key says by its prefix where it belongs (docs autenticacao). A URL is only needed where the key does not say.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from bridge.errors import SettingsError

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
