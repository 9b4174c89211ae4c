"""One message for all that is to be told: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.alerting.plan import Item, Kind
from bridge.alerting.words import PHRASES, PT, WORDS, Words
from bridge.mapping.dates import BRASILIA

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
    words = WORDS.get(alert.code, {}).get(language) or Words(alert.code, alert.mend)
    if item.kind is Kind.OVER:
        return f"• {words.title} ({alert.about}), {phrases['lasted'].format(moment=_moment(alert.since_ms, language))}"
    since = phrases["since"].format(moment=_moment(alert.since_ms, language))
    return f"• {words.title} ({alert.about}), {since}\n  {phrases['detail']}: {alert.detail}\n  {words.todo}"


def _moment(at_ms: int, language: str) -> str:
    """Return the time in Brasília, as the language writes it."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(BRASILIA)
    return moment.strftime("%d/%m %H:%M" if language == PT else "%Y-%m-%d %H:%M (Brasília)")
