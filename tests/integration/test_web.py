"""The answers of the web process, as the contract has them: to Asaas, to whoever asks for its health, to strangers."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import re
import resource
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from flask.testing import FlaskClient
from redis import Redis
from sqlalchemy import text
from werkzeug.test import TestResponse

from bridge.errors import JournalError
from bridge.journal import Journal, events, jobs, revisions
from bridge.model import DeliveryState, lane_of
from bridge.operations.doctor import State, run_checks
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.wakeups import QUEUE
from bridge.web.app import create_app
from bridge.web.door import MAX_BODY_BYTES
from tests import asking
from tests.acceptance.forked import Forked
from tests.databases import on_both
from tests.factories import NOW_MS, envelope, events_of, opened_journal, owe, register, until
from tests.peers import closed_port
from tests.services import PostgresServer, RedisServer, free_port

ROOT = Path(__file__).parents[2]
TOKEN = "0f3c1d5e-7a28-4b96-8c42-d19e6b7a5c30"
OTHER = "9d2b1d5e-7a28-4b96-8c42-d19e6b7a5c31"
MAPPING = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
tests: []
"""


def environment(database_url: str, redis_url: str, scratch: Path, **more: str) -> dict[str, str]:
    """Return the environment of a web process with two accounts, one of them without a token."""
    (scratch / "mappings").mkdir(exist_ok=True)
    (scratch / "mappings" / "paga.yaml").write_text(MAPPING)
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "BRIDGE_DATA_DIR": str(scratch),
        "BRIDGE_MAPPINGS_DIR": str(scratch / "mappings"),
        "ASAAS_WEBHOOK_TOKEN": TOKEN,
        "ASAAS_WEBHOOK_TOKEN_MATRIZ": OTHER,
        "ASAAS_API_KEY_SEMTOKEN": "$aact_hmlg_x",
        "CLINT_WEBHOOK_URL": "https://clint.example/a",
        **more,
    }


