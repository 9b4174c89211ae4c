"""Networks in the environment: who may post to the door, and which proxies are believed about who posts."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

OF_ASAAS = ("52.67.12.206", "18.230.8.159", "54.94.136.112", "54.94.183.101")
"""From where Asaas says that it posts (docs ips-oficiais-do-asaas); its sandbox may use others (erro-403-forbidden)."""

MOST_PROXIES = 9


def networks(text: str) -> tuple[Network, ...]:
    """Return the networks that the text names; the word asaas stands for those of Asaas.

    >>> networks("10.0.0.0/8, 192.0.2.1")
    (IPv4Network('10.0.0.0/8'), IPv4Network('192.0.2.1/32'))
    """
    found: list[Network] = []
    for word in re.split(r"[\s,]+", text.strip()) if text.strip() else ():
        try:
            found += [ip_network(one) for one in (OF_ASAAS if word.lower() == "asaas" else (word,))]
        except ValueError:
            raise ValueError("must be addresses or networks such as 192.0.2.1 10.0.0.0/8, or the word asaas") from None
    return tuple(found)


def proxies(text: str) -> int | tuple[Network, ...]:
    """Return how many proxies stand before the bridge, or in which networks they are.

    >>> proxies("1"), proxies("")
    (1, 0)
    """
    if re.fullmatch(r"\d{0,2}", text):
        if int(text or 0) > MOST_PROXIES:
            raise ValueError(f"must be at most {MOST_PROXIES} proxies, or their networks")
        return int(text or 0)
    return networks(text)


def address_of(text: str) -> Address | None:
    """Return the address that the text is, without a port and as IPv4 where it is one; None where it is none.

    >>> address_of("[::ffff:192.0.2.1]:443"), address_of("unknown")
    (IPv4Address('192.0.2.1'), None)
    """
    bare = text.strip()
    if found := re.fullmatch(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+", bare):
        bare = found[1] or found[2]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
