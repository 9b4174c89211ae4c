"""Which environment a key or an address belongs to."""

from __future__ import annotations

import pytest

from bridge.asaas.client import PRODUCTION_URL, SANDBOX_URL, base_url, environment
from bridge.errors import SettingsError


@pytest.mark.parametrize(
    ("key", "override", "url"),
    [
        ("$aact_prod_x", "", PRODUCTION_URL),
        ("$aact_hmlg_x", "", SANDBOX_URL),
        ("$aact_prod_x", "http://127.0.0.1:9/v3/", "http://127.0.0.1:9/v3"),
        ("whatever", "https://example.com", "https://example.com"),
    ],
)
def test_the_address_follows_the_key_unless_it_is_set(key: str, override: str, url: str) -> None:
    """The prefix decides, and ASAAS_API_URL wins over it."""
    assert base_url(key, override) == url


def test_a_key_that_does_not_say_is_refused_without_being_shown() -> None:
    """The message names the prefixes and the way out, never the key."""
    with pytest.raises(SettingsError) as refused:
        base_url("$aact_YTU5")

    assert "$aact_prod_" in str(refused.value)
    assert "YTU5" not in str(refused.value)


@pytest.mark.parametrize(
    ("key_or_url", "name"),
    [
        ("$aact_prod_x", "production"),
        ("$aact_hmlg_x", "sandbox"),
        ("$aact_YTU5", "production"),
        ("", "production"),
        (PRODUCTION_URL, "production"),
        ("https://www.asaas.com/api/v3", "production"),
        (SANDBOX_URL, "sandbox"),
        ("http://127.0.0.1:8100/v3", "sandbox"),
    ],
)
def test_keys_and_addresses_belong_to_an_environment(key_or_url: str, name: str) -> None:
    """An older key is taken for production, where mistakes cost money; a simulator is never that."""
    assert environment(key_or_url) == name
