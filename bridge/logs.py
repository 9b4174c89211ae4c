"""One JSON object a line on standard output, from the bridge and from the libraries alike.

Each record has `at`, `level`, `action` (what happened: a stable dotted name to search for) and `logger`, and the fields
the caller gave: `logger(__name__).info("delivery.attempted", delivery_id=7, outcome="retry")`. A library's record has
the action `library.logged` and its text as `message`. Every text passes redaction, but callers name ids only, never a
body or a person's name.

A record that can't be written is dropped and counted; the caller never fails and, after `queue_output`, never waits.
"""

from __future__ import annotations

import atexit
import io
import logging
import logging.config
import os
import select
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from json import JSONEncoder
from queue import Empty, SimpleQueue
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor, WrappedLogger

from bridge.errors import BridgeError
from bridge.redaction import redact, redact_all

# httpx and urllib3 log every URL they ask, and a Clint URL is a secret as a whole; the others speak at every job or
# request and say nothing that the bridge's own records do not.
_QUIET = ("httpx", "httpcore", "urllib3", "rq", "rq.worker", "werkzeug", "alembic")

_HEAD = frozenset({"at", "level", "action", "logger"})

QUEUE_LIMIT = 10_000
"""Texts that wait to be written; the next ones are dropped."""
PIECE_BYTES = 64 * 1024
FINISH_WITHIN_S = 1.0


class QueuedOutput(io.TextIOBase):
    """A text stream that neither fails nor blocks: a thread of its own writes to the file descriptor.

    Text that finds the queue full, or that the system does not take, is dropped and counted. `on_recovered` gets the
    number of texts dropped once writing works again; `on_dropped` gets each number at once.
    """

    def __init__(
        self, stream: TextIO, on_recovered: Callable[[int], object], *, queue_limit: int = QUEUE_LIMIT
    ) -> None:
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._on_recovered = on_recovered
        self._queue_limit = queue_limit
        self.on_dropped: Callable[[int], object] = lambda _count: None
        self._counting = threading.RLock()  # a signal handler may write while this thread counts
        self._dropped = 0
        self._torn = False
        self._texts: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()
        atexit.register(self.finish)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream that this one stands for."""
        return self._encoding

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether a person looks at it."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Queue the text."""
        if not isinstance(text, str):
            raise TypeError(f"text must be str, got {type(text).__name__}")
        if self._texts.qsize() < self._queue_limit:
            self._texts.put(text)
        else:
            self._drop(1)
        return len(text)

    def finish(self) -> None:
        """Wait until what is queued is written, for FINISH_WITHIN_S at most."""
        self._texts.put(None)
        self._thread.join(FINISH_WITHIN_S)

    def _run(self) -> None:
        ended = False
        while not ended:
            texts = [self._texts.get()]
            size = 0
            with suppress(Empty):
                while texts[-1] is not None and size < PIECE_BYTES:
                    size += len(texts[-1])
                    texts.append(self._texts.get_nowait())
            ended = texts[-1] is None
            piece = [text for text in texts if text]
            if self._written("".join(piece).encode(self._encoding, "backslashreplace")):
                self._recovered()
            else:
                self._drop(len(piece))

    def _written(self, data: bytes) -> bool:
        """Write all of it; return False where the system takes no more."""
        if self._torn and data:
            data = b"\n" + data
        while data:
            try:
                count = os.write(self._descriptor, data)
            except BlockingIOError:  # the other end made the pipe one that does not block
                select.select([], [self._descriptor], [])
                continue
            except OSError:
                return False
            self._torn = data[count - 1 : count] != b"\n" and count < len(data)
            data = data[count:]
        return True

    def _drop(self, count: int) -> None:
        with self._counting:
            self._dropped += count
        self.on_dropped(count)

    def _recovered(self) -> None:
        with self._counting:
            count, self._dropped = self._dropped, 0
        if count:
            self._on_recovered(count)


def queue_output(on_recovered: Callable[[int], object]) -> None:
    """Let standard output and standard error be written by threads of their own, for a process that must go on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        with suppress(OSError):  # a test's stream is no file
            setattr(sys, name, QueuedOutput(stream, on_recovered))


def count_dropped(on_dropped: Callable[[int], object]) -> None:
    """Have each text counted that standard output or standard error drops."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, QueuedOutput):
            stream.on_dropped = on_dropped


