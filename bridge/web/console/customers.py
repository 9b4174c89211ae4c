"""The pages of a customer and of a charge, and of charges that Asaas has and the journal lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flask import Blueprint, g, request, session
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection
from werkzeug.exceptions import NotFound

from bridge.errors import BridgeError
from bridge.journal import audit, customers, queries
from bridge.journal.about import amount_of, description_of, object_of
from bridge.journal.customers import Customer
from bridge.journal.queries import Row
from bridge.mapping.catalogue import flow_rank
from bridge.messages import _
from bridge.model import FINISHED, DeliveryState
from bridge.operations.backfill import append_events, as_stored, events_for_charge
from bridge.operations.explain import Preview, preview_events
from bridge.operations.lookup import is_phone, look_up, searches
from bridge.operations.reconcile import BEHIND, Compared, compare_charge, status_of
from bridge.web.console import layout
from bridge.web.console.access import person, runtime
from bridge.web.console.jobs import external_call, notes_about
from bridge.web.console.lines import Line, Why, know, lines, paid_on, why
from bridge.web.console.personal import HIDDEN, masked, masked_document, masked_email, shown

pages = Blueprint("customers", __name__)

MOST_EVENTS = 100
"""The page of a customer reads this many of its newest events."""
SHOWN_MS = 300_000
"""How long the e-mail, phone and document of a customer stay in clear after a person asked for them."""


@pages.before_request
def check_account() -> None:
    """Answer 404 for a customer and a charge of an account that this person may not see."""
    account = (request.view_args or {}).get("account")
    if account is not None and not person.sees(account):
        raise NotFound


class Outcome(NamedTuple):
    """The outcome of an event in one mapping: its current delivery."""

    row: Row
    why: Why


class ChargeEvent(NamedTuple):
    line: Line
    outcomes: list[Outcome]


@dataclass(slots=True)
class Charge:
    """A charge with its events, newest first."""

    id: str
    events: list[ChargeEvent] = field(default_factory=list)

    @property
    def newest(self) -> Mapping[str, Any]:
        """The charge as in the event with Asaas's latest time."""

        def at(one: ChargeEvent) -> tuple[str, int, int]:
            row = one.line.row
            return row["created"], flow_rank(row["name"]), row["id"]

        full = [one for one in self.events if one.line.row["emptied_ms"] is None] or self.events
        return object_of(max(full, key=at).line.row)

    @property
    def status(self) -> str:
        return str(status_of(self.newest))

    @property
    def amount(self) -> Any:
        return amount_of(self.newest)

    @property
    def description(self) -> str:
        return str(masked(description_of(self.newest)))

    @property
    def outcomes(self) -> list[Outcome]:
        """The newest outcome of each mapping."""
        found: dict[str, Outcome] = {}
        for one in self.events:
            for outcome in one.outcomes:
                found.setdefault(outcome.row["mapping"], outcome)
        return list(found.values())


def _read(connection: Connection, rows: list[Row]) -> list[ChargeEvent]:
    made = queries.deliveries_of_events(connection, [row["id"] for row in rows])
    found = []
    for line in lines(connection, rows):
        standing = queries.standing(made[line.row["id"]])
        whys = {name: line.waits.get(name) or why(connection, row) for name, row in standing.items()}
        outcomes = [Outcome(row, whys[name]._replace(text=masked(whys[name].text))) for name, row in standing.items()]
        found.append(ChargeEvent(line, outcomes))
    return found


def _charges(found: list[ChargeEvent]) -> list[Charge]:
    charges: dict[str, Charge] = {}
    for one in found:
        row = one.line.row
        charges.setdefault(row["object_id"] or row["event_key"], Charge(row["object_id"])).events.append(one)
    return list(charges.values())


def _notes(connection: Connection, found: list[ChargeEvent]) -> list[dict[str, Any]]:
    """Return what people did about these events and their deliveries."""
    ids = [one.line.row["id"] for one in found]
    made = queries.deliveries_of_events(connection, ids)
    return notes_about(connection, ids, [row["id"] for rows in made.values() for row in rows])


# ---------------------------------------------------------------- a customer


