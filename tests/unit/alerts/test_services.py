"""What people fill in becomes an address that apprise takes."""

from __future__ import annotations

import pytest

from bridge.alerts.send import check
from bridge.alerts.services import SERVICES, BadField, address_of, is_given, service_of

EMAIL = {
    "to": "ana@example.com, rui@example.com",
    "server": "smtp.gmail.com",
    "security": "starttls",
    "user": "avisos@example.com",
    "password": "p@ss/w:rd #1",
}
WHATSAPP = {
    "to": "(11) 98765-4321, +351 912 345 678",
    "server": "https://whatsapp.example.com:8443/",
    "instance": "avisos",
    "key": "B6D711FC/DE4D",
}
GIVEN = {
    "email": EMAIL,
    "whatsapp": WHATSAPP,
    "telegram": {"token": "123456789:AAE-x_y", "chat": "-1001234567890 @canal"},
    "slack": {"webhook": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"},
    "other": {"url": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"},
}


def test_apprise_takes_every_address() -> None:
    """One of each service; the plain connection to a mail server as well."""
    urls = [address_of(service, given) for service, given in GIVEN.items()]
    urls.append(address_of("email", {**EMAIL, "security": "insecure", "user": "", "sender": "avisos@example.com"}))

    assert set(GIVEN) == set(SERVICES)
    assert [result.problem for result in check(urls)] == [""] * len(urls)
    assert [service_of(url.partition("://")[0]) for url in urls] == [*GIVEN, "email"]


def test_an_address_holds_what_was_given() -> None:
    """Signs of a password are kept; a Brazilian number gets its country's code."""
    assert address_of("email", EMAIL) == (
        "mailtos://avisos%40example.com:p%40ss%2Fw%3Ard%20%231@example.com:587/?smtp=smtp.gmail.com"
        "&from=avisos%40example.com&to=ana%40example.com%2Crui%40example.com&mode=starttls&format=text"
    )
    assert address_of("whatsapp", WHATSAPP) == (
        "evolutions://B6D711FC%2FDE4D@whatsapp.example.com:8443/avisos/5511987654321/351912345678"
    )


@pytest.mark.parametrize(
    ("service", "field", "text"),
    [
        ("email", "to", "ana"),
        ("email", "to", ""),
        ("email", "server", "https://smtp.example.com"),
        ("email", "port", "99999"),
        ("email", "security", "none"),
        ("email", "sender", "ana"),
        ("whatsapp", "server", "whatsapp.example.com"),
        ("whatsapp", "server", "https://user@whatsapp.example.com/x"),
        ("whatsapp", "to", "98765-4321"),
        ("whatsapp", "instance", "a/b"),
        ("telegram", "token", "bot"),
        ("telegram", "chat", "minha turma"),
        ("slack", "webhook", "https://example.com/services/a/b/c"),
        ("other", "url", "discord.com"),
        ("other", "url", "json://a json://b"),
    ],
)
def test_what_can_not_be_used_is_said_beside_its_field(service: str, field: str, text: str) -> None:
    """Each field has its rule."""
    with pytest.raises(BadField) as refused:
        address_of(service, {**GIVEN[service], field: text})
    assert refused.value.name == field


def test_empty_fields_leave_an_address_as_it_is() -> None:
    """A choice is always sent, so it alone changes nothing."""
    assert not is_given("email", {"security": "ssl", "to": " "})
    assert is_given("email", EMAIL)


def test_a_sender_may_be_left_out_only_where_the_user_is_an_address() -> None:
    """The sentence says so: the rule of an address alone would puzzle whoever left the field empty."""
    with pytest.raises(BadField) as nobody:
        address_of("email", {**EMAIL, "user": "", "sender": ""})
    with pytest.raises(BadField) as wrong:
        address_of("email", {**EMAIL, "user": "", "sender": "ana"})

    assert (nobody.value.name, wrong.value.name) == ("sender", "sender")
    assert nobody.value.rule != wrong.value.rule
