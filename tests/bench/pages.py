"""How long pages of the console take to be made and sent."""

from __future__ import annotations

import re
import time

from tests import asking
from tests.bench.numbers import percentile
from tests.console import PASSWORD

PAGES = {
    "overview": "/",
    "events": "/events",
    "events, a page far back": "/events?before=40",
    "events of a state": "/events?state=dead",
    "events of a day": "/events?since=2026-11-22&until=2026-11-22",
    "search by e-mail": "/events?q=cliente1@example.com",
    "search by charge": "/events?q=pay_that_is_not_there",
    "one event": "/events/1",
    "needs attention": "/attention",
    "mappings": "/mappings",
}
_TRIES = 15


def took_ms(port: int) -> dict[str, float]:
    """Return for each page the median time of some requests after the first."""
    found = {}
    with asking.client(base_url=f"http://127.0.0.1:{port}", timeout=120) as person:
        token = re.search(r'name="csrf_token" value="([^"]+)"', person.get("/login").text)
        assert token is not None
        person.post("/login", data={"csrf_token": token[1], "password": PASSWORD})
        for name, path in PAGES.items():
            person.get(path).raise_for_status()
            took = []
            for _ in range(_TRIES):
                begun_s = time.perf_counter()
                person.get(path)
                took.append((time.perf_counter() - begun_s) * 1000)
            found[name] = percentile(took, 50)
    return found
