"""Log records of the bridge and of its libraries: one JSON object a line on standard output.

Each has `at`, `level`, `action` (a stable dotted name), `logger` and the caller's fields; a library's text is the field
`message` of the action `library.logged`. Texts are redacted, and callers give ids, never a body or a person's name. A
record that can't be written is dropped and counted; the caller never fails and, after `queue_output`, never waits.
"""

from __future__ import annotations

import atexit
import io
import logging
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

# httpx and urllib3 log every URL, and a Clint URL is a secret as a whole; the others log every job or request, as the
# bridge itself does.
_QUIET = ("httpx", "httpcore", "urllib3", "rq", "rq.worker", "werkzeug", "alembic")

_HEAD = frozenset({"at", "level", "action", "logger"})

QUEUE_LIMIT = 10_000
"""Texts that wait to be written; further ones are dropped."""
PIECE_BYTES = 64 * 1024
FINISH_WITHIN_S = 1.0


class QueuedOutput(io.TextIOBase):
    """A text stream that neither fails nor blocks: a thread writes to the file descriptor.

    Texts that find the queue full, or that the system does not take, are dropped. `on_recovered` gets their number once
    writing works again; `on_dropped` gets each number at once.
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
        return self._encoding

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"text must be str, got {type(text).__name__}")
        if self._texts.qsize() < self._queue_limit:
            self._texts.put(text)
        else:
            self._drop(1)
        return len(text)

    def finish(self) -> None:
        """Wait until the queue is written, for FINISH_WITHIN_S at most."""
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
                with self._counting:
                    count, self._dropped = self._dropped, 0
                if count:
                    self._on_recovered(count)
            else:
                self._drop(len(piece))

    def _written(self, data: bytes) -> bool:
        """Write the data; return False where the system takes no more."""
        if self._torn and data:
            data = b"\n" + data
        while data:
            try:
                count = os.write(self._descriptor, data)
            except BlockingIOError:  # the other end made the pipe non-blocking
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


def queue_output(on_recovered: Callable[[int], object]) -> None:
    """Write standard output and standard error in threads, for a process that must not block."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        with suppress(OSError):  # a test's stream is no file
            setattr(sys, name, QueuedOutput(stream, on_recovered))


def count_dropped(on_dropped: Callable[[int], object]) -> None:
    """Report the number of texts that standard output and standard error drop."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, QueuedOutput):
            stream.on_dropped = on_dropped


def configure(level: str = "info", *, json: bool = True, stream: TextIO | None = None) -> None:
    """Send the records from a level on to the stream or standard output."""
    lines = _Lines(stream)
    last: list[Processor] = [_format_exception, _record, _renderer(json)]
    structlog.configure(
        processors=[structlog.processors.add_log_level, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        # Loggers of modules follow a later configuration.
        cache_logger_on_first_use=False,
    )
    of_libraries = logging.StreamHandler(stream or sys.stdout)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    of_libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[_library_record], processors=[remove_meta, *last])
    )
    logging.basicConfig(level=level.upper(), handlers=[of_libraries], force=True)
    for name in _QUIET:
        quiet = logging.getLogger(name)
        quiet.handlers, quiet.propagate = [], True
        quiet.setLevel("WARNING")


def logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module; its methods take the action and the fields."""
    return cast(FilteringBoundLogger, _Logger(name))


class _Logger:
    """A logger that is bound once for each configuration; structlog's own is bound for each record."""

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


class _Batch(threading.local):
    lines: dict[_Lines, list[str]] | None = None


_batch = _Batch()


class _Lines(structlog.WriteLogger):
    """Writes records, a line each, or adds them to the thread's batch."""

    def msg(self, message: str) -> None:
        if _batch.lines is None:
            with suppress(OSError):  # a command continues without its log
                super().msg(message)
        else:
            _batch.lines.setdefault(self, []).append(message)

    debug = info = warning = error = critical = exception = msg


@contextmanager
def log_batch() -> Iterator[None]:
    """Write the records of the block together at its end: many records cost one write and one switch of threads."""
    batch: dict[_Lines, list[str]] = {}
    _batch.lines = batch
    try:
        yield
    finally:
        _batch.lines = None
        for to, lines in batch.items():
            to.msg("\n".join(lines))


def _library_record(_logger: WrappedLogger, method: str, fields: EventDict) -> EventDict:
    message = fields.pop("event")
    return {**fields, "event": "library.logged", "level": method, "_logger": fields["_record"].name, "message": message}


# Their messages name files, hosts and names of the code. Those of other errors quote values.
_HARMLESS = (BridgeError, OSError, ImportError, AttributeError, NameError)


def _traceback(exc_info: ExcInfo) -> str:
    """Return the traceback down to the first cause, with a message only where it quotes no value."""
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
    """Put the head first and redact the other fields."""
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


# It escapes all but ASCII, so that a lone surrogate of a webhook does not break the stream. json.dumps with options
# would make an encoder for each record.
_encoder = JSONEncoder(separators=(",", ":"))


def _renderer(json: bool) -> Processor:
    if json:
        return lambda _logger, _method, record: _encoder.encode(record)
    return structlog.dev.ConsoleRenderer(
        timestamp_key="at", event_key="action", exception_formatter=structlog.dev.plain_traceback
    )
