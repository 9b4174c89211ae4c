"""Wrong use: settings and commands."""

from __future__ import annotations

from bridge.errors.root import BridgeError


class UsageError(BridgeError):
    """the command was used in a way it does not know"""

    code = "usage.wrong"
    exit_status = 2
    http_status = 400


class SettingsError(BridgeError):
    """the environment does not describe a bridge that can run"""

    code = "settings.invalid"
    exit_status = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class TokenNotKnown(BridgeError):
    """the bridge that answers at the webhook's address does not know the new token yet"""

    code = "webhook.token_not_known"


class NotFound(BridgeError):
    """nothing of that name or number is in the journal"""

    code = "journal.not_found"
    http_status = 404
