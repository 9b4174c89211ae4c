"""The rows of deals and contacts: one owner at a time, and nothing is changed without the claim."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from bridge.journal import Journal, deals, privacy, schema
from bridge.journal.audit import Actor
from bridge.journal.deals import Claim, StoredContact, StoredDeal

NOW_MS = 1_000_000
PERSON = ("default", "cus_1")


def claim_of(lane: int = 1, fence: int = 1, delivery: int = 7, until_ms: int = NOW_MS + 30_000) -> Claim:
    """Return a claim, by default of the first delivery under the first lease."""
    return Claim(lane, fence, delivery, until_ms)


def take(journal: Journal, claim: Claim, key: str = "pay_1", now_ms: int = NOW_MS) -> StoredDeal | None:
    """Claim a deal key in a transaction of its own."""
    with journal.database.write() as connection:
        return deals.claim_deal(connection, "vendas", key, PERSON, claim, now_ms)


def take_contact(journal: Journal, claim: Claim, identity: str = "email ana@example.com") -> StoredContact | None:
    """Claim an e-mail or a phone in a transaction of its own."""
    with journal.database.write() as connection:
        return deals.claim_contact(connection, identity, claim, NOW_MS)


def save(journal: Journal, before: StoredDeal, claim: Claim, **changes: object) -> bool:
    """Change a row in a transaction of its own."""
    with journal.database.write() as connection:
        return deals.save(connection, before, replace(before, **changes), claim, NOW_MS)  # type: ignore[arg-type]


def test_one_delivery_has_a_key_at_a_time(journal: Journal) -> None:
    """The second one gets nothing until the first gives the key back; other keys are free."""
    mine, other = claim_of(), claim_of(lane=2, delivery=8)
    row = take(journal, mine)
    assert row is not None
    assert take(journal, other) is None
    assert take(journal, other, key="pay_2") is not None

    with journal.database.write() as connection:
        deals.release(connection, row, mine)

    assert take(journal, other) == row


def test_two_deliveries_of_one_lane_do_not_share_a_key(journal: Journal) -> None:
    """Lines of one lane are sent at the same time by one owner, so the claim names the delivery too."""
    assert take(journal, claim_of(delivery=7)) is not None
    assert take(journal, claim_of(delivery=8)) is None
    assert take(journal, claim_of(delivery=7)) is not None, "the next attempt of the same delivery"


def test_a_claim_ends_with_the_lease(journal: Journal) -> None:
    """After its end any lane may take the key; the lane's next owner may at once, its earlier ones never."""
    mine = claim_of(fence=3)
    row = take(journal, mine)
    assert row is not None

    assert take(journal, claim_of(fence=2)) is None
    assert take(journal, claim_of(lane=2, delivery=8), now_ms=mine.until_ms - 1) is None
    assert take(journal, claim_of(fence=4)) == row
    assert take(journal, claim_of(lane=2, delivery=8), now_ms=mine.until_ms) == row


def test_a_claim_from_before_the_clock_was_set_back_holds_nobody_up(journal: Journal) -> None:
    """No lease is as long as that claim would be."""
    assert take(journal, claim_of(until_ms=NOW_MS + 10 * deals.LONGEST_CLAIM_MS)) is not None
    assert take(journal, claim_of(lane=2, delivery=8)) is not None


def test_nothing_is_written_without_the_claim(journal: Journal) -> None:
    """A delivery whose key was taken over changes nothing and gives nothing back that is not its own."""
    old, new = claim_of(), claim_of(fence=2)
    row = take(journal, old)
    assert row is not None
    assert take(journal, new) == row

    assert not save(journal, row, old, deal_id="a")
    with journal.database.write() as connection:
        deals.release(connection, row, old)
    assert take(journal, claim_of(lane=2, delivery=8)) is None
    assert save(journal, row, new, deal_id="b", stage_id="s", status="OPEN")
    assert take(journal, new) == replace(row, deal_id="b", stage_id="s", status="OPEN")


