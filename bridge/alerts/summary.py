"""The morning summary: what yesterday brought, what waits, and what needs a person.

It holds numbers and names of the bridge's own things, nothing about a customer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from bridge.alerts.send import Message, brasilia, link_of, more
from bridge.formats import Formats
from bridge.journal.daily import Day, day_before
from bridge.journal.notices import StoredNotice
from bridge.journal.statistics import BRASILIA_MS, DAY_MS, HOUR_MS
from bridge.messages import _, in_language, ngettext
from bridge.reasons import AlertWords, notice_words

MORNING_H = 8
"""The hour in Brasília."""
MAX_PROBLEMS = 10


def next_morning_ms(now_ms: int) -> int:
    """Return the next time after now at which summaries are due."""
    midnight_ms = (now_ms + BRASILIA_MS) // DAY_MS * DAY_MS - BRASILIA_MS
    morning_ms = midnight_ms + MORNING_H * HOUR_MS
    return morning_ms if morning_ms > now_ms else morning_ms + DAY_MS


def add_up(days: Mapping[str, Day], accounts: Collection[str]) -> Day:
    """Return the sum over these accounts, over all where none is named."""
    total = Day()
    for account, day in days.items():
        if not accounts or account in accounts:
            total.received += day.received
            total.delivered += day.delivered
            total.dead += day.dead
            total.waiting += day.waiting
            total.charges |= {f"{account} {charge}": value for charge, value in day.charges.items()}
            if day.oldest_ms is not None:
                total.oldest_ms = day.oldest_ms if total.oldest_ms is None else min(total.oldest_ms, day.oldest_ms)
    return total


def compose(
    day: Day,
    problems: Sequence[StoredNotice],
    idle: Sequence[str],
    *,
    now_ms: int,
    language: str,
    public_url: str = "",
) -> Message:
    """Return the summary in that language."""
    with in_language(language):
        formats = Formats(now_ms)
        yesterday = brasilia(day_before(now_ms), "%d/%m", "%Y-%m-%d")
        lines = [
            _("{number} received", number=formats.number(day.received)),
            _delivered(day, formats),
            _("{number} not delivered", number=formats.number(day.dead)),
            _waiting(day, formats),
        ]
        lines = [f"• {line}" for line in lines]
        if problems:
            lines += [
                "",
                _("NEEDS ATTENTION"),
                *(_problem(one, formats, public_url) for one in problems[:MAX_PROBLEMS]),
            ]
        if len(problems) > MAX_PROBLEMS:
            lines.append(more(len(problems) - MAX_PROBLEMS, public_url))
        if idle:
            lines += ["", _("DELIVERED NOTHING FOR A WEEK"), *(f"• {name}" for name in idle)]
            lines += [f"  {public_url}/mappings"] if public_url else []
        if not problems:
            lines += ["", _("Nothing needs you.")]
        lines += ["", public_url] if public_url else []
        return Message(_("Asaas–Clint bridge: summary of {day}", day=yesterday), "\n".join(lines))


def _delivered(day: Day, formats: Formats) -> str:
    number = formats.number(day.delivered)
    if not day.charges:
        return _("{number} delivered", number=number)
    amount = formats.money(sum(day.charges.values(), Decimal()))
    charges = ngettext("{n} charge", "{n} charges", len(day.charges))
    return _("{number} delivered: {amount} in {charges}", number=number, amount=amount, charges=charges)


def _waiting(day: Day, formats: Formats) -> str:
    if not day.waiting or day.oldest_ms is None:
        return _("nothing waits now")
    number, since = formats.number(day.waiting), formats.ago(day.oldest_ms)
    return _("{number} waiting now, the oldest came {since}", number=number, since=since)


def _problem(notice: StoredNotice, formats: Formats, public_url: str) -> str:
    words = notice_words(notice.code) or AlertWords(notice.code, "")
    since = formats.ago(notice.raised_ms)
    line = "• " + _("{title} ({about}), {since}", title=words.title, about=notice.about, since=since)
    link = link_of(notice.code, notice.about, public_url)
    return f"{line}\n  {link}" if link else line
