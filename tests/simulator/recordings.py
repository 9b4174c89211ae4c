"""Bodies of the real services, recorded and scrubbed, by the name of their file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
FOLDERS = (DATA / "specs" / "recorded", DATA / "asaas")


def recorded(name: str) -> dict[str, Any]:
    """Read a recorded body."""
    path = next(folder / f"{name}.json" for folder in FOLDERS if (folder / f"{name}.json").exists())
    return dict(json.loads(path.read_text(encoding="utf-8")))
