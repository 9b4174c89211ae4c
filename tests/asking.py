"""httpx for tests, which ask servers of this machine by plain http: no authorities are read for each question.

Reading them takes a tenth of a second of the processor, more than all the rest of most tests.
"""

from __future__ import annotations

from typing import Any

import httpx

from bridge.http import nobody


def client(**options: Any) -> httpx.Client:
    """Return a client."""
    return httpx.Client(verify=nobody(), **options)


def request(method: str, url: str, **options: Any) -> httpx.Response:
    """Ask once."""
    return httpx.request(method, url, verify=nobody(), **options)


def get(url: str, **options: Any) -> httpx.Response:
    """Ask once."""
    return request("GET", url, **options)


def post(url: str, **options: Any) -> httpx.Response:
    """Post once."""
    return request("POST", url, **options)
