"""The words of the console in each language: one table, from the files of `bridge/web/words`.

A file is a group of keys (`events.yaml` holds `events.title`); each key has a text in every language, in which `{name}`
stands for a value. A text that depends on a number has two keys, ending in `.one` and `.many`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from flask import Request

from bridge import word_files
from bridge.journal.notices import StoredNotice
from bridge.logs import logger
from bridge.messages import read_message
from bridge.reasons import notice_words

log = logger(__name__)

FILES = Path(__file__).parent.parent / "words"

LANGUAGES = {"pt": "pt-BR", "en": "en"}
"""The languages, with the name by which HTML knows them; the first is for browsers that ask for neither."""

FIRST = next(iter(LANGUAGES))
COOKIE = "bridge_language"


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Return every key with its text by language."""
    found: dict[str, Mapping[str, str]] = {}
    for file in sorted(FILES.glob("*.yaml")):
        for key, texts in word_files.read(file).items():
            found[f"{file.stem}.{key}"] = texts
    return MappingProxyType(found)


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language."""

    language: str

    def __call__(self, key: str, /, **values: object) -> str:
        """Return the text of a key with its values in place; a key without a text shows its code and is logged."""
        texts = table().get(key)
        if texts is None:
            log.error("words.missing", key=key)
            return key.partition(".")[2]
        text = texts[self.language]
        return text.format(**values) if values else text

    def count(self, key: str, number: int, /, **values: object) -> str:
        """Return the text for a number; it stands for `{n}`, written as the language writes numbers."""
        separator = "." if self.language == "pt" else ","
        shown = f"{number:,}".replace(",", separator)
        # Portuguese counts nought as one does; English does not.
        one = number in ({0, 1} if self.language == "pt" else {1})
        return self(f"{key}.{'one' if one else 'many'}", n=shown, **values)

    def of_notice(self, notice: StoredNotice) -> tuple[str, str]:
        """Return what a notice is about and what mends it; its own words are English and may hold more."""
        words = notice_words(notice.code)
        return (words.title, words.todo) if words else (read_message(notice.detail).text(), notice.mend)

    def maybe(self, key: str, /, default: str = "") -> str:
        """Return the text of a key that may be missing, such as that of an event that Asaas invents tomorrow."""
        texts = table().get(key)
        return texts[self.language] if texts else default


def language_of(request: Request) -> str:
    """Return the language to answer in: what the person chose, else what the browser asks for."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    best = request.accept_languages.best_match(["pt-BR", "pt", "pt-PT", "en", "en-US", "en-GB"])
    return (best or FIRST)[:2]
