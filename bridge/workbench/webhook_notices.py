"""Keeps the notices about an account's webhook at Asaas as its state there says, for the watch and for what changes it.

Given the webhooks that Asaas has it raises what is wrong and closes what is not any more, at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from bridge.asaas.webhook_rules import CODES, KEY_REFUSED, Problem, hook_url, needed, ours, problems, retention
from bridge.asaas.webhooks import Webhook
from bridge.errors import JournalError
from bridge.journal import Journal, events, notices
from bridge.journal.notices import KeptNotice, Mended, Notice
from bridge.logs import logger
from bridge.mapping import Mapping
from bridge.model import NoticeLevel
from bridge.process.account_events import ACCESS_TOKEN

log = logger(__name__)


def judge(
    journal: Journal,
    account: str,
    webhooks: Sequence[Webhook],
    mappings: Iterable[Mapping],
    public_url: str,
    now_ms: int,
) -> None:
    """Raise and close the account's notices by what Asaas says of its webhooks."""
    wants = needed(mappings, account)
    url = hook_url(public_url, account) if public_url else None
    # An account from which no mapping wants anything may well have no webhook.
    said = problems(ours(webhooks, account, url), wants, account) if wants else []
    if any(problem.code == "webhook.interrupted" for problem in said):
        late = retention(_waits_since_ms(journal, account, now_ms), now_ms, account)
        said += [late] if late else []
    codes = {problem.code for problem in said}
    mended = [Mended(code, account) for code in (*CODES, KEY_REFUSED) if code not in codes]
    with journal.database.read() as connection:
        keys = notices.unmended(connection, [ACCESS_TOKEN])
    # The bridge's own key works: one that has expired or was disabled is another one, or was replaced.
    mended += [Mended(one.code, one.about) for one in keys if _is_dead_key(one, account)]
    say_notices(journal, [*(_notice(problem, account) for problem in said), *mended], now_ms)


def judge_change(
    journal: Journal,
    account: str,
    webhooks: Sequence[Webhook],
    mappings: Iterable[Mapping],
    public_url: str,
    now_ms: int,
) -> None:
    """Judge after a change at Asaas; it is done, so a journal that is away must not hide what came of it."""
    with suppress(JournalError):
        judge(journal, account, webhooks, mappings, public_url, now_ms)


def sending(webhook: Webhook) -> Webhook:
    """Return a webhook as it is once it was resumed."""
    return replace(webhook, interrupted=False, penalised=0)


def say_notices(journal: Journal, said: Iterable[Notice | Mended], now_ms: int) -> None:
    """Raise and close notices, and log what is new."""
    with journal.database.write() as connection:
        changed = notices.apply(connection, said, now_ms)
    for one in changed:
        if isinstance(one, Notice):
            log.warning("notice.raised", code=one.code, about=one.about, level=one.level.value, detail=one.detail)
        else:
            log.info("notice.closed", code=one.code, about=one.about)


def _waits_since_ms(journal: Journal, account: str, now_ms: int) -> int:
    """Return the earliest time from which events may wait at Asaas: it does not say itself."""
    with journal.database.read() as connection:
        open_since = [one.raised_ms for one in notices.unmended(connection, ["webhook.interrupted"], account)]
        received_ms = events.last_received_ms(connection, account)
    # What waits came after the last one that got in, and at the latest when the queue was found interrupted.
    return min([now_ms, *open_since, *([received_ms] if received_ms is not None else [])])


def _is_dead_key(notice: KeptNotice, account: str) -> bool:
    return notice.about.startswith(f"{account}/") and notice.level == NoticeLevel.ERROR


def _notice(problem: Problem, account: str) -> Notice:
    return Notice(problem.code, account, problem.level, problem.what, problem.mend)
