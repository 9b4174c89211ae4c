"""Spares a process what libraries import only because it happens to be installed.

structlog imports rich for coloured tracebacks, httpx rich and pygments for a command line of its own, redis-py
OpenTelemetry's SDK for metrics that nobody has switched on. Each of them does without where they are not installed, so
that is what they are told; who needs them (the commands' tables, traces) gets them as ever. That is 8 MB of the 72 MB
that a worker has after its imports (docs/performance.md).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

SPARED = {
    "rich": ("structlog.", "httpx."),
    "pygments": ("httpx.",),
    "opentelemetry": ("redis.",),
}
"""Module -> beginnings of the names of those for whom it is not there."""


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in SPARED and _importer().startswith(SPARED[fullname]):
            raise ModuleNotFoundError(f"{fullname} is spared", name=fullname)
        return None


def start() -> None:
    """Begin to spare; to be called before the imports that take long."""
    sys.meta_path.insert(0, _Finder())


def _importer() -> str:
    """Return the name of the module whose import is being carried out."""
    depth = 2
    while (name := str(sys._getframe(depth).f_globals.get("__name__"))).startswith("importlib."):
        depth += 1
    return name
