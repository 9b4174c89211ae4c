"""The table of the periodic tasks."""

from __future__ import annotations

from bridge.runtime import Runtime
from bridge.worker.alerts import EVERY_S as ALERTS_EVERY_S
from bridge.worker.alerts import Alerts
from bridge.worker.clock_watch import ClockWatch
from bridge.worker.housekeeping import Housekeeping
from bridge.worker.queue_watch import QueueWatch
from bridge.worker.silences import Silences
from bridge.worker.sweeper import LONGEST_STOP_S, PeriodicTask, wake_due_lanes


def tasks(runtime: Runtime) -> list[PeriodicTask]:
    """Return the tasks; accounts, destinations and mappings are looked up in each run, since they may change."""
    settings, journal, clock_ms = runtime.settings, runtime.journal, runtime.clock_ms
    house = Housekeeping(journal, settings.bridge_retention_days, clock_ms)
    silences = Silences(journal, runtime.accounts)
    alerts = Alerts(
        journal, settings.bridge_alert_urls, settings.bridge_language, settings.bridge_public_url, silences, clock_ms
    )
    clock = ClockWatch(journal, settings.bridge_lease, settings.bridge_retry_cap, clock_ms)
    webhooks = QueueWatch(
        journal,
        runtime.asaas,
        runtime.governors,
        lambda: [item.mapping for item in runtime.mappings.current()],
        settings.bridge_public_url,
        clock_ms,
    )
    return [
        PeriodicTask("wake_due_lanes", 1.0, lambda _: wake_due_lanes(journal, runtime.wakeups, clock_ms())),
        PeriodicTask("import_mappings", 1.0, lambda _: runtime.mapping_files.import_changed()),
        PeriodicTask("fold_counts", 2.0, house.fold, stop_timeout_s=LONGEST_STOP_S),
        PeriodicTask("clear_old", 2.0, house.clear_due, stop_timeout_s=LONGEST_STOP_S, late_after_s=3_600.0),
        PeriodicTask("repair_clock", 5.0, lambda _: clock.look()),
        PeriodicTask("send_alerts", ALERTS_EVERY_S, lambda _: alerts.round()),
        PeriodicTask("watch_webhooks", 300.0, lambda _: webhooks.look()),
        _reconcile(runtime),
        _read_back(runtime),
        # SQLite's log is copied back here, so that no writer must.
    ]


def _reconcile(runtime: Runtime) -> PeriodicTask:
    """Look for charges that the journal does not know, where BRIDGE_RECONCILE_HOURS says how often."""
    from bridge.worker.reconciling import Reconciling

    settings = runtime.settings
    directory = settings.bridge_data_dir / "reconcile" / "scheduled"
    reconciling = Reconciling(
        runtime.asaas, runtime.journal, settings.bridge_reconcile_hours, runtime.clock_ms, directory
    )
    return PeriodicTask(
        "reconcile",
        60.0,
        reconciling.reconcile_all,
        enabled=bool(settings.bridge_reconcile_hours),
        stop_timeout_s=LONGEST_STOP_S,
        late_after_s=24 * 3_600.0,  # a round of a large account waits for Asaas's quota of 12 hours
    )


def _read_back(runtime: Runtime) -> PeriodicTask:
    """Look for the deals of deliveries whose mapping says verify, with CLINT_API_TOKEN."""
    from bridge.recovery.read_back import ReadBacks

    if runtime.clint_api is None:
        return PeriodicTask("read_back", 2.0, lambda _: None, enabled=False)
    looks = ReadBacks(runtime.journal, runtime.clint_api, runtime.mappings, runtime.settings.bridge_read_back_wait)
    return PeriodicTask("read_back", 2.0, lambda _: looks.step(runtime.clock_ms()), again_s=60.0)
