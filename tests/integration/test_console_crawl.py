"""Every page of the console over a journal that holds whatever there can be, walked as a person would.

Pages come from the application's own routes and what they show from the enumerations, so that a new page and a new
member of an enumeration join by themselves.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from itertools import cycle, product
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import jinja2
import pytest
from sqlalchemy import insert, select
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from bridge import reasons
from bridge.alerts import child
from bridge.alerts.plan import Area
from bridge.errors import BridgeError, EnrichmentWaits, MappingRefused
from bridge.journal import audit, destinations, drafts, jobs, notices, receivers, users
from bridge.journal.audit import Actor
from bridge.journal.schema import attempts as attempt_table
from bridge.journal.schema import destinations as destination_table
from bridge.journal.schema import events as event_table
from bridge.journal.schema import jobs as job_table
from bridge.journal.users import UserRole, UserState
from bridge.messages import _
from bridge.model import DeliveryState, NoticeLevel, Origin, Outcome, ReadBack, Waiting
from bridge.operations import bulk
from bridge.operations.bulk import BulkAction
from bridge.operations.doctor import State as CheckState
from bridge.operations.explain import Unheard
from bridge.operations.life import STEPS
from bridge.operations.proof import Verdict as StepVerdict
from bridge.operations.reconcile import FIELDS, VERDICTS, Verdict
from bridge.pipeline.policy import Circuit
from bridge.reasons import WORDS
from bridge.web.console import layout
from bridge.web.console.access import FOR_ADMINISTRATORS
from bridge.web.console.jobs import HOME
from tests.console import MAPPING, PASSWORD, VIEWER, Console, opened_console
from tests.factories import NOW_MS, incoming, keep, noticed, owe, put_in_state, register, revision
from tests.peers import closed_port
from tests.unit.test_console_words import actions, causes, checks, steps
from tests.unit.test_dead_letter import tree

ASKING = """
events: [PAYMENT_RECEIVED]
filter: {all: [{field: customer.name, equals: Ana}, {field: payment.value, at_least: 5}]}
contact: {email: customer.email}
"""
ERRORS = sorted({kind.code for kind in tree(BridgeError)})
HOLDS = sorted({kind.code for kind in tree(EnrichmentWaits)} | {MappingRefused.code, "event.behind"})
REASONS = sorted({code.replace("xx", "18") for code in reasons.REASONS})


def _previews() -> list[dict[str, Any]]:
    change = {"key": "titulo", "before": "um", "after": None}
    outcomes = [
        {
            "mapping": "cobranca",
            "before": before,
            "after": after,
            "destination": "default",
            "reason": "why",
            "payload": {},
            "changes": [change],
        }
        for before, after in zip((None, *DeliveryState), (*DeliveryState, DeliveryState.PENDING), strict=True)
    ]
    of_event = {"event_id": 1, "name": "PAYMENT_RECEIVED", "charge": "pay_1", "created": ""}
    return [
        {**of_event, "problem": "", "outcomes": outcomes},
        {**of_event, "problem": "Asaas waits", "outcomes": []},
        *({**of_event, "problem": "", "outcomes": [], "unheard": why} for why in (None, *Unheard)),
    ]


RESULTS: dict[str, dict[str, Any]] = {
    # Also as an older version stored them: they do not say what they are about.
    "examination": {
        "checks": [
            {"name": "name", "value": "value", "state": state, "mend": "do it", "code": code, **about}
            for code, state, about in product(["", *sorted(checks())], CheckState, ({}, {"about": "default"}))
        ]
    },
    "clint": {"checks": [{"name": "name", "value": "value", "state": "warning", "mend": "do it", "code": "api.away"}]},
    "reconcile": {
        "account": "default",
        "since": "2026-11-01",
        "until": "2026-11-20",
        "by": next(iter(FIELDS)),
        "charges": 9,
        "totals": dict.fromkeys(VERDICTS, 1),
        "days": [{"day": "2026-11-02", "status": "PENDING", "charges": 9, **dict.fromkeys(VERDICTS, 1)}],
        "behind": [
            {"day": "2026-11-02", "id": "pay_1", "status": "PENDING", "verdict": verdict, "known": known, "event_id": 1}
            for verdict, known in zip(Verdict, ["", *["PENDING"] * (len(Verdict) - 1)], strict=True)
        ],
    },
    "backfill_preview": {
        "keys": ["a"],
        "names": {"PAYMENT_RECEIVED": 1},
        "unknown": ["pay_9"],
        "previews": _previews(),
    },
    "backfill": {"made": [{"id": 1, "event": "PAYMENT_RECEIVED", "charge": "pay_1"}], "not_missing": 1},
    "replay_preview": {"ids": [1], "previews": _previews()},
    "replay": {"done": 1, "refused": []},
    "bulk": {"done": 1, "refused": [{"id": 1, "code": "journal.emptied"}]},
    "connect": {"webhook": True, "door": False},
    "trial": {
        "proved": False,
        "asks_person": False,
        "email": "ana@example.com",
        "verdict": "contradicted",
        "causes": [{"code": code, "what": "what", "mend": "mend"} for code in (*sorted(causes()), "deal.differs")],
        "events": [],
        "deal": {"id": "d1", "stage": "Nova", "status": "OPEN"},
    },
    "life": {
        "proved": False,
        "left": [{"kind": kind, "id": "x_1", "why": "why"} for kind in ("charge", "customer", "deal")],
    },
}
"""What a job of each kind comes to; a new kind needs one here."""
TEMPLATES = Path(layout.__file__).parent.parent / "templates"
TRIAL, CONNECT = ((TEMPLATES / name).read_text() for name in ("job_trial.html", "job_connect.html"))
VALUES = dict.fromkeys(re.findall(r"{(\w+)}", TRIAL + CONNECT), "x")
VALUES |= {"name": "x", "url": "https://asaas.example/i/x"}


def _fill(console: Console) -> None:
    """Write whatever there can be into the journal."""
    journal = console.journal
    named = {circuit.value.replace("_", ""): circuit for circuit in Circuit}
    register(journal, **dict.fromkeys(("default", "paused", *named), "https://clint.example/a"))
    journal_revision = revision(journal, "consulta", ASKING)
    revision(journal, "paga", MAPPING)
    keep(journal, incoming("cus_w"), incoming("both_1", object_id="both_1"))
    held = dict(zip(HOLDS, keep(journal, *(incoming(f"cus_{n}") for n in range(len(HOLDS)))), strict=True))
    by_origin = keep(journal, *(incoming("cus_o", origin=origin) for origin in Origin))
    states, codes, unmapped, emptied, unknown = keep(
        journal, *(incoming("cus_s", name=name) for name in ("PAYMENT_RECEIVED",) * 4 + ("A_NEW_EVENT",))
    )
    done = [*by_origin, states, codes, unmapped, emptied, unknown]
    with journal.database.write() as connection:
        for code, id_ in held.items():
            connection.execute(
                event_table.update().where(event_table.c.id == id_).values(hold_code=code, hold_reason="why")
            )
        values = {"state": "processed", "processed_ms": NOW_MS}
        connection.execute(event_table.update().where(event_table.c.id.in_(done)).values(**values))
        connection.execute(
            event_table.update().where(event_table.c.id == emptied).values(emptied_ms=NOW_MS, body="{}", repeats=2)
        )
    number = 0

    def add(event: int, state: DeliveryState, /, **more: Any) -> int:
        nonlocal number
        number += 1
        values: dict[str, Any] = {"mapping": "cobranca", "revision_id": journal_revision}
        made = owe(journal, event_id=event, customer=f"cus_{number}", replay=number, **values)
        put_in_state(journal, made, state, **{"attempts": 1, **more})
        return made

    for state in DeliveryState:
        add(states, state, due_ms=None)
    for state, waits in product((DeliveryState.PENDING, DeliveryState.RETRYING), (None, *Waiting)):
        add(states, state, waiting=waits, due_ms=NOW_MS + 60_000)
    for outlook in ReadBack:
        add(states, DeliveryState.DELIVERED, due_ms=None, read_back=outlook.value)
    for what in ("origin", "stage", "status", "value", "user", "field"):
        found = {"code": "deal.differs", "differences": [{"what": what, "wanted": "OPEN"}], "unseen": ["value", "x"]}
        not_seen = {"read_back": ReadBack.NOT_SEEN.value, "read_back_detail": json.dumps(found)}
        add(states, DeliveryState.DELIVERED, due_ms=None, **not_seen)
    tried = add(states, DeliveryState.DEAD, due_ms=None)
    for code in (*REASONS, "nobody.knows"):
        add(codes, DeliveryState.DEAD, due_ms=None, reason_code=code, reason="why")
    for state in (DeliveryState.FILTERED, DeliveryState.STALE, DeliveryState.DISCARDED):
        add(codes, state, due_ms=None, reason_code="filter.any", payload=None)
    add(emptied, DeliveryState.DEAD, due_ms=None, payload=None)
    with journal.database.write() as connection:
        tries = [*product((*Outcome, None), ("clint.http_422", None)), *product([Outcome.RETRY], REASONS)]
        connection.execute(
            insert(attempt_table),
            [
                {
                    "delivery_id": tried,
                    "number": place,
                    "fence": 1,
                    "started_ms": NOW_MS + place,
                    "outcome": outcome.value if outcome else None,
                    "code": code,
                    "detail": "detail",
                    "excerpt": None,
                    "duration_ms": 5 if outcome else None,
                }
                for place, (outcome, code) in enumerate(tries)
            ],
        )
        for name, circuit in named.items():
            change = destination_table.update().where(destination_table.c.name == name)
            connection.execute(change.values(state=circuit.value))
        destinations.pause(connection, "paused", "gone", NOW_MS)
        raised = zip((*WORDS, "nobody.knows"), cycle(NoticeLevel), strict=False)
        notices.apply(connection, [noticed(code, "default", level, "d", "m") for code, level in raised], NOW_MS)
        for role, access in product(UserRole, UserState):
            person = users.add(connection, f"Bia {role} {access}", f"{role}.{access}@example.com", role, ["x"], NOW_MS)
            users.change(connection, person, state=access.value)
        choice = {"level": "error", "summary_ms": NOW_MS, "areas": tuple(Area), "accounts": ("default",)}
        for name, url in (("Ana", "tgram://1:a/2"), ("Financeiro", "discord://a/b")):
            id_ = receivers.put(connection, None, NOW_MS, name=name, url=url, **choice)
            receivers.record(connection, id_, NOW_MS, child.REFUSED if name == "Ana" else "")
        for action in sorted(actions()):
            audit.note(connection, Actor("operator Ana"), action, "1", NOW_MS, {"n": 1})
        _add_jobs(connection)


def _add_jobs(connection: Any) -> None:
    params: dict[str, Any] = {
        "account": "default",
        "mapping": "cobranca",
        "ids": [1],
        "value": "5.00",
        "billing_type": "PIX",
    }
    params |= {"since": "2026-11-01", "until": "2026-11-20", "by": "created"}
    params |= {"action": "replay", "until_ms": NOW_MS, "replays": [0]}
    for kind in HOME:
        runner = "one" if kind in {bulk.KIND, bulk.REPLAY_KIND} else None
        jobs.begin(connection, kind, "default", params, "Ana", NOW_MS, runner)
        done = jobs.begin(connection, kind, "default", params, "Ana", NOW_MS, runner)
        taken = [
            {"at_ms": NOW_MS, "code": step, "values": VALUES, "event": 1, "state": state.value, "error": "x"}
            for step, state in product(sorted(steps() | {"event", "delivery"}), DeliveryState)
            if step == "delivery" or state is DeliveryState.DEAD
        ]
        connected = [
            {
                "at_ms": NOW_MS,
                "code": step,
                "values": VALUES | {"events": 2},
                "error": "x",
                "others": ["x"],
                "status": status,
            }
            for step, status in product(re.findall(r'^  "(\w+)": \(', CONNECT, re.MULTILINE), (None, 401, 404, 502))
        ]
        line = {"event": "PAYMENT_CREATED", "event_id": 1, "mapping": "paga", "expected": "expected", "seen": "seen"}
        lines = [{**line, "verdict": verdict} for verdict in ("", *StepVerdict)] + [
            {**line, "event_id": None, "verdict": ""}
        ]
        reasons = [{"code": code, "what": "what", "mend": "mend"} for code in (*sorted(causes()), "life.skipped")]
        lived: list[dict[str, Any]] = [{"code": "planned", "steps": [one.name for one in STEPS]}] + [
            {"code": "ended", "step": one.name, "verdict": verdict.value, "reasons": reasons, "lines": lines}
            for one, verdict in zip(STEPS, StepVerdict, strict=False)
        ]
        lived.append({"code": "begins", "step": STEPS[-1].name})
        of_kind = {"trial": taken, "connect": connected, "life": lived}
        jobs.beat(connection, done, NOW_MS, done=1, total=2, steps=of_kind.get(kind, []))
        jobs.finish(connection, done, NOW_MS, RESULTS[kind])
        jobs.begin(connection, kind, "default", params, "Ana", NOW_MS - jobs.LOST_AFTER_MS - 1)  # and lost
    for who, do in product(("operator operator", "viewer viewer"), ("preview", "form", "yaml", "try", "accept")):
        fields = {"text": MAPPING, "do": do, "tab": "yaml", "base": "1"}
        drafts.keep(connection, "cobranca", who, [*fields.items()], NOW_MS)
    for code in ERRORS:
        failed = jobs.begin(connection, "replay", "default", params, "Ana", NOW_MS)
        jobs.fail(connection, failed, NOW_MS, code, "why")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Give a console on a journal with everything; Asaas and Redis are away."""
    scratch = tmp_path_factory.mktemp("crawl")
    with closed_port() as port, _everything(scratch, port) as opened:
        yield opened


