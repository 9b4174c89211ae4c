"""Routes, request bodies and formats of both simulators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, request

TEMPLATES = Path(__file__).with_name("templates")

Routes = Mapping[str, Callable[..., Any]]
"""View functions by method and path, such as `GET /deals`."""


def add_routes(site: Flask | Blueprint, routes: Routes, lock: AbstractContextManager[object] | None = None) -> None:
    """Add view functions, which run with the lock held."""

    def locked(view: Callable[..., Any]) -> Callable[..., Any]:
        def run(**arguments: str) -> Any:
            with lock or nullcontext():
                return view(**arguments)

        return run

    for rule, view in routes.items():
        method, path = rule.split()
        site.add_url_rule(path, rule, locked(view), methods=[method], strict_slashes=False)


def request_json() -> dict[str, Any]:
    """Return the JSON object of the request, or an empty one."""
    body = request.get_json(silent=True)
    return body if isinstance(body, dict) else {}


def brl(value: float) -> str:
    """Format an amount.

    >>> brl(1234.5)
    'R$ 1.234,50'
    """
    return "R$ " + f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