class World:
    """A web application in this process, on a real journal and a real Redis."""

    def __init__(self, journal: Journal, runtime: Runtime) -> None:
        self.journal = journal
        self.runtime = runtime
        self.client: FlaskClient = create_app(runtime).test_client()

    def post(self, body: Any, path: str = "/webhooks/asaas", token: str | None = TOKEN, **more: Any) -> TestResponse:
        """Post a body as Asaas does."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {} if token is None else {"asaas-access-token": token}
        return self.client.post(path, data=data, headers=headers, content_type="application/json", **more)


@pytest.fixture
def world(database_url: str, redis_url: str, redis: Redis, tmp_path: Path) -> Iterator[World]:
    """Give a web application on each database."""
    with opened_journal(database_url) as journal:
        runtime = Runtime(Settings.from_env(environment(database_url, redis_url, tmp_path)))
        runtime.register()
        yield World(journal, runtime)
        runtime.close()


def error_of(answer: TestResponse) -> dict[str, str]:
    """Return the one shape in which every error is said."""
    assert answer.json is not None
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"code", "message"}
    found: dict[str, str] = answer.json["error"]
    return found


# ---------------------------------------------------------------- the door


@on_both
def test_an_event_is_kept_and_answered_exactly_200(world: World, redis: Redis) -> None:
    """Asaas counts any other 2xx as a failure; the event is there and its lane is woken."""
    body = envelope()
    answer = world.post(body)

    assert (answer.status_code, answer.json) == (200, {"received": True})
    (row,) = events_of(world.journal)
    expected = {
        "account": "default",
        "event_key": body["id"],
        "name": "PAYMENT_RECEIVED",
        "entity": "payment",
        "object_id": "pay_1",
        "subject": "cus_1",
        "created": "2026-11-22 10:00:00",
        "body": json.dumps(body),
    }
    assert expected.items() <= row.items()
    until(lambda: redis.llen(f"rq:queue:{QUEUE}") == 1)
    assert redis.exists(f"bridge:wake:{lane_of('default', 'cus_1', world.journal.lane_count)}")


def test_a_repeated_event_is_answered_the_same(world: World) -> None:
    """Asaas delivers at least once: the same id again is kept once, counted, and no failure."""
    body = envelope()
    answers = [world.post(body) for _ in range(3)]

    assert [(answer.status_code, answer.json) for answer in answers] == [(200, {"received": True})] * 3
    assert [row["repeats"] for row in events_of(world.journal)] == [2]


def test_unknown_events_and_fields_are_kept(world: World) -> None:
    """Asaas adds events without notice; an answer other than 200 would pause its queue."""
    for body in ({"event": "SOMETHING_NEW"}, {"event": "x" * 5_000, "id": "1", "new": {"id": 7}}, {"event": " ça "}):
        assert world.post(body).status_code == 200

    assert len(events_of(world.journal)) == 3


def test_each_account_has_its_own_path_and_token(world: World) -> None:
    """The account named in the path, and the one without a name under both of its paths."""
    assert world.post(envelope(), "/webhooks/asaas/matriz", OTHER).status_code == 200
    assert world.post(envelope(), "/webhooks/asaas/default").status_code == 200
    assert world.post(envelope(), "/webhooks/asaas/matriz", TOKEN).status_code == 401

    assert [row["account"] for row in events_of(world.journal)] == ["matriz", "default"]


@pytest.mark.parametrize(("path", "token"), [("", TOKEN), ("/default", TOKEN), ("/matriz", OTHER)])
def test_an_address_with_a_slash_at_its_end_is_the_door(world: World, path: str, token: str) -> None:
    """It is answered like the one without, and not by a redirect: Asaas would take that for a failure."""
    assert world.post(envelope(), f"/webhooks/asaas{path}/", token).status_code == 200


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN.upper(), f"{TOKEN} ", TOKEN[:-1], "ação", OTHER])
def test_a_wrong_token_is_401(world: World, token: str | None) -> None:
    """Nothing is kept, and the answer does not say what would be right."""
    answer = world.post(envelope(), token=token)

    assert answer.status_code == 401
    assert error_of(answer)["code"] == "webhook.wrong_token"
    assert TOKEN not in answer.text
    assert events_of(world.journal) == []


def test_two_tokens_are_valid_for_a_time(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    """While one takes the place of the other both let in, and which one came is noted once the event is kept."""
    env = environment(sqlite_url, redis_url, tmp_path, ASAAS_WEBHOOK_TOKEN=f"{TOKEN} {OTHER}")
    with opened_journal(sqlite_url) as journal:
        runtime = Runtime(Settings.from_env(env))
        world = World(journal, runtime)
        statuses = [world.post(body, token=token).status_code for body in ({}, envelope()) for token in (OTHER, TOKEN)]
        refused = [world.post(envelope(), token=token).status_code for token in (f"{TOKEN} {OTHER}", "", "x")]
        with journal.database.read() as connection:
            new_ms, old_ms = events.tokens_used(connection, "default")
            noted = set(events.refusals_since(connection, "default", 0))
        runtime.close()

    assert statuses == [400, 400, 200, 200]
    assert refused == [401] * 3
    assert new_ms is not None
    assert old_ms is not None
    assert noted == {"webhook.not_an_event", "webhook.wrong_token"}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "status"),
    [("0", "", 403), ("0", "52.67.12.206", 403), ("1", "52.67.12.206", 200), ("1", "52.67.12.206, 203.0.113.9", 403)],
)
def test_the_door_may_be_open_to_some_addresses_only(
    sqlite_url: str, redis_url: str, tmp_path: Path, proxies: str, forwarded: str, status: int
) -> None:
    """Behind a proxy that the operator named its X-Forwarded-For counts, else the address of the connection."""
    more = {"BRIDGE_WEBHOOK_ALLOWED_IPS": "asaas", "BRIDGE_TRUSTED_PROXIES": proxies}
    with opened_journal(sqlite_url) as journal:
        runtime = Runtime(Settings.from_env(environment(sqlite_url, redis_url, tmp_path, **more)))
        answer = World(journal, runtime).client.post(
            "/webhooks/asaas",
            json=envelope(),
            headers={"asaas-access-token": TOKEN, "X-Forwarded-For": forwarded} if forwarded else {"X-A": "b"},
        )
        runtime.close()

    assert answer.status_code == status
    if status == 403:
        assert error_of(answer)["code"] == "webhook.address_not_allowed"
        assert TOKEN not in answer.text


def test_an_account_without_a_token_lets_nobody_in(world: World) -> None:
    """An empty header must not open the door of an account that only has an API key."""
    for token in (None, "", "x"):
        assert world.post(envelope(), "/webhooks/asaas/semtoken", token).status_code == 401


@pytest.mark.parametrize("path", ["/webhooks/asaas/filial", "/webhooks/asaas/MATRIZ", "/webhooks/asaas/%00"])
def test_an_unknown_account_is_404(world: World, path: str) -> None:
    """The answer names the variable that would set it up."""
    answer = world.post(envelope(), path)

    assert answer.status_code == 404
    assert error_of(answer)["code"] == "webhook.unknown_account"
    assert "ASAAS_WEBHOOK_TOKEN_" in error_of(answer)["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"PAYMENT_RECEIVED"',
        b"null",
        b"{}",
        b'{"event": ""}',
        b'{"event": 7}',
        b'{"event": "X", "value": NaN}',
        b'{"event": "X", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"event": "X", "value": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_not_an_event_is_400(world: World, body: bytes) -> None:
    """Not a JSON object with an event name; nothing is kept."""
    answer = world.post(body)

    assert answer.status_code == 400
    assert error_of(answer)["code"] == "webhook.not_an_event"
    assert events_of(world.journal) == []


def test_a_body_over_the_limit_is_413(world: World) -> None:
    """One byte more than 1 MiB, or many; one of exactly that size is kept."""
    head = b'{"event": "X", "id": "1", "fill": "'
    fitting = head + b"x" * (MAX_BODY_BYTES - len(head) - 2) + b'"}'
    assert len(fitting) == MAX_BODY_BYTES

    assert world.post(fitting).status_code == 200
    for more in (b" ", b" " * 10_000):
        answer = world.post(fitting + more)
        assert answer.status_code == 413
        assert error_of(answer)["code"] == "webhook.body_too_large"
    assert len(events_of(world.journal)) == 1


def test_a_journal_that_is_away_is_503_and_says_nothing_of_the_database(world: World) -> None:
    """Asaas comes again; the cause is for the log."""
    with world.journal.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE events RENAME TO gone")
    answer = world.post(envelope())

    assert answer.status_code == 503
    # PostgreSQL says that the table is missing, which is no fault of the connection.
    assert error_of(answer) in (
        {"code": "journal.unavailable", "message": JournalError.__doc__},
        {"code": "journal.refused", "message": JournalError.__doc__},
    )


def test_other_requests_are_answered_in_the_same_shape(world: World) -> None:
    """A path or method that is not there; a fault of ours shows no more than that."""
    missing = world.client.get("/nothing/here")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "http.404")
    assert world.post(envelope(), "/webhooks//asaas").status_code == 404, "no redirect: Asaas would not follow it"
    method = world.client.get("/webhooks/asaas")
    assert (method.status_code, error_of(method)["code"]) == (405, "http.405")

    world.runtime.__dict__["intake"] = None
    fault = world.post(envelope())
    del world.runtime.__dict__["intake"]
    assert fault.status_code == 500
    assert error_of(fault) == {"code": "bridge.error", "message": "the bridge could not do what was asked"}


# ---------------------------------------------------------------- health and numbers


def test_healthz_says_that_the_process_is_alive(world: World) -> None:
    """It asks nobody."""
    answer = world.client.get("/healthz")

    assert (answer.status_code, answer.json) == (200, {"alive": True})


def test_readyz_says_what_every_part_says(world: World) -> None:
    """Journal, Redis and mappings, all ready."""
    answer = world.client.get("/readyz")

    assert answer.json == {
        "ready": True,
        "journal": {"ready": True},
        "redis": {"ready": True},
        "mappings": {"ready": True, "active": ["paga"], "problems": []},
        "tasks": {"ready": True, "late": []},
    }
    assert answer.status_code == 200


def test_readyz_names_the_tasks_that_are_late(world: World) -> None:
    """The door works without them, so that it stays ready."""
    with world.journal.database.write() as connection:
        jobs.note_result(connection, jobs.TASKS, {"fold_counts": NOW_MS, "wake_due_lanes": 2**60})
    answer = world.client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["tasks"] == {"ready": True, "late": ["fold_counts"]}


def test_a_broken_file_is_said_and_the_bridge_ready_while_a_revision_goes_on(world: World, tmp_path: Path) -> None:
    """200, with file and line of what is wrong in a mapping; the good revision stays active."""
    (tmp_path / "mappings" / "paga.yaml").write_text(f"{MAPPING}speed: 3\n")
    answer = world.client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["mappings"]["active"] == ["paga"]
    assert re.search(r"paga\.yaml:5:1: ", answer.json["mappings"]["problems"][0])


def test_readyz_names_a_mapping_that_holds_the_events(world: World) -> None:
    """An active revision that this version can't run makes every event wait: that must be seen."""
    with world.journal.database.write() as connection:
        revisions.import_text(connection, "antiga", "events: [X]\nspeed: 3\n", "console", "ana", NOW_MS)
    until(lambda: world.client.get("/readyz").status_code == 503)

    answer = world.client.get("/readyz")
    assert answer.json is not None
    assert answer.json["mappings"]["problems"][0].startswith("mapping antiga can't run in this version")


