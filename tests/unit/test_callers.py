"""Whose address counts, and to whom the door is open."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.settings import OF_ASAAS, networks, proxies
from bridge.web.door import AddressPolicy

ASAAS, STRANGER, PROXY, EDGE = OF_ASAAS[0], "203.0.113.9", "10.0.0.2", "198.51.100.7"


@pytest.mark.parametrize(
    ("trusted", "remote", "forwarded", "address"),
    [
        ("", ASAAS, "", ASAAS),
        ("", STRANGER, ASAAS, STRANGER),
        ("0", f"::ffff:{ASAAS}", "", ASAAS),
        ("1", PROXY, ASAAS, ASAAS),
        ("1", PROXY, f"{ASAAS}, {STRANGER}", STRANGER),
        ("1", PROXY, f"{STRANGER},{ASAAS}:443", ASAAS),
        ("2", PROXY, f"{STRANGER}, {ASAAS}, {EDGE}", ASAAS),
        ("1", STRANGER, "", STRANGER),
        ("1", PROXY, " , ", PROXY),
        ("1", PROXY, "unknown", None),
        ("10.0.0.0/8", PROXY, ASAAS, ASAAS),
        ("10.0.0.0/8", STRANGER, ASAAS, STRANGER),
        ("10.0.0.0/8", PROXY, f"{ASAAS}, {STRANGER}, 10.9.9.9", STRANGER),
        ("10.0.0.0/8 198.51.100.0/24", PROXY, f"{ASAAS}, {EDGE}", ASAAS),
        ("10.0.0.0/8", PROXY, "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.0/8", PROXY, "<script>", None),
        ("10.0.0.0/8", PROXY, "10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("10.0.0.0/8", "", "", None),
    ],
)
def test_only_what_trusted_proxies_wrote_counts(trusted: str, remote: str, forwarded: str, address: str | None) -> None:
    """The header is read from its end, as far as it was written by proxies that the operator named."""
    found = AddressPolicy((), proxies(trusted)).address(remote, forwarded)

    assert (str(found) if found else None) == address


def test_the_door_is_open_to_the_allowed_only() -> None:
    """The word asaas stands for the documented addresses; without a list anybody may try a token."""
    callers = AddressPolicy(networks("asaas, 192.0.2.0/24"), 0)

    assert [callers.refused(address, "") for address in (*OF_ASAAS, "192.0.2.77")] == [None] * 5
    assert callers.refused(STRANGER, ASAAS) == STRANGER
    assert callers.refused("", "") == "one that is no address"
    assert AddressPolicy((), 0).refused(STRANGER, "") is None


@pytest.mark.parametrize("text", ["asas", "10.0.0.1/8", "1.2.3", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """A list with a mistake must not leave the door open or shut unseen."""
    with pytest.raises(ValueError, match="must be addresses or networks"):
        networks(text)


def test_too_many_proxies_are_refused() -> None:
    """A number is a count of proxies, not an address."""
    with pytest.raises(ValueError, match="at most 9"):
        proxies("12")


@settings(deadline=None, max_examples=100)
@given(st.text(), st.text(), st.sampled_from(["0", "1", "3", "10.0.0.0/8"]))
def test_any_header_is_judged(remote: str, forwarded: str, trusted: str) -> None:
    """Whatever a stranger writes, the answer is no and no fault."""
    assert AddressPolicy(networks("asaas"), proxies(trusted)).refused(remote, forwarded)