def configure(level: str = "info", *, json: bool = True, stream: TextIO | None = None) -> None:
    """Send the records of the bridge and of its libraries, from that level on, to the stream or standard output."""
    lines = _Lines(stream)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _format_exception, _record, _renderer(json)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        # A logger that a module keeps would otherwise go on with the configuration it met first.
        cache_logger_on_first_use=False,
    )
    logging.config.dictConfig(_library_logging(level, json=json, stream=stream))


def logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module; its methods take the action and the fields."""
    return cast(FilteringBoundLogger, _Logger(name))


class _Logger:
    """A logger that is bound once for each configuration, where structlog's own is bound for each record."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._configuration: Any = None
        self._bound: Any = None

    def __getattr__(self, method: str) -> Any:
        configuration = structlog.get_config()["processors"]
        if configuration is not self._configuration:
            self._bound = structlog.get_logger(_logger=self._name).bind()
            self._configuration = configuration
        return getattr(self._bound, method)


class _Gathering(threading.local):
    """What a thread writes together, if it does."""

    lines: dict[_Lines, list[str]] | None = None


_gathering = _Gathering()


class _Lines(structlog.WriteLogger):
    """Where records go, a line each."""

    def msg(self, message: str) -> None:
        """Write a line, or keep it for what is written together."""
        if _gathering.lines is None:
            with suppress(OSError):  # a command's work goes on without its log
                super().msg(message)
        else:
            _gathering.lines.setdefault(self, []).append(message)

    debug = info = warning = error = critical = exception = msg


@contextmanager
def log_batch() -> Iterator[None]:
    """Write the records of the block in one piece when it is left, for one who has a record for each of many events.

    A piece costs as much as a line, and as often gives another thread the chance to come in between.
    """
    gathered: dict[_Lines, list[str]] = {}
    _gathering.lines = gathered
    try:
        yield
    finally:
        _gathering.lines = None
        for to, lines in gathered.items():
            to.msg("\n".join(lines))


def _library_logging(level: str, *, json: bool, stream: TextIO | None) -> dict[str, Any]:
    """Return the dictionary for logging.config that routes what libraries say."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"record": {"()": lambda: _library_formatter(json)}},
        "handlers": {
            "stream": {"class": "logging.StreamHandler", "stream": stream or "ext://sys.stdout", "formatter": "record"}
        },
        "root": {"level": level.upper(), "handlers": ["stream"]},
        "loggers": {name: {"level": "WARNING", "handlers": [], "propagate": True} for name in _QUIET},
    }


def _library_formatter(json: bool) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_library_record],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _format_exception,
            _record,
            _renderer(json),
        ],
    )


def _library_record(_logger: WrappedLogger, method: str, fields: EventDict) -> EventDict:
    """Say a library's text as a field, since its wording is nothing to search for."""
    message = fields.pop("event")
    return {**fields, "event": "library.logged", "level": method, "_logger": fields["_record"].name, "message": message}


# Their messages name files, hosts and names of the code. Those of others quote the value that they could not take.
_HARMLESS = (BridgeError, OSError, ImportError, AttributeError, NameError)


def _traceback(exc_info: ExcInfo) -> str:
    """Return where it happened, and what, down to the first cause; what was said only where it quotes no value."""
    shown = traceback.TracebackException(*exc_info, capture_locals=False)
    return "".join(_without_values(shown)).rstrip()


def _without_values(shown: traceback.TracebackException) -> Iterator[str]:
    earlier = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    if earlier is not None:
        yield from _without_values(earlier)
        yield "\nafter which:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from shown.stack.format()
    if issubclass(shown.exc_type or Exception, _HARMLESS):
        yield from shown.format_exception_only()
    else:
        yield f"{shown.exc_type.__qualname__ if shown.exc_type else 'error'}\n"


_format_exception = structlog.processors.ExceptionRenderer(_traceback)


def _record(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """Put the fields that every record has first, and redact the others."""
    record = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": fields["level"],
        "action": redact(fields.pop("event")),
        "logger": fields.pop("_logger"),
    }
    for key, value in fields.items():
        if key not in _HEAD:
            record[key] = value if type(value) is int else redact_all(value)
    return record


# Escapes what is not ASCII: a lone surrogate out of a webhook must not break the stream. One encoder for all records:
# json.dumps with options would make one each time.
_encoder = JSONEncoder(separators=(",", ":"))


def _line(_logger: WrappedLogger, _method: str, record: EventDict) -> str:
    return _encoder.encode(record)


def _renderer(json: bool) -> Processor:
    if json:
        return _line
    return structlog.dev.ConsoleRenderer(
        timestamp_key="at", event_key="action", exception_formatter=structlog.dev.plain_traceback
    )
