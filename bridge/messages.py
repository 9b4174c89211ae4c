"""Texts in the reader's language: the gettext catalogue, the language of the moment and the messages rows keep.

English is the message id. `locales/pt_BR/LC_MESSAGES/messages.po` holds the Portuguese; `make messages` extracts and
compiles it. A text without an entry is shown in English: no page and no command fails because of a text.
"""

from __future__ import annotations

import gettext
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

log = logging.getLogger(__name__)

DOMAIN = "messages"
"""The domain click looks its own texts up in, so that one catalogue holds both."""
LOCALES = Path(__file__).with_name("locales")

LANGUAGES = {"pt": "pt-BR", "en": "en"}
"""The languages, each with the name that BRIDGE_LANGUAGE and HTML use; the first is for readers who ask for neither."""
FIRST = next(iter(LANGUAGES))

_language: ContextVar[str] = ContextVar("language", default="en")
"""Logs and JSON answers are English, so that is what a thread has that serves no reader."""


_wording: ContextVar[Mapping[str, str]] = ContextVar("wording", default=MappingProxyType({}))
"""Texts that the reader of the moment gets instead of others, by the text that they replace."""


def current_language() -> str:
    """Return the language that texts are made in now: pt or en."""
    return _language.get()


def use_language(language: str, wording: Mapping[str, str] = MappingProxyType({})) -> None:
    """Make the texts of this thread in a language (pt, en or pt-BR) from now on, some of them in another wording."""
    _language.set(_known(language))
    _wording.set(wording)


@contextmanager
def in_language(language: str) -> Iterator[None]:
    """Make the texts of this block in a language (pt, en or pt-BR)."""
    before = _language.set(_known(language))
    try:
        yield
    finally:
        _language.reset(before)


def _known(language: str) -> str:
    short = _short(language)
    return short if short in LANGUAGES else FIRST


def _short(language: str) -> str:
    return re.split(r"[-_.]", language.lower())[0]


def language_of_environment(environ: Mapping[str, str] = os.environ) -> str:
    """Return the language of a command: BRIDGE_LANGUAGE, else the locale's, else Portuguese."""
    for name in ("BRIDGE_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        if _short(environ.get(name, "")) not in {"", "c", "posix"}:
            return _known(environ[name])
    return FIRST


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, LOCALES, [LANGUAGES[language].replace("-", "_")], fallback=True)


def N_(message: str) -> str:
    """Mark a text for the catalogue where it is written; it is translated where it is shown."""
    return message


def _(message: str, /, **facts: object) -> str:
    """Return a text in the current language with its facts filled in."""
    message = _wording.get().get(message, message)
    return _filled(_catalogue(_language.get()).gettext(message) if message else "", message, facts)


def pgettext(context: str, message: str, /, **facts: object) -> str:
    """Return a text that Portuguese says in two ways; the context tells which."""
    return _filled(_catalogue(_language.get()).pgettext(context, message), message, facts)


def ngettext(one: str, many: str, n: int, /, **facts: object) -> str:
    """Return the text for a number, which stands for `{n}` as the language writes numbers."""
    text = _catalogue(_language.get()).ngettext(one, many, n)
    separator = "." if _language.get() == "pt" else ","
    return _filled(text, one if n == 1 else many, {"n": f"{n:,}".replace(",", separator), **facts})


def _filled(text: str, message: str, facts: Mapping[str, object]) -> str:
    if not facts:
        return text
    shown = {name: fact.text() if isinstance(fact, Message) else fact for name, fact in facts.items()}
    for candidate in (text, message):
        try:
            return candidate.format_map(shown)
        except (KeyError, ValueError, IndexError, AttributeError, TypeError):
            log.error("messages.not_filled: %r with %s", message, sorted(facts))
    return message


@dataclass(frozen=True, slots=True)
class Message:
    """A text that is made where it is read: its English id and the facts that fill it, which may be messages too."""

    id: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.id)

    def __str__(self) -> str:
        """Return the English text, for logs and `--json`."""
        with in_language("en"):
            return self.text()

    def text(self) -> str:
        """Return the text in the current language."""
        return _(self.id, **self.facts)

    def to_json(self) -> str:
        """Return the message as the JSON object that rows of the journal keep."""
        return json.dumps(self, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    return {"message": value.id, **value.facts} if isinstance(value, Message) else str(value)


VERBATIM = "{text}"
"""The id of a message that is the same in every language."""


def message(text: str | Message, /, **facts: object) -> Message:
    """Return a marked text with its facts as a message; a message stays as it is."""
    return text if isinstance(text, Message) else Message(text, facts)


def verbatim(text: str) -> Message:
    """Return a text that is the same in every language as a message."""
    return Message(VERBATIM, {"text": text})


def read_message(text: str | None) -> Message:
    """Return the message that a row keeps; a text that is none is an older sentence and stays as it stands."""
    try:
        found = json.loads(text or "", object_hook=_as_message)
    except ValueError:
        found = None
    if isinstance(found, Message):
        return found
    return verbatim(text) if text else Message("")


def _as_message(found: dict[str, Any]) -> Message | dict[str, Any]:
    return Message(found.pop("message"), found) if isinstance(found.get("message"), str) else found


_SYSTEM_REASONS = (
    N_("no such file or directory"),
    N_("permission denied"),
    N_("operation not permitted"),
    N_("read-only file system"),
    N_("no space left on device"),
    N_("disk quota exceeded"),
    N_("input/output error"),
    N_("file exists"),
    N_("not a directory"),
    N_("is a directory"),
    N_("directory not empty"),
    N_("file name too long"),
    N_("too many open files"),
    N_("too many open files in system"),
    N_("cannot allocate memory"),
    N_("resource temporarily unavailable"),
    N_("text file busy"),
    N_("address already in use"),
    N_("cannot assign requested address"),
    N_("connection refused"),
    N_("connection reset by peer"),
    N_("connection timed out"),
    N_("broken pipe"),
    N_("network is unreachable"),
    N_("no route to host"),
    N_("name or service not known"),
    N_("temporary failure in name resolution"),
    N_("unable to open database file"),
    N_("database is locked"),
    N_("database or disk is full"),
    N_("disk I/O error"),
    N_("attempt to write a readonly database"),
    N_("database disk image is malformed"),
    N_("file is not a database"),
)
"""The reasons of the operating system and of SQLite that the catalogue has; others are shown as they come."""


def system_reason(error: Exception) -> Message:
    """Return why the operating system refused something, as a message."""
    number = getattr(error, "errno", None) or 0
    # Python and asyncio write what they tried into an error's own text; a failed look-up has a negative number.
    said = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
    reason = said.partition(" (")[0] or type(error).__name__
    return Message(reason if reason in _SYSTEM_REASONS else reason[:1].lower() + reason[1:])