def test_saving_lengthens_the_claim(journal: Journal) -> None:
    """A procedure of many requests keeps its key as long as its lane's lease is renewed."""
    mine = claim_of()
    row = take(journal, mine)
    assert row is not None
    assert save(journal, row, replace(mine, until_ms=NOW_MS + 60_000), creating_ms=NOW_MS)

    assert take(journal, claim_of(lane=2, delivery=8), now_ms=NOW_MS + 59_999) is None
    assert take(journal, claim_of(lane=2, delivery=8), now_ms=NOW_MS + 60_000) == replace(row, creating_ms=NOW_MS)


def test_a_key_belongs_to_one_origin(journal: Journal) -> None:
    """In two origins the same charge has a deal each."""
    with journal.database.write() as connection:
        first = deals.claim_deal(connection, "vendas", "pay_1", PERSON, claim_of(), NOW_MS)
        second = deals.claim_deal(connection, "suporte", "pay_1", PERSON, claim_of(lane=2), NOW_MS)

    assert first is not None
    assert second is not None
    assert first.id != second.id


def test_the_deals_that_the_bridge_writes_to_are_known(journal: Journal) -> None:
    """Of two deals with one key it is the one to stay."""
    mine = claim_of()
    row = take(journal, mine)
    assert row is not None
    assert save(journal, row, mine, deal_id="d1")
    with journal.database.read() as connection:
        assert deals.known_ids(connection, ["d1", "d2"]) == {"d1"}
        assert deals.known_ids(connection, []) == set()


def test_one_delivery_has_a_contact_at_a_time(journal: Journal) -> None:
    """Two customers with one e-mail do not make two contacts."""
    mine = claim_of()
    row = take_contact(journal, mine)
    assert row is not None
    assert take_contact(journal, claim_of(lane=2, delivery=8)) is None
    assert take_contact(journal, claim_of(lane=2, delivery=8), "email bia@example.com") is not None

    with journal.database.write() as connection:
        assert deals.save(connection, row, replace(row, contact_id="c1"), mine, NOW_MS)
        deals.release(connection, row, mine)

    assert take_contact(journal, claim_of(lane=2, delivery=8)) == replace(row, contact_id="c1")


def test_an_erased_person_leaves_digests_and_ids(journal: Journal) -> None:
    """The key, which may name the person, and what leads to their contact go; the deal is still known: none is made
    twice."""
    mine = claim_of()
    row, contact = take(journal, mine), take_contact(journal, mine)
    assert row is not None
    assert contact is not None
    assert save(journal, row, mine, deal_id="d1", contact_id="c1")
    with journal.database.write() as connection:
        deals.save(connection, contact, replace(contact, contact_id="c1"), mine, NOW_MS)
        deals.forget(connection, ("other", "cus_1"), "forgotten_0")
    with journal.database.read() as connection:
        (known,) = deals.deals_of(connection, [PERSON])
    assert (known["key"], known["deal_id"]) == ("pay_1", "d1")

    with journal.database.write() as connection:
        deals.forget(connection, PERSON, "forgotten_1")
        left = connection.execute(select(schema.deals.c.key, schema.deals.c.subject)).one()
        assert tuple(left) == (None, "forgotten_1")
        assert connection.execute(select(schema.contacts)).all() == []

    assert take(journal, mine) == replace(row, deal_id="d1")


OLD_MS, LATE_MS = NOW_MS + 1, NOW_MS + 60_000


def written(journal: Journal, key: str = "pay_1") -> StoredDeal:
    """Return the row of a deal that was written to, with its contact, and on which nobody works."""
    mine = claim_of()
    row, contact = take(journal, mine, key), take_contact(journal, mine)
    assert row is not None
    assert contact is not None
    with journal.database.write() as connection:
        after = replace(row, deal_id="d1", stage_id="s1", status="OPEN", contact_id="c1", contact_digest="x")
        deals.save(connection, row, after, mine, NOW_MS)
        deals.save(connection, contact, replace(contact, contact_id="c1"), mine, NOW_MS)
        deals.release(connection, after, mine)
        deals.release(connection, contact, mine)
    return after


def cleared(journal: Journal, *, full_only: bool) -> int:
    """Empty the rows that are old enough for the first or for the second step of retention; return their number."""
    with journal.database.write() as connection:
        ids, _ = deals.old_page(connection, OLD_MS, 0, full_only=full_only)
        return deals.empty(connection, ids, OLD_MS, full_only=full_only)


