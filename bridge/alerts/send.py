"""One message for all that is to be told: pure."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apprise

from bridge.alerts.plan import Item, Kind
from bridge.mapping.values import BRASILIA
from bridge.reasons import PHRASES, PT, WORDS, AlertWords

MOST = 20
"""Problems that a message names; Slack, Telegram and others cut longer ones."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    title: str
    body: str


def compose(items: Sequence[Item], language: str, public_url: str = "") -> Message:
    """Return the message in that language; problems first, then what is over."""
    phrases = PHRASES[language]
    problems = [item for item in items if item.kind is not Kind.OVER]
    lines: list[str] = []
    for kind in Kind:
        shown = [item for item in items[:MOST] if item.kind is kind]
        if shown:
            lines += [phrases[kind.value], *(_line(item, language) for item in shown), ""]
    if len(items) > MOST:
        lines += [phrases["more"].format(number=len(items) - MOST), ""]
    if public_url:
        lines.append(public_url)
    number = phrases["one" if len(problems) == 1 else "many"].format(number=len(problems))
    return Message(f"{phrases['name']}: {number if problems else phrases['all_over']}", "\n".join(lines).strip())


def trial(language: str) -> Message:
    """Return what `bridge alerts test` sends."""
    phrases = PHRASES[language]
    return Message(f"{phrases['name']}: {phrases['test_title']}", phrases["test_body"])


def _line(item: Item, language: str) -> str:
    alert, phrases = item.alert, PHRASES[language]
    words = WORDS.get(alert.code, {}).get(language) or AlertWords(alert.code, alert.mend)
    if item.kind is Kind.OVER:
        return f"• {words.title} ({alert.about}), {phrases['lasted'].format(moment=_moment(alert.since_ms, language))}"
    since = phrases["since"].format(moment=_moment(alert.since_ms, language))
    return f"• {words.title} ({alert.about}), {since}\n  {phrases['detail']}: {alert.detail}\n  {words.todo}"


def _moment(at_ms: int, language: str) -> str:
    """Return the time in Brasília, as the language writes it."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(BRASILIA)
    return moment.strftime("%d/%m %H:%M" if language == PT else "%Y-%m-%d %H:%M (Brasília)")


TIMEOUT_S = 60.0
"""For all URLs together; apprise itself gives each connection and answer four seconds."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a message at one URL."""

    service: str
    """The URL's scheme, such as slack; the rest of it is secret."""
    sent: bool
    problem: str


def send(
    urls: Sequence[str], message: Message, timeout_s: float = TIMEOUT_S, python: str = sys.executable
) -> list[Result]:
    """Send the message to each URL and return what became of it; never raises."""
    given = {"urls": list(urls), "title": message.title, "body": message.body}
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter and this package)
            [python, "-m", "bridge.alerts.send"],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
        return [Result(**one) for one in json.loads(done.stdout)]
    except subprocess.TimeoutExpired:
        problem = f"not sent within {timeout_s:g} s"
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        problem = f"the process that sends ended with {type(error).__name__}"
    return [Result(url.split("://", 1)[0], False, problem) for url in urls]


def check(urls: Sequence[str]) -> list[Result]:
    """Return which URLs apprise knows how to use; sends nothing."""
    return send(urls, Message("", ""))


def main() -> None:
    """Send to each URL and print for each the service and whether it took the message."""
    given = json.load(sys.stdin)
    # It logs why a service said no, and sometimes to what URL.
    logging.getLogger("apprise").disabled = True
    json.dump([_sent(url, given["title"], given["body"]) for url in given["urls"]], sys.stdout)


def _sent(url: str, title: str, body: str) -> dict[str, Any]:
    scheme = url.split("://", 1)[0]
    service = apprise.Apprise.instantiate(url)
    if service is None:
        return {"service": scheme, "sent": False, "problem": "apprise can't use the URL"}
    if not body or service.notify(body=body, title=title):
        return {"service": scheme, "sent": True, "problem": ""}
    return {"service": scheme, "sent": False, "problem": "the service did not take the message"}


if __name__ == "__main__":
    main()
