"""New revisions in real processes: taken up within two seconds without a restart, whole, and never by a broken file."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bridge.journal import Database, revisions
from bridge.journal.schema import deliveries
from tests import asking
from tests.acceptance.deployment import Deployment, until
from tests.services import RedisServer

pytestmark = pytest.mark.slow

WITHIN_S = 2.0
PAIR = ("a_funil", "b_regua")


def text_of(version: str) -> str:
    """Return a mapping that says its version in its first field, in its last and in its filter."""
    return f"""\
description: {version}
events: [PAYMENT_*]
filter: {{field: "'{version}'", equals: {version}}}
contact: {{email: "join('', [payment.customer, '@example.com'])", versao: {{text: {version}}}}}
deal:
  {version}: {{text: sim}}
  recado: payment.description
  fim: {{text: {version}}}
"""


def write(directory: Path, name: str, text: str) -> None:
    """Write a file as an editor does: whole, in one step."""
    draft = directory / f".{name}.draft"
    draft.write_text(text)
    os.replace(draft, directory / f"{name}.yaml")


def body(number: int, **payment: Any) -> bytes:
    """Return an event of one of ten customers."""
    return json.dumps(
        {
            "id": f"evt_05b708f961d739ea7eba7e4db318f621&{number}",
            "event": "PAYMENT_CREATED",
            "dateCreated": "2026-11-22 10:00:00",
            "payment": {"id": f"pay_{number}", "customer": f"cus_{number % 10}", "value": 10, **payment},
        }
    ).encode()


def ready(bridge: Deployment) -> dict[str, Any]:
    """Return what /readyz says of the mappings, and with which status."""
    answer = asking.get(f"http://127.0.0.1:{bridge.web_ports[0]}/readyz", timeout=10)
    return {"status": answer.status_code, **answer.json()["mappings"]}


class Traffic:
    """Posts an event every few milliseconds, each with the moment in which it was posted."""

    def __init__(self, bridge: Deployment) -> None:
        self._bridge = bridge
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._post)
        self.posted = 0

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._over.set()
        self._thread.join()

    def _post(self) -> None:
        while not self._over.wait(0.03):
            self._bridge.post_until_kept(body(self.posted, description=str(time.time())))
            self.posted += 1


def delivered(database: Database) -> list[tuple[int, str, int, dict[str, Any], str]]:
    """Return every delivery: event, mapping, revision, payload, state."""
    c = deliveries.c
    with database.read() as connection:
        rows = connection.execute(
            select(c.event_id, c.mapping, c.revision_id, c.payload, c.state).order_by(c.event_id, c.id)
        )
        return [(row[0], row[1], row[2], json.loads(row[3] or "{}"), row[4]) for row in rows]


def test_a_new_revision_is_taken_up_within_two_seconds_and_whole(
    tmp_path: Path, sqlite_url: str, redis_server: RedisServer
) -> None:
    """Under traffic, two files change three times: no event is half in one revision, no process needs a restart."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    for name in PAIR:
        write(mappings, name, text_of("v1"))
    changed: dict[str, float] = {}
    with Deployment(tmp_path, sqlite_url, redis_server.url, mappings) as bridge:
        bridge.start(webs=1, workers=2)
        with Traffic(bridge) as traffic:
            time.sleep(2)
            for version in ("v2", "v3", "v4"):
                for name in PAIR:
                    write(mappings, name, text_of(version))
                changed[version] = time.time()
                write(mappings, f"nova_{version}", text_of(version).replace("PAYMENT_*", "TRANSFER_*"))
                until(lambda version=version: f"nova_{version}" in ready(bridge)["active"], WITHIN_S)  # type: ignore[misc]
                time.sleep(WITHIN_S)
        database = Database(sqlite_url)
        until(lambda: len(delivered(database)) == 2 * traffic.posted, 60, every_s=0.5)
        rows = delivered(database)
        with database.read() as connection:
            texts = {one.id: one.text for name in PAIR for one in revisions.history(connection, name)}
        database.close()
        assert all(child.alive for child in bridge.children.values())

    by_event: dict[int, set[str]] = {}
    for event_id, _, revision_id, payload, state in rows:
        version = payload["versao"]
        assert state in {"delivered", "pending", "sending", "retrying"}
        assert payload["fim"] == version
        assert payload[version] == "sim"
        assert texts[revision_id] == text_of(version), "the delivery names the revision that made it"
        by_event.setdefault(event_id, set()).add(version)
        for newer, at in changed.items():
            if float(payload["recado"]) > at + WITHIN_S:
                assert version >= newer, f"posted {float(payload['recado']) - at:.2f} s after {newer} was written"
    # Both files were written within a sweep or not; whichever it was, most events saw them change together.
    mixed = [versions for versions in by_event.values() if len(versions) > 1]
    assert len(mixed) <= len(by_event) // 10
    assert {version for versions in by_event.values() for version in versions} == {"v1", "v2", "v3", "v4"}


def test_a_broken_file_stops_nothing_and_a_restored_revision_counts(
    tmp_path: Path, sqlite_url: str, redis_server: RedisServer
) -> None:
    """The last good revision goes on, other files change meanwhile, /readyz says file and line until it is mended.

    An operator's restore is taken up as quickly, and the file that still has the other text does not take it back.
    """
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    for name in PAIR:
        write(mappings, name, text_of("v1"))
    with Deployment(tmp_path, sqlite_url, redis_server.url, mappings) as bridge:
        bridge.start(webs=1, workers=1)
        write(mappings, "a_funil", text_of("v2").replace("payment.description", "paymnt..description"))
        write(mappings, "b_regua", text_of("v2"))
        until(lambda: ready(bridge)["problems"], WITHIN_S)
        time.sleep(WITHIN_S)
        said = ready(bridge)
        database = Database(sqlite_url)
        bridge.post_until_kept(body(1, description="0"))
        until(lambda: len(delivered(database)) == 2, 30)

        assert [problem.split(": ")[0] for problem in said["problems"]] == [f"{mappings}/a_funil.yaml:7:18"]
        assert said["active"] == [*PAIR]
        assert [(row[1], row[3]["versao"]) for row in delivered(database)] == [("a_funil", "v1"), ("b_regua", "v2")]

        write(mappings, "a_funil", text_of("v2"))
        until(lambda: ready(bridge)["problems"] == [], WITHIN_S)
        time.sleep(WITHIN_S)
        bridge.post_until_kept(body(2, description="0"))
        until(lambda: len(delivered(database)) == 4, 30)
        assert {row[3]["versao"] for row in delivered(database)[2:]} == {"v2"}

        first = bridge.bridge("mappings", "history", "a_funil")[-1]["id"]
        with database.write() as connection:
            revision = revisions.get(connection, first)
            assert revision is not None
            revisions.restore(connection, revision, "ana", int(time.time() * 1000))
        time.sleep(WITHIN_S)
        bridge.post_until_kept(body(3, description="0"))
        time.sleep(WITHIN_S)
        bridge.post_until_kept(body(4, description="0"))
        until(lambda: len(delivered(database)) == 8, 30)
        assert [(row[1], row[3]["versao"]) for row in delivered(database)[4:]] == [
            *zip(PAIR, ("v1", "v2"), strict=True)
        ] * 2
        database.close()
