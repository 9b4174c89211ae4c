"""Switches a mapping on or off in its text, and changes nothing else of it."""

from __future__ import annotations

import re

_ENABLED = re.compile(r"^enabled:[^\n#]*?(?=[ \t]*(#[^\n]*)?$)", re.MULTILINE)
_FIRST_KEY = re.compile(r"^[A-Za-z_][\w-]*:", re.MULTILINE)


def switched(text: str, *, on: bool) -> str:
    """Return the text with `enabled` as told, in the line where it stands or before the first key.

    >>> switched("description: x\\nenabled: false # later\\nevents: [A]\\n", on=True)
    'description: x\\nenabled: true # later\\nevents: [A]\\n'
    >>> switched("# x\\nevents: [A]\\n", on=False)
    '# x\\nenabled: false\\nevents: [A]\\n'
    """
    line = f"enabled: {'true' if on else 'false'}"
    if _ENABLED.search(text):
        return _ENABLED.sub(line, text, count=1)
    return _FIRST_KEY.sub(lambda first: f"{line}\n{first[0]}", text, count=1)
