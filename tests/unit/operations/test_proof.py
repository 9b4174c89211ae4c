"""What a deal proves: a table of read-backs, and a made-up Clint in which nothing untrue is ever called seen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.clint.api import Deal
from bridge.operations.proof import LATE_MS, Code, Other, Sent, judge, texts_of

T = 1_795_000_000_000
YEARS = 6 * 365 * 86_400_000
PAID = {"codigo": "pay_1", "situacao": "Recebida", "valor": "129.90"}
SENT = Sent("pay_1", T, PAID, status="WON")
MADE = Deal("d1", "o1", "s1", "Paga", "WON", {"created_at": T + 900, "updated_stage_at": T + 900}, dict(PAID))
OLD = Deal("d0", "o1", "s0", "Perdida", "LOST", {"created_at": T - YEARS, "lost_at": T - YEARS}, {"valor": "129.90"})
PLAIN = replace(MADE, fields={})
"""As documented: Clint may show neither value nor fields."""
MOVED = replace(
    OLD, status="WON", times_ms={"created_at": T - YEARS, "updated_stage_at": T + 5_000, "won_at": T + 5_000}
)
KNOWN = replace(SENT, origin_id="o1", stage_id="s1")
EARLIER = Other(T - 5_000, texts_of({**PAID, "situacao": "Criada"}), "")
LATER = Other(T + 5_000, texts_of(PAID), "")
ELSEWHERE = replace(MADE, origin_id="o2")


READ_BACKS: list[tuple[str, Sent, list[Deal]]] = [
    (Code.NONE, SENT, []),
    (Code.SEEN, SENT, [MADE]),
    (Code.SEEN, SENT, [OLD, MADE]),
    (Code.SEEN, KNOWN, [OLD, replace(MADE, times_ms={})]),
    (Code.SEEN, SENT, [PLAIN]),
    (Code.OLDER, SENT, [OLD]),
    (Code.OLDER, replace(SENT, status="LOST"), [OLD]),
    (Code.OTHER_STATUS, SENT, [replace(MADE, status="OPEN")]),
    (Code.SEEN, replace(SENT, status=""), [replace(MADE, status="OPEN")]),
    (Code.OTHER_ORIGIN, KNOWN, [ELSEWHERE]),
    (Code.ORIGIN_UNKNOWN, SENT, [MADE, replace(ELSEWHERE, id="d2")]),
    (Code.UNMARKED, SENT, [MOVED]),
    (Code.UNMARKED, replace(SENT, origin_id="o1"), [MOVED]),
    (
        Code.SEEN,
        replace(SENT, payload={"titulo": "Boleto 7001"}),
        [replace(MOVED, fields={"nome": "boleto 7001"})],
    ),
    (Code.UNMARKED, SENT, [OLD, PLAIN]),
    (Code.SEEN, replace(SENT, origin_id="o1"), [OLD, PLAIN]),
    (Code.OTHER_STAGE, KNOWN, [replace(MOVED, fields={})]),
    (Code.SEEN, KNOWN, [replace(MOVED, stage_id="s1", fields={})]),
    (Code.OTHER_CHARGE, SENT, [replace(MADE, fields={"codigo": "pay_2", "situacao": "Recebida"})]),
    (Code.SEEN, replace(SENT, others=(EARLIER,)), [MADE]),
    (Code.AMBIGUOUS, replace(SENT, others=(EARLIER,)), [PLAIN]),
    (Code.SEEN, replace(SENT, others=(EARLIER._replace(sent_ms=T - LATE_MS - 1),)), [PLAIN]),
    (Code.SEEN, replace(SENT, others=(EARLIER._replace(status="OPEN"),)), [PLAIN]),
    (Code.SEEN, replace(SENT, others=(LATER,)), [PLAIN]),
    (Code.AMBIGUOUS, replace(SENT, others=(LATER,)), [replace(PLAIN, status="LOST")]),
    (Code.AMBIGUOUS, replace(SENT, others=(LATER,)), [replace(PLAIN, times_ms={"created_at": T + 6_000})]),
    (Code.OLDER, replace(SENT, others=(LATER,)), [OLD]),
]


@pytest.mark.parametrize(("code", "sent", "deals"), READ_BACKS)
def test_what_each_read_back_proves(code: str, sent: Sent, deals: list[Deal]) -> None:
    """Old deals, other origins, LOST, other deals of the contact, moved by people, late; each says its own reason."""
    assert judge(sent, deals).code == code


def test_each_code_is_in_the_table() -> None:
    """Without a contact nothing is asked, so nothing is judged."""
    assert {code for code, *_ in READ_BACKS} == set(Code) - {Code.NO_CONTACT}


@pytest.mark.parametrize("name", ["created_at", "updated_stage_at", "won_at", "lost_at", "updated_at"])
def test_each_time_after_the_send_counts(name: str) -> None:
    """Also what only the documented filter by `updated_at` says."""
    before = replace(MADE, fields={}, times_ms={"created_at": T - 1})
    after = replace(before, times_ms={**before.times_ms, name: T})

    assert judge(KNOWN, [before]).code == Code.OLDER
    assert judge(KNOWN, [after]) == (Code.SEEN, after)
    assert judge(KNOWN, [before], {before.id}).code == Code.SEEN


@dataclass
class World:
    """A Clint in which a delivery may be lost while other things happen to the contact's deals."""

    deals: dict[str, Deal] = field(default_factory=dict)
    changed_ms: dict[str, int] = field(default_factory=dict)
    wrote: dict[str, set[str]] = field(default_factory=lambda: {"us": set(), "others": set(), "people": set()})
    """The deals that were written after the send and before the next one, by whom."""

    def write(self, id_: str, at_ms: int, fields: dict[str, Any], *place: str) -> None:
        """Make a deal, or change it; what changes leaves its time."""
        origin, stage, status = place
        before = self.deals.get(id_)
        times = dict(before.times_ms) if before else {"created_at": at_ms, "updated_stage_at": at_ms}
        if before and before.stage_id != stage:
            times["updated_stage_at"] = at_ms
        if not before or before.status != status:
            times |= {"WON": {"won_at": at_ms}, "LOST": {"lost_at": at_ms}}.get(status, {})
        shown = {**(before.fields if before else {}), **fields}
        self.deals[id_] = Deal(id_, origin, stage, "", status, times, shown)
        self.changed_ms[id_] = at_ms


