"""Accounts, destinations and the token of Clint's API by forms: a new one, another key or URL, removal.

A key or URL goes from the form into the journal, encrypted, and no page shows it again. Between two steps the page
carries it, and of an account a draft too, encrypted with the journal's key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from bridge.errors import (
    BridgeError,
    ClintApiFailed,
    ClintFault,
    ConsoleBusy,
    DecryptionFailed,
    JournalError,
    UsageError,
)
from bridge.http import check_url
from bridge.journal import accounts as stored
from bridge.journal import audit, drafts, receivers, users
from bridge.journal import destinations as circuits
from bridge.journal.audit import Actor
from bridge.mapping.spec import NAME as MAPPING_NAME
from bridge.messages import N_, Message, _, ngettext
from bridge.operations import accounts, connect
from bridge.operations.accounts import TOKEN_VARIABLE, public_hook_url, without_mapping
from bridge.operations.clint import try_token
from bridge.operations.connect import Company
from bridge.settings import DEFAULT, NAME, destination_variable, origin_of, origin_url, variable
from bridge.web.console import clint, forms, jobs, layout
from bridge.web.console.access import over_https, person, runtime
from bridge.web.console.jobs import JobContext, Result, external_call

T = TypeVar("T")

pages = Blueprint("connecting", __name__)

KEY_WAITS_MS = 15 * 60_000
"""The second step accepts the key of the first for this long."""
_COLUMN, _URL_COLUMN = "console.key", "console.url"


def keeps_secrets() -> bool:
    """Return whether the journal can keep a key or a URL, encrypted."""
    return bool(runtime.journal.database.keyring)


def known(values: Mapping[str, T], name: str) -> T | None:
    """Return the account or URL of that name, including one that any process stored a moment ago."""
    if name not in values:
        runtime.account_store.refresh()
    return values[name] if name in values else None  # noqa: SIM401 (`get` also finds what was removed)


def took_effect() -> None:
    """Reload the accounts, destinations and mappings of this process after a change."""
    runtime.account_store.refresh()
    with suppress(JournalError, OSError):  # a worker reads the files within seconds too
        runtime.mapping_files.import_changed()


# ---------------------------------------------------------------- an account


@dataclass(frozen=True, slots=True)
class Pending:
    """A key that Asaas accepted and that is not stored yet: the person still chooses a name."""

    api_key: str = field(repr=False)
    account: str
    """The account that gets the key, empty for a new one."""
    company: Company

    def sealed(self) -> str:
        return _sealed({**asdict(self), "for": self.account}, _COLUMN)


def _opened(sealed: str) -> Pending | None:
    """Decrypt the key that the first step encrypted; return None where it is too old, damaged or of another key."""
    given = _unsealed(sealed, _COLUMN)
    return Pending(given["api_key"], given["account"], Company(**given["company"])) if given else None


def _sealed(given: dict[str, Any], column: str) -> str:
    """Encrypt the values of a first step for the page of the second one."""
    return runtime.journal.database.keyring.encrypt(json.dumps({**given, "at_ms": runtime.clock_ms()}), column)


def _unsealed(sealed: str, column: str, of: str | None = None) -> dict[str, Any]:
    """Decrypt what the first step encrypted, for a thing of this name if one is given; return an empty dictionary where
    it is too old, damaged or of another key or thing."""
    keyring = runtime.journal.database.keyring
    if not keyring or not sealed.startswith(keyring.prefix):
        return {}
    try:
        given: dict[str, Any] = json.loads(keyring.decrypt(sealed, column))
    except (DecryptionFailed, ValueError):
        return {}
    if not 0 <= runtime.clock_ms() - given["at_ms"] <= KEY_WAITS_MS or (of is not None and given["for"] != of):
        return {}
    return given


@pages.get("/connections/new-account")
def new_account() -> ResponseReturnValue:
    return _ask_key("")


@pages.get("/connections/<account>/key")
def key_form(account: str) -> ResponseReturnValue:
    layout.found(known(runtime.accounts, account))
    return _ask_key(account)


def _ask_key(account: str) -> ResponseReturnValue:
    sent = forms.sent()
    return layout.page(
        "account_key.html",
        sent.status,
        sent=sent,
        account=account,
        setting=variable("ASAAS_API_KEY", account) if account in runtime.settings.accounts else "",
        keeps=keeps_secrets(),
        # Beside a token of the environment the key belongs there too.
        keyless=[one.name for one in runtime.settings.accounts.values() if not one.api_key] if not account else [],
        variable=variable,
    )


def _ask_key_again(account: str, fault: Message, **more: Any) -> ResponseReturnValue:
    where = ("key_form", {"account": account}) if account else ("new_account", {})
    endpoint = f"console.connecting.{where[0]}"
    return forms.send_back(endpoint, faults={"key": fault}, without=("key", "sealed"), more=more, **where[1])


@pages.post("/connections/new-account")
def take_account() -> ResponseReturnValue:
    return _take("")


@pages.post("/connections/<account>/key")
def take_key(account: str) -> ResponseReturnValue:
    layout.found(known(runtime.accounts, account))
    return _take(account)


def _take(account: str) -> ResponseReturnValue:
    """Ask Asaas whose key this is; in the second step, store it under the chosen name."""
    if not keeps_secrets() or account in runtime.settings.accounts:
        form = "key_form" if account else "new_account"
        return layout.go(f"console.connecting.{form}", account=account or None)  # which says why
    if "sealed" in request.form:
        pending = _opened(request.form["sealed"])
        if pending is None or pending.account != account:
            text = N_("Too much time has passed since the key was tried. Nothing was stored: paste it again.")
            return _ask_key_again(account, Message(text))
        return _store(pending)
    api_key = _pasted("key")
    try:
        company = external_call(lambda: connect.company_of(runtime, account, api_key))
    except ConsoleBusy:
        raise
    except BridgeError as error:
        refused = {"code": error.code, "what": error.what.to_json(), "got": str(error.facts.get("got") or "")}
        return _ask_key_again(account, error.message(), **refused)
    return _took(Pending(api_key, account, company))


def _pasted(field: str) -> str:
    """Return a secret of the form; one that is copied from an .env file has quotes around it."""
    return re.sub(r"^(['\"])(.*)\1$", r"\2", request.form.get(field, "").strip())


def _took(pending: Pending) -> ResponseReturnValue:
    """Go to a page of its own for the second step, so that the browser's back and a reload find it again."""
    return layout.go("console.connecting.key_taken", number=_keep(pending))


