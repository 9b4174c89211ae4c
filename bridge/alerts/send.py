"""Writes one message about all due alerts, and sends it by apprise in a process of its own.

`python -m bridge.alerts.send` is that process: a service that hangs costs the bridge no thread, and never its memory.
"""

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
from bridge.journal.causes import anchor
from bridge.mapping.values import BRASILIA
from bridge.messages import N_, _, current_language, in_language, ngettext, read_message
from bridge.reasons import AlertWords, notice_words

MAX_PROBLEMS = 20
"""Problems that a message names; Slack, Telegram and others cut longer ones."""
TIMEOUT_S = 60.0
"""For all URLs together; apprise itself gives each connection and answer four seconds."""
_HEADINGS = {Kind.NEW: N_("NEW"), Kind.AGAIN: N_("STILL OPEN"), Kind.OVER: N_("BACK TO NORMAL")}


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


def compose(items: Sequence[Item], language: str, public_url: str = "") -> Message:
    """Return the message in that language: problems first, then those that are over."""
    with in_language(language):
        lines: list[str] = []
        for kind in Kind:
            shown = [item for item in items[:MAX_PROBLEMS] if item.kind is kind]
            if shown:
                lines += [_(_HEADINGS[kind]), *(_line(item, public_url) for item in shown), ""]
        if len(items) > MAX_PROBLEMS:
            lines += [_("and {number} more: `bridge notices list`", number=len(items) - MAX_PROBLEMS), ""]
        if public_url:
            lines.append(public_url)
        number = sum(item.kind is not Kind.OVER for item in items)
        summary = ngettext("{n} problem", "{n} problems", number) if number else _("back to normal")
        return Message(_("Asaas–Clint bridge: {summary}", summary=summary), "\n".join(lines).strip())


def trial(language: str) -> Message:
    """Return the message of `bridge alerts test`."""
    with in_language(language):
        body = _("This is a test by `bridge alerts test`. The bridge's alerts arrive here.")
        return Message(_("Asaas–Clint bridge: {summary}", summary=_("test")), body)


def _line(item: Item, public_url: str) -> str:
    alert = item.alert
    words = notice_words(alert.code) or AlertWords(alert.code, read_message(alert.mend).text())
    moment = datetime.fromtimestamp(alert.since_ms / 1000, UTC).astimezone(BRASILIA)
    since = moment.strftime("%d/%m %H:%M" if current_language() == "pt" else "%Y-%m-%d %H:%M (Brasília)")
    facts = {"title": words.title, "about": alert.about, "since": since}
    if item.kind is Kind.OVER:
        return "• " + _("{title} ({about}), from {since} until a moment ago", **facts)
    detail = _("detail: {detail}", detail=read_message(alert.detail))
    found = ["• " + _("{title} ({about}), since {since}", **facts), detail, words.todo]
    if public_url:
        found.append(f"{public_url.rstrip('/')}/attention#{anchor(alert.code, alert.about)}")
    return "\n  ".join(found)


def send(
    urls: Sequence[str], message: Message, timeout_s: float = TIMEOUT_S, python: str = sys.executable
) -> list[Result]:
    """Send the message to each URL and return the results; never raises."""
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
    """Return which URLs apprise can use; sends nothing."""
    return send(urls, Message("", ""))


def main() -> None:
    given = json.load(sys.stdin)
    # apprise logs why a service refused, and sometimes the URL, which is secret.
    logging.getLogger("apprise").disabled = True
    json.dump([_send_one(url, given["title"], given["body"]) for url in given["urls"]], sys.stdout)


def _send_one(url: str, title: str, body: str) -> dict[str, Any]:
    service = apprise.Apprise.instantiate(url)
    problem = ""
    if service is None:
        problem = "apprise can't use the URL"
    elif body and not service.notify(body=body, title=title):
        problem = "the service did not take the message"
    return {"service": url.split("://", 1)[0], "sent": not problem, "problem": problem}


if __name__ == "__main__":
    main()