@pages.get("/customers/<account>/<id_>")
def show(account: str, id_: str) -> ResponseReturnValue:
    g.shown_for = "console.events.index"
    with runtime.journal.database.read() as connection:
        rows = queries.events_about(connection, account, "subject", id_, MOST_EVENTS + 1)
        known = know(connection, [(account, id_)]).get((account, id_))
        if not rows and known is None:
            raise NotFound
        found = _read(connection, rows[:MOST_EVENTS])
        notes = _notes(connection, found)
        is_unknown = known is None and customers.is_unknown(connection, (account, id_))
    is_shown = session.get("shown", {}).get(f"{account} {id_}", 0) > layout.now_ms()
    return layout.page(
        "customer.html",
        account=account,
        id=id_,
        known=known,
        contact=contact(known, in_clear=is_shown) if known else {},
        is_shown=is_shown,
        charges=_charges(found),
        waiting=[one for one in found if one.line.held or any(_is_open(outcome) for outcome in one.outcomes)],
        dead=[(one, out) for one in found for out in one.outcomes if out.row["state"] == DeliveryState.DEAD],
        is_open=_is_open,
        paid_on=paid_on,
        notes=notes,
        more=len(rows) > MOST_EVENTS,
        is_unknown=is_unknown,
        has_key=account in runtime.asaas,
    )


def _is_open(outcome: Outcome) -> bool:
    return DeliveryState(outcome.row["state"]) not in FINISHED


def contact(known: Customer, *, in_clear: bool) -> dict[str, str]:
    """Return e-mail, phone and document of a customer.

    >>> contact(Customer("Ana", "maria@gmail.com", "11987654321", "12345678909"), in_clear=False)
    {'email': 'm…@gmail.com', 'phone': '(11) •••••-4321', 'document': '***.456.789-**'}
    """
    if in_clear:
        return {"email": known.email, "phone": _phone(known.phone), "document": _document(known.document)}
    phone = _phone(known.phone)
    return {
        "email": masked_email(known.email),
        "phone": f"{phone[:5]}{HIDDEN}-{phone[-4:]}" if len(phone) > 12 else HIDDEN if phone else "",
        "document": masked_document(_document(known.document)),
    }


def _phone(text: str) -> str:
    is_national = text.isascii() and text.isdigit() and len(text) in {10, 11}
    return f"({text[:2]}) {text[2:-4]}-{text[-4:]}" if is_national else text


def _document(text: str) -> str:
    if len(text) == 11:
        return f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"
    return f"{text[:2]}.{text[2:5]}.{text[5:8]}/{text[8:12]}-{text[12:]}" if len(text) == 14 else text


@pages.post("/customers/<account>/<id_>/show")
def reveal(account: str, id_: str) -> ResponseReturnValue:
    """Show e-mail, phone and document in clear for some minutes; the audit trail gets an event of the customer."""
    with runtime.journal.database.read() as connection:
        newest = layout.found(next(iter(queries.events_about(connection, account, "subject", id_, 1)), None))
    layout.note("customer.shown", str(newest["id"]))
    session["shown"] = {f"{account} {id_}": layout.now_ms() + SHOWN_MS}
    return layout.go("console.customers.show", account=account, id_=id_)


# ---------------------------------------------------------------- a charge


@pages.get("/charges/<account>/<id_>")
def charge(account: str, id_: str) -> ResponseReturnValue:
    """Show a charge with its events; with `ask`, Asaas is asked for its present status."""
    g.shown_for = "console.events.index"
    with runtime.journal.database.read() as connection:
        rows = queries.events_about(connection, account, "object_id", id_, MOST_EVENTS)
        if not rows and "ask" not in request.args:
            raise NotFound
        found = _read(connection, rows)
        notes = _notes(connection, found)
    asked, problem = None, ""
    can_ask = account in runtime.asaas and all(row["entity"] == "payment" for row in rows)
    if "ask" in request.args and can_ask:
        asked, problem = _ask(lambda: compare_charge(runtime.asaas[account], runtime.journal, id_, runtime.clock_ms))
    if not rows and asked is None:
        raise NotFound
    return layout.page(
        "charge.html",
        account=account,
        id=id_,
        charge=Charge(id_, found) if found else None,
        entity=rows[0]["entity"] if rows else "payment",
        found=found[::-1],
        notes=notes,
        can_ask=can_ask,
        was_asked="ask" in request.args and can_ask,
        now_there=asked[0] if asked else None,
        paid_on=paid_on,
        described=masked(description_of(asked[0].charge)) if asked else "",
        is_behind=bool(asked and asked[0].verdict in BEHIND),
        problem=problem,
    )


