"""The simulated Clint: an account that is reached over HTTP."""

from __future__ import annotations

from functools import cached_property

from flask import Flask

from .account import ClintAccount
from .app import build_app


class ClintSimulator(ClintAccount):
    """An account of Clint whose `app` has its webhooks, its API, its knobs and its page."""

    @cached_property
    def app(self) -> Flask:
        """Give the application to serve."""
        return build_app(self)
