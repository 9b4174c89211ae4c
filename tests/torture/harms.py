"""The faults of the machine, the database, Redis, the destinations and Asaas: one table."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.acceptance import story
from tests.acceptance.deployment import until
from tests.torture import outputs
from tests.torture import weather as w
from tests.torture.fault import POSTGRESQL, SQLITE, Fault, settle
from tests.torture.site import Site
from tests.torture.upgrade import rolling

ALL = ("web-0", "worker-0", "worker-1")
BIG = {"padding": 40_000, "events": 45}
"""Enough to need more of the disk while it is full."""
MORE = {"events": 24}
"""What one batch asks of Asaas it asks once: enough batches for several questions."""


def _two_sweepers(site: Site) -> None:
    site.start(webs=1, workers=2, sweepers=2)
    site.clint("answers", status=500, share=0.3, times=30)
    telling = site.telling()
    until(lambda: site.attempts("clint.http_500") > 3, 60)
    site.children["sweeper-1"].kill()
    site.restart("sweeper-1")
    site.strikes += 1
    telling.result()


def _clock_with_two_workers(site: Site) -> None:
    """The clock is set ahead while both workers send, by far more than a lease."""
    site.start(webs=1, workers=2)
    site.clint("is_slow", seconds=0.7)
    telling = site.telling()
    until(lambda: len(site.history()) > 2, 60)
    for ahead_s in (60, 120, 180):
        site.knob.write_text(str(ahead_s))
        site.strikes += 1
        time.sleep(1.5)
    telling.result()
    site.clint("comes_back")


def _muted(output: outputs.Outputs, name: str) -> Callable[[Site], None]:
    """Return how a process, or `bridge up` as a whole, gets an output that takes nothing for a third of the story."""

    def play(site: Site) -> None:
        part = len(site.untold) // 3
        with output(site.scratch) as (path, strike):
            site.outputs = {name: path}
            if name == "up":
                site.start_up()
            else:
                site.start(sweepers=1)
            site.tell(part)
            strike()
            site.strikes += 1
            site.tell(part)
            until(lambda: len(site.history()) >= part * len(story.MAPPINGS), 60)
        site.tell()
        settle(site)
        assert site.children[name].stop() == 0

    return play


def _redirected(site: Site) -> None:
    """What was redirected is dead, with its reason; a person has it sent again."""
    w.weather(w.clint("answers", status=302, headers={"Location": "https://example.com/"}))(site)
    settle(site)
    site.acts()
    assert site.command("deliveries", "retry", "--all-dead", "--yes") == 0


def _through(script: str, *names: str) -> dict[str, list[str]]:
    return {name: [str(Path(__file__).with_name(script))] for name in names}


CLOCK = {"prelude": _through("stepped_clock.py", *ALL)}
NAMES = {"prelude": _through("no_names.py", "worker-0"), "by_name": True}

HARMS = (
    # This one waits a minute for a person: it begins early.
    Fault("answers 401", "Asaas API", w.weather(w.key_refused), MORE),
    Fault("slow", "Asaas API", w.weather(w.asaas("hangs", seconds=3)), MORE),
    Fault("answers 500", "Asaas API", w.weather(w.asaas("answers", status=500)), MORE),
    Fault("answers 429", "Asaas API", w.weather(w.asaas("answers", status=429, headers={"Retry-After": "1"})), MORE),
    Fault("resets", "Asaas API", w.weather(w.asaas("breaks", how="resets")), MORE),
    Fault("answers garbage", "Asaas API", w.weather(w.asaas("breaks", how="garbles")), MORE),
    Fault("full", "disk", w.weather(w.disk_full), BIG, (SQLITE,), small_disk_mb=24, root=True),
    Fault("full", "disk", w.weather(w.disk_full), BIG, (POSTGRESQL,), own_postgres=True, small_disk_mb=160, root=True),
    Fault("read-only", "database", w.weather(w.read_only_file), databases=(SQLITE,), root=True),
    Fault("locked by another program", "database", w.weather(w.locked_file), databases=(SQLITE,)),
    Fault("failed over to read-only", "database", w.weather(w.read_only_server), databases=(POSTGRESQL,)),
    Fault("restarted", "database", w.weather(w.database_stopped), databases=(POSTGRESQL,), own_postgres=True),
    Fault("killed", "database", w.weather(w.database_killed), databases=(POSTGRESQL,), own_postgres=True),
    Fault("connections lost", "database", w.weather(w.connections_lost), databases=(POSTGRESQL,)),
    Fault("serialization failures", "database", w.weather(w.serializable), databases=(POSTGRESQL,)),
    Fault("flushed", "Redis", w.weather(w.redis_flushed)),
    Fault("restarted", "Redis", w.weather(w.redis_restarted)),
    Fault("away", "Redis", w.weather(w.redis_away)),
    Fault("full (maxmemory, noeviction)", "Redis", w.weather(w.redis_full)),
    Fault("slow (paused)", "Redis", w.weather(w.redis_slow)),
    Fault("frozen (SIGSTOP)", "Redis", w.weather(w.redis_frozen)),
    Fault("stepped forward by 40 s and back", "clock", w.weather(w.clock(40)), CLOCK),
    Fault("stepped forward by 3 h and back", "clock", w.weather(w.clock(10_800)), CLOCK),
    Fault("stepped back by 40 s and forward", "clock", w.weather(w.clock(-40)), CLOCK),
    Fault("stepped forward thrice, two workers", "clock", _clock_with_two_workers, CLOCK),
    Fault("names are not resolved", "destination", w.weather(w.names_unknown), NAMES),
    Fault("slow, given up", "destination", w.weather(w.clint("hangs", seconds=2.5, times=4))),
    Fault("resets after taking", "destination", w.weather(w.clint("breaks", how="resets"))),
    Fault("truncates its answer", "destination", w.weather(w.clint("breaks", how="truncates"))),
    Fault("answers garbage", "destination", w.weather(w.clint("breaks", how="garbles"))),
    Fault("answers 10 MB", "destination", w.weather(w.clint("breaks", how="floods"))),
    Fault("drops before taking", "destination", w.weather(w.clint("drops"))),
    Fault("redirects", "destination", _redirected),
    Fault("answers 500", "destination", w.weather(w.clint("answers", status=500))),
    Fault("answers 429", "destination", w.weather(w.clint("answers", status=429, headers={"Retry-After": "1"}))),
    Fault("down", "destination", w.weather(w.clint_down)),
    Fault("removed, put back, resumed", "destination", w.weather(w.clint_removed)),
    *(
        Fault(
            f"{name}: {how}",
            "log",
            _muted(output, name),
            {"settings": {"BRIDGE_LOG_LEVEL": "debug"}},
            (SQLITE,),
            root=root,
        )
        for name in ("web-0", "worker-0", "sweeper-0", "up")
        for how, output, root in (
            ("disk full and freed", outputs.disk_full, True),
            ("pipe gone", outputs.reader_gone, False),
            ("pipe stands still and goes on", outputs.reader_stands_still, False),
        )
    ),
    Fault("two sweepers and two workers", "processes", _two_sweepers),
    Fault("two deployments, a migration between", "processes", rolling, {"before_head": True}),
)