def _keep(pending: Pending) -> int:
    with runtime.journal.database.write() as connection:
        fields = [("sealed", pending.sealed())]
        return drafts.keep(connection, _COLUMN, person.key, fields, layout.now_ms())


@pages.get("/connections/key/<int:number>")
def key_taken(number: int) -> ResponseReturnValue:
    """Show whose key Asaas took, to be stored or not; the page is gone once it is stored, or too old."""
    with runtime.journal.database.read() as connection:
        draft = drafts.find(connection, number, _COLUMN, person.key, layout.now_ms())
    pending = _opened(dict(draft.fields)["sealed"]) if draft else None
    if pending is None:
        text = _("That key is no longer kept: it was stored, or 15 minutes have passed since it was tried.")
        layout.flash_message(text, "neutral")
        return layout.go("console.connections.show")
    sent = forms.sent()
    given = sent.fields
    return layout.page(
        "account_confirm.html",
        sent.status,
        sent=sent,
        account=pending.account,
        to=url_for("console.connecting.take_key", account=pending.account)
        if pending.account
        else url_for("console.connecting.take_account"),
        company=pending.company,
        sealed=pending.sealed(),
        name=given.get("name") or connect.proposed_name(pending.company.name, [*runtime.accounts]),
        first=DEFAULT not in runtime.accounts,
        public_url=runtime.settings.bridge_public_url,
        url=given.get("url", _own_address()),
        given=given,
    )


