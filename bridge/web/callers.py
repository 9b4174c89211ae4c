"""Says from which address a request really comes, and whether the door is open to it.

X-Forwarded-For is what anybody may write. It is believed only as far as proxies that the operator named have written
it: each adds the address that it was called from at the end, so the list is read from there. Without an allow-list
nothing is looked at, since the token decides.
"""

from __future__ import annotations

from functools import lru_cache

from bridge.settings.networks import Address, Network, address_of

REMEMBERED = 1_024
"""Pairs of address and header whose verdict is kept: Asaas has a handful."""


FOR_PROGRAMS: dict[str, str] = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""The headers of an answer to a program, which needs no policy for pages."""


class Callers:
    """The rules of one process."""

    def __init__(self, allowed: tuple[Network, ...], trusted: int | tuple[Network, ...]) -> None:
        self._allowed = allowed
        self._trusted = trusted
        self.refused = lru_cache(REMEMBERED)(self._refused) if allowed else lambda _remote, _forwarded: None

    def _refused(self, remote: str, forwarded: str) -> str | None:
        """Return the address to which the door is closed, or None where it is open; `forwarded` is X-Forwarded-For."""
        address = self.address(remote, forwarded)
        if address is not None and any(address in network for network in self._allowed):
            return None
        return str(address) if address else "one that is no address"

    def address(self, remote: str, forwarded: str) -> Address | None:
        """Return the address of whoever called the outermost trusted proxy; None where that is no address."""
        chain = [*(text for text in forwarded.split(",") if text.strip()), remote]
        if isinstance(self._trusted, int):
            return address_of(chain[max(0, len(chain) - 1 - self._trusted)])
        for text in reversed(chain):
            address = address_of(text)
            if address is None or not any(address in network for network in self._trusted):
                return address
        return address_of(chain[0])
