"""Sends a message by a process of its own, which may hang and be killed without harm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.alerting.message import Message

TIMEOUT_S = 60.0
"""For all URLs together; apprise itself gives each connection and answer four seconds."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a message at one URL."""

    service: str
    """The URL's scheme, such as slack; the rest of it is secret."""
    sent: bool
    problem: str


def send(
    urls: Sequence[str], message: Message, timeout_s: float = TIMEOUT_S, python: str = sys.executable
) -> list[Result]:
    """Send the message to each URL and return what became of it; never raises."""
    given = {"urls": list(urls), "title": message.title, "body": message.body}
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter and this package)
            [python, "-m", "bridge.alerting.child"],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
        return [Result(**one) for one in json.loads(done.stdout)]
    except subprocess.TimeoutExpired:
        problem = f"not sent within {timeout_s:g} s"
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        problem = f"the process that sends ended with {type(error).__name__}"
    return [Result(url.split("://", 1)[0], False, problem) for url in urls]


def check(urls: Sequence[str]) -> list[Result]:
    """Return which URLs apprise knows how to use; sends nothing."""
    return send(urls, Message("", ""))
