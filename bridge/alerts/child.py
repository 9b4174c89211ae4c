"""The process that sends: `python -m bridge.alerts.child` reads messages as JSON and sends each to its URL by apprise.

It sends to all URLs at once and answers a line of JSON for each, so that one that hangs takes no other with it. It
imports little: it is started for each message.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from bridge.messages import N_

AT_ONCE = 8
UNUSABLE = N_("apprise can't use the URL")
REFUSED = N_("the service did not accept the message")
NO_NAME = N_("no server of that name is found; is it spelt right?")
CLOSED = N_("nothing answers at the server's port; is it the right one?")
PRIVATE = N_(
    "the address leads to this machine or network, where nothing is sent; put it into BRIDGE_ALERT_URLS, or set "
    "BRIDGE_ALLOW_PRIVATE_DESTINATIONS=1"
)

_refused: ContextVar[list[str]] = ContextVar("_refused")
"""The addresses to which the message of this context was not let; apprise's own threads share it."""
_tried: ContextVar[list[tuple[str, int] | None]] = ContextVar("_tried")
"""Host and port of each connection that was tried, None for a name that was looked up."""
PROBE_S = 4.0
"""How long a failed message's server is tried once more, to say why."""


def main() -> None:
    posts = json.load(sys.stdin)
    # apprise logs why a service refused, and sometimes the URL, which is secret.
    logging.getLogger("apprise").disabled = True
    lock = threading.Lock()

    def answer(number: int) -> None:
        said = {"number": number, **_send_one(**posts[number])}
        with lock:
            print(json.dumps(said), flush=True)  # noqa: T201 (the answer)

    sys.addaudithook(_note_connection)
    if "--public" in sys.argv[1:]:
        _refuse_private()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(answer, range(len(posts))))


def _note_connection(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        _tried.get([]).append(None)
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        _tried.get([]).append((str(arguments[1][0]), int(arguments[1][1])))


def _why_not(tried: list[tuple[str, int] | None]) -> str:
    """Return why the service did not take a message, after another try of the connection that came last."""
    if not tried:
        return REFUSED
    if tried[-1] is None:
        return NO_NAME
    try:
        socket.create_connection(tried[-1], PROBE_S).close()
    except OSError:
        return CLOSED
    return REFUSED


def _refuse_private() -> None:
    """Let this process connect to public addresses only, and to the proxies of the environment."""
    from bridge.http import is_public

    names = {urlsplit(url).hostname for url in getproxies().values()}
    proxies = set()
    for name in names - {None}:
        try:
            proxies |= {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
        except OSError:
            continue

    def check_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"socket.connect", "socket.sendto"}:
            host = arguments[1][0] if isinstance(arguments[1], tuple) else ""
            try:
                allowed = host in proxies or is_public(ip_address(host))
            except ValueError:  # a name that the system would look up, or a socket of this machine
                allowed = False
            if not allowed:
                _refused.get([]).append(host)
                raise PermissionError

    sys.addaudithook(check_event)


def _send_one(url: str, title: str, body: str) -> dict[str, Any]:
    import apprise

    refused: list[str] = []
    tried: list[tuple[str, int] | None] = []
    _refused.set(refused)
    _tried.set(tried)
    service = apprise.Apprise.instantiate(url)
    problem = ""
    if service is None:
        problem = UNUSABLE
    elif body:
        notifier = apprise.Apprise()
        notifier.add(service)
        # As text: a service that takes HTML or Markdown only gets it turned into that.
        if not notifier.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT):
            problem = PRIVATE if refused else _why_not(list(tried))
    return {"service": url.split("://", 1)[0], "sent": not problem, "problem": problem}


if __name__ == "__main__":
    main()
