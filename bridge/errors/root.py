"""The root of the tree of errors.

A class is a stable `code` (written to the journal, to logs and to JSON answers) and a docstring, whose first line is
the default message. The text of an error is one line in three parts: what happened with the rule and the value that
broke it; where; what to do. Messages never carry a secret or personal data: they end up in logs.
"""

from __future__ import annotations

from typing import ClassVar


class BridgeError(Exception):
    """the bridge could not do what was asked"""

    code: ClassVar[str] = "bridge.error"
    exit_status: ClassVar[int] = 1
    """What a command ends with when this error reaches it (1 the answer is no, 2 wrong use)."""
    http_status: ClassVar[int] = 500
    """What the web answers when this error reaches it."""

    def __init__(self, what: str | None = None, *, where: str | None = None, mend: str | None = None) -> None:
        self.what = what or (self.__doc__ or "").strip().splitlines()[0]
        self.where = where
        self.mend = mend
        super().__init__(self.what)

    def __str__(self) -> str:
        """Join the three parts into the one line that a person reads."""
        return "; ".join(part for part in (self.what, self.where, self.mend) if part)