@contextmanager
def _everything(scratch: Path, port: int, database_url: str = "") -> Iterator[Console]:
    (scratch / "mappings").mkdir()
    (scratch / "mappings" / "quebrada.yaml").write_text("events: [PAYMENT_RECEIVED\n")
    (scratch / "mappings" / "consulta.yaml").write_text(ASKING)
    with opened_console(
        database_url or f"sqlite:///{scratch / 'journal.db'}",
        scratch,
        ASAAS_API_KEY="$aact_hmlg_x",
        ASAAS_WEBHOOK_TOKEN="5a4f0c1e-7b3d-4e8f-9a6c-b2d1f0e3c7a8",
        ASAAS_API_URL=f"http://127.0.0.1:{port}/v3",
        CLINT_API_URL=f"http://127.0.0.1:{port}",
        CLINT_API_TOKEN="x",
        BRIDGE_ALLOW_PRIVATE_DESTINATIONS="1",
        BRIDGE_PUBLIC_URL="https://bridge.example",
    ) as opened:
        _fill(opened)
        yield opened


# ---------------------------------------------------------------- every page


def places(console: Console) -> dict[str, list[Any]]:
    """Return what may follow each piece of an address; a new page may need a piece here."""
    with console.journal.database.read() as connection:
        events = connection.scalars(select(event_table.c.id)).all()
        works = connection.scalars(select(job_table.c.id)).all()
    with console.journal.database.write() as connection:
        link = users.make_link(connection, 1, NOW_MS)
    return {
        "/events/": list(events),
        "/work/": list(works),
        "/report.": ["csv", "json", "charges.csv"],
        "/alerts/": [1, 2],
        "/mappings/": ["cobranca", "consulta"],
        "/draft/": list(works),
        "/history/": [],  # of each mapping its own: the links of its history lead there
        "/customers/": ["default"],
        "/charges/": ["default"],
        "/": ["both_1"],  # an event about itself: the id of a customer and of a charge
        "/connections/": ["default"],
        "/connections/destinations/": ["default"],
        "/connections/key/": [1],
        "/people/": list(range(1, 10)),
        "/invitation/": [link, "spent"],
        "/assets/": ["console.css"],
    }