def kept(journal: Journal) -> tuple[str | None, str]:
    """Return the key and the customer of the only row."""
    with journal.database.read() as connection:
        return tuple(connection.execute(select(schema.deals.c.key, schema.deals.c.subject)).one())


def test_retention_empties_the_key_and_later_what_leads_to_the_person(journal: Journal) -> None:
    """The row is found by its digest all the same, with the deal that it is: no second one is made."""
    row = written(journal)
    assert cleared(journal, full_only=True) == 1
    assert cleared(journal, full_only=True) == 0
    assert kept(journal) == (None, "cus_1")

    assert cleared(journal, full_only=False) == 1
    assert cleared(journal, full_only=False) == 0
    assert kept(journal) == (None, "")
    assert take(journal, claim_of(delivery=9), now_ms=LATE_MS) == replace(row, contact_id=None, contact_digest=None)


@pytest.mark.parametrize("full_only", [True, False])
def test_a_deal_that_is_written_to_again_belongs_to_its_customer_again(journal: Journal, full_only: bool) -> None:
    """Otherwise an erasure would not find what is written from now on; retention leaves it for as long again."""
    written(journal)
    cleared(journal, full_only=full_only)
    assert take(journal, claim_of(delivery=9), now_ms=LATE_MS) is not None

    assert kept(journal) == ("pay_1", "cus_1")
    assert cleared(journal, full_only=True) == cleared(journal, full_only=False) == 0


def test_a_deal_that_is_claimed_meanwhile_is_left(journal: Journal) -> None:
    """Between the look for old rows and their emptying a delivery may have begun."""
    row = written(journal)
    assert take(journal, claim_of(delivery=9), now_ms=LATE_MS) is not None
    with journal.database.write() as connection:
        assert [deals.empty(connection, [row.id], OLD_MS, full_only=one) for one in (True, False)] == [0, 0]

    assert kept(journal) == ("pay_1", "cus_1")


def test_pages_of_old_rows(journal: Journal) -> None:
    """Each page goes on behind the one before."""
    ids = [written(journal, key).id for key in ("pay_1", "pay_2", "pay_3")]
    with journal.database.read() as connection:
        assert deals.old_page(connection, OLD_MS, 0, full_only=True, limit=2) == (ids[:2], ids[1])
        assert deals.old_page(connection, OLD_MS, ids[1], full_only=True, limit=2) == (ids[2:], None)
        assert deals.old_page(connection, NOW_MS, 0, full_only=True) == ([], None)


def test_old_contacts_go(journal: Journal) -> None:
    """Those of a customer for whom a deal was made lately stay."""
    written(journal)
    assert take_contact(journal, claim_of(), "email bia@example.com") is not None
    with journal.database.write() as connection:
        first, last = deals.old_contacts(connection, OLD_MS, "", limit=1)
        assert last == first[0]
        second, last = deals.old_contacts(connection, OLD_MS, first[0])
        assert last is None
        assert deals.remove_contacts(connection, [*first, *second], NOW_MS) == 0
        assert deals.remove_contacts(connection, [*first, *second], OLD_MS) == 2
        assert deals.old_contacts(connection, OLD_MS, "") == ([], None)


def test_which_keys_are_known(journal: Journal) -> None:
    """In that origin; also a key whose text was emptied."""
    written(journal)
    cleared(journal, full_only=False)
    with journal.database.read() as connection:
        assert deals.known_keys(connection, "vendas", ["pay_1", "pay_2"]) == {"pay_1"}
        assert deals.known_keys(connection, "suporte", ["pay_1"]) == set()


def test_a_person_of_whom_only_a_deal_is_left_can_be_erased(journal: Journal) -> None:
    """Retention removes events by their age, and a deal may have been written to later."""
    row = written(journal)
    with journal.database.write() as connection:
        found = privacy.find(connection, "cus_1")
        assert found == [PERSON]
        privacy.erase(connection, found, Actor("test"), NOW_MS)
        assert privacy.find(connection, "cus_1") == []

    assert kept(journal)[0] is None
    assert take(journal, claim_of()) == replace(row, contact_id=None, contact_digest=None)
