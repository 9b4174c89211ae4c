"""Reads the values of settings: each function returns the value, or raises ValueError with the rule that was broken."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number between these two."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return what reads a number of seconds between these two."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text) or not least <= float(text) <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(text)

    return parse


def retention(text: str) -> int:
    """Return for how many days all is kept, 0 for ever."""
    # Asaas sends an event again for 14 days; a month leaves time to see and mend what went wrong.
    days = whole(0, 3650)(text)
    if 0 < days < 30:
        raise ValueError("must be 0 (keep for ever) or a whole number from 30 to 3650")
    return days


def rate(text: str) -> str:
    """Return a rate limit as the library reads it."""
    found = re.fullmatch(r"([1-9]\d{0,5}) ?/ ?(second|minute|hour|day)", text)
    if text and not found:
        raise ValueError("must be a number for each second, minute, hour or day, such as 10/second")
    return f"{found[1]}/{found[2]}" if found else ""


def switch(text: str) -> bool:
    """Return whether it is on."""
    if text not in {"0", "1"}:
        raise ValueError("must be 1 (on) or 0 (off)")
    return text == "1"


def data_directory(text: str) -> Path:
    """Return the directory, whose name becomes part of the journal's URL."""
    if "?" in text:
        raise ValueError("must be a directory without ? in its name")
    return Path(text)


def database(text: str) -> str:
    """Return the text as a database, or raise ValueError with the rule."""
    text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
    if not text.startswith(("sqlite:///", "postgresql+psycopg://")) and text:
        raise ValueError("must begin with sqlite:///, postgres:// or postgresql+psycopg://")
    if re.match(r"sqlite:///(\?|:memory:|file:|$)", text):
        raise ValueError("must name a file: every process has its own journal in memory, which ends with it")
    if text.startswith("postgresql"):
        from sqlalchemy import make_url

        _well_formed(lambda: make_url(text))
    return text


def redis(text: str) -> str:
    """Return the text as a redis, or raise ValueError with the rule."""
    if text and not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    if text:
        from redis import ConnectionPool

        _well_formed(lambda: ConnectionPool.from_url(text).make_connection())  # connects to nothing yet
    return text


def _well_formed(read: Callable[[], object]) -> None:
    try:
        read()
    except Exception:  # noqa: BLE001 (the libraries raise what they like)
        # What was said may quote a password.
        raise ValueError("must be a URL with a port that is a number, and only options that exist") from None


def api_secret(text: str) -> str:
    """Return a key or token that goes out in a header."""
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("must be letters, digits and signs of ASCII, without blanks")
    return text


def host(text: str) -> str:
    """Return a host name or address; one of IPv6 may stand in brackets, as in a URL."""
    return text.removeprefix("[").removesuffix("]")


def http(text: str) -> str:
    """Return the text as a http, or raise ValueError with the rule."""
    try:
        parts = urlsplit(text)
        well_formed = re.fullmatch(r"https?://\S+", text) and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        well_formed = False
    if text and not well_formed:
        raise ValueError("must be an https:// URL")
    return text.rstrip("/")


def token(text: str) -> str:
    """Return the text as a token, or raise ValueError with the rule."""
    # No token has white space, so two of them can't be taken for one.
    tokens = text.split()
    if len(tokens) > 2:
        raise ValueError("must be one token, or the new and the old one with a blank between them")
    if len(tokens) == 2 and tokens[0] == tokens[1]:
        raise ValueError("must be two different tokens, the new and the old one")
    return " ".join(tokens)


def keys(text: str) -> str:
    """Return encryption keys, each of 32 bytes in base64, by commas."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{43}=?", part) for part in parts):
        raise ValueError("must be keys of 32 bytes in URL-safe base64, by commas, as `bridge db new-key` makes them")
    return ",".join(part if part.endswith("=") else f"{part}=" for part in parts)


def alert_urls(text: str) -> tuple[str, ...]:
    """Return the text as a alert urls, or raise ValueError with the rule."""
    # A comma may be part of such a URL: it ends one only before the next scheme.
    urls = tuple(url for url in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text.strip(" ,")) if url)
    if any(not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S+$", url) for url in urls):
        raise ValueError("must be URLs of apprise such as mailto://... or slack://..., separated by spaces")
    return urls


def password(text: str) -> str:
    """Return a password, or its hash as werkzeug writes it."""
    if text.startswith(("scrypt:", "pbkdf2:")) and text.count("$") < 2:
        raise ValueError("must be the whole hash in single quotes: a shell or compose takes $ for a variable")
    return text


def language(text: str) -> str:
    """Return the text as a language, or raise ValueError with the rule."""
    if text not in {"pt-BR", "en"}:
        raise ValueError("must be pt-BR or en")
    return text


def log_level(text: str) -> str:
    """Return the text as a log level, or raise ValueError with the rule."""
    if text not in {"debug", "info", "warning", "error"}:
        raise ValueError("must be debug, info, warning or error")
    return text
