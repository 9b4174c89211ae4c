"""How the web process writes an answer: gunicorn's own way but for two things.

gunicorn writes the head and the body of an answer apart: two system calls, two packets, and twice the chance that
another thread gets the interpreter in between.
"""

from __future__ import annotations

from gunicorn import util
from gunicorn.http import wsgi


class Response(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """An answer that does not say what made it, and whose head leaves with the beginning of its body."""

    headers_sent: bool
    _head = b""

    def default_headers(self) -> list[str]:
        """Return the lines that every answer begins with."""
        return [line for line in super().default_headers() if not line.startswith("Server:")]

    def send_headers(self) -> None:
        """Make the head ready to leave."""
        if not self.headers_sent:
            lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers)]
            self._head = "".join([*lines, "\r\n"]).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self._head and not self.chunked:
            data, self._head = self._head + data, b""
        self._send_head()
        super()._emit_body(data)

    def close(self) -> None:
        """End the answer."""
        self.send_headers()
        self._send_head()
        super().close()

    def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            util.write(self.sock, head)