def test_readyz_without_redis_or_journal(tmp_path: Path) -> None:
    """Each part says its own problem; a Redis that is away does not cost the answer."""
    with closed_port() as port:
        none = f"sqlite:///{tmp_path / 'none.db'}"
        runtime = Runtime(Settings.from_env(environment(none, f"redis://127.0.0.1:{port}", tmp_path)))
        answer = create_app(runtime).test_client().get("/readyz")
        runtime.close()

    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["redis"]["ready"] is False
    assert "REDIS_URL" in answer.json["redis"]["problem"]
    assert "bridge db upgrade" in answer.json["journal"]["problem"]
    assert answer.json["mappings"]["ready"] is False


def _fill(path: Path, stack: contextlib.ExitStack) -> None:
    """Let no file grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, before)
    size = max(file.stat().st_size for file in path.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))


def _delete(path: Path, _stack: contextlib.ExitStack) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def _damage(path: Path, _stack: contextlib.ExitStack) -> None:
    """Overwrite the page of a table that events do not come to."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'journal_meta'").fetchone()
        (size,) = other.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def _lock_turn(path: Path, stack: contextlib.ExitStack) -> None:
    """Hold the bridge's own lock, as a process does that was stopped in the middle of a write."""
    file = stack.enter_context(path.with_name(f"{path.name}.turn").open("ab"))
    fcntl.flock(file, fcntl.LOCK_EX)


