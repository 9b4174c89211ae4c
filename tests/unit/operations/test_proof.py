"""What a deal proves: tables of read-backs, and made-up Clints in which nothing untrue is said.

What is true is known from how each Clint was made, and not from what the bridge makes of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.clint.api import CLOCK_TOLERANCE_MS, Deal
from bridge.operations.proof import LATE_MS, Code, Other, Sent, Written, judge, judge_written, texts_of
from bridge.pipeline.wanted import Wanted, read_payload

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
DATED = replace(SENT, payload={**PAID, "vencimento": "10/12/2026"})
OTHERWISE = replace(MADE, status="OPEN", times_ms={"updated_at": T + 900}, fields=dict(DATED.payload))
MOVED_LATER = {"created_at": T + 900, "updated_at": T + LATE_MS + 1}
CREATED_AS = {"situacao": "Criada"}
CREATED = Other(T - 5_000, texts_of({**DATED.payload, **CREATED_AS}), "OPEN")


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
    # Two charges at once: by Clint's clock, which may be behind, the second one's deal was made before its send.
    (Code.AMBIGUOUS, replace(SENT, others=(LATER._replace(sent_ms=T + 1_000),)), [PLAIN]),
    (Code.AMBIGUOUS, replace(SENT, others=(LATER,)), [replace(PLAIN, status="LOST")]),
    (Code.AMBIGUOUS, replace(SENT, others=(LATER,)), [replace(PLAIN, times_ms={"created_at": T + 6_000})]),
    (Code.OLDER, replace(SENT, others=(LATER,)), [OLD]),
    (Code.DIFFERS, DATED, [OTHERWISE]),
    (Code.OTHER_STATUS, DATED, [replace(OTHERWISE, times_ms=MOVED_LATER)]),
    (Code.OTHER_STATUS, DATED, [replace(OTHERWISE, times_ms={"created_at": T + 900})]),
    (Code.OTHER_STATUS, SENT, [replace(OTHERWISE, fields={"valor": "129.90"})]),
    (Code.OTHER_STATUS, replace(DATED, others=(CREATED,)), [replace(OTHERWISE, fields={**PAID, **CREATED_AS})]),
    (Code.AMBIGUOUS, replace(DATED, others=(LATER,)), [OTHERWISE]),
    (Code.DIFFERS, DATED, [replace(OTHERWISE, status="WON", fields={**DATED.payload, "valor": "12.99"})]),
    (Code.SEEN, DATED, [replace(OTHERWISE, status="WON", fields={**DATED.payload, "valor": "R$ 129,90"})]),
    (Code.SEEN, DATED, [OTHERWISE, replace(OTHERWISE, id="d2", status="WON")]),
]


@pytest.mark.parametrize(("code", "sent", "deals"), READ_BACKS)
def test_what_each_read_back_proves(code: str, sent: Sent, deals: list[Deal]) -> None:
    """Old deals, other origins, LOST, other deals of the contact, moved by people, late; each says its own reason."""
    assert judge(sent, deals).code == code


def test_each_code_is_in_the_table() -> None:
    """Without a contact nothing is asked, so nothing is judged."""
    asked = {code for code, *_ in READ_BACKS} | {code for code, *_ in WRITTEN_READ_BACKS}

    assert asked == set(Code) - {Code.NO_CONTACT, Code.NAME_UNKNOWN}


@pytest.mark.parametrize("name", ["created_at", "updated_stage_at", "won_at", "lost_at", "updated_at"])
def test_each_time_after_the_send_counts(name: str) -> None:
    """Also what only the documented filter by `updated_at` says."""
    before = replace(MADE, fields={}, times_ms={"created_at": T - 1})
    after = replace(before, times_ms={**before.times_ms, name: T})

    assert judge(KNOWN, [before]).code == Code.OLDER
    assert judge(KNOWN, [after])[:2] == (Code.SEEN, after)
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
soon = st.integers(1, 3_000).map(lambda ms: T + ms)
texts = st.fixed_dictionaries({}, optional={"codigo": st.sampled_from(["pay_1", "pay_2"]), "valor": st.just("100")})
places = st.tuples(
    st.sampled_from(["o1", "o2"]), st.sampled_from(["s1", "s2"]), st.sampled_from(["OPEN", "WON", "LOST"])
)
ids = st.sampled_from(["a", "b", "c"])


@settings(max_examples=300, deadline=None)
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
    others=st.lists(st.tuples(times | soon, st.none() | st.integers(0, LATE_MS), ids, texts, places), max_size=3),
    looked=st.integers(0, 40),
    # Whether Clint tells when a deal was changed last.
    tells=st.booleans(),
    # The status that the integration sets, whatever the checklist says.
    sets=st.sampled_from(["WON", "OPEN", "LOST"]),
    # By how much Clint's clock is behind.
    behind=st.sampled_from([0, 25, CLOCK_TOLERANCE_MS]),
)
def test_nothing_untrue_is_called_seen_or_contradicted(
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
    tells: bool,
    sets: str,
    behind: int,
) -> None:
    """Seen is a deal that the delivery wrote, or one that stands where it puts deals and was written since.

    Contradicted is one that the delivery wrote, that shows something else, and that nobody changed after Clint's time
    for a payload was over.
    """
    payload = own if sends_id else {key: value for key, value in own.items() if key != "codigo"}
    here, now_ms = ("o1", "s1", sets), T + looked * 60_000
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
    changed = {id_ for id_, at in world.changed_ms.items() if at - behind >= T}
    shown_deals = []
    for one in world.deals.values():
        told = {**one.times_ms, **({"updated_at": world.changed_ms[one.id]} if tells else {})}
        shown_deals.append(replace(one, times_ms={name: at - behind for name, at in told.items()}))
    code, deal, differences, _ = judge(sent, shown_deals, changed, now_ms)

    if code == Code.SEEN:
        assert deal is not None
        assert status in {"", deal.status}
        # A person who leaves a deal as the delivery would, and where it would, can't be told from it by anybody.
        stands = deal.id in world.wrote["people"] and status in {"", deal.status}
        is_placed = deal.origin_id == "o1" if knows else len(world.deals) == 1
        assert deal.id in world.wrote["us"] or (stands and is_placed)

    if code == Code.DIFFERS:
        assert deal is not None
        assert deal.id in world.wrote["us"]
        assert until_ms > now_ms
        moved_late = [
            at
            for at, id_, _, place, by in happens
            if by != "us" and id_ == deal.id and place[0] == deal.origin_id and T + LATE_MS + behind < at <= now_ms
        ]
        for difference in differences:
            shown_text = deal.status if difference.what == "status" else deal.fields[difference.field]
            assert (difference.seen, difference.wanted != difference.seen) == (shown_text, True)
            # A person who only reopens a deal changes no time that a Clint without `updated_at` shows.
            assert not moved_late or deal.status in {"WON", "LOST"}


# ---------------------------------------------------------------- by Clint's API


def wants(**funnel: Any) -> Wanted:
    """Return what a payload wants of a deal in the stage s1, WON, of 129.90."""
    whole = {"key": "pay_1", "key_field": "codigo_asaas", "stage": "Paga", "status": "won", "value": 129.9, **funnel}
    payload = {"vencimento": "10/12/2026", "parcela": "1"}
    places = {"vencimento": "deal.fields", "parcela": "deal.fields"}
    found = read_payload(json.dumps({**payload, "funnel": {"places": places, **whole}}))
    assert found
    return found


DONE = T + 800
WRITTEN = Written(wants(), "d1", T, DONE, "Vendas", origin_id="o1", stage_id="s1")
BARE = {"codigo_asaas": "pay_1", "vencimento": "2026-12-10", "parcela": 1}
NOW_THERE = {"created_at": T - YEARS, "updated_at": T + 500}
THERE = Deal("d1", "o1", "s1", "Paga", "WON", NOW_THERE, {"value": 129.9, **BARE}, value=129.9)
LATER_MOVED = {"created_at": T - YEARS, "updated_at": DONE + 60_000, "updated_stage_at": DONE + 60_000}
NOVA = replace(THERE, stage_id="s0", stage="Nova")


WRITTEN_READ_BACKS: list[tuple[str, Written, Deal | None, set[str]]] = [
    (Code.NONE, replace(WRITTEN, deal_id=""), THERE, set()),
    (Code.GONE, WRITTEN, None, set()),
    (Code.SEEN, WRITTEN, THERE, set()),
    (Code.SEEN, WRITTEN, replace(THERE, times_ms={}, value=None, fields=BARE), set()),
    (Code.SEEN, replace(WRITTEN, wanted=wants(stage="", status="", value=None), stage_id=""), NOVA, set()),
    (Code.HIDDEN, WRITTEN, replace(THERE, fields={"value": 129.9}), set()),
    (Code.DIFFERS, WRITTEN, NOVA, {"stage"}),
    (Code.DIFFERS, WRITTEN, replace(NOVA, status="LOST", value=12.99), {"stage", "status", "value"}),
    (Code.DIFFERS, WRITTEN, replace(THERE, fields={**BARE, "vencimento": "2026-12-11"}), {"vencimento"}),
    (Code.DIFFERS, WRITTEN, replace(THERE, fields={**BARE, "codigo_asaas": None}), {"codigo_asaas"}),
    (Code.DIFFERS, replace(WRITTEN, user_id="u1"), replace(THERE, user_id="u2"), {"user"}),
    (
        Code.DIFFERS,
        WRITTEN,
        replace(THERE, origin_id="o2", times_ms={"created_at": T + 100, "updated_at": T}),
        {"origin"},
    ),
    (Code.UNSURE, WRITTEN, replace(THERE, origin_id="o2"), {"origin"}),
    (Code.UNSURE, WRITTEN, replace(NOVA, times_ms={"created_at": T - YEARS}), {"stage"}),
    (Code.UNSURE, WRITTEN, replace(NOVA, times_ms={**NOW_THERE, "updated_at": T - 60_000}), {"stage"}),
    (Code.CHANGED, WRITTEN, replace(NOVA, times_ms=LATER_MOVED), {"stage"}),
    (Code.DIFFERS, WRITTEN, replace(NOVA, times_ms={**LATER_MOVED, "updated_stage_at": T - YEARS}), {"stage"}),
    (Code.LATER, replace(WRITTEN, has_later=True), NOVA, {"stage"}),
    (Code.SEEN, replace(WRITTEN, has_later=True), THERE, set()),
    (Code.KEPT, replace(WRITTEN, is_kept=True), NOVA, {"stage"}),
    (Code.DIFFERS, replace(WRITTEN, is_kept=True), replace(NOVA, value=1.0), {"value"}),
]


@pytest.mark.parametrize(("code", "written", "deal", "differs"), WRITTEN_READ_BACKS)
def test_what_the_deal_of_a_key_proves(code: str, written: Written, deal: Deal | None, differs: set[str]) -> None:
    """Read by its id: each thing that is not as it was sent is named, and whoever may have changed it counts."""
    found = judge_written(written, deal)

    assert found.code == code
    assert {one.field or one.what for one in found.differences} == differs


def test_what_clint_does_not_show_is_said() -> None:
    """The documented answer has no value, and a deal without a user says nothing of users."""
    found = judge_written(replace(WRITTEN, user_id="u1"), replace(THERE, value=None))

    assert (found.code, found.unseen) == (Code.SEEN, ("value", "user"))


LONG = ("quantas_horas_por_dia", "quantas_horas_por_dir")
"""Two keys that Clint cuts to the same one."""


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_of_a_deal_by_the_api_nothing_untrue_is_said(data: st.DataObject) -> None:
    """Proved: all that was sent is there, or a person moved it before. Contradicted: Clint did not do it."""
    draw = data.draw
    own = {"codigo_asaas": "pay_1", "vencimento": "10/12/2026", **draw(st.sampled_from(TOO_LONG))}
    sent = {"stage": "s1", "status": "WON", "value": "129.90", "user": "u1", **own}
    old = {"stage": "s0", "status": draw(STATUS), "value": "1", "user": "u2", **dict.fromkeys(own, "x")}
    is_new, late, cut = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    began_ms = T - draw(st.sampled_from([YEARS, 60_000]))
    deal = Made({} if is_new else old, "o1", T + 100 if is_new else began_ms, cut)
    # A person moves the deal before the write, which then keeps it there.
    is_kept = not is_new and draw(st.booleans())
    if is_kept:
        deal.change(T - 10_000, {"stage": draw(st.sampled_from(["s2", "s3"]))})
    if draw(st.booleans()) and not is_new:
        deal.origin, deal.times["updated_at"] = "o2", T - 9_000  # by a person, long before
    before = deal.copy()
    # Clint takes the write, and leaves some of it out.
    left_out = set(draw(st.lists(st.sampled_from(sorted(sent)), max_size=2)))
    is_elsewhere = deal.origin == "o2"
    keeps = {"stage", "status"} if is_kept else {"stage"} if is_elsewhere else set()
    done = {name: text for name, text in sent.items() if name not in left_out | keeps}
    deal.change(T + draw(st.integers(0, 800)), done)
    after = deal.copy()
    # Then others come: a person, or a later delivery of the bridge.
    later = draw(st.sampled_from(["nobody", "person", "delivery"]))
    touched: dict[str, str] = {}
    if later != "nobody":
        touched = dict.fromkeys(draw(st.lists(st.sampled_from(sorted(sent)), min_size=1, max_size=3)), "y")
        touched |= {"status": draw(STATUS)} if "status" in touched else {}
        deal.change(DONE + draw(st.integers(1_000, 9_000_000)), touched)
    shown = before if late and not is_new else deal
    hides = set(draw(st.lists(st.sampled_from(["value", "updated_at", "times", "user"]))))
    funnel = {"places": {name: "deal.fields" for name in own if name != "codigo_asaas"}}
    payload = {name: text for name, text in own.items() if name != "codigo_asaas"}
    told = {"key": "pay_1", "key_field": "codigo_asaas", "stage": "s1", "status": "won", "value": 129.9, **funnel}
    wanted = read_payload(json.dumps({**payload, "funnel": told}))
    assert wanted
    written = Written(
        wanted,
        "d1",
        T,
        DONE,
        "o1",
        is_kept=is_kept and (before.values["stage"], before.values["status"]) != ("s1", "WON"),
        has_later=later == "delivery",
        origin_id="o1",
        stage_id="s1",
        user_id="u1",
    )
    found = judge_written(written, shown.shown(hides))
    seen_names = {one.field or one.what for one in found.differences}

    def is_there(name: str) -> bool:
        """Return whether what Clint shows under a name is what was sent."""
        same = [text for key, text in sent.items() if cut and key[:20] == name[:20]] or [sent[name]]
        return shown.text(name) in same

    hides |= {name for name in ("value", "user") if not shown.text(name)}  # nothing is like not told
    judged = set(sent) - {name for name in ("value", "user") if name in hides}
    wrong = {name for name in judged if not is_there(name)}
    if found.code == Code.SEEN:
        assert (wrong, shown.origin) == (set(), "o1")
        assert set(found.unseen) == {name for name in ("value", "user") if name in hides}
    elif found.code == Code.KEPT:
        assert is_kept
        assert wrong <= {"stage", "status"}
    elif found.code == Code.DIFFERS:
        # Clint did not do it, and it is so still: nobody else's change is called a contradiction.
        assert later != "delivery"
        assert seen_names <= wrong & left_out
        assert all(shown.text(name) == after.text(name) for name in seen_names)
        assert not seen_names & {name for name, text in touched.items() if after.text(name) != text}
    elif later == "nobody" and shown is deal and not hides and not wrong and deal.origin == "o1":
        raise AssertionError(found)  # what is as it was sent is proved
    # And what Clint left out is found where its times tell that nobody else did it; without a field it may hide them.
    if (
        later == "nobody"
        and shown is deal
        and any(deal.text(name) for name in own)
        and not {"updated_at", "times"} & set(hides)
        and not is_kept
    ):
        assert found.code == Code.DIFFERS or not (wrong & left_out - keeps)


STATUS = st.sampled_from(["OPEN", "WON", "LOST"])
TOO_LONG: list[dict[str, str]] = [{}, {LONG[0]: "8"}, {LONG[0]: "8", LONG[1]: "9"}]


@dataclass
class Made:
    """A deal of a made-up Clint, whose changes leave the times that the documented answers have."""

    values: dict[str, str]
    origin: str
    made_ms: int
    cut: bool
    """Whether keys are cut, so that two long ones are one field."""
    times: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A new deal is open, in the first stage."""
        self.values = {"stage": "s0", "status": "OPEN", **self._keyed(self.values)}
        self.times = self.times or dict.fromkeys(("created_at", "updated_at", "updated_stage_at"), self.made_ms)
        if self.values["status"] != "OPEN":
            self.times.setdefault(f"{self.values['status'].lower()}_at", self.made_ms)

    def copy(self) -> Made:
        """Return the deal as it is now."""
        return Made(dict(self.values), self.origin, self.made_ms, self.cut, dict(self.times))

    def change(self, at_ms: int, values: dict[str, str]) -> None:
        """Write these values; each time that they change is noted."""
        at_ms = max(at_ms, self.times["created_at"])
        if values.get("stage", self.values["stage"]) != self.values["stage"]:
            self.times["updated_stage_at"] = at_ms
        if values.get("status", self.values["status"]) != self.values["status"]:
            self.times.pop("won_at", None), self.times.pop("lost_at", None)
            self.times |= {"WON": {"won_at": at_ms}, "LOST": {"lost_at": at_ms}}.get(values["status"], {})
        self.values |= self._keyed(values)
        self.times["updated_at"] = at_ms

    def text(self, name: str) -> str:
        """Return what stands under a name."""
        return self.values.get(name[:20] if self.cut else name, "")

    def _keyed(self, values: dict[str, str]) -> dict[str, str]:
        return {name[:20] if self.cut else name: text for name, text in values.items()}

    def shown(self, hides: set[str]) -> Deal:
        """Return the deal as the API answers, which may leave things out."""
        own = dict(self.values)
        places = {name: own.pop(name, "") for name in ("stage", "status", "value", "user")}
        times = {} if "times" in hides else {k: v for k, v in self.times.items() if k not in hides}
        amount = places["value"]
        value = None if "value" in hides or not amount else float(amount) if amount != "y" else 0.5
        user = "" if "user" in hides else places["user"]
        return Deal("d1", self.origin, places["stage"], "", places["status"], times, own, user_id=user, value=value)
