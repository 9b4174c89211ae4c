"""Who gets an alert when something needs a person: receivers of alerts, each with an address, a choice and a test.

An address is written and never shown: it is a password.
"""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from bridge.alerts.plan import Area
from bridge.alerts.services import SERVICES, BadField, address_of, is_given, service_of
from bridge.errors import NoAnswerYet, UsageError
from bridge.journal import accounts as stored
from bridge.journal.receivers import Receiver
from bridge.messages import N_, Message, _
from bridge.model import NoticeLevel
from bridge.operations.receivers import Choice, load, remove_receiver, save_receiver, send_trial
from bridge.web.console import forms, layout
from bridge.web.console.access import person, runtime
from bridge.web.console.jobs import external_call

pages = Blueprint("alerts", __name__)

TEST_S = 15.0
"""How long a page waits for a test: it starts a process, and a mail server may be slow."""


def _receivers() -> list[Receiver]:
    return load(runtime.journal, runtime.settings)


def _receiver(id_: int) -> Receiver:
    return layout.found(next((one for one in _receivers() if one.id == id_), None))


@pages.get("/alerts")
def index() -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        public_url = stored.public_url(connection, runtime.settings.bridge_public_url)
    return layout.page(
        "alerts.html",
        receivers=[(one, _services(one)) for one in _receivers()],
        has_key=bool(runtime.journal.database.keyring),
        has_address=bool(public_url),
    )


def _services(receiver: Receiver) -> list[str]:
    """Return the names of the services behind the receiver's addresses."""
    urls = runtime.settings.bridge_alert_urls if receiver.is_environment else [receiver.url or ""]
    schemes = [url.split("://", 1)[0] for url in urls]
    names = [_(SERVICES[service].label) if (service := service_of(one)) != "other" else one for one in schemes]
    return list(dict.fromkeys(names))


@pages.get("/alerts/new")
def new() -> ResponseReturnValue:
    return _form(None)


@pages.post("/alerts/new")
def add() -> ResponseReturnValue:
    return _save(None)


@pages.get("/alerts/<int:id_>")
def edit(id_: int) -> ResponseReturnValue:
    return _form(_of_journal(id_))


@pages.post("/alerts/<int:id_>")
def change(id_: int) -> ResponseReturnValue:
    return _save(_of_journal(id_))


def _of_journal(id_: int) -> Receiver:
    return layout.found(None if (found := _receiver(id_)).is_environment else found)


def _form(receiver: Receiver | None) -> ResponseReturnValue:
    """Show the form with what was sent, else with what the receiver has; never with its address."""
    sent = forms.sent()
    given = sent.fields
    service = given.get("service") or request.args.get("service", "")
    service = service or (service_of(receiver.service) if receiver else next(iter(SERVICES)))
    accounts = sorted({*runtime.accounts, *(receiver.accounts if receiver else ())})
    has = receiver or Receiver(0, "")
    return layout.page(
        "alerts_form.html",
        sent.status,
        receiver=receiver,
        service=service,
        services=SERVICES,
        fields=layout.found(SERVICES.get(service)).fields,
        labels={f"at-{one.name}": _(one.label) for one in SERVICES[service].fields},
        given=given,
        name=given.get("name", has.name),
        areas={one.value for one in Area} if not (given or has.areas) else set(given.getlist("area") or has.areas),
        accounts=accounts if len(accounts) > 1 else [],
        chosen_accounts=set(given.getlist("account")) if given else set(has.accounts or accounts),
        level=given.get("level", has.level),
        summary="summary" in given if given else has.summary_ms is not None or receiver is None,
        sent=sent,
        has_key=bool(runtime.journal.database.keyring),
    )


def _save(receiver: Receiver | None) -> ResponseReturnValue:
    form = request.form
    service = form.get("service", "")
    layout.found(SERVICES.get(service))
    faults: dict[str, Message] = {}
    if not form.get("name", "").strip():
        faults["name"] = Message(N_("is needed"))
    areas = [one for one in Area if one in form.getlist("area")]
    if not areas:
        faults["area"] = Message(N_("choose at least one"))
    offered = {*runtime.accounts, *(receiver.accounts if receiver else ())}
    accounts = offered & set(form.getlist("account"))
    if len(offered) > 1 and not accounts:
        faults["account"] = Message(N_("choose at least one"))
    given = {one.name: form.get(f"at-{one.name}", "") for one in SERVICES[service].fields}
    url: str | None = None
    if receiver is None or is_given(service, given):
        try:
            url = address_of(service, given)
        except BadField as error:
            faults[f"at-{error.name}"] = error.rule
    if faults:
        return _send_back(receiver, faults)
    choice = Choice(
        () if len(areas) == len(Area) else areas,
        () if accounts == offered else accounts,
        NoticeLevel.ERROR.value if form.get("level") == NoticeLevel.ERROR else NoticeLevel.WARNING.value,
        "summary" in form,
    )
    actor, now_ms, id_ = person.actor, runtime.clock_ms(), receiver.id if receiver else None
    try:
        saved = save_receiver(runtime.journal, actor, now_ms, id_, form["name"], url, choice)
    except UsageError as error:
        return _send_back(receiver, {"name": error.message()})
    layout.flash_message(_("Saved."))
    if form.get("then") == "test":
        _send_test(_receiver(saved))
    return layout.go("console.alerts.index")


def _send_back(receiver: Receiver | None, faults: dict[str, Message]) -> ResponseReturnValue:
    fields = SERVICES[request.form.get("service", "")].fields
    secret = [f"at-{one.name}" for one in fields if one.kind == "password"]
    more = {"again": [name for name in secret if request.form.get(name)]}
    if receiver is None:
        return forms.send_back("console.alerts.new", faults=faults, without=secret, more=more)
    return forms.send_back("console.alerts.edit", faults=faults, without=secret, more=more, id_=receiver.id)


@pages.post("/alerts/<int:id_>/test")
def test(id_: int) -> ResponseReturnValue:
    _send_test(_receiver(id_))
    return layout.go("console.alerts.index")


def _send_test(receiver: Receiver) -> None:
    journal, settings, clock_ms = runtime.journal, runtime.settings, runtime.clock_ms
    try:
        results = external_call(lambda: send_trial(journal, settings, clock_ms, receiver), TEST_S)
    except NoAnswerYet:
        layout.note("receiver.tested", receiver.name, {"outcome": "unknown"})
        layout.flash_message(
            _("The service has not answered yet. This page shows below whether the test arrived."), "warning"
        )
        return
    layout.note("receiver.tested", receiver.name, {"sent": sum(one.sent for one in results), "of": len(results)})
    for one in results:
        if one.sent:
            layout.flash_message(_("The test to {name} was sent, and the service accepted it.", name=receiver.name))
        else:
            text = _("The test to {name} did not arrive: {problem}", name=receiver.name, problem=_(one.problem))
            layout.flash_message(text, "bad")


@pages.post("/alerts/<int:id_>/remove")
def remove(id_: int) -> ResponseReturnValue:
    name = remove_receiver(runtime.journal, person.actor, runtime.clock_ms(), id_)
    layout.flash_message(_("{name} gets no more alerts.", name=name))
    return layout.go("console.alerts.index")
