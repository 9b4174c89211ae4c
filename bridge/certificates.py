"""Who is trusted on a TLS connection: read once in a process, when the first connection needs it.

Reading the authorities takes a tenth of a second, which httpx spends for every client that is not given a context, even
where it only speaks plain http. Clients and threads may share a context.
"""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def authorities() -> ssl.SSLContext:
    """Return a context that trusts the authorities that httpx trusts, for connections to the world."""
    return httpx.create_ssl_context()


@cache
def nobody() -> ssl.SSLContext:
    """Return a context that trusts nobody, for clients that speak plain http with other processes of this machine."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
