"""What a fault is, and how one is tried: at a place of its own, told a story, and judged when all has settled."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.services import PostgresServer, RedisServer
from tests.torture.disk import small_disk
from tests.torture.judge import Expected, Judgement, judge, judge_deals, settled
from tests.torture.site import PATIENCE_S, Site

SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass(frozen=True)
class Fault:
    """One row of the matrix."""

    name: str
    area: str
    play: Callable[[Site], None]
    """Starts the bridge, does the harm while the story is told, and ends it; counts its strikes at the site."""
    site: Mapping[str, Any] = field(default_factory=dict)
    """What the site is made with."""
    databases: tuple[str, ...] = (SQLITE, POSTGRESQL)
    own_postgres: bool = False
    """Whether it harms the database's server, and so needs one for itself."""
    small_disk_mb: int = 0
    """Whether the journal lies on a disk of its own, and how big that is."""
    root: bool = False
    """Whether it mounts something, which only root may."""
    short: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one try."""

    fault: Fault
    database: str
    seconds: float
    strikes: int = 0
    judgement: Judgement | None = None
    trouble: str = ""
    """Why there is no judgement."""
    scratch: Path | None = None
    """Where the logs of a try that failed lie."""

    @property
    def held(self) -> bool:
        """Whether every promise was kept."""
        return self.judgement is not None and not self.judgement.breaches and self.strikes > 0


def settle(site: Site) -> None:
    """Wait until nothing is left to do; what does not settle in time is for the judge to see."""
    ends_s = time.monotonic() + PATIENCE_S
    with site.journal() as database:
        while not settled(database) and time.monotonic() < ends_s:
            time.sleep(0.1)


def attempt(fault: Fault, database: str, postgres: PostgresServer | None) -> Tried:
    """Try a fault once; whatever goes wrong is part of what is returned."""
    begun_s = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="bridge-torture-"))
    strikes, judgement, trouble = 0, None, ""
    try:
        scratch.chmod(0o755)  # PostgreSQL runs as another user, and its disk lies below
        with ExitStack() as opened:
            disk = scratch / "disk"
            disk.mkdir()
            if fault.small_disk_mb:
                opened.enter_context(small_disk(disk, fault.small_disk_mb))
            redis = opened.enter_context(RedisServer.started())
            if database == SQLITE:
                url, server = f"sqlite:///{disk / 'journal.db'}", None
            elif fault.own_postgres:
                server = opened.enter_context(PostgresServer.started(scratch=disk if fault.small_disk_mb else None))
                url = opened.enter_context(server.database())
            else:
                assert postgres is not None
                url, server = opened.enter_context(postgres.database()), postgres
            site = Site(scratch, url, redis, postgres=server, **fault.site)
            with site:
                fault.play(site)
                settle(site)
                with site.journal() as journal:
                    answered = {one.event_id for one in site.told}
                    if site.with_deals:
                        bodies = [one.body for one in site.told]
                        judgement = judge_deals(journal, site.deal_writes(), bodies, Expected(answered, mappings=1))
                    else:
                        expected = Expected(answered, site.charges, acted_ms=site.acted_ms)
                        judgement = judge(journal, site.history(), expected)
                strikes = site.strikes
    except Exception as error:  # noqa: BLE001 (a try that fails must not end the others)
        trouble = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    tried = Tried(fault, database, time.monotonic() - begun_s, strikes, judgement, trouble, scratch)
    if tried.held:
        shutil.rmtree(scratch)
        return Tried(fault, database, tried.seconds, strikes, judgement)
    return tried