def _lock_write(path: Path, stack: contextlib.ExitStack) -> None:
    """Hold SQLite's write lock, as a program does that knows nothing of the bridge's."""
    other = stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
    other.execute("BEGIN IMMEDIATE")


@pytest.mark.slow
@pytest.mark.parametrize("harm", [_lock_turn, _lock_write])
def test_readyz_is_not_ready_while_a_lock_keeps_posts_out(
    tmp_path: Path, redis_url: str, harm: Callable[[Path, contextlib.ExitStack], None]
) -> None:
    """While somebody holds it a post gets 503 and /readyz too, in bounded time; both are well again after it."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with opened_journal(url), contextlib.ExitStack() as stack:
        runtime = Runtime(Settings.from_env(environment(url, redis_url, tmp_path)))
        stack.callback(runtime.close)
        runtime.register()
        world = World(runtime.journal, runtime)
        with contextlib.ExitStack() as held, ThreadPoolExecutor(2) as pool:
            harm(tmp_path / "journal.db", held)
            began_s = time.monotonic()
            asked = pool.submit(world.client.get, "/readyz")
            posted = pool.submit(world.post, envelope())
            statuses = (asked.result().status_code, posted.result().status_code)
            took_s = time.monotonic() - began_s
        until(lambda: world.client.get("/readyz").status_code == 200)

        assert statuses == (503, 503)
        assert took_s < 2 * 5 + 5
        assert world.post(envelope()).status_code == 200


@on_both
@pytest.mark.parametrize("table", ["events", "lanes", "deliveries", "attempts", "destinations", "tallies"])
def test_readyz_is_not_ready_without_a_table_that_deliveries_need(world: World, table: str) -> None:
    """An event could be kept, but no delivery sent."""
    with world.journal.database.write() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO away"))
    answer = world.client.get("/readyz")
    with world.journal.database.write() as connection:
        connection.execute(text(f"ALTER TABLE away RENAME TO {table}"))

    assert answer.status_code == 503
    assert answer.json is not None
    assert table in answer.json["journal"]["problem"]


@pytest.mark.parametrize(("harm", "status"), [(_fill, 503), (_delete, 503), (_damage, 200)])
def test_readyz_says_of_the_journal_what_the_door_says(
    tmp_path: Path, redis_url: str, harm: Callable[[Path, contextlib.ExitStack], None], status: int
) -> None:
    """A full disk, a file deleted under it, damaged pages elsewhere: a post and /readyz come to the same."""
    (directory := tmp_path / "data").mkdir()
    url = f"sqlite:///{directory / 'journal.db'}"
    with opened_journal(url), contextlib.ExitStack() as stack:
        runtime = Runtime(Settings.from_env(environment(url, redis_url, tmp_path)))
        stack.callback(runtime.close)
        runtime.register()
        world = World(runtime.journal, runtime)
        assert world.post(envelope()).status_code == 200
        assert world.client.get("/readyz").status_code == 200
        harm(directory / "journal.db", stack)
        # A log that had room for one more event has none then.
        until(lambda: world.post(envelope(id=uuid4().hex)).status_code == status)
        until(lambda: world.client.get("/readyz").status_code == status)
        answer = world.client.get("/readyz").json

        assert answer is not None
        assert answer["journal"]["ready"] == (status == 200)
        assert world.post(envelope(id=uuid4().hex)).status_code == status


@on_both
def test_trying_leaves_no_trace(world: World) -> None:
    """The event that /readyz keeps and removes costs no number and is seen by nobody."""
    world.post(envelope(id="a"))
    assert world.client.get("/readyz").status_code == 200
    world.post(envelope(id="b"))

    first, second = events_of(world.journal)
    assert second["id"] == first["id"] + 1


@pytest.mark.parametrize("how", ["full", "replica"])
def test_a_redis_that_takes_no_writes_is_not_ready(
    tmp_path: Path, sqlite_url: str, redis_server: RedisServer, how: str
) -> None:
    """Full with noeviction, or a replica: it answers a ping, and no wake-up goes through it."""
    with Redis.from_url(redis_server.url) as client, opened_journal(sqlite_url), contextlib.ExitStack() as stack:
        if how == "full":
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")
        else:
            stack.callback(client.replicaof, "NO", "ONE")
            client.replicaof("127.0.0.1", str(free_port()))
        runtime = Runtime(Settings.from_env(environment(sqlite_url, redis_server.url, tmp_path)))
        stack.callback(runtime.close)
        runtime.register()
        answer = create_app(runtime).test_client().get("/readyz")
        checked = {str(check.name): check for check in run_checks(runtime, lambda: runtime.journal)}

    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["redis"]["ready"] is False
    assert checked["redis"].state is State.WRONG
    assert "takes no writes" in str(checked["redis"].value)
    assert checked["journal"].state is State.FINE


def test_metrics_count_what_is_unfinished(world: World) -> None:
    """Waiting events with the age of the oldest, deliveries by state, destinations that take something."""
    register(world.journal, default="https://clint.example/a")
    owe(world.journal)
    owe(world.journal, customer="cus_2", state=DeliveryState.DEAD)
    world.post(envelope())
    answer = world.client.get("/metrics")

    assert answer.status_code == 200
    assert answer.mimetype == "text/plain"
    numbers = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert numbers["bridge_events_waiting"] == "1.0"
    assert 0 <= float(numbers["bridge_oldest_waiting_seconds"]) < 60
    assert numbers['bridge_deliveries{state="pending"}'] == "1.0"
    assert numbers['bridge_deliveries{state="dead"}'] == "1.0"
    assert numbers['bridge_deliveries{state="sending"}'] == "0.0"
    assert numbers['bridge_destination_up{destination="default"}'] == "1.0"


# ---------------------------------------------------------------- a real web process


class Site:
    """A web process as the Procfile runs it."""

    def __init__(self, env: Mapping[str, str], scratch: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log = scratch / "web.log"
        coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        self.log.touch()
        command = [sys.executable, "-m", "bridge", "web", "--port", str(self.port)]
        self.process = Forked(command, {"PATH": os.environ["PATH"], **coverage, **env}, self.log)
        until(self.answers, 30)

    def answers(self) -> bool:
        """Whether it is up."""
        with contextlib.suppress(httpx.TransportError):
            return asking.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200
        return False

    def post(self, body: Any, token: str = TOKEN) -> int:
        """Post an event and return the status."""
        headers = {"asaas-access-token": token}
        url = f"http://127.0.0.1:{self.port}/webhooks/asaas"
        return asking.post(url, json=body, headers=headers, timeout=15).status_code


@contextlib.contextmanager
def running(env: Mapping[str, str], scratch: Path) -> Iterator[Site]:
    """Give a web process that is ended with the block."""
    site = Site(env, scratch)
    try:
        yield site
    finally:
        site.process.kill()
        site.process.wait()


def chunked(site: Site, pieces: list[bytes], token: str = TOKEN) -> int:
    """Post a body in chunks, without a Content-Length; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=15)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/webhooks/asaas")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("asaas-access-token", token)
        connection.endheaders()
        with contextlib.suppress(OSError):  # a server that has seen enough closes the connection
            for piece in [*pieces, b""]:
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        return connection.getresponse().status


