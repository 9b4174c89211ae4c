"""Reads the YAML files of words that come with the bridge, by the C loader where there is one.

They have hundreds of lines, which take the other loader a tenth of a second in each process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> dict[str, Any]:
    """Return what stands in a file of the bridge's own."""
    words: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 (a safe loader)
    return words
