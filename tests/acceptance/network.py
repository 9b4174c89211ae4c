"""Several machines on one: network namespaces, each with an address of its own and a link to the machine with the data.

A host reaches the data's address and nothing else, and can be cut off as by a pulled cable: what is sent vanishes
without an answer. Everything is removed at the end. It needs Linux, root, `ip` (iproute2) and `nsenter` (util-linux).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

_NETWORKS = 250
"""Of 198.18.0.0/16, which is set aside for tests of networks (RFC 2544) and routed nowhere."""


class NetworkMissing(Exception):
    """This machine can't have network namespaces."""


class Host:
    """One machine of the network."""

    def __init__(self, name: str, link: str, address: str) -> None:
        self.name = name
        self.address = address
        self._link = link

    def command(self, command: list[str]) -> list[str]:
        """Return the command so that it runs on this host."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def cut(self) -> None:
        """Pull the cable: nothing arrives on either side any more, and nobody is told."""
        _ip("link", "set", self._link, "down")

    def mend(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self._link, "up")


class Network:
    """Hosts around one address, the data's, which is this machine's end of every link; leave it by `with`."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._hosts: dict[str, Host] = {}

    def __enter__(self) -> Self:
        """Take a range that nobody uses; raise NetworkMissing where this machine can't do that."""
        if os.name != "posix" or os.geteuid() != 0:
            raise NetworkMissing("network namespaces need root")
        for program in ("ip", "nsenter"):
            if shutil.which(program) is None:
                raise NetworkMissing(f"there is no program {program}: install iproute2 and util-linux")
        with ExitStack() as undo:
            self._number = undo.enter_context(_range())
            self.address = f"198.18.{self._number}.1"
            self._undo = undo
            self.host("first")  # the data's address is there as soon as one link is
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    def host(self, name: str) -> Host:
        """Return the host of that name, made when it is first asked for."""
        if name not in self._hosts:
            number = len(self._hosts) + 2
            link = f"brh{self._number}-{number}"
            host = Host(f"bridge-{link}", link, f"198.18.{self._number}.{number}")
            self._undo.enter_context(_namespace(host.name))
            self._undo.enter_context(_linked(host.name, link, self.address, host.address))
            self._hosts[name] = host
        return self._hosts[name]


@contextmanager
def _range() -> Iterator[int]:
    # The route is the mark that the range is taken, and keeps what is for a host that is cut off on this machine.
    for number in range(_NETWORKS):
        route = ("route", "add", "blackhole", f"198.18.{number}.0/24")
        told = subprocess.run(["ip", *route], capture_output=True, text=True, check=False)
        if told.returncode == 0:
            try:
                yield number
            finally:
                _ip("route", "del", *route[2:])
            return
        if "exists" not in told.stderr:
            raise NetworkMissing(f"ip {' '.join(route)}: {told.stderr.strip()}")
    raise NetworkMissing("every range of addresses is taken")


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        _ip("netns", "del", name)


@contextmanager
def _linked(name: str, link: str, data: str, address: str) -> Iterator[None]:
    _ip("link", "add", link, "type", "veth", "peer", "name", "uplink", "netns", name)
    try:
        _ip("address", "add", f"{data}/32", "peer", address, "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", name, "address", "add", f"{address}/32", "peer", data, "dev", "uplink")
        _ip("-n", name, "link", "set", "uplink", "up")
        yield
    finally:
        _ip("link", "del", link)


def _ip(*arguments: str) -> None:
    told = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if told.returncode:
        raise NetworkMissing(f"ip {' '.join(arguments)}: {told.stderr.strip()}")
