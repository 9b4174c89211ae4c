"""The way the simulated Asaas says no: a status and one code with a description, as the real one does."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that Asaas would not take."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        self.code = code
        self.description = description
        self.status = status
        super().__init__(f"{status} {code}: {description}")

    def body(self) -> dict[str, Any]:
        """Give the body of the answer."""
        return {"errors": [{"code": self.code, "description": self.description}]}


class Missing(Exception):
    """An object that does not exist: 404 without a body."""
