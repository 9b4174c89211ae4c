"""Deals that are looked for after the delivery: seen, not seen, later, and never at the price of anything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bridge.clint.api import ClintApi, Deal
from bridge.clint.directory import ClintAccount, Directory
from bridge.errors import ClintApiFailed
from bridge.journal import Journal, destinations, notices
from bridge.journal.deliveries import due_read_backs, record_read_back
from bridge.journal.schema import attempts, deliveries
from bridge.mapping import Setup
from bridge.mapping.parser import parse_mapping
from bridge.model import DeliveryState, ReadBack
from bridge.operations.proof import Code
from bridge.operations.read_back import LOOKS, OLDEST_MS, ReadBacks
from bridge.pipeline.active_mappings import ActiveMapping
from tests.databases import on_both
from tests.factories import NOW_MS, Clock, opened_journal, owe, put_in_state, register, row_of

WAIT_S = 30.0
TEXT = "events: [PAYMENT_RECEIVED]\ncontact: {email: customer.email, fone: phone(customer.phone)}\nverify: true\n"


class Clint(ClintApi):
    """Stands for the Clint API: what it shows, and whom it was asked for."""

    def __init__(self, *deals: Deal, fails: bool = False) -> None:
        self.shows = list(deals)
        self.fails = fails
        self.asked: list[tuple[str, str]] = []

    def deals(self, email: str = "", phone: str = "", changed_since_ms: int | None = None) -> list[Deal]:
        """Return what it shows; of changes it knows nothing."""
        if changed_since_ms is not None:
            return []
        self.asked.append((email, phone))
        if self.fails:
            raise ClintApiFailed("the Clint API could not be reached")
        return self.shows

    def stage(self, deal: Deal) -> str:
        """Return the stage's label."""
        return deal.stage

    def account(self) -> ClintAccount:
        """Return it as the account of a token."""
        return ClintAccount(self, Directory(self))


class Mappings:
    """The active mappings of a test."""

    def current(self) -> tuple[ActiveMapping, ...]:
        """Return the mapping called paga."""
        mapping = parse_mapping(TEXT, "paga.yaml", Setup(None, None)).mapping
        assert mapping is not None
        return (ActiveMapping(mapping, 1),)


DEAL = Deal("d1", "o1", "s1", "Paga", "WON", {"created_at": NOW_MS})
OLD = Deal("d0", "o1", "s1", "Nova", "OPEN", {"created_at": NOW_MS - 86_400_000})


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    """Give a journal of each kind."""
    with opened_journal(database_url) as made:
        yield made


def delivered(journal: Journal, payload: str = '{"email": "ana@example.com"}', **more: Any) -> int:
    """Add a delivery that was delivered now and whose deal is to be looked for."""
    number = owe(journal, payload=payload, read_back=ReadBack.ASKED.value, **more)
    put_in_state(journal, number, DeliveryState.DELIVERED, finished_ms=NOW_MS, created_ms=NOW_MS, attempts=1)
    with journal.database.write() as connection:
        values = {"delivery_id": number, "number": 1, "fence": 1, "started_ms": NOW_MS}
        connection.execute(attempts.insert().values(values))
    return number


def said(journal: Journal, number: int) -> tuple[Any, ...]:
    """Return what the journal says of the looks."""
    row = row_of(journal, number)
    facts = json.loads(row["read_back_detail"]) if row["read_back_detail"] else None
    return row["read_back"], row["read_back_tries"], facts


@on_both
def test_a_deal_that_stands_is_seen_once_its_time_has_come(journal: Journal) -> None:
    """Not at once: Clint needs a moment."""
    clint, number = Clint(DEAL), delivered(journal)
    looks = ReadBacks(journal, clint.account, Mappings().current, WAIT_S)

    assert looks.step(NOW_MS + 29_000) == 0
    assert looks.step(NOW_MS + 30_000) == 1
    assert said(journal, number) == ("seen", 1, {"code": "deal.seen", "stage": "Paga", "status": "WON"})
    assert looks.step(NOW_MS + 999_000) == 0


LOST = replace(OLD, id="d9", origin_id="o9", status="LOST", times_ms={"lost_at": NOW_MS - 6 * 365 * 86_400_000})
OPEN = replace(DEAL, status="OPEN")


@pytest.mark.parametrize(
    ("shows", "code"),
    [([], Code.NONE), ([OLD], Code.OLDER), ([LOST], Code.OLDER), ([OPEN], Code.OTHER_STATUS)],
)
def test_what_is_not_seen_often_enough_says_why(
    journal: Journal, capsys: pytest.CaptureFixture[str], shows: list[Deal], code: str
) -> None:
    """Each look waits longer than the one before; a deal from before the delivery proves nothing."""
    clint, number, clock = Clint(*shows), delivered(journal), Clock()
    looks = ReadBacks(journal, clint.account, Mappings().current, WAIT_S)
    waits = []
    for _ in range(LOOKS):
        waited_s = 30
        while not looks.step(clock.go(30)):
            waited_s += 30
        waits.append(waited_s)

    assert waits == [30, 120, 480, 1920]
    state, tries, facts = said(journal, number)
    assert (state, tries, facts["code"]) == ("not_seen", LOOKS, code)
    assert "delivery.not_seen" in capsys.readouterr().out


def test_a_deal_that_was_not_seen_is_a_notice_until_one_is(journal: Journal) -> None:
    """One for all deliveries of a mapping to a destination, closed by the next of them that is seen."""
    clint = Clint()
    looks = ReadBacks(journal, clint.account, Mappings().current, WAIT_S)

    def noticed(now_ms: int) -> list[tuple[str, str, int]]:
        looks.step(now_ms)
        with journal.database.read() as connection:
            return [(one.code, one.about, one.times) for one in notices.open_notices(connection)]

    delivered(journal, '{"nome": "Ana"}')
    delivered(journal, '{"nome": "Bia"}', customer="cus_2")
    before = noticed(NOW_MS + 30_000)
    clint.shows = [DEAL]
    delivered(journal, customer="cus_3")

    assert before == [("delivery.not_seen", "default/paga", 2)]
    assert noticed(NOW_MS + 30_000) == []


