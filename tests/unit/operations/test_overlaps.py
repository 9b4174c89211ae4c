"""Mappings are compared once, until one of them or an API destination is another."""

from __future__ import annotations

from bridge.mapping import Mapping, Setup, parse_mapping
from bridge.operations.overlaps import Meeting, groups

SETUP = Setup(None, None)
TEXT = """
events: [{event}]
send_to: {to}
contact: {{email: "'ana@example.com'"}}
tests: []
"""


def read(name: str, event: str = "PAYMENT_RECEIVED", to: str = "default") -> Mapping:
    """Return a mapping of that event."""
    found = parse_mapping(TEXT.format(event=event, to=to), f"{name}.yaml", SETUP).mapping
    assert found
    return found


def test_the_same_texts_are_compared_once() -> None:
    """Texts that are read anew and are the same meet as before."""
    first = groups([read("a"), read("b")], SETUP)

    assert groups([read("a"), read("b")], SETUP) is first
    assert [(one.name, [each.other.name for each in others]) for one, others in first] == [("a", ["b"])]


def test_a_changed_text_is_compared_anew() -> None:
    """A mapping that no longer takes the events meets nobody."""
    assert groups([read("a"), read("b")], SETUP)

    assert groups([read("a"), read("b", "PAYMENT_OVERDUE")], SETUP) == []


def test_a_changed_destination_is_compared_anew() -> None:
    """The same texts meet elsewhere where a destination became an origin of the API."""
    webhooks = groups([read("a"), read("b", to="b")], SETUP)
    by_api = groups([read("a"), read("b", to="b")], Setup(None, None, api={"default": "Vendas", "b": "vendas"}))

    assert [each.meeting for _one, others in webhooks for each in others] == [Meeting.MAYBE]
    assert [each.meeting for _one, others in by_api for each in others] == [Meeting.DEAL]
