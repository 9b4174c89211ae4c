"""The services for which the console asks field by field, and the address of apprise that the fields become.

Any other service of apprise is given by its address itself. An address is secret as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from bridge.messages import N_, Message

Values = Mapping[str, str]


class BadField(Exception):
    """A field whose value can't be used, with the rule as a message id."""

    def __init__(self, name: str, rule: str) -> None:
        self.name = name
        self.rule = Message(rule)
        super().__init__(f"{name}: {rule}")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form; the texts are message ids."""

    name: str
    label: str
    hint: str = ""
    example: str = ""
    kind: str = "text"
    """The type of the input; password: it is never shown again."""
    choices: Mapping[str, str] = field(default_factory=dict)
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Service:
    label: str
    lead: str
    """How to get what the fields ask for."""
    fields: tuple[Field, ...]
    address: Callable[[Values], str]
    schemes: tuple[str, ...] = ()


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", text) if word]


_MAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;]+")


def _email(values: Values) -> str:
    to = _words(values["to"])
    if not to or not all(_MAIL.fullmatch(one) for one in to):
        raise BadField("to", N_("must be e-mail addresses, separated by commas"))
    sender = values["sender"] or values["user"]
    if not _MAIL.fullmatch(sender):
        empty = N_("can be left empty only where the user is an e-mail address")
        raise BadField("sender", N_("must be an e-mail address") if values["sender"] else empty)
    if not re.fullmatch(r"[A-Za-z0-9.-]+", values["server"]):
        raise BadField("server", N_("must be the name of a server, such as smtp.gmail.com"))
    port = values["port"] or {"ssl": "465", "starttls": "587", "insecure": "25"}[values["security"]]
    if not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 65536:
        raise BadField("port", N_("must be a number from 1 to 65535"))
    sign_in = f"{_quoted(values['user'])}:{_quoted(values['password'])}@" if values["user"] else ""
    options = {"smtp": values["server"], "from": sender, "to": ",".join(to), "mode": values["security"]}
    query = urlencode({**options, "format": "text"})
    scheme = "mailto" if values["security"] == "insecure" else "mailtos"
    return f"{scheme}://{sign_in}{sender.rpartition('@')[2]}:{port}/?{query}"


def _telegram(values: Values) -> str:
    if not re.fullmatch(r"\d+:[\w-]+", values["token"]):
        raise BadField("token", N_("must be the token that BotFather gave, such as 123456789:AAE..."))
    chats = _words(values["chat"])
    if not chats or not all(re.fullmatch(r"-?\d+|@\w+", chat) for chat in chats):
        raise BadField("chat", N_("must be the number of a chat, such as -1001234567890, or the @name of a channel"))
    return f"tgram://{values['token']}/{'/'.join(chats)}/"


def _slack(values: Values) -> str:
    found = re.fullmatch(r"https://hooks\.slack\.com/services/(\w+/\w+/\w+)/?", values["webhook"])
    if not found:
        raise BadField("webhook", N_("must be the URL of an incoming webhook: https://hooks.slack.com/services/..."))
    return f"slack://{found[1]}"


def _whatsapp(values: Values) -> str:
    server = re.fullmatch(r"(https?)://([\w.-]+(?::\d{1,5})?)/?", values["server"])
    if not server:
        raise BadField("server", N_("must be the gateway's address, such as https://whatsapp.example.com"))
    if not re.fullmatch(r"[\w .-]+", values["instance"]):
        raise BadField("instance", N_("must be the name of the instance"))
    numbers = [re.sub(r"\D", "", one) for one in re.split(r"[,;\n]+", values["to"]) if one.strip()]
    if not numbers or not all(10 <= len(number) <= 15 for number in numbers):
        raise BadField("to", N_("must be numbers with area code, such as +55 11 98765-4321, separated by commas"))
    # Without a country's code they are Brazilian.
    numbers = [f"55{number}" if len(number) < 12 else number for number in numbers]
    scheme = "evolutions" if server[1] == "https" else "evolution"
    return f"{scheme}://{_quoted(values['key'])}@{server[2]}/{_quoted(values['instance'])}/{'/'.join(numbers)}"


def _other(values: Values) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", values["url"]):
        raise BadField("url", N_("must be one address of apprise, such as discord://..."))
    return values["url"]


_SECURITY = {"starttls": N_("STARTTLS (port 587)"), "ssl": N_("SSL/TLS (port 465)"), "insecure": N_("None (port 25)")}

SERVICES: Mapping[str, Service] = {
    "email": Service(
        N_("E-mail"),
        N_("Messages go through the outgoing server of your e-mail. Gmail and Outlook ask for an app password."),
        (
            Field("to", N_("Send to"), N_("One or more addresses, separated by commas"), "financeiro@empresa.com.br"),
            Field("server", N_("Outgoing server (SMTP)"), example="smtp.gmail.com"),
            Field("security", N_("Encryption"), choices=_SECURITY),
            Field("port", N_("Port"), N_("Leave empty for the usual one"), is_needed=False),
            Field("user", N_("User"), example="avisos@empresa.com.br", is_needed=False),
            Field("password", N_("Password"), kind="password", is_needed=False),
            Field(
                "sender",
                N_("Sender"),
                N_("Leave empty to send as the user, where that is an e-mail address"),
                is_needed=False,
            ),
        ),
        _email,
        ("mailto", "mailtos"),
    ),
    "whatsapp": Service(
        "WhatsApp",
        N_("Messages go through an Evolution API gateway that is connected to one of your WhatsApp numbers."),
        (
            Field("to", N_("Send to"), N_("One or more numbers, separated by commas"), "+55 11 98765-4321"),
            Field("server", N_("Address of the gateway"), example="https://whatsapp.empresa.com.br"),
            Field("instance", N_("Instance"), N_("Its name in the gateway"), "avisos"),
            Field("key", N_("API key"), N_("The gateway's or the instance's"), kind="password"),
        ),
        _whatsapp,
        ("evolution", "evolutions"),
    ),
    "telegram": Service(
        "Telegram",
        N_("Talk to @BotFather to make a bot, add it to the chat or group, and write something there."),
        (
            Field("token", N_("Token of the bot"), N_("BotFather shows it once"), kind="password"),
            Field(
                "chat", N_("Chat"), N_("Its number (@userinfobot tells it) or the channel's @name"), "-1001234567890"
            ),
        ),
        _telegram,
        ("tgram",),
    ),
    "slack": Service(
        "Slack",
        N_("In Slack make an app with an incoming webhook (api.slack.com/apps) for the channel, and copy its URL."),
        (Field("webhook", N_("URL of the webhook"), example="https://hooks.slack.com/services/...", kind="password"),),
        _slack,
        ("slack",),
    ),
    "other": Service(
        N_("Another service"),
        N_("Apprise knows more than a hundred services, such as Discord, Teams or SMS. Its page has the form of each."),
        (Field("url", N_("Address of apprise"), "github.com/caronc/apprise", "discord://...", kind="password"),),
        _other,
    ),
}
"""By the name that forms and addresses of pages use."""


def service_of(scheme: str) -> str:
    """Return the name of the service to which an address of that scheme belongs."""
    return next((name for name, one in SERVICES.items() if scheme in one.schemes), "other")


def is_given(service: str, given: Values) -> bool:
    """Return whether any field of the service was filled in; a choice alone does not count."""
    return any(given.get(one.name, "").strip() for one in SERVICES[service].fields if not one.choices)


def address_of(service: str, given: Values) -> str:
    """Return the address of apprise for what was filled in; raise BadField."""
    fields = SERVICES[service].fields
    values = {one.name: given.get(one.name, "").strip() for one in fields}
    for one in fields:
        if one.is_needed and not one.choices and not values[one.name]:
            raise BadField(one.name, N_("is needed"))
        if one.choices and values[one.name] not in one.choices:
            raise BadField(one.name, N_("choose one"))
    return SERVICES[service].address(values)
