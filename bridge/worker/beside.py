"""What the sweeper's process does beside waking lanes: one table, a thread for each.

Each is slow now and then (Asaas, Clint, a mail server), while lanes must be woken every second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.runtime import Runtime
from bridge.worker.alerts import Alerts
from bridge.worker.checkpointing import Checkpointing
from bridge.worker.clock_watch import ClockWatch
from bridge.worker.housekeeping import Housekeeping
from bridge.worker.silences import Silences

LAST_LOOK_S = 2.0
"""How long the end waits for somebody else's answer that is under way."""


class Duty(Protocol):
    """Works until it is told to stop."""

    def run(self, stopping: threading.Event) -> None:
        """Work."""
        ...


@dataclass(frozen=True, slots=True)
class Side:
    """One of them."""

    name: str
    make: Callable[[Runtime], Duty | None]
    """Returns None where the settings leave nothing to do."""
    ends_within_s: float | None = LAST_LOOK_S
    """How long the end of the process waits for it; None: until it is done."""


def _watch(runtime: Runtime) -> Duty | None:
    """The accounts' queues at Asaas, where an account has a key, or may get one in the journal."""
    from bridge.worker.queue_watch import QueueWatch

    if not runtime.asaas and not runtime.settings.bridge_encryption_key:
        return None
    return QueueWatch(
        runtime.journal,
        runtime.asaas,
        runtime.governors,
        lambda: [item.mapping for item in runtime.mappings.current()],
        runtime.settings.bridge_public_url,
        runtime.clock_ms,
    )


def _reconcile(runtime: Runtime) -> Duty | None:
    """Charges that the journal does not know, where BRIDGE_RECONCILE_HOURS says how often."""
    from bridge.worker.reconciling import Reconciling

    settings = runtime.settings
    if not settings.bridge_reconcile_hours:
        return None
    return Reconciling(
        runtime.asaas.values(),
        runtime.journal,
        settings.bridge_reconcile_hours,
        runtime.clock_ms,
        settings.bridge_data_dir / "reconcile" / "scheduled",
    )


def _read_deals(runtime: Runtime) -> Duty | None:
    """The deals of deliveries whose mapping says verify, with CLINT_API_TOKEN."""
    from bridge.recovery.read_back import ReadBacks
    from bridge.worker.deal_reader import DealReader

    if runtime.clint_api is None:
        return None
    wait_s = runtime.settings.bridge_read_back_wait
    return DealReader(
        ReadBacks(runtime.journal, runtime.clint_api, runtime.mappings, wait_s),
        runtime.clock_ms,
    )


def _keep_house(runtime: Runtime) -> Duty:
    """Keeps the journal small."""
    return Housekeeping(runtime.journal, runtime.settings.bridge_retention_days, runtime.clock_ms)


def _checkpoint(runtime: Runtime) -> Duty | None:
    """Copies SQLite's log back, so that nobody who writes must."""
    return Checkpointing(runtime.journal.database) if runtime.journal.database.is_sqlite else None


def _alert(runtime: Runtime) -> Duty:
    """What people must be told; told where BRIDGE_ALERT_URLS says how."""
    settings = runtime.settings
    return Alerts(
        runtime.journal,
        settings.bridge_alert_urls,
        settings.bridge_language,
        settings.bridge_public_url,
        Silences(runtime.journal, settings.accounts),
        runtime.clock_ms,
    )


def _watch_clock(runtime: Runtime) -> Duty:
    """What a clock that was wrong has left."""
    settings = runtime.settings
    return ClockWatch(runtime.journal, settings.bridge_lease, settings.bridge_retry_cap, runtime.clock_ms)


SIDES = (
    Side("watch", _watch),
    Side("reconciling", _reconcile, ends_within_s=None),
    Side("deals", _read_deals),
    Side("checkpoint", _checkpoint),
    Side("house", _keep_house, ends_within_s=None),
    Side("alerts", _alert),
    Side("clock", _watch_clock),
)


class Beside:
    """All of them at work."""

    def __init__(self, runtime: Runtime, stopping: threading.Event) -> None:
        self._threads: list[tuple[threading.Thread, float | None]] = []
        for side in SIDES:
            duty = side.make(runtime)
            if duty is not None:
                daemon = side.ends_within_s is not None
                thread = threading.Thread(target=duty.run, args=(stopping,), name=side.name, daemon=daemon)
                thread.start()
                self._threads.append((thread, side.ends_within_s))

    def join(self) -> None:
        """Wait for what is under way, each as long as it may take."""
        for thread, ends_within_s in self._threads:
            thread.join(ends_within_s)