times = st.integers(-20, 20).map(lambda minutes: T + minutes * 60_000)
texts = st.fixed_dictionaries({}, optional={"codigo": st.sampled_from(["pay_1", "pay_2"]), "valor": st.just("100")})
places = st.tuples(
    st.sampled_from(["o1", "o2"]), st.sampled_from(["s1", "s2"]), st.sampled_from(["OPEN", "WON", "LOST"])
)
ids = st.sampled_from(["a", "b", "c"])


@settings(max_examples=200, deadline=None)
@given(
    own=st.fixed_dictionaries(
        {"codigo": st.just("pay_1")}, optional={"valor": st.just("100"), "dia": st.just("10/12/2026")}
    ),
    sends_id=st.booleans(),
    shows=st.booleans(),
    arrives_ms=st.none() | st.integers(0, LATE_MS),
    into=ids,
    knows=st.sampled_from(["", "origin", "stage"]),
    status=st.sampled_from(["WON", ""]),
    # By people and other programs: deals of the same contact anywhere, moved and changed at any time.
    foreign=st.lists(st.tuples(times, ids, places, st.booleans()), max_size=4),
    # Other deliveries of the customer, which arrive late or never.
    others=st.lists(st.tuples(times, st.none() | st.integers(0, LATE_MS), ids, texts, places), max_size=3),
    looked=st.integers(0, 40),
)
def test_nothing_untrue_is_called_seen(
    own: dict[str, str],
    sends_id: bool,
    shows: bool,
    arrives_ms: int | None,
    into: str,
    knows: str,
    status: str,
    foreign: list[tuple[int, str, tuple[str, str, str], bool]],
    others: list[tuple[int, int | None, str, dict[str, str], tuple[str, str, str]]],
    looked: int,
) -> None:
    """Seen is a deal that the delivery wrote, or one that stands where it puts deals and was written since."""
    payload = own if sends_id else {key: value for key, value in own.items() if key != "codigo"}
    here, now_ms = ("o1", "s1", "WON"), T + looked * 60_000
    happens: list[tuple[int, str, dict[str, str], tuple[str, str, str], str]] = [
        (at, id_, {"valor": "100"} if shows_value else {}, place, "people") for at, id_, place, shows_value in foreign
    ]
    happens += [(at + late, id_, shown, place, "others") for at, late, id_, shown, place in others if late is not None]
    if arrives_ms is not None:
        happens.append((T + arrives_ms, into, payload, here, "us"))
    world = World()
    until_ms = min((at for at, *_ in others if T < at <= now_ms), default=now_ms + 1)
    for at_ms, id_, shown, place, by in sorted(happens, key=lambda one: one[0]):
        if at_ms <= now_ms and (id_ not in world.deals or world.deals[id_].origin_id == place[0]):
            world.write(id_, at_ms, shown if shows else {}, *place)
            world.wrote[by] |= {id_} if by == "us" or T <= at_ms < until_ms else set()
    sent = Sent(
        "pay_1",
        T,
        payload,
        tuple(Other(at, texts_of(shown)) for at, _, _, shown, _ in others if at <= now_ms),
        "o1" if knows else "",
        "s1" if knows == "stage" else "",
        status,
    )
    changed = {id_ for id_, at in world.changed_ms.items() if at >= T}
    code, deal = judge(sent, list(world.deals.values()), changed)

    if code == Code.SEEN:
        assert deal is not None
        # A person who leaves a deal as the delivery would, and where it would, can't be told from it by anybody.
        stands = deal.id in world.wrote["people"] and status in {"", deal.status}
        is_placed = deal.origin_id == "o1" if knows else len(world.deals) == 1
        assert deal.id in world.wrote["us"] or (stands and is_placed)
