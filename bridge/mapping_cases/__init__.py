"""Runs the `tests:` of a mapping with the very functions that the worker uses, and reports what differs.

Nothing is fetched: what a case needs from Asaas stands under its `with`. A case that reads more than that fails and
says so, because at run time the bridge would have fetched it.
"""

from __future__ import annotations

from bridge.mapping_cases.reached import Part, parts_of
from bridge.mapping_cases.running import CaseResult, Difference, run

__all__ = ["CaseResult", "Difference", "Part", "parts_of", "run"]