def test_the_origin_is_learned_from_the_first_deal_that_is_seen(journal: Journal) -> None:
    """A deal of another origin is no proof from then on; another integration is learned anew."""
    register(journal)
    first, clint = delivered(journal), Clint(DEAL)
    looks = ReadBacks(journal, clint.account, Mappings().current, WAIT_S)
    looks.step(NOW_MS + 30_000)
    with journal.database.read() as connection:
        learned = destinations.load(connection)["default"]
    clint.shows = [replace(DEAL, id="d2", origin_id="o2")]
    second = delivered(journal, customer="cus_2")
    looks.step(NOW_MS + 30_000)
    register(journal, default="https://clint.example/other")
    with journal.database.read() as connection:
        forgotten = destinations.load(connection)["default"]

    assert said(journal, first)[0] == "seen"
    assert (learned.origin_id, learned.stage_id) == ("o1", "s1")
    assert said(journal, second)[2]["code"] == Code.OTHER_ORIGIN
    assert (forgotten.origin_id, forgotten.stage_id) == (None, None)


def test_what_our_own_deliveries_hide_is_no_alarm(journal: Journal) -> None:
    """A deal that a later delivery of the customer may have written says nothing of the earlier one."""
    number = delivered(journal)
    later = delivered(journal)
    with journal.database.write() as connection:
        connection.execute(attempts.update().where(attempts.c.delivery_id == later).values(started_ms=NOW_MS + 1_000))
        put = {"read_back_tries": LOOKS - 1}
        connection.execute(deliveries.update().where(deliveries.c.id == number).values(**put))
    clint = Clint(replace(DEAL, times_ms={"created_at": NOW_MS + 2_000}))
    ReadBacks(journal, clint.account, Mappings().current, WAIT_S).step(NOW_MS + 30_000)
    with journal.database.read() as connection:
        raised = notices.open_notices(connection)

    assert said(journal, number)[0::2] == ("not_seen", {"code": Code.AMBIGUOUS, "stage": "Paga", "status": "WON"})
    assert raised == []


def test_a_payload_without_contact_is_not_looked_for(journal: Journal) -> None:
    """There is nothing to ask Clint for."""
    clint, number = Clint(DEAL), delivered(journal, '{"nome": "Ana"}')
    ReadBacks(journal, clint.account, Mappings().current, WAIT_S).step(NOW_MS + 30_000)

    assert said(journal, number) == ("not_seen", 1, {"code": Code.NO_CONTACT})
    assert clint.asked == []


def test_a_removed_mapping_leaves_the_email_to_be_guessed(journal: Journal) -> None:
    """The payload was sent, whatever became of its mapping since."""
    clint = Clint(DEAL)
    delivered(journal, '{"mail": "ana@example.com", "valor": "1"}', mapping="outra")
    ReadBacks(journal, clint.account, Mappings().current, WAIT_S).step(NOW_MS + 30_000)

    assert clint.asked == [("ana@example.com", "")]


def test_only_what_was_delivered_lately_is_looked_for(journal: Journal) -> None:
    """Neither what is still owed, nor what is dead, nor what was delivered days ago."""
    owe(journal, read_back=ReadBack.ASKED.value, customer="cus_2")
    dead = owe(journal, read_back=ReadBack.ASKED.value, customer="cus_3")
    put_in_state(journal, dead, DeliveryState.DEAD, finished_ms=NOW_MS)
    delivered(journal)
    put_in_state(journal, owe(journal, customer="cus_4"), DeliveryState.DELIVERED, finished_ms=NOW_MS)
    looks = ReadBacks(journal, Clint(DEAL).account, Mappings().current, WAIT_S)

    assert looks.step(NOW_MS + OLDEST_MS + 1) == 0
    assert looks.step(NOW_MS + 30_000) == 1


@on_both
def test_two_that_look_at_once_record_once(journal: Journal) -> None:
    """The second finds that somebody else has written it down."""
    delivered(journal)
    with journal.database.read() as connection:
        (one,) = due_read_backs(connection, NOW_MS, wait_ms=0, oldest_ms=0, limit=9)
    with journal.database.write() as connection:
        recorded = [record_read_back(connection, one.id, 0, ReadBack.SEEN, due_ms=None, detail=None) for _ in range(2)]

    assert recorded == [True, False]


def test_a_clint_that_fails_costs_no_look(journal: Journal) -> None:
    """What was not looked for is looked for in the next step."""
    number, clint = delivered(journal), Clint(DEAL, fails=True)
    looks = ReadBacks(journal, clint.account, Mappings().current, WAIT_S)
    with pytest.raises(ClintApiFailed):
        looks.step(NOW_MS + 30_000)
    assert said(journal, number) == ("asked", 0, None)

    clint.fails = False
    looks.step(NOW_MS + 30_000)
    assert said(journal, number)[0] == "seen"


def test_lint_warns_where_nothing_can_be_read_back() -> None:
    """`verify: true` without CLINT_API_TOKEN does nothing, which nobody would notice."""
    codes = {
        reads_back: [
            finding.code for finding in parse_mapping(TEXT, "paga.yaml", Setup(None, None, None, reads_back)).findings
        ]
        for reads_back in (True, False)
    }

    assert "verify.no_token" not in codes[True]
    assert "verify.no_token" in codes[False]