def _own_address() -> str:
    """Return the address of this request where Asaas could reach it too, else nothing."""
    here = f"https://{request.host}"
    return here if over_https() and check_url(here, allow_private=False) is None else ""


def _store(pending: Pending) -> ResponseReturnValue:
    form, company = request.form, pending.company
    name = pending.account or form.get("name", "").strip().lower()
    url, email = form.get("url", "").strip(), form.get("email", "").strip()
    if company.production and "production" not in form:
        text = N_("Nothing was stored: confirm below that this is the production account you mean.")
        return _confirm_again(pending, "production", Message(text))
    try:
        public_hook_url(runtime.settings, name, url or None, Message(N_("the public address")))
    except UsageError as error:
        return _confirm_again(pending, "url" if url else "name", error)
    try:
        accounts.add_account(
            runtime.journal,
            runtime.settings,
            person.actor,
            runtime.clock_ms(),
            name,
            api_key=pending.api_key,
            must_be_new=not pending.account,
        )
    except UsageError as error:
        return _confirm_again(pending, "name", error)
    with runtime.journal.database.write() as connection:
        drafts.remove(connection, _COLUMN, person.key)
    took_effect()
    params: dict[str, Any] = {"account": name, "url": url, "email": email, "company": company.name}
    params |= {"fresh": not pending.account, "actor": list(asdict(person.actor).values())}
    try:
        return jobs.begin("connect", name, run_connect, params)
    except ConsoleBusy:
        layout.flash_message(_("The account is stored. Its webhook is not registered yet: do it here."), "warning")
        return layout.go("console.connections.webhook", account=name)


def _confirm_again(pending: Pending, field: str, fault: Message | UsageError) -> ResponseReturnValue:
    faults = {field: fault}
    if pending.account and field == "name":  # the form of another key has no name
        return forms.send_back(
            "console.connecting.key_taken", problem=fault, without=("sealed",), number=_keep(pending)
        )
    return forms.send_back("console.connecting.key_taken", faults=faults, without=("sealed",), number=_keep(pending))


def run_connect(task: JobContext) -> Result:
    """Register the webhook of an account that was just stored, check that its public address answers, and say where no
    mapping listens to the account."""
    result = _connect(task)
    account = task.params["account"]
    mappings = [one.mapping for one in task.runtime.mappings.current()]
    result["unheard"] = bool(without_mapping([account], mappings))
    if result["unheard"]:
        task.step(code="unheard", values={"account": account})
    return result


def _connect(task: JobContext) -> dict[str, Any]:
    account, url = task.params["account"], task.params["url"]
    task.step(code="key", values={"company": task.params["company"] or account})
    task.step(code="stored" if task.params["fresh"] else "changed", values={"account": account})
    try:
        done = connect.connect_webhook(task.runtime, account, url or None, task.params["email"] or None)
    except BridgeError as error:
        if not url and not task.runtime.settings.bridge_public_url and isinstance(error, UsageError):
            task.step(code="no_address")
            return {"webhook": False, "door": False}
        task.step(code="not_registered", error=error.message().to_json())
        return {"webhook": False, "door": False}
    values = {"url": done.webhook.url, "events": len(done.webhook.events)}
    task.step(code="registered", values=values, others=done.plan.others, refused=done.refused)
    with task.runtime.journal.database.write() as connection:
        actor, detail = Actor(*task.params["actor"]), {"events": len(done.webhook.events)}
        audit.note(connection, actor, "webhook.registered", account, task.runtime.clock_ms(), detail)
    return {"webhook": True, "door": _door_step(task, account, done.webhook.url)}


@pages.post("/connections/<account>/reach")
def reach(account: str) -> ResponseReturnValue:
    """Check again that the bridge answers where the account's webhook posts."""
    layout.found(known(runtime.accounts, account))
    return jobs.begin("connect", account, run_reach, {"account": account})