def addresses(console: Console) -> Iterator[tuple[str, str]]:
    """Return every endpoint of the console that is fetched, with the addresses that its route leads to."""
    known = places(console)
    for rule in console.app.url_map.iter_rules():
        if "GET" in (rule.methods or ()) and rule.endpoint.startswith("console."):
            *pieces, end = re.split(r"<(?:\w+:)?\w+>", rule.rule)
            for chosen in product(*(known[piece] for piece in pieces)):
                yield rule.endpoint, "".join(f"{a}{b}" for a, b in zip(pieces, chosen, strict=True)) + end


class Page(HTMLParser):
    """The links of a page and the texts on it that are the bridge's own."""

    DATA = frozenset({"code", "pre", "script", "style", "textarea"})
    EMPTY = frozenset({"meta", "link", "input", "img", "br", "hr", "path", "circle", "rect", "line"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.texts: list[str] = []
        self._open: list[bool] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        links = [urlsplit(link) for name in ("href", "hx-get", "src") if (link := given.get(name))]
        self.links |= {link._replace(fragment="").geturl() for link in links if link.path and not link.netloc}
        self.texts += [text for name in ("title", "aria-label", "placeholder") if (text := given.get(name))]
        if tag not in self.EMPTY:
            self._open.append(tag in self.DATA or given.get("lang") == "en")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._open) and data.strip():
            self.texts.append(data.strip())


PARTS = 5
"""A part is the page without what stands around it."""
ALIKE = 5
"""Of links that differ only in the reason they are about, so many are followed: what lists them has words for each."""
REASON = re.compile(r"\b(code|answer)=[^&]*")
CODE = re.compile(r"[a-z]+([._][a-z_]+)+")
"""What a code looks like where words should stand."""


def _show_missing(console: Console, found: list[str]) -> pytest.MonkeyPatch:
    """Note what a template writes although it is not there, such as a text of a code that a table lacks."""

    class Missing(jinja2.Undefined):
        __slots__ = ()

        def __str__(self) -> str:
            found.append(f"not there: {self._undefined_name}")
            return ""

    patch = pytest.MonkeyPatch()
    patch.setattr(console.app.jinja_env, "undefined", Missing)
    patch.setitem(console.app.jinja_env.globals, "_", lambda text, /, **facts: _(str(text), **facts))
    return patch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "name", "password"),
    [("pt", "operator", PASSWORD), pytest.param("en", "viewer", VIEWER, marks=pytest.mark.long)],
    ids=["pt", "en"],
)
def test_every_page_opens_and_every_link_leads_somewhere(
    console: Console, language: str, name: str, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As a page, and some as the part that htmx fetches: none fails, and no code stands where a sentence should."""
    browser = console.browser(language)
    browser.sign_in(password, name)
    found: list[str] = []
    missing = _show_missing(console, found)
    opened: set[str] = set()
    followed = {f"/attention/confirm?decision={decision}" for decision in BulkAction}

    def look(address: str, *, part: bool = False) -> TestResponse:
        with capture_logs() as logs:
            answer = browser.part(address) if part else browser.get(address)
        found.extend(f"{address}: {one}" for one in logs if one["event"] == "request.fault")
        found.extend(f"{address}: {line}" for line in caplog.messages if line.startswith("messages.not_filled"))
        caplog.clear()
        if answer.mimetype == "text/html":
            page = Page(answer.text)
            found.extend(f"{address}: {text}" for text in page.texts if CODE.fullmatch(text))
            if 'class="shell"' in answer.text and 'class="me-name"' not in answer.text:
                found.append(f"{address}: does not say who is signed in")
            followed.update({urljoin(address, link) for link in page.links})
        answer.close()
        return answer

    routes = list(addresses(console))
    closed = FOR_ADMINISTRATORS if password == VIEWER else frozenset[str]()
    seen: Counter[str] = Counter()
    for endpoint, address in routes:
        seen[endpoint] += 1
        for part in (False, True) if seen[endpoint] <= PARTS else (False,):
            status = look(address, part=part).status_code
            if status in {200, 302, 303}:
                opened.add(endpoint)
            elif status not in (
                {403} if endpoint in closed else {404, 410}
            ):  # a report of other work, an event that was emptied, a spent link
                found.append(f"{address}: {status}")
    done = {address for _, address in routes}
    adapter = console.app.url_map.bind("localhost")
    alike: Counter[str] = Counter()
    while links := followed - done:
        done |= links
        for link in sorted(links):
            alike[kind := REASON.sub("", link)] += 1
            if "code=" in link and alike[kind] > ALIKE:
                continue
            if (status := look(link).status_code) in {200, 302, 303}:
                opened.add(str(adapter.match(urlsplit(link).path)[0]))
            else:
                found.append(f"{link}: {status}")

    missing.undo()
    assert sorted(set(found)) == []
    assert {endpoint for endpoint, _ in routes} - closed == opened


# ---------------------------------------------------------------- every value

ARGUMENT = re.compile(r"""(?:args|values|asked)\.get\(\s*["'](\w+)["']""")
HOSTILE = (
    "",
    "x" * 5000,
    "-1",
    "9" * 20,
    "\u0661",
    "\0",
    "\ud83d",
    "%s{0}{{x}}",
    "'\"<>&;--",
    "../../etc/passwd",
    "2026-02-30",
)


def _hostile(text: str) -> str:
    return quote(text.encode(errors="surrogatepass"), safe="")


@pytest.mark.slow
@pytest.mark.long
def test_no_value_in_an_address_is_a_fault(database_url: str, tmp_path: Path) -> None:
    """Whatever stands in a query or in a path of any route of the application is answered, never with a 500."""
    sources = Path(layout.__file__).parent.glob("*.py")
    asked = {name for source in sources for name in ARGUMENT.findall(source.read_text())}
    names = sorted(asked | {"endpoint", "values", "self", "_method", "_anchor", "_external", "_scheme", "HX-Request"})
    faults = []
    with closed_port() as port, _everything(tmp_path, port, database_url) as console, capture_logs() as logs:
        browser = console.operator()

        def look(address: str) -> None:
            for answer in (browser.get(address), browser.part(address)):
                if answer.status_code >= 500 and not (answer.status_code == 503 and address.startswith("/readyz")):
                    faults.append(f"{address[:200]}: {answer.status_code}")
                answer.close()

        for rule in console.app.url_map.iter_rules():
            if "GET" in (rule.methods or ()):
                for value in HOSTILE:
                    look(re.sub(r"<(?:\w+:)?\w+>", _hostile(value).replace("\\", r"\\") or "x", rule.rule))
        for value in HOSTILE:
            query = "&".join(f"{name}={_hostile(value)}" for name in names)
            for _, address in {endpoint: (endpoint, address) for endpoint, address in addresses(console)}.values():
                look(f"{address}?{query}")
        for name in names:  # one value may hide what another does
            for value in ("x", "\0"):
                look(f"/events?{name}={_hostile(value)}")

    assert [one for one in logs if one["event"] == "request.fault"] == []
    assert faults == []
