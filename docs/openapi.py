"""Writes docs/openapi.json: `python -m docs.openapi`, run by `make docs`."""

from __future__ import annotations

import json
from pathlib import Path

from bridge.web.openapi import document

FILE = Path(__file__).with_name("openapi.json")


def text() -> str:
    """Return what must stand in the file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
