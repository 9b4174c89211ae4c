"""People: who may come in and what they may see, for administrators; a person's own account; the page of a link."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, g, request, url_for
from flask.typing import ResponseReturnValue

from bridge.errors import BridgeError, LinkSpent, UsageError
from bridge.journal import users
from bridge.journal.users import LINK_LASTS_MS, User, UserRole
from bridge.messages import N_, _
from bridge.operations import users as operations
from bridge.settings import LEAST_PASSWORD
from bridge.web.console import layout
from bridge.web.console.access import Person, Role, access, client_address, over_https, person, runtime
from bridge.web.console.signin import count_try, give_back_try, let_in, one_at_a_time

pages = Blueprint("people", __name__)

LINK_HOURS = LINK_LASTS_MS // 3_600_000


@pages.get("/people")
def index(status: int = 200, problem: BridgeError | None = None) -> ResponseReturnValue:
    with runtime.journal.database.read() as connection:
        found = users.everybody(connection)
    return layout.page(
        "people.html",
        status,
        people=sorted(found, key=lambda one: (one.state == "disabled", one.name.casefold())),
        roles=tuple(UserRole),
        accounts=sorted(runtime.accounts),
        given=request.form,
        problem=problem,
        settings_password=access.has_password,
        provider=bool(access.provider),
    )


def _role() -> UserRole:
    asked = request.form.get("role", "")
    if asked not in set(UserRole):
        raise UsageError(N_("choose a role"))
    return UserRole(asked)


def _accounts() -> list[str]:
    """Return the accounts of the form; an empty list means all, which has to be said."""
    if request.form.get("which", "all") == "all":
        return []
    chosen = [name for name in request.form.getlist("account") if name in runtime.accounts]
    if not chosen:
        raise UsageError(N_("choose at least one account, or all of them"))
    return chosen


@pages.post("/people")
def invite() -> ResponseReturnValue:
    form = request.form
    try:
        given: dict[str, Any] = {"role": _role(), "accounts": _accounts()}
        given |= {"name": form.get("name", ""), "email": form.get("email", "")}
        id_, link = operations.invite(runtime.journal, person.actor, runtime.clock_ms(), **given)
    except UsageError as error:
        return index(422, error)
    return _link_page(id_, link)


def _link_page(id_: int, link: str) -> ResponseReturnValue:
    """Show a link. It is in this answer only: no row, cookie or address of the console holds it."""
    origin = f"{'https' if over_https() else 'http'}://{request.host}"
    url = origin + url_for("console.people.invitation", link=link)
    host = urlsplit(origin).hostname or ""
    only_here = host == "localhost" or host.endswith(".localhost") or host == "::1" or host.startswith("127.")
    public = runtime.settings.bridge_public_url
    return layout.page(
        "people_link.html", user=_user(id_), url=url, hours=LINK_HOURS, only_here=only_here, public=public
    )


def _user(id_: int) -> User:
    with runtime.journal.database.read() as connection:
        user: User = layout.found(users.get(connection, id_))
    return user


@pages.get("/people/<int:id_>")
def show(id_: int, status: int = 200, problem: BridgeError | None = None) -> ResponseReturnValue:
    user = _user(id_)
    return layout.page(
        "person.html",
        status,
        user=user,
        is_me=person.key == user.key,
        roles=tuple(UserRole),
        accounts=sorted({*runtime.accounts, *user.accounts}),
        given=request.form,
        problem=problem,
    )


@pages.post("/people/<int:id_>")
def change(id_: int) -> ResponseReturnValue:
    try:
        role = _role()
        if person.key == users.key_of(id_) and role is not UserRole.ADMINISTRATOR:
            raise UsageError(N_("you can't take away your own role of administrator; another one can"))
        given: dict[str, Any] = {"name": request.form.get("name", ""), "role": role, "accounts": _accounts()}
        operations.change(runtime.journal, person.actor, runtime.clock_ms(), id_, **given)
    except UsageError as error:
        return show(id_, 422, error)
    layout.flash_message(_("Saved."))
    return layout.go("console.people.show", id_=id_)


@pages.post("/people/<int:id_>/link")
def link(id_: int) -> ResponseReturnValue:
    try:
        return _link_page(id_, operations.renew_link(runtime.journal, person.actor, runtime.clock_ms(), id_))
    except UsageError as error:
        return show(id_, 422, error)


@pages.post("/people/<int:id_>/enable")
def enable(id_: int) -> ResponseReturnValue:
    """Let a person in again, or shut them out."""
    enabled = request.form.get("on") == "1"
    if not enabled and person.key == users.key_of(id_):
        return show(id_, 422, UsageError(N_("you can't shut yourself out; another administrator can")))
    operations.set_enabled(runtime.journal, person.actor, runtime.clock_ms(), id_, enabled=enabled)
    name = _user(id_).name
    text = N_("{name} may come in again.") if enabled else N_("{name} is signed out and can't come in.")
    layout.flash_message(_(text, name=name))
    return layout.go("console.people.index")


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
        return show(id_, 422, UsageError(N_("you can't shut yourself out; another administrator can")))
    if "confirmed" not in request.form:
        return show(id_, 422, UsageError(N_("not removed: the confirmation is missing")))
    operations.remove(runtime.journal, person.actor, runtime.clock_ms(), id_)
    layout.flash_message(_("{name} is removed.", name=user.name))
    return layout.go("console.people.index")


# ---------------------------------------------------------------- the person of a link


@pages.get("/invitation/<link>")
def invitation(link: str, status: int = 200, problem: BridgeError | None = None) -> ResponseReturnValue:
    """Show the form for a password; opening it does not use up the link."""
    with runtime.journal.database.read() as connection:
        user = users.by_link(connection, link, runtime.clock_ms())
    if user is None:
        raise LinkSpent
    return layout.page("invitation.html", status, user=user, link=link, least=LEAST_PASSWORD, problem=problem)


@pages.post("/invitation/<link>")
def accept(link: str) -> ResponseReturnValue:
    try:
        password = _chosen_password()
        user = operations.accept(runtime.journal, link, password, client_address(), runtime.clock_ms())
    except UsageError as error:
        return invitation(link, 422, error)
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
def me(status: int = 200, problem: BridgeError | None = None) -> ResponseReturnValue:
    g.shown_for = "console.people.me"
    return layout.page("me.html", status, user=person.user, least=LEAST_PASSWORD, problem=problem)


@pages.post("/me/name")
def rename_me() -> ResponseReturnValue:
    user = layout.found(person.user)
    try:
        name = request.form.get("name", "")
        operations.rename(runtime.journal, person.actor, runtime.clock_ms(), user.id, name)
    except UsageError as error:
        return me(422, error)
    layout.flash_message(_("Saved."))
    return layout.go("console.people.me")


@pages.post("/me/password")
def change_my_password() -> ResponseReturnValue:
    """Set another password, which ends all other sessions. The current one is checked with the limits of a sign-in."""
    user = layout.found(person.user)
    known, who = count_try()
    with one_at_a_time(known, who):
        is_right = access.is_password_of(user, request.form.get("current", ""))
    try:
        if not is_right:
            raise UsageError(N_("the password of now is wrong"))
        give_back_try(who)
        operations.change_password(runtime.journal, user, _chosen_password(), client_address(), runtime.clock_ms())
    except UsageError as error:
        return me(422, error)
    answer = let_in(Person(person.role, user.name, user), url_for("console.people.me"), known)
    layout.flash_message(_("The password is changed; you are signed out everywhere else."))
    return answer


@pages.post("/me/sign-out")
def sign_me_out() -> ResponseReturnValue:
    """End all sessions of this person, or of the password they came in with, and begin a new one here."""
    operations.sign_out_everywhere(runtime.journal, person.actor, runtime.clock_ms(), person.key)
    answer = let_in(Person(person.role, person.name, person.user), url_for("console.people.me"), "")
    layout.flash_message(_("You are signed out everywhere else."))
    return answer