def _ask(ask: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return external_call(ask), ""
    except BridgeError as error:
        return None, error.text()


# ---------------------------------------------------------------- what never came


@pages.get("/lookup")
def find() -> ResponseReturnValue:
    """Look at Asaas for what a search of the events did not find."""
    g.shown_for = "console.events.index"
    accounts, text = sorted(filter(person.sees, runtime.asaas)), request.args.get("q", "").strip()
    account = request.args.get("account") or next(iter(accounts), "")
    if account not in accounts:
        raise NotFound
    result, problem = _ask(lambda: look_up(runtime, account, text)) if searches(text) else (None, "")
    return layout.page(
        "lookup.html",
        account=account,
        accounts=accounts,
        text=text,
        by=searches(text),
        is_phone=is_phone(text),
        result=result,
        problem=problem,
        amount_of=amount_of,
        description_of=lambda charge: masked(description_of(charge)),
        paid_on=paid_on,
    )


@pages.get("/charges/<account>/<id_>/bring")
def preview(account: str, id_: str) -> ResponseReturnValue:
    """Preview the events that a backfill would make of a charge, and their deliveries. Changes nothing."""
    g.shown_for = "console.events.index"
    if account not in runtime.asaas:
        raise NotFound

    def ask() -> tuple[Compared, list[Preview], Mapping[str, Any]] | None:
        compared = compare_charge(runtime.asaas[account], runtime.journal, id_, runtime.clock_ms)
        if compared is None:
            return None
        made = events_for_charge(compared[0], account, compared[1]) if compared[0].verdict in BEHIND else []
        stored = [as_stored(runtime.journal, event) for event in made]
        previews = list(preview_events(runtime, stored, runtime.mappings.current(at_once=True)))
        wanted = {"customer": str(compared[0].charge.get("customer") or "")}
        return compared[0], previews, runtime.enricher.fetch(account, wanted).get("customer") or {}

    result, problem = _ask(ask)
    if result is None and not problem:
        raise NotFound
    compared, previews, customer = result or (None, [], dict[str, Any]())
    return layout.page(
        "charge_bring.html",
        account=account,
        id=id_,
        compared=compared,
        name=str(customer.get("name") or ""),
        previews=previews,
        problem=problem,
        amount=amount_of(compared.charge) if compared else None,
        description=shown(description_of(compared.charge)) if compared else "",
    )


@pages.post("/charges/<account>/<id_>/bring")
def bring_in(account: str, id_: str) -> ResponseReturnValue:
    """Make the events of a charge that the journal lacks, and go to the last one."""
    if account not in runtime.asaas:
        raise NotFound
    journal = runtime.journal
    compared = external_call(lambda: compare_charge(runtime.asaas[account], journal, id_, runtime.clock_ms))
    one, asked_ms = layout.found(compared)
    made = events_for_charge(one, account, asked_ms) if one.verdict in BEHIND else []
    if not made:
        layout.flash_message(_("Nothing to bring in: the bridge knows this charge as Asaas has it."), "neutral")
        return layout.go("console.customers.charge", account=account, id_=id_)
    kept = list(append_events(journal, made, runtime.clock_ms))
    with journal.database.write() as connection:
        for _event, _lane, stored in kept:
            about = str(stored.id)
            audit.note(connection, person.actor, "event.brought_in", about, runtime.clock_ms())
    runtime.wake({lane for _event, lane, _stored in kept})
    layout.flash_message(_("Brought in from Asaas; the bridge processes it in a moment."))
    return layout.go("console.events.show", id_=kept[-1][2].id)
