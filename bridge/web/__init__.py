"""The web process: the door for Asaas, and what a host asks of it (alive, ready, metrics)."""

from bridge.web.app import create_app

__all__ = ["create_app"]
