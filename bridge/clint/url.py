"""Judges destination URLs: whether the bridge may post personal data there.

A URL is a secret, so a problem is said in words that name no part of it. What a name resolves to is judged where the
connection is made (`transport`), since it may differ from one moment to the next.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import httpx

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""RFC 6052 and RFC 4291: the last 32 bits are an IPv4 address."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that IANA gives out. Outside of it stand translators, site-local addresses and what comes to be reserved."""

_HOST_NAME = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")

_LOCAL_NAMES = ("localhost", "local", "internal", "lan", "home.arpa")


def check_url(url: str, allow_private: bool) -> str | None:
    """Return what is wrong with a destination URL, or None where it may be used."""
    try:
        parts = httpx.URL(url)
        host = parts.host  # decoded here: IDNA finds fault with `xn--`
    except (httpx.InvalidURL, ValueError):
        return "must be a URL such as https://host/path, got something that is none"
    if parts.scheme not in {"http", "https"} or not host:
        return "must be a URL such as https://host/path, got one without https:// or host"
    if not _is_host(parts.raw_host.decode("ascii")):
        return "must be a URL such as https://host/path, got one whose host is neither a name nor an address"
    if parts.port is not None and not 0 < parts.port < 65536:
        return f"must have a port from 1 to 65535, got {parts.port}"
    if parts.userinfo:
        return "must not carry a user name or password before the host"
    if allow_private:
        return None
    if parts.scheme != "https":
        return "must begin with https://, got http://, which shows the customers' data to anybody on the way"
    if _is_local(host):
        return "must be a public address, got one of this machine or network"
    return None


def is_public(address: IpAddress) -> bool:
    """Return whether the address belongs to the open internet, whatever notation hides it."""
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _embedded(address) or address
        if inner is address and address not in _GLOBAL_UNICAST:
            return False
    return inner.is_global and not inner.is_multicast


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which a translator (NAT64, or the old ::1.2.3.4) would lead."""
    if any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def public_only(addresses: Iterable[str]) -> list[str]:
    """Return those of a name's addresses that belong to the open internet, in their order."""
    return [address for address in addresses if is_public(ipaddress.ip_address(address))]


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST_NAME.fullmatch(host.lower()) is not None
    return True


def _is_local(host: str) -> bool:
    try:
        return not is_public(ipaddress.ip_address(host))
    except ValueError:
        name = host.lower().rstrip(".")
        if _is_number(name):
            return True
        return name in _LOCAL_NAMES or name.endswith(tuple(f".{local}" for local in _LOCAL_NAMES))


def _is_number(name: str) -> bool:
    """Return whether resolvers read the name as an IPv4 address in decimal, octal or short form."""
    return all(re.fullmatch(r"0x[0-9a-f]*|[0-9]+", part) for part in name.split("."))
