"""Which URLs personal data may be posted to."""

from __future__ import annotations

import ipaddress

import pytest

from bridge.http import check_url, is_public, public_only

SECRET = "0f0e0d0c-aaaa-bbbb-cccc-0123456789ab"
PATH = f"/endpoints/integration/webhook/{SECRET}"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://functions-api.clint.digital", None),
        ("https://functions-api.clint.digital:8443", None),
        ("https://8.8.8.8", None),
        ("http://functions-api.clint.digital", "must begin with https://"),
        ("ftp://functions-api.clint.digital", "without https:// or host"),
        ("functions-api.clint.digital", "without https:// or host"),
        ("https://", "without https:// or host"),
        ("https://[::1", "something else"),
        ("https://host:99999", "port from 1 to 65535"),
        ("https://ana:senha@functions-api.clint.digital", "user name or password"),
        ("https://localhost", "this machine or network"),
        ("https://LOCALHOST.", "this machine or network"),
        ("https://db.internal", "this machine or network"),
        ("https://127.0.0.1", "this machine or network"),
        ("https://10.1.2.3", "this machine or network"),
        ("https://169.254.169.254", "this machine or network"),
        ("https://0.0.0.0", "this machine or network"),
        ("https://[::1]", "this machine or network"),
        ("https://[fe80::1]", "this machine or network"),
        ("https://[::ffff:192.168.0.1]", "this machine or network"),
        ("https://[::ffff:7f00:1]", "this machine or network"),
        ("https://[64:ff9b::10.0.0.1]", "this machine or network"),
        ("https://[::127.0.0.1]", "this machine or network"),
        ("https://2130706433", "this machine or network"),
        ("https://0x7f000001", "this machine or network"),
        ("https://0177.0.0.1", "something else"),
        ("https://127.1", "this machine or network"),
        ("https://8.8.8.8.", "this machine or network"),
        ("https://functions-api.clint.digital@127.0.0.1", "user name or password"),
        ("https://functions-api.clint.digital:x@127.0.0.1", "user name or password"),
        ("https://127.0.0.1#@functions-api.clint.digital", "this machine or network"),
        ("https://127.0.0.1\\@functions-api.clint.digital", "user name or password"),
        ("https://\uff11\uff12\uff17.0.0.1", "something else"),
        ("https://\u24dbocalhost", "something else"),
        ("https://[64:ff9b:1::10.0.0.1]", "this machine or network"),
        ("https://[::ffff:0:127.0.0.1]", "this machine or network"),
        ("https://[fec0::1]", "this machine or network"),
        ("https://xn--", "something else"),
        ("https://xn--a", "something else"),
        ("https://xn--pagamentos-x0a.example", "something else"),
        ("https://\ud83d", "something else"),
        ("https://%31%32%37.0.0.1", "neither a name nor an address"),
        ("https://a..b", "neither a name nor an address"),
        (f"https://{'a' * 64}.example", "neither a name nor an address"),
        (f"https://{'a.' * 127}example", "neither a name nor an address"),
        ("https://a]b", "neither a name nor an address"),
        ("https://.", "neither a name nor an address"),
    ],
)
def test_a_url_is_judged_without_being_shown(address: str, said: str | None) -> None:
    """Only https to a public address may be used, and the problem names no part of the URL."""
    problem = check_url(address + PATH, allow_private=False)

    if said is None:
        assert problem is None
    else:
        assert problem is not None
        assert said in str(problem)
        assert SECRET not in str(problem)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8100", "http://localhost", "https://10.0.0.1", "http://clint.example"]
)
def test_simulators_may_be_anywhere_where_that_is_allowed(address: str) -> None:
    """The setting for simulators lifts both rules."""
    assert check_url(address + PATH, allow_private=True) is None


@pytest.mark.parametrize("address", ["nada", "https://ana:senha@host", "ftp://host"])
def test_nonsense_is_refused_even_there(address: str) -> None:
    """What can't work anywhere is not lifted."""
    assert check_url(address, allow_private=True)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("::ffff:8.8.8.8", True),
        ("2002:0808:0808::1", True),
        ("2002:7f00:0001::1", False),
        ("::ffff:127.0.0.1", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::169.254.169.254", False),
        ("::8.8.8.8", True),
        ("::127.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("2001:0:53aa:64c::1", False),
        ("fe80::1%eth0", False),
        ("ff0e::1", False),
        ("64:ff9b:1::8.8.8.8", False),
        ("::ffff:0:8.8.8.8", False),
        ("fec0::1", False),
        ("5f00::1", False),
        ("fd00::1", False),
        ("192.0.0.8", False),
        ("192.0.0.170", False),
        ("192.88.99.1", False),
        ("2002:c058:6301::1", False),
        ("3fff::1", False),
        ("2001:10::1", False),
        ("2001:20::1", False),
        ("2001:200::1", True),
    ],
)
def test_an_address_is_public_whatever_notation_hides_it(address: str, public: bool) -> None:
    """An IPv4 address inside an IPv6 one is judged as what it is."""
    assert is_public(ipaddress.ip_address(address)) is public


def test_the_private_ones_of_several_addresses_are_passed_over() -> None:
    """A name that also leads to this machine is connected to elsewhere only."""
    assert public_only(["127.0.0.1", "8.8.8.8", "::1", "2001:4860:4860::8888"]) == ["8.8.8.8", "2001:4860:4860::8888"]
