"""Writes one message about all due alerts, and sends it by apprise in a process of its own.

A service that hangs costs the bridge no thread, and never its memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.alerts.plan import Item, Kind, path_of
from bridge.logs import logger
from bridge.mapping.values import BRASILIA
from bridge.messages import N_, _, current_language, in_language, ngettext, read_message
from bridge.reasons import AlertWords, notice_words

log = logger(__name__)

MAX_PROBLEMS = 20
"""Problems that a message names; Slack, Telegram and others cut longer ones."""
TIMEOUT_S = 60.0
"""For all URLs together; apprise itself gives each connection and answer four seconds."""
_HEADINGS = {
    Kind.NEW: N_("NEW"),
    Kind.GREW: N_("TEN TIMES AS MANY"),
    Kind.AGAIN: N_("STILL OPEN"),
    Kind.OVER: N_("BACK TO NORMAL"),
}

LATE = N_("it was not sent in time")
ENDED = N_("the process that sends ended early")


@dataclass(frozen=True, slots=True)
class Message:
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Result:
    service: str
    """The URL's scheme, such as slack; the rest of it is secret."""
    sent: bool
    problem: str
    """A message id."""


def compose(items: Sequence[Item], language: str, public_url: str = "") -> Message:
    """Return the message in that language: problems first, then those that are over."""
    with in_language(language):
        lines: list[str] = []
        for kind in Kind:
            shown = [item for item in items[:MAX_PROBLEMS] if item.kind is kind]
            if shown:
                lines += [_(_HEADINGS[kind]), *(_line(item, public_url) for item in shown), ""]
        if len(items) > MAX_PROBLEMS:
            lines += [more(len(items) - MAX_PROBLEMS, public_url), ""]
        number = sum(item.kind is not Kind.OVER for item in items)
        summary = ngettext("{n} problem", "{n} problems", number) if number else _("back to normal")
        return Message(_("Asaas–Clint bridge: {summary}", summary=summary), "\n".join(lines).strip())


def trial(language: str) -> Message:
    """Return the message of a test."""
    with in_language(language):
        body = _("This is a test. The bridge's alerts arrive here.")
        return Message(_("Asaas–Clint bridge: {summary}", summary=_("test")), body)


def _line(item: Item, public_url: str) -> str:
    alert = item.alert
    words = notice_words(alert.code) or AlertWords(alert.code, read_message(alert.mend).text())
    since = brasilia(alert.since_ms, "%d/%m %H:%M", "%Y-%m-%d %H:%M (Brasília)")
    facts = {"title": words.title, "about": alert.about, "since": since}
    if item.kind is Kind.OVER:
        return "• " + _("{title} ({about}), from {since} until a moment ago", **facts)
    lines = ["• " + _("{title} ({about}), since {since}", **facts)]
    lines += [_("detail: {detail}", detail=read_message(alert.detail))]
    link = link_of(alert.code, alert.about, public_url)
    lines += [words.in_console, *([link] if link else [])]
    lines += [_("On a terminal: {todo}", todo=words.todo)] if words.page else []
    return "\n  ".join(lines)


def brasilia(ms: int, portuguese: str, english: str) -> str:
    """Return a moment in Brasília in the pattern of the current language."""
    moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone(BRASILIA)
    return moment.strftime(portuguese if current_language() == "pt" else english)


def more(number: int, public_url: str) -> str:
    """Return the line for problems that a message leaves out."""
    link = f"{public_url}/attention" if public_url else _("see Needs attention in the console")
    return _("and {number} more: {link}", number=number, link=link)


def link_of(code: str, about: str, public_url: str) -> str:
    """Return the address of the console's page about a notice, empty where the bridge's own is not known."""
    return f"{public_url}{path_of(code, about)}" if public_url else ""


def send(
    urls: Sequence[str],
    message: Message,
    timeout_s: float = TIMEOUT_S,
    python: str = sys.executable,
    *,
    allow_private: bool = True,
) -> list[Result]:
    """Send the message to each URL and return the results; never raises."""
    return send_all([(url, message) for url in urls], timeout_s, python, allow_private=allow_private)


def send_all(
    posts: Sequence[tuple[str, Message]],
    timeout_s: float = TIMEOUT_S,
    python: str = sys.executable,
    *,
    allow_private: bool = True,
) -> list[Result]:
    """Send each message to its URL and return the results in that order; never raises."""
    given = [{"url": url, "title": message.title, "body": message.body} for url, message in posts]
    problem, out = ENDED, ""
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter and this package)
            [python, "-m", "bridge.alerts.child", *([] if allow_private else ["--public"])],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        out = done.stdout
        if done.returncode:
            log.warning("alert.process_ended", status=done.returncode)
    except subprocess.TimeoutExpired as error:
        problem, out = LATE, _text(error.stdout)
    except OSError as error:
        log.warning("alert.process_ended", error=type(error).__name__)
    answers = _answers(out)
    missing = [Result(url.split("://", 1)[0], False, problem) for url, _message in posts]
    return [answers.get(number, result) for number, result in enumerate(missing)]


def _text(out: bytes | str | None) -> str:
    return out.decode(errors="replace") if isinstance(out, bytes) else out or ""


def _answers(out: str) -> dict[int, Result]:
    found = {}
    for line in out.splitlines():
        with suppress(ValueError):  # a line that was cut off by the end of the process
            answer = json.loads(line)
            found[answer["number"]] = Result(answer["service"], answer["sent"], answer["problem"])
    return found


def problem_of(results: Sequence[Result]) -> str:
    """Return why a message reached nobody; empty where one address took it, for a retry would tell people twice."""
    return "" if any(one.sent for one in results) else next((one.problem for one in results), ENDED)


def check(urls: Sequence[str]) -> list[Result]:
    """Return which URLs apprise can use; sends nothing."""
    return send(urls, Message("", ""))
