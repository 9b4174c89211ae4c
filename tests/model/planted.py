"""Faults in the product, each of which the machine must find: a few words of its source are replaced."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from bridge.journal import deliveries, lanes
from bridge.pipeline import deliver
from bridge.worker import drain


@dataclass(frozen=True, slots=True)
class Fault:
    """Words in a function or method of the product, and what stands there instead."""

    name: str
    owner: Any
    function: str
    changes: tuple[tuple[str, str], ...]


_RELEASE = "connection.execute(lanes.update().where(lanes.c.lane.in_([x.lane for x in leases])), {'lease_until_ms': 0})"

FAULTS = (
    Fault(
        "a worker writes in a lane that another one has taken over",
        lanes.Lanes,
        "transaction",
        (("if fences[lease.lane] == lease.fence", "if lease.lane in fences"),),
    ),
    Fault(
        "a worker leases lanes that another one has",
        lanes.Lanes,
        "acquire_all",
        (('"b_now": now_ms', '"b_now": 1 << 60'),),
    ),
    Fault(
        "a lane is given back without a look at its fence",
        lanes.Lanes,
        "release_all",
        (("_set_ends(connection, sorted(leases, key=lambda lease: lease.lane), 0)", _RELEASE),),
    ),
    Fault("what a dead worker was sending is left so", lanes, "_take_over", (("if not ids:", "if ids:"),)),
    Fault(
        "a POST goes out before its intent is committed",
        deliver.Deliverer,
        "_commit",
        (
            ("for earlier in", "self._send(selection.started, held)\n        for earlier in"),
            ("self._send(started, held)", "self._send(confirmed.started, held)"),
        ),
    ),
    Fault("a POST goes out whenever the lease ends", deliver, "send", (("> lease.until_ms", "> 1 << 60"),)),
    Fault(
        "an answer counts although its lane was lost and regained",
        deliver.Deliverer,
        "_commit",
        (("fences.get(r.delivery.lane) == r.fence", "r.delivery.lane in fences"),),
    ),
    Fault("each delivery of a line is due at once", deliveries, "add", (("elif line not in taken:", "else:"),)),
    Fault("nobody looks after a lane is given back", drain.LeaseSet, "release", ((" if check else ", " and "),)),
    Fault(
        "the last look comes before the end of the quiet",
        drain.LeaseSet,
        "release",
        (
            ("self._wakeups.ended(lanes)\n", "\n"),
            ("self.forget(lanes)\n", "self.forget(lanes)\n    self._wakeups.ended(lanes)\n"),
        ),
    ),
)


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """Plant the fault while the block runs; raise LookupError where the product has no such words any more."""
    source = textwrap.dedent(inspect.getsource(getattr(fault.owner, fault.function)))
    for old, new in fault.changes:
        if old not in source:
            raise LookupError(f"{fault.function} has no {old!r} any more")
        source = source.replace(old, new)
    module = fault.owner if inspect.ismodule(fault.owner) else sys.modules[fault.owner.__module__]
    made: dict[str, Any] = {}
    exec(source, vars(module), made)  # noqa: S102 (the product's own source)
    with patch.object(fault.owner, fault.function, made[fault.function]):
        yield