def run_reach(task: JobContext) -> Result:
    """Check that the bridge answers at the address of the webhook as Asaas has it."""
    account = task.params["account"]
    try:
        address = connect.webhook_address(task.runtime, account)
    except BridgeError as error:
        task.step(code="not_registered", error=error.message().to_json())
        return {"webhook": False, "door": False}
    return {"webhook": True, "door": _door_step(task, account, address)}


def _door_step(task: JobContext, account: str, address: str) -> bool:
    status = connect.door_answers(task.runtime, account, address, task.sleep)
    is_open = status == 400
    task.step(code="door_open" if is_open else "door_closed", status=status, values={"url": address})
    return is_open


@pages.get("/connections/<account>/remove")
def ask_to_remove_account(account: str) -> ResponseReturnValue:
    setting = variable("ASAAS_API_KEY", account) if account in runtime.settings.accounts else ""
    layout.found(known(runtime.accounts, account))
    with runtime.journal.database.read() as connection:
        waiting = accounts.waiting_events(connection, account)
        people = [one.name for one in users.everybody(connection) if account in one.accounts]
        told = [one.name for one in receivers.load(connection) if account in one.accounts]
    return layout.page(
        "account_remove.html",
        name=account,
        setting=setting,
        waiting=waiting,
        has_key=bool(runtime.accounts[account].api_key),
        mappings=[one.mapping for one in runtime.mappings.current() if one.mapping.account == account],
        people=people if person.may_manage_people else [],
        people_number=len(people),
        receivers=told,
    )


@pages.post("/connections/<account>/remove")
def remove_account(account: str) -> ResponseReturnValue:
    """Remove the account. Where the form asks for it, its webhook is removed first: otherwise Asaas goes on posting."""
    with runtime.journal.database.read() as connection:
        layout.found(stored.accounts(connection).get(account))
    if "webhook" in request.form:
        try:
            external_call(lambda: connect.remove_webhook(runtime, account))
        except ConsoleBusy:
            raise
        except BridgeError as error:
            text = _("The account stays: its webhook could not be removed. {error}", error=error.text())
            layout.flash_message(text, "bad")
            return layout.go("console.connecting.ask_to_remove_account", account=account)
        layout.note("webhook.removed", account)
    accounts.remove_account(runtime.journal, person.actor, runtime.clock_ms(), account)
    took_effect()
    layout.flash_message(_("Account {name} is removed.", name=account))
    return layout.go("console.connections.show")


# ---------------------------------------------------------------- the token of Clint's API


@pages.get("/connections/clint/token")
def token_form() -> ResponseReturnValue:
    sent = forms.sent()
    return layout.page(
        "clint_token.html",
        sent.status,
        sent=sent,
        setting=_token_setting(),
        keeps=keeps_secrets(),
        has_token=runtime.clint_api is not None,
    )


def _token_setting() -> str:
    """Return the variable that sets the token in the environment; empty where it is not set there."""
    return TOKEN_VARIABLE if runtime.settings.clint_api_token else ""


@pages.post("/connections/clint/token")
def take_token() -> ResponseReturnValue:
    """Try the token at Clint; store it where Clint accepts it, and go on to what it is for."""
    if not keeps_secrets() or _token_setting():
        return layout.go("console.connecting.token_form")  # which says why
    token = _pasted("token")
    try:
        number = external_call(lambda: try_token(runtime, token))
    except ConsoleBusy:
        raise
    except BridgeError as error:
        fault = error.message()
        if isinstance(error, ClintApiFailed) and error.kind is ClintFault.TOKEN:
            fault = Message(N_("Clint does not accept this token. Copy it whole, or make a new one."))
        return forms.send_back("console.connecting.token_form", faults={"token": fault}, without=("token",))
    freed = accounts.put_token(runtime.journal, runtime.settings, person.actor, runtime.clock_ms(), token)[1]
    took_effect()
    text = ngettext(
        "Clint accepted the token; it has {n} origin.", "Clint accepted the token; it has {n} origins.", number
    )
    layout.flash_message(text + " " + _("What waited for it goes on.") if freed else text)
    if "name" in request.args or not runtime.destinations:
        asked = {name: request.args[name] for name in ("name", "then") if request.args.get(name)}
        return layout.go("console.connecting.new_destination", by=BY_ORIGIN, **asked)
    return clint.check_destination("")


