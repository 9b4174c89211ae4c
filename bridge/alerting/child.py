"""The process that sends one message: `python -m bridge.alerting.child`, with URLs and message as JSON on its input.

apprise takes 36 MB with all that it knows: so much stays out of the worker. It must never print a URL, which is a
password as a whole: an answer names the service and whether it took the message.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import apprise


def main() -> None:
    """Send to each URL and print for each the service and whether it took the message."""
    given = json.load(sys.stdin)
    # It logs why a service said no, and sometimes to what URL.
    logging.getLogger("apprise").disabled = True
    json.dump([_sent(url, given["title"], given["body"]) for url in given["urls"]], sys.stdout)


def _sent(url: str, title: str, body: str) -> dict[str, Any]:
    scheme = url.split("://", 1)[0]
    service = apprise.Apprise.instantiate(url)
    if service is None:
        return {"service": scheme, "sent": False, "problem": "apprise can't use the URL"}
    if not body or service.notify(body=body, title=title):
        return {"service": scheme, "sent": True, "problem": ""}
    return {"service": scheme, "sent": False, "problem": "the service did not take the message"}


if __name__ == "__main__":
    main()