@pytest.mark.slow
def test_a_chunked_body_is_bounded_too(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    """A small one without a Content-Length is kept; a large one is refused without being gathered."""
    with opened_journal(sqlite_url) as journal, running(environment(sqlite_url, redis_url, tmp_path), tmp_path) as site:
        body = json.dumps(envelope()).encode()
        assert chunked(site, [body[:10], body[10:]]) == 200
        assert chunked(site, [b'{"event": "', *[b"x" * 65_536] * 17, b'"}']) == 413
        assert site.post(envelope()) == 200

        assert len(events_of(journal)) == 2


@pytest.mark.slow
def test_sigterm_answers_what_is_under_way(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    """The request that waits for its commit gets its 200; then the process ends with status 0."""
    with opened_journal(sqlite_url) as journal, running(environment(sqlite_url, redis_url, tmp_path), tmp_path) as site:
        assert site.post(envelope()) == 200
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=15)
        with contextlib.closing(connection):
            with journal.database.write() as held:
                held.exec_driver_sql("UPDATE lanes SET fence = fence WHERE lane = 0")
                body = json.dumps(envelope())
                connection.request("POST", "/webhooks/asaas", body, {"asaas-access-token": TOKEN})
                time.sleep(0.5)
                site.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
            assert connection.getresponse().status == 200
        assert site.process.wait(20) == 0
        assert len(events_of(journal)) == 2
        assert "Traceback" not in site.log.read_text()


@pytest.mark.slow
def test_a_database_that_goes_away(postgres_server: PostgresServer, redis_url: str, tmp_path: Path) -> None:
    """While the database is away 503, afterwards 200 without a restart."""
    with postgres_server.database() as url, opened_journal(url) as journal:
        env = environment(url, redis_url, tmp_path)
        with running(env, tmp_path) as site:
            assert {site.post(envelope()) for _ in range(20)} == {200}
            postgres_server.kill()
            assert site.post(envelope()) == 503
            postgres_server.start()
            until(lambda: site.post(envelope()) == 200)
            assert {site.post(envelope()) for _ in range(20)} == {200}

            assert len(events_of(journal)) >= 41


@pytest.mark.alone
@pytest.mark.slow
def test_a_web_process_starts_without_its_database_and_without_redis(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """The door opens with 503 and takes events as soon as the database is there; Redis is not needed for that."""
    with postgres_server.database() as url, closed_port() as port:
        with opened_journal(url):
            pass
        postgres_server.kill()
        with running(environment(url, f"redis://127.0.0.1:{port}", tmp_path), tmp_path) as site:
            assert site.post(envelope()) == 503
            postgres_server.start()
            until(lambda: site.post(envelope()) == 200)
            began_s = time.monotonic()
            assert [site.post(envelope()) for _ in range(10)] == [200] * 10
            assert time.monotonic() - began_s < 3
