"""The layers of the package `bridge` and the check that its modules keep to them.

The check reads the source, so that an import inside a function or under TYPE_CHECKING counts as well: a layer that is
only broken for types or late is still broken.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Highest first. A module imports its own name or lower lines only; names on one line do not import each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("web", "worker"),
    ("operations",),
    ("runtime",),
    ("pipeline", "alerts", "accounts", "conditions"),
    ("asaas", "clint", "journal", "wakeups", "telemetry", "reasons", "formats", "embedded_redis"),
    ("traces",),
    ("mapping",),
    ("settings", "logs", "crypto", "model", "rates"),
    ("http", "redis_client", "errors", "redaction", "failpoints", "private_files"),
    ("messages",),
)

# The other side of the wire: it imports nothing of the bridge, and only the commands may start it.
SIMULATOR = "simulator"
MAY_SIMULATE = frozenset({"cli", "__main__"})

NAMELESS = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "core", "misc", "base"})

Sources = Mapping[str, str]
"""The text of each module by its dotted name, such as `bridge.mapping.parser`; a package by its own name."""


@dataclass(frozen=True, slots=True)
class Import:
    """One module names another."""

    source: str
    target: str
    line: int


def read_sources(package: Path) -> dict[str, str]:
    """Return the text of every module under the package's directory."""
    sources = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name] = path.read_text(encoding="utf-8")
    return sources


def faults(sources: Sources) -> list[str]:
    """Return every way in which the modules break the rules, in words."""
    edges = list(imports(sources))
    return sorted({*_names(sources), *_directions(edges), *_cycles(edges)})


def imports(sources: Sources) -> Iterator[Import]:
    """Return which module of the package imports which, resolved to the module that really holds the name."""
    for name, text in sources.items():
        is_package = any(other.startswith(f"{name}.") for other in sources)
        for node in ast.walk(ast.parse(text)):
            for target in _targets(node, name, is_package, sources):
                if target != name:
                    yield Import(name, target, getattr(node, "lineno", 0))


def _targets(node: ast.AST, name: str, is_package: bool, sources: Sources) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _known(alias.name, sources)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = name.split(".")
            parents = parts[: len(parts) - node.level + (1 if is_package else 0)]
            base = ".".join([*parents, *([node.module] if node.module else [])])
        for alias in node.names:
            # `from bridge import cli` names a module; `from bridge.errors import BridgeError` a thing in one.
            inner = f"{base}.{alias.name}"
            yield from _known(inner if inner in sources else base, sources)


def _known(target: str, sources: Sources) -> Iterator[str]:
    # A module that is not there is Python's to complain of, but its layer can be judged all the same.
    if target in sources or target.startswith("bridge."):
        yield target


def _part(module: str) -> str:
    """Return the name that stands in the table of layers, or nothing for the package itself."""
    return module.split(".")[1] if "." in module else ""


def _names(sources: Sources) -> Iterator[str]:
    listed = {name for line in LAYERS for name in line} | {SIMULATOR, ""}
    for module in sources:
        if _part(module) not in listed:
            yield f"{module} is in no layer; give it a place in tests/layers.py and ARCHITECTURE.md"
        for word in module.split("."):
            if word in NAMELESS:
                yield f"{module} is named {word}, which says nothing; name what it does"


def _directions(edges: list[Import]) -> Iterator[str]:
    height = {name: len(LAYERS) - index for index, line in enumerate(LAYERS) for name in line}
    for edge in edges:
        source, target = _part(edge.source), _part(edge.target)
        where = f"{edge.source}:{edge.line} imports {edge.target}"
        if not target or source == target:
            continue
        if source == SIMULATOR:
            yield f"{where}: the simulators import nothing of the bridge"
        elif target == SIMULATOR:
            if source not in MAY_SIMULATE:
                yield f"{where}: only the commands may start the simulators"
        elif source and height.get(target, 0) > height.get(source, 0):
            yield f"{where}: that is a higher layer"
        elif source and height.get(target, 0) == height.get(source, 0):
            yield f"{where}: that is a sibling"
        elif not source:
            yield f"{where}: the package itself imports none of its modules"


def _cycles(edges: list[Import]) -> Iterator[str]:
    """Report each set of modules that import each other in a circle, packages from within included."""
    onward: dict[str, set[str]] = {}
    for edge in edges:
        onward.setdefault(edge.source, set()).add(edge.target)

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = list(onward.get(start, ()))
        while ahead:
            module = ahead.pop()
            if module not in seen:
                seen.add(module)
                ahead.extend(onward.get(module, ()))
        return seen

    reach = {module: reachable(module) for module in onward}
    circles = {
        frozenset(other for other in reach[module] if module in reach.get(other, ()))
        for module in onward
        if module in reach[module]
    }
    for circle in circles:
        yield f"{', '.join(sorted(circle))} import each other in a circle"
