"""What the bridge and its libraries write: one JSON object a line, with an action, without secrets."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import threading
import timeit
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
import structlog

from bridge import logs

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Give a stream that the records go to, and put the logging of the test run back after."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level
    for name in ("httpx", "httpcore", "urllib3", "rq", "rq.worker", "alembic"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """Give what has been written so far, read as JSON lines."""
    logs.configure("info", json=True, stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_records_that_are_written_together_are_one_piece(stream: io.StringIO, lines: Lines) -> None:
    """They come in their order when the block is left, also by an error; another thread's are not held back."""
    log = logs.logger("bridge.pipeline.deliver")

    def fail() -> None:
        with logs.log_batch():
            log.info("one")
            log.info("two")
            other = threading.Thread(target=log.info, args=("other",))
            other.start()
            other.join()
            assert [line["action"] for line in lines()] == ["other"]
            raise ZeroDivisionError

    assert lines() == []
    with pytest.raises(ZeroDivisionError):
        fail()
    with logs.log_batch():
        pass
    log.info("three")

    assert [json.loads(line)["action"] for line in stream.getvalue().splitlines()] == ["other", "one", "two", "three"]


def test_a_record_is_one_json_line(lines: Lines) -> None:
    """Time, level, action and logger come first, then the fields as they were given."""
    logs.logger("bridge.pipeline.policy").info("delivery.attempted", delivery_id=7, outcome="retry", due=None)
    (record,) = lines()

    assert list(record) == ["at", "level", "action", "logger", "delivery_id", "outcome", "due"]
    assert datetime.fromisoformat(record["at"]).tzinfo is not None
    assert record | {"at": ""} == {
        "at": "",
        "level": "info",
        "action": "delivery.attempted",
        "logger": "bridge.pipeline.policy",
        "delivery_id": 7,
        "outcome": "retry",
        "due": None,
    }


def test_texts_are_redacted(lines: Lines) -> None:
    """Secrets and personal data are masked in fields, in what fields hold, and in the action itself."""
    logs.logger("bridge").warning("to a@b.example", url="redis://:pw@h/0", parts=[{"cpf": "123.456.789-09"}])
    (record,) = lines()

    assert record["action"] == "to [e-mail]"
    assert record["url"] == "redis://[credentials]@h/0"
    assert record["parts"] == [{"cpf": "[cpf/cnpj]"}]


def test_an_exception_is_one_field(lines: Lines) -> None:
    """A traceback does not break the line, and is redacted like any text."""
    try:
        raise ValueError("no a@b.example")
    except ValueError:
        logs.logger("bridge").exception("web.failed")
    (record,) = lines()

    assert record["level"] == "error"
    assert record["exception"].startswith("Traceback")
    assert record["exception"].endswith("\nValueError")


def test_a_field_can_not_take_the_place_of_a_given_one(lines: Lines) -> None:
    """A caller's field named `at` or `level` does not change what the record is."""
    logs.logger("bridge").info("web.started", at="never")
    (record,) = lines()

    assert record["at"] != "never"


def test_strange_texts_are_written(lines: Lines) -> None:
    """Lone surrogates and line breaks out of a webhook can't break the stream of lines."""
    logs.logger("bridge").info("web.started", text="\ud800\n\u2028é")

    assert lines()[0]["text"] == "\ud800\n\u2028é"


def test_levels_below_are_not_written(lines: Lines) -> None:
    """With level info a debug record costs nothing and is not written."""
    logs.logger("bridge").debug("lane.looked")
    logging.getLogger("some.library").debug("looked")

    assert lines() == []


def test_a_new_configuration_holds_for_kept_loggers(stream: io.StringIO, lines: Lines) -> None:
    """A logger that a module made at its import follows the configuration made later."""
    log = logs.logger("bridge")
    log.info("a.b")
    second = io.StringIO()
    logs.configure("debug", json=True, stream=second)
    log.debug("c.d")

    assert len(lines()) == 1
    assert json.loads(second.getvalue())["action"] == "c.d"


def test_libraries_go_the_same_way(lines: Lines) -> None:
    """A library's record has an action of its own and its text, redacted, as a field."""
    logging.getLogger("some.library").info("hello %s", "a@b.example")
    (record,) = lines()

    assert list(record) == ["at", "level", "action", "logger", "message"]
    assert (record["level"], record["action"], record["logger"]) == ("info", "library.logged", "some.library")
    assert record["message"] == "hello [e-mail]"


def test_a_library_s_exception_is_one_field(lines: Lines) -> None:
    """A library's traceback is a field too."""
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("some.library").exception("failed")
    (record,) = lines()

    assert record["exception"].endswith("\nValueError")


def test_httpx_does_not_log_urls(lines: Lines) -> None:
    """httpx would log each URL it asks, and a Clint URL is a secret."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    with httpx.Client(transport=transport) as client:
        client.get("https://clint.example/endpoints/integration/webhook/secret")

    assert lines() == []


def test_people_may_read_lines_instead(stream: io.StringIO) -> None:
    """Without JSON a record is a line for a person, an exception included."""
    logs.configure("info", json=False, stream=stream)
    try:
        raise ValueError("no")
    except ValueError:
        logs.logger("bridge").exception("web.failed", port=8000)
    logging.getLogger("some.library").info("hello")

    assert "web.failed" in stream.getvalue()
    assert "\nValueError\n" in stream.getvalue()
    assert "hello" in stream.getvalue()


def test_standard_output_is_the_default(capsys: pytest.CaptureFixture[str], stream: io.StringIO) -> None:
    """Without a stream everything goes to standard output, nothing to standard error."""
    logs.configure()
    logs.logger("bridge").info("web.started")
    logging.getLogger("some.library").warning("hello")
    output = capsys.readouterr()

    assert [json.loads(line)["action"] for line in output.out.splitlines()] == ["web.started", "library.logged"]
    assert output.err == ""


def test_a_record_is_cheap(stream: io.StringIO, lines: Lines) -> None:
    """A record of the hot path takes less than half a millisecond, on a slow machine too."""
    log = logs.logger("bridge.pipeline.policy")
    seconds = timeit.timeit(
        lambda: log.info(
            "delivery.attempted", delivery_id=7, event_key="evt_05b708f961d739ea&368604920", outcome="retry"
        ),
        number=200,
    )

    assert seconds / 200 < 0.0005
