"""The mapping language: YAML text in, a mapping that can run or findings with file, line and column out.

`spec` is the table of keys, `operators` and `functions` those of filters and expressions. `parser` reads a file,
`lint` and `sense` check it, `evaluate` applies a mapping to an event. The package reads files and nothing else.
"""

from __future__ import annotations

from bridge.mapping.findings import Finding, Severity
from bridge.mapping.model import Field, Mapping, ParseResult, Route, Setup
from bridge.mapping.parser import parse_mapping, read_directory, read_file, with_overlaps

__all__ = [
    "Field",
    "Finding",
    "Mapping",
    "ParseResult",
    "Route",
    "Setup",
    "Severity",
    "parse_mapping",
    "read_directory",
    "read_file",
    "with_overlaps",
]
