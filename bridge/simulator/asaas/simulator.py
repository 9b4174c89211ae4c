"""The simulated Asaas: an account that is reached over HTTP."""

from __future__ import annotations

from functools import cached_property

from flask import Flask

from .account import AsaasAccount
from .app import build_app


class AsaasSimulator(AsaasAccount):
    """An account of Asaas whose `app` has its API, its knobs and its page."""

    @cached_property
    def app(self) -> Flask:
        """Give the application to serve."""
        return build_app(self)
