"""People: who may come in and what they may see, for administrators; a person's own account; the page of a link."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, g, request, url_for
from flask.typing import ResponseReturnValue

from bridge.errors import LinkSpent, UsageError
from bridge.journal import accounts as stored
from bridge.journal import users
from bridge.journal.users import LINK_LASTS_MS, User, UserRole
from bridge.messages import N_, _
from bridge.operations import users as operations
from bridge.settings import LEAST_PASSWORD
from bridge.web.console import forms, layout
from bridge.web.console.access import Person, Role, access, client_address, over_https, person, runtime
from bridge.web.console.signin import count_try, give_back_try, let_in, one_at_a_time

pages = Blueprint("people", __name__)

LINK_HOURS = LINK_LASTS_MS // 3_600_000


@pages.get("/people")
def index() -> ResponseReturnValue:
    sent = forms.sent()
    with runtime.journal.database.read() as connection:
        found = users.everybody(connection)
    return layout.page(
        "people.html",
        sent.status,
        people=sorted(found, key=lambda one: (one.state == "disabled", one.name.casefold())),
        roles=tuple(UserRole),
        accounts=sorted(runtime.accounts),
        given=sent.fields,
        sent=sent,
        settings_password=access.has_password,
        provider=bool(access.provider),
    )


def _read_access() -> tuple[dict[str, Any], dict[str, UsageError]]:
    """Return name, role and accounts of the form, and what is wrong with them by the ids of their controls.

    An empty list of accounts means all, which has to be said.
    """
    form, faults = request.form, {}
    given: dict[str, Any] = {"name": form.get("name", ""), "accounts": []}
    try:
        operations.checked_name(given["name"])
    except UsageError as error:
        faults["name"] = error
    if (asked := form.get("role", "")) in set(UserRole):
        given["role"] = UserRole(asked)
    else:
        faults["role"] = UsageError(N_("choose a role"))
    if form.get("which", "all") != "all":
        given["accounts"] = [name for name in form.getlist("account") if name in runtime.accounts]
        if not given["accounts"]:
            faults["account"] = UsageError(N_("choose at least one account, or all of them"))
    return given, faults


@pages.post("/people")
def invite() -> ResponseReturnValue:
    given, faults = _read_access()
    if not faults:
        given["email"] = request.form.get("email", "")
        try:
            id_, link = operations.invite(runtime.journal, person.actor, runtime.clock_ms(), **given)
        except UsageError as error:
            faults["email"] = error
    if faults:
        return forms.send_back("console.people.index", faults=faults)
    return _show_link(id_, link)


def _show_link(id_: int, link: str) -> ResponseReturnValue:
    return forms.show_once("console.people.new_link", {"link": link}, id_=id_)


@pages.get("/people/<int:id_>/link")
def new_link(id_: int) -> ResponseReturnValue:
    """Show a link that was just made, for some minutes and to the person who made it; no row holds it in clear."""
    shown = forms.shown_once()
    if shown is None:
        text = _("A link is shown for 15 minutes only. Make a new one if it was not passed on.")
        layout.flash_message(text, "neutral")
        return layout.go("console.people.show", id_=id_)
    link = shown["link"]
    origin = f"{'https' if over_https() else 'http'}://{request.host}"
    url = origin + url_for("console.people.invitation", link=link)
    host = urlsplit(origin).hostname or ""
    only_here = host == "localhost" or host.endswith(".localhost") or host == "::1" or host.startswith("127.")
    with runtime.journal.database.read() as connection:
        public = stored.public_url(connection, runtime.settings.bridge_public_url)
    return layout.page(
        "people_link.html", user=_user(id_), url=url, hours=LINK_HOURS, only_here=only_here, public=public
    )


def _user(id_: int) -> User:
    with runtime.journal.database.read() as connection:
        user: User = layout.found(users.get(connection, id_))
    return user


@pages.get("/people/<int:id_>")
def show(id_: int) -> ResponseReturnValue:
    user, sent = _user(id_), forms.sent()
    return layout.page(
        "person.html",
        sent.status,
        user=user,
        is_me=person.key == user.key,
        roles=tuple(UserRole),
        accounts=sorted({*runtime.accounts, *user.accounts}),
        given=sent.fields,
        sent=sent,
    )


@pages.post("/people/<int:id_>")
def change(id_: int) -> ResponseReturnValue:
    given, faults = _read_access()
    if person.key == users.key_of(id_) and given.get("role") is not UserRole.ADMINISTRATOR:
        faults["role"] = UsageError(N_("you can't take away your own role of administrator; another one can"))
    if faults:
        return forms.send_back("console.people.show", faults=faults, id_=id_)
    operations.change(runtime.journal, person.actor, runtime.clock_ms(), id_, **given)
    layout.flash_message(_("Saved."))
    return layout.go("console.people.show", id_=id_)


@pages.post("/people/<int:id_>/link")
def link(id_: int) -> ResponseReturnValue:
    try:
        return _show_link(id_, operations.renew_link(runtime.journal, person.actor, runtime.clock_ms(), id_))
    except UsageError as error:
        return forms.send_back("console.people.show", problem=error, id_=id_)


@pages.post("/people/<int:id_>/enable")
def enable(id_: int) -> ResponseReturnValue:
    """Let a person in again, or shut them out."""
    enabled = request.form.get("on") == "1"
    if not enabled and person.key == users.key_of(id_):
        return _not_oneself(id_)
    operations.set_enabled(runtime.journal, person.actor, runtime.clock_ms(), id_, enabled=enabled)
    name = _user(id_).name
    text = N_("{name} may come in again.") if enabled else N_("{name} is signed out and can't come in.")
    layout.flash_message(_(text, name=name))
    return layout.go("console.people.index")


def _not_oneself(id_: int) -> ResponseReturnValue:
    problem = UsageError(N_("you can't shut yourself out; another administrator can"))
    return forms.send_back("console.people.show", problem=problem, id_=id_)


@pages.post("/people/<int:id_>/sign-out")
def sign_out(id_: int) -> ResponseReturnValue:
    """End all sessions of a person."""
    user = _user(id_)
    operations.sign_out_everywhere(runtime.journal, person.actor, runtime.clock_ms(), user.key)
    layout.flash_message(_("{name} is signed out everywhere.", name=user.name))
    return layout.go("console.people.show", id_=id_)


@pages.post("/people/<int:id_>/remove")
def remove(id_: int) -> ResponseReturnValue:
    user = _user(id_)
    if person.key == user.key:
        return _not_oneself(id_)
    if "confirmed" not in request.form:
        fault = UsageError(N_("not removed: the confirmation is missing"))
        return forms.send_back("console.people.show", faults={"confirmed": fault}, id_=id_)
    operations.remove(runtime.journal, person.actor, runtime.clock_ms(), id_)
    layout.flash_message(_("{name} is removed.", name=user.name))
    return layout.go("console.people.index")


# ---------------------------------------------------------------- the person of a link


@pages.get("/invitation/<link>")
def invitation(link: str) -> ResponseReturnValue:
    """Show the form for a password; opening it does not use up the link."""
    with runtime.journal.database.read() as connection:
        user = users.by_link(connection, link, runtime.clock_ms())
    if user is None:
        raise LinkSpent
    return layout.page("invitation.html", user=user, link=link, least=LEAST_PASSWORD)


@pages.post("/invitation/<link>")
def accept(link: str) -> ResponseReturnValue:
    try:
        password = _chosen_password()
        user = operations.accept(runtime.journal, link, password, client_address(), runtime.clock_ms())
    except UsageError as error:
        # A stranger leaves no row: the cookie carries what is wrong, and there is nothing else to keep.
        layout.flash_message(f"{layout.capital(error.text())}.", "bad")
        return layout.go("console.people.invitation", link=link)
    answer = let_in(Person(Role(user.role), user.name, user), "/", "")
    layout.flash_message(_("Welcome, {name}.", name=user.name))
    return answer


def _chosen_password() -> str:
    password = request.form.get("password", "")
    if password != request.form.get("again", ""):
        raise UsageError(N_("the two passwords are not the same"))
    return password


# ---------------------------------------------------------------- one's own account


@pages.get("/me")
def me() -> ResponseReturnValue:
    sent = forms.sent()
    g.shown_for = "console.people.me"
    return layout.page("me.html", sent.status, user=person.user, least=LEAST_PASSWORD, sent=sent)


@pages.post("/me/name")
def rename_me() -> ResponseReturnValue:
    user = layout.found(person.user)
    try:
        name = request.form.get("name", "")
        operations.rename(runtime.journal, person.actor, runtime.clock_ms(), user.id, name)
    except UsageError as error:
        return forms.send_back("console.people.me", faults={"name": error})
    layout.flash_message(_("Saved."))
    return layout.go("console.people.me")


@pages.post("/me/password")
def change_my_password() -> ResponseReturnValue:
    """Set another password, which ends all other sessions. The current one is checked with the limits of a sign-in."""
    user = layout.found(person.user)
    known, who = count_try()
    with one_at_a_time(known, who):
        is_right = access.is_password_of(user, request.form.get("current", ""))
    if not is_right:
        return _password_refused("current", UsageError(N_("the current password is wrong")))
    give_back_try(who)
    try:
        operations.change_password(runtime.journal, user, _chosen_password(), client_address(), runtime.clock_ms())
    except UsageError as error:
        return _password_refused("password", error)
    answer = let_in(Person(person.role, user.name, user), url_for("console.people.me"), known)
    layout.flash_message(_("The password is changed; you are signed out everywhere else."))
    return answer


def _password_refused(field: str, fault: UsageError) -> ResponseReturnValue:
    secret = ("current", "password", "again")
    return forms.send_back("console.people.me", faults={field: fault}, without=secret)


@pages.post("/me/sign-out")
def sign_me_out() -> ResponseReturnValue:
    """End all sessions of this person, or of the password they came in with, and begin a new one here."""
    operations.sign_out_everywhere(runtime.journal, person.actor, runtime.clock_ms(), person.key)
    answer = let_in(Person(person.role, person.name, person.user), url_for("console.people.me"), "")
    layout.flash_message(_("You are signed out everywhere else."))
    return answer
