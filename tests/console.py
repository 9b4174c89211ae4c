"""The console in this process, as a browser sees it: on a real journal, with cookies and forms."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from bridge.cli.main import COMMANDS
from bridge.journal import Journal
from bridge.mapping.catalogue import EVENTS
from bridge.runtime import Runtime
from bridge.settings import Settings
from bridge.web.app import create_app
from tests.factories import NOW_MS, Clock, opened_journal

PASSWORD = "cavalo bateria grampo"
VIEWER = "so para olhar"
QUICK = "pbkdf2:sha256:1"
"""A hash that takes no time: what a slow one costs is nothing that these tests are about."""
HTML = {"Accept": "text/html,application/xhtml+xml"}
MAPPING = """
events: [PAYMENT_RECEIVED]
contact: {email: "'ana@example.com'"}
tests: []
"""


def finish_jobs(timeout_s: float = 30.0) -> None:
    """Wait for the jobs that pages of this process began."""
    for thread in threading.enumerate():
        if thread.name.startswith("job "):
            thread.join(timeout_s)


ANSWERS_WITH_A_PAGE = {
    "console.signin.enter": "a stranger leaves no row, and what is repeated is only the try",
    "console.mappings_live.preview": "a part of a page, which htmx fetches: the browser has no address of it",
}
"""The posts that are answered with HTML, each with its reason. All others redirect, so that a reload and the browser's
back repeat nothing and lose no form."""


def assert_no_page(client: FlaskClient, path: str, answer: TestResponse) -> None:
    """Fail where a post is answered with a page that is not one of an error."""
    is_error = answer.status_code >= 400 and answer.status_code != 422
    if answer.mimetype != "text/html" or is_error or answer.location:
        return
    endpoint, _ = client.application.url_map.bind("").match(path.partition("?")[0], method="POST")
    assert endpoint in ANSWERS_WITH_A_PAGE, f"{endpoint} answers a POST with a page ({answer.status_code})"


_COMMAND = re.compile(rf"`bridge |\bbridge ({'|'.join(COMMANDS)})\b(?! (answers|or|and)\b)")
_VARIABLE = re.compile(r"\b[A-Z]+_[A-Z_]*[A-Z]\b")


def names(text: str) -> set[str]:
    """Return the commands of the bridge and the variables that a text names."""
    return ({*_VARIABLE.findall(text)} - {*EVENTS}) | {found[0] for found in _COMMAND.finditer(text)}


class Browser:
    """One browser: keeps cookies, asks in a language, sends forms with their token."""

    def __init__(self, client: FlaskClient, language: str = "en", **headers: str) -> None:
        self._client = client
        self._headers = {**HTML, "Accept-Language": language, **headers}

    def get(self, path: str, *, follow: bool = False, **headers: str) -> TestResponse:
        """Fetch a page."""
        return self._client.get(path, headers={**self._headers, **headers}, follow_redirects=follow)

    def part(self, path: str) -> TestResponse:
        """Fetch a part of a page as htmx does."""
        headers = {**self._headers, "HX-Request": "true", "Accept": "*/*"}
        return self._client.get(path, headers=headers)

    def cookie(self) -> str:
        """Return the session, for one who asks over a real connection."""
        found = self._client.get_cookie("bridge_session")
        assert found
        return found.value

    def token(self) -> str:
        """Return the token that the forms of this session carry."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/login", follow=True).text)
        assert found
        return found[1]

    def post(
        self, path: str, given: Mapping[str, Any] | None = None, *, follow: bool = False, **fields: Any
    ) -> TestResponse:
        """Send a form of this session."""
        data = {"csrf_token": self.token(), **(given or {}), **fields}
        answer = self._client.post(path, data=data, headers=self._headers)
        assert_no_page(self._client, path, answer)
        location = answer.location or ""
        # The page of a form that was not taken, or of what is shown once, belongs to the answer.
        return self.get(location, follow=True) if location and (follow or "form=" in location) else answer

    def sign_in(self, password: str = PASSWORD, name: str = "Ana", **fields: Any) -> TestResponse:
        """Sign in."""
        return self.post("/login", password=password, name=name, **fields)


@cache
def _compiled() -> FileSystemBytecodeCache:
    """Return where the applications of this process keep templates that are compiled: each would do it anew."""
    directory = tempfile.mkdtemp(prefix="bridge-templates-")
    atexit.register(shutil.rmtree, directory)
    return FileSystemBytecodeCache(directory)


class Console:
    """A bridge's console on its own journal."""

    def __init__(self, journal: Journal, runtime: Runtime, clock: Clock) -> None:
        self.journal = journal
        self.runtime = runtime
        self.clock = clock
        self.app = create_app(runtime)
        self.app.jinja_env.bytecode_cache = _compiled()

    def browser(self, language: str = "en", **headers: str) -> Browser:
        """Return a new browser."""
        return Browser(self.app.test_client(), language, **headers)

    def operator(self, language: str = "en") -> Browser:
        """Return a browser in which the operator is signed in."""
        browser = self.browser(language)
        assert browser.sign_in().status_code == 302
        return browser


@contextmanager
def opened_console(database_url: str, scratch: Path, **environ: str) -> Iterator[Console]:
    """Give a console with both passwords on a journal of this version's schema."""
    (scratch / "mappings").mkdir(exist_ok=True)
    (scratch / "mappings" / "cobranca.yaml").write_text(MAPPING)
    environment = {
        "DATABASE_URL": database_url,
        "BRIDGE_DATA_DIR": str(scratch),
        "BRIDGE_MAPPINGS_DIR": str(scratch / "mappings"),
        "CLINT_WEBHOOK_URL": "https://clint.example/a",
        "BRIDGE_PASSWORD": generate_password_hash(PASSWORD, QUICK),
        "BRIDGE_SECRET_KEY": "the same at each start of the tests",
        "BRIDGE_VIEWER_PASSWORD": generate_password_hash(VIEWER, QUICK),
        **environ,
    }
    clock = Clock(NOW_MS)
    with opened_journal(database_url) as journal:
        runtime = Runtime(Settings.from_env(environment))
        runtime.clock_ms = clock
        runtime.register()
        yield Console(journal, runtime, clock)
        runtime.close()
