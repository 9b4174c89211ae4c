"""Says whether the bytes that have come so far are a whole HTTP request: pure, and without parsing it.

Only where a request ends is looked for: gunicorn's own parser reads and judges it afterwards, so what is odd here is
simply said to be ready for it. Each byte is looked at about once, however many pieces they come in.
"""

from __future__ import annotations

import re
from enum import Enum

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers. Asaas sends less than one KiB, a browser with cookies a few."""
MAX_BODY_BYTES = 1024 * 1024
"""A longer body is refused without reading it to its end. Asaas sends a few KiB."""

_FRAMING = re.compile(rb"\r\n(?i:content-length[ \t]*:[ \t]*(\d{1,15})[ \t]*\r|(transfer-encoding|expect)[ \t]*:)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,64}\r\n")
_MAX_CHUNK_LINE = 80


class Progress(Enum):
    """How far a request has come."""

    PARTIAL = 0
    WHOLE = 1
    AWAITED = 2  # the client says that it sends the body only when it is told to
    OVERSIZED = 3  # its body is longer than anybody will read
    ENDLESS = 4  # its headers do not end


class Gathered:
    """The bytes of one request."""

    __slots__ = ("_at", "_body_at", "_chunked", "_expects", "_max_body", "_needed", "data")

    def __init__(self, data: bytes = b"", max_body_bytes: int = 0) -> None:
        self.data = bytearray(data)
        self._max_body = max_body_bytes
        self._at = 0
        self._body_at = 0
        self._needed = 0
        self._chunked = False
        self._expects = False

    def progress(self) -> Progress:
        """Return how far the request has come."""
        if not self._body_at:
            end = self.data.find(b"\r\n\r\n", max(0, self._at - 3))
            self._at = len(self.data)
            if end < 0 or end > MAX_HEAD_BYTES:
                return Progress.ENDLESS if self._at > MAX_HEAD_BYTES else Progress.PARTIAL
            self._read_head(end)
        if self._chunked:
            return self._in_chunks()
        if self._needed - self._body_at > self._max_body:
            return Progress.OVERSIZED
        return Progress.WHOLE if len(self.data) >= self._needed else self._waiting()

    def _read_head(self, end: int) -> None:
        self._body_at = self._at = self._needed = end + 4
        for found in _FRAMING.finditer(self.data, 0, end + 2):
            if found[1] is not None:
                self._needed = self._body_at + int(found[1])
            elif found[2].lower() == b"expect":
                self._expects = True
            else:
                self._chunked = True

    def _waiting(self) -> Progress:
        awaited, self._expects = self._expects and len(self.data) == self._body_at, False
        return Progress.AWAITED if awaited else Progress.PARTIAL

    def _in_chunks(self) -> Progress:
        while True:
            if len(self.data) - self._body_at > 2 * self._max_body:
                return Progress.OVERSIZED
            line = _CHUNK.match(self.data, self._at)
            if line is None:
                # Too long for the beginning of a chunk: no such thing, which the parser may say.
                return Progress.WHOLE if len(self.data) - self._at > _MAX_CHUNK_LINE else self._waiting()
            size = int(line[1], 16)
            if size > self._max_body:
                return Progress.OVERSIZED
            if size == 0:
                # Trailers end as headers do; without any, the empty line follows at once.
                end = self.data.find(b"\r\n\r\n", line.end() - 2)
                return Progress.PARTIAL if end < 0 else Progress.WHOLE
            if len(self.data) < line.end() + size + 2:
                return Progress.PARTIAL
            self._at = line.end() + size + 2
