"""The mapping language: YAML text in, mappings that can run or findings with file, line and column out.

`spec` is the one table of keys, `operators` and `functions` the tables of a filter's operators and of what expressions
may call. `document` reads YAML nodes, `entries` holds them against the table, `conditions`, `fields` and `cases` build
the parts, `lint` looks at the whole, `sense` at what it would send. Nothing here evaluates a mapping on an event: that
is filtering and transform.
"""

from __future__ import annotations

from bridge.mapping.findings import Finding, Severity
from bridge.mapping.model import Field, Mapping, MappingSet, ParseResult, Route, Setup
from bridge.mapping.parser import parse_mapping, read_directory, read_file, with_overlaps

__all__ = [
    "Field",
    "Finding",
    "Mapping",
    "MappingSet",
    "ParseResult",
    "Route",
    "Setup",
    "Severity",
    "parse_mapping",
    "read_directory",
    "read_file",
    "with_overlaps",
]