@pages.get("/connections/clint/token/remove")
def ask_to_remove_token() -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        layout.found(_token_setting() or stored.clint_token(connection) or None)
        waiting = accounts.waiting_for_token(connection, runtime.settings)
    names = sorted(name for name in runtime.destinations if runtime.is_api(name))
    return layout.page("clint_token_remove.html", setting=_token_setting(), waiting=waiting, names=names)


@pages.post("/connections/clint/token/remove")
def remove_token() -> ResponseReturnValue:
    accounts.remove_token(runtime.journal, person.actor, runtime.clock_ms())
    took_effect()
    layout.flash_message(_("The token of Clint's API is removed."))
    return layout.go("console.connections.show")


# ---------------------------------------------------------------- a destination


BY_ORIGIN = "origin"
"""The form of a new destination then asks for an origin alone: the person has just entered a token."""


@pages.get("/connections/new-destination")
def new_destination() -> ResponseReturnValue:
    return _ask_url("")


@pages.get("/connections/destinations/<name>/url")
def url_form(name: str) -> ResponseReturnValue:
    return _ask_url(layout.found(name if re.fullmatch(NAME, name) else None))


def _ask_url(name: str) -> ResponseReturnValue:
    sent = forms.sent()
    more: dict[str, Any] = dict(sent.more)
    asked = request.args.get("name", "")
    proposed = asked if re.fullmatch(NAME, asked) else "" if DEFAULT in runtime.destinations else DEFAULT
    with runtime.journal.database.read() as connection:
        kept = circuits.load(connection).get(name) if name else None
        waiting = accounts.open_deliveries(connection, name or more.get("strange_name", proposed))
    origin = origin_of(runtime.destinations[name]) or "" if name in runtime.destinations else ""
    if keeps_secrets() and not _setting(name):
        more |= clint.origins_to_choose(sent.fields.get("origin", origin))
    return layout.page(
        "destination_url.html",
        422 if "strange" in more else sent.status,
        sent=sent,
        name=name,
        kept=kept,
        waiting=waiting,
        setting=_setting(name),
        keeps=keeps_secrets(),
        has_api=runtime.clint_api is not None,
        origin=origin,
        by_origin=not name and runtime.clint_api is not None and request.args.get("by") == BY_ORIGIN,
        proposed=proposed,
        variable=variable,
        given=sent.fields,
        strange_words=accounts.STRANGE,
        **more,
    )


def _ask_url_again(shown: str, faults: Mapping[str, Message | UsageError], **more: Any) -> ResponseReturnValue:
    where = ("url_form", {"name": shown}) if shown else ("new_destination", {})
    endpoint = f"console.connecting.{where[0]}"
    return forms.send_back(endpoint, faults=faults, without=("url", "sealed_url"), more=more, **where[1])


def _setting(name: str) -> str:
    """Return the variable that sets a destination in the environment; empty where none does."""
    fixed = runtime.settings.destinations.get(name)
    return "" if fixed is None else destination_variable(name, fixed)


@pages.post("/connections/new-destination")
def take_destination() -> ResponseReturnValue:
    name = request.form.get("name", "").strip().lower()
    return _take_url("", name)


@pages.post("/connections/destinations/<name>/url")
def take_url(name: str) -> ResponseReturnValue:
    return _take_url(name, name)


