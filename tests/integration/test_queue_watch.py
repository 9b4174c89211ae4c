"""The sweeper's watch on the queues at Asaas: a real journal, and the simulated Asaas over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bridge.asaas.client import AsaasClient
from bridge.asaas.limiter import AccountLimiter, Limits
from bridge.asaas.webhooks import CODES, Webhook, problems, retention
from bridge.http import HttpClient
from bridge.journal import Journal, notices
from bridge.journal.notices import StoredNotice
from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.messages import read_message
from bridge.model import NoticeLevel
from bridge.redis_client import OptionalRedis
from bridge.simulator.asaas.account import DEFAULT_KEY
from bridge.simulator.serve import Served
from bridge.worker.tasks import watch_webhooks
from tests.factories import Clock, incoming, keep, opened_journal
from tests.peers import closed_port
from tests.simulated import AsaasSimulator

HOOK = "https://bridge.example/webhooks/asaas"
TOKEN = "5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8"
DAY_S = 86_400


def mapping(events: str = "[PAYMENT_RECEIVED]") -> Mapping:
    """Return a mapping that listens to these events."""
    read = parse_mapping(f"events: {events}\ncontact: {{email: customer.email}}\n", "x", Setup(None, None))
    assert read.mapping is not None
    return read.mapping


class Watched:
    """A journal, a simulated Asaas and the watch between them."""

    def __init__(self, journal: Journal, asaas: AsaasSimulator, url: str, http: HttpClient) -> None:
        self.journal = journal
        self.asaas = asaas
        self.clock = Clock()
        self.mappings = [mapping()]
        self.in_use: Callable[[], list[Mapping]] = lambda: self.mappings
        self._url = url
        self._http = http

    def watch(
        self, key: str = DEFAULT_KEY, url: str = "", public_url: str = "", quota: int = 25_000
    ) -> Callable[[], None]:
        """Return a watch of the account `default`."""
        governor = AccountLimiter("default", OptionalRedis(None), Limits(quota=quota, quota_margin=0))
        client = AsaasClient("default", key, url or self._url, self._http, governor)
        accounts, limiters = {"default": client}, {"default": governor}
        return lambda: watch_webhooks(self.journal, accounts, limiters, self.in_use(), public_url, self.clock)

    def unmended(self) -> list[StoredNotice]:
        """Return the open notices."""
        with self.journal.database.read() as connection:
            return notices.open_notices(connection)

    def codes(self) -> list[str]:
        """Return the codes of the open notices."""
        return [one.code for one in self.unmended()]


@pytest.fixture
def watched(sqlite_url: str) -> Iterator[Watched]:
    """Give an empty journal and an Asaas without webhooks."""
    simulator = AsaasSimulator()
    with (
        opened_journal(sqlite_url) as journal,
        Served(simulator.app) as served,
        HttpClient(allow_private=True) as http,
    ):
        yield Watched(journal, simulator, f"{served.url}/v3", http)
    simulator.close()


def test_a_sound_webhook_is_no_notice(watched: Watched) -> None:
    """What subscribes to all that is needed and sends is fine."""
    watched.asaas.posts_to(HOOK, TOKEN)
    watched.watch()()

    assert watched.unmended() == []


def test_an_interruption_is_told_once_and_closed_when_mended(watched: Watched) -> None:
    """Looking again counts; once the queue goes on the notice is closed."""
    hook = watched.asaas.posts_to(HOOK, TOKEN, interrupted=True)
    watch = watched.watch()
    watch()
    watch()
    (told,) = watched.unmended()
    watched.asaas.webhooks.update(hook["id"], {"interrupted": False})
    watch()

    assert (told.code, told.about, told.level, told.times) == ("webhook.interrupted", "default", "error", 2)
    assert "bridge webhook resume" in told.mend
    assert watched.unmended() == []


def test_before_the_fourteen_days_are_over_it_is_told(watched: Watched) -> None:
    """It becomes urgent by the age of the oldest event that may wait: the last one that came in tells."""
    watched.asaas.posts_to(HOOK, TOKEN, interrupted=True)
    keep(watched.journal, replace(incoming(), received_ms=watched.clock()))
    watch = watched.watch()
    watched.clock.go(6 * DAY_S)
    watch()
    early = watched.codes()
    watched.clock.go(2 * DAY_S)
    watch()
    late = {one.code: one.level for one in watched.unmended()}
    watched.clock.go(4 * DAY_S)
    watch()
    last = {one.code: one.level for one in watched.unmended()}

    assert early == ["webhook.interrupted"]
    assert late["webhook.retention"] == "warning"
    assert last["webhook.retention"] == "error"


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [
        (6.9, None, ""),
        (7, NoticeLevel.WARNING, "in 7 days"),
        (11, NoticeLevel.ERROR, "in 3 days"),
        (13.5, NoticeLevel.ERROR, "now or within a day"),
        (20, NoticeLevel.ERROR, "now or within a day"),
    ],
)
def test_the_days_that_are_left_are_said(days: float, level: NoticeLevel | None, words: str) -> None:
    """From a week before, and as an error from three days before."""
    said = retention(0, int(days * DAY_S * 1000), "matriz")

    assert (said.level if said else None) is level
    assert said is None or (words in str(said.what) and "--account matriz" in str(said.mend))


def test_missing_events_and_a_missing_webhook_are_told(watched: Watched) -> None:
    """A mapping that needs another event, or a webhook that somebody removed, is told by the next look."""
    hook = watched.asaas.posts_to(HOOK, TOKEN, ["PAYMENT_RECEIVED"])
    watched.mappings.append(mapping("[PAYMENT_OVERDUE]"))
    watched.watch()()
    missing_event = watched.unmended()
    watched.asaas.webhooks.delete(hook["id"])
    watched.watch()()

    assert [one.code for one in missing_event] == ["webhook.events"]
    assert "PAYMENT_OVERDUE" in str(read_message(missing_event[0].detail))
    assert watched.codes() == ["webhook.missing"]


def test_an_account_that_no_mapping_listens_to_needs_no_webhook(watched: Watched) -> None:
    """What was said of it is closed."""
    watched.watch()()
    told = watched.codes()
    watched.mappings.clear()
    watched.watch()()

    assert told == ["webhook.missing"]
    assert watched.codes() == []


def test_with_a_public_url_only_that_webhook_is_ours(watched: Watched) -> None:
    """The webhook of a bridge elsewhere does not count."""
    watched.asaas.posts_to("https://staging.example/webhooks/asaas", TOKEN)
    watched.watch(public_url="https://bridge.example")()

    assert watched.codes() == ["webhook.missing"]


def test_a_refused_key_is_told_and_closed(watched: Watched) -> None:
    """A revoked key stops enrichment, so the operator must know before a customer does."""
    watched.asaas.posts_to(HOOK, TOKEN)
    watched.watch(key="$aact_hmlg_revoked")()
    (told,) = watched.unmended()
    watched.watch()()

    assert (told.code, told.level) == ("account.key_refused", "error")
    assert "revoked," in str(read_message(told.detail))
    assert "$aact" not in told.detail
    assert watched.unmended() == []


def test_an_asaas_that_is_away_says_nothing(watched: Watched) -> None:
    """What was told stays told, and nothing is made up."""
    watched.watch()()
    with closed_port() as port:
        watched.watch(url=f"http://127.0.0.1:{port}")()

    assert watched.codes() == ["webhook.missing"]


def test_the_rest_of_the_quota_is_left_to_events(watched: Watched) -> None:
    """Above four fifths of the quota nothing is asked."""
    watch = watched.watch(quota=2)
    for _ in range(3):
        watch()

    assert watched.asaas.limits.requests == 2


def test_every_code_of_the_rules_is_closed_by_the_watch() -> None:
    """A code that is not in the list would stay open for ever."""
    bad = Webhook("1", "x", HOOK, "", True, True, "SEQUENTIALLY", False, 3, ())
    found = [bad, replace(bad, enabled=False), replace(bad, id="2", url=f"{HOOK}/", api_version=2)]
    said = {one.code for one in [*problems([], {"X"}, "default"), *problems(found, {"X"}, "default")]}

    assert said | {"webhook.retention"} == set(CODES)