def _take_url(shown: str, name: str) -> ResponseReturnValue:
    origin, url = request.form.get("origin", "").strip(), request.form.get("url", "").strip().strip("'\"")
    is_new, is_sure = not shown, "sealed_url" in request.form
    if is_sure:
        url = _unsealed(request.form["sealed_url"], _URL_COLUMN, name).get("url", "")
        if not url:
            text = N_("Too much time has passed since the URL was typed. Nothing was stored: paste it again.")
            return _ask_url_again(shown, {"url": Message(text)})
    with runtime.journal.database.read() as connection:
        before, waiting = stored.destinations(connection).get(name), accounts.open_deliveries(connection, name)
    try:
        if origin and url:
            raise UsageError(N_("give a URL or an origin, not both"))
        url = origin_url(origin) if origin else url
        if before is not None and before == url and not is_new:
            raise UsageError(N_("{name} goes there already; nothing was changed"), name=name)
        changes = (runtime.journal, runtime.settings, person.actor, runtime.clock_ms(), name, url)
        if not origin and not is_sure and accounts.strange_url(runtime.settings, url):
            accounts.check_destination(runtime.journal, runtime.settings, name, url)
            sealed = _sealed({"for": name, "url": url}, _URL_COLUMN)
            return _ask_url_again(shown, {}, strange=sealed, strange_name=name)
        accounts.add_destination(*changes, must_be_new=is_new)
    except UsageError as error:
        of_name = is_new and error.facts.get("name") == name
        return _ask_url_again(shown, {"name" if of_name else "origin" if origin else "url": error})
    took_effect()
    if origin:
        text = _("Destination {name} is saved: its deals go to the origin {origin}.", name=name, origin=origin)
        layout.flash_message(text)
        checking = clint.check_destination(name)
        return _back_to_switching() or checking
    if back := _back_to_switching():
        layout.flash_message(_("Destination {name} is saved. Nothing was sent to it yet.", name=name))
        return back
    if before is None and not waiting:
        layout.flash_message(_("Destination {name} is saved. Nothing was sent to it yet: send a test here.", name=name))
        return layout.go("console.connections.test_form", name=name)
    if not waiting:
        text = _("The new URL of {name} is saved. Nothing was sent to it yet: send a test here.", name=name)
        layout.flash_message(text)
        return layout.go("console.connections.test_form", name=name)
    text = ngettext(
        "The new URL of {name} is saved; {n} delivery goes on.",
        "The new URL of {name} is saved; {n} deliveries go on.",
        waiting,
        name=name,
    )
    layout.flash_message(text)
    return layout.go("console.connections.show")


def _back_to_switching() -> ResponseReturnValue | None:
    """Return the way back to a mapping that a person was about to switch on, where the form was reached from there."""
    then = request.args.get("then", "")
    return layout.go("console.mappings.switching", name=then) if MAPPING_NAME.fullmatch(then) else None


@pages.get("/connections/destinations/<name>/remove")
def ask_to_remove_destination(name: str) -> ResponseReturnValue:
    setting = _setting(name)
    with runtime.journal.database.read() as connection:
        url = layout.found(setting or stored.destinations(connection).get(name))
        waiting = accounts.open_deliveries(connection, name)
    active = [one.mapping for one in runtime.mappings.current() if one.mapping.enabled]
    named = [one.description or one.name for one in active if name in one.destinations]
    return layout.page(
        "destination_remove.html", name=name, setting=setting, waiting=waiting, mappings=named, origin=origin_of(url)
    )


@pages.post("/connections/destinations/<name>/remove")
def remove_destination(name: str) -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        url = layout.found(stored.destinations(connection).get(name))
    accounts.remove_destination(runtime.journal, person.actor, runtime.clock_ms(), name)
    took_effect()
    was_url = origin_of(url) is None
    text = _("The URL of {name} is removed.", name=name) if was_url else _("Destination {name} is removed.", name=name)
    layout.flash_message(text)
    return layout.go("console.connections.show")
